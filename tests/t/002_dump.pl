# pg_dump and pg_restore carry brain runs into another database, whole or in
# pieces: a restored run must answer as before, follow renames, and go with its
# dataset; a dataset that is missing must cost its own runs only, and no DDL.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
my $tmp = PostgreSQL::Test::Utils::tempdir;

sub sql { return $node->safe_psql($_[0], $_[1]); }

sub error
{
	my ($db, $statement) = @_;
	my ($out, $err);
	my $rc = $node->psql($db, $statement, stdout => \$out, stderr => \$err, extra_params => [ '--set', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? 'no error' : $err;
}

sub create_db
{
	my ($db) = @_;
	sql('template1', "CREATE DATABASE $db TEMPLATE template0");
	return $db;
}

# What a search over a run finds, for every run of a database: one line a run.
# The dataset is asked by an id that all of them have.
sub answers
{
	my ($db, $where) = @_;
	$where //= 'true';
	my @lines;
	for my $run (split /\n/, sql($db, "SELECT samples, brain_key, brain_key FROM brain.runs WHERE $where"))
	{
		my ($samples, $key) = split /\|/, $run;
		(my $quoted = $samples) =~ s/'/''/g;
		push @lines, "$samples $key: " . sql($db, qq{
			SELECT string_agg(sample_id || ' ' || encode(float8send(distance), 'hex'), ',' ORDER BY rank)
			  FROM brain.sort_by_similarity('$quoted', (SELECT min(sample_id) FROM brain.get_embeddings('$quoted', '$key')), k => NULL, brain_key => '$key')});
	}
	return join "\n", @lines;
}

# All that brain.runs says.
sub runs { return sql($_[0], 'SELECT * FROM brain.runs'); }

# Into an empty database, stopping at the first error.
sub load_plain
{
	my ($db, $file) = @_;
	command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $file ], "$db: loads");
	return;
}

sub dump_to
{
	my ($db, $name, @options) = @_;
	my $file = "$tmp/$name";
	command_ok([ 'pg_dump', '-d', $node->connstr($db), '-f', $file, @options ], "$name: pg_dump");
	return $file;
}

sub restore
{
	my ($db, $file, @options) = @_;
	command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($db), @options, $file ], "$db: pg_restore @options");
	return;
}

create_db('source');
sql('source', q{
	CREATE EXTENSION milvus_brain;
	CREATE SCHEMA "odd 'schema"; CREATE SCHEMA fn;
	CREATE FUNCTION fn.good(label text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT label <> 'l2' $$;
	CREATE TABLE images (gone int, id bigint PRIMARY KEY, label text, embedding real[], other double precision[]);
	ALTER TABLE images DROP COLUMN gone;
	INSERT INTO images SELECT i, 'l' || i % 3, ARRAY[cos(i), sin(2 * i), (i % 7) / 7.0], ARRAY[sin(i), cos(3 * i)]
	  FROM generate_series(1, 40) i;
	CREATE TABLE "odd 'schema"."Odd "" name é" ("Id" uuid PRIMARY KEY, "E m" real[]);
	INSERT INTO "odd 'schema"."Odd "" name é" SELECT md5(id::text)::uuid, embedding FROM images;
	CREATE TABLE parts (at timestamptz PRIMARY KEY, embedding real[]) PARTITION BY RANGE (at);
	CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
	CREATE TABLE part_2 PARTITION OF parts DEFAULT;
	INSERT INTO parts SELECT timestamptz '2020-01-15 12:00+00' + id * interval '1 day', embedding FROM images;
	CREATE VIEW seen AS SELECT id, embedding FROM images WHERE id > 10;
	CREATE MATERIALIZED VIEW kept AS SELECT id, embedding FROM images WHERE id <= 10;
	CREATE TABLE missing (id int PRIMARY KEY, embedding real[]);
	INSERT INTO missing SELECT id, embedding FROM images;
	CREATE TABLE bystander (x int);
	CREATE FUNCTION compute(samples regclass, key text, embeddings text, metric text DEFAULT 'euclidean', id_field text DEFAULT NULL, filter text DEFAULT NULL, with_data boolean DEFAULT true) RETURNS void
		LANGUAGE sql AS $$ SELECT brain.compute_similarity(samples, key, embeddings => embeddings, metric => metric, id_field => id_field, filter => filter, with_data => with_data) $$;
	SELECT compute('images', 'col', 'embedding');
	SELECT compute('images', 'other', 'other', 'cosine');
	SELECT compute('images', 'filtered', 'embedding', filter => 'label <> ''l1''');
	SELECT compute('images', 'by_function', 'embedding', 'dotproduct', filter => 'fn.good(label) AND id < 30');
	SELECT compute('images', 'hand', NULL, with_data => false);
	SELECT brain.add_to_index('images', 'hand', id, other) FROM images WHERE id <= 20;
	SELECT compute('"odd ''schema"."Odd "" name é"', 'key', 'E m');
	SELECT compute('parts', 'key', 'embedding');
	SELECT compute('seen', 'key', 'embedding', id_field => 'id');
	SELECT compute('kept', 'key', 'embedding', id_field => 'id');
	SELECT compute('missing', 'key', 'embedding');
	SELECT compute('missing', 'hand', NULL, with_data => false);
	SELECT brain.add_to_index('missing', 'hand', id, embedding) FROM missing WHERE id <= 5;
	SELECT brain.compute_similarity('images', 'cleaned', 'embedding'), brain.cleanup('images', 'cleaned');
});
my $works = q{state = 'ready'};
my $answers = answers('source', $works);
my $runs = runs('source');
is(scalar(split /\n/, $answers), 11, 'every run of the source answers');

# ---------- the whole database ----------

{
	my $plain = dump_to('source', 'plain.sql');
	my $text = slurp_file($plain);
	like($text, qr/^COPY brain\._runs /m, 'the dump has the runs');
	like($text, qr/^COPY brain\.embeddings /m, 'and their embeddings');
	unlike($text, qr/_run_bindings/, 'and not what they are bound to');
	my $custom = dump_to('source', 'custom.dump', '-Fc');
	my $directory = dump_to('source', 'directory', '-Fd');

	my %load = (
		plain => sub { load_plain($_[0], $plain) },
		inserts => sub { load_plain($_[0], dump_to('source', 'inserts.sql', '--column-inserts')) },
		custom => sub { restore($_[0], $custom) },
		one_transaction => sub { restore($_[0], $custom, '--single-transaction') },
		parallel => sub { restore($_[0], $directory, '-j3') },
		sections => sub { restore($_[0], $custom, "--section=$_") for qw(pre-data data post-data) },
		schema_then_data => sub {
			restore($_[0], $custom, '--schema-only');
			restore($_[0], $custom, '--data-only');
			# which does not fill materialised views
			sql($_[0], 'REFRESH MATERIALIZED VIEW kept') },
		data_only_dump => sub {
			load_plain($_[0], dump_to('source', 'schema.sql', '--schema-only'));
			load_plain($_[0], dump_to('source', 'data.sql', '--data-only'));
			sql($_[0], 'REFRESH MATERIALIZED VIEW kept') });
	for my $how (sort keys %load)
	{
		create_db($how);
		$load{$how}->($how);
		is(answers($how, $works), $answers, "$how: every run answers as before");
		is(runs($how), $runs, "$how: brain.runs says the same");
	}
	# over what is there already; a partition's constraint is not PostgreSQL's to drop
	sql('custom', 'DROP TABLE parts');
	restore('custom', $custom, '--clean', '--if-exists');
	is(answers('custom', $works), $answers, '--clean over a restored database: every run answers');
	is(runs('custom'), $runs, '--clean over a restored database: brain.runs says the same');
	sql('template1', "DROP DATABASE $_") for qw(inserts one_transaction sections schema_then_data data_only_dump);
}

# ---------- a restored run lives on ----------

{
	my $db = 'plain';
	# Each time the bindings are taken away first: what was restored after the
	# last ALTER of pg_restore is known by name only.
	sql($db, q{
		CREATE ROLE owner; ALTER TABLE images OWNER TO owner; GRANT CREATE ON SCHEMA public TO owner;
		ALTER TABLE "odd 'schema"."Odd "" name é" OWNER TO owner;
		GRANT USAGE ON SCHEMA fn TO owner});
	my $db2 = 'parallel';
	sql($db2, q{
		ALTER TABLE images OWNER TO owner; GRANT CREATE ON SCHEMA public TO owner; GRANT USAGE ON SCHEMA fn TO owner; DELETE FROM brain._run_bindings;
		SET ROLE owner;
		ALTER TABLE images RENAME COLUMN label TO class});
	(my $renamed = $answers) =~ s/^images /pictures /gm;
	is(answers($db2, $works), $answers, 'a column of a filter renamed first of all: the filter follows');
	sql($db2, 'SET ROLE owner; ALTER TABLE images RENAME COLUMN embedding TO vector; ALTER TABLE images RENAME COLUMN id TO nr; ALTER TABLE images RENAME TO pictures');
	is(join("\n", sort split /\n/, answers($db2, $works)), join("\n", sort split /\n/, $renamed), 'columns and table renamed: every run answers as before');
	sql($db2, q{ALTER SCHEMA fn RENAME TO functions});
	is(join("\n", sort split /\n/, answers($db2, $works)), join("\n", sort split /\n/, $renamed), q{the schema of a filter's function renamed: every run answers as before});

	# the first thing is a rename of the schema
	sql($db, 'DELETE FROM brain._run_bindings; ALTER SCHEMA "odd \'schema" RENAME TO plain_schema');
	is(sql($db, q{SELECT state FROM brain.list_brain_runs('plain_schema."Odd "" name é"')}), 'ready', 'schema renamed first of all: the run follows');
	# dropped by name
	sql($db, 'DELETE FROM brain._run_bindings; SET ROLE owner; DROP TABLE images CASCADE');
	is(sql($db, q{SELECT count(*) FROM brain._runs WHERE dataset_name IN ('images', 'seen', 'kept')}), '0', 'an unbound run goes with its table');
	is(sql($db, q{SELECT count(*) FROM brain.embeddings WHERE NOT EXISTS (SELECT FROM brain._runs r WHERE r.run_id = embeddings.run_id)}), '0', 'and its embeddings');
	sql($db, q{DELETE FROM brain._run_bindings; DROP SCHEMA plain_schema CASCADE});
	is(sql($db, q{SELECT count(*) FROM brain._runs WHERE dataset_schema = 'plain_schema'}), '0', 'and with its schema');

	# and is dumped again under its new names
	my $again = dump_to($db2, 'again.sql');
	create_db('again');
	load_plain('again', $again);
	is(answers('again', $works), answers($db2, $works), 'dumped and restored again after renames: every run answers');
	is(runs('again'), runs($db2), 'and brain.runs says the same');

	# what is made with a restored run works as with any
	sql('again', q{
		SELECT brain.rename_brain_run('pictures', 'col', 'col2');
		SELECT brain.add_to_index('pictures', 'hand', 21, '[1,2]');
		SELECT brain.compute_similarity('pictures', 'other', 'other', overwrite => true);
		SELECT brain.cleanup('parts', 'key'); SELECT brain.delete_brain_run('missing', 'key')});
	is(sql('again', q{SELECT string_agg(brain_key || ' ' || state, ',') FROM brain.list_brain_runs('pictures')}),
		'by_function ready,cleaned cleaned up,col2 ready,filtered ready,hand ready,other ready', 'changed by calls');
	is(sql('again', q{SELECT sample_id || ' ' || distance FROM brain.sort_by_similarity('pictures', '[1,2]', k => 1, brain_key => 'hand')}), '21 0', 'filled by calls');

	# a run's filter is parsed from its text: in a parallel plan too
	is(sql('custom', q{
		DELETE FROM brain._run_bindings;
		SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
		SELECT count(*) FROM images i JOIN brain.sort_by_similarity('images', 3, k => NULL, brain_key => 'by_function') s ON s.sample_id = i.id::text}),
		'19', q{a restored run's filter in a parallel plan});
	sql('template1', "DROP DATABASE $_") for ('again', 'plain', 'parallel');
}

# ---------- one dataset is missing ----------

{
	my $db = create_db('partial');
	load_plain($db, dump_to('source', 'partial.sql', '-T', 'missing'));
	(my $others = $answers) =~ s/^missing .*\n?//gm;
	chomp $others;
	is(answers($db, $works), $others, 'dataset missing: all other runs answer');
	is(sql($db, q{SELECT string_agg(brain_key || ' ' || reason, ',' ORDER BY brain_key) FROM brain.runs WHERE samples IS NULL AND state = 'broken'}),
		'hand dataset "public.missing" does not exist,key dataset "public.missing" does not exist', 'its own runs are broken, with the reason');
	is(sql($db, q{SET ROLE owner; SELECT count(*) FROM brain.runs WHERE samples IS NULL}), '0', 'which an ordinary role does not see');
	# DDL as ever
	sql($db, q{
		ALTER TABLE bystander ADD COLUMN y int; ALTER TABLE bystander RENAME TO standing; ALTER TABLE standing RENAME TO bystander;
		CREATE TABLE brief (id int); ALTER TABLE brief ADD PRIMARY KEY (id); DROP TABLE brief;
		ALTER TABLE images RENAME TO i; ALTER TABLE i RENAME TO images});
	is(answers($db, $works), $others, 'DDL on other tables works, and the other runs do');
	# something else under its name
	sql($db, q{CREATE TABLE missing (x int)});
	is(sql($db, q{SELECT string_agg(DISTINCT state || ' ' || reason, ',') FROM brain.list_brain_runs('missing')}), 'broken column "id" does not exist', 'another table of that name: broken, with that reason');
	sql($db, q{ALTER TABLE missing DROP COLUMN x, ADD COLUMN id int, ADD COLUMN embedding real[]});
	like(sql($db, q{SELECT string_agg(DISTINCT state || ' ' || reason, ',') FROM brain.list_brain_runs('missing')}), qr/^broken .*id/, 'without its primary key: broken');
	sql($db, q{INSERT INTO missing SELECT id, embedding FROM images; ALTER TABLE missing ADD PRIMARY KEY (id)});
	is(answers($db, $works), $answers, 'the table appears: its runs answer again');
	is(runs($db), $runs, 'and brain.runs says the same as the source');
	sql($db, 'DROP TABLE missing');
	is(sql($db, q{SELECT count(*) FROM brain._runs WHERE dataset_name = 'missing'}), '0', 'and go with it');

	# restored later, from the whole dump
	$db = create_db('later');
	load_plain($db, "$tmp/partial.sql");
	restore($db, "$tmp/custom.dump", '-t', 'missing');
	sql($db, 'ALTER TABLE missing ADD PRIMARY KEY (id)');    # pg_restore -t leaves it out
	is(answers($db, $works), $answers, 'the table restored later by pg_restore -t: its runs answer');

	# the table alone, into a database that has the extension
	$db = create_db('alone');
	sql($db, 'CREATE EXTENSION milvus_brain');
	load_plain($db, dump_to('source', 'alone.sql', '-t', 'images'));
	is(sql($db, q{SELECT count(*) FROM brain.runs}), '0', 'pg_dump -t: the table without runs');
	is(sql($db, q{SELECT indexed FROM brain.compute_similarity('images', 'col', 'embedding')}), '40', 'which can be computed');

	# runs into a database that has the tables: nothing but names is needed
	$db = create_db('runs_last');
	load_plain($db, dump_to('source', 'no_runs.sql', '--exclude-table-data=brain.*'));
	is(sql($db, q{SELECT count(*) FROM brain.runs}), '0', 'dumped without runs');
	restore($db, "$tmp/custom.dump", '--data-only', '-n', 'brain', '-t', '_runs', '-t', 'embeddings');
	is(answers($db, $works), $answers, 'runs alone restored into it: they answer');
	sql('template1', "DROP DATABASE $_") for qw(partial later alone runs_last custom);
}

# ---------- who dumps ----------

{
	sql('source', 'CREATE ROLE dumper LOGIN; GRANT pg_read_all_data TO dumper');
	command_ok([ 'pg_dump', '-d', $node->connstr('source') . ' user=dumper', '-f', "$tmp/dumper.sql" ], 'a role with pg_read_all_data can dump');
	create_db('dumped');
	load_plain('dumped', "$tmp/dumper.sql");
	is(answers('dumped', $works), $answers, 'and what it dumps restores');
}

# ---------- the whole cluster ----------

{
	my $file = "$tmp/all.sql";
	sql('template1', 'DROP DATABASE dumped');
	command_ok([ 'pg_dumpall', '-d', $node->connstr('postgres'), '-f', $file ], 'pg_dumpall');
	my $other = PostgreSQL::Test::Cluster->new('other');
	$other->init;
	$other->start;
	# the one error is that our role exists there
	run_log([ 'psql', '-X', '-q', '-d', $other->connstr('postgres'), '-f', $file ]);
	$node->stop;
	$node = $other;
	is(answers('source', $works), $answers, 'pg_dumpall into another cluster: every run answers as before');
	is(runs('source'), $runs, 'and brain.runs says the same');
	$node->stop;
}

done_testing();
