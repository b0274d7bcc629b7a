# Guards against: a sync that sends what an asynchronous commit has not flushed yet,
# and a crash that then takes it back here, and not on the Milvus server. The server
# is t/fake_milvus.py.

use strict;
use warnings FATAL => 'all';

use FakeMilvus;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($fake, $node) = FakeMilvus->with_node('flush');
my $main = $fake->uri('main');

# nobody else flushes for a while
$node->append_conf('postgresql.conf', 'wal_writer_delay = 10s');
$node->restart;
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION milvus_brain;
CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$main');
CREATE TABLE t (id integer PRIMARY KEY, emb real[]);
INSERT INTO t SELECT i, ARRAY[i, 1, 0] FROM generate_series(1, 100) i;
SELECT FROM brain.compute_similarity('t', 'm', embeddings => 'emb', backend => 'milvus', server => 'm');
SQL
for my $change ('UPDATE t SET emb = ARRAY[0, 0, 5] WHERE id = 7', 'DELETE FROM t WHERE id = 8')
{
	$fake->script;
	is($node->safe_psql('postgres', qq{SET synchronous_commit = off; $change;
			SELECT pg_current_wal_insert_lsn() AS lsn \\gset
			SELECT s.action, s.changes, pg_current_wal_flush_lsn() >= :'lsn' FROM brain.sync('t', 'm') s}),
		'upsert|1|t', "flushed before it is sent: $change");
	cmp_ok($fake->count('Upsert') + $fake->count('Delete'), '==', 1, "it was sent: $change");
}

# so that a crash loses nothing of it
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT sample_id FROM brain.sort_by_similarity('t', ARRAY[0, 0, 1]::real[], k => 1); SELECT brain.last_search()->>'path'; SELECT count(*) FROM t}),
	"7\nmilvus\n99", 'after a crash');
$node->stop;
$fake->stop;
done_testing();
