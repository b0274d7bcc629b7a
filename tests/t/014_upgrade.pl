# ALTER EXTENSION milvus_brain UPDATE from every version that there was: runs
# that were made before are found, answer as they did, and get what the new
# version has (triggers, files) without being computed anew; what is there
# afterwards is what a fresh CREATE EXTENSION makes. Between the new library and
# the UPDATE nothing crashes, and nothing answers wrongly.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\n");
$node->start;

my $db = 'postgres';
sub sql { return $node->safe_psql($db, $_[0]); }

# what a statement answers, or the error in which it ends
sub try
{
	my ($statement) = @_;
	my ($rc, $out, $err) = $node->psql($db, $statement);
	return $rc == 0 ? $out : $err;
}

my $current = sql(q{SELECT default_version FROM pg_available_extensions WHERE name = 'milvus_brain'});
my @old = grep { $_ ne $current } split /\n/, sql(q{
	SELECT version FROM pg_available_extension_versions WHERE name = 'milvus_brain' ORDER BY string_to_array(version, '.')::int[]});
is($old[0], '0.1.0', 'premise: the first version can still be installed');
is(sql(qq{SELECT string_agg(v, ' ') FROM unnest('{@{[join ',', @old]}}'::text[]) v
	WHERE NOT EXISTS (SELECT FROM pg_extension_update_paths('milvus_brain') p WHERE p.source = v AND p.target = '$current' AND p.path IS NOT NULL)}),
	'', 'from every version there is a way to this one');

# All kinds of runs. Embeddings are whole numbers: distances are exact.
my $tables = q{
	CREATE TABLE plain (id int PRIMARY KEY, label text, embedding real[]);
	INSERT INTO plain SELECT i, 'l' || i % 3, ARRAY[i + 10, 0] FROM generate_series(1, 300) i;
	CREATE TABLE "Odd ""name""" (LIKE plain INCLUDING ALL);
	INSERT INTO "Odd ""name""" TABLE plain;
	CREATE TABLE parts (LIKE plain, PRIMARY KEY (id)) PARTITION BY RANGE (id);
	CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (150);
	CREATE TABLE parts2 PARTITION OF parts DEFAULT;
	INSERT INTO parts TABLE plain;
	CREATE UNLOGGED TABLE fleeting (LIKE plain INCLUDING ALL);
	INSERT INTO fleeting TABLE plain;
	CREATE VIEW v AS SELECT * FROM plain WHERE id > 5;
	CREATE TYPE word AS ENUM ('a', 'b');
	CREATE TABLE words (id word PRIMARY KEY, embedding real[]);
	INSERT INTO words VALUES ('a', '{1,0}'), ('b', '{2,0}');
	CREATE TABLE broken (id int PRIMARY KEY, embedding real[], other int);
	INSERT INTO broken SELECT i, ARRAY[i, 0] FROM generate_series(1, 10) i;
	CREATE ROLE upgrade_owner;
	CREATE TABLE owned (LIKE plain INCLUDING ALL);
	INSERT INTO owned TABLE plain;
	ALTER TABLE owned OWNER TO upgrade_owner;
	GRANT upgrade_owner TO CURRENT_USER;};
my $runs = q{
	SELECT brain.compute_similarity('plain', 'key', metric => 'euclidean');
	SELECT brain.compute_similarity('plain', 'filtered', metric => 'euclidean', filter => 'label <> ''l1''');
	SELECT brain.compute_similarity('plain', 'hand', metric => 'euclidean', with_data => false);
	SELECT brain.add_to_index('plain', 'hand', (SELECT array_agg(id ORDER BY id) FROM plain), (SELECT array_agg(ARRAY[id, 7] ORDER BY id) FROM plain));
	SELECT brain.compute_similarity('plain', 'cleaned', metric => 'euclidean'); SELECT brain.cleanup('plain', 'cleaned');
	SELECT brain.compute_similarity('"Odd ""name"""', 'key', metric => 'euclidean');
	SELECT brain.compute_similarity('parts', 'key', metric => 'cosine');
	SELECT brain.compute_similarity('parts1', 'own', metric => 'dotproduct');
	SELECT brain.compute_similarity('fleeting', 'key', metric => 'euclidean');
	SELECT brain.compute_similarity('v', 'key', metric => 'euclidean', id_field => 'id');
	SELECT brain.compute_similarity('words', 'key', metric => 'euclidean');
	SELECT brain.compute_similarity('broken', 'key', metric => 'euclidean', filter => 'other IS NULL'); ALTER TABLE broken DROP COLUMN other;
	SET ROLE upgrade_owner; SELECT brain.compute_similarity('owned', 'key', metric => 'euclidean'); RESET ROLE;};

my @reads = (
	q{SELECT * FROM brain.sort_by_similarity('plain', 7, k => NULL, brain_key => 'key')},
	q{SELECT * FROM brain.sort_by_similarity('plain', '[1,2]', k => 5, reverse => true, brain_key => 'filtered')},
	q{SELECT * FROM brain.sort_by_similarity('plain', ARRAY[3, 5], k => 5, brain_key => 'hand', filter => 'id > 3')},
	q{SELECT * FROM brain.sort_by_similarity('plain', 7, brain_key => 'cleaned')},
	q{SELECT rank, distance, (sample).label FROM brain.similar_samples(NULL::"Odd ""name""", 7)},
	q{SELECT * FROM brain.sort_by_similarity('parts', '[1,2]', k => 40)},
	q{SELECT * FROM brain.sort_by_similarity('parts1', 7)},
	q{SELECT * FROM brain.sort_by_similarity('fleeting', 7)},
	q{SELECT * FROM brain.sort_by_similarity('v', 7)},
	q{SELECT * FROM brain.sort_by_similarity('words', 'a')},
	q{SELECT * FROM brain.sort_by_similarity('broken', 7)},
	q{SELECT * FROM brain.sort_by_similarity('owned', 7)},
	q{SELECT * FROM brain.get_embeddings('plain', 'hand', ARRAY[3, 1])},
	q{SELECT samples, brain_key, metric, filter, indexed, missing, skipped, state FROM brain.runs},
	q{SELECT brain.get_brain_info('plain', 'filtered')->'config'});
sub answers { return join "\n--\n", map { try($_) } @reads; }

# Searches against plain SQL, and what answered.
my $see = q{
	WITH truth AS (SELECT array_agg(id || '=' || embedding[1] ORDER BY embedding[1], id::text COLLATE "C") AS rows FROM plain)
	SELECT (SELECT array_agg(sample_id || '=' || distance ORDER BY rank) = (SELECT rows FROM truth) FROM brain.sort_by_similarity('plain', '[0,0]', k => NULL, brain_key => 'key')),
		   (SELECT array_agg(sample_id || '=' || distance ORDER BY rank) = (SELECT rows[:5] FROM truth) FROM brain.sort_by_similarity('plain', '[0,0]', k => 5, brain_key => 'key')),
		   brain.last_search()->>'path'};
sub sees
{
	my ($when, $path) = @_;
	$path //= '\w+';
	like(sql($see), qr/^t\|t\|$path$/, $when);
	return;
}

# Everything that belongs to the extension, with its comments, privileges and definitions.
my $objects = q{
	SELECT coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), '') FROM (
		SELECT i.type || ' ' || i.identity || ' / ' || coalesce(obj_description(d.objid, d.classid::regclass::name), 'no comment') || ' / ' ||
			   coalesce((SELECT concat_ws(' ', p.proacl, pg_get_functiondef(p.oid)) FROM pg_proc p WHERE d.classid = 'pg_proc'::regclass AND p.oid = d.objid),
				   (SELECT concat_ws(' ', c.relacl, c.reloptions, (SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation, pg_get_expr(adbin, adrelid)), ', ' ORDER BY attnum)
						FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
						CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END, (SELECT string_agg(pg_get_indexdef(indexrelid), ', ' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = c.oid),
						(SELECT string_agg(concat_ws(' ', pg_get_triggerdef(t.oid), tgenabled), ', ' ORDER BY tgname) FROM pg_trigger t WHERE tgrelid = c.oid AND NOT tgisinternal AND tgname !~ '[0-9a-f]{32}$'))
						FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid),
				   (SELECT concat_ws(' ', evtevent, evtfoid::regproc, evtenabled, evttags) FROM pg_event_trigger e WHERE d.classid = 'pg_event_trigger'::regclass AND e.oid = d.objid),
				   (SELECT concat_ws(' ', fdwhandler::regproc, fdwvalidator::regproc, fdwoptions, fdwacl) FROM pg_foreign_data_wrapper f WHERE d.classid = 'pg_foreign_data_wrapper'::regclass AND f.oid = d.objid), '') AS line
		  FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) i
		 WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'milvus_brain') AND d.deptype = 'e'
		 UNION ALL
		SELECT 'dumped ' || c || ' ' || w FROM pg_extension, unnest(extconfig::regclass[]::text[], extcondition) AS u (c, w) WHERE extname = 'milvus_brain') AS lines (line)};

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION milvus_brain');
my $fresh = $node->safe_psql('fresh', $objects);
cmp_ok(length $fresh, '>', 5000, 'premise: a fresh extension has objects');

for my $version (@old)
{
	$node->safe_psql('template1', 'DROP DATABASE IF EXISTS old; CREATE DATABASE old');
	$db = 'old';
	sql('DROP ROLE IF EXISTS upgrade_owner');
	sql("CREATE EXTENSION milvus_brain VERSION '$version'");
	sql($tables);
	ok(sql($objects) ne $fresh, "$version: premise: it is another version");

	# the library is new, the catalog old: it works, or says what to do
	my ($rc, $out, $err) = $node->psql('old', $runs, on_error_stop => 1);
	is($rc, 0, "$version: runs are made before the UPDATE") or diag($err);
	my $before = answers();
	unlike($before, qr/brain\.\w+(\(.*\))?"? does not exist|terminated/, "$version: searches before the UPDATE");
	my $session = $node->background_psql('old', on_error_stop => 0);
	$session->query($reads[0]);

	# refused to others, rolled back
	like(try('SET ROLE upgrade_owner; ALTER EXTENSION milvus_brain UPDATE'), qr/must be owner|permission denied/, "$version: not by everybody");
	sql('BEGIN; ALTER EXTENSION milvus_brain UPDATE; ROLLBACK');
	is(sql(q{SELECT extversion FROM pg_extension WHERE extname = 'milvus_brain'}), $version, "$version: rolled back");
	is(answers(), $before, "$version: rolled back, all is as it was");

	sql('UPDATE plain SET embedding = ARRAY[1, 0] WHERE id = 100; UPDATE plain SET embedding = ARRAY[110, 0] WHERE id = 100');
	sql('ALTER EXTENSION milvus_brain UPDATE');
	is(sql(q{SELECT extversion FROM pg_extension WHERE extname = 'milvus_brain'}), $current, "$version: updated");
	is(sql('SELECT brain.version()'), $current, "$version: the library says so, too");
	is(answers(), $before, "$version: the answers are the same");
	is(sql($objects), $fresh, "$version: the objects are those of a fresh extension");
	is($session->query($reads[0]), try($reads[0]), "$version: a session that was there before");

	# changes before the first sync: whatever answers, it is right
	sees("$version: before any sync");
	sql(q{UPDATE plain SET embedding = ARRAY[1, 0] WHERE id = 100; DELETE FROM plain WHERE id = 1; INSERT INTO plain VALUES (1000, 'l0', '{2,0}')});
	sees("$version: changed before any sync");
	is(sql(q{SELECT count(*) > 0 FROM brain.sync_status WHERE samples = 'plain'::regclass}), 't', "$version: the runs have a status");
	my $statuses = sql(q{SELECT string_agg(concat_ws(' ', samples, brain_key, tracked, in_use), ', ' ORDER BY samples::text COLLATE "C", brain_key COLLATE "C") FROM brain.sync_status});
	note($statuses);
	# by its owner, an ordinary role; 0.1.0 had no bases
	my $has_bases = $version ne '0.1.0';
	is(sql(q{SET ROLE upgrade_owner; SELECT string_agg(concat_ws(' ', samples, brain_key, action), ', ') FROM brain.sync()}),
		$has_bases ? 'owned key none' : 'owned key build', "$version: an owner's sync");
	my $synced = sql(q{SELECT string_agg(concat_ws(' ', samples, brain_key, action), ', ' ORDER BY samples::text COLLATE "C", brain_key COLLATE "C") FROM brain.sync() WHERE samples <> 'owned'::regclass});
	like($synced, $has_bases ? qr/plain filtered segment, plain hand build, plain key segment/ : qr/plain filtered build, plain hand build, plain key build/,
		"$version: a sync of all");
	like($synced, $has_bases ? qr/parts key none, parts1 own none/ : qr/parts key build, parts1 own build/, "$version: partitioned ones, too");
	sees("$version: synced", 'matrix');
	sql(q{UPDATE plain SET embedding = ARRAY[3, 0] WHERE id = 101; DELETE FROM plain WHERE id = 2; TRUNCATE parts1});
	sees("$version: changed after the sync", 'matrix');
	is(sql(q{SELECT min(sample_id::int) FROM brain.sort_by_similarity('parts', '[1,2]', k => NULL)}), '150', "$version: a truncated partition");
	is($session->query(q{SELECT sample_id FROM brain.sort_by_similarity('plain', '[0,0]', k => 3, brain_key => 'key')}), "100\n1000\n101", "$version: the session that was there before");
	$session->quit;
	sql(q{SELECT brain.sync()});
	sees("$version: synced once more", 'matrix');

	# dumped and restored; a broken run is known as such when it is used
	sql('DROP TABLE broken');
	command_ok([ 'pg_dump', '-Fc', '-f', $node->basedir . "/$version.dump", $node->connstr('old') =~ s/'//gr ], "$version: dumped");
	$node->safe_psql('template1', 'CREATE DATABASE restored');
	command_ok([ 'pg_restore', '-d', $node->connstr('restored') =~ s/'//gr, $node->basedir . "/$version.dump" ], "$version: restored");
	my $expected = answers();
	$db = 'restored';
	sees("$version: restored");
	is(answers(), $expected, "$version: restored, all answers");
	sql(q{UPDATE plain SET embedding = ARRAY[0, 0] WHERE id = 102});
	sees("$version: restored and changed");
	sql('SELECT brain.sync()');
	sees("$version: restored and synced", 'matrix');
	$db = 'postgres';
	sql("DROP DATABASE restored");

	# gone, with all that was made since
	$db = 'old';
	sql('DROP EXTENSION milvus_brain CASCADE');
	is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'brain%'}), '0', "$version: DROP EXTENSION takes the triggers along");
	sql(q{DELETE FROM plain WHERE id = 5; TRUNCATE parts});
	sql('CREATE EXTENSION milvus_brain');
	sql(q{SELECT brain.compute_similarity('plain', 'key', metric => 'euclidean')});
	sees("$version: made again", 'matrix');
	sql('DROP OWNED BY upgrade_owner');
	$db = 'postgres';
}
$node->safe_psql('postgres', 'DROP DATABASE old; DROP ROLE upgrade_owner');

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'no crash');
done_testing();
