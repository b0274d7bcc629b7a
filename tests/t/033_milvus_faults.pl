# Guards against: a fault of a Milvus server, or of what is between, that crashes a
# session, hangs it, gives a wrong answer, or an error that does not say what to
# do; one that the next call still suffers from; an Insert that is sent twice when
# it may have been done; a dead connection that a search, or an Insert after a pause,
# notices; a connection for each call; a refusal that is taken for final, or asked
# again without a pause or an end; a lost write that comes late and stays; a request
# that is larger, asks to see less, or is made more often than it should; progress
# that stands still; settings of the server process for who is no superuser. The
# server is t/fake_milvus.py, which goes wrong as it is told.

use strict;
use warnings FATAL => 'all';

use FakeMilvus;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my ($fake, $node) = FakeMilvus->with_node('faults');

my $main = $fake->uri('main');
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION milvus_brain;
CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$main');
CREATE TABLE t (id int PRIMARY KEY, emb real[]);
INSERT INTO t SELECT i, ARRAY[sin(i), cos(i * 3), sin(i * 7), 0.5] FROM generate_series(1, 60) i;
SELECT FROM brain.compute_similarity('t', 'm', backend => 'milvus', server => 'm', options => '{"index_type": "FLAT", "index_params": {}}');
SQL

my $search = "SELECT 'found ' || string_agg(sample_id || ' ' || round(distance::numeric, 5), ',' ORDER BY rank) FROM brain.sort_by_similarity('t', '[0.2, 0.4, -0.3, 0.9]', k => 5, brain_key => 'm')";
my $path = q{SELECT 'path ' || (brain.last_search() ->> 'path')};
my $right = $node->safe_psql('postgres', <<'SQL');
SELECT 'found ' || string_agg(id || ' ' || round(d::numeric, 5), ',' ORDER BY d) FROM
  (SELECT id, -(emb[1] * 0.2 + emb[2] * 0.4 - emb[3] * 0.3 + emb[4] * 0.9) AS d FROM t ORDER BY d LIMIT 5) x
SQL

# What statements said, one after the other in one session, errors with SQLSTATE.
sub session
{
	my @statements = @_;
	my ($out, $err) = ('', '');

	my $script = join("\n", '\set VERBOSITY verbose', '\set ON_ERROR_STOP 0', '\o /dev/null', 'SET client_min_messages = notice;', map { /^\\/ ? $_ : "$_;" } @statements);
	my $status = $node->psql('postgres', "$script\n", stdout => \$out, stderr => \$err, on_error_stop => 0);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	$err =~ s/^LOCATION:.*\n?//mg;
	return ($status, $out, $err);
}

is((session('\o', $search, $path))[1], "$right\npath milvus", 'healthy: answered by the collection');

# tests/run does all this once more with another libcurl
$ENV{BRAIN_LIBCURL} //= 'libcurl.so.4';
like((session('\o', $search, q{SELECT pg_read_file('/proc/self/maps')}))[1], qr{/\Q$ENV{BRAIN_LIBCURL}\E}, "$ENV{BRAIN_LIBCURL} is what is loaded");

# ---- searches --------------------------------------------------------------------------

# Name, fault, how often it has to come until it is seen (2: it is repeated
# silently once), SQLSTATE, what the error says.
my $unread = 'ERROR:  08P01: Milvus server "127.0.0.1:\d+" sent a reply that cannot be read';
my $broke = 'ERROR:  08006: the connection to Milvus server "127.0.0.1:\d+" broke';
my @faults = (
	[ 'closed before the headers', { kind => 'drop' }, 2, qr/^$broke\nDETAIL: / ],
	[ 'reset before the headers', { kind => 'drop', how => 'reset' }, 2, qr/^$broke\nDETAIL: / ],
	[ 'closed after the headers', { kind => 'drop', bytes => 0 }, 2, qr/^$broke\nDETAIL: / ],
	[ 'closed in the frame\'s head', { kind => 'drop', bytes => 3 }, 1, qr/^$broke\nDETAIL: / ],
	[ 'closed in the body', { kind => 'drop', bytes => 40 }, 1, qr/^$broke\nDETAIL: / ],
	[ 'reset in the body', { kind => 'drop', bytes => 40, how => 'reset' }, 1, qr/^$broke\nDETAIL: / ],
	[ 'RST_STREAM', { kind => 'rst' }, 2, qr/^$broke\nDETAIL: .*stream/i ],
	[ 'RST_STREAM, refused', { kind => 'rst', code => 7 }, 2, qr/^$broke\nDETAIL: / ],
	[ 'RST_STREAM, no error', { kind => 'rst', code => 0 }, 2, qr/^(?:$broke|$unread)\nDETAIL: / ],
	[ 'RST_STREAM in the body', { kind => 'rst', bytes => 40 }, 1, qr/^$broke\nDETAIL: / ],
	[ 'GOAWAY instead of a reply', { kind => 'goaway' }, 2, qr/^$broke\nDETAIL: / ],
	[ 'GOAWAY, the call not taken', { kind => 'goaway', last => 0 }, 2, qr/^$broke\nDETAIL: / ],
	[ 'GOAWAY in the body', { kind => 'goaway', bytes => 40 }, 1, qr/^$broke\nDETAIL: / ],
	[ 'GOAWAY with an error', { kind => 'goaway', bytes => 40, code => 2 }, 1, qr/^$broke\nDETAIL: / ],
	[ 'no trailers', { kind => 'no_trailers' }, 2, qr/^$unread\nDETAIL:  The reply ended without a gRPC status\.\nHINT:  A proxy that does not pass HTTP.2 trailers may be between/ ],
	[ 'headers only', { kind => 'headers_only' }, 2, qr/^$unread\nDETAIL:  The reply ended without a gRPC status/ ],
	[ 'status 14', { kind => 'status', status => 14, words => 'proxy is%20down' }, 1, qr/^ERROR:  08006: Milvus server "127.0.0.1:\d+" refuses Search\nDETAIL:  gRPC status 14: proxy is down/ ],
	[ 'status 16', { kind => 'status', status => 16, words => 'auth check failure' }, 1, qr/^ERROR:  28P01: Milvus server "127.0.0.1:\d+" refuses the user or the password\nDETAIL:  gRPC status 16: auth check failure\nHINT:  Give user and password, or a token, in a user mapping/ ],
	[ 'status 7', { kind => 'status', status => 7, words => 'PrivilegeSearch: permission deny' }, 1, qr/^ERROR:  42501: .* refuses Search\nDETAIL:  gRPC status 7: Priv/ ],
	[ 'status 8', { kind => 'status', status => 8, words => 'grpc: received message larger than max' }, 1, qr/^ERROR:  54000: .*\nDETAIL:  gRPC status 8: grpc: received message larger than max/ ],
	[ 'status 12', { kind => 'status', status => 12 }, 1, qr/^ERROR:  0A000: .*\nDETAIL:  gRPC status 12.*\nHINT:  milvus_brain needs Milvus 2\.3 or newer/ ],
	[ 'status 4', { kind => 'status', status => 4 }, 1, qr/^ERROR:  08006: .*\nDETAIL:  gRPC status 4.*\nHINT:  brain\.request_timeout/ ],
	[ 'status after a reply', { kind => 'status_after', status => 13, words => 'late%0Afailure%00%E9' }, 1, qr/^ERROR:  38000: .*\nDETAIL:  gRPC status 13: late failure \?/ ],
	[ 'a status that is none', { kind => 'status', status => 'abc' }, 1, qr/^ERROR:  38000: .*\nDETAIL:  gRPC status 2/ ],
	[ 'a status of twenty digits', { kind => 'status', status => '99999999999999999999' }, 1, qr/^ERROR:  38000: / ],
	[ 'large headers and words', { kind => 'big_headers' }, 1, qr/^ERROR:  38000: .*\nDETAIL:  gRPC status 2: A  \?z+/ ],
	[ 'a page with status 404', { kind => 'page', status => 404 }, 1, qr/^$unread\nDETAIL:  HTTP status 404: <html>.*\nHINT:  Check that this is the port on which Milvus takes gRPC, usually 19530, and that no proxy is between/ ],
	[ 'a page with status 200', { kind => 'page', status => 200 }, 1, qr/^$unread\nDETAIL:  HTTP status 200: <html>/ ],
	[ 'a large page with status 502', { kind => 'page', status => 502, times_page => 3000 }, 1, qr/^$unread\nDETAIL:  HTTP status 502: <html>/ ],
	[ 'a compressed frame', { kind => 'compressed' }, 1, qr/^$unread\nDETAIL:  The reply is compressed/ ],
	[ 'a frame that is shorter than it says', { kind => 'length', by => 10 }, 1, qr/^$unread\nDETAIL:  The reply is cut/ ],
	[ 'a frame that is longer than it says', { kind => 'length', by => -1 }, 1, qr/^$unread\nDETAIL:  The reply is longer than it says/ ],
	[ 'a frame that says 0', { kind => 'length', says => 0 }, 1, qr/^$unread\nDETAIL:  The reply is longer than it says/ ],
	[ 'a frame that says 4 GB', { kind => 'length', says => 4294967295 }, 1, qr/^$unread\nDETAIL:  The reply has 4294967295 bytes/ ],
	[ 'a frame that says 256 MB', { kind => 'length', says => 268435456 }, 1, qr/^$unread\nDETAIL:  The reply is cut/ ],
	[ 'no frame', { kind => 'empty' }, 1, qr/^$unread\nDETAIL:  The reply is cut/ ],
	[ 'two frames', { kind => 'twice' }, 1, qr/^$unread\nDETAIL:  The reply is longer than it says/ ],
	[ 'content-length too large', { kind => 'content_length', by => 10 }, 1, qr/^(?:$broke|$unread)\n/ ],
	[ 'content-type text/plain', { kind => 'content_type', type => 'text/plain' }, 1, qr/^$unread\nDETAIL:  HTTP status 200: / ],
	[ 'bytes that are no HTTP/2', { kind => 'garbage' }, 2, qr/^$broke\nDETAIL: /, 'connect_timeout = 100' ],    # libcurl 8 says so only when asked again
	[ 'no reply', { kind => 'never' }, 1, qr/^ERROR:  08006: Milvus server "127.0.0.1:\d+" did not answer in time\nDETAIL:  No reply had come\.\nHINT:  brain\.request_timeout/, 'request_timeout = 2' ],
	[ 'half a reply', { kind => 'hold', bytes => 40 }, 1, qr/^ERROR:  08006: .* did not answer in time\nDETAIL:  A part of the reply had come\.\nHINT:  brain\.request_timeout/, 'request_timeout = 2' ],
	[ 'a late reply', { kind => 'delay', seconds => 6 }, 1, qr/^ERROR:  08006: .* did not answer in time/, 'request_timeout = 2' ],
	[ 'a message of wrong wire types', { kind => 'message', hex => '0d0000000010011501020304' }, 1, qr/^$unread\nDETAIL:  Search: / ],
	[ 'a message that is cut', { kind => 'message', hex => '12ff01' }, 1, qr/^$unread\nDETAIL:  Search: The message is damaged/ ],
	[ 'an empty message', { kind => 'message', hex => '' }, 1, qr/^$unread\nDETAIL:  Search: / ],
	[ 'a status of wrong type', { kind => 'message', hex => '0a021201' }, 1, qr/^$unread\nDETAIL:  Search: The status is damaged/ ],
	[ 'code 65535', { kind => 'code', code => 65535, words => 'segment lost' }, 1, qr/^ERROR:  38000: Milvus server "127.0.0.1:\d+" failed at Search\nDETAIL:  segment lost \(code 65535\)/ ],
	[ 'code 100', { kind => 'code', code => 100 }, 1, qr/^ERROR:  42704: / ],
	[ 'code 8', { kind => 'code', code => 8 }, 1, qr/^ERROR:  53000: / ],
	[ 'scores that are no numbers', { kind => 'hits', scores => 'nan' }, 1, qr/^$unread\nDETAIL:  Search: A score is not finite/ ],
	[ 'infinite scores', { kind => 'hits', scores => 'inf' }, 1, qr/^$unread\nDETAIL:  Search: A score is not finite/ ],
	[ 'keys of two kinds', { kind => 'hits', ids => 'both' }, 1, qr/^$unread\nDETAIL:  Search: The keys are damaged, or of two kinds/ ],
	[ 'no keys', { kind => 'hits', ids => 'none' }, 1, qr/^$unread\nDETAIL:  Search: There are not as many keys as hits/ ],
	[ 'fewer keys than scores', { kind => 'hits', ids => 'few' }, 1, qr/^$unread\nDETAIL:  Search: There are not as many keys as hits/ ],
	[ 'keys that are not UTF-8', { kind => 'hits', ids => 'latin' }, 1, qr/^$unread\nDETAIL:  Search: A key is not UTF-8/ ],
	[ 'counts too small', { kind => 'hits', counts => [1] }, 1, qr/^$unread\nDETAIL:  Search: There are not as many scores as hits/ ],
	[ 'counts of 2^64', { kind => 'hits', counts => [-1] }, 1, qr/^$unread\nDETAIL:  Search: The hits are damaged, or more than were asked for/ ],
	[ 'hits of two queries', { kind => 'hits', queries => 2 }, 1, qr/^$unread\nDETAIL:  Search: The hits are not those of as many queries/ ],
	[ 'more hits than asked for', { kind => 'hits', more => 100 }, 1, qr/^$unread\nDETAIL:  Search: The hits are damaged, or more than were asked for/ ],
);

foreach (@faults)
{
	my ($name, $fault, $times, $error, $limit) = @$_;
	my %fault = (method => 'Search', times => $times, %$fault);

	# it fails, the next one does not; on a connection that was kept, again
	$fake->script({%fault}, { %fault, skip => 1 });
	my @limit = $limit ? ("SET brain.$limit") : ();
	my @no_limit = $limit ? ('RESET brain.' . (split ' ', $limit)[0]) : ();
	my ($status, $out, $err) = session('SET brain.on_backend_failure = error', @limit, $search, @no_limit, '\o', $search, $path, '\o /dev/null', @limit, $search, @no_limit, '\o', $search, $path);
	my @errors = split(/(?=^ERROR:)/m, $err);
	my $faults = $fake->count('faults');

	is($status, 0, "$name: the session lives");
	is(scalar(@errors), 2, "$name: two errors") or note($err);
	foreach (@errors[ 0, 1 ])
	{
		like($_, $error, "$name: the error");
		like($_, qr/^HINT:  \S/m, "$name: it says what to do");
	}
	is($faults, 2 * $times, "$name: so often");
	is($out, "$right\npath milvus\n$right\npath milvus", "$name: the next searches are answered");

	# or the table answers, with one NOTICE
	$fake->script({ %fault, times => $times });
	($status, $out, $err) = session('SET brain.on_backend_failure = exact', '\o', @limit, $search, $path, @no_limit, $search, $path);
	is($out, "$right\npath table\n$right\npath milvus", "$name: answered from the table") or note($err);
	my @notices = $err =~ /^NOTICE:.*answered from the table/mg;
	is(scalar(@notices), 1, "$name: one NOTICE");
}

# ---- what is the same answer for a client ------------------------------------------------

foreach ([ 'content-length, right', { kind => 'content_length' } ], [ 'content-type with +proto', { kind => 'content_type', type => 'application/grpc+proto' } ])
{
	my ($name, $fault) = @$_;
	$fake->script({ method => 'Search', %$fault });
	my (undef, $out, $err) = session('SET brain.on_backend_failure = error', '\o', $search, $path);
	# trailers are lost behind a Content-Length, by some versions of libcurl
	if ($name =~ /length/ && $err) { like($err, qr/without a gRPC status/, "$name: the trailers were lost"); next; }
	is("$out$err", "$right\npath milvus", "$name: answered");
}

# Keys of the other kind are no sample's: never a wrong row.
$fake->script({ method => 'Search', kind => 'hits', ids => 'int', times => 0 });
{
	my (undef, $out, $err) = session('SET brain.on_backend_failure = exact', '\o', $search);
	is($out, $right, 'numbers as keys: the right answer nevertheless') or note($err);
}

# ---- kept connections ----------------------------------------------------------------------

# In one session, the server closes the connection, or says that it will, while
# nobody calls: the next read does not notice.
sub after_dropping
{
	my ($how) = @_;
	my $psql = $node->background_psql('postgres', on_error_stop => 0);

	$fake->script();
	$psql->query_safe('SET brain.on_backend_failure = error');
	$psql->query_safe($search);
	$fake->ask('drop', how => $how) if $how ne 'goaway_after';
	my $out = $psql->query($search) . ' ' . $psql->query($path);
	my $err = $psql->{stderr};
	my $connections = $fake->count('connections');
	$psql->quit;
	return ($out, $err, $connections);
}
foreach my $how (qw(close reset goaway))
{
	my ($out, $err, $connections) = after_dropping($how);
	is($out, "$right path milvus", "the idle connection ended ($how): the next search is answered") or note($err);
	# libcurl 7.88 makes one that cannot be used between them
	cmp_ok($connections, '<=', 3, "the idle connection ended ($how): by another connection");
}
# The same by TLS.
$node->safe_psql('postgres', "ALTER SERVER m OPTIONS (SET uri '" . $fake->uri('tls', 'https') . "', ADD ca_pem_path '$fake->{ca}', ADD request_timeout '5')");
foreach my $how (qw(close reset))
{
	my ($out, $err, $connections) = after_dropping($how);
	is($out, "$right path milvus", "the idle connection by TLS ended ($how): the next search is answered") or note($err);
	is($connections, 2, "the idle connection by TLS ended ($how): by another connection");
}
$node->safe_psql('postgres', "ALTER SERVER m OPTIONS (SET uri '$main', DROP ca_pem_path, DROP request_timeout)");
foreach my $status (400, 404, 200)
{
	# libcurl 7.88 goes on with HTTP/1 then, and gets what Milvus' other service says
	$fake->ask('script', faults => [], http1_status => $status);
	my ($out, $err) = after_dropping('close');
	is($out, "$right path milvus", "the same where HTTP/1 is answered with $status") or note($err);
}
my %goaway = (method => 'Search', kind => 'goaway_after');
$fake->script({%goaway}, { %goaway, skip => 1 }, { %goaway, skip => 2, last => 2147483647 });
{
	my (undef, $out, $err) = session('SET brain.on_backend_failure = error', '\o', ($search) x 4);
	is($out, join("\n", ($right) x 4), 'GOAWAY before a reply, which is answered: all are answered') or note($err);
}

# 1,000 calls, one connection
$fake->script();
is($node->safe_psql('postgres', "SET brain.on_backend_failure = error;\n" . "$search \\g /dev/null\n" x 1000 . $path), 'path milvus', '1,000 searches');
is($fake->count('Search'), 1000, 'the server answered 1,000');
is($fake->count('connections'), 1, 'on one connection');

# Wait until the fake server counts one of something.
sub await
{
	my ($what) = @_;

	foreach (1 .. 6000) { return if $fake->count($what) == 1; usleep(10_000); }
	die "no $what in a minute";
}

# ---- nothing is written twice ----------------------------------------------------------------

# An Insert that is not acknowledged is not repeated: nobody knows whether, and when,
# it is done. Its collection is thrown away, and another made of all rows, once.
my $compute = q{SELECT FROM brain.compute_similarity('t', 'new', backend => 'milvus', server => 'm', options => '{"batch_bytes": 65536}')};
$node->safe_psql('postgres', 'CREATE TABLE large (id int PRIMARY KEY, emb real[]); INSERT INTO large SELECT i, array_agg(sin(i * j)) FROM generate_series(1, 100) i, generate_series(1, 500) j GROUP BY i; INSERT INTO large VALUES (101, NULL)');
$compute =~ s/'t'/'large'/;
foreach ([ 'closed, not done', { kind => 'drop', done => 0 } ], [ 'closed, done', { kind => 'drop' } ], [ 'reset', { kind => 'drop', how => 'reset' } ],
	[ 'closed in the body', { kind => 'drop', bytes => 3 } ], [ 'RST_STREAM, refused', { kind => 'rst', code => 7, done => 0 } ], [ 'RST_STREAM', { kind => 'rst' } ],
	[ 'GOAWAY', { kind => 'goaway' } ], [ 'GOAWAY, not taken', { kind => 'goaway', last => 1, done => 0 } ], [ 'status 14', { kind => 'status', status => 14 } ],
	[ 'closed while it is sent', { kind => 'drop', after => 20000 } ], [ 'reset while it is sent', { kind => 'drop', how => 'reset', after => 20000 } ],
	[ 'no trailers', { kind => 'no_trailers' } ], [ 'a damaged reply', { kind => 'message', hex => '12ff01' } ], [ 'another count', { kind => 'message', hex => '3009' } ])
{
	my ($name, $fault) = @$_;

	foreach my $skip (0, 1, 3)
	{
		# 3: the last, with fewer rows
		my $what = qw(first second . last)[$skip] . " Insert, $name";
		my $lost = qr/^NOTICE:  00000: Milvus server ".*" did not acknowledge an Insert: collection "fiftyone_large" is made once more\nDETAIL:  ./m;
		$fake->script({ method => 'Insert', skip => $skip, %$fault });
		my ($status, undef, $err) = session($compute);
		my $state = $fake->ask('state');
		is($status, 0, "$what: the session lives");
		is($state->{faults}, 1, "$what: it happened");
		like($err, $lost, "$what: it is told");
		is($state->{'begun CreateCollection'}, 2, "$what: another collection");
		is($state->{'begun Insert'}, $skip + 1 + 4, "$what: that gets all rows");
		is($state->{'begun Upsert'} // 0, 0, "$what: by Inserts");
		is($state->{duplicates}, 0, "$what: no row twice in a collection");
		is(join(' ', sort { $a <=> $b } values %{ $state->{rows} }), '60 100', "$what: the first is gone");
		is($node->safe_psql('postgres', q{SELECT rows, missing, indexed, collection ~ '^fiftyone_large_.{6}$', collection = config ->> 'collection_name' FROM brain._bases JOIN brain._runs USING (run_id) WHERE brain_key = 'new'}),
			'100|1|100|t|t', "$what: a run of all rows");
		$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('large', 'new'); SELECT brain.sweep()});

		# twice: an error, and nothing is left
		$fake->script({ method => 'Insert', skip => $skip, %$fault }, { method => 'Insert', skip => 2 * $skip, %$fault });
		($status, undef, $err) = session($compute);
		$state = $fake->ask('state');
		is($status, 0, "$what, twice: the session lives");
		is($state->{faults}, 2, "$what, twice: it happened");
		like($err, $lost, "$what, twice: it is told");
		like($err, qr/^ERROR:  (08006|08P01):/m, "$what, twice: an error");
		is($state->{'begun Insert'}, 2 * ($skip + 1), "$what, twice: once more, and not again");
		is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.list_brain_runs('large')}), 0, "$what, twice: no run");
		is(join(' ', values %{ $state->{rows} }), '60', "$what, twice: no collection");
	}
}

# What the server refuses is acknowledged.
$fake->script({ method => 'Insert', skip => 1, kind => 'code', code => 65535 });
{
	my (undef, undef, $err) = session($compute);
	like($err, qr/\AERROR:  38000: Milvus server "127.0.0.1:\d+" failed at Insert\n/, 'a refused Insert: an error at once');
	is($fake->count('begun CreateCollection'), 1, 'a refused Insert: no other collection');
}

# It is done a second later, when the rows were sent once more: not into the other
# collection. That has another name, or is made when the server has given up.
foreach my $given (0, 1)
{
	my $how = $given ? 'late, a given name' : 'late';
	my $call = $given ? ($compute =~ s/server => 'm'/server => 'm', collection_name => 'given'/r) : $compute;

	$fake->script({ method => 'Insert', kind => 'drop', skip => 1, late => 1 });
	my (undef, undef, $err) = session($given ? ('SET brain.request_timeout = 3') : (), $call);
	unlike($err, qr/ERROR/, "$how: it is built");
	await('late');
	my $state = $fake->ask('state');
	is($state->{'begun CreateCollection'}, 2, "$how: in a second collection");
	is($state->{duplicates}, 0, "$how: no row twice in a collection");
	is($node->safe_psql('postgres', q{SELECT rows, collection ~ '^(given|fiftyone_large_.{6})$' FROM brain._bases JOIN brain._runs USING (run_id) WHERE brain_key = 'new'}), '100|t', "$how: all rows");
	$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('large', 'new'); SELECT brain.sweep()});
}

# What changes meanwhile: both readings are of one snapshot, and the log has the rest.
{
	my $build = $node->background_psql('postgres', on_error_stop => 0);

	$fake->script({ method => 'Insert', kind => 'drop', skip => 1 }, { method => 'DropCollection', kind => 'wait' });
	$build->query_until(qr/begun/, "\\echo begun\n$compute;\n");
	await('begun DropCollection');
	$node->safe_psql('postgres', 'UPDATE large SET emb[1] = 3 WHERE id = 5; DELETE FROM large WHERE id = 6; INSERT INTO large SELECT 200, emb FROM large WHERE id = 7');
	$fake->script();
	$build->query('SELECT');
	$build->quit;
	is($node->safe_psql('postgres', q{SELECT rows FROM brain._bases JOIN brain._runs USING (run_id) WHERE brain_key = 'new'}), '100', 'changes meanwhile: the rows of the first reading');
	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT sample_id, ' ' ORDER BY sample_id) FROM brain.changes JOIN brain._runs USING (run_id) WHERE brain_key = 'new'}), '200 5 6', 'changes meanwhile: the others are in the log');
	is($node->safe_psql('postgres', q{SELECT string_agg(sample_id, ' ' ORDER BY rank) FROM brain.sort_by_similarity('large', (SELECT emb FROM large WHERE id = 7), k => 20, brain_key => 'new')} . ";\n$path"),
		$node->safe_psql('postgres', q{SELECT string_agg(id::text, ' ' ORDER BY d, id::text COLLATE "C") FROM (SELECT id, (SELECT -sum(a::float8 * b) FROM unnest(emb, (SELECT emb FROM large WHERE id = 7)) v(a, b)) AS d FROM large WHERE emb IS NOT NULL ORDER BY d, id::text COLLATE "C" LIMIT 20) x}) . "\npath milvus",
		'changes meanwhile: found as they are');
	$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('large', 'new'); SELECT brain.sweep()});
	$node->safe_psql('postgres', 'DELETE FROM large WHERE id = 200; INSERT INTO large SELECT 6, emb FROM large WHERE id = 8');
}

# ---- each call of a build ---------------------------------------------------------------------

$node->safe_psql('postgres', 'SELECT brain.sweep()');
foreach my $method (qw(Connect HasCollection CreateCollection DescribeCollection Flush GetFlushState CreateIndex DescribeIndex LoadCollection GetLoadState Query))
{
	foreach ([ 'status 14', { kind => 'status', status => 14 } ], [ 'closed', { kind => 'drop', times => 2 } ],
		[ 'a damaged reply', { kind => 'message', hex => '12ff01' } ], [ 'a refusal', { kind => 'code', code => 65535 } ], [ 'a page', { kind => 'page', status => 502 } ])
	{
		my ($name, $fault) = @$_;
		$fake->script({ method => $method, %$fault });
		my ($status, undef, $err) = session($compute);
		is($status, 0, "$method, $name: the session lives");
		like($err, qr/^ERROR:  (08\w{3}|38000):/m, "$method, $name: an error") or note(explain($fake->ask('state')));
		is($node->safe_psql('postgres', q{SELECT count(*) FROM brain.list_brain_runs('large')}), 0, "$method, $name: no run");
	}
}
$fake->script();
$node->safe_psql('postgres', 'SELECT brain.sweep()');
is(join(' ', values %{ $fake->ask('state')->{rows} }), '60', 'no collection is left but the first');
is($node->safe_psql('postgres', $compute . q{; SELECT indexed FROM brain.runs WHERE brain_key = 'new'}), '100', 'healthy: it is built');
$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('large', 'new'); SELECT brain.sweep()});

# ---- FiftyOne's parameters that are no connection's --------------------------------------------

# What a run gets: from the call, else from the environment, else from the file.
sub parameters
{
	my ($arguments, $setting, $table) = @_;
	$table //= 't';
	my (undef, $out, $err) = session($setting // 'RESET brain.config_file', 'BEGIN',
		"SELECT FROM brain.compute_similarity('$table', 'p', backend => 'milvus', server => 'm'$arguments)", '\o',
		qq{SELECT concat_ws('|', i -> 'config' ->> 'metric', i -> 'config' ->> 'collection_name', i -> 'config' ->> 'consistency_level') FROM brain.get_brain_info('$table', 'p') i}, '\o /dev/null', 'ROLLBACK');
	# what was rolled back is still there, under its name
	return $err =~ /ERROR/ ? $err : $out =~ s/_[0-9a-f]{6}(?=\|)//r;
}
{
	my $file = "$fake->{folder}/brain_config.json";
	my $use = "SET brain.config_file = '$file'";
	my $all = q{, metric => 'dotproduct', collection_name => 'by_call', consistency_level => 'Eventually'};

	append_to_file($file, '{"similarity_backends": {"milvus": {"metric": "cosine", "collection_name": "by_file", "consistency_level": "Strong"}}}');
	is(parameters(''), 'dotproduct|fiftyone_t|Session', 'parameters: the defaults');
	is(parameters('', $use), 'cosine|by_file|Strong', 'parameters: the file');
	# the file may have secrets: nothing of it is for others
	$node->safe_psql('postgres', 'CREATE ROLE other; GRANT USAGE ON FOREIGN SERVER m TO other; GRANT USAGE ON SCHEMA brain TO other; CREATE TABLE its (id int PRIMARY KEY, emb real[]); INSERT INTO its SELECT id, emb FROM t; ALTER TABLE its OWNER TO other');
	my $as_other = "$use;\nSET ROLE other";
	is(parameters('', $as_other, 'its'), 'dotproduct|fiftyone_its|Session', 'parameters: the file, of an ordinary role');
	is(parameters($all, $use), 'dotproduct|by_call|Eventually', 'parameters: the call before the file');
	my $prefix = 'FIFTYONE_BRAIN_SIMILARITY_MILVUS';
	{
		local %ENV = (%ENV, "${prefix}_METRIC" => 'euclidean', "${prefix}_COLLECTION_NAME" => 'by_environment', "${prefix}_CONSISTENCY_LEVEL" => 'bounded');
		$node->restart;
		is(parameters('', $use), 'euclidean|by_environment|Bounded', 'parameters: the environment before the file');
		is(parameters($all, $use), 'dotproduct|by_call|Eventually', 'parameters: the call before the environment');
		is(parameters('', $as_other, 'its'), 'dotproduct|fiftyone_its|Session', 'parameters: the environment, of an ordinary role');
		is($node->safe_psql('postgres', q{SELECT metric FROM brain.compute_similarity('t', 'exact', metric => NULL)}), 'cosine', 'parameters: not for the exact backend');
	}
	foreach ([ METRIC => 'manhattan', qr/^ERROR:  22023: unknown metric "manhattan"\nDETAIL:  It is set by FiftyOne's environment/ ],
		[ COLLECTION_NAME => 'no name', qr/^ERROR:  42602: "no name" is no name of a collection/ ],
		[ CONSISTENCY_LEVEL => 'much', qr/^ERROR:  22023: unknown consistency level "much"/ ])
	{
		my ($name, $value, $error) = @$_;
		local %ENV = (%ENV, "${prefix}_$name" => $value);
		$node->restart;
		like(parameters(''), $error, "parameters: a wrong $name");
	}
	$node->restart;
	$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('t', 'exact'); SELECT brain.sweep()});
}

# ---- a connection that is idle while rows are read -----------------------------------------------

# A build that has sent two Inserts, and then gets no row until the lock is free:
# it goes on below, when its connection has been idle for more than 30 s.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION gate(emb real[]) RETURNS real[] LANGUAGE plpgsql STABLE AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN emb; END';
CREATE VIEW slow AS SELECT id, CASE WHEN id = 70 THEN gate(emb) ELSE emb END AS emb FROM (SELECT * FROM large ORDER BY id) x;
SQL
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(7)');
$fake->script();
my $idle = $node->background_psql('postgres', on_error_stop => 0);
$idle->query_until(qr/begun/, "\\echo begun\n" . ($compute =~ s/'large', 'new'/'slow', 'idle', id_field => 'id'/r) . ";\n");
$fake->wait_for('Insert', 2);
my $idle_since = time;

# ---- brain.health(), and connecting ------------------------------------------------------------

# Options, what problem says.
my $ca = $fake->{ca};
my @health = (
	[ 'main', {}, '', 'healthy' ],
	[ 'tls', { scheme => 'https', ca_pem_path => $ca }, '', 'healthy, TLS' ],
	[ 'refused', {}, qr/^could not connect to Milvus server "127.0.0.1:\d+": .*\(Check that Milvus runs there and takes gRPC on that port, usually 19530\.\)$/, 'nobody listens' ],
	[ 'full', { connect_timeout => 1 }, qr/^Milvus server "127.0.0.1:\d+" did not answer in time: The connection was still being made\. \(brain\.connect_timeout/, 'connecting hangs' ],
	[ 'mute', { connect_timeout => 1, request_timeout => 1 }, qr/^Milvus server "127.0.0.1:\d+" did not answer in time: No reply had come\. \(brain\.request_timeout/, 'accepts, and says nothing' ],
	[ 'mute', { scheme => 'https', connect_timeout => 1, request_timeout => 1 }, qr/^Milvus server "127.0.0.1:\d+" did not answer in time: The connection was still being made, or its TLS handshake\. \(brain\.connect_timeout/, 'accepts, and makes no TLS' ],
	[ 'tls', {}, qr/^the connection to Milvus server "127.0.0.1:\d+" broke: .*whether it wants TLS/, 'TLS port in plain' ],
	[ 'main', { scheme => 'https' }, qr/^could not connect to Milvus server .*The server may not use TLS: check secure/, 'plain port by TLS' ],
	[ 'tls', { scheme => 'https' }, qr/^could not connect to Milvus server .*Name the certificate of its authority with ca_pem_path/, 'unknown authority' ],
	[ 'tls', { scheme => 'https', ca_pem_path => $ca, server_name => 'milvus.test' }, qr/^could not connect to Milvus server .*Name the certificate of its authority with ca_pem_path, and the name in its certificate with server_name/, 'another name in the certificate' ],
	[ 'tls', { scheme => 'https', ca_pem_path => '/nowhere.pem' }, qr/^could not connect to Milvus server .*Check the files that ca_pem_path/, 'no such file' ]);
foreach (@health)
{
	my ($port, $options, $problem, $name) = @$_;
	my %options = %$options;
	my $uri = $fake->uri($port, delete $options{scheme});
	my $json = join(', ', "\"uri\": \"$uri\"", map { qq("$_": "$options{$_}") } sort keys %options);

	$fake->script();
	my $health = $node->safe_psql('postgres', "SELECT reachable, coalesce(problem, '') FROM brain.health(options => '{$json}')");
	my ($reachable, $said) = split(/\|/, $health, 2);
	is($reachable, $problem eq '' ? 't' : 'f', "health, $name: reachable");
	if ($problem eq '') { is($said, '', "health, $name: no problem"); }
	else { like($said, $problem, "health, $name: the problem"); }
	next if $problem eq '';

	# a build does not begin
	my ($status, undef, $err) = session("SELECT FROM brain.compute_similarity('t', 'never', backend => 'milvus', options => '{$json}')");
	is($status, 0, "compute, $name: the session lives");
	like($err, qr/^ERROR:  08(001|006): /m, "compute, $name: an error");
}
foreach (@faults)
{
	my ($name, $fault, $times, undef, $limit) = @$_;
	next if $fault->{kind} eq 'hits';
	my $more = ($limit // '') =~ /^request/ ? ', "request_timeout": 1, "connect_timeout": 1' : '';

	# the first call of a new connection is not repeated
	$fake->script({ method => 'Connect', %$fault });
	my $said = $node->safe_psql('postgres', "SELECT problem FROM brain.health(options => '{\"uri\": \"$main\"$more}')");
	if ($name =~ /an empty message/)
	{
		is($said, '', "health, $name: a server without a name");
		next;
	}
	if ($name eq 'code 8')
	{
		is($said, '', "health, $name: the server had no room, and is asked again");
		cmp_ok($fake->count('begun Connect'), '>=', 2, "health, $name: it was");
		next;
	}
	like($said, qr/Milvus server "127\.0\.0\.1:\d+"/, "health, $name: a problem");
	unlike($said, qr/[^\x20-\x7e]/, "health, $name: readable");
}
$fake->script();
is($node->safe_psql('postgres', "SELECT reachable, problem IS NULL FROM brain.health('m')"), 't|t', 'healthy again');

# What statements with short time limits say, with these faults: once more where the
# machine has stalled for so long.
sub in_time
{
	my ($faults, @statements) = @_;
	my $err;

	foreach (1 .. 5)
	{
		$fake->script(map { {%$_} } @$faults);
		(undef, undef, $err) = session(@statements);
		last if $err !~ /did not answer in time/;
	}
	return $err;
}

# ---- what a server had no room for --------------------------------------------------------------

# What it refuses before it has begun is asked again, later and later.
$fake->script({ method => 'Insert', kind => 'code', code => 8, times => 3, done => 0, skip => 1 });
{
	my (undef, undef, $err) = session($compute);
	my @inserts = $fake->calls('Insert');
	is($err, '', 'no room for an Insert, three times: it is built');
	is($fake->count('faults'), 3, 'no room for an Insert: so often');
	is($fake->count('begun CreateCollection'), 1, 'no room for an Insert: no other collection');
	is(scalar(@inserts), 4 + 3, 'no room for an Insert: each row once');
	# 20 ms, doubled, and of that a half at least
	cmp_ok($inserts[ $_ + 2 ]{at} - $inserts[ $_ + 1 ]{at}, '>=', 0.01 * 2**$_, "no room for an Insert: wait $_") foreach 0 .. 2;
	is($node->safe_psql('postgres', q{SELECT rows FROM brain._bases JOIN brain._runs USING (run_id) WHERE brain_key = 'new'}), '100', 'no room for an Insert: all rows');
	$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('large', 'new'); SELECT brain.sweep()});
}
{
	my $err = in_time([ { method => 'HasCollection', kind => 'code', code => 8, times => 0 } ], 'SET brain.request_timeout = 2', $compute);
	my @asked = $fake->calls('HasCollection');
	like($err, qr/^ERROR:  53000: .*\nDETAIL: .*\(code 8\)\nHINT:  Try again later/, 'never any room: an error');
	cmp_ok(scalar(@asked), '>=', 3, 'never any room: asked again');
	cmp_ok(scalar(@asked), '<=', 20, 'never any room: not all the time');
	cmp_ok($asked[-1]{at} - $asked[0]{at}, '<', 10, 'never any room: no longer than a request may take');
}

# ---- time limits of a server ---------------------------------------------------------------------

# They count before the settings, which say minutes here.
foreach ([ 'request_timeout', $main, { method => 'Search', kind => 'never' } ], [ 'connect_timeout', $fake->uri('full') ])
{
	my ($option, $uri, @faults) = @$_;
	$fake->script(@faults);
	$node->safe_psql('postgres', "ALTER SERVER m OPTIONS (SET uri '$uri', ADD $option '1')");
	my $begin = time;
	my (undef, undef, $err) = session('SET brain.on_backend_failure = error', "SET brain.$option = '5min'", $search);
	like($err, qr/^ERROR:  08\d{3}: .* did not answer in time\n.*\nHINT:  brain\.$option, or the option $option, says/, "the server's $option: an error");
	cmp_ok(time - $begin, '<', 60, "the server's $option: soon");
	$node->safe_psql('postgres', "ALTER SERVER m OPTIONS (SET uri '$main', DROP $option)");
}

# ---- a collection that was released --------------------------------------------------------------

foreach ([ 101, 1 ], [ 103, 1 ], [ 101, 0 ])
{
	my ($code, $times) = @$_;
	my $what = "released, code $code" . ($times ? '' : ', and again');
	$fake->script({ method => 'Search', kind => 'code', code => $code, times => $times });
	my (undef, $out, $err) = session('\o', $search, $path);
	is($out, "$right\npath " . ($times ? 'milvus' : 'table'), "$what: the answer");
	is($fake->count('LoadCollection'), 1, "$what: loaded, once");
	is($fake->count('Search'), 2, "$what: asked once more");
	is(scalar(() = $err =~ /^NOTICE:/mg), $times ? 0 : 1, "$what: what is said");
}

# ---- the idle connection, again --------------------------------------------------------------------------

# The next call on it finds it dead: that is a small one, not the Insert. Later
# libcurl would make another by itself.
sub wake_idle
{
	my $rest = $idle_since + 31 - time;
	sleep($rest) if $rest > 0;
	$fake->script({ method => '*', kind => 'drop' });
	$gate->quit;
	$idle->query_until(qr/over/, "\\echo over\n");
	my @calls = map { $_->{method} } $fake->calls;
	is("@calls[0 .. 2]", 'GetVersion Insert Insert', 'after 30 s: a small call goes first');
	is($fake->count('faults'), 1, 'after 30 s: the connection was dead');
	unlike($idle->{stderr}, qr{ERROR|acknowledge}, 'after 30 s: nobody is told');
	unlike("@calls", qr/CreateCollection/, 'after 30 s: no other collection');
	is($fake->count('connections'), 1, 'after 30 s: connected once');
	$idle->quit;
	undef $idle;
	is($node->safe_psql('postgres', q{SELECT rows FROM brain._bases JOIN brain._runs USING (run_id) WHERE brain_key = 'idle'; SELECT brain.delete_brain_run('slow', 'idle')}), "100\n", 'after 30 s: all rows');
	$node->safe_psql('postgres', 'SELECT brain.sweep()');
	return;
}

# ---- what failing calls leave behind -------------------------------------------------------------

# In one session, BRAIN_LEAK_CALLS of each: files that are open, and KB of memory, after a first thousand
# calls and after the others.
my $calls = $ENV{BRAIN_LEAK_CALLS} // 1500;
my $left = q{SELECT (SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/fd')), substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmRSS:\s+(\d+)')};
my %leaks = (
	'nobody listens' => [ $fake->uri('refused') ],
	'closed' => [ $main, { method => 'Connect', kind => 'drop', times => 0 } ],
	'reset' => [ $main, { method => 'Connect', kind => 'drop', how => 'reset', times => 0 } ],
	'RST_STREAM' => [ $main, { method => 'Connect', kind => 'rst', times => 0 } ],
	'status 14' => [ $main, { method => 'Connect', kind => 'status', status => 14, times => 0 } ],
	'a page' => [ $main, { method => 'Connect', kind => 'page', status => 502, times => 0 } ],
	'cut' => [ $main, { method => 'Connect', kind => 'length', by => 10, times => 0 } ],
	'a page, searching' => [ undef, { method => 'Search', kind => 'page', status => 502, times => 0 } ],
	'closed, searching' => [ undef, { method => 'Search', kind => 'drop', times => 0 } ],
	'half, searching' => [ undef, { method => 'Search', kind => 'length', says => 100000000, times => 0 } ],
	'damaged, searching' => [ undef, { method => 'Search', kind => 'message', hex => '12ff01', times => 0 } ],
	'healthy' => [$main]);
foreach my $name (sort keys %leaks)
{
	my ($uri, $fault) = @{ $leaks{$name} };
	# each call in a statement of its own where it raises an error
	my $call = $uri ? sub { "SELECT count(problem) FROM generate_series(1, $_[0]) i, brain.health(options => jsonb_build_object('uri', '$uri', 'connect_timeout', 100 + i % 10));\n" }
	  : sub { "$search \\g /dev/null\n" x $_[0] };
	my $some = int($calls / 3);
	my ($out, $err) = ('', '');

	wake_idle() if $idle && (time > $idle_since + 31 || $calls > 1500);
	$fake->script($fault ? $fault : ());
	$node->psql('postgres', "SET brain.on_backend_failure = error;\n\\o /dev/null\n" . $call->($some) . "\\o\n$left;\n\\o /dev/null\n" . $call->($calls - $some) . "\\o\n$left;\n",
		stdout => \$out, stderr => \$err, on_error_stop => 0);
	my ($files, $memory, $files_after, $memory_after) = split(/[|\n]/, $out);
	note("$name: $memory KB, then $memory_after KB; $files files, then $files_after");
	cmp_ok($files_after, '<=', $files, "$calls calls, $name: no file stays open");
	cmp_ok($memory_after - $memory, '<', 1024 + $calls / 30, "$calls calls, $name: no memory stays behind");
}

wake_idle() if $idle;

# ---- what is sent ---------------------------------------------------------------------------------

# The names of what was called, one for each series.
sub called { return join(' ', map { $_->{method} } $fake->calls) =~ s/\b(\w+)(?: \1\b)+/$1+/gr; }

$node->safe_psql('postgres', 'CREATE TABLE u (id int PRIMARY KEY, emb real[]); INSERT INTO u SELECT id, emb FROM t');
$fake->script();
$node->safe_psql('postgres', $compute);
is(called(), 'Connect HasCollection CreateCollection DescribeCollection Insert+ Flush GetFlushState CreateIndex DescribeIndex LoadCollection GetLoadState Query',
	'a compute: what it calls, in this order');
is(scalar($fake->calls('Flush')), 1, 'a compute: one flush');
$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('large', 'new'); SELECT brain.sweep(); SELECT FROM brain.compute_similarity('u', 'u', backend => 'milvus', server => 'm')});

my $search_u = q{SELECT string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('u', '[0.2, 0.4, -0.3, 0.9]', k => 3, brain_key => 'u'};
{
	my $other = $node->background_psql('postgres', on_error_stop => 0);
	$other->query_safe("$search_u)");
	$node->safe_psql('postgres', 'UPDATE u SET emb[1] = 0.1 WHERE id = 9; DELETE FROM u WHERE id = 10');
	$fake->script();
	$node->safe_psql('postgres', q{SELECT brain.sync('u', 'u')});
	my $calls = called();
	like($calls, qr/\bUpsert\b.*\bDelete\b/, 'a sync: what changed is written');
	unlike($calls, qr/Flush|Insert/, 'a sync: without a flush');
	my $written = $fake->ask('state')->{timestamp};

	$fake->script();
	is($other->query_safe("$search_u)") . ' ' . $other->query_safe($path),
		$node->safe_psql('postgres', q{SELECT string_agg(id::text, ',' ORDER BY d) FROM (SELECT id, -(emb[1] * 0.2 + emb[2] * 0.4 - emb[3] * 0.3 + emb[4] * 0.9) AS d FROM u ORDER BY d LIMIT 3) x}) . ' path milvus',
		'another session after it');
	my ($asked) = $fake->calls('Search');
	cmp_ok($asked->{timestamp}, '>=', $written, 'another session after it: sees all that was written');
	is($asked->{level}, 1, 'another session after it: by Session');
	$other->query_safe(qq{$search_u, options => '{"consistency_level": "Strong"}')});
	(undef, $asked) = $fake->calls('Search');
	is("$asked->{level} $asked->{timestamp}", '0 0', 'the level of a call');
	$other->query_safe("$search_u)");
	is(($fake->calls('Search'))[2]{level}, 1, 'the level of a call: of that alone');
	$other->quit;
}

# milvus-lite 2.x, which says nothing of itself, collapses beyond a MiB.
$node->safe_psql('postgres', 'CREATE TABLE big (id int PRIMARY KEY, emb real[]); INSERT INTO big SELECT i, array_agg(sin(i * j)) FROM generate_series(1, 1500) i, generate_series(1, 500) j GROUP BY i');
foreach my $lite2 (0, 1)
{
	$fake->script($lite2 ? ({ method => 'Connect', kind => 'message', hex => '', times => 0 }, { method => 'GetVersion', kind => 'status', status => 12, times => 0 }) : ());
	$node->safe_psql('postgres', q{SELECT FROM brain.compute_similarity('big', 'b', backend => 'milvus', server => 'm', overwrite => true, options => '{"batch_bytes": 33554432}')});
	my @bytes = sort { $b <=> $a } map { $_->{bytes} } $fake->calls('Insert');
	if ($lite2) { cmp_ok($bytes[0], '<=', 1024 * 1024, 'milvus-lite 2.x: no Insert is larger than 1 MiB'); }
	else { cmp_ok($bytes[0], '>', 2 * 1024 * 1024, 'others: one Insert'); }
}
$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('big', 'b'); DROP TABLE big; SELECT brain.sweep()});

# ---- a write that nobody has acknowledged ----------------------------------------------------------

# An Upsert is done 3 s after it was lost. The next sync waits for that: else the old
# value would come back, and nobody would know.
{
	my $err = in_time([ { method => 'Upsert', kind => 'drop', times => 2, late => 3 } ], q{UPDATE u SET emb = '{-9, -9, 9, -9}' WHERE id = 5}, q{SET brain.request_timeout = 2}, q{SET brain.connect_timeout = 1}, q{SELECT brain.sync('u', 'u')});
	like($err, qr/08006/, 'a lost write: it is told');
	is($fake->count('faults'), 2, 'a lost write: it was lost');
	(undef, undef, $err) = session(q{UPDATE u SET emb = '{9, 9, -9, 9}' WHERE id = 5}, q{SELECT brain.sync('u', 'u')});
	is($err, '', 'a lost write: the next sync');
	$fake->wait_for('late', 2);
	is($node->safe_psql('postgres', "$search_u); $path; SELECT count(*) FROM brain.changes JOIN brain._runs USING (run_id) WHERE brain_key = 'u'"),
		$node->safe_psql('postgres', q{SELECT string_agg(id::text, ',' ORDER BY d) FROM (SELECT id, -(emb[1] * 0.2 + emb[2] * 0.4 - emb[3] * 0.3 + emb[4] * 0.9) AS d FROM u ORDER BY d LIMIT 3) x}) . "\npath milvus\n0",
		'a lost write: when it is done nevertheless');
}

# ---- progress ----------------------------------------------------------------------------------------

{
	my $build = $node->background_psql('postgres', on_error_stop => 0);
	my $progress = q{SELECT phase, samples_done, samples_per_second > 0 FROM brain.progress WHERE samples = 'large'::regclass};

	# rows are counted when they are sent, and told of every 100 ms
	$fake->script({ method => 'Insert', kind => 'delay', seconds => 0.2, times => 2 }, { method => 'Insert', kind => 'wait', skip => 1 });
	$build->query_until(qr/begun/, "\\echo begun\n$compute;\n");
	$fake->wait_for('begun Insert', 4);
	like($node->safe_psql('postgres', $progress), qr/^reading embeddings\|[1-9]\d*\|t$/, 'progress: rows are sent');
	$fake->script({ method => 'DescribeIndex', kind => 'index', done_rows => 50, rows => 100, times => 0 });
	$fake->wait_for('DescribeIndex', 2);
	is($node->safe_psql('postgres', "$progress AND samples_total = 100"), 'building the index|50|t', 'progress: half of them are indexed');
	$fake->script();
	$build->query('SELECT');
	$build->quit;
	$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('large', 'new'); SELECT brain.sweep()});
}

# ---- the configured server ------------------------------------------------------------------------------

# Nobody has listed what a rolled-back call has left there.
{
	my $file = "$fake->{folder}/server.json";
	append_to_file($file, qq({"similarity_backends": {"milvus": {"uri": "$main"}}}));
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	my $count = sub { return scalar(keys %{ $fake->ask('state')->{rows} }) };
	my $before = $count->();
	$node->safe_psql('other', "CREATE EXTENSION milvus_brain; CREATE TABLE t (id int PRIMARY KEY, emb real[]); INSERT INTO t VALUES (1, '{1, 2}')");
	$node->safe_psql('other', "SET brain.config_file = '$file'; BEGIN; SELECT brain.compute_similarity('t', 'r', backend => 'milvus'); ROLLBACK");
	is($count->(), $before + 1, 'rolled back, on the configured server: the collection is there');
	$node->safe_psql('other', "SET brain.config_file = '$file'; SELECT brain.sweep()");
	is($count->(), $before, 'rolled back, on the configured server: swept');
}

$node->stop;
$fake->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/terminated by signal|PANIC|TRAP:|leak|still referenced/, 'no server process crashed, nothing leaked');
done_testing();
