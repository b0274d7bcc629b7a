"""One search, and the plain SQL that says what it should have answered.

Both see the same snapshot: they are parts of one statement, or are carried out
by a STABLE function (datasets.py), one after the other.  The SQL adds up in the
order in which src/exact/distance.c does (eight lanes), in double, so that
distances and scores have to be equal bit for bit, and ids with them.
"""

from dataclasses import dataclass
from datasets import array, vector

LANES = 8


@dataclass
class Search:
    dataset: object
    run: object
    queries: list        # vectors; or, by id, None
    query_id: int
    k: int               # None: all
    reverse: bool
    aggregation: str     # of several queries
    max_distance: float  # None: no limit
    filter: str          # None: none
    whole_rows: bool     # similar_samples
    by_function: bool    # else in one statement
    insert_first: str = None  # a statement that writes, as a part of the same
    whole_truth: bool = False  # not only k rows, so that ties at rank k can be told

    # SQLSTATEs that may come
    expected = ()

    def sql(self):
        """The statement.  Its row: what the search answered, what it should
        have, both as JSON arrays of [id, distance, score], and how many rows
        it should have left out; that is NULL when there was nothing to search for."""
        wanted = [("samples", self.samples()), ("query", self.query())]
        truth = [("scored", self.scored()), ("truth", self.truth())]
        if self.by_function:
            usable = self.with_list(wanted) + "SELECT count(*) > 0 FROM query"
            search = self.with_list([("answer", self.answer())]) + "SELECT " + self.ANSWER
            plain = self.with_list(wanted + truth) + f"SELECT {self.TRUTH}, {self.BAD}"
            return (f"SELECT * FROM search_and_compare('{self.dataset.name}',\n$usable${usable}$usable$,\n$search${search}$search$,\n"
                    f"$plain${plain}$plain$)")
        parts = wanted + [("answer", self.answer())] + truth
        if self.insert_first:
            parts.insert(0, ("inserted", self.insert_first))
        return self.with_list(parts) + f"SELECT {self.ANSWER},\n	{self.TRUTH},\n	{self.BAD}"

    ANSWER = "(SELECT json_agg(json_build_array(sample_id, distance, score) ORDER BY rank) FROM answer)"
    TRUTH = "(SELECT json_agg(json_build_array(id, distance, score) ORDER BY rank) FROM truth)"
    BAD = "(SELECT count(*) FROM samples WHERE state = 'bad' AND EXISTS (SELECT FROM query))"

    @staticmethod
    def with_list(parts):
        return "WITH " + ",\n".join(f"{name} AS {'' if name == 'inserted' else 'MATERIALIZED '}(\n{text})"
                                    for name, text in parts) + "\n"

    def __str__(self):
        """For people: without the plain SQL."""
        return ("search: " + (self.insert_first.strip() + " " if self.insert_first else "")
                + " ".join(self.answer().split()))

    def answer(self):
        arguments = [f"k => {'NULL' if self.k is None else self.k}", f"brain_key => '{self.run.key}'"]
        if self.reverse:
            arguments.append("reverse => true")
        if self.aggregation:
            arguments.append(f"aggregation => '{self.aggregation}'")
        if self.max_distance is not None:
            arguments.append(f"max_distance => {self.max_distance}")
        if self.filter:
            arguments.append(f"filter => $filter${self.filter}$filter$")
        source = ""
        if self.queries is None and self.by_function:
            query = f"{self.dataset.id_of(self.query_id)}::{self.dataset.id_type}"
        elif self.queries is None:
            query = "wanted.id"
            source = f"""(SELECT samples.id::{self.dataset.id_type} FROM samples
	  WHERE samples.id = {self.dataset.id_of(self.query_id)}::text AND state = 'ok') AS wanted (id),
	LATERAL """
        elif len(self.queries) == 1:
            query = f"'{array(self.queries[0])}'::real[]"
        else:
            query = f"'{array([array(values) for values in self.queries])}'::real[]"
        if self.whole_rows:
            return f"""	SELECT found.rank, (found.sample).{self.dataset.id}::text AS sample_id, found.distance, found.score
	  FROM {source}brain.similar_samples(NULL::{self.dataset.name}, {query}, {', '.join(arguments)}) AS found"""
        return f"""	SELECT found.rank, found.sample_id, found.distance, found.score
	  FROM {source}brain.sort_by_similarity('{self.dataset.name}', {query}, {', '.join(arguments)}) AS found"""

    def samples(self):
        """The rows that the run and the filter have, and whether they can be used."""
        bad = [f"coalesce(array_length(e, 1), 0) <> {self.run.dim}", "array_position(e, NULL) IS NOT NULL",
               "'NaN' = ANY (e)"]
        if self.run.metric == "cosine":
            bad.append("0 = ALL (e)")
        conditions = [f"({condition})" for condition in (self.run.filter, self.filter) if condition]
        where = f"\n	  WHERE {' AND '.join(conditions)}" if conditions else ""
        name, key = self.dataset.name, self.dataset.id
        if self.run.stored:
            source = f"""SELECT {name}.{key}::text AS id, stored.embedding AS e FROM {name}
	  LEFT JOIN brain.embeddings AS stored ON stored.sample_id = {name}.{key}::text AND stored.run_id =
	   (SELECT run_id FROM brain._runs WHERE dataset_name = '{name}' AND brain_key = '{self.run.key}')"""
        else:
            source = f"SELECT {key}::text AS id, embedding::real[] AS e FROM {name}"
        return f"""	SELECT id, e, CASE WHEN e IS NULL THEN 'missing' WHEN {' OR '.join(bad)} THEN 'bad' ELSE 'ok' END AS state
	  FROM ({source}{where}) AS row"""

    def query(self):
        if self.queries is None:
            return f"	SELECT e AS q1 FROM samples WHERE id = {self.dataset.id_of(self.query_id)}::text AND state = 'ok'"
        return "	SELECT " + ", ".join(f"'{array(values)}'::real[] AS q{i}"
                                        for i, values in enumerate(self.queries, 1))

    def lanes(self, term):
        """The sum of a term over all elements, in the order of SumLanes()."""
        lane = [" + ".join(["0::float8"] + [term(i + 1) for i in range(lane, self.run.dim, LANES)])
                for lane in range(LANES)]
        lane = [f"({text})" for text in lane]
        return (f"((({lane[0]} + {lane[4]}) + ({lane[2]} + {lane[6]})) + "
                f"(({lane[1]} + {lane[5]}) + ({lane[3]} + {lane[7]})))")

    def score(self, q):
        def dot(a, b):
            return self.lanes(lambda i: f"{a}[{i}]::float8 * {b}[{i}]::float8")
        if self.run.metric == "cosine":
            return f"greatest(least({dot(q, 'e')} / sqrt({dot(q, q)} * {dot('e', 'e')}), 1), -1)"
        if self.run.metric == "dotproduct":
            return dot(q, "e")
        return self.lanes(lambda i: f"({q}[{i}]::float8 - e[{i}]::float8) * ({q}[{i}]::float8 - e[{i}]::float8)")

    def distance_of(self, score):
        return {"cosine": f"1 - {score}", "dotproduct": f"0 - {score}", "euclidean": f"sqrt({score})"}[self.run.metric]

    def score_of(self, distance):
        return {"cosine": f"1 - {distance}", "dotproduct": f"0 - {distance}",
                "euclidean": f"{distance} * {distance}"}[self.run.metric]

    def scored(self):
        n = 1 if self.queries is None else len(self.queries)
        scores = ", ".join(f"CASE state WHEN 'ok' THEN {self.score(f'q{i}')} END AS s{i}" for i in range(1, n + 1))
        if n == 1:
            distance, score = self.distance_of("s1"), "s1"
        else:
            function = {"post-min": "least", "post-max": "greatest"}[self.aggregation]
            distance = f"{function}({', '.join(self.distance_of(f's{i}') for i in range(1, n + 1))})"
            score = self.score_of(distance)
        return f"""	SELECT id, {distance} AS distance, {score} AS score
	  FROM (SELECT id, {scores} FROM samples, query WHERE state = 'ok') AS with_score"""

    def truth(self):
        order = "distance DESC" if self.reverse else "distance"
        if self.queries is None and self.run.metric != "dotproduct" and not self.reverse:
            order += f", (id <> {self.dataset.id_of(self.query_id)}::text OR distance <> 0)"
        order += ', id COLLATE "C"'
        limit = "" if self.max_distance is None else f" WHERE distance <= {self.max_distance}"
        return f"""	SELECT id, distance, score, row_number() OVER (ORDER BY {order}) AS rank
	  FROM scored{limit} ORDER BY {order} LIMIT {'NULL' if self.k is None or self.whole_truth else self.k}"""


class Neighbors(Search):
    """Not one query's nearest samples, but those of each sample."""

    # 53000: the file that it was writing was removed
    expected = ("53000", "53100")

    def answer(self):
        limit = "" if self.max_distance is None else f", max_distance => {self.max_distance}"
        return f"""	SELECT sample_id, rank, neighbor_id, distance, score
	  FROM brain.neighbors('{self.dataset.name}', '{self.run.key}', k => {self.k}{limit}) AS found"""

    def query(self):
        return "	SELECT id AS query_id, e AS q1 FROM samples WHERE state = 'ok'"

    def scored(self):
        return f"""	SELECT query_id, id, {self.distance_of('s1')} AS distance, s1 AS score
	  FROM (SELECT query_id, id, CASE state WHEN 'ok' THEN {self.score('q1')} END AS s1
	  FROM samples, query WHERE state = 'ok' AND id <> query_id) AS with_score"""

    def truth(self):
        """Of the whole: ties at rank k cannot be told, and there need be none."""
        limit = "" if self.max_distance is None else f" WHERE distance <= {self.max_distance}"
        return f"""	SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY query_id ORDER BY distance, id COLLATE "C") AS rank
	  FROM scored{limit}) AS ranked WHERE rank <= {self.k}"""

    ANSWER = """(SELECT json_agg(json_build_array(sample_id, rank, neighbor_id, distance, score)
		ORDER BY sample_id COLLATE "C", rank) FROM answer)"""
    TRUTH = """(SELECT json_agg(json_build_array(query_id, rank, id, distance, score)
		ORDER BY query_id COLLATE "C", rank) FROM truth)"""


def random_neighbors(rng, dataset, run):
    return Neighbors(dataset, run, None, None, rng.choice([1, 3, 10]), False, None,
                     round(rng.uniform(-1, 4), 2) if rng.random() < 0.3 else None, None, False, rng.random() < 0.5)


def random_search(rng, dataset=None, run=None, datasets=None):
    dataset = dataset or rng.choice(datasets)
    run = run or rng.choice(dataset.runs)
    by_id = rng.random() < 0.25
    queries = aggregation = None
    if not by_id:
        queries = [vector(rng, run.dim)]
        if rng.random() < 0.15:
            queries += [vector(rng, run.dim) for _ in range(rng.randint(1, 3))]
            aggregation = rng.choice(["post-min", "post-max"])
        for values in queries:
            if not any(values):
                values[0] = 1.0
    return Search(
        dataset, run, queries, rng.randrange(dataset.ids), rng.choice([1, 3, 10, 10, 25, 25, 60, None]),
        rng.random() < 0.1, aggregation, round(rng.uniform(-1, 4), 2) if rng.random() < 0.15 else None,
        rng.choice(["tag = 1", "tag <> 0 AND note = 'x'", "tag IN (SELECT generate_series(0, 1))"])
        if rng.random() < 0.2 else None,
        rng.random() < 0.15, rng.random() < 0.6)


# Distances of float32 that differ by less than this are the same to Milvus.
TOLERANCE = 1e-6


def differs_by_ties(answer, truth, k):
    """Is the answer the truth, but for which of the rows there are whose distance
    is that of rank k?  The truth has more rows than k here."""
    answer, truth = answer or [], truth or []
    last = truth[min(k, len(truth)) - 1][1]
    margin = TOLERANCE * max(1, abs(last))
    sure = [row for row in truth[:k] if row[1] < last - margin]
    tied = [row for row in truth if abs(row[1] - last) <= margin]
    rest = answer[len(sure):]
    places = [tied.index(row) if row in tied else -1 for row in rest]
    return (len(answer) == min(k, len(truth)) and answer[:len(sure)] == sure and -1 not in places
            and all(a < b for a, b in zip(places, places[1:])))


def recalled(answer, truth, k):
    """Of an answer by an index that may miss something: how many of its rows are
    as near as rank k, and of how many.  None when it has a row that the truth has
    not, or not in that order.  The truth has more rows than k here."""
    answer, truth = answer or [], truth or []
    where = {row[0]: place for place, row in enumerate(truth)}
    places = [where.get(row[0], -1) for row in answer]
    if any(place < 0 or truth[place] != row for place, row in zip(places, answer)):
        return None
    if len(answer) > k or any(a >= b for a, b in zip(places, places[1:])):
        return None
    wanted = min(k, len(truth))
    return sum(row[1] <= truth[wanted - 1][1] for row in answer), wanted


def difference(answer, truth):
    """Where two answers differ, or None."""
    answer, truth = answer or [], truth or []
    for rank, (got, wanted) in enumerate(zip(answer, truth), 1):
        if got != wanted:
            return f"rank {rank}: {got} is not {wanted}"
    if len(answer) != len(truth):
        return f"{len(answer)} rows are not {len(truth)}"
    return None
