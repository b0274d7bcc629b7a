-- Guards against foreign tables being refused or read wrongly: they have no
-- primary key and no index to prove one, their rows come and go elsewhere, and
-- they may be writable or not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS milvus_brain;
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
RESET client_min_messages;

-- a server that is this one
DO $$
BEGIN
	EXECUTE format('CREATE SERVER datasets_foreign_server FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
				   split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
	EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER datasets_foreign_server OPTIONS (user %L)', session_user);
END $$;
\set facts 'brain_key, backend, metric, dimensions, indexed, missing, skipped, seconds >= 0 AS timed'

CREATE TABLE datasets_foreign_there (id bigint, label text, embedding real[], taken timestamptz);
INSERT INTO datasets_foreign_there
SELECT i, 'label ' || i % 3, CASE WHEN i % 10 > 0 THEN ARRAY[i % 7, i * i % 11, i % 4] END, '2024-01-01 12:00 UTC'::timestamptz + i * interval '1 hour'
  FROM generate_series(1, 40) i;
CREATE FOREIGN TABLE datasets_foreign_here (id bigint, label text, embedding real[], taken timestamptz)
	SERVER datasets_foreign_server OPTIONS (table_name 'datasets_foreign_there');

-- no primary key: the column is named, and believed
SELECT :facts FROM brain.compute_similarity('datasets_foreign_here', 'key', metric => 'euclidean');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_foreign_here', 'key', metric => 'euclidean', id_field => 'id');
-- the same search in plain SQL over the table itself: whole numbers, so equal
-- to the last bit
WITH expected AS (
	SELECT s.id::text AS id, distance, row_number() OVER (ORDER BY distance, s.id <> 17, s.id::text COLLATE "C") AS rank
	  FROM datasets_foreign_there s, datasets_foreign_there q,
		   LATERAL (SELECT sqrt(sum((x - y) ^ 2)) AS distance
					  FROM unnest(s.embedding::double precision[], q.embedding::double precision[]) AS e (x, y)) AS d
	 WHERE q.id = 17 AND s.embedding IS NOT NULL)
SELECT count(f.rank) AS found, count(*) FILTER (WHERE (f.sample_id, f.distance) IS DISTINCT FROM (e.id, e.distance)) AS different
  FROM expected e FULL JOIN brain.sort_by_similarity('datasets_foreign_here', 17, k => NULL) f USING (rank);
SELECT rank, round(distance::numeric, 4) AS distance, (sample).id, (sample).label
  FROM brain.similar_samples(NULL::datasets_foreign_here, 17, k => 3);
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_foreign_here', 17, k => 3, filter => $$label = 'label 0' AND id > 20$$);
SELECT sample_id, embedding FROM brain.get_embeddings('datasets_foreign_here', 'key', ARRAY[17, 10, 3]);

-- what changes there is seen here
UPDATE datasets_foreign_there SET embedding = '{3,3,1}' WHERE id = 10;
DELETE FROM datasets_foreign_there WHERE id = 38;
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_foreign_here', 17, k => 3);
SELECT * FROM brain.sort_by_similarity('datasets_foreign_here', 38);
\echo :SQLSTATE
SELECT indexed, missing, skipped FROM brain.load_brain_results('datasets_foreign_here', 'key');

-- the index can be written, through the foreign table
SELECT * FROM brain.add_to_index('datasets_foreign_here', 'key', ARRAY[1, 20], '[[3,3,1],[9,9,9]]');
SELECT * FROM brain.remove_from_index('datasets_foreign_here', 'key', 2);
SELECT id, embedding FROM datasets_foreign_there WHERE id IN (1, 2, 20) ORDER BY id;
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('datasets_foreign_here', 17, k => 3);

-- another key type, whose text depends on settings of two sessions
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
SELECT :facts FROM brain.compute_similarity('datasets_foreign_here', 'by_time', metric => 'euclidean', id_field => 'taken');
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_foreign_here', '02.01.2024 05:00 UTC'::timestamptz, k => 2, brain_key => 'by_time');
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_foreign_here', '2024-01-02 05:00:00+00', k => 2, brain_key => 'by_time');
RESET TimeZone;
RESET DateStyle;

-- bad embeddings and an id that is there twice
INSERT INTO datasets_foreign_there VALUES (100, '', '{1,2}', 'now');
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_foreign_here', 17, k => 2, brain_key => 'key');
SELECT :facts FROM brain.compute_similarity('datasets_foreign_here', 'bad', metric => 'euclidean', id_field => 'id');
\echo :SQLSTATE
SELECT :facts FROM brain.compute_similarity('datasets_foreign_here', 'bad', metric => 'euclidean', id_field => 'id', skip_failures => true);
UPDATE datasets_foreign_there SET id = 17, embedding = '{1,2,3}' WHERE id = 100;
SELECT :facts FROM brain.compute_similarity('datasets_foreign_here', 'twice', metric => 'euclidean', id_field => 'id');
\echo :SQLSTATE
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_foreign_here', 17, k => 2, brain_key => 'key');
\echo :SQLSTATE
DELETE FROM datasets_foreign_there WHERE id = 17 AND embedding = '{1,2,3}';

-- other names there than here, a column left out, read only
CREATE FOREIGN TABLE "Datasets foreign" ("Id" bigint OPTIONS (column_name 'id'), "Vector" real[] OPTIONS (column_name 'embedding'))
	SERVER datasets_foreign_server OPTIONS (table_name 'datasets_foreign_there', updatable 'false');
SELECT :facts FROM brain.compute_similarity('"Datasets foreign"', 'key', metric => 'euclidean', id_field => 'Id');
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('"Datasets foreign"', 17, k => 3);
SELECT * FROM brain.add_to_index('"Datasets foreign"', 'key', 1, '[1,1,1]');
\echo :SQLSTATE

-- a partitioned table with a foreign partition has no primary key by which to
-- know its rows; a view over it may name one
CREATE TABLE datasets_foreign_parts (id bigint, label text, embedding real[], taken timestamptz) PARTITION BY RANGE (id);
ALTER TABLE datasets_foreign_parts ATTACH PARTITION datasets_foreign_here FOR VALUES FROM (0) TO (1000);
CREATE TABLE datasets_foreign_parts_2 PARTITION OF datasets_foreign_parts FOR VALUES FROM (1000) TO (2000);
INSERT INTO datasets_foreign_parts VALUES (1001, 'label', '{3,3,1}', 'now');
SELECT :facts FROM brain.compute_similarity('datasets_foreign_parts', 'key', metric => 'euclidean', id_field => 'id');
\echo :SQLSTATE
CREATE VIEW datasets_foreign_view AS TABLE datasets_foreign_parts;
SELECT :facts FROM brain.compute_similarity('datasets_foreign_view', 'key', metric => 'euclidean', id_field => 'id');
SELECT rank, sample_id, distance FROM brain.sort_by_similarity('datasets_foreign_view', 17, k => 4);

-- the server is gone: PostgreSQL's own error
ALTER SERVER datasets_foreign_server OPTIONS (SET dbname 'datasets_foreign nowhere');
\set VERBOSITY sqlstate
SELECT rank, sample_id FROM brain.sort_by_similarity('datasets_foreign_here', 17, brain_key => 'key');
\set VERBOSITY default

SET client_min_messages = warning;
DROP VIEW datasets_foreign_view;
DROP TABLE datasets_foreign_there, datasets_foreign_parts;
DROP SERVER datasets_foreign_server CASCADE;
-- the runs went with their foreign tables
SELECT count(*) FROM brain._runs WHERE dataset_name ~* 'datasets.foreign';
DROP EXTENSION postgres_fdw;
