# README.md says nothing that is not so: its SQL is run, from top to bottom in
# one session, and has to print what README.md shows.
#
# Every block ```sql is run, but for those with <!-- not run --> above them, and
# those with <!-- on Milvus -->, which 021_readme_milvus runs. t/Readme.pm says
# how outputs are compared. README.md as it should be is written to the log folder
# (build/results/15/tap/020_readme/README.md): read it, then copy it over.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Readme;
use Test::More;

my @lines = split(/\n/, slurp_file('../README.md'));
my @blocks = sql_blocks('', @lines);

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->start;

# The data are read from the demo's folder, as demo/run does.
my @outputs = run_psql($node, '\cd ../demo', map { $_->{sql} } @blocks);
shift @outputs;
compare_outputs(\@lines, \@blocks, \@outputs);

# The pictures are those that demo/run draws.
my ($pictures) = join("\n", @lines) =~ /^demo\/run show 42\n```\n\n```\n(.*?\n)```$/ms;
is(run_show(42), $pictures, 'README.md, demo/run show 42');

# "Getting started" is the demo's script, whole.
my $run = squeezed(join("\n", map { $_->{sql} } @blocks));
foreach my $statement (statements(slurp_file('../demo/demo.sql')))
{
	ok(index($run, $statement) >= 0, "README.md walks through: $statement");
}

# The reference has every function with its arguments and defaults, every
# setting, and every view with its columns.
my $text = squeezed(join("\n", @lines));
foreach my $named (split(/\n/, $node->safe_psql('postgres', <<'SQL')))
LOAD 'milvus_brain';
SELECT 'brain.' || proname || '(' || coalesce(args, '') || ')'
  FROM pg_proc,
       LATERAL (SELECT string_agg(arg, ', ' ORDER BY n)
                  FROM regexp_split_to_table(
                           regexp_replace(pg_get_function_arguments(pg_proc.oid),
                                          '::[a-z ]*', '', 'g'), ', ')
                       WITH ORDINALITY AS a (arg, n)
                 WHERE arg !~ '^OUT ') AS arguments (args)
 WHERE pronamespace = 'brain'::regnamespace AND proname !~ '^_'
UNION ALL
SELECT name FROM pg_settings WHERE name ~ '^brain\.'
UNION ALL
SELECT 'brain.' || relname || ': ' || string_agg(attname, ', ' ORDER BY attnum)
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
 WHERE relnamespace = 'brain'::regnamespace AND relkind = 'v' AND attnum > 0
 GROUP BY relname
ORDER BY 1;
SQL
{
	ok(index($text, $named) >= 0, "README.md has: $named");
}

$node->stop;

# It knows every error code, and the messages that it explains are ours, or
# PostgreSQL's.
my $sources = join('', map { slurp_file($_) } glob('../src/*.[ch] ../src/*/*.[ch]'));
foreach my $code (sorted_codes($sources))
{
	ok($text =~ /\| \w{5} [^|]*`$code`/ || $text =~ /`, \w{5} `$code`/, "README.md has the error $code");
}
my $postgres = join('|', 'could not determine polymorphic type', 'malformed array literal',
	'permission denied', 'must be owner', 'cannot execute', 'cannot alter table', 'pg_dump');
my ($troubleshooting) = join("\n", @lines) =~ /^## Troubleshooting\n(.*?)^## /ms;
foreach my $message (map { /`([^`]*)`/g } $troubleshooting =~ /^\|([^|]*)\|/mg)
{
	my @words = grep { /\w/ } split(/"[^"]*"|…|\d+|bigint/, $message);

	next if $message =~ /^($postgres)/;
	ok(!grep({ index($sources, $_) < 0 } @words), "the program says: $message");
}

# Its links lead somewhere.
my %anchors;
foreach my $heading (grep { /^##/ } @lines)
{
	my $anchor = lc $heading;

	$anchor =~ s/^#+ //;
	$anchor =~ s/[^\w -]//g;
	$anchor =~ s/ /-/g;
	$anchors{"#$anchor"} = 1;
}
foreach my $link ($text =~ /\]\(([^)]*)\)/g)
{
	next if $link =~ /^https:/;
	ok($link =~ /^#/ ? $anchors{$link} : -e "../$link", "the link $link");
}
done_testing();

# What the function of demo/run prints, without colours.
sub run_show
{
	my ($id) = @_;
	my $output = '';

	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';
	IPC::Run::run(
		[ 'bash', '-euc', <<'BASH', 'bash', $id ], '>&', \$output);
cd ..
eval "$(sed -n '/^script=/p; /^show() {/,/^}/p' demo/run)"
bin=$(dirname "$(command -v psql)") columns=80 colors=none bold='' plain=''
show "$1"
BASH
	$output =~ s/\A\n//;
	return trimmed($output);
}

# The conditions that the sources raise, by their names in PostgreSQL's manual.
sub sorted_codes
{
	my ($sources) = @_;
	my %codes;

	$codes{ lc $1 } = 1
	  while $sources =~ /(?:errcode\(|MakeProblem\(|return |\? |: )ERRCODE_(?:T_R_)?([A-Z_]+)/g;
	delete @codes{qw(warning e_r_i_e_event_trigger_protocol_violated e_r_i_e_trigger_protocol_violated)};
	return sort keys %codes;
}

sub statements
{
	my ($script) = @_;

	$script =~ s/^--.*\n//mg;
	$script =~ s/^(\\.*)$/$1;/mg;
	return grep { $_ ne '' } map { squeezed($_) } split(/;\n/, $script);
}

sub squeezed
{
	my ($text) = @_;

	$text =~ s/\s+/ /g;
	$text =~ s/^ | $//g;
	$text =~ s/\( /(/g;
	$text =~ s/ \)/)/g;
	return $text;
}
