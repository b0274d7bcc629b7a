"""The rows of bench/run --milvus: ours beside pymilvus, on one server, in turns."""
import functools
import gc
import os
import re
import struct
import subprocess
import sys
import time

import numpy as np

from harness import (CLIENT, NOTICE_PROCESSOR, WORK, Result, SqlError, Time, array_header, at_most, clock, elements,
                     faster, interleave, show, three, within)
from rows import ON_MILVUS, ROWS, megabytes, row, shape

HERE = os.path.dirname(os.path.abspath(__file__))
DIM = 512
VARCHAR_LENGTH = 1000
FLAT = '{"index_type": "FLAT"}'  # takes no time to build


# ---- the servers -----------------------------------------------------------------

class Server:
    """One of tests/servers; table: its dataset, prefix: of what the lines say."""

    def __init__(self, kind, name, alias, table, prefix, is_lite):
        self.kind, self.name, self.alias, self.table = kind, name, alias, table
        self.prefix, self.is_lite = prefix, is_lite

    @functools.cached_property
    def info(self):
        told = subprocess.run([f"{HERE}/../tests/servers/server", "info", self.kind], check=True, capture_output=True,
                              text=True).stdout
        return dict(line.split("=", 1) for line in told.splitlines())

    def cpu(self):
        return cpu_seconds(int(self.info["pid"]))

    def size(self, sizes):
        return sizes.milvus_lite if self.is_lite else sizes.a

    def rounds(self, sizes):
        return min(3, sizes.milvus_rounds) if self.is_lite else sizes.milvus_rounds

    def most(self, n):
        """How many searches at most: their times hardly differ where the server takes so long."""
        return n // 5 if self.is_lite else n


FULL = Server("milvus-2.3.5", "milvus", "default", "m", "", False)
LITES = (Server("milvus-lite-3.2.2", "lite3", "lite3", "m_lite3", "milvus-lite 3.2.2: ", True),
         Server("milvus-lite-2.5.1", "lite2", "lite2", "m_lite2", "milvus-lite 2.5.1: ", True))


def cpu_seconds(pid):
    """What a process has used, with all its threads."""
    return time.clock_gettime((~pid << 3) | 2)


def on_lites_too(function):
    """A row of the full server, and one for each of the others."""
    for server in (FULL, *LITES):
        name = function.__name__.replace("milvus", server.name)
        ROWS[name] = functools.partial(function, server=server), ON_MILVUS, True
    return function


def of_server(ours, theirs):
    """How much of the time of both the server computed, from tuples that begin with its CPU seconds and the time."""
    (our_cpu, our_time), (their_cpu, their_time) = (
        np.mean([seen[:2] for seen in side], axis=0) for side in (ours, theirs))
    shares = our_cpu / our_time, their_cpu / their_time
    limit = ": the server is the limit" if min(shares) > 0.5 and our_cpu < 1.5 * their_cpu else ""
    return f" (server's CPU / time: {shares[0]:.2f} of ours, {shares[1]:.2f} of theirs{limit})"


def watch(server, function):
    """The server's CPU seconds while a function runs, the time, and what it returns."""
    cpu, start = server.cpu(), time.monotonic()
    result = function()
    return server.cpu() - cpu, time.monotonic() - start, result


class Watched:
    """Functions that return seconds, and what the server computes while they run."""

    def __init__(self, server, functions):
        self.server, self.seen = server, []
        self.functions = [functools.partial(self.call, function) for function in functions]

    def call(self, function):
        *seen, seconds = watch(self.server, function)
        self.seen.append(seen)
        return seconds


def compare(server, ours, theirs, most):
    """Times of both, taking turns, and what the server had to do with them."""
    sides = Watched(server, ours), Watched(server, theirs)
    times = interleave(*(side.functions for side in sides), most=server.most(most))
    return *times, of_server(*(side.seen for side in sides))


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


def table(bench, server=FULL):
    """The server's dataset, and what pymilvus uploads: the same rows."""
    name, vectors = server.table, bench.vectors("a")[0][:server.size(bench.sizes)]
    if not bench.has(name):
        bench.admin.run(f"CREATE TABLE {name} (id text PRIMARY KEY, label integer NOT NULL, embedding real[] NOT NULL);"
                        f"ALTER TABLE {name} ALTER embedding SET STORAGE PLAIN;"
                        # rows are so long that PostgreSQL would put the ids elsewhere, to save one byte
                        f"ALTER TABLE {name} ALTER id SET STORAGE PLAIN;"
                        f"CREATE SERVER {server.name} FOREIGN DATA WRAPPER milvus_fdw"
                        f" OPTIONS (uri '{server.info['uri']}');"
                        f"CREATE USER MAPPING FOR postgres SERVER {server.name}")
        bench.admin.copy(f"COPY {name} FROM STDIN (FORMAT binary)", copy_chunks(vectors))
        bench.admin.run(f"CREATE INDEX ON {name} (label)")
        bench.admin.run(f"VACUUM (FREEZE, ANALYZE) {name}")
        bench.admin.run(f"SELECT * FROM brain.compute_similarity('{name}', 'exact', embeddings => 'embedding',"
                        " metric => 'dotproduct')")
        made = f"SELECT count(*) FROM brain._runs WHERE brain_key = 'exact' AND dataset_name = '{name}'"
        assert bench.admin.value(made) == "1"
    pymilvus().connections.connect(server.alias, uri=server.info["uri"], timeout=60)
    return vectors


def pymilvus():
    import pymilvus  # noqa: only where there is one
    return pymilvus


def compute(session, key, options="{}", server=FULL):
    session.run(f"SELECT * FROM brain.compute_similarity('{server.table}', '{key}', embeddings => 'embedding',"
                f" id_field => 'id', backend => 'milvus', server => '{server.name}', collection_name => '{key}',"
                f" metric => 'dotproduct', options => '{options}')")


def drop(bench, *names, server=FULL):
    """Runs and collections; the server has finished with them then."""
    utility = pymilvus().utility
    for name in names:
        if bench.admin.value("SELECT count(*) FROM brain._runs"
                             f" WHERE brain_key = '{name}' AND dataset_name = '{server.table}'") != "0":
            bench.admin.run(f"SELECT brain.delete_index('{server.table}', '{name}')")
        else:
            utility.drop_collection(name, using=server.alias)
        while utility.has_collection(name, using=server.alias):
            time.sleep(0.1)
    time.sleep(0 if server.is_lite else 2)


class Builds:
    """A session whose builds tell when a phase has ended: by the clock, in its CPU and in the server's."""

    def __init__(self, bench, stop_after=None, server=FULL):
        self.admin, self.stop_after, self.server = bench.admin, stop_after, server
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
        return time.monotonic(), cpu_seconds(self.session.pid), self.server.cpu()

    def build(self, key, options="{}"):
        """Seconds, CPU seconds and the server's until the end of each phase."""
        self.phases = {}
        start = self.now()
        try:
            compute(self.session, key, options, self.server)
        except SqlError as error:
            if error.state != "57014" or self.stop_after not in self.phases:  # query_canceled
                raise
        self.phases["done"] = self.now()
        return {phase: np.subtract(at, start).tolist() for phase, at in self.phases.items()}


def create_theirs(name, server):
    """FiftyOne's layout, which ours has too."""
    milvus = pymilvus()
    text = {"dtype": milvus.DataType.VARCHAR, "max_length": VARCHAR_LENGTH}
    schema = milvus.CollectionSchema([milvus.FieldSchema("pk", is_primary=True, **text),
                                      milvus.FieldSchema("vector", milvus.DataType.FLOAT_VECTOR, dim=DIM),
                                      milvus.FieldSchema("sample_id", **text)])
    return milvus.Collection(name, schema, shards_num=1, consistency_level="Session", using=server.alias)


def upload_theirs(name, ids, batches, server=FULL):
    """Seconds, CPU seconds of this process, and the server's, of inserting batches of vectors."""
    collection = create_theirs(name, server)
    start, at = (time.monotonic(), time.process_time(), server.cpu()), 0
    for batch in batches:
        part = ids[at:at + len(batch)]
        collection.insert([part, batch, part])
        at += len(batch)
    return np.subtract((time.monotonic(), time.process_time(), server.cpu()), start).tolist()


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

def request(session, key, query, k=10, server=FULL):
    """The request of such a search; it must be by Milvus."""
    plan, why, told = session.run(f"SELECT plan, why, request FROM brain.explain_similarity('{server.table}', '{{"
                                  f"{','.join(map(str, query.tolist()))}}}'::real[], k => {k}, brain_key => '{key}')")[0]
    assert plan == "milvus", why
    return told


def flushed_segments(name):
    connection = pymilvus().connections._fetch_handler("default")
    return {s.segmentID for s in connection.get_persistent_segment_infos(name) if s.num_rows > 0}


def compact(bench, collection):
    collection.compact()
    collection.wait_for_compaction_completed(timeout=600)
    quiet = 0
    while quiet < 10:  # the merged segment is indexed, then loaded, some time later
        progress = pymilvus().utility.index_building_progress(collection.name)
        segments = {s.segmentID for s in pymilvus().utility.get_query_segment_info(collection.name)}
        is_quiet = progress["pending_index_rows"] == 0 and segments == flushed_segments(collection.name)
        quiet = quiet + 1 if is_quiet else 0
        time.sleep(0.5)
    bench.hnsw_segments = len(segments)


def compacted(bench, server=FULL):
    """The run hnsw over the dataset with all defaults, and its collection; compacted where there is that."""
    made = not pymilvus().utility.has_collection("hnsw", using=server.alias)
    if made:
        seconds = clock(compute, bench.admin, "hnsw", "{}", server)
    collection = pymilvus().Collection("hnsw", using=server.alias)
    if made and not server.is_lite:
        bench.hnsw_seconds = seconds
        compact(bench, collection)
    return collection


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
    ef = re.search(r'ef\W+(\d+)', told)  # other indexes than HNSW have none
    return {"ef": int(ef[1])} if ef else {}


@on_lites_too
def milvus_search(bench, server):
    vectors, queries = table(bench, server), bench.vectors("a")[1][:50]
    collection = compacted(bench, server)
    session = bench.connect()
    ef = ef_of(request(session, "hnsw", queries[0], server=server))
    as_lists = [query.tolist() for query in queries]

    def ask(vector, k=10, params=ef, expr=None):
        return collection.search([vector], "vector", {"metric_type": "IP", "params": params}, limit=k, expr=expr)[0]

    what = f"{server.prefix}top-10 of {shape(vectors)}, the whole SQL call, "
    statement = bench.search(server.table, session, "hnsw")
    ours, theirs, share = compare(server, [statement(query) for query in queries],
                                  [lambda v=v: clock(ask, v) for v in as_lists], 250)
    yield within(f"{what}by vector, against pymilvus' search, {ef}{share}", ours, theirs, 1.1, by="median")

    by_id = session.prepare(f"SELECT sample_id, distance FROM brain.sort_by_similarity('{server.table}', $1::text,"
                            " k => 10, brain_key => 'hnsw')")
    ids = [sample_id(i * 37) for i in range(50)]

    def get_and_ask(one):
        return ask(collection.query(f'pk in ["{one}"]', output_fields=["vector"])[0]["vector"])

    ours, theirs, share = compare(server, [by_id(one) for one in ids],
                                  [lambda i=i: clock(get_and_ask, i) for i in ids], 250)
    yield within(f"{what}by id, against pymilvus' get and search{share}", ours, theirs, 0.7, by="median")


@on_lites_too
def milvus_top_1000(bench, server):
    vectors, queries = table(bench, server), bench.vectors("a")[1][:20]
    collection = compacted(bench, server)
    session = bench.connect()
    statement = session.prepare(f"SELECT sample_id, distance FROM brain.sort_by_similarity('{server.table}',"
                                " $1::real[], k => 1000, brain_key => 'hnsw')")
    select = bench.connect().prepare(f"SELECT id, embedding FROM {server.table} WHERE id = ANY ($1::text::text[])")
    told = request(session, "hnsw", queries[0], 1000, server)

    def both(vector):
        hits = collection.search([vector], "vector", {"metric_type": "IP", "params": ef_of(told)}, limit=1000)[0]
        return select("{" + ",".join(hits.ids) + "}")()

    ours, theirs, share = compare(server, [statement(query) for query in queries],
                                  [lambda v=q.tolist(): clock(both, v) for q in queries], 100)
    yield within(f"{server.prefix}top-1,000 of {shape(vectors)}, against pymilvus' search, {ef_of(told)}, and one "
                 f"SELECT of these embeddings by key{share}", ours, theirs, 0.9, by="median")


@on_lites_too
def milvus_filter(bench, server):
    vectors, queries = table(bench, server), bench.vectors("a")[1][:20]
    collection = compacted(bench, server)
    session, exact = bench.connect(), bench.connect()
    ef = ef_of(request(session, "hnsw", queries[0], server=server))
    for share, condition, goal, wanted in (("10 %", "label < 100", 0.3, 0.95), ("0.1 %", "label = 7", 0.5, 1.0)):
        sql = (f"SELECT sample_id, distance FROM brain.sort_by_similarity('{server.table}', $1::real[],"
               f" k => 10, brain_key => '{{}}', filter => '{condition}')")
        statement, right = session.prepare(sql.format("hnsw")), exact.prepare(sql.format("exact"))
        of_these = bench.admin.run(f"SELECT id FROM {server.table} WHERE {condition}")
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

        ours, theirs, its_share = compare(server, [statement(query) for query in queries],
                                          [lambda v=q.tolist(): clock(ask, v) for q in queries], 100)
        result = within(f"{server.prefix}top-10 with a filter that {share} pass (answered by: {by}), recall {found:.3f}, against "
                        f"pymilvus with `pk in [...]` of the same ids{its_share}", ours, theirs, goal, by="median")
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

@on_lites_too
def milvus_sync(bench, server):
    vectors = table(bench, server)
    n, name = bench.sizes.changes, server.table
    for key in ("synced", "upserted"):
        compute(bench.admin, key, FLAT, server)
    session = bench.connect()
    collection = pymilvus().Collection("upserted", using=server.alias)
    ids = [sample_id(i) for i in range(n)]

    def change(i):
        """The same rows get the vectors of others."""
        session.run(f"UPDATE {name} m SET embedding = s.embedding FROM {name} s WHERE m.id < '{sample_id(n)}'"
                    f" AND s.id = '65f0a1b2' || lpad(to_hex(('x' || right(m.id, 8))::bit(32)::int + {n * (i + 1)}), 16, '0')")
        return vectors[n * (i + 1):n * (i + 2)].tolist()

    rounds = iter(range(2 * server.rounds(bench.sizes)))

    def ours():
        change(next(rounds))
        took = watch(server, lambda: session.run(f"SELECT brain.sync('{name}', 'synced')"))
        log = session.value(f"SELECT action FROM brain.sync('{name}', 'synced')")
        assert log == "none", log
        return took

    def theirs():
        part = vectors[n * (next(rounds) + 1):][:n].tolist()
        time.sleep(0 if server.is_lite else 11)  # one flush in ten seconds is allowed
        return watch(server, lambda: (collection.upsert([ids, part, ids]), collection.flush()))

    mine, pys = in_rotation(server.rounds(bench.sizes), ours, theirs)
    yield within(f"{server.prefix}{n:,} changed rows of {shape(vectors)} taken in by brain.sync(), until visible, against "
                 f"pymilvus' upsert and flush{of_server(mine, pys)}", Time(took for _, took, _ in mine),
                 Time(took for _, took, _ in pys), 0.2)
    request(session, "synced", vectors[n], server=server)
    drop(bench, "synced", "upserted", server=server)


@on_lites_too
def milvus_upload(bench, server):
    vectors = table(bench, server)
    n, fewer = len(vectors), min(len(vectors), bench.sizes.milvus_slow)
    ids = [sample_id(i) for i in range(n)]
    ready = lists(vectors, 1000)
    slow = arrays(vectors[:fewer], 100)
    gc.freeze()  # else its collector looks through all the floats, again and again
    builds = Builds(bench, stop_after="rows sent", server=server)

    def ours():
        phases = builds.build("ours", FLAT)
        drop(bench, "ours", server=server)
        return phases["rows sent"]

    def theirs(batches):
        took = upload_theirs("theirs", ids, batches, server)
        drop(bench, "theirs", server=server)
        return took

    mine, best, fiftyone = in_rotation(server.rounds(bench.sizes), ours, lambda: theirs(ready), lambda: theirs(slow))
    gc.unfreeze()
    for which, what, goal in ((0, "upload until the last reply", (1.2, 3)), (1, "our process' CPU for it", (0.5, 0.12))):
        us = Time(took[which] for took in mine)
        them = Time(took[which] for took in best)
        slower = Time(took[which] for took in fiftyone).per(fewer / n)
        rate = ((lambda times: f" ({n / times.min:,.0f} rows/s)") if which == 0 else lambda times: "")
        judge = (faster, within)[which]
        for side, name, its_goal, seen in (
                (them, "pymilvus with ready-made lists, 1,000 rows", goal[0], best),
                (slower, f"as FiftyOne calls it, 100 numpy rows (from {fewer:,} rows)", goal[1], fiftyone)):
            share = of_server(*([(cpu, took) for took, _, cpu in side] for side in (mine, seen))) if which == 0 else ""
            result = judge(f"{server.prefix}{what}, reading the table included, {shape(vectors)}; against {name}{share}",
                           us, side, its_goal)
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

    def steps():
        sent, *_ = upload_theirs("theirs", ids, ready)
        collection = pymilvus().Collection("theirs")
        collection.flush()
        collection.create_index("vector", settings)
        pymilvus().utility.wait_for_index_building_complete("theirs")
        while pymilvus().utility.index_building_progress("theirs")["pending_index_rows"] > 0:
            time.sleep(0.1)
        collection.load()
        return sent

    def theirs():
        took = watch(FULL, steps)
        drop(bench, "theirs")
        return took

    mine, pys = [], []
    for i in range(bench.sizes.milvus_builds):  # ours comes first in the first, as it tells the settings
        for side in (ours, theirs) if i % 2 == 0 else (theirs, ours):
            (mine if side is ours else pys).append(side())
    gc.unfreeze()
    us, them = Time(p["done"][0] for p in mine), Time(p[1] for p in pys)
    its_share = of_server([(p["done"][2], p["done"][0]) for p in mine], pys)
    yield within(f"compute_similarity() whole, {shape(vectors)}, {settings['index_type']} {settings['params']}, "
                 f"against pymilvus doing the same steps ({len(mine)} rounds){its_share}", us, them, 1.0)
    share = Time(p["rows sent"][0] + p["done"][0] - p["loaded"][0] for p in mine)
    yield within("our share of it, without flush, index and load, against pymilvus' inserts", share,
                 Time(p[2] for p in pys), 0.6)
    last = mine[-1]
    yield Result("where the last of ours spent its time", f"rows sent {show(last['rows sent'][0])}, flushed "
                 f"{show(last['flushed'][0])}, indexed {show(last['indexed'][0])}, loaded {show(last['loaded'][0])}, "
                 f"done {show(last['done'][0])}", "", "", "", None)


# ---- into a sink ---------------------------------------------------------------

class Sink:
    """sink.c, as a server of that name; table: the dataset that is sent to it."""
    name = "sink"

    def __init__(self, bench, table, *file):
        self.admin, self.table = bench.admin, table
        self.process = subprocess.Popen([f"{WORK}/sink", *file], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.uri = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"
        self.admin.run(f"CREATE SERVER sink FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '{self.uri}');"
                       "CREATE USER MAPPING FOR postgres SERVER sink")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()  # its end
        status = self.process.wait()
        self.admin.run("DROP SERVER sink CASCADE")
        assert status == 0, "the sink failed"

    def cpu(self):
        return cpu_seconds(self.process.pid)

    def forget(self, key):
        self.admin.run(f"SELECT brain.delete_index('{self.table}', '{key}')")
        self.admin.run("SELECT brain.sweep()")

    def post(self, frames):
        """The number of calls, bytes and seconds of posting what another sink has taken."""
        url = f"{self.uri}/milvus.proto.milvus.MilvusService/Insert"
        calls, size, seconds = subprocess.run([f"{WORK}/post", url, frames], check=True, capture_output=True,
                                              text=True).stdout.split()
        return int(calls), int(size), float(seconds)


@row(section=ON_MILVUS)
def milvus_sink(bench):
    vectors, frames = table(bench), f"{WORK}/inserts"
    with Sink(bench, "m", frames) as sink:
        compute(bench.admin, "sunk", FLAT, sink)
        sink.forget("sunk")
    with Sink(bench, "m") as sink:
        builds = Builds(bench, server=sink)
        read = bench.connect().prepare("SELECT bench.read_rows($1)")("SELECT id, embedding FROM m").inside

        def ours():
            took, _, cpu = builds.build("sunk", FLAT)["rows sent"]
            sink.forget("sunk")
            return took, cpu

        def theirs():
            return read(), *sink.post(frames)

        ours(), theirs()  # now both are warm
        mine, other = in_rotation(4 * bench.sizes.milvus_rounds, ours, theirs)
    os.remove(frames)
    us, reads, posts = Time(took for took, _ in mine), Time(p[0] for p in other), Time(p[3] for p in other)
    sinks, (calls, size) = Time(cpu for _, cpu in mine), other[0][1:3]
    yield within(f"upload into a sink that acknowledges at once (its CPU: {sinks}), {shape(vectors)}, against one read of "
                 f"the rows ({reads}) and libcurl posting the same {calls} requests ({posts}: "
                 f"{three(size / posts.min / 1e9)} GB/s)", us, Time(p[0] + p[3] for p in other), 1.3)


@row(section=ON_MILVUS)
def milvus_memory(bench):
    """A view that has each row ten times, with ids of its own."""
    n = 10 * len(table(bench))
    bench.admin.run("CREATE VIEW tenfold AS SELECT id || '-' || generate_series(1, 10) AS id, embedding FROM m")
    with Sink(bench, "tenfold") as sink:
        session = bench.connect()
        session.run("SELECT sum(embedding[1]) FROM m")  # now it has the table's pages of shared memory
        before = session.memory("VmRSS")
        with open(f"/proc/{session.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # VmHWM begins anew
        compute(session, "many", FLAT, sink)
        grown = session.memory("VmHWM") - before
        sent = int(session.value("SELECT rows FROM brain.sync_status WHERE brain_key = 'many'"))
        assert sent == n, sent
        sink.forget("many")
    yield at_most(f"peak memory of the server process while {n:,} × {DIM} go into a sink, above its start", grown, 100e6,
                  megabytes(grown), "100 MB")
