# README.md's blocks of SQL, their outputs, and how both are compared: for
# 020_readme and 021_readme_milvus.
#
# A block ``` without a language right after one of ```sql is its output; a block
# without one must print nothing. Times are not compared.

package Readme;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(sql_blocks run_psql compare_outputs trimmed);

# The blocks that have a mark, <!-- mark -->, in the two lines above them, or none
# (''): the line of each, the index of its last line and of its output's, its
# statements and its output.
sub sql_blocks
{
	my ($mark, @lines) = @_;
	my @blocks;

	for (my $i = 0; $i < @lines; $i++)
	{
		next unless $lines[$i] eq '```sql';
		my ($marked) = "@lines[ ($i > 1 ? $i - 2 : 0) .. $i - 1 ]" =~ /<!-- (.*?) -->/;
		my %block = (line => $i + 1, output => '');
		my $end = fence($i + 1, @lines);

		$block{sql} = join("\n", @lines[ $i + 1 .. $end - 1 ]);
		$block{end} = $block{output_end} = $end;
		if ($end + 2 < @lines && $lines[ $end + 1 ] eq '' && $lines[ $end + 2 ] eq '```')
		{
			$block{output_end} = fence($end + 3, @lines);
			$block{output} = join('', map { "$_\n" } @lines[ $end + 3 .. $block{output_end} - 1 ]);
		}
		push @blocks, \%block if ($marked // '') eq $mark;
		$i = $block{output_end};
	}
	return @blocks;
}

# The index of the next line that ends a block.
sub fence
{
	my ($i, @lines) = @_;

	$i++ while $i < @lines && $lines[$i] ne '```';
	die 'a block of README.md has no end' if $i == @lines;
	return $i;
}

# What psql prints for each of the scripts, one after the other in one session.
sub run_psql
{
	my ($node, @scripts) = @_;
	my $mark = 'end of a block of README.md';
	my $stdin = join('', map { "$_\n\\echo $mark\n" } @scripts);
	my $output = '';

	IPC::Run::run([ 'psql', '-X', '-q', '-P', 'pager=off', $node->connstr('postgres') ],
		'<', \$stdin, '>&', \$output);
	my @outputs = map { trimmed($_) } split(/^\Q$mark\E\n/m, $output);
	push @outputs, '' while @outputs < @scripts;
	return @outputs;
}

# A test for each block; and README.md with these outputs, in the log folder.
sub compare_outputs
{
	my ($lines, $blocks, $outputs) = @_;
	my $readme = '';
	my $next = 0;    # index of the first line that is not in $readme yet

	foreach my $i (0 .. $#$blocks)
	{
		my ($block, $output) = ($blocks->[$i], $outputs->[$i]);

		is(masked($output), masked($block->{output}), "README.md, line $block->{line}");
		$output = $block->{output} if masked($output) eq masked($block->{output});
		$readme .= join('', map { "$_\n" } @$lines[ $next .. $block->{end} ]);
		$readme .= "\n```\n$output```\n" if $output ne '';
		$next = $block->{output_end} + 1;
	}
	$readme .= join('', map { "$_\n" } @$lines[ $next .. $#$lines ]);
	append_to_file("$PostgreSQL::Test::Utils::log_path/README.md", $readme);
	return;
}

sub trimmed
{
	my ($output) = @_;

	$output =~ s/ +$//mg;
	$output =~ s/\n+\z/\n/;
	return $output eq "\n" ? '' : $output;
}

# Output without what differs from run to run: how long things took, points in
# time, and which base of a run it is.
sub masked
{
	my ($output) = @_;
	my $masked = $output;

	$masked =~ s/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:?\d\d)?)?/TIME/g;
	$masked =~ s/\| *\d[\d.e-]*$/| SECONDS/mg if $output =~ /\| +seconds$/m;
	$masked =~ s/^seconds +\| .*/seconds | SECONDS/mg;
	$masked =~ s/ after \d+ ms: / after N ms: /g;
	$masked =~ s/("generation": ")[0-9a-f-]{36}/$1GENERATION/g;
	if ($masked ne $output)
	{
		$masked =~ s/-{2,}/--/g;
		$masked =~ s/ +/ /g;
	}
	return $masked;
}

1;
