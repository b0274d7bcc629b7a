-- sort_by_similarity(): which samples, in which order, with which numbers.
--
-- Guards against: an approximate or wrongly ordered answer (compared with plain
-- SQL over the same values), a k that is not what was asked, ties in an order
-- that depends on the heap, the query sample lost among its equals, a filter
-- that lets its text out of its parentheses, a run that is chosen silently, ids
-- that are dropped silently, and answers of another moment than the statement's.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

-- What a statement raises, as one text.
CREATE FUNCTION search_error(statement text) RETURNS text LANGUAGE plpgsql AS $$
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

-- The reference: pgvector's definitions over double precision.
CREATE FUNCTION search_dot(a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS
	'SELECT sum(x * y) FROM unnest(a, b) AS u (x, y)';
CREATE FUNCTION search_distance(metric text, a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE metric
		WHEN 'cosine' THEN 1 - search_dot(a, b) / sqrt(search_dot(a, a) * search_dot(b, b))
		WHEN 'dotproduct' THEN 0 - search_dot(a, b)
		WHEN 'euclidean' THEN sqrt((SELECT sum((x - y) * (x - y)) FROM unnest(a, b) AS u (x, y)))
	END
$$;
CREATE FUNCTION search_score(metric text, a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE metric
		WHEN 'cosine' THEN search_dot(a, b) / sqrt(search_dot(a, a) * search_dot(b, b))
		WHEN 'dotproduct' THEN search_dot(a, b)
		WHEN 'euclidean' THEN (SELECT sum((x - y) * (x - y)) FROM unnest(a, b) AS u (x, y))
	END
$$;

-- ---- small integers: every sum is exact, so the answer must be equal to the bit ----
-- Many vectors come several times: there are many ties. 200 is NULL.
CREATE TABLE search_t (id bigint PRIMARY KEY, label text, day date, embedding real[]);
INSERT INTO search_t
	SELECT i, 'l' || i % 3, date '2020-01-01' + i,
		   CASE WHEN i <> 200 THEN ARRAY[i % 5 - 2, i % 7 - 3, i % 3 + 1, i * i % 4, -1, 2, i % 2, 3, i % 4] END
	  FROM generate_series(1, 200) i;
SELECT brain_key, metric, indexed, missing
  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric_name),
	   LATERAL brain.compute_similarity('search_t', 'm_' || metric_name, metric => metric_name);

-- All samples, both ways, the three metrics, two query vectors: rows that differ
-- from the reference, in rank, distance, or score.
CREATE VIEW search_cases AS
	SELECT metric, 'm_' || metric AS brain_key, reverse, query
	  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric),
		   (VALUES (false), (true)) AS r (reverse),
		   (VALUES ('{1,-2,2,1,-1,2,0,3,2}'::real[]), ('{0.5,0,0,-0.25,8,0,0,1,1}')) AS q (query);
SELECT count(*) FROM search_cases;
WITH expected AS (
	SELECT c.*, t.id::text AS sample_id, d.distance, search_score(metric, query, embedding) AS score,
		   row_number() OVER (PARTITION BY metric, reverse, query
							  ORDER BY CASE WHEN reverse THEN -d.distance ELSE d.distance END, t.id::text COLLATE "C") AS rank
	  FROM search_cases c, search_t t, LATERAL (SELECT search_distance(metric, query, embedding) AS distance) d
	 WHERE embedding IS NOT NULL
), found AS (
	SELECT c.*, s.*
	  FROM search_cases c,
		   LATERAL brain.sort_by_similarity('search_t', query, k => NULL, reverse => c.reverse, brain_key => c.brain_key) s
)
SELECT count(*) AS compared,
	   count(*) FILTER (WHERE e.rank IS NULL OR f.rank IS NULL) AS only_in_one,
	   count(*) FILTER (WHERE e.rank <> f.rank) AS other_rank,
	   count(*) FILTER (WHERE e.distance <> f.distance) AS other_distance,
	   count(*) FILTER (WHERE e.score <> f.score) AS other_score,
	   count(*) FILTER (WHERE f.label_id IS NOT NULL) AS with_label
  FROM expected e FULL JOIN found f USING (brain_key, reverse, query, sample_id);
-- k is a prefix of that, whatever k
WITH everything AS (
	SELECT c.*, s.* FROM search_cases c,
		   LATERAL brain.sort_by_similarity('search_t', query, k => NULL, reverse => c.reverse, brain_key => c.brain_key) s
), limited AS (
	SELECT c.*, n, s.* FROM search_cases c, unnest(ARRAY[1, 2, 7, 25, 63, 64, 65, 198, 199, 1000]) AS n,
		   LATERAL brain.sort_by_similarity('search_t', query, k => n, reverse => c.reverse, brain_key => c.brain_key) s
)
SELECT n, count(*) AS rows, count(*) FILTER (WHERE e.sample_id IS DISTINCT FROM s.sample_id OR e.distance <> s.distance) AS different
  FROM limited s LEFT JOIN everything e USING (brain_key, reverse, query, rank) GROUP BY n ORDER BY n;
-- k is 25 when it is not given; NULL is all
SELECT count(*), min(rank), max(rank) FROM brain.sort_by_similarity('search_t', 7, brain_key => 'm_cosine');
SELECT count(*), min(rank), max(rank) FROM brain.sort_by_similarity('search_t', '7', brain_key => 'm_cosine');
SELECT count(*), max(rank) FROM brain.similar_samples(NULL::search_t, 7, brain_key => 'm_cosine');
SELECT count(*), max(rank) FROM brain.similar_samples(NULL::search_t, '7', brain_key => 'm_cosine');
SELECT count(*), min(rank), max(rank) FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'm_cosine');
SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, k => 2147483647, brain_key => 'm_cosine');
-- rows come in rank order, without ORDER BY
SELECT array_agg(rank) = array_agg(rank ORDER BY rank) AS in_rank_order,
	   array_agg(rank ORDER BY rank) = ARRAY(SELECT generate_series(1, 199)) AS ranks_are_gapless
  FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'm_cosine');
-- with an id as query: its vector
SELECT count(*) AS different
  FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'm_dotproduct') a
  FULL JOIN brain.sort_by_similarity('search_t', (SELECT embedding FROM search_t WHERE id = 7), k => NULL, brain_key => 'm_dotproduct') b
	   USING (rank, sample_id, distance, score)
 WHERE a.rank IS NULL OR b.rank IS NULL;
-- ids of ties are compared as text, byte by byte
CREATE TABLE search_tie (id bigint PRIMARY KEY, embedding real[]);
INSERT INTO search_tie SELECT i, '{1,1}' FROM generate_series(8, 11) i;
INSERT INTO search_tie VALUES (-1, '{1,1}'), (100, '{1,1}');
SELECT brain_key FROM brain.compute_similarity('search_tie', 'k');
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('search_tie', '[1,1]');
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('search_tie', '[1,1]', reverse => true);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('search_tie', '[1,1]', k => 2);
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('search_tie', '[1,1]', k => 2, reverse => true);
DROP TABLE search_tie;

-- ---- any real numbers, more dimensions: equal up to the rounding of the reference ----
CREATE TABLE search_real (id text PRIMARY KEY, embedding real[]);
INSERT INTO search_real
	SELECT md5(i::text), (SELECT array_agg((sin(i * 37.7 + j * 1.3) + sin(i * j * 0.01)) * 0.37) FROM generate_series(1, 67) j)::real[]
	  FROM generate_series(1, 300) i;
SELECT count(brain.compute_similarity('search_real', 'm_' || metric, metric => metric))
  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric);
WITH found AS (
	SELECT metric, s.rank, s.distance, search_distance(metric, q.embedding, t.embedding) AS expected,
		   s.score, search_score(metric, q.embedding, t.embedding) AS expected_score,
		   lag(s.distance) OVER (PARTITION BY metric, reverse ORDER BY s.rank) AS before, reverse
	  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric), (VALUES (false), (true)) AS r (reverse),
		   search_real q,
		   LATERAL brain.sort_by_similarity('search_real', q.id, k => NULL, brain_key => 'm_' || metric, reverse => r.reverse) s
	  JOIN search_real t ON t.id = s.sample_id
	 WHERE q.id = md5('77')
)
SELECT metric, reverse, count(*) AS rows, count(*) FILTER (WHERE abs(distance - expected) > 1e-12) AS other_distance,
	   count(*) FILTER (WHERE abs(score - expected_score) > 1e-12) AS other_score,
	   count(*) FILTER (WHERE CASE WHEN reverse THEN distance > before ELSE distance < before END) AS out_of_order
  FROM found GROUP BY metric, reverse ORDER BY metric, reverse;
-- a column of doubles, numerics or integers: the values rounded to real
CREATE TABLE search_types (id int PRIMARY KEY, r real[], d double precision[], n numeric[]);
INSERT INTO search_types
	SELECT i, d::real[], d, d::numeric[] FROM (SELECT i, ARRAY[sin(i), cos(i * 1.7), i / 7.0]::float8[] AS d FROM generate_series(1, 50) i) x;
SELECT count(brain.compute_similarity('search_types', column_name, embeddings => column_name))
  FROM (VALUES ('r'), ('d'), ('n')) AS c (column_name);
SELECT count(*) AS rows, count(DISTINCT (rank, sample_id, distance, score)) AS different_rows
  FROM (VALUES ('r'), ('d'), ('n')) AS c (column_name),
	   LATERAL brain.sort_by_similarity('search_types', 9, k => NULL, brain_key => column_name);
DROP TABLE search_real, search_types;

-- rounding takes the cosine of these parallel vectors past 1: it is 1
CREATE TABLE search_parallel (id int PRIMARY KEY, embedding real[]);
INSERT INTO search_parallel VALUES (1, '{0.1,0.3,0.7}'), (2, '{0.7,2.1000001,4.9}'), (3, '{-0.7,-2.1000001,-4.9}');
SELECT search_distance('cosine', p.embedding, q.embedding) < 0 AS past_one
  FROM search_parallel p, search_parallel q WHERE p.id = 1 AND q.id = 2;
SELECT brain_key FROM brain.compute_similarity('search_parallel', 'cosine');
SELECT rank, sample_id, distance, score FROM brain.sort_by_similarity('search_parallel', '[0.1,0.3,0.7]');
DROP TABLE search_parallel;

-- ---- the query sample itself ----
-- Row 1 with distance exactly 0, although others with the same vector sort
-- before it; the others by id. Not under reverse; not when a filter drops it;
-- for one id, also as an array of one.
CREATE TABLE search_self (id text PRIMARY KEY, embedding real[]);
INSERT INTO search_self VALUES
	('a', '{0.1,0.3,0.7}'), ('b', '{0.1,0.3,0.7}'), ('c', '{0.1,0.3,0.7}'), ('d', '{0.2,0.3,0.7}'),
	('e', '{-0.1,-0.3,-0.7}'), ('f', '{-0.1,-0.3,-0.7}');
SELECT count(brain.compute_similarity('search_self', 'm_' || metric, metric => metric))
  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric);
SELECT metric, query_form, array_agg(sample_id ORDER BY rank) AS ids, min(distance) FILTER (WHERE rank = 1) AS first_distance
  FROM (VALUES ('cosine'), ('euclidean')) AS m (metric),
	   LATERAL (SELECT 'id' AS query_form, * FROM brain.sort_by_similarity('search_self', 'b', k => 4, brain_key => 'm_' || metric)
				 UNION ALL
				SELECT 'array', * FROM brain.sort_by_similarity('search_self', ARRAY['b'], k => 4, brain_key => 'm_' || metric)
				 UNION ALL
				SELECT 'vector', * FROM brain.sort_by_similarity('search_self', ARRAY[0.1, 0.3, 0.7], k => 4, brain_key => 'm_' || metric)
				 UNION ALL
				SELECT 'reverse', * FROM brain.sort_by_similarity('search_self', 'b', k => 6, reverse => true, brain_key => 'm_' || metric)
				 UNION ALL
				SELECT 'filtered', * FROM brain.sort_by_similarity('search_self', 'b', k => 4, filter => $$id <> 'b'$$, brain_key => 'm_' || metric)
				 UNION ALL
				SELECT 'two ids', * FROM brain.sort_by_similarity('search_self', ARRAY['c', 'b'], k => 4, brain_key => 'm_' || metric)) s
 GROUP BY metric, query_form ORDER BY metric, query_form;
SELECT sample_id, distance FROM brain.sort_by_similarity('search_self', 'c', k => 1, brain_key => 'm_cosine');
-- dotproduct has no such exception: magnitude ranks, ties by id
SELECT sample_id FROM brain.sort_by_similarity('search_self', 'b', k => 3, brain_key => 'm_dotproduct');
INSERT INTO search_self VALUES ('y', '{0,0,0}'), ('z', '{0,0,0}');
SELECT sample_id, distance, score FROM brain.sort_by_similarity('search_self', 'z', k => 2, brain_key => 'm_dotproduct');
SELECT sample_id, distance, score FROM brain.sort_by_similarity('search_self', 'z', k => 2, brain_key => 'm_euclidean');
-- every sample finds itself first, at exactly 0 (values that do not sum exactly)
DELETE FROM search_self;
INSERT INTO search_self
	SELECT i, (SELECT array_agg(sin(i * 3.1 + j)) FROM generate_series(1, 33) j)::real[] FROM generate_series(1, 200) i;
SELECT bool_and(dimensions = 33) FROM (VALUES ('cosine'), ('euclidean')) AS m (metric_name),
	   LATERAL brain.compute_similarity('search_self', 'm_' || metric_name, metric => metric_name, overwrite => true);
SELECT metric, count(*) AS samples, count(*) FILTER (WHERE s.sample_id = t.id AND s.distance = 0) AS found_themselves
  FROM (VALUES ('cosine'), ('euclidean')) AS m (metric), search_self t,
	   LATERAL brain.sort_by_similarity('search_self', t.id, k => 1, brain_key => 'm_' || metric) s
 GROUP BY metric ORDER BY metric;
DROP TABLE search_self;

-- ---- max_distance ----
-- distances up to it, itself included (50 is at 6.6); a range without k
CREATE TABLE search_near AS
	SELECT id, search_distance('euclidean', embedding, (SELECT embedding FROM search_t WHERE id = 7)) AS distance
	  FROM search_t WHERE embedding IS NOT NULL;
SELECT count(*) AS rows, max(distance) = (SELECT distance FROM search_near WHERE id = 50) AS limit_included,
	   count(*) = (SELECT count(*) FROM search_near WHERE distance <= (SELECT distance FROM search_near WHERE id = 50)) AS as_plain_sql
  FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'm_euclidean',
								max_distance => (SELECT distance FROM search_near WHERE id = 50));
SELECT rank, sample_id FROM brain.sort_by_similarity('search_t', 7, k => 2, max_distance => 6, brain_key => 'm_euclidean');
SELECT DISTINCT distance FROM brain.sort_by_similarity('search_t', 7, k => NULL, max_distance => 0, brain_key => 'm_euclidean');
SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, max_distance => -1, brain_key => 'm_euclidean');
SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, k => NULL, max_distance => 'infinity', brain_key => 'm_euclidean');
SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, k => NULL, max_distance => NULL, brain_key => 'm_euclidean');
-- negative where distances are: inner products of 20 and more
SELECT count(*) AS rows, bool_and(score >= 20) AS near FROM brain.sort_by_similarity('search_t', 7, k => NULL, max_distance => -20, brain_key => 'm_dotproduct');
SELECT count(*) FROM search_t WHERE search_dot(embedding, (SELECT embedding FROM search_t WHERE id = 7)) >= 20;
-- with reverse: the farthest of those within
SELECT max(distance) = (SELECT max(distance) FROM search_near WHERE distance <= 6) AS within,
	   bool_and(rank <> 1 OR distance = (SELECT max(distance) FROM search_near WHERE distance <= 6)) AS farthest_first
  FROM brain.sort_by_similarity('search_t', 7, max_distance => 6, reverse => true, brain_key => 'm_euclidean');
DROP TABLE search_near;

-- ---- filter ----
-- candidates are restricted before k: k rows come if there are k
SELECT count(*) AS rows, bool_and(label = 'l1') AS fit
  FROM brain.sort_by_similarity('search_t', 7, k => 30, filter => $$label = 'l1'$$, brain_key => 'm_cosine') s
  JOIN search_t t ON t.id = s.sample_id::bigint;
SELECT array_agg(sample_id ORDER BY rank) = (
		SELECT array_agg(id::text ORDER BY search_distance('cosine', embedding, (SELECT embedding FROM search_t WHERE id = 7)), id <> 7, id::text COLLATE "C")
		  FROM search_t WHERE label = 'l1' AND embedding IS NOT NULL) AS as_plain_sql
  FROM brain.sort_by_similarity('search_t', 7, k => NULL, filter => $$label = 'l1'$$, brain_key => 'm_cosine');
-- any functions and subqueries; the caller's search_path; comments; names that need the dataset's
CREATE SCHEMA search_s;
CREATE FUNCTION search_s.wanted(text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$BEGIN RETURN $1 = 'l2'; END$$;
CREATE TABLE search_s.marks (sample bigint);
INSERT INTO search_s.marks VALUES (3), (5), (9);
SELECT filter, (SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, k => NULL, filter => f.filter, brain_key => 'm_cosine'))
  FROM (VALUES
	(1, 'day < now()'),
	(2, 'random() < 2'),
	(3, 'search_s.wanted(label)'),
	(4, 'id IN (SELECT sample FROM search_s.marks)'),
	(5, 'EXISTS (SELECT FROM search_s.marks m WHERE m.sample = search_t.id AND m.sample > 3)'),
	(6, 'id = 3 -- a comment'),
	(7, 'id = 3 /* a comment */'),
	(8, E'id = 3\n\tOR id = 5'),
	(9, 'id = 3 OR id = 5 OR id = 200'),
	(10, 'label = ''it''''s'' OR label = $q$l0$q$'),
	(11, 'NULL'),
	(12, 'nullif(id, 3) < 6'),
	(13, 'search_t.id = 3'),
	(14, 'embedding[1] > 0'),
	(15, 'CASE WHEN id = 3 THEN true END'),
	(16, 'current_user = session_user AND id < 4'),
	(17, 'tableoid = ''search_t''::regclass')) AS f (n, filter)
 ORDER BY n;
SET search_path = search_s, public;
SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, k => NULL, filter => 'wanted(label) OR id IN (SELECT sample FROM marks)', brain_key => 'm_cosine');
RESET search_path;
SELECT count(*) FROM search_t WHERE (label = 'l2' OR id IN (3, 5, 9)) AND embedding IS NOT NULL;
SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, k => NULL, filter => NULL, brain_key => 'm_cosine');
-- it is one expression: nothing gets out of its parentheses
CREATE TABLE search_canary (x int);
\pset format unaligned
\pset tuples_only on
SELECT filter || E'\n' || search_error(format($$SELECT brain.sort_by_similarity('search_t', 7, filter => %L, brain_key => 'm_cosine')$$, filter))
  FROM (VALUES
	(1, 'true); DROP TABLE search_canary; SELECT (true'),
	(2, 'true) OR (true'),
	(3, 'true) UNION SELECT 1, NULL FROM search_canary WHERE (true'),
	(4, 'true UNION SELECT 1, NULL'),
	(5, 'true; DROP TABLE search_canary'),
	(6, 'true ORDER BY 1'),
	(7, 'true GROUP BY 1'),
	(8, 'true LIMIT 1'),
	(9, 'true FROM search_canary'),
	(10, 'true AS x'),
	(11, 'true, true'),
	(12, 'DISTINCT true'),
	(13, 'ALL true'),
	(14, ''),
	(15, '-- only a comment'),
	(16, '/* open'),
	(17, '''open'),
	(18, '$q$open'),
	(19, ')'),
	(20, 'WHERE true'),
	(21, '(INSERT INTO search_canary VALUES (1))'),
	(22, 'id = (DELETE FROM search_canary RETURNING x)'),
	(23, 'EXISTS (WITH w AS (INSERT INTO search_canary VALUES (1) RETURNING x) SELECT FROM w)'),
	(24, 'id = $1'),
	(25, 'id'),
	(26, 'label'),
	(27, 'count(*) > 0'),
	(28, 'row_number() OVER () > 0'),
	(29, 'generate_series(1, 2) > 0'),
	(30, 'no_such_column = 1'),
	(31, 'position = 1'),
	(32, '1 / (id - id) = 1')) AS f (n, filter)
 ORDER BY n;
-- at most 64 kB of it; deep nesting ends in an error, not in a crash
SELECT search_error(format($$SELECT brain.sort_by_similarity('search_t', 7, filter => %L, brain_key => 'm_cosine')$$, repeat(' ', 65532) || 'true'));
SELECT search_error(format($$SELECT brain.sort_by_similarity('search_t', 7, filter => %L, brain_key => 'm_cosine')$$, repeat(' ', 65533) || 'true'));
SELECT search_error(format($$SELECT brain.sort_by_similarity('search_t', 7, filter => %L, brain_key => 'm_cosine')$$, repeat('(', 30000) || 'true' || repeat(')', 30000))) LIKE '_____: %' AS refused;
SELECT search_error(format($$SELECT brain.sort_by_similarity('search_t', 7, filter => %L, brain_key => 'm_cosine')$$, repeat('not ', 16000) || 'true')) LIKE '_____: %' AS refused;
\pset format aligned
\pset tuples_only off
SELECT count(*) FROM search_canary;
DROP TABLE search_canary;
DROP SCHEMA search_s CASCADE;

-- ---- which run ----
SELECT brain.delete_brain_runs('search_t');
\pset format unaligned
\pset tuples_only on
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 7)$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 7, brain_key => 'nope')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_nowhere', 7)$$);
\pset format aligned
\pset tuples_only off
ALTER TABLE search_t ADD COLUMN pair real[];
UPDATE search_t SET pair = ARRAY[id, 1] WHERE id <= 3;
-- the only one: no NOTICE
SELECT brain_key FROM brain.compute_similarity('search_t', 'b', embeddings => 'pair', metric => 'euclidean');
SELECT sample_id FROM brain.sort_by_similarity('search_t', 1, k => 1);
-- the first in alphabetical order ("C": capitals first), with a NOTICE
SELECT brain_key FROM brain.compute_similarity('search_t', 'a', embeddings => 'embedding');
SELECT brain_key FROM brain.compute_similarity('search_t', 'Z', embeddings => 'pair');
SELECT count(*) FROM brain.sort_by_similarity('search_t', 1, k => NULL);
-- for a vector: of those with its dimension; the only one has no NOTICE
SELECT sample_id FROM brain.sort_by_similarity('search_t', '[1,1,1,1,1,1,1,1,1]', k => 1, filter => 'id = 5');
SELECT sample_id FROM brain.sort_by_similarity('search_t', '[3,1]', k => 1);
SELECT sample_id FROM brain.sort_by_similarity('search_t', ARRAY[[3,1],[3,1]]::float8[], k => 1);
\pset format unaligned
\pset tuples_only on
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', '[1,2,3]')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', '[1,2,3]', brain_key => 'a')$$);
\pset format aligned
\pset tuples_only off
-- a run that was cleaned up, or is broken, does not fit
SELECT brain.cleanup('search_t', 'Z');
SELECT sample_id FROM brain.sort_by_similarity('search_t', '[3,1]', k => 1);
ALTER TABLE search_t RENAME COLUMN pair TO pair_away;
SELECT sample_id FROM brain.sort_by_similarity('search_t', '[3,1]', k => 1);
ALTER TABLE search_t DROP COLUMN pair_away;
SELECT count(*) FROM brain.sort_by_similarity('search_t', 1, k => NULL);
-- the NOTICE comes once a statement, also when the statement searches for each row
SELECT brain_key FROM brain.compute_similarity('search_t', 'c', embeddings => 'embedding');
SELECT count(*) FROM search_t t, LATERAL brain.sort_by_similarity('search_t', t.id, k => 2) WHERE t.id <= 20;
SELECT count(*) FROM brain.sort_by_similarity('search_t', 1);

-- ---- ids that are not in the run ----
-- unknown, without an embedding, or outside the run's filter
SELECT brain_key FROM brain.compute_similarity('search_t', 'few', filter => 'id < 100');
\pset format unaligned
\pset tuples_only on
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 1000, brain_key => 'few')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', '0100', brain_key => 'few')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 200, brain_key => 'a')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', ARRAY[1, 150, 2, 1000, -3], brain_key => 'few')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', ARRAY(SELECT generate_series(1001, 1020)), brain_key => 'few')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', ARRAY(SELECT generate_series(1, 1025)), brain_key => 'few', filter => 'true')$$);

-- ---- arguments ----
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 1, k => 0, brain_key => 'a')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 1, k => -1, brain_key => 'a')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 1, max_distance => 'NaN', brain_key => 'a')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 1, aggregation => 'median', brain_key => 'a')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 1, aggregation => 'Mean', brain_key => 'a')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 1, options => '{"ef": 100}', brain_key => 'a')$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', 1, options => '[]', brain_key => 'a')$$);
SELECT search_error($$SELECT brain.sort_by_similarity(NULL, 1)$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', NULL::int)$$);
SELECT search_error($$SELECT brain.sort_by_similarity('search_t', '[0,0,0,0,0,0,0,0,0]', brain_key => 'a')$$);
\pset format aligned
\pset tuples_only off
-- NULL is the default, where it does not mean something of its own
SELECT count(*) FROM brain.sort_by_similarity('search_t', 1, reverse => NULL, aggregation => NULL, brain_key => 'a', options => NULL);
-- all by position
SELECT count(*) FROM brain.sort_by_similarity('search_t', 1, 5, false, 'mean', 'a', 'id > 1', 2.0, '{}');

-- ---- one statement sees one moment, its own ----
BEGIN;
INSERT INTO search_t VALUES (1001, 'new', NULL, (SELECT embedding FROM search_t WHERE id = 7));
UPDATE search_t SET embedding = (SELECT embedding FROM search_t WHERE id = 7) WHERE id = 8;
DELETE FROM search_t WHERE id = 9;
SELECT bool_or(sample_id = '1001' AND distance = 0) AS inserted, bool_or(sample_id = '8' AND distance = 0) AS updated, bool_or(sample_id = '9') AS deleted
  FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a');
SELECT sample_id, distance FROM brain.sort_by_similarity('search_t', 1001, k => 1, brain_key => 'a');
SAVEPOINT s;
DELETE FROM search_t WHERE id = 8;
SELECT bool_or(sample_id = '8') AS still_there FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a');
ROLLBACK TO s;
SELECT bool_or(sample_id = '8' AND distance = 0) AS back FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a');
ROLLBACK;
SELECT bool_or(sample_id = '1001') AS inserted, bool_or(sample_id = '8' AND distance = 0) AS updated, bool_or(sample_id = '9') AS deleted
  FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a');
-- what the same statement writes is not seen by its search
WITH gone AS (DELETE FROM search_t WHERE id = 10 RETURNING id)
SELECT (SELECT count(*) FROM gone) AS gone, (SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a')) AS found;
SELECT count(*) AS found FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a');
-- a cursor keeps its moment
BEGIN;
DECLARE c CURSOR FOR SELECT sample_id FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a', filter => 'id < 4') ORDER BY sample_id;
DELETE FROM search_t WHERE id = 3;
FETCH ALL FROM c;
ROLLBACK;

-- ---- bad embeddings: left out, one WARNING a statement ----
UPDATE search_t SET embedding = '{NaN,1,1,1,1,1,1,1,1}' WHERE id = 11;
SELECT bool_or(sample_id = '11') AS with_bad, count(*) FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a');
UPDATE search_t SET embedding = '{1,2}' WHERE id = 12;
SELECT count(*) FROM brain.sort_by_similarity('search_t', 7, k => NULL, brain_key => 'a', filter => 'id <> 11');
SELECT count(*) FROM search_t t, LATERAL brain.sort_by_similarity('search_t', t.id, k => 1, brain_key => 'a', filter => 'id <> 12') WHERE t.id <= 5;

DROP VIEW search_cases;
DROP TABLE search_t;
DROP FUNCTION search_error, search_dot, search_distance, search_score;
