# Guards against: a libcurl that cannot do what Milvus needs, or that cannot be
# loaded, and is used nevertheless, crashes the session, or gets an error that does
# not say what to do. What the server's processes load is a libcurl of our own, which
# does nothing but say what it is.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir;
my @names = qw(libcurl.so.4 libcurl-gnutls.so.4);
my @functions = map { "curl_$_" } qw(global_init easy_init easy_cleanup easy_setopt easy_getinfo easy_strerror multi_init multi_cleanup
	multi_setopt multi_add_handle multi_remove_handle multi_socket_action multi_info_read multi_strerror slist_append slist_free_all);

# What is loaded from now on: a version, whether it has HTTP/2, perhaps a function
# that it does not have, and its file's name. A name that is not given is that of a
# file which cannot be loaded.
sub install
{
	my (%library) = @_;
	my $source = '';

	unlink map { "$folder/$_" } @names, 'stub.c';
	append_to_file("$folder/$_", 'no library') foreach @names;
	return if !%library;
	my $number = sprintf('0x%02x%02x%02x', split(/\./, $library{version}));
	my $features = $library{http2} ? 1 << 16 : 0;
	$source .= "struct { int age; const char *version; unsigned number; const char *host; int features; void *more[50]; } info = { 10, \"$library{version}\", $number, \"stub\", $features, { 0 } };\n";
	$source .= "void *curl_version_info(void) { return &info; }\n";
	$source .= "void *$_(void) { return 0; }\n" foreach grep { $_ ne ($library{without} // '') } @functions;
	append_to_file("$folder/stub.c", $source);
	my $file = "$folder/" . ($library{name} // $names[0]);
	unlink $file;
	system_or_bail('cc', '-w', '-shared', '-fPIC', '-o', $file, "$folder/stub.c");
	return;
}

my $node = PostgreSQL::Test::Cluster->new('library');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
{
	local $ENV{LD_LIBRARY_PATH} = $folder;
	$node->start;
}
$node->safe_psql('postgres', q{CREATE EXTENSION milvus_brain; CREATE TABLE t (id int PRIMARY KEY, emb real[]); INSERT INTO t VALUES (1, '{1,2}');
	CREATE SERVER m FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri 'http://127.0.0.1:1')});

# Name, library, what is said: message, DETAIL, HINT; or the message of a WARNING, or
# none, of a version that is taken.
my @cases = (
	[ 'no HTTP/2', { version => '8.14.1' }, 'libcurl 8.14.1 has no HTTP/2, which Milvus needs', undef, 'Install a libcurl that was built with nghttp2.' ],
	[ 'too old', { version => '7.86.0', http2 => 1 }, 'libcurl 7.86.0 is too old', undef, 'milvus_brain needs libcurl 7.87 or newer.' ],
	[ 'a function is missing', { version => '7.87.0', http2 => 1, without => 'curl_easy_getinfo' }, 'libcurl has no function curl_easy_getinfo()', undef, 'milvus_brain needs libcurl 7.87 or newer.' ],
	[ 'none', {}, 'libcurl, which Milvus needs, is not there', qr/.*libcurl\S*: .*/, 'Install it; on Debian it is the package libcurl4.' ],
	[ 'of the second name', { version => '7.85.0', http2 => 1, name => $names[1] }, 'libcurl 7.85.0 is too old', undef, 'milvus_brain needs libcurl 7.87 or newer.' ],
	[ 'the oldest', { version => '7.87.0', http2 => 1 } ],
	[ 'before a fault', { version => '8.11.1', http2 => 1 } ],
	[ 'with a fault', { version => '8.12.0', http2 => 1 }, 'libcurl 8.12.0 drops a header that some Milvus servers insist on' ],
	[ 'with a fault, the last', { version => '8.13.0', http2 => 1 }, 'libcurl 8.13.0 drops a header that some Milvus servers insist on' ],
	[ 'after it', { version => '8.14.0', http2 => 1 } ]);
foreach (@cases)
{
	my ($name, $library, $message, $detail, $hint) = @$_;
	my ($out, $err, $error);

	install(%$library);
	# twice in one session: nothing is half loaded
	$node->psql('postgres', q{SELECT problem FROM brain.health('m'); SELECT problem FROM brain.health('m')}, stdout => \$out, stderr => \$err);
	$node->psql('postgres', q{SELECT FROM brain.compute_similarity('t', 'm', backend => 'milvus', server => 'm')}, stderr => \$error);
	if ($hint)
	{
		my $problem = qr/\Q$message\E@{[ $detail ? qr{: $detail} : '' ]} \(\Q$hint\E\)/;
		like("$out$err", qr/\A$problem\n$problem\z/, "$name: health");
		like($error, qr/ERROR:  \Q$message\E\n@{[ $detail ? qr{DETAIL:  $detail\n} : '' ]}HINT:  \Q$hint\E\z/, "$name: a build");
		next;
	}
	# the library goes no further than to say that it has no handle
	is($out, "out of memory\nout of memory", "$name: health goes on");
	like($error, qr/ERROR:  out of memory/, "$name: so does a build");
	if ($message)
	{
		my $warning = qr/WARNING:  \Q$message\E\nHINT:  Use libcurl 8\.14 or newer\./;
		like($err, qr/\A(?:psql:\S+ )?$warning\z/, "$name: one WARNING in a session");
		like($error, $warning, "$name: a build's");
	}
	else { unlike("$err$error", qr/WARNING/, "$name: no WARNING"); }
}

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'no crash');
done_testing();
