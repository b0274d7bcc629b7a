# Guards against: a matrix file that makes a session crash, hang or read what is
# not its own. Bases of every kind, as a server writes them, are what libFuzzer
# begins with; see tests/fuzz_matrix.
#
# BRAIN_FUZZ_SECONDS is how long; BRAIN_FUZZ_FOLDER keeps the inputs.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{BRAIN_FUZZ_SECONDS} // 30;
my $folder = $ENV{BRAIN_FUZZ_FOLDER} // PostgreSQL::Test::Utils::tempdir;
my ($identity, $header, $checksums, $cut, $readers) = (1, 2, 4, 8, 16);

my $node = PostgreSQL::Test::Cluster->new('fuzz_matrix');
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->start;

# In autocommit: a sync takes in what is committed.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION milvus_brain;
CREATE TABLE small (id text PRIMARY KEY, embedding real[]);
INSERT INTO small SELECT 'id ' || i, ARRAY[cos(i), sin(i), i] FROM generate_series(1, 40) i;
CREATE TABLE rotated (id int PRIMARY KEY, embedding real[]);
INSERT INTO rotated SELECT i, ARRAY(SELECT (sin(i * j) * exp(-j / 8.0))::real FROM generate_series(1, 64) j) FROM generate_series(1, 600) i;
CREATE TABLE large (id int PRIMARY KEY, embedding real[]);
INSERT INTO large SELECT i, ARRAY(SELECT (sin(i * j) * exp(-j / 8.0))::real FROM generate_series(1, 64) j) FROM generate_series(1, 4100) i;
CREATE TABLE bad (id int PRIMARY KEY, embedding real[]);
INSERT INTO bad SELECT i, CASE WHEN i % 7 = 0 THEN '{0,0}' WHEN i % 11 = 0 THEN '{1}' ELSE ARRAY[i, 1] END FROM generate_series(1, 70) i;
CREATE TABLE empty (id int PRIMARY KEY, embedding real[]);

SELECT brain.compute_similarity('small', 'key', metric => 'euclidean');
SELECT brain.compute_similarity('rotated', 'key');
SELECT brain.compute_similarity('bad', 'key', skip_failures => true);
SELECT brain.compute_similarity('empty', 'key');
SELECT brain.compute_similarity('large', 'key');
SELECT brain.compute_similarity('small', 'whole', metric => 'dotproduct');
UPDATE small SET embedding = '{1,2,3}' WHERE id = 'id 3';
SELECT brain.sync('small', 'key');
DELETE FROM small WHERE id < 'id 2';
INSERT INTO small VALUES ('new', '{0,0,1}'), ('bad', '{NULL}');
SELECT brain.sync('small', 'key');
UPDATE rotated SET embedding[1] = 5 WHERE id % 100 = 0;
SELECT brain.sync('rotated');
SQL

my $directory = $node->data_dir . '/pgsql_tmp_milvus_brain';
my $n = 0;

sub keep
{
	my ($flags, @files) = @_;

	open my $out, '>:raw', "$folder/seed" . ++$n or die $!;
	print $out pack('CC', $flags, @files - 1), pack('L*', map { length } @files), @files;
	close $out;
}

sub content { return slurp_file($_[0]); }

# The files of each base, the oldest first.
my @bases = split /\n/, $node->safe_psql('postgres',
	q{SELECT string_agg((SELECT oid FROM pg_database WHERE datname = current_database()) || '.' || run_id || '.' || f, ' ' ORDER BY i)
		FROM brain._bases, unnest(files) WITH ORDINALITY AS u (f, i) GROUP BY run_id});
for my $base (@bases)
{
	my @files = map { content("$directory/$_") } split / /, $base;

	next if @files > 4;
	# the only one with a prefix is slow enough
	if (length $files[0] > 1e6)
	{
		keep($identity | $header | $checksums, @files);
		next;
	}
	keep($identity | $header | $checksums, @files);
	keep($identity | $header | $checksums | $cut, @files);
	keep($identity | $header, @files);
	keep($identity, @files);
}
is(scalar @bases, 6, 'six bases');
cmp_ok(scalar(grep { / / } @bases), '>=', 1, 'some with segments');

# What a search makes, with a transaction running that it does not see.
my $running = $node->background_psql('postgres');
$running->query_safe('BEGIN; SELECT pg_current_xact_id()');
unlink glob("$directory/*") or die $!;
$node->safe_psql('postgres', q{SELECT count(*) FROM brain.sort_by_similarity('small', 'new', brain_key => 'whole')});
my @reader = glob("$directory/*.reader");
is(scalar @reader, 1, 'a file of a reader');
keep($identity | $header | $checksums | $readers, map { content($_) } @reader);
$running->quit;
$node->stop;

my ($stdout, $stderr);
my $status = IPC::Run::run([ './fuzz_matrix', $folder, $seconds ], '>', \$stdout, '2>', \$stderr);
my ($runs) = $stderr =~ /stat::number_of_executed_units:\s+(\d+)/;
ok($status, 'no crash, no hang, nothing for the sanitizers') or diag substr($stderr, 0, 3000), "\n...\n", substr($stderr, -6000);
cmp_ok($runs // 0, '>', 50 * $seconds, 'inputs tried: ' . ($runs // 0));
note $stderr =~ /^(#\d+\s+DONE.*)$/m;

done_testing();
