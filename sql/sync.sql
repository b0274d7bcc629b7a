-- Guards against a sync that loses or invents a change, does not say what it
-- did, lets one do what only the owner may, or leaves behind files, triggers or
-- log rows that belong to nothing; and against brain.sync_status telling
-- otherwise than it is.  What a search finds after each kind of change: changes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
CREATE ROLE regress_brain_sync_owner;
CREATE ROLE regress_brain_sync_other;
RESET client_min_messages;
\set status 'SELECT brain_key, tracked, changes, oldest_change_age >= interval \'0\' AS aged, last_sync <= now() AS synced, generation IS NOT NULL AS generation, rows, segments, size > 0 AS file, in_use, reason FROM brain.sync_status WHERE samples ='
\set sync 'SELECT samples, brain_key, action, changes, rows, seconds >= 0 AS timed, reason FROM brain.sync'
\set search 'SELECT string_agg(sample_id || \'=\' || distance, \' \' ORDER BY rank) AS found FROM brain.sort_by_similarity'
\set path 'SELECT brain.last_search()->>\'path\' AS path, brain.last_search()->>\'reason\' AS reason, brain.last_search()->>\'changes\' AS changes'

CREATE FUNCTION sync_vector(i bigint) RETURNS real[] IMMUTABLE STRICT LANGUAGE sql RETURN ARRAY[i, i % 5];

-- The files of a run.
CREATE FUNCTION sync_files(samples name, key text, OUT kind text, OUT files bigint, OUT size boolean) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT CASE WHEN f LIKE '%.tmp' THEN 'temporary' WHEN f LIKE '%.reader' THEN 'reader' ELSE 'file' END, count(*), bool_and((pg_stat_file('pgsql_tmp_milvus_brain/' || f)).size > 0)
	  FROM brain._runs r, pg_ls_dir('pgsql_tmp_milvus_brain', true, false) f WHERE r.dataset_name = samples AND r.brain_key = key AND f LIKE '%.' || r.run_id || '.%' GROUP BY 1 ORDER BY 1 $$;

-- Sweeps until the files of a run are so few.  A sweep leaves what a snapshot may
-- still need, such as that of an autovacuum worker, so it may take some.
CREATE FUNCTION sync_sweep(run text, wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	files bigint;
BEGIN
	FOR i IN 1 .. 300 LOOP
		PERFORM brain.sweep();
		SELECT count(*) INTO files FROM pg_ls_dir('pgsql_tmp_milvus_brain') f WHERE f LIKE '%.' || run || '.%';
		EXIT WHEN files <= wanted;
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN files;
END $$;


--
-- What a sync does, and says
--
CREATE TABLE sync_plain (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO sync_plain SELECT i, 'label ' || i % 3, sync_vector(i) FROM generate_series(1, 1000) i;
SELECT indexed FROM brain.compute_similarity('sync_plain', 'key', metric => 'euclidean');
:status 'sync_plain'::regclass;
SELECT * FROM sync_files('sync_plain', 'key');
:search ('sync_plain', '[0,0]', k => 3);
:path;
-- nothing to do
SELECT generation AS first FROM brain.sync_status WHERE samples = 'sync_plain'::regclass \gset
:sync ('sync_plain', 'key');
SELECT generation = :'first' AS same FROM brain.sync_status WHERE samples = 'sync_plain'::regclass;
-- few changes: a small file beside the base
UPDATE sync_plain SET embedding = '{0,1}' WHERE id = 500;
DELETE FROM sync_plain WHERE id = 1;
INSERT INTO sync_plain VALUES (2000, 'new', '{0,2}');
SELECT changes, oldest_change_age BETWEEN interval '0' AND interval '1 minute' AS aged, in_use FROM brain.sync_status WHERE samples = 'sync_plain'::regclass;
SELECT kind, sample_id, changed BETWEEN now() - interval '1 minute' AND now() AS changed, run_id = (SELECT run_id FROM brain._runs WHERE dataset_name = 'sync_plain') AS of_this_run
  FROM brain.changes WHERE run_id = (SELECT run_id FROM brain._runs WHERE dataset_name = 'sync_plain') ORDER BY sample_id;
:search ('sync_plain', '[0,0]', k => 3);
:path;
:sync ('sync_plain', 'key');
:status 'sync_plain'::regclass;
SELECT generation = :'first' AS same FROM brain.sync_status WHERE samples = 'sync_plain'::regclass;
SELECT count(*) FROM brain.changes WHERE run_id = (SELECT run_id FROM brain._runs WHERE dataset_name = 'sync_plain');
:search ('sync_plain', '[0,0]', k => 3);
:path;
-- again and again: the number of files stays small, and what was removed or replaced does not come back
CREATE FUNCTION sync_often(OUT wrong bigint, OUT most_segments integer, OUT most_files bigint) LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	wrong := 0;
	most_segments := 0;
	most_files := 0;
	FOR i IN 1 .. 100 LOOP
		UPDATE sync_plain SET embedding = ARRAY[-i, 0] WHERE id = 100 + i % 7;
		DELETE FROM sync_plain WHERE id = 200 + i;
		INSERT INTO sync_plain VALUES (3000 + i, 'more', ARRAY[i, 0.5]);
		PERFORM brain.sync('sync_plain', 'key');
		SELECT * INTO s FROM brain.sync_status WHERE samples = 'sync_plain'::regclass;
		most_segments := greatest(most_segments, s.segments);
		wrong := wrong + (SELECT count(*) FROM brain.sort_by_similarity('sync_plain', '[0,0]', k => NULL) f
			FULL JOIN (SELECT id::text, sqrt(embedding[1] ^ 2 + embedding[2] ^ 2) AS distance FROM sync_plain) e ON e.id = f.sample_id WHERE e.distance IS DISTINCT FROM f.distance);
	END LOOP;
	SELECT files INTO most_files FROM sync_files('sync_plain', 'key') WHERE kind = 'file';
END $$;
SELECT wrong, most_segments BETWEEN 1 AND 8 AS few_segments FROM sync_often();
SELECT rows, segments < 20 AS few, in_use FROM brain.sync_status WHERE samples = 'sync_plain'::regclass;
SELECT sync_sweep(run_id::text, segments + 1) = segments + 1 AS swept FROM brain._runs r, brain.sync_status s WHERE r.dataset_name = 'sync_plain' AND s.samples = 'sync_plain'::regclass;
-- the size is that of the files
SELECT s.size = (SELECT sum((pg_stat_file('pgsql_tmp_milvus_brain/' || f)).size) FROM brain._runs r, pg_ls_dir('pgsql_tmp_milvus_brain') f WHERE r.dataset_name = 'sync_plain' AND r.brain_key = 'key' AND f LIKE '%.' || r.run_id || '.%') AS same
  FROM brain.sync_status s WHERE samples = 'sync_plain'::regclass;
-- many changes: a new base
UPDATE sync_plain SET embedding = sync_vector(id + 1);
SELECT action, changes, rows = (SELECT count(*) FROM sync_plain) AS rows, reason FROM brain.sync('sync_plain', 'key');
SELECT segments FROM brain.sync_status WHERE samples = 'sync_plain'::regclass;
:search ('sync_plain', '[0,0]', k => 3);
:path;
-- emptied, and filled
TRUNCATE sync_plain;
SELECT changes, in_use FROM brain.sync_status WHERE samples = 'sync_plain'::regclass;
:sync ('sync_plain', 'key');
:status 'sync_plain'::regclass;
:search ('sync_plain', '[0,0]', k => 3);
:path;
INSERT INTO sync_plain SELECT i, 'label ' || i % 3, sync_vector(i) FROM generate_series(1, 1000) i;
:sync ('sync_plain', 'key');
:search ('sync_plain', '[0,0]', k => 3);
:path;

-- all runs of a table, of all tables that one owns
SELECT indexed FROM brain.compute_similarity('sync_plain', 'filtered', metric => 'euclidean', filter => 'label <> ''label 1''');
SELECT indexed FROM brain.compute_similarity('sync_plain', 'hand', metric => 'euclidean', with_data => false);
SELECT * FROM brain.add_to_index('sync_plain', 'hand', ARRAY[1, 2], '[[1,1],[2,2]]');
UPDATE sync_plain SET embedding = '{0,3}' WHERE id IN (4, 6);
SELECT brain_key, changes FROM brain.sync_status WHERE samples = 'sync_plain'::regclass ORDER BY brain_key COLLATE "C";
SELECT brain_key, action, changes, rows FROM brain.sync('sync_plain') ORDER BY brain_key COLLATE "C";
SELECT brain_key, action, changes, rows FROM brain.sync('sync_plain') ORDER BY brain_key COLLATE "C";
-- one leaves the others alone
UPDATE sync_plain SET embedding = '{0,4}' WHERE id IN (4, 6);
SELECT brain_key, action, changes FROM brain.sync('sync_plain', 'filtered');
SELECT brain_key, changes FROM brain.sync_status WHERE samples = 'sync_plain'::regclass ORDER BY brain_key COLLATE "C";
SELECT samples, brain_key, action, changes FROM brain.sync() WHERE samples = 'sync_plain'::regclass ORDER BY brain_key COLLATE "C";
SELECT brain_key, action FROM brain.sync(brain_key => 'filtered');
-- in one statement with searches: it sees what it sees
SELECT s.action, (SELECT string_agg(sample_id, ' ') FROM brain.sort_by_similarity('sync_plain', '[0,0]', k => 2, brain_key => 'key')) FROM brain.sync('sync_plain', 'key') s;

-- get_brain_info tells of the base
SELECT jsonb_pretty(jsonb_set(brain.get_brain_info('sync_plain', 'key')->'index'->'base', '{generation}', to_jsonb(brain.get_brain_info('sync_plain', 'key')->'index'->'base'->>'generation' IS NOT NULL))::jsonb - 'size' - 'last_sync');
SELECT brain.get_brain_info('sync_plain', 'key')->'index'->'base'->>'generation' = s.generation::text AS generation, (brain.get_brain_info('sync_plain', 'key')->'index'->'base'->>'size')::bigint = s.size AS size,
	   (brain.get_brain_info('sync_plain', 'key')->'index'->'base'->>'rows')::bigint = s.rows AS rows
  FROM brain.sync_status s WHERE samples = 'sync_plain'::regclass AND brain_key = 'key';

-- the log's own settings
SELECT reloptions IS NOT NULL AS autovacuum FROM pg_class WHERE oid = 'brain.changes'::regclass;
SELECT has_table_privilege('regress_brain_sync_other', 'brain.changes', 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') AS open;
SELECT has_function_privilege('regress_brain_sync_other', 'brain.sweep()', 'EXECUTE') AS open;


--
-- What is refused
--
SELECT brain.sync('sync_plain', 'nothing');
\echo :SQLSTATE
SELECT brain.sync('brain.runs', 'key');
\echo :SQLSTATE
SELECT brain.sync('sync_nowhere');
\echo :SQLSTATE
CREATE TABLE sync_without (id integer PRIMARY KEY);
SELECT brain.sync('sync_without');
SELECT brain.sync('sync_without', NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT brain.sync('sync_plain', 'key');
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT brain.sync('sync_plain');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT brain.sync('sync_plain', 'key');
\echo :SQLSTATE
ROLLBACK;
-- whoever does not own the table, by SELECT or not
GRANT SELECT, INSERT, UPDATE, DELETE ON sync_plain TO regress_brain_sync_other;
ALTER TABLE sync_plain OWNER TO regress_brain_sync_owner;
UPDATE sync_plain SET embedding = '{0,5}' WHERE id = 4;
SET ROLE regress_brain_sync_other;
SELECT brain.sync('sync_plain', 'key');
\echo :SQLSTATE
SELECT brain.sync('sync_plain');
\echo :SQLSTATE
SELECT count(*) FROM brain.sync();
SELECT brain.sweep();
\echo :SQLSTATE
SELECT count(*) FROM brain.changes;
\echo :SQLSTATE
-- but it writes, and searches
UPDATE sync_plain SET embedding = '{0,6}' WHERE id = 6;
:search ('sync_plain', '[0,0]', k => 3, brain_key => 'key');
:path;
SELECT brain_key, changes, in_use FROM brain.sync_status WHERE samples = 'sync_plain'::regclass ORDER BY brain_key COLLATE "C";
RESET ROLE;
REVOKE ALL ON sync_plain FROM regress_brain_sync_other;
SET ROLE regress_brain_sync_other;
SELECT count(*) FROM brain.sync_status WHERE samples = 'sync_plain'::regclass;
SELECT brain.sync('sync_plain', 'key');
\echo :SQLSTATE
RESET ROLE;
-- the owner, an ordinary role, may
SET ROLE regress_brain_sync_owner;
SELECT brain_key, action, changes FROM brain.sync() ORDER BY brain_key COLLATE "C";
:search ('sync_plain', '[0,0]', k => 3, brain_key => 'key');
:path;
SELECT brain_key, in_use FROM brain.sync_status WHERE samples = 'sync_plain'::regclass ORDER BY brain_key COLLATE "C";
RESET ROLE;
-- row security: bases are the owner's, answers the caller's
ALTER TABLE sync_plain ENABLE ROW LEVEL SECURITY;
CREATE POLICY sync_some ON sync_plain TO regress_brain_sync_other USING (id % 2 = 0) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON sync_plain TO regress_brain_sync_other;
SET ROLE regress_brain_sync_other;
:search ('sync_plain', '[0,0]', k => 5, brain_key => 'key');
INSERT INTO sync_plain VALUES (5001, 'hidden', '{0,0}'), (5002, 'shown', '{0,0}');
UPDATE sync_plain SET embedding = '{0,0}' WHERE id IN (7, 8);
:search ('sync_plain', '[0,0]', k => 5, brain_key => 'key');
RESET ROLE;
:search ('sync_plain', '[0,0]', k => 5, brain_key => 'key');
SET ROLE regress_brain_sync_owner;
SELECT action, changes FROM brain.sync('sync_plain', 'key');
:search ('sync_plain', '[0,0]', k => 5, brain_key => 'key');
SET ROLE regress_brain_sync_other;
:search ('sync_plain', '[0,0]', k => 5, brain_key => 'key');
RESET ROLE;
-- FORCE hides rows from the owner: then there is no base that holds for all, or it holds all of them
ALTER TABLE sync_plain FORCE ROW LEVEL SECURITY;
UPDATE sync_plain SET embedding = '{0,7}' WHERE id = 9;
SET ROLE regress_brain_sync_owner;
:search ('sync_plain', '[0,0]', k => 5, brain_key => 'key');
RESET ROLE;
:search ('sync_plain', '[0,0]', k => 5, brain_key => 'key');
ALTER TABLE sync_plain NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY sync_some ON sync_plain;
:search ('sync_plain', '[0,0]', k => 5, brain_key => 'key');
ALTER TABLE sync_plain OWNER TO CURRENT_USER;

-- nobody writes into the log of a run by a trigger on a table of his own
SELECT run_id AS sync_run FROM brain._runs WHERE dataset_name = 'sync_plain' AND brain_key = 'key' \gset
SELECT brain_key, action FROM brain.sync('sync_plain', 'key');
CREATE SCHEMA sync_own AUTHORIZATION regress_brain_sync_other;
SET ROLE regress_brain_sync_other;
CREATE TABLE sync_own.own (id bigint PRIMARY KEY, label text, embedding real[]);
CREATE TRIGGER poison AFTER INSERT OR UPDATE OR DELETE ON sync_own.own FOR EACH ROW EXECUTE FUNCTION brain._track_changes(:'sync_run');
CREATE TRIGGER poison2 AFTER TRUNCATE ON sync_own.own FOR EACH STATEMENT EXECUTE FUNCTION brain._track_truncate(:'sync_run');
CREATE TRIGGER poison3 BEFORE INSERT ON sync_own.own FOR EACH ROW EXECUTE FUNCTION brain._track_changes(:'sync_run');
CREATE TRIGGER poison4 AFTER INSERT ON sync_own.own FOR EACH STATEMENT EXECUTE FUNCTION brain._track_changes();
CREATE TRIGGER poison5 AFTER INSERT ON sync_own.own FOR EACH ROW EXECUTE FUNCTION brain._track_changes('no uuid');
CREATE TRIGGER poison6 AFTER INSERT ON sync_own.own FOR EACH ROW EXECUTE FUNCTION brain._track_embeddings();
CREATE TRIGGER poison7 AFTER INSERT ON sync_own.own FOR EACH STATEMENT EXECUTE FUNCTION brain._track_truncate(:'sync_run');
RESET ROLE;
SET client_min_messages = error;
-- refused or ignored: the log stays as it is
\set VERBOSITY sqlstate
INSERT INTO sync_own.own VALUES (1, 'x', '{0,0}');
DROP TRIGGER poison3 ON sync_own.own;
DROP TRIGGER poison4 ON sync_own.own;
DROP TRIGGER poison7 ON sync_own.own;
INSERT INTO sync_own.own VALUES (1, 'x', '{0,0}');
TRUNCATE sync_own.own;
\set VERBOSITY default
RESET client_min_messages;
SELECT changes FROM brain.sync_status WHERE samples = 'sync_plain'::regclass AND brain_key = 'key';
:search ('sync_plain', '[0,0]', k => 3, brain_key => 'key');
DROP SCHEMA sync_own CASCADE;
-- the functions are nobody's to call
SELECT brain._track_changes();
SELECT brain._track_truncate();
SELECT brain._track_embeddings();


--
-- Settings
--
SHOW brain.use_matrix;
SHOW brain.max_matrix_size;
SELECT name, vartype, context, unit FROM pg_settings WHERE name IN ('brain.use_matrix', 'brain.max_matrix_size', 'brain.screening', 'brain.blas_threads') ORDER BY 1;
SET brain.use_matrix = off;
:search ('sync_plain', '[0,0]', k => 3, brain_key => 'key');
:path;
SELECT in_use FROM brain.sync_status WHERE samples = 'sync_plain'::regclass AND brain_key = 'key';
RESET brain.use_matrix;
SET ROLE regress_brain_sync_other;
SET brain.max_matrix_size = 0;
\echo :SQLSTATE
SET brain.use_matrix = off;
RESET brain.use_matrix;
RESET ROLE;
-- too small for the file that there is: it stays, but no other is made
SET brain.max_matrix_size = '1kB';
CREATE TABLE sync_limited (id bigint PRIMARY KEY, embedding real[]);
INSERT INTO sync_limited SELECT i, sync_vector(i) FROM generate_series(1, 1000) i;
SELECT indexed FROM brain.compute_similarity('sync_limited', 'limited', metric => 'euclidean');
SELECT * FROM sync_files('sync_limited', 'limited');
:search ('sync_limited', '[0,0]', k => 3);
:path;
SELECT tracked, in_use, size, reason FROM brain.sync_status WHERE samples = 'sync_limited'::regclass;
SELECT brain.get_brain_info('sync_limited', 'limited')->'index'->'base'->>'reason' AS reason;
SELECT action, reason FROM brain.sync('sync_limited');
UPDATE sync_limited SET embedding = '{0,0}' WHERE id = 7;
:search ('sync_limited', '[0,0]', k => 3);
SET brain.max_matrix_size = 0;
SELECT action, reason FROM brain.sync('sync_limited');
:search ('sync_limited', '[0,0]', k => 3);
:path;
-- and then there is room
RESET brain.max_matrix_size;
SELECT action, rows, reason FROM brain.sync('sync_limited');
:search ('sync_limited', '[0,0]', k => 3);
:path;
SELECT * FROM sync_files('sync_limited', 'limited');
SELECT in_use, reason FROM brain.sync_status WHERE samples = 'sync_limited'::regclass;
DROP TABLE sync_limited;


--
-- What cannot be tracked is read at each search, and says so
--
CREATE UNLOGGED TABLE sync_unlogged (id bigint PRIMARY KEY, embedding real[]);
INSERT INTO sync_unlogged SELECT i, sync_vector(i) FROM generate_series(1, 100) i;
CREATE VIEW sync_view AS SELECT * FROM sync_plain WHERE id <= 100;
CREATE MATERIALIZED VIEW sync_matview AS SELECT * FROM sync_plain WHERE id <= 100;
SELECT indexed FROM brain.compute_similarity('sync_unlogged', 'key', metric => 'euclidean');
SELECT indexed FROM brain.compute_similarity('sync_view', 'key', metric => 'euclidean', id_field => 'id');
SELECT indexed FROM brain.compute_similarity('sync_matview', 'key', metric => 'euclidean', id_field => 'id');
SELECT samples, tracked, changes, in_use, size, reason FROM brain.sync_status WHERE samples IN ('sync_unlogged'::regclass, 'sync_view'::regclass, 'sync_matview'::regclass) ORDER BY 1;
SELECT samples, action, reason FROM brain.sync() WHERE samples IN ('sync_unlogged'::regclass, 'sync_view'::regclass, 'sync_matview'::regclass) ORDER BY 1;
DELETE FROM sync_plain WHERE id = 1;
DELETE FROM sync_unlogged WHERE id = 1;
:search ('sync_view', '[0,0]', k => 2);
:path;
:search ('sync_matview', '[0,0]', k => 2);
:search ('sync_unlogged', '[0,0]', k => 2);
:path;
-- embeddings that are stored for a view's rows: those change only by our functions, the rows do not
SELECT indexed FROM brain.compute_similarity('sync_view', 'hand', metric => 'euclidean', id_field => 'id', with_data => false);
SELECT * FROM brain.add_to_index('sync_view', 'hand', ARRAY[2, 3], '[[1,1],[2,2]]');
:search ('sync_view', '[0,0]', brain_key => 'hand');
DELETE FROM sync_plain WHERE id = 2;
:search ('sync_view', '[0,0]', brain_key => 'hand');
SELECT action FROM brain.sync('sync_view', 'hand');
:search ('sync_view', '[0,0]', brain_key => 'hand');
DROP VIEW sync_view;
DROP MATERIALIZED VIEW sync_matview;
DROP TABLE sync_unlogged;


--
-- Runs that are cleaned up, broken, deleted, computed anew
--
SELECT run_id AS sync_run FROM brain._runs WHERE dataset_name = 'sync_plain' AND brain_key = 'key' \gset
SELECT brain.cleanup('sync_plain', 'key');
SELECT brain_key, changes, coalesce(size, 0) AS size, in_use, reason FROM brain.sync_status WHERE samples = 'sync_plain'::regclass AND brain_key = 'key';
SELECT action, reason FROM brain.sync('sync_plain', 'key');
UPDATE sync_plain SET embedding = '{0,8}' WHERE id = 10;
SELECT count(*) FROM brain.changes WHERE run_id = :'sync_run';
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sync_plain'::regclass AND tgname LIKE 'brain\_track%' || replace(:'sync_run', '-', '');
SELECT indexed = (SELECT count(*) FROM sync_plain) AS all FROM brain.compute_similarity('sync_plain', 'key', metric => 'euclidean', overwrite => true);
:search ('sync_plain', '[0,0]', k => 3, brain_key => 'key');
:path;
-- broken: it says so, and a sync of all goes on with the others
ALTER TABLE sync_plain RENAME TO sync_renamed;
ALTER TABLE sync_renamed RENAME TO sync_plain;
SELECT indexed = (SELECT count(*) FROM sync_plain WHERE label IS NOT NULL) AS all FROM brain.compute_similarity('sync_plain', 'broken', metric => 'euclidean', filter => 'label IS NOT NULL');
ALTER TABLE sync_plain DROP COLUMN label CASCADE;
UPDATE sync_plain SET embedding = '{0,9}' WHERE id = 11;
SELECT brain_key, in_use, reason FROM brain.sync_status WHERE samples = 'sync_plain'::regclass AND brain_key IN ('broken', 'key') ORDER BY brain_key COLLATE "C";
SELECT brain_key, action, reason FROM brain.sync('sync_plain') WHERE brain_key IN ('broken', 'key') ORDER BY brain_key COLLATE "C";
SELECT brain.delete_brain_run('sync_plain', 'broken'), brain.delete_brain_run('sync_plain', 'filtered');
-- a run that is renamed keeps all
SELECT brain.rename_brain_run('sync_plain', 'key', 'other');
UPDATE sync_plain SET embedding = '{0,10}' WHERE id = 12;
SELECT brain_key, action FROM brain.sync('sync_plain', 'other');
:search ('sync_plain', '[0,0]', k => 3, brain_key => 'other');
:path;
-- deleted: no trigger, no log row, and after a sweep no file
SELECT run_id AS sync_run FROM brain._runs WHERE dataset_name = 'sync_plain' AND brain_key = 'other' \gset
UPDATE sync_plain SET embedding = '{0,10}' WHERE id = 13;
BEGIN;
SELECT brain.delete_brain_run('sync_plain', 'other');
ROLLBACK;
:search ('sync_plain', '[0,0]', k => 3, brain_key => 'other');
SELECT brain.delete_brain_run('sync_plain', 'other'), brain.delete_brain_run('sync_plain', 'hand');
SELECT count(*) FROM brain.changes WHERE run_id = :'sync_run';
SELECT tgname FROM pg_trigger WHERE tgrelid = 'sync_plain'::regclass;
SELECT sync_sweep(:'sync_run', 0) AS files;
-- swept: what belongs to nothing, and nothing else
INSERT INTO brain.changes (run_id, kind, sample_id, changed) VALUES ('00000000-0000-0000-0000-000000000001', 'r', 'x', now());
SELECT indexed = (SELECT count(*) FROM sync_plain) AS all FROM brain.compute_similarity('sync_plain', 'swept', metric => 'euclidean');
SELECT oid AS database FROM pg_database WHERE datname = current_database() \gset
\set file :database '.00000000-0000-0000-0000-000000000001.00000000-0000-0000-0000-000000000002'
\set command 'cat >/dev/null; echo nothing >pgsql_tmp_milvus_brain/' :file
COPY (SELECT 1) TO PROGRAM :'command';
SELECT kind, CASE WHEN kind = 'file' THEN replace(name, :'database', 'database') END AS file FROM brain.sweep() WHERE kind <> 'file' OR name LIKE '%.00000000-%' ORDER BY kind, name;
SELECT kind FROM brain.sweep() WHERE kind <> 'file' OR name LIKE '%.00000000-%';
:search ('sync_plain', '[0,0]', k => 3, brain_key => 'swept');
:path;
-- files of another database, of which this one knows nothing, stay
\set file '1.00000000-0000-0000-0000-000000000001.00000000-0000-0000-0000-000000000003'
\set command 'cat >/dev/null; echo nothing >pgsql_tmp_milvus_brain/' :file
COPY (SELECT 1) TO PROGRAM :'command';
SELECT kind FROM brain.sweep() WHERE kind <> 'file' OR name LIKE '%.00000000-%';
SELECT count(*) FROM pg_ls_dir('pgsql_tmp_milvus_brain') f WHERE f = :'file';
\set command 'cat >/dev/null; rm pgsql_tmp_milvus_brain/' :file
COPY (SELECT 1) TO PROGRAM :'command';
-- a dropped table leaves nothing
SELECT run_id AS sync_run FROM brain._runs WHERE dataset_name = 'sync_plain' \gset
UPDATE sync_plain SET embedding = '{0,11}' WHERE id = 14;
DROP TABLE sync_plain;
SELECT count(*) FROM brain.changes WHERE run_id = :'sync_run';
SELECT sync_sweep(:'sync_run', 0) AS files;


--
-- A base that is not there: the search finds it missing, and mends it
--
CREATE TABLE sync_missing (id bigint PRIMARY KEY, embedding real[]);
INSERT INTO sync_missing SELECT i, sync_vector(i) FROM generate_series(1, 1000) i;
SELECT indexed FROM brain.compute_similarity('sync_missing', 'missing', metric => 'euclidean');
SELECT 'cat >/dev/null; rm -f pgsql_tmp_milvus_brain/*.' || run_id || '.*' AS command FROM brain._runs WHERE brain_key = 'missing' \gset
UPDATE sync_missing SET embedding = '{0,1}' WHERE id = 7;
COPY (SELECT 1) TO PROGRAM :'command';
-- this session has it mapped still; the answers are right, whichever
:search ('sync_missing', '[0,0]', k => 3);
\c
:search ('sync_missing', '[0,0]', k => 3);
:search ('sync_missing', '[0,0]', k => 3);
:path;
SELECT kind FROM sync_files('sync_missing', 'missing');
UPDATE sync_missing SET embedding = '{0,2}' WHERE id = 8;
:search ('sync_missing', '[0,0]', k => 3);
:path;
SELECT action, rows FROM brain.sync('sync_missing', 'missing');
:search ('sync_missing', '[0,0]', k => 3);
:path;
-- not one who wrote in this transaction, nor one without the right to
COPY (SELECT 1) TO PROGRAM :'command';
\c
BEGIN;
INSERT INTO sync_missing VALUES (2000, '{0,0}');
:search ('sync_missing', '[0,0]', k => 3);
:search ('sync_missing', '[0,0]', k => 3);
SELECT kind FROM sync_files('sync_missing', 'missing');
ROLLBACK;
:search ('sync_missing', '[0,0]', k => 3);
-- a sync makes it, too
COPY (SELECT 1) TO PROGRAM :'command';
\c
SELECT action, rows FROM brain.sync('sync_missing', 'missing');
SELECT kind, files FROM sync_files('sync_missing', 'missing');
:search ('sync_missing', '[0,0]', k => 3);
:path;
DROP TABLE sync_missing;
SELECT count(*) >= 0 AS swept FROM brain.sweep();
DROP TABLE sync_without;
DROP FUNCTION sync_files, sync_often, sync_sweep, sync_vector;
DROP ROLE regress_brain_sync_owner, regress_brain_sync_other;
