-- What a query is: an id, ids, a vector or vectors (DESIGN section 8).
--
-- Guards against: a vector taken for ids or ids for a vector, by the type that
-- a driver happens to send; a uuid in braces taken for an array; a text key that
-- looks like a vector and cannot be found; and a query that means nothing but
-- gets an answer.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

-- Datasets of three samples each: {1,0}, {0,1}, {-1,-1}, Euclidean distances. So
-- the distance of the nearest sample tells what the query was read as.
CREATE TYPE query_enum AS ENUM ('[3,0]', 'green', '{1,2}');
CREATE DOMAIN query_int AS int CHECK (VALUE > 0);
CREATE DOMAIN query_text AS text;
CREATE DOMAIN query_vector AS real[];
CREATE FUNCTION query_make(key text, id1 text, id2 text, id3 text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name text := 'query_of_' || regexp_replace(key, '\W.*', '');
BEGIN
	EXECUTE format('CREATE TABLE %I (id %s PRIMARY KEY, embedding real[])', name, key);
	EXECUTE format('INSERT INTO %I VALUES (%L, ''{1,0}''), (%L, ''{0,1}''), (%L, ''{-1,-1}'')', name, id1, id2, id3);
	PERFORM brain.compute_similarity(name::regclass, 'my_key', metric => 'euclidean');
END $$;
CREATE FUNCTION query_reads(dataset text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	distance numeric;
	id text;
	message text;
	hint text;
BEGIN
	EXECUTE format('SELECT round(distance::numeric, 4), sample_id FROM brain.sort_by_similarity(%L, %s, k => 1)', dataset, query)
	   INTO distance, id;
	RETURN CASE distance
		WHEN 0 THEN 'id ' || id
		WHEN 0.7071 THEN 'ids of the first two'
		WHEN 2 THEN 'vector 3,0'
		WHEN 1.4142 THEN 'vector 1,2'
		WHEN 3 THEN 'vectors 3,0 and 5,0'
		ELSE 'unforeseen ' || distance END;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', SQLSTATE || ': ' || message, nullif(hint, ''));
END $$;

SELECT query_make('bigint', '1', '2', '3');
SELECT query_make('int', '1', '2', '3');
SELECT query_make('smallint', '1', '2', '3');
SELECT query_make('oid', '1', '2', '3');
SELECT query_make('numeric', '1', '2.0', '3.50');
SELECT query_make('query_int', '1', '2', '3');
SELECT query_make('text', '1', '[3,0]', '{1,2}');
SELECT query_make('varchar(5)', '1', '[3,0]', '{1,2}');
SELECT query_make('query_text', '1', '[3,0]', '');
SELECT query_make('query_enum', 'green', '[3,0]', '{1,2}');
SELECT query_make('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
SELECT query_make('timestamptz', '2020-01-01 00:00:00+00', '2020-06-01 12:30:00+02', '2021-01-01 00:00:00.5+00');
SELECT query_make('date', '2020-01-01', '2020-06-01', '2021-01-01');
SELECT query_make('bytea', '\x01', '\x5b332c305d', '\x');

\pset format unaligned
\pset tuples_only on
\pset fieldsep '  =>  '
-- ---- a bigint key: every form ----
SELECT query, query_reads('query_of_bigint', query)
  FROM (VALUES
	-- untyped literals are text: the key's input first, then a vector
	(1, $$'2'$$), (2, $$'02'$$), (3, $$' 2 '$$), (4, $$'[3,0]'$$), (5, $$'{3,0}'$$), (6, $$'{1,2}'$$),
	(7, $$' [ 3.0e0 , -0 ] '$$), (8, $$E'[3,\n0]'$$), (9, $$'[[3,0],[5,0]]'$$), (10, $$'{{3,0},{5,0}}'$$),
	(11, $$' [ [ 3 , 0 ] , [5,0] ] '$$), (12, $$'[[3,0]]'$$), (13, $$'2'::text$$), (14, $$'[3,0]'::text$$),
	(15, $$'[3,0]'::varchar$$), (16, $$'[3,0]'::query_text$$), (17, $$'[3,0]'::jsonb$$), (18, $$'[3,0]'::json$$),
	(19, $$'2'::jsonb$$), (20, $$'[[3,0],[5,0]]'::jsonb$$), (21, $$'[3,0]'::char(10)$$), (22, $$'2'::name$$),
	-- numbers are ids, of any width
	(30, $$2$$), (31, $$2::smallint$$), (32, $$2::bigint$$), (33, $$2::numeric$$), (34, $$2::oid$$), (35, $$2::query_int$$),
	(36, $$2.5$$), (37, $$99999999999999999999$$), (38, $$true$$), (39, $$'2020-01-01'::date$$),
	-- arrays: integers are ids, other numbers a vector, two-dimensional ones vectors
	(40, $$ARRAY[1,2]$$), (41, $$ARRAY[1,2]::smallint[]$$), (42, $$ARRAY[1,2]::bigint[]$$), (43, $$'{1,2}'::int[]$$),
	(44, $$ARRAY[2]$$), (45, $$ARRAY[2]::smallint[]$$), (46, $$'[7:8]={1,2}'::int[]$$), (47, $$ARRAY[1,2]::oid[]$$),
	(48, $$ARRAY[1,2]::query_int[]$$), (49, $$ARRAY[3,0]$$),
	(50, $$ARRAY[3,0]::real[]$$), (51, $$ARRAY[3,0]::float8[]$$), (52, $$ARRAY[3,0]::numeric[]$$), (53, $$ARRAY[3.0,0]$$),
	(54, $$ARRAY[1,2]::real[]$$), (55, $$ARRAY[3,0]::real[]::query_vector$$), (56, $$'[7:8]={3,0}'::real[]$$),
	(60, $$ARRAY[[3,0],[5,0]]$$), (61, $$ARRAY[[3,0],[5,0]]::smallint[]$$), (62, $$ARRAY[[3,0],[5,0]]::real[]$$),
	(63, $$ARRAY[[3,0],[5,0]]::float8[]$$), (64, $$ARRAY[[3,0],[5,0]]::numeric[]$$), (65, $$ARRAY[[3,0]]$$),
	-- text[] and others are ids, by their text
	(70, $$ARRAY['1','2']$$), (71, $$'{1,2}'::text[]$$), (72, $$'{1,2}'::varchar[]$$), (73, $$ARRAY['01',' 2']$$),
	(74, $$ARRAY['1','x']$$), (75, $$ARRAY['[3,0]']$$), (76, $$ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']::uuid[]$$)
	) AS q (n, query) ORDER BY n;
-- What is neither, and what cannot be.
SELECT query, query_reads('query_of_bigint', query)
  FROM (VALUES
	(1, $$''$$), (2, $$' '$$), (3, $$'x'$$), (4, $$'2x'$$), (5, $$'9223372036854775808'$$), (6, $$'3,0'$$), (7, $$'(3,0)'$$),
	(8, $$'[3,0'$$), (9, $$'3,0]'$$), (10, $$'[3,0]]'$$), (11, $$'[3,0}'$$), (12, $$'[3 0]'$$), (13, $$'[3;0]'$$), (14, $$'[3,]'$$),
	(15, $$'[,3]'$$), (16, $$'[x]'$$), (17, $$'[3,0] x'$$), (18, $$'[[3,0],[5,0]'$$), (19, $$'[[3,0],5]'$$), (20, $$'[3,[5,0]]'$$),
	(21, $$'[[[3,0]]]'$$), (22, $$'[0x]'$$), (23, $$'{"3","0"}'$$),
	(30, $$'[]'$$), (31, $$'{}'$$), (32, $$'[[]]'$$), (33, $$'[[3,0],[]]'$$), (34, $$'[[3,0],[5]]'$$),
	(35, $$'[3,0,1]'$$), (36, $$'[[3,0,1],[5,0,1]]'$$), (37, $$'[NaN,0]'$$), (38, $$'[inf,0]'$$), (39, $$'[-Infinity,0]'$$),
	(40, $$'[1e39,0]'$$), (41, $$'[null,0]'$$), (42, $$'{NULL,0}'$$), (43, $$'[1e400,0]'$$),
	(50, $$NULL$$), (51, $$NULL::text$$), (52, $$NULL::bigint$$), (53, $$NULL::real[]$$), (54, $$NULL::text[]$$),
	(55, $$'{}'::int[]$$), (56, $$'{}'::real[]$$), (57, $$'{}'::text[]$$), (58, $$ARRAY[1,NULL]$$), (59, $$ARRAY['1',NULL]$$),
	(60, $$ARRAY[3,NULL]::real[]$$), (61, $$ARRAY['NaN',0]::real[]$$), (62, $$ARRAY['Infinity',0]::float8[]$$), (63, $$ARRAY[1e39,0]::float8[]$$),
	(64, $$ARRAY[3,0,1]::real[]$$), (65, $$ARRAY[[3,0,1]]$$), (66, $$ARRAY[[[3,0]]]$$), (67, $$ARRAY[[[3,0]]]::real[]$$), (68, $$ARRAY[['1','2']]$$),
	(69, $$ROW(1,2)$$), (70, $$NULL::query_of_bigint$$), (71, $$'(1,2)'::point$$),
	(80, $$4$$), (81, $$'4'$$), (82, $$ARRAY[1,4,5]$$)
	) AS q (n, query) ORDER BY n;

-- ---- integer-like keys: what drivers send ----
SELECT key, query, query_reads('query_of_' || key, query)
  FROM (VALUES (1, 'int'), (2, 'smallint'), (3, 'oid'), (4, 'numeric'), (5, 'query_int')) AS k (i, key),
	   (VALUES (1, $$'2'$$), (2, $$2$$), (3, $$2::smallint$$), (4, $$2::bigint$$), (5, $$2.0$$), (6, $$ARRAY[1,2]$$), (7, $$ARRAY[1,2]::smallint[]$$),
			   (8, $$ARRAY[1,2]::bigint[]$$), (9, $$ARRAY['1','2']$$), (10, $$'[3,0]'$$), (11, $$ARRAY[3,0]::float8[]$$), (12, $$ARRAY[[3,0],[5,0]]$$)) AS q (n, query)
 ORDER BY i, n;
-- out of the type's range, or against its domain
SELECT query_reads('query_of_smallint', $$70000$$);
SELECT query_reads('query_of_smallint', $$'70000'$$);
SELECT query_reads('query_of_smallint', $$ARRAY[1,70000]$$);
SELECT query_reads('query_of_query_int', $$-1$$);
-- arrays of the key's own type are ids
SELECT query_reads('query_of_numeric', $$(SELECT array_agg(id ORDER BY id) FROM query_of_numeric WHERE id < 3)$$);
SELECT query_reads('query_of_query_int', $$(SELECT array_agg(id ORDER BY id) FROM query_of_query_int WHERE id < 3)$$);
SELECT query_reads('query_of_numeric', $$'3.5'$$);

-- ---- text-like keys: text is always an id ----
SELECT key, query, query_reads('query_of_' || key, query)
  FROM (VALUES (1, 'text'), (2, 'varchar'), (3, 'query_text')) AS k (i, key),
	   (VALUES (1, $$'[3,0]'$$), (2, $$'[3,0]'::text$$), (3, $$'[3,0]'::varchar$$), (4, $$'[3,0]'::query_text$$), (5, $$' [3,0]'$$), (6, $$'[1,2]'$$), (7, $$''$$), (8, $$1$$),
			   (9, $$ARRAY['1','[3,0]']$$), (10, $$ARRAY['1','[3,0]']::varchar[]$$), (11, $$ARRAY['[3,0]']$$), (12, $$ARRAY[3,0]$$), (13, $$ARRAY[3,0]::real[]$$),
			   (14, $$ARRAY[[3,0],[5,0]]$$), (15, $$ARRAY[1,2]::bigint[]$$)) AS q (n, query)
 ORDER BY i, n;

-- ---- other types: what their input takes is an id, else a vector ----
SELECT query, query_reads('query_of_uuid', query)
  FROM (VALUES
	(1, $$'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'$$), (2, $$'{b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'$$), (3, $$'{B0EEBC999C0B4EF8BB6D6BB9BD380A11}'$$),
	(4, $$'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid$$), (5, $$'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::text$$), (6, $$'[3,0]'$$), (7, $$'{3,0}'$$),
	(8, $$ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']::uuid[]$$),
	(9, $$ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','{B0EEBC999C0B4EF8BB6D6BB9BD380A11}']$$), (10, $$ARRAY[3,0]$$), (11, $$ARRAY[1,2]::bigint[]$$),
	(12, $$'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'$$), (13, $$ARRAY['x']$$), (14, $$7$$)
	) AS q (n, query) ORDER BY n;
SET TimeZone = 'America/New_York';
SET DateStyle = 'SQL, DMY';
SELECT query, query_reads('query_of_timestamptz', query)
  FROM (VALUES
	(1, $$'2020-06-01 10:30:00+00'$$), (2, $$'2020-06-01 10:30'$$), (3, $$'2020-06-01 10:30:00+00'::timestamptz$$), (4, $$'2020-06-01T12:30:00+02'$$),
	(5, $$'2021-01-01 00:00:00.5'$$), (6, $$'01/06/2020'$$), (7, $$'[3,0]'$$), (8, $$ARRAY[3,0]$$),
	(9, $$ARRAY['2020-01-01','2020-06-01 10:30']$$), (10, $$(SELECT array_agg(id ORDER BY id) FROM query_of_timestamptz WHERE id < '2020-12-01')$$)
	) AS q (n, query) ORDER BY n;
SELECT query, query_reads('query_of_date', query)
  FROM (VALUES (1, $$'2020-06-01'$$), (2, $$'2020-06-01'::date$$), (3, $$'2020-06-01'::timestamp$$), (4, $$ARRAY['2020-01-01','2020-06-01']::date[]$$), (5, $$'[3,0]'$$), (6, $$'[1,2,3]'$$)) AS q (n, query) ORDER BY n;
RESET TimeZone;
RESET DateStyle;
SELECT query, query_reads('query_of_query_enum', query)
  FROM (VALUES (1, $$'green'$$), (2, $$'green'::query_enum$$), (3, $$'[3,0]'$$), (4, $$'[ 3,0]'$$), (5, $$'{1,2}'$$), (6, $$'{3,0}'$$), (7, $$ARRAY['green','[3,0]']::query_enum[]$$), (8, $$'red'$$)) AS q (n, query) ORDER BY n;
-- bytea's input takes almost anything: it is an id then
SET bytea_output = escape;
SELECT query, query_reads('query_of_bytea', query)
  FROM (VALUES (1, $$'\x01'$$), (2, $$'\x01'::bytea$$), (3, $$'[3,0]'$$), (4, $$''$$), (5, $$'[1,2]'$$), (6, $$ARRAY['\x01','\x5b332c305d']::bytea[]$$), (7, $$ARRAY[3,0]$$)) AS q (n, query) ORDER BY n;
RESET bytea_output;

-- ---- a brain key in the query's place ----
SELECT query_reads('query_of_bigint', $$'my_key'$$);
SELECT query_reads('query_of_bigint', $$'my_key', brain_key => 'my_key'$$);
SELECT query_reads('query_of_bigint', $$'my_key'::text$$);
SELECT query_reads('query_of_text', $$'my_key'$$);
SELECT query_reads('query_of_uuid', $$'my_key'$$);
SELECT query_reads('query_of_bigint', $$'my_kez'$$);
SELECT brain.delete_brain_run('query_of_uuid', 'my_key');
SELECT query_reads('query_of_uuid', $$'my_key'$$);
-- an id that equals a key is an id
INSERT INTO query_of_text VALUES ('my_key', '{9,9}');
SELECT query_reads('query_of_text', $$'my_key'$$);
\pset fieldsep '|'
\pset format aligned
\pset tuples_only off

-- ---- runs with different keys: the first that the query fits ----
CREATE TABLE query_two (id int PRIMARY KEY, name text NOT NULL UNIQUE, embedding real[]);
INSERT INTO query_two VALUES (1, 'one', '{1,0}'), (2, 'two', '{0,1}');
SELECT brain_key FROM brain.compute_similarity('query_two', 'by_id');
SELECT brain_key FROM brain.compute_similarity('query_two', 'by_name', id_field => 'name');
SELECT sample_id FROM brain.sort_by_similarity('query_two', 'two', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('query_two', ARRAY['two'], k => 1);
SELECT sample_id FROM brain.sort_by_similarity('query_two', '2', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('query_two', '[0,1]', k => 1, brain_key => 'by_id');
SELECT sample_id FROM brain.sort_by_similarity('query_two', ARRAY[0,1]::real[], k => 1, brain_key => 'by_name');
DROP TABLE query_two;

-- ---- parameters ----
-- untyped ones arrive as text; typed ones by their type; also from a generic plan
PREPARE query_untyped AS SELECT sample_id, round(distance::numeric, 4) AS distance FROM brain.sort_by_similarity('query_of_bigint', $1, k => 1);
EXECUTE query_untyped('2');
EXECUTE query_untyped('[3,0]');
EXECUTE query_untyped('{1,2}');
EXECUTE query_untyped(NULL);
PREPARE query_ids (bigint[], int) AS SELECT sample_id, round(distance::numeric, 4) AS distance FROM brain.sort_by_similarity('query_of_bigint', $1, k => $2) ORDER BY rank;
EXECUTE query_ids('{1,2}', 2);
SET plan_cache_mode = force_generic_plan;
EXECUTE query_ids('{1,2}', 1);
EXECUTE query_ids(ARRAY[3], NULL);
EXECUTE query_untyped('[3,0]');
PREPARE query_vector (real[], text, text, float8) AS
	SELECT sample_id, round(distance::numeric, 4) AS distance
	  FROM brain.sort_by_similarity('query_of_bigint', $1, brain_key => $2, filter => $3, max_distance => $4) ORDER BY rank;
EXECUTE query_vector('{3,0}', 'my_key', 'id <> 2', 10);
EXECUTE query_vector('{3,0}', 'my_key', NULL, 3);
PREPARE query_dataset (regclass, text) AS SELECT sample_id FROM brain.sort_by_similarity($1, $2, k => 1);
EXECUTE query_dataset('query_of_date', '2020-06-01');
EXECUTE query_dataset('query_of_bigint', '2');
RESET plan_cache_mode;
DEALLOCATE ALL;
-- from columns, and from PL/pgSQL's variables
SELECT q, s.sample_id FROM (VALUES ('2'), ('[3,0]'), ('{{3,0},{5,0}}')) AS x (q), LATERAL brain.sort_by_similarity('query_of_bigint', q, k => 1) s;
SELECT q, s.sample_id FROM (VALUES (3), (2)) AS x (q), LATERAL brain.sort_by_similarity('query_of_bigint', q, k => 1) s;
SELECT q, s.sample_id FROM (VALUES ('{3,0}'::real[]), ('{0,5}')) AS x (q), LATERAL brain.sort_by_similarity('query_of_bigint', q, k => 1) s;
DO $$
DECLARE
	v real[] := '{0,3}';
	i bigint := 3;
	t text := '[-5,-5]';
BEGIN
	RAISE NOTICE '% % %',
		(SELECT sample_id FROM brain.sort_by_similarity('query_of_bigint', v, k => 1)),
		(SELECT sample_id FROM brain.sort_by_similarity('query_of_bigint', i, k => 1)),
		(SELECT sample_id FROM brain.sort_by_similarity('query_of_bigint', t, k => 1));
END $$;
-- similar_samples reads a query in the same way
SELECT (sample).id FROM brain.similar_samples(NULL::query_of_bigint, '2', k => 1);
SELECT (sample).id FROM brain.similar_samples(NULL::query_of_bigint, 2::smallint, k => 1);
SELECT (sample).id, round(distance::numeric, 4) FROM brain.similar_samples(NULL::query_of_bigint, ARRAY[1, 2], k => 1);
SELECT (sample).id, distance FROM brain.similar_samples(NULL::query_of_bigint, ARRAY[3, 0]::real[], k => 1);
SELECT (sample).id, distance FROM brain.similar_samples(NULL::query_of_bigint, '[[3,0],[5,0]]', k => 1);
SELECT (sample).id FROM brain.similar_samples(NULL::query_of_bigint, 'my_key', k => 1);

DO $$
DECLARE
	t regclass;
BEGIN
	FOR t IN SELECT oid FROM pg_class WHERE relname LIKE 'query\_of\_%' AND relkind = 'r' LOOP
		EXECUTE 'DROP TABLE ' || t;
	END LOOP;
END $$;
DROP FUNCTION query_make, query_reads;
DROP DOMAIN query_int, query_text, query_vector;
DROP TYPE query_enum;
