# A hot standby answers every search as its primary does, and refuses what
# writes with a clean error; promoted, it writes. It must not need what only the
# primary has: a restored run, whose filter is parsed at each search, included.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION milvus_brain;
	CREATE TABLE t (id int PRIMARY KEY, label text, embedding real[]);
	INSERT INTO t SELECT i, 'l' || i % 3, ARRAY[cos(i), sin(2 * i), (i % 7) / 7.0] FROM generate_series(1, 30) i;
	CREATE VIEW v AS SELECT * FROM t WHERE id > 5;
	SELECT brain.compute_similarity('t', 'col', metric => 'euclidean');
	SELECT brain.compute_similarity('t', 'filtered', filter => 'label <> ''l2''');
	SELECT brain.compute_similarity('t', 'restored', filter => 'label <> ''l1''');
	SELECT brain.compute_similarity('v', 'view', id_field => 'id');
	SELECT brain.compute_similarity('t', 'hand', metric => 'euclidean', with_data => false);
	SELECT brain.add_to_index('t', 'hand', id, embedding) FROM t WHERE id <= 10;
	DELETE FROM brain._run_bindings WHERE run_id = (SELECT run_id FROM brain._runs WHERE brain_key = 'restored');
});
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub catch_up { $primary->wait_for_catchup($standby); return; }

my @reads = (
	q{SELECT * FROM brain.sort_by_similarity('t', 7, k => NULL, brain_key => 'col')},
	q{SELECT * FROM brain.sort_by_similarity('t', '[1,2,3]', k => 5, reverse => true, brain_key => 'filtered')},
	q{SELECT * FROM brain.sort_by_similarity('t', ARRAY[3, 5], aggregation => 'post-mean', brain_key => 'restored', filter => 'length(label) > 1')},
	q{SELECT * FROM brain.sort_by_similarity('v', 7, k => 5)},
	q{SELECT * FROM brain.sort_by_similarity('t', 3, brain_key => 'hand', max_distance => 1)},
	q{SELECT * FROM brain.similar_samples(NULL::t, 7, k => 5, brain_key => 'col')},
	q{SELECT * FROM brain.similar_samples(NULL::v, '[1,2,3]', k => 5)},
	q{SELECT * FROM brain.neighbors('t', 'col', k => 2)},
	q{SELECT * FROM brain.neighbors('v', 'view', max_distance => 1, filter => 'id > 2')},
	q{SELECT * FROM brain.get_embeddings('t', 'hand', ARRAY[3, 1, 2])},
	q{SELECT * FROM brain.get_embeddings('t', 'col') ORDER BY sample_id},
	q{SELECT * FROM brain.runs},
	q{SELECT * FROM brain.list_brain_runs('t', metric => 'l2')},
	q{SELECT brain.has_brain_run('t', 'col'), brain.get_brain_info('t', 'filtered')},
	q{SELECT brain_key, dimensions, indexed, missing, skipped FROM brain.load_brain_results('t', 'hand')},
	q{SELECT * FROM brain.progress},
	q{SELECT * FROM brain.capabilities()},
	q{SELECT brain.version()});
my @writes = (
	q{compute_similarity('t', 'new')}, q{compute_similarity('t', 'col', overwrite => true)},
	q{add_to_index('t', 'hand', 11, '[1,2,3]')}, q{add_to_index('t', 'col', 11, '[1,2,3]')},
	q{remove_from_index('t', 'hand', 1)}, q{remove_from_index('t', 'col', 1)},
	q{rename_brain_run('t', 'col', 'new')}, q{delete_brain_run('t', 'col')}, q{delete_brain_runs('t')},
	q{cleanup('t', 'hand')}, q{sync('t')}, q{sync()}, q{sweep()});

sub same_everywhere
{
	my ($when) = @_;
	catch_up();
	for my $read (@reads)
	{
		my $right = $primary->safe_psql('postgres', $read);
		my ($rc, $out, $err) = $standby->psql('postgres', $read);
		is("$out$err", $right, "$when: $read");
	}
	return;
}

is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'the standby is one');
same_everywhere('standby');

for my $write (@writes)
{
	my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT brain.$write");
	like($err, qr/ERROR:  25006: cannot execute \S+ (in a read-only transaction|during recovery)/, "refused: $write");
}
same_everywhere('after refused writes');

# what the primary changes arrives, with the names
$primary->safe_psql('postgres', q{
	INSERT INTO t VALUES (31, 'l0', '{0,0,1}'); DELETE FROM t WHERE id = 8; UPDATE t SET embedding = '{1,1,1}' WHERE id = 9;
	SELECT brain.remove_from_index('t', 'hand', 4);
	SELECT brain.compute_similarity('t', 'filtered', filter => 'label <> ''l0''', overwrite => true);
	SELECT brain.compute_similarity('t', 'more');
	ALTER TABLE t RENAME COLUMN embedding TO e; ALTER TABLE t RENAME COLUMN label TO class});
$reads[2] =~ s/label/class/;
same_everywhere('after changes and renames');
$primary->safe_psql('postgres', q{SELECT brain.delete_brain_run('t', 'more'); ALTER TABLE t DROP COLUMN e CASCADE});
catch_up();
is($standby->safe_psql('postgres', q{SELECT DISTINCT state || ' ' || reason FROM brain.list_brain_runs('t') WHERE embeddings_field IS NOT NULL}),
	'broken column "e" does not exist', 'a broken run is broken on the standby');
like(($standby->psql('postgres', q{SELECT brain.sort_by_similarity('t', 7, brain_key => 'col')}))[2], qr/brain run "col" of "t" is broken/, 'and says so');
$primary->safe_psql('postgres', q{ALTER TABLE t ADD COLUMN e real[]; UPDATE t SET e = ARRAY[id, 1, 2]; CREATE VIEW v AS SELECT * FROM t; SELECT brain.compute_similarity('v', 'view', id_field => 'id')});
same_everywhere('mended');

# a snapshot of the standby stays what it is
my $session = $standby->background_psql('postgres');
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $search = q{SELECT string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('t', 7, brain_key => 'col')};
my $first = $session->query_safe($search);
$primary->safe_psql('postgres', 'DELETE FROM t WHERE id IN (6, 8, 10)');
catch_up();
is($session->query_safe($search), $first, 'REPEATABLE READ on the standby');
$session->query_safe('COMMIT');
isnt($session->query_safe($search), $first, 'and afterwards not');
$session->quit;

$standby->promote;
is($standby->safe_psql('postgres', q{
	SELECT brain_key FROM brain.compute_similarity('t', 'new', metric => 'euclidean')}), 'new', 'promoted, it computes');
$standby->safe_psql('postgres', q{ALTER TABLE t RENAME TO u; SELECT brain.rename_brain_run('u', 'new', 'newer')});
is($standby->safe_psql('postgres', q{SELECT sample_id FROM brain.sort_by_similarity('u', 7, k => 1, brain_key => 'newer')}), '7', 'and follows renames');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM brain._runs WHERE dataset_name = 'u'}), $standby->safe_psql('postgres', q{SELECT count(*) FROM brain.list_brain_runs('u')}), 'of all its runs');

$standby->stop;
$primary->stop;
done_testing();
