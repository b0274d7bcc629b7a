-- The catalog of brain runs: listing, facts, renaming, deleting, cleaning up;
-- and what the extension says of itself.
--
-- Guards against: a listing that misses runs or fails because one is broken, a
-- record that says what is not so, a rename that takes any name (FiftyOne's bug
-- 15), a delete or cleanup that takes too much (a user's column, another
-- dataset's run) or leaves something, capabilities that the functions do not
-- have, and functions without comment or with accidental properties.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

CREATE FUNCTION catalog_error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END $$;

CREATE TABLE catalog_t (id int PRIMARY KEY, label text, clip real[], "Res Net" double precision[]);
INSERT INTO catalog_t SELECT i, 'l' || i % 2, CASE WHEN i < 10 THEN ARRAY[i, 1] END, ARRAY[1, i, 1] FROM generate_series(1, 10) i;
CREATE TABLE catalog_other (id int PRIMARY KEY, embedding real[]);
INSERT INTO catalog_other VALUES (1, '{1,0}');
SELECT brain_key FROM brain.compute_similarity('catalog_t', 'zebra', embeddings => 'clip');
SELECT brain_key FROM brain.compute_similarity('catalog_t', 'Ant', embeddings => 'Res Net', metric => 'euclidean', filter => $$label = 'l1'$$);
SELECT brain_key FROM brain.compute_similarity('catalog_t', 'bee', metric => 'dotproduct', with_data => false);
SELECT brain_key FROM brain.compute_similarity('catalog_other', 'bee');

-- ---- list_brain_runs: of one dataset, sorted by key as bytes ----
SELECT brain_key, type, method, backend, metric, dimensions, id_field, embeddings_field, patches_field, supports_prompts, filter
  FROM brain.list_brain_runs('catalog_t');
-- each argument that is not NULL must be equal; together all must
CREATE FUNCTION catalog_list(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	keys text;
BEGIN
	EXECUTE 'SELECT string_agg(brain_key, '' '') FROM brain.list_brain_runs(''catalog_t'', ' || arguments || ')' INTO keys;
	RETURN coalesce(keys, '(none)');
END $$;
SELECT arguments, catalog_list(arguments)
  FROM (VALUES
	(1, $$type => NULL$$), (2, $$type => 'similarity'$$), (3, $$type => 'visualization'$$), (4, $$type => ''$$),
	(5, $$method => 'exact'$$), (6, $$method => 'sklearn'$$), (7, $$method => 'milvus'$$), (8, $$method => 'qdrant'$$),
	(9, $$patches_field => NULL$$), (10, $$patches_field => 'detections'$$),
	(11, $$supports_prompts => NULL$$), (12, $$supports_prompts => false$$), (13, $$supports_prompts => true$$),
	(14, $$metric => 'euclidean'$$), (15, $$metric => 'L2'$$), (16, $$metric => '<#>'$$), (17, $$metric => 'cosine'$$), (18, $$metric => 'manhattan'$$),
	(19, $$embeddings_field => 'clip'$$), (20, $$embeddings_field => 'Res Net'$$), (21, $$embeddings_field => 'res net'$$),
	(22, $$'similarity', 'exact', NULL, false, 'cosine', 'clip'$$), (23, $$metric => 'cosine', embeddings_field => 'Res Net'$$)) AS a (n, arguments)
 ORDER BY n;
SELECT count(*) FROM brain.list_brain_runs(NULL);
SELECT count(*) FROM brain.list_brain_runs('pg_class');
SELECT brain_key FROM brain.list_brain_runs('catalog_other');
-- the view: all datasets, by dataset and key
SELECT samples, brain_key, state FROM brain.runs WHERE samples::text LIKE 'catalog\_%';

-- ---- has_brain_run ----
SELECT brain.has_brain_run('catalog_t', 'zebra') AS yes, brain.has_brain_run('catalog_t', 'Zebra') AS no, brain.has_brain_run('catalog_other', 'zebra') AS no,
	   brain.has_brain_run('catalog_t', '') AS no, brain.has_brain_run('catalog_t', NULL) AS no, brain.has_brain_run(NULL, 'zebra') AS no;

-- ---- get_brain_info ----
SELECT jsonb_pretty(brain.get_brain_info('catalog_t', 'Ant') - 'timestamp' #- '{index,base,last_sync}' #- '{index,base,generation}');
SELECT jsonb_pretty(brain.get_brain_info('catalog_t', 'bee') #> '{index}' #- '{base,last_sync}' #- '{base,generation}');
SELECT (brain.get_brain_info('catalog_t', 'Ant') ->> 'timestamp')::timestamptz BETWEEN now() - interval '1 hour' AND clock_timestamp() AS recent,
	   brain.get_brain_info('catalog_t', 'Ant') ->> 'version' = brain.version() AS this_version;

-- ---- load_brain_results: the index as it is now; the record stays as it was ----
SELECT brain_key, backend, metric, dimensions, indexed, missing, skipped, seconds >= 0 AS seconds FROM brain.load_brain_results('catalog_t', 'zebra');
UPDATE catalog_t SET clip = '{1,2,3}' WHERE id = 1;
UPDATE catalog_t SET clip = NULL WHERE id = 2;
INSERT INTO catalog_t VALUES (11, 'l1', '{11,1}', '{1,11,1}'), (12, 'l0', '{12,1}', '{1,12,1}');
SELECT dimensions, indexed, missing, skipped FROM brain.load_brain_results('catalog_t', 'zebra');
SELECT dimensions, indexed, missing, skipped FROM brain.list_brain_runs('catalog_t') WHERE brain_key = 'zebra';
SELECT dimensions, indexed, missing, skipped FROM brain.load_brain_results('catalog_t', 'Ant');
SELECT dimensions, indexed, missing, skipped FROM brain.load_brain_results('catalog_t', 'bee');
SELECT inserted FROM brain.add_to_index('catalog_t', 'bee', ARRAY[1, 2], ARRAY[[1, 2], [3, 4]]);
SELECT dimensions, indexed, missing, skipped FROM brain.load_brain_results('catalog_t', 'bee');
UPDATE catalog_t SET clip = ARRAY[id, 1] WHERE id <= 2;

-- ---- rename_brain_run ----
SELECT brain.rename_brain_run('catalog_t', 'zebra', 'Yak_2');
SELECT brain_key, embeddings_field FROM brain.list_brain_runs('catalog_t');
SELECT sample_id FROM brain.sort_by_similarity('catalog_t', 3, k => 1, brain_key => 'Yak_2');
-- a run with embeddings of its own keeps them; another dataset's run of that key stays
SELECT brain.rename_brain_run('catalog_t', 'bee', 'cat');
SELECT sample_id FROM brain.get_embeddings('catalog_t', 'cat', ARRAY[2, 1]);
SELECT brain.has_brain_run('catalog_other', 'bee');
BEGIN;
SELECT brain.rename_brain_run('catalog_t', 'cat', 'dog');
ROLLBACK;
SELECT brain.has_brain_run('catalog_t', 'cat') AS yes, brain.has_brain_run('catalog_t', 'dog') AS no;
\pset format unaligned
\pset tuples_only on
SELECT catalog_error($$SELECT brain.rename_brain_run('catalog_t', 'cat', 'Ant')$$);
SELECT catalog_error($$SELECT brain.rename_brain_run('catalog_t', 'cat', 'cat')$$);
SELECT catalog_error($$SELECT brain.rename_brain_run('catalog_t', 'nope', 'dog')$$);
SELECT catalog_error($$SELECT brain.rename_brain_run('catalog_t', 'cat', 'my-key')$$);
SELECT catalog_error($$SELECT brain.rename_brain_run('catalog_t', 'cat', '')$$);
SELECT catalog_error($$SELECT brain.rename_brain_run('catalog_t', 'cat', NULL)$$);
SELECT catalog_error($$SELECT brain.rename_brain_run('catalog_t', NULL, 'dog')$$);
SELECT catalog_error($$SELECT brain.rename_brain_run(NULL, 'cat', 'dog')$$);
\pset format aligned
\pset tuples_only off
SELECT string_agg(brain_key, ' ') FROM brain.list_brain_runs('catalog_t');

-- ---- cleanup: the index goes, the record stays ----
SELECT brain.cleanup('catalog_t', 'cat');
SELECT brain.cleanup('catalog_t', 'Yak_2');
SELECT brain_key, state, reason, metric, embeddings_field, indexed, missing, skipped FROM brain.list_brain_runs('catalog_t') WHERE state = 'cleaned up';
SELECT brain.has_brain_run('catalog_t', 'cat');
SELECT brain.get_brain_info('catalog_t', 'cat') -> 'config' ->> 'metric' AS metric, brain.get_brain_info('catalog_t', 'cat') -> 'index' ->> 'state' AS state;
SELECT count(*) FROM brain.embeddings e JOIN brain._runs r USING (run_id) WHERE r.dataset_name = 'catalog_t';
-- a column is the user's, not the index
SELECT count(clip) FROM catalog_t;
\pset format unaligned
\pset tuples_only on
SELECT catalog_error($$SELECT brain.sort_by_similarity('catalog_t', 1, brain_key => 'Yak_2')$$);
SELECT catalog_error($$SELECT brain.sort_by_similarity('catalog_t', '[1,2]', brain_key => 'cat')$$);
SELECT catalog_error($$SELECT brain.similar_samples(NULL::catalog_t, 1, brain_key => 'Yak_2')$$);
SELECT catalog_error($$SELECT brain.load_brain_results('catalog_t', 'Yak_2')$$);
SELECT catalog_error($$SELECT brain.get_embeddings('catalog_t', 'cat', 1)$$);
\pset format aligned
\pset tuples_only off
-- again: nothing to do. Rename, delete, compute again with overwrite: they work.
SELECT brain.cleanup('catalog_t', 'cat');
SELECT brain.rename_brain_run('catalog_t', 'cat', 'dog');
SELECT brain.delete_brain_run('catalog_t', 'dog');
SELECT indexed FROM brain.compute_similarity('catalog_t', 'Yak_2', embeddings => 'clip', overwrite => true);
SELECT state, indexed FROM brain.list_brain_runs('catalog_t') WHERE brain_key = 'Yak_2';
-- rolled back
BEGIN;
SELECT brain.cleanup('catalog_t', 'Yak_2');
ROLLBACK;
SELECT sample_id FROM brain.sort_by_similarity('catalog_t', 3, k => 1, brain_key => 'Yak_2');
-- the only run of a dataset, and no key given: the same error
SELECT brain.cleanup('catalog_other', 'bee');
\pset format unaligned
\pset tuples_only on
SELECT catalog_error($$SELECT brain.sort_by_similarity('catalog_other', 1)$$);
SELECT catalog_error($$SELECT brain.cleanup('catalog_t', 'nope')$$);
SELECT catalog_error($$SELECT brain.cleanup('catalog_t', NULL)$$);
SELECT catalog_error($$SELECT brain.cleanup(NULL, 'cat')$$);
\pset format aligned
\pset tuples_only off

-- ---- delete_brain_run: the record goes, and the vectors that only it held ----
SELECT brain_key FROM brain.compute_similarity('catalog_t', 'own', with_data => false);
SELECT inserted FROM brain.add_to_index('catalog_t', 'own', 1, '[1,2]');
BEGIN;
SELECT brain.delete_brain_run('catalog_t', 'own');
SELECT brain.has_brain_run('catalog_t', 'own');
ROLLBACK;
SELECT sample_id FROM brain.get_embeddings('catalog_t', 'own', 1);
SELECT brain.delete_brain_run('catalog_t', 'own', cleanup => true);
SELECT brain.delete_brain_run('catalog_t', 'Yak_2');
SELECT string_agg(brain_key, ' ') FROM brain.list_brain_runs('catalog_t');
SELECT count(clip) FROM catalog_t;
SELECT count(*) FROM brain._runs WHERE dataset_name = 'catalog_t';
SELECT count(*) FROM brain._run_bindings WHERE dataset = 'catalog_t'::regclass;
SELECT count(*) FROM brain.embeddings e WHERE NOT EXISTS (SELECT FROM brain._runs r WHERE r.run_id = e.run_id);
\pset format unaligned
\pset tuples_only on
SELECT catalog_error($$SELECT brain.delete_brain_run('catalog_t', 'Yak_2')$$);
SELECT catalog_error($$SELECT brain.delete_brain_run('catalog_t', NULL)$$);
SELECT catalog_error($$SELECT brain.delete_brain_run(NULL, 'Ant')$$);
SELECT catalog_error($$SELECT brain.get_brain_info('catalog_t', 'Yak_2')$$);
SELECT catalog_error($$SELECT brain.get_brain_info('catalog_t', NULL)$$);
SELECT catalog_error($$SELECT brain.get_brain_info(NULL, 'Ant')$$);
SELECT catalog_error($$SELECT brain.load_brain_results('catalog_t', 'Yak_2')$$);
SELECT catalog_error($$SELECT brain.load_brain_results('catalog_t', NULL)$$);
SELECT catalog_error($$SELECT brain.load_brain_results(NULL, 'Ant')$$);
\pset format aligned
\pset tuples_only off
-- a deleted key is free
SELECT brain_key FROM brain.compute_similarity('catalog_t', 'Yak_2', embeddings => 'clip');
-- all of a dataset: how many there were; other datasets' stay
SELECT brain.delete_brain_runs('catalog_t');
SELECT brain.delete_brain_runs('catalog_t', cleanup => true);
SELECT count(*) FROM brain.list_brain_runs('catalog_t');
SELECT brain.has_brain_run('catalog_other', 'bee');
\pset format unaligned
\pset tuples_only on
SELECT catalog_error($$SELECT brain.delete_brain_runs(NULL)$$);
\pset format aligned
\pset tuples_only off

-- ---- broken runs, and mended ones ----
-- The view says why, and so does the search; nothing else fails because of them.
CREATE TABLE catalog_b (id int PRIMARY KEY, name text NOT NULL UNIQUE, embedding real[], part int);
INSERT INTO catalog_b VALUES (1, 'a', '{1,0}', 1), (2, 'b', '{0,1}', 2);
CREATE FUNCTION catalog_part(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 > 0; END';
SELECT brain_key FROM brain.compute_similarity('catalog_b', 'plain', metric => 'euclidean');
SELECT brain_key FROM brain.compute_similarity('catalog_b', 'named', id_field => 'name', metric => 'euclidean');
SELECT brain_key FROM brain.compute_similarity('catalog_b', 'parts', filter => 'catalog_part(part)', metric => 'euclidean');
CREATE VIEW catalog_states AS SELECT brain_key, state, reason, embeddings_field FROM brain.list_brain_runs('catalog_b');
-- its column dropped; another one of that name mends it
BEGIN;
ALTER TABLE catalog_b DROP COLUMN embedding;
SELECT * FROM catalog_states;
SELECT brain.has_brain_run('catalog_b', 'plain'), brain.get_brain_info('catalog_b', 'plain') -> 'index' ->> 'state' AS state;
\pset format unaligned
\pset tuples_only on
SELECT catalog_error($$SELECT brain.sort_by_similarity('catalog_b', 1, brain_key => 'plain')$$);
SELECT split_part(catalog_error($$SELECT brain.sort_by_similarity('catalog_b', 1)$$), E'\n', 1);
SELECT catalog_error($$SELECT brain.load_brain_results('catalog_b', 'plain')$$);
SELECT catalog_error($$SELECT brain.get_embeddings('catalog_b', 'plain', 1)$$);
SELECT catalog_error($$SELECT brain.add_to_index('catalog_b', 'plain', 1, '[1,0]')$$);
\pset format aligned
\pset tuples_only off
ALTER TABLE catalog_b ADD COLUMN embedding float8[];
UPDATE catalog_b SET embedding = '{2,0}';
SELECT * FROM catalog_states;
SELECT sample_id, distance FROM brain.sort_by_similarity('catalog_b', '[0,0]', k => 1, brain_key => 'plain');
ROLLBACK;
-- its type changed to one that holds no vectors, and back
ALTER TABLE catalog_b ALTER COLUMN embedding TYPE text USING array_to_string(embedding, ',');
SELECT * FROM catalog_states WHERE brain_key = 'plain';
ALTER TABLE catalog_b ALTER COLUMN embedding TYPE float8[] USING string_to_array(embedding, ',')::float8[];
SELECT * FROM catalog_states WHERE brain_key = 'plain';
SELECT sample_id FROM brain.sort_by_similarity('catalog_b', 1, k => 1, brain_key => 'plain');
-- its key: no unique index, not NOT NULL, dropped
ALTER TABLE catalog_b DROP CONSTRAINT catalog_b_name_key;
SELECT * FROM catalog_states WHERE brain_key = 'named';
CREATE UNIQUE INDEX catalog_b_again ON catalog_b (name);
SELECT * FROM catalog_states WHERE brain_key = 'named';
ALTER TABLE catalog_b ALTER COLUMN name DROP NOT NULL;
SELECT * FROM catalog_states WHERE brain_key = 'named';
ALTER TABLE catalog_b ALTER COLUMN name SET NOT NULL;
SELECT sample_id FROM brain.sort_by_similarity('catalog_b', 'b', k => 1, brain_key => 'named');
-- its filter: the function dropped, and made again
DROP FUNCTION catalog_part(int);
SELECT * FROM catalog_states WHERE brain_key = 'parts';
CREATE FUNCTION catalog_part(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 > 1; END';
SELECT * FROM catalog_states WHERE brain_key = 'parts';
SELECT sample_id FROM brain.sort_by_similarity('catalog_b', '[0,0]', brain_key => 'parts');
-- a broken run can be renamed, cleaned up, deleted, computed again
ALTER TABLE catalog_b RENAME COLUMN embedding TO vectors;
ALTER TABLE catalog_b DROP COLUMN vectors;
SELECT * FROM catalog_states WHERE brain_key = 'plain';
SELECT brain.rename_brain_run('catalog_b', 'plain', 'plain2');
SELECT brain.cleanup('catalog_b', 'plain2');
SELECT brain.delete_brain_run('catalog_b', 'named');
ALTER TABLE catalog_b ADD COLUMN new_vectors real[];
SELECT indexed, missing FROM brain.compute_similarity('catalog_b', 'plain2', overwrite => true);
SELECT * FROM catalog_states;
SELECT brain.delete_brain_runs('catalog_b');
-- a dropped dataset takes its runs along
SELECT brain_key FROM brain.compute_similarity('catalog_b', 'last');
DROP VIEW catalog_states;
DROP TABLE catalog_b;
SELECT count(*) FROM brain._runs WHERE dataset_name = 'catalog_b';
DROP FUNCTION catalog_part;

-- ---- what the extension says of itself ----
SELECT brain.version() = extversion AS is_the_extension_s FROM pg_extension WHERE extname = 'milvus_brain';
SELECT * FROM brain.capabilities();
CREATE TEMP VIEW exact AS SELECT * FROM brain.capabilities() WHERE backend = 'exact';
-- max_k: none. reverse, max_distance, filter: they work, or are refused, as it says.
SELECT s.backend FROM exact c, LATERAL brain.compute_similarity('catalog_t', 'can', embeddings => 'Res Net', backend => c.backend, filter => 'id <= 10') s;
SELECT c.backend, k.rows = 10 AND c.max_k IS NULL AS max_k, r.rows = 10 AND c.reverse AS reverse, d.rows = 1 AND c.max_distance AS max_distance, f.rows = 1 AND c.filter AS filter
  FROM exact c,
	   LATERAL (SELECT count(*) AS rows FROM brain.sort_by_similarity('catalog_t', 1, k => 2147483647, brain_key => 'can')) k,
	   LATERAL (SELECT count(*) AS rows FROM brain.sort_by_similarity('catalog_t', 1, reverse => true, brain_key => 'can')) r,
	   LATERAL (SELECT count(*) AS rows FROM brain.sort_by_similarity('catalog_t', 1, max_distance => 0, brain_key => 'can')) d,
	   LATERAL (SELECT count(*) AS rows FROM brain.sort_by_similarity('catalog_t', 1, filter => 'id = 2', brain_key => 'can')) f;
SELECT word, word = ANY (c.aggregations) AS listed,
	   catalog_error(format('SELECT brain.sort_by_similarity(''catalog_t'', ARRAY[1, 2], aggregation => %L, brain_key => ''can'')', word)) = 'no error' AS accepted
  FROM exact c, (VALUES ('mean'), ('post-mean'), ('post-min'), ('post-max'), ('median'), ('max')) AS w (word) ORDER BY word;
SELECT word, word = ANY (c.metrics) AS listed,
	   catalog_error(format('SELECT brain.compute_similarity(''catalog_t'', ''can_metric'', embeddings => ''Res Net'', metric => %L, overwrite => true)', word)) = 'no error' AS accepted
  FROM exact c, (VALUES ('cosine'), ('dotproduct'), ('euclidean'), ('manhattan'), ('hamming')) AS w (word) ORDER BY word;
SELECT c.default_metric = s.metric AS default_metric
  FROM exact c, LATERAL brain.compute_similarity('catalog_t', 'can', embeddings => 'Res Net', backend => c.backend, overwrite => true) s;
UPDATE catalog_other SET embedding = array_fill(1::real, ARRAY[(SELECT max_dimensions FROM exact)]);
SELECT s.dimensions = c.max_dimensions AS max_dimensions FROM exact c, LATERAL brain.compute_similarity('catalog_other', 'most') s;
UPDATE catalog_other SET embedding = embedding || 1::real;
\pset format unaligned
\pset tuples_only on
SELECT catalog_error($$SELECT brain.compute_similarity('catalog_other', 'more')$$);
-- a backend that is not listed is refused
SELECT catalog_error($$SELECT brain.compute_similarity('catalog_other', 'more', backend => 'qdrant')$$);

-- ---- the functions: signatures, properties, comments ----
SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ') -> ' || pg_get_function_result(p.oid)
  FROM pg_proc p WHERE pronamespace = 'brain'::regnamespace AND proname NOT LIKE '\_%' ORDER BY p.proname COLLATE "C", pg_get_function_arguments(p.oid) COLLATE "C";
\pset format aligned
\pset tuples_only off
-- Searches are STABLE and PARALLEL RESTRICTED (one snapshot, the leader's); what
-- writes is VOLATILE and UNSAFE; nothing is SECURITY DEFINER; SQL functions are parsed when they are made,
-- so that no search_path matters.
SELECT proname, pronargs AS args, provolatile AS v, proparallel AS p, proisstrict AS strict, prosecdef AS secdef, proleakproof AS leakproof,
	   procost AS cost, prorows AS rows, prosupport <> 0 AS support, lanname,
	   prosqlbody IS NOT NULL AS parsed, proconfig
  FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'brain'::regnamespace
 ORDER BY proname COLLATE "C", pronargs, p.proargtypes::text COLLATE "C" DESC;
-- all that the extension made is in schema brain, and has a comment
SELECT pg_describe_object(classid, objid, 0) AS without_comment
  FROM pg_depend d
 WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'milvus_brain') AND deptype = 'e'
   AND obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)) IS NULL
   AND NOT (classid = 'pg_type'::regclass AND (SELECT typrelid <> 0 OR typelem <> 0 FROM pg_type t WHERE t.oid = objid))
   AND classid NOT IN ('pg_rewrite'::regclass, 'pg_cast'::regclass)
   -- a composite type's class entry has its comment on the type
   AND NOT (classid = 'pg_class'::regclass AND (SELECT relkind = 'c' FROM pg_class c WHERE c.oid = objid))
 ORDER BY 1;
SELECT pg_describe_object(classid, objid, 0) AS elsewhere
  FROM pg_depend d, LATERAL pg_identify_object(classid, objid, 0) o
 WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'milvus_brain') AND deptype = 'e'
   AND o.schema IS DISTINCT FROM 'brain' AND o.type NOT IN ('event trigger', 'schema')
 ORDER BY 1;
-- and everybody may call what is not internal
SELECT string_agg(proname, ' ') AS not_callable FROM pg_proc WHERE pronamespace = 'brain'::regnamespace AND NOT has_function_privilege('public', oid, 'EXECUTE') AND proname NOT LIKE '\_%';
SELECT relname, has_table_privilege('public', oid, 'SELECT') AS everybody_selects,
	   has_table_privilege('public', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') AS everybody_writes
  FROM pg_class WHERE relnamespace = 'brain'::regnamespace AND relkind IN ('r', 'v', 'm', 'S') ORDER BY relname COLLATE "C";

DROP TABLE catalog_t, catalog_other;
DROP FUNCTION catalog_error, catalog_list;
