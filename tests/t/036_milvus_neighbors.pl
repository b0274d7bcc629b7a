# Guards against: brain.neighbors() by Milvus that is another answer than that of
# all pairs: a sample of its own, one that has changed, one that is not the caller's
# or too far, one that is missed where the server's list ends short, within ties, or
# with numbers that it cannot compute with; one query's list taken for another's;
# a part of an answer left from before a failure; the server asked where it is
# slower. The server is t/fake_milvus.py, which knows no index and tells the truth,
# unless it is told not to. 032_milvus has the same on real ones.

use strict;
use warnings FATAL => 'all';

use FakeMilvus;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($fake, $node) = FakeMilvus->with_node('neighbors');

my $main = $fake->uri('main');
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION milvus_brain;
CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$main');
CREATE ROLE reader;
GRANT USAGE ON SCHEMA brain TO reader;
GRANT USAGE ON FOREIGN SERVER m TO reader;
CREATE USER MAPPING FOR reader SERVER m;
CREATE FUNCTION vec(i double precision) RETURNS real[] IMMUTABLE LANGUAGE sql AS 'SELECT ARRAY[sin(i), cos(i * 3) * (1 + i / 200), sin(i * 7), 0.5 + cos(i) / 3]::real[]';
SQL

sub sql { return $node->safe_psql('postgres', shift); }

# What statements said, and what they printed behind \\o.
sub session
{
	my @statements = @_;
	my ($out, $err) = ('', '');
	my $script = join("\n", '\set VERBOSITY verbose', '\set ON_ERROR_STOP 0', '\o /dev/null', 'SET client_min_messages = notice;', map { /^\\/ ? $_ : "$_;" } @statements);
	my $status = $node->psql('postgres', "$script\n", stdout => \$out, stderr => \$err, on_error_stop => 0);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	$err =~ s/^LOCATION:.*\n?//mg;
	return ($out, $err);
}

# A table with a milvus run, of an index or none, and an exact one.
sub table
{
	my ($n, $metric, $changes, $index) = @_;
	sql("DROP TABLE IF EXISTS t CASCADE; CREATE TABLE t (id integer PRIMARY KEY, emb real[]); GRANT SELECT ON t TO reader;
		INSERT INTO t SELECT i, vec(i) FROM generate_series(1, $n) i; " . ($changes // ''));
	sql(qq{SET client_min_messages = warning;
		SELECT FROM brain.compute_similarity('t', 'm', backend => 'milvus', server => 'm', metric => '$metric', options => '{"index_type": "@{[$index // 'FLAT']}", "index_params": {}}');
		SELECT FROM brain.compute_similarity('t', 'e', metric => '$metric')});
	return;
}

# path: milvus, or why not; rows; changes; more: a condition on last_search() s; before
sub same
{
	my ($name, $arguments, %o) = @_;
	my $neighbors = sub { my ($key) = @_; return "SELECT '$key ' || row_to_json(n) FROM brain.neighbors('t', '$key', $arguments) n ORDER BY sample_id::int, rank;\n"; };
	my $before = $o{before} // '';
	$fake->script();
	my ($out, $err) = session('SET brain.min_server_neighbors = 0', $before || 'SELECT', '\o', $neighbors->('m'),
		"SELECT 'said ' || (s->>'path') || ' ' || (s->>'changes') || ' ' || (@{[$o{more} // 'true']}) || ' ' || coalesce(s->>'reason', '') FROM brain.last_search() s", $neighbors->('e'));
	my (%lines, @problems);
	push @{ $lines{$1} }, $2 while $out =~ /^(\w+) (.*)$/mg;
	my ($m, $e, $said) = map { join "\n", @{ $lines{$_} // [] } } qw(m e said);
	my ($path, $changes, $more, $reason) = split / /, $said, 4;
	push @problems, "answers differ:\nmilvus:\n$m\nexact:\n$e" if $m ne $e;
	push @problems, "said $said" if $path ne ($o{reason} ? 'table' : 'milvus') || $reason !~ ($o{reason} // qr/^$/) || $more ne 'true';
	push @problems, "$changes changes" if $changes != ($o{changes} // 0);
	push @problems, scalar(@{ $lines{m} // [] }) . ' rows' if @{ $lines{m} // [] } != $o{rows};
	push @problems, "requests: " . $fake->count('Search') if $o{requests} && $fake->count('Search') != $o{requests};
	push @problems, "it said: $err" if defined $o{says} ? $err !~ $o{says} : $err ne '';
	return is(join("\n", @problems), '', $name);
}

# ---- the same as all pairs -------------------------------------------------------------

# 3 + 17 candidates for each of 100 samples in a request
my $scanned = q{(s->>'float32_rows')::int + (s->>'int8_rows')::int};
for my $metric (qw(cosine dotproduct euclidean))
{
	table(249, $metric, q{INSERT INTO t VALUES (1001, array_fill(1e19::real, ARRAY[4])), (1002, NULL)});
	same($metric, 'k => 3', rows => 750, changes => 1, requests => 3, more => "$scanned > 0");
	same("$metric: all", 'k => 1000', rows => 250 * 249, changes => 1);
	my $at = sql("SELECT max(distance) FROM brain.neighbors('t', 'e', k => 2) WHERE sample_id::int % 5 = 0");
	my $n = sql("SELECT count(*) FROM brain.neighbors('t', 'e', k => 9, max_distance => $at)");
	cmp_ok($n, '<', 9 * 250, "$metric: a distance that leaves some out");
	same("$metric: max_distance", "k => 9, max_distance => $at", rows => $n, changes => 1);
	same("$metric: a distance that none has", 'k => 3, max_distance => -1e30', rows => 0, changes => 1);
}
table(300, 'euclidean', q{CREATE POLICY p ON t FOR SELECT TO reader USING (id % 3 > 0); ALTER TABLE t ENABLE ROW LEVEL SECURITY});
same('a filter', 'k => 3, filter => $$id % 3 = 0$$', rows => 300);
same('row security', 'k => 3', before => 'SET ROLE reader', rows => 600);
same('both', 'k => 3, filter => $$id % 2 = 0$$', before => 'SET ROLE reader', rows => 300);
sql('UPDATE t SET emb = vec(id + 0.01) WHERE id = 7; UPDATE t SET emb = vec(21.0001) WHERE id = 100; DELETE FROM t WHERE id = 200');
same('changes', 'k => 4', changes => 3, rows => 299 * 4, more => "$scanned = 0");
same('own ones', 'k => 4', before => q{BEGIN; INSERT INTO t VALUES (900, vec(21.0002))}, changes => 4, rows => 300 * 4);
same('others have none of them', 'k => 4', changes => 3, rows => 299 * 4);
table(400, 'euclidean', 'UPDATE t SET emb = vec(1) WHERE id <= 60; UPDATE t SET emb = vec(2) WHERE id BETWEEN 101 AND 105');
same('ties', 'k => 3', rows => 1200, more => "(s->>'rounds')::int > 4 AND $scanned = 0");
table(450, 'euclidean', 'UPDATE t SET emb = vec(id * 1e-9 + 2) WHERE id <= 3; UPDATE t SET emb = vec(1) WHERE id > 100');
same('too many ties', 'k => 3', rows => 1350, reason => qr/cannot tell the neighbors of many/);
table(450, 'dotproduct', 'UPDATE t SET emb = $${0,0,0,0}$$ WHERE id IN (3, 300)');
same('zero vectors are compared with all', 'k => 3', rows => 1350, more => "$scanned > 0");
sql('INSERT INTO t VALUES (900, vec(2))');
same('of which some have changed', 'k => 3', rows => 1353, changes => 1, more => "$scanned > 0");

# ---- which way -------------------------------------------------------------------------

table(300, 'cosine');
same('few', 'k => 3', before => 'RESET brain.min_server_neighbors', rows => 900, reason => qr/few samples/);
same('never', 'k => 3', before => 'SET brain.min_server_neighbors = -1', rows => 900, reason => qr/few samples/);
same('no index', 'k => 3', before => 'SET brain.min_server_neighbors = 4', rows => 900, reason => qr/without an index/);
same('a filter that few pass', 'k => 3, filter => $$id < 75$$', rows => 74 * 3, reason => qr/few .* qualify/);
same('a filter that none passes', 'k => 3, filter => $$false$$', rows => 0, reason => qr/few .* qualify/);
same('a large k', 'k => 16368', rows => 300 * 299, reason => qr/k is larger/);
same('an option', q{k => 3, options => '{}'}, rows => 900);
like((session(q{SELECT brain.neighbors('t', 'm', options => '{"ef": 5}')}))[1], qr/^ERROR:  22023: unknown option "ef"/, 'an unknown option');
like((session('SET brain.min_server_neighbors = 0', qq{SELECT brain.$_, options => '{"search_params": {"radius": 1}}')}))[1], qr/^ERROR:  22023: invalid value for option "search_params"\nHINT:  It has no "radius"/, "$_: what would leave out the nearest")
  foreach q{neighbors('t', 'm'}, q{sort_by_similarity('t', 1, brain_key => 'm'};
sql('UPDATE t SET emb = vec(id + 1000) WHERE id <= 5');
same('many changes', 'k => 3', changes => 5, rows => 900, reason => qr/many samples were changed/);
table(300, 'cosine', '', 'HNSW');
same('300 x 4 x 4 bytes are 4.6875 kB', 'k => 3', before => 'SET brain.min_server_neighbors = 4', rows => 900);
same('which is less than 5', 'k => 3', before => 'SET brain.min_server_neighbors = 5', rows => 900, reason => qr/few samples/);
sql(q{CREATE TABLE under AS SELECT * FROM t; SELECT brain.delete_brain_run('t', 'm', cleanup => true); SELECT brain.delete_brain_run('t', 'e', cleanup => true); DROP TABLE t; CREATE VIEW t AS SELECT * FROM under;
	SET client_min_messages = error;
	SELECT FROM brain.compute_similarity('t', 'm', embeddings => 'emb', backend => 'milvus', server => 'm', metric => 'cosine', id_field => 'id', options => '{"index_type": "FLAT", "index_params": {}}');
	SELECT FROM brain.compute_similarity('t', 'e', embeddings => 'emb', metric => 'cosine', id_field => 'id'); INSERT INTO under VALUES (301, vec(301))});
same('a view', 'k => 3', rows => 903, reason => qr/not tracked/);
sql('DROP VIEW t CASCADE');

# ---- faults ------------------------------------------------------------------------------

my $unread = 'ERROR:  08P01: Milvus server "127.0.0.1:\d+" sent a reply that cannot be read';
my $broke = 'ERROR:  08006: the connection to Milvus server "127.0.0.1:\d+" broke';

# requests of 100 and of 50 queries, for 20 each
table(150, 'dotproduct');
my $path = q{SELECT 'path ' || (brain.last_search() ->> 'path')};
my @all = (q{SET brain.min_server_neighbors = 0}, q{SELECT count(*) || ' ' || md5(string_agg(n::text, ' ' ORDER BY sample_id, rank)) FROM brain.neighbors('t', 'm', k => 3) n}, $path);
my ($all) = session('\o', q{SET brain.min_server_neighbors = -1}, @all[ 1, 2 ]);
like($all, qr/^450 \w+\npath table$/, 'neighbors, compared in PostgreSQL');
$all =~ s/\n.*//;
$fake->script();
is((session('\o', @all))[0], "$all\npath milvus", 'by two requests');
foreach (
	[ 'a list less', { queries => 49 }, qr/^$unread\nDETAIL:  Search: The hits are not those of as many queries/ ],
	[ 'a count less', { counts => [ (20) x 49 ] }, qr/^$unread\nDETAIL:  Search: The hits are not those of as many queries/ ],
	[ 'a count more', { counts => [ (20) x 49, 10, 10 ] }, qr/^$unread\nDETAIL:  Search: The hits are damaged, or more than were asked for/ ],
	[ 'counts of fewer', { counts => [ (20) x 49, 19 ] }, qr/^$unread\nDETAIL:  Search: There are not as many scores as hits/ ],
	[ 'counts of as many, but not so many each', { counts => [ 21, (20) x 48, 19 ] }, qr/^$unread\nDETAIL:  Search: The hits are damaged, or more than were asked for/ ],
	[ 'scores that are no numbers', { scores => 'nan' }, qr/^$unread\nDETAIL:  Search: A score is not finite/ ],
	[ 'fewer keys', { ids => 'few' }, qr/^$unread\nDETAIL:  Search: There are not as many keys as hits/ ],
	[ 'closed before the headers', { kind => 'drop', times => 2 }, qr/^$broke\nDETAIL: / ])
{
	my ($name, $fault, $error) = @$_;
	my %fault = (method => 'Search', kind => 'hits', skip => 1, %$fault);
	$fake->script({%fault});
	my ($out, $err) = session('SET brain.on_backend_failure = error', '\o', @all);
	like($err, $error, "many queries, $name: the error");
	$fake->script({%fault});
	($out, $err) = session('SET brain.on_backend_failure = exact', '\o', @all, @all);
	is($out, "$all\npath table\n$all\npath milvus", "many queries, $name: answered from the table, nothing twice");
	is(scalar(() = $err =~ /^NOTICE:.*answered from the table/mg), 1, "many queries, $name: one NOTICE");
}

# ---- load_brain_results() by a connection of the call's ------------------------------------

my $load = sub { my ($key, $options) = @_; return session('\o', "SELECT indexed FROM brain.load_brain_results('t', '$key', options => '$options')"); };
my $asked = $fake->count('DescribeCollection');
is(($load->('m', '{}'))[0], '150', "with options the run's server is asked");
cmp_ok($fake->count('DescribeCollection'), '>', $asked, 'for its collection');
is((session('\o', q{SELECT indexed FROM brain.load_brain_results('t', 'm')}))[0], '150', 'without, it is not');
like(($load->('m', '{"uri": "http://127.0.0.1:1", "connect_timeout": 2}'))[1], qr/^ERROR:  08001: /m, 'a server that is not there');
like(($load->('m', '{"index_type": "FLAT"}'))[1], qr/^ERROR:  22023: unknown option "index_type"$/m, 'an unknown option');
like(($load->('e', '{"uri": "http://127.0.0.1:1"}'))[1], qr/^ERROR:  22023: /m, 'the exact backend has no server');
sql(q{SELECT brain.cleanup('t', 'm')});
like(($load->('m', '{}'))[1], qr/^ERROR:  55000: brain run "m" cannot be used on its Milvus server\nDETAIL:  no collection was made yet$/m, 'no collection');

$node->stop;
$fake->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:|leak|still referenced/, 'no server process crashed, nothing leaked');
done_testing();
