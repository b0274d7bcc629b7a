-- Guards against: an option that is misspelt, misplaced or wrong and is taken all
-- the same; a weaker setting that wins; a role that makes the server speak to a
-- host, send a secret or read a file that are not his; a secret in an error. No
-- Milvus server is needed: nobody listens on port 1, and health() says whom it asked.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
SET brain.config_file = '';
SET brain.connect_timeout = '5s';

CREATE ROLE regress_milvus_user;
CREATE ROLE regress_milvus_owner;
CREATE ROLE regress_milvus_reader IN ROLE pg_read_server_files;

-- What a statement does: its error, else nothing.
CREATE FUNCTION options_error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RAISE SQLSTATE 'UNDO0';
EXCEPTION
	WHEN SQLSTATE 'UNDO0' THEN
		RETURN 'no error';
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END $$;
CREATE FUNCTION on_server(options text) RETURNS text LANGUAGE sql AS
	$$ SELECT options_error('CREATE SERVER options_try FOREIGN DATA WRAPPER milvus_fdw OPTIONS (' || $1 || ')') $$;
CREATE FUNCTION on_mapping(options text) RETURNS text LANGUAGE sql AS
	$$ SELECT options_error('CREATE USER MAPPING FOR regress_milvus_user SERVER options_there OPTIONS (' || $1 || ')') $$;
CREATE FUNCTION in_call(options jsonb, server text DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$ SELECT options_error(format('SELECT brain.health(%L, %L)', $2, $1)) $$;

-- All that there is.
CREATE SERVER options_there FOREIGN DATA WRAPPER milvus_fdw OPTIONS (
	uri 'https://127.0.0.1:1', secure 'true', db_name 'photos', server_name 'milvus.example.com', ca_pem_path '/ca.pem',
	server_pem_path '/server.pem', client_pem_path '/client.pem', client_key_path '/client.key',
	connect_timeout '2s', request_timeout '500ms');
CREATE USER MAPPING FOR CURRENT_USER SERVER options_there OPTIONS (user 'fifty', password '51');
ALTER USER MAPPING FOR CURRENT_USER SERVER options_there OPTIONS (DROP user, DROP password, ADD token 'abc');
DROP USER MAPPING FOR CURRENT_USER SERVER options_there;
CREATE SERVER options_bare FOREIGN DATA WRAPPER milvus_fdw;
DROP SERVER options_bare;

\pset format unaligned
\pset tuples_only on

-- names
SELECT on_server($$url '127.0.0.1:1'$$);
SELECT on_server($$clientkeypath '/x'$$);
SELECT on_server($$nothing_like_it '1'$$);
SELECT on_server($$"URI" '127.0.0.1:1'$$);
SELECT on_server($$password 'secret'$$);
SELECT on_server($$token 'secret'$$);
SELECT on_mapping($$uri '127.0.0.1:1'$$);
SELECT on_mapping($$pasword 'secret'$$);
SELECT on_mapping($$username 'u'$$);
SELECT on_mapping($$metric 'cosine'$$);
SELECT options_error($$ALTER FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '127.0.0.1:1')$$);
SELECT options_error($$CREATE FOREIGN TABLE options_table (id int) SERVER options_there OPTIONS (uri 'x')$$);
SELECT options_error(format('CREATE SERVER s FOREIGN DATA WRAPPER milvus_fdw OPTIONS (%I %L)', repeat('x', 300), ''));
SELECT in_call('{"pasword": "secret"}');
SELECT in_call('{"pasword": null}');
SELECT in_call('{"metric": ["secret"]}');
SELECT in_call('[]');
SELECT in_call('"secret"');
SELECT in_call('{"password": ["secret"]}');
SELECT in_call('{"password": {"secret": 1}}');

-- addresses
SELECT uri, on_server('uri ' || quote_literal(uri)) FROM unnest(ARRAY[
	'http://localhost:19530', 'https://localhost', 'tcp://10.0.0.1:1', 'HTTP://LOCALHOST', 'localhost:19530', 'localhost',
	'my_milvus', 'a-b.example.com:65535', '127.0.0.1', '[::1]', '[::1]:19530', 'http://[fe80::1]:19530', '[::ffff:1.2.3.4]', 'localhost/', 'https://localhost:443/']) AS uri;
SELECT uri, on_server('uri ' || quote_literal(uri)) FROM unnest(ARRAY[
	'', ' ', 'http://', 'https://:19530', ':19530', 'ftp://localhost', 'unix:/tmp/x', '/tmp/milvus.db', './milvus.db', 'milvus.db',
	'localhost:', 'localhost:0', 'localhost:65536', 'localhost:99999999999', 'localhost:1a', 'localhost:-1', 'localhost: 1',
	'::1', '::1:19530', '[::1', '[localhost]', '[]', '[::1]x', '[::1]19530', '[1.2.3.4]', '[fe80::1%eth0]', 'http://http://localhost', '-host', '.host', 'ho st', E'host\r\nx: y', E'host\n', 'h*st',
	'localhost:1/db', 'localhost/db', 'localhost?x', 'localhost#x', 'localhost:1?x', repeat('a', 254)]) AS uri;
-- a password, however it got there, is not shown
SELECT on_server('uri ' || quote_literal(uri)) FROM unnest(ARRAY[
	'http://root:Milvus@localhost', 'root:Milvus@localhost:1', 'https://Milvus@localhost', 'http://localhost:Milvus', 'Milvus://localhost', 'http://localhost/Milvus']) AS uri;
SELECT on_server($$host 'localhost'$$), on_server($$host '::1', port '1'$$), on_server($$port '65535'$$), on_server($$host '[::1]'$$),
	   on_server($$host 'localhost:1'$$), on_server($$host ''$$), on_server($$port '0'$$), on_server($$port ''$$), on_server($$uri 'localhost', host 'localhost'$$), on_server($$uri 'localhost', port '1'$$);

-- other values
SELECT secure, on_server('secure ' || quote_literal(secure)) FROM unnest(ARRAY['true', 'off', 'True', '1', 'no', '', 'maybe', '2']) AS secure;
SELECT name, on_server('db_name ' || quote_literal(name)) FROM unnest(ARRAY['photos_2', '', 'a b', E'a\r\nb', 'ä', repeat('a', 255), repeat('a', 256)]) AS name;
SELECT name, on_server('server_name ' || quote_literal(name)) FROM unnest(ARRAY['milvus.example.com', '', 'a b', 'a:1', 'a/b']) AS name;
SELECT seconds, on_server('connect_timeout ' || quote_literal(seconds)) FROM unnest(ARRAY[
	'10', '0.5', '10s', '500ms', '1min', '1d', '0', '-1', '', 'soon', '2d', '0.1ms', 'NaN', 'Infinity', '1e400', '10 s', '10x']) AS seconds;
SELECT path, on_server('ca_pem_path ' || quote_literal(path)) FROM unnest(ARRAY['/etc/ca.pem', '', 'ca.pem', '../ca.pem', '~/ca.pem']) AS path;
SELECT on_mapping('user ' || quote_literal(repeat('a', 4096))), on_mapping('user ' || quote_literal(repeat('a', 4097)));
SELECT on_mapping($$token 'secret', user 'u'$$), on_mapping($$token 'secret', password 'p'$$), on_mapping($$user 'u', password '1,2'$$);

-- Settings.
SHOW brain.allowed_hosts;
SHOW brain.request_timeout;
SELECT left(options_error('SET brain.connect_timeout = 0'), 5), left(options_error('SET brain.connect_timeout = ''2d'''), 5), left(options_error('SET brain.request_timeout = -1'), 5);
SET brain.connect_timeout = '250ms';
SHOW brain.connect_timeout;
SET brain.connect_timeout = 5;
SHOW brain.connect_timeout;
SET brain.request_timeout = '1min';
SET brain.allowed_hosts = 'http://localhost';
SET brain.allowed_hosts = 'localhost, u@h';
SET brain.allowed_hosts = '"localhost';
SET brain.allowed_hosts = 'localhost:0';
SET brain.allowed_hosts = '::1';
SET brain.allowed_hosts = localhost, "[::1]:1";
SHOW brain.allowed_hosts;
RESET brain.allowed_hosts;
RESET brain.config_file;
SHOW brain.config_file;
SET brain.config_file = '';

-- Whom a call means: its own arguments, the server and the mapping, the default.
CREATE FUNCTION asked(server text, options jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', uri, reachable, version, authenticated, tls, databases, latency) FROM brain.health($1, $2) $$;
CREATE SERVER options_uri FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri 'http://127.0.0.1:1');
CREATE SERVER options_tls FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri 'https://127.0.0.1:1');
CREATE SERVER options_host FOREIGN DATA WRAPPER milvus_fdw OPTIONS (host '127.0.0.1', port '2');
CREATE SERVER options_secure FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '127.0.0.1:1', secure 'true');
CREATE SERVER options_port FOREIGN DATA WRAPPER milvus_fdw OPTIONS (host '127.0.0.3');
SELECT asked('options_uri'), asked('options_tls'), asked('options_host'), asked('options_secure');
SELECT asked('options_uri', '{"uri": "127.0.0.1:3"}'), asked('options_uri', '{"host": "127.0.0.2", "port": 3}'), asked('options_host', '{"uri": "127.0.0.1:3"}'), asked('options_host', '{"port": 3}'), asked('options_uri', '{"port": 3}'), asked('options_host', '{"host": "127.0.0.3"}');
SELECT asked('options_uri', '{"uri": null}'), asked('options_uri', '{"secure": true}'), asked('options_secure', '{"secure": "false"}'), asked('options_secure', '{"uri": "http://127.0.0.1:3"}'), asked('options_secure', '{"uri": "127.0.0.1:3"}');
SELECT asked(NULL, '{"uri": "tcp://127.0.0.1:3"}'), asked(NULL, '{"uri": "[::1]:3"}'), asked(NULL, '{"uri": "https://[::1]:3"}'), asked(NULL, '{"host": "::1", "port": 3}'), asked(NULL, '{"uri": "127.0.0.1:3", "secure": true}');
-- 19530 is the default port. 127.0.0.3: nobody listens there, we hope
SELECT uri FROM brain.health('options_port');
SELECT uri FROM brain.health(options => '{"uri": "http://127.0.0.3", "connect_timeout": "200ms"}');
SELECT reachable, problem LIKE 'could not connect to Milvus server "127.0.0.1:1"%' AS problem FROM brain.health('options_uri');
-- what contradicts itself
SELECT in_call('{"uri": "https://127.0.0.1:1", "secure": false}');
SELECT in_call('{"uri": "127.0.0.1:1", "port": 1}');
SELECT in_call('{"uri": "127.0.0.1:1", "token": "secret", "user": "u", "password": "p"}');
SELECT in_call('{"uri": "127.0.0.1:1", "user": "u"}');
SELECT in_call('{"uri": "127.0.0.1:1", "password": "secret"}');
SELECT in_call('{"uri": "127.0.0.1:1", "user": "u:v", "password": "secret"}');
SELECT in_call('{"uri": "127.0.0.1:1", "ca_pem_path": "/ca.pem"}');
SELECT in_call('{"uri": "127.0.0.1:1", "server_name": "x"}');
SELECT in_call('{"uri": "https://127.0.0.1:1", "client_pem_path": "/client.pem"}');
SELECT in_call('{"uri": "https://127.0.0.1:1", "client_key_path": "/client.key"}');
SELECT in_call('{"uri": "https://127.0.0.1:1", "ca_pem_path": "ca.pem"}');
SELECT in_call('{"ca_pem_path": "/ca.pem"}', 'options_uri');
SELECT in_call('{"token": "secret"}', 'options_uri'), in_call('{"user": "u", "password": 123456}', 'options_uri'), in_call('{"token": "", "user": "", "db_name": ""}', 'options_uri');
ALTER SERVER options_uri OPTIONS (ADD ca_pem_path '/ca.pem');
SELECT in_call(NULL, 'options_uri');
SELECT in_call('{"uri": "127.0.0.1:1"}', 'options_uri');
ALTER SERVER options_uri OPTIONS (DROP ca_pem_path);
CREATE USER MAPPING FOR CURRENT_USER SERVER options_uri OPTIONS (password 'secret');
SELECT in_call(NULL, 'options_uri');
SELECT in_call('{"user": "u"}', 'options_uri'), in_call('{"token": "t"}', 'options_uri');
DROP USER MAPPING FOR CURRENT_USER SERVER options_uri;

-- Servers of others.
SELECT in_call(NULL, 'options_none');
CREATE FOREIGN DATA WRAPPER options_fdw;
CREATE SERVER options_other FOREIGN DATA WRAPPER options_fdw;
SELECT in_call(NULL, 'options_other');

-- Roles.
GRANT USAGE ON FOREIGN DATA WRAPPER milvus_fdw TO regress_milvus_owner, regress_milvus_reader;
CREATE USER MAPPING FOR PUBLIC SERVER options_tls OPTIONS (token 'secret');
SET ROLE regress_milvus_user;
SELECT on_server($$uri '127.0.0.1:1'$$);
SELECT in_call(NULL, 'options_tls');
SELECT in_call(NULL);
SELECT in_call('{"uri": "127.0.0.1:1"}');
SELECT in_call('{"user": "u", "password": "secret"}');
SET brain.allowed_hosts = '127.0.0.1';
SET brain.config_file = '/etc/passwd';
SELECT left(options_error('SHOW brain.config_file'), 5);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER options_tls, options_host TO regress_milvus_user;
SET ROLE regress_milvus_user;
SELECT asked('options_tls'), asked('options_host'), in_call(NULL, 'options_uri');
-- where its secret goes is not theirs to say; whom they are is
SELECT in_call('{"uri": "127.0.0.1:3"}', 'options_tls');
SELECT in_call('{"host": "127.0.0.3"}', 'options_tls');
SELECT in_call('{"port": 3}', 'options_tls');
SELECT in_call('{"secure": false}', 'options_tls');
SELECT in_call('{"server_name": "x"}', 'options_tls');
SELECT in_call('{"user": "u", "password": "p", "db_name": "d", "connect_timeout": 1, "request_timeout": "1s"}', 'options_tls');
RESET ROLE;
-- hosts for everybody
SET brain.allowed_hosts = 'LOCALHOST, 127.0.0.1:1, "[::1]:2"';
SET ROLE regress_milvus_user;
SELECT asked(NULL, '{"uri": "127.0.0.1:1"}'), asked(NULL, '{"uri": "https://127.0.0.1:1"}'), asked(NULL, '{"host": "::1", "port": 2}'), asked(NULL, '{"uri": "localhost:1"}'), asked(NULL, '{"port": 3}');
SELECT in_call('{"uri": "127.0.0.1:2"}');
SELECT in_call('{"uri": "[::1]:1"}');
SELECT in_call('{"uri": "[0::1]:2"}');
SELECT in_call('{"uri": "127.1:1"}');
SELECT in_call('{"uri": "localhost.:1"}');
SELECT in_call('{"uri": "localhost@127.0.0.2:1"}');
SELECT in_call('{"uri": "https://127.0.0.1:1", "ca_pem_path": "/etc/passwd"}');
SELECT in_call('{"uri": "https://127.0.0.1:1", "ca_pem_path": ""}');
-- a function of a superuser's acts as he does
RESET ROLE;
CREATE FUNCTION asked_as_superuser(options jsonb) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT asked(NULL, $1) $$;
SET ROLE regress_milvus_user;
SELECT asked_as_superuser('{"uri": "127.0.0.2:1"}');
RESET ROLE;
RESET brain.allowed_hosts;
-- files
SET ROLE regress_milvus_owner;
SELECT on_server($$uri '127.0.0.1:1'$$), on_server($$client_key_path '/etc/shadow'$$), on_server($$server_pem_path ''$$);
SET ROLE regress_milvus_reader;
SELECT on_server($$uri '127.0.0.1:1', client_key_path '/etc/shadow'$$);
RESET ROLE;
CREATE SERVER options_file FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri 'https://127.0.0.1:1', ca_pem_path '/ca.pem');
GRANT USAGE ON FOREIGN SERVER options_file TO regress_milvus_user;
SET ROLE regress_milvus_user;
-- its users need not be allowed to read it
SELECT asked('options_file');
RESET ROLE;

-- brain_config.json that is none
SET brain.config_file = '/nonexistent/brain_config.json';
SELECT in_call(NULL);
SELECT in_call('{"uri": "127.0.0.1:1"}');
SELECT in_call(NULL, 'options_uri');
CREATE TABLE options_samples (id int PRIMARY KEY, embedding real[]);
INSERT INTO options_samples VALUES (1, '{1,0}');
SELECT options_error($$SELECT brain.compute_similarity('options_samples', 'key')$$);
SELECT options_error($$SELECT brain.compute_similarity('options_samples', 'key', backend => 'exact')$$);
SELECT options_error($$SELECT brain.compute_similarity('options_samples', 'key', backend => 'auto')$$);
SET brain.config_file = '';
SELECT options_error($$SELECT brain.compute_similarity('options_samples', 'm', backend => 'milvus', server => 'options_uri', options => '{"index_params": {"metric_type": "IP"}}')$$);
SELECT options_error($$SELECT brain.compute_similarity('options_samples', 'm', backend => 'milvus', server => 'options_uri', options => '{"search_params": {"ef": 64, "range_filter": 1}}')$$);
SET brain.config_file = '/nonexistent/brain_config.json';
SET brain.default_similarity_backend = 'exact';
SELECT options_error($$SELECT brain.compute_similarity('options_samples', 'key')$$);
RESET brain.default_similarity_backend;
ALTER TABLE options_samples OWNER TO regress_milvus_user;
SET ROLE regress_milvus_user;
SELECT options_error($$SELECT brain.compute_similarity('options_samples', 'key')$$);
RESET ROLE;
-- a name that no file can have
DO $$ BEGIN PERFORM set_config('brain.config_file', repeat('x', 300), false); END $$;
SET ROLE regress_milvus_user;
SELECT options_error($$SELECT brain.compute_similarity('options_samples', 'key')$$);
RESET ROLE;
SET brain.config_file = '/';
SELECT in_call(NULL);
SET brain.config_file = '/dev/zero';
SELECT in_call(NULL);

-- What is kept of it: nothing of ours, and what CREATE USER MAPPING keeps is hidden.
SELECT umoptions FROM pg_user_mappings WHERE srvname = 'options_tls';
SET ROLE regress_milvus_user;
SELECT umoptions FROM pg_user_mappings WHERE srvname = 'options_tls';
RESET ROLE;

\pset format aligned
\pset tuples_only off
DROP TABLE options_samples;
DROP SERVER options_there, options_uri, options_tls, options_host, options_secure, options_port, options_other, options_file CASCADE;
DROP FOREIGN DATA WRAPPER options_fdw;
DROP FUNCTION options_error, on_server, on_mapping, in_call, asked, asked_as_superuser;
REVOKE USAGE ON FOREIGN DATA WRAPPER milvus_fdw FROM regress_milvus_owner, regress_milvus_reader;
DROP ROLE regress_milvus_user, regress_milvus_owner, regress_milvus_reader;
