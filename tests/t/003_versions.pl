# Runs move to a newer PostgreSQL: by pg_dump from 15 (real[]) and 16 (vector)
# into 18, and by pg_upgrade, which carries our binding table along though what
# it says (trees, function OIDs) means nothing in the new cluster.
#
# What cannot be done is not ours: Debian's PostgreSQL 15.20 stores an option
# pg_attver with each column of each table. pg_dump of 18 writes it out, and the
# server 18 refuses it. So 15 is dumped by its own pg_dump, and pg_upgrade from
# 15 is tested with that option taken out of pg_attribute by hand; without that
# it fails for any database with a table in it, as is shown.
use strict;
use warnings;
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $tmp = PostgreSQL::Test::Utils::tempdir;
my %bindir = (15 => $ENV{BRAIN_PG15_BINDIR}, 16 => $ENV{BRAIN_PG16_BINDIR}, 18 => $ENV{BRAIN_PG18_BINDIR});

my $old_node_number = 0;

sub old_node
{
	my ($version) = @_;
	my $node = PostgreSQL::Test::Cluster->new("old_${version}_" . $old_node_number++, install_path => dirname($bindir{$version}));
	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	$node->start;
	like($node->safe_psql('postgres', 'SHOW server_version'), qr/^$version\./, "a node of $version");
	return $node;
}

sub new_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	# as 15 and 16 are by default
	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8', '--no-data-checksums' ]);
	return $node;
}

# Datasets with embeddings of a type, and runs of each kind.
sub fill
{
	my ($node, $type) = @_;
	my $value = $type eq 'vector' ? 'ARRAY[cos(i), sin(2 * i), (i % 7) / 7.0]::real[]::vector(3)' : "ARRAY[cos(i), sin(2 * i), (i % 7) / 7.0]::$type";
	$node->safe_psql('postgres', 'CREATE DATABASE brains');
	$node->safe_psql('brains', ($type eq 'vector' ? 'CREATE EXTENSION vector;' : '') . qq{
		CREATE EXTENSION milvus_brain;
		CREATE SCHEMA s;
		CREATE FUNCTION s.good(label text) RETURNS boolean LANGUAGE sql IMMUTABLE AS \$\$ SELECT label <> 'l2' \$\$;
		CREATE TABLE s.images (gone int, id bigint PRIMARY KEY, label text, embedding @{[$type eq 'vector' ? 'vector(3)' : $type]});
		ALTER TABLE s.images DROP COLUMN gone;
		INSERT INTO s.images SELECT i, 'l' || i % 3, $value FROM generate_series(1, 40) i;
		CREATE TABLE parts (id uuid PRIMARY KEY, embedding $type) PARTITION BY HASH (id);
		CREATE TABLE part_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE part_2 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		INSERT INTO parts SELECT md5(id::text)::uuid, embedding FROM s.images;
		SELECT brain.compute_similarity('s.images', 'col', metric => 'euclidean');
		SELECT brain.compute_similarity('s.images', 'filtered', filter => 'label <> ''l1'' AND s.good(label)', metric => 'dotproduct');
		SELECT brain.compute_similarity('s.images', 'hand', with_data => false);
		SELECT brain.add_to_index('s.images', 'hand', id, embedding) FROM s.images WHERE id <= 10;
		SELECT brain.compute_similarity('parts', 'key')});
	return;
}

sub answers
{
	my ($node, $table) = @_;
	$table //= 's.images';
	return join "\n", $node->safe_psql('brains', q{SELECT samples, brain_key, metric, dimensions, id_field, embeddings_field, filter, indexed, missing, skipped, state, created FROM brain.runs ORDER BY brain_key}) =~ s/^[^|]*//rmg,
	  (map { $node->safe_psql('brains', qq{
			SELECT string_agg(sample_id || ' ' || encode(float8send(distance), 'hex'), ',' ORDER BY rank)
			  FROM brain.sort_by_similarity('$table', 3, k => NULL, brain_key => '$_')}) } qw(col filtered hand)),
	  $node->safe_psql('brains', q{
			SELECT string_agg(sample_id || ' ' || encode(float8send(distance), 'hex'), ',' ORDER BY rank)
			  FROM brain.sort_by_similarity('parts', md5('3')::uuid, k => NULL)});
}

# What a database that arrived has to go on doing.
sub lives_on
{
	my ($node, $right, $what) = @_;
	is(answers($node), $right, "$what: every run answers as before");
	$node->safe_psql('brains', q{ALTER TABLE s.images RENAME COLUMN label TO class; ALTER TABLE s.images RENAME TO pictures; ALTER SCHEMA s RENAME TO t});
	(my $renamed = $right) =~ s/label <> 'l1'/class <> 'l1'/;
	$renamed =~ s/s\.good\(label\)/t.good(class)/;
	is(answers($node, 't.pictures'), $renamed, "$what: runs follow renames");
	$node->safe_psql('brains', q{
		SELECT brain.compute_similarity('t.pictures', 'new');
		SELECT brain.compute_similarity('t.pictures', 'col', metric => 'euclidean', overwrite => true);
		SELECT brain.add_to_index('t.pictures', 'hand', id, embedding) FROM t.pictures WHERE id <= 12;
		SELECT brain.rename_brain_run('t.pictures', 'new', 'newer')});
	is($node->safe_psql('brains', q{SELECT string_agg(brain_key || ' ' || indexed || ' ' || state, ',') FROM brain.list_brain_runs('t.pictures')}),
		'col 40 ready,filtered 13 ready,hand 12 ready,newer 40 ready', "$what: calls work");
	$node->safe_psql('brains', 'DROP TABLE t.pictures; DROP TABLE parts');
	is($node->safe_psql('brains', 'SELECT (SELECT count(*) FROM brain._runs) + (SELECT count(*) FROM brain._run_bindings) + (SELECT count(*) FROM brain.embeddings)'),
		'0', "$what: and go with their datasets");
	$node->safe_psql('brains', 'DROP EXTENSION milvus_brain; CREATE EXTENSION milvus_brain');
	return;
}

# ---------- pg_dump and pg_restore ----------

my $new = new_node('new');
$new->start;
for my $case ([ 15, 'real[]' ], [ 15, 'double precision[]' ], [ 16, 'vector' ], [ 16, 'real[]' ])
{
	my ($version, $type) = @$case;
	my $what = "$version to 18, $type";
	my $old = old_node($version);
	fill($old, $type);
	my $right = answers($old);
	for my $format ('plain', 'custom')
	{
		my $file = "$tmp/$version.$format";
		# 16 by the pg_dump of 18, as PostgreSQL's documentation has it; 15 by its own
		my $pg_dump = $version == 15 ? "$bindir{15}/pg_dump" : "$bindir{18}/pg_dump";
		command_ok([ $pg_dump, '-d', $old->connstr('brains'), '-F', $format, '-f', $file ], "$what, $format: pg_dump");
		$new->safe_psql('postgres', 'DROP DATABASE IF EXISTS brains');
		$new->safe_psql('postgres', 'CREATE DATABASE brains TEMPLATE template0');
		if ($format eq 'plain')
		{
			command_ok([ "$bindir{18}/psql", '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr('brains'), '-f', $file ], "$what, $format: psql");
		}
		else
		{
			command_ok([ "$bindir{18}/pg_restore", '--exit-on-error', '-d', $new->connstr('brains'), $file ], "$what, $format: pg_restore");
		}
		lives_on($new, $right, "$what, $format");
	}
	$old->stop;
}
$new->stop;

# ---------- pg_upgrade ----------

sub upgrade
{
	my ($old, $new, $version) = @_;
	# pg_upgrade leaves scripts in the current directory
	my $dir = "$tmp/upgrade_" . $new->name;
	mkdir $dir;
	chdir $dir;
	my $result = run_log([ "$bindir{18}/pg_upgrade", '--no-sync', '-b', $bindir{$version}, '-B', $bindir{18},
		'-d', $old->data_dir, '-D', $new->data_dir, '-p', $old->port, '-P', $new->port, '-s', $new->host ]);
	return $result;
}

for my $case ([ 16, 'vector' ], [ 16, 'real[]' ], [ 15, 'real[]' ])
{
	my ($version, $type) = @$case;
	my $what = "pg_upgrade from $version to 18, $type";
	my $old = old_node($version);
	fill($old, $type);
	my $right = answers($old);
	if ($version == 15)
	{
		my $attver = $old->safe_psql('brains', q{SELECT count(*) FROM pg_attribute WHERE attoptions::text LIKE '%pg_attver%'});
		note("columns with pg_attver: $attver");
		for my $db ('postgres', 'brains', 'template1')
		{
			$old->safe_psql($db, q{
				SET allow_system_table_mods = on;
				UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '%pg_attver%'});
		}
	}
	$old->stop;
	my $upgraded = new_node("upgraded_${version}_" . ($type eq 'vector' ? 'vector' : 'real'));
	ok(upgrade($old, $upgraded, $version), $what);
	$upgraded->start;
	is($upgraded->safe_psql('brains', 'SELECT count(*) FROM brain._run_bindings'), '4', "$what: the old bindings came along");
	lives_on($upgraded, $right, $what);
	$upgraded->stop;
}

done_testing();
