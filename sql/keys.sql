-- Guards against an id that has more than one text, or one that depends on the
-- session's settings; ids that cannot be asked for, stored or removed because
-- of their type or of the characters in them; ties in another order than that
-- text's.  citext: keys_citext.  Nondeterministic collations: keys_collations.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

-- The canonical text, in plain SQL: format() is the type's own output.
CREATE FUNCTION keys_text(id anyelement) RETURNS text STABLE LANGUAGE sql
	SET DateStyle = 'ISO' SET TimeZone = 'UTC' SET IntervalStyle = 'postgres'
	SET extra_float_digits = 1 SET bytea_output = 'hex' SET search_path = pg_catalog
	AS $$ SELECT format('%s', id) $$;

-- Makes a dataset keys_any with a key of a type and these ids, embeddings on a
-- line in that order, and a run over them and one of stored embeddings.  Then
-- finds each id by its value, by its canonical text, and by arrays of both.
-- All counts must be equal; ids are the sample_ids, which must be the texts.
CREATE FUNCTION keys_check(type text, given text[])
	RETURNS TABLE (samples bigint, by_value bigint, by_text bigint, by_array bigint, by_texts bigint,
				   "rows" bigint, got bigint, stored bigint, changed bigint, removed bigint, ids text)
	LANGUAGE plpgsql AS $$
DECLARE
	texts text[];
BEGIN
	DROP TABLE keys_any;
	EXECUTE format('CREATE TABLE keys_any (id %s PRIMARY KEY, embedding real[])', type);
	EXECUTE format('INSERT INTO keys_any SELECT id::%s, ARRAY[n, 1] FROM unnest($1) WITH ORDINALITY AS g (id, n)', type) USING given;
	EXECUTE 'SELECT array_agg(keys_text(id) ORDER BY embedding[1]) FROM keys_any' INTO texts;
	EXECUTE $q$SELECT indexed FROM brain.compute_similarity('keys_any', 'key', metric => 'euclidean')$q$ INTO samples;
	PERFORM brain.compute_similarity('keys_any', 'stored', metric => 'euclidean', with_data => false);
	-- each question must be answered by that very sample
	EXECUTE $q$SELECT count(*) FROM keys_any a, brain.sort_by_similarity('keys_any', a.id, k => 1, brain_key => 'key') s
		WHERE s.sample_id = keys_text(a.id) AND distance = 0$q$ INTO by_value;
	EXECUTE $q$SELECT count(*) FROM keys_any a, brain.sort_by_similarity('keys_any', keys_text(a.id), k => 1, brain_key => 'key') s
		WHERE s.sample_id = keys_text(a.id) AND distance = 0$q$ INTO by_text;
	EXECUTE $q$SELECT count(*) FROM keys_any a, brain.sort_by_similarity('keys_any', ARRAY[a.id], k => 1, brain_key => 'key') s
		WHERE s.sample_id = keys_text(a.id) AND distance = 0$q$ INTO by_array;
	EXECUTE $q$SELECT count(*) FROM keys_any a, brain.sort_by_similarity('keys_any', ARRAY[keys_text(a.id)], k => 1, brain_key => 'key') s
		WHERE s.sample_id = keys_text(a.id) AND distance = 0$q$ INTO by_texts;
	EXECUTE $q$SELECT count(*) FROM keys_any a, brain.similar_samples(NULL::keys_any, a.id, k => 1, brain_key => 'key') s
		WHERE keys_text((s.sample).id) = keys_text(a.id)$q$ INTO "rows";
	-- in the order asked: backwards
	SELECT count(*) INTO got
	  FROM brain.get_embeddings('keys_any', 'key', ARRAY(SELECT t FROM unnest(texts) WITH ORDINALITY AS u (t, n) ORDER BY n DESC))
		   WITH ORDINALITY AS e (sample_id, label_id, embedding, n)
	 WHERE e.sample_id = texts[cardinality(texts) + 1 - n] AND e.embedding[1] = cardinality(texts) + 1 - n;
	-- stored embeddings, given by value, found by value; taken out by text
	EXECUTE $q$SELECT sum((brain.add_to_index('keys_any', 'stored', id, embedding)).inserted) FROM keys_any$q$;
	EXECUTE $q$SELECT count(*) FROM keys_any a, brain.sort_by_similarity('keys_any', a.id, k => 1, brain_key => 'stored') s
		WHERE s.sample_id = keys_text(a.id) AND distance = 0$q$ INTO stored;
	SELECT r.removed INTO removed FROM brain.remove_from_index('keys_any', 'stored', texts) r;
	SELECT string_agg(quote_literal(s.sample_id), ' ' ORDER BY rank) INTO ids
	  FROM brain.sort_by_similarity('keys_any', ARRAY[[1,1]]::real[], k => NULL, brain_key => 'key') s;
	-- written in the column, by text
	EXECUTE $q$SELECT sum((brain.add_to_index('keys_any', 'key', keys_text(id), '[0,0]'::text)).updated) FROM keys_any$q$;
	EXECUTE $q$SELECT count(*) FROM keys_any WHERE embedding = '{0,0}'$q$ INTO changed;
	RETURN NEXT;
END $$;

CREATE TABLE keys_any (id bigint);

-- the settings that a type's text may depend on, as far from the pinned ones
-- as they go
SET DateStyle = 'German, DMY';
SET TimeZone = 'Asia/Kathmandu';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = -15;
SET bytea_output = 'escape';
\x

-- Every type that the issue names
SELECT * FROM keys_check('bigint', '{9223372036854775807,-9223372036854775808,0,42,-1}');
SELECT * FROM keys_check('integer', '{2147483647,-2147483648,0,42}');
SELECT * FROM keys_check('smallint', '{32767,-32768,0}');
SELECT * FROM keys_check('uuid', ARRAY['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '00000000-0000-0000-0000-000000000000', '{a0eebc999c0b4ef8bb6d6bb9bd380a12}']);
SELECT * FROM keys_check('numeric', '{1.0,1.50,-0.000000000000000000000000000001,123456789012345678901234567890.5,1e20,NaN,Infinity}');
SELECT * FROM keys_check('numeric(10,2)', '{1,1.5,0.01}');
SELECT * FROM keys_check('timestamptz', '{2024-02-29 23:59:59.123456+02,2024-07-01 12:00 Europe/Berlin,0044-03-15 12:00 UTC BC,infinity,-infinity}');
SELECT * FROM keys_check('bytea', ARRAY['\x', '\x00', '\xdeadbeef', '\x5c27', 'abc', '[1,0]']);
CREATE TYPE keys_label AS ENUM ('b', 'a', 'it''s', '', '{x}', 'Ü "q" \');
SELECT * FROM keys_check('keys_label', ARRAY['b', 'a', 'it''s', '', '{x}', 'Ü "q" \']);

-- text: quotes, backslashes, newlines, UTF-8, 24-hex ids, the empty string, and
-- what looks like a vector, an array, NULL or SQL
CREATE TABLE keys_strings (s text);
INSERT INTO keys_strings VALUES ('507f1f77bcf86cd799439011'), ('507F1F77BCF86CD799439011'), (''), (' '), ('042'), ('42'),
	('it''s'), ('"'), ('a"b''c'), ('\'), ('\\'), ('\n'), (E'\n'), (E'a\r\nb'), (E'\t'), (E'\x01'), ('NULL'), ('[1,1]'), ('{1,1}'), ('{a,b}'), ('{"a":1}'),
	('größe'), (E'e\u0301'), (E'\u00e9'), ('日本語'), ('😀'), (E'\u200b'), ('A'), ('a'), ('%_'), ('$1'), (':x'), ('--'), ('/*'), ('''; DROP TABLE keys_any; --'),
	('$$'), ('~'), (' x'), ('x '), (repeat('long ', 300)), ('now'), ('1e3');
SELECT samples, by_value, by_text, by_array, by_texts, "rows", got, stored, changed, removed, md5(ids)
  FROM keys_check('text', ARRAY(SELECT s FROM keys_strings ORDER BY s COLLATE "C"));
-- the ids are the strings themselves, byte for byte
SELECT md5(string_agg(quote_literal(s), ' ' ORDER BY s COLLATE "C")), count(*) FROM keys_strings;
SELECT samples, by_value, by_text, by_array, by_texts, "rows", got, stored, changed, removed
  FROM keys_check('varchar(2000)', ARRAY(SELECT s FROM keys_strings ORDER BY s COLLATE "C"));
SELECT samples, by_value, by_text, by_array, by_texts, "rows", got, stored, changed, removed
  FROM keys_check('text COLLATE "C"', ARRAY(SELECT s FROM keys_strings ORDER BY s COLLATE "C"));

-- domains, over domains too: their base type's text
CREATE DOMAIN keys_positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN keys_small AS keys_positive CHECK (VALUE < 100);
CREATE DOMAIN keys_path AS text CHECK (VALUE LIKE '/%');
CREATE DOMAIN keys_time AS timestamptz;
CREATE DOMAIN keys_label_domain AS keys_label;
SELECT * FROM keys_check('keys_positive', '{1,042,2147483647}');
SELECT * FROM keys_check('keys_small', '{1,42}');
SELECT * FROM keys_check('keys_path', '{/a,/a/b,"/[1,2]"}');
SELECT * FROM keys_check('keys_time', '{2024-02-29 12:00 UTC}');
SELECT * FROM keys_check('keys_label_domain', ARRAY['b', 'it''s']);

-- any other type with a text form
SELECT * FROM keys_check('boolean', '{yes,no}');
SELECT * FROM keys_check('character(5)', '{a,bc,abcde}');
SELECT * FROM keys_check('name', '{a,"b c"}');
SELECT * FROM keys_check('oid', '{1,4294967295}');
SELECT * FROM keys_check('real', '{0.1,3.4028235e38,1e-45,16777217,NaN}');
SELECT * FROM keys_check('double precision', '{0.1,0.30000000000000004,1e308,5e-324,Infinity}');
SELECT * FROM keys_check('date', '{2024-02-29,01.02.2024,0044-03-15 BC,infinity}');
SELECT * FROM keys_check('timestamp', '{2024-02-29 23:59:59.5,infinity}');
SELECT * FROM keys_check('time', '{23:59:59.000001,24:00}');
SELECT * FROM keys_check('timetz', '{12:00+05:45,12:00+00}');
SELECT * FROM keys_check('interval', '{1 day,1 mon -2 days 03:04:05.6,-1 year}');
SELECT * FROM keys_check('inet', '{10.1.2.3,10.1.2.3/8,::1}');
SELECT * FROM keys_check('cidr', '{10.0.0.0/8,::1/128}');
SELECT * FROM keys_check('macaddr', '{08-00-2B-01-02-03}');
SELECT * FROM keys_check('bit(4)', '{1010,0000}');
SELECT * FROM keys_check('bit varying', '{1,10,""}');
SELECT * FROM keys_check('jsonb', ARRAY['{"b": 1, "a": [1, 2.50]}', '"x"', '1', '[1,1]', 'null']);
SELECT * FROM keys_check('int4range', '{"[1,5]","(1,)",empty}');
SELECT * FROM keys_check('tstzrange', ARRAY['[2024-01-01 00:00 UTC,2024-02-01 00:00 UTC)', 'empty']);
SELECT * FROM keys_check('datemultirange', ARRAY['{[2024-01-01,2024-01-05],[2024-02-01,2024-03-01)}', '{}']);
SELECT * FROM keys_check('pg_lsn', '{16/B374D848}');
-- a type whose text depends on the search_path: a name is always whole
SELECT * FROM keys_check('regtype', '{integer,keys_label,text}');
-- not a type, so no id: not an error of the catalog's
SELECT sample_id FROM brain.sort_by_similarity('keys_any', 'keys_no_type', brain_key => 'key');
\echo :SQLSTATE
SELECT * FROM keys_check('regnamespace', '{public}');

-- types and operators off the search_path, and look-alikes on it
CREATE SCHEMA keys_far;
CREATE TYPE keys_far.label AS ENUM ('x', 'y');
CREATE FUNCTION keys_far.never(keys_label, keys_label) RETURNS boolean IMMUTABLE LANGUAGE sql RETURN false;
CREATE FUNCTION keys_far.never(bigint, bigint) RETURNS boolean IMMUTABLE LANGUAGE sql RETURN false;
CREATE OPERATOR keys_far.= (FUNCTION = keys_far.never, LEFTARG = bigint, RIGHTARG = bigint);
SELECT * FROM keys_check('keys_far.label', '{x,y}');
\x
CREATE TABLE keys_look (id bigint PRIMARY KEY, embedding real[]);
INSERT INTO keys_look VALUES (1, '{1,1}'), (2, '{3,1}');
SET search_path = keys_far, pg_catalog, public;
SELECT samples, indexed FROM brain.compute_similarity('keys_look', 'key', metric => 'euclidean'), (VALUES ('keys_look'::regclass)) AS v (samples);
SELECT rank, sample_id FROM brain.sort_by_similarity('keys_look', 2);
SELECT rank, (sample).id FROM brain.similar_samples(NULL::keys_look, 2);
SELECT * FROM brain.remove_from_index('keys_look', 'key', 2);
RESET search_path;
DROP TABLE keys_look;
SET client_min_messages = warning;
DROP SCHEMA keys_far CASCADE;
RESET client_min_messages;


--
-- What a caller writes goes through the type's input and output
--
CREATE TABLE keys_integer (id integer PRIMARY KEY, embedding real[]);
INSERT INTO keys_integer SELECT i, ARRAY[i, 1] FROM generate_series(40, 44) i;
SELECT indexed FROM brain.compute_similarity('keys_integer', 'key', metric => 'euclidean');
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', '042', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', ' +42 ', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', 42::bigint, k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', 42::smallint, k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', '042'::varchar, k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', ARRAY['042', '41'], k => 2);
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', ARRAY[41, 42]::smallint[], k => 2);
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', ARRAY[41, 42]::bigint[], k => 2);
SELECT sample_id FROM brain.get_embeddings('keys_integer', 'key', ARRAY['0044', '41', '044']);
SELECT * FROM brain.remove_from_index('keys_integer', 'key', '042');
SELECT * FROM brain.add_to_index('keys_integer', 'key', '00042', '[42,1]');
-- what no input accepts, and what does not fit
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', 'forty-two');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', '');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', '42.5');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', 99999999999);
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', ARRAY['42', 'x']);
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', ARRAY['42', NULL]);
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', ARRAY[4300000000]);
\echo :SQLSTATE
SELECT * FROM brain.get_embeddings('keys_integer', 'key', 'x');
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('keys_integer', 'key', 'x', '[1,1]');
\echo :SQLSTATE
SELECT * FROM brain.remove_from_index('keys_integer', 'key', ARRAY['x']);
\echo :SQLSTATE
-- unknown ids are listed as they were asked
SELECT sample_id FROM brain.sort_by_similarity('keys_integer', ARRAY['42', '0099', '-7']);
\echo :SQLSTATE

-- a failed input leaves the transaction usable, many times
BEGIN;
CREATE TABLE keys_vectors (id integer PRIMARY KEY, embedding real[]);
INSERT INTO keys_vectors VALUES (1, '{1,1}');
SELECT indexed FROM brain.compute_similarity('keys_vectors', 'key', metric => 'euclidean');
SELECT count(*) FROM generate_series(1, 200) i, brain.sort_by_similarity('keys_vectors', format('[%s,1]', i), k => 1);
SELECT count(*) FROM keys_vectors;
ROLLBACK;

-- a text that does not fit its column is an id, too; only an unknown one
CREATE TABLE keys_short (id character(5) PRIMARY KEY, name varchar(5) NOT NULL UNIQUE, embedding real[]);
INSERT INTO keys_short VALUES ('a', 'a', '{1,1}'), ('abcde', 'abcde', '{2,1}');
SELECT indexed FROM brain.compute_similarity('keys_short', 'id', metric => 'euclidean');
SELECT indexed FROM brain.compute_similarity('keys_short', 'name', metric => 'euclidean', id_field => 'name');
SELECT quote_literal(sample_id) FROM brain.sort_by_similarity('keys_short', 'a', brain_key => 'id');
SELECT quote_literal(sample_id) FROM brain.sort_by_similarity('keys_short', 'a '::character(2), brain_key => 'id', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_short', 'abcdef', brain_key => 'id');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_short', 'abcdef', brain_key => 'name');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_short', '[1.5,2]', brain_key => 'id');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_short', '[1.5,2]', brain_key => 'name');
\echo :SQLSTATE
SELECT key, quote_literal(sample_id) FROM unnest('{id,name}'::text[]) key, brain.get_embeddings('keys_short', key, ARRAY['a', 'abcdef', 'abcde']);

CREATE TABLE keys_uuid (id uuid PRIMARY KEY, embedding real[]);
INSERT INTO keys_uuid VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{1,1}'), ('b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{2,1}');
SELECT indexed FROM brain.compute_similarity('keys_uuid', 'key', metric => 'euclidean');
-- in braces it is an id and no vector
SELECT sample_id FROM brain.sort_by_similarity('keys_uuid', '{B0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_uuid', '[2,1]', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_uuid', '{2,1}', k => 1);

CREATE TABLE keys_moment (id timestamptz PRIMARY KEY, embedding real[]);
INSERT INTO keys_moment VALUES ('2024-03-05 10:00:00+00', '{1,1}'), ('2024-05-03 10:00:00+00', '{2,1}');
SELECT indexed FROM brain.compute_similarity('keys_moment', 'key', metric => 'euclidean');
-- a literal is a text: it is read under the pinned settings, as it is written
-- in sample_id, not under those of the session
SELECT sample_id FROM brain.sort_by_similarity('keys_moment', '2024-05-03 10:00:00', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_moment', '2024-05-03 15:45:00+05:45', k => 1);
-- a value keeps its meaning
SELECT sample_id FROM brain.sort_by_similarity('keys_moment', '3.5.2024 15:45'::timestamptz, k => 1);
-- sample_id joins its table by a cast, where settings let it
SELECT (sample_id::timestamptz = m.id) AS same FROM brain.sort_by_similarity('keys_moment', '2024-05-03 10:00:00', k => 1) s JOIN keys_moment m ON m.id = s.sample_id::timestamptz;

-- equal values with different texts are one key; the row's own text is shown
CREATE TABLE keys_numeric (id numeric PRIMARY KEY, embedding real[]);
INSERT INTO keys_numeric VALUES (1.50, '{1,1}'), (2, '{2,1}');
SELECT indexed FROM brain.compute_similarity('keys_numeric', 'key', metric => 'euclidean');
SELECT sample_id FROM brain.sort_by_similarity('keys_numeric', '1.5', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_numeric', 2.000, k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_numeric', 2, k => 1);
SELECT sample_id FROM brain.sort_by_similarity('keys_numeric', ARRAY[2]::bigint[], k => 1);

-- the key is not changed by the settings under which a run was made
RESET DateStyle; RESET TimeZone; RESET IntervalStyle; RESET extra_float_digits; RESET bytea_output;
CREATE TABLE keys_spans (id interval PRIMARY KEY, embedding real[]);
INSERT INTO keys_spans VALUES ('1 day 02:00', '{1,1}'), ('1 mon', '{2,1}');
SELECT indexed FROM brain.compute_similarity('keys_spans', 'key', metric => 'euclidean');
SELECT dimensions FROM brain.compute_similarity('keys_spans', 'stored', metric => 'euclidean', with_data => false);
SET IntervalStyle = 'sql_standard';
SELECT * FROM brain.add_to_index('keys_spans', 'stored', '1 day 02:00'::interval, '[1,1]');
SET IntervalStyle = 'postgres_verbose';
SELECT * FROM brain.add_to_index('keys_spans', 'stored', ARRAY['1 day 02:00', '1 mon']::interval[], '[[1,1],[2,1]]');
SET IntervalStyle = 'iso_8601';
SELECT sample_id FROM brain.sort_by_similarity('keys_spans', 'P1DT2H', brain_key => 'stored');
SELECT sample_id FROM brain.get_embeddings('keys_spans', 'stored') ORDER BY 1;
-- and the session's settings are as they were, also after an error
SELECT sample_id FROM brain.sort_by_similarity('keys_spans', 'no span', brain_key => 'stored');
SHOW IntervalStyle;
SHOW DateStyle;
SELECT current_setting('search_path') = reset_val AS as_before FROM pg_settings WHERE name = 'search_path';
RESET IntervalStyle;


--
-- Ties
--
-- by the id's text under COLLATE "C", whatever the type's own order
CREATE TABLE keys_tied (id integer PRIMARY KEY, name text NOT NULL UNIQUE, level keys_label NOT NULL UNIQUE, embedding real[]);
INSERT INTO keys_tied SELECT 6 + n, name, level, '{1,1}'
  FROM unnest(ARRAY['a', 'B', 'ä', 'Z', '_', 'aa'], enum_range(NULL::keys_label)) WITH ORDINALITY AS u (name, level, n);
SELECT indexed FROM brain.compute_similarity('keys_tied', 'a', metric => 'euclidean');
SELECT indexed FROM brain.compute_similarity('keys_tied', 'b', metric => 'euclidean', id_field => 'name');
SELECT indexed FROM brain.compute_similarity('keys_tied', 'c', metric => 'euclidean', id_field => 'level');
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('keys_tied', '[5,5]', brain_key => 'a');
SELECT array_agg(sample_id ORDER BY rank) AS found, (SELECT array_agg(name ORDER BY name COLLATE "C") FROM keys_tied) AS expected
  FROM brain.sort_by_similarity('keys_tied', ARRAY[5,5]::real[], brain_key => 'b');
SELECT array_agg(sample_id ORDER BY rank) AS found, (SELECT array_agg(level ORDER BY level::text COLLATE "C") FROM keys_tied) AS expected
  FROM brain.sort_by_similarity('keys_tied', ARRAY[5,5]::real[], brain_key => 'c');
-- also where k cuts through them, and under reverse
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('keys_tied', '[5,5]', brain_key => 'a', k => 3);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('keys_tied', '[5,5]', brain_key => 'a', k => 3, reverse => true);
-- but the sample that is the query comes first; not under reverse
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('keys_tied', 9, brain_key => 'a', k => 3);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('keys_tied', 9, brain_key => 'a', k => 3, reverse => true);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('keys_tied', ARRAY[9, 8], brain_key => 'a', k => 3);
SELECT array_agg((sample).id ORDER BY rank) FROM brain.similar_samples(NULL::keys_tied, 9, brain_key => 'a', k => 3);


--
-- No keys
--
CREATE TYPE keys_pair AS (a integer, b integer);
CREATE TABLE keys_none (a integer[] PRIMARY KEY, p keys_pair NOT NULL UNIQUE, embedding real[]);
SELECT * FROM brain.compute_similarity('keys_none', 'key');
\echo :SQLSTATE
SELECT * FROM brain.compute_similarity('keys_none', 'key', id_field => 'p');
\echo :SQLSTATE
CREATE VIEW keys_none_view AS SELECT '{"a":1}'::json AS j, '(1,2)'::point AS p, embedding, a[1]::text AS t FROM keys_none;
SELECT * FROM brain.compute_similarity('keys_none_view', 'key', id_field => 'j');
\echo :SQLSTATE
SELECT * FROM brain.compute_similarity('keys_none_view', 'key', id_field => 'p');
\echo :SQLSTATE
-- the way out that the hint names
INSERT INTO keys_none VALUES ('{1,2}', (1, 2), '{1,1}');
SELECT indexed FROM brain.compute_similarity('keys_none_view', 'key', id_field => 't');

DROP VIEW keys_none_view;
DROP TABLE keys_any, keys_strings, keys_integer, keys_short, keys_uuid, keys_moment, keys_numeric, keys_spans, keys_tied, keys_none;
DROP TYPE keys_pair;
DROP DOMAIN keys_small, keys_positive, keys_path, keys_time, keys_label_domain;
DROP TYPE keys_label;
DROP FUNCTION keys_check, keys_text;
