# Guards against: a call that nobody would make. Each function of schema brain
# gets 1,000 calls with arguments at random, as a superuser and as somebody with
# few rights, in plain statements, in subtransactions, cursors and transactions
# of every kind; each setting gets 1,000 values, with a search after each. The
# session has to live on, in time, and no error may be an internal one.
#
# BRAIN_FUZZ_SEED repeats a run, BRAIN_FUZZ_CALLS changes the number of calls,
# BRAIN_FUZZ_ONLY (a pattern) chooses functions and settings.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{BRAIN_FUZZ_SEED} // int(rand(2**31));
my $calls = $ENV{BRAIN_FUZZ_CALLS} // 1000;
my $only = $ENV{BRAIN_FUZZ_ONLY} // '';

my $node = PostgreSQL::Test::Cluster->new('fuzz');
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->append_conf('postgresql.conf', <<'CONF');
log_min_error_statement = panic
log_min_messages = log
CONF
$node->start;

# ---- what there is to be called with ----------------------------------------

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION milvus_brain;
CREATE ROLE fuzz_nobody;
CREATE SCHEMA fuzz;
CREATE TYPE fuzz.mood AS ENUM ('sad', 'happy');
CREATE DOMAIN fuzz.small AS int CHECK (VALUE < 10);

CREATE TABLE fuzz.images (id int PRIMARY KEY, label text, embedding real[], other float8[], number int DEFAULT 1);
CREATE TABLE fuzz.texts (name text PRIMARY KEY, embedding float8[]);
CREATE TABLE fuzz.parts (id bigint PRIMARY KEY, embedding numeric[]) PARTITION BY RANGE (id);
CREATE TABLE fuzz.part1 PARTITION OF fuzz.parts FOR VALUES FROM (MINVALUE) TO (50);
CREATE TABLE fuzz.part2 (embedding numeric[], id bigint PRIMARY KEY);
ALTER TABLE fuzz.parts ATTACH PARTITION fuzz.part2 FOR VALUES FROM (50) TO (MAXVALUE);
CREATE TABLE fuzz.hand (id uuid PRIMARY KEY, label text);
CREATE UNLOGGED TABLE fuzz.unlogged (id date PRIMARY KEY, embedding real[]);
CREATE TABLE fuzz.empty (id int PRIMARY KEY, embedding real[]);
CREATE TABLE fuzz.moods (mood fuzz.mood PRIMARY KEY, embedding real[]);
CREATE TABLE fuzz.bad (id int PRIMARY KEY, embedding real[]);
-- these have no run
CREATE TABLE fuzz.keyless (label text, embedding real[]);
CREATE TABLE fuzz.nothing ();
CREATE VIEW fuzz.broken AS SELECT id, 1 / (id - 3) AS zero, embedding FROM fuzz.images;
CREATE MATERIALIZED VIEW fuzz.stale AS SELECT id, embedding FROM fuzz.images;
CREATE SEQUENCE fuzz.sequence;

GRANT USAGE ON SCHEMA fuzz TO fuzz_nobody;
GRANT SELECT ON fuzz.images, fuzz.texts TO fuzz_nobody;
ALTER TABLE fuzz.texts ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON fuzz.texts USING (length(name) % 2 = 1);

-- All rows and runs as they were, some changed since.
CREATE FUNCTION fuzz.reset() RETURNS void LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['images', 'texts', 'parts', 'hand', 'unlogged', 'empty', 'moods', 'bad'] LOOP
		PERFORM brain.delete_brain_runs(('fuzz.' || name)::regclass);
		EXECUTE 'DELETE FROM fuzz.' || name;
	END LOOP;
	INSERT INTO fuzz.images SELECT i, 'l' || i % 4, ARRAY[cos(i), sin(i), i % 5], ARRAY[i, i] FROM generate_series(1, 200) i;
	INSERT INTO fuzz.texts SELECT 'name ' || i, ARRAY[i, 1 - i] FROM generate_series(1, 40) i;
	INSERT INTO fuzz.parts SELECT i, ARRAY[i, 1, 2, 3] FROM generate_series(1, 99) i;
	INSERT INTO fuzz.hand SELECT md5(i::text)::uuid, 'l' FROM generate_series(1, 20) i;
	INSERT INTO fuzz.unlogged SELECT date '2020-01-01' + i, ARRAY[i, 2] FROM generate_series(1, 30) i;
	INSERT INTO fuzz.moods VALUES ('sad', '{-1,0}'), ('happy', '{1,0}');
	INSERT INTO fuzz.bad VALUES (1, '{1,2}'), (2, '{1}'), (3, '{NaN,1}'), (4, '{0,0}'), (5, NULL), (6, '{}'), (7, '{{1,2}}'),
		(8, '{1,NULL}'), (9, '{Infinity,1}'), (10, '[0:1]={1,2}');
	REFRESH MATERIALIZED VIEW fuzz.stale;
	PERFORM brain.compute_similarity('fuzz.images', 'col', 'embedding');
	PERFORM brain.compute_similarity('fuzz.images', 'other', 'other', metric => 'euclidean', filter => 'id > 20');
	PERFORM brain.compute_similarity('fuzz.texts', 'col', metric => 'dotproduct');
	PERFORM brain.compute_similarity('fuzz.parts', 'col');
	PERFORM brain.compute_similarity('fuzz.hand', 'hand', with_data => false);
	PERFORM brain.add_to_index('fuzz.hand', 'hand', md5('1')::uuid, '[1,2]'::text);
	PERFORM brain.compute_similarity('fuzz.unlogged', 'col');
	PERFORM brain.compute_similarity('fuzz.empty', 'col');
	PERFORM brain.compute_similarity('fuzz.moods', 'col');
	PERFORM brain.compute_similarity('fuzz.bad', 'col', skip_failures => true);
	UPDATE fuzz.images SET embedding = ARRAY[id, 1, 2] WHERE id % 20 = 1;
	UPDATE fuzz.bad SET embedding = '{1,2,3}' WHERE id = 1;
	DELETE FROM fuzz.parts WHERE id = 7;
END $$;
SELECT fuzz.reset();
SQL

my @tables = map { "fuzz.$_" } qw(images images images texts parts part1 part2 hand unlogged empty moods bad keyless nothing broken stale);
my @keys = qw(col col col other hand nowhere Col);
my @words = (
	@keys, qw(embedding other id label name number id_field cosine dotproduct euclidean COSINE exact sklearn milvus mean min max
	  post-mean post-min post-max true false NULL NaN 1 42 -1 007 99999999999999999999 1e400 infinity epoch sad fuzz.images images brain public *),
	'', ' ', '  col', 'name 3', 'id > 10', 'id = 1 OR', '1 / (id - 5) > 0', 'id', 'false', 'embedding IS NULL', 'fuzz.images IS NOT NULL', 'ctid = ctid',
	'id IN (SELECT id FROM fuzz.images)', 'random() < 0.5', 'count(*) > 1', 'row_number() OVER () > 1', 'id > $1', 'generate_series(1, 3) > 1',
	'true) OR (true', 'true; DROP TABLE fuzz.images', 'true -- ', '/* ', '"', "'", '$$', '\\', '%s%n%d', ':x', "a\tb", "a\nb",
	'[1,2]', '[1,2,3]', '{1,2,3}', '[1,2', '[1,,2]', '[]', '{}', '[NaN,1]', '[1e39,0]', '[1e-46,0]', '[[1,2],[3,4]]', '{{1,2,3},{3,4,5}}', '[0,0,0]',
	'[1,2,3]x', '{1,NULL,3}', '(1,2)', '{"a":1}', 'c4ca4238-a0b9-2382-0dcc-509a6f75849b', '2020-01-05', "\x{e4}\x{1F600}", "\x{feff}", "\x{0301}",
	'x' x 63, 'x' x 64, 'x' x 3000, "\x{e4}" x 40, '[' x 2000, '(' x 2000, '[' . join(',', (1) x 20000) . ']');
my @numbers = (qw(0 1 2 3 5 10 25 -1 1000 2147483647 -2147483648));
my @floats = (qw(0 0.5 1 2 -1 1e-300 1e308 -1e308 NaN Infinity -Infinity -0));
my @jsons = ('{}', '[]', 'null', '1', '"x"', '{"a": 1}', '{"k": -1}', '{"metric": null}', '{"": {"": []}}', '[[[[]]]]', '{"backend": "exact"}',
	'[' x 500 . ']' x 500, '{"wait": true, "wait": false}');

sub pick { return $_[ rand @_ ]; }

sub text
{
	my ($text) = @_;

	$text =~ s/([\\'])/$1$1/g;
	$text =~ s/([^\x20-\x7e])/sprintf '\\U%08X', ord $1/ge;
	return "E'$text'";
}

sub word
{
	my $word = pick(@words);

	# a letter more, less, or another one
	substr($word, rand length $word, int rand 2) = pick(split(//, q{0.,:;-+[](){}'"\\%$*/ eE}), chr(1 + rand 0xd000))
		if length $word && rand() < 0.15;
	return text($word);
}

sub integers { return join ',', map { rand() < 0.03 ? 'NULL' : int(rand 300) - 5 } 1 .. rand 7; }

sub vector
{
	my ($dim) = @_;

	return 'ARRAY[' . join(',', map { rand() < 0.02 ? 'NULL' : rand() < 0.04 ? "'" . pick(@floats) . "'" : sprintf '%.3f', rand(20) - 10 } 1 .. $dim) . ']';
}

# What "any" takes is anything that has a type; sometimes it has none.
sub anything
{
	my $type = pick(qw(real float8 numeric int smallint bigint text varchar), 'numeric(10,2)');
	my $dim = pick(3, 3, 2, 4, 1, 0, 100);

	return pick(
		sub { int(rand 300) - 5 },
		sub { pick(@numbers) . "::" . pick(qw(bigint int numeric real text oid money "char" bit)) },
		sub { word() },
		sub { word() . '::' . pick(qw(text name varchar json bytea uuid date regclass xml cstring unknown "char" point tsvector inet)) },
		sub { vector($dim) . "::${type}[]" },
		sub { vector(3) . '::real[]' },
		sub { 'ARRAY[' . join(',', map { vector(3) } 1 .. 1 + rand 4) . ']' . pick('', '::real[]', '::float8[]') },
		sub { 'ARRAY[' . integers() . ']::' . pick(qw(int bigint smallint numeric text oid date fuzz.small)) . '[]' },
		sub { 'ARRAY[' . join(',', map { word() } 1 .. 1 + rand 4) . ']' . pick('', '', '::text[]', '::name[]', '::varchar[]', '::uuid[]', '::jsonb[]') },
		sub { q{'[-3:-1]={1,2,3}'::} . pick(qw(real int text)) . '[]' },
		sub { q{'{{{1,2},{3,4}}}'::} . pick(qw(real int text)) . '[]' },
		sub { q{'{}'::} . pick(qw(real int text uuid)) . '[]' },
		sub { 'NULL::' . pick(qw(int text real[] text[] int[] uuid fuzz.images fuzz.mood record unknown int4range)) },
		sub { 'ROW(1, 2)' }, sub { 'NULL' }, sub { 'fuzz.nothing' },
		sub { q{'[1,2)'::int4range} }, sub { q{'1 2 3'::} . pick(qw(int2vector oidvector)) }, sub { q{'sad'::fuzz.mood} }, sub { '5::fuzz.small' },
		sub { '(SELECT embedding FROM ' . pick(qw(fuzz.images fuzz.texts fuzz.bad fuzz.parts)) . ' ORDER BY 1 OFFSET ' . int(rand 12) . ' LIMIT 1)' },
		sub { '(SELECT array_agg(' . pick(qw(id embedding label)) . ') FROM fuzz.images)' },
		sub { '(SELECT i FROM fuzz.images i LIMIT 1)' },
		sub { "decode(md5('" . rand() . "'), 'hex')" },
		sub { "array_fill(1::real, ARRAY[" . pick(16000, 16001, 100000, '2,3', '1,1,1', '3,0') . '])' })->();
}

my %value = (
	text => \&word,
	integer => sub { rand() < 0.5 ? int(rand 30) : pick(@numbers) },
	boolean => sub { pick(qw(true false)) },
	'double precision' => sub { rand() < 0.5 ? rand(3) : "'" . pick(@floats) . "'" },
	jsonb => sub { text(pick(@jsons)) . '::jsonb' },
	regclass => sub {
		return pick("'pg_class'", "'pg_catalog.pg_type'", "'brain._runs'", "'brain.changes'", "'brain.runs'", "'brain.embeddings'", "'fuzz.sequence'",
			"'fuzz.images_pkey'", "'fuzz.no_such_table'", 0, 1, 4294967295, "(SELECT reltoastrelid FROM pg_class WHERE oid = 'fuzz.images'::regclass)::regclass",
			"'information_schema.tables'", "'pg_stat_activity'", word()) if rand() < 0.12;
		return "'" . pick(@tables) . "'";
	},
	'text[]' => sub { 'ARRAY[' . join(',', map { rand() < 0.5 ? word() : "'" . pick(qw(uri=http://x port=1 secure=x user=a odd=1 =)) . "'" } 1 .. 1 + rand 3) . ']::text[]' },
	oid => sub { pick("'pg_foreign_server'::regclass::oid", "'pg_user_mapping'::regclass::oid", 0, 1, 4294967295) },
	anyelement => sub { rand() < 0.85 ? 'NULL::' . pick(@tables) : anything() },
	'"any"' => \&anything);

# What mostly gets a call beyond its first check.
my %likely = (
	brain_key => sub { "'col'" },
	embeddings => sub { pick("'embedding'", 'NULL', word()) },
	aggregation => sub { text(pick(qw(mean min max post-mean post-min post-max))) },
	metric => sub { pick("'cosine'", "'dotproduct'", "'euclidean'", 'NULL') },
	backend => sub { pick("'exact'", 'NULL') },
	id_field => sub { pick("'id'", 'NULL') },
	k => sub { pick('NULL', 1 + int rand 30) },
	map { $_ => sub { 'NULL' } } qw(filter options max_distance));

sub argument
{
	my ($type, $name) = @_;

	return $likely{$name}->() if $likely{$name} && rand() < 0.7;
	return 'NULL' if rand() < 0.04;
	return anything() if rand() < 0.01;
	return text(pick(@keys)) if $type eq 'text' && rand() < 0.4;
	return ($value{$type} // sub { word() . "::$type" })->();
}

# ---- what is done with it ----------------------------------------------------

my @write = (
	'UPDATE fuzz.images SET embedding = embedding, number = number + 1', q{UPDATE fuzz.images SET embedding = '{1,2}' WHERE id < 5}, 'DELETE FROM fuzz.images WHERE id < 9',
	q{INSERT INTO fuzz.texts VALUES ('new', '{1,2}')}, 'TRUNCATE fuzz.images', 'TRUNCATE fuzz.parts', 'UPDATE fuzz.parts SET id = 200 - id', 'DELETE FROM fuzz.hand',
	'ALTER TABLE fuzz.images DISABLE TRIGGER ALL', 'ALTER TABLE fuzz.parts DETACH PARTITION fuzz.part2', 'ALTER TABLE fuzz.images DROP COLUMN embedding CASCADE',
	'ALTER TABLE fuzz.texts RENAME name TO id', 'DROP TABLE fuzz.part1', 'ALTER TABLE fuzz.images ALTER id TYPE bigint', 'ALTER TABLE fuzz.images RENAME TO texts2',
	'ALTER TABLE fuzz.unlogged SET LOGGED', 'DROP VIEW fuzz.broken', 'CREATE TABLE fuzz.more (id int)', 'CREATE TABLE fuzz.part3 PARTITION OF fuzz.part2 DEFAULT');

sub call_of_function
{
	my ($function) = @_;
	my ($types, $names) = @$function{qw(types names)};
	my $n = @$types - (rand() < 0.5 ? int(rand($function->{defaults} + 1)) : 0);
	my $call = "brain.$function->{name}(" . join(', ', map { argument($types->[$_], $names->[$_] // '') } 0 .. $n - 1) . ')';

	return "SELECT $call" if rand() < 0.3;
	return "SELECT * FROM $call";
}

sub call_of_trigger
{
	my ($function) = @_;
	my $arguments = rand() < 0.1 ? '(SELECT 1)' : join(', ', map { text(pick('', 'x', "\x{e4}", md5_uuid(), md5_uuid())) } 1 .. rand 3);

	return "SELECT brain.$function->{name}()" if rand() < 0.1;
	return 'CREATE TRIGGER fuzz ' . pick('AFTER', 'AFTER', 'BEFORE') . ' ' . pick('INSERT OR UPDATE OR DELETE', 'UPDATE', 'DELETE', 'TRUNCATE') . ' ON ' . pick(@tables)
		. ' FOR EACH ' . pick('ROW', 'ROW', 'STATEMENT') . " EXECUTE FUNCTION brain.$function->{name}($arguments); " . join('; ', map { pick(@write) } 1 .. 3);
}

sub call_of_event_trigger
{
	my ($function) = @_;

	return "SELECT brain.$function->{name}()" if rand() < 0.3;
	return 'CREATE EVENT TRIGGER fuzz ON ' . pick(qw(ddl_command_start ddl_command_end sql_drop table_rewrite))
		. " EXECUTE FUNCTION brain.$function->{name}(); " . join('; ', map { pick(@write) } 1 .. 3);
}

sub md5_uuid { return join '-', map { sprintf '%04x' x $_, map { rand 65536 } 1 .. $_ } 2, 1, 1, 1, 3; }

# In every kind of transaction, as every kind of user. What is written or altered
# is rolled back.
sub statement
{
	my ($call, $in_transaction) = @_;
	my $mode = $in_transaction ? 0.5 : rand;
	my $isolation = pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . pick('', '', '', ' READ ONLY');
	my $setup = rand() < 0.2 ? pick('SET LOCAL brain.use_matrix = off; ', 'SET LOCAL brain.screening = off; ', "SET LOCAL search_path = ''; ",
		'SET LOCAL ROLE fuzz_nobody; ', 'SET LOCAL ROLE fuzz_nobody; ', 'SET LOCAL extra_float_digits = 0; ') : '';
	my $before = rand() < 0.2 ? pick(@write) . '; ' : '';

	return "$call;" if $mode < 0.35;
	return "DO \$do\$ BEGIN $call; EXCEPTION WHEN OTHERS THEN IF SQLSTATE LIKE 'XX%' OR SQLSTATE = '57014' THEN RAISE; END IF; END \$do\$;" =~ s/BEGIN SELECT/BEGIN PERFORM/r
		if $mode < 0.45;
	return "BEGIN ISOLATION LEVEL $isolation; $setup$before$call; ROLLBACK;" if $mode < 0.8;
	return "BEGIN; $setup${before}SAVEPOINT a; $call; ROLLBACK TO a; $call; ROLLBACK;" if $mode < 0.85;
	return "BEGIN; DECLARE c SCROLL CURSOR FOR $call; FETCH 3 FROM c; $before FETCH BACKWARD 2 FROM c; MOVE ALL IN c; ROLLBACK;" if $mode < 0.92;
	return "EXPLAIN $call;" if $mode < 0.95;
	return "SET ROLE fuzz_nobody; $call; RESET ROLE;";
}

# Runs the statements in one session, and looks at how it ended.
sub assault
{
	my ($name, @statements) = @_;
	my $script = "\\o /dev/null\n\\set VERBOSITY verbose\nSET statement_timeout = '20s';\nSET client_min_messages = error;\n\\o\nSELECT pg_backend_pid();\n\\o /dev/null\n";
	my ($i, $stdout, $stderr, $start) = (0, undef, undef, time);

	$script .= (++$i % 100 == 0 ? "SELECT fuzz.reset();\n" : '') . "$_\n" for @statements;
	$script .= "ROLLBACK;\nRESET ROLE;\nSELECT fuzz.reset();\n\\o\nSELECT pg_backend_pid();\n";
	my $status = $node->psql('postgres', $script, stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
	my $seconds = sprintf '%.1f', time - $start;
	my %errors;
	$errors{$1}++ while $stderr =~ /^psql:<stdin>:\d+: ERROR:  (\w{5}):/mg;
	my @internal = $stderr =~ /^(psql:<stdin>:\d+: ERROR:  (?:XX\w{3}|57014): .*)$/mg;
	my @lines = split /\n/, $script;
	my $ok = $status == 0 && $stdout =~ /^(\d+)\n\1$/ && !@internal;

	note "$name, $seconds s: " . join ', ', map { "$_ $errors{$_}" } sort { $errors{$b} <=> $errors{$a} } keys %errors;
	ok($ok, scalar(@statements) . " times $name");
	if (!$ok)
	{
		diag "BRAIN_FUZZ_SEED=$seed BRAIN_FUZZ_ONLY='^$name\$': psql $status, pids $stdout";
		diag "$_\n\t" . substr($lines[ (/:(\d+):/)[0] - 1 ], 0, 1000) for @internal[ 0 .. ($#internal > 9 ? 9 : $#internal) ];
		diag substr($stderr, -2000) if $status;
	}
	return $status;
}

# ---- functions ---------------------------------------------------------------

note "BRAIN_FUZZ_SEED=$seed";
my @functions = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT p.oid::regprocedure, p.proname, p.pronargdefaults, p.prorettype::regtype, array_to_string(p.proargnames, ';'),
	(SELECT string_agg(t::regtype::text, ';' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, i))
  FROM pg_proc p WHERE p.pronamespace = 'brain'::regnamespace ORDER BY p.oid::regprocedure::text COLLATE "C"
SQL
cmp_ok(scalar @functions, '>=', 30, 'functions: ' . @functions);

for (@functions)
{
	my ($signature, $name, $defaults, $returns, $names, $types) = split /\|/;
	my $function = { name => $name, defaults => $defaults, names => [ split /;/, $names ], types => [ split /;/, $types // '' ] };

	next if $signature !~ /(?:)$only/;
	srand($seed);
	if ($returns eq 'trigger')
	{
		assault($signature, map { statement(call_of_trigger($function), 1) } 1 .. $calls);
	}
	elsif ($returns eq 'event_trigger')
	{
		assault($signature, map { statement(call_of_event_trigger($function), 1) } 1 .. $calls);
	}
	else
	{
		assault($signature, map { statement(call_of_function($function)) } 1 .. $calls);
	}
}

# ---- settings ----------------------------------------------------------------

# Values of every kind, then a search that they may concern.
sub setting
{
	my ($name, $values) = @_;
	my $value = rand() < 0.3 ? pick(@$values) : rand() < 0.5 ? pick(qw(0 1 -1 64 65 1kB 2MB 0.5 1e9 16GB 1TB on off true yes NULL DEFAULT)) : undef;
	my $text = $value && $value =~ /^(?:NULL|DEFAULT)$/ ? $value : $value ? text($value) : word();
	my $set = pick(
		"SET $name = $text", "SET LOCAL $name = $text", "SELECT set_config('$name', " . ($text eq 'DEFAULT' ? 'NULL' : $text) . ', ' . pick('true', 'false') . ')',
		"ALTER ROLE fuzz_nobody SET $name = $text", "SET ROLE fuzz_nobody; SET $name = $text; RESET ROLE", "RESET $name", "SHOW $name",
		"ALTER FUNCTION fuzz.reset() SET $name = $text");
	my $use = pick(q{SELECT FROM brain.sort_by_similarity('fuzz.images', ARRAY[1, 2, 3]::real[], brain_key => 'col')},
		q{SELECT FROM brain.sort_by_similarity('fuzz.images', ARRAY[[1, 2], [3, 4]]::real[], brain_key => 'other')},
		q{SELECT FROM brain.compute_similarity('fuzz.texts', 'col', overwrite => true)}, q{SELECT FROM brain.sync('fuzz.images')},
		q{SELECT FROM brain.sort_by_similarity('fuzz.parts', 3)});

	return "BEGIN; $set; $use; ROLLBACK;" if rand() < 0.5;
	return "$set; $use; RESET $name; ALTER FUNCTION fuzz.reset() RESET ALL;";
}

my @settings = split /\n/, $node->safe_psql('postgres', <<'SQL');
LOAD 'milvus_brain';
SELECT name, coalesce(array_to_string(enumvals, ';'), boot_val || ';' || coalesce(min_val, '') || ';' || coalesce(max_val, ''), '')
  FROM pg_settings WHERE name LIKE 'brain.%' AND name NOT IN ('brain.mutate', 'brain.fault_point') ORDER BY name COLLATE "C"
SQL
cmp_ok(scalar @settings, '>=', 5, 'settings: ' . @settings);

for (@settings)
{
	my ($name, $values) = split /\|/;

	next if $name !~ /(?:)$only/;
	srand($seed);
	assault($name, map { setting($name, [ grep { $_ ne '' } split /;/, $values ]) } 1 .. $calls);
}

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC:|TRAP:/, 'no server process crashed');

done_testing();
