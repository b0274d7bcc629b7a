# Guards against: text that becomes SQL. The payloads of hostile.txt go into each
# text argument of each function of schema brain, as ids of samples, and as names
# of what a superuser then uses; a table that the caller has no rights on, the
# catalogs and the server have to stay as they were. And against names that
# resolve to look-alikes in a schema that somebody put first in search_path.

use strict;
use warnings FATAL => 'all';
use utf8;

use Encode qw(encode decode);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('hostile');
$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
# An error is expected, a million of them need not be written down.
$node->append_conf('postgresql.conf', "log_min_messages = log\ntrack_functions = all\n");
$node->start;

sub admin { return $node->safe_psql('postgres', $_[0]); }

sub mallory
{
	my ($sql) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', $sql,
		extra_params => [ '-U', 'hostile_mallory' ], on_error_stop => 1);

	die "as hostile_mallory: $stderr" if $status;
	return $stdout;
}

# ---- the canary, and who must not harm it -----------------------------------

admin(<<'SQL');
CREATE EXTENSION milvus_brain;
CREATE SERVER nobody_there FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri 'http://127.0.0.1:9');
CREATE USER MAPPING FOR PUBLIC SERVER nobody_there;
GRANT USAGE ON FOREIGN SERVER nobody_there TO PUBLIC;
CREATE ROLE hostile_admin SUPERUSER LOGIN;
CREATE ROLE hostile_mallory LOGIN;
ALTER ROLE hostile_mallory SET statement_timeout = '2min';
CREATE SCHEMA hostile;
GRANT USAGE, CREATE ON SCHEMA hostile TO hostile_mallory;

CREATE TABLE hostile.canary (id int PRIMARY KEY, secret text, emb real[]);
INSERT INTO hostile.canary SELECT i, 'secret ' || i, ARRAY[i, 1] FROM generate_series(1, 5) i;
CREATE INDEX canary_secret ON hostile.canary (secret);
COMMENT ON TABLE hostile.canary IS 'untouched';
SELECT FROM brain.compute_similarity('hostile.canary', 'hostile_run');
CREATE FUNCTION hostile.scribble() RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO hostile.canary VALUES (0); RETURN true; END $$;

CREATE TABLE hostile.payloads (n int PRIMARY KEY, payload text);
GRANT SELECT ON hostile.payloads TO hostile_mallory;
SQL

my @payloads = payloads('hostile.txt');
admin(join('', map { "INSERT INTO hostile.payloads VALUES ($_, $payloads[$_ - 1]);\n" } 1 .. @payloads));
cmp_ok(scalar @payloads, '>=', 60, 'hostile.txt has at least 60 payloads: ' . @payloads);

mallory(<<'SQL');
CREATE TABLE hostile.images (id int PRIMARY KEY, label text, emb real[]);
INSERT INTO hostile.images SELECT i, 'l' || i, ARRAY[i, 1] FROM generate_series(1, 5) i;
-- its ids are the payloads, as far as they fit into an index
CREATE TABLE hostile.texts (id text PRIMARY KEY, label text, emb real[]);
INSERT INTO hostile.texts SELECT DISTINCT ON (payload) payload, 'l', ARRAY[n, 1]
  FROM hostile.payloads WHERE length(payload) <= 2000;
INSERT INTO hostile.texts VALUES ('1 ', 'l', '{-1,1}') ON CONFLICT DO NOTHING;
CREATE TABLE hostile.results (call text, n int, sqlstate text, message text);

-- Both datasets have a run hostile_run: over a column, and without one.
CREATE FUNCTION hostile.reset() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM brain.delete_brain_runs('hostile.images');
	PERFORM brain.delete_brain_runs('hostile.texts');
	PERFORM brain.compute_similarity('hostile.images', 'hostile_run');
	PERFORM brain.compute_similarity('hostile.texts', 'hostile_run', with_data => false);
	PERFORM brain.add_to_index('hostile.texts', 'hostile_run', '1', '[1, 2]');
END $$;
SELECT hostile.reset();

-- One call with each payload; %L in it is the payload as a literal, $1 as a
-- parameter. What it does stays, as for any caller.
CREATE FUNCTION hostile.assault(call text, restore boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	p record;
	words text;
BEGIN
	FOR p IN SELECT n, payload FROM hostile.payloads ORDER BY n LOOP
		CONTINUE WHEN call LIKE '%\%L%' AND length(p.payload) > 2000;
		BEGIN
			EXECUTE replace(call, '%L', quote_literal(p.payload)) USING p.payload;
			INSERT INTO hostile.results VALUES (call, p.n, '00000');
			IF restore THEN
				PERFORM hostile.reset();
			END IF;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS words = MESSAGE_TEXT;
			INSERT INTO hostile.results VALUES (call, p.n, SQLSTATE, left(words, 200));
		END;
	END LOOP;
END $$;
SQL

# All that must not change, by name.
sub fingerprint
{
	return admin(<<'SQL');
SELECT 'canary', md5(string_agg(c::text, '|' ORDER BY id)) FROM hostile.canary c;
SELECT 'comment', obj_description('hostile.canary'::regclass);
SELECT 'class', n.nspname, c.relname, c.relkind, c.relowner::regrole, c.relacl, c.relfilenode
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') AND c.relname NOT LIKE 'pg_toast%' ORDER BY 1, 2, 3;
SELECT 'proc', oid::regprocedure, proowner::regrole, proacl, md5(prosrc) FROM pg_proc WHERE oid >= 16384 ORDER BY 2;
SELECT 'type', oid::regtype, typowner::regrole FROM pg_type WHERE oid >= 16384 ORDER BY 2::text;
SELECT 'operator', oid::regoperator FROM pg_operator WHERE oid >= 16384 ORDER BY 2::text;
SELECT 'role', rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconfig FROM pg_roles ORDER BY 2;
SELECT 'member', roleid::regrole, member::regrole FROM pg_auth_members ORDER BY 2, 3;
SELECT 'setting', setdatabase, setrole::regrole, setconfig FROM pg_db_role_setting ORDER BY 2, 3;
SELECT 'database', datname, datdba::regrole, datacl FROM pg_database ORDER BY 2;
SELECT 'schema', nspname, nspowner::regrole, nspacl FROM pg_namespace WHERE nspname NOT LIKE 'pg_%temp_%' ORDER BY 2;
SELECT 'extension', extname FROM pg_extension ORDER BY 2;
SELECT 'event trigger', evtname, evtenabled FROM pg_event_trigger ORDER BY 2;
SELECT 'trigger', tgname, tgrelid::regclass, tgfoid::regprocedure, tgenabled FROM pg_trigger
 WHERE tgrelid NOT IN ('hostile.images'::regclass, 'hostile.texts'::regclass) ORDER BY 2;
SELECT 'policy', polname FROM pg_policy;
SELECT 'large object', oid FROM pg_largeobject_metadata;
SELECT 'server', srvname FROM pg_foreign_server;
SELECT 'publication', pubname FROM pg_publication;
SELECT 'run', samples, brain_key, indexed FROM brain.runs WHERE samples = 'hostile.canary'::regclass;
SELECT 'file', f FROM pg_ls_dir('.') f WHERE f LIKE '%hostile%';
SQL
}

my $before = fingerprint();

# ---- every text argument of every function ------------------------------------

# What an argument is when it is not the one under attack, by name; else by type.
my %by_name = (
	brain_key => "'hostile_run'",
	new_brain_key => "'hostile_run_2'",
	query => "'1'::text",
	ids => "'1'::text",
	sample_ids => "'1'::text",
	embeddings => "'[1, 2]'::text",
	metric => "'cosine'");
my %by_type = (
	regclass => '$samples', anyelement => 'NULL::$samples', text => "'x'", '"any"' => "'1'::text",
	integer => 3, bigint => 3, boolean => 'false', 'double precision' => 1, jsonb => "'{}'",
	'text[]' => "'{x}'", name => "'x'", oid => "'pg_foreign_server'::regclass");
# How a payload is given, by type.
my %attack = (
	text => ['$1'], name => ['$1::name'], 'text[]' => ["ARRAY['1', \$1]"], regclass => ['$1::regclass'],
	jsonb => [ 'jsonb_build_object($1, 1)', "jsonb_build_object('uri', \$1)", 'to_jsonb($1)' ],
	'"any"' => [ '$1', '%L', "ARRAY['1', \$1]", '$1::varchar', 'to_jsonb($1)', 'ARRAY[[$1]]' ]);

# No payload may be run by who has more rights: functions with their owner's
# rights would be another test.
is(admin("SELECT count(*) FROM pg_proc WHERE pronamespace = 'brain'::regnamespace AND prosecdef"),
	0, 'no function runs with its owner\'s rights');

my $attacked = 0;
my $payload_count = @payloads;
foreach my $line (split(/\n/, admin(<<'SQL')))
SELECT p.oid::regprocedure, p.proname, p.provolatile = 'v', p.pronargs - p.pronargdefaults,
	   array_to_string(p.proargnames[1:p.pronargs], ','),
	   (SELECT string_agg(format_type(t, NULL), ',' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY a (t, n))
  FROM pg_proc p
 WHERE p.pronamespace = 'brain'::regnamespace AND p.pronargs > 0 AND NOT 'internal'::regtype = ANY (p.proargtypes)
 ORDER BY 1::text COLLATE "C"
SQL
{
	my ($signature, $function, $volatile, $required, $names, $types) = split(/\|/, $line);
	my @names = split(/,/, $names);
	my @types = split(/,/, $types);

	foreach my $under_attack (0 .. $#names)
	{
		my $type = $types[$under_attack];
		my @calls;

		if (!defined $by_type{$type})
		{
			fail("$signature: this test does not know the type $type");
			next;
		}
		next if !$attack{$type} || ($type eq 'regclass' && $under_attack > 0);
		foreach my $samples ('hostile.images', 'hostile.texts')
		{
			foreach my $form (@{ $attack{$type} })
			{
				my @arguments;

				foreach my $i (0 .. $#names)
				{
					my $value = $i == $under_attack ? $form : $by_name{ $names[$i] };

					# without the parameter's name as default, or of another type
					$value = $by_type{ $types[$i] } if !defined $value;
					next if $i != $under_attack && $i >= $required;
					$value =~ s/\$samples/$types[$i] eq 'regclass' ? "'$samples'" : $samples/e;
					push @arguments, "$names[$i] => $value";
				}
				push @calls, "SELECT * FROM brain.$function(" . join(', ', @arguments) . ')';
			}
		}
		my $restore = $volatile eq 't' ? 'true' : 'false';
		# runs deleted within a block of PL/pgSQL leave their triggers to the next sync
		mallory(join('', map { "SELECT hostile.assault(\$call\$$_\$call\$, $restore);\nSELECT FROM brain.sync();\n" } @calls));
		my $ran = mallory('SELECT count(DISTINCT n) FROM hostile.results WHERE call IN ('
			  . join(', ', map { "\$call\$$_\$call\$" } @calls) . ')');
		is($ran, $payload_count, "$signature, $names[$under_attack]: each payload was given");
		$attacked++;
	}
}
cmp_ok($attacked, '>=', 40, "$attacked arguments were attacked");
is(fingerprint(), $before, 'nothing that mallory has no rights on was changed');
ok(!-e '/tmp/hostile_file', 'no file was written');
my $states = mallory('SELECT sqlstate, count(*) FROM hostile.results GROUP BY 1 ORDER BY 1');
note("What came of it:\n$states");
is(mallory(<<'SQL'), '', 'no internal error, crash or timeout');
SELECT DISTINCT ON (call, sqlstate) sqlstate, message, call, n FROM hostile.results
 WHERE sqlstate ~ '^(XX|57|58|53|08|2D|25)' ORDER BY call, sqlstate, n
SQL
cmp_ok(mallory("SELECT count(*) FROM hostile.results WHERE sqlstate = '00000'"), '>', 500, 'calls that payloads do not spoil work');
is(mallory("SELECT count(*) FROM hostile.results r JOIN hostile.payloads p USING (n)"
		  . " WHERE r.sqlstate = '00000' AND r.call LIKE '%filter%' AND p.payload LIKE '%hostile.canary%'"
		  . " AND p.payload NOT LIKE '%--%'"),
	0, 'no filter reads the canary');
mallory('TRUNCATE hostile.results; SELECT hostile.reset()');

# ---- payloads as sample ids ----------------------------------------------------

is(mallory(<<'SQL'), '', 'each payload is found as an id, is its own nearest, and holds its embedding');
SELECT brain.delete_brain_runs('hostile.texts') \g /dev/null
SELECT FROM brain.compute_similarity('hostile.texts', 'c', metric => 'euclidean') \g /dev/null
SELECT FROM brain.compute_similarity('hostile.texts', 'h', metric => 'euclidean', with_data => false) \g /dev/null
SELECT FROM brain.add_to_index('hostile.texts', 'h', (SELECT array_agg(id ORDER BY id) FROM hostile.texts),
							   (SELECT array_agg(emb ORDER BY id) FROM hostile.texts)) \g /dev/null
SELECT t.id, key FROM hostile.texts t, unnest('{c,h}'::text[]) key
 WHERE (SELECT sample_id FROM brain.sort_by_similarity('hostile.texts', t.id, k => 1, brain_key => key)) IS DISTINCT FROM t.id
	OR (SELECT sample_id FROM brain.sort_by_similarity('hostile.texts', ARRAY[t.id], k => 1, brain_key => key)) IS DISTINCT FROM t.id
	OR (SELECT (sample).id FROM brain.similar_samples(NULL::hostile.texts, t.id, k => 1, brain_key => key)) IS DISTINCT FROM t.id
	OR (SELECT (sample_id, embedding) FROM brain.get_embeddings('hostile.texts', key, t.id)) IS DISTINCT FROM (t.id, t.emb);
SELECT key, count(*) FROM unnest('{c,h}'::text[]) key, brain.get_embeddings('hostile.texts', key) e
 GROUP BY key HAVING count(*) <> (SELECT count(*) FROM hostile.texts);
SQL
is(mallory("SELECT removed = (SELECT count(*) FROM hostile.texts), missing FROM brain.remove_from_index('hostile.texts', 'h', (SELECT array_agg(id) FROM hostile.texts))"),
	't|0', 'each is removed again');

# ---- payloads as names ------------------------------------------------------------
# Mallory makes schemas, tables and columns of such names; a superuser uses them.

admin(<<'SQL');
CREATE TABLE hostile.names AS
	SELECT DISTINCT ON (name) name FROM (SELECT left(payload, 12) AS name FROM hostile.payloads
		UNION SELECT payload FROM hostile.payloads WHERE octet_length(payload) BETWEEN 1 AND 60) n
	 WHERE octet_length(name) BETWEEN 1 AND 60 AND name NOT LIKE 'pg\_%' AND name NOT IN ('hostile', 'brain', 'public');
CREATE TABLE hostile.complaints (name text, sqlstate text, message text);
CREATE FUNCTION hostile.use_name(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	t text := format('%I.%I', name, name);
	n bigint;
	words text;
BEGIN
	EXECUTE format('CREATE SCHEMA %I AUTHORIZATION hostile_mallory', name);
	SET LOCAL ROLE hostile_mallory;
	EXECUTE format('CREATE TABLE %s (%I text PRIMARY KEY, %I real[])', t, name, name || '_e');
	EXECUTE format('INSERT INTO %s SELECT i || %L, ARRAY[i, 1] FROM generate_series(1, 4) i', t, name);
	EXECUTE format('CREATE VIEW %I.%I AS SELECT * FROM %s', name, name || '_v', t);
	SET LOCAL ROLE hostile_admin;
	PERFORM brain.compute_similarity(t::regclass, 'c', id_field => name, embeddings => name || '_e', filter => format('%I <> ''1''', name));
	PERFORM brain.compute_similarity(t::regclass, 'h', id_field => name, with_data => false);
	PERFORM brain.compute_similarity(format('%I.%I', name, name || '_v')::regclass, 'v', id_field => name);
	PERFORM brain.add_to_index(t::regclass, 'h', '1' || name, '[1, 2]');
	PERFORM brain.add_to_index(t::regclass, 'c', '4' || name, '[4, 1]');
	SELECT count(*) INTO STRICT n FROM brain.sort_by_similarity(t::regclass, '1' || name, brain_key => 'c', filter => format('%I <> ''1''', name));
	ASSERT n = 4, 'search by id';
	EXECUTE format('SELECT count(*) FROM brain.similar_samples(NULL::%s, ''1'' || %L, brain_key => ''c'') WHERE (sample).%I IS NOT NULL', t, name, name) INTO n;
	ASSERT n = 4, 'rows';
	SELECT count(*) INTO STRICT n FROM brain.sort_by_similarity(format('%I.%I', name, name || '_v')::regclass, '{1,2}'::real[]);
	ASSERT n = 4, 'search of a view';
	SELECT count(*) INTO STRICT n FROM brain.get_embeddings(t::regclass, 'h', '1' || name);
	ASSERT n = 1, 'embeddings';
	SELECT count(*) INTO STRICT n FROM brain.runs WHERE samples = t::regclass AND state = 'ready';
	ASSERT n = 2, 'runs';
	SELECT indexed INTO STRICT n FROM brain.load_brain_results(t::regclass, 'c');
	ASSERT n = 4, 'load';
	SELECT removed INTO STRICT n FROM brain.remove_from_index(t::regclass, 'h', '1' || name);
	ASSERT n = 1, 'remove';
	EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', t, name, name || '_k');
	EXECUTE format('ALTER TABLE %s RENAME TO %I', t, name || '_t');
	EXECUTE format('ALTER SCHEMA %I RENAME TO %I', name, name || '_s');
	t := format('%I.%I', name || '_s', name || '_t');
	ASSERT (SELECT id_field = name || '_k' FROM brain.runs WHERE samples = t::regclass AND brain_key = 'c'), 'rename';
	SELECT count(*) INTO STRICT n FROM brain.sort_by_similarity(t::regclass, '1' || name, brain_key => 'c');
	ASSERT n = 4, 'search after renaming';
	EXECUTE format('DROP SCHEMA %I CASCADE', name || '_s');
	ASSERT (SELECT count(*) FROM brain._runs WHERE dataset_schema = name || '_s') = 0, 'drop';
	RESET ROLE;
EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
	GET STACKED DIAGNOSTICS words = MESSAGE_TEXT;
	INSERT INTO hostile.complaints VALUES (name, SQLSTATE, words);
END $$;
SQL
my $before_names = fingerprint();
admin("SET client_min_messages = error; SELECT hostile.use_name(name) FROM hostile.names");
is(admin('SELECT * FROM hostile.complaints LIMIT 20'), '', admin('SELECT count(*) FROM hostile.names') . ' payloads as names of schemas, tables and columns');
is(fingerprint(), $before_names, 'nothing was changed by names');

# ---- a hostile search_path ------------------------------------------------------------

admin(<<'SQL');
CREATE ROLE hostile_alice LOGIN;
CREATE SCHEMA alice AUTHORIZATION hostile_alice;
CREATE SCHEMA evil AUTHORIZATION hostile_mallory;
GRANT USAGE ON SCHEMA alice, evil TO PUBLIC;
SQL

# Look-alikes of all functions and operators of pg_catalog that an ordinary role
# can make, of some aggregates, types and relations. A sequence survives the
# rollback of a call that was not to be.
my $made = mallory(<<'SQL');
SET client_min_messages = error;
CREATE SEQUENCE evil.caught;
GRANT USAGE, SELECT ON evil.caught TO PUBLIC;
DO $$
DECLARE
	p record;
	body text := $b$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RAISE EXCEPTION 'a look-alike was called'; END $b$;
BEGIN
	FOR p IN SELECT proname, pg_get_function_identity_arguments(oid) AS args, pg_get_function_result(oid) AS result, prokind
			   FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', p.proname, p.args, p.result, body);
		EXCEPTION WHEN OTHERS THEN NULL;	-- of internal types
		END;
	END LOOP;
	FOR p IN SELECT oid, oprname, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result, oprleft
			   FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprresult <> 0 LOOP
		BEGIN
			IF p.oprleft = 0 THEN
				EXECUTE format('CREATE FUNCTION evil.op%s(%s) RETURNS %s LANGUAGE plpgsql AS %L', p.oid, p.r, p.result, body);
				EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.op%s, RIGHTARG = %s)', p.oprname, p.oid, p.r);
			ELSE
				EXECUTE format('CREATE FUNCTION evil.op%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', p.oid, p.l, p.r, p.result, body);
				EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.op%s, LEFTARG = %s, RIGHTARG = %s)', p.oprname, p.oid, p.l, p.r);
			END IF;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	FOR p IN SELECT unnest('{version,capabilities,sort_by_similarity,similar_samples,_visible_runs,has_brain_run,list_brain_runs}'::text[]) AS proname LOOP
		EXECUTE format('CREATE OR REPLACE FUNCTION evil.%I() RETURNS text LANGUAGE plpgsql AS %L', p.proname, body);
	END LOOP;
END $$;
CREATE FUNCTION evil.caught() RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RAISE EXCEPTION 'a look-alike was called'; END $$;
CREATE FUNCTION evil.step(int8) RETURNS int8 LANGUAGE plpgsql AS
	$$ BEGIN PERFORM pg_catalog.nextval('evil.caught'); RAISE EXCEPTION 'a look-alike was called'; END $$;
CREATE AGGREGATE evil.count(*) (SFUNC = evil.step, STYPE = int8, INITCOND = '0');
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY '{text,int2,int4,int8,integer,bigint,float4,float8,real,numeric,bool,boolean,jsonb,regclass,uuid,timestamptz,"char",name,oid,xid,record,similarity_index}'::text[] LOOP
		EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.text CHECK (evil.caught())', trim(name, '"'));
	END LOOP;
	FOREACH name IN ARRAY '{vector,halfvec}'::text[] LOOP
		EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.float4[] CHECK (evil.caught())', name);
	END LOOP;
	FOREACH name IN ARRAY '{runs,_runs,_run_bindings,_bases,changes,embeddings,sync_status,progress,pg_class,pg_type,pg_proc,pg_database,pg_stat_progress_copy,images,ids}'::text[] LOOP
		EXECUTE format('CREATE VIEW evil.%I AS SELECT evil.caught() AS run_id', name);
		EXECUTE format('GRANT SELECT ON evil.%I TO PUBLIC', name);
	END LOOP;
END $$;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
SELECT count(*) FROM pg_proc WHERE pronamespace = 'evil'::regnamespace;
SELECT count(*) FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace;
SQL
note("look-alikes, functions and operators:\n$made");
cmp_ok((split(/\n/, $made))[0], '>', 1500, 'look-alikes of functions');
cmp_ok((split(/\n/, $made))[1], '>', 500, 'look-alikes of operators');

sub caught { return admin('SELECT is_called FROM evil.caught'); }

sub session
{
	my ($role, $path, $sql) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', "\\pset footer off\nSET search_path = $path;\n$sql",
		extra_params => [ '-U', $role, '-v', 'VERBOSITY=terse' ], on_error_stop => 0);

	$stderr =~ s/^psql:<stdin>:\d+: //gm;
	return "$stdout\n$stderr";
}

# The trap works.
session('hostile_alice', 'evil, pg_catalog', "SELECT 1 = 1");
is(caught(), 't', 'a look-alike is called where a name is not qualified');
admin('ALTER SEQUENCE evil.caught RESTART');
is(caught(), 'f', 'and the trap is set again');

# The same for each path: nothing here may call anything by an unqualified name.
# Volatile results (seconds, times) are not shown.
my $script = <<'SQL';
SELECT brain_key, backend, metric, dimensions, indexed FROM brain.compute_similarity('alice.images', 'c');
SELECT brain_key, indexed FROM brain.compute_similarity('alice.images', 'c', metric => 'l2', overwrite => true);
SELECT brain_key, indexed FROM brain.compute_similarity('alice.images', 'h', with_data => false);
SELECT brain_key, indexed FROM brain.compute_similarity('alice.images', 'f', filter => 'keep');
SELECT brain_key, indexed FROM brain.compute_similarity('alice.view', 'v', id_field => 'id');
SELECT brain_key, indexed FROM brain.compute_similarity('alice.texts', 't');
SELECT brain_key, indexed FROM brain.compute_similarity('alice.chars', 't');
SELECT brain_key, indexed FROM brain.compute_similarity('alice.times', 't');
SELECT brain_key, indexed FROM brain.compute_similarity('alice.uuids', 't');
SELECT brain_key, indexed FROM brain.compute_similarity('alice.domains', 't');
SELECT * FROM brain.sort_by_similarity('alice.images', 1, k => 3, brain_key => 'c');
SELECT * FROM brain.sort_by_similarity('alice.images', '1', k => 3);
SELECT * FROM brain.sort_by_similarity('alice.images', '[1, 2]', k => 3, brain_key => 'f');
SELECT * FROM brain.sort_by_similarity('alice.images', '{1, 2}', k => 3, brain_key => 'c', aggregation => 'post-min', filter => 'keep');
SELECT * FROM brain.sort_by_similarity('alice.view', 1, k => 3);
SELECT * FROM brain.sort_by_similarity('alice.texts', 'a', k => 3);
SELECT * FROM brain.sort_by_similarity('alice.chars', 'a', k => 3);
SELECT * FROM brain.sort_by_similarity('alice.times', '2020-01-01', k => 3);
SELECT * FROM brain.sort_by_similarity('alice.uuids', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', k => 3);
SELECT * FROM brain.sort_by_similarity('alice.domains', 1, k => 3);
SELECT * FROM brain.sort_by_similarity('alice.images', 99);
SELECT * FROM brain.sort_by_similarity('alice.images', 1, brain_key => 'none');
SELECT rank, sample FROM brain.similar_samples(NULL::alice.images, 1, k => 3, brain_key => 'c');
SELECT rank, sample FROM brain.similar_samples(NULL::alice.images, '1', k => 3, brain_key => 'c');
SELECT rank, sample FROM brain.similar_samples(NULL::alice.view, '1', k => 3);
SELECT brain.last_search() OPERATOR(pg_catalog.->>) 'path';
SELECT * FROM brain.neighbors('alice.images', 'c', k => 2);
SELECT * FROM brain.neighbors('alice.images', 'f', max_distance => 2, filter => 'keep');
SELECT * FROM brain.neighbors('alice.view', 'v', k => 1);
SELECT * FROM brain.add_to_index('alice.images', 'h', 1, '[1, 2]');
SELECT * FROM brain.add_to_index('alice.images', 'h', 1, '[1, 3]', overwrite => false);
SELECT * FROM brain.add_to_index('alice.images', 'c', 1, '[1, 1]');
SELECT * FROM brain.get_embeddings('alice.images', 'h');
SELECT * FROM brain.get_embeddings('alice.images', 'c', 1);
UPDATE alice.images SET keep = keep, emb = '{7,1}' WHERE id OPERATOR(pg_catalog.=) 2;
DELETE FROM alice.texts WHERE id OPERATOR(pg_catalog.=) 'a';
SELECT * FROM brain.sort_by_similarity('alice.images', '[1, 2]', k => 3, brain_key => 'c');
SELECT samples, brain_key, tracked, changes, rows, segments, in_use, reason FROM brain.sync_status;
SELECT samples, brain_key, action, changes, rows, reason FROM brain.sync('alice.images', 'c');
SELECT samples, brain_key, action, changes, rows, reason FROM brain.sync('alice.images');
SELECT samples, brain_key, action, changes, rows, reason FROM brain.sync('alice.texts');
SELECT samples, brain_key, tracked, changes, rows, segments, in_use, reason FROM brain.sync_status;
SELECT * FROM brain.sort_by_similarity('alice.images', '[1, 2]', k => 3, brain_key => 'c');
TRUNCATE alice.texts;
SELECT * FROM brain.sort_by_similarity('alice.texts', '{1,2}'::pg_catalog.float4[]);
SELECT kind FROM brain.sweep() WHERE kind OPERATOR(pg_catalog.=) 'changes';
SELECT * FROM brain.load_brain_results('alice.images', 'none');
SELECT brain_key, indexed FROM brain.load_brain_results('alice.images', 'c');
SELECT * FROM brain.remove_from_index('alice.images', 'h', 1);
SELECT samples, brain_key, metric, indexed, state FROM brain.runs;
SELECT brain_key, metric, indexed, state FROM brain.list_brain_runs('alice.images', 'similarity', 'sklearn', NULL, false, 'l2', 'emb');
SELECT brain_key FROM brain.list_brain_runs('alice.images');
SELECT brain.has_brain_run('alice.images', 'c'), brain.has_brain_run('alice.images', 'none');
SELECT info OPERATOR(pg_catalog.->) 'config' AS config, info OPERATOR(pg_catalog.->) 'index' OPERATOR(pg_catalog.-) 'base'::pg_catalog.text AS index FROM brain.get_brain_info('alice.images', 'c') info;
SELECT * FROM brain.get_brain_info('alice.images', 'none');
SELECT * FROM brain._no_such_run('alice.images', 'none');
SELECT * FROM brain._metric_name('ip');
SELECT brain.version();
SELECT reachable FROM brain.health('nobody_there');
SELECT brain.milvus_fdw_validator('{}'::pg_catalog.text[], 'pg_catalog.pg_foreign_server'::pg_catalog.regclass);
SELECT brain.delete_index('alice.images', 'none');
SELECT * FROM brain.capabilities();
SELECT * FROM brain.progress;
SELECT samples, brain_key FROM brain._visible_runs('alice.view') WHERE brain_key OPERATOR(pg_catalog.=) 'v';
ALTER TABLE alice.images RENAME COLUMN emb TO emb2;
ALTER TABLE alice.images RENAME TO images2;
ALTER TABLE alice.images2 SET SCHEMA alice2;
ALTER SCHEMA alice2 RENAME TO alice3;
SELECT samples, brain_key, embeddings_field, filter, state FROM brain.list_brain_runs('alice3.images2');
SELECT * FROM brain.sort_by_similarity('alice3.images2', 2, k => 3, brain_key => 'c');
ALTER TABLE alice3.images2 ADD COLUMN more pg_catalog.text;
ALTER TABLE alice3.images2 DROP COLUMN keep CASCADE;
SELECT brain_key, state, reason FROM brain.list_brain_runs('alice3.images2');
SELECT brain.rename_brain_run('alice3.images2', 'c', 'd');
SELECT brain.cleanup('alice3.images2', 'd');
SELECT brain.delete_brain_run('alice3.images2', 'd', cleanup => true);
SELECT brain.delete_brain_runs('alice.view');
DROP VIEW alice.view;
DROP TABLE alice3.images2;
DROP TABLE alice.texts, alice.chars, alice.times, alice.uuids, alice.domains;
SELECT samples, brain_key FROM brain.runs;
SQL

sub datasets
{
	admin(<<'SQL');
SET client_min_messages = error;
DROP SCHEMA IF EXISTS alice2 CASCADE;
DROP SCHEMA IF EXISTS alice3 CASCADE;
CREATE SCHEMA alice2 AUTHORIZATION hostile_alice;
GRANT CREATE ON DATABASE postgres TO hostile_alice;
SELECT brain.delete_brain_runs('hostile.canary'), brain.delete_brain_runs('hostile.texts'), brain.delete_brain_runs('hostile.images') \g /dev/null
SET ROLE hostile_alice;
DROP VIEW IF EXISTS alice.view;
DROP TABLE IF EXISTS alice.images, alice.texts, alice.chars, alice.times, alice.uuids, alice.domains;
CREATE TABLE alice.images (id int PRIMARY KEY, keep boolean, emb real[]);
INSERT INTO alice.images SELECT i, i < 4, ARRAY[i, 1] FROM generate_series(1, 5) i;
CREATE VIEW alice.view AS SELECT id, emb FROM alice.images;
CREATE TABLE alice.texts (id text PRIMARY KEY, emb float8[]);
INSERT INTO alice.texts VALUES ('a', '{1,2}'), ('b', '{2,1}');
CREATE TABLE alice.chars (id varchar(9) PRIMARY KEY, emb numeric[]);
INSERT INTO alice.chars VALUES ('a', '{1,2}'), ('b', '{2,1}');
CREATE TABLE alice.times (id timestamptz PRIMARY KEY, emb int[]);
INSERT INTO alice.times VALUES ('2020-01-01 00:00+00', '{1,2}'), ('2021-01-01 00:00+00', '{2,1}');
CREATE TABLE alice.uuids (id uuid PRIMARY KEY, emb real[]);
INSERT INTO alice.uuids VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{1,2}');
DROP DOMAIN IF EXISTS alice.key, alice.emb;
CREATE DOMAIN alice.key AS int CHECK (VALUE > 0);
CREATE DOMAIN alice.emb AS real[] CHECK (array_length(VALUE, 1) = 2);
CREATE TABLE alice.domains (id alice.key PRIMARY KEY, emb alice.emb);
INSERT INTO alice.domains VALUES (1, '{1,2}'), (2, '{2,1}');
SQL
}

# Temporary relations and types come first of all when pg_temp is not named.
my $temporary = <<'SQL';
SET client_min_messages = error;
CREATE TEMP TABLE images (id pg_catalog.int4);
CREATE TEMP TABLE runs (id pg_catalog.int4);
CREATE TEMP TABLE _runs (id pg_catalog.int4);
CREATE TEMP TABLE embeddings (id pg_catalog.int4);
CREATE TEMP TABLE pg_class (id pg_catalog.int4);
CREATE TEMP TABLE pg_type (id pg_catalog.int4);
CREATE DOMAIN pg_temp.text AS pg_catalog.int4;
CREATE DOMAIN pg_temp.int8 AS pg_catalog.text;
CREATE DOMAIN pg_temp.regclass AS pg_catalog.text;
CREATE DOMAIN pg_temp.jsonb AS pg_catalog.text;
RESET client_min_messages;
SQL

sub masked
{
	my ($text) = @_;

	# where a message points to, and names that are printed as the path has it
	$text =~ s/^(LINE \d+:.*|\s*\^)\n//gm;
	return $text;
}

foreach my $role ('hostile_alice', scalar getpwuid($>))
{
	datasets();
	my $expected = masked(session($role, 'pg_catalog', $script));
	unlike($expected, qr/look-alike|syntax error/, "as $role: the script runs");
	note($expected) if $role eq 'hostile_alice';
	foreach my $path ('evil, pg_catalog', 'evil', 'pg_temp, evil, pg_catalog', '"$user", evil, public')
	{
		datasets();
		is(masked(session($role, $path, $temporary . $script)), $expected, "as $role: the same with search_path = $path");
		is(caught(), 'f', 'and no look-alike was called');
		admin('ALTER SEQUENCE evil.caught RESTART');
	}
}

# Every function of schema brain was called on such a path, so none is forgotten
# when one is added. The server does not count a planner support function, SQL
# functions that become part of their query, nor calls that end in an error, as
# each of _no_such_run() does.
my @forgotten = grep { !/^(\w+) t$/ || $script !~ /brain\.\Q$1\E\(/ } split(/\n/, admin(<<'SQL'));
SELECT p.proname || CASE WHEN p.proname = '_no_such_run' OR (l.lanname = 'sql' AND p.proconfig IS NULL) THEN ' t' ELSE ' f' END
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang LEFT JOIN pg_stat_user_functions s ON s.funcid = p.oid
 WHERE p.pronamespace = 'brain'::regnamespace AND coalesce(s.calls, 0) = 0 AND NOT 'internal'::regtype = ANY (p.proargtypes)
SQL
is("@forgotten", '', 'the script calls every function of schema brain');

# ---- the server lived through all of it ------------------------------------------------

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:|server process .* exited/, 'no server process crashed');

# ---- the file of payloads ----------------------------------------------------------------

# Its lines as SQL expressions, so that what is long is made in the server.
sub payloads
{
	my ($file) = @_;
	my @expressions;

	foreach my $line (split(/\n/, decode('UTF-8', slurp_file($file))))
	{
		my $times = 1;

		next if $line eq '' || $line =~ /^#!/;
		if ($line =~ s/^#escape //)
		{
			$line =~ s/\\(?:x\{([0-9a-f]+)\}|([nrt]))/defined $1 ? chr(hex($1)) : { n => "\n", r => "\r", t => "\t" }->{$2}/ge;
		}
		elsif ($line =~ s/^#repeat (\d+) //)
		{
			$times = $1;
		}
		push @expressions, sprintf("repeat(convert_from('\\x%s', 'UTF8'), %d)", unpack('H*', encode('UTF-8', $line)), $times);
	}
	# and the empty string
	return (@expressions, "''");
}

done_testing();
