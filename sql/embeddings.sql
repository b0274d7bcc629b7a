-- Guards against embeddings of an accepted type being refused, read wrongly or
-- rounded twice, and against bad ones stopping a search, spoiling its order, or
-- disappearing without being counted.  pgvector's types: pgvector.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;
\set facts 'dimensions, indexed, missing, skipped'

--
-- Every type gives the same answers
--
CREATE DOMAIN embeddings_real AS real[];
CREATE DOMAIN embeddings_three AS embeddings_real CHECK (cardinality(VALUE) = 3);
CREATE DOMAIN embeddings_double AS double precision[];
CREATE DOMAIN embeddings_numeric AS numeric[] NOT NULL;
CREATE DOMAIN embeddings_integer AS integer[];
CREATE TABLE embeddings_types (id integer PRIMARY KEY,
	f4 real[], f8 double precision[], num numeric[], numtyp numeric(20,10)[], i2 smallint[], i4 integer[], i8 bigint[],
	bound real[], dr embeddings_real, d3 embeddings_three, dd embeddings_double, dn embeddings_numeric, di embeddings_integer,
	stored real[], sized real[3]);
ALTER TABLE embeddings_types ALTER stored SET STORAGE EXTERNAL;
INSERT INTO embeddings_types
SELECT i, v, v, v, v, v, v, v, format('[-7:-5]={%s}', array_to_string(v, ','))::real[], v, v, v, v, v, v, v
  FROM generate_series(1, 40) i, LATERAL (SELECT ARRAY[i % 7 - 3, i * i % 11, i % 4]) AS e (v) WHERE v <> '{0,0,0}';

-- The distance as plain SQL over the real values in double precision.
CREATE FUNCTION embeddings_distance(metric text, a real[], b real[]) RETURNS double precision
	IMMUTABLE LANGUAGE sql
	RETURN (SELECT CASE metric WHEN 'euclidean' THEN sqrt(sum((x - y) ^ 2))
						WHEN 'dotproduct' THEN -sum(x * y)
						ELSE 1 - sum(x * y) / sqrt(sum(x * x) * sum(y * y)) END
			  FROM unnest(a::double precision[], b::double precision[]) AS e (x, y));

-- Makes a run over a column and compares all that a search finds with plain SQL
-- over f4: whole numbers, so nothing is rounded but the last quotient.
CREATE FUNCTION embeddings_compare(field text, word text)
	RETURNS TABLE (field_type text, metric text, dimensions integer, indexed bigint, ranked bigint, different bigint)
	LANGUAGE plpgsql AS $$
BEGIN
	SELECT s.metric, s.dimensions, s.indexed INTO metric, dimensions, indexed
	  FROM brain.compute_similarity('embeddings_types', 'key', embeddings => field, metric => word, overwrite => true) s;
	SELECT format_type(atttypid, atttypmod) INTO field_type FROM pg_attribute
	 WHERE attrelid = 'embeddings_types'::regclass AND attname = field;
	WITH expected AS (
		SELECT s.id::text, d AS distance, row_number() OVER (ORDER BY d, s.id <> 17 OR word = 'dotproduct', s.id::text COLLATE "C") AS rank
		  FROM embeddings_types s, embeddings_types q, embeddings_distance(word, s.f4, q.f4) d WHERE q.id = 17
	)
	SELECT count(f.rank), count(*) FILTER (WHERE f.sample_id IS DISTINCT FROM e.id OR abs(f.distance - e.distance) > 1e-15)
	  INTO ranked, different
	  FROM expected e FULL JOIN brain.sort_by_similarity('embeddings_types', 17, k => NULL) f USING (rank);
	RETURN NEXT;
END $$;
SELECT c.* FROM unnest('{f4,f8,num,numtyp,i2,i4,i8,bound,dr,d3,dd,dn,di,stored,sized}'::text[]) field, embeddings_compare(field, 'euclidean') c;
SELECT c.* FROM unnest('{f4,f8,num,numtyp,i2,i4,i8,bound,dr,d3,dd,dn,di,stored,sized}'::text[]) field, embeddings_compare(field, 'dotproduct') c;
SELECT c.* FROM unnest('{f4,f8,num,i8,bound}'::text[]) field, embeddings_compare(field, 'cosine') c;

-- query vectors of every type, too: the same rows, ranks and bits
SELECT :facts FROM brain.compute_similarity('embeddings_types', 'key', embeddings => 'f8', metric => 'cosine', overwrite => true);
CREATE TEMPORARY TABLE embeddings_answer AS SELECT * FROM brain.sort_by_similarity('embeddings_types', ARRAY[1,2,3]::real[], k => NULL);
SELECT count(*) FROM embeddings_answer;
CREATE FUNCTION embeddings_other_answers(OUT type text, OUT different bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	query text;
BEGIN
	FOREACH query IN ARRAY ARRAY[
		'ARRAY[1,2,3]::double precision[]', 'ARRAY[1,2,3]::numeric[]', 'ARRAY[1.0,2.0,3.0]', '''[-1:1]={1,2,3}''::real[]',
		'ARRAY[1,2,3]::embeddings_three', 'ARRAY[1,2,3]::embeddings_double', '''[1,2,3]''', '''{1,2,3}''', '''[ 1.0 , 2e0,+3 ]''::text',
		'ARRAY[[1,2,3]]', 'ARRAY[[1,2,3],[1,2,3]]::real[]']
	LOOP
		type := query;
		EXECUTE format('SELECT count(*) FROM (TABLE embeddings_answer EXCEPT SELECT * FROM brain.sort_by_similarity(''embeddings_types'', %s, k => NULL)) AS d', query) INTO different;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM embeddings_other_answers();

-- what cannot hold embeddings
CREATE TABLE embeddings_others (id integer PRIMARY KEY, t text, ts text[], r real, j jsonb, b boolean[], p point, y bytea, o oid[], m money[]);
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 't');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 'ts');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 'r');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 'j');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 'b');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 'p');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 'y');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 'o');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_others', 'key', embeddings => 'id');
\echo :SQLSTATE


--
-- Rounded to float32, once
--
CREATE TABLE embeddings_rounded (id integer PRIMARY KEY, f8 double precision[], num numeric[], i8 bigint[], i4 integer[]);
INSERT INTO embeddings_rounded VALUES
	-- no float32
	(1, '{0.1,0.7}', '{0.1,0.7}', '{16777217,16777219}', '{16777217,2147483647}'),
	-- halfway between two float32, to even: 1 + 2^-24 and 1 + 3 * 2^-24
	(2, '{1.000000059604644775390625,1.000000178813934326171875}', '{1.000000059604644775390625,1.000000178813934326171875}', '{33554434,33554438}', '{33554434,33554438}'),
	-- a little more and less than halfway; as numeric by less than a double can tell
	(3, '{1.0000000596046450,1.0000001788139340}', '{1.000000059604644775390625000000001,1.000000178813934326171874999999999}', '{9007199791611905,9007199791611903}', '{-16777217,-33554435}'),
	-- the greatest that round to the greatest float32, and to the smallest
	(4, '{3.4028235677973362e38,-3.4028235677973362e38}', '{340282356779733661637539395458142568447.9,-340282356779733661637539395458142568447.9}', '{9223372036854775807,-9223372036854775808}', '{2147483647,-2147483648}'),
	-- denormal, and too small for anything but 0
	(5, '{1e-40,1e-50}', '{1e-40,1e-50}', '{1,0}', '{1,0}'),
	-- 2^-150, halfway from 0 to the smallest; as numeric a little more
	(6, '{7.006492321624085e-46,1}', '{0.00000000000000000000000000000000000000000000070064923216240853546186479164495807,1}', '{0,1}', '{0,1}');
-- get_embeddings gives the float32; PostgreSQL's own casts to real say what is
-- right, where they do not fail because of what becomes 0
SELECT field, s.dimensions, s.indexed FROM unnest('{f8,num,i8,i4}'::text[]) field,
	   brain.compute_similarity('embeddings_rounded', field, embeddings => field, metric => 'euclidean') s;
SELECT field, e.sample_id, e.embedding
  FROM unnest('{f8,num,i8,i4}'::text[]) field, brain.get_embeddings('embeddings_rounded', field) e ORDER BY field, e.sample_id;
SELECT r.id, a.embedding = r.f8::real[] AS f8, b.embedding = r.num::real[] AS num, c.embedding = r.i8::real[] AS i8, d.embedding = r.i4::real[] AS i4
  FROM embeddings_rounded r, brain.get_embeddings('embeddings_rounded', 'f8', r.id) a, brain.get_embeddings('embeddings_rounded', 'num', r.id) b,
	   brain.get_embeddings('embeddings_rounded', 'i8', r.id) c, brain.get_embeddings('embeddings_rounded', 'i4', r.id) d
 WHERE r.id <= 4 ORDER BY r.id;
-- distances are of the rounded values, in double precision
SELECT s.sample_id, distance = embeddings_distance('euclidean', r.f8::real[], q.f8::real[]) AS exact, distance = 0 AS self
  FROM brain.sort_by_similarity('embeddings_rounded', 1, brain_key => 'f8') s JOIN embeddings_rounded r ON r.id = s.sample_id::integer, embeddings_rounded q
 WHERE q.id = 1 AND r.id <= 4 ORDER BY 1;
-- a double and the real that it rounds to are at distance 0
CREATE TABLE embeddings_equal (id text PRIMARY KEY, embedding double precision[]);
INSERT INTO embeddings_equal VALUES ('double', '{0.1,0.2}'), ('real', '{0.1,0.2}'::real[]), ('other', '{0.1,0.3}');
SELECT :facts FROM brain.compute_similarity('embeddings_equal', 'key');
SELECT rank, sample_id, distance = 0 AS same FROM brain.sort_by_similarity('embeddings_equal', 'real');
SELECT rank, sample_id, distance = 0 AS same FROM brain.sort_by_similarity('embeddings_equal', ARRAY[0.1,0.2]::double precision[]);
SELECT :facts FROM brain.compute_similarity('embeddings_equal', 'euclidean', metric => 'euclidean');
-- a query in text is rounded once, too
INSERT INTO embeddings_equal VALUES ('up', '{1.00000011920928955078125,1}');
SELECT sample_id, distance FROM brain.sort_by_similarity('embeddings_equal', ARRAY[1.000000059604644775390625000000001,1]::numeric[], k => 1, brain_key => 'euclidean');
CREATE TABLE embeddings_number (id integer PRIMARY KEY, embedding real[]);
INSERT INTO embeddings_number VALUES (1, '{1.00000011920928955078125,1}'), (2, '{1,1}');
SELECT :facts FROM brain.compute_similarity('embeddings_number', 'key', metric => 'euclidean');
SELECT sample_id, distance FROM brain.sort_by_similarity('embeddings_number', '[1.000000059604644775390625000000001,1]', k => 1);
SELECT sample_id, distance FROM brain.sort_by_similarity('embeddings_number', '[1.000000059604644775390625,1]', k => 1);

-- huge and tiny values overflow nothing
CREATE TABLE embeddings_huge (id integer PRIMARY KEY, embedding real[]);
INSERT INTO embeddings_huge VALUES (1, '{3.4028235e38,3.4028235e38}'), (2, '{-3.4028235e38,-3.4028235e38}'), (3, '{1e-45,1e-45}'), (4, '{1e-45,0}'), (5, '{3.4028235e38,1e-45}');
SELECT :facts FROM brain.compute_similarity('embeddings_huge', 'cosine');
SELECT :facts FROM brain.compute_similarity('embeddings_huge', 'dotproduct', metric => 'dotproduct');
SELECT :facts FROM brain.compute_similarity('embeddings_huge', 'euclidean', metric => 'euclidean');
SELECT m.metric, s.rank, s.sample_id, abs(s.distance - d) <= 1e-15 * greatest(abs(d), 1) AS "right"
  FROM unnest('{cosine,dotproduct,euclidean}'::text[]) AS m (metric), brain.sort_by_similarity('embeddings_huge', 1, brain_key => m.metric) s
  JOIN embeddings_huge r ON r.id = s.sample_id::integer, embeddings_huge q, embeddings_distance(m.metric, r.embedding, q.embedding) d
 WHERE q.id = 1 ORDER BY 1, 2;
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('embeddings_huge', '[1,1]', brain_key => 'cosine', k => 2);


--
-- 1 to 32,768 dimensions, any lower bound
--
CREATE TABLE embeddings_long (id integer PRIMARY KEY, embedding real[]);
CREATE FUNCTION embeddings_many(n integer, seed integer) RETURNS real[] IMMUTABLE LANGUAGE sql
	RETURN (SELECT array_agg((i * seed % 17)::real ORDER BY i) FROM generate_series(1, n) i);
INSERT INTO embeddings_long VALUES (1, embeddings_many(32768, 3)), (2, embeddings_many(32768, 5)), (3, embeddings_many(32768, 3));
SELECT :facts FROM brain.compute_similarity('embeddings_long', 'key', metric => 'euclidean');
SELECT s.sample_id, s.distance = embeddings_distance('euclidean', r.embedding, q.embedding) AS exact
  FROM brain.sort_by_similarity('embeddings_long', 3) s JOIN embeddings_long r ON r.id = s.sample_id::integer, embeddings_long q WHERE q.id = 3 ORDER BY rank;
SELECT sample_id FROM brain.sort_by_similarity('embeddings_long', embeddings_many(32768, 5), k => 1);
SELECT sample_id FROM brain.sort_by_similarity('embeddings_long', embeddings_many(32768, 5)::text, k => 1);
SELECT sample_id, embedding = embeddings_many(32768, 5) AS same FROM brain.get_embeddings('embeddings_long', 'key', 2);
-- one more is too many: in the table, in the query, added
SELECT sample_id FROM brain.sort_by_similarity('embeddings_long', embeddings_many(32769, 5));
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('embeddings_long', embeddings_many(32769, 5)::text);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('embeddings_long', 'key', 2, embeddings_many(32769, 5));
\echo :SQLSTATE
INSERT INTO embeddings_long VALUES (4, embeddings_many(32769, 5));
SELECT sample_id FROM brain.sort_by_similarity('embeddings_long', 3);
SELECT :facts FROM brain.compute_similarity('embeddings_long', 'long', metric => 'euclidean', filter => 'id = 4');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_long', 'long', metric => 'euclidean', skip_failures => true);
-- none is too few
UPDATE embeddings_long SET embedding = '{}' WHERE id = 4;
SELECT :facts FROM brain.compute_similarity('embeddings_long', 'empty', metric => 'euclidean', filter => 'id = 4');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('embeddings_long', '{}'::real[]);
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('embeddings_long', '[]');
\echo :SQLSTATE

CREATE TABLE embeddings_short (id integer PRIMARY KEY, embedding real[]);
INSERT INTO embeddings_short VALUES (1, '{2}'), (2, '{-1}'), (3, '{5}');
SELECT :facts FROM brain.compute_similarity('embeddings_short', 'cosine');
SELECT sample_id, distance, score FROM brain.sort_by_similarity('embeddings_short', 3, brain_key => 'cosine');
SELECT :facts FROM brain.compute_similarity('embeddings_short', 'euclidean', metric => 'euclidean');
SELECT sample_id, distance, score FROM brain.sort_by_similarity('embeddings_short', '[1]', brain_key => 'euclidean');

-- bounds do not matter, not even different ones
UPDATE embeddings_short SET embedding = ('[' || id * 100 || ':' || id * 100 + 1 || ']={' || id || ',1}')::real[];
SELECT :facts FROM brain.compute_similarity('embeddings_short', 'bounds', metric => 'euclidean');
SELECT sample_id, distance FROM brain.sort_by_similarity('embeddings_short', '[7:8]={1,1}'::real[], brain_key => 'bounds');
SELECT sample_id, embedding FROM brain.get_embeddings('embeddings_short', 'bounds', ARRAY[2,3]);
-- two dimensions are refused, be the second only 1
UPDATE embeddings_short SET embedding = '{{1,2},{3,4}}' WHERE id = 2;
SELECT :facts FROM brain.compute_similarity('embeddings_short', 'matrix', metric => 'euclidean');
\echo :SQLSTATE
UPDATE embeddings_short SET embedding = '{{1,2}}' WHERE id = 2;
SELECT :facts FROM brain.compute_similarity('embeddings_short', 'matrix', metric => 'euclidean');
\echo :SQLSTATE
UPDATE embeddings_short SET embedding = '{{1},{2}}' WHERE id = 2;
SELECT :facts FROM brain.compute_similarity('embeddings_short', 'matrix', metric => 'euclidean');
\echo :SQLSTATE
UPDATE embeddings_short SET embedding = '{{{1,2}}}' WHERE id = 2;
SELECT :facts FROM brain.compute_similarity('embeddings_short', 'matrix', metric => 'euclidean');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('embeddings_short', '{{{1,2}}}'::real[], brain_key => 'bounds');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_short', 'matrix', metric => 'euclidean', skip_failures => true);


--
-- NULL: not in the index, and counted
--
CREATE TABLE embeddings_null (id integer PRIMARY KEY, embedding real[]);
SELECT :facts FROM brain.compute_similarity('embeddings_null', 'empty');
INSERT INTO embeddings_null SELECT i, NULL FROM generate_series(1, 3) i;
SELECT :facts FROM brain.compute_similarity('embeddings_null', 'none');
SELECT * FROM brain.sort_by_similarity('embeddings_null', '[1,2]', brain_key => 'none');
SELECT * FROM brain.sort_by_similarity('embeddings_null', 1, brain_key => 'none');
\echo :SQLSTATE
INSERT INTO embeddings_null VALUES (4, '{1,2}'), (5, '{3,1}');
SELECT :facts FROM brain.compute_similarity('embeddings_null', 'some');
SELECT indexed, missing, skipped FROM brain.runs WHERE samples = 'embeddings_null'::regclass AND brain_key = 'some';
SELECT sample_id FROM brain.sort_by_similarity('embeddings_null', 4, k => NULL, brain_key => 'some');
SELECT * FROM brain.sort_by_similarity('embeddings_null', ARRAY[4, 1, 3], brain_key => 'some');
\echo :SQLSTATE
-- a run made while there was nothing works when there is something
SELECT sample_id FROM brain.sort_by_similarity('embeddings_null', 4, brain_key => 'empty');
SELECT sample_id FROM brain.sort_by_similarity('embeddings_null', '[3,1]', brain_key => 'none');
SELECT :facts FROM brain.load_brain_results('embeddings_null', 'none');


--
-- Bad embeddings
--
CREATE TABLE embeddings_bad (id text PRIMARY KEY, good boolean NOT NULL, embedding double precision[]);
INSERT INTO embeddings_bad VALUES
	('a', true, '{1,0}'), ('b', true, '{2,1}'), ('c', true, '{0,3}'), ('nothing', true, NULL),
	('null element', false, '{1,NULL}'), ('nan', false, '{NaN,1}'), ('infinity', false, '{1,Infinity}'), ('-infinity', false, '{-Infinity,1}'),
	('beyond', false, '{1,1e39}'), ('just beyond', false, '{-3.4028235677973366e38,1}'), ('three', false, '{1,2,3}'), ('one', false, '{1}'),
	('zero', false, '{0,-0}'), ('too small', false, '{1e-60,0}'), ('matrix', false, '{{1,2}}'), ('empty', false, '{}');
-- each stops a computation, with its id and a SQLSTATE of its own
CREATE FUNCTION embeddings_try(kind text, metric text) RETURNS TABLE (state text, message text, hint text) LANGUAGE plpgsql AS $$
BEGIN
	SELECT '', format('indexed %s, missing %s, skipped %s', s.indexed, s.missing, s.skipped), '' INTO state, message, hint
	  FROM brain.compute_similarity('embeddings_bad', 'try', metric => metric, overwrite => true, filter => format('good OR id = %L', kind)) s;
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN NEXT;
END $$;
SELECT b.id, t.state, t.message FROM embeddings_bad b, embeddings_try(b.id, 'cosine') t WHERE NOT good ORDER BY b.id COLLATE "C";
-- the zero vector is bad under cosine only
SELECT m.metric, b.id, t.message FROM (VALUES ('dotproduct'), ('euclidean')) AS m (metric), embeddings_bad b, embeddings_try(b.id, m.metric) t
 WHERE b.id IN ('zero', 'too small') ORDER BY 1, 2;
SELECT DISTINCT t.hint FROM embeddings_bad b, embeddings_try(b.id, 'cosine') t WHERE NOT good;
SELECT brain.delete_brain_run('embeddings_bad', 'try', cleanup => true);
-- nothing was recorded of what failed
SELECT :facts FROM brain.compute_similarity('embeddings_bad', 'key');
\echo :SQLSTATE
SELECT brain.has_brain_run('embeddings_bad', 'key');
SELECT :facts FROM brain.compute_similarity('embeddings_bad', 'key', skip_failures => false);
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('embeddings_bad', 'key', skip_failures => NULL);
\echo :SQLSTATE
-- or is skipped and counted, each of them
SELECT :facts FROM brain.compute_similarity('embeddings_bad', 'key', skip_failures => true);
SELECT indexed, missing, skipped FROM brain.runs WHERE samples = 'embeddings_bad'::regclass;
SELECT :facts FROM brain.load_brain_results('embeddings_bad', 'key');
SELECT :facts FROM brain.compute_similarity('embeddings_bad', 'euclidean', metric => 'euclidean', skip_failures => true);
-- the first row may be the odd one out: the run has the dimension of most
CREATE TABLE embeddings_odd (id integer PRIMARY KEY, embedding real[]);
INSERT INTO embeddings_odd VALUES (1, '{1,2,3}'), (2, '{1,2}'), (3, '{2,1}'), (4, '{1,2,3,4}'), (5, '{3,1}');
SELECT :facts FROM brain.compute_similarity('embeddings_odd', 'key', skip_failures => true);
SELECT sample_id FROM brain.sort_by_similarity('embeddings_odd', 3);

-- in a search they are left out: one WARNING, with their number and one's name
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', k => NULL);
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', ARRAY[1,1]::real[], brain_key => 'key', k => 1, reverse => true);
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', ARRAY['a', 'b'], brain_key => 'key', aggregation => 'post-min');
SELECT rank, (sample).id FROM brain.similar_samples(NULL::embeddings_bad, 'b'::text, brain_key => 'key');
-- alone among the candidates, in the singular
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', filter => $$good OR id = 'nan'$$);
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', filter => $$id IN ('nan', 'zero')$$);
-- none among them: no WARNING
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', filter => 'good');
-- once, however often a statement calls it
SELECT b.id, s.sample_id FROM embeddings_bad b, brain.sort_by_similarity('embeddings_bad', b.id, brain_key => 'key', k => 1) s
 WHERE b.good AND b.embedding IS NOT NULL ORDER BY 1;
SELECT count(*) FROM generate_series(1, 50) i, brain.sort_by_similarity('embeddings_odd', CASE WHEN i % 2 = 0 THEN 2 ELSE 3 END);
-- two searches tell of theirs
SELECT a.sample_id, b.sample_id FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', k => 1) a, brain.sort_by_similarity('embeddings_odd', 3, k => 1) b;
-- statements of a function are statements
DO $$
BEGIN
	FOR i IN 2..3 LOOP
		RAISE NOTICE 'search %', i;
		PERFORM * FROM brain.sort_by_similarity('embeddings_odd', i);
	END LOOP;
END $$;
-- so does who reads the whole index
SELECT sample_id, embedding FROM brain.get_embeddings('embeddings_odd', 'key') ORDER BY sample_id;
-- and again in the next statement of one transaction
BEGIN;
SELECT count(*) FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', k => 2);
SELECT count(*) FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', k => 2);
COMMIT;
-- a bad one is in no index: as a query it is unknown, and it has no embedding
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', 'nan', brain_key => 'key');
\echo :SQLSTATE
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', ARRAY['a', 'zero', 'nothing', 'gone'], brain_key => 'key');
\echo :SQLSTATE
SELECT sample_id, embedding FROM brain.get_embeddings('embeddings_bad', 'key', ARRAY['nan', 'b', 'zero', 'nothing']);
-- a good one may become bad, and good again; neither fails a search
UPDATE embeddings_bad SET embedding = '{NaN,NaN}' WHERE id = 'b';
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', filter => 'good');
UPDATE embeddings_bad SET embedding = '{1,0.5}' WHERE id = 'b';
SELECT rank, sample_id FROM brain.sort_by_similarity('embeddings_bad', 'a', brain_key => 'key', filter => 'good');

-- other types have their own ways to be bad
CREATE TABLE embeddings_bad_types (id text PRIMARY KEY, f4 real[], num numeric[], i2 smallint[], i4 integer[], i8 bigint[]);
INSERT INTO embeddings_bad_types VALUES ('a good', '{1,2}', '{1,2}', '{1,2}', '{1,2}', '{1,2}'), ('another', '{2,1}', '{2,1}', '{2,1}', '{2,1}', '{2,1}'),
	('length', '{1}', '{1}', '{1}', '{1}', '{1}'), ('matrix', '{{1,2}}', '{{1,2}}', '{{1,2}}', '{{1,2}}', '{{1,2}}'),
	('null', '{1,NULL}', '{NULL,1}', '{1,NULL}', '{NULL,1}', '{1,NULL}'), ('zero', '{0,0}', '{0,0.000}', '{0,0}', '{0,0}', '{0,0}');
INSERT INTO embeddings_bad_types (id, f4, num) VALUES
	('nan', '{NaN,1}', '{NaN,1}'), ('infinity', '{1,Infinity}', '{Infinity,1}'), ('-infinity', '{-Infinity,1}', '{1,-Infinity}'),
	('beyond', NULL, '{1,1e39}'), ('far beyond', NULL, '{1,1e1000}'), ('just beyond', NULL, '{340282356779733661637539395458142568448,1}');
SELECT field, s.indexed, s.missing, s.skipped
  FROM unnest('{f4,num,i2,i4,i8}'::text[]) field, brain.compute_similarity('embeddings_bad_types', field, embeddings => field, skip_failures => true) s;
CREATE FUNCTION embeddings_try_type(field text, kind text) RETURNS TABLE (state text, message text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM brain.compute_similarity('embeddings_bad_types', 'try', embeddings => field, filter => format('id IN (''a good'', %L)', kind));
	RAISE 'nothing wrong';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN NEXT;
END $$;
SELECT field, t.* FROM unnest('{f4,num,i2,i4,i8}'::text[]) WITH ORDINALITY AS f (field, n), embeddings_bad_types b, embeddings_try_type(field, id) t
 WHERE id NOT IN ('a good', 'another') AND to_jsonb(b) ->> field IS NOT NULL ORDER BY n, id COLLATE "C";

-- what is added is checked as well, and nothing of a bad call is stored
SELECT * FROM brain.add_to_index('embeddings_bad', 'key', ARRAY['a', 'nan'], ARRAY[[7,7],['NaN',1]]::real[]);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('embeddings_bad', 'key', 'nan', '{1,1e39}'::double precision[]);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('embeddings_bad', 'key', 'nan', '[1,Infinity]'::text);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('embeddings_bad', 'key', 'nan', '[1,2,3]'::text);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('embeddings_bad', 'key', 'nan', '[0,0]'::text);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('embeddings_bad', 'key', 'nan', ARRAY[1,NULL]::real[]);
\echo :SQLSTATE
SELECT id, embedding FROM embeddings_bad WHERE id IN ('a', 'nan') ORDER BY 1;
-- a bad one is mended by a good one
SELECT * FROM brain.add_to_index('embeddings_bad', 'key', 'nan', '[1,1]'::text);
SELECT sample_id FROM brain.sort_by_similarity('embeddings_bad', 'nan', brain_key => 'key', k => 1, filter => $$id = 'nan'$$);
-- an integer column cannot hold what is none
SELECT * FROM brain.add_to_index('embeddings_bad_types', 'i4', 'another', '[1.5,2]'::text);
\echo :SQLSTATE
SELECT * FROM brain.add_to_index('embeddings_bad_types', 'i4', 'another', '[15,2]'::text);
SELECT * FROM brain.add_to_index('embeddings_bad_types', 'i2', 'another', '[40000,2]'::text);
\echo :SQLSTATE
SELECT i2, i4 FROM embeddings_bad_types WHERE id = 'another';
-- a column gets what was given, in its own precision
SELECT * FROM brain.add_to_index('embeddings_equal', 'key', ARRAY['double', 'real'], ARRAY[[0.1,0.25],[0.3,0.5]]::double precision[]);
SELECT id, embedding FROM embeddings_equal WHERE id IN ('double', 'real') ORDER BY 1;
-- and a domain's own rules hold
SELECT :facts FROM brain.compute_similarity('embeddings_types', 'three', embeddings => 'd3', metric => 'euclidean');
SELECT * FROM brain.add_to_index('embeddings_types', 'three', 17, '[4,5,6]'::text);
SELECT d3 FROM embeddings_types WHERE id = 17;
SELECT :facts FROM brain.compute_similarity('embeddings_types', 'numeric', embeddings => 'dn', metric => 'euclidean');
SELECT * FROM brain.remove_from_index('embeddings_types', 'numeric', 17);
\echo :SQLSTATE

-- query vectors are checked before anything is read
SELECT * FROM brain.sort_by_similarity('embeddings_number', '[NaN,1]');
\echo :SQLSTATE
SELECT * FROM brain.sort_by_similarity('embeddings_number', ARRAY[1, 'Infinity']::double precision[]);
\echo :SQLSTATE
SELECT * FROM brain.sort_by_similarity('embeddings_number', ARRAY[1, 1e39]::double precision[]);
\echo :SQLSTATE
SELECT * FROM brain.sort_by_similarity('embeddings_number', '[1,1e39]');
\echo :SQLSTATE
SELECT * FROM brain.sort_by_similarity('embeddings_number', ARRAY[1, NULL]::real[]);
\echo :SQLSTATE
SELECT * FROM brain.sort_by_similarity('embeddings_number', '[1,2,3]');
\echo :SQLSTATE
SELECT * FROM brain.sort_by_similarity('embeddings_equal', ARRAY[0,0]::real[], brain_key => 'key');
\echo :SQLSTATE

DROP TABLE embeddings_types, embeddings_answer, embeddings_others, embeddings_rounded, embeddings_equal, embeddings_number, embeddings_huge,
	embeddings_long, embeddings_short, embeddings_null, embeddings_bad, embeddings_odd, embeddings_bad_types;
DROP FUNCTION embeddings_distance, embeddings_compare, embeddings_other_answers, embeddings_many, embeddings_try, embeddings_try_type;
DROP DOMAIN embeddings_three, embeddings_real, embeddings_double, embeddings_numeric, embeddings_integer;
