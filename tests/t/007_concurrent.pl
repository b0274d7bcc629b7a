# Everything at once: searches, computing, adding, removing, renaming runs and
# renaming, altering, dropping and making their datasets, by many sessions. No
# call may end in an internal error, a deadlock or an error that its caller did
# not earn; nothing may be left without its run; and a crash in the middle must
# leave runs that work.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 40\nfsync = on\nlog_min_messages = log\nlog_lock_waits = on\ndeadlock_timeout = 300ms\nlog_statement = none\n");
$node->start;
my $tmp = PostgreSQL::Test::Utils::tempdir;

$node->safe_psql('postgres', q{
	CREATE EXTENSION milvus_brain;
	CREATE SCHEMA s;
	CREATE TABLE template (id int PRIMARY KEY, label text, embedding real[]);
	INSERT INTO template SELECT i, 'l' || i % 3, ARRAY[cos(i), sin(2 * i), (i % 7) / 7.0] FROM generate_series(1, 100) i;
	DO $$ BEGIN
		FOR i IN 0 .. 2 LOOP
			EXECUTE format('CREATE TABLE s.t%s (LIKE template INCLUDING ALL)', i);
			EXECUTE format('INSERT INTO s.t%s SELECT * FROM template', i);
			PERFORM brain.compute_similarity(format('s.t%s', i), 'col', metric => 'euclidean');
			PERFORM brain.compute_similarity(format('s.t%s', i), 'filtered', filter => 'label <> ''l2''');
			PERFORM brain.compute_similarity(format('s.t%s', i), 'hand', with_data => false);
		END LOOP;
	END $$;
	-- Run a statement; what it may not end in goes to the log. The names of what
	-- others rename may be gone, and so may a run.
	CREATE FUNCTION try(statement text, VARIADIC allowed text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			EXECUTE statement;
		EXCEPTION WHEN OTHERS THEN
			IF SQLSTATE <> ALL (allowed) THEN
				RAISE LOG 'UNEXPECTED: % % in %', SQLSTATE, SQLERRM, statement;
			END IF;
		END $$;
});

# 42P01, 3F000: the table or schema has another name just now; 42704, 55000: the run is gone or cleaned up
my $gone = q{'42P01', '3F000', '42703'};
# Ids of one call ascend: two that change the same rows in different orders may
# deadlock, as two UPDATEs may. One session at a time renames the schema: for two,
# PostgreSQL's own answer is "tuple concurrently updated".
my %script = (
	search => [ 10, qq{
		SELECT try(format('SELECT brain.sort_by_similarity(%L, %L::text, brain_key => %L)', 's.t' || :t, :i, 'col'), $gone);
		SELECT try(format('SELECT brain.sort_by_similarity(%L, ARRAY[1,2,3]::real[], brain_key => %L, filter => %L)', 's.t' || :t, 'filtered', 'length(label) = 2'), $gone);
		SELECT try(format('SELECT brain.sort_by_similarity(%L, ARRAY[1,2,3]::real[], brain_key => %L)', 's.t' || :t, 'hand'), $gone, '55000', '22000');
		SELECT try(format('SELECT brain.get_embeddings(%L, %L, ARRAY[1,2,3])', 's.t' || :t, 'col'), $gone);} ],
	catalog => [ 5, qq{
		SELECT try('SELECT * FROM brain.runs');
		SELECT try(format('SELECT brain.list_brain_runs(%L), brain.get_brain_info(%L, %L)', 's.t' || :t, 's.t' || :t, 'col'), $gone);} ],
	compute => [ 3, qq{
		SELECT try(format('SELECT brain.compute_similarity(%L, %L, metric => %L, overwrite => true)', 's.t' || :t, 'col', 'euclidean'), $gone);
		SELECT try(format('SELECT brain.compute_similarity(%L, %L, metric => %L)', 's.t' || :t, 'k' || :i % 4, 'euclidean'), $gone, '42710');
		SELECT try(format('SELECT brain.delete_brain_run(%L, %L)', 's.t' || :t, 'k' || :i % 4), $gone, '42704');} ],
	add => [ 10, qq{
		SELECT try(format('SELECT brain.add_to_index(%L, %L, ARRAY[%s, %s], %L)', 's.t' || :t, 'hand', :i, :i + 1, '[[1,2,3],[4,5,6]]'), $gone);
		SELECT try(format('SELECT brain.remove_from_index(%L, %L, ARRAY[%s, %s])', 's.t' || :t, 'hand', :i / 2, :i), $gone, '55000');} ],
	first_add => [ 2, qq{
		SELECT try(format('SELECT brain.compute_similarity(%L, %L, with_data => false, overwrite => true)', 's.t' || :t, 'hand'), $gone);
		SELECT try(format('SELECT brain.add_to_index(%L, %L, %s, %L)', 's.t' || :t, 'hand', :i, '[1,2,3]'), $gone);
		SELECT try(format('SELECT brain.cleanup(%L, %L)', 's.t' || :t, 'hand'), $gone);
		SELECT try(format('SELECT brain.add_to_index(%L, %L, %s, %L)', 's.t' || :t, 'hand', :i, '[1,2,3]'), $gone);} ],
	rename_run => [ 2, qq{
		SELECT try(format('SELECT brain.rename_brain_run(%L, %L, %L)', 's.t' || :t, 'k' || :i % 4, 'k' || :i % 3), $gone, '42704', '42710');} ],
	rename => [ 2, qq{
		SELECT try(format('ALTER TABLE s.%I RENAME TO %I', 't' || :t, 'u' || :t), $gone, '42P07');
		SELECT try(format('ALTER TABLE s.%I RENAME COLUMN label TO class', 'u' || :t), $gone, '42701');
		SELECT try(format('ALTER TABLE s.%I RENAME COLUMN class TO label', 'u' || :t), $gone, '42701');
		SELECT try(format('ALTER TABLE s.%I RENAME TO %I', 'u' || :t, 't' || :t), $gone, '42P07');} ],
	alter => [ 2, qq{
		SELECT try(format('ALTER TABLE s.%I ALTER COLUMN embedding SET STATISTICS %s', 't' || :t, :i), $gone);
		SELECT try('ALTER TABLE template ALTER COLUMN embedding SET STATISTICS ' || :i);
		UPDATE template SET label = 'x' WHERE id = :i;} ],
	schema => [ 1, qq{
		SELECT pg_advisory_lock(1);
		SELECT try('ALTER SCHEMA s RENAME TO r', $gone, '42P06');
		SELECT try('ALTER SCHEMA r RENAME TO s', $gone, '42P06');
		SELECT pg_advisory_unlock(1);} ],
	drop => [ 2, qq{
		SELECT try(format('CREATE TABLE IF NOT EXISTS d%s AS TABLE template', :client_id));
		SELECT try(format('ALTER TABLE d%s ADD PRIMARY KEY (id)', :client_id));
		SELECT try(format('SELECT brain.compute_similarity(%L, %L, with_data => false)', 'd' || :client_id, 'hand'));
		SELECT try(format('SELECT brain.add_to_index(%L, %L, id, embedding) FROM template', 'd' || :client_id, 'hand'));
		SELECT try(format('DROP TABLE d%s', :client_id));} ]);

my @scripts;
for my $name (sort keys %script)
{
	my ($weight, $sql) = @{ $script{$name} };
	append_to_file("$tmp/$name.sql", "\\set t random(0, 2)\n\\set i random(1, 99)\n" . join('', map { s/^\s+//r . "\n" } grep { /\S/ } split /\n/, $sql));
	push @scripts, '-f', "$tmp/$name.sql\@$weight";
}

# What has to hold when all is quiet.
sub check
{
	my ($when) = @_;
	is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.embeddings e WHERE NOT EXISTS (SELECT FROM brain._runs r WHERE r.run_id = e.run_id)}), '0', "$when: no embedding without its run");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM brain._run_bindings b WHERE NOT EXISTS (SELECT FROM brain._runs r WHERE r.run_id = b.run_id)}), '0', "$when: no binding without its run");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM brain._runs r LEFT JOIN brain._run_bindings b USING (run_id) LEFT JOIN pg_class c ON c.oid = b.dataset
		WHERE c.oid IS NULL OR c.relname <> r.dataset_name OR c.relnamespace::regnamespace::text <> r.dataset_schema}), '0', "$when: every run is bound to the table that its record names");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.runs WHERE state NOT IN ('ready', 'cleaned up')}), '0', "$when: no run is broken");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.embeddings e JOIN brain._runs r USING (run_id) WHERE cardinality(embedding) <> dimensions}), '0', "$when: all embeddings have their run's dimension");
	my $n = $node->safe_psql('postgres', q{
		SELECT count(*) FROM brain.runs r, LATERAL brain.sort_by_similarity(r.samples, '{1,2,3}'::real[], k => 1, brain_key => r.brain_key) WHERE r.embeddings_field IS NOT NULL});
	is($n, $node->safe_psql('postgres', q{SELECT count(*) FROM brain.runs WHERE embeddings_field IS NOT NULL}), "$when: every run answers");
	return;
}

my @pgbench = ('pgbench', '-n', '-c', 12, '-j', 2, '-D', 'x=1', @scripts, '-d', $node->connstr('postgres'));
@pgbench = grep { $_ ne '-d' } @pgbench;
my $result = IPC::Run::run([ @pgbench, '-T', 10 ], '>', \my $out, '2>', \my $err);
ok($result, 'pgbench: everything at once') or diag($err);
note($out);
my ($transactions) = $out =~ /number of transactions actually processed: (\d+)/;
cmp_ok($transactions, '>', 100, 'many calls were made');
my $log = slurp_file($node->logfile);
my @unexpected = $log =~ /(UNEXPECTED: \w{5} .*)/g;
is(scalar @unexpected, 0, 'no call ended in an error that it did not earn') or diag(join "\n", @unexpected > 20 ? @unexpected[ 0 .. 19 ] : @unexpected);
check('at once');

# the names are as they were: whoever renamed last renamed back, or not
$node->safe_psql('postgres', q{
	DO $$ BEGIN
		IF to_regnamespace('r') IS NOT NULL THEN ALTER SCHEMA r RENAME TO s; END IF;
		FOR i IN 0 .. 2 LOOP
			IF to_regclass('s.u' || i) IS NOT NULL THEN EXECUTE format('ALTER TABLE s.u%s RENAME TO t%s', i, i); END IF;
		END LOOP;
	END $$});

# a crash in the middle; it empties unlogged tables
$node->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE fleeting AS TABLE template; ALTER TABLE fleeting ADD PRIMARY KEY (id);
	SELECT brain.compute_similarity('fleeting', 'col');
	SELECT brain.compute_similarity('fleeting', 'hand', with_data => false);
	SELECT brain.add_to_index('fleeting', 'hand', id, embedding) FROM fleeting});
my $bench = IPC::Run::start([ @pgbench, '-T', 60 ], '>', \$out, '2>', \$err);
sleep 2;
$node->stop('immediate');
$bench->finish;
$node->start;
is($node->safe_psql('postgres', q{SELECT count(*) FROM fleeting}), '0', 'after a crash: an unlogged table is empty');
is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.sort_by_similarity('fleeting', '[1,2,3]', brain_key => 'col')}), '0', 'after a crash: nothing is found in it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.sort_by_similarity('fleeting', '[1,2,3]', brain_key => 'hand')}), '0', 'after a crash: nor by embeddings that are stored for it');
$node->safe_psql('postgres', 'DROP TABLE fleeting');
check('after a crash');

$node->stop;
done_testing();
