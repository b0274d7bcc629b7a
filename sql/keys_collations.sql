-- Guards against ids that are equal under the column's collation and different
-- as texts being mixed up: DESIGN section 2 has them compared by text, or
-- refused.  Here an ICU collation for which 'ABC' and 'abc' are equal, and, at
-- the end, one with an order of its own.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;
CREATE COLLATION keys_collations_any (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

CREATE TABLE keys_collations (id text COLLATE keys_collations_any PRIMARY KEY, embedding real[]);
INSERT INTO keys_collations VALUES ('abc', '{1,1}'), ('Abd', '{2,1}'), ('', '{3,1}'), ('[1,1]', '{4,1}');
SELECT indexed FROM brain.compute_similarity('keys_collations', 'key', metric => 'euclidean');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations', 'Abd');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations', 'abc'::varchar, k => 1);
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations', ARRAY['abc', 'Abd'], k => 2);
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations', '[1,1]', k => 1);
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations', '', k => 1);
SELECT rank, (sample).* FROM brain.similar_samples(NULL::keys_collations, 'Abd'::text, k => 2);
-- another text is another id
SELECT sample_id FROM brain.sort_by_similarity('keys_collations', 'ABC');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_collations', 'ABC'::varchar);
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_collations', ARRAY['abc', 'ABD']);
\echo :SQLSTATE
SELECT sample_id FROM brain.get_embeddings('keys_collations', 'key', ARRAY['ABC', 'abc', 'ABD']);
-- and is not written to
SELECT * FROM brain.add_to_index('keys_collations', 'key', 'ABC', '[9,9]');
\echo :SQLSTATE
SELECT * FROM brain.remove_from_index('keys_collations', 'key', 'ABC');
SELECT id, embedding FROM keys_collations WHERE id = 'abc';

-- a view may have both: they are two samples
CREATE TABLE keys_collations_both (id text COLLATE keys_collations_any, embedding real[]);
INSERT INTO keys_collations_both VALUES ('abc', '{1,1}'), ('ABC', '{2,1}');
CREATE VIEW keys_collations_view AS TABLE keys_collations_both;
SELECT indexed FROM brain.compute_similarity('keys_collations_view', 'key', metric => 'euclidean', id_field => 'id');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations_view', 'abc');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations_view', 'ABC');
SELECT rank, (sample).* FROM brain.similar_samples(NULL::keys_collations_view, 'ABC'::text);
SELECT * FROM brain.add_to_index('keys_collations_view', 'key', 'ABC', '[9,9]');
SELECT * FROM keys_collations_both ORDER BY embedding;
-- the same text twice is not
INSERT INTO keys_collations_both VALUES ('abc', '{3,1}');
SELECT indexed FROM brain.compute_similarity('keys_collations_view', 'key2', metric => 'euclidean', id_field => 'id');
\echo :SQLSTATE
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations_view', 'abc');
\echo :SQLSTATE

-- stored embeddings
SELECT dimensions FROM brain.compute_similarity('keys_collations', 'stored', metric => 'euclidean', with_data => false);
SELECT * FROM brain.add_to_index('keys_collations', 'stored', ARRAY['abc', 'Abd'], '[[1,1],[2,1]]');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_collations', 'Abd', brain_key => 'stored');
SELECT sample_id FROM brain.sort_by_similarity('keys_collations', 'ABD', brain_key => 'stored');
\echo :SQLSTATE

-- a collation's order is not that of ties
CREATE COLLATION keys_collations_swedish (provider = icu, locale = 'sv');
CREATE TABLE keys_collations_tied (id text COLLATE keys_collations_swedish PRIMARY KEY, embedding real[]);
INSERT INTO keys_collations_tied SELECT unnest(ARRAY['a', 'B', 'ä', 'Z', 'z', 'aa']), '{1,1}';
SELECT indexed FROM brain.compute_similarity('keys_collations_tied', 'key', metric => 'euclidean');
SELECT array_agg(sample_id ORDER BY rank) AS found,
	   (SELECT array_agg(id ORDER BY id COLLATE "C") FROM keys_collations_tied) AS expected,
	   (SELECT array_agg(id ORDER BY id) FROM keys_collations_tied) AS collated
  FROM brain.sort_by_similarity('keys_collations_tied', ARRAY[5,5]::real[]);

SET client_min_messages = warning;
DROP TABLE keys_collations, keys_collations_both, keys_collations_tied CASCADE;
DROP COLLATION keys_collations_any, keys_collations_swedish;
