# A build does not stop writers: it reads without a lock, and only for the moment
# in which the triggers are made does anybody wait. That moment does not come
# while another transaction has written and not ended: the build tries again and
# again, lets those who come later pass, and gives up after a while with nothing
# left behind.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\n");
$node->start;
$ENV{PGOPTIONS} = '-c client_min_messages=warning';

# 1,000 numbers of arbitrary precision a row: reading them takes a while, to see
# which rows there are does not. The first is a whole number, the others are 0, so
# it is the distance to the zero vector.
$node->safe_psql('postgres', q{
	CREATE EXTENSION milvus_brain;
	CREATE TABLE t (id int PRIMARY KEY, label text, embedding numeric[]);
	INSERT INTO t SELECT i, 'label', ARRAY[i + 10.0] || zeros FROM generate_series(1, 40000) i, (SELECT array_fill(0.0, ARRAY[999])) AS z (zeros);
	CREATE SEQUENCE ids START 100000;
	CREATE FUNCTION see(OUT answer text) LANGUAGE plpgsql STABLE AS $$
	DECLARE
		zero real[] := array_fill(0, ARRAY[1000]);
		rows text[] := (SELECT array_agg(id || '=' || embedding[1]::float8 ORDER BY embedding[1], id::text COLLATE "C") FROM t);
		ranked text[] := (SELECT array_agg(sample_id || '=' || distance ORDER BY rank) FROM brain.sort_by_similarity('t', zero, k => NULL, brain_key => 'key'));
	BEGIN
		answer := CASE WHEN rows = ranked THEN 'right' ELSE format('WRONG: %s of %s', cardinality(ranked), cardinality(rows)) END;
	END $$});

sub start
{
	my ($statement) = @_;
	my %job = (out => '', err => '');
	$job{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c', $statement ],
		'>', \$job{out}, '2>', \$job{err});
	return \%job;
}

# Writers of all kinds, one after the other, until the job is done: how many
# there were, and how long the slowest one took.
sub write_beside
{
	my ($job, $seconds) = @_;
	my ($n, $slowest, $until) = (0, 0, time + $seconds);
	while ($job->{run}->pumpable && time < $until)
	{
		my $start = time;
		$node->safe_psql('postgres', q{
			INSERT INTO t SELECT i, 'beside', ARRAY[i % 7] || array_fill(0.0, ARRAY[999]) FROM nextval('ids') i;
			UPDATE t SET embedding[1] = embedding[1] + 0.5 WHERE id = (SELECT 10 + last_value % 300 FROM ids);
			DELETE FROM t WHERE id = (SELECT 400 + last_value % 100 FROM ids)});
		$slowest = time - $start if time - $start > $slowest;
		$n++;
		$job->{run}->pump_nb;
	}
	note("$n writers, the slowest took $slowest s");
	return ($n, $slowest);
}

my $compute = q{SELECT brain_key FROM brain.compute_similarity('t', 'key', metric => 'euclidean', overwrite => true)};
for my $round ('the first build', 'a build beside a run')
{
	my $start = time;
	my $job = start($compute);
	my ($n, $slowest) = write_beside($job, 60);
	$job->{run}->finish;
	my $seconds = time - $start;
	is("$job->{out}$job->{err}", "key\n", "$round");
	cmp_ok($seconds, '>', 1, "$round: premise: it takes a while");
	cmp_ok($n, '>', 5, "$round: writers pass");
	cmp_ok($slowest, '<', $seconds / 2, "$round: none of them waits for its end");
	$node->safe_psql('postgres', q{UPDATE t SET label = 'x', embedding[1] = 3 WHERE id = 100});
	is($node->safe_psql('postgres', 'SELECT see()'), 'right', "$round: nothing is lost");
}
# a sync that builds
$node->safe_psql('postgres', q{ALTER TABLE t ALTER label TYPE varchar(20)});
my $sync = start(q{SELECT action FROM brain.sync('t', 'key')});
my ($n, $slowest) = write_beside($sync, 60);
$sync->{run}->finish;
is("$sync->{out}$sync->{err}", "build\n", 'a sync that builds');
cmp_ok($n, '>', 5, 'a sync that builds: writers pass');
cmp_ok($slowest, '<', 1.5, 'a sync that builds: none of them waits for its end');
is($node->safe_psql('postgres', 'SELECT see()'), 'right', 'a sync that builds: nothing is lost');
$node->safe_psql('postgres', q{SELECT brain.delete_brain_runs('t')});

# a transaction that has written, and ends
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; UPDATE t SET embedding[1] = 0.25 WHERE id = 1});
$compute = q{SELECT brain_key FROM brain.compute_similarity('t', 'key', metric => 'euclidean')};
my $job = start($compute);
($n, $slowest) = write_beside($job, 5);
ok($job->{run}->pumpable, 'the build waits for a writer that has not ended');
cmp_ok($n, '>', 5, 'and others pass meanwhile');
cmp_ok($slowest, '<', 1.5, 'quickly');
$writer->query_safe('COMMIT');
$job->{run}->finish;
is("$job->{out}$job->{err}", "key\n", 'it ends: the build goes on');
is($node->safe_psql('postgres', 'SELECT see()'), 'right', 'and nothing is lost');

# and one that does not
$node->safe_psql('postgres', q{SELECT brain.delete_brain_runs('t')});
$writer->query_safe(q{BEGIN; UPDATE t SET embedding[1] = 0.125 WHERE id = 1});
$job = start($compute);
($n, $slowest) = write_beside($job, 120);
$job->{run}->finish;
like($job->{err}, qr/ERROR:  55P03: /, 'the build gives up');
like($job->{err}, qr/HINT: /, 'and says what to do');
cmp_ok($slowest, '<', 1.5, 'others pass all the while');
is($node->safe_psql('postgres', q{SELECT count(*) FROM brain._runs}), '0', 'no run is left');
# those of a run that was overwritten beside writers stay until then
$node->safe_psql('postgres', 'SELECT brain.sweep()');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass}), '0', 'no trigger');
is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.changes}), '0', 'no log row');
my @files = glob($node->data_dir . '/pgsql_tmp_milvus_brain/*');
is(scalar @files, 0, 'no file') or diag(join ' ', @files);
$writer->query_safe('COMMIT');
$writer->quit;
is($node->safe_psql('postgres', $compute), 'key', 'afterwards it works');
is($node->safe_psql('postgres', 'SELECT see()'), 'right', 'and is right');

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|deadlock detected/, 'no crash, no deadlock');
done_testing();
