-- similar_samples(): the rows themselves, typed; and what the planner knows of
-- a search.
--
-- Guards against: rows of another sample or another moment, columns that are
-- mixed up (dropped, generated, quoted, in another order in a partition), a
-- result that needs a cast in a join, and a join of a few hits to a large table
-- that scans the table because the planner thinks that a function returns 1000.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

CREATE TABLE similar_t (id bigint PRIMARY KEY, label text, meta jsonb, embedding real[]);
INSERT INTO similar_t
	SELECT i, 'l' || i % 3, jsonb_build_object('n', i), CASE WHEN i <> 60 THEN ARRAY[i % 10, i / 10, 1] END FROM generate_series(1, 60) i;
SELECT indexed FROM brain.compute_similarity('similar_t', 'k', metric => 'euclidean');

-- the row, typed; in rank order
SELECT rank, distance, score, sample FROM brain.similar_samples(NULL::similar_t, 33, k => 3);
SELECT (sample).id, (sample).label, (sample).meta ->> 'n' AS n FROM brain.similar_samples(NULL::similar_t, '[3,3,1]', k => 2) ORDER BY rank;
SELECT pg_typeof(sample), pg_typeof(rank), pg_typeof(distance), pg_typeof(score) FROM brain.similar_samples(NULL::similar_t, 33, k => 1);
-- whole rows: equal to the table's
SELECT count(*) AS rows, count(*) FILTER (WHERE sample = t) AS equal
  FROM brain.similar_samples(NULL::similar_t, 33, k => NULL), similar_t t WHERE t.id = (sample).id;
-- the same samples and numbers as sort_by_similarity, with every argument
SELECT count(*) AS rows, count(*) FILTER (WHERE (a.sample).id::text IS DISTINCT FROM b.sample_id OR a.distance <> b.distance OR a.score <> b.score) AS different
  FROM brain.similar_samples(NULL::similar_t, ARRAY[33, 7], 9, true, 'post-min', 'k', $$label <> 'l0'$$, 4.0, '{}') a
  FULL JOIN brain.sort_by_similarity('similar_t', ARRAY[33, 7], 9, true, 'post-min', 'k', $$label <> 'l0'$$, 4.0, '{}') b USING (rank);
-- k is 25 by default, NULL all, also above the 20,000 rows that are fetched at once
SELECT count(*) FROM brain.similar_samples(NULL::similar_t, 33);
SELECT count(*) FROM brain.similar_samples(NULL::similar_t, 33, k => NULL);
CREATE TABLE similar_many (id int PRIMARY KEY, n int, embedding real[]);
INSERT INTO similar_many SELECT i, i * 2, ARRAY[i, 1] FROM generate_series(1, 20500) i;
SELECT indexed FROM brain.compute_similarity('similar_many', 'k', metric => 'euclidean');
SELECT count(*) AS rows, bool_and((sample).id = rank AND (sample).n = 2 * rank AND (sample).embedding[1] = rank AND distance = rank - 1) AS right
  FROM brain.similar_samples(NULL::similar_many, 1, k => NULL);
DROP TABLE similar_many;
-- composes: joins, lateral, aggregates, insert, a view, a function
SELECT t.id, array_agg((s.sample).id ORDER BY s.rank) AS nearest
  FROM similar_t t, LATERAL brain.similar_samples(NULL::similar_t, t.id, k => 2, filter => format('id <> %s', t.id)) s
 WHERE t.id IN (5, 15) GROUP BY t.id ORDER BY t.id;
CREATE VIEW similar_hits AS SELECT (sample).* FROM brain.similar_samples(NULL::similar_t, '[3,3,1]', k => 2);
SELECT id, label FROM similar_hits ORDER BY id;
DROP VIEW similar_hits;
CREATE TABLE similar_kept (LIKE similar_t);
INSERT INTO similar_kept SELECT (sample).* FROM brain.similar_samples(NULL::similar_t, 33, k => 4);
SELECT count(*) FROM similar_kept JOIN similar_t USING (id, label, meta, embedding);
DROP TABLE similar_kept;
-- an update in the same transaction is in the row
BEGIN;
UPDATE similar_t SET label = 'new' WHERE id = 33;
SELECT (sample).label FROM brain.similar_samples(NULL::similar_t, 33, k => 1);
ROLLBACK;

-- a prepared statement follows the table's columns
PREPARE similar_row AS SELECT sample FROM brain.similar_samples(NULL::similar_t, 33, k => 1);
EXECUTE similar_row;
ALTER TABLE similar_t ADD COLUMN extra int DEFAULT 9;
EXECUTE similar_row;
ALTER TABLE similar_t DROP COLUMN extra;
EXECUTE similar_row;
DEALLOCATE similar_row;

-- ---- columns that are unusual ----
ALTER TABLE similar_t DROP COLUMN meta;
ALTER TABLE similar_t ADD COLUMN "Größe ""x""" numeric DEFAULT 7, ADD COLUMN twice bigint GENERATED ALWAYS AS (id * 2) STORED;
SELECT sample FROM brain.similar_samples(NULL::similar_t, 33, k => 1);
SELECT (sample)."Größe ""x""", (sample).twice FROM brain.similar_samples(NULL::similar_t, 33, k => 1);
-- a key that is the last column, and named as the ids' alias' columns are
CREATE TABLE similar_last (id text, "position" int, embedding float8[], k uuid PRIMARY KEY);
INSERT INTO similar_last VALUES ('x', 7, '{1,0}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), ('y', 8, '{0,1}', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
SELECT indexed FROM brain.compute_similarity('similar_last', 'k');
SELECT sample FROM brain.similar_samples(NULL::similar_last, 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', filter => 'id = ''y'' AND position = 8');
DROP TABLE similar_last;
-- a column named as the table
CREATE TABLE similar_self (similar_self int PRIMARY KEY, embedding real[]);
INSERT INTO similar_self VALUES (1, '{1,0}'), (2, '{0,1}');
SELECT indexed FROM brain.compute_similarity('similar_self', 'k');
SELECT sample FROM brain.similar_samples(NULL::similar_self, 2);
DROP TABLE similar_self;
-- names that need quoting, a schema that is not on the path
CREATE SCHEMA "similar S";
CREATE TABLE "similar S"."My ""images""" ("The id" int PRIMARY KEY, "select" text, "Embedding" real[]);
INSERT INTO "similar S"."My ""images""" VALUES (1, 'one', '{1,0}'), (2, 'two', '{0,1}');
SELECT indexed FROM brain.compute_similarity('"similar S"."My ""images"""', 'k');
SELECT (sample)."The id", (sample)."select" FROM brain.similar_samples(NULL::"similar S"."My ""images""", 2, filter => $$"select" <> 'x'$$);
SELECT sample_id FROM brain.sort_by_similarity('"similar S"."My ""images"""', 2, k => 1);
DROP TABLE "similar S"."My ""images""";
DROP SCHEMA "similar S";

-- ---- views, partitions, domains ----
CREATE VIEW similar_v AS SELECT label || '!' AS loud, id, embedding FROM similar_t WHERE id <= 40;
SELECT indexed FROM brain.compute_similarity('similar_v', 'k', id_field => 'id', metric => 'euclidean');
SELECT sample FROM brain.similar_samples(NULL::similar_v, 33, k => 2);
SELECT count(*) FROM brain.similar_samples(NULL::similar_v, 33, k => NULL);
DROP VIEW similar_v;
CREATE MATERIALIZED VIEW similar_m AS SELECT id, label, embedding FROM similar_t WHERE id <= 3;
SELECT indexed FROM brain.compute_similarity('similar_m', 'k', id_field => 'id');
SELECT sample FROM brain.similar_samples(NULL::similar_m, 2, k => 1);
DROP MATERIALIZED VIEW similar_m;
-- partitions with their columns in another order, and with dropped ones
CREATE TABLE similar_p (id int PRIMARY KEY, label text, embedding real[]) PARTITION BY RANGE (id);
CREATE TABLE similar_p1 PARTITION OF similar_p FOR VALUES FROM (1) TO (10);
CREATE TABLE similar_p2 (gone int, embedding real[], label text, id int NOT NULL);
ALTER TABLE similar_p2 DROP COLUMN gone;
ALTER TABLE similar_p ATTACH PARTITION similar_p2 FOR VALUES FROM (10) TO (20);
INSERT INTO similar_p VALUES (1, 'one', '{1,0}'), (2, 'two', '{0,1}'), (10, 'ten', '{1,0.1}'), (11, 'eleven', '{0,-1}');
SELECT indexed FROM brain.compute_similarity('similar_p', 'k');
SELECT sample, pg_typeof(sample) FROM brain.similar_samples(NULL::similar_p, 1);
SELECT indexed FROM brain.compute_similarity('similar_p2', 'k');
SELECT sample FROM brain.similar_samples(NULL::similar_p2, 11);
DROP TABLE similar_p;
-- a domain over the row type
CREATE DOMAIN similar_d AS similar_t;
SELECT (sample).id, pg_typeof(sample) FROM brain.similar_samples(NULL::similar_d, 33, k => 1);
DROP DOMAIN similar_d;
-- a row instead of NULL only names the dataset
SELECT (s.sample).id FROM similar_t t, LATERAL brain.similar_samples(t, 33, k => 1) s WHERE t.id = 5;
-- duplicates of a view are an error
CREATE VIEW similar_twice AS SELECT id / 2 AS id, embedding FROM similar_t WHERE id IN (2, 3);
CREATE FUNCTION similar_error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, 'HINT: ' || nullif(hint, ''));
END $$;
CREATE TYPE similar_type AS (id int, embedding real[]);
\pset format unaligned
\pset tuples_only on
SELECT similar_error($$SELECT brain.compute_similarity('similar_twice', 'k', id_field => 'id')$$);
-- ---- what is no row type of a dataset ----
SELECT similar_error($$SELECT brain.similar_samples(NULL::similar_type, 1)$$);
SELECT similar_error($$SELECT brain.similar_samples(NULL::int, 1)$$);
SELECT similar_error($$SELECT brain.similar_samples(ROW(1, 2), 1)$$);
SELECT similar_error($$SELECT brain.similar_samples('similar_t'::regclass, 1)$$);
SELECT similar_error($$SELECT brain.similar_samples(NULL, 1)$$);
SELECT similar_error($$SELECT brain.similar_samples(NULL::similar_t, NULL::int)$$);
SELECT similar_error($$SELECT brain.similar_samples(NULL::similar_t, 60)$$);
SELECT similar_error($$SELECT brain.similar_samples(NULL::pg_class, 1)$$);
SELECT similar_error($$SELECT brain.similar_samples(NULL::similar_t, 33, k => 0)$$);
\pset format aligned
\pset tuples_only off
DROP VIEW similar_twice;
DROP TYPE similar_type;

-- ---- the planner ----
-- The rows that a plan's function scan is estimated at.
CREATE FUNCTION similar_rows(call text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) SELECT * FROM ' || call INTO plan;
	RETURN (plan #>> '{0,Plan,Plan Rows}')::bigint;
END $$;
CREATE FUNCTION similar_cost(call text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) SELECT * FROM ' || call INTO plan;
	RETURN (plan #>> '{0,Plan,Total Cost}')::float8;
END $$;
-- What a plan does, each node once.
CREATE FUNCTION similar_nodes(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json, VERBOSE false) ' || query INTO plan;
	RETURN QUERY
		SELECT concat_ws(' ', n ->> 'Node Type', n ->> 'Index Name', n ->> 'Relation Name', n ->> 'Function Name')
		  FROM jsonb_path_query(plan, 'strict $.**{2 to last} ? (exists (@."Node Type"))') n ORDER BY 1;
END $$;
CREATE TABLE similar_big (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO similar_big SELECT i, 'l' || i % 5, ARRAY[i % 100, i / 100, 1] FROM generate_series(1, 20000) i;
CREATE TABLE similar_small (id bigint PRIMARY KEY, embedding real[]);
INSERT INTO similar_small SELECT i, ARRAY[i, 1] FROM generate_series(1, 10) i;
ANALYZE similar_big, similar_small;
SELECT indexed FROM brain.compute_similarity('similar_big', 'k', metric => 'euclidean');
-- ROWS: k; not more than the table has; all of them for NULL; the default of 25 where k is not known
SELECT call, similar_rows(call)
  FROM (VALUES
	(1, $$brain.sort_by_similarity('similar_big', 42)$$),
	(2, $$brain.sort_by_similarity('similar_big', 42, k => 7)$$),
	(3, $$brain.sort_by_similarity('similar_big', 42, k => 1)$$),
	(4, $$brain.sort_by_similarity('similar_big', 42, k => 5000)$$),
	(5, $$brain.sort_by_similarity('similar_big', 42, k => NULL)$$),
	(6, $$brain.sort_by_similarity('similar_big', '[1,2,3]', k => 7)$$),
	(7, $$brain.sort_by_similarity('similar_big', 42, k => (random() * 10)::int)$$),
	(8, $$brain.sort_by_similarity('similar_small', 4)$$),
	(9, $$brain.sort_by_similarity('similar_small', 4, k => NULL)$$),
	(10, $$brain.similar_samples(NULL::similar_big, 42)$$),
	(11, $$brain.similar_samples(NULL::similar_big, 42, k => 7)$$),
	(12, $$brain.similar_samples(NULL::similar_big, '42', k => NULL)$$),
	(13, $$brain.similar_samples(NULL::similar_small, '4', k => 1000)$$)) AS c (n, call)
 ORDER BY n;
-- COST: grows with the dataset, and is more than reading it
SELECT similar_cost($$brain.sort_by_similarity('similar_big', 42)$$) > 100 * similar_cost($$brain.sort_by_similarity('similar_small', 4)$$) AS grows,
	   similar_cost($$brain.sort_by_similarity('similar_big', 42)$$) > similar_cost('similar_big') AS more_than_reading,
	   similar_cost($$brain.similar_samples(NULL::similar_big, 42)$$) > similar_cost('similar_big') AS rows_too;
-- joining a few hits to their table uses its index
SELECT * FROM similar_nodes($$SELECT label FROM brain.sort_by_similarity('similar_big', 42, k => 7) s JOIN similar_big b ON b.id = s.sample_id::bigint$$);
SELECT * FROM similar_nodes($$SELECT b.label FROM brain.similar_samples(NULL::similar_big, 42, k => 7) s JOIN similar_big b ON b.id = (s.sample).id$$);
SELECT * FROM similar_nodes($$SELECT label FROM brain.sort_by_similarity('similar_big', 42) s JOIN similar_big b ON b.id = s.sample_id::bigint$$);
-- all of them does not
SELECT count(*) FROM similar_nodes($$SELECT label FROM brain.sort_by_similarity('similar_big', 42, k => NULL) s JOIN similar_big b ON b.id = s.sample_id::bigint$$) n
 WHERE n = 'Seq Scan similar_big';
SELECT s.rank, b.label FROM brain.sort_by_similarity('similar_big', 42, k => 3) s JOIN similar_big b ON b.id = s.sample_id::bigint ORDER BY s.rank;
-- one call a statement: in a subquery, with the filter of the join outside
SELECT count(*) FROM similar_big b JOIN brain.sort_by_similarity('similar_big', 42, k => 50) s ON b.id = s.sample_id::bigint WHERE b.label = 'l2';
-- also when a parallel plan would do
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(*), min(s.distance) FROM similar_big b JOIN brain.sort_by_similarity('similar_big', 42, k => NULL) s ON b.id = s.sample_id::bigint;
-- and while a parallel query runs, in its leader: ids parsed, rows fetched
CREATE TABLE similar_stamps (id timestamptz PRIMARY KEY, n int, embedding real[]);
INSERT INTO similar_stamps SELECT timestamptz '2020-01-01 00:00+00' + i * interval '1 hour', i, ARRAY[i % 100, i / 100] FROM generate_series(1, 3000) i;
ANALYZE similar_stamps;
SELECT indexed FROM brain.compute_similarity('similar_stamps', 'k', metric => 'euclidean');
SELECT count(*) > 0 AS parallel FROM similar_nodes($$SELECT b.n, (SELECT (s.sample).n FROM brain.similar_samples(NULL::similar_stamps, b.id::text, k => 1) s) FROM similar_stamps b WHERE b.n % 1000 = 0$$) n WHERE n = 'Gather';
SELECT b.n, (SELECT (s.sample).n FROM brain.similar_samples(NULL::similar_stamps, b.id::text, k => 1) s) AS by_id,
	   (SELECT (s.sample).n FROM brain.similar_samples(NULL::similar_stamps, format('[%s,%s]', b.n % 100, b.n / 100), k => 1) s) AS by_vector,
	   (SELECT count(*) FROM brain.get_embeddings('similar_stamps', 'k', b.id::text)) AS embeddings, brain.has_brain_run('similar_stamps', 'k') AS has
  FROM similar_stamps b WHERE b.n % 1000 = 0 ORDER BY b.n;
DROP TABLE similar_stamps;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

DROP TABLE similar_t, similar_big, similar_small;
DROP FUNCTION similar_error, similar_rows, similar_cost, similar_nodes;
