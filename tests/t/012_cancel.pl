# Guards against: work that does not hear pg_cancel_backend() or statement_timeout,
# or leaves something behind when it does. At 20 random moments of each phase of
# each long call, cancelled and timed out: it ends within 50 ms, and all is as it
# was. The worst is printed; a phase that is not hit 20 times is a failure.
#
# The time that passes is taken inside the server: from pg_cancel_backend(), or
# from when the timeout was due, until the session is idle, so that no client's
# speed counts; less the time that the session waited for a processor, which on
# a busy machine is not ours (Linux counts it in /proc/PID/schedstat).

use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $limit = 50;       # ms
my $moments = 20;     # of each phase, of each kind
my $rows = 300_000;
my $seed = time;    # to repeat a run's moments, write its seed here

note("seed $seed");
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('cancel');
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->append_conf('postgresql.conf', <<'CONF');
log_min_messages = log
autovacuum = off
shared_buffers = 256MB
max_wal_size = 4GB
CONF
$node->start;

# ---- datasets big enough that each phase lasts ------------------------------------

$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION milvus_brain;
CREATE SCHEMA cancel;
SELECT setseed(0.5);
CREATE TABLE cancel.t (id int PRIMARY KEY, emb real[]);
INSERT INTO cancel.t
	SELECT i, ARRAY[random(), random(), random(), random(), random(), random(), random(), random()]::real[]
	  FROM generate_series(1, $rows) i;
CREATE SEQUENCE cancel.scanned;
CREATE SEQUENCE cancel.fetched;
CREATE FUNCTION cancel.fetch(id int) RETURNS int LANGUAGE plpgsql STABLE AS
	'BEGIN PERFORM nextval(''cancel.fetched''); RETURN id; END';
CREATE VIEW cancel.v AS SELECT id, emb FROM cancel.t;
CREATE VIEW cancel.fetching AS SELECT id, emb, cancel.fetch(id) AS more FROM cancel.t;
SELECT FROM brain.compute_similarity('cancel.t', 'c');
SELECT FROM brain.compute_similarity('cancel.fetching', 'c', id_field => 'id');
-- add_to_index() is slower, and is measured below
CREATE TABLE cancel.kept (id int PRIMARY KEY);
INSERT INTO cancel.kept SELECT i FROM generate_series(1, 40000) i;
SELECT FROM brain.compute_similarity('cancel.kept', 'held', with_data => false);
INSERT INTO brain.embeddings SELECT run_id, t.id::text, t.emb
  FROM brain._runs, cancel.t WHERE dataset_name = 'kept' AND id <= 40000;
UPDATE brain._runs SET dimensions = 8 WHERE dataset_name = 'kept';

-- a few rows, and the embeddings of many that are gone
CREATE TABLE cancel.small (id int PRIMARY KEY, emb real[]);
INSERT INTO cancel.small SELECT * FROM cancel.t WHERE id < 10;
SELECT FROM brain.compute_similarity('cancel.small', 'held', with_data => false);
INSERT INTO brain.embeddings SELECT run_id, t.id::text, t.emb
  FROM brain._runs, cancel.t WHERE dataset_name = 'small' AND id <= 150000;

-- what is added and removed
CREATE TABLE cancel.written (id int PRIMARY KEY, emb real[]) WITH (fillfactor = 50);
INSERT INTO cancel.written SELECT id, emb FROM cancel.t WHERE id <= 10000;
SELECT FROM brain.compute_similarity('cancel.written', 'c');
SELECT FROM brain.compute_similarity('cancel.written', 'held', with_data => false);

-- what is synced: into a segment, and by building anew
CREATE TABLE cancel.synced (id int PRIMARY KEY, emb real[]) WITH (fillfactor = 70);
INSERT INTO cancel.synced SELECT * FROM cancel.t;
SELECT FROM brain.compute_similarity('cancel.synced', 'c');
UPDATE cancel.synced SET emb[1] = 0.5 WHERE id % 6 = 0;
CREATE TABLE cancel.rebuilt (id int PRIMARY KEY, emb real[]);
SELECT FROM brain.compute_similarity('cancel.rebuilt', 'c');
INSERT INTO cancel.rebuilt SELECT * FROM cancel.t;

-- arguments, ready made
CREATE TABLE cancel.wide (id int PRIMARY KEY, emb real[]);
INSERT INTO cancel.wide SELECT i, array_agg(sin(i * j)) FROM generate_series(1, 50) i, generate_series(1, 2000) j GROUP BY i;
SELECT FROM brain.compute_similarity('cancel.wide', 'c');
CREATE TABLE cancel.arguments (ids int[], few int[], vectors real[], wide text, numbers numeric[], wide_ids int[], many_wide_ids int[]);
ALTER TABLE cancel.arguments ALTER ids SET STORAGE EXTERNAL, ALTER wide SET STORAGE EXTERNAL, ALTER numbers SET STORAGE EXTERNAL;
INSERT INTO cancel.arguments SELECT
	(SELECT array_agg(id ORDER BY id) FROM cancel.t),
	(SELECT array_agg(id ORDER BY id) FROM cancel.written),
	(SELECT array_agg(emb ORDER BY id) FROM cancel.written),
	'[' || (SELECT string_agg(replace(replace(emb::text, '{', '['), '}', ']'), ',') FROM cancel.wide, generate_series(1, 16)) || ']',
	(SELECT array_agg(emb::numeric[]) FROM cancel.wide, generate_series(1, 16)),
	(SELECT array_agg(1 + i % 50) FROM generate_series(1, 2000) i),
	(SELECT array_agg(1 + i % 50) FROM generate_series(1, 10000) i);
VACUUM ANALYZE;
CHECKPOINT;

CREATE TABLE cancel.hits (phase text, kind text, wall float8, net float8);
CREATE FUNCTION cancel.in_phase(victim int, phase text) RETURNS boolean LANGUAGE sql AS \$\$
	SELECT CASE
		WHEN phase IN ('checking ids', 'reading embeddings', 'recording')
		THEN EXISTS (SELECT FROM brain.progress p WHERE p.pid = victim AND p.phase = in_phase.phase)
		WHEN phase = 'writing the matrix'
		THEN EXISTS (SELECT FROM brain.progress p WHERE p.pid = victim AND p.phase = 'recording')
		WHEN phase = 'sorting and returning all' THEN pg_sequence_last_value('cancel.scanned') >= $rows
		WHEN phase = 'fetching rows' THEN pg_sequence_last_value('cancel.fetched') > 0
		ELSE true END
\$\$;

-- How long a process was ready to run and did not, in ms.
CREATE FUNCTION cancel.waited(victim int) RETURNS float8 LANGUAGE sql AS \$\$
	SELECT coalesce(split_part(pg_read_file('/proc/' || victim || '/schedstat', 0, 100, true), ' ', 2)::float8 / 1e6, 0)
\$\$;

-- Watch another session, whose statements are marked: victim, then the timeout.
-- kind "time": when the phase begins and how long it lasts (ms), the medians.
-- kind "cancel": cancel at random moments of the phase. kind "timeout": look on.
CREATE FUNCTION cancel.watch(victim int, phase text, kind text, length float8, wanted int,
							 OUT begun float8, OUT lasted float8, OUT hit int) LANGUAGE plpgsql AS \$\$
DECLARE
	a record;
	now record;
	struck timestamptz;		-- when it should end
	ended timestamptz;
	entered timestamptz;
	inside boolean;
	delay float8;
	begins float8[];
	lasts float8[];
	last timestamptz = '-infinity';
BEGIN
	hit := 0;
	WHILE hit < wanted LOOP
		-- the next statement
		LOOP
			PERFORM pg_stat_clear_snapshot();
			SELECT s.state, s.query_start, s.state_change, s.query INTO a FROM pg_stat_get_activity(victim) s;
			IF NOT FOUND THEN RETURN; END IF;
			EXIT WHEN a.state = 'active' AND a.query_start > last AND a.query LIKE '%/* victim%';
			PERFORM pg_sleep(0.0003);
		END LOOP;
		last := a.query_start;
		struck := NULL;
		entered := NULL;
		IF kind = 'timeout' THEN
			struck := a.query_start + substring(a.query FROM 'victim ([0-9]+)')::int * interval '1ms';
		END IF;
		inside := false;
		LOOP
			PERFORM pg_stat_clear_snapshot();
			SELECT s.state, s.query_start, s.state_change INTO now FROM pg_stat_get_activity(victim) s;
			EXIT WHEN NOT FOUND OR now.query_start > a.query_start OR now.state <> 'active';
			IF kind = 'timeout' THEN
				IF clock_timestamp() < struck THEN
					inside := cancel.in_phase(victim, phase);
					delay := cancel.waited(victim);
				END IF;
			ELSIF cancel.in_phase(victim, phase) THEN
				entered := coalesce(entered, clock_timestamp());
				IF kind = 'cancel' AND struck IS NULL THEN
					PERFORM pg_sleep(random() * length / 1000);
					PERFORM pg_stat_clear_snapshot();
					inside := cancel.in_phase(victim, phase)
						AND (SELECT s.state = 'active' AND s.query_start = a.query_start FROM pg_stat_get_activity(victim) s);
					delay := cancel.waited(victim);
					struck := clock_timestamp();
					PERFORM pg_cancel_backend(victim);
				END IF;
			ELSIF entered IS NOT NULL AND kind = 'time' THEN
				ended := coalesce(ended, clock_timestamp());
			END IF;
			PERFORM pg_sleep(0.0003);
		END LOOP;
		-- it has ended; or even begun the next one, which comes at once
		IF kind = 'time' THEN
			ended := coalesce(ended, CASE WHEN now.query_start > a.query_start THEN now.query_start ELSE now.state_change END);
			begins := begins || (extract(epoch FROM entered - a.query_start) * 1000)::float8;
			lasts := lasts || (extract(epoch FROM ended - entered) * 1000)::float8;
			SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY b) INTO begun FROM unnest(begins) b;
			SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY l) INTO lasted FROM unnest(lasts) l;
			ended := NULL;
			hit := hit + 1;
			CONTINUE;
		END IF;
		ended := CASE WHEN now.query_start > a.query_start THEN now.query_start ELSE now.state_change END;
		CONTINUE WHEN NOT inside OR struck IS NULL OR ended < struck;
		hit := hit + 1;
		INSERT INTO cancel.hits VALUES (phase, kind, extract(epoch FROM ended - struck) * 1000,
			extract(epoch FROM ended - struck) * 1000 - (cancel.waited(victim) - delay));
	END LOOP;
END \$\$;
SQL

# ---- the phases ------------------------------------------------------------------------

my $vector = "'[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8]'";
my $probe = "'pg_catalog.nextval(''cancel.scanned'') > 0'";
my @phases = (
	[ 'checking ids' => "SELECT * FROM brain.compute_similarity('cancel.v', 'new', id_field => 'id')" ],
	[ 'reading embeddings' => "SELECT * FROM brain.compute_similarity('cancel.t', 'new')" ],
	[ 'recording' => "SELECT * FROM brain.compute_similarity('cancel.small', 'held', overwrite => true)" ],
	[ 'writing the matrix' => "SELECT * FROM brain.compute_similarity('cancel.t', 'new')" ],
	[ 'sync, segment' => "SELECT * FROM brain.sync('cancel.synced')" ],
	[ 'sync, build' => "SELECT * FROM brain.sync('cancel.rebuilt')" ],
	[ 'searching the table' => "SELECT * FROM brain.sort_by_similarity('cancel.t', $vector, k => 1, brain_key => 'c', filter => 'emb[1] < 2')", 'brain.use_matrix = off' ],
	[ 'searching the matrix' => "SELECT count(s) FROM cancel.arguments, brain.sort_by_similarity('cancel.t', few[:200], k => 1, brain_key => 'c', aggregation => 'post-min') s" ],
	[ 'searching the matrix, all' => "SELECT count(*) FROM brain.sort_by_similarity('cancel.t', $vector, k => NULL, brain_key => 'c')" ],
	[ 'neighbors' => "SELECT count(*) FROM brain.neighbors('cancel.written', 'c')" ],
	[ 'searching stored embeddings' => "SELECT * FROM brain.sort_by_similarity('cancel.kept', $vector, k => 1)" ],
	[ 'sorting and returning all' => "SELECT count(*) FROM brain.sort_by_similarity('cancel.t', $vector, k => NULL, brain_key => 'c', filter => $probe)" ],
	[ 'fetching rows' => "SELECT count(sample) FROM brain.similar_samples(NULL::cancel.fetching, $vector, k => 10000)" ],
	[ 'searching by many ids' => "SELECT count(s) FROM cancel.arguments, brain.sort_by_similarity('cancel.t', ids, k => 1, brain_key => 'c') s" ],
	[ 'many query vectors' => "SELECT count(s) FROM cancel.arguments, brain.sort_by_similarity('cancel.wide', wide_ids, k => 1, aggregation => 'post-mean') s", 'brain.use_matrix = off' ],
	[ 'get_embeddings of many ids' => "SELECT count(e) FROM cancel.arguments, brain.get_embeddings('cancel.t', 'c', ids) e" ],
	[ 'get_embeddings of wide vectors' => "SELECT count(e) FROM cancel.arguments, brain.get_embeddings('cancel.wide', 'c', many_wide_ids) e" ],
	[ 'get_embeddings of all' => "SELECT count(e) FROM brain.get_embeddings('cancel.t', 'c') e" ],
	[ 'load_brain_results' => "SELECT * FROM brain.load_brain_results('cancel.kept', 'held')" ],
	[ 'add_to_index, column' => "SELECT a FROM cancel.arguments, brain.add_to_index('cancel.written', 'c', few, vectors) a" ],
	[ 'add_to_index, stored' => "SELECT a FROM cancel.arguments, brain.add_to_index('cancel.written', 'held', few, vectors) a" ],
	[ 'remove_from_index' => "SELECT r FROM cancel.arguments, brain.remove_from_index('cancel.written', 'c', few) r" ],
	[ 'parsing text vectors' => "SELECT count(s) FROM cancel.arguments, brain.sort_by_similarity('cancel.wide', wide, k => 1) s" ],
	[ 'reading numeric vectors' => "SELECT count(s) FROM cancel.arguments, brain.sort_by_similarity('cancel.wide', numbers, k => 1) s" ],
	[ 'cleanup' => "SELECT brain.cleanup('cancel.small', 'held')" ],
	[ 'delete_brain_run' => "SELECT brain.delete_brain_run('cancel.small', 'held')" ],
	[ 'dropping the dataset' => "DROP TABLE cancel.small" ]);

# Runs a statement again and again in a session of its own, under a setting and
# each with a timeout (ms; 0: none), until it is watched enough.
sub watch
{
	my ($phase, $statement, $setting, $kind, $length, $wanted, @timeouts) = @_;

	return (0, 0, 0) if $wanted == 0;
	my $script = "SET application_name = 'victim';\n";
	my $file = "$PostgreSQL::Test::Utils::tmp_check/victim.sql";

	foreach my $timeout (@timeouts)
	{
		(my $marked = $statement) =~ s{^(SELECT|DROP TABLE) }{$1 /* victim $timeout */ };
		# the watcher is to see how it ended before the next one begins
		$script .= "SELECT setval('cancel.scanned', 1, false), setval('cancel.fetched', 1, false);\n"
		  . "BEGIN;\nSET LOCAL $setting;\nSET LOCAL statement_timeout = $timeout;\n$marked;\nROLLBACK;\nSELECT pg_sleep(0.003);\n";
	}
	unlink($file);
	append_to_file($file, $script);
	my $victim = IPC::Run::start([ 'psql', '-X', '-q', '-f', $file, '-d', $node->connstr('postgres') ], '>', '/dev/null', '2>>', "$PostgreSQL::Test::Utils::log_path/victim.log");
	my $result = $node->safe_psql('postgres', <<"SQL");
DO \$\$
BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend') LOOP
		PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
	END LOOP;
END \$\$;
SELECT pid FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend' \\gset
SELECT setseed(@{[ rand(1) ]}) \\g /dev/null
SELECT begun, lasted, hit FROM cancel.watch(:pid, '$phase', '$kind', $length, $wanted);
SELECT pg_terminate_backend(:pid, 10000) \\g /dev/null
SQL
	eval { $victim->finish };
	return split(/\|/, $result);
}

my $before = state();
my @lines;
foreach (@phases)
{
	my ($phase, $statement, $setting) = (@$_, 'brain.use_matrix = on');
	my ($longest, $cancelled, $timed_out) = (0, 0, 0);

	# How long it takes is looked at again and again: the machine may be busy.
	for (my $batch = 0; $batch < 10 && $cancelled + $timed_out < 2 * $moments; $batch++)
	{
		my ($begun, $lasted) = watch($phase, $statement, $setting, 'time', 0, 3, (0) x 4);

		next if !$lasted;
		$longest = $lasted if $lasted > $longest;
		$cancelled += (watch($phase, $statement, $setting, 'cancel', $lasted, $moments - $cancelled, (0) x (1.5 * $moments)))[2];
		$timed_out += (watch($phase, $statement, $setting, 'timeout', 0, $moments - $timed_out,
			map { int($begun + rand($lasted) + 1) } 1 .. 1.5 * $moments))[2];
	}
	if ($longest < 10)
	{
		fail("$phase: too short to be hit: $longest ms");
		next;
	}
	my $worst = $node->safe_psql('postgres',
		"SELECT round(greatest(max(net), 0)::numeric, 1), round(max(wall)::numeric, 1) FROM cancel.hits WHERE phase = '$phase' AND kind = 'cancel';"
		  . "SELECT round(greatest(max(net), 0)::numeric, 1), round(max(wall)::numeric, 1) FROM cancel.hits WHERE phase = '$phase' AND kind = 'timeout'");
	my ($cancel, $cancel_wall, $timeout, $timeout_wall) = map { $_ eq '' ? 0 : $_ } split(/[|\n]/, $worst, -1);

	push @lines, sprintf("%-30s lasts %5d ms; worst of %2d cancels %5.1f ms, of %2d timeouts %5.1f ms (by the clock %5.1f and %5.1f ms)",
		$phase, $longest, $cancelled, $cancel, $timed_out, $timeout, $cancel_wall, $timeout_wall);
	note($lines[-1]);
	is("$cancelled $timed_out", "$moments $moments", "$phase: hit at $moments moments by cancel and by timeout");
	cmp_ok($cancel, '<=', $limit, "$phase: cancel within $limit ms");
	cmp_ok($timeout, '<=', $limit, "$phase: timeout within $limit ms");
}
diag(join("\n", "ms from a cancel, or a timeout that is due, until the session is idle (seed $seed):", @lines));

# ---- nothing was left behind ---------------------------------------------------------------

is(state(), $before, 'runs, embeddings and answers are as they were');
$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:/, 'no server process crashed');

sub state
{
	return $node->safe_psql('postgres', <<"SQL");
SELECT samples, brain_key, metric, dimensions, indexed, missing, skipped, state, version, created FROM brain.runs;
SELECT run_id, count(*), sum(hashtext(sample_id || embedding::text)) FROM brain.embeddings GROUP BY 1 ORDER BY 1;
SELECT count(*), sum(hashtext(id || emb::text)) FROM cancel.written;
SELECT * FROM brain.sort_by_similarity('cancel.t', $vector, k => 5, brain_key => 'c');
SELECT * FROM brain.sort_by_similarity('cancel.kept', 7, k => 5);
SELECT count(*) FROM brain.progress;
SELECT count(*) FROM pg_stat_progress_copy;
SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid() AND locktype IN ('relation', 'object');
SQL
}

done_testing();
