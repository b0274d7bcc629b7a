"""The datasets that are searched, their runs, and random rows for them.

Everything is drawn from the random numbers alone, never from what the server
said: so a seed gives the same statements again, whatever they met.  Ids are
drawn from a fixed range; a statement may find a row or not.
"""

from dataclasses import dataclass, field


@dataclass
class Run:
    key: str
    metric: str
    dim: int
    filter: str = None
    stored: bool = False  # embeddings given by add_to_index, not a column


@dataclass
class Dataset:
    name: str
    id: str          # the key column
    ids: int         # ids are 0 .. ids - 1, in the key's form
    id_type: str
    embedding_type: str
    dim: int
    partitions: dict = field(default_factory=dict)  # leaf: (first id, last id + 1)
    runs: list = field(default_factory=list)

    def id_of(self, number):
        """The id as an SQL literal."""
        return f"'k {number}'" if self.id_type == "text" else str(number)

    def column_runs(self):
        return [run for run in self.runs if not run.stored]

    def stored_runs(self):
        return [run for run in self.runs if run.stored]


PLAIN = Dataset("plain", "id", 400, "integer", "real[]", 5, runs=[
    Run("cos", "cosine", 5),
    Run("near", "euclidean", 5, filter="tag < 2"),
    Run("given", "euclidean", 4, stored=True),
])
TEXTS = Dataset("texts", "name", 200, "text", "double precision[]", 3, runs=[
    Run("dot", "dotproduct", 3),
])
PARTS = Dataset("parts", "id", 400, "bigint", "real[]", 12, partitions={
    "parts_a": (0, 100), "parts_b": (100, 200), "parts_c1": (200, 300), "parts_c2": (300, 400),
}, runs=[
    Run("l2", "euclidean", 12),
])
DATASETS = [PLAIN, TEXTS, PARTS]

# parts_b is what gets detached and attached; parts_c has partitions of its own.
TABLES = """
CREATE TABLE plain (id integer PRIMARY KEY, embedding real[], tag integer NOT NULL, note text);
CREATE TABLE texts (name text PRIMARY KEY, embedding double precision[], tag integer NOT NULL, note text);
CREATE TABLE parts (id bigint PRIMARY KEY, embedding real[], tag integer NOT NULL, note text)
	PARTITION BY RANGE (id);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM (100) TO (200);
CREATE TABLE parts_c PARTITION OF parts FOR VALUES FROM (200) TO (400) PARTITION BY RANGE (id);
CREATE TABLE parts_c1 PARTITION OF parts_c FOR VALUES FROM (200) TO (300);
CREATE TABLE parts_c2 PARTITION OF parts_c FOR VALUES FROM (300) TO (400);
GRANT SELECT ON plain, texts, parts TO reader;

-- What a reader sees of "plain"; its owner sees all.
ALTER TABLE plain ENABLE ROW LEVEL SECURITY;
CREATE POLICY not_3 ON plain TO reader USING (tag <> 3);

-- Stable, so the three see the snapshot of the statement that calls it.  Unlike
-- there, the search runs while nothing else has the dataset open.  That is read
-- first, to lock its partitions: TRUNCATE takes away even what a snapshot sees.
CREATE FUNCTION search_and_compare(dataset regclass, usable text, search text, plain text,
	OUT answer json, OUT truth json, OUT bad bigint) STABLE LANGUAGE plpgsql AS $$
DECLARE
	there_is_a_query boolean;
BEGIN
	EXECUTE format('SELECT FROM %s LIMIT 0', dataset);
	EXECUTE usable INTO there_is_a_query;
	IF there_is_a_query THEN
		EXECUTE search INTO answer;
		EXECUTE plain INTO truth, bad;
	END IF;
END $$;

-- A search in the midst of a statement that writes (R1): it must see what plain
-- SQL sees there.  Volatile, as most functions are.
CREATE FUNCTION compare_here(search text) RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$
DECLARE
	answer json;
	truth json;
	bad bigint;
BEGIN
	IF search <> '' THEN
		EXECUTE search INTO answer, truth, bad;
		IF answer::text IS DISTINCT FROM truth::text THEN
			RAISE 'in the midst of a statement: % is not %', answer, truth USING ERRCODE = 'CHECK';
		END IF;
	END IF;
	RETURN true;
END $$;
CREATE FUNCTION compare_in_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM compare_here(current_setting('checker.search', true));
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER compare_after AFTER INSERT OR UPDATE OR DELETE ON plain
	FOR EACH ROW EXECUTE FUNCTION compare_in_trigger();
CREATE TRIGGER compare_before BEFORE INSERT OR UPDATE OR DELETE ON plain
	FOR EACH ROW EXECUTE FUNCTION compare_in_trigger();

-- ATTACH lets readers go on.  One of them plans its plain SQL without the
-- partition, and its search, which is planned later, with it: that is how
-- PostgreSQL is.  So the readers have to be gone.
CREATE FUNCTION attach_parts_b() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	LOCK TABLE parts;
	IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'parts_b'::regclass) THEN
		ALTER TABLE parts ATTACH PARTITION parts_b FOR VALUES FROM (100) TO (200);
	END IF;
END $$;
CREATE FUNCTION detach_parts_b() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	LOCK TABLE parts;
	IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'parts_b'::regclass) THEN
		ALTER TABLE parts DETACH PARTITION parts_b;
	END IF;
END $$;

-- ENABLE TRIGGER would leave them so that they do not fire for replicas.
CREATE FUNCTION enable_tracking(dataset regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name name;
BEGIN
	EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', dataset);
	FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = dataset AND tgname LIKE 'brain\\_track\\_%' LOOP
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', dataset, name);
	END LOOP;
END $$;
"""


# Of the backend, for every run: none, or those of Milvus.
BACKEND = []


def milvus(index_type):
    return ["backend => 'milvus'", "server => 'milvus'", f"""options => '{{"index_type": "{index_type}"}}'"""]


def compute(dataset, run):
    """The call that makes a run, or makes it anew."""
    arguments = [f"'{dataset.name}'", f"'{run.key}'", f"metric => '{run.metric}'", "overwrite => true"] + BACKEND
    if run.stored:
        arguments.append("with_data => false")
    else:
        arguments += ["embeddings => 'embedding'", "skip_failures => true"]
    if run.filter:
        arguments.append(f"filter => '{run.filter}'")
    return f"SELECT * FROM brain.compute_similarity({', '.join(arguments)})"


# ---- random values ---------------------------------------------------------

def vector(rng, dim):
    """A few values only, so that many distances are equal; at times any."""
    if rng.random() < 0.7:
        return [float(rng.randint(-2, 2)) for _ in range(dim)]
    return [round(rng.gauss(0, 1), 4) for _ in range(dim)]


def array(values):
    """The text of an array."""
    return "{" + ",".join(str(value) for value in values) + "}"


def embedding(rng, dim):
    """What a row may have: mostly a vector, at times none or one that cannot be used."""
    kind = rng.random()
    if kind < 0.93:
        return array(vector(rng, dim))
    if kind < 0.96:
        return None
    return rng.choice([
        array(vector(rng, dim + 1)), array(vector(rng, dim - 1)), "{}", array([0.0] * dim),
        array(["NaN"] * dim), array(["NULL"] * dim)])


def embedding_literal(rng, dim):
    text = embedding(rng, dim)
    return "NULL" if text is None else f"'{text}'"


def tag(rng):
    return rng.randint(0, 3)


def some_ids(rng, dataset, most, leaf=None):
    first, end = dataset.partitions[leaf] if leaf else (0, dataset.ids)
    return sorted(rng.sample(range(first, end), rng.randint(1, most)))


def rows(rng, dataset, numbers):
    """Rows as (id, embedding or None, tag, note)."""
    return [(f"k {n}" if dataset.id_type == "text" else str(n), embedding(rng, dataset.dim), tag(rng),
             rng.choice("xyz")) for n in numbers]


def values(rng, dataset, numbers):
    """Rows for VALUES."""
    return ", ".join(
        f"({dataset.id_of(n)}, {embedding_literal(rng, dataset.dim)}::{dataset.embedding_type}, "
        f"{tag(rng)}, '{rng.choice('xyz')}')" for n in numbers)
