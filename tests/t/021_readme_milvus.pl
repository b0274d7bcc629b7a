# README.md's chapter on Milvus says nothing that is not so: its blocks with
# <!-- on Milvus --> above them are run, from top to bottom in one session, on a
# database with the demo's digits and real servers, and have to print what
# README.md shows.
#
# localhost:19530 is a milvus-lite-3.2.2, milvus.example.com:19530 a milvus-2.3.5-tls
# with its own password and certificate. README.md as it should be is written to the
# log folder (build/results/15/tap/021_readme_milvus/README.md): read it, then copy
# it over.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Readme;
use Test::More;

my ($small, $secured) = map { server($_) } qw(milvus-lite-3.2.2 milvus-2.3.5-tls);
plan skip_all => 'milvus: milvus-lite-3.2.2 or milvus-2.3.5-tls does not run'
  unless $small->{uri} && $secured->{uri};

my @lines = split(/\n/, slurp_file('../README.md'));
my @blocks = sql_blocks('on Milvus', @lines);
cmp_ok(scalar @blocks, '>=', 15, 'README.md has blocks on Milvus');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->start;

my @outputs = run_psql($node, "\\cd ../demo\n\\o /dev/null\n\\i demo.sql\n\\o",
	map { really($_->{sql}) . settled($_->{sql}) } @blocks);
is(shift @outputs, '', 'the demo');
compare_outputs(\@lines, \@blocks, [ map { as_in_readme($_) } @outputs ]);

# It cleans up behind itself.
is($node->safe_psql('postgres', "SELECT count(*) FROM brain.runs WHERE backend = 'milvus'"), '0', 'no run is left');
is($node->safe_psql('postgres', 'SELECT count(*) FROM brain.garbage'), '0', 'nothing is left in brain.garbage');

$node->stop;
done_testing();

# What the run's server of a kind says of itself.
sub server
{
	my ($kind) = @_;

	return {} unless ($ENV{BRAIN_SERVERS_KINDS} // '') =~ /(^| )\Q$kind\E( |$)/;
	return { map { /^(\w+)=(.*)$/ ? ($1 => $2) : () } split(/\n/, `$ENV{BRAIN_SERVERS} info $kind`) };
}

# A block's statements, for the servers that there are.
sub really
{
	my ($sql) = @_;

	$sql =~ s{http://localhost:19530}{$small->{uri}}g;
	$sql =~ s{https://milvus\.example\.com:19530'}{$secured->{uri}', server_name '$secured->{server_name}'}g;
	$sql =~ s{/etc/ssl/milvus/ca\.pem}{$secured->{ca}}g;
	$sql =~ s{not-this-one}{$secured->{password}}g;
	return $sql;
}

sub as_in_readme
{
	my ($output) = @_;

	my ($host) = $small->{uri} =~ m{://(.*):};

	$output =~ s/"\Q$host\E\b/"localhost/g;
	# a build that takes its time says so, and README.md does not
	$output =~ s/^NOTICE:  compute_similarity: .*\n//gm;
	return $output;
}

# After a block that leaves a collection to the worker that drops it: wait until
# that has ended, so that what follows does not depend on which is faster.
sub settled
{
	my ($sql) = @_;

	return '' if $sql !~ /overwrite|delete_|cleanup|DROP TABLE/;
	return <<'SQL';

DO $$
BEGIN
	PERFORM pg_sleep(1);
	FOR i IN 1..600 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'milvus_brain sweep');
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
SQL
}
