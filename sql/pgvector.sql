-- Guards against pgvector's types being found only where they are on the
-- search_path, or being taken for something else of that name; and against
-- vectors read, queried or written otherwise than as the real[] they equal.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
\set facts 'dimensions, indexed, missing, skipped'

--
-- A type of that name that is not pgvector's, without and with pgvector
--
CREATE TYPE vector;
CREATE FUNCTION pgvector_in(cstring) RETURNS vector IMMUTABLE STRICT LANGUAGE internal AS 'textin';
CREATE FUNCTION pgvector_out(vector) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout';
CREATE TYPE vector (INPUT = pgvector_in, OUTPUT = pgvector_out, LIKE = text);
RESET client_min_messages;
CREATE TYPE halfvec AS (a real, b real);
CREATE TABLE pgvector_false (id integer PRIMARY KEY, v vector, h halfvec, r real[]);
INSERT INTO pgvector_false VALUES (1, '[1,2]', (1,2), '{1,2}'), (2, repeat('x', 1000)::vector, (2,1), '{2,1}');
SELECT :facts FROM brain.compute_similarity('pgvector_false', 'no', embeddings => 'v');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pgvector_false', 'no', embeddings => 'h');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pgvector_false', 'r');

CREATE SCHEMA pgvector_far;
CREATE EXTENSION vector SCHEMA pgvector_far;
SELECT :facts FROM brain.compute_similarity('pgvector_false', 'no', embeddings => 'v');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pgvector_false', 'no', embeddings => 'h');
\echo :SQLSTATE
-- not even when it belongs to an extension
ALTER EXTENSION plpgsql ADD TYPE vector;
SELECT :facts FROM brain.compute_similarity('pgvector_false', 'no', embeddings => 'v');
\echo :SQLSTATE
ALTER EXTENSION plpgsql DROP TYPE vector;
-- nor is it one as a query, or to be added
SELECT sample_id FROM brain.sort_by_similarity('pgvector_false', '[1,2]'::vector);
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('pgvector_false', ARRAY['[1,2]'::vector, '[1,2]']);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('pgvector_false', 'r', 1, '[1,2]'::vector);
\echo :SQLSTATE
-- a domain of that name is the domain that it is
CREATE SCHEMA pgvector_domain;
CREATE DOMAIN pgvector_domain.vector AS real[];
CREATE TABLE pgvector_domain.t (id integer PRIMARY KEY, v pgvector_domain.vector);
INSERT INTO pgvector_domain.t VALUES (1, '{1,2}'), (2, '{2,1}');
SELECT :facts FROM brain.compute_similarity('pgvector_domain.t', 'key');


--
-- pgvector's own, off the search_path
--
SELECT 'pgvector_far.vector'::regtype;
CREATE TABLE pgvector_true (id integer PRIMARY KEY, v pgvector_far.vector, v3 pgvector_far.vector(3), h pgvector_far.halfvec, h3 pgvector_far.halfvec(3), r real[]);
INSERT INTO pgvector_true
SELECT i, e::pgvector_far.vector, e::pgvector_far.vector, e::pgvector_far.halfvec, e::pgvector_far.halfvec, e
  FROM generate_series(1, 40) i, LATERAL (SELECT ARRAY[i % 7 - 3, i * i % 11, i % 4]::real[]) AS a (e) WHERE e <> '{0,0,0}';
INSERT INTO pgvector_true (id) VALUES (100), (101);

-- The distance as plain SQL over the real values in double precision.
CREATE FUNCTION pgvector_distance(metric text, a real[], b real[]) RETURNS double precision
	IMMUTABLE LANGUAGE sql
	RETURN (SELECT CASE metric WHEN 'euclidean' THEN sqrt(sum((x - y) ^ 2))
						WHEN 'dotproduct' THEN -sum(x * y)
						ELSE 1 - sum(x * y) / sqrt(sum(x * x) * sum(y * y)) END
			  FROM unnest(a::double precision[], b::double precision[]) AS e (x, y));
CREATE FUNCTION pgvector_compare(field text, word text)
	RETURNS TABLE (field_type text, metric text, dimensions integer, indexed bigint, missing bigint, ranked bigint, different bigint)
	LANGUAGE plpgsql AS $$
BEGIN
	SELECT s.metric, s.dimensions, s.indexed, s.missing INTO metric, dimensions, indexed, missing
	  FROM brain.compute_similarity('pgvector_true', 'key', embeddings => field, metric => word, overwrite => true) s;
	SELECT format_type(atttypid, atttypmod) INTO field_type FROM pg_attribute
	 WHERE attrelid = 'pgvector_true'::regclass AND attname = field;
	WITH expected AS (
		SELECT s.id::text, d AS distance, row_number() OVER (ORDER BY d, s.id <> 17 OR word = 'dotproduct', s.id::text COLLATE "C") AS rank
		  FROM pgvector_true s, pgvector_true q, pgvector_distance(word, s.r, q.r) d WHERE q.id = 17 AND s.r IS NOT NULL
	)
	SELECT count(f.rank), count(*) FILTER (WHERE f.sample_id IS DISTINCT FROM e.id OR abs(f.distance - e.distance) > 1e-15)
	  INTO ranked, different
	  FROM expected e FULL JOIN brain.sort_by_similarity('pgvector_true', 17, k => NULL) f USING (rank);
	RETURN NEXT;
END $$;
SELECT c.* FROM unnest('{v,v3,h,h3}'::text[]) field, unnest('{cosine,dotproduct,euclidean}'::text[]) metric, pgvector_compare(field, metric) c ORDER BY 2, 1;
-- pgvector's own distances are those, in float32
SELECT m.metric, count(*) FROM unnest('{cosine,dotproduct,euclidean}'::text[]) m (metric),
	   pgvector_compare('v', m.metric), pgvector_true s, pgvector_true q
 WHERE q.id = 17 AND abs(pgvector_distance(m.metric, s.r, q.r) - CASE m.metric WHEN 'cosine' THEN s.v OPERATOR(pgvector_far.<=>) q.v
	WHEN 'dotproduct' THEN s.v OPERATOR(pgvector_far.<#>) q.v ELSE s.v OPERATOR(pgvector_far.<->) q.v END) < 1e-6 GROUP BY 1 ORDER BY 1;

-- query vectors: the same rows, ranks and bits for each type, for either column
SELECT :facts FROM brain.compute_similarity('pgvector_true', 'v', embeddings => 'v');
SELECT :facts FROM brain.compute_similarity('pgvector_true', 'h', embeddings => 'h');
SELECT brain.delete_brain_run('pgvector_true', 'key', cleanup => true);
CREATE FUNCTION pgvector_answers(key text, OUT query text, OUT first text, OUT different bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMPORARY TABLE pgvector_answer AS SELECT * FROM brain.sort_by_similarity('pgvector_true', ARRAY[1,2,3]::real[], k => NULL, brain_key => key);
	FOREACH query IN ARRAY ARRAY[
		'''[1,2,3]''::pgvector_far.vector', '''[1,2,3]''::pgvector_far.vector(3)', '''[1,2,3]''::pgvector_far.halfvec', '''[1,2,3]''', '''[1,2,3]''::text', '''{1,2,3}''',
		'ARRAY[1,2,3]::double precision[]', 'ARRAY[''[1,2,3]''::pgvector_far.vector]', 'ARRAY[''[1,2,3]''::pgvector_far.halfvec, ''[1,2,3]'']']
	LOOP
		EXECUTE format('SELECT count(*) FROM (TABLE pgvector_answer EXCEPT SELECT * FROM brain.sort_by_similarity(''pgvector_true'', %s, k => NULL, brain_key => %L)) AS d', query, key) INTO different;
		EXECUTE format('SELECT (sample).id FROM brain.similar_samples(NULL::pgvector_true, %s, k => 1, brain_key => %L)', query, key) INTO first;
		RETURN NEXT;
	END LOOP;
	DROP TABLE pgvector_answer;
END $$;
SELECT * FROM pgvector_answers('v');
SELECT * FROM pgvector_answers('h');
-- a column as the query, in a join
SELECT t.id, s.sample_id FROM pgvector_true t, brain.sort_by_similarity('pgvector_true', t.v, k => 1, brain_key => 'v') s WHERE t.id IN (8, 17, 23) ORDER BY 1;
-- several vectors: mean and the others, as for a two-dimensional array
SELECT aggregation, (SELECT count(*) FROM (
		SELECT * FROM brain.sort_by_similarity('pgvector_true', ARRAY[[1,2,3],[3,-1,0]]::real[], k => NULL, brain_key => 'v', aggregation => aggregation) EXCEPT
		SELECT * FROM brain.sort_by_similarity('pgvector_true', ARRAY['[1,2,3]','[3,-1,0]']::pgvector_far.vector[], k => NULL, brain_key => 'v', aggregation => aggregation)) AS d) AS different
  FROM unnest('{mean,post-mean,post-min,post-max}'::text[]) aggregation;

-- bad queries
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', '[1,2]'::pgvector_far.vector, brain_key => 'v');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', '[0,0,0]'::pgvector_far.vector, brain_key => 'v');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', ARRAY['[1,2,3]','[1,2]']::pgvector_far.vector[], brain_key => 'v');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', ARRAY['[1,2,3]',NULL]::pgvector_far.vector[], brain_key => 'v');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', '{}'::pgvector_far.vector[], brain_key => 'v');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', NULL::pgvector_far.vector, brain_key => 'v');
\echo :SQLSTATE


--
-- Dimensions
--
-- a column that declares them: also of an empty table
CREATE TABLE pgvector_sized (id integer PRIMARY KEY, v pgvector_far.vector(3));
SELECT :facts FROM brain.compute_similarity('pgvector_sized', 'key');
SELECT sample_id FROM brain.sort_by_similarity('pgvector_sized', '[1,2]');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('pgvector_sized', '[1,2,3]');
CREATE TABLE pgvector_sized_half (id integer PRIMARY KEY, h pgvector_far.halfvec(5));
SELECT :facts FROM brain.compute_similarity('pgvector_sized_half', 'key');
-- one that does not holds what it likes
CREATE TABLE pgvector_any (id integer PRIMARY KEY, v pgvector_far.vector);
INSERT INTO pgvector_any VALUES (1, '[1,2]'), (2, '[2,1]'), (3, '[1,2,3]'), (4, '[0,0]'), (5, NULL);
SELECT :facts FROM brain.compute_similarity('pgvector_any', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pgvector_any', 'key', filter => 'id <> 3');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pgvector_any', 'key', skip_failures => true);
SELECT sample_id FROM brain.sort_by_similarity('pgvector_any', 2);
-- the most that pgvector stores, and what only arrays hold
CREATE TABLE pgvector_long (id integer PRIMARY KEY, v pgvector_far.vector, h pgvector_far.halfvec(16000));
INSERT INTO pgvector_long SELECT n, e::pgvector_far.vector, e::pgvector_far.halfvec
  FROM generate_series(1, 2) n, LATERAL (SELECT array_agg((i * (n + 2) % 17)::real ORDER BY i) FROM generate_series(1, 16000) i) AS a (e);
SELECT :facts FROM brain.compute_similarity('pgvector_long', 'v', embeddings => 'v', metric => 'euclidean');
SELECT :facts FROM brain.compute_similarity('pgvector_long', 'h', embeddings => 'h', metric => 'euclidean');
SELECT key, s.sample_id, distance = pgvector_distance('euclidean', l.v::real[], q.v::real[]) AS exact
  FROM unnest('{v,h}'::text[]) key, brain.sort_by_similarity('pgvector_long', 2, brain_key => key) s JOIN pgvector_long l ON l.id = s.sample_id::integer, pgvector_long q
 WHERE q.id = 2 ORDER BY key, rank;


--
-- Values
--
-- a half is read exactly: the smallest, the greatest, a denormal, minus zero
CREATE TABLE pgvector_values (id integer PRIMARY KEY, h pgvector_far.halfvec, v pgvector_far.vector);
INSERT INTO pgvector_values VALUES (1, '[65504,-65504]', '[3.4028235e38,-3.4028235e38]'), (2, '[5.9604645e-08,6.097555e-05]', '[1e-45,1.17549435e-38]'),
	(3, '[-0,0.1]', '[-0,0.1]'), (4, '[0.333251953125,1.0009765625]', '[0.33333334,1.0000001]');
SELECT :facts FROM brain.compute_similarity('pgvector_values', 'h', embeddings => 'h');
SELECT :facts FROM brain.compute_similarity('pgvector_values', 'v', embeddings => 'v');
SELECT v.id, h.embedding, h.embedding = v.h::pgvector_far.vector::real[] AS half, e.embedding, e.embedding = v.v::real[] AS vector
  FROM pgvector_values v, brain.get_embeddings('pgvector_values', 'h', v.id) h, brain.get_embeddings('pgvector_values', 'v', v.id) e ORDER BY 1;
-- stored outside the row, compressed or not
ALTER TABLE pgvector_long ALTER v SET STORAGE EXTERNAL, ALTER h SET STORAGE EXTENDED;
UPDATE pgvector_long SET v = (v::real[])::pgvector_far.vector, h = (h::real[])::pgvector_far.halfvec;
SELECT key, sample_id FROM unnest('{v,h}'::text[]) key, brain.sort_by_similarity('pgvector_long', 2, brain_key => key, k => 1);

-- domains over them, views, partitions
CREATE DOMAIN pgvector_embedding AS pgvector_far.vector(3) CHECK (VALUE IS NOT NULL);
CREATE TABLE pgvector_parts (id integer PRIMARY KEY, v pgvector_embedding) PARTITION BY HASH (id);
CREATE TABLE pgvector_parts_0 PARTITION OF pgvector_parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE pgvector_parts_1 PARTITION OF pgvector_parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO pgvector_parts SELECT id, v FROM pgvector_true WHERE v IS NOT NULL;
SELECT :facts FROM brain.compute_similarity('pgvector_parts', 'key');
SELECT count(*) AS different FROM (
	SELECT * FROM brain.sort_by_similarity('pgvector_true', 17, k => NULL, brain_key => 'v') EXCEPT SELECT * FROM brain.sort_by_similarity('pgvector_parts', 17, k => NULL)) AS d;
CREATE VIEW pgvector_view AS SELECT id, r::pgvector_far.halfvec AS h FROM pgvector_true;
SELECT :facts FROM brain.compute_similarity('pgvector_view', 'key', id_field => 'id');
SELECT count(*) AS different FROM (
	SELECT * FROM brain.sort_by_similarity('pgvector_true', 17, k => NULL, brain_key => 'v') EXCEPT SELECT * FROM brain.sort_by_similarity('pgvector_view', 17, k => NULL)) AS d;

-- pgvector's other types are no embeddings
CREATE TABLE pgvector_others (id integer PRIMARY KEY, s pgvector_far.sparsevec, b bit(8));
SELECT :facts FROM brain.compute_similarity('pgvector_others', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pgvector_others', 'key', embeddings => 's');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('pgvector_others', 'key', embeddings => 'b');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', '{1:1,2:2}/3'::pgvector_far.sparsevec, brain_key => 'v');
\echo :SQLSTATE
-- the two that are there are both named
SELECT :facts FROM brain.compute_similarity('pgvector_values', 'key');
\echo :SQLSTATE


--
-- Writing
--
CREATE TABLE pgvector_written (id integer PRIMARY KEY, v pgvector_far.vector(2), h pgvector_far.halfvec, r real[],
	d double precision[], n numeric[], i2 smallint[], i4 integer[], i8 bigint[]);
INSERT INTO pgvector_written SELECT generate_series(1, 12);
SELECT :facts FROM brain.compute_similarity('pgvector_written', 'v', embeddings => 'v', metric => 'euclidean');
SELECT :facts FROM brain.compute_similarity('pgvector_written', 'h', embeddings => 'h', metric => 'euclidean');
SELECT :facts FROM brain.compute_similarity('pgvector_written', 'r', embeddings => 'r', metric => 'euclidean');
SELECT :facts FROM brain.compute_similarity('pgvector_written', 'stored', metric => 'euclidean', with_data => false);
-- every type into every column, one and many
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 1, '[1,0.5]'::pgvector_far.vector) a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 2, '[2,0.5]'::pgvector_far.halfvec) a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 3, ARRAY[3,0.5]::real[]) a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 4, ARRAY[4,0.5]::double precision[]) a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 5, '[5,0.5]') a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, ARRAY[6,7], ARRAY['[6,0.5]','[7,0.5]']::pgvector_far.vector[]) a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, ARRAY[8,9], ARRAY['[8,0.5]','[9,0.5]']::pgvector_far.halfvec[]) a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, ARRAY[10,11], '[[10,0.5],[11,0.5]]') a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 12, ARRAY[12,0.5]) a;
SELECT id, v, h, r FROM pgvector_written ORDER BY id;
SELECT key, count(*) FROM unnest('{v,h,r,stored}'::text[]) key, brain.get_embeddings('pgvector_written', key) e WHERE e.embedding = ARRAY[e.sample_id::real, 0.5] GROUP BY 1 ORDER BY 1;
SELECT key, sample_id, distance FROM unnest('{v,h,r,stored}'::text[]) key, brain.sort_by_similarity('pgvector_written', '[4,0.5]'::pgvector_far.vector, k => 3, brain_key => key) ORDER BY key, rank;
-- integers of every width
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 1, ARRAY[21,22]) a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 2, ARRAY[21,22]::smallint[]) a;
SELECT key, a.* FROM unnest('{v,h,r,stored}'::text[]) key, brain.add_to_index('pgvector_written', key, 3, ARRAY[21,22]::bigint[]) a;
SELECT id, v, h, r FROM pgvector_written WHERE id <= 3 ORDER BY id;
-- pgvector's into arrays of every type
SELECT field, s.dimensions, s.missing FROM unnest('{d,n,i2,i4,i8}'::text[]) field, brain.compute_similarity('pgvector_written', field, embeddings => field, metric => 'euclidean') s;
SELECT key, a.* FROM unnest('{d,n,i2,i4,i8}'::text[]) key, brain.add_to_index('pgvector_written', key, 1, '[31,32]'::pgvector_far.vector) a;
SELECT key, a.* FROM unnest('{d,n,i2,i4,i8}'::text[]) key, brain.add_to_index('pgvector_written', key, ARRAY[2,3], ARRAY['[31,32]','[33,34]']::pgvector_far.halfvec[]) a;
SELECT id, d, n, i2, i4, i8 FROM pgvector_written WHERE id <= 3 ORDER BY id;
SELECT * FROM brain.add_to_index('pgvector_written', 'i4', 1, '[1.5,2]'::pgvector_far.vector);
\echo :SQLSTATE
SELECT * FROM brain.remove_from_index('pgvector_written', 'v', ARRAY[1,2]);
SELECT id, v FROM pgvector_written WHERE id <= 3 ORDER BY id;
-- what does not fit
SELECT * FROM brain.add_to_index('pgvector_written', 'v', 1, '[1,2,3]'::pgvector_far.vector);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('pgvector_written', 'v', ARRAY[1,2], ARRAY['[1,2]','[1,2,3]']::pgvector_far.vector[]);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('pgvector_written', 'v', ARRAY[1,2], ARRAY['[1,2]',NULL]::pgvector_far.vector[]);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('pgvector_written', 'v', ARRAY[1,2,3], ARRAY['[1,2]','[1,3]']::pgvector_far.vector[]);
\echo :SQLSTATE
-- pgvector says itself what a half cannot hold
SELECT * FROM brain.add_to_index('pgvector_written', 'h', 1, '[1e6,1]');
\echo :SQLSTATE
SELECT id, v, h FROM pgvector_written WHERE id <= 2 ORDER BY id;

-- a column that gets another dimension breaks its run, until it has its own again
CREATE TABLE pgvector_resized (id int PRIMARY KEY, v pgvector_far.vector(2));
INSERT INTO pgvector_resized VALUES (1, '[1,2]');
SELECT :facts FROM brain.compute_similarity('pgvector_resized', 'k');
ALTER TABLE pgvector_resized ALTER COLUMN v TYPE pgvector_far.vector(3) USING NULL;
SELECT state, reason FROM brain.list_brain_runs('pgvector_resized');
SELECT sample_id FROM brain.sort_by_similarity('pgvector_resized', '[1,2]', brain_key => 'k');
\echo :SQLSTATE
ALTER TABLE pgvector_resized ALTER COLUMN v TYPE pgvector_far.vector(2);
SELECT state, reason FROM brain.list_brain_runs('pgvector_resized');
DROP TABLE pgvector_resized;

-- pgvector moves to another schema: nothing changes
ALTER EXTENSION vector SET SCHEMA pgvector_domain;
\echo :SQLSTATE
CREATE SCHEMA pgvector_farther;
ALTER EXTENSION vector SET SCHEMA pgvector_farther;
SELECT state, reason FROM brain.list_brain_runs('pgvector_true');
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', '[1,2,3]'::pgvector_farther.vector, brain_key => 'v', k => 3);
SELECT * FROM brain.add_to_index('pgvector_written', 'v', 1, '[7,7]'::pgvector_farther.vector);
-- or onto the search_path, before the other one
SET search_path = pgvector_farther, public;
SELECT sample_id FROM brain.sort_by_similarity('pgvector_true', '[1,2,3]'::vector, brain_key => 'v', k => 3);
SELECT :facts FROM brain.compute_similarity('pgvector_false', 'no', embeddings => 'v');
\echo :SQLSTATE
RESET search_path;

SET client_min_messages = warning;
DROP TABLE pgvector_false, pgvector_true, pgvector_sized, pgvector_sized_half, pgvector_any, pgvector_long, pgvector_values, pgvector_parts,
	pgvector_others, pgvector_written, pgvector_domain.t CASCADE;
DROP FUNCTION pgvector_distance, pgvector_compare, pgvector_answers;
DROP DOMAIN pgvector_embedding, pgvector_domain.vector;
DROP EXTENSION vector;
DROP SCHEMA pgvector_far, pgvector_farther, pgvector_domain;
DROP TYPE vector CASCADE;
DROP TYPE halfvec;
