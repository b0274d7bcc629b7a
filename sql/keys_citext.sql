-- Guards against ids that are equal for their type and different as texts
-- being mixed up: DESIGN section 2 has them compared by text, or refused.
-- Here citext, for which 'ABC' and 'abc' are the same key.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
CREATE SCHEMA keys_citext_far;
CREATE EXTENSION IF NOT EXISTS citext SCHEMA keys_citext_far;
RESET client_min_messages;

CREATE TABLE keys_citext (id keys_citext_far.citext PRIMARY KEY, embedding real[]);
INSERT INTO keys_citext VALUES ('abc', '{1,1}'), ('Abd', '{2,1}'), ('', '{3,1}'), ('[1,1]', '{4,1}');
SELECT indexed FROM brain.compute_similarity('keys_citext', 'key', metric => 'euclidean');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext', 'Abd');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext', 'abc'::keys_citext_far.citext, k => 1);
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext', ARRAY['abc', 'Abd'], k => 2);
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext', '[1,1]', k => 1);
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext', '', k => 1);
SELECT rank, (sample).* FROM brain.similar_samples(NULL::keys_citext, 'Abd'::text, k => 2);
-- another text is another id
SELECT sample_id FROM brain.sort_by_similarity('keys_citext', 'ABC');
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_citext', 'ABC'::keys_citext_far.citext);
\echo :SQLSTATE
SELECT sample_id FROM brain.sort_by_similarity('keys_citext', ARRAY['abc', 'ABD']);
\echo :SQLSTATE
SELECT sample_id FROM brain.get_embeddings('keys_citext', 'key', ARRAY['ABC', 'abc', 'ABD']);
-- and is not written to
SELECT * FROM brain.add_to_index('keys_citext', 'key', 'ABC', '[9,9]');
\echo :SQLSTATE
SELECT * FROM brain.remove_from_index('keys_citext', 'key', 'ABC');
SELECT id, embedding FROM keys_citext WHERE id = 'abc';

-- a view may have both: they are two samples
CREATE TABLE keys_citext_both (id keys_citext_far.citext, embedding real[]);
INSERT INTO keys_citext_both VALUES ('abc', '{1,1}'), ('ABC', '{2,1}');
CREATE VIEW keys_citext_view AS TABLE keys_citext_both;
SELECT indexed FROM brain.compute_similarity('keys_citext_view', 'key', metric => 'euclidean', id_field => 'id');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext_view', 'abc');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext_view', 'ABC');
SELECT rank, (sample).* FROM brain.similar_samples(NULL::keys_citext_view, 'ABC'::text);
SELECT * FROM brain.add_to_index('keys_citext_view', 'key', 'ABC', '[9,9]');
SELECT * FROM keys_citext_both ORDER BY embedding;
-- the same text twice is not
INSERT INTO keys_citext_both VALUES ('abc', '{3,1}');
SELECT indexed FROM brain.compute_similarity('keys_citext_view', 'key2', metric => 'euclidean', id_field => 'id');
\echo :SQLSTATE
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext_view', 'abc');
\echo :SQLSTATE

-- stored embeddings
SELECT dimensions FROM brain.compute_similarity('keys_citext', 'stored', metric => 'euclidean', with_data => false);
SELECT * FROM brain.add_to_index('keys_citext', 'stored', ARRAY['abc', 'Abd'], '[[1,1],[2,1]]');
SELECT sample_id, distance FROM brain.sort_by_similarity('keys_citext', 'Abd', brain_key => 'stored');
SELECT sample_id FROM brain.sort_by_similarity('keys_citext', 'ABD', brain_key => 'stored');
\echo :SQLSTATE

SET client_min_messages = warning;
DROP TABLE keys_citext, keys_citext_both CASCADE;
DROP EXTENSION citext;
DROP SCHEMA keys_citext_far;
