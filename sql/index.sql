-- get_embeddings(), add_to_index(), remove_from_index().
--
-- Guards against FiftyOne's bugs (facts: section 10): rows in the server's order,
-- missing ids that are dropped or that fail, an add that stores a second row or
-- ignores overwrite and allow_existing, a bare id split into characters; and
-- against writing into the wrong place: a run over a column writes that column,
-- a run without one brain.embeddings.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

CREATE FUNCTION index_error(statement text) RETURNS text LANGUAGE plpgsql AS $$
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

CREATE TABLE index_t (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO index_t SELECT i, 'l' || i % 2, CASE WHEN i <= 5 THEN ARRAY[i, 0.5 * i * i, 1] END FROM generate_series(1, 10) i;
-- c: over the column; s: a run that stores its own
SELECT brain_key, indexed, missing FROM brain.compute_similarity('index_t', 'c');
SELECT brain_key, indexed FROM brain.compute_similarity('index_t', 's', with_data => false);

-- ---- get_embeddings ----
-- in the order asked, an id asked twice comes twice; the values
SELECT * FROM brain.get_embeddings('index_t', 'c', ARRAY[3, 1, 3, 2]);
SELECT * FROM brain.get_embeddings('index_t', 'c', ARRAY['5', '04']);
-- one id, of any type; text is one id
SELECT * FROM brain.get_embeddings('index_t', 'c', 2);
SELECT * FROM brain.get_embeddings('index_t', 'c', '2');
SELECT * FROM brain.get_embeddings('index_t', 'c', 2::smallint);
-- without ids the whole index
SELECT sample_id, label_id, embedding FROM brain.get_embeddings('index_t', 'c') ORDER BY sample_id;
SELECT * FROM brain.get_embeddings('index_t', 's');
SELECT * FROM brain.get_embeddings('index_t', 'c', '{}'::bigint[]);
SELECT pg_typeof(sample_id), pg_typeof(label_id), pg_typeof(embedding) FROM brain.get_embeddings('index_t', 'c', 2);
-- missing: unknown ids and those without embedding. Ignored, or warned of, or an error
SELECT sample_id FROM brain.get_embeddings('index_t', 'c', ARRAY[7, 2, 99]);
SELECT sample_id FROM brain.get_embeddings('index_t', 'c', ARRAY[7, 2, 99], warn_missing => true);
SELECT sample_id FROM brain.get_embeddings('index_t', 'c', ARRAY[2, 99], warn_missing => true);
SELECT sample_id FROM brain.get_embeddings('index_t', 'c', ARRAY[2, 1], allow_missing => false, warn_missing => true);
-- a bad one is not in the index: it is left out, and of all is warned once
UPDATE index_t SET embedding = '{1,NaN,1}' WHERE id = 6;
UPDATE index_t SET embedding = '{1,2}' WHERE id = 7;
SELECT count(*) FROM brain.get_embeddings('index_t', 'c');
SELECT sample_id FROM brain.get_embeddings('index_t', 'c', ARRAY[6, 5, 7], warn_missing => true);
UPDATE index_t SET embedding = NULL WHERE id IN (6, 7);
\pset format unaligned
\pset tuples_only on
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c', ARRAY[7, 2, 99], allow_missing => false)$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c', 99, allow_missing => false, warn_missing => true)$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c', ARRAY[1.5, 2.5]::real[])$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c', '[1,2]')$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c', 'x')$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c', ARRAY[1, NULL])$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c', NULL::bigint)$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'nope', 1)$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'nope')$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', NULL, 1)$$);
SELECT index_error($$SELECT brain.get_embeddings(NULL, 'c', 1)$$);
\pset format aligned
\pset tuples_only off

-- ---- add_to_index: the truth table ----
-- For an id that is there (1) and one that is not (7): what is stored, what is
-- counted. Both kinds of run must agree.
CREATE TABLE index_truth (n serial, run text, overwrite boolean, allow_existing boolean, result text, stored text);
CREATE PROCEDURE index_try(run text, overwrite boolean, allow_existing boolean) LANGUAGE plpgsql AS $$
DECLARE
	result text;
	stored text;
BEGIN
	PERFORM brain.remove_from_index('index_t', run, ARRAY[1, 7]);
	PERFORM brain.add_to_index('index_t', run, 1, '{1,1,1}'::real[]);
	BEGIN
		SELECT r::text INTO result FROM brain.add_to_index('index_t', run, ARRAY[1, 7], ARRAY[[9, 9, 9], [7, 7, 7]], overwrite => overwrite, allow_existing => allow_existing) r;
	EXCEPTION WHEN OTHERS THEN
		result := SQLSTATE;
	END;
	SELECT string_agg(sample_id || ' ' || embedding::text, ', ' ORDER BY sample_id) INTO stored FROM brain.get_embeddings('index_t', run, ARRAY[1, 7]);
	INSERT INTO index_truth (run, overwrite, allow_existing, result, stored) VALUES (run, overwrite, allow_existing, result, stored);
END $$;
CALL index_try('c', true, true);
CALL index_try('c', true, false);
CALL index_try('c', false, true);
CALL index_try('c', false, false);
CALL index_try('c', NULL, NULL);
CALL index_try('s', true, true);
CALL index_try('s', true, false);
CALL index_try('s', false, true);
CALL index_try('s', false, false);
CALL index_try('s', NULL, NULL);
SELECT run, overwrite, allow_existing, result AS "inserted, updated, skipped", stored FROM index_truth ORDER BY n;
DROP TABLE index_truth;
DROP PROCEDURE index_try;
-- warn_existing, which says what happened to them; none, no warning
SELECT * FROM brain.add_to_index('index_t', 'c', ARRAY[1], ARRAY[[1, 1, 1]], warn_existing => true);
SELECT * FROM brain.add_to_index('index_t', 'c', ARRAY[1, 2], ARRAY[[1, 1, 1], [2, 2, 2]], warn_existing => true, overwrite => false);
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY[1, 2], ARRAY[[1, 1, 1], [2, 2, 2]], warn_existing => true);
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY[1], ARRAY[[1, 1, 1]], warn_existing => true, overwrite => false);
SELECT * FROM brain.add_to_index('index_t', 's', 3, '[3,3,3]', warn_existing => true);
\pset format unaligned
\pset tuples_only on
SELECT index_error($$SELECT brain.add_to_index('index_t', 'c', ARRAY[1, 2, 8], ARRAY[[1,1,1],[1,1,1],[1,1,1]], overwrite => false, allow_existing => false, warn_existing => true)$$);
SELECT index_error($$SELECT brain.add_to_index('index_t', 's', ARRAY[8, 3], ARRAY[[1,1,1],[1,1,1]], overwrite => false, allow_existing => false)$$);
\pset format aligned
\pset tuples_only off
-- nothing of a refused call stays
SELECT sample_id FROM brain.get_embeddings('index_t', 's', ARRAY[8, 3]);
SELECT embedding FROM index_t WHERE id = 8;
-- an id twice in one call: the last one holds, and is counted as an update
UPDATE index_t SET embedding = NULL WHERE id = 9;
SELECT * FROM brain.add_to_index('index_t', 'c', ARRAY[9, 9], ARRAY[[1, 0, 0], [0, 1, 0]]);
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY[9, 9], ARRAY[[1, 0, 0], [0, 1, 0]]);
SELECT embedding, (SELECT embedding FROM brain.get_embeddings('index_t', 's', 9)) FROM index_t WHERE id = 9;
-- without overwrite the first
SELECT * FROM brain.remove_from_index('index_t', 'c', 9);
SELECT * FROM brain.remove_from_index('index_t', 's', 9);
SELECT * FROM brain.add_to_index('index_t', 'c', ARRAY[9, 9], ARRAY[[1, 0, 0], [0, 1, 0]], overwrite => false);
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY[9, 9], ARRAY[[1, 0, 0], [0, 1, 0]], overwrite => false);
SELECT embedding, (SELECT embedding FROM brain.get_embeddings('index_t', 's', 9)) FROM index_t WHERE id = 9;
\pset format unaligned
\pset tuples_only on
SELECT index_error($$SELECT brain.add_to_index('index_t', 's', ARRAY[8, 8], ARRAY[[1,1,1],[1,1,1]], overwrite => false, allow_existing => false)$$);
SELECT index_error($$SELECT brain.add_to_index('index_t', 'c', ARRAY[8, 8], ARRAY[[1,1,1],[1,1,1]], overwrite => false, allow_existing => false)$$);
\pset format aligned
\pset tuples_only off
SELECT brain.delete_brain_run('index_t', 's');

-- ---- forms ----
-- one id and one vector, a row a call, composing with SELECT
SELECT brain_key FROM brain.compute_similarity('index_t', 's', with_data => false);
SELECT id, a.* FROM index_t, LATERAL brain.add_to_index('index_t', 's', id, ARRAY[id, 1]::real[]) a WHERE id IN (1, 2) ORDER BY id;
SELECT sum((a).inserted) AS inserted, sum((a).updated) AS updated
  FROM (SELECT brain.add_to_index('index_t', 's', id, ARRAY[id, 2]::float8[]) AS a FROM index_t WHERE id IN (2, 3)) x;
SELECT t.id, a.* FROM index_t t, LATERAL brain.add_to_index('index_t', 's', t.id::text, format('[%s,3]', t.id)) a WHERE t.id = 4;
-- an id may be text, an array of one, an integer of another width; vectors text, nested text, any numbers
SELECT * FROM brain.add_to_index('index_t', 's', '5', '[5, 5]');
SELECT * FROM brain.add_to_index('index_t', 's', 5, '{5,6}');
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY[5], '[[5,7]]');
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY[5], ARRAY[[5, 8]]);
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY[5], '[5,9]');
SELECT * FROM brain.add_to_index('index_t', 's', 5, ARRAY[[5, 10]]::numeric[]);
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY['6', '07']::text[], '{{6,1},{7,1}}');
SELECT * FROM brain.add_to_index('index_t', 's', ARRAY[8, 9]::smallint[], ARRAY[[8, 1], [9, 0.1]]::real[]);
SELECT * FROM brain.add_to_index('index_t', 's', (SELECT array_agg(id ORDER BY id) FROM index_t WHERE id > 8), (SELECT array_agg(ARRAY[id, 1] ORDER BY id) FROM index_t WHERE id > 8));
SELECT * FROM brain.add_to_index('index_t', 's', '{}'::bigint[], '{}'::real[]);
SELECT * FROM brain.get_embeddings('index_t', 's', ARRAY[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
SELECT dimensions, indexed FROM brain.list_brain_runs('index_t') WHERE brain_key = 's';
-- where it is kept, and what searches see
SELECT sample_id, embedding, pg_typeof(embedding) FROM brain.embeddings WHERE sample_id IN ('6', '7') ORDER BY sample_id;
SELECT sample_id, distance FROM brain.sort_by_similarity('index_t', 4, k => 1, brain_key => 's');
SELECT count(*) FROM index_t WHERE embedding[1] = 6;

-- ---- on a column: the column is written, as its type has it ----
CREATE TABLE index_double (id int PRIMARY KEY, embedding double precision[], changed int DEFAULT 0);
INSERT INTO index_double VALUES (1, NULL), (2, NULL), (3, '{1,0}');
SELECT indexed, missing FROM brain.compute_similarity('index_double', 'k');
SELECT * FROM brain.add_to_index('index_double', 'k', ARRAY[1, 2], ARRAY[[0.1, 0.2], [0.3, 1e-9]]::float8[]);
SELECT * FROM index_double ORDER BY id;
SELECT sample_id FROM brain.sort_by_similarity('index_double', '[0.1, 0.2]', k => 1);
SELECT count(*) FROM brain.embeddings e JOIN brain._runs r USING (run_id) WHERE dataset_name = 'index_double';
-- its triggers fire, its constraints hold, and it rolls back
CREATE FUNCTION index_trigger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.changed := NEW.changed + 1; RETURN NEW; END$$;
CREATE TRIGGER t BEFORE UPDATE ON index_double FOR EACH ROW EXECUTE FUNCTION index_trigger();
ALTER TABLE index_double ADD CONSTRAINT positive CHECK (embedding[1] > 0);
SELECT * FROM brain.add_to_index('index_double', 'k', 1, '[0.5, 0.5]');
SELECT * FROM index_double WHERE id = 1;
BEGIN;
SELECT * FROM brain.add_to_index('index_double', 'k', 1, '[9, 9]');
SELECT * FROM brain.remove_from_index('index_double', 'k', 2);
ROLLBACK;
SELECT id, embedding FROM index_double ORDER BY id;
\pset format unaligned
\pset tuples_only on
SELECT split_part(index_error($$SELECT brain.add_to_index('index_double', 'k', 1, '[-1, 0]')$$), E'\n', 1);
\pset format aligned
\pset tuples_only off
DROP TABLE index_double;
DROP FUNCTION index_trigger;
CREATE TABLE index_int (id text PRIMARY KEY, embedding int[] NOT NULL);
INSERT INTO index_int VALUES ('a', '{1,2}'), ('[1]', '{3,4}');
SELECT indexed FROM brain.compute_similarity('index_int', 'k');
SELECT * FROM brain.add_to_index('index_int', 'k', ARRAY['a', '[1]'], ARRAY[[5, 6], [7, 8]]::real[]);
SELECT * FROM index_int ORDER BY id;
\pset format unaligned
\pset tuples_only on
SELECT index_error($$SELECT brain.add_to_index('index_int', 'k', 'a', '[0.5, 1]')$$);
SELECT split_part(index_error($$SELECT brain.remove_from_index('index_int', 'k', 'a')$$), E'\n', 1);
\pset format aligned
\pset tuples_only off
DROP TABLE index_int;
-- through a view that can be updated; not through one that cannot
CREATE VIEW index_v AS SELECT id, embedding FROM index_t;
SELECT brain_key FROM brain.compute_similarity('index_v', 'k', id_field => 'id');
SELECT * FROM brain.add_to_index('index_v', 'k', 10, '[10,10,10]');
SELECT embedding FROM index_t WHERE id = 10;
CREATE VIEW index_w AS SELECT id, max(embedding) AS embedding FROM index_t GROUP BY id;
SELECT brain_key FROM brain.compute_similarity('index_w', 'k', id_field => 'id');
\pset format unaligned
\pset tuples_only on
SELECT split_part(index_error($$SELECT brain.add_to_index('index_w', 'k', 10, '[1,1,1]')$$), E'\n', 1);
\pset format aligned
\pset tuples_only off
-- but a run without a column is filled for any dataset
SELECT brain_key FROM brain.compute_similarity('index_w', 's', id_field => 'id', with_data => false);
SELECT * FROM brain.add_to_index('index_w', 's', 10, '[1,1,1]');
SELECT sample_id FROM brain.sort_by_similarity('index_w', '[1,1,1]', brain_key => 's');
DROP VIEW index_w, index_v;

-- ---- remove_from_index ----
-- The sample stays, its embedding goes. Missing: unknown, or without embedding.
SELECT brain.delete_brain_runs('index_t');
UPDATE index_t SET embedding = CASE WHEN id <= 5 THEN ARRAY[id, 1, 1]::real[] END;
SELECT brain_key FROM brain.compute_similarity('index_t', 'c');
SELECT brain_key FROM brain.compute_similarity('index_t', 's', with_data => false);
SELECT inserted FROM brain.add_to_index('index_t', 's', ARRAY[1, 2, 3, 4, 5], ARRAY[[1,1],[2,1],[3,1],[4,1],[5,1]]);
SELECT * FROM brain.remove_from_index('index_t', 'c', 1);
SELECT * FROM brain.remove_from_index('index_t', 'c', ARRAY[1, 2, 7, 99]);
SELECT * FROM brain.remove_from_index('index_t', 's', '1');
SELECT * FROM brain.remove_from_index('index_t', 's', ARRAY['1', '2', '7', '99']);
SELECT * FROM brain.remove_from_index('index_t', 's', '{}'::bigint[]);
SELECT count(*), count(embedding) FROM index_t;
SELECT string_agg(sample_id, ' ' ORDER BY sample_id) AS c, (SELECT string_agg(sample_id, ' ' ORDER BY sample_id) FROM brain.get_embeddings('index_t', 's')) AS s FROM brain.get_embeddings('index_t', 'c');
SELECT sample_id FROM brain.sort_by_similarity('index_t', '[2,1]', k => 1, brain_key => 's');
-- an id twice: removed once, then missing
SELECT * FROM brain.remove_from_index('index_t', 'c', ARRAY[3, 3]);
SELECT * FROM brain.remove_from_index('index_t', 's', ARRAY[3, 3]);
-- warned of
SELECT * FROM brain.remove_from_index('index_t', 'c', ARRAY[4, 98, 99], warn_missing => true);
SELECT * FROM brain.remove_from_index('index_t', 's', ARRAY[4, 99], warn_missing => true);
-- an error, and nothing is removed
\pset format unaligned
\pset tuples_only on
SELECT index_error($$SELECT brain.remove_from_index('index_t', 'c', ARRAY[5, 98, 99], allow_missing => false)$$);
SELECT index_error($$SELECT brain.remove_from_index('index_t', 's', ARRAY[5, 99], allow_missing => false, warn_missing => true)$$);
\pset format aligned
\pset tuples_only off
SELECT sample_id FROM brain.get_embeddings('index_t', 'c') UNION ALL SELECT sample_id FROM brain.get_embeddings('index_t', 's');
-- allowed when none is missing
SELECT * FROM brain.remove_from_index('index_t', 's', 5, allow_missing => false);
-- composes with SELECT
SELECT sum((r).removed) AS removed, sum((r).missing) AS missing FROM (SELECT brain.remove_from_index('index_t', 'c', id) AS r FROM index_t) x;
-- nearest is the removed and added one again
SELECT inserted FROM brain.add_to_index('index_t', 's', 5, '[5,1]');
SELECT sample_id, distance FROM brain.sort_by_similarity('index_t', 5, brain_key => 's');

-- ---- what belongs to a run ----
-- An embedding belongs to a row: unknown ids are an error that lists them.
\pset format unaligned
\pset tuples_only on
SELECT index_error($$SELECT brain.add_to_index('index_t', 's', ARRAY[99, 1, 98], ARRAY[[1,1],[1,1],[1,1]])$$);
SELECT index_error($$SELECT brain.add_to_index('index_t', 'c', 99, '[1,1,1]')$$);
SELECT index_error($$SELECT brain.add_to_index('index_t', 's', ARRAY(SELECT generate_series(101, 125)), ARRAY(SELECT ARRAY[1,1]::real[] FROM generate_series(101, 125)))$$);
\pset format aligned
\pset tuples_only off
-- A deleted row takes its embedding out of the answers; one of another id does not get it.
SELECT inserted FROM brain.add_to_index('index_t', 's', 6, '[6,1]');
DELETE FROM index_t WHERE id = 6;
SELECT sample_id FROM brain.get_embeddings('index_t', 's', ARRAY[5, 6]);
SELECT sample_id FROM brain.sort_by_similarity('index_t', '[6,1]', brain_key => 's');
-- It can still be removed, so that a new row of that id does not get it.
SELECT * FROM brain.remove_from_index('index_t', 's', ARRAY[6, 99]);
SELECT indexed FROM brain.list_brain_runs('index_t') WHERE brain_key = 's';
INSERT INTO index_t VALUES (6, 'l0', NULL);
SELECT sample_id FROM brain.get_embeddings('index_t', 's', ARRAY[5, 6]);
DELETE FROM index_t WHERE id = 6;
-- The filter of a run holds for what is added.
SELECT brain_key FROM brain.compute_similarity('index_t', 'f', with_data => false, filter => $$label = 'l1'$$);
SELECT inserted FROM brain.add_to_index('index_t', 'f', 7, '[1,1]');
\pset format unaligned
\pset tuples_only on
SELECT index_error($$SELECT brain.add_to_index('index_t', 'f', 8, '[1,1]')$$);
\pset format aligned
\pset tuples_only off
-- A row that has left it is not in the index, but its embedding can be removed.
UPDATE index_t SET label = 'l0' WHERE id = 7;
SELECT sample_id FROM brain.get_embeddings('index_t', 'f', 7);
SELECT * FROM brain.remove_from_index('index_t', 'f', 7);
UPDATE index_t SET label = 'l1' WHERE id = 7;
SELECT sample_id FROM brain.get_embeddings('index_t', 'f', 7);

-- ---- bad embeddings ----
-- The first one settles the dimension of an empty run.
SELECT brain_key FROM brain.compute_similarity('index_t', 'd', with_data => false);
SELECT dimensions IS NULL AS open FROM brain.list_brain_runs('index_t') WHERE brain_key = 'd';
\pset format unaligned
\pset tuples_only on
SELECT call || E'\n' || index_error('SELECT brain.add_to_index(''index_t'', ' || call || ')')
  FROM (VALUES
	(1, $$'d', ARRAY[1, 2], '[[1,2],[1,2,3]]'$$),
	(2, $$'d', 1, '[]'$$),
	(3, $$'d', 1, '{}'::real[]$$),
	(4, $$'d', 1, '[0,0]'$$),
	(5, $$'d', 1, '[NaN,0]'$$),
	(6, $$'d', 1, ARRAY['Infinity', 0]::float8[]$$),
	(7, $$'d', 1, ARRAY[1e39, 0]::float8[]$$),
	(8, $$'d', 1, ARRAY[1, NULL]::real[]$$),
	(9, $$'d', 1, ARRAY[[[1, 2]]]::real[]$$),
	(10, $$'d', 1, 'x'$$),
	(11, $$'d', 1, true$$),
	(12, $$'d', 1, ARRAY['1', '2']$$),
	(13, $$'d', 1, NULL::real[]$$),
	(14, $$'d', 1, NULL$$),
	(15, $$'d', NULL::bigint, '[1,2]'$$),
	(16, $$'d', ARRAY[1, NULL], '[[1,2],[1,2]]'$$),
	(17, $$'d', ARRAY[1, 2], '[1,2]'$$),
	(18, $$'d', 1, '[[1,2],[1,2]]'$$),
	(19, $$'d', ARRAY[1, 2], ARRAY[[1,2],[1,2],[1,2]]$$),
	(20, $$'d', '[1,2]', '[1,2]'$$),
	(21, $$'d', 'x', '[1,2]'$$),
	(22, $$'c', 1, '[1,2]'$$),
	(23, $$'c', ARRAY[1, 2], ARRAY[[1, 2, 3], [0, 0, 0]]$$),
	(24, $$'s', 1, '[1,2,3]'$$),
	(25, $$'nope', 1, '[1,2]'$$),
	(26, $$NULL, 1, '[1,2]'$$)) AS c (n, call)
 ORDER BY n;
\pset format aligned
\pset tuples_only off
SELECT dimensions IS NULL AS still_open FROM brain.list_brain_runs('index_t') WHERE brain_key = 'd';
SELECT count(*) FROM brain.get_embeddings('index_t', 'd');
SELECT inserted FROM brain.add_to_index('index_t', 'd', 1, '[1,2,3,4]');
SELECT dimensions FROM brain.list_brain_runs('index_t') WHERE brain_key = 'd';

-- ---- rollback, savepoints, cleanup ----
BEGIN;
SELECT inserted FROM brain.add_to_index('index_t', 'd', 2, '[1,2,3,5]');
SAVEPOINT s;
SELECT removed FROM brain.remove_from_index('index_t', 'd', ARRAY[1, 2]);
SELECT count(*) FROM brain.get_embeddings('index_t', 'd');
ROLLBACK TO s;
SELECT count(*) FROM brain.get_embeddings('index_t', 'd');
ROLLBACK;
SELECT sample_id FROM brain.get_embeddings('index_t', 'd');
-- after cleanup a run without a column is filled anew, with any dimension; one over a column is not usable
SELECT brain.cleanup('index_t', 'd');
SELECT count(*) FROM brain.embeddings e JOIN brain._runs r USING (run_id) WHERE brain_key = 'd';
SELECT updated, inserted FROM brain.add_to_index('index_t', 'd', 1, '[1,2]');
SELECT state, dimensions, indexed FROM brain.list_brain_runs('index_t') WHERE brain_key = 'd';
SELECT brain.cleanup('index_t', 'c');
\pset format unaligned
\pset tuples_only on
SELECT index_error($$SELECT brain.add_to_index('index_t', 'c', 1, '[1,2,3]')$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c', 1)$$);
SELECT index_error($$SELECT brain.get_embeddings('index_t', 'c')$$);
SELECT index_error($$SELECT brain.remove_from_index('index_t', 'c', 1)$$);
\pset format aligned
\pset tuples_only off
BEGIN TRANSACTION READ ONLY;
SELECT brain.add_to_index('index_t', 'd', 1, '[1,2,3,4]');
ROLLBACK;
BEGIN TRANSACTION READ ONLY;
SELECT brain.remove_from_index('index_t', 'd', 1);
ROLLBACK;

DROP TABLE index_t;
SELECT count(*) FROM brain.embeddings e WHERE NOT EXISTS (SELECT FROM brain._runs r WHERE r.run_id = e.run_id);
DROP FUNCTION index_error;
