# Guards against: a Milvus server, or what stands between, whose reply makes a
# session crash, hang or read what is not its own. Replies of three real servers
# are what libFuzzer begins with; see tests/fuzz_replies.
#
# BRAIN_FUZZ_SECONDS is how long; BRAIN_FUZZ_FOLDER keeps the inputs.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{BRAIN_FUZZ_SECONDS} // 30;
my $folder = $ENV{BRAIN_FUZZ_FOLDER} // PostgreSQL::Test::Utils::tempdir;

my %servers;
for my $line (split /\n/, slurp_file('fuzz/replies.txt'))
{
	my ($name, $hex) = split / /, $line;

	$servers{$1}++ if $name =~ /^(milvus(?:-lite)?-[\d.]+)-/;
	open my $out, '>:raw', "$folder/$name" or die $!;
	print $out pack('H*', $hex);
	close $out;
}
is(join(' ', sort keys %servers), 'milvus-2.3.5 milvus-lite-2.5.1 milvus-lite-3.2.2', 'replies of three servers');

my ($stdout, $stderr);
my $status = IPC::Run::run([ './fuzz_replies', $folder, $seconds ], '>', \$stdout, '2>', \$stderr);
my ($runs) = $stderr =~ /stat::number_of_executed_units:\s+(\d+)/;
ok($status, 'no crash, no hang, nothing for the sanitizers') or diag substr($stderr, 0, 3000), "\n...\n", substr($stderr, -6000);
cmp_ok($runs // 0, '>', 500 * $seconds, 'inputs tried: ' . ($runs // 0));
note $stderr =~ /^(#\d+\s+DONE.*)$/m;

done_testing();
