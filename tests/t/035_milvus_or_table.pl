# Guards against: a search with a filter that asks Milvus where the planner expects few
# rows, or too few for k; one that asks the table where it expects many; one that begins
# with so few candidates that it has to ask again; a wrong answer where the planner is
# wrong, or where more samples are equally near than Milvus has named; a search that
# fails because its server was dropped, is not for the caller, or has options that do
# not go together; one that does not fail although its own options are wrong.
#
# The planner is told how many rows there are, by pg_class. Each answer is compared with
# that of an exact run over the same table, as text. The server is t/fake_milvus.py, which
# compares all vectors, and counts what it is asked.
use strict;
use warnings FATAL => 'all';

use FakeMilvus;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($fake, $node) = FakeMilvus->with_node('main');

sub sql { my ($statements) = @_; return $node->safe_psql('postgres', $statements); }

# What statements print, in a session of their own, and what they say.
sub try
{
	my ($statements) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $statements, on_error_stop => 0);
	return ($out // '', ($err // '') =~ s/^psql:<stdin>:\d+: //gmr);
}

my $main = $fake->uri('main');
sql(<<"SQL");
CREATE EXTENSION milvus_brain;
CREATE ROLE reader;
GRANT USAGE ON SCHEMA brain TO reader;
CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$main');
GRANT USAGE ON FOREIGN SERVER m TO reader;
CREATE FUNCTION vec(i double precision) RETURNS real[] IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
	'SELECT array_agg((sin(i * 0.7 + d * d * 1.3) * (1 + i::int % 13 / 7.0) + cos(i * i * 0.01 * d))::real) FROM generate_series(1, 8) d';
CREATE TABLE t (id integer PRIMARY KEY, part integer, rare integer, embedding real[]);
INSERT INTO t SELECT i, i % 20, i % 1000, vec(i) FROM generate_series(1, 2000) i;
CREATE INDEX ON t (rare);
GRANT SELECT ON t TO reader;
CREATE FUNCTION among(id integer, ids integer[]) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN id = ANY (ids); END';
-- so many rows, as the planner sees it
CREATE FUNCTION pretend(rel regclass, rows real) RETURNS void LANGUAGE sql AS
	'UPDATE pg_class SET reltuples = \$2, relpages = greatest(pg_relation_size(oid) / 8192, 1) WHERE oid = \$1';
SQL

sub compute
{
	my ($table, $more) = @_;
	return sql(<<"SQL");
SELECT brain.compute_similarity('$table', 'm', backend => 'milvus', server => 'm', options => '{"index_type": "FLAT", "index_params": {}}'$more);
SELECT brain.compute_similarity('$table', 'e', metric => 'dotproduct'$more);
ANALYZE $table
SQL
}
compute('t', '');

# A search is answered as the exact run is, and by whom it should be.
#	before, after: statements around it; query; asked: how many requests Milvus got;
#	topk: least and most of the last one; why the table; rows: how many
#	says: what is on stderr
sub same
{
	my ($name, $path, $arguments, %o) = @_;
	my $table = $o{table} // 't';
	my $query = $o{query} // 'vec(1000.5)';
	my $search = sub {
		my ($key) = @_;
		return "SELECT '$key ' || row_to_json(s) FROM brain.sort_by_similarity('$table', $query, $arguments, brain_key => '$key') s ORDER BY rank;\n";
	};
	$fake->script();
	my ($out, $err) = try(($o{before} // '') . ";\n" . $search->('m') .
		  "SELECT format('path %s %s', brain.last_search()->>'path', brain.last_search()->>'rounds');\n" . $search->('e') . ($o{after} // ''));
	my $asked = $fake->count('Search');
	my @m = $out =~ /^m (.*)/mg;
	my @e = $out =~ /^e (.*)/mg;
	is("@m", "@e", "$name: as the exact run");
	is(scalar(@m), $o{rows} // 10, "$name: so many rows");
	is(($out =~ /^path (\w+)/m)[0], $path, "$name: answered by");
	like($err, $o{says} // qr/^$/, "$name: what it says");
	is($asked, $o{asked} // ($path eq 'milvus' ? 1 : 0), "$name: so often Milvus was asked");

	# the same is told by brain.explain_similarity()
	my ($explained) = try(($o{before} // '') . qq{;
SELECT 'plan ' || plan || '|' || coalesce(why, '') || '|' || coalesce(substring(request, 'topk (\\d+)'), '') || '|' || candidates || '|' || refills
  FROM brain.explain_similarity('$table', $query, $arguments, brain_key => 'm');
} . ($o{after} // ''));
	my ($plan, $why, $topk, $candidates, $refills) = split /\|/, ($explained =~ /^plan (.*)/m)[0] // '', -1;
	is($plan, $path, "$name: the plan");
	like($why, $o{why} // qr/^$/, "$name: why");
	is($refills, $asked > 0 ? $asked - 1 : 0, "$name: how often more were asked for");
	if ($path eq 'table' && !$asked) { is("$topk $candidates", ' 0', "$name: Milvus is not asked"); }
	if ($o{topk}) { ok($topk >= $o{topk}[0] && $topk <= $o{topk}[1], "$name: $topk candidates"); }
	return;
}
my $few = qr/^fewer than 16384 samples are expected to pass the filter$/;
my $too_few = qr/^of 16384 candidates fewer than k are expected to pass the filter$/;

# ---- the planner decides ---------------------------------------------------

same('no filter', 'milvus', 'k => 10', topk => [ 26, 26 ]);
same('a filter, of few rows', 'table', q{k => 10, filter => 'part = 3'}, why => $few);
same('a filter that keeps most of few', 'table', q{k => 10, filter => 'part <> 3'}, why => $few);
# a tenth of what the rows that pass need: once without asking for more
sql(q{SELECT pretend('t', 1000000)});
same('a filter, of many rows', 'milvus', q{k => 10, filter => 'part = 3'}, topk => [ 500, 1000 ]);
same('a filter that keeps most of many', 'milvus', q{k => 10, filter => 'part <> 3'}, topk => [ 26, 50 ]);
same('a filter that keeps all', 'milvus', q{k => 10, filter => 'true'}, topk => [ 26, 50 ]);
same('many of a filter', 'milvus', q{k => 90, filter => 'part = 3'}, rows => 90, topk => [ 2000, 4000 ]);
same('a filter and a distance', 'milvus', q{k => 10, filter => 'part = 3', max_distance => -1e6}, rows => 0);
same('a filter and an id', 'milvus', q{k => 10, filter => 'part = 3'}, query => '7');
same('a filter that keeps few of many', 'table', q{k => 10, filter => 'rare = 7'}, rows => 2, why => $few);
same('a filter that keeps few for k', 'table', q{k => 1000, filter => 'part = 3'}, rows => 100, why => $too_few);
same('as many as a filter is expected to keep', 'milvus', q{k => 700, filter => 'part = 3'}, rows => 100, topk => [ 14000, 16384 ]);
is(sql(q{SELECT plan, why FROM brain.explain_similarity('t', 7, k => NULL, filter => 'part = 3', brain_key => 'm')}), 'table|all rows are asked for', 'what Milvus cannot do is said before');
same('rows that nobody else sees yet', 'milvus', q{k => 10, filter => 'part = 3'},
	before => 'BEGIN; INSERT INTO t SELECT i, 3, 3, vec(1000.5 + i / 1e4) FROM generate_series(2001, 2005) i; DELETE FROM t WHERE id IN (3, 23, 43)', after => 'ROLLBACK');

# row security is a filter too, of whom it is for
sql(q{ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO reader USING (id % 10 < 5); SELECT pretend('t', 400000)});
same('row security alone', 'milvus', 'k => 10', before => 'SET ROLE reader');
same('a filter for who sees all', 'milvus', q{k => 10, filter => 'part = 3'}, topk => [ 500, 1000 ]);
same('row security leaves few of it', 'table', q{k => 10, filter => 'part = 3'}, before => 'SET ROLE reader', why => $few);
sql(q{SELECT pretend('t', 2000000); UPDATE brain._bases SET rows = 2000000});
same('row security and a filter', 'milvus', q{k => 10, filter => 'part = 3'}, before => 'SET ROLE reader', topk => [ 1500, 3000 ]);
sql(q{SELECT pretend('t', 1000000); UPDATE brain._bases SET rows = 2000; ALTER TABLE t DISABLE ROW LEVEL SECURITY});

# ---- the planner is wrong --------------------------------------------------

same('few pass where many are expected', 'milvus', q{k => 10, filter => 'among(id, ''{5,1999}'')'}, rows => 2, asked => 6);
same('none passes where many are expected', 'milvus', q{k => 10, filter => 'among(id, ''{}'')'}, rows => 0, asked => 6);
sql(q{SELECT pretend('t', 5)});
same('many pass where few are expected', 'table', q{k => 10, filter => 'part <> 3'}, why => $few);
sql(q{UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = 't'::regclass});
same('nothing is known of the table', 'table', q{k => 10, filter => 'part = 3'}, why => $few);
sql(q{DELETE FROM pg_statistic WHERE starelid = 't'::regclass; SELECT pretend('t', 10000000)});
same('nothing is known of its columns', 'milvus', q{k => 10, filter => 'part = 3'}, asked => 1, topk => [ 2000, 16384 ]);
sql(q{ANALYZE t});

# ---- the table is read as its query would be -------------------------------

is(sql(q{SET enable_seqscan = off; BEGIN;
	SELECT count(*) FROM brain.sort_by_similarity('t', vec(1000.5), k => 10, filter => 'rare = 7', brain_key => 'm');
	SELECT brain.last_search()->>'path', seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 't'; COMMIT}), "2\ntable|0|1", 'with an index on the column of the filter');

# ---- errors of a filter ----------------------------------------------------

foreach my $rows (5, 1000000)
{
	sql("SELECT pretend('t', $rows)");
	foreach ([ 'no such column', 'colour = 3' ], [ 'no expression', 'part = 3)' ], [ 'division by zero', '1 / (part - 3) > 0' ])
	{
		my ($name, $filter) = @$_;
		my ($m, $e) = map { (try("SELECT FROM brain.sort_by_similarity('t', 7, k => 10, filter => '$filter', brain_key => '$_')"))[1] =~ s/\n.*//sr } qw(m e);
		like($m, qr/^ERROR:  /, "$name, $rows rows: an error");
		is($m, $e, "$name, $rows rows: as on exact");
	}
}

# ---- other datasets --------------------------------------------------------

sql(q{CREATE VIEW v AS SELECT * FROM t WHERE id > 100;
	CREATE TABLE p (LIKE t, PRIMARY KEY (id)) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (10000);
	INSERT INTO p SELECT * FROM t});
compute('v', q{, id_field => 'id'});
compute('p', '');
compute('t', q{, overwrite => true, filter => 'part < 10'});
sql(q{SELECT pretend('t', 10000); SELECT pretend('p1', 10000); SELECT pretend('p2', 10000)});
same('a view: few', 'table', q{k => 10, filter => 'part = 3'}, table => 'v', why => $few);
same('partitions: few', 'table', q{k => 10, filter => 'part = 3'}, table => 'p', why => $few);
same('a filter of the run is none of the search', 'milvus', 'k => 10', topk => [ 26, 26 ]);
sql(q{SELECT pretend('t', 1000000); SELECT pretend('p1', 500000); SELECT pretend('p2', 500000)});
same('a view: many', 'milvus', q{k => 10, filter => 'part = 3'}, table => 'v');
same('partitions: many', 'milvus', q{k => 10, filter => 'part = 3'}, table => 'p');
same('a filter of the run, and one of the search', 'milvus', q{k => 10, filter => 'part = 3'});
# few of the samples have an embedding, and so are in the collection
sql(q{CREATE TABLE h AS SELECT id, part, CASE WHEN id <= 500 THEN embedding END AS embedding FROM t; ALTER TABLE h ADD PRIMARY KEY (id)});
compute('h', '');
sql(q{SELECT pretend('h', 1000000)});
same('few samples have an embedding', 'milvus', q{k => 10, filter => 'part = 3'}, table => 'h', topk => [ 500, 1000 ]);

# ---- an index that does not find all ------------------------------------------

# (its search_params tell the fake server how few)
sub with_index
{
	my ($table, $params, $metric) = @_;
	sql(qq{SELECT brain.compute_similarity('$table', 'm', backend => 'milvus', server => 'm', metric => '$metric', overwrite => true, options => '{"index_type": "FLAT", "index_params": {}, "search_params": $params}');
		SELECT brain.compute_similarity('$table', 'e', metric => '$metric', overwrite => true)});
	return;
}
my $ends = qr/^the collection's index does not find as many samples$/;
sql(q{CREATE TABLE s AS SELECT id, part, embedding FROM t WHERE id <= 500; ALTER TABLE s ADD PRIMARY KEY (id); ANALYZE s});
with_index('s', '{"found": 15}', 'euclidean');
same('fewer than k', 'table', 'k => 20', table => 's', rows => 20, why => $ends, asked => 1);
same('k, though fewer than were asked for', 'milvus', 'k => 10', table => 's');
my $radius = sql(q{SELECT max(distance) + 0.001 FROM (SELECT distance FROM brain.sort_by_similarity('s', vec(1000.5), k => 12, brain_key => 'e')) e});
same('fewer than k, which end beyond max_distance', 'table', "k => 20, max_distance => $radius", table => 's', rows => 12, why => $ends, asked => 1);
sql(q{DELETE FROM s WHERE id > 12});
sql(q{SELECT brain.sync('s')});
same('all that there are', 'milvus', 'k => 20', table => 's', rows => 12);
sql(q{INSERT INTO s SELECT id, part, embedding FROM t WHERE id BETWEEN 13 AND 500});
for my $metric (qw(euclidean cosine dotproduct))
{
	with_index('s', '{"without": ["7"]}', $metric);
	same("the query's own sample, $metric", 'milvus', 'k => 10', table => 's', query => 7);
	same("the query's own sample, alone, $metric", 'milvus', 'k => 1', table => 's', query => 7, rows => 1);
}
sql(q{UPDATE s SET embedding = vec(3000) WHERE id = 7});
same("the query's own sample, changed", 'milvus', 'k => 10', table => 's', query => 7);

# ---- ties ----------------------------------------------------------------------

# Milvus cuts its list somewhere among those that are equally near; here, by their ids.
sql(q{CREATE TABLE ties (id integer PRIMARY KEY, embedding real[]);
	INSERT INTO ties SELECT i, CASE WHEN i <= 20 THEN ARRAY[3 - i / 100.0, 1] WHEN i <= 120 THEN ARRAY[2, 1] ELSE ARRAY[1, i / 500.0] END FROM generate_series(1, 400) i;
	CREATE TABLE equals (id integer PRIMARY KEY, embedding real[]);
	INSERT INTO equals SELECT i, '{1, 1}' FROM generate_series(1, 17000) i});
compute($_, '') foreach qw(ties equals);
same('equally near, around rank k', 'milvus', 'k => 50', table => 'ties', query => q{'{1, 0}'}, rows => 50, asked => 2, topk => [ 132, 132 ]);
same('equally near, down to rank k', 'milvus', 'k => 120', table => 'ties', query => q{'{1, 0}'}, rows => 120, asked => 1);
same('equally near, more than Milvus names', 'table', 'k => 2000', table => 'equals', query => q{'{1, 0}'}, rows => 2000, asked => 5, why => qr/^too many samples are equally near$/);

# ---- the server is gone ----------------------------------------------------

my $notice = sub { my ($why) = @_; return qr/^NOTICE:  brain run "m" of "t" is answered from the table: $why\n(DETAIL: [^\n]*\n)?HINT:  brain\.on_backend_failure = error makes it an error\.$/; };
my $call = "SELECT sample_id FROM brain.sort_by_similarity('t', vec(1000.5), k => 3, brain_key => 'm'";
sql(q{GRANT SELECT ON t TO reader; CREATE USER MAPPING FOR reader SERVER m});
foreach (
	[ 'dropped', 'BEGIN; SET LOCAL client_min_messages = warning; DROP SERVER m CASCADE; SET LOCAL client_min_messages = notice', 'ROLLBACK', 'server "m" does not exist', '42704' ],
	[ 'another\'s of the name', 'BEGIN; ALTER SERVER m RENAME TO mine; CREATE FOREIGN DATA WRAPPER other; CREATE SERVER m FOREIGN DATA WRAPPER other', 'ROLLBACK', 'server "m" is not a server of milvus_fdw', '42809' ],
	[ 'not for the caller', 'BEGIN; REVOKE USAGE ON FOREIGN SERVER m FROM reader; SET LOCAL ROLE reader', 'ROLLBACK', 'permission denied for foreign server m', '42501' ],
	[ 'a password without a user', q{BEGIN; ALTER USER MAPPING FOR reader SERVER m OPTIONS (ADD password 'geheim'); SET LOCAL ROLE reader}, 'ROLLBACK', 'options "user" and "password" go together', '22023' ],
	[ 'a certificate without TLS', q{BEGIN; ALTER SERVER m OPTIONS (ADD server_name 'secret.example')}, 'ROLLBACK', 'option "server_name" is set, but TLS is off', '22023' ])
{
	my ($name, $before, $after, $why, $state) = @$_;
	my %o = (before => $before, after => $after, why => qr/^\Q$why\E$/, says => $notice->(quotemeta $why));
	same($name, 'table', 'k => 10', %o);
	my ($out, $err) = try("\\set VERBOSITY verbose\n$before;\nSET LOCAL brain.on_backend_failure = error; $call); $after");
	like($err, qr/^ERROR:  $state: \Q$why\E$/m, "$name: an error where that is wanted");
	unlike($err, qr/geheim|secret\.example|127\.0\.0\.1/, "$name: no secret in it");
	($out, $err) = try("$before;\n$call); $call); $after");
	unlike($err, qr/geheim|secret\.example|127\.0\.0\.1/, "$name: nor in the NOTICE");
	is(scalar(() = $err =~ /NOTICE:/g), 1, "$name: one NOTICE a session");
	($out, $err) = try("$before;\nSELECT count(*) FROM brain.get_embeddings('t', 'm', 7); SELECT count(*) FROM brain.neighbors('t', 'm', k => 1); $after");
	is("$out$err", "1\n1000", "$name: what asks no server");
}
same('it is there again', 'milvus', 'k => 10');

# what the call itself gets wrong stays an error, whatever the server
foreach ([ '{"password": "geheim"}', 'options "user" and "password" go together' ], [ '{"uri": "http://geheim@"}', 'invalid uri of a Milvus server' ], [ '{"server_name": "a.example"}', 'option "server_name" is set, but TLS is off' ])
{
	my ($options, $error) = @$_;
	my ($out, $err) = try("$call, options => '$options')");
	like($err, qr/^ERROR:  \Q$error\E/, "wrong options of the call: $options");
	unlike($err, qr/geheim/, "no secret in it: $options");
}
{
	my ($out, $err) = try("SET ROLE reader; $call, options => '{\"uri\": \"http://localhost:1\"}')");
	like($err, qr/^ERROR:  permission denied to change option "uri" of server "m"/, 'options that are not for the caller');
	($out, $err) = try("BEGIN; SET LOCAL client_min_messages = warning; DROP SERVER m CASCADE; SET LOCAL client_min_messages = notice; $call, options => '{\"request_timeout\": \"3s\"}'); ROLLBACK");
	like($err, $notice->('server "m" does not exist'), 'dropped, and options of the call: the table');
	is(scalar(split /\n/, $out), 3, 'dropped, and options of the call: its rows');
}

# ---- the leader of a parallel query, in a statement that writes -------------

sql(q{CREATE TABLE many AS SELECT i FROM generate_series(1, 10000) i; ANALYZE many});
foreach ([ 'there', '', 'milvus' ], [ 'gone', 'SET client_min_messages = warning; DROP SERVER m CASCADE;', 'table' ])
{
	my ($name, $before, $path) = @$_;
	my $create = qq{CREATE TABLE made_$name AS SELECT i, s.sample_id, brain.last_search()->>'path' AS path
  FROM (SELECT i FROM many WHERE i % 2500 = 0 OFFSET 0) many, LATERAL brain.sort_by_similarity('t', vec(i + 0.5), k => 1, brain_key => 'm') s};
	my ($out, $err) = try(qq{$before
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS off) $create; $create; SELECT count(*), min(path), max(path) FROM made_$name});
	like($out, qr/Gather.*Function Scan on sort_by_similarity s\n4\|$path\|$path$/s, "CREATE TABLE AS, in parallel, the server is $name");
	is($err, '', "CREATE TABLE AS, in parallel, the server is $name: no complaint");
}

$node->stop;
$fake->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|leaked|still referenced|while in COMMIT state/, 'no crash, no leak');
done_testing();
