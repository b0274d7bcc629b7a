-- A search sees exactly what a plain query in its place would see: changes of
-- earlier statements, committed or not, none of the statement that it is part
-- of, and in functions and triggers what their queries see. A search that took
-- a snapshot of its own, or a command too early or too late, would differ.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
RESET client_min_messages;

CREATE TABLE visibility (id int PRIMARY KEY, embedding real[]);
INSERT INTO visibility SELECT i, ARRAY[i, 0] FROM generate_series(1, 3) i;
SELECT indexed FROM brain.compute_similarity('visibility', 'col', metric => 'euclidean');
SELECT indexed FROM brain.compute_similarity('visibility', 'hand', metric => 'euclidean', with_data => false);

-- What a plain query sees, what the searches see.
CREATE FUNCTION visibility_see() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RETURN concat_ws(' / ',
		(SELECT string_agg(id || '=' || embedding[1], ' ' ORDER BY embedding, id) FROM visibility),
		(SELECT string_agg(sample_id || '=' || distance, ' ' ORDER BY rank) FROM brain.sort_by_similarity('visibility', '[0,0]', brain_key => 'col')),
		(SELECT string_agg((sample).id || '=' || distance, ' ' ORDER BY rank) FROM brain.similar_samples(NULL::visibility, '[0,0]', brain_key => 'col')),
		(SELECT string_agg(sample_id || '=' || embedding[1], ' ' ORDER BY embedding) FROM brain.get_embeddings('visibility', 'col')));
END $$;
CREATE FUNCTION visibility_see_stable() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN concat_ws(' / ',
		(SELECT string_agg(id || '=' || embedding[1], ' ' ORDER BY embedding, id) FROM visibility),
		(SELECT string_agg(sample_id || '=' || distance, ' ' ORDER BY rank) FROM brain.sort_by_similarity('visibility', '[0,0]', brain_key => 'col')));
END $$;

-- earlier statements of the transaction
BEGIN;
INSERT INTO visibility VALUES (4, '{0.5,0}');
SELECT visibility_see();
SAVEPOINT s;
UPDATE visibility SET embedding = '{9,0}' WHERE id = 1;
DELETE FROM visibility WHERE id = 2;
SELECT visibility_see();
ROLLBACK TO s;
SELECT visibility_see();
TRUNCATE visibility;
SELECT visibility_see();
ROLLBACK;
SELECT visibility_see();

-- the statement itself
BEGIN;
WITH new AS (INSERT INTO visibility VALUES (5, '{0.25,0}') RETURNING id)
SELECT new.id, s.sample_id, s.distance FROM new, brain.sort_by_similarity('visibility', '[0,0]', brain_key => 'col') s ORDER BY s.rank;
SELECT visibility_see();
-- copies of the three nearest: it does not meet what it inserts
INSERT INTO visibility SELECT s.sample_id::int + 100, ARRAY[s.distance + 100, 0]
  FROM brain.sort_by_similarity('visibility', '[0,0]', k => 3, brain_key => 'col') s;
SELECT visibility_see();
-- the two nearest go away
DELETE FROM visibility v USING brain.sort_by_similarity('visibility', '[0,0]', k => 2, brain_key => 'col') s WHERE v.id::text = s.sample_id;
SELECT visibility_see();
ROLLBACK;

-- functions: VOLATILE sees what the calling statement has done so far, STABLE does not
BEGIN;
CREATE FUNCTION visibility_insert(i int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	INSERT INTO visibility VALUES (i, ARRAY[i / 8.0, 0]);
	RETURN visibility_see();
END $$;
SELECT visibility_insert(6), visibility_see_stable(), visibility_see();
SELECT visibility_see_stable();
ROLLBACK;

-- triggers
CREATE FUNCTION visibility_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% % %: %', TG_WHEN, TG_OP, TG_LEVEL, visibility_see();
	RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER t1 BEFORE INSERT OR UPDATE OR DELETE ON visibility FOR EACH ROW EXECUTE FUNCTION visibility_trigger();
CREATE TRIGGER t2 AFTER INSERT OR UPDATE OR DELETE ON visibility FOR EACH ROW EXECUTE FUNCTION visibility_trigger();
CREATE TRIGGER t3 AFTER INSERT OR UPDATE OR DELETE ON visibility FOR EACH STATEMENT EXECUTE FUNCTION visibility_trigger();
BEGIN;
INSERT INTO visibility VALUES (7, '{0.5,0}'), (8, '{0.75,0}');
UPDATE visibility SET embedding = '{8,0}' WHERE id = 8;
DELETE FROM visibility WHERE id IN (7, 8);
ROLLBACK;
DROP TRIGGER t1 ON visibility;
DROP TRIGGER t2 ON visibility;
DROP TRIGGER t3 ON visibility;

-- cursors keep the snapshot of their opening
BEGIN;
DECLARE c CURSOR FOR SELECT sample_id, distance FROM brain.sort_by_similarity('visibility', '[0,0]', brain_key => 'col') ORDER BY rank;
DECLARE p CURSOR FOR SELECT id FROM visibility ORDER BY embedding;
INSERT INTO visibility VALUES (9, '{0,0}');
FETCH ALL FROM c;
FETCH ALL FROM p;
COMMIT;
DELETE FROM visibility WHERE id = 9;

-- runs: what an earlier statement made, renamed, emptied, deleted
BEGIN;
SELECT * FROM brain.add_to_index('visibility', 'hand', ARRAY[1, 2], '[[1,0],[2,0]]');
SELECT sample_id, distance FROM brain.sort_by_similarity('visibility', '[0,0]', brain_key => 'hand');
SELECT * FROM brain.add_to_index('visibility', 'hand', 3, '[3,0]');
SELECT * FROM brain.remove_from_index('visibility', 'hand', 1);
SELECT sample_id, distance FROM brain.sort_by_similarity('visibility', '[0,0]', brain_key => 'hand');
-- a row a call: each call sees the ones before it
SELECT v.id, a.* FROM (SELECT id FROM visibility ORDER BY id OFFSET 0) v,
	LATERAL brain.add_to_index('visibility', 'hand', v.id + 1, ARRAY[v.id, v.id]) a WHERE v.id < 3;
SELECT v.id, a.* FROM (SELECT id FROM visibility ORDER BY id OFFSET 0) v,
	LATERAL brain.add_to_index('visibility', 'hand', 2, ARRAY[v.id, v.id]) a;
SELECT sample_id, embedding FROM brain.get_embeddings('visibility', 'hand', ARRAY[3, 2, 1]);
SELECT brain.rename_brain_run('visibility', 'hand', 'arm');
SELECT brain_key FROM brain.list_brain_runs('visibility');
-- a sample that was deleted is not found, and not resurrected
DELETE FROM visibility WHERE id = 2;
SELECT sample_id, distance FROM brain.sort_by_similarity('visibility', '[0,0]', brain_key => 'arm');
SELECT brain.delete_brain_run('visibility', 'arm');
SELECT brain_key FROM brain.list_brain_runs('visibility');
ROLLBACK;
SELECT brain_key FROM brain.list_brain_runs('visibility');
SELECT count(*) FROM brain.get_embeddings('visibility', 'hand');

DROP TABLE visibility;
DROP FUNCTION visibility_see, visibility_see_stable, visibility_trigger;
