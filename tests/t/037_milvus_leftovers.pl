# Guards against: a build that is cancelled, fails or is killed, and leaves a run, or
# a collection that brain.sweep() does not drop or of which nobody is told; a sweep
# that takes others; a sync that fails or is killed in the middle and loses changes,
# or has searches answered wrong until the next one. The server is t/fake_milvus.py.

use strict;
use warnings FATAL => 'all';

use FakeMilvus;
use File::Basename;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $fake = FakeMilvus->new("$PostgreSQL::Test::Utils::tmp_check/fake");
my $node = PostgreSQL::Test::Cluster->new('leftovers', install_path => dirname($ENV{BRAIN_FAULTS_BINDIR}));
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nrestart_after_crash = on\nbrain.min_server_neighbors = 0\n");
$node->start;

my $main = $fake->uri('main');
$node->safe_psql('postgres', 'CREATE DATABASE other');
foreach my $database ('postgres', 'other')
{
	# what another database has made is not to be swept
	$node->safe_psql($database, <<"SQL");
CREATE EXTENSION milvus_brain;
CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$main');
CREATE TABLE t (id int PRIMARY KEY, emb real[]);
INSERT INTO t SELECT i, ARRAY[sin(i), cos(i * 3), sin(i * 7), 0.5] FROM generate_series(1, 60) i;
SELECT FROM brain.compute_similarity('t', 'm', backend => 'milvus', server => 'm', collection_name => 'of_$database');
SELECT FROM brain.compute_similarity('t', 'e', metric => 'dotproduct');
SQL
}
my @kept = qw(of_other of_postgres);

# ---- helpers --------------------------------------------------------------------------------

sub collections { return join(' ', sort keys %{ $fake->ask('state')->{rows} }); }

# Those that are not kept.
sub left
{
	my %kept = map { $_ => 1 } @kept;
	return grep { !$kept{$_} } split(/ /, collections());
}

# What a statement said, errors and all.
sub said
{
	my (@statements) = @_;
	my ($out, $err) = ('', '');
	$node->psql('postgres', join(";\n", @statements), stdout => \$out, stderr => \$err, on_error_stop => 0);
	return "$out$err";
}

# The same of one that is cancelled once the server has begun so many of something.
sub said_when_cancelled
{
	my ($statement, $what, $n) = @_;
	my ($out, $err) = ('', '');
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . ' application_name=victim', '-c', $statement ], '<', '/dev/null', '>', \$out, '2>', \$err);
	$fake->wait_for("begun $what", $n) or die "no $what came";
	$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'});
	$psql->finish;
	return $err;
}

# What is there beside what is kept is the one collection that was told of, and is
# swept, and nothing else is.
sub is_swept
{
	my ($name, $told) = @_;
	my ($left) = left();

	is(collections(), join(' ', sort(@kept, $left // ())), "$name: what is there");
	is($told, $left, "$name: that is the one that is told") if defined $told;
	is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.list_brain_runs('t')}), 2, "$name: no run is left");
	$fake->script();
	is($node->safe_psql('postgres', q{SELECT kind || ' ' || name FROM brain.sweep() WHERE kind = 'collection'}), "collection $left", "$name: that is swept") if defined $left;
	is(collections(), join(' ', @kept), "$name: and nothing else");
	return;
}

my $hint = qr/(?<!\w)Collection "(\w+)" may be left on the Milvus server: brain\.sweep\(\) drops it\.$/m;
my $compute = q{SELECT FROM brain.compute_similarity('t', 'new', backend => 'milvus', server => 'm')};
my $cancelled = qr/ERROR:  canceling statement due to user request\n/;

# ---- builds that fail, or are cancelled --------------------------------------------------------

foreach (
	[ 'before it is created', 'HasCollection', 0 ],
	[ 'while it is created', 'CreateCollection', 1 ],
	[ 'while rows are sent', 'Insert', 1 ],
	[ 'while it is flushed', 'GetFlushState', 1 ],
	[ 'while it is loaded', 'GetLoadState', 1 ])
{
	my ($name, $method, $is_there) = @$_;

	$fake->script({ method => $method, kind => 'never', times => 0 });
	my $err = said_when_cancelled($compute, $method, 1);
	like($err, $is_there ? qr/$cancelled^HINT:  $hint/m : qr/$cancelled\z/, "cancelled $name: a HINT, if need be");
	is_swept("cancelled $name", $err =~ $hint ? $1 : undef);
}
{
	my %refused = (kind => 'code', code => 65535, done => 0);

	$fake->script({ method => 'Insert', %refused });
	my $err = said($compute);
	like($err, qr/ERROR:  Milvus server ".*" failed at Insert\n/, 'a failing Insert');
	unlike($err, qr/sweep/, 'a failing Insert, dropped: no HINT');
	is(collections(), join(' ', @kept), 'a failing Insert, dropped: nothing is left');

	$fake->script({ method => 'Insert', %refused }, { method => 'DropCollection', %refused });
	$err = said($compute);
	like($err, qr/ERROR:  Milvus server ".*" failed at Insert\nDETAIL: .*\nHINT:  The server's log may say more\. $hint/, 'a failing Insert, not dropped: a HINT');
	is_swept('a failing Insert, not dropped', $err =~ $hint ? $1 : undef);

	$fake->script({ method => 'Insert', kind => 'status', status => 12 }, { method => 'DropCollection', %refused });
	$err = said($compute);
	like($err, qr/\nHINT:  milvus_brain needs Milvus 2\.3 or newer; .*\. $hint/, 'a failing Insert with a HINT, not dropped: both');
	is_swept('a failing Insert with a HINT, not dropped', $err =~ $hint ? $1 : undef);

	$fake->script({ method => 'Insert', %refused }, { method => 'DropCollection', kind => 'never', done => 0 });
	$err = said_when_cancelled($compute, 'DropCollection', 1);
	like($err, qr/\A$cancelled^HINT:  $hint/m, 'cancelled while it is dropped: a HINT');
	is_swept('cancelled while it is dropped', $err =~ $hint ? $1 : undef);

	# nobody knows whose it is
	$fake->script({ method => 'DescribeCollection', %refused });
	$err = said($compute);
	like($err, qr/failed at DescribeCollection\nDETAIL: .*\nHINT:  The server's log may say more\. $hint/, 'a collection that cannot be looked at: a HINT');
	is($fake->count('begun DropCollection'), 0, 'a collection that cannot be looked at: is not dropped');
	is_swept('a collection that cannot be looked at', $err =~ $hint ? $1 : undef);
}
# a new base of a run that has one: its dimension is known before a row is read
{
	$node->safe_psql('postgres', q{CREATE TABLE again (LIKE t INCLUDING ALL); INSERT INTO again TABLE t;
		SELECT FROM brain.compute_similarity('again', 'a', backend => 'milvus', server => 'm', collection_name => 'of_again');
		BEGIN; TRUNCATE again; INSERT INTO again TABLE t; COMMIT});
	@kept = sort(@kept, 'of_again');
	$fake->script({ method => 'CreateCollection', kind => 'never' });
	my $err = said_when_cancelled(q{SELECT brain.sync('again', 'a')}, 'CreateCollection', 1);
	like($err, qr/$cancelled^HINT:  $hint/m, 'a new base, cancelled: a HINT');
	is_swept('a new base, cancelled', $err =~ $hint ? $1 : undef);
	is($node->safe_psql('postgres', q{SELECT action FROM brain.sync('again', 'a')}), 'build', 'a new base: the next sync makes it');
	$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('again', 'a'); SELECT brain.sweep(); DROP TABLE again});
	@kept = grep { $_ ne 'of_again' } @kept;
	is(collections(), join(' ', @kept), 'a new base: the old one is gone');
}

# ---- faults within -----------------------------------------------------------------------------

my $checkpointer = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'};
my $before_crash = $node->safe_psql('postgres', $checkpointer);

sub await_restart
{
	$node->poll_query_until('postgres', "SELECT pid <> $before_crash FROM pg_stat_activity WHERE backend_type = 'checkpointer'") or die 'the server did not begin anew';
	$before_crash = $node->safe_psql('postgres', $checkpointer);
	return;
}

foreach my $point (qw(milvus_insert milvus_flushed milvus_indexed milvus_loaded))
{
	foreach my $action (qw(error kill))
	{
		my $name = "$action at $point";

		$fake->script();
		my $err = said("SET brain.fault_point = '$point:$action'", $compute);
		like($err, $action eq 'error' ? qr/ERROR:  fault at step $point/ : qr/server closed the connection unexpectedly/, "$name: it happened");
		await_restart() if $action eq 'kill';
		is($fake->count('begun CreateCollection'), 1, "$name: a collection was made");
		is(scalar(left()), $action eq 'kill' ? 1 : 0, "$name: it is left, or dropped");
		is_swept($name);
	}
}
is($node->safe_psql('postgres', "$compute; SELECT indexed FROM brain.runs WHERE brain_key = 'new'; SELECT brain.delete_brain_run('t', 'new')"), "60\n", 'a build without a fault');

my $log = q{SELECT string_agg(concat_ws(' ', brain_key, c.kind, c.sample_id), E'\n' ORDER BY c.ctid) FROM brain.changes c JOIN brain._runs r USING (run_id) WHERE brain_key = 'm'};
my $n = 0;
foreach my $point (qw(milvus_upsert milvus_delete))
{
	foreach my $action (qw(error kill))
	{
		my $name = "$action at $point";
		my ($new, $gone) = (1000 + ++$n, 10 * $n);

		$fake->script();
		$node->safe_psql('postgres', "INSERT INTO t VALUES ($new, '{1, $n, 1, 1}'); UPDATE t SET emb[2] = $n WHERE id = $n; DELETE FROM t WHERE id = $gone; SELECT brain.sync('t', 'e')");
		my $before = $node->safe_psql('postgres', $log);
		is(scalar(split(/\n/, $before)), 3, "$name: premise: three changes");
		# what it has sent may be done for so long, and the next one waits until then
		my $err = said("SET brain.request_timeout = 1", "SET brain.connect_timeout = 1", "SET brain.fault_point = '$point:$action'", q{SELECT brain.sync('t', 'm')});
		like($err, $action eq 'error' ? qr/ERROR:  fault at step $point/ : qr/server closed the connection unexpectedly/, "$name: it happened");
		await_restart() if $action eq 'kill';
		is($node->safe_psql('postgres', $log), $before, "$name: the log is as it was");
		check_searches($name);
		is($fake->ask('state')->{rows}{of_postgres}, $point eq 'milvus_delete' ? 61 : 60, "$name: what the collection has");
		is($node->safe_psql('postgres', q{SELECT action, changes, reason FROM brain.sync('t', 'm')}), 'upsert|3|', "$name: the next sync takes all in");
		is($node->safe_psql('postgres', $log), '', "$name: the log is empty");
		is($fake->ask('state')->{rows}{of_postgres}, 60, "$name: the collection has them");
		check_searches("$name, synced");
	}
}

$node->stop;
$fake->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|leak|still referenced|signal (?!9:)\d/, 'no server process crashed but those that were killed, nothing leaked');
done_testing();

# Milvus' answers are those of the exact run.
sub check_searches
{
	my ($name) = @_;

	foreach my $vector ('[0.2, 0.4, -0.3, 0.9]', '[1, 3, 1, 1]', '[-0.3, -0.9, 0.1, 0]')
	{
		my $search = q{SELECT string_agg(sample_id || ' ' || round(distance::numeric, 5), ',' ORDER BY rank) FROM brain.sort_by_similarity('t', '%s', k => 15, brain_key => '%s')};
		is($node->safe_psql('postgres', 'SET brain.on_backend_failure = error; ' . sprintf($search, $vector, 'm') . q{; SELECT brain.last_search() ->> 'path'}),
			$node->safe_psql('postgres', sprintf($search, $vector, 'e')) . "\nmilvus", "$name: the neighbors of $vector, by Milvus");
	}
	return;
}
