# Guards against: a matrix file that is half written, damaged, cut, foreign or
# gone, or a full disk, that makes an answer wrong, ends a search with an error,
# crashes the server, or stays behind for good.
#
# Whatever happens to the files, every answer is compared with plain SQL, or with
# the answer from the table; a sync mends what was lost; and after brain.sweep()
# there are the files that brain._bases names, and no others.
#
# By hand, BRAIN_HITS=5 tests/run 15 tap 015_matrix_file kills at each step of
# each operation five times, instead of at each step once, and damages more.

use strict;
use warnings FATAL => 'all';

use File::Basename;
use File::Copy;
use File::Path;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $directory = 'pgsql_tmp_milvus_brain';
my $dim = 80;
my $hits = $ENV{BRAIN_HITS} || 1;

my $node = PostgreSQL::Test::Cluster->new('matrix', install_path => dirname($ENV{BRAIN_FAULTS_BINDIR}));
$node->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->append_conf('postgresql.conf', <<'CONF');
autovacuum = off
restart_after_crash = on
max_prepared_transactions = 5
log_min_messages = log
log_error_verbosity = terse
CONF
$node->start;
my $files = $node->data_dir . "/$directory";

sub sql { return $node->safe_psql('postgres', $_[0]); }

# What a call says beside its result: NOTICEs, WARNINGs, errors.
sub said
{
	my ($statements, $database) = @_;
	my ($out, $err) = ('', '');
	$node->psql($database || 'postgres', $statements, stdout => \$out, stderr => \$err, on_error_stop => 0);
	return $err;
}

# Lines of the server's log since the last call.
my $log_read = 0;
sub new_log
{
	my $log = slurp_file($node->logfile, $log_read);
	$log_read += length $log;
	return $log;
}

sub complaints
{
	my @lines = grep { /matrix file ".*" is not used/ } split /\n/, new_log();
	return @lines;
}

# ---- the header, as layout.h has it ----------------------------------------------------

# name, offset, template of pack()
my %fields;
{
	%fields = (
		magic => [ 0, 'Q<' ], version => [ 8, 'L<' ], crc => [ 12, 'L<' ], system_identifier => [ 16, 'Q<' ],
		timeline => [ 24, 'L<' ], database => [ 28, 'L<' ], boot_id => [ 32, 'a40' ], run_id => [ 72, 'a16' ],
		generation => [ 88, 'a16' ], fingerprint => [ 104, 'Q<' ], metric => [ 112, 'L<' ], by_reader => [ 116, 'L<' ],
		xmin => [ 120, 'Q<' ], xmax => [ 128, 'Q<' ], n => [ 136, 'q<' ], n_previous => [ 144, 'q<' ], n_live => [ 152, 'q<' ],
		dim => [ 160, 'l<' ], m => [ 164, 'l<' ], rotation_error => [ 168, 'f<' ], checksums_crc => [ 172, 'L<' ]);
	my $i = 0;
	for my $section (section_names())
	{
		$fields{"${section}_offset"} = [ 176 + 16 * $i, 'Q<' ];
		$fields{"${section}_length"} = [ 184 + 16 * $i++, 'Q<' ];
	}
	$fields{length} = [ 176 + 16 * $i, '' ];
}

sub section_names { return qw(rows rows8 prefix screens rotation offsets ids slots dead bad running checksums); }

sub slurp_header
{
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	read($file, my $bytes, 4096) == 4096 or die "$path: $!";
	close $file;
	my %header = map { $_ => unpack("x$fields{$_}[0] $fields{$_}[1]", $bytes) } grep { $_ ne 'length' } keys %fields;
	return \%header;
}

my @crc_table;
sub crc32c
{
	my ($bytes) = @_;
	if (!@crc_table)
	{
		for my $i (0 .. 255)
		{
			my $c = $i;
			$c = $c & 1 ? ($c >> 1) ^ 0x82F63B78 : $c >> 1 for 1 .. 8;
			push @crc_table, $c;
		}
	}
	my $crc = 0xFFFFFFFF;
	$crc = ($crc >> 8) ^ $crc_table[ ($crc ^ $_) & 0xFF ] for unpack 'C*', $bytes;
	return $crc ^ 0xFFFFFFFF;
}

sub write_at
{
	my ($path, $offset, $bytes) = @_;
	open my $file, '+<:raw', $path or die "$path: $!";
	seek $file, $offset, 0;
	print $file $bytes;
	close $file or die $!;
}

sub flip_bit
{
	my ($path, $offset, $bit) = @_;
	open my $file, '+<:raw', $path or die "$path: $!";
	seek $file, $offset, 0;
	read($file, my $byte, 1) == 1 or die "$path: nothing at $offset";
	seek $file, $offset, 0;
	print $file chr(ord($byte) ^ (1 << $bit));
	close $file or die $!;
}

# Another value in a header, whose checksum is right.
sub forge
{
	my ($path, %values) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	read $file, my $bytes, $fields{length}[0];
	close $file;
	substr($bytes, $fields{$_}[0], length pack($fields{$_}[1], $values{$_}), pack($fields{$_}[1], $values{$_})) for keys %values;
	substr $bytes, 12, 4, pack 'L<', 0;
	substr $bytes, 12, 4, pack 'L<', crc32c($bytes);
	write_at($path, 0, $bytes);
}

# ---- data, and what a search has to find ------------------------------------------

# A sample: six factors, and a little of its own; so a rotation has something to find.
my $vector = qq{(SELECT array_agg((sin(i * 1.7) * cos(j * 0.9) + sin(i * 2.9) * cos(j * 1.7) + cos(i * 0.7) * sin(j * 2.3)
	+ sin(i * 5.3) * sin(j * 0.31) + cos(i * 3.1) * cos(j * 4.1) + 0.05 * sin(i * j * 1.3))::real ORDER BY j) FROM generate_series(1, $dim) j)};
sql(qq{
	CREATE EXTENSION milvus_brain;
	CREATE FUNCTION vector(i float8) RETURNS real[] LANGUAGE sql IMMUTABLE AS \$\$SELECT $vector\$\$;
	CREATE TABLE queries (n int PRIMARY KEY, embedding real[]);
	INSERT INTO queries SELECT n, vector(n + 0.37) FROM generate_series(1, 400) n;
	CREATE TABLE t (id int PRIMARY KEY, tag int, embedding real[]);
	INSERT INTO t SELECT i, i % 7, vector(i) FROM generate_series(1, 5000) i;
	INSERT INTO t VALUES (-1, 0, NULL), (-2, 0, '{1,2,3}'), (-3, 0, '{1,NULL}');
	SELECT FROM brain.compute_similarity('t', 'k', metric => 'euclidean', skip_failures => true);
	VACUUM ANALYZE t;
	CHECKPOINT});

sub is_right
{
	my ($table, $n) = @_;
	return qq{SELECT (SELECT string_agg(sample_id || ' ' || round(distance::numeric, 9), ',' ORDER BY rank)
			FROM brain.sort_by_similarity('$table', (SELECT embedding FROM queries WHERE n = $n), k => 10, brain_key => 'k'))
		IS NOT DISTINCT FROM
		(SELECT string_agg(id || ' ' || round(d::numeric, 9), ',' ORDER BY d, id::text COLLATE "C") FROM (
			SELECT id, d FROM (SELECT x.id, (SELECT sqrt(sum((a::float8 - b::float8) ^ 2)) FROM unnest(x.embedding, q.embedding) AS u (a, b)) AS d
				FROM $table x, queries q WHERE q.n = $n AND cardinality(x.embedding) = $dim) every
			ORDER BY d, id::text COLLATE "C" LIMIT 10) best);
		SELECT brain.last_search()->>'path'};
}

# Compares a search with plain SQL; returns what answered it, matrix or table.
my $compared = 0;
sub path
{
	my ($table, $database) = @_;
	my $out = $node->safe_psql($database || 'postgres', 'SET client_min_messages = error;' . is_right($table || 't', ++$compared % 400 + 1));
	$out =~ /^t\n(\w+)$/ or return "WRONG: $out";
	return $1;
}

# One query for all kinds of searches: their answers as one text, bit by bit.
sub answers
{
	my ($how) = @_;
	my $search = sub {
		my ($query, $more) = @_;
		return "SELECT md5(string_agg(concat_ws(' ', rank, sample_id, encode(float8send(distance), 'hex'), encode(float8send(score), 'hex')), ',' ORDER BY rank))
			FROM brain.sort_by_similarity('t', $query, brain_key => 'k'$more)";
	};
	my $one = '(SELECT embedding FROM queries WHERE n = 7)';
	my %searches = (
		nearest => $search->($one, ', k => 10'),
		id => $search->('77', ', k => 5'),
		farthest => $search->($one, ', k => 10, reverse => true'),
		all => $search->($one, ', k => NULL'),
		filtered => $search->($one, q{, k => 10, filter => 'tag = 1'}),
		several => $search->(q{(SELECT array_agg(embedding ORDER BY n) FROM queries WHERE n < 4)}, ', k => 10'),
		many => $search->(q{(SELECT array_agg(embedding ORDER BY n) FROM queries)}, q{, k => 10, aggregation => 'post-min'}),
	);
	return $searches{$how} if defined $how;
	return [ sort keys %searches ], \%searches;
}
my ($kinds, $searches) = answers();

# ---- which files there are ---------------------------------------------------------

# What is there and should not be, and what should and is not.
sub misfits
{
	return sql(qq{
		WITH there (f) AS (SELECT pg_ls_dir('$directory', true, false)),
			named (f) AS (SELECT d.oid || '.' || b.run_id || '.' || g FROM brain._bases b, unnest(b.files) g, pg_database d WHERE datname = current_database())
		SELECT string_agg('extra ' || f, ', ') FROM there WHERE f NOT IN (SELECT f FROM named)
		UNION ALL SELECT string_agg('missing ' || f, ', ') FROM named WHERE f NOT IN (SELECT f FROM there)
		UNION ALL SELECT 'log of no run' FROM brain.changes WHERE run_id NOT IN (SELECT run_id FROM brain._runs)
		UNION ALL SELECT 'triggers: ' || count(*) FROM pg_trigger WHERE tgname ~ '^brain_track' HAVING count(*) / 2.0 NOT BETWEEN (SELECT count(*) FROM brain._bases WHERE reason IS NULL) AND (SELECT count(*) FROM brain._runs)
	}) =~ s/^\n+|\n+$//gr;
}

sub files { my @there = sort map { basename($_) } glob("$files/*"); return @there; }

# After whatever happened: the next build mends it, and nothing stays.
sub mended
{
	my $problems = '';
	my $path = path();
	$problems .= "before the sync: $path; " if $path =~ /WRONG/;
	sql('SELECT * FROM brain.sync()');
	$path = path();
	$problems .= "after the sync: $path; " if $path ne 'matrix';
	sql('SELECT * FROM brain.sweep()');
	$problems .= misfits();
	return $problems;
}

is(path(), 'matrix', 'a search is answered from the file');
is(misfits(), '', 'there is one');
cmp_ok(slurp_header("$files/" . (files())[0])->{m}, '>', 0, 'with a rotation');

# ---- killed at every step ----------------------------------------------------------

my $upset = 0;    # each time other rows
my %prepare = (
	build => sub { },
	segment => sub { change(20); },
	# the eighth file takes the others in; of a new base, since much that has changed makes one
	absorb => sub {
		unlink map { "$files/$_" } files();
		sql("DELETE FROM t WHERE id > 0 AND cardinality(embedding) <> $dim; SELECT * FROM brain.sync()");
		for (2 .. 8)
		{
			change(5);
			sql('SELECT * FROM brain.sync()');
		}
		change(20);
	},
	rebuild => sub { change(1500); },
	reader => sub { unlink map { "$files/$_" } files(); });
my %operation = (
	build => q{SELECT * FROM brain.compute_similarity('t', 'k', metric => 'euclidean', skip_failures => true, overwrite => true)},
	segment => q{SELECT * FROM brain.sync('t', 'k')},
	absorb => q{SELECT * FROM brain.sync('t', 'k')},
	rebuild => q{SELECT * FROM brain.sync('t', 'k')},
	reader => is_right('t', 3));
my @written = qw(create row rotation screens ids finished header before_rename after_rename);
my @synced = qw(after_log_read before_base_row after_base_row before_forget after_forget before_sweep before_commit);
my %steps = (
	build => [ @written, qw(triggers missed build_row) ],
	segment => [ (grep { $_ ne 'rotation' } @written), @synced ],
	absorb => [ qw(absorbed screens after_rename before_commit) ],
	rebuild => [ @written, qw(triggers missed build_row), @synced ],
	reader => [ @written, 'reader_before_publish' ]);

# Changes about n samples: inserts, updates and deletes; none of the first 200.
sub change
{
	my ($n) = @_;
	$upset += 7;
	return sql(change_sql($n, $upset));
}

sub change_sql
{
	my ($n, $seed) = @_;
	my $first = 201 + $seed * 31 % 2800;
	my $new = 10000 + $seed * 10;
	return qq{
		UPDATE t SET embedding = vector(id + $seed * 0.01) WHERE id BETWEEN $first AND $first + $n;
		DELETE FROM t WHERE id = $first + 3;
		UPDATE t SET embedding = '{1,2}' WHERE id = $first + 4;
		UPDATE t SET embedding = NULL WHERE id = $first + 5;
		INSERT INTO t SELECT i, 1, vector(i) FROM generate_series($new, $new + 3) i ON CONFLICT DO NOTHING;};
}

# A process was killed: wait until the server has found out, and is back.
sub wait_for_server
{
	my ($log_before) = @_;
	for (1 .. 1200)
	{
		return if slurp_file($node->logfile, $log_before) =~ /terminated by signal 9.*ready to accept connections/s;
		usleep(50_000);
	}
	BAIL_OUT('the server does not come back');
}

# The postmaster is dead; its children notice, or are still writing. Its own
# number may stay in use, where nobody fetches a dead process's status.
sub start_again
{
	$node->{_pid} = undef;
	for (1 .. 100)
	{
		for my $lock ($node->data_dir . '/postmaster.pid', glob $node->host . '/.s.PGSQL.' . $node->port . '.lock')
		{
			my $text = eval { slurp_file($lock) } // next;
			open my $file, '>', $lock or die $!;
			print $file $text =~ s/^\d+/4194303/r;
			close $file;
		}
		return if $node->start(fail_ok => 1);
		$node->{_pid} = undef;
		usleep(100_000);
	}
	BAIL_OUT('the server does not start again');
}

my %histogram;
sub kill_at
{
	my ($operation, $step, $action) = @_;
	my $is_build = $operation ne 'segment' && $operation ne 'absorb';
	my $nth = $step eq 'row' ? ($is_build ? 3000 : 10) : $step eq 'screens' ? ($is_build ? 3 : 1) : 1;
	my $what = "$operation, $step, $action";
	my ($out, $err) = ('', '');

	$prepare{$operation}->();
	# a writer that has not committed yet, and whom no crash takes back
	my $pending = $operation ne 'build';
	sql('BEGIN;' . change_sql(15, $upset += 7) . "PREPARE TRANSACTION 'pending'") if $pending;
	my $log_before = -s $node->logfile;
	$node->psql('postgres', "SET brain.fault_point = '$step:$action:$nth'; $operation{$operation}", stdout => \$out, stderr => \$err);
	my $died = $err =~ /server closed the connection|terminating connection|connection to server was lost/;
	# without a postmaster the backend may reach its statement's end
	# (a psql that cannot connect may end before psql() has written to it, which dies of that)
	$died ||= !eval { $node->psql('postgres', 'SELECT 1', stdout => \$out, stderr => \$err) == 0 } if $action eq 'kill_postmaster';
	if ($died) { $action eq 'kill' ? wait_for_server($log_before) : start_again(); }
	if (!$died)
	{
		sql(q{COMMIT PREPARED 'pending'}) if $pending;
		return "$what: it was not killed: $out $err; ";
	}
	$histogram{$step}++;
	my $path = path();
	my $problems = $path =~ /WRONG/ ? "after the crash: $path; " : '';
	sql(($histogram{$step} % 3 ? 'COMMIT' : 'ROLLBACK') . q{ PREPARED 'pending'}) if $pending;
	$problems .= mended();
	return $problems eq '' ? '' : "$what: $problems\n";
}

# Each step of each operation by hand, else each step once: then the operations
# take turns, beginning with the n-th.
sub operations_and_steps
{
	my ($first) = @_;
	my @operations = qw(absorb segment reader build rebuild);
	my (%done, @chosen);

	push @operations, splice @operations, 0, $first;
	for my $operation ($hits > 1 ? @operations : (@operations) x 6)
	{
		my @left = $hits > 1 ? @{ $steps{$operation} } : (grep { defined && !$done{$_} } @{ $steps{$operation} })[ 0 .. 4 ];
		for my $step (grep { defined } @left)
		{
			push @chosen, [ $operation, $step ];
			$done{$step} = 1;
		}
	}
	return @chosen;
}

{
	my ($problems, $turn) = ('', 0);
	for (operations_and_steps(0))
	{
		my ($operation, $step) = @$_;
		$problems .= kill_at($operation, $step, ++$turn % 4 == 2 ? 'kill_postmaster' : 'kill') for 1 .. $hits;
	}
	is($problems, '', 'killed with -9: answers stay right, a sync mends, nothing is left');
	my %known = map { $_ => 1 } map { @$_ } values %steps;
	is(join(' ', sort keys %histogram), join(' ', sort keys %known), 'every step was hit');
	cmp_ok((sort { $a <=> $b } values %histogram)[0], '>=', $hits, "at least $hits times");
	cmp_ok(scalar keys %known, '>=', 12, 'there are twelve or more');
	note('times killed at each step:');
	note(sprintf '%-24s %3d %s', $_, $histogram{$_}, '#' x $histogram{$_}) for sort keys %histogram;

	# and when all is done
	change(20);
	my $session = $node->background_psql('postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_safe('SELECT * FROM brain.sync()');
	my $log_before = -s $node->logfile;
	kill 'KILL', $pid;
	eval { $session->quit };
	wait_for_server($log_before);
	is(path() . mended(), 'matrix', 'killed when it was committed');
}

# a sync that is prepared, and whose transaction outlives a crash
for my $end ('COMMIT', 'ROLLBACK')
{
	change(20);
	sql(q{BEGIN; SELECT * FROM brain.sync('t', 'k'); PREPARE TRANSACTION 'sync'});
	my $session = $node->background_psql('postgres');
	my $log_before = -s $node->logfile;
	kill 'KILL', $session->query_safe('SELECT pg_backend_pid()');
	eval { $session->quit };
	wait_for_server($log_before);
	is(path(), 'matrix', 'beside a prepared sync the base is the one before it');
	sql('SELECT * FROM brain.sweep()');
	sql("$end PREPARED 'sync'");
	is(path(), 'matrix', "$end PREPARED: its file was kept");
	is(mended(), '', 'and nothing else is');
}

# ---- an error, and a full disk, at every step ---------------------------------------

{
	my $problems = '';
	for (operations_and_steps(3))
	{
		my ($operation, $step) = @$_;
		# a search goes to the table instead
		my $expected = $operation eq 'reader' ? qr/^$/ : qr/^[^\n]*ERROR:  fault at step $step\n*$/;
		$prepare{$operation}->();
		my $err = said("SET client_min_messages = error; SET brain.fault_point = '$step:error'; $operation{$operation}");
		$problems .= "$operation, $step: $err\n" unless $err =~ $expected;
		my $mended = mended();
		$problems .= "$operation, $step, error: $mended\n" if $mended ne '';
	}
	is($problems, '', 'an error at each step: it rolls back, and says nothing else');

	$problems = '';
	my @chosen = $hits > 1 ? map { my $operation = $_; map { [ $operation, $_ ] } @{ $steps{$operation} } } sort keys %steps :
		([qw(segment create)], [qw(reader row)], [qw(rebuild screens)], [qw(segment ids)], [qw(build header)], [qw(segment header)], [qw(reader header)]);
	for (grep { $_->[1] =~ /^(create|row|screens|ids|header)$/ } @chosen)
	{
		my ($operation, $step) = @$_;
		# a segment gets its header when its row is there
		my $expected = $step eq 'header' && $operation =~ /segment|absorb/ ? qr/^[^\n]*ERROR: [^\n]*No space left on device\n*$/ : qr/^$/;
		$prepare{$operation}->();
		my $err = said("SET client_min_messages = error; SET brain.fault_point = '$step:enospc'; $operation{$operation}");
		$problems .= "$operation, $step: $err\n" unless $err =~ $expected;
		my $mended = mended();
		$problems .= "$operation, $step, full: $mended\n" if $mended ne '';
	}
	is($problems, '', 'the disk is full at each step: no error, the table answers, a sync mends');
}

# ---- a disk that is really full ------------------------------------------------------

# A file system of 12 MB, in a namespace of its own, which needs no privileges.
# Where the system allows none, writing is made to fail instead.
sub small_disk
{
	my ($in, $out) = ('', '');
	my $holder = IPC::Run::start(
		[ 'unshare', '--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=12m tmpfs /mnt && mkdir /mnt/files && echo $$ && exec cat' ],
		'<', \$in, '>', \$out, '2>', \my $err);
	eval { $holder->pump until $out =~ /\n/ };
	return ($holder, "/proc/$1/root/mnt") if $out =~ /^(\d+)\n/ && -d "/proc/$1/root/mnt/files";
	eval { $holder->kill_kill };
	note("no small disk: $err");
	return (undef, undef);
}

{
	my ($holder, $disk) = small_disk();
	my $is_full = '';    # a statement
	my $fill = sub {
		if (!$disk) { $is_full = "SET brain.fault_point = 'screens:enospc';"; return; }
		open my $filler, '>>', "$disk/filler" or die $!;
		while (syswrite $filler, 'x' x 4096) { }
		close $filler;
	};
	my $empty = sub { $is_full = ''; unlink "$disk/filler" if $disk; };

	rmtree($files);
	if ($disk) { symlink "$disk/files", $files or die $!; }
	sql('SELECT * FROM brain.sync()');
	is(path(), 'matrix', 'a file on a small disk');
	my %expected = map { $_ => sql("SET brain.use_matrix = off; SET client_min_messages = error; $searches->{$_}") } @$kinds;
	$fill->();
	my %found = map { $_ => sql("SET client_min_messages = error; $searches->{$_}") } @$kinds;
	is_deeply(\%found, \%expected, 'it is read with the disk full: no SIGBUS');
	is(path(), 'matrix', 'from the file');
	change(20);
	like(sql("$is_full SELECT action, reason FROM brain.sync('t', 'k')"), qr/^skipped\|.*No space left on device$/, 'a sync writes nothing, and says so');
	is(path(), 'matrix', 'the old file stays in use');
	is(misfits(), '', 'the only one');
	is(said("$is_full SET client_min_messages = warning; SELECT * FROM brain.compute_similarity('t', 'two', skip_failures => true)"), '', 'a run is computed on a full disk');
	like(sql(q{SELECT brain.get_brain_info('t', 'two')->'index'->'base'->>'reason'}), qr/No space left on device/, 'get_brain_info() says why it has no base');
	$empty->();
	sql(q{SELECT brain.delete_brain_run('t', 'two')});
	is(mended(), '', 'with room again all is mended');
	unlink map { "$files/$_" } files();
	$fill->();
	is(said("$is_full SET client_min_messages = error; SELECT count(*) FROM brain.sort_by_similarity('t', 5)"), '', 'a search that finds no file, and can write none');
	is(path(), $disk ? 'table' : 'matrix', 'is answered all the same');
	$empty->();
	is(mended(), '', 'and mended');
	if ($disk)
	{
		unlink $files;
		$holder->kill_kill;
	}
	is(mended(), '', 'the disk is taken away');
	new_log();
}

# temporary files of PostgreSQL's own are none of a search's business
unlink map { "$files/$_" } files();
is(sql(q{SET client_min_messages = error; SET temp_file_limit = 0; SELECT count(*) FROM brain.sort_by_similarity('t', 5, k => 10); SELECT brain.last_search()->>'path'}),
	"10\nmatrix", 'temp_file_limit does not stop a search from making a file');
# just behind a switch of WAL files there is no WAL to flush
unlink map { "$files/$_" } files();
sql('SELECT pg_switch_wal()');
is(path(), 'matrix', 'nor does an empty WAL page');
is(mended(), '', 'mended');

# ---- damaged before a session opens it ---------------------------------------------------

# A base of three files: with dead rows, bad ones, and all sections but "running".
sub make_three_files
{
	sql(q{SELECT FROM brain.compute_similarity('t', 'k', metric => 'euclidean', skip_failures => true, overwrite => true)});
	for (1 .. 2)
	{
		change(40);
		sql('SELECT * FROM brain.sync()');
	}
	sql('SELECT * FROM brain.sweep()');
	return files_in_order();
}

sub files_in_order
{
	my $in_order = sql(qq{SELECT string_agg(d.oid || '.' || b.run_id || '.' || g, ' ' ORDER BY n) FROM brain._bases b, unnest(b.files) WITH ORDINALITY AS g (g, n), pg_database d WHERE datname = current_database()});
	return split / /, $in_order;
}

my $saved = $node->basedir . '/saved';
sub save { rmtree($saved); mkdir $saved or die $!; copy("$files/$_", "$saved/$_") or die $! for files(); }
sub restore { unlink map { "$files/$_" } files(); copy($_, $files) or die $! for glob "$saved/*"; }

# All searches in one new session; which are wrong, and how the log complains.
my %truth;
sub learn_truth { %truth = map { $_ => sql("SET brain.use_matrix = off; SET client_min_messages = error; $searches->{$_}") } @$kinds; }

# changes that a search looks up in the base, rolled back
my $with_changes = q{BEGIN; UPDATE t SET tag = tag, embedding = embedding[2:] || embedding[1] WHERE id IN (17, 1234, 4321, 10070); %s; %s; ROLLBACK};
sub examine
{
	my (@order) = @_;
	my $problems = '';
	@order = @$kinds if !@order;
	my $out = sql('SET client_min_messages = error;' . join ';', map { $searches->{$_} } @order);
	my @out = split /\n/, $out;
	$problems .= join '', map { $out[$_] ne $truth{ $order[$_] } ? "$order[$_] is wrong; " : '' } 0 .. $#order;
	$out = sql('SET client_min_messages = error;' . sprintf $with_changes, $searches->{nearest}, "SET LOCAL brain.use_matrix = off; $searches->{nearest}");
	@out = split /\n/, $out;
	$problems .= 'with changes it is wrong; ' if $out[0] ne $out[1];
	return $problems;
}

my @names = make_three_files();
is(scalar @names, 3, 'a base of three files');
save();
learn_truth();
new_log();
is(examine(), '', 'all searches');
is(scalar complaints(), 0, 'no complaint about good files');

{
	my ($problems, %noticed) = ('');
	for my $i (0, 2)
	{
		my $path = "$files/$names[$i]";
		restore();
		my $header = slurp_header($path);
		for my $section (section_names())
		{
			my ($offset, $length) = ($header->{"${section}_offset"}, $header->{"${section}_length"});
			next if $length == 0;
			for my $place ($hits > 1 ? (0, int($length / 2), $length - 1) : $i ? $length - 1 : int($length / 2))
			{
				restore();
				flip_bit($path, $offset + $place, $place % 8);
				my $examined = examine();
				my @complaints = complaints();
				# two sessions, of which the second may have nothing to complain about any more
				$problems .= "file $i, $section at $place: $examined\n" if $examined ne '';
				$problems .= "file $i, $section at $place: many complaints\n" . join("\n", @complaints) . "\n" if @complaints > 2;
				$noticed{$section}++ if @complaints;
			}
		}
	}
	is($problems, '', 'a flipped bit in any section: no answer is wrong, and the log says so once a session');
	is(join(' ', grep { !$noticed{$_} } section_names()), 'running', 'each is noticed, but for what no search reads');
	restore();
	is(mended(), '', 'good again');
}

# syncs over damaged files
{
	my ($problems, $i) = ('', 0);
	for my $section (section_names())
	{
		for my $damage (qw(flipped cut))
		{
			@names = make_three_files() if !-e "$files/$names[0]" || !-e "$files/$names[2]" || @names != 3 || misfits() ne '' || sql('SELECT max(cardinality(files)) FROM brain._bases') != 3;
			my $path = "$files/" . $names[ ++$i % 2 ? 0 : 2 ];
			my $header = slurp_header($path);
			my ($offset, $length) = ($header->{"${section}_offset"}, $header->{"${section}_length"});
			next if $length == 0;
			change(30);
			flip_bit($path, $offset + int($length / 2), 3) if $damage eq 'flipped';
			truncate $path, $offset if $damage eq 'cut';
			my $said = said(q{SET client_min_messages = warning; SELECT * FROM brain.sync('t', 'k')});
			$problems .= "$section, $damage: $said\n" if $said ne '';
			# what a sync does not read, a later search may find
			my $mended = mended();
			$mended = mended() if $mended =~ /^after the sync: table;/;
			$problems .= "$section, $damage: $mended\n" if $mended ne '';
		}
	}
	is($problems, '', 'a sync over damaged files');
}

# the header
{
	@names = make_three_files();
	save();
	learn_truth();
	new_log();
	my $problems = '';
	my $at = 0;
	while ($at < $fields{length}[0])
	{
		restore();
		flip_bit("$files/$names[1]", $at, $at % 8);
		my $examined = examine('nearest', 'id');
		my @complaints = complaints();
		$problems .= "bit of byte $at: $examined\n" if $examined ne '';
		$problems .= "bit of byte $at: complaints: @complaints\n" if @complaints < 1 || @complaints > 2;
		$at += $hits > 1 ? 1 : 29;
	}
	is($problems, '', 'a flipped bit in the header');

	my $header = slurp_header("$files/$names[0]");
	my $size = -s "$saved/$names[0]";
	my @forgeries = (
		[ 'no matrix file', magic => 1 ], [ 'another format version', version => 7 ],
		[ 'another cluster', system_identifier => $header->{system_identifier} + 1 ], [ 'another database', database => 1 ],
		[ 'another timeline', timeline => 99 ], [ 'restarted', boot_id => 'another boot' ],
		[ 'another run', run_id => 'x' x 16 ], [ 'another run', generation => 'x' x 16 ], [ 'another run', by_reader => 1 ],
		[ 'make no sense', n => -1 ], [ 'make no sense', n => 2**40 ], [ 'another length', n => $header->{n} + 1 ], [ 'another length', n => $header->{n} - 1 ],
		[ 'make no sense', n_previous => 1 ], [ 'make no sense', n_previous => -64 ], [ 'another length', n_previous => 64 ], [ 'make no sense', n_previous => 2**50 ],
		[ 'make no sense', n_live => -1 ], [ 'make no sense', n_live => 2**33 ], [ 'another length', dim => $dim + 16 ], [ 'make no sense', dim => -1 ],
		[ 'make no sense', dim => 2**30 ], [ 'another length', m => 64 ], [ 'make no sense', m => -32 ], [ 'make no sense', m => $dim + 32 ], [ 'make no sense', metric => 9 ],
		[ 'damaged', checksums_crc => 1 ],
		(map { ([ 'shorter|length|number of checksums|size', "${_}_length" => $size + 1 ], [ 'shorter', "${_}_offset" => ($size + 4096) & ~4095 ], [ 'shorter', "${_}_offset" => 0 ],
				[ 'shorter', "${_}_offset" => 2**64 - 4096 ], [ 'shorter', "${_}_length" => 2**64 - 1 ], [ 'shorter', "${_}_offset" => 4097 ]) } section_names()),
		(map { [ 'length|size|checksums', "${_}_length" => 4 ] } qw(rows rows8 prefix screens rotation offsets slots dead checksums)));
	$problems = '';
	my $n_forgeries = 0;
	for my $forgery (@forgeries)
	{
		next if $hits == 1 && ++$n_forgeries > 30 && $n_forgeries % 4;
		my ($expected, %values) = @$forgery;
		my $what = join ' ', %values;
		restore();
		forge("$files/$names[0]", %values);
		my $examined = examine('nearest', 'id');
		my @complaints = complaints();
		$problems .= "$what: $examined\n" if $examined ne '';
		$problems .= "$what: no complaint of $expected: @complaints\n" unless @complaints >= 1 && @complaints <= 2 && $complaints[0] =~ /$expected/;
	}
	is($problems, '', 'headers of elsewhere, and headers that make no sense');
	restore();
	forge("$files/$names[0]", n => $header->{n});
	is(examine() . join(' ', complaints()), '', 'the forger is good at it');
	forge("$files/$names[0]", timeline => 99);
	is(mended(), '', 'the next build mends it');
	new_log();

	# cut at every kind of place
	$problems = '';
	for my $length (0, 1, 100, 383, 384, 4095, 4096, 4097, 65536, int($size / 2), $size - 4096, $size - 1)
	{
		restore();
		truncate "$files/$names[0]", $length or die $!;
		my $examined = examine('nearest', 'id', 'all');
		my @complaints = complaints();
		$problems .= "cut at $length: $examined\n" if $examined ne '';
		$problems .= "cut at $length: complaints: @complaints\n" if @complaints < 1 || @complaints > 2;
	}
	is($problems, '', 'cut before it is opened');
	is(mended(), '', 'and mended');
	new_log();
}

# ---- cut while it is mapped -----------------------------------------------------------------

{
	my $problems = '';
	my $started = sql('SELECT pg_postmaster_start_time()');
	my %ways = (
		%$searches,
		unscreened => "SET brain.screening = off; $searches->{nearest}",
		threads => "SET brain.blas_threads = 2; $searches->{many}");
	for my $warm (0, 1)
	{
		for my $way (sort keys %ways)
		{
			next if $hits == 1 && !$warm && $way !~ /^(nearest|many)$/;
			@names = make_three_files();
			learn_truth();
			my $kind = $way eq 'unscreened' ? 'nearest' : $way eq 'threads' ? 'many' : $way;
			my $path = "$files/" . ($warm ? $names[0] : $names[2]);
			my $session = $node->background_psql('postgres', on_error_stop => 0);
			$session->query('SET client_min_messages = error');
			my $pid = $session->query('SELECT pg_backend_pid()');
			# mapped, or mapped and read
			$session->query('SELECT in_use FROM brain.sync_status');
			$session->query($ways{$way}) if $warm;
			new_log();
			truncate $path, $warm ? 4096 : 0 or die $!;
			my $found = $session->query($ways{$way});
			$problems .= "$way, warm $warm: " . ($found eq '' ? 'the session died' : "$found is not $truth{$kind}") . "\n" if $found ne $truth{$kind};
			my @complaints = complaints();
			$problems .= "$way, warm $warm: complaints: @complaints\n" unless @complaints == 1 && $complaints[0] =~ /cut while it was in use/;
			sql('SELECT * FROM brain.sync()');
			$found = eval { $session->query("$ways{$way}; SELECT brain.last_search()->>'path'") } // '';
			$problems .= "$way, warm $warm: after a sync: $found\n" unless $found =~ /^\Q$truth{$kind}\E\nmatrix$/;
			$problems .= "$way, warm $warm: another session\n" if (eval { $session->query('SELECT pg_backend_pid()') } // '') ne $pid;
			eval { $session->quit };
		}
	}
	is($problems, '', 'cut while it is mapped: the table answers, and after a sync the file again');

	# and a sync, of few changes or of many files
	$problems = '';
	for my $operation (qw(segment absorb))
	{
		make_three_files();
		$prepare{$operation}->();
		@names = files_in_order();
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		$session->query('SET client_min_messages = warning');
		$session->query('SELECT FROM brain.sort_by_similarity(\'t\', 5, k => 10)');
		$session->{stderr} = '';
		truncate "$files/$names[0]", 4096 or die $!;
		new_log();
		my ($action) = $session->query(q{SELECT action FROM brain.sync('t', 'k')});
		my @complaints = complaints();
		$problems .= "$operation: $action, $session->{stderr}, @complaints; " if $action ne 'build' || $session->{stderr} ne '' || @complaints != 1;
		my $mended = mended();
		$problems .= "$operation: $mended; " if $mended ne '';
		eval { $session->quit };
	}
	is($problems, '', 'a sync over a file that is cut while it is mapped builds anew');

	# brain.neighbors() reads a base of which all rows are good
	$problems = '';
	sql(q{CREATE TABLE clean (id int PRIMARY KEY, embedding real[]); INSERT INTO clean SELECT i, vector(i) FROM generate_series(1, 4500) i;
		SELECT FROM brain.compute_similarity('clean', 'k', metric => 'euclidean')});
	my $neighbors = q{SELECT md5(string_agg(concat_ws(' ', sample_id, rank, neighbor_id, encode(float8send(distance), 'hex')), ',' ORDER BY sample_id, rank))
		FROM brain.neighbors('clean', 'k', k => 3)};
	my $true = sql("SET brain.use_matrix = off; $neighbors");
	for my $threads (1, 2)
	{
		sql(q{SELECT * FROM brain.sync('clean')});
		my $name = sql(q{SELECT d.oid || '.' || b.run_id || '.' || files[1] FROM brain._bases b JOIN brain._runs USING (run_id), pg_database d WHERE dataset_name = 'clean' AND datname = current_database()});
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		$session->query("SET client_min_messages = error; SET brain.blas_threads = $threads");
		$problems .= "$threads threads: wrong; " if $session->query($neighbors) ne $true;
		new_log();
		truncate "$files/$name", 4096 or die $!;
		my $found = $session->query($neighbors);
		$problems .= "$threads threads: cut: $found; " if $found ne $true;
		my @complaints = complaints();
		$problems .= "$threads threads: complaints: @complaints; " unless @complaints == 1 && $complaints[0] =~ /cut while it was in use/;
		eval { $session->quit };
	}
	is($problems, '', 'brain.neighbors() over a file that is cut');
	sql('DROP TABLE clean');
	is(sql('SELECT pg_postmaster_start_time()'), $started, 'no crash');
	is(mended(), '', 'mended');
	new_log();
}

# ---- removed while it is mapped; the directory ------------------------------------------------

{
	my $session = $node->background_psql('postgres');
	$session->query_safe('SET client_min_messages = error');
	my $ask = sub { return $session->query_safe("$searches->{nearest}; SELECT brain.last_search()->>'path'"); };
	@names = make_three_files();
	learn_truth();
	is($ask->(), "$truth{nearest}\nmatrix", 'a session has mapped the files');
	unlink map { "$files/$_" } files();
	is($ask->(), "$truth{nearest}\nmatrix", 'they are removed: it keeps them');
	is(path(), 'matrix', 'another session makes one');
	like(join(' ', files()), qr/^\S+\.reader$/, 'the only one');
	is(scalar complaints(), 1, 'one line in the log');
	is(path(), 'matrix', 'and one more uses it');
	rmtree($files);
	is($ask->(), "$truth{nearest}\nmatrix", 'the directory is removed: it keeps them');
	is(path(), 'matrix', 'another makes directory and file');
	is(mended(), '', 'mended');
	rmtree($files);
	change(20);
	like(sql(q{SELECT action FROM brain.sync('t')}), qr/^build$/, 'a sync without a directory builds anew');
	is(mended(), '', 'mended');

	for my $obstacle ([ 'is read-only', sub { chmod 0555, $files } ], [ 'cannot be entered', sub { chmod 0000, $files } ],
		[ 'is a file', sub { rmtree($files); append_to_file($files, 'x') } ])
	{
		my ($name, $do) = @$obstacle;
		@names = make_three_files();
		learn_truth();
		$ask->();
		new_log();
		$do->();
		is($ask->(), "$truth{nearest}\nmatrix", "the directory $name: who has the files mapped goes on");
		is(examine(), '', 'other searches are right');
		cmp_ok(scalar complaints(), '<=', 2, 'a line in the log for each session');
		is(said(q{SET client_min_messages = warning; SELECT * FROM brain.sync('t')}), '', 'a sync raises no error');
		change(2000);
		like(sql(q{SELECT action, reason FROM brain.sync('t', 'k')}), qr/^skipped\|could not write matrix file/, 'it says what it could not do');
		isnt(path(), 'WRONG', 'a search is right');
		is(said(q{SET client_min_messages = warning; SELECT * FROM brain.compute_similarity('t', 'two', skip_failures => true)}), '', 'a run can be computed');
		like(sql(q{SELECT concat_ws('|', in_use, reason) FROM brain.sync_status WHERE brain_key = 'two'}), qr/^f\|could not write matrix file/, 'sync_status says that it has no base, and why');
		sql(q{SELECT brain.delete_brain_run('t', 'two')});
		-d $files ? chmod 0700, $files : unlink $files;
		is(mended(), '', 'mended when that is over');
	}
	$session->quit;
	new_log();
}

# ---- a newer library under running sessions -----------------------------------------------------

{
	my ($library) = grep { -e } map { "$_/milvus_brain.so" } $node->config_data('--pkglibdir');
	my $replace = sub {
		my ($by) = @_;
		copy($by, "$library.new") or die "$library.new: $!";
		chmod 0755, "$library.new";
		rename "$library.new", $library or die $!;
	};
	copy($library, $node->basedir . '/older.so') or die $!;
	@names = make_three_files();
	learn_truth();
	my $old = $node->background_psql('postgres');
	$old->query_safe('SET client_min_messages = error');
	my $ask = sub { return $old->query_safe("$searches->{nearest}; SELECT brain.last_search()->>'path'"); };
	is($ask->(), "$truth{nearest}\nmatrix", 'a session with the older library');
	new_log();
	$replace->($ENV{BRAIN_NEWER_LIBRARY});
	is(path(), 'matrix', 'the newer one makes a file of its own');
	like((complaints())[0], qr/another format version/, 'since the format is another one');
	is(examine(), '', 'all searches with the newer one');
	is($ask->(), "$truth{nearest}\nmatrix", 'the older session goes on');
	change(30);
	sql('SELECT * FROM brain.sync()');
	learn_truth();
	is(path(), 'matrix', 'a sync by the newer one');
	like($ask->(), qr/^\Q$truth{nearest}\E\n/, 'the older session is right');
	change(30);
	$old->query_safe('SELECT * FROM brain.sync()');
	learn_truth();
	is($ask->(), "$truth{nearest}\nmatrix", 'a sync by the older one');
	is(examine(), '', 'the newer one is right');
	$old->quit;
	is(mended(), '', 'and mends it');
	$replace->($node->basedir . '/older.so');
	is(examine(), '', 'back to the older one');
	is(mended(), '', 'mended');
	new_log();
}

# ---- brain.max_matrix_size -----------------------------------------------------------------------

{
	my ($name) = make_three_files();
	my $kB = int((-s "$files/$name") / 1024);
	sql(qq{SET brain.max_matrix_size = @{[ int($kB / 2) ]}; SELECT FROM brain.compute_similarity('t', 'k', metric => 'euclidean', skip_failures => true, overwrite => true)});
	is(path(), 'table', 'a matrix larger than brain.max_matrix_size is not made');
	like(sql(q{SELECT brain.get_brain_info('t', 'k')->'index'->'base'->>'reason'}), qr/larger than brain.max_matrix_size/, 'get_brain_info() says so');
	sql('SELECT * FROM brain.sweep()');
	is(misfits(), '', 'nothing is left of it');
	sql(qq{SET brain.max_matrix_size = @{[ $kB + 100 ]}; SELECT * FROM brain.sync()});
	is(path(), 'matrix', 'with more room a sync makes it');
	sql(q{SET brain.max_matrix_size = 0; SELECT FROM brain.compute_similarity('t', 'k', metric => 'euclidean', skip_failures => true, overwrite => true)});
	is(path(), 'table', '0 makes none');
	like(sql(q{SELECT brain.get_brain_info('t', 'k')->'index'->'base'->>'reason'}), qr/brain.max_matrix_size is 0/, 'and that is said');
	like(said(q{CREATE ROLE nobody; SELECT brain.version(); SET ROLE nobody; SET brain.max_matrix_size = 1}), qr/permission denied/, 'only a superuser sets it');
	is(mended(), '', 'mended');
	unlink map { "$files/$_" } files();
	is(sql(qq{SET client_min_messages = error; SET brain.max_matrix_size = @{[ int($kB / 2) ]}; SELECT count(*) FROM brain.sort_by_similarity('t', 5, k => 10); SELECT brain.last_search()->>'path'}),
		"10\ntable", 'a search makes no larger one either');
	is(join('', files()), '', 'nor leaves a part of it');
	is(mended(), '', 'mended');
	new_log();
}

# ---- made by a search ------------------------------------------------------------------------------

{
	my $search = q{SELECT count(*) FROM brain.sort_by_similarity('t', 5, k => 10)};
	my $quiet = 'SET client_min_messages = error;';
	my $lose = sub { unlink map { "$files/$_" } files(); };

	$lose->();
	sql("$quiet BEGIN; INSERT INTO t VALUES (999999, 1, vector(5)); $search; ROLLBACK");
	is(join('', files()), '', 'a transaction that has written makes no file');
	sql("$quiet BEGIN; SAVEPOINT s; INSERT INTO t VALUES (999999, 1, vector(5)); ROLLBACK TO s; $search; ROLLBACK");
	is(join('', files()), '', 'nor one that has taken that back');
	sql("$quiet BEGIN ISOLATION LEVEL SERIALIZABLE; $search; COMMIT");
	is(scalar(grep { /\.reader$/ } files()), 1, 'one that only reads does');
	my ($made) = files();
	my $inode = (stat "$files/$made")[1];
	is(path(), 'matrix', 'the next session uses it');
	is((stat "$files/$made")[1], $inode, 'and makes no other');

	# an older snapshot has seen less
	my $older = $node->background_psql('postgres');
	$older->query_safe("$quiet BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
	my $before = $older->query_safe("SET brain.use_matrix = off; $searches->{nearest}; RESET brain.use_matrix");
	sql(q{INSERT INTO t SELECT 800000, 1, embedding FROM queries WHERE n = 7});
	$lose->();
	is(path(), 'matrix', 'a file that a later snapshot has made');
	is($older->query_safe("$searches->{nearest}; SELECT brain.last_search()->>'path'"), "$before\ntable", 'is not for an older one');
	$older->query_safe('COMMIT');
	is($older->query_safe("$searches->{nearest}; SELECT brain.last_search()->>'path'") =~ s/.*\n//r, 'matrix', 'until that has ended');
	$older->quit;

	# running transactions are in the file
	sql('BEGIN;' . change_sql(15, $upset += 7) . "PREPARE TRANSACTION 'pending'");
	sql('CREATE TABLE later (); DROP TABLE later');
	$lose->();
	is(path(), 'matrix', 'a file made beside a writer');
	my ($reader) = files();
	my $header = slurp_header("$files/$reader");
	is($header->{running_length}, 8, 'names its transaction');
	flip_bit("$files/$reader", $header->{running_offset} + 3, 2);
	unlike(path(), qr/WRONG/, 'a flipped bit in that');
	sql(q{COMMIT PREPARED 'pending'});
	unlike(path(), qr/WRONG/, 'the writer has committed');
	is(mended(), '', 'mended');

	# whose rows, whose code
	sql(q{CREATE ROLE owner LOGIN; CREATE ROLE caller LOGIN; GRANT USAGE ON SCHEMA public TO owner, caller; GRANT CREATE ON SCHEMA public TO owner;
		GRANT SELECT ON queries TO owner, caller; ALTER TABLE t OWNER TO owner; GRANT SELECT ON t TO caller; GRANT EXECUTE ON FUNCTION vector TO PUBLIC});
	my $as = sub {
		my ($role, $statement) = @_;
		return $node->safe_psql('postgres', "$quiet $statement", extra_params => [ '-U', $role ]);
	};
	my $asked = is_right('t', 9);
	$lose->();
	is($as->('caller', $asked), "t\nmatrix", 'who may only read makes a file, with the rights of the owner');
	sql('CREATE POLICY p ON t FOR SELECT TO caller USING (tag = 3); CREATE POLICY q ON t TO owner USING (true); ALTER TABLE t ENABLE ROW LEVEL SECURITY');
	$lose->();
	like($as->('caller', $asked), qr/^t\n/, 'one who may see some of the rows');
	is(path(), 'matrix', 'makes a file of all');
	like(join(' ', files()), qr/^\S+\.reader$/, 'that one') if files();
	sql('ALTER TABLE t FORCE ROW LEVEL SECURITY');
	$lose->();
	like($as->('caller', $asked), qr/^t\n/, 'FORCE ROW LEVEL SECURITY');
	like($as->('owner', $asked), qr/^t\ntable$/, 'the owner, too');
	is(join('', files()), '', 'makes no file');
	like(sql(q{SELECT reason FROM brain.sync('t', 'k')}), qr/row security is forced on the owner/, 'nor does a sync');
	sql('ALTER TABLE t NO FORCE ROW LEVEL SECURITY; ALTER TABLE t DISABLE ROW LEVEL SECURITY; DROP POLICY p ON t; DROP POLICY q ON t');
	sql(q{SELECT brain.sync()});
	is(mended(), '', 'mended');

	# a filter that calls the owner's code
	$as->('owner', q{CREATE FUNCTION chosen(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE LOG 'chosen by %', current_user; RETURN $1 < 6; END$$;
		CREATE TABLE f (id int PRIMARY KEY, tag int, embedding real[]); INSERT INTO f SELECT id, tag, embedding FROM t WHERE id BETWEEN 1 AND 600 AND cardinality(embedding) = 64;
		DELETE FROM f WHERE NOT chosen(tag);
		SELECT FROM brain.compute_similarity('f', 'k', metric => 'euclidean', filter => 'chosen(tag)'); GRANT SELECT ON f TO caller});
	my ($run) = sql(q{SELECT run_id FROM brain._runs WHERE dataset_name = 'f'});
	unlink glob "$files/*.$run.*";
	like($as->('caller', is_right('f', 9)), qr/^t\n|^f\ntable$|^t\ntable$/, 'a filter with code of an ordinary owner');
	is(join('', grep { /\.\Q$run\E\./ } files()), '', 'makes no file when somebody else searches');
	is($as->('owner', is_right('f', 9)), "t\nmatrix", 'when the owner does, it does');
	is($as->('caller', is_right('f', 9)), "t\nmatrix", 'which is then for others, too');
	sql('DROP TABLE f');
	is(mended(), '', 'mended');
	new_log();
}

# ---- copied, renamed and dropped databases -----------------------------------------------------------

{
	sql('CREATE DATABASE copied TEMPLATE postgres');
	new_log();
	is(path('t', 'copied'), 'matrix', 'a database copied from a template makes a file of its own');
	is(scalar complaints(), 1, 'and says why');
	$node->safe_psql('copied', q{SET client_min_messages = error; UPDATE t SET embedding = vector(id + 0.5) WHERE id < 100; SELECT * FROM brain.sync()});
	is(path('t', 'copied'), 'matrix', 'syncs it');
	is(path(), 'matrix', 'the template is as it was');
	my ($oid) = sql(q{SELECT oid FROM pg_database WHERE datname = 'copied'});
	$node->safe_psql('copied', 'SELECT * FROM brain.sweep()');
	new_log();
	copy((map { "$files/$_" } grep { !/^$oid\./ } files())[0], $files . '/' . (grep { /^$oid\./ } files())[0]) or die $!;
	is(path('t', 'copied'), 'matrix', q{the template's file under the copy's name});
	like((complaints())[0], qr/another database/, 'is not used');
	$node->safe_psql('copied', 'SELECT * FROM brain.sweep()');
	$node->safe_psql('copied', 'ALTER TABLE t RENAME TO u; SELECT * FROM brain.sync()');
	sql('ALTER DATABASE copied RENAME TO renamed');
	is(path('u', 'renamed'), 'matrix', 'a renamed database keeps its files');
	is(sql('SELECT * FROM brain.sweep()'), '', q{another database's files are left alone});
	append_to_file("$files/$oid.00000000-0000-4000-8000-000000000001.00000000-0000-4000-8000-000000000002.12345.tmp", 'x');
	append_to_file("$files/somebody's own", 'x');
	sql('DROP DATABASE renamed');
	cmp_ok(scalar(grep { /^$oid\./ } files()), '>=', 2, 'DROP DATABASE leaves its files');
	like(sql('SELECT string_agg(kind, $$,$$) FROM brain.sweep()'), qr/^file(,file)+$/, 'brain.sweep() elsewhere removes them');
	is(scalar(grep { /^$oid\./ } files()), 0, 'all');
	ok(-e "$files/somebody's own", 'and nothing that is not ours');
	unlink "$files/somebody's own";
	is(mended(), '', 'nothing else is gone');
}

# ---- a standby, and its promotion -----------------------------------------------------------------------

{
	make_three_files();
	$node->backup('base');
	is(join('', glob $node->backup_dir . "/base/$directory/*"), '', 'a base backup leaves them out');
	my $standby = PostgreSQL::Test::Cluster->new('standby', install_path => dirname($ENV{BRAIN_FAULTS_BINDIR}));
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->start;
	my $there = sub { return map { basename($_) } glob $standby->data_dir . "/$directory/*"; };
	my $ask = sub { return $standby->safe_psql('postgres', 'SET client_min_messages = error;' . is_right('t', ++$compared % 400 + 1)); };
	for my $round (1 .. 3)
	{
		change(20);
		sql('SELECT * FROM brain.sync()');
		sql('SELECT pg_switch_wal()');
		$node->wait_for_catchup($standby);
		is($ask->(), "t\nmatrix", 'a standby makes a file for itself');
		is($ask->(), "t\nmatrix", 'and uses it');
	}
	cmp_ok(scalar $there->(), '<=', 2, 'those of older generations go');
	my $log = -s $standby->logfile;
	$standby->promote;
	is($ask->(), "t\nmatrix", 'promoted, it makes another');
	like(slurp_file($standby->logfile, $log), qr/another timeline/, 'since that one belongs to another timeline');
	$standby->safe_psql('postgres', 'SET client_min_messages = error;' . change_sql(20, 5) . 'SELECT * FROM brain.sync(); SELECT * FROM brain.sweep()');
	is($ask->(), "t\nmatrix", 'and syncs');
	is(scalar(grep { /\.reader$/ } $there->()), 0, 'nothing is left of the standby');
	$standby->stop;
}

# ---- DROP EXTENSION ---------------------------------------------------------------------------------------

cmp_ok(scalar files(), '>', 0, 'there are files');
sql('DROP EXTENSION milvus_brain');
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname ~ '^brain_track'}), '0', 'DROP EXTENSION takes the triggers along');
cmp_ok(scalar files(), '>', 0, 'and leaves the files');
like(slurp_file('../README.md'), qr/after DROP EXTENSION\?.*brain\.sweep\(\)/s, 'the README says how to remove them');
sql('INSERT INTO t VALUES (700000, 1, vector(3)); CREATE EXTENSION milvus_brain');
like(sql('SELECT string_agg(kind, $$,$$) FROM brain.sweep()'), qr/^file(,file)*$/, 'brain.sweep() of a new one removes them');
is(join('', files()), '', 'all');

is(join('; ', slurp_file($node->logfile) =~ /^.*(?:PANIC|TRAP|terminated by signal (?!9)).*$/mg), '', 'no crash but those that were made');
note("$compared answers compared with plain SQL");
$node->stop;
done_testing();
