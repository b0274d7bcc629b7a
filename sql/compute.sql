-- compute_similarity(): its arguments, what it counts, and what it refuses.
--
-- Guards against: wrong counts, a run that is recorded although the call failed,
-- an overwrite that loses the old run, a metric's word taken for another's, a
-- filter that is not what the user wrote (mutable, unparsed, lost on a rename),
-- an embeddings column that is guessed, a backend that is silently another one,
-- unknown options that are swallowed, and keys that FiftyOne would not take.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

-- What a statement raises, as one text.
CREATE FUNCTION compute_error(statement text) RETURNS text LANGUAGE plpgsql AS $$
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

CREATE TABLE compute_t (id bigint PRIMARY KEY, label text, split text, embedding real[]);
INSERT INTO compute_t
	SELECT i, 'l' || i % 3, CASE WHEN i % 5 = 0 THEN 'test' ELSE 'train' END,
		   CASE WHEN i <= 10 THEN ARRAY[i, i % 4, 1] END
	  FROM generate_series(1, 12) i;

-- One row; what the defaults are; samples without embedding are counted as missing.
SELECT brain_key, backend, metric, dimensions, indexed, missing, skipped, seconds >= 0 AS seconds
  FROM brain.compute_similarity('compute_t', 'first');
SELECT samples, brain_key, type, method, backend, metric, dimensions, id_field, embeddings_field,
	   patches_field, supports_prompts, filter, indexed, missing, skipped, state, reason
  FROM brain.runs WHERE samples = 'compute_t'::regclass \gx

-- All arguments by position: the order is part of the interface.
SELECT brain_key, backend, metric, dimensions, indexed, missing, skipped
  FROM brain.compute_similarity('compute_t', 'positional', 'embedding', 'exact', 'euclidean', 'id',
								'id > 2', true, false, false, '{}');

-- ---- an existing key ----
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'first')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'first', metric => 'euclidean', overwrite => false)$$);
\pset format aligned
\pset tuples_only off
-- the refused calls changed nothing
SELECT metric, indexed FROM brain.list_brain_runs('compute_t') WHERE brain_key = 'first';

-- made anew: other arguments, today's rows
INSERT INTO compute_t VALUES (13, 'l1', 'train', '{13,1,1}');
SELECT brain_key, metric, indexed, missing
  FROM brain.compute_similarity('compute_t', 'first', metric => 'euclidean', filter => 'id <> 1', overwrite => true);
SELECT brain_key, metric, filter, indexed, missing FROM brain.list_brain_runs('compute_t');
-- nothing of the old run is left in the catalog
SELECT count(*) AS runs FROM brain._runs WHERE dataset_name = 'compute_t';
SELECT count(*) AS bindings FROM brain._run_bindings WHERE dataset = 'compute_t'::regclass;
-- overwrite of a key that is new is no error
SELECT brain_key FROM brain.compute_similarity('compute_t', 'fresh', overwrite => true);
SELECT brain.delete_brain_run('compute_t', 'fresh');
-- rolled back, the old run answers as before
BEGIN;
SELECT metric, filter FROM brain.compute_similarity('compute_t', 'first', overwrite => true),
	   LATERAL (SELECT filter FROM brain.runs WHERE samples = 'compute_t'::regclass AND brain_key = 'first') f;
SELECT count(*) FROM brain.sort_by_similarity('compute_t', '[1,1,1]', brain_key => 'first', k => NULL);
ROLLBACK;
SELECT metric, filter FROM brain.list_brain_runs('compute_t') WHERE brain_key = 'first';
SELECT count(*) FROM brain.sort_by_similarity('compute_t', '[1,1,1]', brain_key => 'first', k => NULL);
-- an overwrite that fails leaves the old run
UPDATE compute_t SET embedding = '{1,NaN,1}' WHERE id = 7;
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'first', overwrite => true)$$);
\pset format aligned
\pset tuples_only off
SELECT metric, filter, state FROM brain.list_brain_runs('compute_t') WHERE brain_key = 'first';
-- or skips and counts what it cannot use, when told to
SELECT indexed, missing, skipped
  FROM brain.compute_similarity('compute_t', 'skipping', skip_failures => true);
UPDATE compute_t SET embedding = '{7,3,1}' WHERE id = 7;
SELECT brain.delete_brain_runs('compute_t');

-- a statement that fails records nothing
DO $$
BEGIN
	PERFORM brain.compute_similarity('compute_t', 'gone');
	RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN NULL;
END $$;
SELECT brain.has_brain_run('compute_t', 'gone');

-- ---- metric: FiftyOne's, Milvus' and pgvector's words, in any case ----
CREATE TABLE compute_words (word text, means text);
INSERT INTO compute_words VALUES
	('cosine', 'cosine'), ('COSINE', 'cosine'), ('Cosine', 'cosine'), ('<=>', 'cosine'),
	('vector_cosine_ops', 'cosine'), ('halfvec_cosine_ops', 'cosine'),
	('dotproduct', 'dotproduct'), ('IP', 'dotproduct'), ('ip', 'dotproduct'), ('<#>', 'dotproduct'),
	('vector_ip_ops', 'dotproduct'), ('halfvec_ip_ops', 'dotproduct'),
	('euclidean', 'euclidean'), ('L2', 'euclidean'), ('l2', 'euclidean'), ('<->', 'euclidean'),
	('vector_l2_ops', 'euclidean'), ('halfvec_l2_ops', 'euclidean');
SELECT word, means, metric
  FROM compute_words,
	   LATERAL brain.compute_similarity('compute_t', 'words', metric => word, overwrite => true)
 WHERE metric IS DISTINCT FROM means;
SELECT count(*) AS words FROM compute_words;
SELECT metric FROM brain.compute_similarity('compute_t', 'words', metric => NULL, overwrite => true);
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', metric => 'manhattan')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', metric => '')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', metric => 'cosine ')$$);
\pset format aligned
\pset tuples_only off
SELECT brain.delete_brain_runs('compute_t');
DROP TABLE compute_words;

-- ---- filter: a condition on the dataset's row ----
-- Rows that do not fit are neither indexed nor missing.
SELECT indexed, missing FROM brain.compute_similarity('compute_t', 'train', filter => $$split = 'train'$$);
SELECT count(*) FILTER (WHERE embedding IS NOT NULL) AS indexed,
	   count(*) FILTER (WHERE embedding IS NULL) AS missing
  FROM compute_t WHERE split = 'train';
-- A condition that is NULL does not hold; one that ends in a comment, and OR, are kept whole.
SELECT indexed FROM brain.compute_similarity('compute_t', 'nulls', filter => 'nullif(id, 3) < 6');
SELECT indexed FROM brain.compute_similarity('compute_t', 'comment', filter => 'id = 1 OR id = 2 -- the first two');
SELECT filter FROM brain.list_brain_runs('compute_t') WHERE brain_key = 'comment';
-- Searches, and what the index holds, keep to it.
SELECT string_agg(sample_id, ' ' ORDER BY sample_id) FROM brain.sort_by_similarity('compute_t', '[1,1,1]', brain_key => 'comment');
SELECT sample_id FROM brain.get_embeddings('compute_t', 'comment', ARRAY[1, 2, 3]);
-- A search's filter cannot widen it.
SELECT string_agg(sample_id, ' ' ORDER BY sample_id)
  FROM brain.sort_by_similarity('compute_t', '[1,1,1]', brain_key => 'comment', filter => 'true OR true');
-- New rows come in by it, changed ones leave.
INSERT INTO compute_t VALUES (20, 'l0', 'train', '{1,0,1}'), (21, 'l0', 'test', '{1,0,1}');
UPDATE compute_t SET split = 'test' WHERE id = 1;
SELECT bool_or(sample_id = '20') AS has_20, bool_or(sample_id = '21') AS has_21, bool_or(sample_id = '1') AS has_1
  FROM brain.sort_by_similarity('compute_t', '[1,0,1]', brain_key => 'train', k => NULL);

-- It is kept parsed: a renamed column and function are followed, and another
-- search_path, with a function of the same name first, changes nothing.
CREATE SCHEMA compute_s;
CREATE FUNCTION compute_s.small(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 <= 4';
CREATE FUNCTION small(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
SET search_path = compute_s, public;
SELECT indexed FROM brain.compute_similarity('public.compute_t', 'parsed', filter => $$small(id) AND split <> 'x'$$);
RESET search_path;
SELECT count(*) FROM brain.sort_by_similarity('compute_t', '[1,1,1]', brain_key => 'parsed');
ALTER TABLE compute_t RENAME COLUMN split TO "Part of";
ALTER FUNCTION compute_s.small(bigint) RENAME TO little;
SELECT filter FROM brain.list_brain_runs('compute_t') WHERE brain_key IN ('parsed', 'train') ORDER BY brain_key;
SELECT count(*) FROM brain.sort_by_similarity('compute_t', '[1,1,1]', brain_key => 'parsed');
ALTER TABLE compute_t RENAME COLUMN "Part of" TO split;
-- a new column of the old name is not it
ALTER TABLE compute_t RENAME COLUMN split TO part;
ALTER TABLE compute_t ADD COLUMN split text DEFAULT 'train';
SELECT filter, state FROM brain.list_brain_runs('compute_t') WHERE brain_key = 'train';
SELECT count(*) FROM brain.sort_by_similarity('compute_t', '[1,1,1]', brain_key => 'train', k => NULL);
SELECT count(*) FROM compute_t WHERE part = 'train' AND embedding IS NOT NULL;
ALTER TABLE compute_t DROP COLUMN split;
ALTER TABLE compute_t RENAME COLUMN part TO split;

-- Immutable functions only, no subqueries, aggregates, window functions, sets,
-- parameters; a boolean expression and nothing else.
CREATE FUNCTION compute_volatile(text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN true; END';
CREATE FUNCTION compute_stable(text) RETURNS boolean LANGUAGE plpgsql STABLE AS 'BEGIN RETURN true; END';
CREATE FUNCTION compute_immutable(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN $1 = 'l1'; END$$;
\pset format unaligned
\pset tuples_only on
SELECT filter || E'\n' || compute_error(format($$SELECT brain.compute_similarity('compute_t', 'bad%s', filter => %L)$$, n, filter))
  FROM (VALUES
	(1, 'now() > ''2020-01-01'''),
	(2, 'random() < 2'),
	(3, 'compute_volatile(label)'),
	(4, 'compute_stable(label)'),
	(5, 'label || current_user <> ''x'''),
	(6, 'id IN (SELECT 1)'),
	(7, 'EXISTS (SELECT FROM compute_t)'),
	(8, 'count(*) > 0'),
	(9, 'row_number() OVER () = 1'),
	(10, 'generate_series(1, 2) = 1'),
	(11, 'id = $1'),
	(12, 'id'),
	(13, 'no_such_column = 1'),
	(14, 'other.id = 1'),
	(15, 'no_such_function(id)'),
	(16, 'id = 1 AND'),
	(17, 'id = 1; SELECT 1'),
	(18, 'id = 1; DROP TABLE compute_t'),
	(19, 'id = 1) OR (true'),
	(20, 'true FROM compute_t'),
	(21, 'true AS x'),
	(22, 'true, true'),
	(23, 'true WHERE true'),
	(24, 'DISTINCT true'),
	(25, 'ALL true'),
	(26, 'true UNION SELECT true'),
	(27, 'true INTO x'),
	(28, 'true LIMIT 1'),
	(29, 'WHERE true'),
	(30, ''),
	(31, '  -- nothing'),
	(32, '/* open'),
	(33, '''open'),
	(34, '*'),
	(35, 'DEFAULT')) AS f (n, filter)
 ORDER BY n;
\pset format aligned
\pset tuples_only off
-- an error points into the filter, and says whose rules these are
SELECT brain.compute_similarity('compute_t', 'bad', filter => 'id > 0 AND no_such_column = 1');
SELECT brain.compute_similarity('compute_t', 'bad', filter => 'id IN (SELECT 1)');
SELECT brain.compute_similarity('compute_t', 'bad', filter => 'id > 0 AND');
SELECT brain_key FROM brain.list_brain_runs('compute_t') WHERE brain_key LIKE 'bad%';
SELECT indexed FROM brain.compute_similarity('compute_t', 'immutable', filter => 'compute_immutable(label)');
SELECT count(*) FROM compute_t WHERE label = 'l1' AND embedding IS NOT NULL;
-- names off pg_catalog are whole: the text means the same under any search_path
SELECT filter FROM brain.list_brain_runs('compute_t') WHERE brain_key = 'immutable';
-- the dataset's name qualifies columns, with its schema too
SELECT indexed FROM brain.compute_similarity('compute_t', 'qualified', filter => 'compute_t.id < 3 AND public.compute_t.id > 1');
SELECT brain.delete_brain_runs('compute_t') > 0 AS deleted;
DROP FUNCTION compute_volatile, compute_stable, compute_immutable, small;
DROP SCHEMA compute_s CASCADE;

-- ---- which column has the embeddings ----
CREATE TABLE compute_none (id int PRIMARY KEY, label text, tags text[], flags boolean[]);
CREATE TABLE compute_two (id int PRIMARY KEY, clip real[], "Res Net" double precision[], sizes int[], label text);
CREATE TABLE compute_ints (id int PRIMARY KEY, sizes int[], label text);
CREATE TABLE compute_ints_two (id int PRIMARY KEY, sizes int[], prices numeric[]);
INSERT INTO compute_none VALUES (1);
INSERT INTO compute_two VALUES (1, '{1,0}', '{1,0,0}', '{1,2,3,4}');
INSERT INTO compute_ints VALUES (1, '{1,2,3,4}');
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_none', 'k')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_two', 'k')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_ints_two', 'k')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_two', 'k', embeddings => 'clop')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_two', 'k', embeddings => 'Clip')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_two', 'k', embeddings => 'label')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_none', 'k', embeddings => 'tags')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_two', 'k', embeddings => 'ctid')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_two', 'k', embeddings => '"Res Net"')$$);
\pset format aligned
\pset tuples_only off
SELECT dimensions FROM brain.compute_similarity('compute_ints', 'k');
SELECT dimensions FROM brain.compute_similarity('compute_two', 'k', embeddings => 'Res Net');
SELECT dimensions FROM brain.compute_similarity('compute_two', 'k2', embeddings => 'sizes');
SELECT brain_key, embeddings_field FROM brain.list_brain_runs('compute_two');
-- Without a column and without data: an empty run for add_to_index, even where
-- there are columns, which it does not use.
SELECT dimensions, indexed, missing, skipped FROM brain.compute_similarity('compute_two', 'empty', with_data => false);
SELECT dimensions, indexed, missing, skipped FROM brain.compute_similarity('compute_none', 'empty', with_data => false);
SELECT embeddings_field IS NULL AS without_column, state FROM brain.list_brain_runs('compute_two') WHERE brain_key = 'empty';
SELECT * FROM brain.sort_by_similarity('compute_two', '[1,0]', brain_key => 'empty');
SELECT inserted FROM brain.add_to_index('compute_two', 'empty', 1, '[1,0,0,0,0]');
SELECT dimensions, indexed FROM brain.list_brain_runs('compute_two') WHERE brain_key = 'empty';
-- A column without data: not read now, read by searches.
UPDATE compute_two SET clip = '{1,NaN}';
SELECT dimensions, indexed, missing, skipped FROM brain.compute_similarity('compute_two', 'later', embeddings => 'clip', with_data => false);
UPDATE compute_two SET clip = '{1,0}';
SELECT sample_id, distance FROM brain.sort_by_similarity('compute_two', '[0,1]', brain_key => 'later');
DROP TABLE compute_none, compute_two, compute_ints, compute_ints_two;

-- An empty dataset is no error.
CREATE TABLE compute_empty (id int PRIMARY KEY, embedding real[]);
SELECT dimensions, indexed, missing, skipped FROM brain.compute_similarity('compute_empty', 'k');
SELECT * FROM brain.sort_by_similarity('compute_empty', '[1,0]');
INSERT INTO compute_empty VALUES (1, '{1,0}');
SELECT sample_id, distance FROM brain.sort_by_similarity('compute_empty', '[1,0]');
DROP TABLE compute_empty;

-- ---- id_field ----
CREATE TABLE compute_ids (a int NOT NULL UNIQUE, b int UNIQUE, c int NOT NULL, embedding real[]);
INSERT INTO compute_ids VALUES (1, 2, 3, '{1,0}');
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_ids', 'k')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_ids', 'k', id_field => 'b')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_ids', 'k', id_field => 'c')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_ids', 'k', id_field => 'd')$$);
\pset format aligned
\pset tuples_only off
SELECT indexed FROM brain.compute_similarity('compute_ids', 'k', id_field => 'a');
DROP TABLE compute_ids;

-- ---- backend ----
-- sklearn is the other name of exact; stored and shown is exact.
SELECT backend FROM brain.compute_similarity('compute_t', 'sk', backend => 'sklearn');
SELECT method, backend FROM brain.list_brain_runs('compute_t') WHERE brain_key = 'sk';
SELECT brain.get_brain_info('compute_t', 'sk') #>> '{config,backend}' AS backend,
	   brain.get_brain_info('compute_t', 'sk') #>> '{config,method}' AS method;
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', backend => 'milvus', options => '{"M": 16}')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', backend => 'qdrant')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', backend => '')$$);
\pset format aligned
\pset tuples_only off
-- the default: argument, setting of the session, of the role, of the database
SHOW brain.default_similarity_backend;
SET brain.default_similarity_backend = 'sklearn';
SHOW brain.default_similarity_backend;
SELECT backend FROM brain.compute_similarity('compute_t', 'set');
SET brain.default_similarity_backend = 'milvus';
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', options => '{"M": 16}')$$);
\pset format aligned
\pset tuples_only off
SELECT backend FROM brain.compute_similarity('compute_t', 'argument', backend => 'exact');
-- runs that there are do not care
SELECT sample_id FROM brain.sort_by_similarity('compute_t', 5, brain_key => 'set', k => 1);
SET brain.default_similarity_backend = 'qdrant';
SHOW brain.default_similarity_backend;
RESET brain.default_similarity_backend;
SET brain.default_similarity_backnd = 'exact';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET brain.default_similarity_backend = %L', current_database(), 'milvus'); END $$;
\c -
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', options => '{"M": 16}')$$);
\pset format aligned
\pset tuples_only off
DO $$ BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I SET brain.default_similarity_backend = %L', current_user, current_database(), 'sklearn'); END $$;
\c -
SELECT backend FROM brain.compute_similarity('compute_t', 'role');
SHOW brain.default_similarity_backend;
DO $$ BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET brain.default_similarity_backend', current_user, current_database()); END $$;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET brain.default_similarity_backend', current_database()); END $$;
\c -
SELECT backend FROM brain.compute_similarity('compute_t', 'none');
SELECT brain.has_brain_run('compute_t', 'bad');

-- ---- options: the exact backend has none; a value may be a secret and is not shown ----
SELECT brain_key FROM brain.compute_similarity('compute_t', 'options', options => NULL);
SELECT brain_key FROM brain.compute_similarity('compute_t', 'options', options => '{}', overwrite => true);
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', options => '{"passwrd": "s3cret"}')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', options => '{"uri": null}')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', options => '["s3cret"]')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'bad', options => '"s3cret"')$$);

-- ---- NULL arguments, and what is no dataset ----
SELECT compute_error($$SELECT brain.compute_similarity(NULL, 'bad')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', NULL)$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_nowhere', 'bad')$$);
SELECT compute_error($$SELECT brain.compute_similarity('compute_t_pkey', 'bad')$$);
SELECT compute_error($$SELECT brain.compute_similarity(1::oid::regclass, 'bad')$$);
\pset format aligned
\pset tuples_only off
-- NULL booleans are their defaults
SELECT indexed FROM brain.compute_similarity('compute_t', 'nulls', with_data => NULL, skip_failures => NULL, overwrite => NULL);
SELECT brain.delete_brain_runs('compute_t') > 0 AS deleted;

-- ---- brain keys: Python's str.isidentifier(), as FiftyOne asks it ----
CREATE TABLE compute_keys (n int PRIMARY KEY, key text, ok boolean);
INSERT INTO compute_keys VALUES
	(1, 'a', true), (2, '_', true), (3, '_1', true), (4, 'A9', true), (5, 'clip_ViT_B_32', true),
	(6, 'class', true), (7, 'é', true), (8, '名前', true), (9, 'Ω1', true), (10, 'ªb', true),
	(11, U&'x\0663', true), (12, 'a·b', true), (13, '℘x', true), (14, 'ß', true), (15, '𝒳', true),
	(16, U&'e\0301', true), (17, U&'\FB01', true), (18, U&'\2177', true), (19, U&'x\19DA', true),
	(20, repeat('a', 255), true),
	(51, '', false), (52, '1a', false), (53, 'a-b', false), (54, 'a b', false), (55, ' a', false),
	(56, 'a ', false), (57, 'a.b', false), (58, 'a$b', false), (59, U&'\0663x', false), (60, '·a', false),
	(61, U&'\0301e', false), (62, '²', false), (63, 'a²', false), (64, U&'a\00A0b', false), (65, '€', false),
	(66, '"a"', false), (67, 'a;--', false), (68, E'a\nb', false), (69, '😀', false), (70, U&'a\200Db', false),
	(71, U&'\19DA', false), (72, U&'x\309B', false), (73, 'a''b', false), (74, repeat('a', 256), false),
	(75, repeat('é', 128), false);
-- computing and renaming keep the same rule
SELECT n, key FROM compute_keys
 WHERE ok <> (compute_error(format($$SELECT brain.compute_similarity('compute_t', %L)$$, key)) = 'no error');
SELECT count(*) AS made FROM brain.list_brain_runs('compute_t');
SELECT brain.delete_brain_runs('compute_t') = count(*) AS deleted FROM compute_keys WHERE ok;
SELECT brain_key FROM brain.compute_similarity('compute_t', 'k0');
SELECT n, key FROM compute_keys
 WHERE ok <> (compute_error(format($$SELECT brain.rename_brain_run('compute_t', 'k0', %L), brain.rename_brain_run('compute_t', %L, 'k0')$$, key, key)) = 'no error');
\pset format unaligned
\pset tuples_only on
SELECT compute_error($$SELECT brain.compute_similarity('compute_t', 'a-b')$$);
SELECT compute_error($$SELECT brain.rename_brain_run('compute_t', 'k0', 'a-b')$$);
SELECT compute_error(format($$SELECT brain.compute_similarity('compute_t', %L)$$, repeat('a', 256)));
SELECT compute_error(format($$SELECT brain.rename_brain_run('compute_t', 'k0', %L)$$, repeat('a', 256)));
\pset format aligned
\pset tuples_only off
-- keys are case-sensitive, and not normalised
SELECT brain_key FROM brain.compute_similarity('compute_t', 'K0');
SELECT brain_key FROM brain.compute_similarity('compute_t', U&'\00E9');
SELECT brain_key FROM brain.compute_similarity('compute_t', U&'e\0301');
SELECT count(*) FROM brain.list_brain_runs('compute_t');
-- two datasets may use one key
CREATE TABLE compute_other (id int PRIMARY KEY, embedding real[]);
SELECT brain_key FROM brain.compute_similarity('compute_other', 'k0');

DROP TABLE compute_t, compute_other, compute_keys;
SELECT count(*) FROM brain._runs WHERE dataset_name LIKE 'compute\_%';
DROP FUNCTION compute_error;
