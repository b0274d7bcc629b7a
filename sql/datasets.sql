-- Guards against a kind of dataset that users have being refused or read
-- wrongly (rows of partitions, names that need quotes, column numbers moved by
-- dropped columns, look-alikes on the search_path), and against a run over what
-- cannot carry one.  Foreign tables: datasets_foreign.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

-- The distance as plain SQL.  Elements are whole numbers, so sums are exact and
-- both sides must agree to the last bit.
CREATE FUNCTION datasets_l2(a real[], b real[]) RETURNS double precision
	IMMUTABLE LANGUAGE sql
	RETURN (SELECT sqrt(sum((x - y) ^ 2)) FROM unnest(a::double precision[], b::double precision[]) AS e (x, y));

-- Compares a whole search by id with plain SQL: how many rows it found, and how
-- many differ in rank, id or distance, or are there on one side only.
CREATE FUNCTION datasets_compare(samples text, id text, embedding text, query text)
	RETURNS TABLE (found bigint, different bigint)
	LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH sample AS (
			SELECT (%1$I)::text AS id, %2$I AS embedding FROM %3$s AS s WHERE %2$I IS NOT NULL
		), expected AS (
			SELECT s.id, datasets_l2(s.embedding, q.embedding) AS distance,
				   row_number() OVER (ORDER BY datasets_l2(s.embedding, q.embedding), s.id <> %4$L, s.id COLLATE "C") AS rank
			  FROM sample s, sample q WHERE q.id = %4$L
		), found AS (
			SELECT * FROM brain.sort_by_similarity(%3$L, %4$L::text, k => NULL)
		)
		SELECT count(f.rank), count(*) FILTER (WHERE (f.sample_id, f.distance) IS DISTINCT FROM (e.id, e.distance))
		  FROM expected e FULL JOIN found f USING (rank)$q$, id, embedding, samples, query);
END $$;

-- What compute_similarity says, without the time that it took.
\set facts 'brain_key, backend, metric, dimensions, indexed, missing, skipped, seconds >= 0 AS timed'

-- The samples of most tests: 60 rows, every tenth without embedding.
CREATE TABLE datasets_source AS
	SELECT i::bigint AS id, 'label ' || i % 3 AS label,
		   CASE WHEN i % 10 > 0 THEN ARRAY[i % 7, i * i % 11, i % 4]::real[] END AS embedding
	  FROM generate_series(1, 60) i;


--
-- Ordinary, unlogged, partitioned
--
CREATE TABLE datasets_plain (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO datasets_plain TABLE datasets_source;
SELECT :facts FROM brain.compute_similarity('datasets_plain', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_plain', 'id', 'embedding', '17');
SELECT rank, sample_id, label_id, round(distance::numeric, 4) AS distance, round(score::numeric, 4) AS score
  FROM brain.sort_by_similarity('datasets_plain', 17, k => 4);
SELECT rank, round(distance::numeric, 4) AS distance, (sample).* FROM brain.similar_samples(NULL::datasets_plain, 17, k => 3);

CREATE UNLOGGED TABLE datasets_unlogged (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO datasets_unlogged TABLE datasets_source;
SELECT :facts FROM brain.compute_similarity('datasets_unlogged', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_unlogged', 'id', 'embedding', '17');

-- partitions of partitions, one with its columns in another order
CREATE TABLE datasets_parts (id bigint PRIMARY KEY, label text, embedding real[]) PARTITION BY RANGE (id);
CREATE TABLE datasets_parts_1 PARTITION OF datasets_parts FOR VALUES FROM (0) TO (20);
CREATE TABLE datasets_parts_2 PARTITION OF datasets_parts FOR VALUES FROM (20) TO (40) PARTITION BY HASH (id);
CREATE TABLE datasets_parts_2a PARTITION OF datasets_parts_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE datasets_parts_2b PARTITION OF datasets_parts_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE datasets_parts_3 (gone real[], embedding real[], label text, gone_too text, id bigint NOT NULL);
ALTER TABLE datasets_parts_3 DROP gone, DROP gone_too;
ALTER TABLE datasets_parts ATTACH PARTITION datasets_parts_3 DEFAULT;
INSERT INTO datasets_parts TABLE datasets_source;
SELECT :facts FROM brain.compute_similarity('datasets_parts', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_parts', 'id', 'embedding', '17');
SELECT * FROM datasets_compare('datasets_parts', 'id', 'embedding', '59');
-- whole rows have the columns of the table that was asked for
SELECT rank, (sample).* FROM brain.similar_samples(NULL::datasets_parts, 59, k => 2);
-- a row that moves to another partition stays one sample
UPDATE datasets_parts SET id = 1000 WHERE id = 17;
SELECT * FROM datasets_compare('datasets_parts', 'id', 'embedding', '1000');
SELECT * FROM brain.sort_by_similarity('datasets_parts', 17);
-- partitions come and go
ALTER TABLE datasets_parts DETACH PARTITION datasets_parts_1;
SELECT * FROM datasets_compare('datasets_parts', 'id', 'embedding', '59');
SELECT indexed, missing FROM brain.load_brain_results('datasets_parts', 'key');
-- a partition, and a partitioned one, are datasets of their own
SELECT :facts FROM brain.compute_similarity('datasets_parts_2a', 'part', metric => 'euclidean');
SELECT :facts FROM brain.compute_similarity('datasets_parts_2', 'part', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_parts_2', 'id', 'embedding', '33');
SELECT :facts FROM brain.compute_similarity('datasets_parts_3', 'part', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_parts_3', 'id', 'embedding', '59');
SELECT samples, brain_key FROM brain.runs WHERE samples::text LIKE 'datasets\_parts%';


--
-- Materialised views and views
--
CREATE MATERIALIZED VIEW datasets_matview AS SELECT * FROM datasets_plain WHERE id <= 40 WITH NO DATA;
-- not filled yet
SELECT :facts FROM brain.compute_similarity('datasets_matview', 'key', metric => 'euclidean', id_field => 'id');
\echo :SQLSTATE
REFRESH MATERIALIZED VIEW datasets_matview;
-- it has no primary key
SELECT :facts FROM brain.compute_similarity('datasets_matview', 'key', metric => 'euclidean');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_matview', 'key', metric => 'euclidean', id_field => 'id');
SELECT * FROM datasets_compare('datasets_matview', 'id', 'embedding', '17');
-- as of its last refresh
DELETE FROM datasets_plain WHERE id = 3;
SELECT * FROM datasets_compare('datasets_matview', 'id', 'embedding', '3');
REFRESH MATERIALIZED VIEW datasets_matview;
SELECT * FROM datasets_compare('datasets_matview', 'id', 'embedding', '17');
SELECT * FROM brain.sort_by_similarity('datasets_matview', 3);
SELECT rank, (sample).id FROM brain.similar_samples(NULL::datasets_matview, 17, k => 2);

CREATE VIEW datasets_view AS
	SELECT 'plain/' || p.id AS path, p.label, s.embedding AS vector
	  FROM datasets_plain p JOIN datasets_source s USING (id) WHERE p.id > 5
	 UNION ALL
	SELECT 'extra', 'label x', '{3,3,3}';
SELECT :facts FROM brain.compute_similarity('datasets_view', 'key', metric => 'euclidean');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_view', 'key', metric => 'euclidean', id_field => 'path');
SELECT * FROM datasets_compare('datasets_view', 'path', 'vector', 'plain/17');
SELECT rank, (sample).* FROM brain.similar_samples(NULL::datasets_view, 'extra'::text, k => 2);
-- it shows its tables as they are now
DELETE FROM datasets_plain WHERE id = 17;
SELECT * FROM brain.sort_by_similarity('datasets_view', 'plain/17');
SELECT * FROM datasets_compare('datasets_view', 'path', 'vector', 'extra');
-- a view over a view, with an ORDER BY and LIMIT of its own
CREATE VIEW datasets_view2 AS SELECT * FROM datasets_view ORDER BY path LIMIT 20;
SELECT :facts FROM brain.compute_similarity('datasets_view2', 'key', metric => 'euclidean', id_field => 'path');
SELECT * FROM datasets_compare('datasets_view2', 'path', 'vector', 'extra');

-- a view is believed; an id that it has twice is named
CREATE TABLE datasets_twice (id integer, embedding real[]);
CREATE VIEW datasets_double AS TABLE datasets_twice;
INSERT INTO datasets_twice VALUES (1, '{1,0}'), (2, '{2,0}'), (41, '{3,0}'), (41, '{4,0}'), (5, '{5,0}');
SELECT :facts FROM brain.compute_similarity('datasets_double', 'key', metric => 'euclidean', id_field => 'id');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_double', 'key', metric => 'euclidean', id_field => 'id', skip_failures => true);
\echo :SQLSTATE
DELETE FROM datasets_twice WHERE embedding = '{4,0}';
SELECT :facts FROM brain.compute_similarity('datasets_double', 'key', metric => 'euclidean', id_field => 'id');
INSERT INTO datasets_twice VALUES (41, '{4,0}');
-- among the results
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_double', 1, k => NULL);
\echo :SQLSTATE
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_double', '[0,0]'::text, k => 4);
\echo :SQLSTATE
-- as the query, alone and among others
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_double', 41, k => 1);
\echo :SQLSTATE
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_double', ARRAY[1,41,2], k => 1);
\echo :SQLSTATE
-- of its two rows one is among the k and the other is not: a search believes
-- the view, but there is no saying which whole row is meant
SELECT rank, distance, (sample).* FROM brain.similar_samples(NULL::datasets_double, '[0,0]'::text, k => 3);
\echo :SQLSTATE
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_double', '[0,0]'::text, k => 3);
\echo :SQLSTATE
SELECT * FROM brain.get_embeddings('datasets_double', 'key', 41);
\echo :SQLSTATE
-- a filter can make it unique, in the run and in the view's own query
SELECT :facts FROM brain.compute_similarity('datasets_double', 'key2', metric => 'euclidean', id_field => 'id', filter => $$embedding <> '{4,0}'$$);
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_double', 41, k => NULL, brain_key => 'key2');
DELETE FROM datasets_twice WHERE embedding = '{4,0}';
-- NULL is no id
INSERT INTO datasets_twice VALUES (NULL, '{6,0}'), (NULL, NULL);
SELECT :facts FROM brain.compute_similarity('datasets_double', 'key3', metric => 'euclidean', id_field => 'id');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_double', 'key3', metric => 'euclidean', id_field => 'id', skip_failures => true);
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_double', 1, k => NULL, brain_key => 'key3');

-- nor can an embedding be stored for a row without id: it is missing, no more
SELECT missing FROM brain.compute_similarity('datasets_double', 'stored', metric => 'euclidean', id_field => 'id', with_data => false);
SELECT * FROM brain.add_to_index('datasets_double', 'stored', ARRAY[1, 2], '[[1,0],[2,0]]');
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_double', 1, brain_key => 'stored');
SELECT indexed, missing, skipped FROM brain.load_brain_results('datasets_double', 'stored');

-- an index over a view is written through it, where PostgreSQL lets that
SELECT * FROM brain.add_to_index('datasets_double', 'key', ARRAY[2, 5], '[[20,0],[50,0]]');
SELECT * FROM brain.remove_from_index('datasets_double', 'key', 41);
SELECT * FROM datasets_twice WHERE id > 1 ORDER BY id;
SELECT * FROM brain.add_to_index('datasets_matview', 'key', 2, '[1,2,3]');
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('datasets_view', 'key', 'extra', '[1,2,3]');
\echo :SQLSTATE
CREATE FUNCTION datasets_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% becomes %', OLD, NEW;
	RETURN NEW;
END $$;
CREATE TRIGGER write INSTEAD OF UPDATE ON datasets_view FOR EACH ROW EXECUTE FUNCTION datasets_write();
SELECT * FROM brain.add_to_index('datasets_view', 'key', 'extra', '[1,2,3]');

-- other kinds of views: security barrier, WITH, aggregates, recursion
CREATE VIEW datasets_barrier WITH (security_barrier) AS SELECT * FROM datasets_source WHERE label <> 'label 1';
SELECT :facts FROM brain.compute_similarity('datasets_barrier', 'key', metric => 'euclidean', id_field => 'id');
SELECT * FROM datasets_compare('datasets_barrier', 'id', 'embedding', '17');
CREATE VIEW datasets_groups AS
	WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3)
	SELECT label, array_agg((id % 5)::real ORDER BY id) AS embedding
	  FROM n JOIN datasets_source s ON s.label = 'label ' || n - 1 WHERE id <= 12 GROUP BY label;
SELECT :facts FROM brain.compute_similarity('datasets_groups', 'key', metric => 'euclidean', id_field => 'label');
SELECT * FROM datasets_compare('datasets_groups', 'label', 'embedding', 'label 2');


--
-- Names
--
CREATE SCHEMA "Datasets ""x""; DROP";
CREATE TABLE "Datasets ""x""; DROP"."Images of 'Ä' \ $1; --" (
	"sample ""id""" bigint PRIMARY KEY, "select" text, "Embedding's vector\" real[]);
INSERT INTO "Datasets ""x""; DROP"."Images of 'Ä' \ $1; --" TABLE datasets_source;
SELECT :facts FROM brain.compute_similarity($$"Datasets ""x""; DROP"."Images of 'Ä' \ $1; --"$$, 'key', embeddings => $$Embedding's vector\$$, metric => 'euclidean', id_field => 'sample "id"', filter => $$"select" <> 'label 0'$$);
SELECT samples, id_field, embeddings_field, filter FROM brain.runs WHERE samples::text LIKE '%Images of%';
SELECT rank, sample_id FROM brain.sort_by_similarity($$"Datasets ""x""; DROP"."Images of 'Ä' \ $1; --"$$, 17, k => 2, filter => $$"sample ""id""" > 15 AND "Images of 'Ä' \ $1; --"."select" > ''$$);
SELECT rank, (sample)."sample ""id""" FROM brain.similar_samples(NULL::"Datasets ""x""; DROP"."Images of 'Ä' \ $1; --", 17, k => 2);
SELECT * FROM brain.get_embeddings($$"Datasets ""x""; DROP"."Images of 'Ä' \ $1; --"$$, 'key', ARRAY[17,1]);
SELECT * FROM brain.add_to_index($$"Datasets ""x""; DROP"."Images of 'Ä' \ $1; --"$$, 'key', 17, '[1,1,1]');
SELECT * FROM brain.remove_from_index($$"Datasets ""x""; DROP"."Images of 'Ä' \ $1; --"$$, 'key', 16);
SELECT "sample ""id""" AS id, "Embedding's vector\" AS embedding
  FROM "Datasets ""x""; DROP"."Images of 'Ä' \ $1; --" WHERE "sample ""id""" IN (16, 17) ORDER BY 1;
SELECT * FROM brain.sort_by_similarity($$"Datasets ""x""; DROP"."Images of 'Ä' \ $1; --"$$, 16);
-- names of columns are names, not SQL
SELECT :facts FROM brain.compute_similarity('datasets_plain', 'no', embeddings => '"embedding"');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_plain', 'no', embeddings => 'Embedding');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_plain', 'no', id_field => 'id, id');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_plain', 'no', id_field => 'ctid');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_plain', 'no', embeddings => '');
\echo :SQLSTATE

-- columns called like the table, like parts of a query, and 63 bytes long
CREATE TABLE datasets_words (datasets_words bigint PRIMARY KEY, "position" text, embedding text, ids text, id text,
	x23456789_123456789_123456789_123456789_123456789_123456789_123 real[]);
INSERT INTO datasets_words SELECT id, label, label, label, label, embedding FROM datasets_source;
SELECT :facts FROM brain.compute_similarity('datasets_words', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_words', 'datasets_words', 'x23456789_123456789_123456789_123456789_123456789_123456789_123', '17');
SELECT rank, (sample).datasets_words FROM brain.similar_samples(NULL::datasets_words, 17, k => 2);
CREATE TABLE x23456789_123456789_123456789_123456789_123456789_123456789_123 (x bigint PRIMARY KEY, v real[]);
INSERT INTO x23456789_123456789_123456789_123456789_123456789_123456789_123 SELECT id, embedding FROM datasets_source;
SELECT :facts FROM brain.compute_similarity('x23456789_123456789_123456789_123456789_123456789_123456789_123', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('x23456789_123456789_123456789_123456789_123456789_123456789_123', 'x', 'v', '17');
-- the name that our own queries give to a list of ids
CREATE TABLE "milvus_brain ids" (id bigint PRIMARY KEY, "position" bigint, embedding real[]);
INSERT INTO "milvus_brain ids" SELECT id, -id, embedding FROM datasets_source;
SELECT :facts FROM brain.compute_similarity('"milvus_brain ids"', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('"milvus_brain ids"', 'id', 'embedding', '17');
SELECT rank, (sample).id FROM brain.similar_samples(NULL::"milvus_brain ids", 17, k => 2);
DROP TABLE "milvus_brain ids";

-- schemas off the search_path, and the same name on it
CREATE SCHEMA datasets_far;
CREATE TABLE datasets_far.datasets_plain (id bigint PRIMARY KEY, embedding real[]);
INSERT INTO datasets_far.datasets_plain VALUES (1, '{1,0}'), (2, '{5,0}'), (3, '{2,0}');
SELECT :facts FROM brain.compute_similarity('datasets_far.datasets_plain', 'key', metric => 'euclidean');
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('datasets_far.datasets_plain', 1);
SELECT count(*) FROM brain.sort_by_similarity('datasets_plain', 1, k => NULL);
SELECT samples, brain_key FROM brain.runs WHERE samples::text LIKE '%datasets_plain';
SET search_path = '';
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('datasets_far.datasets_plain', 1);
SELECT rank, distance, (sample).id FROM brain.similar_samples(NULL::datasets_far.datasets_plain, 1);
SELECT count(*) FROM brain.sort_by_similarity('public.datasets_plain', 1, k => NULL);
SELECT * FROM brain.sort_by_similarity('datasets_far.datasets_plain', 99);
SET search_path = datasets_far, public;
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('datasets_plain', 1);
RESET search_path;
DROP TABLE datasets_far.datasets_plain;
DROP SCHEMA datasets_far;


--
-- Generated, dropped and hidden columns
--
CREATE TABLE datasets_generated (
	name text NOT NULL,
	id text GENERATED ALWAYS AS ('id ' || name) STORED PRIMARY KEY,
	serial integer GENERATED ALWAYS AS IDENTITY,
	x real, y real,
	embedding real[] GENERATED ALWAYS AS (ARRAY[x, y, x + y]) STORED);
INSERT INTO datasets_generated (name, x, y) SELECT i, i % 7, i * i % 11 FROM generate_series(1, 30) i;
SELECT :facts FROM brain.compute_similarity('datasets_generated', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_generated', 'id', 'embedding', 'id 17');
UPDATE datasets_generated SET x = 100 WHERE name = '17';
SELECT * FROM datasets_compare('datasets_generated', 'id', 'embedding', 'id 17');
-- PostgreSQL says itself that it cannot be written
SELECT * FROM brain.add_to_index('datasets_generated', 'key', 'id 17', '[1,2,3]');
\echo :SQLSTATE

CREATE TABLE datasets_dropped (a real[], b text, id bigint PRIMARY KEY, c real[], embedding real[], d real[]);
ALTER TABLE datasets_dropped DROP a, DROP c, DROP d;
INSERT INTO datasets_dropped SELECT label, id, embedding FROM datasets_source;
-- a dropped column is no candidate, and is nothing to name
SELECT :facts FROM brain.compute_similarity('datasets_dropped', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_dropped', 'id', 'embedding', '17');
SELECT rank, (sample).* FROM brain.similar_samples(NULL::datasets_dropped, 17, k => 2);
SELECT :facts FROM brain.compute_similarity('datasets_dropped', 'no', embeddings => '........pg.dropped.4........');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_dropped', 'no', id_field => '........pg.dropped.1........');
\echo :SQLSTATE
-- columns that come and go later
ALTER TABLE datasets_dropped DROP b, ADD e real[] DEFAULT '{1,2}';
SELECT * FROM datasets_compare('datasets_dropped', 'id', 'embedding', '17');
SELECT rank, (sample).* FROM brain.similar_samples(NULL::datasets_dropped, 17, k => 2);

-- columns of integers may be anything: they are no candidates beside one of
-- floating-point numbers
CREATE TABLE datasets_columns (id bigint PRIMARY KEY, boxes integer[], embedding real[], tags smallint[], sizes numeric[]);
INSERT INTO datasets_columns SELECT id, '{1,2}', embedding, '{3}', '{4,5,6,7}' FROM datasets_source;
SELECT :facts FROM brain.compute_similarity('datasets_columns', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_columns', 'id', 'embedding', '17');

-- a table of a type
CREATE TYPE datasets_row AS (gone text, id bigint, label text, embedding real[]);
ALTER TYPE datasets_row DROP ATTRIBUTE gone;
CREATE TABLE datasets_typed OF datasets_row (PRIMARY KEY (id));
INSERT INTO datasets_typed TABLE datasets_source;
SELECT :facts FROM brain.compute_similarity('datasets_typed', 'key', metric => 'euclidean');
SELECT * FROM datasets_compare('datasets_typed', 'id', 'embedding', '17');
SELECT rank, (sample).* FROM brain.similar_samples(NULL::datasets_typed, 17, k => 2);

-- an id_field beside a primary key, with the key in several columns, and with
-- columns that are only included
CREATE TABLE datasets_keys (a integer, b integer, name text NOT NULL UNIQUE, number integer NOT NULL,
	maybe integer UNIQUE, part integer NOT NULL, late integer NOT NULL UNIQUE DEFERRABLE, embedding real[], PRIMARY KEY (a, b));
INSERT INTO datasets_keys SELECT id, -id, 'name ' || id, id, id, id, id, embedding FROM datasets_source;
CREATE UNIQUE INDEX ON datasets_keys (number) INCLUDE (a, b);
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'key', metric => 'euclidean', id_field => 'name');
SELECT * FROM datasets_compare('datasets_keys', 'name', 'embedding', 'name 17');
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'key', metric => 'euclidean', id_field => 'number', overwrite => true);
SELECT * FROM datasets_compare('datasets_keys', 'number', 'embedding', '17');


--
-- Refused, with the reason and a way out
--
CREATE TEMPORARY TABLE datasets_temporary (id bigint PRIMARY KEY, embedding real[]);
SELECT :facts FROM brain.compute_similarity('datasets_temporary', 'key');
\echo :SQLSTATE
CREATE VIEW datasets_temporary_view AS TABLE datasets_temporary;
SELECT :facts FROM brain.compute_similarity('datasets_temporary_view', 'key', id_field => 'id');
\echo :SQLSTATE
DROP TABLE datasets_temporary CASCADE;

-- no key
CREATE TABLE datasets_keyless (id bigint, embedding real[]);
SELECT :facts FROM brain.compute_similarity('datasets_keyless', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_keyless', 'key', id_field => 'id');
\echo :SQLSTATE
-- its hint can be pasted, whatever the search_path and the names
CREATE SCHEMA datasets_far;
CREATE TABLE datasets_far."Keyless" ("Id" bigint UNIQUE, embedding real[]);
SELECT :facts FROM brain.compute_similarity('datasets_far."Keyless"', 'key', id_field => 'Id');
\echo :SQLSTATE
DROP TABLE datasets_far."Keyless";
DROP SCHEMA datasets_far;
ALTER TABLE datasets_keyless ALTER id SET NOT NULL;
SELECT :facts FROM brain.compute_similarity('datasets_keyless', 'key', id_field => 'id');
\echo :SQLSTATE
-- a key of several columns, and indexes that do not prove one column unique
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'no');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'no', id_field => 'a');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'no', id_field => 'maybe');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'no', id_field => 'late');
\echo :SQLSTATE
CREATE INDEX ON datasets_keys (part);
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'no', id_field => 'part');
\echo :SQLSTATE
CREATE UNIQUE INDEX ON datasets_keys (part) WHERE part > 0;
CREATE UNIQUE INDEX ON datasets_keys ((part + 0));
CREATE UNIQUE INDEX ON datasets_keys (part, number);
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'no', id_field => 'part');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_keys', 'no', id_field => 'nothing');
\echo :SQLSTATE
-- a deferrable primary key
CREATE TABLE datasets_deferrable (id bigint PRIMARY KEY DEFERRABLE INITIALLY IMMEDIATE, embedding real[]);
SELECT :facts FROM brain.compute_similarity('datasets_deferrable', 'key');
\echo :SQLSTATE
-- an index that is not valid yet
CREATE TABLE datasets_invalid (id bigint NOT NULL, embedding real[]) PARTITION BY RANGE (id);
CREATE TABLE datasets_invalid_1 PARTITION OF datasets_invalid FOR VALUES FROM (0) TO (10);
CREATE UNIQUE INDEX datasets_invalid_idx ON ONLY datasets_invalid (id);
SELECT :facts FROM brain.compute_similarity('datasets_invalid', 'key', id_field => 'id');
\echo :SQLSTATE
CREATE UNIQUE INDEX datasets_invalid_1_idx ON datasets_invalid_1 (id);
ALTER INDEX datasets_invalid_idx ATTACH PARTITION datasets_invalid_1_idx;
INSERT INTO datasets_invalid VALUES (1, '{1,2}');
SELECT :facts FROM brain.compute_similarity('datasets_invalid', 'key', id_field => 'id');
-- partitioned by what is not the id: its key has several columns
CREATE TABLE datasets_composite (id bigint, day date, embedding real[], PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE datasets_composite_1 PARTITION OF datasets_composite FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
SELECT :facts FROM brain.compute_similarity('datasets_composite', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_composite', 'key', id_field => 'id');
\echo :SQLSTATE

-- inheritance: the parent is refused, as long as it has children; a child is a
-- table as any other
CREATE TABLE datasets_parent (id bigint PRIMARY KEY, embedding real[]);
CREATE TABLE datasets_child (PRIMARY KEY (id)) INHERITS (datasets_parent);
INSERT INTO datasets_parent VALUES (1, '{1,2}'), (2, '{2,3}');
INSERT INTO datasets_child VALUES (1, '{3,4}');
SELECT :facts FROM brain.compute_similarity('datasets_parent', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_child', 'key');
ALTER TABLE datasets_child NO INHERIT datasets_parent;
SELECT :facts FROM brain.compute_similarity('datasets_parent', 'key');
-- a run whose dataset gets children later is broken, and mends
ALTER TABLE datasets_child INHERIT datasets_parent;
SELECT state, reason FROM brain.list_brain_runs('datasets_parent');
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_parent', 2);
\echo :SQLSTATE
ALTER TABLE datasets_child NO INHERIT datasets_parent;
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_parent', 2);

-- PostgreSQL's own tables, and ours
SELECT :facts FROM brain.compute_similarity('pg_catalog.pg_statistic', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pg_catalog.pg_class', 'key', embeddings => 'relacl', id_field => 'oid');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pg_stat_activity', 'key', id_field => 'pid');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pg_stat_activity', 'key', id_field => 'pid', with_data => false);
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('information_schema.sql_features', 'key', id_field => 'feature_id');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('brain.embeddings', 'key', id_field => 'sample_id');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('brain._runs', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('brain.runs', 'key', id_field => 'brain_key');
\echo :SQLSTATE

\set VERBOSITY sqlstate
SELECT :facts FROM (SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE oid = 'datasets_plain'::regclass) AS t,
	   brain.compute_similarity(toast, 'key', id_field => 'chunk_id', with_data => false);
\set VERBOSITY default

-- what is no table at all
CREATE SEQUENCE datasets_sequence;
CREATE TYPE datasets_type AS (id bigint, embedding real[]);
SELECT :facts FROM brain.compute_similarity('datasets_sequence', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_plain_pkey', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_type', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity(0, 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity(NULL, 'key');
\echo :SQLSTATE
SELECT * FROM brain.similar_samples(NULL::datasets_type, 1);
\echo :SQLSTATE
SELECT * FROM brain.similar_samples(NULL::integer, 1);
\echo :SQLSTATE

-- nothing that was refused left a run behind
SELECT samples, brain_key FROM brain.runs
 WHERE brain_key IN ('no') OR samples::text ~ 'temporary|keyless|deferrable|composite|pg_|schema|brain|sequence|_type$';

SET client_min_messages = warning;
DROP SCHEMA "Datasets ""x""; DROP" CASCADE;
DROP TABLE datasets_source, datasets_plain, datasets_unlogged, datasets_parts, datasets_parts_1, datasets_twice,
	datasets_words, x23456789_123456789_123456789_123456789_123456789_123456789_123, datasets_generated,
	datasets_dropped, datasets_keys, datasets_keyless, datasets_deferrable, datasets_invalid, datasets_composite,
	datasets_parent, datasets_child, datasets_columns, datasets_typed CASCADE;
DROP SEQUENCE datasets_sequence;
DROP TYPE datasets_type, datasets_row;
DROP FUNCTION datasets_compare, datasets_l2, datasets_write;
