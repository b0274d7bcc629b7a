# The scripted server of fake_milvus.py, from Perl.
package FakeMilvus;

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

# A namespace of its own, of a user without rights: there name resolution can be
# made to get no answer. True when this process, begun anew, is in it.
sub enter_namespace
{
	return 1 if $ENV{BRAIN_FAKE_NAMESPACE};
	return 0 if system('unshare -c -m -n --keep-caps true 2>/dev/null') != 0;
	$ENV{BRAIN_FAKE_NAMESPACE} = 1;
	exec('unshare', '-c', '-m', '-n', '--keep-caps', $^X, (map { "-I$_" } @INC), $0);
}

sub new
{
	my ($class, $folder, @arguments) = @_;
	my $self = bless { in => '', out => '' }, $class;

	mkdir($folder);
	$self->{harness} = IPC::Run::start([ '/usr/bin/python3', 't/fake_milvus.py', @arguments, $folder ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', "$folder/log", IPC::Run::timeout(120));
	$self->{harness}->pump until $self->{out} =~ /^resolver=/m;
	$self->{$1} = $2 while $self->{out} =~ /^(\w+)=(.*)$/mg;
	$self->{ca} = "$folder/ca.pem";
	$self->{folder} = $folder;
	return $self;
}

# One, and a started PostgreSQL server of that name that does nothing by itself.
sub with_node
{
	my ($class, $name) = @_;
	my $self = $class->new("$PostgreSQL::Test::Utils::tmp_check/fake");
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
	$node->start;
	return ($self, $node);
}

sub ask
{
	my ($self, $do, %more) = @_;

	$self->{socket} //= IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{control})
	  or die "no fake server: $!";
	$self->{socket}->print(encode_json({ do => $do, %more }) . "\n");
	$self->{socket}->flush;
	my $line = $self->{socket}->getline // die 'the fake server has ended';
	return decode_json($line);
}

# The faults to come; the counts begin anew.
sub script
{
	my ($self, @faults) = @_;
	return $self->ask('script', faults => \@faults);
}

# How many calls of a method were answered, or of another count.
sub count
{
	my ($self, $what) = @_;
	return $self->ask('state')->{$what} // 0;
}

# The calls since the last script that were answered, or went wrong: method, bytes,
# at (seconds), and of Search and Query timestamp and level.
sub calls
{
	my ($self, $method) = @_;
	return grep { !$method || $_->{method} eq $method } @{ $self->ask('calls')->{made} };
}

sub wait_for
{
	my ($self, $what, $n) = @_;

	for (my $i = 0; $i < 6000; $i++)
	{
		return 1 if $self->count($what) >= $n;
		select(undef, undef, undef, 0.02);
	}
	return 0;
}

sub uri
{
	my ($self, $port, $scheme) = @_;
	return ($scheme // 'http') . "://127.0.0.1:$self->{$port}";
}

sub stop
{
	my ($self) = @_;
	eval { $self->{harness}->kill_kill(grace => 5) };
	return;
}

1;
