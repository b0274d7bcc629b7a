-- Guards against an answer that is not that of reading every row: bounds that are
-- too tight, a base of other tables, rows or rights than the caller's, neighbors
-- that are none; and against files and triggers that are used when they are
-- damaged, or stay when they belong to nothing.  How changes get into an answer:
-- changes; what a sync says: sync.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
CREATE ROLE regress_brain_matrix_owner;
CREATE ROLE regress_brain_matrix_other;
RESET client_min_messages;
\set path 'SELECT brain.last_search()->>\'path\' AS path'
\set search 'SELECT string_agg(sample_id || \'=\' || distance, \' \' ORDER BY rank) AS found FROM brain.sort_by_similarity'
\set status 'SELECT brain_key, tracked, in_use, reason FROM brain.sync_status WHERE samples ='


--
-- Screens: the answers are those of the table, for near ties too
--
CREATE FUNCTION matrix_vector(i float8, n integer) RETURNS real[] IMMUTABLE STRICT LANGUAGE sql
	RETURN (SELECT array_agg((sin(i * 1.7) * cos(j * 0.9) + sin(i * 2.9) * cos(j * 1.7) + cos(i * 0.7) * sin(j * 2.3) + 0.2 * sin(i * j * 1.3))::real ORDER BY j) FROM generate_series(1, n) j);
-- three directions and a little more of 96; 20 numbers of no structure, most at nearly one distance; far apart in size
CREATE TABLE matrix_few (id integer PRIMARY KEY, embedding real[]);
INSERT INTO matrix_few SELECT i, matrix_vector(i, 96) FROM generate_series(1, 4500) i;
CREATE TABLE matrix_noise (id integer PRIMARY KEY, embedding real[]);
INSERT INTO matrix_noise SELECT i, (SELECT array_agg((sin(i * j * 12.9898) * 43758.5453 - floor(sin(i * j * 12.9898) * 43758.5453) - 0.5)::real ORDER BY j) FROM generate_series(1, 20) j) FROM generate_series(1, 1500) i;
CREATE TABLE matrix_sizes (id integer PRIMARY KEY, embedding real[]);
INSERT INTO matrix_sizes SELECT i, (SELECT array_agg((10.0 ^ (i % 9 - 4) * sin(i * j * 1.1))::real ORDER BY j) FROM generate_series(1, 33) j) FROM generate_series(1, 1500) i;
SELECT t, m, s.indexed FROM unnest('{matrix_few,matrix_noise,matrix_sizes}'::text[]) t, unnest('{cosine,dotproduct,euclidean}'::text[]) m, brain.compute_similarity(t::regclass, m, metric => m) s;

-- How many searches differ, in an id or a bit of a distance, between the matrix
-- through its screens, without, and the table.
CREATE FUNCTION matrix_differ(samples regclass, metric text, OUT searches integer, OUT different integer, OUT screened boolean, OUT by_prefix boolean) LANGUAGE plpgsql AS $$
DECLARE
	q real[];
	back boolean;
	n integer;
	used boolean;
	found text[];
BEGIN
	searches := 0;
	different := 0;
	screened := false;
	by_prefix := false;
	FOR i IN 1 .. 12 LOOP
		EXECUTE format('SELECT embedding FROM %s WHERE id = %s', samples, i * 97) INTO q;
		q[1] := q[1] + 0.001;
		FOR back, n IN VALUES (false, 1), (false, 10), (true, 10), (false, 40) LOOP
			found := '{}';
			FOR how IN 1 .. 3 LOOP
				PERFORM set_config('brain.screening', (how = 1)::text, true), set_config('brain.use_matrix', (how < 3)::text, true);
				found := found || (SELECT string_agg(sample_id || ' ' || encode(float8send(distance), 'hex'), ',' ORDER BY rank)
					FROM brain.sort_by_similarity(samples, q, k => n, reverse => back, brain_key => metric));
				used := (brain.last_search()->>'int8_rows')::bigint + (brain.last_search()->>'prefix_rows')::bigint > 0;
				screened := screened OR (how = 1 AND used);
				by_prefix := by_prefix OR (brain.last_search()->>'prefix_rows')::bigint > 0;
				IF (how > 1 AND used) OR (brain.last_search()->>'path' = 'table') <> (how = 3) THEN
					RAISE WARNING 'answered otherwise: %', brain.last_search();
				END IF;
			END LOOP;
			searches := searches + 1;
			different := different + (found[1] <> found[2] OR found[1] <> found[3])::integer;
		END LOOP;
	END LOOP;
END $$;
SELECT t, m, d.* FROM unnest('{matrix_few,matrix_noise,matrix_sizes}'::text[]) t, unnest('{cosine,dotproduct,euclidean}'::text[]) m, matrix_differ(t::regclass, m) d;
RESET brain.screening;
RESET brain.use_matrix;


--
-- neighbors(): what plain SQL finds
--
-- nobody else is in the way of locks that are only tried
CREATE TABLE matrix_near (id integer PRIMARY KEY, label text, embedding real[]) WITH (autovacuum_enabled = off);
INSERT INTO matrix_near SELECT i, 'label ' || i % 3, ARRAY[i % 7, i * i % 11, i % 4, i * 3 % 13, i % 5] FROM generate_series(1, 200) i;
SELECT indexed FROM brain.compute_similarity('matrix_near', 'key', metric => 'euclidean');
CREATE FUNCTION matrix_truth(n integer, most float8 DEFAULT 'Infinity', condition text DEFAULT 'true') RETURNS TABLE (sample_id text, rank bigint, neighbor_id text, distance float8) LANGUAGE plpgsql AS $$ BEGIN
	RETURN QUERY EXECUTE format('
		WITH s AS (SELECT id::text AS id, embedding FROM matrix_near WHERE cardinality(embedding) = 5 AND (%s)),
			 d AS (SELECT a.id AS a, b.id AS b, (SELECT sqrt(sum((x::float8 - y::float8) ^ 2)) FROM unnest(a.embedding, b.embedding) AS u (x, y)) AS distance FROM s a, s b WHERE a.id <> b.id),
			 r AS (SELECT a, row_number() OVER (PARTITION BY a ORDER BY distance, b COLLATE "C") AS rank, b, distance FROM d WHERE distance <= %L)
		SELECT * FROM r WHERE rank <= %s', condition, most, n);
END $$;
-- rows, how many of them one side alone has, and whether each sample's come in rank order
CREATE FUNCTION matrix_compare(n integer, most float8 DEFAULT NULL, condition text DEFAULT NULL, OUT rows bigint, OUT wrong bigint, OUT in_order boolean) LANGUAGE sql AS $$
	WITH found AS MATERIALIZED (SELECT f.*, row_number() OVER () AS line FROM brain.neighbors('matrix_near', 'key', n, most, condition) f),
		 truth AS MATERIALIZED (SELECT * FROM matrix_truth(n, coalesce(most, 'Infinity'), coalesce(condition, 'true')))
	SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM found f FULL JOIN truth t USING (sample_id, rank, neighbor_id, distance) WHERE f.line IS NULL OR t.distance IS NULL),
		   (SELECT bool_and(f.line - f.rank = g.line - g.rank) FROM found f JOIN found g USING (sample_id)) $$;
SELECT * FROM matrix_compare(1);
SELECT * FROM matrix_compare(10);
SELECT * FROM matrix_compare(1000);
SELECT * FROM matrix_compare(10, 2);
SELECT * FROM matrix_compare(200, 3, 'label <> ''label 1''');
SELECT count(*) FROM brain.neighbors('matrix_near', 'key');
SELECT count(*), min(distance), max(score) FROM brain.neighbors('matrix_near', 'key', max_distance => 0);
-- with changes since, with samples that cannot be searched, and those of a filter
UPDATE matrix_near SET embedding = '{1,1,1,1,1}' WHERE id IN (5, 6);
DELETE FROM matrix_near WHERE id = 7;
INSERT INTO matrix_near VALUES (1000, 'new', '{1,1,1,1,2}');
SELECT * FROM matrix_compare(10);
INSERT INTO matrix_near VALUES (1001, 'bad', '{1,2}');
SELECT * FROM matrix_compare(10);
SELECT * FROM matrix_compare(10, NULL, 'label <> ''bad''');
SELECT action, rows FROM brain.sync('matrix_near', 'key');
SELECT * FROM matrix_compare(10);
SELECT * FROM matrix_compare(10, NULL, 'label <> ''bad''');
-- a bad sample that a search's filter drops is none of its own
SELECT count(*) FROM brain.sort_by_similarity('matrix_near', '[1,1,1,1,1]', k => 3, filter => 'label <> ''bad''');
:path;
SELECT count(*) FROM brain.sort_by_similarity('matrix_near', '[1,1,1,1,1]', k => 3, filter => 'label <> ''label 0''');
:path;
SELECT count(*) FROM brain.neighbors('matrix_near', 'key', 0);
\echo :SQLSTATE
SELECT count(*) FROM brain.neighbors('matrix_near', 'key', max_distance => 'NaN');
\echo :SQLSTATE
SELECT count(*) FROM brain.neighbors('matrix_near', 'none');
\echo :SQLSTATE
DELETE FROM matrix_near WHERE id = 1001;
-- so many that they are multiplied in several blocks, many of them equally near;
-- with k = 4000 those of some 500 samples at a time are all that memory holds
CREATE TABLE matrix_line (id integer PRIMARY KEY, at integer, embedding real[]) WITH (autovacuum_enabled = off);
INSERT INTO matrix_line SELECT i, at, ARRAY[at, 1] FROM (SELECT i, i * i % 10007 % 3001 AS at FROM generate_series(1, 4000) i) p;
CREATE INDEX ON matrix_line (at);
ANALYZE matrix_line;
SELECT indexed FROM brain.compute_similarity('matrix_line', 'key', metric => 'euclidean');
SET work_mem = '64kB';
WITH truth AS MATERIALIZED (
	SELECT a.id::text AS sample_id, row_number() OVER (PARTITION BY a.id ORDER BY abs(a.at - b.at), b.id::text COLLATE "C")::integer AS rank, b.id::text AS neighbor_id, abs(a.at - b.at)::float8 AS distance
	  FROM matrix_line a JOIN matrix_line b ON b.at BETWEEN a.at - 10 AND a.at + 10 AND b.id <> a.id)
SELECT k, max_distance, count(f) AS rows, count(*) FILTER (WHERE f IS NULL OR t IS NULL) AS wrong
  FROM (VALUES (3, 'Infinity'::float8), (3, 1), (4000, 10)) AS c (k, max_distance),
	   LATERAL (SELECT f, t FROM (SELECT sample_id, rank, neighbor_id, distance FROM brain.neighbors('matrix_line', 'key', k, max_distance)) f
				FULL JOIN (SELECT * FROM truth WHERE rank <= k AND distance <= max_distance) t USING (sample_id, rank, neighbor_id, distance)) AS both_sides
 GROUP BY k, max_distance ORDER BY k, max_distance;
-- each sample's follow one another, as the samples do
SELECT bool_and(line = place) AS in_order FROM (
	SELECT row_number() OVER () AS line, row_number() OVER (ORDER BY sample_id::integer, rank) AS place FROM brain.neighbors('matrix_line', 'key', 4000, 5)) o;
RESET work_mem;
DROP TABLE matrix_line;


--
-- Who sees what
--
ALTER TABLE matrix_near OWNER TO regress_brain_matrix_owner;
SELECT action, reason FROM brain.sync('matrix_near', 'key');
ALTER TABLE matrix_near ENABLE ROW LEVEL SECURITY;
CREATE POLICY matrix_some ON matrix_near TO regress_brain_matrix_other USING (id <= 100);
GRANT SELECT ON matrix_near TO regress_brain_matrix_other;
SET ROLE regress_brain_matrix_other;
SELECT * FROM matrix_compare(10);
SELECT rows, size, in_use FROM brain.sync_status WHERE samples = 'matrix_near'::regclass;
-- not even by asking for what is like a row that is hidden
SELECT count(*) FROM brain.sort_by_similarity('matrix_near', 150, k => 3);
\echo :SQLSTATE
RESET ROLE;
-- a part of the columns is no search, and tells nothing
REVOKE ALL ON matrix_near FROM regress_brain_matrix_other;
GRANT SELECT (id) ON matrix_near TO regress_brain_matrix_other;
SET ROLE regress_brain_matrix_other;
SELECT count(*) FROM brain.sync_status WHERE samples = 'matrix_near'::regclass;
SELECT count(*) FROM brain.sort_by_similarity('matrix_near', '[1,1,1,1,1]', brain_key => 'key');
\echo :SQLSTATE
RESET ROLE;
-- rows that their owner does not see are in no base
ALTER TABLE matrix_near FORCE ROW LEVEL SECURITY;
UPDATE matrix_near SET embedding = '{2,1,1,1,1}' WHERE id = 8;
SET ROLE regress_brain_matrix_owner;
SELECT action, reason FROM brain.sync('matrix_near', 'key');
RESET ROLE;
ALTER TABLE matrix_near NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY, OWNER TO CURRENT_USER;
DROP POLICY matrix_some ON matrix_near;
REVOKE ALL ON matrix_near FROM regress_brain_matrix_other;
-- without USAGE of its schema a table is nobody's to read
CREATE SCHEMA matrix_closed;
CREATE TABLE matrix_closed.closed (id integer PRIMARY KEY, embedding real[]);
INSERT INTO matrix_closed.closed SELECT i, ARRAY[i] FROM generate_series(1, 100) i;
SELECT indexed FROM brain.compute_similarity('matrix_closed.closed', 'key', metric => 'euclidean');
GRANT SELECT ON matrix_closed.closed TO regress_brain_matrix_other;
SELECT 'matrix_closed.closed'::regclass::oid AS closed \gset
SET ROLE regress_brain_matrix_other;
SELECT count(*) FROM brain.sort_by_similarity(:closed::regclass, '[1]');
\echo :SQLSTATE
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA matrix_closed CASCADE;
RESET client_min_messages;


--
-- Where few of the candidates qualify the table is read
--
CREATE TABLE matrix_plain (id integer PRIMARY KEY, label text, embedding real[]) WITH (autovacuum_enabled = off);
INSERT INTO matrix_plain SELECT i, 'label', ARRAY[i, 0] FROM generate_series(1, 2500) i;
SELECT indexed FROM brain.compute_similarity('matrix_plain', 'key', metric => 'euclidean');
:search ('matrix_plain', '[0,0]', k => 3, filter => 'id > 10');
:path;
:search ('matrix_plain', '[0,0]', k => 3, filter => 'id > 2000');
:path;
:search ('matrix_plain', '[0,0]', k => 3, filter => 'id > 2498');
:path;
-- as far as it goes, and not farther, the one way and the other
:search ('matrix_plain', '[0,0]', k => 10, max_distance => 2);
SET brain.use_matrix = off;
:search ('matrix_plain', '[0,0]', k => 10, max_distance => 2);
RESET brain.use_matrix;


--
-- Is it tracked?
--
SELECT tgname AS row_trigger FROM pg_trigger WHERE tgrelid = 'matrix_plain'::regclass AND tgname ~ '^brain_track_[0-9a-f]{32}$' \gset
SELECT run_id AS matrix_run FROM brain._runs WHERE dataset_name = 'matrix_plain' \gset
-- a trigger that was away is noticed without the event trigger
ALTER EVENT TRIGGER milvus_brain_on_ddl_end DISABLE;
ALTER TABLE matrix_plain DISABLE TRIGGER :row_trigger;
UPDATE matrix_plain SET embedding = '{0,1}' WHERE id = 70;
ALTER TABLE matrix_plain ENABLE ALWAYS TRIGGER :row_trigger;
:search ('matrix_plain', '[0,0]', k => 3);
SELECT action FROM brain.sync('matrix_plain', 'key');
-- so is another type of the key
BEGIN;
ALTER TABLE matrix_plain ALTER id TYPE oid;
:search ('matrix_plain', '[0,0]', k => 3);
:path;
ROLLBACK;
ALTER EVENT TRIGGER milvus_brain_on_ddl_end ENABLE ALWAYS;
:search ('matrix_plain', '[0,0]', k => 3);
:path;
-- one with a condition is none of ours
BEGIN;
DROP TRIGGER :row_trigger ON matrix_plain;
CREATE TRIGGER :row_trigger AFTER INSERT OR UPDATE OR DELETE ON matrix_plain FOR EACH ROW WHEN (false) EXECUTE FUNCTION brain._track_changes(:'matrix_run');
ALTER TABLE matrix_plain ENABLE ALWAYS TRIGGER :row_trigger;
COMMIT;
:status 'matrix_plain'::regclass;
DROP TRIGGER :row_trigger ON matrix_plain;
SELECT action FROM brain.sync('matrix_plain', 'key');
UPDATE matrix_plain SET embedding = '{0,2}' WHERE id = 71;
:search ('matrix_plain', '[0,0]', k => 3);
:path;
-- a function of the filter that is made anew
CREATE FUNCTION matrix_keeps(id integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN id > 5; END';
SELECT indexed FROM brain.compute_similarity('matrix_plain', 'filtered', metric => 'euclidean', filter => 'matrix_keeps(id)');
:search ('matrix_plain', '[1,0]', k => 3, brain_key => 'filtered');
CREATE OR REPLACE FUNCTION matrix_keeps(id integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN id > 7 AND id < 1000; END';
:search ('matrix_plain', '[1,0]', k => 3, brain_key => 'filtered');
SELECT action, rows FROM brain.sync('matrix_plain', 'filtered');
:search ('matrix_plain', '[1,0]', k => 3, brain_key => 'filtered');
:path;
-- a table that is stored otherwise
CREATE ACCESS METHOD matrix_method TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE matrix_stored (id integer PRIMARY KEY, embedding real[]) USING matrix_method;
INSERT INTO matrix_stored VALUES (1, '{1}'), (2, '{2}');
SELECT indexed FROM brain.compute_similarity('matrix_stored', 'key', metric => 'euclidean');
:status 'matrix_stored'::regclass;
DROP TABLE matrix_stored;
DROP ACCESS METHOD matrix_method;
-- inside a statement that writes into one partition
CREATE TABLE matrix_parts (id integer PRIMARY KEY, embedding real[]) PARTITION BY RANGE (id);
CREATE TABLE matrix_parts_1 PARTITION OF matrix_parts FOR VALUES FROM (0) TO (100);
CREATE TABLE matrix_parts_2 PARTITION OF matrix_parts DEFAULT;
INSERT INTO matrix_parts SELECT i, ARRAY[i, 0] FROM generate_series(0, 200) i;
SELECT indexed FROM brain.compute_similarity('matrix_parts', 'key', metric => 'euclidean');
CREATE FUNCTION matrix_see() RETURNS text VOLATILE LANGUAGE sql AS $$ SELECT string_agg(sample_id || '=' || distance, ' ' ORDER BY rank) || ' ' || (brain.last_search()->>'path') FROM brain.sort_by_similarity('matrix_parts', '[0,0]', k => 2) $$;
UPDATE matrix_parts_2 SET embedding = '{0,0}' WHERE id = 150 RETURNING matrix_see();
SELECT matrix_see();
DROP TABLE matrix_parts;
DROP FUNCTION matrix_see;
-- a statement that is writing into the table makes no base of it
CREATE TABLE matrix_writing (id integer PRIMARY KEY, embedding real[]);
INSERT INTO matrix_writing SELECT i, ARRAY[i] FROM generate_series(1, 100) i;
WITH new AS (INSERT INTO matrix_writing VALUES (101, '{0}') RETURNING id) SELECT new.id, s.brain_key FROM new, brain.compute_similarity('matrix_writing', 'key' || new.id - 101, metric => 'euclidean') s;
:status 'matrix_writing'::regclass;
:search ('matrix_writing', '[0]', k => 2);
DROP TABLE matrix_writing;


--
-- What is kept, and what goes
--
SELECT last_sync AS before FROM brain.sync_status WHERE samples = 'matrix_plain'::regclass AND brain_key = 'key' \gset
UPDATE matrix_plain SET embedding = '{0,3}' WHERE id = 72;
SELECT action FROM brain.sync('matrix_plain', 'key');
SELECT last_sync > :'before' AS later FROM brain.sync_status WHERE samples = 'matrix_plain'::regclass AND brain_key = 'key';
-- a base that cannot be made anew stays, with its log
UPDATE matrix_plain SET embedding = ARRAY[id + 1, 0];
SELECT generation AS before FROM brain.sync_status WHERE samples = 'matrix_plain'::regclass AND brain_key = 'key' \gset
SET brain.max_matrix_size = '1kB';
SELECT action, reason FROM brain.sync('matrix_plain', 'key');
RESET brain.max_matrix_size;
SELECT generation = :'before' AS same, changes, in_use, reason FROM brain.sync_status WHERE samples = 'matrix_plain'::regclass AND brain_key = 'key';
-- a sweep takes no log of a run that there is
SELECT count(*) FROM brain.sweep() WHERE kind <> 'file';
SELECT changes FROM brain.sync_status WHERE samples = 'matrix_plain'::regclass AND brain_key = 'key';
SELECT action, rows FROM brain.sync('matrix_plain', 'key');
:search ('matrix_plain', '[0,0]', k => 2, brain_key => 'key');
:path;
-- a TRUNCATE that keeps its storage is known by the log alone
BEGIN;
CREATE TABLE matrix_young (id integer PRIMARY KEY, embedding real[]);
INSERT INTO matrix_young SELECT i, ARRAY[i] FROM generate_series(1, 100) i;
SELECT indexed FROM brain.compute_similarity('matrix_young', 'key', metric => 'euclidean');
TRUNCATE matrix_young;
:status 'matrix_young'::regclass;
INSERT INTO matrix_young VALUES (200, '{2}'), (300, '{3}');
SELECT action, rows FROM brain.sync('matrix_young', 'key');
:search ('matrix_young', '[0]');
:path;
COMMIT;
DROP TABLE matrix_young;
-- a build that ends in an error leaves no file
CREATE TABLE matrix_failing (id integer PRIMARY KEY, embedding real[]);
INSERT INTO matrix_failing VALUES (1, '{1,2}'), (2, '{1}');
SELECT brain.compute_similarity('matrix_failing', 'key');
\echo :SQLSTATE
SELECT count(*) FROM pg_ls_dir('pgsql_tmp_milvus_brain') f WHERE f LIKE (SELECT oid FROM pg_database WHERE datname = current_database()) || '.%.tmp';
DROP TABLE matrix_failing;
-- files of no run, of a database that is gone, of a writer that is gone: by a sync, too
SELECT oid AS database FROM pg_database WHERE datname = current_database() \gset
\set file '.00000000-0000-0000-0000-000000000004.00000000-0000-0000-0000-00000000000'
\set command 'cd pgsql_tmp_milvus_brain && cat >' :database :file '1; touch ' :database :file '2.99999999.tmp 4294967290' :file '3'
COPY (SELECT 1) TO PROGRAM :'command';
SELECT count(*) FROM pg_ls_dir('pgsql_tmp_milvus_brain') f WHERE f LIKE '%.00000000-0000-0000-0000-000000000004.%';
SELECT action FROM brain.sync('matrix_plain', 'key');
SELECT f FROM pg_ls_dir('pgsql_tmp_milvus_brain') f WHERE f LIKE '%.00000000-0000-0000-0000-000000000004.%';
-- triggers of a run that was deleted in a transaction of more statements: by a sync, and by a sweep
SELECT indexed > 0 AS computed FROM brain.compute_similarity('matrix_near', 'second', metric => 'cosine');
SELECT indexed > 0 AS computed FROM brain.compute_similarity('matrix_near', 'third', metric => 'cosine');
BEGIN;
SELECT brain.delete_brain_run('matrix_near', 'second');
COMMIT;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'matrix_near'::regclass AND tgname LIKE 'brain\_track%';
SELECT action FROM brain.sync('matrix_near', 'key');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'matrix_near'::regclass AND tgname LIKE 'brain\_track%';
BEGIN;
SELECT brain.delete_brain_run('matrix_near', 'third');
COMMIT;
SELECT kind FROM brain.sweep() WHERE kind <> 'file';
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'matrix_near'::regclass AND tgname LIKE 'brain\_track%';


--
-- Files that are damaged: the table answers, then a new one
--
SELECT brain.delete_brain_run('matrix_plain', 'filtered');
SELECT action FROM brain.sync('matrix_plain', 'key');
SELECT run_id AS matrix_run FROM brain._runs WHERE dataset_name = 'matrix_plain' \gset
CREATE FUNCTION matrix_files(run text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(CASE WHEN f LIKE '%.reader' THEN 'reader' ELSE 'file' END, ' ' ORDER BY 1) FROM pg_ls_dir('pgsql_tmp_milvus_brain') f, brain._bases b WHERE b.run_id::text = run AND f LIKE '%.' || run || '.' || b.generation || '%' $$;
-- its first rows, before a session opens it
\set command 'cat >/dev/null; for f in pgsql_tmp_milvus_brain/*.' :matrix_run '.*; do printf xxxxxxxx | dd of=$f bs=1 seek=65536 conv=notrunc 2>/dev/null; done'
COPY (SELECT 1) TO PROGRAM :'command';
\c
:search ('matrix_plain', '[0,0]', k => 2);
:path;
SELECT matrix_files(:'matrix_run');
:search ('matrix_plain', '[0,0]', k => 2);
:path;
SELECT matrix_files(:'matrix_run');
-- its header
SELECT action FROM brain.sync('matrix_plain', 'key');
\set command 'cat >/dev/null; for f in pgsql_tmp_milvus_brain/*.' :matrix_run '.*; do printf xxxx | dd of=$f bs=1 seek=172 conv=notrunc 2>/dev/null; done'
COPY (SELECT 1) TO PROGRAM :'command';
\c
:search ('matrix_plain', '[0,0]', k => 2);
:path;
-- cut while it is mapped
SELECT action FROM brain.sync('matrix_plain', 'key');
:search ('matrix_plain', '[0,0]', k => 2);
:path;
\set command 'cat >/dev/null; for f in pgsql_tmp_milvus_brain/*.' :matrix_run '.*; do truncate -s 4096 $f; done'
COPY (SELECT 1) TO PROGRAM :'command';
:search ('matrix_plain', '[0,0]', k => 2);
:path;
:search ('matrix_plain', '[0,0]', k => 2);
:path;
SELECT action FROM brain.sync('matrix_plain', 'key');

DROP TABLE matrix_few, matrix_noise, matrix_sizes, matrix_near, matrix_plain;
SELECT count(*) >= 0 AS swept FROM brain.sweep();
DROP FUNCTION matrix_files, matrix_keeps, matrix_compare, matrix_truth, matrix_differ, matrix_vector;
DROP ROLE regress_brain_matrix_owner, regress_brain_matrix_other;
