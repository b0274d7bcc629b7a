-- Guards against a change of the dataset that a search over the packed copy of
-- its vectors misses, or meets twice: every way in which PostgreSQL can change a
-- row, and every one that goes round its triggers.  Each is compared with plain
-- SQL, with the copy and without it (brain.use_matrix = off), before a sync has
-- taken the changes in and after; brain.last_search() tells which path answered,
-- so that none of them passes only because the table was read.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

-- Whole numbers, so that sums are exact and both sides agree to the last bit;
-- many rows have equal distances, so their order is tested, too.
CREATE FUNCTION changes_vector(i bigint) RETURNS real[] IMMUTABLE STRICT LANGUAGE sql
	RETURN ARRAY[i % 7, i * i % 11, i % 4, i * 3 % 13, i % 5, i * i * i % 9, i % 2, i % 17]::real[];
CREATE FUNCTION changes_distance(a real[], b real[]) RETURNS double precision IMMUTABLE LANGUAGE sql
	RETURN (SELECT sqrt(sum((x - y) ^ 2)) FROM unnest(a::double precision[], b::double precision[]) AS e (x, y));

-- Four searches, each over the matrix and over the table: all rows, the nearest
-- 5, the farthest 5, and 5 by id.  wrong: how many of the eight differ from plain
-- SQL in an id, a distance or their order; path: what answered three of them with
-- brain.use_matrix = on; changes: how many changed ids it met.
CREATE FUNCTION changes_check(samples text, key text, id text DEFAULT 'id', condition text DEFAULT 'true', embedding text DEFAULT 'embedding',
	OUT rows integer, OUT wrong integer, OUT path text, OUT changes text) LANGUAGE plpgsql AS $$
DECLARE
	vector CONSTANT real[] := '{3,5,2,6,2,4,1,8}';
	near text[];
	far text[];
	by_id text[];
	sample text;
	use boolean;
BEGIN
	EXECUTE format('
		WITH sample AS (SELECT (%1$s)::text AS id, (%4$s)::real[] AS embedding FROM %2$s WHERE %4$s IS NOT NULL AND (%3$s)), query AS (SELECT * FROM sample ORDER BY id LIMIT 1)
		SELECT coalesce(array_agg(s.id || ''='' || d ORDER BY d, s.id COLLATE "C"), ''{}''), coalesce(array_agg(s.id || ''='' || d ORDER BY d DESC, s.id COLLATE "C"), ''{}''),
			   coalesce(array_agg(s.id || ''='' || e ORDER BY s.id <> query.id, e, s.id COLLATE "C"), ''{}''), min(query.id)
		  FROM sample s CROSS JOIN query, changes_distance(s.embedding, $1) d, changes_distance(s.embedding, query.embedding) e', id, samples, condition, embedding)
	   INTO near, far, by_id, sample USING vector;
	rows := cardinality(near);
	wrong := 0;
	FOREACH use IN ARRAY ARRAY[false, true] LOOP
		PERFORM set_config('brain.use_matrix', use::text, true);
		wrong := wrong + (SELECT (coalesce(array_agg(s.sample_id || '=' || s.distance ORDER BY rank), '{}') <> near)::integer
			FROM brain.sort_by_similarity(samples::regclass, vector, k => NULL, brain_key => key) s);
		wrong := wrong + (SELECT (coalesce(array_agg(s.sample_id || '=' || s.distance ORDER BY rank), '{}') <> far[:5])::integer
			FROM brain.sort_by_similarity(samples::regclass, vector, k => 5, reverse => true, brain_key => key) s);
		path := brain.last_search()->>'path';
		IF sample IS NOT NULL THEN
			wrong := wrong + (SELECT (coalesce(array_agg(s.sample_id || '=' || s.distance ORDER BY rank), '{}') <> by_id[:5])::integer
				FROM brain.sort_by_similarity(samples::regclass, sample, k => 5, brain_key => key) s);
			path := concat_ws(', ', path, nullif(brain.last_search()->>'path', path));
		END IF;
		wrong := wrong + (SELECT (coalesce(array_agg(s.sample_id || '=' || s.distance ORDER BY rank), '{}') <> near[:5])::integer
			FROM brain.sort_by_similarity(samples::regclass, vector, k => 5, brain_key => key) s);
		path := concat_ws(', ', path, nullif(brain.last_search()->>'path', path));
		changes := brain.last_search()->>'changes';
		IF NOT use AND path <> 'table' THEN
			RAISE WARNING 'brain.use_matrix = off, and % answered', path;
		END IF;
	END LOOP;
	-- for both of the function's callers: the statement, and the session
	PERFORM set_config('brain.use_matrix', 'on', true);
END $$;
\set check 'SELECT * FROM changes_check'
\set sync 'SELECT brain_key, action, rows, reason FROM brain.sync'
\set compute 'SELECT indexed, missing, skipped FROM brain.compute_similarity'
-- is anything in the log, of the runs of a dataset?
\set log 'SELECT brain_key, tracked, changes > 0 AS logged, in_use FROM brain.sync_status WHERE samples ='


--
-- INSERT, UPDATE, DELETE, COPY, ON CONFLICT, MERGE
--
CREATE TABLE changes_plain (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO changes_plain SELECT i, 'label ' || i % 3, changes_vector(i) FROM generate_series(1, 300) i;
:compute ('changes_plain', 'key', metric => 'euclidean');
:check ('changes_plain', 'key');
:log 'changes_plain'::regclass;

INSERT INTO changes_plain VALUES (1000, 'new', '{3,5,2,6,2,4,1,8}'), (1001, 'new', '{3,5,2,6,2,4,1,7}');
:check ('changes_plain', 'key');
INSERT INTO changes_plain SELECT i, 'new', changes_vector(i) FROM generate_series(1002, 1006) i;
:check ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,9}' WHERE id = 7;
UPDATE changes_plain SET embedding = changes_vector(id + 1), label = 'moved' WHERE id BETWEEN 8 AND 10;
:check ('changes_plain', 'key');
-- the nearest goes, and the query of the check by id
DELETE FROM changes_plain WHERE id IN (1000, 1, 2);
:check ('changes_plain', 'key');
-- away and back again, as it was, and otherwise
DELETE FROM changes_plain WHERE id IN (20, 21);
INSERT INTO changes_plain VALUES (20, 'back', changes_vector(20)), (21, 'back', '{3,5,2,6,2,4,1,6}');
:check ('changes_plain', 'key');
COPY changes_plain FROM stdin;
1	copied	{3,5,2,6,2,3,1,8}
2	copied	\N
1010	copied	{3,5,2,6,2,2,1,8}
\.
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:log 'changes_plain'::regclass;
:check ('changes_plain', 'key');

INSERT INTO changes_plain VALUES (1, 'conflict', '{0,0,0,0,0,0,0,0}'), (1011, 'none', '{3,5,2,6,2,4,1,8}')
	ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding;
:check ('changes_plain', 'key');
INSERT INTO changes_plain VALUES (1, 'nothing', '{3,5,2,6,2,4,1,8}'), (1012, 'none', '{3,5,2,6,2,4,1,8}') ON CONFLICT DO NOTHING;
:check ('changes_plain', 'key');
INSERT INTO changes_plain VALUES (3, 'where', '{3,5,2,6,2,4,1,8}') ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding WHERE changes_plain.label = 'no such label';
:check ('changes_plain', 'key');
MERGE INTO changes_plain p USING (VALUES (30, '{3,5,2,6,2,4,0,8}'::real[]), (31, NULL), (32, '{1,1,1,1,1,1,1,1}'), (2000, '{3,5,2,6,2,4,2,8}')) AS n (id, embedding) ON n.id = p.id
	WHEN MATCHED AND n.embedding IS NULL THEN DELETE
	WHEN MATCHED AND n.id = 32 THEN DO NOTHING
	WHEN MATCHED THEN UPDATE SET embedding = n.embedding
	WHEN NOT MATCHED THEN INSERT VALUES (n.id, 'merged', n.embedding);
:check ('changes_plain', 'key');
-- no embedding any more, and one for the first time
UPDATE changes_plain SET embedding = NULL WHERE id IN (40, 41);
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,3,8}' WHERE id = 2;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- by way of a view, a rule, a CTE, a join, a function, a prepared statement
CREATE VIEW changes_view AS SELECT id AS key, embedding AS vector FROM changes_plain WHERE label IS DISTINCT FROM 'hidden';
INSERT INTO changes_view VALUES (2001, '{3,5,2,6,2,5,1,8}');
UPDATE changes_view SET vector = '{3,5,2,6,1,4,1,8}' WHERE key = 50;
DELETE FROM changes_view WHERE key = 51;
:check ('changes_plain', 'key');
CREATE TABLE changes_rule (id bigint, embedding real[]);
CREATE RULE changes_rule AS ON INSERT TO changes_rule DO INSTEAD INSERT INTO changes_plain VALUES (new.id, 'rule', new.embedding);
INSERT INTO changes_rule VALUES (2002, '{3,5,2,6,3,4,1,8}');
WITH gone AS (DELETE FROM changes_plain WHERE id = 52 RETURNING embedding), moved AS (UPDATE changes_plain SET embedding = changes_vector(1) WHERE id = 53)
INSERT INTO changes_plain SELECT 2003, 'cte', embedding FROM gone;
UPDATE changes_plain p SET embedding = o.embedding FROM changes_plain o WHERE p.id IN (54, 55) AND o.id = p.id + 100;
DELETE FROM changes_plain p USING changes_rule, changes_plain o WHERE p.id = 56;
PREPARE changes_insert AS INSERT INTO changes_plain VALUES ($1, 'prepared', $2);
EXECUTE changes_insert (2004, '{3,5,1,6,2,4,1,8}');
EXECUTE changes_insert (2005, '{3,4,2,6,2,4,1,8}');
CREATE FUNCTION changes_function(i bigint) RETURNS void LANGUAGE sql AS $$ UPDATE changes_plain SET embedding = '{2,5,2,6,2,4,1,8}' WHERE id = i $$;
SELECT changes_function(i) FROM generate_series(57, 59) i;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
DROP VIEW changes_view;
DROP TABLE changes_rule;

-- what the privileges of the writer are does not matter
CREATE ROLE regress_brain_changes;
GRANT INSERT, UPDATE (embedding), SELECT (id) ON changes_plain TO regress_brain_changes;
SET ROLE regress_brain_changes;
INSERT INTO changes_plain VALUES (2010, 'other role', '{3,5,2,6,2,4,1,8}');
UPDATE changes_plain SET embedding = '{0,5,2,6,2,4,1,8}' WHERE id = 60;
RESET ROLE;
REVOKE ALL ON changes_plain FROM regress_brain_changes;
DROP ROLE regress_brain_changes;
:check ('changes_plain', 'key');


--
-- An UPDATE that changes neither key, embedding nor a column of the filter
--
:sync ('changes_plain', 'key');
UPDATE changes_plain SET label = label || '!';
:log 'changes_plain'::regclass;
UPDATE changes_plain SET embedding = embedding, id = id;
UPDATE changes_plain SET embedding = embedding || '{}'::real[] WHERE embedding IS NOT NULL;
UPDATE changes_plain SET embedding = changes_vector(id) WHERE id BETWEEN 80 AND 200;
:log 'changes_plain'::regclass;
:check ('changes_plain', 'key');
-- in the TOAST table: the pointer changes, the value does not
CREATE TABLE changes_toasted (id integer PRIMARY KEY, label text, embedding real[]);
ALTER TABLE changes_toasted ALTER embedding SET STORAGE EXTERNAL;
INSERT INTO changes_toasted SELECT i, 'label', (SELECT array_agg((i * j % 23)::real ORDER BY j) FROM generate_series(1, 1000) j) FROM generate_series(1, 50) i;
:compute ('changes_toasted', 'key', metric => 'euclidean');
UPDATE changes_toasted SET label = 'other';
UPDATE changes_toasted SET embedding = embedding || '{}'::real[] WHERE id = 1;
UPDATE changes_toasted SET embedding = embedding[:999] || embedding[1000:] WHERE id <= 10;
:log 'changes_toasted'::regclass;
UPDATE changes_toasted SET embedding = embedding[:999] || 77::real WHERE id = 3;
:log 'changes_toasted'::regclass;
SELECT rank, sample_id, distance = changes_distance(t.embedding, q.embedding) AS same
  FROM brain.sort_by_similarity('changes_toasted', 3, k => 4) s JOIN changes_toasted t ON t.id::text = s.sample_id, changes_toasted q WHERE q.id = 3 ORDER BY rank;
SELECT brain.last_search()->>'path' AS path;
DROP TABLE changes_toasted;


--
-- Transactions, savepoints
--
:sync ('changes_plain', 'key');
BEGIN;
INSERT INTO changes_plain VALUES (3000, 'mine', '{3,5,2,6,2,4,1,8}');
:check ('changes_plain', 'key');
SAVEPOINT a;
DELETE FROM changes_plain WHERE id BETWEEN 90 AND 99;
UPDATE changes_plain SET embedding = '{9,9,9,9,9,9,9,9}' WHERE id = 3000;
:check ('changes_plain', 'key');
SAVEPOINT b;
UPDATE changes_plain SET embedding = '{8,9,9,9,9,9,9,9}' WHERE id = 3000;
RELEASE b;
:check ('changes_plain', 'key');
ROLLBACK TO a;
:check ('changes_plain', 'key');
ROLLBACK;
:check ('changes_plain', 'key');
:log 'changes_plain'::regclass;
-- an exception is a savepoint; what its block wrote is gone
DO $$ BEGIN
	BEGIN
		INSERT INTO changes_plain VALUES (3001, 'lost', '{3,5,2,6,2,4,1,8}');
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		INSERT INTO changes_plain VALUES (3002, 'kept', '{3,5,2,6,2,4,1,8}');
	END;
END $$;
:check ('changes_plain', 'key');
-- a failed statement leaves nothing
INSERT INTO changes_plain VALUES (3003, 'lost', '{3,5,2,6,2,4,1,8}'), (3002, 'twice', '{3,5,2,6,2,4,1,8}');
:check ('changes_plain', 'key');
-- a sync inside a transaction, with changes before and after, and rolled back
BEGIN;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,1}' WHERE id = 100;
:sync ('changes_plain', 'key');
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,2}' WHERE id = 100;
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
ROLLBACK;
:check ('changes_plain', 'key');
BEGIN;
SAVEPOINT s;
DELETE FROM changes_plain WHERE id = 101;
SELECT action FROM brain.sync('changes_plain', 'key');
ROLLBACK TO s;
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
DELETE FROM changes_plain WHERE id = 102;
COMMIT;
:check ('changes_plain', 'key');
BEGIN;
DELETE FROM changes_plain WHERE id = 103;
SELECT action FROM brain.sync('changes_plain', 'key');
DELETE FROM changes_plain WHERE id = 104;
COMMIT;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');


--
-- TRUNCATE
--
BEGIN;
SAVEPOINT s;
TRUNCATE changes_plain;
:check ('changes_plain', 'key');
INSERT INTO changes_plain VALUES (5, 'after', '{3,5,2,6,2,4,1,8}');
:check ('changes_plain', 'key');
-- a second one empties the same file in place
TRUNCATE changes_plain;
INSERT INTO changes_plain VALUES (6, 'after', '{3,5,2,6,2,4,1,8}');
:check ('changes_plain', 'key');
ROLLBACK TO s;
:check ('changes_plain', 'key');
INSERT INTO changes_plain VALUES (3100, 'after', '{3,5,2,6,2,4,1,8}');
COMMIT;
:check ('changes_plain', 'key');
TRUNCATE changes_plain;
:check ('changes_plain', 'key');
INSERT INTO changes_plain SELECT i, 'again', changes_vector(i + 1) FROM generate_series(1, 300) i;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
DELETE FROM changes_plain;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
INSERT INTO changes_plain SELECT i, 'again', changes_vector(i + 2) FROM generate_series(1, 300) i;
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- the table that the transaction made is truncated in place, too
BEGIN;
CREATE TABLE changes_young (id integer PRIMARY KEY, embedding real[]);
INSERT INTO changes_young SELECT i, changes_vector(i) FROM generate_series(1, 100) i;
:compute ('changes_young', 'key', metric => 'euclidean');
SELECT rows, wrong FROM changes_check('changes_young', 'key');
TRUNCATE changes_young;
SELECT rows, wrong FROM changes_check('changes_young', 'key');
INSERT INTO changes_young SELECT i, changes_vector(i + 5) FROM generate_series(1, 10) i;
SELECT rows, wrong FROM changes_check('changes_young', 'key');
COMMIT;
SELECT rows, wrong FROM changes_check('changes_young', 'key');
DROP TABLE changes_young;
-- CASCADE, by a foreign key; RESTART IDENTITY gives ids again
CREATE TABLE changes_parent (id bigint PRIMARY KEY);
INSERT INTO changes_parent SELECT generate_series(1, 500);
CREATE TABLE changes_child (id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
	parent bigint REFERENCES changes_parent ON DELETE CASCADE ON UPDATE CASCADE, embedding real[]);
INSERT INTO changes_child (parent, embedding) SELECT i, changes_vector(i) FROM generate_series(1, 300) i;
:compute ('changes_child', 'key', metric => 'euclidean');
SET client_min_messages = warning;
TRUNCATE changes_parent CASCADE;
RESET client_min_messages;
:check ('changes_child', 'key');
INSERT INTO changes_parent SELECT generate_series(1, 500);
TRUNCATE changes_child RESTART IDENTITY;
INSERT INTO changes_child (parent, embedding) SELECT i, changes_vector(i * 2) FROM generate_series(1, 300) i;
:check ('changes_child', 'key');
:sync ('changes_child', 'key');
:check ('changes_child', 'key');


--
-- Foreign keys
--
DELETE FROM changes_parent WHERE id IN (1, 20, 30);
:check ('changes_child', 'key');
UPDATE changes_parent SET id = id + 1000 WHERE id BETWEEN 40 AND 42;
:check ('changes_child', 'key');
:sync ('changes_child', 'key');
:check ('changes_child', 'key');
-- where the key is the foreign key: it moves
CREATE TABLE changes_shared (id bigint PRIMARY KEY REFERENCES changes_parent ON DELETE CASCADE ON UPDATE CASCADE, embedding real[]);
INSERT INTO changes_shared SELECT id, changes_vector(id) FROM changes_parent;
:compute ('changes_shared', 'key', metric => 'euclidean');
UPDATE changes_parent SET id = id + 5000 WHERE id BETWEEN 60 AND 62;
DELETE FROM changes_parent WHERE id BETWEEN 70 AND 72;
:check ('changes_shared', 'key');
:check ('changes_child', 'key');
:sync ('changes_shared', 'key');
:check ('changes_shared', 'key');
DROP TABLE changes_shared;
-- SET NULL and SET DEFAULT of a generated column's source
CREATE TABLE changes_nulled (id integer PRIMARY KEY, a bigint DEFAULT 7 REFERENCES changes_parent ON DELETE SET DEFAULT, b bigint REFERENCES changes_parent ON DELETE SET NULL,
	embedding real[] GENERATED ALWAYS AS (changes_vector(a + b)) STORED);
INSERT INTO changes_nulled SELECT i, i, i + 100 FROM generate_series(100, 350) i WHERE i + 100 <= 500;
:compute ('changes_nulled', 'key', metric => 'euclidean');
DELETE FROM changes_parent WHERE id IN (110, 260);
:check ('changes_nulled', 'key');
:sync ('changes_nulled', 'key');
:check ('changes_nulled', 'key');
DROP TABLE changes_nulled, changes_child, changes_parent;


--
-- Keys that change
--
UPDATE changes_plain SET id = 4000 WHERE id = 10;
:check ('changes_plain', 'key');
UPDATE changes_plain SET id = 10, embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 4000;
:check ('changes_plain', 'key');
UPDATE changes_plain SET id = -id WHERE id BETWEEN 20 AND 25;
:check ('changes_plain', 'key');
-- two change places
BEGIN;
UPDATE changes_plain SET id = 0 WHERE id = 30;
UPDATE changes_plain SET id = 30 WHERE id = 31;
UPDATE changes_plain SET id = 31 WHERE id = 0;
COMMIT;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- equal, and written otherwise: the same row has another text
CREATE TABLE changes_numeric (id numeric PRIMARY KEY, embedding real[]);
INSERT INTO changes_numeric SELECT (i || '.0')::numeric, changes_vector(i) FROM generate_series(1, 100) i;
:compute ('changes_numeric', 'key', metric => 'euclidean');
UPDATE changes_numeric SET id = 5.00 WHERE id = 5;
:check ('changes_numeric', 'key');
UPDATE changes_numeric SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 5;
:check ('changes_numeric', 'key');
:sync ('changes_numeric', 'key');
:check ('changes_numeric', 'key');
UPDATE changes_numeric SET id = trim_scale(id) WHERE id < 20;
:check ('changes_numeric', 'key');
DELETE FROM changes_numeric WHERE id = 7;
INSERT INTO changes_numeric VALUES (7.000, '{3,5,2,6,2,4,1,8}');
:check ('changes_numeric', 'key');
:sync ('changes_numeric', 'key');
:check ('changes_numeric', 'key');
DROP TABLE changes_numeric;


--
-- BEFORE triggers, generated columns
--
CREATE TABLE changes_before (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO changes_before SELECT i, 'label', changes_vector(i) FROM generate_series(1, 200) i;
CREATE FUNCTION changes_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	CASE coalesce(new.label, old.label)
		WHEN 'vector' THEN new.embedding := '{3,5,2,6,2,4,1,8}';
		WHEN 'key' THEN new.id := new.id + 1000;
		WHEN 'nothing' THEN RETURN NULL;
		WHEN 'keep' THEN new.embedding := old.embedding;
		ELSE
	END CASE;
	RETURN CASE WHEN tg_op = 'DELETE' THEN old ELSE new END;
END $$;
CREATE TRIGGER a_changes_rewrite BEFORE INSERT OR UPDATE OR DELETE ON changes_before FOR EACH ROW EXECUTE FUNCTION changes_rewrite();
:compute ('changes_before', 'key', metric => 'euclidean');
-- runs after ours by its name
CREATE TRIGGER zz_changes_rewrite BEFORE UPDATE ON changes_before FOR EACH ROW EXECUTE FUNCTION changes_rewrite();
INSERT INTO changes_before VALUES (300, 'vector', NULL), (301, 'key', changes_vector(5)), (302, 'nothing', changes_vector(6));
:check ('changes_before', 'key');
UPDATE changes_before SET label = 'vector' WHERE id = 10;
:check ('changes_before', 'key');
UPDATE changes_before SET label = 'key' WHERE id = 11;
UPDATE changes_before SET label = 'nothing', embedding = '{1,1,1,1,1,1,1,1}' WHERE id = 12;
:check ('changes_before', 'key');
:sync ('changes_before', 'key');
UPDATE changes_before SET label = 'keep', embedding = '{1,1,1,1,1,1,1,1}' WHERE id = 13;
:log 'changes_before'::regclass;
:check ('changes_before', 'key');
INSERT INTO changes_before VALUES (14, 'x', '{2,2,2,2,2,2,2,2}') ON CONFLICT (id) DO UPDATE SET label = 'vector';
:check ('changes_before', 'key');
UPDATE changes_before SET label = 'nothing' WHERE id = 15;
ALTER TABLE changes_before DISABLE TRIGGER a_changes_rewrite, DISABLE TRIGGER zz_changes_rewrite;
UPDATE changes_before SET label = 'nothing' WHERE id = 15;
ALTER TABLE changes_before ENABLE TRIGGER a_changes_rewrite;
DELETE FROM changes_before WHERE id IN (15, 16);
:check ('changes_before', 'key');
-- an AFTER trigger that changes the row once more, and another one
CREATE FUNCTION changes_again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF pg_trigger_depth() = 1 THEN
		UPDATE changes_before SET embedding = '{3,5,2,6,2,4,1,7}' WHERE id IN (new.id, 20);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER a_changes_again AFTER INSERT ON changes_before FOR EACH ROW EXECUTE FUNCTION changes_again();
CREATE TRIGGER z_changes_again AFTER UPDATE ON changes_before FOR EACH ROW EXECUTE FUNCTION changes_again();
INSERT INTO changes_before VALUES (400, 'label', '{1,1,1,1,1,1,1,1}'), (401, 'label', '{1,1,1,1,1,1,1,1}');
:check ('changes_before', 'key');
UPDATE changes_before SET embedding = '{1,1,1,1,1,1,1,1}' WHERE id IN (30, 31);
:check ('changes_before', 'key');
:sync ('changes_before', 'key');
:check ('changes_before', 'key');
DROP TABLE changes_before;

CREATE TABLE changes_generated (id bigint PRIMARY KEY, source bigint, label text, embedding real[] GENERATED ALWAYS AS (changes_vector(abs(source))) STORED);
INSERT INTO changes_generated SELECT i, i FROM generate_series(1, 200) i;
:compute ('changes_generated', 'key', metric => 'euclidean');
UPDATE changes_generated SET source = 7 WHERE id BETWEEN 20 AND 30;
INSERT INTO changes_generated VALUES (300, 8);
:check ('changes_generated', 'key');
UPDATE changes_generated SET source = NULL WHERE id = 31;
:check ('changes_generated', 'key');
:sync ('changes_generated', 'key');
UPDATE changes_generated SET label = 'x';
-- another source, the same vector
UPDATE changes_generated SET source = -source;
:log 'changes_generated'::regclass;
:check ('changes_generated', 'key');
-- an ordinary column from now on
ALTER TABLE changes_generated ALTER embedding DROP EXPRESSION;
UPDATE changes_generated SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 50;
:check ('changes_generated', 'key');
:sync ('changes_generated', 'key');
:check ('changes_generated', 'key');
DROP TABLE changes_generated;


--
-- Inside the writing statement: its rows are there before its changes are logged
--
:sync ('changes_plain', 'key');
CREATE FUNCTION changes_see() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	truth text := (SELECT string_agg(id || '=' || changes_distance(embedding, '{3,5,2,6,2,4,1,8}'), ' ' ORDER BY changes_distance(embedding, '{3,5,2,6,2,4,1,8}'), id::text COLLATE "C") FROM changes_plain);
	found text := (SELECT string_agg(sample_id || '=' || distance, ' ' ORDER BY rank) FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => NULL, brain_key => 'key'));
	three text := (SELECT string_agg(sample_id || '=' || distance, ' ' ORDER BY rank) FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 3, brain_key => 'key'));
BEGIN
	RETURN (SELECT count(*) FROM changes_plain) || CASE WHEN found IS NOT DISTINCT FROM truth AND coalesce(starts_with(truth, three), true) THEN ' right' ELSE ' WRONG' END;
END $$;
BEGIN;
INSERT INTO changes_plain VALUES (5000, 'returning', '{3,5,2,6,2,4,1,8}'), (5001, 'returning', '{3,5,2,6,2,4,1,8}') RETURNING id, changes_see();
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,7}' WHERE id IN (40, 41) RETURNING id, changes_see();
DELETE FROM changes_plain WHERE id IN (42, 43) RETURNING id, changes_see();
WITH new AS (INSERT INTO changes_plain VALUES (5002, 'cte', '{3,5,2,6,2,4,1,8}') RETURNING id) SELECT new.id, changes_see() FROM new;
WITH gone AS (DELETE FROM changes_plain WHERE id = 44 RETURNING id) SELECT gone.id, changes_see() FROM gone;
-- in what is written
INSERT INTO changes_plain SELECT i, changes_see(), '{3,5,2,6,2,4,1,8}' FROM generate_series(5003, 5004) i;
UPDATE changes_plain SET label = changes_see(), embedding = '{3,5,2,6,2,4,1,6}' WHERE id IN (45, 46);
INSERT INTO changes_plain VALUES (45, 'x') ON CONFLICT (id) DO UPDATE SET label = changes_see(), embedding = '{3,5,2,6,2,4,1,5}' RETURNING changes_see();
SELECT id, label FROM changes_plain WHERE label LIKE '%right%' OR label LIKE '%WRONG%' ORDER BY id;
ROLLBACK;
BEGIN;
ALTER TABLE changes_plain ALTER label SET DEFAULT changes_see();
INSERT INTO changes_plain (id, embedding) VALUES (5005, '{3,5,2,6,2,4,1,8}'), (5006, '{3,5,2,6,2,4,1,8}');
COPY changes_plain (id, embedding) FROM stdin;
5007	{3,5,2,6,2,4,1,8}
5008	{3,5,2,6,2,4,1,8}
\.
ALTER TABLE changes_plain ADD CHECK (changes_see() LIKE '%right') NOT VALID;
INSERT INTO changes_plain (id, label, embedding) VALUES (5009, 'check', '{3,5,2,6,2,4,1,8}'), (5010, 'check', '{3,5,2,6,2,4,1,8}');
SELECT id, label FROM changes_plain WHERE id > 5000 ORDER BY id;
ROLLBACK;
-- in a search's own statement, STABLE: neither the rows nor their log
BEGIN;
WITH new AS (INSERT INTO changes_plain VALUES (5011, 'cte', '{3,5,2,6,2,4,1,8}') RETURNING id)
SELECT new.id, s.sample_id IN (SELECT id::text FROM changes_plain) AS seen FROM new, brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 1, brain_key => 'key') s;
SELECT sample_id FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 1, brain_key => 'key');
ROLLBACK;
-- triggers of each kind
CREATE FUNCTION changes_tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	RAISE NOTICE '% % %: %', tg_when, tg_op, tg_level, changes_see();
	RETURN CASE WHEN tg_op = 'DELETE' THEN old ELSE new END;
END $$;
BEGIN;
CREATE TRIGGER a_changes_1 BEFORE INSERT OR UPDATE OR DELETE ON changes_plain FOR EACH ROW EXECUTE FUNCTION changes_tell();
CREATE TRIGGER a_changes_2 AFTER INSERT OR UPDATE OR DELETE ON changes_plain FOR EACH ROW EXECUTE FUNCTION changes_tell();
CREATE TRIGGER z_changes_3 AFTER INSERT OR UPDATE OR DELETE ON changes_plain FOR EACH ROW EXECUTE FUNCTION changes_tell();
CREATE TRIGGER z_changes_4 AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON changes_plain FOR EACH STATEMENT EXECUTE FUNCTION changes_tell();
CREATE TRIGGER a_changes_5 AFTER TRUNCATE ON changes_plain FOR EACH STATEMENT EXECUTE FUNCTION changes_tell();
CREATE TRIGGER a_changes_6 BEFORE TRUNCATE ON changes_plain FOR EACH STATEMENT EXECUTE FUNCTION changes_tell();
CREATE CONSTRAINT TRIGGER z_changes_7 AFTER INSERT OR DELETE ON changes_plain DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION changes_tell();
INSERT INTO changes_plain VALUES (5020, 'trigger', '{3,5,2,6,2,4,1,8}'), (5021, 'trigger', '{3,5,2,6,2,4,1,7}');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id IN (50, 51);
DELETE FROM changes_plain WHERE id IN (52, 5020);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT changes_see();
TRUNCATE changes_plain;
ROLLBACK;
:check ('changes_plain', 'key');
-- in a statement that writes another table nothing is in the way
CREATE TABLE changes_other (id integer, seen text);
INSERT INTO changes_other VALUES (1, 'x') RETURNING changes_see();
SELECT brain.last_search()->>'path' AS path;
DROP TABLE changes_other;
DROP FUNCTION changes_tell, changes_see;


--
-- What goes round the triggers
--
:sync ('changes_plain', 'key');
-- replicas: not the triggers of ours
SET session_replication_role = replica;
INSERT INTO changes_plain VALUES (6000, 'replica', '{3,5,2,6,2,4,1,8}');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,7}' WHERE id = 60;
DELETE FROM changes_plain WHERE id = 61;
RESET session_replication_role;
:check ('changes_plain', 'key');
SET session_replication_role = replica;
:check ('changes_plain', 'key');
TRUNCATE changes_plain;
INSERT INTO changes_plain SELECT i, 'replica', changes_vector(i + 3) FROM generate_series(1, 300) i;
RESET session_replication_role;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
SET session_replication_role = local;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,7}' WHERE id = 62;
RESET session_replication_role;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');

SELECT tgname AS row_trigger FROM pg_trigger WHERE tgrelid = 'changes_plain'::regclass AND tgname ~ '^brain_track_[0-9a-f]{32}$' \gset
SELECT tgname AS truncate_trigger FROM pg_trigger WHERE tgrelid = 'changes_plain'::regclass AND tgname ~ '^brain_track_truncate_[0-9a-f]{32}$' \gset
SELECT tgenabled, tgtype, tgqual IS NULL AS always, tgisinternal, tgname = :'row_trigger' AS row_trigger FROM pg_trigger WHERE tgrelid = 'changes_plain'::regclass ORDER BY tgname;
-- disabled, each way: the table answers, at once
ALTER TABLE changes_plain DISABLE TRIGGER ALL;
:check ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 70;
INSERT INTO changes_plain VALUES (6001, 'unseen', '{3,5,2,6,2,4,1,8}');
DELETE FROM changes_plain WHERE id = 71;
:check ('changes_plain', 'key');
:log 'changes_plain'::regclass;
-- a sync does not make it good
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 72;
:check ('changes_plain', 'key');
-- enabled, as PostgreSQL's default is: not for replicas
ALTER TABLE changes_plain ENABLE TRIGGER ALL;
:check ('changes_plain', 'key');
SET session_replication_role = replica;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 73;
RESET session_replication_role;
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ENABLE ALWAYS TRIGGER :row_trigger, ENABLE ALWAYS TRIGGER :truncate_trigger;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
:log 'changes_plain'::regclass;
-- only between two searches: the change stays seen
ALTER TABLE changes_plain DISABLE TRIGGER :row_trigger;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,6}' WHERE id = 74;
ALTER TABLE changes_plain ENABLE ALWAYS TRIGGER :row_trigger;
:check ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,6}' WHERE id = 75;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
ALTER TABLE changes_plain DISABLE TRIGGER USER;
TRUNCATE changes_plain;
INSERT INTO changes_plain SELECT i, 'again', changes_vector(i + 4) FROM generate_series(1, 300) i;
ALTER TABLE changes_plain ENABLE ALWAYS TRIGGER :row_trigger, ENABLE ALWAYS TRIGGER :truncate_trigger;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ENABLE REPLICA TRIGGER :row_trigger;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,6}' WHERE id = 76;
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ENABLE ALWAYS TRIGGER :row_trigger;
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- a sync sets it
ALTER TABLE changes_plain ENABLE TRIGGER :row_trigger;
:sync ('changes_plain', 'key');
SET session_replication_role = replica;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,5}' WHERE id = 76;
RESET session_replication_role;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
-- the trigger of the TRUNCATE alone
ALTER TABLE changes_plain DISABLE TRIGGER :truncate_trigger;
BEGIN;
TRUNCATE changes_plain;
:check ('changes_plain', 'key');
ROLLBACK;
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ENABLE ALWAYS TRIGGER :truncate_trigger;
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- rolled back, with what was written meanwhile
BEGIN;
ALTER TABLE changes_plain DISABLE TRIGGER ALL;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,6}' WHERE id = 77;
:check ('changes_plain', 'key');
ROLLBACK;
:check ('changes_plain', 'key');
-- dropped, and renamed
BEGIN;
DROP TRIGGER :row_trigger ON changes_plain;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,6}' WHERE id = 78;
:check ('changes_plain', 'key');
SAVEPOINT s;
:sync ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,5}' WHERE id = 78;
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
ROLLBACK;
:check ('changes_plain', 'key');
ALTER TRIGGER :row_trigger ON changes_plain RENAME TO mine_now;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,6}' WHERE id = 79;
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
SELECT action IS NOT NULL AS synced FROM brain.sync('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,6}' WHERE id = 80;
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'changes_plain'::regclass AND tgfoid = 'brain._track_changes()'::regprocedure;


--
-- What PostgreSQL writes anew
--
DROP TABLE changes_plain;
CREATE TABLE changes_plain (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO changes_plain SELECT i, 'label ' || i % 3, changes_vector(i) FROM generate_series(1, 300) i;
:compute ('changes_plain', 'key', metric => 'euclidean');
-- nothing changes
VACUUM changes_plain;
ANALYZE changes_plain;
REINDEX TABLE changes_plain;
COMMENT ON TABLE changes_plain IS 'x';
ALTER TABLE changes_plain SET (fillfactor = 90);
ALTER TABLE changes_plain ADD COLUMN note text DEFAULT 'constant';
ALTER TABLE changes_plain ALTER label SET NOT NULL;
CREATE INDEX changes_label ON changes_plain (label);
:check ('changes_plain', 'key');
:log 'changes_plain'::regclass;
VACUUM FULL changes_plain;
:check ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 10;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
CLUSTER changes_plain USING changes_label;
:check ('changes_plain', 'key');
DELETE FROM changes_plain WHERE id = 11;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ADD COLUMN moment timestamptz DEFAULT clock_timestamp();
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- types of columns that are not ours, and that are
ALTER TABLE changes_plain ALTER label TYPE varchar(100);
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ALTER note DROP DEFAULT, ALTER note TYPE integer USING 1;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
ALTER TABLE changes_plain ALTER embedding TYPE double precision[];
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ALTER embedding TYPE real[] USING changes_vector(id + 3);
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
BEGIN;
ALTER TABLE changes_plain ALTER embedding TYPE real[] USING changes_vector(id + 4);
:check ('changes_plain', 'key');
ROLLBACK;
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ALTER id TYPE integer;
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ALTER id TYPE numeric(10, 2);
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 12;
:check ('changes_plain', 'key');
ALTER TABLE changes_plain ALTER id TYPE text USING 'id ' || id;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- a type without a rewrite: the text of the key changes all the same
ALTER TABLE changes_plain ALTER id TYPE varchar(20);
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
ALTER TABLE changes_plain ALTER id TYPE char(20);
:check ('changes_plain', 'key', 'format(''%s'', id)');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key', 'format(''%s'', id)');
ALTER TABLE changes_plain ALTER id TYPE bigint USING substr(id, 4)::numeric::bigint;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- the columns change their places' names: another column has the name
ALTER TABLE changes_plain ADD COLUMN second real[];
UPDATE changes_plain SET second = changes_vector(id + 9);
ALTER TABLE changes_plain RENAME embedding TO first;
ALTER TABLE changes_plain RENAME second TO embedding;
:check ('changes_plain', 'key', embedding => 'first');
ALTER TABLE changes_plain DROP embedding;
ALTER TABLE changes_plain RENAME first TO embedding;
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 13;
:check ('changes_plain', 'key');
-- renamed, elsewhere, another owner
:sync ('changes_plain', 'key');
CREATE SCHEMA changes_schema;
ALTER TABLE changes_plain SET SCHEMA changes_schema;
ALTER TABLE changes_schema.changes_plain RENAME TO changes_renamed;
UPDATE changes_schema.changes_renamed SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 14;
:check ('changes_schema.changes_renamed', 'key');
ALTER TABLE changes_schema.changes_renamed RENAME TO changes_plain;
ALTER TABLE changes_schema.changes_plain SET SCHEMA public;
DROP SCHEMA changes_schema;
:check ('changes_plain', 'key');
-- unlogged, and logged again
ALTER TABLE changes_plain SET UNLOGGED;
:check ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 15;
:check ('changes_plain', 'key');
SELECT tracked, in_use FROM brain.sync_status WHERE samples = 'changes_plain'::regclass;
ALTER TABLE changes_plain SET LOGGED;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 16;
:check ('changes_plain', 'key');
-- with children it is refused; without them it is as it was
CREATE TABLE changes_heir (PRIMARY KEY (id)) INHERITS (changes_plain);
INSERT INTO changes_heir (id, label, embedding) VALUES (7000, 'heir', '{3,5,2,6,2,4,1,8}');
SELECT rank FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 1, brain_key => 'key');
\echo :SQLSTATE
UPDATE changes_plain SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 17;
DROP TABLE changes_heir;
:check ('changes_plain', 'key');
-- the key: another index, and none for a while
BEGIN;
ALTER TABLE changes_plain DROP CONSTRAINT changes_plain_pkey;
INSERT INTO changes_plain (id, label, embedding) VALUES (18, 'twice', '{3,5,2,6,2,4,1,8}');
DELETE FROM changes_plain WHERE id = 18 AND label = 'twice';
ALTER TABLE changes_plain ADD PRIMARY KEY (id);
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
COMMIT;
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
-- COPY FREEZE, whose rows every snapshot sees
:sync ('changes_plain', 'key');
BEGIN;
TRUNCATE changes_plain;
COPY changes_plain (id, label, embedding) FROM stdin WITH (FREEZE);
1	frozen	{3,5,2,6,2,4,1,8}
2	frozen	{3,5,2,6,2,4,1,7}
\.
:check ('changes_plain', 'key');
COMMIT;
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');


--
-- Partitions
--
CREATE TABLE changes_parts (id bigint PRIMARY KEY, label text, embedding real[]) PARTITION BY RANGE (id);
CREATE TABLE changes_parts_1 PARTITION OF changes_parts FOR VALUES FROM (0) TO (100);
CREATE TABLE changes_parts_2 PARTITION OF changes_parts FOR VALUES FROM (100) TO (200) PARTITION BY HASH (id);
CREATE TABLE changes_parts_2a PARTITION OF changes_parts_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE changes_parts_2b PARTITION OF changes_parts_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
-- its columns in another order, and numbers that the parent does not have
CREATE TABLE changes_parts_3 (gone real[], embedding real[], label text, gone_too text, id bigint NOT NULL);
ALTER TABLE changes_parts_3 DROP gone, DROP gone_too;
ALTER TABLE changes_parts ATTACH PARTITION changes_parts_3 FOR VALUES FROM (200) TO (400);
INSERT INTO changes_parts SELECT i, 'label ' || i % 3, changes_vector(i) FROM generate_series(0, 399) i;
:compute ('changes_parts', 'key', metric => 'euclidean');
-- of a partition alone
:compute ('changes_parts_1', 'part', metric => 'euclidean');
:compute ('changes_parts_2', 'part', metric => 'euclidean', filter => 'label <> ''label 1''');
:check ('changes_parts', 'key');
UPDATE changes_parts SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id IN (5, 105, 106, 205);
DELETE FROM changes_parts WHERE id IN (6, 107, 108, 206);
INSERT INTO changes_parts VALUES (6, 'back', '{3,5,2,6,2,4,1,7}'), (206, 'back', '{3,5,2,6,2,4,1,6}');
:check ('changes_parts', 'key');
:check ('changes_parts_1', 'part');
:check ('changes_parts_2', 'part', 'id', 'label <> ''label 1''');
:sync ('changes_parts', 'key');
UPDATE changes_parts SET label = 'other' WHERE id % 2 = 1;
:log 'changes_parts'::regclass;
:check ('changes_parts', 'key');
:check ('changes_parts_2', 'part', 'id', 'label <> ''label 1''');
-- writes that name a partition
DELETE FROM changes_parts_1 WHERE id = 7;
INSERT INTO changes_parts_1 VALUES (7, 'named', '{3,5,2,6,2,4,1,8}');
UPDATE changes_parts_2 SET embedding = '{3,5,2,6,2,4,1,7}' WHERE id = 110;
UPDATE changes_parts_2a SET embedding = '{3,5,2,6,2,4,1,6}' WHERE id = (SELECT min(id) FROM changes_parts_2a);
DELETE FROM changes_parts_2b WHERE id = (SELECT max(id) FROM changes_parts_2b);
UPDATE changes_parts_3 SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 210;
DELETE FROM changes_parts_3 WHERE id IN (211, 212);
COPY changes_parts_3 (id, embedding) FROM stdin;
211	{3,5,2,6,2,4,1,5}
\.
:check ('changes_parts', 'key');
:check ('changes_parts_1', 'part');
:check ('changes_parts_2', 'part', 'id', 'label <> ''label 1''');
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
-- moves, with and without another vector
DELETE FROM changes_parts WHERE id IN (20, 21, 22, 120, 121, 220, 222);
UPDATE changes_parts SET id = 222 WHERE id = 30;
UPDATE changes_parts SET id = 20 WHERE id = 219;
UPDATE changes_parts SET id = 120, embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 40;
UPDATE changes_parts SET id = 220, embedding = '{3,5,2,6,2,4,1,7}', label = 'moved' WHERE id = 130;
:check ('changes_parts', 'key');
:check ('changes_parts_1', 'part');
:check ('changes_parts_2', 'part', 'id', 'label <> ''label 1''');
MERGE INTO changes_parts p USING (VALUES (41, 121), (240, 21), (140, 22)) AS m (id, new) ON p.id = m.id WHEN MATCHED THEN UPDATE SET id = m.new, embedding = changes_vector(m.id + 1);
:check ('changes_parts', 'key');
-- a BEFORE trigger on one partition
CREATE FUNCTION changes_part_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.embedding := '{3,5,2,6,2,4,0,8}'; RETURN new; END $$;
CREATE TRIGGER changes_part_rewrite BEFORE INSERT OR UPDATE ON changes_parts_3 FOR EACH ROW EXECUTE FUNCTION changes_part_rewrite();
UPDATE changes_parts SET label = 'rewritten' WHERE id IN (50, 250);
DELETE FROM changes_parts WHERE id = 251;
UPDATE changes_parts SET id = 251 WHERE id = 51;
:check ('changes_parts', 'key');
DROP TRIGGER changes_part_rewrite ON changes_parts_3;
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
-- TRUNCATE: of one, of one with partitions, rolled back, of all
TRUNCATE changes_parts_2a;
:check ('changes_parts', 'key');
:check ('changes_parts_2', 'part', 'id', 'label <> ''label 1''');
INSERT INTO changes_parts SELECT i, 'again', changes_vector(i + 1) FROM generate_series(100, 150) i ON CONFLICT DO NOTHING;
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
BEGIN;
SAVEPOINT s;
TRUNCATE changes_parts_1, changes_parts_2;
:check ('changes_parts', 'key');
ROLLBACK TO s;
:check ('changes_parts', 'key');
TRUNCATE ONLY changes_parts_3;
:check ('changes_parts', 'key');
ROLLBACK;
:check ('changes_parts', 'key');
TRUNCATE changes_parts_2;
:check ('changes_parts', 'key');
:check ('changes_parts_2', 'part', 'id', 'label <> ''label 1''');
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
TRUNCATE changes_parts;
:check ('changes_parts', 'key');
INSERT INTO changes_parts SELECT i, 'label ' || i % 3, changes_vector(i) FROM generate_series(0, 399) i;
:check ('changes_parts', 'key');
SELECT brain_key, action FROM brain.sync('changes_parts') UNION ALL SELECT brain_key, action FROM brain.sync('changes_parts_1') UNION ALL SELECT brain_key, action FROM brain.sync('changes_parts_2');
:check ('changes_parts', 'key');
:check ('changes_parts_1', 'part');
:check ('changes_parts_2', 'part', 'id', 'label <> ''label 1''');

-- ATTACH with rows, new partitions, DETACH, DROP
CREATE TABLE changes_parts_4 (label text, id bigint NOT NULL, embedding real[]);
INSERT INTO changes_parts_4 SELECT 'attached', i, changes_vector(i) FROM generate_series(400, 420) i;
INSERT INTO changes_parts_4 VALUES ('attached', 421, '{3,5,2,6,2,4,1,8}');
ALTER TABLE changes_parts ATTACH PARTITION changes_parts_4 FOR VALUES FROM (400) TO (500);
:check ('changes_parts', 'key');
INSERT INTO changes_parts VALUES (430, 'attached', '{3,5,2,6,2,4,1,8}');
UPDATE changes_parts_4 SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 400;
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
DELETE FROM changes_parts_4 WHERE id = 401;
TRUNCATE changes_parts_4;
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
CREATE TABLE changes_parts_5 PARTITION OF changes_parts FOR VALUES FROM (500) TO (600);
:check ('changes_parts', 'key');
INSERT INTO changes_parts VALUES (500, 'new partition', '{3,5,2,6,2,4,1,8}');
INSERT INTO changes_parts_5 VALUES (501, 'new partition', '{3,5,2,6,2,4,1,8}');
:check ('changes_parts', 'key');
TRUNCATE changes_parts_5;
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
INSERT INTO changes_parts VALUES (500, 'new partition', '{3,5,2,6,2,4,1,8}');
:sync ('changes_parts', 'key');
BEGIN;
TRUNCATE changes_parts_5;
:check ('changes_parts', 'key');
ROLLBACK;
ALTER TABLE changes_parts DETACH PARTITION changes_parts_5;
:check ('changes_parts', 'key');
-- on its own it is nobody's: no trigger of ours is left that would log
INSERT INTO changes_parts_5 VALUES (502, 'detached', '{3,5,2,6,2,4,1,8}');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'changes_parts_5'::regclass AND tgname ~ '^brain_track_[0-9a-f]{32}$';
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
TRUNCATE changes_parts_5;
INSERT INTO changes_parts_5 VALUES (503, 'detached', '{3,5,2,6,2,4,1,8}');
:check ('changes_parts', 'key');
BEGIN;
ALTER TABLE changes_parts ATTACH PARTITION changes_parts_5 FOR VALUES FROM (500) TO (600);
:check ('changes_parts', 'key');
ROLLBACK;
:check ('changes_parts', 'key');
ALTER TABLE changes_parts ATTACH PARTITION changes_parts_5 FOR VALUES FROM (500) TO (600);
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
ALTER TABLE changes_parts DETACH PARTITION changes_parts_5 CONCURRENTLY;
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
DROP TABLE changes_parts_5;
:check ('changes_parts', 'key');
DROP TABLE changes_parts_4;
:check ('changes_parts', 'key');
BEGIN;
DROP TABLE changes_parts_3;
:check ('changes_parts', 'key');
ROLLBACK;
:check ('changes_parts', 'key');
DROP TABLE changes_parts_3;
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
-- one of a partition's own
CREATE TABLE changes_parts_3 PARTITION OF changes_parts FOR VALUES FROM (200) TO (400) PARTITION BY LIST (id);
CREATE TABLE changes_parts_3d PARTITION OF changes_parts_3 DEFAULT;
INSERT INTO changes_parts SELECT i, 'default', changes_vector(i) FROM generate_series(200, 250) i;
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
ALTER TABLE changes_parts_3 DETACH PARTITION changes_parts_3d;
:check ('changes_parts', 'key');
DROP TABLE changes_parts_3d;
-- the run of a partition survives that it is attached, detached, and attached
:check ('changes_parts_1', 'part');
ALTER TABLE changes_parts DETACH PARTITION changes_parts_1;
UPDATE changes_parts_1 SET embedding = '{3,5,2,6,2,4,1,8}' WHERE id = 60;
:check ('changes_parts_1', 'part');
:check ('changes_parts', 'key');
ALTER TABLE changes_parts ATTACH PARTITION changes_parts_1 FOR VALUES FROM (0) TO (100);
UPDATE changes_parts SET embedding = '{3,5,2,6,2,4,1,7}' WHERE id = 61;
TRUNCATE changes_parts_2a;
:check ('changes_parts_1', 'part');
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
:sync ('changes_parts_1', 'part');
:check ('changes_parts_1', 'part');
:check ('changes_parts', 'key');
-- triggers that are disabled on one partition, storage that is new on one
ALTER TABLE changes_parts_1 DISABLE TRIGGER ALL;
UPDATE changes_parts SET embedding = '{3,5,2,6,2,4,1,7}' WHERE id = 62;
:check ('changes_parts', 'key');
:check ('changes_parts_1', 'part');
SELECT string_agg(format('ALTER TABLE changes_parts_1 ENABLE ALWAYS TRIGGER %I;', tgname), ' ') AS enable FROM pg_trigger WHERE tgrelid = 'changes_parts_1'::regclass AND tgname LIKE 'brain_track%' \gset
:enable
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
:sync ('changes_parts_1', 'part');
:check ('changes_parts', 'key');
:check ('changes_parts_1', 'part');
VACUUM FULL changes_parts_1;
:check ('changes_parts', 'key');
ALTER TABLE changes_parts ALTER embedding TYPE real[] USING changes_vector(id + 5);
:check ('changes_parts', 'key');
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
-- a partition that cannot be tracked: the table is read at each search
CREATE UNLOGGED TABLE changes_parts_6 PARTITION OF changes_parts FOR VALUES FROM (600) TO (700);
INSERT INTO changes_parts VALUES (600, 'unlogged', '{3,5,2,6,2,4,1,8}');
:check ('changes_parts', 'key');
SELECT action FROM brain.sync('changes_parts', 'key');
:check ('changes_parts', 'key');
DROP TABLE changes_parts_6;
:sync ('changes_parts', 'key');
:check ('changes_parts', 'key');
-- nothing is left when the runs are
SELECT brain.delete_brain_runs('changes_parts'), brain.delete_brain_runs('changes_parts_1'), brain.delete_brain_runs('changes_parts_2');
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'changes\_parts%' AND tgname LIKE 'brain%';


--
-- Runs with a filter
--
CREATE TABLE changes_filter (id bigint PRIMARY KEY, label text, score integer, note text, embedding real[]);
INSERT INTO changes_filter SELECT i, 'label ' || i % 3, i % 10, 'note', changes_vector(i) FROM generate_series(1, 300) i;
:compute ('changes_filter', 'filtered', metric => 'euclidean', filter => 'label <> ''label 1'' AND score BETWEEN 2 AND 7');
:compute ('changes_filter', 'whole', metric => 'euclidean', filter => 'changes_filter IS NOT NULL');
:compute ('changes_filter', 'all', metric => 'euclidean');
\set filtered '''changes_filter'', ''filtered'', ''id'', $$label <> ''label 1'' AND score BETWEEN 2 AND 7$$'
\set whole '''changes_filter'', ''whole'', ''id'', ''changes_filter IS NOT NULL'''
:check (:filtered);
:check (:whole);
-- in, out, and what does not matter to the one or the other
UPDATE changes_filter SET score = 5 WHERE id = 9;
:log 'changes_filter'::regclass;
UPDATE changes_filter SET label = 'label 1' WHERE id = 3;
DELETE FROM changes_filter WHERE id IN (4, 5);
INSERT INTO changes_filter VALUES (400, 'in', 4, 'note', '{3,5,2,6,2,4,1,8}'), (401, 'out', 9, 'note', '{3,5,2,6,2,4,1,8}');
:check (:filtered);
:check (:whole);
:check ('changes_filter', 'all');
SELECT brain_key, action FROM brain.sync('changes_filter') ORDER BY brain_key COLLATE "C";
:check (:filtered);
UPDATE changes_filter SET note = CASE id WHEN 50 THEN 'away' END WHERE id BETWEEN 50 AND 60;
:log 'changes_filter'::regclass;
:check (:filtered);
:check (:whole);
UPDATE changes_filter SET embedding = '{3,5,2,6,2,4,1,7}' WHERE id IN (18, 401);
:check (:filtered);
:sync ('changes_filter', 'filtered');
:check (:filtered);
:sync ('changes_filter', 'whole');
:check (:whole);
UPDATE changes_filter SET label = NULL WHERE id = 22;
ALTER TABLE changes_filter ALTER score TYPE integer USING score + 1;
:check (:filtered);
:check (:whole);
:sync ('changes_filter', 'filtered');
:check (:filtered);
ALTER TABLE changes_filter RENAME score TO points;
UPDATE changes_filter SET points = 5;
:check ('changes_filter', 'filtered', 'id', 'label <> ''label 1'' AND points BETWEEN 2 AND 7');
-- what a search's own filter reads is not the index's business
SELECT count(*) FROM (SELECT sample_id FROM brain.sort_by_similarity('changes_filter', '[3,5,2,6,2,4,1,8]', k => NULL, brain_key => 'all', filter => 'note = ''away''')
	EXCEPT SELECT id::text FROM changes_filter WHERE note = 'away') d;
UPDATE changes_filter SET note = 'near' WHERE id IN (401, 70, 71);
SELECT sample_id, distance FROM brain.sort_by_similarity('changes_filter', '[3,5,2,6,2,4,1,8]', k => 5, brain_key => 'all', filter => 'note = ''near''');
DROP TABLE changes_filter;


--
-- Runs without a column: stored embeddings, and the samples that have them
--
CREATE TABLE changes_stored (id bigint PRIMARY KEY, label text);
INSERT INTO changes_stored SELECT i, 'label ' || i % 3 FROM generate_series(1, 300) i;
:compute ('changes_stored', 'hand', metric => 'euclidean', with_data => false);
:compute ('changes_stored', 'other', metric => 'euclidean', with_data => false, filter => 'label <> ''label 1''');
SELECT * FROM brain.add_to_index('changes_stored', 'hand', (SELECT array_agg(id ORDER BY id) FROM changes_stored), (SELECT array_agg(changes_vector(id) ORDER BY id) FROM changes_stored));
SELECT * FROM brain.add_to_index('changes_stored', 'other', (SELECT array_agg(id ORDER BY id) FROM changes_stored WHERE label <> 'label 1'), (SELECT array_agg(changes_vector(id + 1) ORDER BY id) FROM changes_stored WHERE label <> 'label 1'));
CREATE FUNCTION changes_of(samples regclass, key text) RETURNS TABLE (id text, embedding real[]) LANGUAGE sql STABLE AS $$
	SELECT e.sample_id, e.embedding FROM brain.embeddings e JOIN brain._runs r USING (run_id) WHERE r.dataset_name = samples::text AND r.brain_key = key $$;
-- like changes_check: plain SQL over brain.embeddings and the dataset
CREATE VIEW changes_hand AS SELECT s.id, s.label, e.embedding FROM changes_stored s JOIN changes_of('changes_stored', 'hand') e ON e.id = s.id::text;
CREATE VIEW changes_hand2 AS SELECT s.id, s.label, e.embedding FROM changes_stored s JOIN changes_of('changes_stored', 'other') e ON e.id = s.id::text WHERE s.label <> 'label 1';
CREATE FUNCTION changes_check_stored(truth text, key text, OUT rows integer, OUT wrong integer, OUT path text, OUT changes text) LANGUAGE plpgsql AS $$
DECLARE
	near text[];
	use boolean;
BEGIN
	EXECUTE format('SELECT coalesce(array_agg(id || ''='' || d ORDER BY d, id::text COLLATE "C"), ''{}'') FROM %I, changes_distance(embedding, ''{3,5,2,6,2,4,1,8}'') d', truth) INTO near;
	rows := cardinality(near);
	wrong := 0;
	FOREACH use IN ARRAY ARRAY[false, true] LOOP
		PERFORM set_config('brain.use_matrix', use::text, true);
		wrong := wrong + (SELECT (coalesce(array_agg(s.sample_id || '=' || s.distance ORDER BY rank), '{}') <> near)::integer
			FROM brain.sort_by_similarity('changes_stored', '[3,5,2,6,2,4,1,8]', k => NULL, brain_key => key) s);
		wrong := wrong + (SELECT (coalesce(array_agg(s.sample_id || '=' || s.distance ORDER BY rank), '{}') <> near[:5])::integer
			FROM brain.sort_by_similarity('changes_stored', '[3,5,2,6,2,4,1,8]', k => 5, brain_key => key) s);
		path := brain.last_search()->>'path';
		changes := brain.last_search()->>'changes';
	END LOOP;
END $$;
\set check_stored 'SELECT * FROM changes_check_stored'
:log 'changes_stored'::regclass;
:check_stored ('changes_hand', 'hand');
:check_stored ('changes_hand2', 'other');
SELECT brain_key, action, rows FROM brain.sync('changes_stored') ORDER BY brain_key COLLATE "C";
:check_stored ('changes_hand', 'hand');
:check_stored ('changes_hand2', 'other');
SELECT * FROM brain.add_to_index('changes_stored', 'hand', 5, '[3,5,2,6,2,4,1,8]');
SELECT * FROM brain.remove_from_index('changes_stored', 'hand', ARRAY[6, 7]);
:check_stored ('changes_hand', 'hand');
:check_stored ('changes_hand2', 'other');
SELECT brain_key, changes > 0 AS logged FROM brain.sync_status WHERE samples = 'changes_stored'::regclass;
-- samples that go, come, and come back; keys that change; the filter's column
DELETE FROM changes_stored WHERE id IN (8, 9);
INSERT INTO changes_stored VALUES (1000, 'new');
SELECT * FROM brain.add_to_index('changes_stored', 'hand', 1000, '[3,5,2,6,2,4,1,7]');
UPDATE changes_stored SET id = 2000 WHERE id = 10;
UPDATE changes_stored SET label = 'label 1' WHERE id = 12;
UPDATE changes_stored SET label = 'label 2' WHERE id = 13;
:check_stored ('changes_hand', 'hand');
:check_stored ('changes_hand2', 'other');
INSERT INTO changes_stored VALUES (8, 'back');
UPDATE changes_stored SET id = 10 WHERE id = 2000;
:check_stored ('changes_hand', 'hand');
:check_stored ('changes_hand2', 'other');
SELECT brain_key, action FROM brain.sync('changes_stored') ORDER BY brain_key COLLATE "C";
:check_stored ('changes_hand', 'hand');
:check_stored ('changes_hand2', 'other');
BEGIN;
SELECT * FROM brain.remove_from_index('changes_stored', 'hand', ARRAY[20, 21, 22]);
SELECT * FROM brain.add_to_index('changes_stored', 'hand', 23, '[3,5,2,6,2,4,1,8]');
SAVEPOINT s;
SELECT * FROM brain.add_to_index('changes_stored', 'hand', 20, '[3,5,2,6,2,4,1,8]');
:check_stored ('changes_hand', 'hand');
ROLLBACK TO s;
:check_stored ('changes_hand', 'hand');
ROLLBACK;
:check_stored ('changes_hand', 'hand');
TRUNCATE changes_stored;
:check_stored ('changes_hand', 'hand');
INSERT INTO changes_stored SELECT i, 'again' FROM generate_series(1, 100) i;
:check_stored ('changes_hand', 'hand');
:check_stored ('changes_hand2', 'other');
SELECT brain_key, action FROM brain.sync('changes_stored') ORDER BY brain_key COLLATE "C";
:check_stored ('changes_hand', 'hand');
:check_stored ('changes_hand2', 'other');
-- by hand
UPDATE brain.embeddings SET embedding = '{3,5,2,6,2,4,1,6}' WHERE sample_id = '30' AND run_id = (SELECT run_id FROM brain._runs WHERE dataset_name = 'changes_stored' AND brain_key = 'hand');
DELETE FROM brain.embeddings WHERE sample_id = '31' AND run_id = (SELECT run_id FROM brain._runs WHERE dataset_name = 'changes_stored' AND brain_key = 'hand');
:check_stored ('changes_hand', 'hand');
VACUUM FULL brain.embeddings;
:check_stored ('changes_hand', 'hand');
SELECT brain_key, action FROM brain.sync('changes_stored', 'hand');
:check_stored ('changes_hand', 'hand');
BEGIN;
TRUNCATE brain.embeddings;
:check_stored ('changes_hand', 'hand');
ROLLBACK;
BEGIN;
ALTER TABLE brain.embeddings DISABLE TRIGGER ALL;
DELETE FROM brain.embeddings WHERE sample_id = '32';
:check_stored ('changes_hand', 'hand');
ROLLBACK;
:check_stored ('changes_hand', 'hand');
-- emptied, and filled again
SELECT brain.cleanup('changes_stored', 'hand');
SELECT * FROM brain.sort_by_similarity('changes_stored', '[3,5,2,6,2,4,1,8]', brain_key => 'hand');
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('changes_stored', 'hand', ARRAY[1, 2], '[[3,5,2,6,2,4,1,8],[3,5,2,6,2,4,1,7]]');
SELECT rows, wrong FROM changes_check_stored('changes_hand', 'hand');
SELECT brain_key, action FROM brain.sync('changes_stored', 'hand');
:check_stored ('changes_hand', 'hand');
DROP FUNCTION changes_check_stored;
DROP VIEW changes_hand, changes_hand2;
DROP TABLE changes_stored;
DROP FUNCTION changes_of;


--
-- Keys of every type: logged under the text that the index has, whatever the session's settings
--
CREATE TABLE changes_keys (i integer, k2 smallint, k4 integer, kt text, kv varchar(20), kc char(10), kn name, kf real, kd double precision, kb bytea, ku uuid,
	kdate date, kts timestamp, ktz timestamptz, ktime time, kttz timetz, kiv interval, kinet inet, kbit varbit, kjb jsonb, embedding real[]);
INSERT INTO changes_keys SELECT i, i, i, 'text ' || i, 'varchar ' || i, 'char ' || i, 'name ' || i, i / 10.0, i / 10.0, decode(md5(i::text), 'hex'), md5(i::text)::uuid,
	date '2020-01-01' + i, timestamp '2020-01-01 00:00' + i * interval '1 hour', timestamptz '2020-01-01 00:00+00' + i * interval '1 hour', time '00:00' + i * interval '1 minute', timetz '00:00+02' + i * interval '1 minute',
	i * interval '1 day 3 hours', '10.0.0.0'::inet + i, i::bit(16), jsonb_build_object('i', i), changes_vector(i) FROM generate_series(1, 60) i;
CREATE FUNCTION changes_of_key(field text, OUT key_type text, OUT tracked boolean, OUT first text, OUT second text, OUT synced text, OUT after text) LANGUAGE plpgsql AS $$
DECLARE
	fill text := format('INSERT INTO changes_key SELECT %I, embedding FROM changes_keys WHERE i', field);
BEGIN
	EXECUTE format('CREATE TABLE changes_key (id %s PRIMARY KEY, embedding real[])', (SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'changes_keys'::regclass AND attname = field));
	EXECUTE fill || ' <= 50';
	PERFORM brain.compute_similarity('changes_key', field, metric => 'euclidean');
	SELECT format_type(atttypid, atttypmod) INTO key_type FROM pg_attribute WHERE attrelid = 'changes_key'::regclass AND attname = 'id';
	SELECT s.tracked INTO tracked FROM brain.sync_status s WHERE samples = 'changes_key'::regclass;
	-- changed under settings that write values otherwise
	SET LOCAL datestyle = 'German';
	SET LOCAL timezone = 'Asia/Tokyo';
	SET LOCAL intervalstyle = 'sql_standard';
	SET LOCAL extra_float_digits = -5;
	SET LOCAL bytea_output = 'escape';
	EXECUTE fill || ' > 55';
	EXECUTE format('UPDATE changes_key SET embedding = ''{3,5,2,6,2,4,1,8}'' WHERE id = (SELECT %I FROM changes_keys WHERE i = 7)', field);
	EXECUTE format('UPDATE changes_key SET id = (SELECT %1$I FROM changes_keys WHERE i = 51) WHERE id = (SELECT %1$I FROM changes_keys WHERE i = 8)', field);
	EXECUTE format('DELETE FROM changes_key WHERE id = (SELECT %I FROM changes_keys WHERE i = 9)', field);
	first := changes_search(field);
	SET LOCAL datestyle = 'ISO, MDY';
	SET LOCAL timezone = 'UTC';
	SET LOCAL intervalstyle = 'postgres';
	SET LOCAL extra_float_digits = 1;
	SET LOCAL bytea_output = 'hex';
	second := changes_search(field);
	SELECT action INTO synced FROM brain.sync('changes_key', field);
	EXECUTE format('UPDATE changes_key SET embedding = ''{3,5,2,6,2,4,1,7}'' WHERE id = (SELECT %I FROM changes_keys WHERE i = 57)', field);
	after := regexp_replace(changes_search(field), 'matrix|table', 'right path');
	DROP TABLE changes_key;
END $$;
-- Texts of the ids are compared under the settings that make them canonical.
CREATE FUNCTION changes_search(key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text[];
	found5 text[];
	truth text[];
	path text;
BEGIN
	SELECT array_agg(sample_id || '=' || distance::numeric(12, 6) ORDER BY rank) INTO found FROM brain.sort_by_similarity('changes_key', '{3,5,2,6,2,4,1,8}'::numeric[], k => NULL, brain_key => key);
	SELECT array_agg(sample_id || '=' || distance::numeric(12, 6) ORDER BY rank) INTO found5 FROM brain.sort_by_similarity('changes_key', '{3,5,2,6,2,4,1,8}'::numeric[], k => 5, brain_key => key);
	path := brain.last_search()->>'path';
	PERFORM set_config('brain.use_matrix', 'off', true);
	SELECT array_agg(sample_id || '=' || distance::numeric(12, 6) ORDER BY rank) INTO truth FROM brain.sort_by_similarity('changes_key', '{3,5,2,6,2,4,1,8}'::numeric[], k => NULL, brain_key => key);
	PERFORM set_config('brain.use_matrix', 'on', true);
	RETURN path || CASE WHEN found IS DISTINCT FROM truth OR found5 IS DISTINCT FROM truth[:5] THEN ' WRONG' ELSE '' END || CASE WHEN cardinality(truth) <> (SELECT count(*) FROM changes_key) THEN ' WRONG COUNT' ELSE '' END;
END $$;
SELECT k.* FROM unnest('{k2,k4,kt,kv,kc,kn,kf,kd,kb,ku,kdate,kts,ktz,ktime,kttz,kiv,kinet,kbit,kjb}'::text[]) field, changes_of_key(field) k;
-- types whose text can change under the index are read from the table
CREATE TYPE changes_enum AS ENUM ('a', 'b', 'c');
CREATE DOMAIN changes_domain AS integer CHECK (VALUE > 0);
CREATE DOMAIN changes_text AS changes_enum;
CREATE TABLE changes_types (ke changes_enum NOT NULL UNIQUE, kd changes_domain NOT NULL UNIQUE, kt changes_text NOT NULL UNIQUE, kr int4range NOT NULL UNIQUE, km money NOT NULL UNIQUE, kg regclass NOT NULL UNIQUE, embedding real[]);
INSERT INTO changes_types VALUES ('a', 1, 'b', '[1,2)', 1, 'pg_class', '{3,5,2,6,2,4,1,8}'), ('b', 2, 'a', '[2,3)', 2, 'pg_type', '{3,5,2,6,2,4,1,7}');
SELECT field, s.indexed FROM unnest('{ke,kd,kt,kr,km,kg}'::text[]) field, brain.compute_similarity('changes_types', field, metric => 'euclidean', id_field => field) s;
SELECT brain_key, tracked, in_use FROM brain.sync_status WHERE samples = 'changes_types'::regclass;
ALTER TYPE changes_enum RENAME VALUE 'a' TO 'z';
INSERT INTO changes_types VALUES ('c', 3, 'c', '[4,6)', 3, 'pg_proc', '{3,5,2,6,2,4,1,6}');
SELECT field, string_agg(sample_id || '=' || distance, ' ' ORDER BY rank) FROM unnest('{ke,kd,kt,kr,kg}'::text[]) field, brain.sort_by_similarity('changes_types', '{3,5,2,6,2,4,1,8}'::numeric[], brain_key => field) GROUP BY field ORDER BY field;
DROP TABLE changes_types, changes_keys;
DROP TYPE changes_enum CASCADE;
DROP DOMAIN changes_domain;
DROP FUNCTION changes_of_key, changes_search;


--
-- Bad embeddings among the changed rows: left out, and counted
--
DROP TABLE changes_plain;
CREATE TABLE changes_plain (id bigint PRIMARY KEY, label text, embedding real[]);
INSERT INTO changes_plain SELECT i, 'label', changes_vector(i) FROM generate_series(1, 300) i;
:compute ('changes_plain', 'key', metric => 'euclidean');
INSERT INTO changes_plain VALUES (1000, 'bad', '{1,2,3}');
UPDATE changes_plain SET embedding = '{NaN,5,2,6,2,4,1,8}' WHERE id = 10;
UPDATE changes_plain SET embedding = '{3,5,2,Infinity,2,4,1,8}' WHERE id = 11;
UPDATE changes_plain SET embedding = '{3,5,2,NULL,2,4,1,8}' WHERE id = 12;
INSERT INTO changes_plain VALUES (1001, 'good', '{3,5,2,6,2,4,1,8}');
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 2);
SELECT brain.last_search()->>'path' AS path;
SET brain.use_matrix = off;
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 2);
RESET brain.use_matrix;
-- as a query they are refused, the one way and the other
SELECT rank FROM brain.sort_by_similarity('changes_plain', 10, k => 1);
\echo :SQLSTATE
SET brain.use_matrix = off;
SELECT rank FROM brain.sort_by_similarity('changes_plain', 10, k => 1);
\echo :SQLSTATE
RESET brain.use_matrix;
-- taken in they are still counted
SELECT action FROM brain.sync('changes_plain', 'key');
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 2);
SELECT brain.last_search()->>'path' AS path;
SET brain.use_matrix = off;
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 2);
RESET brain.use_matrix;
SELECT rank FROM brain.sort_by_similarity('changes_plain', 10, k => 1);
\echo :SQLSTATE
-- mended
UPDATE changes_plain SET embedding = changes_vector(id) WHERE id IN (10, 11, 12, 1000);
:check ('changes_plain', 'key');
:sync ('changes_plain', 'key');
:check ('changes_plain', 'key');
-- a zero vector has no direction: bad under cosine only
:compute ('changes_plain', 'cosine', metric => 'cosine');
UPDATE changes_plain SET embedding = '{0,0,0,0,0,0,0,0}' WHERE id = 20;
SELECT count(*) FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => NULL, brain_key => 'cosine');
SELECT count(*) FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => NULL, brain_key => 'key');
SELECT brain_key, action FROM brain.sync('changes_plain') ORDER BY 1;
SELECT count(*) FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => NULL, brain_key => 'cosine');
:check ('changes_plain', 'key');


--
-- A log that is too long to pay
--
SELECT brain.delete_brain_run('changes_plain', 'cosine');
INSERT INTO changes_plain SELECT i, 'many', changes_vector(i) FROM generate_series(2000, 12000) i;
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 2);
SELECT brain.last_search()->>'path' AS path;
-- said once
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('changes_plain', '[3,5,2,6,2,4,1,8]', k => 2);
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
SELECT action, changes >= 10001 AS changes, rows FROM brain.sync('changes_plain', 'key');
:check ('changes_plain', 'key');
DELETE FROM changes_plain WHERE id >= 2000;
SELECT rows, wrong FROM changes_check('changes_plain', 'key');
SELECT action IS NOT NULL AS synced FROM brain.sync('changes_plain', 'key');
:check ('changes_plain', 'key');
-- one row many times is one changed id
DO $$ BEGIN
	FOR i IN 1 .. 500 LOOP
		UPDATE changes_plain SET embedding = changes_vector(i) WHERE id = 30;
	END LOOP;
END $$;
:check ('changes_plain', 'key');
SELECT action, changes FROM brain.sync('changes_plain', 'key');
:check ('changes_plain', 'key');

-- nothing of all this is left in the log but for runs that are there
SELECT count(*) FROM brain.changes c WHERE NOT EXISTS (SELECT FROM brain._runs r WHERE r.run_id = c.run_id);
DROP TABLE changes_plain;
DROP FUNCTION changes_check, changes_rewrite, changes_again, changes_function, changes_part_rewrite, changes_distance, changes_vector;
