# Guards against: a setting that does not reach the wire, whichever way it is given
# (the call, a server and its user mapping, FiftyOne's environment variables, its
# brain_config.json), a wrong one that goes unnoticed, one that wins over a
# stronger one, and a secret anywhere but where it must be.
#
# Real servers are asked what they were sent; which setting counts is seen without
# them, by whom health() says that it has asked.
use strict;
use warnings FATAL => 'all';
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use MIME::Base64;
use POSIX qw(mkfifo);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $home = PostgreSQL::Test::Utils::tempdir;
mkdir "$home/.fiftyone";
my $default_file = "$home/.fiftyone/brain_config.json";
delete $ENV{$_} foreach grep { /^FIFTYONE_/ } keys %ENV;
$ENV{HOME} = $home;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$node->append_conf('postgresql.conf', "fsync = off\nbrain.connect_timeout = '5s'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION milvus_brain; CREATE ROLE ordinary LOGIN');

# ---- asking ----------------------------------------------------------------

sub quoted { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }

# What health() says: a hash; error has what it raised instead.
sub health
{
	my ($server, $options, $before, $database) = @_;
	my $statement = sprintf('SELECT to_jsonb(h) FROM brain.health(%s, %s) h',
		defined $server ? quoted($server) : 'NULL', defined $options ? quoted($json->encode($options)) : 'NULL');
	my ($rc, $out, $err) = $node->psql($database // 'postgres', ($before // '') . ";$statement");
	return { error => $err } if $rc != 0 || $err =~ /ERROR/;
	return $json->decode((split /\n/, $out)[-1]);
}

sub with_environment
{
	my ($environment, $do) = @_;
	my $result;
	{
		local %ENV = (%ENV, %$environment);
		$node->restart;
		$result = $do->();
	}
	$node->restart;
	return $result;
}

sub write_file
{
	my ($path, $text) = @_;
	open my $file, '>:raw', $path or die "$path: $!";
	print $file $text;
	close $file;
	return;
}

my $config = "$home/config.json";
sub use_config { return "SET brain.config_file = " . quoted($config); }

# ---- the four ways ---------------------------------------------------------

my %on_mapping = map { $_ => 1 } qw(user password token);

sub options_clause
{
	my ($settings, @names) = @_;
	return @names ? 'OPTIONS (' . join(', ', map { "\"$_\" " . quoted($settings->{$_}) } @names) . ')' : '';
}

my %ways = (
	'the call' => sub { return health(undef, $_[0]); },
	'a server' => sub {
		my ($settings) = @_;
		my @names = sort keys %$settings;
		my ($rc, $out, $err) = $node->psql('postgres', 'DROP SERVER IF EXISTS way CASCADE; CREATE SERVER way FOREIGN DATA WRAPPER milvus_fdw ' .
			options_clause($settings, grep { !$on_mapping{$_} } @names) . '; CREATE USER MAPPING FOR CURRENT_USER SERVER way ' .
			options_clause($settings, grep { $on_mapping{$_} } @names));
		return $err =~ /ERROR/ ? { error => $err } : health('way');
	},
	'the environment' => sub {
		my ($settings) = @_;
		my %environment = map { 'FIFTYONE_BRAIN_SIMILARITY_MILVUS_' . uc $_ => $settings->{$_} } keys %$settings;
		utf8::encode($_) foreach values %environment;
		return with_environment(\%environment, sub { return health(); });
	},
	'the file' => sub {
		my ($settings) = @_;
		write_file($config, $json->encode({ similarity_backends => { milvus => $settings } }));
		return health(undef, undef, use_config());
	},
);

# ---- which setting counts ---------------------------------------------------

# Nobody listens at these ports.
sub closed { return "http://127.0.0.1:$_[0]"; }
my %say = (FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI => closed(3));

write_file($config, '{"similarity_backends": {"milvus": {"uri": "' . closed(4) . '"}}}');
$node->safe_psql('postgres', q{CREATE SERVER two FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '} . closed(2) . q{');
	CREATE SERVER none FOREIGN DATA WRAPPER milvus_fdw; GRANT USAGE ON FOREIGN SERVER two, none TO ordinary});

is(health()->{uri}, 'http://localhost:19530', 'the default');
is(health(undef, undef, use_config())->{uri}, closed(4), 'the file');
with_environment(\%say, sub {
	is(health(undef, undef, use_config())->{uri}, closed(3), 'the environment before the file');
	is(health(undef, { uri => closed(1) }, use_config())->{uri}, closed(1), 'the call before the environment');
	is(health('two', undef, use_config())->{uri}, closed(2), 'a server before the environment');
	is(health('two', { uri => closed(1) }, use_config())->{uri}, closed(1), 'the call before a server');
	is(health('none', undef, use_config())->{uri}, 'http://localhost:19530', 'a server takes nothing from the environment');
	# what belongs to whoever runs the database server
	like(health(undef, undef, 'SET ROLE ordinary')->{error}, qr/permission denied to use Milvus without a server/, 'nothing for an ordinary role');
	is(health('two', undef, 'SET ROLE ordinary')->{uri}, closed(2), 'but a server is');
	is(health(undef, { port => 5 }, q{SET brain.allowed_hosts = localhost; SET ROLE ordinary})->{uri}, 'http://localhost:5', 'nor on an allowed host');
});

# ---- the environment, odd ----------------------------------------------------

my $prefix = 'FIFTYONE_BRAIN_SIMILARITY_MILVUS_';
with_environment({ "${prefix}URI" => '', "${prefix}SECURE" => 'None', "${prefix}METRIC" => 'cosine', FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL => 'x' },
	sub { is(health()->{uri}, 'http://localhost:19530', 'environment: empty and None are none, other things are not ours'); });
with_environment({ "${prefix}SECURE" => 'True', "${prefix}URI" => '127.0.0.1:3' },
	sub { is(health()->{uri}, 'https://127.0.0.1:3', 'environment: True'); });
with_environment({ "${prefix}PASWORD" => 'hunter2' }, sub {
	my $error = health()->{error};
	like($error, qr/invalid option "pasword"\nDETAIL:  It is set by the environment variable ${prefix}PASWORD\.\nHINT:  Perhaps you meant the option "password"/, 'environment: a misspelt one');
	unlike($error, qr/hunter2/, 'environment: its value is not shown');
});
with_environment({ "${prefix}SECURE" => 'hunter2' }, sub {
	my $error = health()->{error};
	like($error, qr/option "secure" requires a Boolean value\nDETAIL:  It is set by the environment variable ${prefix}SECURE/, 'environment: a wrong one');
	unlike($error, qr/hunter2/, 'environment: nor is that');
	is(health('two')->{uri}, closed(2), 'environment: does not disturb a server');
});
with_environment({ "${prefix}PASSWORD" => "hunter2\xff" }, sub {
	my $error = health()->{error};
	like($error, qr/the environment variable ${prefix}PASSWORD is not UTF-8/, 'environment: not UTF-8');
	unlike($error, qr/hunter2|0xff/, 'environment: nor that');
});

# ---- the file, odd -----------------------------------------------------------

# as FiftyOne's page prints it
write_file($config, <<'JSON');
{
    "default_similarity_backend": "milvus", # a "comment" with a \ and a }
    "similarity_backends": {
        "milvus": {
            "uri": "http://127.0.0.1:4", "user": "#root\"#", "password": 123456,
            # also available if necessary
            "secure": false, "db_name": null, "metric": "cosine", "model_kwargs": {"a": [1]}
            #, "token": "x"
        },
        "qdrant": {"url": 7}
    }
} # the end
JSON
is(health(undef, undef, use_config())->{uri}, closed(4), 'file: with comments');

my @bad = (
	[ 'not JSON', '{"similarity_backends": {"milvus": {"password": "hunter2", }}}', qr/is no brain_config\.json: it is not valid JSON/ ],
	[ 'cut off', '{"similarity_backends": {"milvus": {"password": "hunter2', qr/not valid JSON/ ],
	[ 'empty', '', qr/not valid JSON/ ],
	[ 'no object', '["hunter2"]', qr/not a JSON object/ ],
	[ 'backends no object', '{"similarity_backends": "hunter2"}', qr/"similarity_backends" is not an object/ ],
	[ 'milvus no object', '{"similarity_backends": {"milvus": ["hunter2"]}}', qr/"milvus" is not an object/ ],
	[ 'a list', '{"similarity_backends": {"milvus": {"password": ["hunter2"]}}}', qr/"password" is an array or an object/ ],
	[ 'a misspelt name', '{"similarity_backends": {"milvus": {"pasword": "hunter2"}}}', qr/invalid option "pasword"\nDETAIL:  It is set by the file "\Q$config\E"\.\nHINT:  Perhaps you meant/ ],
	[ 'a wrong value', '{"similarity_backends": {"milvus": {"secure": "hunter2"}}}', qr/requires a Boolean value\nDETAIL:  It is set by the file/ ],
	[ 'a password in the uri', '{"similarity_backends": {"milvus": {"uri": "http://root:hunter2@localhost"}}}', qr/contains a user or a password/ ],
	[ 'not UTF-8', "{\"similarity_backends\": {\"milvus\": {\"password\": \"hunter2\xff\"}}}", qr/is not UTF-8/ ],
	[ 'a zero byte', "{\"similarity_backends\": {\"milvus\": {\"password\": \"hunter2\0\"}}}", qr/zero byte/ ],
	[ 'an escaped zero', '{"similarity_backends": {"milvus": {"password": "hunter2\\u0000"}}}', qr/not valid JSON/ ],
	[ 'deep', '[' x 500000, qr/not valid JSON/ ],
	[ 'large', '{"a": "' . 'hunter2' x 200000 . '"}', qr/larger than 1 MB/ ]);
foreach my $case (@bad)
{
	my ($name, $text, $error) = @$case;
	write_file($config, $text);
	my $got = health(undef, undef, use_config())->{error};
	like($got, $error, "file: $name");
	unlike($got, qr/hunter2/, "file: $name: shows nothing of it");
	is(health('two', undef, use_config())->{uri}, closed(2), "file: $name: does not disturb a server");
}
write_file($config, "\xEF\xBB\xBF" . '{"similarity_backends": {"milvus": {"uri": "' . closed(4) . '"}}}');
is(health(undef, undef, use_config())->{uri}, closed(4), 'file: a byte order mark');
write_file($config, '{"default_similarity_backend": null, "similarity_backends": {"qdrant": {}}}');
is(health(undef, undef, use_config())->{uri}, 'http://localhost:19530', 'file: nothing of milvus');
SKIP:
{
	skip 'root reads everything', 1 if $> == 0;
	chmod 0, $config;
	like(health(undef, undef, use_config())->{error}, qr/could not read file .*Permission denied/, 'file: not readable');
	chmod 0600, $config;
}
unlink $config;
mkfifo($config, 0600) or die $!;
like(health(undef, undef, q{SET statement_timeout = '10s'; } . use_config())->{error}, qr/not a regular file/, 'file: a pipe is not waited for');
unlink $config;

# where it is
write_file($default_file, '{"similarity_backends": {"milvus": {"uri": "' . closed(6) . '"}}}');
write_file($config, '{"similarity_backends": {"milvus": {"uri": "' . closed(4) . '"}}}');
$node->restart;
is(health()->{uri}, closed(6), 'file: in the home of the server process');
is(health(undef, undef, q{SET brain.config_file = ''})->{uri}, 'http://localhost:19530', 'file: none is read');
is(health(undef, undef, q{SET brain.config_file = '~/config.json'})->{uri}, closed(4), 'file: ~');
with_environment({ FIFTYONE_BRAIN_CONFIG_PATH => $config }, sub {
	is(health()->{uri}, closed(4), 'file: FIFTYONE_BRAIN_CONFIG_PATH');
	is(health(undef, undef, "SET brain.config_file = '$home/.fiftyone/../.fiftyone/brain_config.json'")->{uri}, closed(6), 'file: brain.config_file before it');
});
with_environment({ FIFTYONE_BRAIN_CONFIG_PATH => "$home/nowhere.json" },
	sub { like(health()->{error}, qr/could not read file .*nowhere\.json/, 'file: one that was named has to be there'); });
unlink $default_file;

# ---- the default backend -----------------------------------------------------

$node->restart;
$node->safe_psql('postgres', q{CREATE TABLE samples (id int PRIMARY KEY, embedding real[]); INSERT INTO samples VALUES (1, '{1,0}'); ALTER TABLE samples OWNER TO ordinary});
sub backend
{
	my ($before, $arguments) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', ($before // '') . ';BEGIN; SELECT backend FROM brain.compute_similarity(\'samples\', \'key\'' . ($arguments // '') . '); ROLLBACK');
	return $err ne '' ? $err : $out;
}
my $milvus = qr/milvus/i;
is(backend(), 'exact', 'backend: exact');
write_file($config, '{"default_similarity_backend": "milvus"}');
like(backend(use_config()), $milvus, 'backend: the file');
like(backend(use_config() . '; SET ROLE ordinary'), $milvus, 'backend: the file, for everybody');
is(backend(use_config() . '; SET brain.default_similarity_backend = exact'), 'exact', 'backend: the setting before the file');
is(backend(use_config(), q{, backend => 'exact'}), 'exact', 'backend: the argument before all');
with_environment({ FIFTYONE_BRAIN_DEFAULT_SIMILARITY_BACKEND => 'sklearn' }, sub {
	is(backend(use_config()), 'exact', 'backend: the environment before the file');
	like(backend('SET brain.default_similarity_backend = milvus'), $milvus, 'backend: the setting before the environment');
});
with_environment({ FIFTYONE_BRAIN_DEFAULT_SIMILARITY_BACKEND => 'qdrant' },
	sub { like(backend(), qr/unknown similarity backend "qdrant"\nDETAIL:  It is set by the environment variable FIFTYONE_BRAIN_DEFAULT_SIMILARITY_BACKEND/, 'backend: one that is not there'); });
write_file($config, '{"default_similarity_backend": "hunter2", "similarity_backends": {"milvus": {"pass');
$node->restart;
like(backend(use_config() . '; SET ROLE ordinary'), qr/the file that brain\.config_file names is no brain_config\.json: it is not valid JSON\s*$/m, 'backend: a bad file, for who may not know it');

# ---- another encoding --------------------------------------------------------

$node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
$node->safe_psql('latin', 'CREATE EXTENSION milvus_brain');
write_file($config, qq({"similarity_backends": {"milvus": {"uri": "http://127.0.0.1:4", "user": "root", "password": "p\xc3\xa4ss"}}}));
is(health(undef, undef, use_config(), 'latin')->{uri}, closed(4), 'LATIN1: what it has');
write_file($config, qq({"similarity_backends": {"milvus": {"uri": "http://127.0.0.1:4", "user": "root", "password": "hunter2\xe2\x82\xac"}}}));
my $latin = health(undef, undef, use_config(), 'latin')->{error};
like($latin, qr/is not UTF-8, or has characters that the encoding "LATIN1" does not/, 'LATIN1: what it has not');
unlike($latin, qr/hunter2|0xe2/, 'LATIN1: shows nothing of it');

# ---- real servers ------------------------------------------------------------

sub info
{
	my ($kind) = @_;
	return { map { /^(\w+)=(.*)$/ ? ($1 => $2) : () } split /\n/, `servers/server info $kind 2>/dev/null` };
}

# Each right setting is accepted, each wrong one refused, whichever way it is given.
sub check_ways
{
	my ($name, $right, $wrong, $refusal) = @_;
	foreach my $way (sort keys %ways)
	{
		my $got = $ways{$way}->($right);
		is($got->{error} // $got->{problem}, undef, "$name by $way");
		$got = $ways{$way}->($wrong);
		like($got->{error} // $got->{problem} // 'no problem', $refusal, "wrong $name by $way");
	}
	return;
}

my $auth = info('milvus-2.3.5-auth');
SKIP:
{
	skip 'milvus: milvus-2.3.5-auth does not run' unless $auth->{uri};
	my %right = (uri => $auth->{uri}, user => $auth->{user}, password => $auth->{password});
	my $refused = qr/refuses the user or the password.*\(Give user and password/;
	(my $bare = $auth->{uri}) =~ s/.*:\/\///;

	# a number, all that separates something somewhere, and what is not ASCII
	my $odd = 'pä"ss:wö,rd#\'\\$';
	write_file("$home/prepare.py", <<'PYTHON');
import sys, json
from pymilvus import connections, db, utility
given = json.load(sys.stdin)
connections.connect(uri=given["uri"], user=given["user"], password=given["password"])
for user, password in (("number", "123456"), ("odd", given["odd"])):
    if user in utility.list_usernames():
        utility.delete_user(user)
    utility.create_user(user, password)
if "photos" not in db.list_database():
    db.create_database("photos")
PYTHON
	my $stdin = $json->encode({ %right, odd => do { my $text = $odd; utf8::decode($text); $text } });
	my ($out, $err) = ('', '');
	ok(IPC::Run::run([ $auth->{python}, '-s', '-B', "$home/prepare.py" ], '<', \$stdin, '>', \$out, '2>', \$err), 'premise: users and a database are made') or diag($err);

	check_ways('uri', {%right}, { %right, uri => closed(1) }, qr/could not connect to Milvus server "127\.0\.0\.1:1"/);
	check_ways('uri without scheme', { %right, uri => $bare }, { %right, uri => "https://$bare" }, qr/may not use TLS/);
	check_ways('tcp://', { %right, uri => "tcp://$bare" }, { %right, uri => "ftp://$bare" }, qr/scheme is not known/);
	check_ways('user', {%right}, { %right, user => 'nobody' }, $refused);
	check_ways('password', {%right}, { %right, password => 'wrong' }, $refused);
	check_ways('token', { uri => $right{uri}, token => "root:$right{password}" }, { uri => $right{uri}, token => 'root:wrong' }, $refused);
	check_ways('an API key that the server does not know', {%right}, { uri => $right{uri}, token => 'key' }, $refused);
	check_ways('user and password', {%right}, { uri => $right{uri} }, $refused);
	check_ways('db_name', { %right, db_name => 'photos' }, { %right, db_name => 'nowhere' }, qr/has no database "nowhere"/);
	check_ways('secure', { %right, uri => $bare, secure => 'false' }, { %right, uri => $bare, secure => 'true' }, qr/may not use TLS/);
	check_ways('a password of digits', { uri => $right{uri}, user => 'number', password => '123456' }, { uri => $right{uri}, user => 'number', password => '1.23456e5' }, $refused);
	is(health(undef, { uri => $right{uri}, user => 'number', password => 123456 })->{authenticated}, JSON::PP::true, 'a password that is a number by the call');
	write_file($config, qq({"similarity_backends": {"milvus": {"uri": "$right{uri}", "user": "number", "password": 123456}}}));
	is(health(undef, undef, use_config())->{authenticated}, JSON::PP::true, 'a password that is a number in the file');
	{
		my $text = $odd;
		utf8::decode($text);
		is(health(undef, { uri => $right{uri}, user => 'odd', password => $text })->{authenticated}, JSON::PP::true, 'an odd password by the call');
		write_file($config, $json->encode({ similarity_backends => { milvus => { uri => $right{uri}, user => 'odd', password => $text } } }));
		is(health(undef, undef, use_config())->{authenticated}, JSON::PP::true, 'an odd password by the file');
		is(health(undef, undef, use_config(), 'latin')->{authenticated}, JSON::PP::true, 'an odd password by the file, in a LATIN1 database');
		with_environment({ "${prefix}URI" => $right{uri}, "${prefix}USER" => 'odd', "${prefix}PASSWORD" => $odd },
			sub { is(health()->{authenticated}, JSON::PP::true, 'an odd password by the environment'); });
		$node->restart;
		$node->safe_psql('postgres', "DROP SERVER IF EXISTS way CASCADE; CREATE SERVER way FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$right{uri}');
			CREATE USER MAPPING FOR CURRENT_USER SERVER way OPTIONS (user 'odd', password " . quoted($odd) . ')');
		is(health('way')->{authenticated}, JSON::PP::true, 'an odd password by a user mapping');
	}

	# stronger and weaker together
	my %environment = ("${prefix}URI" => $right{uri}, "${prefix}USER" => $right{user}, "${prefix}PASSWORD" => $right{password});
	with_environment(\%environment, sub {
		is(health()->{authenticated}, JSON::PP::true, 'premise: the environment is right');
		like(health(undef, { password => 'wrong' })->{problem}, $refused, 'the password of the call counts');
		like(health(undef, { token => 'wrong' })->{problem}, $refused, 'the token of the call counts');
		write_file($config, '{"similarity_backends": {"milvus": {"token": "wrong"}}}');
		is(health(undef, undef, use_config())->{authenticated}, JSON::PP::true, 'the token of the file does not');
		is(health(undef, { db_name => 'photos' })->{authenticated}, JSON::PP::true, 'what the call does not say comes from the environment');
		$node->safe_psql('postgres', "DROP SERVER IF EXISTS way CASCADE; CREATE SERVER way FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$right{uri}')");
		like(health('way')->{problem}, $refused, 'a server does not: its owner could read it');
	});
	$node->restart;

	# mappings: the user's own, else PUBLIC's; a rotated password counts at once
	$node->safe_psql('postgres', "GRANT USAGE ON FOREIGN SERVER way TO ordinary; CREATE USER MAPPING FOR PUBLIC SERVER way OPTIONS (user 'number', password '123456')");
	is(health('way', undef, 'SET ROLE ordinary')->{authenticated}, JSON::PP::true, "PUBLIC's mapping");
	$node->safe_psql('postgres', "CREATE USER MAPPING FOR ordinary SERVER way OPTIONS (user 'number', password 'wrong')");
	like(health('way', undef, 'SET ROLE ordinary')->{problem}, $refused, "one's own mapping");
	$node->safe_psql('postgres', "ALTER USER MAPPING FOR ordinary SERVER way OPTIONS (SET password '123456')");
	is(health('way', undef, 'SET ROLE ordinary')->{authenticated}, JSON::PP::true, 'an altered mapping');
	(my $host = $bare) =~ s/:\d+$//;
	is(health(undef, \%right, "SET brain.allowed_hosts = '$host'; SET ROLE ordinary")->{authenticated}, JSON::PP::true, 'an allowed host');
	like(health(undef, \%right, 'SET ROLE ordinary')->{error}, qr/permission denied to connect to host "\Q$host\E"/, 'a host that is not');

	# ---- secrets

	my $data = $node->data_dir;
	my @secrets = ($right{password}, encode_base64("root:$right{password}", ''), encode_base64("$right{password}", ''));
	my $found = sub {    # the files that have one
		my ($place) = @_;
		my @files = split /\n/, `grep -rlaF @{[map { "-e '$_'" } @secrets]} '$place' 2>/dev/null`;
		return @files;
	};
	$node->safe_psql('postgres', 'DROP SERVER way CASCADE; DROP SERVER two CASCADE; VACUUM FULL pg_user_mapping; CHECKPOINT');
	$node->stop;
	unlink $node->logfile;
	$node->append_conf('postgresql.conf', "log_statement = all\nlog_min_messages = debug5\nlog_min_error_statement = debug5\nlog_error_verbosity = verbose\nlog_connections = on\ntrack_activity_query_size = 65536\n");
	$node->start;
	# what PostgreSQL itself logs of this statement is not ours; by COPY nothing is
	write_file("$home/mapping.sql", "SET log_statement = none; SET log_min_messages = panic; SET log_min_error_statement = panic;
		CREATE SERVER way FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$right{uri}');
		CREATE USER MAPPING FOR CURRENT_USER SERVER way OPTIONS (user 'root', password '$right{password}');");
	command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', "$home/mapping.sql" ], 'premise: a mapping is made unseen');
	is(health('way')->{authenticated}, JSON::PP::true, 'premise: and used');
	like(health('way', { db_name => 'nowhere' })->{problem}, qr/no database/, 'premise: and fails');
	like(health('way', { uri => closed(1) })->{problem}, qr/could not connect/, 'premise: and fails elsewhere');
	like(health('way', { token => '', uri => 'x y' })->{error}, qr/invalid uri/, 'premise: and raises');
	like(join(' ', sort @{ health('way')->{databases} }), qr/\bdefault\b.*\bphotos\b/, 'health: the databases');
	is($node->safe_psql('postgres', q{SELECT latency > interval '0' AND latency < now() - pg_postmaster_start_time() FROM brain.health('way')}), 't', 'health: the latency');

	my $has_secret = sub { my ($text) = @_; return scalar(grep { index($text, $_) >= 0 } @secrets); };
	my $seen = '';
	# what statements say, errors and all, in one session; kept for the end
	my $say = sub {
		my ($out, $err) = ('', '');
		$node->psql('postgres', join(";\n", @_), stdout => \$out, stderr => \$err, on_error_stop => 0);
		$seen .= "$out\n$err\n";
		return $err eq '' ? $out : "$out\n$err";
	};
	my @by_milvus = ('SET brain.on_backend_failure = error', 'SET brain.min_server_neighbors = 0');
	my $path = q{SELECT brain.last_search() ->> 'path'};
	my $search = sub { my ($key, $options) = @_; return q{SELECT string_agg(sample_id, ' ' ORDER BY rank) FROM brain.sort_by_similarity('images', '[1, 0.1]', k => 2, brain_key => '} . $key . q{'} . ($options // '') . ')'; };
	my $compute = sub { my ($key, $server, $options) = @_; return "SELECT indexed FROM brain.compute_similarity('images', '$key', backend => 'milvus', server => '$server'" . ($options // '') . ')'; };

	$node->safe_psql('postgres', q{CREATE TABLE images (id int PRIMARY KEY, emb real[]); INSERT INTO images SELECT i, ARRAY[1, i] FROM generate_series(1, 20) i});
	my $error = qr/ERROR:  Milvus server ".*" refuses the user or the password\nDETAIL:  .*\nHINT:  Give user and password, or a token/;
	like($say->($compute->('way', 'way', q{, options => '{"index_type": "FLAT", "index_params": {}}'})), qr/^20$/m, 'a run by the mapping');
	is($say->(@by_milvus, $search->('way'), $path), "20 19\nmilvus", 'a search by it');
	is($say->(@by_milvus, q{SELECT count(*) FROM brain.neighbors('images', 'way', k => 2)}, $path), "40\nmilvus", 'neighbors by it');
	$node->safe_psql('postgres', 'UPDATE images SET emb = ARRAY[1, 30] WHERE id = 3; DELETE FROM images WHERE id = 20');
	is($say->(q{SELECT action FROM brain.sync('images', 'way')}), 'upsert', 'a sync by it');
	is($say->(@by_milvus, $search->('way'), $path), "3 19\nmilvus", 'a search of what it wrote');
	like($say->($compute->('wrong', 'way', q{, options => '{"db_name": "nowhere"}'})), qr/ERROR: .* has no database "nowhere"/, 'a run by it that fails');
	like($say->($compute->('wrong', 'way', q{, options => '{"token": "wrong"}'})), $error, 'one that is refused');
	like($say->('SET brain.on_backend_failure = error', 'EXPLAIN (ANALYZE, VERBOSE) ' . $search->('way')), qr/sort_by_similarity.*Execution Time/s, 'EXPLAIN');
	like($say->(q{SELECT brain.explain_similarity('images', '[1, 0.1]', k => 2, brain_key => 'way')}), qr/milvus/, 'explain_similarity()');
	like($say->(q{SELECT brain.get_brain_info('images', 'way')}), qr/fiftyone_images/, 'get_brain_info()');
	$say->(q{SELECT * FROM brain.sync_status; SELECT * FROM brain.runs; SELECT * FROM brain.progress; SELECT * FROM brain._runs; SELECT * FROM brain._bases; SELECT * FROM pg_settings; EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM brain.health('way')});

	# what others see of a session while it waits for an answer, its secret sent
	{
		my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!;
		my ($out, $err) = ('', '');
		my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . ' application_name=waits', '-c', "SELECT * FROM brain.health('way', '{\"uri\": \"127.0.0.1:@{[ $silent->sockport ]}\"}')" ], '<', '/dev/null', '>', \$out, '2>', \$err);
		my $connection = $silent->accept;
		my $sent = '';
		$connection->sysread($sent, 65536, length($sent)) or die 'nothing was sent' until $sent =~ /PRI \* HTTP/;
		my $activity = $say->(q{SELECT * FROM pg_stat_activity});
		like($activity, qr/\|waits\|.*brain\.health\('way'/, 'premise: seen while it waits');
		$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'waits'});
		$psql->finish;
		$seen .= $err;
		like($err, qr/canceling statement/, 'premise: until it is cancelled');
	}

	# given with a call, and not stored: here by a file, so that no statement has it
	$node->safe_psql('postgres', qq{CREATE SERVER bare FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$right{uri}')});
	write_file("$home/options.json", qq({"user": "root", "password": "$right{password}"}));
	write_file("$home/token.json", qq({"token": "root:$right{password}"}));
	my $with = sub { return ", options => pg_read_file('$home/$_[0].json')::jsonb"; };
	like($say->($compute->('given', 'bare', $with->('options'))), qr/^19$/m, 'a run by arguments');
	is($say->(@by_milvus, $search->('given', $with->('options')), $path), "3 19\nmilvus", 'a search by them');
	is($say->(@by_milvus, $search->('given', $with->('token')), $path), "3 19\nmilvus", 'or by a token');
	like($say->(@by_milvus, $search->('given')), $error, 'they are not kept: a search without them is refused');
	like($say->($search->('given'), $path), qr/^3 19\ntable\n.*NOTICE: .*answered from the table/s, 'or answered from the table');
	like($say->($compute->('again', 'bare')), $error, 'a run without them is refused');
	$say->(q{SELECT brain.get_brain_info('images', 'given'); SELECT * FROM brain._runs; SELECT * FROM brain._bases});
	ok(!$has_secret->($seen), 'no secret in results, errors, EXPLAIN, activity, catalogs, settings');

	my $dump = "$home/dump.sql";
	my $text;
	command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], "a superuser's dump");
	$text = slurp_file($dump);
	ok($has_secret->($text), "premise: a superuser's dump has it, with the mapping");
	$text =~ s/^CREATE USER MAPPING .*?^\);$//msg;
	like($text, qr/brain\._runs/, 'premise: and the runs');
	ok(!$has_secret->($text), 'and nowhere else');
	unlink $dump;
	$node->safe_psql('postgres', 'GRANT pg_read_all_data TO ordinary');
	command_ok([ 'pg_dump', '-U', 'ordinary', '-f', $dump, '-d', $node->connstr('postgres') ], "an ordinary user's dump");
	$text = slurp_file($dump);
	like($text, qr/brain\._runs/, 'premise: it has the runs');
	ok(!$has_secret->($text), "no secret in an ordinary user's dump");
	$node->safe_psql('postgres', q{SELECT brain.delete_brain_run('images', 'given'); SELECT brain.delete_brain_run('images', 'way'); SELECT brain.sweep()});
	$node->safe_psql('postgres', 'CHECKPOINT');
	$node->stop;
	is(join(' ', $found->($node->logfile)), '', 'no secret in the log at DEBUG5');
	cmp_ok(-s $node->logfile, '>', 100_000, 'premise: the log has a lot');
	$node->start;
	my $mapping = $data . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('pg_user_mapping')});
	my @files = $found->($data);
	ok(scalar(grep { $_ eq $mapping } @files), 'premise: the search finds it in pg_user_mapping');
	is(join(' ', grep { $_ ne $mapping && !/\/pg_wal\// } @files), '', 'no secret elsewhere in the data directory');
	$node->append_conf('postgresql.conf', "log_statement = none\nlog_min_messages = warning\nlog_min_error_statement = error\n");
	$node->restart;
}

my $tls = info('milvus-2.3.5-tls');
SKIP:
{
	skip 'milvus: milvus-2.3.5-tls does not run' unless $tls->{uri};
	my %right = (uri => $tls->{uri}, user => $tls->{user}, password => $tls->{password}, server_name => $tls->{server_name}, ca_pem_path => $tls->{ca});
	my %server_pem = (%right, server_pem_path => $tls->{ca});
	(my $bare = $tls->{uri}) =~ s/.*:\/\///;
	delete $server_pem{ca_pem_path};

	is(health(undef, \%right)->{tls}, JSON::PP::true, 'TLS');
	check_ways('ca_pem_path', {%right}, { %right, ca_pem_path => $tls->{wrong_ca} }, qr/certificate/);
	check_ways('server_pem_path', {%server_pem}, { %server_pem, server_pem_path => $tls->{wrong_ca} }, qr/certificate/);
	check_ways('a file that is there', {%right}, { %right, ca_pem_path => '/nowhere.pem' }, qr/certificate file.*ca_pem_path/);
	check_ways('an absolute path', {%right}, { %right, ca_pem_path => 'ca.pem' }, qr/absolute path/);
	check_ways('server_name', {%right}, { %right, server_name => 'other.test' }, qr/subject name.*server_name/);
	check_ways('secure', { %right, uri => $bare, secure => 'true' }, { uri => $bare, user => $right{user}, password => $right{password} }, qr/Milvus server/);
	check_ways('https', {%right}, { %right, secure => 'false' }, qr/option "secure" is off, but the uri is https/);
	check_ways('password over TLS', {%right}, { %right, password => 'wrong' }, qr/refuses the user or the password/);
	# a server's files are for who may use it, though he may not read them
	$node->safe_psql('postgres', 'DROP SERVER IF EXISTS way CASCADE; CREATE SERVER way FOREIGN DATA WRAPPER milvus_fdw ' .
		options_clause(\%right, qw(uri server_name ca_pem_path)) . '; GRANT USAGE ON FOREIGN SERVER way TO ordinary;
		CREATE USER MAPPING FOR PUBLIC SERVER way ' . options_clause(\%right, qw(user password)));
	is(health('way', undef, 'SET ROLE ordinary')->{authenticated}, JSON::PP::true, 'an ordinary role over TLS');
}

my $mtls = info('milvus-2.3.5-mtls');
SKIP:
{
	skip 'milvus: milvus-2.3.5-mtls does not run' unless $mtls->{uri};
	my %right = (uri => $mtls->{uri}, server_name => $mtls->{server_name}, ca_pem_path => $mtls->{ca},
		client_pem_path => $mtls->{cert}, client_key_path => $mtls->{key});
	my %none = map { $_ => $right{$_} } qw(uri server_name ca_pem_path);

	check_ways('client_pem_path and client_key_path', {%right}, {%none}, qr/client_pem_path|connection to Milvus server/);
	check_ways('client_pem_path', {%right}, { %right, client_pem_path => $mtls->{wrong_cert}, client_key_path => $mtls->{wrong_key} }, qr/Milvus server/);
	check_ways('client_key_path', {%right}, { %right, client_key_path => $mtls->{wrong_key} }, qr/Milvus server.*(key|certificate)/);
	check_ways('a pair', {%right}, { %none, client_pem_path => $mtls->{cert} }, qr/go together/);
}

# servers without databases, or with them
foreach my $kind ('milvus-lite-2.5.1', 'milvus-lite-3.2.2', 'milvus-2.3.5')
{
	my $info = info($kind);
	SKIP:
	{
		skip "milvus: $kind does not run" unless $info->{uri};
		my $got = health(undef, { uri => $info->{uri} });
		is($got->{problem}, undef, "$kind: health");
		is($got->{authenticated}, JSON::PP::false, "$kind: nobody was authenticated");
		like($got->{version}, qr/\d/, "$kind: version");
		note("$kind: $got->{version}, $got->{latency}");
		is(health(undef, { uri => $info->{uri}, db_name => 'default' })->{problem}, undef, "$kind: the default database");
		like(health(undef, { uri => $info->{uri}, db_name => 'nowhere' })->{problem} // '', qr/database/, "$kind: another database");
	}
}

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'no crash');
done_testing();
