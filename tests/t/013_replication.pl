# Copies of a database: standbys, promoted ones, restored ones, clones, logical
# subscribers. A base belongs to one cluster, database and timeline: what a copy
# finds of it, in its catalog or in its directory, must not make it answer
# otherwise than its own table does. What arrives by replay or by logical
# replication has to be seen as what a client writes is; and what another
# transaction has not committed yet, be it prepared, be it one of more
# subtransactions than a snapshot can list.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# 300 samples; embeddings are whole numbers, so distances are exact. see() is
# what plain SQL sees and what the searches find under one snapshot.
my $setup = q{
	CREATE EXTENSION milvus_brain;
	CREATE TABLE t (id int PRIMARY KEY, label text, embedding real[]);
	INSERT INTO t SELECT i, 'label', ARRAY[i + 10, 0] FROM generate_series(1, 300) i;
	CREATE FUNCTION see(samples regclass DEFAULT 't', key text DEFAULT 'key', OUT answer text, OUT path text) LANGUAGE plpgsql STABLE AS $$
	DECLARE
		rows text[];
		ranked text[];
		three text[];
	BEGIN
		EXECUTE format('SELECT array_agg(id || ''='' || embedding[1] ORDER BY embedding[1], id::text COLLATE "C") FROM %s', samples) INTO rows;
		SELECT array_agg(sample_id || '=' || distance ORDER BY rank) INTO ranked FROM brain.sort_by_similarity(samples, '[0,0]', k => NULL, brain_key => key);
		SELECT array_agg(sample_id || '=' || distance ORDER BY rank) INTO three FROM brain.sort_by_similarity(samples, '[0,0]', k => 3, brain_key => key);
		path := brain.last_search()->>'path';
		answer := concat_ws(' ', cardinality(rows), 'rows:', array_to_string(rows[:3], ' '),
			CASE WHEN ranked IS DISTINCT FROM rows OR three IS DISTINCT FROM rows[:3] THEN 'WRONG: ' || cardinality(ranked) || ' ' || array_to_string(three, ' ') END);
	END $$;
	SELECT brain.compute_similarity('t', 'key', metric => 'euclidean');};

my $see = 'SELECT answer FROM see()';
sub path_of { return $_[0]->safe_psql($_[1] // 'postgres', 'SELECT path FROM see()'); }
sub directory { return $_[0]->data_dir . '/pgsql_tmp_milvus_brain'; }
sub files { my @files = glob(directory($_[0]) . '/*'); return @files; }
sub remove_files { unlink files($_[0]); return; }

# A node's answer is right, and the one expected.
sub sees
{
	my ($node, $expected, $when, $db) = @_;
	is($node->safe_psql($db // 'postgres', $see), $expected, $when);
	return;
}

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical', has_archiving => 1);
$primary->append_conf('postgresql.conf', "max_prepared_transactions = 5\nautovacuum = off\n");
$primary->start;
$primary->safe_psql('postgres', $setup);
sees($primary, '300 rows: 1=11 2=12 3=13', 'premise: the primary answers');
is(path_of($primary), 'matrix', 'premise: from its file');

$primary->backup('backup');
ok(!-e $primary->backup_dir . '/backup/pgsql_tmp_milvus_brain' || !glob($primary->backup_dir . '/backup/pgsql_tmp_milvus_brain/*'), 'a base backup has none of our files');

# ---------- a standby ----------

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nmax_standby_streaming_delay = 60s\narchive_mode = off\n");
$standby->start;
sub catch_up { $primary->wait_for_catchup($standby); return; }

sub same_everywhere
{
	my ($expected, $when) = @_;
	catch_up();
	sees($primary, $expected, "$when: primary");
	sees($standby, $expected, "$when: standby");
	return;
}

same_everywhere('300 rows: 1=11 2=12 3=13', 'at first');
is(path_of($standby), 'matrix', 'the standby has made itself a file');
$primary->safe_psql('postgres', q{
	UPDATE t SET embedding = ARRAY[1, 0] WHERE id = 100; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1000, 'new', ARRAY[2, 0])});
same_everywhere('300 rows: 100=1 1000=2 2=12', 'changed');
is(path_of($standby), 'matrix', 'by file and log');
my $old = $standby->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query_safe($see), '300 rows: 100=1 1000=2 2=12', 'a snapshot of the standby');
$primary->safe_psql('postgres', q{SELECT brain.sync('t', 'key'); UPDATE t SET embedding = ARRAY[3, 0] WHERE id = 101});
same_everywhere('300 rows: 100=1 1000=2 101=3', 'synced and changed');
is($old->query_safe($see), '300 rows: 100=1 1000=2 2=12', 'older than the sync: it is what it was');
remove_files($standby);
is($old->query_safe($see), '300 rows: 100=1 1000=2 2=12', 'without its file, too');
sees($standby, '300 rows: 100=1 1000=2 101=3', 'and a younger one');
is($old->query_safe($see), '300 rows: 100=1 1000=2 2=12', 'when a younger one has made a file');
$old->query_safe('COMMIT');
is($old->query_safe($see), '300 rows: 100=1 1000=2 101=3', 'and then not');
for my $call (q{sync('t', 'key')}, q{sync()}, q{sweep()})
{
	my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT brain.$call");
	like($err, qr/ERROR:  25006:/, "refused on a standby: $call");
}
$primary->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[embedding[1] + 100, 0]; SELECT brain.sync('t', 'key')});
same_everywhere('300 rows: 100=101 1000=102 101=103', 'a new base');
$primary->safe_psql('postgres', q{TRUNCATE t; INSERT INTO t SELECT i, 'again', ARRAY[i + 10, 0] FROM generate_series(1, 300) i});
same_everywhere('300 rows: 1=11 2=12 3=13', 'truncated');
$primary->safe_psql('postgres', q{SELECT brain.sync('t', 'key')});
same_everywhere('300 rows: 1=11 2=12 3=13', 'and synced');
$primary->safe_psql('postgres', q{ALTER TABLE t DISABLE TRIGGER ALL; UPDATE t SET embedding = ARRAY[5, 0] WHERE id = 102});
same_everywhere('300 rows: 102=5 1=11 2=12', 'triggers disabled');
$primary->safe_psql('postgres', q{SELECT brain.compute_similarity('t', 'key', metric => 'euclidean', overwrite => true)});
same_everywhere('300 rows: 102=5 1=11 2=12', 'computed anew');

# ---------- more subtransactions than a snapshot lists ----------

my $writer = $primary->background_psql('postgres');
my $many = q{DO $$ BEGIN
	FOR i IN 1 .. 150 LOOP
		BEGIN
			UPDATE t SET embedding = ARRAY[i / 256.0, 0] WHERE id = i;
			IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END LOOP;
END $$};
for my $end ('COMMIT', 'ROLLBACK')
{
	$primary->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[id + 10, 0]; SELECT brain.sync('t', 'key')});
	$writer->query_safe("BEGIN; $many");
	# another commit writes the log up to here, and has a younger xid
	$primary->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[7, 0] WHERE id = 200; CHECKPOINT});
	catch_up();
	my $before = '300 rows: 200=7 1=11 2=12';
	$old = $standby->background_psql('postgres');
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	is($old->query_safe('SELECT answer FROM see()'), $before, "$end: a snapshot that cannot list them");
	remove_files($standby);
	sees($standby, $before, "$end: a file is made under such a snapshot");
	$primary->safe_psql('postgres', q{SELECT brain.sync('t', 'key')});
	same_everywhere($before, "$end: a sync beside it");
	remove_files($standby);
	sees($standby, $before, "$end: a file for that");
	$writer->query_safe($end);
	my $after = $end eq 'COMMIT' ? '300 rows: 1=0.00390625 2=0.0078125 4=0.015625' : $before;
	same_everywhere($after, "$end: then");
	is($old->query_safe($see), $before, "$end: the old snapshot");
	$primary->safe_psql('postgres', q{SELECT brain.sync('t', 'key')});
	same_everywhere($after, "$end: synced");
	is($old->query_safe($see), $before, "$end: the old snapshot after a sync");
	$old->quit;
}
$writer->quit;

# ---------- prepared transactions ----------

$primary->safe_psql('postgres', q{
	UPDATE t SET embedding = ARRAY[id + 10, 0]; SELECT brain.sync('t', 'key');
	BEGIN; UPDATE t SET embedding = ARRAY[1, 0] WHERE id = 100; DELETE FROM t WHERE id = 1; PREPARE TRANSACTION 'one';
	BEGIN; INSERT INTO t VALUES (1000, 'new', ARRAY[2, 0]); SAVEPOINT s; UPDATE t SET embedding = ARRAY[3, 0] WHERE id = 101; ROLLBACK TO s; PREPARE TRANSACTION 'two'});
same_everywhere('300 rows: 1=11 2=12 3=13', 'prepared');
$primary->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[4, 0] WHERE id = 102; SELECT brain.sync('t', 'key')});
same_everywhere('300 rows: 102=4 1=11 2=12', 'prepared, and synced');
remove_files($_) for ($primary, $standby);
same_everywhere('300 rows: 102=4 1=11 2=12', 'a search makes the files beside them');
$primary->safe_psql('postgres', q{COMMIT PREPARED 'one'});
same_everywhere('299 rows: 100=1 102=4 2=12', 'committed');
$primary->stop('immediate');
$primary->start;
$primary->safe_psql('postgres', q{SELECT brain.sync('t', 'key')});
same_everywhere('299 rows: 100=1 102=4 2=12', 'the other after a crash and a sync');
$primary->safe_psql('postgres', q{COMMIT PREPARED 'two'});
same_everywhere('300 rows: 100=1 1000=2 102=4', 'committed, too');
# one that has synced, or computed: prepared, or refused
for my $call (q{sync('t', 'key')}, q{compute_similarity('t', 'key', metric => 'euclidean', overwrite => true)})
{
	for my $end ('COMMIT', 'ROLLBACK')
	{
		$primary->safe_psql('postgres', q{TRUNCATE t; INSERT INTO t SELECT i, 'label', ARRAY[i + 10, 0] FROM generate_series(1, 300) i; SELECT brain.sync('t', 'key'); UPDATE t SET embedding = ARRAY[1, 0] WHERE id = 100});
		my ($rc) = $primary->psql('postgres', "BEGIN; UPDATE t SET embedding = ARRAY[2, 0] WHERE id = 101; SELECT brain.$call; PREPARE TRANSACTION 'three'");
		note("PREPARE after $call: " . ($rc == 0 ? 'done' : 'refused'));
		# what a sweep takes for its own while the transaction is neither over nor running
		$primary->safe_psql('postgres', 'SELECT brain.sweep()');
		sees($primary, '300 rows: 100=1 1=11 2=12', "$call prepared: not yet");
		$primary->safe_psql('postgres', "$end PREPARED 'three'") if $rc == 0;
		my $expected = $rc == 0 && $end eq 'COMMIT' ? '300 rows: 100=1 101=2 1=11' : '300 rows: 100=1 1=11 2=12';
		same_everywhere($expected, "$call prepared: $end");
		$primary->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[0, 0] WHERE id = 300; SELECT brain.sync('t', 'key')});
		same_everywhere($expected =~ s/rows: (\S+ \S+) \S+/rows: 300=0 $1/r, "$call prepared: $end, and synced");
	}
}

# ---------- asynchronous commits that a crash loses ----------

$primary->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[id + 10, 0]; SELECT brain.sync('t', 'key')});
remove_files($primary);
for my $i (1 .. 3)
{
	$primary->safe_psql('postgres', qq{SET synchronous_commit = off; UPDATE t SET embedding = ARRAY[$i, 0] WHERE id = 100 + $i});
	$primary->safe_psql('postgres', $see);
	$primary->safe_psql('postgres', q{SET synchronous_commit = off; DELETE FROM t WHERE id = 5; SELECT brain.sync('t', 'key')}) if $i == 2;
	$primary->stop('immediate');
	$primary->start;
	unlike($primary->safe_psql('postgres', $see), qr/WRONG/, "after crash $i");
	$primary->safe_psql('postgres', q{UPDATE t SET label = 'x' WHERE id = 1});
	unlike($primary->safe_psql('postgres', $see), qr/WRONG/, "after crash $i, with xids used again");
}

# ---------- promotion ----------

$primary->safe_psql('postgres', q{
	TRUNCATE t; INSERT INTO t SELECT i, 'label', ARRAY[i + 10, 0] FROM generate_series(1, 300) i; SELECT brain.sync('t', 'key'); UPDATE t SET embedding = ARRAY[1, 0] WHERE id = 100});
same_everywhere('300 rows: 100=1 1=11 2=12', 'before promotion');
$old = $standby->background_psql('postgres');
is($old->query_safe($see), '300 rows: 100=1 1=11 2=12', 'a session of the standby');
my @files = files($standby);
cmp_ok(scalar @files, '>', 0, 'premise: the standby has a file');
$standby->promote;
sees($standby, '300 rows: 100=1 1=11 2=12', 'promoted');
is($old->query_safe($see), '300 rows: 100=1 1=11 2=12', 'a session that was there before');
$standby->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[2, 0] WHERE id = 101; DELETE FROM t WHERE id = 100});
# what the primary goes on to do is no business of this one's
$primary->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[9, 0] WHERE id = 109});
sees($standby, '299 rows: 101=2 1=11 2=12', 'and written');
is($old->query_safe($see), '299 rows: 101=2 1=11 2=12', 'the old session, too');
$standby->safe_psql('postgres', q{SELECT brain.sync('t', 'key')});
sees($standby, '299 rows: 101=2 1=11 2=12', 'and synced');
is(path_of($standby), 'matrix', 'by file');
$standby->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[3, 0] WHERE id = 102});
sees($standby, '299 rows: 101=2 102=3 1=11', 'and written again');
$old->quit;
is($standby->safe_psql('postgres', 'SELECT count(*) >= 0 FROM brain.sweep()'), 't', 'it sweeps');
$standby->stop;

# ---------- restored from a base backup, as of a moment, with somebody else's files ----------

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($primary, 'backup');
$restored->append_conf('postgresql.conf', "archive_mode = off\n");
$restored->start;
sees($restored, '300 rows: 1=11 2=12 3=13', 'restored from a base backup');
is(path_of($restored), 'matrix', 'which has made itself a file');
$restored->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[1, 0] WHERE id = 100});
sees($restored, '300 rows: 100=1 1=11 2=12', 'and goes on');
$restored->safe_psql('postgres', q{SELECT brain.sync('t', 'key')});
sees($restored, '300 rows: 100=1 1=11 2=12', 'and syncs');
$restored->stop;

$primary->safe_psql('postgres', q{
	UPDATE t SET embedding = ARRAY[id + 10, 0]; SELECT brain.sync('t', 'key'); UPDATE t SET embedding = ARRAY[1, 0] WHERE id = 100});
$primary->backup('later');
my $moment = $primary->safe_psql('postgres', $see);
like($moment, qr/rows: 100=1 1=11 2=12$/, 'premise: the moment');
$primary->safe_psql('postgres', q{SELECT pg_create_restore_point('moment')});
# later changes, in a file of the very generation that there was at the moment
$primary->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[2, 0] WHERE id = 101; DELETE FROM t WHERE id = 100; INSERT INTO t VALUES (2000, 'later', ARRAY[3, 0])});
remove_files($primary);
$primary->safe_psql('postgres', $see);
my %later = map { $_ => slurp_file($_) } files($primary);
cmp_ok(scalar keys %later, '>', 0, 'premise: a file was made after the moment');
# and in those of a later one
$primary->safe_psql('postgres', q{SELECT brain.sync('t', 'key'); SELECT pg_switch_wal()});
$later{$_} = slurp_file($_) for files($primary);

for my $target ('pause', 'promote')
{
	my $node = PostgreSQL::Test::Cluster->new("pitr_$target");
	$node->init_from_backup($primary, 'later', has_restoring => 1, standby => 0);
	$node->append_conf('postgresql.conf', "recovery_target_name = 'moment'\nrecovery_target_action = $target\nrecovery_target_timeline = current\narchive_mode = off\n");
	mkdir directory($node);
	for my $file (keys %later)
	{
		append_to_file(directory($node) . '/' . $file =~ s{.*/}{}r, $later{$file});
	}
	# as a copy of the machine's storage has them: with the server's right to read them
	chmod 0600, files($node);
	$node->start;
	$node->poll_query_until('postgres', $target eq 'pause' ? q{SELECT pg_get_wal_replay_pause_state() = 'paused'} : 'SELECT NOT pg_is_in_recovery()') or die 'timed out';
	sees($node, $moment, "restored as of a moment, $target");
	sees($node, $moment, "$target: once more");
	$node->promote if $target eq 'pause';
	# transaction ids that the file's snapshot knows are used again
	$node->safe_psql('postgres', q{UPDATE t SET label = 'x' WHERE id = 1}) for 1 .. 20;
	sees($node, $moment, "$target: xids used again");
	$node->safe_psql('postgres', q{UPDATE t SET embedding = ARRAY[0, 0] WHERE id = 50});
	sees($node, $moment =~ s/rows: (\S+ \S+) \S+/rows: 50=0 $1/r, "$target: changed");
	$node->safe_psql('postgres', q{SELECT brain.sync('t', 'key')});
	sees($node, $moment =~ s/rows: (\S+ \S+) \S+/rows: 50=0 $1/r, "$target: synced");
	is(path_of($node), 'matrix', "$target: by a file of its own");
	$node->stop;
}

# ---------- another cluster's files, under the same names ----------

{
	my $other = PostgreSQL::Test::Cluster->new('other');
	$other->init;
	$other->start;
	$other->safe_psql('postgres', $setup);
	my ($file) = files($other);
	$primary->safe_psql('postgres', q{SELECT brain.sync('t', 'key')});
	my @own = grep { !/\.reader$/ } files($primary);
	$primary->safe_psql('postgres', $see);
	my $right = $primary->safe_psql('postgres', $see);
	for my $own (@own)
	{
		unlink $own;
		append_to_file($own, slurp_file($file));
		chmod 0600, $own;
	}
	sees($primary, $right, q{another cluster's file under this one's name});
	sees($primary, $right, 'and once more');
	$other->stop;
}

# ---------- CREATE DATABASE ... TEMPLATE ----------

$primary->safe_psql('postgres', q{CREATE DATABASE origin});
$primary->safe_psql('origin', $setup . q{UPDATE t SET embedding = ARRAY[1, 0] WHERE id = 100});
sees($primary, '300 rows: 100=1 1=11 2=12', 'premise: the origin', 'origin');
for my $strategy ('wal_log', 'file_copy')
{
	$primary->safe_psql('postgres', "CREATE DATABASE copy TEMPLATE origin STRATEGY $strategy");
	sees($primary, '300 rows: 100=1 1=11 2=12', "$strategy: the copy, with its log", 'copy');
	$primary->safe_psql('copy', q{UPDATE t SET embedding = ARRAY[2, 0] WHERE id = 101; DELETE FROM t WHERE id = 100});
	sees($primary, '299 rows: 101=2 1=11 2=12', "$strategy: changed", 'copy');
	sees($primary, '300 rows: 100=1 1=11 2=12', "$strategy: the origin is not", 'origin');
	$primary->safe_psql('origin', q{UPDATE t SET embedding = ARRAY[3, 0] WHERE id = 102});
	$primary->safe_psql($_, q{SELECT brain.sync('t', 'key')}) for ('copy', 'origin');
	sees($primary, '299 rows: 101=2 1=11 2=12', "$strategy: synced", 'copy');
	sees($primary, '300 rows: 100=1 102=3 1=11', "$strategy: and the origin", 'origin');
	$primary->safe_psql($_, q{SELECT brain.sweep()}) for ('copy', 'origin', 'postgres');
	is(path_of($primary, $_), 'matrix', "$strategy: no sweep takes the other's files: $_") for ('copy', 'origin');
	my $oid = $primary->safe_psql('copy', 'SELECT oid FROM pg_database WHERE datname = current_database()');
	cmp_ok(scalar(grep { m{/$oid\.} } files($primary)), '>', 0, "$strategy: premise: the copy has files");
	$primary->safe_psql('postgres', 'DROP DATABASE copy');
	like($primary->safe_psql('origin', 'SELECT * FROM brain.sweep()'), qr/^file\|$oid\./m, "$strategy: a sweep elsewhere names the files of the database that is gone");
	is(scalar(grep { m{/$oid\.} } files($primary)), 0, "$strategy: and removes them");
	$primary->safe_psql('origin', q{UPDATE t SET embedding = ARRAY[id + 10, 0]; SELECT brain.sync('t', 'key'); UPDATE t SET embedding = ARRAY[1, 0] WHERE id = 100});
}

# ---------- logical replication ----------

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;
$primary->safe_psql('postgres', q{CREATE DATABASE publisher});
$primary->safe_psql('publisher', q{
	CREATE TABLE t (id int PRIMARY KEY, label text, embedding real[]);
	CREATE TABLE p (id int PRIMARY KEY, label text, embedding real[]);
	INSERT INTO t SELECT i, 'label', ARRAY[i + 10, 0] FROM generate_series(1, 300) i;
	INSERT INTO p SELECT i, 'label', ARRAY[i + 10, 0] FROM generate_series(1, 300) i;
	CREATE PUBLICATION pub FOR TABLE t, p});
# there before the rows come, in its own partitions
$subscriber->safe_psql('postgres', $setup . q{
	CREATE TABLE p (id int PRIMARY KEY, label text, embedding real[]) PARTITION BY RANGE (id);
	CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (150);
	CREATE TABLE p2 (embedding real[], id int NOT NULL, label text);
	ALTER TABLE p ATTACH PARTITION p2 DEFAULT;
	SELECT brain.compute_similarity('p', 'key', metric => 'euclidean');
	DELETE FROM t; INSERT INTO t SELECT i + 5000, 'own', ARRAY[i + 5000, 0] FROM generate_series(1, 300) i; SELECT brain.sync()});
my $connection = $primary->connstr . ' dbname=publisher';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
$subscriber->wait_for_subscription_sync($primary, 'sub');

sub applied
{
	my ($t, $p, $when) = @_;
	$primary->wait_for_catchup('sub');
	sees($subscriber, $t, "applied, $when");
	is($subscriber->safe_psql('postgres', q{SELECT answer FROM see('p')}), $p, "applied to partitions, $when");
	return;
}
sub publish { $primary->safe_psql('publisher', $_[0]); return; }

applied('600 rows: 1=11 2=12 3=13', '300 rows: 1=11 2=12 3=13', 'the first copy');
$subscriber->safe_psql('postgres', 'SELECT brain.sync()');
applied('600 rows: 1=11 2=12 3=13', '300 rows: 1=11 2=12 3=13', 'synced');
is(path_of($subscriber), 'matrix', 'by file');
publish("$_ SET embedding = ARRAY[1, 0] WHERE id = 100") for ('UPDATE t', 'UPDATE p');
publish("DELETE FROM $_ WHERE id IN (1, 200)") for ('t', 'p');
publish("INSERT INTO $_ VALUES (1000, 'new', ARRAY[2, 0])") for ('t', 'p');
applied('599 rows: 100=1 1000=2 2=12', '299 rows: 100=1 1000=2 2=12', 'INSERT, UPDATE, DELETE');
is(path_of($subscriber), 'matrix', 'by file and log');
is($subscriber->safe_psql('postgres', q{SELECT path FROM see('p')}), 'matrix', 'by file and log, partitions');
publish("UPDATE $_ SET id = 2000, embedding = ARRAY[3, 0] WHERE id = 2") for ('t', 'p');
publish("UPDATE $_ SET id = 1 WHERE id = 1000") for ('t', 'p');
applied('599 rows: 100=1 1=2 2000=3', '299 rows: 100=1 1=2 2000=3', 'keys that change, and move');
publish("BEGIN; UPDATE $_ SET embedding = ARRAY[4, 0] WHERE id = 101; SAVEPOINT s; DELETE FROM $_; ROLLBACK TO s; UPDATE $_ SET embedding = ARRAY[5, 0] WHERE id = 102; COMMIT") for ('t', 'p');
applied('599 rows: 100=1 1=2 2000=3', '299 rows: 100=1 1=2 2000=3', 'savepoints');
$subscriber->safe_psql('postgres', 'SELECT brain.sync()');
applied('599 rows: 100=1 1=2 2000=3', '299 rows: 100=1 1=2 2000=3', 'synced again');
publish("UPDATE $_ SET label = 'only the label'") for ('t', 'p');
applied('599 rows: 100=1 1=2 2000=3', '299 rows: 100=1 1=2 2000=3', 'another column');
is($subscriber->safe_psql('postgres', 'SELECT sum(changes) FROM brain.sync_status'), '0', 'which is not logged');
publish('TRUNCATE t, p');
$primary->wait_for_catchup('sub');
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM t, brain.sort_by_similarity('t', '[0,0]')}) . $subscriber->safe_psql('postgres', q{SELECT count(*) FROM brain.sort_by_similarity('p', '[0,0]')}), '00', 'applied, TRUNCATE');
publish("INSERT INTO $_ SELECT i, 'again', ARRAY[i + 20, 0] FROM generate_series(1, 250) i") for ('t', 'p');
applied('250 rows: 1=21 2=22 3=23', '250 rows: 1=21 2=22 3=23', 'filled again');
$subscriber->safe_psql('postgres', 'SELECT brain.sync()');
applied('250 rows: 1=21 2=22 3=23', '250 rows: 1=21 2=22 3=23', 'and synced');
is(path_of($subscriber), 'matrix', 'by file again');

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
$subscriber->stop;
$primary->stop;
unlike(slurp_file($_->logfile), qr/terminated by signal|PANIC|TRAP/, $_->name . ': no crash') for ($primary, $standby, $restored, $subscriber);
done_testing();
