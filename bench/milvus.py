"""The rows of bench/run --milvus: ours beside pymilvus, on one server, in turns."""
import gc
import os
import re
import struct
import sys
import time

import numpy as np

from harness import (CLIENT, NOTICE_PROCESSOR, Result, SqlError, Time, array_header, at_most, clock, elements, faster,
                     interleave, show, three, within)
from rows import ON_MILVUS, row, shape

URI = os.environ.get("BENCH_MILVUS", "")
DIM = 512
VARCHAR_LENGTH = 1000
FLAT = '{"index_type": "FLAT"}'  # takes no time to build


# ---- the data and the two clients --------------------------------------------

def sample_id(i):
    """24 characters, as FiftyOne's ids."""
    return f"65f0a1b2{i:016x}"


def copy_chunks(vectors, rows_each=2000):
    """Rows (id text, label integer, embedding real[]) for COPY ... (FORMAT binary)."""
    header = array_header((DIM,))
    line = np.dtype([("fields", ">i2"), ("id_length", ">i4"), ("id", "S24"), ("label_length", ">i4"),
                     ("label", ">i4"), ("length", ">i4"), ("header", f"V{len(header)}"),
                     ("elements", [("length", ">i4"), ("value", ">f4")], (DIM,))])
    yield b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
    for start in range(0, len(vectors), rows_each):
        part = vectors[start:start + rows_each]
        lines = np.zeros(len(part), dtype=line)
        lines["fields"], lines["id_length"], lines["label_length"] = 3, 24, 4
        lines["id"] = [sample_id(i).encode() for i in range(start, start + len(part))]
        lines["label"] = np.arange(start, start + len(part)) % 1000
        lines["length"] = len(header) + 8 * DIM
        lines["header"] = np.void(header)
        lines["elements"] = elements(part)
        yield lines.tobytes()
    yield b"\xff\xff"


def table(bench):
    """The dataset m, and what pymilvus uploads: the same rows."""
    vectors, _ = bench.vectors("a")
    if not bench.has("m"):
        bench.admin.run("CREATE TABLE m (id text PRIMARY KEY, label integer NOT NULL, embedding real[] NOT NULL);"
                        "ALTER TABLE m ALTER embedding SET STORAGE PLAIN;"
                        # rows are so long that PostgreSQL would put the ids elsewhere, to save one byte
                        "ALTER TABLE m ALTER id SET STORAGE PLAIN;"
                        f"CREATE SERVER milvus FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '{URI}');"
                        "CREATE USER MAPPING FOR postgres SERVER milvus")
        bench.admin.copy("COPY m FROM STDIN (FORMAT binary)", copy_chunks(vectors))
        bench.admin.run("CREATE INDEX ON m (label)")
        bench.admin.run("VACUUM (FREEZE, ANALYZE) m")
        bench.admin.run("SELECT * FROM brain.compute_similarity('m', 'exact', embeddings => 'embedding',"
                        " metric => 'dotproduct')")
        assert bench.admin.value("SELECT count(*) FROM brain._runs WHERE brain_key = 'exact'") == "1"
    pymilvus().connections.connect(uri=URI, timeout=60)
    return vectors


def pymilvus():
    import pymilvus  # noqa: only where there is one
    return pymilvus


def compute(session, key, options="{}"):
    session.run(f"SELECT * FROM brain.compute_similarity('m', '{key}', embeddings => 'embedding',"
                f" backend => 'milvus', server => 'milvus', collection_name => '{key}', metric => 'dotproduct',"
                f" options => '{options}')")


def drop(bench, *names):
    """Runs and collections; the server has finished with them then."""
    for name in names:
        if bench.admin.value(f"SELECT count(*) FROM brain._runs WHERE brain_key = '{name}'") != "0":
            bench.admin.run(f"SELECT brain.delete_index('m', '{name}')")
        else:
            pymilvus().utility.drop_collection(name)
        while pymilvus().utility.has_collection(name):
            time.sleep(0.1)
    time.sleep(2)


def cpu_seconds(pid):
    """What a process has used, with all its threads."""
    return time.clock_gettime((~pid << 3) | 2)


class Builds:
    """A session whose builds tell when a phase has ended, by the clock and in CPU."""

    def __init__(self, bench, stop_after=None):
        self.admin, self.stop_after = bench.admin, stop_after
        self.session = bench.connect(client_min_messages="debug1")
        self.session.on_notice = NOTICE_PROCESSOR(self.take)
        CLIENT.PQsetNoticeProcessor(self.session.connection, self.session.on_notice, None)

    def take(self, _, text):
        phase = re.search(rb": (rows sent|flushed|indexed|loaded) after", text)
        if phase:
            self.phases[phase[1].decode()] = self.now()
        if phase and phase[1].decode() == self.stop_after:
            self.admin.run(f"SELECT pg_cancel_backend({self.session.pid})")

    def now(self):
        return time.monotonic(), cpu_seconds(self.session.pid)

    def build(self, key, options="{}"):
        """Seconds and CPU seconds until the end of each phase."""
        self.phases = {}
        start = self.now()
        try:
            compute(self.session, key, options)
        except SqlError as error:
            if error.state != "57014" or self.stop_after not in self.phases:  # query_canceled
                raise
        self.phases["done"] = self.now()
        return {phase: (at - start[0], cpu - start[1]) for phase, (at, cpu) in self.phases.items()}


def create_theirs(name):
    """FiftyOne's layout, which ours has too."""
    milvus = pymilvus()
    text = {"dtype": milvus.DataType.VARCHAR, "max_length": VARCHAR_LENGTH}
    schema = milvus.CollectionSchema([milvus.FieldSchema("pk", is_primary=True, **text),
                                      milvus.FieldSchema("vector", milvus.DataType.FLOAT_VECTOR, dim=DIM),
                                      milvus.FieldSchema("sample_id", **text)])
    return milvus.Collection(name, schema, shards_num=1, consistency_level="Session")


def upload_theirs(name, ids, batches):
    """Seconds and CPU seconds of inserting batches of vectors, in this process."""
    collection = create_theirs(name)
    start, cpu, at = time.monotonic(), time.process_time(), 0
    for batch in batches:
        part = ids[at:at + len(batch)]
        collection.insert([part, batch, part])
        at += len(batch)
    return time.monotonic() - start, time.process_time() - cpu


def lists(vectors, each):
    return [vectors[start:start + each].tolist() for start in range(0, len(vectors), each)]


def arrays(vectors, each):
    return [list(vectors[start:start + each]) for start in range(0, len(vectors), each)]


def in_rotation(rounds, *sides):
    """What each side returns, in each round; another one is first each time."""
    found = [[] for _ in sides]
    for i in range(rounds):
        for j in range(len(sides)):
            which = (i + j) % len(sides)
            found[which].append(sides[which]())
            print(f"# round {i + 1}, side {which + 1}: {found[which][-1]}", file=sys.stderr, flush=True)
    return found


# ---- searching -----------------------------------------------------------------

def request(session, key, query, k=10):
    """The request of such a search; it must be by Milvus."""
    plan, why, told = session.run("SELECT plan, why, request FROM brain.explain_similarity('m', '{"
                                  f"{','.join(map(str, query.tolist()))}}}'::real[], k => {k}, brain_key => '{key}')")[0]
    assert plan == "milvus", why
    return told


def flushed_segments(name):
    connection = pymilvus().connections._fetch_handler("default")
    return {s.segmentID for s in connection.get_persistent_segment_infos(name) if s.num_rows > 0}


def compacted(bench):
    """The run hnsw over m with all defaults, and its collection, after ManualCompaction."""
    milvus = pymilvus()
    if not milvus.utility.has_collection("hnsw"):
        start = time.monotonic()
        compute(bench.admin, "hnsw")
        bench.hnsw_seconds = time.monotonic() - start
        collection = milvus.Collection("hnsw")
        collection.compact()
        collection.wait_for_compaction_completed(timeout=600)
        quiet = 0
        while quiet < 10:  # the merged segment is indexed, then loaded, some time later
            progress = milvus.utility.index_building_progress("hnsw")
            segments = {s.segmentID for s in milvus.utility.get_query_segment_info("hnsw")}
            is_quiet = progress["pending_index_rows"] == 0 and segments == flushed_segments("hnsw")
            quiet = quiet + 1 if is_quiet else 0
            time.sleep(0.5)
        bench.hnsw_segments = len(segments)
    return milvus.Collection("hnsw")


@row(section=ON_MILVUS)
def milvus_recall(bench):
    vectors, queries = table(bench), bench.vectors("a")[1]
    collection = compacted(bench)
    session = bench.connect()
    search, exact = bench.search("m", session, "hnsw"), bench.search("m", bench.connect(), "exact")
    told = request(session, "hnsw", queries[0])
    right = 0
    for query in queries:
        limit = max(distance_of(one) for one in exact(query).rows()) + 1e-12
        right += sum(distance_of(one) <= limit for one in search(query).rows())
    found = right / (10 * len(queries))
    settings = collection.index().params
    yield Result(f"mean recall@10 of {len(queries):,} queries after ManualCompaction (segments: {bench.hnsw_segments}), "
                 f"{settings['index_type']} {settings['params']}, {re.search('topk [0-9]+', told)[0]}, "
                 f"{ef_of(told)}; built in {show(bench.hnsw_seconds)}",
                 f"{found:.4f}", "", "", "≥ 0.98", found >= 0.98)


def distance_of(one):
    return struct.unpack(">d", one[1])[0]


def ef_of(told):
    return {"ef": int(re.search(r'ef\W+(\d+)', told)[1])}


@row(section=ON_MILVUS)
def milvus_search(bench):
    vectors, queries = table(bench), bench.vectors("a")[1][:50]
    collection = compacted(bench)
    session = bench.connect()
    ef = ef_of(request(session, "hnsw", queries[0]))
    as_lists = [query.tolist() for query in queries]

    def ask(vector, k=10, params=ef, expr=None):
        return collection.search([vector], "vector", {"metric_type": "IP", "params": params}, limit=k, expr=expr)[0]

    what = f"top-10 of {shape(vectors)}, the whole SQL call, "
    statement = bench.search("m", session, "hnsw")
    ours, theirs = interleave([statement(query) for query in queries],
                              [lambda v=v: clock(ask, v) for v in as_lists], most=250)
    yield within(f"{what}by vector, against pymilvus' search, {ef}", ours, theirs, 1.1, by="median")

    by_id = session.prepare("SELECT sample_id, distance FROM brain.sort_by_similarity('m', $1::text, k => 10,"
                            " brain_key => 'hnsw')")
    ids = [sample_id(i * 37) for i in range(50)]

    def get_and_ask(one):
        return ask(collection.query(f'pk in ["{one}"]', output_fields=["vector"])[0]["vector"])

    ours, theirs = interleave([by_id(one) for one in ids], [lambda i=i: clock(get_and_ask, i) for i in ids], most=250)
    yield within(f"{what}by id, against pymilvus' get and search", ours, theirs, 0.7, by="median")


@row(section=ON_MILVUS)
def milvus_top_1000(bench):
    vectors, queries = table(bench), bench.vectors("a")[1][:20]
    collection = compacted(bench)
    session = bench.connect()
    statement = session.prepare("SELECT sample_id, distance FROM brain.sort_by_similarity('m', $1::real[], k => 1000,"
                                " brain_key => 'hnsw')")
    select = bench.connect().prepare("SELECT id, embedding FROM m WHERE id = ANY ($1::text::text[])")
    told = request(session, "hnsw", queries[0], 1000)

    def both(vector):
        hits = collection.search([vector], "vector", {"metric_type": "IP", "params": ef_of(told)}, limit=1000)[0]
        return select("{" + ",".join(hits.ids) + "}")()

    ours, theirs = interleave([statement(query) for query in queries],
                              [lambda v=q.tolist(): clock(both, v) for q in queries], most=100)
    yield within(f"top-1,000 of {shape(vectors)}, against pymilvus' search, {ef_of(told)}, and one SELECT of these "
                 "embeddings by key", ours, theirs, 0.9, by="median")


@row(section=ON_MILVUS)
def milvus_filter(bench):
    vectors, queries = table(bench), bench.vectors("a")[1][:20]
    collection = compacted(bench)
    session, exact = bench.connect(), bench.connect()
    ef = ef_of(request(session, "hnsw", queries[0]))
    for share, condition, goal, wanted in (("10 %", "label < 100", 0.3, 0.95), ("0.1 %", "label = 7", 0.5, 1.0)):
        sql = ("SELECT sample_id, distance FROM brain.sort_by_similarity('m', $1::real[], k => 10,"
               f" brain_key => '{{}}', filter => '{condition}')")
        statement, right = session.prepare(sql.format("hnsw")), exact.prepare(sql.format("exact"))
        of_these = bench.admin.run(f"SELECT id FROM m WHERE {condition}")
        expr = "pk in [" + ",".join(f'"{one}"' for one, in of_these) + "]"
        hits = 0
        for query in queries:
            limit = max(distance_of(one) for one in right(query).rows()) + 1e-12
            hits += sum(distance_of(one) <= limit for one in statement(query).rows())
        found = hits / (10 * len(queries))
        told = session.value("SELECT brain.last_search()")
        by = re.search(r'"path": "(\w+)"', told)[1]

        def ask(vector):
            return collection.search([vector], "vector", {"metric_type": "IP", "params": ef}, limit=10, expr=expr)

        ours, theirs = interleave([statement(query) for query in queries],
                                  [lambda v=q.tolist(): clock(ask, v) for q in queries], most=100)
        result = within(f"top-10 with a filter that {share} pass (answered by: {by}), recall {found:.3f}, against "
                        "pymilvus with `pk in [...]` of the same ids", ours, theirs, goal, by="median")
        result.goal += f", recall ≥ {wanted}"
        result.reached = result.reached and found >= wanted
        yield result


@row(section=ON_MILVUS)
def milvus_neighbors(bench):
    vectors = table(bench)
    compacted(bench)
    asking, comparing, session = bench.connect(), bench.connect(), bench.connect()
    asking.run("SET brain.min_server_neighbors = 0")
    comparing.run("SET brain.min_server_neighbors = -1")
    call = "SELECT count(*) FROM brain.neighbors('m', 'hnsw', k => 10)"
    by_id = session.prepare("SELECT sample_id, distance FROM brain.sort_by_similarity('m', $1::text, k => 10,"
                            " brain_key => 'hnsw')")
    many, pairs, one = interleave([asking.prepare(call)()], [comparing.prepare(call)()],
                                  [by_id(sample_id(i * 37)) for i in range(50)], most=250)
    assert re.search(r'"path": "milvus"', asking.value("SELECT brain.last_search()"))
    yield within(f"100 queries in one call (brain.neighbors() of {shape(vectors)}, k = 10): each, against a search by id",
                 many.per(len(vectors)), one, 0.2, by="median")
    yield within("the same call whole, against all pairs in PostgreSQL", many, pairs)


@row(section=ON_MILVUS)
def milvus_connections(bench):
    table(bench)
    queries = bench.vectors("a")[1]
    compacted(bench)
    session = bench.connect()
    folder = f"/proc/{session.pid}"

    def connected():
        """Its connections by TCP, as inodes: the client's is a Unix socket."""
        with open(f"{folder}/net/tcp", encoding="ascii") as file:
            of_all = {f"socket:[{line.split()[9]}]" for line in file.readlines()[1:]}
        return {os.readlink(f"{folder}/fd/{name}") for name in os.listdir(f"{folder}/fd")} & of_all

    seen = set()
    statement = bench.search("m", session, "hnsw")
    for i in range(1000):
        statement(queries[i % len(queries)])()
        seen |= connected()
    request(session, "hnsw", queries[0])
    yield at_most("connections of a session for 1,000 searches (looked for after each)",
                  len(seen), 1, str(len(seen)), "1")


@row(section=ON_MILVUS)
def milvus_embeddings(bench):
    vectors = table(bench)
    collection = compacted(bench)
    n = bench.sizes.changes
    if not bench.has("bare"):
        bench.admin.run("CREATE TABLE bare AS SELECT id, label FROM m; ALTER TABLE bare ADD PRIMARY KEY (id); ANALYZE bare;"
                        "SELECT * FROM brain.compute_similarity('bare', 'attached', backend => 'milvus', server => 'milvus',"
                        " collection_name => 'hnsw', metric => 'dotproduct', with_data => false)")
    ids = [sample_id(i * 7 % len(vectors)) for i in range(n)]
    statement = bench.connect().prepare("SELECT sample_id, embedding FROM brain.get_embeddings('bare', 'attached',"
                                        " $1::text::text[])")("{" + ",".join(ids) + "}")
    assert len(statement.rows()) == n
    expr = "pk in [" + ",".join(f'"{one}"' for one in ids) + "]"
    assert len(collection.query(expr, output_fields=["vector"])) == n
    ours, theirs = interleave([statement], [lambda: clock(lambda: collection.query(expr, output_fields=["vector"]))],
                              most=40)
    yield within(f"{n:,} embeddings by id, from an attached run, against pymilvus' query", ours, theirs, 0.25)


# ---- writing -------------------------------------------------------------------

@row(section=ON_MILVUS)
def milvus_sync(bench):
    vectors = table(bench)
    n = bench.sizes.changes
    for key in ("synced", "upserted"):
        compute(bench.admin, key, FLAT)
    session = bench.connect()
    collection = pymilvus().Collection("upserted")
    ids = [sample_id(i) for i in range(n)]

    def change(i):
        """The same rows get the vectors of others."""
        session.run(f"UPDATE m SET embedding = s.embedding FROM m s WHERE m.id < '{sample_id(n)}'"
                    f" AND s.id = '65f0a1b2' || lpad(to_hex(('x' || right(m.id, 8))::bit(32)::int + {n * (i + 1)}), 16, '0')")
        return vectors[n * (i + 1):n * (i + 2)].tolist()

    rounds = iter(range(2 * bench.sizes.milvus_rounds))

    def ours():
        change(next(rounds))
        took = clock(session.run, "SELECT brain.sync('m', 'synced')")
        log = session.value("SELECT action FROM brain.sync('m', 'synced')")
        assert log == "none", log
        return took

    def theirs():
        part = vectors[n * (next(rounds) + 1):][:n].tolist()
        time.sleep(11)  # one flush in ten seconds is allowed
        return clock(lambda: (collection.upsert([ids, part, ids]), collection.flush()))

    mine, pys = in_rotation(bench.sizes.milvus_rounds, ours, theirs)
    yield within(f"{n:,} changed rows of {shape(vectors)} taken in by brain.sync(), until visible, against "
                 "pymilvus' upsert and flush", Time(mine), Time(pys), 0.2)
    request(session, "synced", vectors[n])
    drop(bench, "synced", "upserted")


@row(section=ON_MILVUS)
def milvus_upload(bench):
    vectors = table(bench)
    n, fewer = len(vectors), bench.sizes.milvus_slow
    ids = [sample_id(i) for i in range(n)]
    ready = lists(vectors, 1000)
    slow = arrays(vectors[:fewer], 100)
    gc.freeze()  # else its collector looks through all the floats, again and again
    builds = Builds(bench, stop_after="rows sent")

    def ours():
        phases = builds.build("ours", FLAT)
        drop(bench, "ours")
        return phases["rows sent"]

    def theirs(batches):
        took = upload_theirs("theirs", ids, batches)
        drop(bench, "theirs")
        return took

    mine, best, fiftyone = in_rotation(bench.sizes.milvus_rounds, ours, lambda: theirs(ready), lambda: theirs(slow))
    gc.unfreeze()
    for which, what, goal in ((0, "upload until the last reply", (1.2, 3)), (1, "our process' CPU for it", (0.5, 0.12))):
        us = Time(took[which] for took in mine)
        them = Time(took[which] for took in best)
        slower = Time(took[which] for took in fiftyone).per(fewer / n)
        rate = ((lambda times: f" ({n / times.min:,.0f} rows/s)") if which == 0 else lambda times: "")
        compare = (faster, within)[which]
        for side, name, its_goal in ((them, "pymilvus with ready-made lists, 1,000 rows", goal[0]),
                                     (slower, f"as FiftyOne calls it, 100 numpy rows (from {fewer:,} rows)", goal[1])):
            result = compare(f"{what}, reading the table included, {shape(vectors)}; against {name}", us, side, its_goal)
            result.ours, result.theirs = f"{us}{rate(us)}", f"{side}{rate(side)}"
            yield result


@row(section=ON_MILVUS)
def milvus_compute(bench):
    vectors = table(bench)
    ids = [sample_id(i) for i in range(len(vectors))]
    ready = lists(vectors, 1000)
    gc.freeze()
    builds = Builds(bench)
    settings = None

    def ours():
        nonlocal settings
        phases = builds.build("ours")
        settings = pymilvus().Collection("ours").index().params
        drop(bench, "ours")
        return phases

    def theirs():
        start = time.monotonic()
        sent, _ = upload_theirs("theirs", ids, ready)
        collection = pymilvus().Collection("theirs")
        collection.flush()
        collection.create_index("vector", settings)
        pymilvus().utility.wait_for_index_building_complete("theirs")
        while pymilvus().utility.index_building_progress("theirs")["pending_index_rows"] > 0:
            time.sleep(0.1)
        collection.load()
        whole = time.monotonic() - start
        drop(bench, "theirs")
        return whole, sent

    mine, pys = [], []
    for i in range(bench.sizes.milvus_builds):  # ours comes first in the first, as it tells the settings
        for side in (ours, theirs) if i % 2 == 0 else (theirs, ours):
            (mine if side is ours else pys).append(side())
    gc.unfreeze()
    us, them = Time(p["done"][0] for p in mine), Time(p[0] for p in pys)
    yield within(f"compute_similarity() whole, {shape(vectors)}, {settings['index_type']} {settings['params']}, "
                 f"against pymilvus doing the same steps ({len(mine)} rounds)", us, them, 1.0)
    share = Time(p["rows sent"][0] + p["done"][0] - p["loaded"][0] for p in mine)
    yield within("our share of it, without flush, index and load, against pymilvus' inserts", share,
                 Time(p[1] for p in pys), 0.6)
    last = mine[-1]
    yield Result("where the last of ours spent its time", f"rows sent {show(last['rows sent'][0])}, flushed "
                 f"{show(last['flushed'][0])}, indexed {show(last['indexed'][0])}, loaded {show(last['loaded'][0])}, "
                 f"done {show(last['done'][0])}", "", "", "", None)
