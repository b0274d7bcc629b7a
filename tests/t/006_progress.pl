# compute_similarity() over much data must not be silent: brain.progress shows
# it to other sessions, growing, for as long as it runs, and the caller gets a
# NOTICE at most every two seconds; short calls say nothing. Nested commands and
# subtransactions, which wipe what a session reports, must not take it away.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "log_min_messages = notice\nlog_line_prefix = '%n %a '\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION milvus_brain;
	CREATE ROLE owner LOGIN; CREATE ROLE reader LOGIN;
	GRANT CREATE ON SCHEMA public TO owner;
	SET ROLE owner;
	CREATE TABLE big (id int PRIMARY KEY, embedding real[]);
	INSERT INTO big SELECT i, ARRAY[i % 7 + 1, i % 11, i % 13, i % 17, 1, 2, 3, 4] FROM generate_series(1, 300000) i;
	ANALYZE big;
	CREATE TABLE small (id int PRIMARY KEY, embedding real[]);
	INSERT INTO small SELECT * FROM big WHERE id <= 12800;
	-- an embedding that takes its time; STABLE, so that it is only computed where it is read
	CREATE FUNCTION slowly(id int, embedding real[]) RETURNS real[] LANGUAGE plpgsql STABLE AS $$
		BEGIN
			IF id % 256 = 0 THEN PERFORM pg_sleep(0.1); END IF;
			RETURN embedding;
		END $$;
	CREATE FUNCTION slowly_with_errors(id int, embedding real[]) RETURNS real[] LANGUAGE plpgsql STABLE AS $$
		BEGIN
			IF id % 256 = 0 THEN PERFORM pg_sleep(0.05); END IF;
			IF id % 100 = 0 THEN
				BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END;
			END IF;
			RETURN embedding;
		END $$;
	CREATE VIEW slow AS SELECT id, slowly(id, embedding) AS embedding FROM small;
	CREATE VIEW slow_with_errors AS SELECT id, slowly_with_errors(id, embedding) AS embedding FROM small;
});
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION milvus_brain');

my $progress = 'SELECT samples, command, phase, samples_done, samples_total, datname FROM brain.progress';

# Start a call in a session of its own; then what a query says while it runs.
sub watch
{
	my ($call, $query, $pause) = @_;
	my $worker = $node->background_psql('postgres', extra_params => [ '-U', 'owner' ]);
	my $watcher = $node->background_psql('postgres');
	my @seen;
	$worker->query_until(qr/started/, "\\echo started\n$call;\n\\echo ended\n");
	my $deadline = time + 60;
	while (time < $deadline && $worker->{stdout} !~ /ended/)
	{
		push @seen, scalar $watcher->query($query);
		usleep($pause);
		$worker->{run}->pump_nb;
	}
	$watcher->quit;
	my ($out, $err) = ($worker->{stdout}, $worker->{stderr});
	$worker->quit;
	return ($out, $err, @seen);
}

# ---------- a table ----------

{
	my ($out, $err, @seen) = watch(q{SELECT indexed FROM brain.compute_similarity('big', 'col')}, $progress, 2000);
	like($out, qr/300000/, 'a big table is computed');
	my @rows = grep { $_ ne '' } @seen;
	cmp_ok(scalar @rows, '>=', 1, 'another session sees it') or diag("seen: @seen");
	is(scalar(grep { !/^big\|compute_similarity\|(reading embeddings|recording)\|\d+\|300000\|postgres$/ } @rows), 0, 'with table, command, phase, counts and database')
	  or diag(join "\n", @rows);
	is($node->safe_psql('postgres', $progress), '', 'nothing is left when it is over');
}

# ---------- a slow view: growing, and NOTICEs ----------

{
	my $start = -s $node->logfile;
	my ($out, $err, @seen) = watch(q{SELECT indexed FROM brain.compute_similarity('slow', 'col', id_field => 'id')}, $progress, 50_000);
	like($out, qr/12800/, 'a slow view is computed');
	my @done = map { /^slow\|compute_similarity\|reading embeddings\|(\d+)\|\|postgres$/ ? $1 : () } @seen;
	cmp_ok(scalar @done, '>', 5, 'another session sees it all the time, without a total');
	is("@done", join(' ', sort { $a <=> $b } @done), 'growing');
	cmp_ok((grep { $_ > 1000 && $_ < 11000 } @done), '>', 3, 'in steps');
	cmp_ok($done[-1], '>', 11000, 'up to the end');

	my @notices = $err =~ /^(?:psql:\S+ )?NOTICE:  (.*)$/mg;
	cmp_ok(scalar @notices, '>=', 2, 'NOTICEs, of some five seconds') or diag($err);
	is(scalar(grep { !/^compute_similarity: \d+ samples read, \d+ a second$/ } @notices), 0, 'that say how far it is, and how fast') or diag($err);
	# the times that the server logged
	my @times = slurp_file($node->logfile, $start) =~ /^([\d.]+) \S+ NOTICE:  compute_similarity/mg;
	is(scalar @times, scalar @notices, 'each was logged');
	is(scalar(grep { $times[$_] - $times[ $_ - 1 ] < 1.99 } 1 .. $#times), 0, 'two seconds apart') or diag("@times");

	(undef, $err) = watch(q{SET client_min_messages = warning; SELECT indexed FROM brain.compute_similarity('slow', 'col', id_field => 'id', overwrite => true)}, 'SELECT 1', 100_000);
	is($err =~ s/^.*background_psql.*$//mgr =~ s/\s+//gr, '', 'who wants no NOTICEs gets none');
	my ($rc, $stdout, $stderr) = $node->psql('postgres', q{SELECT brain.compute_similarity('small', 'col')});
	is($stderr, '', 'a short call says nothing');
}

# ---------- how fast, and how long ----------

{
	$node->safe_psql('postgres', q{SET ROLE owner; ANALYZE small;
		CREATE FUNCTION slowly_true(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
			BEGIN
				IF id % 256 = 0 THEN PERFORM pg_sleep(0.1); END IF;
				RETURN true;
			END $$});
	my ($out, $err, @seen) = watch(q{SELECT indexed FROM brain.compute_similarity('small', 'timed', filter => 'slowly_true(id)')},
		q{SELECT samples_done, samples_total, samples_per_second, extract(epoch FROM time_left) FROM brain.progress WHERE phase = 'reading embeddings' AND samples_done > 1000}, 50_000);
	my @rows = map { [ split /\|/ ] } grep { /\|/ } @seen;
	cmp_ok(scalar @rows, '>', 5, 'another session sees how fast it is');
	is(scalar(grep { $_->[1] != 12800 || $_->[2] < 1 || abs($_->[3] - ($_->[1] - $_->[0]) / $_->[2]) > 1 } @rows), 0, 'and how long it will take') or diag(join "\n", @seen);
	like($err, qr/NOTICE:  compute_similarity: \d+ of about 12800 samples read, \d+ a second, \d+ s left$/m, 'so does who waits');
}

# ---------- wiped, and there again ----------

{
	my ($out, $err, @seen) = watch(q{SELECT indexed FROM brain.compute_similarity('slow_with_errors', 'col', id_field => 'id')}, $progress, 20_000);
	like($out, qr/12800/, 'a view with subtransactions that are rolled back');
	my $n = grep { /reading embeddings/ } @seen;
	cmp_ok($n, '>', @seen / 2, 'another session sees it most of the time') or diag("$n of " . scalar @seen);
}

# ---------- who sees it ----------

{
	my $worker = $node->background_psql('postgres', extra_params => [ '-U', 'owner' ]);
	$worker->query_until(qr/started/, "\\echo started\nSELECT brain.compute_similarity('slow', 'col', id_field => 'id', overwrite => true);\n\\echo ended\n");
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM brain.progress WHERE phase = 'reading embeddings')});
	my $count = 'SELECT count(*) FROM brain.progress';
	is($node->safe_psql('postgres', $count), '1', 'a superuser');
	is($node->safe_psql('postgres', $count, extra_params => [ '-U', 'owner' ]), '1', 'the same role');
	is($node->safe_psql('postgres', $count, extra_params => [ '-U', 'reader' ]), '0', 'not another one');
	$node->safe_psql('postgres', 'GRANT pg_read_all_stats TO reader');
	is($node->safe_psql('postgres', $count, extra_params => [ '-U', 'reader' ]), '1', 'unless it may read all statistics');
	is($node->safe_psql('other', q{SELECT samples IS NULL, datname, phase FROM brain.progress}), 't|postgres|reading embeddings', 'from another database: which one, not which table');
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM brain.progress');
	$node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM brain.progress)');
	is($node->safe_psql('postgres', $count), '0', 'terminated: it is gone');
	$worker->{run}->finish;
}
is($node->safe_psql('postgres', q{COPY small TO '/dev/null'; SELECT count(*) FROM brain.progress}), '0', 'a COPY is none of ours');

$node->stop;
done_testing();
