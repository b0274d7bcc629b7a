# Guards against: a connection to Milvus for each call, or one that goes on with
# what its server or user mapping said before, is given to somebody else, is
# closed under whoever uses it, or stays for good. The build for tests has a
# function that uses the session's connection and counts.
use strict;
use warnings FATAL => 'all';
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %info = map { my $kind = $_; $kind => { map { /^(\w+)=(.*)$/ ? ($1 => $2) : () } split /\n/, `servers/server info $kind 2>/dev/null` } }
	qw(milvus-2.3.5-auth milvus-lite-2.5.1);
my $auth = $info{'milvus-2.3.5-auth'};
my $lite = $info{'milvus-lite-2.5.1'};
plan skip_all => 'milvus: milvus-2.3.5-auth or milvus-lite-2.5.1 does not run' unless $auth->{uri} && $lite->{uri};

my $node = PostgreSQL::Test::Cluster->new('main', install_path => dirname($ENV{BRAIN_FAULTS_BINDIR}));
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
my $mapping = "OPTIONS (user 'root', password '$auth->{password}')";
$node->safe_psql('postgres', qq{
	CREATE EXTENSION milvus_brain;
	CREATE FUNCTION used(server text, options jsonb DEFAULT NULL) RETURNS text AS '\$libdir/milvus_brain', 'brain_test_connection' LANGUAGE c;
	CREATE ROLE other; GRANT pg_read_all_data TO other;
	CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$auth->{uri}');
	CREATE SERVER lite FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '$lite->{uri}');
	CREATE USER MAPPING FOR CURRENT_USER SERVER m $mapping;
	CREATE USER MAPPING FOR PUBLIC SERVER m $mapping;
	GRANT USAGE ON FOREIGN SERVER m, lite TO other});

# Statements in one session; what each of them said.
sub session
{
	my @statements = @_;
	my ($out, $err) = ('', '');
	$node->psql('postgres', join(";\n", @statements), stdout => \$out, stderr => \$err, on_error_stop => 0);
	$out .= "\n$err" if $err ne '';
	return $out;
}
is(session(q{SELECT used('m') FROM generate_series(1, 1000)}) =~ s/(1 of 1\n)*1 of 1/all/r, 'all', '1,000 calls in a statement: one connection');
is(session((q{SELECT used('m')}) x 3), "1 of 1\n1 of 1\n1 of 1", 'calls in transactions of their own: one');
is(session('BEGIN', q{SELECT used('m')}, 'ROLLBACK', q{SELECT used('m')}), "1 of 1\n1 of 1", 'after a ROLLBACK: the same');
is(session(q{SELECT used('m')}, 'SELECT 1/0', q{SELECT used('m')}) =~ s/\n[^\n]*ERROR.*//sr, "1 of 1\n1 of 1", 'after an error: the same');
is(session(q{SELECT used('m')}, q{SELECT used('lite')}, q{SELECT used('m')}), "1 of 1\n2 of 2\n2 of 2", 'each server has its own');
is(session(q{SELECT used('m')}, q{SELECT used('m', '{"db_name": "default"}')}, q{SELECT used('m')}), "1 of 1\n2 of 2\n2 of 2", 'each database has its own');
is(session(q{SELECT used('m')}, 'SET ROLE other', q{SELECT used('m')}, 'RESET ROLE', q{SELECT used('m')}), "1 of 1\n2 of 2\n2 of 2", 'each mapping has its own');
is(session(q{SELECT used('lite')}, 'SET ROLE other', q{SELECT used('lite')}), "1 of 1\n1 of 1", 'whom nobody asks who he is shares');
is(session(q{SELECT used('m')}, q{SELECT used('m', '{"password": "wrong"}')}, q{SELECT used('m')}) =~ s/\n[^\n]*ERROR.*//sr,
	"1 of 1\n1 of 1", 'another password does not get it');

# altered in the session itself, and by another one
is(session(q{SELECT used('m')}, q{ALTER SERVER m OPTIONS (ADD request_timeout '50s')}, q{SELECT used('m')}, q{ALTER SERVER m OPTIONS (DROP request_timeout)}, q{SELECT used('m')}),
	"1 of 1\n1 of 2\n1 of 3", 'an altered server: closed, and opened anew');
is(session(q{SELECT used('m')}, q{ALTER USER MAPPING FOR CURRENT_USER SERVER m OPTIONS (SET password 'wrong')}, q{SELECT used('m')}, qq{ALTER USER MAPPING FOR CURRENT_USER SERVER m OPTIONS (SET password '$auth->{password}')}, q{SELECT used('m')}) =~ s/\n[^\n]*ERROR.*//sr,
	"1 of 1\n1 of 2", 'an altered password counts at once');
is(session(q{SELECT used('m')}, q{DROP USER MAPPING FOR CURRENT_USER SERVER m}, q{SELECT used('m')}, qq{CREATE USER MAPPING FOR CURRENT_USER SERVER m $mapping}, q{SELECT used('m')}),
	"1 of 1\n1 of 2\n2 of 3", "a dropped mapping: PUBLIC's");
is(session(q{SELECT used('m')}, 'ALTER SERVER lite OPTIONS (ADD secure \'false\')', q{SELECT used('m')}, 'ALTER SERVER lite OPTIONS (DROP secure)'), "1 of 1\n1 of 1", 'another server was altered: the same');
{
	my $psql = $node->background_psql('postgres', on_error_stop => 0);
	is($psql->query(q{SELECT used('m')}), '1 of 1', 'before');
	$node->safe_psql('postgres', qq{ALTER USER MAPPING FOR CURRENT_USER SERVER m OPTIONS (SET password 'wrong')});
	$psql->query(q{SELECT used('m')});
	like($psql->{stderr}, qr/refuses the user or the password/, 'altered by another session');
	$node->safe_psql('postgres', qq{ALTER USER MAPPING FOR CURRENT_USER SERVER m OPTIONS (SET password '$auth->{password}')});
	is($psql->query(q{SELECT used('m')}), '1 of 2', 'the old one is closed');
	$psql->quit;
}
# not under whoever uses it
is(session('BEGIN', q{SELECT used('m')}, q{ALTER SERVER m OPTIONS (ADD request_timeout '50s')}, q{SELECT used('m')}, 'ROLLBACK', q{SELECT used('m')}),
	"1 of 1\n2 of 2\n1 of 3", 'altered within the transaction: closed after it');
is(session('BEGIN', q{SELECT used('m')}, 'SAVEPOINT s', q{ALTER SERVER m OPTIONS (ADD request_timeout '50s')}, q{SELECT used('m')}, 'ROLLBACK TO s', q{SELECT used('m')}, 'COMMIT') =~ s/ of \d//gr,
	"1\n2\n3", 'nor in a subtransaction');

# bounded
my $many = q{SELECT used('lite', jsonb_build_object('request_timeout', 60 + i)) FROM generate_series(1, %d) i};
is((split /\n/, session(map { qq{SELECT used('lite', '{"request_timeout": $_}')} } 1 .. 40))[-1], '16 of 40', 'at most 16, over transactions');
is((split /\n/, session(sprintf($many, 16)))[-1], '16 of 16', '16 in a transaction');
like(session(sprintf($many, 17), q{SELECT used('m')}), qr/^16 of 17\n.*too many connections to Milvus in one transaction/s, 'not more; and it goes on');
is(session((map { qq{SELECT used('lite', '{"request_timeout": $_}')} } 1 .. 16), q{SELECT used('lite', '{"request_timeout": 1}')}, q{SELECT used('m')}, q{SELECT used('lite', '{"request_timeout": 1}')}) =~ s/.*\n(.*\n.*\n.*)$/$1/sr,
	"16 of 16\n16 of 17\n16 of 17", 'what was used last stays');

# tests/run does this once more with another libcurl
$ENV{BRAIN_LIBCURL} //= 'libcurl.so.4';
like(session(q{SELECT used('m')}, q{SELECT pg_read_file('/proc/self/maps')}), qr{/\Q$ENV{BRAIN_LIBCURL}\E}, "$ENV{BRAIN_LIBCURL} is what is loaded");

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|leak|still referenced/, 'no crash, no leak');
done_testing();
