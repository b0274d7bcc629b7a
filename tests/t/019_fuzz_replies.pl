# Guards against: a Milvus server, or what stands between, whose reply makes a
# session crash, hang, keep more than it may or read what is not its own: in what
# it says with HTTP/2 and in frames, which libcurl hands to src/milvus/grpc.c, and
# in messages. Replies of three real servers are what libFuzzer begins with; see
# tests/fuzz_replies.
#
# BRAIN_FUZZ_SECONDS is how long; BRAIN_FUZZ_FOLDER keeps the inputs.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{BRAIN_FUZZ_SECONDS} // 30;
my $folder = $ENV{BRAIN_FUZZ_FOLDER} // PostgreSQL::Test::Utils::tempdir;
my $frames = "$folder/frames";
my $messages = "$folder/messages";
mkdir $_ foreach $frames, $messages;

sub write_input
{
	my ($path, $bytes) = @_;

	open my $out, '>:raw', $path or die $!;
	print $out $bytes;
	close $out;
	return;
}

# fuzz(WHAT, RUNS, ARGUMENTS...): so many inputs a second at least.
sub fuzz
{
	my ($what, $runs, @arguments) = @_;
	my ($stdout, $stderr) = ('', '');
	my $status = IPC::Run::run([ './fuzz_replies', @arguments ], '>', \$stdout, '2>', \$stderr);
	my ($n) = $stderr =~ /stat::number_of_executed_units:\s+(\d+)/;

	ok($status, "$what: no crash, no hang, nothing for the sanitizers") or diag substr($stderr, 0, 3000), "\n...\n", substr($stderr, -6000);
	cmp_ok($n // 0, '>', $runs * $arguments[-1], "$what: inputs tried: " . ($n // 0));
	note $stderr =~ /^(#\d+\s+DONE.*)$/m;
	return $stderr;
}

# ---------- inputs of fuzz/frames.c ----------

my ($ONCE, $TLS, $IDLE, $NO_TIME, $NO_MEMORY, $HTTP1, $REUSE_DEFECT) = map { 1 << $_ } 0 .. 6;

sub record { my ($kind, $bytes) = @_; return pack('a v/a*', $kind, $bytes // ''); }
sub headers { my (@lines) = @_; return join('', map { record('h', "$_\r\n") } @lines, ''); }
sub frame { my ($message) = @_; return pack('C N/a*', 0, $message); }
sub ended { my ($code, $words) = @_; return record('e', chr($code) . ($words // '')); }

my $head = headers('HTTP/2 200', 'content-type: application/grpc', 'trailer: grpc-status');
my $ok = headers('grpc-status: 0', 'grpc-message: ') . ended(0);

# What a server that is asked once answers, or what becomes of it.
my %ends = (
	'cut' => $head . record('b', substr(frame('a message'), 0, -1)) . $ok,
	'no frame' => $head . $ok,
	'cut in its head' => $head . record('b', substr(frame('a message'), 0, 3)) . $ok,
	'two frames' => $head . record('b', frame('one') x 2) . $ok,
	'two frames, in two parts' => $head . record('b', frame('one')) x 2 . $ok,
	'as much as may be' => $head . record('b', frame('x' x 4096)) . $ok,
	'a byte more' => $head . record('b', frame('x' x 4097)) . $ok,
	'4 GB' => $head . record('b', pack('C N a*', 0, 0xffffffff, 'x')) . $ok,
	'compressed' => $head . record('b', "\1" . substr(frame('a message'), 1)) . $ok,
	'no trailers' => $head . record('b', frame('a message')) . ended(0),
	'a status' => headers('HTTP/2 200', 'content-type: application/grpc', 'grpc-status: 14', 'grpc-message: 100%25 %41%zz%0A%00%E9%F') . ended(0),
	'a status after a reply' => $head . record('b', frame('a message')) . headers('Grpc-Status:13', "GRPC-MESSAGE:\t\xe9%e9 ") . ended(0),
	'a status that is none' => headers('HTTP/2 200', 'content-type: application/grpc', 'grpc-status: abc', 'grpc-message: ' . 'z%C3' x 3000) . ended(0),
	'an empty status' => headers('HTTP/2 200', 'content-type: application/grpc', 'grpc-status:') . ended(0),
	'a page' => headers('HTTP/2 404', 'content-type: text/html') . record('b', "<html>\0\xff" x 20) . ended(0),
	'a large page' => headers('HTTP/2 502') . record('b', '<html>' x 100) x 5 . ended(0),
	'a larger page' => headers('HTTP/2 200', 'content-type: text/plain') . record('b', '<html>' x 3000) . ended(0),
	'words, then a page' => headers('HTTP/2 200', 'grpc-message: ' . 'z' x 3000) . record('b', '<html>' x 3000) . ended(0),
	'closed before the headers' => record('s', "\1") . ended(52, "Empty reply\xff\n"),
	'closed in the body' => $head . record('b', substr(frame('a message'), 0, 9)) . ended(18, 'transfer closed'),
	'no HTTP/2' => record('s', "\1") . ended(16),
	'no connection' => ended(7, 'Failed to connect'),
	'no TLS' => ended(35) . ended(60) . ended(77),
	'sent twice' => record('s', "\1") x 2 . ended(55),
	'another port' => record('s', "\2") . ended(56),
	'too many sockets' => join('', map { record('f', chr($_) . "\3") } 1 .. 9) . $ok,
	'sockets, and a timer' => record('f', "\5\1") . record('t', "\7") . record('w', "\x01\x0b") . record('f', "\5\4") . record('f', "\6\2") . record('w', "\x0a") .
	  record('w', '') . record('w', "\0") . $head . record('t', "\xff") . record('w', "\x09") . record('b', frame('a message')) . $ok,
	'late' => record('s', "\1") . record('f', "\5\1") . record('w', "\x01") . record('w', "\x01") . $head . record('b', frame('a message')) . $ok,
	'a cancel' => record('s', "\1") . record('f', "\5\1") . record('w', '') . $head . record('b', frame('a message')) . $ok,
	'an error of the library' => record('x') . $ok);
my $answered = $head . record('b', frame('a message')) . $ok;
foreach my $name (keys %ends)
{
	foreach my $flags (0, $ONCE, $TLS, $IDLE | $ONCE, $NO_TIME, $NO_MEMORY | $ONCE, $HTTP1, $REUSE_DEFECT)
	{
		# on a new connection, and on one that has answered; and then again
		write_input("$frames/" . "$flags $name" =~ tr/A-Za-z0-9/-/cr, pack('C', $flags) . $ends{$name} . $answered . $ends{$name} x 2 . $answered);
	}
}

my (%servers, $n_cuts);
for my $line (split /\n/, slurp_file('fuzz/replies.txt'))
{
	my ($name, $hex) = split / /, $line;
	my $reply = pack('H*', $hex);
	my $bytes = frame(substr($reply, 8));

	$servers{$1}++ if $name =~ /^(milvus(?:-lite)?-[\d.]+)-/;
	write_input("$messages/$name", $reply);
	# in two parts, which is in the frame's head for some
	my $cut = $n_cuts++ % length($bytes);
	write_input("$frames/$name", "\0$head" . record('b', substr($bytes, 0, $cut)) . record('b', substr($bytes, $cut)) . $ok . $answered);
}
is(join(' ', sort keys %servers), 'milvus-2.3.5 milvus-lite-2.5.1 milvus-lite-3.2.2', 'replies of three servers');

my $said = fuzz('frames', 100, '--frames', $frames, 1 + int($seconds / 3));
like($said, qr/^stat::calls: [1-9]\d* answered, [1-9]\d* failed, [1-9]\d* raised an error$/m, 'frames: calls end in all ways');
fuzz('messages', 500, $messages, $seconds);

done_testing();
