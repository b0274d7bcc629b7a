-- The extension. All that it has is in schema brain.
CREATE EXTENSION milvus_brain;

-- The samples: 1,797 handwritten digits of 8 x 8 pixels, one a line. The 64
-- pixels are the embedding; every fifth digit is kept for testing.
CREATE TABLE digits (
    id        bigint PRIMARY KEY,
    label     integer NOT NULL,
    split     text NOT NULL,
    embedding real[] NOT NULL
);
CREATE TEMPORARY TABLE file (line bigint GENERATED ALWAYS AS IDENTITY, csv text);
\copy file (csv) FROM PROGRAM 'gunzip --stdout digits.csv.gz'
INSERT INTO digits
SELECT line, numbers[65], CASE WHEN line % 5 = 0 THEN 'test' ELSE 'train' END, numbers[:64]
  FROM file, CAST(string_to_array(csv, ',') AS real[]) AS numbers;

-- The similarity index: a brain run over the column "embedding".
SELECT * FROM brain.compute_similarity('digits', 'pixels',
                                       embeddings => 'embedding', metric => 'euclidean');

-- Sort by similarity to digit 42. The answer has whole, typed rows; the first
-- is the query itself.
SELECT rank, (sample).id, (sample).label, distance
  FROM brain.similar_samples(NULL::digits, 42, k => 10)
 ORDER BY rank;

-- A filter is any condition on the row: the nearest that are not a 4.
SELECT rank, (sample).id, (sample).label, distance
  FROM brain.similar_samples(NULL::digits, 42, k => 3, filter => 'label <> 4')
 ORDER BY rank;

-- The query may be a vector: this one is drawn by hand.
SELECT rank, (sample).id, (sample).label, distance
  FROM brain.similar_samples(NULL::digits, '[ 0, 0,12,12,12,12, 4, 0,
                                              0, 0,16, 4, 0, 0, 0, 0,
                                              0, 0,16, 0, 0, 0, 0, 0,
                                              0, 0,16,16,12, 0, 0, 0,
                                              0, 0, 0, 0, 8,12, 0, 0,
                                              0, 0, 0, 0, 0,16, 0, 0,
                                              0, 0, 0, 0, 4,14, 0, 0,
                                              0, 0,12,16,12, 0, 0, 0]', k => 3)
 ORDER BY rank;

-- A search sees your transaction: what you deleted is gone, and is back after
-- ROLLBACK.
BEGIN;
DELETE FROM digits WHERE id IN (125, 381);
SELECT rank, (sample).id, (sample).label, distance
  FROM brain.similar_samples(NULL::digits, 42, k => 3)
 ORDER BY rank;
ROLLBACK;

-- A search in a join: does the nearest training digit tell what a test digit is?
SELECT count(*) AS tested, count(*) FILTER (WHERE (nearest.sample).label = test.label) AS "right"
  FROM digits AS test,
       brain.similar_samples(NULL::digits, test.id, k => 1,
                             filter => $$split = 'train'$$) AS nearest
 WHERE test.split = 'test';

-- Each digit in turn against all the others: its five nearest vote.
CREATE TABLE votes AS
SELECT digit.id, digit.label, mode() WITHIN GROUP (ORDER BY (near.sample).label) AS guess
  FROM digits AS digit,
       LATERAL brain.similar_samples(NULL::digits, digit.id, k => 6) AS near
 WHERE (near.sample).id <> digit.id
 GROUP BY digit.id;
SELECT coalesce(label::text, 'all') AS digit, count(*) AS samples,
       count(*) FILTER (WHERE guess = label) AS "right",
       round(100.0 * count(*) FILTER (WHERE guess = label) / count(*), 1) AS percent
  FROM votes
 GROUP BY ROLLUP (label)
 ORDER BY label;

-- What is recorded about the index.
SELECT samples, brain_key, backend, metric, dimensions, indexed, state FROM brain.runs;
