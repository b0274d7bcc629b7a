# Guards against: a milvus run that answers otherwise than an exact run over the same
# table, whatever happens to the table, the session, the transaction, the collection,
# the server or the cluster; a collection that stays behind; one that is written to or
# dropped by whom it does not belong to.
#
# Each answer is compared with the exact run's, as text, which is bit for bit. The index
# is FLAT, no two distances are equal: nothing but equality is right. brain.last_search()
# proves that it was the collection that answered. What is on the server is asked of the
# server, by pymilvus.
use strict;
use warnings FATAL => 'all';
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

# What a server cannot do: the test runs all the same, and has to fail. It is the
# README's table, line by line.
my %CANNOT = (
	'a database other than the default one' => {
		'milvus-lite-2.5.1' => 'has no databases, and takes their names for nothing' },
	'an index of type HNSW' => {
		'milvus-lite-2.5.1' => 'has `FLAT`, `IVF_FLAT` and `AUTOINDEX`: the last is made, with a NOTICE' },
	'ids with quotes and newlines' => {
		'milvus-lite-2.5.1' => 'finds no id that has a single quote, a newline or a carriage return' },
	'an alias of a collection' => {
		'milvus-lite-2.5.1' => 'has no aliases' },
	'an error for `index_params` that are out of range' => {
		'milvus-lite-2.5.1' => 'looks at none of them',
		'milvus-lite-3.2.2' => 'takes any number' },
);
my %tried;

my @KINDS = split ' ', $ENV{BRAIN_SERVERS_KINDS} // '';
plan skip_all => 'milvus: no server runs' unless @KINDS && $ENV{BRAIN_SERVERS};
my $only = $ENV{BRAIN_MILVUS_ONLY} // '';    # by hand: sections whose name matches

my $json = JSON::PP->new->canonical->allow_nonref;
my $folder = PostgreSQL::Test::Utils::tempdir;
our $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->append_conf('postgresql.conf', "fsync = off\nmax_prepared_transactions = 5\nbrain.connect_timeout = '20s'\nlog_statement = none\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE reader; CREATE ROLE stranger; CREATE ROLE owner');

# ---- the server under test -------------------------------------------------

our ($kind, $db, %info, $client);
my ($before, $MAKE);

sub server_does
{
	my ($verb) = @_;
	my $out = `'$ENV{BRAIN_SERVERS}' $verb $kind 2>&1`;
	die "$verb $kind: $out" if $? != 0;
	return map { /^(\w+)=(.*)$/ ? ($1 => $2) : () } split /\n/, $out;
}

# pymilvus, as somebody else: a line of JSON asks, a line of JSON answers.
sub write_file { my ($path, $text) = @_; open my $f, '>:raw', $path or die $!; print $f $text; close $f; return; }
write_file("$folder/client.py", <<'PYTHON');
import json, sys, warnings
warnings.filterwarnings("ignore")
from pymilvus import connections, utility, Collection, CollectionSchema, FieldSchema, DataType

class Does:
    def names(self):
        return sorted(utility.list_collections())
    def ids(self, name):
        c = Collection(name)
        return sorted(r["pk"] for r in c.query('pk >= ""', output_fields=["pk"], consistency_level="Strong", limit=16000))
    def drop(self, name):
        utility.drop_collection(name)
    def alias(self, name, alias):
        utility.create_alias(name, alias)
    def drop_alias(self, alias):
        utility.drop_alias(alias)
    def release(self, name):
        Collection(name).release()
    # without an index, and what is in it not flushed
    def bare(self, name, dim, ids, mark=""):
        text = dict(dtype=DataType.VARCHAR, max_length=1000)
        c = Collection(name, CollectionSchema([FieldSchema("pk", is_primary=True, **text),
            FieldSchema("vector", DataType.FLOAT_VECTOR, dim=dim), FieldSchema("sample_id", **text)],
            description=mark and "milvus_brain=" + mark), properties={"milvus_brain": mark} if mark else {})
        if ids:
            c.insert([ids, [[float((i * (d + 3)) % 17 + 1) for d in range(dim)] for i in range(len(ids))], ids])
        return len(ids)
    # one of the same name and layout, whose vectors are others
    def replace(self, name, dim, metric, ids):
        utility.drop_collection(name)
        return self.make(name, dim, metric, ids)
    def make(self, name, dim, metric, ids):
        self.bare(name, dim, ids)
        c = Collection(name)
        c.flush(timeout=60)
        c.create_index("vector", {"index_type": "FLAT", "metric_type": metric, "params": {}}, timeout=60)
        c.load(timeout=60)
        return len(self.ids(name))

    # as others make it: its key is a number, its fields have other names, and it may have more of vectors
    def numbered(self, name, dim, metric, rows, *more):
        rows = json.loads(rows)
        c = Collection(name, CollectionSchema([FieldSchema("id", DataType.INT64, is_primary=True)] +
            [FieldSchema(field, DataType.FLOAT_VECTOR, dim=dim) for field in ("emb", *more)]))
        if rows:
            c.insert([[row[0] for row in rows], [row[1] for row in rows]])
            c.flush(timeout=60)
            c.create_index("emb", {"index_type": "FLAT", "metric_type": metric, "params": {}}, timeout=60)
            c.load(timeout=60)
        return len(rows)

class Database(Does):
    def make_database(self, name):
        from pymilvus import db
        db.create_database(name)
    def within(self, name, verb, *rest):
        from pymilvus import db
        db.using_database(name)
        try:
            return getattr(self, verb)(*rest)
        finally:
            db.using_database("default")

connections.connect(timeout=60, **json.loads(sys.argv[1]))
for line in sys.stdin:
    verb, *rest = json.loads(line)
    try:
        answer = {"ok": getattr(Database(), verb)(*rest)}
    except Exception as e:
        answer = {"error": str(e)}
    print(json.dumps(answer), flush=True)
PYTHON

sub end_client
{
	return unless $client;
	close $client->{in};
	kill 'KILL', $client->{pid} if !eval { local $SIG{ALRM} = sub { die }; alarm 20; waitpid $client->{pid}, 0; alarm 0; 1 };
	undef $client;
	return;
}

sub start_client
{
	end_client();
	my %options = map { $_ => $info{$_} } grep { defined $info{$_} } qw(user password server_name);
	@options{qw(host port)} = $info{uri} =~ m{://([\d.]+):(\d+)} or die $info{uri};
	%options = (%options, secure => JSON::PP::true, ca_pem_path => $info{ca}, client_pem_path => $info{cert}, client_key_path => $info{key}) if $info{cert};
	%options = (%options, secure => JSON::PP::true, server_pem_path => $info{ca}) if $info{ca} && !$info{cert};
	local $ENV{HOME} = $folder;
	write_file("$folder/options", $json->encode(\%options));
	my $pid = open2(my $out, my $in, 'sh', '-c', "exec '$info{python}' '$folder/client.py' \"\$(cat '$folder/options')\" 2>>'$folder/client.err'");
	$client = { pid => $pid, in => $in, out => $out };
	return;
}

sub somebody
{
	my (@asks) = @_;
	start_client() unless $client;
	my $line;
	local $SIG{PIPE} = 'IGNORE';
	eval {
		local $SIG{ALRM} = sub { die "no answer\n" };
		alarm 180;
		syswrite $client->{in}, JSON::PP->new->ascii->encode(\@asks) . "\n";
		$line = readline $client->{out};
		alarm 0;
	};
	alarm 0;
	die "pymilvus @asks: " . ($@ || slurp_file("$folder/client.err")) unless defined $line;
	my $answer = JSON::PP->new->decode($line);
	die "pymilvus @asks: $answer->{error}" if exists $answer->{error};
	return $answer->{ok};
}

sub names { return join ' ', @{ somebody('names') }; }

# milvus-lite 2.5.1 says what it was told a moment later.
sub has_ids
{
	my ($name, $collection, $table, $where) = @_;
	my $expected = sql(qq{SELECT coalesce(json_agg(id::text ORDER BY id::text COLLATE "C"), '[]') FROM $table WHERE $where});
	my ($got, $until) = ('', time + 30);
	$expected = $json->encode([ sort @{ JSON::PP->new->utf8->decode($expected) } ]);
	while (time < $until)
	{
		$got = $json->encode([ sort @{ somebody('ids', $collection) } ]);
		last if $got eq $expected;
		sleep 0.2;
	}
	return Test::More::is($got, $expected, "$kind: $name");
}

# The vector of a number, and a table of them.
$MAKE = q{
		CREATE FUNCTION vec(i double precision, n integer DEFAULT 8) RETURNS real[] IMMUTABLE LANGUAGE sql AS
			'SELECT array_agg((sin(i * 0.7 + d * d * 1.3) * (1 + i::int % 13 / 7.0) + cos(i * i * 0.01 * d))::real) FROM generate_series(1, n) d';
		CREATE FUNCTION make(name text, n integer) RETURNS void LANGUAGE plpgsql AS
			$$ BEGIN EXECUTE format('CREATE TABLE %s (id integer PRIMARY KEY, label text, embedding real[])', name);
				EXECUTE format('INSERT INTO %s SELECT i, ''l'' || i %% 3, vec(i) FROM generate_series(1, %s) i', name, n); END $$;
};

# So many rows, as the planner sees it: what it expects a filter to keep decides who answers.
sub pretend
{
	my ($table, $rows) = @_;
	sql("ANALYZE $table; UPDATE pg_class SET reltuples = $rows, relpages = greatest(pg_relation_size(oid) / 8192, 1) WHERE oid = '$table'::regclass");
	return;
}

# ---- asking ----------------------------------------------------------------

# Names of tests begin with the server's.
sub is_($$$) { my ($got, $expected, $name) = @_; return Test::More::is($got, $expected, "$kind: $name"); }
sub like_($$$) { my ($got, $expected, $name) = @_; return Test::More::like($got, $expected, "$kind: $name"); }
sub unlike_($$$) { my ($got, $expected, $name) = @_; return Test::More::unlike($got, $expected, "$kind: $name"); }
sub ok_($$) { my ($got, $name) = @_; return Test::More::ok($got, "$kind: $name"); }

# A test that the table at the top may say must fail.
sub can
{
	my ($what, $worked, $why) = @_;
	my $reason = $CANNOT{$what}{$kind};
	$tried{"$what, $kind"} = 1;
	if (!defined $reason) { ok_($worked, $what) or diag($why); }
	elsif (!ok_(!$worked, "cannot: $what: $reason")) { diag("$what works on $kind: take it out of the table"); }
	return $worked;
}

sub sql { my ($statements, $database) = @_; return $node->safe_psql($database // $db, $statements); }

# What statements print, in a session of their own, and then what they say.
# A build that takes its time says so.
sub without_progress { my ($text) = @_; return $text =~ s/^(?:psql:\S+ )?NOTICE:  compute_similarity: .*\n?//gmr; }

sub try
{
	my ($statements, $database) = @_;
	my ($rc, $out, $err) = $node->psql($database // $db, $statements, on_error_stop => 0, timeout => 300);
	return ($out // '', without_progress($err // ''));
}
sub error_of { my (@a) = @_; return (try(@a))[1] =~ s/psql:<stdin>:\d+: //gr; }

sub session
{
	my ($database) = @_;
	my $session = $node->background_psql($database // $db, on_error_stop => 0, timeout => 300);
	$session->set_query_timer_restart();
	return $session;
}
sub ask { my ($session, $statements) = @_; my $out = $session->query($statements); return $out; }
sub said { my ($session) = @_; my $said = $session->{stderr}; $session->{stderr} = ''; return without_progress($said); }

# An answer of the milvus run and the exact run's, and which path was taken.
#	keys: the two runs; in: a session; before, after: statements around, in the same one
#	path: milvus; changes: how many there must be; rows: how many; says: what is on stderr
sub without_warnings { my ($text) = @_; return $text =~ s/^[^\n]*WARNING:  \d+ samples? w[^\n]* left out of the search\n(DETAIL:[^\n]*(\n|\z))?(HINT:[^\n]*(\n|\z))?//gmr; }
my @NAMES = qw(m e);
sub same
{
	my ($name, $table, $query, %o) = @_;
	my ($m, $e) = @{ $o{keys} // \@NAMES };
	my $arguments = $o{arguments} // 'k => 10';
	my $search = sub {
		my ($label, $key) = @_;
		return "SELECT '$label ' || row_to_json(s) FROM brain.sort_by_similarity('$table', $query, $arguments, brain_key => '$key') s ORDER BY rank;\n";
	};
	my $sql = ($o{before} // '') . ";\n" . $search->('m', $m) .
		"SELECT 'path ' || (brain.last_search()->>'path') || ' ' || (brain.last_search()->>'changes') || ' ' || coalesce(brain.last_search()->>'reason', '');\n" .
		$search->('e', $e) . ($o{after} // '');
	my ($out, $err);
	if ($o{in})
	{
		said($o{in});
		$out = $o{in}->query($sql);
		$err = said($o{in});
	}
	else { ($out, $err) = try($sql, $o{database}); }
	# Rows that a search leaves out: exact warns of all, milvus of those that are changes,
	# since the others are not in the collection.
	$err = without_warnings($err);
	my (@m, @e, $path);
	foreach (split /\n/, $out)
	{
		push @m, $1 if /^m (.*)/;
		push @e, $1 if /^e (.*)/;
		$path = $1 if /^path (.*)/;
	}
	my @problems;
	push @problems, "answers differ:\n" . join("\n", 'milvus:', @m, 'exact:', @e) if "@m" ne "@e";
	$path //= 'none: ' . $out;
	push @problems, "path $path" if $path !~ /^(\w+) (\d+)/ || $1 ne ($o{path} // 'milvus');
	push @problems, "$path, not $o{changes} changes" if defined $o{changes} && ($path // '') !~ /^\w+ $o{changes} /;
	push @problems, scalar(@m) . " rows, not $o{rows}" if defined $o{rows} && @m != $o{rows};
	push @problems, 'no rows' if !defined $o{rows} && !@m;
	push @problems, "it said: $err" if defined $o{says} ? $err !~ $o{says} : $err ne '';
	return Test::More::is(join("\n", @problems), '', "$kind: $name");
}

# The neighbors of all samples, by the milvus run and by the exact one.
#	path, changes, rows, says, before, database: as of same(); reason: why not milvus; more: a condition on last_search() s
sub same_neighbors
{
	my ($name, $table, $arguments, %o) = @_;
	my $call = sub { my ($key) = @_; return "SELECT '$key ' || row_to_json(n) FROM brain.neighbors('$table', '$key', $arguments) n ORDER BY sample_id COLLATE \"C\", rank;\n"; };
	my $sql = "SET brain.min_server_neighbors = 0;\n" . ($o{before} // '') . ";\n" . $call->('m') .
		"SELECT 'path ' || (s->>'path') || ' ' || (s->>'changes') || ' ' || coalesce(s->>'reason', '') FROM brain.last_search() s;\n" .
		"SELECT 'more ' || (@{[$o{more} // 'true']}) FROM brain.last_search() s;\n" . $call->('e');
	my ($out, $err);
	if ($o{in}) { said($o{in}); $out = $o{in}->query($sql); $err = said($o{in}); }
	else { ($out, $err) = try($sql, $o{database}); }
	$err = without_warnings($err);
	my %lines;
	push @{ $lines{$1} }, $2 while $out =~ /^(\w+) (.*)$/mg;
	my ($m, $e, $path, $more) = map { join "\n", @{ $lines{$_} // [] } } qw(m e path more);
	my $reason = $o{reason} // ($o{path} ? qr/./ : qr/^$/);
	my @problems;
	push @problems, "answers differ:\nmilvus:\n$m\nexact:\n$e" if $m ne $e;
	push @problems, "path $path" if $path !~ /^(\w+) \d+ (.*)/ || $1 ne ($o{path} // 'milvus') || $2 !~ $reason;
	push @problems, "$path, not $o{changes} changes" if defined $o{changes} && $path !~ /^\w+ $o{changes} /;
	push @problems, "not $o{more}: $out" if $more ne 'true';
	push @problems, scalar(@{ $lines{m} // [] }) . ' rows' if @{ $lines{m} // [] } != $o{rows};
	push @problems, "it said: $err" if defined $o{says} ? $err !~ $o{says} : $err ne '';
	return Test::More::is(join("\n", @problems), '', "$kind: neighbors: $name");
}

# Both say the same, up to the key.
sub same_error
{
	my ($name, $table, $query, $expected, %o) = @_;
	my $arguments = $o{arguments} // 'k => 10';
	my ($m, $e) = map { my $key = $_; error_of(($o{before} // '') . ";SELECT * FROM brain.sort_by_similarity('$table', $query, $arguments, brain_key => '$key')") =~ s/\b$key\b/KEY/gr }
		@{ $o{keys} // \@NAMES };
	like_($m, $expected, "$name: the error");
	return is_($m, $e, "$name: as on exact");
}

sub compute
{
	my ($table, $key, %o) = @_;
	my $arguments = join '', map { ", $_ => $o{$_}" } grep { $_ !~ /^[A-Z]/ } sort keys %o;
	my $options = $o{OPTIONS} // q('{"index_type": "FLAT"}');
	return "SELECT (r).brain_key, (r).backend, (r).metric, (r).dimensions, (r).indexed, (r).missing, (r).skipped FROM brain.compute_similarity('$table', '$key', backend => 'milvus', server => '@{[$o{SERVER} // 'm']}', options => $options$arguments) r";
}
sub compute_both
{
	my ($table, %o) = @_;
	my $out = sql(compute($table, 'm', %o));
	delete $o{collection_name}; delete $o{consistency_level};
	$o{metric} //= q('dotproduct');
	my $arguments = join '', map { ", $_ => $o{$_}" } grep { $_ !~ /^[A-Z]/ } sort keys %o;
	sql("SELECT brain.compute_similarity('$table', 'e'$arguments)");
	return $out;
}
sub collection_of { my ($table, $key, $database) = @_; return sql("SELECT b.collection FROM brain._bases b JOIN brain._runs r USING (run_id) WHERE format('%I.%I', r.dataset_schema, r.dataset_name)::regclass = '$table'::regclass AND r.brain_key = '" . ($key // 'm') . "'", $database); }
sub changes { my ($table, $key) = @_; return sql("SELECT changes FROM brain.sync_status WHERE samples = '$table'::regclass AND brain_key = '" . ($key // 'm') . "'"); }
# Until the log is empty: rows wait for transactions that began before they came, of
# whomever, such as the one that drops a collection. Returns the last action, what all
# have taken in, and the rows that there are.
sub sync
{
	my ($table, $key) = @_;
	my ($action, $taken, $rows) = ('', 0, 0);
	for (my $until = time + 60; time < $until; sleep 0.1)
	{
		my ($did, $n, $are) = split /\|/, sql("SELECT s.action, s.changes, s.rows FROM brain.sync('$table', '" . ($key // 'm') . "') s");
		$taken += $n;
		($action, $rows) = ($did, $are) if $did ne 'none' || $action eq '';
		last if changes($table, $key) eq '0';
	}
	return "$action|$taken|$rows";
}

# After a part that ended early, so that the next ones begin well.
sub put_away
{
	try(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
		SET client_min_messages = warning; DROP SCHEMA IF EXISTS one CASCADE; DROP SCHEMA IF EXISTS two CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public; SELECT * FROM brain.sweep()});
	try($MAKE);
	$before = eval { names() } // '';
	return;
}

# A part of the suite: what goes wrong in it does not end the others.
sub section
{
	my ($name, $do) = @_;
	return if $only ne '' && $name !~ /$only/;
	my $start = time;
	note "---- $kind: $name";
	if (!eval { $do->(); 1 })
	{
		Test::More::fail("$kind: $name: $@");
		put_away();
	}
	note sprintf '---- %s: %s took %.1f s', $kind, $name, time - $start;
	return;
}

# What is on the server when these are, besides what was there at first.
sub with { my (@names) = @_; return join ' ', sort(split(' ', $before), @names); }

# What was committed as garbage is dropped at once, by nobody's sweep.
sub gone
{
	my ($name, $expected) = @_;
	$expected //= $before;
	my ($got, $garbage) = ('', '');
	for (my $until = time + 60; time < $until; sleep 0.1)
	{
		$got = names();
		$garbage = sql('SELECT count(*) FROM brain.garbage');
		last if $got eq $expected && $garbage eq '0';
	}
	return is_("$got, garbage: $garbage", "$expected, garbage: 0", $name);
}

# What a part has made is gone, with the sweep that belongs to it.
sub clean
{
	my (@tables) = @_;
	my ($out, $err) = try(join '', map { "DROP TABLE IF EXISTS $_ CASCADE;" } @tables);
	($out, $err) = try('SELECT * FROM brain.sweep()');
	is_($err, '', "sweep after @tables");
	return gone("no collection and no garbage after @tables");
}

sub set_up
{
	($kind) = @_;
	$db = $kind =~ s/\W/_/gr;
	%info = server_does('info');
	start_client();
	$before = names();
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	know_server();
	return;
}

# The database knows the server under test.
sub know_server
{
	my @options = ("uri '$info{uri}'");
	push @options, "server_name '$info{server_name}'" if $info{server_name};
	push @options, $info{cert} ? ("ca_pem_path '$info{ca}'", "client_pem_path '$info{cert}'", "client_key_path '$info{key}'") : "server_pem_path '$info{ca}'" if $info{ca};
	my $mapping = $info{user} ? "OPTIONS (user '$info{user}', password '$info{password}')" : '';
	sql(qq{
		CREATE EXTENSION milvus_brain;
		CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (@{[join ', ', @options]});
		CREATE USER MAPPING FOR CURRENT_USER SERVER m $mapping;
		$MAKE;
		GRANT USAGE ON SCHEMA brain TO PUBLIC});
	return;
}

# ---- the parts -------------------------------------------------------------

my $Q = q{vec(1000.5)};    # a vector that no table has

sub part_metrics
{
	sql(q{SELECT make('a', 400); INSERT INTO a VALUES (401, 'none', NULL), (402, 'bad', '{1,2,3}'), (403, 'nan', '{1,2,3,4,5,6,7,NaN}'), (404, 'zero', '{0,0,0,0,0,0,0,0}')});
	like_(error_of(compute('a', 'm')), qr/402/, 'a bad embedding ends a build, and is named');
	is_(sql('SELECT count(*) FROM brain.runs'), '0', 'and there is no run');
	is_(names(), $before, 'nor a collection');
	is_(sql(compute('a', 'default', skip_failures => 'true')), 'default|milvus|dotproduct|8|401|1|2', 'the result row; the metric is dotproduct where none is named');
	my %score = (cosine => '1 - distance', dotproduct => '-distance', euclidean => 'distance ^ 2');
	for my $metric (qw(cosine dotproduct euclidean))
	{
		my @keys = ($metric eq 'dotproduct' ? 'default' : "m_$metric", "e_$metric");
		my $skipped = $metric eq 'cosine' ? 3 : 2;
		if ($metric ne 'dotproduct')
		{
			is_(sql(compute('a', $keys[0], metric => "'$metric'", skip_failures => 'true')), "$keys[0]|milvus|$metric|8|" . (403 - $skipped) . "|1|$skipped", "$metric: the result row");
		}
		sql("SELECT brain.compute_similarity('a', 'e_$metric', metric => '$metric', skip_failures => true)");
		my %o = (keys => \@keys);
		same("$metric: by vector", 'a', $Q, %o, changes => 0, rows => 10);
		same("$metric: by id", 'a', '17', %o);
		same("$metric: by id as text", 'a', q{'17'}, %o);
		same("$metric: several ids", 'a', 'ARRAY[3, 77, 205]', %o);
		same("$metric: several vectors", 'a', 'ARRAY[vec(3.3), vec(200.1)]', %o);
		same("$metric: k larger than the index", 'a', $Q, %o, arguments => 'k => 1000', rows => 403 - $skipped);
		same("$metric: k = 1", 'a', $Q, %o, arguments => 'k => 1', rows => 1);
		same("$metric: k NULL", 'a', $Q, %o, arguments => 'k => NULL', rows => 403 - $skipped, path => 'table');
		same("$metric: reverse", 'a', $Q, %o, arguments => 'k => 10, reverse => true', path => 'table');
		for my $aggregation (qw(post-mean post-min post-max))
		{
			same("$metric: $aggregation", 'a', 'ARRAY[3, 77, 205]', %o, arguments => "k => 10, aggregation => '$aggregation'", path => 'table');
		}
		same("$metric: a filter", 'a', $Q, %o, arguments => q{k => 10, filter => $$label = 'l1'$$}, path => 'table');
		pretend('a', 100000000);
		same("$metric: a filter, of many", 'a', $Q, %o, arguments => q{k => 10, filter => $$label = 'l1'$$});
		same("$metric: a filter, of many, that few pass", 'a', $Q, %o, arguments => q{k => 10, filter => $$label = 'l1' AND id % 100 = 1$$}, rows => 2);
		pretend('a', 404);
		my $at = sql("SELECT distance FROM brain.sort_by_similarity('a', $Q, k => 30, brain_key => '$keys[1]') WHERE rank = 20");
		same("$metric: max_distance", 'a', $Q, %o, arguments => "k => 100, max_distance => $at", rows => 20);
		same("$metric: max_distance that nothing has", 'a', $Q, %o, arguments => 'k => 100, max_distance => -1e6', rows => 0);
		is_(sql("SELECT bool_and(score = $score{$metric}) FROM brain.sort_by_similarity('a', $Q, brain_key => '$keys[0]')"), 't', "$metric: the score") if $metric ne 'euclidean';
		same_error("$metric: an id that is not there", 'a', '9999', qr/9999/, %o);
		same_error("$metric: a sample without embedding", 'a', '401', qr/401/, %o);
		same_error("$metric: NaN in the query", 'a', q{'[1,2,3,4,5,6,7,NaN]'}, qr/NaN|finite/i, %o);
		same_error("$metric: a query of another dimension", 'a', q{'[1,2,3]'}, qr/dimension/, %o);
		same_error("$metric: k = 0", 'a', $Q, qr/\bk\b/, %o, arguments => 'k => 0');
		if ($metric eq 'cosine') { same_error('cosine: a zero vector', 'a', q{'[0,0,0,0,0,0,0,0]'}, qr/zero/, %o); }
		else { same("$metric: a zero vector", 'a', q{'[0,0,0,0,0,0,0,0]'}, %o, arguments => 'k => 5', rows => 5); }
	}
	# a filter that few rows pass: whichever path, the same
	for my $filter ('id = 399', 'id > 395', 'false')
	{
		my ($m, $e) = map { sql(qq{SELECT row_to_json(s) FROM brain.sort_by_similarity('a', $Q, k => 10, filter => \$\$$filter\$\$, brain_key => '$_') s ORDER BY rank}) } qw(m_cosine e_cosine);
		is_($m, $e, "the filter $filter");
	}
	# whole rows, vectors, neighbours, counts
	for my $call (
		q{SELECT rank, (sample).id, (sample).label, distance, score FROM brain.similar_samples(NULL::a, 17, k => 7, brain_key => 'KEY') ORDER BY rank},
		q{SELECT * FROM brain.get_embeddings('a', 'KEY', ARRAY[5, 3, 400])},
		q{SELECT * FROM brain.get_embeddings('a', 'KEY') ORDER BY sample_id},
		q{SELECT * FROM brain.neighbors('a', 'KEY', k => 3) ORDER BY sample_id, rank},
		q{SELECT (r).metric, (r).dimensions, (r).indexed, (r).missing, (r).skipped FROM brain.load_brain_results('a', 'KEY') r})
	{
		my ($m, $e) = map { my $key = $_; my ($out, $err) = try($call =~ s/KEY/$key/r); without_warnings("$out\n$err") =~ s/\b$key\b/KEY/gr } qw(m_cosine e_cosine);
		is_($m, $e, 'as on exact: ' . ($call =~ /brain\.(\w+)/)[0] . ($call =~ /ids|ARRAY/ ? ' of ids' : ''));
	}
	like_(sql(q{SELECT to_jsonb(r) FROM brain.list_brain_runs('a') r WHERE brain_key = 'm_cosine'}), qr/"backend": "milvus"/, 'list_brain_runs says milvus');
	clean('a');
	return;
}

sub part_text_keys
{
	# ids that mean something to somebody
	my $hostile = q{ARRAY['"', '\\', '%', '%s', '_', '{', '}', '{0}', '{{pk}}', '$1', '--', '/*', ';', '`', '\"', '\\\\', '\n', '\t', '\x00', '\u0041', '[1, 2]',
		'" or pk != "', '" in ["', '\" or true', 'pk', 'true', 'null', 'NaN', '1e5', 'é', 'É', '日本語', '😀', 'ß', chr(1), chr(9), chr(127), chr(160), chr(8232), chr(65533), ' ', '  x', 'x ', repeat('é', 500)]};
	my $unaddressable = q{ARRAY['''', E'\n', E'\r', E'x\ny', ''' or ''1''=''1', 'it''s', E'\r\n', '"''']};
	sql(qq{CREATE TABLE b (id text COLLATE "C" PRIMARY KEY, label text, embedding real[]);
		INSERT INTO b SELECT id, 'l', vec(row_number() OVER (ORDER BY id) + 0.25) FROM (
			SELECT DISTINCT CASE i % 6 WHEN 0 THEN h[1 + i / 6 % n] WHEN 1 THEN h[1 + i % n] || i WHEN 2 THEN i || h[1 + i % n] WHEN 3 THEN h[1 + i % n] || h[1 + i * 7 / n % n]
				WHEN 4 THEN 'a' || h[1 + i % n] || 'b' || h[1 + i * 5 / n % n] || 'c' ELSE repeat(h[1 + i % n], 3) || i END
			FROM (SELECT h, array_length(h, 1) n FROM (SELECT $hostile || $unaddressable h) x) x, generate_series(0, 29999) i) x(id);
		ANALYZE b});
	my ($out, $err) = try(compute('b', 'm'));
	if (!can('ids with quotes and newlines', $err eq '' && $out =~ /^m\|milvus\|dotproduct\|8\|/, $err))
	{
		like_($err, qr/ERROR: .*cannot have the sample id "/, 'an id that it cannot have is refused at the build, and is named');
		is_(sql('SELECT count(*) FROM brain.runs'), '0', 'and leaves no run');
		sql(q{DELETE FROM b WHERE id ~ E'[\'\n\r]'});
	}
	# the shorter ones, which are most of the special ones by themselves, and no more than one query of a server returns
	sql(q{DELETE FROM b WHERE id NOT IN (SELECT id FROM b ORDER BY length(id), md5(id) LIMIT 10000)});
	is_(sql('SELECT count(*) FROM b'), '10000', '10,000 hostile ids');
	sql(compute('b', 'm', overwrite => 'true'));
	sql(q{SELECT brain.compute_similarity('b', 'e', metric => 'dotproduct')});
	my $all = sub {
		my ($name) = @_;
		my ($m, $e) = map { sql(qq{SELECT md5(b.id), row_to_json(s) FROM (SELECT id FROM b ORDER BY length(id), md5(id) LIMIT 300) b, LATERAL brain.sort_by_similarity('b', b.id, k => 3, brain_key => '$_') s ORDER BY b.id, s.rank}) } qw(m e);
		is_($m, $e, "hostile ids: 300, each as a query: $name");
		same("hostile ids: all of them: $name", 'b', $Q, arguments => 'k => 10000', changes => 0);
		return;
	};
	my $collection = collection_of('b');
	$all->('as built');
	has_ids('hostile ids: the server has them as they are', $collection, 'b', 'true');
	my $new = q{vec(length(id) * 1000 + ascii(id || 'x') + ('x' || left(md5(id), 6))::bit(24)::int / 1000.0)};
	sql(qq{UPDATE b SET embedding = $new WHERE left(md5(id), 1) = '0' AND ascii(md5(id || 'a')) % 2 = 0});
	same('hostile ids: some changed', 'b', $Q, arguments => 'k => 10000');
	sql(qq{UPDATE b SET embedding = $new WHERE md5(id) < '4'});
	like_(sync('b'), qr/^upsert\|\d+\|10000$/, 'hostile ids: a quarter changed and synced');
	sync('b', 'e');
	is_(changes('b'), 0, 'hostile ids: the log is empty');
	$all->('changed and synced');
	has_ids('hostile ids: the same on the server', $collection, 'b', 'true');
	sql(q{DELETE FROM b WHERE md5(id) > 'a'});
	like_(sync('b'), qr/^upsert\|\d+\|\d+$/, 'hostile ids: more than a third deleted and synced');
	sync('b', 'e');
	$all->('deleted and synced');
	has_ids('hostile ids: those and no others are gone from the server', $collection, 'b', 'true');
	if ($CANNOT{'ids with quotes and newlines'}{$kind})
	{
		sql(q{INSERT INTO b VALUES ('it''s', 'new', vec(4444))});
		same('an id that it cannot have comes later', 'b', $Q, arguments => 'k => 1000', changes => 1);
		my ($out, $err) = try(q{SELECT s.action, s.reason FROM brain.sync('b', 'm') s});
		like_("$out$err", qr/it's/, 'a sync names it');
		same('and it is found all the same', 'b', $Q, arguments => 'k => 1000', changes => 1);
	}
	clean('b');
	return;
}

# Texts are UTF-8 on the server, whatever the database's encoding.
sub part_encodings
{
	local $db = "${db}_latin1";
	$node->safe_psql('postgres', "CREATE DATABASE $db ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0; ALTER DATABASE $db SET client_encoding = 'UTF8'");
	know_server();
	sql(q{CREATE TABLE l (id text PRIMARY KEY, label text, embedding real[]);
		INSERT INTO l SELECT (ARRAY[chr(233), chr(223), chr(255) || '"', chr(160), 'a'])[1 + i % 5] || i, 'l', vec(i + 0.25) FROM generate_series(1, 200) i});
	is_(sql('SHOW server_encoding'), 'LATIN1', 'LATIN1: premise');
	is_(compute_both('l', metric => q('euclidean')), 'm|milvus|euclidean|8|200|0|0', 'LATIN1: computed');
	my $collection = collection_of('l');
	has_ids('LATIN1: the server has UTF-8', $collection, 'l', 'true');
	is_(scalar(grep { $_ eq "\x{e9}5" || $_ eq "\x{df}1" } @{ somebody('ids', $collection) }), 2, 'LATIN1: really');
	my $all = sub {
		my ($name, %o) = @_;
		same("LATIN1: by vector: $name", 'l', $Q, arguments => 'k => 1000', rows => 200, %o);
		same("LATIN1: by id: $name", 'l', $_, %o, rows => 10) foreach q{chr(233) || '5'}, q{chr(255) || '"2'};
		return;
	};
	$all->('as built', changes => 0);
	sql(q{UPDATE l SET embedding = vec(i) FROM generate_series(201, 260) i WHERE id ~ (i - 200 || '$'); DELETE FROM l WHERE id IN (chr(223) || '6', chr(233) || '10');
		INSERT INTO l VALUES (chr(252), 'l', vec(500)), (chr(252) || chr(253), 'l', vec(501))});
	$all->('changed');
	sync('l');
	$all->('changed and synced', changes => 0);
	has_ids('LATIN1: the server has the changes', $collection, 'l', 'true');
	if ($kind =~ /lite/)
	{
		somebody('make', 'of_utf8', 8, 'L2', [ "\x{e9}", "\x{65e5}\x{672c}" ]);
		sql('CREATE TABLE k AS SELECT unnest(ARRAY[chr(233), chr(234)]) id; ALTER TABLE k ADD PRIMARY KEY (id)');
		sql(compute('k', 'm', collection_name => q('of_utf8'), with_data => 'false', metric => q('euclidean')));
		is_(sql("SELECT sample_id FROM brain.get_embeddings('k', 'm', ARRAY[chr(233), chr(234)])"), "\xc3\xa9", 'LATIN1: a key of an attached collection');
		like_(error_of("SELECT brain.sort_by_similarity('k', $Q)"), qr/\nDETAIL:  Search: A key .*has no equivalent in the database's encoding\.$/m, 'LATIN1: one that it cannot have is said');
		sql(q{SELECT brain.delete_index('k', 'm')});
		somebody('drop', 'of_utf8');
	}
	clean('l', 'k');
	$node->safe_psql('postgres', "DROP DATABASE $db");
	return;
}

sub part_uuid_keys
{
	sql(q{CREATE TABLE u (id uuid PRIMARY KEY, embedding real[]); INSERT INTO u SELECT md5(i::text)::uuid, vec(i) FROM generate_series(1, 100) i});
	is_(compute_both('u', metric => q('euclidean'), consistency_level => q('Strong'), collection_name => q('named_by_us')), 'm|milvus|euclidean|8|100|0|0', 'uuid keys, consistency_level, collection_name');
	like_(names(), qr/\bnamed_by_us\b/, 'the collection has the name that was given');
	same('uuid keys: by vector', 'u', $Q, changes => 0);
	same('uuid keys: by id', 'u', q{md5('7')::uuid});
	same('uuid keys: by id in capitals', 'u', q{upper(md5('7'))});
	sql(q{UPDATE u SET embedding = vec(1000.25) WHERE id = md5('50')::uuid; DELETE FROM u WHERE id = md5('51')::uuid});
	sync('u');
	same('uuid keys: synced', 'u', $Q, changes => 0);
	has_ids('uuid keys: the server has them', 'named_by_us', 'u', 'true');
	# a second run does not get it
	sql(q{DELETE FROM u WHERE id = md5('52')::uuid});
	like_((try(compute('u', 'second', metric => q('euclidean'), collection_name => q('named_by_us'))))[1],
		qr/NOTICE:  collection "named_by_us" is that of brain run "m" of "u": another is made beside it$/m, 'a second run of that name is told');
	isnt(collection_of('u', 'second'), 'named_by_us', "$kind: a second run of that name gets another collection");
	same('the second one', 'u', $Q, keys => [qw(second e)]);
	same('and the first one goes on', 'u', $Q, changes => 1);
	is_(scalar(@{ somebody('ids', 'named_by_us') }), 99, 'in a collection of its own');
	sql(q{SELECT brain.delete_brain_run('u', 'second', cleanup => true)});
	gone('the second one is deleted, not the first', with('named_by_us'));
	same('which goes on', 'u', $Q, changes => 1);
	# nor does anybody get what is somebody's
	is_(somebody('make', 'of_somebody', 8, 'L2', [ 'a', 'b' ]), 2, 'a collection of somebody');
	like_(error_of(compute('u', 'third', metric => q('euclidean'), collection_name => q('of_somebody'))), qr/ERROR: .*"of_somebody"/, "somebody's collection is refused");
	like_(error_of(compute('u', 'm', metric => q('euclidean'), collection_name => q('of_somebody'), overwrite => 'true')), qr/ERROR: .*"of_somebody"/, 'with overwrite, too');
	sql('SELECT * FROM brain.sweep()');
	is_($json->encode(somebody('ids', 'of_somebody')), '["a","b"]', 'and is as it was');
	same('so is our run', 'u', $Q, changes => 1);
	somebody('drop', 'of_somebody');
	clean('u');
	return;
}

# A name that is a collection's already.
sub part_given_names
{
	sql(q{SELECT make('g', 100)});
	my $take = sub { my ($name, %o) = @_; return compute('g', 'm', metric => q('euclidean'), collection_name => "'$name'", %o); };
	for my $how (qw(bare indexed))
	{
		somebody('bare', $how, 8, []) if $how eq 'bare';
		somebody('make', $how, 8, 'IP', []) if $how eq 'indexed';
		is_(compute_both('g', metric => q('euclidean'), collection_name => "'$how'"), 'm|milvus|euclidean|8|100|0|0', "$how and empty: it is taken");
		is_(names(), with($how), "$how: there is no other");
		same("$how: searched", 'g', $Q, changes => 0);
		sql(q{INSERT INTO g VALUES (501, 'new', vec(1000.5))});
		sync('g');
		same("$how: synced", 'g', $Q, changes => 0);
		sql(q{DELETE FROM g WHERE id = 501; SELECT brain.delete_brain_run('g', 'm'); SELECT brain.delete_brain_run('g', 'e')});
		gone("$how: it is the run's, and goes with it");
	}
	somebody('bare', 'narrow', 4, []);
	like_(error_of($take->('narrow')), qr/ERROR:  collection "narrow" .* exists already\nDETAIL:  Its fields are pk VARCHAR PRIMARY KEY, vector FLOAT_VECTOR\(4\), sample_id VARCHAR, not pk VARCHAR PRIMARY KEY, vector FLOAT_VECTOR\(8\), sample_id VARCHAR\.\nHINT:  /, 'another layout: not taken');
	is_(somebody('bare', 'full', 8, [qw(a b c)]), 3, 'rows that were not flushed');
	like_(error_of($take->('full')), qr/ERROR:  collection "full" .* exists already\nDETAIL:  It has rows: 3, .*\nHINT:  /, 'rows: not taken');
	like_(error_of($take->('full', overwrite => 'true')), qr/ERROR:  collection "full" /, 'with overwrite, neither');
	is_(names(), with('narrow', 'full'), 'both are still there');
	my $uuid = '01234567-89ab-cdef-0123-456789abcdef';
	somebody('bare', 'foreign', 8, [], "$uuid/$uuid/1/2/3/4");
	like_(error_of($take->('foreign')), qr/ERROR:  collection "foreign" .* exists already\nDETAIL:  It was made by a brain run of another cluster, database or timeline\.\n/, "another database's: not taken");
	somebody('drop', 'foreign');
	somebody('drop', $_) foreach qw(narrow full);
	# rolled back: what was empty is gone
	somebody('bare', 'back', 8, []);
	my $s = session();
	ask($s, 'BEGIN');
	is_(ask($s, $take->('back')), 'm|milvus|euclidean|8|100|0|0', 'taken');
	ask($s, 'ROLLBACK');
	$s->quit;
	clean('g');
	return;
}

sub part_transactions
{
	sql(q{SELECT make('t', 500)});
	compute_both('t', metric => q('cosine'));
	my $s = session();
	my %in = (in => $s);
	my $rows = sub { return ask($s, "SELECT count(*) FROM t"); };

	same('before', 't', $Q, %in, changes => 0);
	ask($s, 'BEGIN; INSERT INTO t VALUES (1001, $$new$$, vec(1000.5)), (1002, $$new$$, vec(1000.6))');
	same('own INSERT is seen', 't', $Q, %in, changes => 2);
	is_(ask($s, "SELECT sample_id FROM brain.sort_by_similarity('t', $Q, k => 1, brain_key => 'm')"), '1001', 'it is the nearest');
	same('by nobody else', 't', $Q, changes => 0);
	ask($s, 'UPDATE t SET embedding = vec(id + 7000) WHERE id % 5 = 0');
	same('own UPDATE is seen', 't', $Q, %in);
	ask($s, 'DELETE FROM t WHERE id % 7 = 1');
	same('own DELETE is seen', 't', $Q, %in);
	same('own changes, more than k', 't', $Q, %in, arguments => 'k => 1000', rows => $rows->());
	ask($s, 'SAVEPOINT s; UPDATE t SET embedding = vec(id + 9000) WHERE id % 3 = 0; DELETE FROM t WHERE id % 3 = 1');
	same('within a savepoint', 't', $Q, %in);
	ask($s, 'ROLLBACK TO s');
	same('rolled back to the savepoint', 't', $Q, %in, arguments => 'k => 1000', rows => $rows->());
	ask($s, 'UPDATE t SET id = id + 5000 WHERE id % 11 = 2');
	same('own changes of keys', 't', $Q, %in, arguments => 'k => 1000', rows => $rows->());
	ask($s, 'TRUNCATE t');
	is_(ask($s, "SELECT count(*) FROM brain.sort_by_similarity('t', $Q, brain_key => 'm')"), '0', 'own TRUNCATE is seen');
	ask($s, 'INSERT INTO t VALUES (77, $$again$$, vec(3))');
	is_(ask($s, "SELECT sample_id FROM brain.sort_by_similarity('t', $Q, brain_key => 'm')"), '77', 'and what came after it');
	ask($s, 'ROLLBACK');
	same('rolled back: as it was', 't', $Q, %in, changes => 0, arguments => 'k => 1000', rows => 500);

	# taken in
	sql('INSERT INTO t SELECT i, $$new$$, vec(i) FROM generate_series(501, 520) i; UPDATE t SET embedding = vec(id + 3000) WHERE id BETWEEN 100 AND 120; DELETE FROM t WHERE id BETWEEN 200 AND 210');
	same('committed, not synced', 't', $Q, changes => 52);
	like_(sync('t'), qr/^\w+\|52\|509$/, 'sync takes in what it says');
	is_(changes('t'), 0, 'the log is empty');
	same('synced', 't', $Q, changes => 0, arguments => 'k => 1000', rows => 509);
	same('synced: a session from before', 't', $Q, %in, changes => 0, arguments => 'k => 1000', rows => 509);
	has_ids('synced: the server has the ids of the table', collection_of('t'), 't', 'true');
	like_(sync('t'), qr/^none\|0\|509$/, 'a second sync has nothing to do');

	# a transaction that has written is open
	ask($s, 'BEGIN; INSERT INTO t VALUES (2001, $$late$$, vec(1000.5)); UPDATE t SET embedding = vec(77777) WHERE id = 5');
	sql('INSERT INTO t VALUES (2002, $$early$$, vec(1000.7)); DELETE FROM t WHERE id = 6');
	my ($out, $err) = try(q{SET lock_timeout = '20s'; SELECT s.action, s.reason FROM brain.sync('t', 'm') s});
	unlike_($err, qr/ERROR/, 'a sync beside an open writer does not fail');
	same('beside an open writer', 't', $Q);
	same('in the open writer', 't', $Q, %in);
	ask($s, 'COMMIT');
	cmp_ok(changes('t'), '>=', 2, "$kind: its rows wait in the log");
	same('after the open writer', 't', $Q, arguments => 'k => 1000', rows => 510);
	sync('t');
	is_(changes('t'), 0, 'and are taken in by the next sync');
	same('after the next sync', 't', $Q, changes => 0, arguments => 'k => 1000', rows => 510);

	# an old snapshot, and a cursor
	ask($s, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
	same('REPEATABLE READ: first', 't', $Q, %in);
	my $old = ask($s, "SELECT row_to_json(s) FROM brain.sort_by_similarity('t', $Q, k => 50, brain_key => 'e') s ORDER BY rank");
	my $c = session();
	ask($c, "BEGIN; DECLARE c CURSOR FOR SELECT row_to_json(s) FROM brain.sort_by_similarity('t', $Q, k => 50, brain_key => 'm') s ORDER BY rank");
	sql('UPDATE t SET embedding = vec(id + 11000) WHERE id % 2 = 0; DELETE FROM t WHERE id % 5 = 3; INSERT INTO t SELECT i, $$new$$, vec(i) FROM generate_series(3001, 3050) i');
	($out, $err) = try(q{SELECT s.action, s.reason FROM brain.sync('t', 'm') s});
	unlike_($err, qr/ERROR/, 'a sync beside old snapshots does not fail');
	is_(ask($s, "SELECT row_to_json(s) FROM brain.sort_by_similarity('t', $Q, k => 50, brain_key => 'm') s ORDER BY rank"), $old, 'REPEATABLE READ: the old answer beside a sync');
	is_(ask($c, 'FETCH ALL FROM c'), $old, 'a cursor that was open: the old answer');
	same('a new snapshot: the new answer', 't', $Q);
	ask($s, 'COMMIT');
	ask($c, 'COMMIT');
	$c->quit;
	sync('t');
	is_(changes('t'), 0, 'all is taken in when the old snapshots are gone');
	same('REPEATABLE READ, over', 't', $Q, %in, changes => 0, arguments => 'k => 1000');
	has_ids('the server has the ids of the table', collection_of('t'), 't', 'true');

	# a long log
	sql('UPDATE t SET embedding = vec(id + 20000 + i) FROM generate_series(1, 1) i; INSERT INTO t SELECT i, $$many$$, vec(i) FROM generate_series(10001, 12000) i; DELETE FROM t WHERE id BETWEEN 11000 AND 11200');
	{
		my ($m, $e) = map { sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('t', $Q, k => 50, brain_key => '$_') s ORDER BY rank") } qw(m e);
		is_($m, $e, 'a long log');
	}
	sync('t', $_) foreach qw(m e);
	is_(changes('t'), 0, 'a long log is taken in');
	same('a long log: synced', 't', $Q, changes => 0, arguments => 'k => 3000', rows => sql('SELECT count(*) FROM t'));
	has_ids('a long log: the server has the ids of the table', collection_of('t'), 't', 'true');

	# TRUNCATE, committed
	sql('TRUNCATE t');
	is_(sql("SELECT count(*) FROM brain.sort_by_similarity('t', $Q, brain_key => 'm')"), '0', 'TRUNCATE: nothing');
	sql('INSERT INTO t SELECT i, $$l$$, vec(i + 0.5) FROM generate_series(1, 40) i');
	{
		my ($m, $e) = map { sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('t', $Q, k => 50, brain_key => '$_') s ORDER BY rank") } qw(m e);
		is_($m, $e, 'TRUNCATE: then what came after it');
	}
	sync('t', $_) foreach qw(m e);
	same('TRUNCATE: synced', 't', $Q, changes => 0, arguments => 'k => 100', rows => 40);
	has_ids('TRUNCATE: the server has the ids of the table', collection_of('t'), 't', 'true');
	$s->quit;
	clean('t');
	return;
}

sub part_rights
{
	sql(q{SELECT make('r', 300); ALTER TABLE r ADD COLUMN secret text; CREATE POLICY p ON r FOR SELECT TO reader USING (id % 3 = 0); ALTER TABLE r ENABLE ROW LEVEL SECURITY;
		SELECT make('c', 100); GRANT SELECT (id, embedding) ON c TO reader; GRANT SELECT (id, label) ON c TO stranger});
	sql(qq{GRANT SELECT ON r TO reader, stranger; GRANT USAGE ON FOREIGN SERVER m TO reader, stranger;
		CREATE USER MAPPING FOR reader SERVER m; CREATE USER MAPPING FOR stranger SERVER m});
	compute_both('r');
	compute_both('c');
	my %as = (before => 'SET ROLE reader');
	same('row security: rows that one may see', 'r', $Q, %as, arguments => 'k => 10', rows => 10);
	same('row security: all of them', 'r', $Q, %as, arguments => 'k => 1000', rows => 100);
	same('row security: and a filter', 'r', $Q, %as, arguments => q{k => 10, filter => $$label = 'l0'$$}, rows => 10, path => 'table');
	pretend('r', 100000000);
	same('row security: and a filter, of many', 'r', $Q, %as, arguments => q{k => 10, filter => $$label = 'l0'$$}, rows => 10);
	pretend('r', 300);
	is_(sql("SET ROLE reader; SELECT count(*) FROM brain.sort_by_similarity('r', $Q, k => 1000, brain_key => 'm') WHERE sample_id::int % 3 <> 0"), '0', 'row security: no id that is hidden');
	same_error('row security: a hidden id as query', 'r', '100', qr/100/, %as);
	is_(sql("SET ROLE stranger; SELECT count(*) FROM brain.sort_by_similarity('r', $Q, k => 1000, brain_key => 'm')"), '0', 'row security: whom no policy lets see has nothing');
	sql('INSERT INTO r SELECT i, $$new$$, vec(i) FROM generate_series(301, 330) i; DELETE FROM r WHERE id = 99');
	same('row security: changes', 'r', $Q, %as, arguments => 'k => 1000', rows => 109);
	sync('r');
	same('row security: synced by the owner', 'r', $Q, %as, arguments => 'k => 1000', rows => 109, changes => 0);
	same('column privileges: key and embedding are enough', 'c', $Q, %as);
	same_error('column privileges: the embedding is not for all', 'c', $Q, qr/permission denied/, before => 'SET ROLE stranger');
	like_(error_of('SET ROLE reader; ' . compute('c', 'mine')), qr/must be owner/, 'computing is for the owner');
	like_(error_of(q{SET ROLE reader; SELECT brain.cleanup('c', 'm')}), qr/must be owner/, 'so is cleaning up');
	# without USAGE on the server: nothing is asked of it for them
	sql('REVOKE USAGE ON FOREIGN SERVER m FROM reader');
	same('without USAGE on the server: the table', 'c', $Q, before => 'SET ROLE reader', path => 'table', says => qr/NOTICE: .* is answered from the table: permission denied for foreign server m\nHINT: [^\n]*$/);
	like_(error_of("SET ROLE reader; SET brain.on_backend_failure = error; SELECT brain.sort_by_similarity('c', $Q, brain_key => 'm')"), qr/^ERROR:  permission denied for foreign server m$/, 'or an error, where that is wanted');
	same('a server that was dropped: the table', 'c', $Q, before => 'BEGIN; SET client_min_messages = warning; DROP SERVER m CASCADE; SET client_min_messages = notice', after => 'ROLLBACK',
		path => 'table', says => qr/NOTICE: .* is answered from the table: server "m" does not exist\nHINT: [^\n]*$/);
	my $status = q{SELECT in_use, reason FROM brain.sync_status WHERE samples = 'c'::regclass AND brain_key = 'm'};
	is_(sql($status), 't|', 'sync_status: in use');
	is_(sql("SET ROLE reader; $status"), 'f|permission denied for foreign server m', 'but not by who has no USAGE');
	is_(sql("BEGIN; SET client_min_messages = warning; DROP SERVER m CASCADE; $status; SELECT action, reason FROM brain.sync('c', 'm'); ROLLBACK"),
		qq{f|server "m" does not exist\nnone|server "m" does not exist}, 'nor by anybody, when it was dropped');
	sql('DROP USER MAPPING FOR reader SERVER m; DROP USER MAPPING FOR stranger SERVER m; REVOKE USAGE ON FOREIGN SERVER m FROM stranger');
	clean('r', 'c');
	return;
}

# Indexes and options of a call; and that a search sees what a sync wrote, whatever the level.
sub part_options
{
	sql(q{SELECT make('i', 600)});
	sql(q{SELECT brain.compute_similarity('i', 'e', metric => 'cosine')});
	my ($out, $err) = try(compute('i', 'm', metric => q('cosine'), OPTIONS => 'NULL'));
	is_($out, 'm|milvus|cosine|8|600|0|0', 'the index that is made where none is named');
	can('an index of type HNSW', $err !~ /NOTICE: .*AUTOINDEX/s, $err);
	is_(sql(q{SELECT brain.get_brain_info('i', 'm') -> 'config' ->> 'index_type'}), $err =~ /AUTOINDEX/ ? 'AUTOINDEX' : 'HNSW', 'the run says which it is');
	is_(sql(q{SELECT count(*) >= 95 FROM generate_series(1, 100) q, LATERAL brain.sort_by_similarity('i', vec(q + 0.5), k => 1, brain_key => 'm') m, LATERAL brain.sort_by_similarity('i', vec(q + 0.5), k => 1, brain_key => 'e') e WHERE m.sample_id = e.sample_id AND m.distance = e.distance}), 't', 'it finds the nearest');
	is_(sql(q{SELECT brain.sort_by_similarity('i', vec(0.5), brain_key => 'm'); SELECT brain.last_search()->>'path'}) =~ /milvus$/ ? 1 : 0, 1, 'and is what was asked');
	if ($kind eq 'milvus-2.3.5')
	{
		# this server takes its time
		my ($s, %phases) = (session());
		$s->query_until(qr/started/, "\\echo started\n" . compute('i', 'm', metric => q('cosine'), overwrite => 'true', OPTIONS => 'NULL') . ";\n\\echo ended\n");
		for (my $until = time + 100; time < $until && $s->{stdout} !~ /ended/; sleep 0.02)
		{
			$phases{$_} = 1 foreach split /\n/, sql('SELECT phase FROM brain.progress');
			$s->{run}->pump_nb;
		}
		$s->quit;
		is_(join(', ', grep { $phases{$_} } 'flushing', 'loading'), 'flushing, loading', 'another session sees what is waited for');
	}
	($out, $err) = try(compute('i', 'm', metric => q('cosine'), overwrite => 'true', OPTIONS => q('{"index_params": {"M": 8}}')));
	is_($out . sql(q{SELECT ' ' || (brain.get_brain_info('i', 'm') -> 'config' -> 'index_params')::text}),
		'm|milvus|cosine|8|600|0|0 ' . ($err =~ /AUTOINDEX/ ? '{}' : '{"M": 8, "efConstruction": 100}'), 'one parameter of the index: the others are the default\'s');
	my %options = ('lists, all of which are read' => q('{"index_type": "IVF_FLAT", "index_params": {"nlist": 8}, "search_params": {"nprobe": 8}}'),
		'many requests' => q('{"index_type": "FLAT", "batch_bytes": 65536}'),
		'two shards' => q('{"index_type": "FLAT", "shards_num": 2}'));
	for my $name (sort keys %options)
	{
		is_(sql(compute('i', 'm', metric => q('cosine'), overwrite => 'true', OPTIONS => $options{$name})), 'm|milvus|cosine|8|600|0|0', $name);
		same($name, 'i', $Q, changes => 0, arguments => 'k => 1000', rows => 600);
	}
	for my $level (qw(Eventually Bounded Session Strong))
	{
		sql(compute('i', 'm', metric => q('cosine'), overwrite => 'true', consistency_level => "'$level'"));
		for my $round (1 .. 3)
		{
			sql("UPDATE i SET embedding = vec(id + $round * 1000 + ascii('$level')) WHERE id % 3 = $round % 3; DELETE FROM i WHERE id = $round * 7 + ascii('$level'); INSERT INTO i SELECT i, 'n', vec(i + 0.3) FROM generate_series($round * 1000 + ascii('$level') * 10, $round * 1000 + ascii('$level') * 10 + 5) i ON CONFLICT DO NOTHING");
			sync('i', $_) foreach qw(m e);
			same("$level: a search right after a sync, $round", 'i', $Q, changes => 0, arguments => 'k => 50', rows => 50);
		}
	}
	# another database of the server
	sql("CREATE SERVER other FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$info{uri}', db_name 'brain_tests'); CREATE USER MAPPING FOR CURRENT_USER SERVER other");
	eval { somebody('make_database', 'brain_tests') } or note "$kind: $@";
	sql(q{SELECT brain.delete_brain_run('i', 'm', cleanup => true)});
	gone('before another database is used');
	my $n = sql('SELECT count(*) FROM i');
	($out, $err) = try(compute('i', 'm', metric => q('cosine'), SERVER => 'other'));
	if (can('a database other than the default one', $out eq "m|milvus|cosine|8|$n|0|0", $err))
	{
		is_(names(), $before, 'nothing is in the default one');
		is_(join(' ', @{ somebody('within', 'brain_tests', 'names') }), collection_of('i'), 'it is in that one');
		same('another database', 'i', $Q, changes => 0);
		sql('DELETE FROM i WHERE id < 5');
		sync('i');
		same('another database: synced', 'i', $Q, changes => 0, arguments => 'k => 50');
		# a name is taken on its own server only
		my $name = collection_of('i');
		sql('CREATE TABLE namesake AS SELECT * FROM i; ALTER TABLE namesake ADD PRIMARY KEY (id)');
		somebody('bare', $name, 8, []);
		is_(sql(compute('namesake', 'm', collection_name => "'$name'")), "m|milvus|dotproduct|8|${\ ($n - 4)}|0|0", 'another database: its names are not taken here');
		is_(names(), with($name), 'and no other is chosen');
		sql(q{SELECT brain.delete_brain_run('namesake', 'm', cleanup => true)});
		clean('namesake');
		sql(q{SELECT brain.delete_brain_run('i', 'm', cleanup => true)});
		wait_for('another database: dropped', sub { !@{ somebody('within', 'brain_tests', 'names') } });
	}
	else
	{
		like_($err, qr/ERROR: .*database/i, 'a server that ignores databases is refused');
		is_(names(), $before, 'and has no collection');
	}
	sql('DROP SERVER other CASCADE');
	clean('i');
	return;
}

# A role that is nobody special does all of it, with its own mapping.
# brain.neighbors(): each sample's, by many searches in one request.
sub part_neighbors
{
	for my $metric (qw(cosine dotproduct euclidean))
	{
		# the last one is beyond what Milvus computes with, which stays in the log
		sql(q{SELECT make('n', 249); INSERT INTO n VALUES (1001, 'no vector', NULL), (1002, 'far', array_fill(1e19::real, ARRAY[8]))});
		compute_both('n', metric => "'$metric'");
		same_neighbors($metric, 'n', 'k => 3', rows => 750, changes => 1, more => q{(s->>'rounds')::int BETWEEN 3 AND 30 AND (s->>'float32_rows')::int + (s->>'int8_rows')::int > 0});
		same_neighbors("$metric: more than there are", 'n', 'k => 1000', rows => 250 * 249);
		my $at = sql("SELECT max(distance) FROM brain.neighbors('n', 'e', k => 2) WHERE sample_id::int % 5 = 0");
		my $n = sql("SELECT count(*) FROM brain.neighbors('n', 'e', k => 9, max_distance => $at)");
		cmp_ok($n, '<', 9 * 250, "$kind: $metric: a distance that leaves some out");
		same_neighbors("$metric: max_distance", 'n', "k => 9, max_distance => $at", rows => $n);
		same_neighbors("$metric: max_distance that nothing has", 'n', 'k => 9, max_distance => -1e30', rows => 0);
		sql('DROP TABLE n');
	}
	clean('n');
	sql(q{SELECT make('n', 300); CREATE POLICY p ON n FOR SELECT TO reader USING (id % 3 > 0); ALTER TABLE n ENABLE ROW LEVEL SECURITY;
		GRANT SELECT ON n TO reader; GRANT USAGE ON FOREIGN SERVER m TO reader; CREATE USER MAPPING FOR reader SERVER m});
	compute_both('n', metric => q('euclidean'));
	# which way
	same_neighbors('few are compared in PostgreSQL', 'n', 'k => 3', before => 'RESET brain.min_server_neighbors', path => 'table', reason => qr/few samples/, rows => 900);
	same_neighbors('so are all, if one likes', 'n', 'k => 3', before => 'SET brain.min_server_neighbors = -1', path => 'table', reason => qr/few samples/, rows => 900);
	same_neighbors('without an index, all', 'n', 'k => 3', before => 'SET brain.min_server_neighbors = 9', path => 'table', reason => qr/without an index/, rows => 900);
	sql(compute('n', 'm', metric => q('euclidean'), overwrite => 'true', OPTIONS => q('{"index_type": "IVF_FLAT", "index_params": {"nlist": 8}, "search_params": {"nprobe": 8}}')));
	same_neighbors('300 x 8 x 4 bytes are 9.375 kB', 'n', 'k => 3', before => 'SET brain.min_server_neighbors = 9', rows => 900, $kind =~ /lite/ ? (path => 'table', reason => qr/faster than milvus-lite/) : ());
	same_neighbors('which is less than 10', 'n', 'k => 3', before => 'SET brain.min_server_neighbors = 10', path => 'table', reason => qr/few samples/, rows => 900);
	same_neighbors('k beyond what Milvus takes', 'n', 'k => 16368, filter => $$id % 2 = 0$$', path => 'table', reason => qr/k is larger/, rows => 150 * 149);
	same_neighbors('an option of a search', 'n', q{k => 3, options => '{}'}, rows => 900);
	is_(sql(q{SET brain.min_server_neighbors = 0; SELECT count(*) FROM brain.neighbors('n', 'm', k => 3, options => '{"consistency_level": "Strong"}')}), '900', 'neighbors: a level');
	like_(error_of(q{SELECT brain.neighbors('n', 'm', options => '{"ef": 5}')}), qr/unknown option "ef"/, 'neighbors: an option that there is not');
	# whose samples
	same_neighbors('a filter', 'n', q{k => 3, filter => $$label = 'l0'$$}, rows => 300);
	same_neighbors('a filter that few pass', 'n', q{k => 3, filter => 'id < 60'}, path => 'table', reason => qr/few .* qualify/, rows => 59 * 3);
	same_neighbors('a filter that none passes', 'n', q{k => 3, filter => 'false'}, path => 'table', reason => qr/few/, rows => 0);
	same_neighbors('row security', 'n', 'k => 5', before => 'SET ROLE reader', rows => 1000);
	is_(sql(q{SET ROLE reader; SET brain.min_server_neighbors = 0; SELECT count(*) FROM brain.neighbors('n', 'm', k => 5) WHERE sample_id::int % 3 = 0 OR neighbor_id::int % 3 = 0}), '0', 'neighbors: no id that is hidden');
	same_neighbors('row security, and a filter', 'n', q{k => 5, filter => 'id % 2 = 0'}, before => 'SET ROLE reader', rows => 500);
	# what has changed: of 300, four may have
	sql('UPDATE n SET embedding = vec(id + 0.01) WHERE id = 7; UPDATE n SET embedding = vec(21.0001) WHERE id = 100; DELETE FROM n WHERE id = 200');
	same_neighbors('changes', 'n', 'k => 4', changes => 3, rows => 299 * 4);
	my $s = session();
	ask($s, q{BEGIN; INSERT INTO n VALUES (900, 'own', vec(21.0002))});
	same_neighbors('own uncommitted rows', 'n', 'k => 4', in => $s, changes => 4, rows => 300 * 4);
	same_neighbors('others do not see them', 'n', 'k => 4', changes => 3, rows => 299 * 4);
	ask($s, 'ROLLBACK');
	same_neighbors('once they are rolled back, nobody does', 'n', 'k => 4', in => $s, changes => 3, rows => 299 * 4);
	# an old snapshot, while others write and sync
	ask($s, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM n');
	sql('DELETE FROM n WHERE id = 201; INSERT INTO n VALUES (901, $$new$$, vec(5.0001))');
	like_(sql(q{SELECT s.action FROM brain.sync('n', 'm') s}), qr/^(upsert|skipped)$/, 'a sync meanwhile');
	same_neighbors('an old snapshot', 'n', 'k => 4', in => $s, changes => 3, rows => 299 * 4);
	ask($s, 'COMMIT');
	$s->quit;
	sync('n', $_) foreach qw(m e);
	same_neighbors('synced', 'n', 'k => 4', changes => 0, rows => 299 * 4);
	sql('UPDATE n SET embedding = vec(id + 2) WHERE id % 50 = 0');
	same_neighbors('many changes', 'n', 'k => 4', changes => 5, path => 'table', reason => qr/many samples were changed/, rows => 299 * 4);
	sql('ALTER TABLE n ADD COLUMN another integer; ALTER TABLE n DISABLE TRIGGER USER');
	same_neighbors('not tracked any more', 'n', 'k => 4', path => 'table', says => qr/NOTICE/, rows => 299 * 4);
	sql('DROP USER MAPPING FOR reader SERVER m; REVOKE USAGE ON FOREIGN SERVER m FROM reader');
	clean('n');
	# a vector that is as near to all, equal ones
	sql(q{SELECT make('n', 1000); UPDATE n SET embedding = array_fill(0::real, ARRAY[8]) WHERE id = 500});
	compute_both('n', metric => q('dotproduct'));
	same_neighbors('a zero vector', 'n', 'k => 3', rows => 3000, changes => 0, more => q{(s->>'float32_rows')::int + (s->>'int8_rows')::int > 0});
	sql(q{DROP TABLE n; SELECT make('n', 1000); UPDATE n SET embedding = vec(1) WHERE id <= 60; UPDATE n SET embedding = vec(2) WHERE id > 300});
	compute_both('n', metric => q('euclidean'));
	same_neighbors('ties are asked for again', 'n', q{k => 3, filter => 'id <= 300'}, rows => 900, more => q{(s->>'rounds')::int > 3 AND (s->>'float32_rows')::int + (s->>'int8_rows')::int = 0});
	same_neighbors('too many ties', 'n', 'k => 3', path => 'table', reason => qr/cannot tell/, rows => 3000);
	clean('n');
	sql(q{SELECT make('under', 200); CREATE VIEW n AS SELECT * FROM under});
	sql(compute('n', 'm', id_field => q('id'), metric => q('cosine')));
	sql(q{SELECT brain.compute_similarity('n', 'e', id_field => 'id', metric => 'cosine'); INSERT INTO under VALUES (201, 'new', vec(201))});
	same_neighbors('a view is read', 'n', 'k => 3', path => 'table', reason => qr/not tracked/, rows => 201 * 3);
	sql('DROP VIEW n CASCADE');
	clean('under');
	return;
}

sub part_owner
{
	my $mapping = $info{user} ? "OPTIONS (user '$info{user}', password '$info{password}')" : '';
	sql("GRANT USAGE ON FOREIGN SERVER m TO owner; CREATE USER MAPPING FOR owner SERVER m $mapping; GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner; SELECT make('q', 100)");
	my %as = (before => 'SET ROLE owner');
	is_(sql('SET ROLE owner; ' . compute('q', 'm', metric => q('cosine'))), 'm|milvus|cosine|8|100|0|0', 'an ordinary owner computes');
	sql(q{SET ROLE owner; SELECT brain.compute_similarity('q', 'e', metric => 'cosine')});
	same('an ordinary owner searches', 'q', $Q, %as, changes => 0);
	sql('SET ROLE owner; INSERT INTO q VALUES (200, $$new$$, vec(1000.5)); DELETE FROM q WHERE id = 3');
	same('with changes', 'q', $Q, %as, changes => 2);
	like_(sql(q{SET ROLE owner; SELECT s.action, s.changes, s.rows FROM brain.sync('q', 'm') s}), qr/^\w+\|2\|100$/, 'and syncs');
	same('an ordinary owner, synced', 'q', $Q, %as, changes => 0, arguments => 'k => 1000', rows => 100);
	sql(q{SET ROLE owner; SELECT brain.delete_brain_run('q', 'm', cleanup => true)});
	gone('and deletes');
	sql('SET ROLE owner; ' . compute('q', 'm'));
	like_(error_of(q{SET ROLE reader; SELECT brain.cleanup('q', 'm')}), qr/ERROR: .*(must be owner|permission denied)/, 'which another may not');
	my $collection = collection_of('q');
	sql('REVOKE USAGE ON FOREIGN SERVER m FROM owner');
	my (undef, $err) = try('SET ROLE owner; DROP TABLE q');
	like_($err, qr/NOTICE:  collection "\Q$collection\E" stays until brain\.sweep\(\) can drop it\nDETAIL:  permission denied for foreign server m$/m, 'dropped without USAGE on the server: what stays is told');
	sql('SELECT * FROM brain.sweep()');
	gone('and is swept');
	sql('DROP USER MAPPING FOR owner SERVER m; REVOKE ALL ON FOREIGN SERVER m FROM owner; REVOKE CREATE ON SCHEMA public FROM owner');
	return;
}

sub part_views
{
	sql(q{SELECT make('w', 200); CREATE VIEW v AS SELECT id, label, embedding FROM w WHERE id > 10; CREATE MATERIALIZED VIEW mv AS SELECT * FROM w; CREATE UNIQUE INDEX ON mv (id)});
	my ($out, $err) = try(compute('v', 'm', id_field => q('id')));
	is_($out, 'm|milvus|dotproduct|8|190|0|0', 'a view');
	my $says = $err;
	sql(q{SELECT brain.compute_similarity('v', 'e', metric => 'dotproduct', id_field => 'id')});
	compute_both('mv', id_field => q('id'));
	same('a view', 'v', $Q, changes => 0);
	same('a materialised view', 'mv', $Q, changes => 0);
	like_($says . sql(q{SELECT concat(reason) FROM brain.sync_status WHERE samples = 'v'::regclass AND brain_key = 'm'}), qr/NOTICE: .*does not follow its dataset/, 'it is said that it does not follow');
	my $nearest = sql("SELECT sample_id FROM brain.sort_by_similarity('v', $Q, k => 1, brain_key => 'm')");
	sql("DELETE FROM w WHERE id = $nearest");
	same('a view: a row that was deleted does not come back', 'v', $Q, arguments => 'k => 10', rows => 10);
	same('a view: nor among all', 'v', $Q, arguments => 'k => 1000', rows => 189);
	same('a materialised view has it still', 'mv', $Q, rows => 10);
	sql("INSERT INTO w VALUES (900, 'new', vec(1000.5))");
	is_(sql("SELECT count(*) FROM brain.sort_by_similarity('v', $Q, k => 1000, brain_key => 'm') WHERE sample_id = '900'"), '0', 'frozen: a new row is not in it');
	sql('REFRESH MATERIALIZED VIEW mv');
	is_(sql("SELECT count(*) FROM brain.sort_by_similarity('mv', $Q, k => 1000, brain_key => 'm') WHERE sample_id = '$nearest'"), '0', 'a materialised view, refreshed: the deleted row does not come back');
	sql(compute('v', 'm', id_field => q('id'), overwrite => 'true'));
	same('a view: computed anew', 'v', $Q, arguments => 'k => 1000', rows => 190);
	clean('w');
	return;
}

sub part_empty
{
	sql(q{SELECT make('n', 0)});
	# it takes no name yet; when it does, that of somebody's collection is not free
	is_(somebody('make', 'fiftyone_n', 8, 'L2', [ 'a', 'b' ]), 2, 'a collection of somebody');
	my ($out, $err) = try(compute('n', 'm', metric => q('cosine')));
	is_($err =~ /ERROR.*/ ? $& : '', '', 'an empty table');
	sql(q{SELECT brain.compute_similarity('n', 'e', metric => 'cosine')});
	my ($m, $e) = map { my $key = $_; join "\n", map { s/\b$key\b/KEY/gr } try("SELECT * FROM brain.sort_by_similarity('n', $Q, brain_key => '$key')") } qw(m e);
	is_($m, $e, 'an empty table: as on exact');
	sql('INSERT INTO n SELECT i, $$l$$, vec(i) FROM generate_series(1, 50) i');
	($m, $e) = map { sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('n', $Q, brain_key => '$_') s ORDER BY rank") } qw(m e);
	is_($m, $e, 'first rows');
	unlike_($m, qr/^$/, 'there are some');
	($out, $err) = try(q{SELECT s.action, s.changes, s.rows, s.reason FROM brain.sync('n', 'm') s});
	is_(changes('n'), 0, 'first rows are taken in') or diag("$out\n$err");
	same('first rows, synced', 'n', $Q, changes => 0);
	has_ids('first rows: the server has them', collection_of('n'), 'n', 'true');
	sql('DELETE FROM n');
	sync('n');
	is_(sql("SELECT count(*) FROM brain.sort_by_similarity('n', $Q, brain_key => 'm')"), '0', 'all deleted, and synced');
	is_($json->encode(somebody('ids', 'fiftyone_n')), '["a","b"]', "somebody's collection is as it was");
	somebody('drop', 'fiftyone_n');
	clean('n');
	return;
}

# Embeddings that the dataset does not have: add_to_index() and remove_from_index().
sub part_stored
{
	sql(q{SELECT make('h', 150)});
	my %o = (with_data => 'false', metric => q('euclidean'));
	is_(compute_both('h', %o), 'm|milvus|euclidean||0||0', 'stored: a run without embeddings');
	my $add = sub { my ($ids, $vector) = @_; return join '', map { "SELECT brain.add_to_index('h', '$_', array_agg(id), array_agg($vector)) FROM h WHERE $ids;" } qw(m e); };
	my $remove = sub { my ($ids) = @_; return join '', map { "SELECT brain.remove_from_index('h', '$_', array_agg(id)) FROM h WHERE $ids;" } qw(m e); };
	is_(sql($add->('id <= 100', 'embedding')), "(100,0,0)\n(100,0,0)", 'stored: added');
	same('stored: before the first sync', 'h', $Q, path => 'table', rows => 10);
	sync('h');
	same('stored: synced', 'h', $Q, changes => 0, arguments => 'k => 1000', rows => 100);
	same('stored: by id', 'h', 17, changes => 0);
	has_ids('stored: the server has what was added', collection_of('h'), 'h', 'id <= 100');
	is_(sql($add->('id > 90 AND id <= 120', 'vec(id + 5000)')), "(20,10,0)\n(20,10,0)", 'stored: more, and some anew');
	same('stored: more', 'h', $Q, changes => 30, arguments => 'k => 1000', rows => 120);
	my $s = session();
	ask($s, 'BEGIN; ' . $add->('id = 140', 'vec(1000.5)') . $remove->('id <= 10'));
	same('stored: own changes', 'h', $Q, in => $s, changes => 41, arguments => 'k => 1000', rows => 111);
	same('stored: which nobody else sees', 'h', $Q, changes => 30, arguments => 'k => 1000', rows => 120);
	ask($s, 'ROLLBACK');
	$s->quit;
	is_(sql($remove->('id % 10 = 5')), "(12,3)\n(12,3)", 'stored: removed');
	same('stored: some removed', 'h', $Q, changes => 39, arguments => 'k => 1000', rows => 108);
	same_error('stored: by an id that was removed', 'h', 15, qr/15/);
	sync('h');
	same('stored: all synced', 'h', $Q, changes => 0, arguments => 'k => 1000', rows => 108);
	has_ids('stored: the server has what there is', collection_of('h'), 'h', 'id <= 120 AND id % 10 <> 5');
	my ($m, $e) = map { sql("SELECT g FROM brain.get_embeddings('h', '$_') g ORDER BY sample_id") } qw(m e);
	is_($m, $e, 'stored: get_embeddings');
	clean('h');
	return;
}

# Float32 does not reach the squares of such vectors: servers take them for zeros or
# for infinities.
sub part_out_of_reach
{
	sql(q{CREATE TABLE far (id integer PRIMARY KEY, label text, embedding real[]);
		INSERT INTO far SELECT i, 'l', ARRAY[i, 1, i % 7 + i / 1000.0] FROM generate_series(1, 100) i;
		INSERT INTO far VALUES (999, 'l', '{1e-25,-2e-25,3e-25}'), (1000, 'l', '{1e25,-2.1e25,3e25}')});
	compute_both('far', metric => q('cosine'));
	same('numbers out of reach', 'far', q{'[1,-2,3]'}, changes => 2);
	same('a query out of reach', 'far', q{'[1e-25,-2.2e-25,3e-25]'}, path => 'table');
	sql(q{UPDATE far SET embedding = '{2e25,-4.2e25,6.1e25}' WHERE id = 5; DELETE FROM far WHERE id = 999});
	same('changed', 'far', q{'[1,-2,3]'}, changes => 3);
	like_(sql(q{SELECT s.action, s.reason FROM brain.sync('far', 'm') s}), qr/^upsert\|Milvus cannot have, or not find, sample "(5|1000)"/, 'a sync says so');
	same('synced', 'far', q{'[1,-2,3]'}, changes => 2);
	clean('far');
	return;
}

# A collection that is there: its vectors are nowhere else.
sub part_attached
{
	sql(q{SELECT make('o', 200)});
	compute_both('o', metric => q('euclidean'));
	my $collection = collection_of('o');
	sql('CREATE TABLE bare AS SELECT id, label FROM o; ALTER TABLE bare ADD PRIMARY KEY (id);
		CREATE TABLE small AS SELECT id, label FROM o WHERE id < 10; ALTER TABLE small ADD PRIMARY KEY (id)');
	my $attach = sub { my ($table, %o) = @_; return compute($table, 'm', collection_name => "'$collection'", with_data => 'false', metric => q('euclidean'), %o); };
	like_(error_of($attach->('bare', metric => q('cosine'))), qr/ERROR:  collection .* does not fit the brain run\nDETAIL:  Its metric is L2, not COSINE\.$/m, 'another metric');
	like_(error_of($attach->('small')), qr/does not fit .*\nDETAIL:  It has 200 rows, the dataset has 9\.$/m, 'fewer samples than rows');
	like_(error_of($attach->('bare', OPTIONS => q('{"vector_field": "odd", "key_field": "odd"}'))),
		qr/DETAIL:  Its primary key is "pk", not "odd"\.\nIt has no field "odd" of float vectors\.$/m, 'all differences at once');
	like_(error_of($attach->('small', metric => q('cosine'))), qr/\nDETAIL:  Its metric is L2, not COSINE\.\nIt has 200 rows, the dataset has 9\.$/m, 'another metric and too many rows');
	sql('CREATE TABLE narrow AS SELECT id, embedding[1:4] FROM o WHERE id < 10; ALTER TABLE narrow ADD PRIMARY KEY (id); UPDATE narrow SET embedding = NULL WHERE id = 1');
	my %embeddings = (embeddings => q('embedding'));
	like_(error_of($attach->('narrow', %embeddings)), qr/\nDETAIL:  Its vectors have 8 dimensions, not 4\.\nIt has 200 rows, the dataset has 9\.$/m, 'another dimension than the embeddings that the dataset has');
	somebody('bare', 'raw', 8, [ 'a', 'b' ]);
	my %raw = (collection_name => q('raw'));
	like_(error_of($attach->('bare', %raw)), qr/\nDETAIL:  Its field "vector" has no index\.$/m, 'no index');
	like_(error_of($attach->('narrow', %raw, %embeddings)), qr/\nDETAIL:  Its vectors have 8 dimensions, not 4\.\nIts field "vector" has no index\.$/m, 'another dimension, and no index');
	somebody('drop', 'raw');
	sql('UPDATE narrow SET embedding = (SELECT embedding FROM o WHERE id = 2) WHERE id = 2');
	like_(error_of($attach->('narrow', %embeddings)), qr/\nDETAIL:  It has 200 rows, the dataset has 9\.$/m, 'embeddings of which one has its dimension');
	if ($kind =~ /lite/)    # the other one has one field of vectors
	{
		somebody('numbered', 'two', 8, undef, '[]', 'more');
		my %two = (collection_name => q('two'));
		like_(error_of($attach->('bare', %two)), qr/\nDETAIL:  It has 2 fields of float vectors: name one with the option vector_field\.$/m, 'two fields of vectors');
		like_(error_of($attach->('bare', %two, OPTIONS => q('{"vector_field": "more"}'))), qr/\nDETAIL:  Its field "more" has no index\.$/m, 'the one that is named');
		somebody('drop', 'two');
	}
	my ($out, $err) = try($attach->('bare'));
	is_($out, 'm|milvus|euclidean|8|200|0|0', 'attached');
	like_($err, qr/collection "\Q$collection\E" is that of brain run "m" of "o" too/, 'it says who has it, too');
	like_($err, qr/does not follow its dataset: its collection is not its own/, 'and that it is frozen');
	is_(sql(q{SELECT indexed, brain.get_brain_info('bare', 'm') -> 'config' ->> 'index_type' FROM brain.list_brain_runs('bare')}), '200|FLAT', 'and what it has');
	my $answer = sub { my ($table, $key, $query, $more) = @_; return sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('$table', $query, k => 10, brain_key => '$key'$more) s ORDER BY rank"); };
	for ([ 'a vector', $Q, '' ], [ 'an id', 7, '' ], [ 'a filter', $Q, q{, filter => 'label = ''l1'''} ])
	{
		my ($what, $query, $more) = @$_;
		is_($answer->('bare', 'm', $query, $more), $answer->('o', 'e', $query, $more), "attached: $what");
	}
	is_(sql(q{SELECT sample_id, g.embedding = o.embedding FROM brain.get_embeddings('bare', 'm', ARRAY[3, 1, 4]) g JOIN o ON o.id::text = sample_id ORDER BY o.id}), "1|t\n3|t\n4|t", 'its vectors');
	somebody('release', $collection);
	is_(sql(q{SELECT count(*) FROM brain.get_embeddings('bare', 'm', ARRAY[3, 1, 4])}), '3', 'released: loaded again for its vectors');
	like_(error_of($_), qr/ERROR:  (brain run "m" of "bare" cannot answer this search|the vectors of brain run "m" are in a collection)/, "refused: $_")
		for "SELECT brain.sort_by_similarity('bare', $Q, k => NULL)", "SELECT brain.sort_by_similarity('bare', $Q, reverse => true)",
		q{SELECT brain.get_embeddings('bare', 'm')}, q{SELECT brain.add_to_index('bare', 'm', 1, '{1,2,3,4,5,6,7,8}'::real[])};
	is_(sql(qq{SELECT plan FROM brain.explain_similarity('bare', $Q, filter => 'label = ''l1'' ')}), 'milvus', 'a filter: Milvus answers, though few are expected to pass it');
	like_(error_of("BEGIN; SET client_min_messages = warning; DROP SERVER m CASCADE; SELECT brain.sort_by_similarity('bare', $Q)"), qr/^ERROR:  server "m" does not exist/, 'without its server: an error, whatever brain.on_backend_failure is');
	for ([ 'milvus', 0, '' ], [ 'table', -1, '' ], [ 'table', 0, q{, filter => 'id < 30'} ], [ 'milvus', 0, q{, filter => 'id % 2 = 0'} ])
	{
		my ($path, $size, $more) = @$_;
		my ($m, $e) = map { "SELECT n FROM brain.neighbors($_, k => 4$more) n ORDER BY sample_id, rank" } q('bare', 'm'), q('o', 'e');
		is_(sql("SET brain.min_server_neighbors = $size; $m; SELECT brain.last_search()->>'path'"), sql($e) . "\n$path", "attached: neighbors, $path, $size$more");
	}
	# an alias may be another's tomorrow
	my $aliased = eval { somebody('alias', $collection, 'nickname'); 1 };
	if (can('an alias of a collection', $aliased, $@))
	{
		like_(error_of(compute('o', 'n', collection_name => q('nickname'))), qr/ERROR:  collection "nickname" .* exists already\nDETAIL:  It is an alias of collection "\Q$collection\E"\.$/m, 'an alias: no collection is made of that name');
		($out, $err) = try(compute('bare', 'n', collection_name => q('nickname'), with_data => 'false', metric => q('euclidean')));
		is_($out, 'n|milvus|euclidean|8|200|0|0', 'an alias: attached');
		like_($err, qr/NOTICE:  "nickname" is an alias: the run is attached to collection "\Q$collection\E"$/m, 'to the collection');
		somebody('drop_alias', 'nickname');
		is_($answer->('bare', 'n', $Q, ''), $answer->('o', 'e', $Q, ''), 'which is searched without it');
		sql(q{SELECT brain.delete_index('bare', 'n')});
	}
	my ($first) = $answer->('bare', 'm', $Q, '') =~ /"sample_id":"(\d+)"/;
	sql("DELETE FROM bare WHERE id = $first");
	unlike_($answer->('bare', 'm', $Q, ''), qr/"sample_id":"$first"/, 'a deleted sample does not come back');
	like_(sql(q{SELECT action, reason FROM brain.sync('bare', 'm')}), qr/^skipped\|its collection is not its own$/, 'nothing is written into it');
	sql(q{SELECT brain.delete_index('bare', 'm'); SELECT * FROM brain.sweep()});
	is_(names(), with($collection), 'nor is it dropped');
	same('its own run goes on', 'o', $Q);
	# somebody's, of whom we know nothing
	is_(somebody('make', 'of_somebody', 8, 'L2', [ map { "$_" } 1 .. 9 ]), 9, "somebody's collection");
	like_(error_of(compute('o', 'again', collection_name => q('of_somebody'))), qr/ERROR:  collection "of_somebody" .* exists already\nDETAIL:  It has rows: 9, .*\nHINT:  .*with_data => false/, 'it is not taken over');
	sql(compute('small', 'm', collection_name => q('of_somebody'), with_data => 'false', metric => q('euclidean')));
	my $found = q{SELECT count(*) FROM brain.sort_by_similarity('small', 3)};
	is_(sql($found), '9', 'but searched');
	# it is dropped when its owner insists
	like_(error_of(q{SELECT brain.cleanup('small', 'm')}), qr/ERROR:  collection "of_somebody" was there before brain run "m", .*\nHINT:  With force => true .* brain\.delete_brain_run\(\)/, 'cleanup needs force');
	($out, $err) = try(compute('o', 'a', collection_name => q('of_somebody'), with_data => 'false', metric => q('euclidean')));
	like_($err, qr/collection "of_somebody" is that of brain run "m" of "small" too/, 'a second run on it says so');
	like_(error_of(q{SELECT brain.cleanup('small', 'm', force => true)}), qr/ERROR:  collection "of_somebody" is that of brain run "a" of "o" too\n/, 'not while another run is on it');
	sql(q{SELECT brain.delete_brain_run('o', 'a', cleanup => true)});
	my $s = session();
	ask($s, q{BEGIN; SELECT brain.cleanup('small', 'm', force => true)});
	sql('SELECT * FROM brain.sweep()');
	is_(sql($found), '9', 'force, not committed: others search');
	ask($s, 'ROLLBACK');
	$s->quit;
	sql('SELECT * FROM brain.sweep()');
	is_(names(), with($collection, 'of_somebody'), 'rolled back: it stays');
	sql(q{SELECT brain.cleanup('small', 'm', force => true)});
	gone('force: dropped when it has committed', with($collection));
	like_(error_of($found), qr/ERROR:  brain run "m" of "small" has no index/, 'a search after it');
	is_(error_of(q{SELECT brain.cleanup('small', 'm')}), '', 'a second cleanup is harmless');
	# by the account of who insists: who sweeps may be allowed more
	somebody('make', 'hers', 8, 'L2', [ map { "$_" } 1 .. 5 ]);
	sql('CREATE TABLE hers AS SELECT id FROM generate_series(1, 9) id; ALTER TABLE hers ADD PRIMARY KEY (id); ALTER TABLE hers OWNER TO owner;
		GRANT USAGE ON FOREIGN SERVER m TO owner; CREATE USER MAPPING FOR owner SERVER m');
	sql('SET ROLE owner; ' . compute('hers', 'm', collection_name => q('hers'), with_data => 'false', metric => q('euclidean')));
	like_(error_of(q{REVOKE USAGE ON FOREIGN SERVER m FROM owner; SET ROLE owner; SELECT brain.cleanup('hers', 'm', force => true)}), qr/^ERROR:  permission denied for foreign server m$/m, 'who may not use the server does not drop it');
	sql(q{GRANT USAGE ON FOREIGN SERVER m TO owner; BEGIN; SET LOCAL ROLE owner; SELECT brain.cleanup('hers', 'm', force => true); RESET ROLE; REVOKE USAGE ON FOREIGN SERVER m FROM owner; COMMIT});
	($out, $err) = try('SELECT * FROM brain.sweep()');
	like_($err, qr/WARNING:  collection "hers" was not dropped: permission denied for foreign server m$/m, 'it is not dropped for who may not');
	is_(names(), with($collection, 'hers'), 'and stays');
	sql('GRANT USAGE ON FOREIGN SERVER m TO owner; SELECT * FROM brain.sweep()');
	is_(names(), with($collection), 'for who may, a sweep drops it');
	sql('REVOKE USAGE ON FOREIGN SERVER m FROM owner; DROP USER MAPPING FOR owner SERVER m');
	# a run's own, to which another is attached, goes when both have gone
	sql("INSERT INTO bare VALUES ($first, 'again')");
	sql($attach->('bare'));
	sql(q{SELECT brain.delete_index('o', 'm'); SELECT * FROM brain.sweep()});
	is_(names(), with($collection), 'it stays while another run is attached to it');
	is_($answer->('bare', 'm', $Q, ''), $answer->('o', 'e', $Q, ''), 'which is searched');
	sql(q{SELECT brain.delete_index('bare', 'm'); SELECT * FROM brain.sweep()});
	gone('and goes after it');
	# who may not read its dataset is not told of a run
	sql('CREATE TABLE other AS SELECT id FROM generate_series(1, 9) id; ALTER TABLE other ADD PRIMARY KEY (id); GRANT USAGE ON FOREIGN SERVER m TO owner; CREATE USER MAPPING FOR owner SERVER m ' . ($info{user} ? "OPTIONS (user '$info{user}', password '$info{password}')" : '') . '; ALTER TABLE other OWNER TO owner');
	somebody('make', 'of_two', 8, 'L2', [ map { "$_" } 1 .. 5 ]);
	sql(compute('small', 'm', collection_name => q('of_two'), with_data => 'false', metric => q('euclidean'), overwrite => 'true'));
	($out, $err) = try('SET ROLE owner; ' . compute('other', 'm', collection_name => q('of_two'), with_data => 'false', metric => q('euclidean')));
	like_($err, qr/NOTICE:  collection "of_two" is that of another brain run too$/m, 'whose run it is, is not said to who may not know');
	sql(q{SELECT brain.delete_index('small', 'm'); SELECT brain.delete_index('other', 'm'); REVOKE USAGE ON FOREIGN SERVER m FROM owner});
	somebody('drop', 'of_two');
	clean('o', 'bare', 'small', 'narrow', 'hers', 'other');
	sql('DROP USER MAPPING FOR owner SERVER m');
	return;
}

# One whose keys are INT64. They are the ids' texts, and no other texts of the same number.
sub part_attached_numbers
{
	# Milvus 2.3.5 finds no key that is the largest number
	my $most = $kind =~ /lite/ ? 9223372036854775807 : 9223372036854775806;
	sql(qq{CREATE TABLE o (id bigint PRIMARY KEY, label text, embedding real[]);
		INSERT INTO o SELECT coalesce((ARRAY[-5, $most, -9223372036854775808])[i - 200], i), 'l' || i % 3, vec(i + 0.25) FROM generate_series(1, 203) i;
		SELECT brain.compute_similarity('o', 'e', metric => 'euclidean')});
	is_(somebody('numbered', 'numbers', 8, 'L2', sql('SELECT json_agg(json_build_array(id, embedding)) FROM o')), 203, 'a collection whose key is a number');
	my $attach = sub { my ($table, $options) = @_; return compute($table, 'm', collection_name => q('numbers'), with_data => 'false', metric => q('euclidean'), overwrite => 'true', OPTIONS => $options); };
	my $ids = "ARRAY[7, -5, $most, -9223372036854775808]";
	my %wrong = ('{"key_field": "pk"}' => 'Its primary key is "id", not "pk".', '{"vector_field": "vector"}' => 'It has no field "vector" of float vectors.');
	like_(error_of($attach->('o', "'$_'")), qr/\nDETAIL:  \Q$wrong{$_}\E$/m, "numbers: $_") foreach sort keys %wrong;
	for my $options ('{"key_field": "id", "vector_field": "emb"}', '{}')
	{
		is_(sql($attach->('o', "'$options'")), 'm|milvus|euclidean|8|203|0|0', "numbers: attached with $options");
		same("numbers: by vector, $options", 'o', $Q, arguments => 'k => 1000', rows => 203);
		same("numbers: by id, $options", 'o', 7);
	}
	same("numbers: by id $_", 'o', $_) foreach -5, $most, q{'-9223372036854775808'};
	same('numbers: by several ids', 'o', $ids);
	same('numbers: a filter', 'o', $Q, arguments => q{k => 10, filter => $$label = 'l1'$$});
	same_neighbors('numbers', 'o', 'k => 4', rows => 203 * 4);
	my ($m, $e) = map { sql("SELECT g FROM brain.get_embeddings('o', '$_', $ids) g") } qw(m e);
	is_($m, $e, 'numbers: get_embeddings');
	is_(scalar(() = $m =~ /\n/g), 3, 'numbers: get_embeddings has all');
	# other texts of some of these numbers, and texts that are none
	sql(q{CREATE TABLE t AS SELECT coalesce('{"7": "007", "8": " 8", "9": "+9", "10": "10.0", "11": "99999999999999999999", "12": "x"}'::json ->> id::text, id::text) AS id, label FROM o;
		ALTER TABLE t ADD PRIMARY KEY (id)});
	is_(sql($attach->('t', "'{}'")), 'm|milvus|euclidean|8|203|0|0', 'numbers: a dataset whose key is a text');
	($m, $e) = map { sql("SELECT sample_id, distance FROM brain.sort_by_similarity($_, $Q, k => 1000) WHERE sample_id::numeric NOT BETWEEN 7 AND 12 ORDER BY rank") } q('t'), q('o');
	is_($m, $e, 'numbers: texts: by vector');
	is_(sql("SELECT count(*) FROM brain.sort_by_similarity('t', $Q, k => 1000)"), 197, 'numbers: texts: no others');
	is_(sql(q{SELECT string_agg(sample_id, ' ') FROM brain.get_embeddings('t', 'm', ARRAY['007', ' 8', '13', '+9', '10.0', '99999999999999999999', 'x', '-5'])}), '13 -5', 'numbers: texts: get_embeddings');
	is_(sql(q{SELECT count(*) FROM brain.get_embeddings('t', 'm', ARRAY['x', '007'])}), 0, 'numbers: texts: of none that it has');
	like_(error_of(q{SELECT brain.sort_by_similarity('t', '007')}), qr/ERROR:  query id is not in brain run "m" of "t": 007$/m, 'numbers: texts: by one that it has not');
	sql(q{SELECT brain.delete_index('o', 'm'); SELECT brain.delete_index('t', 'm')});
	somebody('drop', 'numbers');
	clean('o', 't');
	return;
}

sub part_overwrite
{
	sql(q{SELECT make('o', 200)});
	compute_both('o', metric => q('cosine'));
	my $first = collection_of('o');
	my $s = session();
	sql('INSERT INTO o VALUES (500, $$new$$, vec(1000.5))');
	like_(error_of(compute('o', 'm')), qr/ERROR: .*"m"/, 'a key that there is needs overwrite');
	ask($s, 'BEGIN');
	is_(ask($s, compute('o', 'm', metric => q('cosine'), overwrite => 'true')), 'm|milvus|cosine|8|201|0|0', 'overwrite, rolled back later');
	same('others: the old one answers meanwhile', 'o', $Q, changes => 1);
	is_(ask($s, "SELECT row_to_json(s) FROM brain.sort_by_similarity('o', $Q, k => 9, brain_key => 'm') s ORDER BY rank"),
		sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('o', $Q, k => 9, brain_key => 'e') s ORDER BY rank"), 'the one who overwrites');
	ask($s, 'ROLLBACK');
	same('rolled back: the old one', 'o', $Q, changes => 1);
	is_(collection_of('o'), $first, 'it is the old one');
	sql('SELECT * FROM brain.sweep()');
	is_(names(), with($first), 'after a sweep only the old collection is there');
	same('rolled back and swept: the old one', 'o', $Q, changes => 1);
	ask($s, 'BEGIN');
	ask($s, compute('o', 'm', metric => q('cosine'), overwrite => 'true'));
	same('once more: the old one answers until the commit', 'o', $Q, changes => 1);
	my $t = session();
	ask($t, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	ask($s, 'COMMIT');
	same('committed: the new one', 'o', $Q, changes => 0, arguments => 'k => 1000', rows => 201);
	my $second = collection_of('o');
	isnt($second, $first, "$kind: it is another collection");
	is_(ask($t, "SELECT row_to_json(s) FROM brain.sort_by_similarity('o', $Q, k => 9, brain_key => 'm') s ORDER BY rank"),
		sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('o', $Q, k => 9, brain_key => 'e') s ORDER BY rank"), 'an old snapshot has its answer all the same');
	ask($t, 'COMMIT');
	$t->quit;
	$s->quit;
	sql('SELECT * FROM brain.sweep()');
	is_(names(), with($second), 'after a sweep only the new collection is there');
	same('and it answers', 'o', $Q, changes => 0);
	clean('o');
	return;
}

sub part_ends
{
	sql(q{SELECT make('x', 100); SELECT make('y', 100)});
	compute_both('x');
	compute_both('y');
	my $x = collection_of('x');
	my $has = sub { my ($name) = @_; return (grep { $_ eq $name } split ' ', names()) ? 'there' : 'gone'; };
	sql(q{BEGIN; SELECT brain.cleanup('x', 'm'); ROLLBACK});
	same('cleanup, rolled back', 'x', $Q, changes => 0);
	sql(q{SELECT * FROM brain.sweep()});
	is_($has->($x), 'there', 'and swept: the collection stays');
	my $s = session();
	ask($s, q{BEGIN; SELECT brain.cleanup('x', 'm')});
	sql(q{SELECT * FROM brain.sweep()});
	same('cleanup, not committed: others search', 'x', $Q, changes => 0);
	ask($s, 'COMMIT');
	$s->quit;
	gone('cleanup: dropped when it has committed', with(collection_of('y')));
	sql(q{SELECT brain.cleanup('x', 'e')});
	same_error('a search after it', 'x', $Q, qr/ERROR/);
	is_(error_of(q{SELECT brain.cleanup('x', 'm')}), '', 'a second cleanup is harmless');
	is_(sql('SELECT count(*) FROM brain.garbage'), '0', 'and makes no garbage');
	is_(sql(q{SELECT brain.has_brain_run('x', 'm')}), 't', 'the record stays');
	is_(sql(q{SELECT kind, name FROM brain.sweep() WHERE kind = 'collection'}), '', 'a sweep finds nothing');
	same('the other run goes on', 'y', $Q, changes => 0);
	is_(sql(compute('x', 'm', overwrite => 'true')), 'm|milvus|dotproduct|8|100|0|0', 'computed again after a cleanup');
	sql(q{SELECT brain.compute_similarity('x', 'e', metric => 'dotproduct', overwrite => true)});
	same('and searched', 'x', $Q, changes => 0);
	$x = collection_of('x');
	sql(q{SELECT brain.delete_brain_run('x', 'm', cleanup => true)});
	is_(sql(q{SELECT brain.has_brain_run('x', 'm')}), 'f', 'delete_brain_run: no record');
	gone('delete_brain_run with cleanup: dropped', with(collection_of('y')));
	sql(compute('x', 'm'));
	sql(q{SELECT brain.delete_brain_run('x', 'm')});
	gone('delete_brain_run without it: dropped all the same, or it belonged to nobody', with(collection_of('y')));
	# a server that says nothing keeps the worker, and the worker nobody
	sql(compute('x', 'm'));
	my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $@;
	my $uri = sql(q{SELECT option_value FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE srvname = 'm' AND option_name = 'uri'});
	sql('ALTER SERVER m OPTIONS (SET uri $$http://127.0.0.1:' . $silent->sockport . q{$$); SELECT brain.delete_brain_run('x', 'm')});
	my $worker = IO::Select->new($silent)->can_read(60) && $silent->accept;
	is_($worker && IO::Select->new($worker)->can_read(60) ? 'yes' : 'no', 'yes', 'premise: the worker waits for the server');
	is_(sql(q{SELECT count(*) > 0, count(backend_xmin), count(backend_xid) FROM pg_stat_activity WHERE backend_type = 'milvus_brain sweep'}),
		't|0|0', 'it has no snapshot and no xid meanwhile');
	close $worker if $worker;
	close $silent;
	sql(qq{ALTER SERVER m OPTIONS (SET uri '$uri'); SELECT * FROM brain.sweep()});
	gone('a sweep drops what it could not', with(collection_of('y')));
	my $y = collection_of('y');
	sql('BEGIN; DROP TABLE y; ROLLBACK; SELECT * FROM brain.sweep()');
	same('DROP TABLE, rolled back and swept', 'y', $Q, changes => 0);
	sql('DROP TABLE y');
	gone('DROP TABLE: dropped');
	# the extension goes, and with it what was known
	is_(sql(compute('x', 'm')), 'm|milvus|dotproduct|8|100|0|0', 'a run, for the extension to be dropped');
	$x = collection_of('x');
	my $server = sql(q{SELECT format('CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (%s)', string_agg(format('%I %L', option_name, option_value), ', ')) FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE srvname = 'm'});
	sql(q{SET client_min_messages = warning; DROP EXTENSION milvus_brain CASCADE});
	is_($has->($x), 'there', 'DROP EXTENSION leaves its collections');
	sql("CREATE EXTENSION milvus_brain; $server; CREATE USER MAPPING FOR CURRENT_USER SERVER m; GRANT USAGE ON SCHEMA brain TO PUBLIC");
	like_(sql(q{SELECT kind, name FROM brain.sweep()}), qr/^collection\|\Q$x\E$/m, 'until it is there again, and sweeps');
	is_($has->($x), 'gone', 'and it is gone');
	clean('x');
	return;
}

sub wait_for
{
	my ($what, $test) = @_;
	for (my $until = time + 90; time < $until; sleep 0.1) { return pass("$kind: $what") if $test->(); }
	return fail("$kind: $what: not within 90 s");
}

sub part_failed_builds
{
	sql(q{SELECT make('f', 300);
		CREATE FUNCTION slow(i integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN true; END'});
	sql('BEGIN; ' . compute('f', 'm') . '; ROLLBACK');
	isnt(names(), $before, "$kind: a build that was rolled back has made a collection");
	is_(sql('SELECT count(*) FROM brain.runs'), '0', 'rolled back: no run');
	sql('SELECT * FROM brain.sweep()');
	is_(names(), $before, 'rolled back: nothing after a sweep');
	sql('BEGIN; SAVEPOINT s; ' . compute('f', 'm') . '; ROLLBACK TO s; COMMIT; SELECT * FROM brain.sweep()');
	is_(names(), $before, 'rolled back to a savepoint: nothing after a sweep');
	# while the transaction that makes it goes on, it is nobody's to sweep
	my $s = session();
	ask($s, 'BEGIN');
	ask($s, compute('f', 'm'));
	sql('SELECT * FROM brain.sweep()');
	ask($s, 'COMMIT');
	$s->quit;
	sql(q{SELECT brain.compute_similarity('f', 'e', metric => 'dotproduct')});
	same('a sweep in another session during a build takes nothing', 'f', $Q, changes => 0);
	sql(q{SELECT brain.delete_brain_runs('f', cleanup => true); SELECT * FROM brain.sweep()});
	is_(names(), $before, 'clean again');
	like_(error_of(compute('f', 'm', filter => '$$10 / (id - 290) IS NOT NULL$$')), qr/division by zero/, 'an error in the middle');
	is_(names(), $before, 'an error in the middle: nothing stays, without a sweep');
	for my $how (qw(cancel terminate))
	{
		my $c = session();
		my $pid = ask($c, 'SELECT pg_backend_pid()');
		my $compute = compute('f', 'm', filter => '$$slow(id)$$');
		$c->{stdin} .= "$compute;\n";
		$c->{run}->pump_nb;
		wait_for("$how: a collection", sub { $c->{run}->pump_nb; $c->{stdout} ne '' || names() ne $before });
		is_(sql("SELECT state FROM pg_stat_activity WHERE pid = $pid"), 'active', "$how: in the middle");
		my $start = time;
		sql("SELECT pg_${how}_backend($pid)");
		wait_for("$how: the end", sub { $c->{run}->pump_nb if $how eq 'cancel'; sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND state = 'active'") eq '0' });
		note sprintf '%s took %.2f s', $how, time - $start;
		if ($how eq 'cancel') { ask($c, 'SELECT 1'); like_(said($c), qr/canceling statement/, 'cancel: it ends'); $c->quit; }
		else { eval { $c->{run}->kill_kill; }; }
		is_(sql('SELECT count(*) FROM brain.runs'), '0', "$how: no run");
		is_(error_of('SELECT * FROM brain.sweep()'), '', "$how: a sweep");
		is_(names(), $before, "$how: nothing after it");
	}
	clean('f');
	return;
}

# Two queries at once, in two sessions.
sub at_once
{
	my @sessions = map { session() } @_;
	for my $i (0 .. $#_) { $sessions[$i]->{stdin} .= "$_[$i];\n\\echo done\n"; }
	for my $i (0 .. $#_)
	{
		my $t = $sessions[$i]->{timeout};
		$t->start;
		$_->{run}->pump_nb foreach @sessions;
		$sessions[$i]->{run}->pump until $sessions[$i]->{stdout} =~ /^done$/m || $t->is_expired;
	}
	my @said = map { $_->{stdout} . $_->{stderr} } @sessions;
	foreach (@sessions) { $_->{stdout} = $_->{stderr} = ''; $_->quit; }
	return @said;
}

sub part_names
{
	sql(q{CREATE SCHEMA one; CREATE SCHEMA two; SELECT make('one.p', 100); SELECT make('two.p', 100); UPDATE two.p SET embedding = vec(id + 555)});
	my @said;
	sql("SELECT brain.compute_similarity('$_.p', 'e', metric => 'dotproduct')") foreach qw(one two);
	for my $round (1 .. ($kind =~ /lite/ ? 5 : 1))
	{
		@said = at_once(map { compute("$_.p", 'm') } qw(one two));
		like_($_, qr/^m\|milvus\|dotproduct\|8\|100\|0\|0$/m, "two sessions that choose a name at once, $round") foreach @said;
		isnt(collection_of('one.p'), collection_of('two.p'), "$kind: they get different ones");
		same("$_: its own rows", "$_.p", $Q, changes => 0, arguments => 'k => 1000', rows => 100) foreach qw(one two);
		sql("SELECT brain.delete_brain_run('$_.p', 'm', cleanup => true)") foreach grep { collection_of("$_.p") ne '' } qw(one two);
		gone('both deleted');
	}
	# the same one, given: at most one of them may have it
	@said = at_once(map { compute("$_.p", 'given', collection_name => q('given')) } qw(one two));
	my @have = grep { collection_of("$_.p", 'given') ne '' } qw(one two);
	note "$kind: given at once: $_" foreach @said;
	ok_(@have >= 1, 'a name given twice at once: somebody has it') or diag(@said);
	isnt(collection_of("one.p", 'given'), collection_of("two.p", 'given'), "$kind: a name given twice at once: not both");
	same("$_: given: its own rows", "$_.p", $Q, keys => [ 'given', 'e' ], arguments => 'k => 1000', rows => 100, changes => 0) foreach @have;
	sql('SELECT * FROM brain.sweep()');
	same("$_: given: its own rows after a sweep", "$_.p", $Q, keys => [ 'given', 'e' ], arguments => 'k => 1000', rows => 100, changes => 0) foreach @have;
	clean('one.p', 'two.p');
	sql('DROP SCHEMA one; DROP SCHEMA two');
	return;
}

sub part_somebody_else
{
	sql(q{SELECT make('s', 200)});
	compute_both('s', metric => q('euclidean'));
	my $collection = collection_of('s');
	my $trouble = sub {
		my ($name) = @_;
		my $s = session();
		ask($s, "SET brain.on_backend_failure = 'exact'");
		same("$name: an exact answer and a NOTICE", 's', $Q, in => $s, path => 'table', says => qr/^[^\n]*NOTICE:  (?!.*NOTICE)/s);
		same("$name: the NOTICE comes once a session", 's', $Q, in => $s, path => 'table');
		$s->quit;
		like_(error_of("SET brain.on_backend_failure = 'error'; SELECT * FROM brain.sort_by_similarity('s', $Q, brain_key => 'm')"), qr/^[^\n]*ERROR: /m, "$name: an error where that is wanted");
		return;
	};

	# released: loaded again, or the table until then, never an error nor another row
	somebody('release', $collection);
	my ($path, @paths) = ('');
	for (my $until = time + 60; time < $until && $path ne 'milvus'; sleep 0.2)
	{
		my ($out, $err) = try("SELECT row_to_json(s) FROM brain.sort_by_similarity('s', $Q, k => 10, brain_key => 'm') s ORDER BY rank; SELECT brain.last_search()->>'path'");
		($path) = $out =~ /(\w+)$/;
		my $exact = sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('s', $Q, k => 10, brain_key => 'e') s ORDER BY rank");
		push @paths, $path;
		if ($out !~ /^\Q$exact\E\n/ || $err =~ /ERROR/) { fail("$kind: released: a wrong answer: $out\n$err"); last; }
	}
	is_($path, 'milvus', "released: loaded again (@paths[0 .. ($#paths > 5 ? 5 : $#paths)])");
	same('released: loaded again', 's', $Q, changes => 0);
	somebody('release', $collection);
	sql('INSERT INTO s VALUES (301, $$new$$, vec(1000.75))');
	my ($out, $err) = try(q{SELECT s.action, s.reason FROM brain.sync('s', 'm') s});
	like_($out, qr/^upsert\|/, 'released: a sync loads it') or diag($err);
	{
		my ($m, $e) = map { sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('s', $Q, k => 10, brain_key => '$_') s ORDER BY rank") } qw(m e);
		is_($m, $e, 'released and synced');
	}

	# replaced, by one of the same name whose vectors are others
	is_(somebody('replace', $collection, 8, 'L2', [ map { "$_" } 1 .. 150 ]), 150, 'replaced by somebody') or die 'not replaced';
	$trouble->('replaced');
	sql('INSERT INTO s VALUES (302, $$new$$, vec(1000.8)); DELETE FROM s WHERE id = 7');
	($out, $err) = try(q{SELECT s.action, s.reason FROM brain.sync('s', 'm') s});
	note "$kind: sync of a replaced collection: $out $err";
	is_($json->encode(somebody('ids', $collection)), $json->encode([ sort map { "$_" } 1 .. 150 ]), 'replaced: a sync does not write there');
	{
		my ($m, $e) = map { sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('s', $Q, k => 10, brain_key => '$_') s ORDER BY rank") } qw(m e);
		is_($m, $e, 'replaced and synced: the right answer');
	}
	sql(q{SELECT brain.cleanup('s', 'm')});
	try('SELECT * FROM brain.sweep()');
	like_(names(), qr/\b\Q$collection\E\b/, "replaced: cleanup and a sweep do not drop somebody's");
	is_($json->encode(somebody('ids', $collection)), $json->encode([ sort map { "$_" } 1 .. 150 ]), 'replaced: nor change it');
	sql(compute('s', 'm', metric => q('euclidean'), overwrite => 'true'));
	isnt(collection_of('s'), $collection, "$kind: replaced: computed again, under another name");
	same('replaced: computed again', 's', $Q, changes => 0);
	is_($json->encode(somebody('ids', $collection)), $json->encode([ sort map { "$_" } 1 .. 150 ]), "replaced: somebody's is as it was");
	somebody('drop', $collection);

	# dropped, under a session that has searched
	$collection = collection_of('s');
	my $warm = session();
	same('dropped: before', 's', $Q, in => $warm, changes => 0);
	somebody('drop', $collection);
	same('dropped, under a session', 's', $Q, in => $warm, path => 'table', says => qr/NOTICE/);
	$warm->quit;
	$trouble->('dropped');
	sql('INSERT INTO s VALUES (303, $$new$$, vec(1000.9))');
	($out, $err) = try(q{SELECT s.action, s.reason FROM brain.sync('s', 'm') s});
	note "$kind: sync of a dropped collection: $out $err";
	{
		my ($m, $e) = map { sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('s', $Q, k => 10, brain_key => '$_') s ORDER BY rank") } qw(m e);
		is_($m, $e, 'dropped and synced: the right answer');
	}
	sql(compute('s', 'm', metric => q('euclidean'), overwrite => 'true'));
	same('dropped: computed again', 's', $Q, changes => 0);
	clean('s');
	return;
}

sub part_killed
{
	sql(q{SELECT make('k', 200); SELECT make('k2', 50)});
	compute_both('k', metric => q('cosine'));
	compute_both('k2');
	my $warm = session();
	same('killed: before', 'k', $Q, in => $warm, changes => 0);
	sql('INSERT INTO k VALUES (401, $$new$$, vec(1000.5))');
	sync('k');
	same('killed: synced before', 'k', $Q, changes => 0);
	end_client();
	server_does('kill');
	sql(q{ALTER SERVER m OPTIONS (ADD connect_timeout '3s')});
	same('killed: a session that was connected', 'k', $Q, in => $warm, path => 'table', says => qr/NOTICE:  (?!.*NOTICE)/s);
	same('killed: again', 'k', $Q, in => $warm, path => 'table');
	same('killed: a new session', 'k', $Q, path => 'table', says => qr/NOTICE:  (?!.*NOTICE)/s);
	like_(error_of("SET brain.on_backend_failure = 'error'; SELECT * FROM brain.sort_by_similarity('k', $Q, brain_key => 'm')"), qr/ERROR: /, 'killed: an error where that is wanted');
	sql('INSERT INTO k VALUES (402, $$new$$, vec(1000.6)); UPDATE k SET embedding = vec(id + 800) WHERE id < 20');
	ok_(1, 'killed: writers do not notice');
	my ($out, $err) = try(q{SELECT s.action, s.reason FROM brain.sync('k', 'm') s});
	like_("$out$err", qr/ERROR|skipped/, 'killed: a sync says so');
	is_(changes('k'), '20', 'killed: the log keeps what it has');
	same('killed: with changes', 'k', $Q, path => 'table', says => qr/NOTICE/);
	like_(error_of(compute('k', 'other')), qr/ERROR: /, 'killed: no run can be computed');
	is_(sql(q{SELECT brain.has_brain_run('k', 'other')}), 'f', 'killed: and none is there');
	my $k2 = collection_of('k2');
	is_(error_of(q{SELECT brain.cleanup('k2', 'm')}) =~ /ERROR.*/ ? $& : '', '', 'killed: cleanup works');
	($out, $err) = try('SELECT * FROM brain.sweep()');
	unlike_($err, qr/ERROR/, 'killed: a sweep is no error');
	is_(sql('SELECT collection FROM brain.garbage'), $k2, 'killed: the collection waits as garbage');
	# back
	%info = server_does('restart');
	sql(q{ALTER SERVER m OPTIONS (DROP connect_timeout)});
	$warm->quit;
	my $path = '';
	for (my $until = time + 90; time < $until && $path ne 'milvus'; sleep 0.3)
	{
		($out, $err) = try("SELECT row_to_json(s) FROM brain.sort_by_similarity('k', $Q, k => 10, brain_key => 'm') s ORDER BY rank; SELECT brain.last_search()->>'path'");
		($path) = $out =~ /(\w+)$/;
		my $exact = sql("SELECT row_to_json(s) FROM brain.sort_by_similarity('k', $Q, k => 10, brain_key => 'e') s ORDER BY rank");
		if ($out !~ /^\Q$exact\E\n/ || $err =~ /ERROR/) { fail("$kind: restarted: a wrong answer: $out\n$err"); last; }
	}
	is_($path, 'milvus', 'restarted: the collection answers again');
	same('restarted', 'k', $Q, changes => 20, arguments => 'k => 1000', rows => 202);
	sync('k');
	same('restarted: synced', 'k', $Q, changes => 0, arguments => 'k => 1000', rows => 202);
	start_client();
	sql('SELECT * FROM brain.sweep()');
	is_(sql('SELECT count(*) FROM brain.garbage'), '0', 'restarted: a sweep takes the garbage');
	unlike_(names(), qr/\b\Q$k2\E\b/, 'restarted: from the server too');
	clean('k', 'k2');
	return;
}

# Others that have the same run in their catalog, and whose collection it is not.
sub part_copies
{
	sql(q{SELECT make('d', 200)});
	compute_both('d', metric => q('cosine'));
	sql('INSERT INTO d VALUES (301, $$new$$, vec(1000.5))');
	my $collection = collection_of('d');
	my $untouched = sub {
		my ($name) = @_;
		has_ids("$name: the original's collection is as it was", $collection, 'd', 'id <= 200');
		same("$name: the original answers", 'd', $Q, changes => 1);
		return;
	};
	my $original = $db;
	for my $how ('TEMPLATE', 'dump')
	{
		my $copy = lc "${original}_$how";
		if ($how eq 'TEMPLATE') { $node->safe_psql('postgres', "CREATE DATABASE $copy TEMPLATE $original"); }
		else
		{
			$node->safe_psql('postgres', "CREATE DATABASE $copy");
			$node->command_ok([ 'pg_dump', '-f', "$folder/$copy.sql", '-d', $node->connstr($original) ], "$kind: pg_dump");
			my ($out, $err) = ('', '');
			IPC::Run::run([ 'psql', '-X', '-q', '-f', "$folder/$copy.sql", '-d', $node->connstr($copy) ], '>', \$out, '2>', \$err);
			is_($err, '', "$how: restored");
		}
		local $db = $copy;
		is_(sql('SELECT count(*) FROM pg_foreign_server'), '1', "$how: it knows the server");
		same("$how: an exact answer", 'd', $Q, path => 'table', says => qr/^(|.*NOTICE.*)$/s, arguments => 'k => 1000', rows => 201);
		sql(q{UPDATE d SET embedding = vec(id + 4000) WHERE id < 50; DELETE FROM d WHERE id BETWEEN 60 AND 80});
		my ($out, $err) = try(q{SELECT s.action, s.reason FROM brain.sync('d', 'm') s; SELECT * FROM brain.sweep()});
		note "$kind: $how: sync: $out $err";
		same("$how: an exact answer after a change and a sync", 'd', $Q, path => collection_of('d') =~ /^(|\Q$collection\E)$/ ? 'table' : 'milvus', says => qr/^(|.*NOTICE.*)$/s);
		{ local $db = $original; $untouched->("$how: synced and swept"); }
		is_(sql(compute('d', 'm', metric => q('cosine'), overwrite => 'true')), 'm|milvus|cosine|8|180|0|0', "$how: computed anew");
		same("$how: it has one of its own", 'd', $Q, changes => 0);
		isnt(collection_of('d'), $collection, "$kind: $how: of another name");
		sql('SELECT * FROM brain.sweep()');
		{ local $db = $original; $untouched->("$how: computed anew, and swept"); }
		sql('DROP TABLE d; SELECT * FROM brain.sweep()');
		wait_for("$how: dropped, and swept: its own is gone", sub { names() eq with($collection) });
		{ local $db = $original; $untouched->("$how: dropped, and swept"); }
		# one more that has never computed, and drops all that it knows
		if ($how eq 'TEMPLATE')
		{
			$node->safe_psql('postgres', "DROP DATABASE $copy; CREATE DATABASE $copy TEMPLATE $original");
			sql(q{SELECT brain.delete_brain_run('d', 'm', cleanup => true)});
			try('SELECT * FROM brain.sweep()');
			local $db = $original;
			$untouched->("$how: the copy's run deleted, and swept");
		}
		$node->safe_psql('postgres', "DROP DATABASE $copy");
	}

	# a standby, and what it becomes
	my $primary = $node;
	$primary->backup("of_$original");
	my $standby = PostgreSQL::Test::Cluster->new("standby_$original");
	$standby->init_from_backup($primary, "of_$original", has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby);
	{
		local $node = $standby;
		same('standby: an exact answer', 'd', $Q, path => 'table', says => qr/^(|.*NOTICE.*)$/s, arguments => 'k => 1000', rows => 201);
	}
	sql('UPDATE d SET embedding = vec(id + 6000) WHERE id = 100');
	sync('d');
	$primary->wait_for_catchup($standby);
	{
		local $node = $standby;
		same('standby: an exact answer after a sync of the primary', 'd', $Q, path => 'table', says => qr/^(|.*NOTICE.*)$/s);
		$standby->promote;
		same('promoted: an exact answer', 'd', $Q, path => 'table', says => qr/^(|.*NOTICE.*)$/s, arguments => 'k => 1000', rows => 201);
		sql('DELETE FROM d WHERE id > 100');
		my ($out, $err) = try(q{SELECT s.action, s.reason FROM brain.sync('d', 'm') s; SELECT * FROM brain.sweep()});
		note "$kind: promoted: sync: $out $err";
		{ local $node = $primary; has_ids("promoted: synced and swept: the original's collection is as it was", $collection, 'd', 'true'); }
		is_(sql(compute('d', 'm', metric => q('cosine'), overwrite => 'true')), 'm|milvus|cosine|8|100|0|0', 'promoted: computed anew');
		same('promoted: it has one of its own', 'd', $Q, changes => 0, arguments => 'k => 1000', rows => 100);
		isnt(collection_of('d'), $collection, "$kind: promoted: of another name");
		is_(names(), with($collection, collection_of('d')), 'promoted: both are there');
		sql('DELETE FROM d WHERE id > 90');
		sync('d');
		same('promoted: which it writes', 'd', $Q, changes => 0, arguments => 'k => 1000', rows => 90);
		{ local $node = $primary; has_ids("promoted: computed anew: the original's collection is as it was", $collection, 'd', 'true'); }
		sql('DROP TABLE d');
		try('SELECT * FROM brain.sweep()');
		wait_for('promoted: dropped, and swept: its own is gone', sub { names() eq with($collection) });
	}
	has_ids("promoted: dropped and swept: the original's collection is as it was", $collection, 'd', 'true');
	same('the primary answers', 'd', $Q, changes => 0, arguments => 'k => 1000', rows => 201);
	$standby->stop('immediate');
	clean('d');
	return;
}

sub part_unreachable
{
	my ($address) = $info{uri} =~ m{://([\d.]+):};
	# it has whoever connects wait for a handshake
	my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $@;
	sql(qq{SELECT make('z', 50); CREATE SEQUENCE reads;
		CREATE FUNCTION counted(i integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN nextval(''reads'') > 0; END';
		CREATE SERVER closed FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri 'http://$address:1'); CREATE USER MAPPING FOR CURRENT_USER SERVER closed;
		CREATE SERVER unnamed FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri 'http://no.such.host.invalid:19530', connect_timeout '5s');
		CREATE SERVER silent FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri 'https://127.0.0.1:${\ $silent->sockport}', connect_timeout '1s')});
	my $fails = sub {
		my ($name, $error, %o) = @_;
		my $start = time;
		sql('ALTER SEQUENCE reads RESTART');
		my $said = error_of(($o{BEFORE} // '') . ';' . compute('z', 'm', filter => '$$counted(id)$$', %o));
		like_($said, $error, $name);
		cmp_ok(time - $start, '<', 45, "$kind: $name: in time");
		is_(sql(q{SELECT is_called FROM reads}), 'f', "$name: before a row is read");
		is_(sql('SELECT count(*) FROM brain.runs') . sql('SELECT count(*) FROM brain.garbage'), '00', "$name: and leaves nothing");
		return;
	};
	my $options = sub { my ($json) = @_; return (OPTIONS => "'{\"index_type\": \"FLAT\", $json}'"); };
	sql(compute('z', 'm', filter => '$$counted(id)$$') . q{; SELECT brain.delete_brain_run('z', 'm', cleanup => true); SELECT * FROM brain.sweep()});
	is_(sql('SELECT is_called FROM reads'), 't', 'a row that is read is counted');
	$fails->('a closed port', qr/ERROR: .*\n/, SERVER => 'closed');
	$fails->('a host that has no address', qr/ERROR: .*no\.such\.host/s, SERVER => 'unnamed');
	$fails->('a host that says nothing', qr/ERROR:  Milvus server "127\.0\.0\.1:\d+" did not answer in time\n.*\n.*connect_timeout/, SERVER => 'silent', BEFORE => q{SET brain.connect_timeout = '120s'});
	$fails->('an unknown database, or one where there are none', qr/ERROR: .*database/, $options->('"db_name": "nobody_made_it"'));
	$fails->('a server that there is not', qr/ERROR: .*"nowhere"/, SERVER => 'nowhere');
	$fails->('an unknown option', qr/ERROR: .*"indx_type"/, $options->('"indx_type": "FLAT"'));
	# the server is who knows its indexes: it is asked when the dimension is known, by the first row
	my $refused = sub {
		my ($name, $type, $params) = @_;
		sql('ALTER SEQUENCE reads RESTART');
		my $said = error_of(compute('z', 'm', filter => '$$counted(id)$$', OPTIONS => qq('{"index_type": "$type", "index_params": $params}')));
		if ($said =~ /ERROR/) { is_(sql('SELECT last_value FROM reads'), '1', "$name: before a second row is read"); }
		else { sql(q{SELECT brain.delete_brain_run('z', 'm', cleanup => true)}); }
		gone("$name: leaves nothing");
		return $said;
	};
	like_($refused->('an unknown index', 'NOSUCH', '{}'), qr/ERROR: .*NOSUCH/s, 'an unknown index is refused');
	my $said = $refused->('index_params', 'HNSW', '{"M": 5000, "efConstruction": 100}');
	can('an error for `index_params` that are out of range', scalar($said =~ /ERROR: .*\bM out of range/s), $said);
	$fails->('index_params that are none', qr/ERROR: .*"index_params"/, $options->('"index_params": 5'));
	$fails->('too many shards', qr/ERROR: .*"shards_num"/, $options->('"shards_num": 100000'));
	$fails->('no shards', qr/ERROR: .*"shards_num"/, $options->('"shards_num": 0'));
	$fails->('batches of nothing', qr/ERROR: .*"batch_bytes"/, $options->('"batch_bytes": 0'));
	$fails->('a name that is none', qr/ERROR: .*"no name"/, collection_name => q('no name'));
	$fails->('an empty name', qr/ERROR: .*name/, collection_name => q(''));
	$fails->('an unknown consistency level', qr/ERROR: .*"Whatever"/, consistency_level => q('Whatever'));
	$fails->('an unknown metric', qr/ERROR: .*"manhattan"/, metric => q('manhattan'));
	$fails->('options that are no object', qr/ERROR: .*options/, OPTIONS => q('[1]'));
	if ($info{password}) { part_refused($fails, $options); }
	sql('DROP SERVER closed CASCADE; DROP SERVER unnamed; DROP SERVER silent; DROP SEQUENCE reads; DROP FUNCTION counted');
	clean('z');
	return;
}

sub part_refused
{
	my ($fails, $options) = @_;
	$fails->('a wrong password', qr/ERROR: .*password/, $options->('"password": "wrong"'));
	$fails->('an unknown user', qr/ERROR: .*(user|password)/, $options->('"user": "nobody"'));
	unlike_(error_of(compute('z', 'm', filter => '$$counted(id)$$', $options->('"user": "nobody"'))), qr/\Q$info{password}\E/, 'the password is not shown');
	return;
}

# ---- servers with passwords and TLS -----------------------------------------

sub part_short
{
	sql(q{SELECT make('a', 200)});
	is_(compute_both('a', metric => q('cosine')), 'm|milvus|cosine|8|200|0|0', 'the result row');
	same('by vector', 'a', $Q, changes => 0);
	same('by id', 'a', '17');
	sql('INSERT INTO a VALUES (301, $$new$$, vec(1000.5)); DELETE FROM a WHERE id = 9');
	same('changes', 'a', $Q, changes => 2);
	like_(sync('a'), qr/^\w+\|2\|200$/, 'sync');
	same('synced', 'a', $Q, changes => 0, arguments => 'k => 1000', rows => 200);
	has_ids('synced: the server has the ids of the table', collection_of('a'), 'a', 'true');
	if ($info{user})
	{
		# by whose mapping?
		sql('GRANT SELECT ON a TO reader; GRANT USAGE ON FOREIGN SERVER m TO reader');
		my ($out, $err) = try("SET ROLE reader; SET brain.on_backend_failure = 'error'; SELECT * FROM brain.sort_by_similarity('a', $Q, brain_key => 'm')");
		like_($err, qr/ERROR: /, 'a role without a user mapping is not let in');
		same('and gets an exact answer', 'a', $Q, before => 'SET ROLE reader', path => 'table', says => qr/NOTICE/);
		sql("CREATE USER MAPPING FOR reader SERVER m OPTIONS (user '$info{user}', password '$info{password}')");
		same('with one it is', 'a', $Q, before => 'SET ROLE reader', changes => 0);
		sql("DROP USER MAPPING FOR reader SERVER m; REVOKE ALL ON FOREIGN SERVER m FROM reader");
	}
	if ($info{wrong_ca})
	{
		my $option = $info{cert} ? 'ca_pem_path' : 'server_pem_path';
		my $right = $info{ca};
		sql("ALTER SERVER m OPTIONS (SET $option '$info{wrong_ca}')");
		like_(error_of(compute('a', 'other')), qr/ERROR: .*certificate/si, 'another authority: refused');
		same('another authority: an exact answer', 'a', $Q, path => 'table', says => qr/NOTICE/);
		sql("ALTER SERVER m OPTIONS (SET $option '$right')");
		same('the right one again', 'a', $Q, changes => 0);
	}
	if ($info{wrong_cert})
	{
		sql("ALTER SERVER m OPTIONS (SET client_pem_path '$info{wrong_cert}', SET client_key_path '$info{wrong_key}')");
		like_(error_of(compute('a', 'other')), qr/ERROR: /, "another authority's client: refused");
		same("another authority's client: an exact answer", 'a', $Q, path => 'table', says => qr/NOTICE/);
		sql("ALTER SERVER m OPTIONS (SET client_pem_path '$info{cert}', SET client_key_path '$info{key}')");
		same('the right client again', 'a', $Q, changes => 0);
	}
	sql(q{SELECT brain.cleanup('a', 'm'); SELECT * FROM brain.sweep()});
	is_(names(), $before, 'cleanup and a sweep');
	clean('a');
	return;
}

# ---- all of it -------------------------------------------------------------

for my $each (@KINDS)
{
	my $start = time;
	set_up($each);
	if ($each =~ /-(auth|tls|mtls)$/)
	{
		section('short', \&part_short);
		section('owner', \&part_owner);
		section('unreachable', \&part_unreachable) if $each =~ /-auth$/;
	}
	else
	{
		section('metrics', \&part_metrics);
		section('text keys', \&part_text_keys);
		section('uuid keys', \&part_uuid_keys);
		section('given names', \&part_given_names);
		section('transactions', \&part_transactions);
		section('rights', \&part_rights);
		section('owner', \&part_owner);
		section('neighbors', \&part_neighbors);
		section('options', \&part_options);
		section('views', \&part_views);
		section('empty', \&part_empty);
		section('stored', \&part_stored);
		section('encodings', \&part_encodings);
		section('out of reach', \&part_out_of_reach);
		section('attached', \&part_attached);
		section('attached numbers', \&part_attached_numbers);
		section('overwrite', \&part_overwrite);
		section('ends', \&part_ends);
		section('failed builds', \&part_failed_builds);
		section('names', \&part_names);
		section('somebody else', \&part_somebody_else);
		section('unreachable', \&part_unreachable);
		section('copies', \&part_copies);
		section('killed', \&part_killed);
	}
	end_client();
	note sprintf '%s took %.0f s', $kind, time - $start;
}

# The README's table says no more and no less than what was found.
my @cannot = sort map { my $what = $_; map { "| $_ | $what | $CANNOT{$what}{$_} |" } keys %{ $CANNOT{$what} } } keys %CANNOT;
my ($readme) = slurp_file('../README.md') =~ /^#### What a server cannot do\n(.*?)^####/ms or die 'README.md has no such table';
is(join("\n", $readme =~ /^(\| milvus.*)/mg), join("\n", @cannot), "the README's table");
foreach my $what ($only eq '' ? sort keys %CANNOT : ())
{
	foreach (grep { !/-(auth|tls|mtls)$/ } @KINDS) { ok($tried{"$what, $_"}, "$_: $what: tried"); }
}

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|leaked|still referenced/, 'no crash, no leak');
done_testing();
