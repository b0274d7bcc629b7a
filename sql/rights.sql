-- Guards against: a role that reads, changes or learns of more than its rights on
-- the dataset allow: without SELECT, by way of row security, an error's or a
-- warning's words, counts, a leaky filter, or a superuser who is made to run an
-- owner's code.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
SET extra_float_digits = 0;

CREATE ROLE regress_rights_owner;
CREATE ROLE regress_rights_heir;		-- gets the tables later
CREATE ROLE regress_rights_member IN ROLE regress_rights_owner;
CREATE ROLE regress_rights_reader;		-- SELECT
CREATE ROLE regress_rights_columns;		-- SELECT (id, emb)
CREATE ROLE regress_rights_labels;		-- SELECT (id, label)
CREATE ROLE regress_rights_writer;		-- SELECT, UPDATE
CREATE ROLE regress_rights_filler;		-- SELECT, UPDATE (emb)
CREATE ROLE regress_rights_updater;		-- UPDATE
CREATE ROLE regress_rights_none;
CREATE ROLE regress_rights_bypass BYPASSRLS;

CREATE SCHEMA rights;
GRANT CREATE, USAGE ON SCHEMA rights TO regress_rights_owner, regress_rights_heir;
GRANT USAGE ON SCHEMA rights TO PUBLIC;

-- What a statement does for the caller: its SQLSTATE, 00000 for none. All is
-- undone again.
CREATE FUNCTION rights.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE SQLSTATE 'UNDO0';
EXCEPTION
	WHEN SQLSTATE 'UNDO0' THEN RETURN '00000';
	WHEN OTHERS THEN RETURN SQLSTATE;
END $$;

-- All that a statement's error tells.
CREATE FUNCTION rights.error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; detail text; hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''));
END $$;

-- The plain SQL that answers are compared with.
CREATE FUNCTION rights.cosine(a real[], b real[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
	SELECT 1 - sum(x::float8 * y) / sqrt(sum(x::float8 * x) * sum(y::float8 * y)) FROM unnest(a, b) AS u (x, y)
$$;

-- ---------------------------------------------------------------------------
-- Schema brain: what everybody has, and nothing more
-- ---------------------------------------------------------------------------
SELECT has_schema_privilege('regress_rights_none', 'brain', 'USAGE') AS usage,
	   has_schema_privilege('regress_rights_none', 'brain', 'CREATE') AS "create";
SELECT count(*) > 15 AS functions,
	   bool_and(has_function_privilege('regress_rights_none', oid, 'EXECUTE')) AS executable,
	   bool_or(prosecdef) AS any_security_definer
  FROM pg_proc WHERE pronamespace = 'brain'::regnamespace AND proname <> 'sweep';
SELECT relname, has_table_privilege('regress_rights_none', oid, 'SELECT') AS "select",
	   has_table_privilege('regress_rights_none', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR
	   has_any_column_privilege('regress_rights_none', oid, 'INSERT, UPDATE, REFERENCES') AS other
  FROM pg_class WHERE relnamespace = 'brain'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
 ORDER BY relname COLLATE "C";
SET ROLE regress_rights_none;
SELECT * FROM brain._runs;
SELECT * FROM brain._run_bindings;
SELECT * FROM brain.embeddings;
INSERT INTO brain.embeddings VALUES (gen_random_uuid(), '1', '{1}');
CREATE TABLE brain.mine (id int);
DROP VIEW brain.runs;
DROP EVENT TRIGGER milvus_brain_on_drop;
ALTER FUNCTION brain.version() RENAME TO mine;
RESET ROLE;

-- ---------------------------------------------------------------------------
-- Who may do what
-- ---------------------------------------------------------------------------
SET ROLE regress_rights_owner;
CREATE TABLE rights.images (id int PRIMARY KEY, label text, emb real[]);
INSERT INTO rights.images
	SELECT i, 'l' || i % 3, ARRAY[cos(i * i * 0.01), sin(i * i * 0.01)]::real[] FROM generate_series(1, 12) i;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.images', 'img');
SELECT brain_key, indexed FROM brain.compute_similarity('rights.images', 'stored', with_data => false);
SELECT * FROM brain.add_to_index('rights.images', 'stored', ARRAY[1, 2, 3], ARRAY[[1, 0], [0, 1], [1, 1]]::real[]);
GRANT SELECT ON rights.images TO regress_rights_reader;
GRANT SELECT (id, emb) ON rights.images TO regress_rights_columns;
GRANT SELECT (id, label) ON rights.images TO regress_rights_labels;
GRANT SELECT, UPDATE ON rights.images TO regress_rights_writer;
GRANT SELECT, UPDATE (emb) ON rights.images TO regress_rights_filler;
GRANT UPDATE ON rights.images TO regress_rights_updater;
RESET ROLE;

-- needs: read = SELECT on the key and the embeddings, row = SELECT on all
-- columns, label = SELECT on that column too, key = SELECT on the key, write =
-- read and UPDATE of the embeddings, change = ownership
CREATE TABLE rights.calls (n serial, call text, needs text);
INSERT INTO rights.calls (needs, call) VALUES
	('read', $$SELECT * FROM brain.sort_by_similarity('rights.images', 1, brain_key => 'img')$$),
	('read', $$SELECT * FROM brain.sort_by_similarity('rights.images', '1', brain_key => 'img')$$),
	('read', $$SELECT * FROM brain.sort_by_similarity('rights.images', ARRAY[1, 2], brain_key => 'img')$$),
	('read', $$SELECT * FROM brain.sort_by_similarity('rights.images', '[1, 2]', brain_key => 'img')$$),
	('read', $$SELECT * FROM brain.sort_by_similarity('rights.images', '{1, 2}'::real[], brain_key => 'img')$$),
	('label', $$SELECT * FROM brain.sort_by_similarity('rights.images', '[1, 2]', brain_key => 'img', filter => 'label <> ''x''')$$),
	('row', $$SELECT * FROM brain.similar_samples(NULL::rights.images, '1', brain_key => 'img')$$),
	('row', $$SELECT * FROM brain.similar_samples(NULL::rights.images, ARRAY[1, 2], brain_key => 'img')$$),
	('read', $$SELECT * FROM brain.get_embeddings('rights.images', 'img')$$),
	('read', $$SELECT * FROM brain.get_embeddings('rights.images', 'img', 1)$$),
	('read', $$SELECT * FROM brain.load_brain_results('rights.images', 'img')$$),
	('key', $$SELECT * FROM brain.sort_by_similarity('rights.images', '[1, 2]', brain_key => 'stored')$$),
	('key', $$SELECT * FROM brain.get_embeddings('rights.images', 'stored')$$),
	('write', $$SELECT * FROM brain.add_to_index('rights.images', 'img', 1, '[1, 2]')$$),
	('write', $$SELECT * FROM brain.remove_from_index('rights.images', 'img', 1)$$),
	('update', $$SELECT * FROM brain.add_to_index('rights.images', 'stored', 1, '[1, 2]')$$),
	('update', $$SELECT * FROM brain.remove_from_index('rights.images', 'stored', 1)$$),
	('change', $$SELECT * FROM brain.compute_similarity('rights.images', 'mine')$$),
	('change', $$SELECT * FROM brain.compute_similarity('rights.images', 'img', overwrite => true)$$),
	('change', $$SELECT * FROM brain.compute_similarity('rights.images', 'mine', with_data => false)$$),
	('change', $$SELECT brain.rename_brain_run('rights.images', 'img', 'mine')$$),
	('change', $$SELECT brain.cleanup('rights.images', 'img')$$),
	('change', $$SELECT brain.delete_brain_run('rights.images', 'img')$$),
	('change', $$SELECT brain.delete_brain_run('rights.images', 'img', cleanup => true)$$),
	('change', $$SELECT brain.delete_brain_runs('rights.images')$$);
GRANT SELECT ON rights.calls TO PUBLIC;

-- Each role's answers: t = allowed, f = 42501, else the SQLSTATE that should not be
CREATE FUNCTION rights.may() RETURNS TABLE (needs text, may text) LANGUAGE sql AS $$
	SELECT c.needs, string_agg(DISTINCT CASE rights.try(c.call) WHEN '00000' THEN 't' WHEN '42501' THEN 'f'
											 ELSE rights.try(c.call) || ' ' || c.call END, ', ')
	  FROM rights.calls c GROUP BY c.needs ORDER BY min(c.n)
$$;
SET ROLE regress_rights_none;
SELECT * FROM rights.may();
SET ROLE regress_rights_labels;
SELECT * FROM rights.may();
SET ROLE regress_rights_columns;
SELECT * FROM rights.may();
SET ROLE regress_rights_reader;
SELECT * FROM rights.may();
SET ROLE regress_rights_updater;
SELECT * FROM rights.may();
SET ROLE regress_rights_filler;
SELECT * FROM rights.may();
SET ROLE regress_rights_writer;
SELECT * FROM rights.may();
SET ROLE regress_rights_member;
SELECT * FROM rights.may();
SET ROLE regress_rights_owner;
SELECT * FROM rights.may();
RESET ROLE;
SELECT * FROM rights.may();

-- in words, and nothing was changed
SET ROLE regress_rights_reader;
SELECT * FROM brain.compute_similarity('rights.images', 'img', overwrite => true);
SELECT brain.rename_brain_run('rights.images', 'img', 'mine');
SELECT * FROM brain.add_to_index('rights.images', 'img', 1, '[1, 2]');
SELECT * FROM brain.add_to_index('rights.images', 'stored', 1, '[1, 2]');
SELECT brain_key, indexed, state FROM brain.list_brain_runs('rights.images');
SET ROLE regress_rights_columns;
SELECT rank, sample_id FROM brain.sort_by_similarity('rights.images', 1, k => 3, brain_key => 'img');
SELECT rank FROM brain.similar_samples(NULL::rights.images, 1, k => 3, brain_key => 'img');
SELECT brain_key FROM brain.list_brain_runs('rights.images');
-- who may not read a run's embeddings does not see the run
SET ROLE regress_rights_labels;
SELECT brain_key FROM brain.list_brain_runs('rights.images');
SELECT brain.has_brain_run('rights.images', 'img'), brain.has_brain_run('rights.images', 'stored');
RESET ROLE;

-- the schema's USAGE is needed too, also where the dataset is named by its OID
CREATE SCHEMA rights_closed AUTHORIZATION regress_rights_owner;
SET ROLE regress_rights_owner;
CREATE TABLE rights_closed.images AS SELECT * FROM rights.images;
ALTER TABLE rights_closed.images ADD PRIMARY KEY (id);
GRANT SELECT ON rights_closed.images TO PUBLIC;
SELECT brain_key FROM brain.compute_similarity('rights_closed.images', 'closed');
RESET ROLE;
SELECT 'rights_closed.images'::regclass::oid AS closed \gset
SET ROLE regress_rights_none;
SELECT * FROM brain.sort_by_similarity('rights_closed.images', 1);
SELECT * FROM brain.sort_by_similarity(:closed::regclass, 1);
RESET ROLE;
DROP SCHEMA rights_closed CASCADE;

-- a function with its owner's rights can hand a search on
SET ROLE regress_rights_owner;
CREATE FUNCTION rights.nearest(id int) RETURNS SETOF text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT sample_id FROM brain.sort_by_similarity('rights.images', id, k => 2, brain_key => 'img') $$;
SET ROLE regress_rights_none;
SELECT * FROM rights.nearest(1);
RESET ROLE;

-- ---------------------------------------------------------------------------
-- A search's filter is the caller's own
-- ---------------------------------------------------------------------------
CREATE TABLE rights.canary (id int);
INSERT INTO rights.canary VALUES (1);
CREATE FUNCTION rights.private(int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
REVOKE EXECUTE ON FUNCTION rights.private(int) FROM PUBLIC;
CREATE FUNCTION rights.who(int) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN IF $1 = 1 THEN RAISE WARNING 'filter runs as %', current_user; END IF; RETURN true; END $$;
SET ROLE regress_rights_reader;
SELECT count(*) FROM brain.sort_by_similarity('rights.images', 1, brain_key => 'img', filter => 'id IN (SELECT id FROM rights.canary)');
SELECT count(*) FROM brain.sort_by_similarity('rights.images', 1, brain_key => 'img', filter => 'rights.private(id)');
SELECT count(*) FROM brain.sort_by_similarity('rights.images', 1, brain_key => 'img', filter => 'rights.who(id)');
SELECT count(*) FROM brain.sort_by_similarity('rights.images', 1, brain_key => 'img', filter => 'id IN (SELECT id FROM rights.images WHERE label = ''l1'')');
RESET ROLE;

-- ---------------------------------------------------------------------------
-- Nobody learns of runs on what they may not read
-- ---------------------------------------------------------------------------
SET ROLE regress_rights_owner;
CREATE TABLE rights.secret (id int PRIMARY KEY, label text, emb real[], gone real[]);
INSERT INTO rights.secret SELECT id, label, emb, emb FROM rights.images;
SELECT brain_key FROM brain.compute_similarity('rights.secret', 'ready', embeddings => 'emb', filter => 'label <> ''l1''');
SELECT brain_key FROM brain.compute_similarity('rights.secret', 'ready2', embeddings => 'emb');
SELECT brain_key FROM brain.compute_similarity('rights.secret', 'stored', with_data => false);
SELECT brain_key FROM brain.compute_similarity('rights.secret', 'broken', embeddings => 'gone');
SELECT brain_key FROM brain.compute_similarity('rights.secret', 'cleaned', embeddings => 'emb');
SELECT brain.cleanup('rights.secret', 'cleaned');
ALTER TABLE rights.secret DROP COLUMN gone;
CREATE TABLE rights.bare (id int PRIMARY KEY, label text, emb real[]);
RESET ROLE;
-- the same calls with the keys that there are and with one that there is not, on
-- a dataset that has no run too: one answer
CREATE FUNCTION rights.told() RETURNS TABLE (call text, answers bigint, first text) LANGUAGE sql AS $body$
	WITH calls (n, call) AS (VALUES
			(1, 'SELECT * FROM brain.sort_by_similarity(''$t'', 1, brain_key => ''$k'')'),
			(2, 'SELECT * FROM brain.sort_by_similarity(''$t'', ''$k'')'),
			(3, 'SELECT * FROM brain.sort_by_similarity(''$t'', ''[1, 2, 3]'')'),
			(4, 'SELECT * FROM brain.sort_by_similarity(''$t'', ''[1, 2, 3]'', brain_key => ''$k'')'),
			(5, 'SELECT * FROM brain.sort_by_similarity(''$t'', ''x'', brain_key => ''$k'')'),
			(6, 'SELECT * FROM brain.similar_samples(NULL::$t, ''1'', brain_key => ''$k'')'),
			(7, 'SELECT * FROM brain.similar_samples(NULL::$t, 1)'),
			(8, 'SELECT * FROM brain.get_embeddings(''$t'', ''$k'')'),
			(9, 'SELECT * FROM brain.get_embeddings(''$t'', ''$k'', 1)'),
			(10, 'SELECT * FROM brain.get_embeddings(''$t'', ''$k'', ''x'')'),
			(11, 'SELECT * FROM brain.load_brain_results(''$t'', ''$k'')'),
			(12, 'SELECT * FROM brain.add_to_index(''$t'', ''$k'', 1, ''[1, 2]'')'),
			(13, 'SELECT * FROM brain.add_to_index(''$t'', ''$k'', 99, ''[1, 2, 3]'', allow_existing => false)'),
			(14, 'SELECT * FROM brain.remove_from_index(''$t'', ''$k'', 1, allow_missing => false)'),
			(15, 'SELECT * FROM brain.compute_similarity(''$t'', ''$k'')'),
			(16, 'SELECT * FROM brain.compute_similarity(''$t'', ''$k'', overwrite => true)'),
			(17, 'SELECT * FROM brain.compute_similarity(''$t'', ''$k'', embeddings => ''gone'')'),
			(18, 'SELECT brain.rename_brain_run(''$t'', ''$k'', ''new'')'),
			(19, 'SELECT brain.rename_brain_run(''$t'', ''new'', ''$k'')'),
			(20, 'SELECT brain.cleanup(''$t'', ''$k'')'),
			(21, 'SELECT brain.delete_brain_run(''$t'', ''$k'')'),
			(22, 'SELECT brain.delete_brain_runs(''$t'')'),
			(23, 'SELECT brain.get_brain_info(''$t'', ''$k'')')),
		 keys (k) AS (VALUES ('ready'), ('ready2'), ('stored'), ('broken'), ('cleaned'), ('invented')),
		 tables (t) AS (VALUES ('secret'), ('bare')),
		 answers AS (
			SELECT n, call, replace(replace(rights.error(replace(replace(call, '$k', k), '$t', 'rights.' || t)),
											'"' || k || '"', '"$k"'), t, '$t') AS answer
			  FROM calls, keys, tables)
	SELECT call, count(DISTINCT answer), min(answer) FROM answers GROUP BY n, call ORDER BY n
$body$;
SET ROLE regress_rights_none;
SELECT * FROM rights.told();
SELECT bool_or(brain.has_brain_run('rights.secret', k)) AS has
  FROM unnest('{ready,ready2,stored,broken,cleaned,invented}'::text[]) k;
SELECT count(*) FROM brain.list_brain_runs('rights.secret');
SELECT count(*) FROM brain.runs WHERE samples::text LIKE 'rights.%';
-- no NOTICE of which run was chosen, no HINT of a key
SET client_min_messages = notice;
SELECT * FROM brain.sort_by_similarity('rights.secret', 1);
SELECT * FROM brain.sort_by_similarity('rights.secret', 'ready', brain_key => 'ready2');
SET client_min_messages = warning;
RESET ROLE;
-- the same calls do differ for who may read: the comparison sees something
SET ROLE regress_rights_owner;
SELECT answers > 1 AS differ FROM rights.told() WHERE call LIKE '%get_embeddings(''$t'', ''$k'')';
RESET ROLE;

-- ---------------------------------------------------------------------------
-- Row security: ids that a policy hides
-- ---------------------------------------------------------------------------
-- Ids from 1 to 40; a reader sees the even ones. 11 and 12 cannot be used, 13
-- and 14 have no embedding. The odd ones lie between, so they are near.
SET ROLE regress_rights_owner;
CREATE TABLE rights.docs (id int PRIMARY KEY, label text, emb real[]);
INSERT INTO rights.docs
	SELECT i, 'l' || i % 3, ARRAY[cos(i * i * 0.001), sin(i * i * 0.001)]::real[] FROM generate_series(1, 40) i;
UPDATE rights.docs SET emb = NULL WHERE id IN (13, 14);
GRANT SELECT, UPDATE ON rights.docs TO regress_rights_reader, regress_rights_bypass;
ALTER TABLE rights.docs ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON rights.docs TO regress_rights_reader USING (id % 2 = 0);
SELECT brain_key, indexed, missing FROM brain.compute_similarity('rights.docs', 'docs');
SELECT brain_key FROM brain.compute_similarity('rights.docs', 'held', with_data => false, metric => 'euclidean');
SELECT * FROM brain.add_to_index('rights.docs', 'held', ARRAY[1, 2, 3, 4], ARRAY[[1, 0], [0, 1], [1, 1], [2, 2]]::real[]);
UPDATE rights.docs SET emb = '{0,0}' WHERE id = 11;
UPDATE rights.docs SET emb = '{1,2,3}' WHERE id = 12;

-- the search of a role, by plain SQL
CREATE FUNCTION rights.expected(query real[], n int, reverse boolean = false) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT id::text FROM rights.docs WHERE emb IS NOT NULL AND id NOT IN (11, 12)
	 ORDER BY rights.cosine(emb, query) * CASE WHEN reverse THEN -1 ELSE 1 END LIMIT n
$$;

SET ROLE regress_rights_reader;
-- k visible rows, in the right order, whatever the query is
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs', 20, k => 5, brain_key => 'docs');
SELECT array_agg(s) FROM (SELECT rights.expected((SELECT emb FROM rights.docs WHERE id = 20), 5) s) e;
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs', '[1, 0.2]', k => 5, brain_key => 'docs');
SELECT array_agg(s) FROM (SELECT rights.expected('{1, 0.2}', 5) s) e;
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs', '[1, 0.2]', k => 5, reverse => true, brain_key => 'docs');
SELECT array_agg(s) FROM (SELECT rights.expected('{1, 0.2}', 5, true) s) e;
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs', '[1, 0.2]', k => NULL, brain_key => 'docs') s
HAVING array_agg(sample_id ORDER BY rank) = (SELECT array_agg(s) FROM (SELECT rights.expected('{1, 0.2}', 100) s) e);
SELECT aggregation, array_agg(sample_id ORDER BY rank) = (
		SELECT array_agg(id::text ORDER BY distance, id::text COLLATE "C")
		  FROM (SELECT d.id, CASE aggregation WHEN 'post-min' THEN min(rights.cosine(d.emb, q.emb))
											  WHEN 'post-max' THEN max(rights.cosine(d.emb, q.emb))
											  ELSE avg(rights.cosine(d.emb, q.emb)) END AS distance
				  FROM rights.docs d, rights.docs q WHERE d.emb IS NOT NULL AND d.id <> 12 AND q.id IN (2, 30)
				 GROUP BY d.id ORDER BY distance, d.id::text COLLATE "C" LIMIT 6) e) AS right
  FROM unnest('{post-mean,post-min,post-max}'::text[]) aggregation,
	   brain.sort_by_similarity('rights.docs', ARRAY[2, 30], k => 6, aggregation => aggregation, brain_key => 'docs')
 GROUP BY aggregation ORDER BY aggregation;
SELECT count(*), count(*) FILTER (WHERE sample_id::int % 2 = 1) AS hidden
  FROM brain.sort_by_similarity('rights.docs', 20, k => NULL, brain_key => 'docs', max_distance => 0.1) s
HAVING count(*) = (SELECT count(*) FROM rights.docs d WHERE d.id <> 12 AND d.emb IS NOT NULL
					  AND rights.cosine(d.emb, (SELECT emb FROM rights.docs WHERE id = 20)) <= 0.1);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs', 20, k => 5, brain_key => 'docs', filter => 'id < 30 OR true');
SELECT array_agg((sample).id ORDER BY rank) FROM brain.similar_samples(NULL::rights.docs, 20, k => 5, brain_key => 'docs');
SELECT array_agg(sample_id ORDER BY sample_id::int) FROM brain.get_embeddings('rights.docs', 'docs');
SELECT array_agg(sample_id) FROM brain.get_embeddings('rights.docs', 'docs', ARRAY[1, 2, 3, 4, 99]);
SELECT * FROM brain.get_embeddings('rights.docs', 'held');
SELECT rank, sample_id FROM brain.sort_by_similarity('rights.docs', '[1, 0]', brain_key => 'held');
SELECT indexed, missing, skipped FROM brain.load_brain_results('rights.docs', 'docs');
SELECT indexed, missing, skipped FROM brain.load_brain_results('rights.docs', 'held');

-- the warning of left-out samples counts and names visible ones only
SELECT count(*) FROM brain.sort_by_similarity('rights.docs', 20, brain_key => 'docs', filter => 'id BETWEEN 10 AND 13');
SELECT count(*) FROM brain.sort_by_similarity('rights.docs', 20, brain_key => 'docs', filter => 'id <> 12');
RESET ROLE;
SELECT count(*) FROM brain.sort_by_similarity('rights.docs', 20, brain_key => 'docs', filter => 'id <> 12');

-- a hidden id and one that does not exist: the same words. 21 is hidden, 11 is
-- hidden and bad, 13 hidden without embedding; 77 is nowhere.
CREATE FUNCTION rights.words(call text) RETURNS TABLE (call text, answers bigint, first text) LANGUAGE sql AS $$
	SELECT $1, count(DISTINCT answer), min(answer)
	  FROM (SELECT replace(rights.error(replace($1, '77', id)), id, '77')
			  FROM unnest('{21,11,13,77}'::text[]) id) a (answer)
$$;
CREATE TABLE rights.id_calls (n serial, call text);
INSERT INTO rights.id_calls (call) VALUES
	($$SELECT * FROM brain.sort_by_similarity('rights.docs', 77, brain_key => 'docs')$$),
	($$SELECT * FROM brain.sort_by_similarity('rights.docs', 77)$$),
	($$SELECT * FROM brain.sort_by_similarity('rights.docs', '77', brain_key => 'docs')$$),
	($$SELECT * FROM brain.sort_by_similarity('rights.docs', ARRAY[2, 77], brain_key => 'docs')$$),
	($$SELECT * FROM brain.sort_by_similarity('rights.docs', '{77,2,78}'::text[], brain_key => 'docs')$$),
	($$SELECT * FROM brain.sort_by_similarity('rights.docs', ARRAY[2, 77], aggregation => 'post-min', brain_key => 'docs')$$),
	($$SELECT * FROM brain.sort_by_similarity('rights.docs', 77, filter => 'id = 77', brain_key => 'docs')$$),
	($$SELECT * FROM brain.sort_by_similarity('rights.docs', 77, brain_key => 'held')$$),
	($$SELECT * FROM brain.similar_samples(NULL::rights.docs, 77, brain_key => 'docs')$$),
	($$SELECT * FROM brain.similar_samples(NULL::rights.docs, '77', brain_key => 'docs')$$),
	($$SELECT * FROM brain.get_embeddings('rights.docs', 'docs', 77, allow_missing => false)$$),
	($$SELECT * FROM brain.get_embeddings('rights.docs', 'docs', 77, allow_missing => true)$$),
	($$SELECT * FROM brain.add_to_index('rights.docs', 'docs', 77, '[1, 2]')$$),
	($$SELECT * FROM brain.add_to_index('rights.docs', 'docs', 77, '[1, 2]', overwrite => false, allow_existing => false)$$),
	($$SELECT * FROM brain.add_to_index('rights.docs', 'held', 77, '[1, 2]')$$),
	($$SELECT * FROM brain.add_to_index('rights.docs', 'held', 77, '[1, 2]', overwrite => false, allow_existing => false)$$),
	($$SELECT * FROM brain.remove_from_index('rights.docs', 'docs', 77, allow_missing => false)$$),
	($$SELECT * FROM brain.remove_from_index('rights.docs', 'held', 77, allow_missing => false)$$);
GRANT SELECT ON rights.id_calls TO PUBLIC;
SET ROLE regress_rights_reader;
SELECT w.* FROM rights.id_calls c, rights.words(c.call) w ORDER BY c.n;
-- in the run without column 1 and 3 are stored and hidden: unknown as well
SELECT count(DISTINCT replace(rights.error(replace(
			$$SELECT * FROM brain.sort_by_similarity('rights.docs', 77, brain_key => 'held')$$, '77', id)), ' ' || id, ' 77'))
  FROM unnest('{1,3,77}'::text[]) id;
-- warnings too
SELECT * FROM brain.get_embeddings('rights.docs', 'docs', ARRAY[21, 77], warn_missing => true);
SELECT * FROM brain.get_embeddings('rights.docs', 'docs', ARRAY[77, 21], warn_missing => true);
SELECT * FROM brain.remove_from_index('rights.docs', 'held', ARRAY[1, 77], warn_missing => true);
-- nothing of a hidden sample was changed
RESET ROLE;
SELECT array_agg(sample_id ORDER BY sample_id) FROM brain.get_embeddings('rights.docs', 'held');

-- ---------------------------------------------------------------------------
-- A leaky filter does not see what a policy hides
-- ---------------------------------------------------------------------------
CREATE FUNCTION rights.leak(id int) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
	$$ BEGIN IF id % 2 = 1 THEN RAISE WARNING 'leaked %', id; END IF; RETURN true; END $$;
SET ROLE regress_rights_reader;
SELECT count(*) FROM brain.sort_by_similarity('rights.docs', 20, k => 3, brain_key => 'docs', filter => 'id <> 12 AND rights.leak(id)');
SELECT count(*) FROM brain.sort_by_similarity('rights.docs', '[1, 0]', k => 3, brain_key => 'docs', filter => 'id <> 12 AND 1 / (id - 21) < 9');
SELECT count(*) FROM brain.similar_samples(NULL::rights.docs, 20, k => 3, brain_key => 'docs', filter => 'id <> 12 AND (rights.leak(id) OR 1 / (id - 21) < 9)');
SELECT count(*) FROM brain.sort_by_similarity('rights.docs', '[1, 0]', k => 3, brain_key => 'held', filter => 'rights.leak(id)');
RESET ROLE;
-- it does leak where there is something to leak
SELECT count(*) FROM brain.sort_by_similarity('rights.docs', 20, k => 3, brain_key => 'docs', filter => 'id IN (20, 21) AND rights.leak(id)');

-- ---------------------------------------------------------------------------
-- Counts tell of hidden rows
-- ---------------------------------------------------------------------------
CREATE FUNCTION rights.counts() RETURNS TABLE (samples text, brain_key text, indexed bigint, missing bigint, skipped bigint,
											   list bigint, info text) LANGUAGE sql AS $$
	SELECT r.samples::text, r.brain_key, r.indexed, r.missing, r.skipped,
		   (SELECT l.indexed FROM brain.list_brain_runs(r.samples) l WHERE l.brain_key = r.brain_key),
		   (SELECT string_agg(i.key || ' ' || i.value, ', ' ORDER BY i.key)
			  FROM jsonb_each(brain.get_brain_info(r.samples, r.brain_key) -> 'index') i
			 WHERE i.key IN ('indexed', 'missing', 'skipped'))
	  FROM brain.runs r WHERE r.samples::text LIKE 'rights.docs%' ORDER BY 1, 2
$$;
SET ROLE regress_rights_reader;
SELECT * FROM rights.counts();
SET row_security = off;
SELECT * FROM rights.counts();
SELECT * FROM brain.sort_by_similarity('rights.docs', 20, brain_key => 'docs');
RESET row_security;
SET ROLE regress_rights_bypass;
SELECT * FROM rights.counts();
SET ROLE regress_rights_owner;
SELECT * FROM rights.counts();
ALTER TABLE rights.docs FORCE ROW LEVEL SECURITY;
SELECT * FROM rights.counts();
-- the owner too is now under a policy: none is his, so he sees nothing
SELECT * FROM brain.sort_by_similarity('rights.docs', 20, brain_key => 'docs');
SELECT count(*) FROM brain.sort_by_similarity('rights.docs', '[1, 0]', brain_key => 'docs');
SELECT indexed, missing, skipped FROM brain.load_brain_results('rights.docs', 'docs');
ALTER TABLE rights.docs NO FORCE ROW LEVEL SECURITY;
RESET ROLE;
SELECT * FROM rights.counts();

-- Views. Below a security_invoker view the policies are the caller's; below
-- another view the owner's, and its counts are no secret.
SET ROLE regress_rights_owner;
CREATE VIEW rights.docs_mine WITH (security_invoker) AS SELECT * FROM rights.docs WHERE id NOT IN (11, 12);
CREATE VIEW rights.docs_shared AS SELECT * FROM rights.docs WHERE id NOT IN (11, 12);
CREATE VIEW rights.docs_fence WITH (security_barrier) AS SELECT * FROM rights.docs WHERE id % 2 = 0 AND id <> 12;
CREATE VIEW rights.docs_nested WITH (security_invoker) AS SELECT * FROM rights.docs_mine;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.docs_mine', 'm', id_field => 'id');
SELECT brain_key, indexed FROM brain.compute_similarity('rights.docs_shared', 's', id_field => 'id');
SELECT brain_key, indexed FROM brain.compute_similarity('rights.docs_fence', 'f', id_field => 'id');
SELECT brain_key, indexed FROM brain.compute_similarity('rights.docs_nested', 'n', id_field => 'id');
GRANT SELECT ON rights.docs_mine, rights.docs_shared, rights.docs_fence, rights.docs_nested TO regress_rights_reader;
SELECT * FROM rights.counts() WHERE samples <> 'rights.docs';
SET ROLE regress_rights_reader;
SELECT * FROM rights.counts() WHERE samples <> 'rights.docs';
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs_mine', 20, k => 5);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs_nested', 20, k => 5);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs_shared', 20, k => 5);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.docs_fence', 20, k => 5, filter => 'rights.leak(id)');
SELECT rank FROM brain.sort_by_similarity('rights.docs_mine', 21);
SELECT rank FROM brain.sort_by_similarity('rights.docs_mine', 77);
SELECT indexed FROM brain.load_brain_results('rights.docs_mine', 'm');
RESET ROLE;

-- partitions: the root's policies hold
SET ROLE regress_rights_owner;
CREATE TABLE rights.parts (id int PRIMARY KEY, emb real[]) PARTITION BY RANGE (id);
CREATE TABLE rights.parts_1 PARTITION OF rights.parts FOR VALUES FROM (0) TO (20);
CREATE TABLE rights.parts_2 PARTITION OF rights.parts FOR VALUES FROM (20) TO (100);
INSERT INTO rights.parts SELECT id, emb FROM rights.docs WHERE id NOT IN (11, 12);
ALTER TABLE rights.parts ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON rights.parts TO regress_rights_reader USING (id % 2 = 0);
GRANT SELECT ON rights.parts TO regress_rights_reader;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.parts', 'p');
SET ROLE regress_rights_reader;
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('rights.parts', 20, k => 5);
SELECT rank FROM brain.sort_by_similarity('rights.parts', 21);
SELECT indexed, missing, skipped FROM brain.runs WHERE samples = 'rights.parts'::regclass;
RESET ROLE;

-- a policy counts from the next statement on
ALTER POLICY even ON rights.docs USING (id % 2 = 0 AND id <> 20);
SET ROLE regress_rights_reader;
SELECT rank FROM brain.sort_by_similarity('rights.docs', 20, brain_key => 'docs');
RESET ROLE;
ALTER POLICY even ON rights.docs USING (id % 2 = 0);

-- ---------------------------------------------------------------------------
-- Policies for UPDATE hold for what an index stores
-- ---------------------------------------------------------------------------
SET ROLE regress_rights_owner;
CREATE TABLE rights.shared (id int PRIMARY KEY, owner text, emb real[]);
INSERT INTO rights.shared VALUES (1, 'regress_rights_writer', '{1,1}'), (2, 'somebody', '{2,2}');
ALTER TABLE rights.shared ENABLE ROW LEVEL SECURITY;
CREATE POLICY see ON rights.shared FOR SELECT USING (true);
CREATE POLICY change ON rights.shared FOR UPDATE USING (owner = current_user);
GRANT SELECT, UPDATE ON rights.shared TO regress_rights_writer;
SELECT brain_key FROM brain.compute_similarity('rights.shared', 'c', metric => 'euclidean');
SELECT brain_key FROM brain.compute_similarity('rights.shared', 's', with_data => false, metric => 'euclidean');
SELECT * FROM brain.add_to_index('rights.shared', 's', ARRAY[1, 2], ARRAY[[1, 1], [2, 2]]::real[]);
RESET ROLE;
CREATE FUNCTION rights.attempt(statement text) RETURNS text LANGUAGE plpgsql AS
	$$ BEGIN EXECUTE statement; RETURN 'done, or not'; EXCEPTION WHEN OTHERS THEN RETURN 'done, or not'; END $$;
SET ROLE regress_rights_writer;
SELECT rights.attempt($$SELECT brain.add_to_index('rights.shared', 'c', 2, '[9, 9]')$$);
SELECT rights.attempt($$SELECT brain.add_to_index('rights.shared', 's', 2, '[9, 9]')$$);
SELECT brain_key, e.sample_id, e.embedding FROM unnest('{c,s}'::text[]) brain_key, brain.get_embeddings('rights.shared', brain_key) e ORDER BY 1, 2;
SELECT rights.attempt($$SELECT brain.remove_from_index('rights.shared', 'c', 2)$$);
SELECT rights.attempt($$SELECT brain.remove_from_index('rights.shared', 's', 2)$$);
SELECT brain_key, e.sample_id, e.embedding FROM unnest('{c,s}'::text[]) brain_key, brain.get_embeddings('rights.shared', brain_key) e ORDER BY 1, 2;
-- his own he may
SELECT * FROM brain.add_to_index('rights.shared', 'c', 1, '[9, 9]');
SELECT * FROM brain.add_to_index('rights.shared', 's', 1, '[9, 9]');
SELECT brain_key, e.sample_id, e.embedding FROM unnest('{c,s}'::text[]) brain_key, brain.get_embeddings('rights.shared', brain_key) e ORDER BY 1, 2;
RESET ROLE;

-- ---------------------------------------------------------------------------
-- A superuser does not run an owner's code with his own rights
-- ---------------------------------------------------------------------------
SET ROLE regress_rights_owner;
CREATE FUNCTION rights.spy(id int) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN IF id = 1 THEN RAISE WARNING 'view function runs as %', current_user; END IF; RETURN true; END $$;
CREATE VIEW rights.trap AS SELECT id, emb FROM rights.images WHERE rights.spy(id);
RESET ROLE;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.trap', 'trap', id_field => 'id');
SELECT current_user = session_user AS unchanged;
-- nor can that code become somebody else, or leave settings behind
SET ROLE regress_rights_owner;
CREATE OR REPLACE FUNCTION rights.spy(id int) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN PERFORM set_config('role', session_user, false); RAISE WARNING 'became %', current_user; RETURN true; END $$;
RESET ROLE;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.trap', 'trap', id_field => 'id', overwrite => true);
SELECT current_user = session_user AS unchanged;
SET ROLE regress_rights_owner;
CREATE OR REPLACE FUNCTION rights.spy(id int) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN PERFORM set_config('search_path', 'rights', false); PERFORM set_config('row_security', 'off', false); RETURN true; END $$;
RESET ROLE;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.trap', 'trap', id_field => 'id', overwrite => true);
SHOW search_path;
SHOW row_security;
RESET search_path;
RESET row_security;
DROP VIEW rights.trap;

-- looking at the catalog runs nothing, whatever became of a run's filter
SET ROLE regress_rights_owner;
CREATE FUNCTION rights.fold(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
SELECT brain_key, indexed FROM brain.compute_similarity('rights.images', 'folded', filter => 'rights.fold(1)');
DROP FUNCTION rights.fold(int);
CREATE FUNCTION rights.fold(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RAISE WARNING 'filter runs as %', current_user; RETURN true; END $$;
RESET ROLE;
SELECT brain_key, state FROM brain.runs WHERE samples = 'rights.images'::regclass ORDER BY brain_key;
SELECT brain_key, state FROM brain.list_brain_runs('rights.images');
SELECT brain.has_brain_run('rights.images', 'folded');
SELECT brain.get_brain_info('rights.images', 'folded') -> 'index' ->> 'state' AS state;
ALTER TABLE rights.images ADD COLUMN more text;
ALTER TABLE rights.images DROP COLUMN more;
SELECT brain.rename_brain_run('rights.images', 'folded', 'folded2');
SELECT brain.delete_brain_run('rights.images', 'folded2');
DROP FUNCTION rights.fold(int);

-- ---------------------------------------------------------------------------
-- A run's filter runs with the rights of who searches, as a policy does; where
-- those are above row security, an ordinary role's function is refused
-- ---------------------------------------------------------------------------
-- its columns are read as the others are
SET ROLE regress_rights_owner;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.images', 'labelled', filter => 'label = ''l1''');
SET ROLE regress_rights_columns;
SELECT rank FROM brain.sort_by_similarity('rights.images', 1, brain_key => 'labelled');
SELECT sample_id FROM brain.get_embeddings('rights.images', 'labelled');
SELECT indexed FROM brain.load_brain_results('rights.images', 'labelled');
SELECT brain_key FROM brain.list_brain_runs('rights.images');
SET ROLE regress_rights_owner;
SELECT brain.delete_brain_run('rights.images', 'labelled');
CREATE FUNCTION rights.keeps(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN IF id = 2 THEN RAISE WARNING 'run filter runs as %', current_user; END IF; RETURN id <> 2; END $$;
-- Only the table knows who runs what: the matrix has the filter's rows already.
SET brain.use_matrix = off;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.images', 'kept', filter => 'rights.keeps(id)');
SET ROLE regress_rights_reader;
SELECT rank, sample_id FROM brain.sort_by_similarity('rights.images', '[1, 0]', k => 2, brain_key => 'kept');
SELECT (sample).id FROM brain.similar_samples(NULL::rights.images, '[1, 0]', k => 1, brain_key => 'kept', filter => 'id < 4');
SELECT count(*) FROM brain.get_embeddings('rights.images', 'kept');
SELECT indexed FROM brain.load_brain_results('rights.images', 'kept');
RESET ROLE;
SELECT rank, sample_id FROM brain.sort_by_similarity('rights.images', '[1, 0]', k => 2, brain_key => 'kept');
SELECT current_user = session_user AS unchanged;
-- so it changes nothing of a superuser's session, and does not become him
SET ROLE regress_rights_owner;
CREATE OR REPLACE FUNCTION rights.keeps(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN PERFORM set_config('search_path', 'rights', false); PERFORM set_config('row_security', 'off', false); RETURN true; END $$;
RESET ROLE;
SELECT count(*) FROM brain.sort_by_similarity('rights.images', '[1, 0]', k => 2, brain_key => 'kept');
SHOW search_path;
SHOW row_security;
RESET search_path;
RESET row_security;
SET ROLE regress_rights_owner;
CREATE OR REPLACE FUNCTION rights.keeps(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN PERFORM set_config('role', session_user, false); RAISE WARNING 'became %', current_user; RETURN true; END $$;
RESET ROLE;
SELECT count(*) FROM brain.sort_by_similarity('rights.images', '[1, 0]', k => 2, brain_key => 'kept');
SELECT current_user = session_user AS unchanged;
-- nor does the owner run what a searcher puts first in search_path
SET ROLE regress_rights_owner;
CREATE FUNCTION rights.helper(id int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OR REPLACE FUNCTION rights.keeps(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper(id); END';
RESET ROLE;
CREATE SCHEMA rights_reader AUTHORIZATION regress_rights_reader;
GRANT USAGE ON SCHEMA rights_reader TO PUBLIC;
SET ROLE regress_rights_reader;
CREATE FUNCTION rights_reader.helper(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN IF id = 1 THEN RAISE WARNING 'look-alike runs as %', current_user; END IF; RETURN true; END $$;
SET search_path = rights_reader, rights;
SELECT rights.attempt($$SELECT brain.sort_by_similarity('rights.images', '[1, 0]', k => 2, brain_key => 'kept')$$);
RESET search_path;
RESET ROLE;
DROP SCHEMA rights_reader CASCADE;
SELECT brain.delete_brain_run('rights.images', 'kept');

-- ---------------------------------------------------------------------------
-- The owner is who owns the table now
-- ---------------------------------------------------------------------------
ALTER TABLE rights.images OWNER TO regress_rights_heir;
SET ROLE regress_rights_owner;
SELECT brain.rename_brain_run('rights.images', 'img', 'mine');
SELECT count(*) FROM brain.list_brain_runs('rights.images');
SET ROLE regress_rights_member;
SELECT brain.delete_brain_runs('rights.images');
SET ROLE regress_rights_heir;
SELECT brain.rename_brain_run('rights.images', 'img', 'inherited');
SELECT brain_key, indexed FROM brain.compute_similarity('rights.images', 'inherited', overwrite => true);
RESET ROLE;
ALTER TABLE rights.images OWNER TO regress_rights_owner;
REASSIGN OWNED BY regress_rights_owner TO regress_rights_heir;
SET ROLE regress_rights_heir;
SELECT samples, brain_key, state FROM brain.runs WHERE samples::text LIKE 'rights.%' ORDER BY samples::text COLLATE "C", brain_key;
SELECT brain.cleanup('rights.images', 'inherited');
SELECT brain_key, indexed FROM brain.compute_similarity('rights.docs_mine', 'm', id_field => 'id', overwrite => true);
SET ROLE regress_rights_owner;
SELECT * FROM brain.compute_similarity('rights.docs', 'again');
SELECT count(*) FROM brain.runs WHERE samples::text LIKE 'rights.%';
RESET ROLE;
-- without a brain key: the first run that one may search
CREATE TABLE rights.choice (id int PRIMARY KEY, emb_a real[], emb_b real[]);
INSERT INTO rights.choice VALUES (1, '{1,0}', '{0,1}'), (2, '{0,1}', '{1,0}');
ALTER TABLE rights.choice OWNER TO regress_rights_heir;
GRANT SELECT (id, emb_b) ON rights.choice TO regress_rights_columns;
SET ROLE regress_rights_heir;
SELECT brain_key, indexed FROM unnest('{emb_a,emb_b}'::text[]) c, brain.compute_similarity('rights.choice', c, c);
SET ROLE regress_rights_columns;
SELECT rank, sample_id FROM brain.sort_by_similarity('rights.choice', '[1,0]');
-- the owner's code calls nothing that is only on the search_path of who computes
SET ROLE regress_rights_heir;
CREATE FUNCTION rights.choose(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN lower('A') = 'a'; END $$;
CREATE VIEW rights.chosen AS SELECT id, emb_a FROM rights.choice WHERE rights.choose(id);
RESET ROLE;
CREATE SCHEMA rights_alike;
GRANT USAGE ON SCHEMA rights_alike TO PUBLIC;
CREATE FUNCTION rights_alike.lower(text) RETURNS text LANGUAGE plpgsql AS
	$$ BEGIN RAISE WARNING 'look-alike runs as %', current_user; RETURN 'a'; END $$;
SET search_path = rights_alike, pg_catalog;
SELECT brain_key, indexed FROM brain.compute_similarity('rights.chosen', 'v', id_field => 'id');
RESET search_path;
SET client_min_messages = error;
DROP SCHEMA rights_alike CASCADE;
SET client_min_messages = warning;
-- runs do not hold a role
DROP OWNED BY regress_rights_owner;
DROP ROLE regress_rights_member, regress_rights_owner;
-- what the heir owns goes, with its runs
DROP OWNED BY regress_rights_heir;
SELECT count(*) FROM brain.runs WHERE samples IS NULL OR samples::text LIKE 'rights.%';
SELECT count(*) FROM brain.embeddings;

DROP SCHEMA rights CASCADE;
DROP ROLE regress_rights_heir, regress_rights_reader, regress_rights_columns, regress_rights_labels,
	regress_rights_writer, regress_rights_filler, regress_rights_updater, regress_rights_none, regress_rights_bypass;
