-- Several queries at once: aggregation mean, post-mean, post-min, post-max.
--
-- Guards against: an aggregation taken for another (the mean of the vectors is
-- not the mean of the distances), one that is wrong for a metric or under
-- reverse, and ids and their vectors giving different answers. FiftyOne's
-- sklearn backend defines them: mean averages the query vectors first, the
-- others aggregate the distances to each.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

-- Small integers: inner products and squared differences are exact. Each seventh
-- vector is a copy of another sample's, so there are ties. 40 has no embedding.
CREATE TABLE aggregation_t (id int PRIMARY KEY, label text, embedding real[]);
INSERT INTO aggregation_t
	SELECT i, 'l' || i % 2, CASE WHEN i <> 40 THEN ARRAY[j % 5 - 2, j % 7 - 3, 1, j * j % 8, j % 3] END
	  FROM (SELECT i, CASE WHEN i % 7 = 0 THEN i / 7 ELSE i END AS j FROM generate_series(1, 90) i) x;
SELECT sum(indexed) FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric_name),
	   LATERAL brain.compute_similarity('aggregation_t', 'm_' || metric_name, metric => metric_name);

CREATE FUNCTION aggregation_dot(a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS
	'SELECT sum(x * y) FROM unnest(a, b) AS u (x, y)';
CREATE FUNCTION aggregation_distance(metric text, a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE metric
		WHEN 'cosine' THEN 1 - aggregation_dot(a, b) / sqrt(aggregation_dot(a, a) * aggregation_dot(b, b))
		WHEN 'dotproduct' THEN 0 - aggregation_dot(a, b)
		WHEN 'euclidean' THEN sqrt((SELECT sum((x - y) * (x - y)) FROM unnest(a, b) AS u (x, y)))
	END
$$;

-- Two sets of four queries: samples, and vectors of no sample.
CREATE TABLE aggregation_query (set int, n int, sample int, v float8[]);
INSERT INTO aggregation_query
	SELECT 1, row_number() OVER (ORDER BY id), id, embedding FROM aggregation_t WHERE id IN (3, 21, 50, 88);
INSERT INTO aggregation_query VALUES
	(2, 1, NULL, '{1,2,3,4,5}'), (2, 2, NULL, '{-2,0,0.5,1,1}'), (2, 3, NULL, '{0,0,0,0,-8}'), (2, 4, NULL, '{1,2,3,4,6}');
CREATE TABLE aggregation_queries AS
	SELECT set, array_agg(v ORDER BY n)::real[] AS vectors, array_agg(sample ORDER BY n) AS ids FROM aggregation_query GROUP BY set;

-- The reference: for the mean the averaged vector, else each distance, aggregated.
CREATE TABLE aggregation_expected AS
	SELECT metric, set, 'mean' AS aggregation, t.id::text AS sample_id, aggregation_distance(metric, mean.v, t.embedding) AS distance
	  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric), aggregation_t t,
		   (SELECT set, array_agg(x ORDER BY i) AS v
			  FROM (SELECT set, i, avg(x) AS x FROM aggregation_query, unnest(v) WITH ORDINALITY AS u (x, i) GROUP BY set, i) a GROUP BY set) mean
	 WHERE embedding IS NOT NULL;
INSERT INTO aggregation_expected
	SELECT metric, set, aggregation, d.id::text,
		   CASE aggregation WHEN 'post-mean' THEN avg(distance) WHEN 'post-min' THEN min(distance) WHEN 'post-max' THEN max(distance) END
	  FROM (SELECT metric, set, t.id, aggregation_distance(metric, v, t.embedding) AS distance
			  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric), aggregation_t t, aggregation_query
			 WHERE embedding IS NOT NULL) d,
		   (VALUES ('post-mean'), ('post-min'), ('post-max')) AS a (aggregation)
	 GROUP BY metric, set, aggregation, d.id;

-- Every metric, aggregation and direction, from vectors and from ids, whole.
CREATE TABLE aggregation_found AS
	SELECT metric, set, a.aggregation, r.reverse, 'vectors' AS form, s.*
	  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric), (VALUES ('mean'), ('post-mean'), ('post-min'), ('post-max')) AS a (aggregation),
		   (VALUES (false), (true)) AS r (reverse), aggregation_queries q,
		   LATERAL brain.sort_by_similarity('aggregation_t', q.vectors, k => NULL, reverse => r.reverse, aggregation => a.aggregation, brain_key => 'm_' || metric) s
	 UNION ALL
	SELECT metric, set, a.aggregation, r.reverse, 'ids', s.*
	  FROM (VALUES ('cosine'), ('dotproduct'), ('euclidean')) AS m (metric), (VALUES ('mean'), ('post-mean'), ('post-min'), ('post-max')) AS a (aggregation),
		   (VALUES (false), (true)) AS r (reverse), aggregation_queries q,
		   LATERAL brain.sort_by_similarity('aggregation_t', q.ids, k => NULL, reverse => r.reverse, aggregation => a.aggregation, brain_key => 'm_' || metric) s
	 WHERE q.set = 1;
-- 89 rows each, with the reference's distances, in the order of these and of ids
SELECT aggregation, metric, count(*) / 89 AS searches,
	   count(*) FILTER (WHERE e.distance IS NULL) AS unforeseen,
	   count(*) FILTER (WHERE abs(f.distance - e.distance) > 1e-12) AS other_distance,
	   count(*) FILTER (WHERE CASE WHEN reverse THEN f.distance > before ELSE f.distance < before END) AS out_of_order,
	   count(*) FILTER (WHERE f.distance = before AND sample_id COLLATE "C" < id_before COLLATE "C") AS ties_out_of_order,
	   count(*) FILTER (WHERE f.distance = before) > 0 AS there_are_ties,
	   count(*) FILTER (WHERE abs(score - CASE metric WHEN 'cosine' THEN 1 - e.distance WHEN 'dotproduct' THEN -e.distance ELSE e.distance * e.distance END) > 1e-9) AS other_score
  FROM (SELECT *, lag(distance) OVER w AS before, lag(sample_id) OVER w AS id_before FROM aggregation_found
		WINDOW w AS (PARTITION BY metric, set, aggregation, reverse, form ORDER BY rank)) f
  LEFT JOIN aggregation_expected e USING (metric, set, aggregation, sample_id)
 GROUP BY aggregation, metric ORDER BY aggregation, metric;
-- ids and their vectors: the same rows
SELECT count(*) FROM (
	SELECT metric, aggregation, reverse, rank, sample_id, distance, score FROM aggregation_found WHERE set = 1 AND form = 'ids'
	EXCEPT
	SELECT metric, aggregation, reverse, rank, sample_id, distance, score FROM aggregation_found WHERE set = 1 AND form = 'vectors') x;
-- the premise: no two of the aggregations give the same answers, both ways (but
-- an inner product with the mean is the mean of the inner products)
SELECT metric, count(DISTINCT answer) AS different_answers
  FROM (SELECT metric, set, aggregation, reverse, array_agg(sample_id ORDER BY rank) AS answer FROM aggregation_found WHERE form = 'vectors' AND set = 2
		 GROUP BY metric, set, aggregation, reverse) x
 GROUP BY metric ORDER BY metric;
-- k cuts the same order; max_distance is a limit of the aggregated distance; a filter holds
SELECT a.aggregation, r.reverse, count(*) AS rows, count(*) FILTER (WHERE (f.sample_id, f.distance) IS DISTINCT FROM (s.sample_id, s.distance)) AS different
  FROM (VALUES ('mean'), ('post-mean'), ('post-min'), ('post-max')) AS a (aggregation)
 CROSS JOIN (VALUES (false), (true)) AS r (reverse)
 CROSS JOIN aggregation_queries q
 CROSS JOIN LATERAL brain.sort_by_similarity('aggregation_t', q.vectors, k => 9, reverse => r.reverse, aggregation => a.aggregation, brain_key => 'm_cosine') s
  LEFT JOIN aggregation_found f ON f.metric = 'cosine' AND f.set = q.set AND f.aggregation = a.aggregation AND f.reverse = r.reverse AND f.form = 'vectors' AND f.rank = s.rank
 GROUP BY a.aggregation, r.reverse ORDER BY a.aggregation, r.reverse;
SELECT a.aggregation, (SELECT array_agg(s.sample_id ORDER BY s.rank) FROM brain.sort_by_similarity('aggregation_t', q.vectors, k => NULL, aggregation => a.aggregation,
																				 brain_key => 'm_euclidean', max_distance => 8.5, filter => $$label = 'l1'$$) s)
	   IS NOT DISTINCT FROM
	   (SELECT array_agg(f.sample_id ORDER BY rank) FROM aggregation_found f JOIN aggregation_t t ON t.id::text = f.sample_id
		 WHERE metric = 'euclidean' AND set = 1 AND f.aggregation = a.aggregation AND NOT reverse AND form = 'vectors' AND f.distance <= 8.5 AND label = 'l1') AS as_foreseen
  FROM (VALUES ('mean'), ('post-mean'), ('post-min'), ('post-max')) AS a (aggregation), aggregation_queries q
 WHERE set = 1 ORDER BY 1;

-- mean is the default, NULL too; it equals a search by the averaged vector
SELECT count(DISTINCT answer) AS answers FROM (
	SELECT array_agg((rank, sample_id, distance) ORDER BY rank)::text AS answer FROM brain.sort_by_similarity('aggregation_t', ARRAY[[1,2,3,4,5],[3,2,1,0,-1]], brain_key => 'm_cosine')
	UNION ALL
	SELECT array_agg((rank, sample_id, distance) ORDER BY rank)::text FROM brain.sort_by_similarity('aggregation_t', '[[1,2,3,4,5],[3,2,1,0,-1]]', aggregation => NULL, brain_key => 'm_cosine')
	UNION ALL
	SELECT array_agg((rank, sample_id, distance) ORDER BY rank)::text FROM brain.sort_by_similarity('aggregation_t', ARRAY[[1,2,3,4,5],[3,2,1,0,-1]]::float8[], aggregation => 'mean', brain_key => 'm_cosine')
	UNION ALL
	SELECT array_agg((rank, sample_id, distance) ORDER BY rank)::text FROM brain.sort_by_similarity('aggregation_t', '[2,2,2,2,2]', brain_key => 'm_cosine')) x;
-- one query: all aggregations are the same, the query sample first
SELECT count(DISTINCT answer) AS answers, min(answer) AS answer FROM (
	SELECT a.aggregation, (SELECT array_agg(sample_id ORDER BY rank)::text FROM brain.sort_by_similarity('aggregation_t', 21, k => 2, aggregation => a.aggregation, brain_key => 'm_cosine')) AS answer
	  FROM (VALUES ('mean'), ('post-mean'), ('post-min'), ('post-max')) AS a (aggregation)) x;
-- several ids: ties by id, no query sample is put first
SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('aggregation_t', ARRAY[21, 50], k => 3, aggregation => 'post-min', brain_key => 'm_euclidean');
-- an id given twice counts twice
SELECT count(*) AS different
  FROM brain.sort_by_similarity('aggregation_t', ARRAY[3, 3, 50], k => NULL, aggregation => 'post-mean', brain_key => 'm_euclidean') s
  JOIN aggregation_t t ON t.id::text = s.sample_id
 WHERE abs(s.distance - (2 * aggregation_distance('euclidean', embedding, (SELECT embedding FROM aggregation_t WHERE id = 3))
						 + aggregation_distance('euclidean', embedding, (SELECT embedding FROM aggregation_t WHERE id = 50))) / 3) > 1e-12;
-- opposite vectors have no mean under cosine, but distances
SELECT sample_id FROM brain.sort_by_similarity('aggregation_t', '[[1,2,3,4,5],[-1,-2,-3,-4,-5]]', k => 1, brain_key => 'm_cosine');
SELECT round(distance::numeric, 12) FROM brain.sort_by_similarity('aggregation_t', '[[1,2,3,4,5],[-1,-2,-3,-4,-5]]', k => 1, aggregation => 'post-mean', brain_key => 'm_cosine');
SELECT sample_id IS NOT NULL AS found FROM brain.sort_by_similarity('aggregation_t', '[[1,2,3,4,5],[-1,-2,-3,-4,-5]]', k => 1, brain_key => 'm_euclidean');
-- one zero vector among them
SELECT sample_id FROM brain.sort_by_similarity('aggregation_t', '[[1,2,3,4,5],[0,0,0,0,0]]', k => 1, aggregation => 'post-min', brain_key => 'm_cosine');
-- large values: the mean is summed in double
SELECT array_agg(sample_id ORDER BY rank) = (SELECT array_agg(sample_id ORDER BY rank) FROM brain.sort_by_similarity('aggregation_t', '[3e38,3e38,0,0,0]', k => 5, brain_key => 'm_dotproduct')) AS same
  FROM brain.sort_by_similarity('aggregation_t', '[[3e38,3e38,0,0,0],[3e38,3e38,0,0,0]]', k => 5, brain_key => 'm_dotproduct');
-- at most 1000 vectors a call
SELECT count(*) FROM brain.sort_by_similarity('aggregation_t', (SELECT array_agg(ARRAY[i, 1, 1, 1, 1]) FROM generate_series(1, 1000) i), k => 3, aggregation => 'post-max', brain_key => 'm_cosine');
SELECT count(*) FROM brain.sort_by_similarity('aggregation_t', (SELECT array_agg(ARRAY[i, 1, 1, 1, 1]) FROM generate_series(1, 1001) i), k => 3, brain_key => 'm_cosine');
-- similar_samples has them too
SELECT count(*) AS different
  FROM brain.similar_samples(NULL::aggregation_t, ARRAY[3, 21, 50, 88], k => NULL, aggregation => 'post-max', brain_key => 'm_dotproduct', reverse => true) s
  FULL JOIN (SELECT * FROM aggregation_found WHERE metric = 'dotproduct' AND set = 1 AND aggregation = 'post-max' AND reverse AND form = 'ids') f USING (rank)
 WHERE (s.sample).id::text IS DISTINCT FROM f.sample_id OR s.distance <> f.distance OR s.score <> f.score;

DROP TABLE aggregation_t, aggregation_query, aggregation_queries, aggregation_expected, aggregation_found;
DROP FUNCTION aggregation_dot, aggregation_distance;
