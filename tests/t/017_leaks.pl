# Guards against: a session that grows. Each function is called 10,000 times (what
# takes longer, a part of that), as it should be and with an error, in plpgsql
# loops and in statements of their own; what the backend has of memory, open files
# and mappings afterwards is what it had after the first tenth of the calls.
#
# BRAIN_LEAK_CALLS=100000 is for running it by hand; BRAIN_LEAK_ONLY, a pattern,
# chooses calls.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use List::Util qw(max min);
use Test::More;
use Time::HiRes qw(time);

my $calls = $ENV{BRAIN_LEAK_CALLS} // 10000;
my $only = $ENV{BRAIN_LEAK_ONLY} // '';

# The pages of shared memory that a session has touched count as its own: few.
my $node = PostgreSQL::Test::Cluster->new('leaks');
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->append_conf('postgresql.conf', <<'CONF');
shared_buffers = 2MB
log_min_error_statement = panic
log_min_messages = fatal
CONF
$node->start;

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION milvus_brain;
CREATE SCHEMA leak;
CREATE TABLE leak.images (id int PRIMARY KEY, label text, embedding real[]);
CREATE TABLE leak.parts (id text PRIMARY KEY, embedding float8[]) PARTITION BY HASH (id);
CREATE TABLE leak.part0 PARTITION OF leak.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE leak.part1 PARTITION OF leak.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE leak.hand (id int PRIMARY KEY);
CREATE TABLE leak.computed (id int PRIMARY KEY, embedding real[]);
CREATE TABLE leak.bad (id int PRIMARY KEY, embedding real[]);
CREATE TABLE leak.written (id int PRIMARY KEY, embedding real[]);
CREATE VIEW leak.view AS SELECT * FROM leak.images;
CREATE SEQUENCE leak.count;
INSERT INTO leak.images SELECT i, 'l', ARRAY[cos(i), sin(i), 1] FROM generate_series(1, 50) i;
INSERT INTO leak.parts SELECT 'p' || i, ARRAY[cos(i), sin(i)] FROM generate_series(1, 50) i;
INSERT INTO leak.hand SELECT generate_series(1, 20);
INSERT INTO leak.computed SELECT i, ARRAY[cos(i), sin(i)] FROM generate_series(1, 20) i;
INSERT INTO leak.bad SELECT i, CASE i WHEN 20 THEN ARRAY[1] ELSE ARRAY[cos(i), sin(i)] END FROM generate_series(1, 20) i;
INSERT INTO leak.written SELECT i, ARRAY[cos(i), sin(i)] FROM generate_series(1, 20) i;
SELECT brain.compute_similarity('leak.images', 'key');
SELECT brain.compute_similarity('leak.images', 'filtered', filter => 'id > 10');
SELECT brain.compute_similarity('leak.parts', 'key', metric => 'euclidean');
SELECT brain.compute_similarity('leak.view', 'key', id_field => 'id');
SELECT brain.compute_similarity('leak.hand', 'key', with_data => false);
SELECT brain.add_to_index('leak.hand', 'key', 1, ARRAY[1, 2]::real[]);
SELECT brain.compute_similarity('leak.written', 'key');
SQL

# ---- the calls -----------------------------------------------------------------

# What is called, divided by so much of the calls: one statement or several that
# work, one that fails. A function without parameters has only one. What is called
# last makes the state the same that later calls find.
my $search = "brain.sort_by_similarity('leak.images', '[1,2,3]', brain_key => 'key'";
my $anew = "SELECT brain.compute_similarity('leak.parts', 'key', metric => 'euclidean', overwrite => true); SELECT count(*) FROM brain.sweep(); SELECT count(*) FROM brain.sort_by_similarity('leak.parts', 'p2')";
my @all = (
	[ 'compute_similarity', 10, "SELECT brain.compute_similarity('leak.computed', 'key', overwrite => true)", "SELECT brain.compute_similarity('leak.computed', 'other', metric => 'odd')" ],
	[ 'compute_similarity, with a bad row', 5, undef, "SELECT brain.compute_similarity('leak.bad', 'key')" ],
	[ 'compute_similarity, of a view', 5, "SELECT brain.compute_similarity('leak.view', 'again', id_field => 'id', overwrite => true)", "SELECT brain.compute_similarity('leak.view', 'again', id_field => 'nothing')" ],
	[ 'sort_by_similarity, text', 1, "SELECT count(*) FROM $search)", "SELECT brain.sort_by_similarity('leak.images', '[1,2]', brain_key => 'key')" ],
	[ 'sort_by_similarity, id', 1, "SELECT count(*) FROM brain.sort_by_similarity('leak.images', 7, brain_key => 'key')", "SELECT brain.sort_by_similarity('leak.images', 7777, brain_key => 'key')" ],
	[ 'sort_by_similarity, vectors', 1, "SELECT count(*) FROM brain.sort_by_similarity('leak.parts', ARRAY[[1,2],[3,4],[5,6]]::real[])", "SELECT brain.sort_by_similarity('leak.parts', ARRAY[[1,2],[3,'NaN']]::real[])" ],
	[ 'sort_by_similarity, filter', 1, "SELECT count(*) FROM $search, filter => 'id > 5', k => 3)", "SELECT brain.sort_by_similarity('leak.images', '[1,2,3]', brain_key => 'key', filter => '1 / (id - 9) > 0', k => NULL)" ],
	[ 'sort_by_similarity, view', 1, "SELECT count(*) FROM brain.sort_by_similarity('leak.view', 3, brain_key => 'key')", "SELECT brain.sort_by_similarity('leak.view', 3, brain_key => 'no')" ],
	[ 'similar_samples, text', 2, "SELECT count(*) FROM brain.similar_samples(NULL::leak.parts, 'p5')", "SELECT brain.similar_samples(NULL::leak.parts, 'none')" ],
	[ 'similar_samples, vector', 1, "SELECT count(*) FROM brain.similar_samples(NULL::leak.images, ARRAY[1,2,3]::real[], brain_key => 'filtered')", "SELECT brain.similar_samples(NULL::leak.images, ARRAY[1]::real[], brain_key => 'filtered')" ],
	[ 'neighbors', 2, "SELECT count(*) FROM brain.neighbors('leak.parts', 'key', 3)", "SELECT brain.neighbors('leak.parts', 'key', -1)" ],
	[ 'explain_similarity', 2, "SELECT count(*) FROM brain.explain_similarity('leak.images', 7, brain_key => 'key')", "SELECT brain.explain_similarity('leak.images', 7777, brain_key => 'key')" ],
	[ 'health', 10, q{SELECT problem FROM brain.health(NULL, '{"uri": "http://127.0.0.1:9"}')}, "SELECT brain.health('none')" ],
	[ 'milvus_fdw_validator', 1, "SELECT brain.milvus_fdw_validator('{uri=http://localhost}', 'pg_foreign_server'::regclass)", "SELECT brain.milvus_fdw_validator('{odd=1}', 'pg_foreign_server'::regclass)" ],
	[ 'last_search', 1, 'SELECT brain.last_search()' ],
	[ 'get_embeddings, all', 1, "SELECT count(*) FROM brain.get_embeddings('leak.images', 'key')", "SELECT brain.get_embeddings('leak.images', 'none')" ],
	[ 'get_embeddings, ids', 1, "SELECT count(*) FROM brain.get_embeddings('leak.images', 'key', ARRAY[3,4,9999])", "SELECT brain.get_embeddings('leak.images', 'key', ARRAY[3,9999], allow_missing => false)" ],
	[ 'add_to_index', 2, "SELECT brain.add_to_index('leak.hand', 'key', 1 + nextval('leak.count')::int % 20, '{1,2}'::real[])", "SELECT brain.add_to_index('leak.hand', 'key', 1, '{1,2,3}'::real[])" ],
	[ 'remove_from_index', 2, "SELECT brain.remove_from_index('leak.hand', 'key', 1 + nextval('leak.count')::int % 20)", "SELECT brain.remove_from_index('leak.hand', 'key', 'x'::text)" ],
	[ '_visible_runs', 1, 'SELECT count(*) FROM brain.runs' ],
	[ '_metric_name', 1, "SELECT brain._metric_name('ip')" ],
	[ 'list_brain_runs', 1, "SELECT count(*) FROM brain.list_brain_runs('leak.images')", "SELECT brain.list_brain_runs('leak.none')" ],
	[ 'has_brain_run', 1, "SELECT brain.has_brain_run('leak.images', 'none')", "SELECT brain.has_brain_run('leak.none', 'none')" ],
	[ 'get_brain_info, _no_such_run, _run_config', 5, "SELECT brain.get_brain_info('leak.images', 'key')", "SELECT brain.get_brain_info('leak.images', 'none')" ],
	[ 'load_brain_results', 1, "SELECT brain.load_brain_results('leak.images', 'key')", "SELECT brain.load_brain_results('leak.images', 'none')" ],
	[ 'rename_brain_run', 4, "SELECT brain.rename_brain_run('leak.images', 'filtered', 'x'); SELECT brain.rename_brain_run('leak.images', 'x', 'filtered')", "SELECT brain.rename_brain_run('leak.images', 'key', 'filtered')" ],
	[ 'delete_brain_run', 10, "SELECT brain.compute_similarity('leak.computed', 'gone'); SELECT brain.delete_brain_run('leak.computed', 'gone')", "SELECT brain.delete_brain_run('leak.images', 'none')" ],
	[ 'delete_index', 10, "SELECT brain.compute_similarity('leak.computed', 'gone'); SELECT brain.delete_index('leak.computed', 'gone')", "SELECT brain.delete_index('leak.images', 'none')" ],
	[ 'delete_brain_runs, cleanup', 10, "SELECT brain.compute_similarity('leak.computed', 'gone'); SELECT brain.cleanup('leak.computed', 'gone'); SELECT brain.delete_brain_runs('leak.computed')", "SELECT brain.cleanup('leak.images', 'none')" ],
	[ '_track_changes', 2, "UPDATE leak.written SET embedding = ARRAY[random(), 1] WHERE id = 1 + nextval('leak.count') % 20", 'SELECT brain._track_changes()' ],
	[ '_track_embeddings', 2, "UPDATE brain.embeddings SET embedding = ARRAY[random(), 1]", 'SELECT brain._track_embeddings()' ],
	[ '_track_truncate', 10, "TRUNCATE leak.written", 'SELECT brain._track_truncate()' ],
	[ 'sync, a segment', 10, "UPDATE leak.parts SET embedding = ARRAY[random(), 1] WHERE id = 'p1'; SELECT count(*) FROM brain.sync('leak.parts')", "SELECT brain.sync('leak.parts', 'none')", $anew ],
	[ 'sync and a search', 10, "UPDATE leak.parts SET embedding = ARRAY[random(), 1] WHERE id = 'p2'; SELECT count(*) FROM brain.sync('leak.parts'); SELECT count(*) FROM brain.sort_by_similarity('leak.parts', 'p2')", undef, $anew ],
	[ 'sync, nothing to do', 2, "SELECT count(*) FROM brain.sync('leak.images')" ],
	[ '_sync_status', 5, 'SELECT count(*) FROM brain.sync_status' ],
	[ 'sweep', 2, 'SELECT count(*) FROM brain.sweep()' ],
	[ 'capabilities', 1, 'SELECT brain.capabilities()' ],
	[ 'version', 1, 'SELECT brain.version()' ],
	[ '_on_ddl_start, _on_ddl_end', 5, 'ALTER TABLE leak.images ALTER label SET STORAGE extended', 'ALTER TABLE leak.images ALTER nothing SET STORAGE extended' ],
	[ '_on_drop', 5, 'CREATE VIEW leak.dropped AS SELECT 1; DROP VIEW leak.dropped', 'DROP VIEW leak.dropped' ],
	# the server itself keeps a kB for every table that is dropped
	[ '_on_drop, of a run', 100, "CREATE TABLE leak.dropped (id int PRIMARY KEY, embedding real[]); SELECT brain.compute_similarity('leak.dropped', 'key'); DROP TABLE leak.dropped", 'DROP TABLE leak.dropped' ],
	[ '_search_support', 1, "EXPLAIN SELECT $search)", "EXPLAIN SELECT $search, k => 'x')" ]);

sub in_loop
{
	my ($n, $sql, $fails) = @_;

	$sql =~ s/(?:^|; )\KSELECT /PERFORM /g;
	$sql =~ s/^(EXPLAIN .*)/EXECUTE \$x\$$1\$x\$/;
	$sql = "BEGIN $sql; ASSERT false; EXCEPTION WHEN assert_failure THEN RAISE; WHEN OTHERS THEN NULL; END" if $fails;
	return "DO \$\$ BEGIN FOR i IN 1 .. $n LOOP $sql; END LOOP; END \$\$;\n";
}

# Loops are of one length, however many calls there are: a transaction's memory
# stays with the process, and is no leak.
sub script
{
	my ($n, $per_loop, $good, $wrong) = @_;
	my $loops = $n / 2 / $per_loop;
	my $script = '';

	for ([ $good, 0 ], [ $wrong, 1 ])
	{
		my ($sql, $fails) = @$_;
		next if !defined $sql;
		$script .= in_loop($per_loop, $sql, $fails) x $loops . ($sql =~ s/; /;\n/gr . ";\n") x int($n / 2);
	}
	return $script;
}

# What psql's session has, by psql's own shell. Left out: what the server keeps
# open of tables, and mappings without a name, which are the heap's.
my $state = <<'PSQL' =~ s/\n(?=\S)/ /gr;
\! grep VmRSS /proc/$BACKEND/status;
ls -l /proc/$BACKEND/fd | sed -nE "/ -> .*\/(base|global|pg_wal|pg_xact)\//!s/.* -> /file /p";
sed -nE "s/^.* (\/)/map \1/p" /proc/$BACKEND/maps; echo end

PSQL
# generations differ
sub state { return map { s/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/uuid/gr =~ s/:\[\d+\]/:/gr } sort split /\n/, $_[0]; }

for (@all)
{
	my ($name, $divisor, $good, $wrong, $settle) = @$_;
	my $per_loop = min(1000, max(1, int($calls / $divisor / 20)));
	my $n = 20 * $per_loop * max(1, int($calls / $divisor / 20 / $per_loop));
	my ($stdout, $stderr, $start) = ('', '', time);

	next if $name !~ /(?:)$only/;
	$settle = $settle ? "$settle;\n" : '';
	my $status = $node->psql('postgres', "SELECT pg_backend_pid() AS pid \\gset\n\\setenv BACKEND :pid\nSET client_min_messages = error;\n\\o /dev/null\n"
		. script($n / 10, $per_loop, $good, $wrong) . $settle . $state . script($n, $per_loop, $good, $wrong) . $settle . $state,
		stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
	my $errors = () = $stderr =~ /ERROR: /g;
	my $expected = $wrong ? $n / 20 + $n / 2 : 0;
	my ($before, $after) = map { [ state($_) ] } split /^end\n/m, $stdout;
	my ($growth) = map { $_->[1] - $_->[0] } [ map { /VmRSS:\s+(\d+)/ } @$before, @$after ];
	my %count;
	$count{$_}-- for grep { /^(?:file|map)/ } @$before;
	$count{$_}++ for grep { /^(?:file|map)/ } @$after;
	my @changed = map { sprintf '%+d %s', $count{$_}, $_ } grep { $count{$_} } sort keys %count;

	ok($status == 0 && $errors == $expected && $growth < 2048 && !@changed, sprintf '%s: %d calls, %+d kB (%.1f s)',
		$name, $n * ($good && $wrong ? 2 : 1), $growth, time - $start)
		or diag "status $status, $errors errors of $expected\n", join("\n", @changed), "\n", substr($stderr, -1000);
}

# ---- is every function among them? --------------------------------------------

my $names = join "\n", map { $_->[0] } @all;
my @missing = grep { $names !~ /\b\Q$_\E\b/ } split /\n/,
	$node->safe_psql('postgres', q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'brain'::regnamespace});
is("@missing", '', 'every function was called');

$node->stop;
done_testing();
