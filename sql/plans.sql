-- Guards against samples that are read by their ids being looked for in the whole
-- table, and against a plan that is kept for that being used when the dataset, or
-- the rights on it, have changed since.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

CREATE FUNCTION plans_kept() RETURNS bigint LANGUAGE sql
	RETURN (SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource' AND ident LIKE 'SELECT %$1%');

-- What this transaction has read of a table: rows by scans of all, scans by an index.
CREATE FUNCTION plans_read(relid regclass, OUT rows_in_scans bigint, OUT index_scans bigint) LANGUAGE sql
	BEGIN ATOMIC
	SELECT sum(seq_tup_read), sum(idx_scan) FROM pg_stat_xact_user_tables s
	 WHERE s.relid IN (SELECT p.relid FROM pg_partition_tree($1) p UNION SELECT $1);
	END;

-- The embeddings of some ids, one of them twice, beside plain SQL: how many there
-- are, how many as they should be; and how they were read.
CREATE FUNCTION plans_check(dataset regclass, every integer, OUT asked bigint, OUT right_ones bigint, OUT rows_in_scans bigint, OUT by_index boolean)
	LANGUAGE plpgsql SET DateStyle = 'ISO' AS $$
DECLARE
	texts text[];
	wanted text[];
	got text[];
	before record;
BEGIN
	EXECUTE format('SELECT array_agg(format(''%%s'', id) ORDER BY embedding[1]::integer %% 10, embedding[1]) FROM %s WHERE embedding[1]::integer %% %s < 3', dataset, every) INTO texts;
	texts := texts || texts[3];
	EXECUTE format('SELECT array_agg(n || '' '' || text || '' '' || embedding[1]::int ORDER BY n) FROM %s JOIN unnest($1) WITH ORDINALITY t (text, n) ON format(''%%s'', id) = text', dataset) INTO wanted USING texts;
	SELECT * INTO before FROM plans_read(dataset) r;
	EXECUTE format('SELECT array_agg(n || '' '' || sample_id || '' '' || embedding[1]::int ORDER BY n) FROM brain.get_embeddings(%L, ''k'', $1) WITH ORDINALITY e (sample_id, label_id, embedding, n)', dataset) INTO got USING texts;
	SELECT r.rows_in_scans - before.rows_in_scans, r.index_scans > before.index_scans INTO rows_in_scans, by_index FROM plans_read(dataset) r;
	asked := cardinality(texts);
	SELECT count(*) INTO right_ones FROM unnest(wanted) WITH ORDINALITY w (line, n) JOIN unnest(got) WITH ORDINALITY g (line, n) USING (n, line);
END $$;

--
-- By the key's index, whatever its type; but not for many
--
CREATE DOMAIN plans_domain AS varchar(40);
CREATE TYPE plans_range AS RANGE (subtype = integer);
CREATE FUNCTION plans_of_type(type text, expression text)
	RETURNS TABLE (asked bigint, right_ones bigint, rows_in_scans bigint, by_index boolean) LANGUAGE plpgsql AS $$
BEGIN
	DROP TABLE IF EXISTS plans_any;
	EXECUTE format('CREATE TABLE plans_any (id %s PRIMARY KEY, embedding real[], pad text DEFAULT repeat(''x'', 1000))', type);
	EXECUTE format('INSERT INTO plans_any SELECT %s, ARRAY[i, 1] FROM generate_series(0, 999) i', expression);
	ANALYZE plans_any;
	PERFORM * FROM brain.compute_similarity('plans_any', 'k', metric => 'euclidean');
	RETURN QUERY SELECT * FROM plans_check('plans_any', 60);
END $$;
SET client_min_messages = warning;
SELECT type, c.*
  FROM (VALUES (1, 'bigint', 'i'), (2, 'text', '''id '' || i'), (3, 'text COLLATE "C"', '''id '' || i'), (4, 'varchar(20)', '''id '' || i'),
			   (5, 'character(20)', '''id '' || i'), (6, 'plans_domain', '''id '' || i'), (7, 'uuid', 'md5(i::text)::uuid'),
			   (8, 'numeric', 'i + 0.50'), (9, 'date', '''2020-01-01''::date + i'), (10, 'plans_range', 'plans_range(i, i + 1)'),
			   (11, 'name', '''id '' || i'), (12, 'bytea', 'int4send(i)'))
	   t (n, type, expression), plans_of_type(type, expression) c ORDER BY n;
RESET client_min_messages;

CREATE TABLE plans (id integer PRIMARY KEY, embedding real[], pad text DEFAULT repeat('x', 1000)) WITH (autovacuum_enabled = off);
INSERT INTO plans SELECT i, ARRAY[i, 1] FROM generate_series(0, 999) i;
ANALYZE plans;
SELECT indexed FROM brain.compute_similarity('plans', 'k', metric => 'euclidean');
SELECT * FROM plans_check('plans', 60);
SELECT * FROM plans_check('plans', 40);
-- short ones are scanned, as if anew each time
CREATE TABLE plans_short WITH (autovacuum_enabled = off) AS SELECT id, embedding FROM plans WHERE id < 100;
ALTER TABLE plans_short ADD PRIMARY KEY (id);
ANALYZE plans_short;
SELECT indexed FROM brain.compute_similarity('plans_short', 'k', metric => 'euclidean');
SELECT * FROM plans_check('plans_short', 100);
-- parts
CREATE TABLE plans_parts (id integer PRIMARY KEY, embedding real[], pad text) PARTITION BY RANGE (id);
CREATE TABLE plans_parts_low PARTITION OF plans_parts FOR VALUES FROM (0) TO (2000);
CREATE TABLE plans_parts_high PARTITION OF plans_parts FOR VALUES FROM (2000) TO (5000);
INSERT INTO plans_parts SELECT i, ARRAY[i, 1], repeat('x', 1000) FROM generate_series(0, 4999) i;
ANALYZE plans_parts;
SELECT indexed FROM brain.compute_similarity('plans_parts', 'k', metric => 'euclidean');
SELECT * FROM plans_check('plans_parts', 60);
-- a run with a filter, a view of the table
SELECT indexed FROM brain.compute_similarity('plans', 'even', metric => 'euclidean', filter => 'id % 2 = 0');
SELECT sample_id FROM brain.get_embeddings('plans', 'even', ARRAY[2, 5, 4]);
SELECT sample_id FROM brain.get_embeddings('plans', 'k', ARRAY[2, 5, 4]);
SELECT sample_id FROM brain.get_embeddings('plans', 'even', ARRAY[2, 5, 4]);
CREATE VIEW plans_view AS SELECT * FROM plans;
SELECT indexed FROM brain.compute_similarity('plans_view', 'k', id_field => 'id', metric => 'euclidean');
SELECT asked, right_ones FROM plans_check('plans_view', 60);
DROP VIEW plans_view;

--
-- A plan is kept, and used again
--
\c -
SELECT plans_kept();
PREPARE three AS SELECT sample_id, embedding FROM brain.get_embeddings('plans', 'k', ARRAY[7, 900, 7]);
EXECUTE three;
SELECT plans_kept();
EXECUTE three;
-- those of another kind: changed ids
UPDATE plans SET embedding = '{900.25, 1}' WHERE id = 7;
SELECT sample_id, distance FROM brain.sort_by_similarity('plans', ARRAY[900.25, 1], k => 2, brain_key => 'k');
SELECT brain.last_search() ->> 'path' AS path, brain.last_search() ->> 'changes' AS changes, plans_kept();
SELECT sample_id, distance FROM brain.sort_by_similarity('plans', ARRAY[900.25, 1], k => 2, brain_key => 'k');
SELECT plans_kept();

--
-- Not when the table is another
--
-- an index that it uses is gone
CREATE UNIQUE INDEX plans_other ON plans (id);
ALTER TABLE plans DROP CONSTRAINT plans_pkey;
ALTER TABLE plans ALTER id SET NOT NULL;
EXECUTE three;
EXECUTE three;
-- made in a transaction that is rolled back
BEGIN;
ALTER TABLE plans ADD PRIMARY KEY (id);
DROP INDEX plans_other;
EXECUTE three;
EXECUTE three;
ROLLBACK;
EXECUTE three;
-- in a subtransaction
BEGIN;
SAVEPOINT s;
DROP INDEX plans_other;
ALTER TABLE plans ADD PRIMARY KEY (id);
ALTER TABLE plans ALTER embedding TYPE double precision[] USING ARRAY[embedding[1] + 0.5, 1];
ANALYZE plans;
EXECUTE three;
EXECUTE three;
ROLLBACK TO s;
EXECUTE three;
COMMIT;
EXECUTE three;
-- the embeddings' column
ALTER TABLE plans ADD before integer, DROP embedding;
ALTER TABLE plans ADD embedding real[];
UPDATE plans SET embedding = ARRAY[id, 2];
ANALYZE plans;
EXECUTE three;
ALTER TABLE plans ALTER embedding TYPE numeric[] USING ARRAY[embedding[1] + 0.25, embedding[2]];
ANALYZE plans;
EXECUTE three;
EXECUTE three;
-- renamed columns, and names exchanged
ALTER TABLE plans RENAME embedding TO old;
EXECUTE three;
ALTER TABLE plans ADD embedding real[] DEFAULT '{3, 3}';
EXECUTE three;
EXECUTE three;
-- the key's type
ALTER TABLE plans ALTER id TYPE text USING lpad(id::text, 4, '0');
ANALYZE plans;
EXECUTE three;
EXECUTE three;
SELECT sample_id, embedding FROM brain.get_embeddings('plans', 'k', ARRAY['0007', '7']);
SELECT sample_id, embedding FROM brain.get_embeddings('plans', 'k', ARRAY['0007', '7']);
ALTER TABLE plans ALTER id TYPE integer USING id::integer;
ANALYZE plans;
EXECUTE three;
-- the table's name, and another with its name
ALTER TABLE plans RENAME TO plans_renamed;
CREATE TABLE plans (id integer PRIMARY KEY, embedding real[], pad text DEFAULT repeat('x', 1000)) WITH (autovacuum_enabled = off);
INSERT INTO plans SELECT i, ARRAY[- i, 1] FROM generate_series(0, 999) i;
ANALYZE plans;
SELECT indexed FROM brain.compute_similarity('plans', 'k', metric => 'euclidean');
DEALLOCATE three;
PREPARE three AS SELECT sample_id, embedding FROM brain.get_embeddings('plans', 'k', ARRAY[7, 900, 7]);
EXECUTE three;
SELECT sample_id, embedding FROM brain.get_embeddings('plans_renamed', 'k', ARRAY[7, 900]);
-- in the way of its name, and of what the query says: a temporary table, a schema, an operator
CREATE TEMPORARY TABLE in_the_way AS SELECT 7 AS id, '{0, 0}'::real[] AS embedding;
CREATE SCHEMA plans_first;
CREATE TABLE plans_first.plans AS TABLE in_the_way;
CREATE FUNCTION plans_first.never(integer, integer) RETURNS boolean LANGUAGE sql RETURN false;
CREATE OPERATOR plans_first.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = plans_first.never);
DEALLOCATE three;
PREPARE three AS SELECT sample_id, embedding FROM brain.get_embeddings('public.plans', 'k', ARRAY[7, 900, 7]);
SET search_path = plans_first, pg_catalog, public;
EXECUTE three;
EXECUTE three;
RESET search_path;
ALTER TABLE in_the_way RENAME TO plans;
EXECUTE three;
EXECUTE three;
DROP TABLE pg_temp.plans, plans_first.plans;
-- moved to another schema
ALTER TABLE plans SET SCHEMA plans_first;
SELECT sample_id, embedding FROM brain.get_embeddings('plans_first.plans', 'k', ARRAY[7, 900]);
ALTER TABLE plans_first.plans SET SCHEMA public;
EXECUTE three;

--
-- Nor when the rights on it are others
--
CREATE ROLE plans_reader;
GRANT SELECT ON plans TO plans_reader;
SET ROLE plans_reader;
EXECUTE three;
RESET ROLE;
ALTER TABLE plans ENABLE ROW LEVEL SECURITY;
CREATE POLICY plans_policy ON plans USING (id < 100);
EXECUTE three;
SET ROLE plans_reader;
EXECUTE three;
SET row_security = off;
EXECUTE three;
RESET row_security;
RESET ROLE;
SELECT plans_kept() > 0 AS kept;
EXECUTE three;
ALTER TABLE plans DISABLE ROW LEVEL SECURITY;
SET ROLE plans_reader;
EXECUTE three;
RESET ROLE;
REVOKE SELECT ON plans FROM plans_reader;
GRANT SELECT (id) ON plans TO plans_reader;
EXECUTE three;
SET ROLE plans_reader;
EXECUTE three;
RESET ROLE;

--
-- A bounded number, those that were used last; also after errors
--
SET client_min_messages = warning;
DO $$
BEGIN
	FOR i IN 1..20 LOOP
		EXECUTE format('CREATE TABLE plans_%s (id integer PRIMARY KEY, embedding real[], pad text) WITH (autovacuum_enabled = off)', i);
		EXECUTE format('INSERT INTO plans_%s SELECT n, ARRAY[n, %s], repeat(''x'', 1000) FROM generate_series(1, 600) n', i, i);
		EXECUTE format('ANALYZE plans_%s', i);
		EXECUTE format('GRANT SELECT (id) ON plans_%s TO plans_reader', i);
		PERFORM * FROM brain.compute_similarity(format('plans_%s', i)::regclass, 'k');
	END LOOP;
END $$;
RESET client_min_messages;
CREATE FUNCTION plans_use(i integer) RETURNS bigint LANGUAGE sql
	RETURN (SELECT count(*) FROM brain.get_embeddings(format('plans_%s', i)::regclass, 'k', ARRAY[1, 2]));
CREATE FUNCTION plans_list() RETURNS text LANGUAGE sql
	RETURN (SELECT string_agg(n, ' ' ORDER BY n::integer)
			  FROM pg_backend_memory_contexts, substring(ident, 'FROM public.plans_([0-9]+) ') n
			 WHERE name = 'CachedPlanSource' AND ident LIKE 'SELECT %$1%');
SELECT sum(plans_use(i)) FROM generate_series(1, 14) i;
SELECT plans_use(1), plans_list();
SELECT sum(plans_use(i)) FROM generate_series(15, 18) i;
SELECT plans_list();
GRANT EXECUTE ON FUNCTION plans_use TO plans_reader;
SELECT sum(plans_use(i)) FROM generate_series(1, 16) i;
SET ROLE plans_reader;
DO $$
BEGIN
	FOR i IN 1..16 LOOP
		BEGIN
			PERFORM plans_use(i);
			RAISE 'he has read plans_%', i;
		EXCEPTION WHEN insufficient_privilege THEN NULL;
		END;
	END LOOP;
END $$;
RESET ROLE;
SELECT plans_list();
SELECT sum(plans_use(i)) FROM generate_series(17, 20) i;
SELECT plans_list();
DROP OWNED BY plans_reader;

SET client_min_messages = warning;
DO $$ BEGIN FOR i IN 1..20 LOOP EXECUTE format('DROP TABLE plans_%s', i); END LOOP; END $$;
DROP TABLE plans, plans_renamed, plans_short, plans_parts, plans_any CASCADE;
DROP SCHEMA plans_first CASCADE;
DROP DOMAIN plans_domain;
DROP TYPE plans_range CASCADE;
DROP FUNCTION plans_of_type, plans_check, plans_read, plans_kept, plans_use, plans_list;
DROP ROLE plans_reader;
