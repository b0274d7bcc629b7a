"""What bench/run measures, row by row; README.md tells how to read the lines."""
import os
import threading
import time
import traceback

import numpy as np

from harness import (ALL_CPUS, CPU, Repeats, Result, SqlError, Time, Vector, at_most, clock, copy_chunks,
                     exact_distances, faster, interleave, pgbench, recall, show, three, within)

SYNTHETIC, REAL, ON_MILVUS = "Synthetic data", "Real embeddings", "On Milvus"  # sections of RESULTS.md
ROWS = {}  # name: (function, section, is it run without being named)


def row(function=None, section=SYNTHETIC, default=True):
    if function is None:
        return lambda f: row(f, section, default)
    ROWS[function.__name__] = (function, section, default)
    return function


def shape(vectors):
    return f"{vectors.shape[0]:,} × {vectors.shape[1]}"


def megabytes(size):
    return f"{three(size / 1e6)} MB"


# ---- one query -------------------------------------------------------------

@row
def search_100k(bench):
    n, queries = bench.sizes.a, bench.vectors("a")[1][:20]
    bench.dataset("a")
    inline, default = bench.pgvector("a_inline", "a"), bench.pgvector("a_default", "a", storage=None)
    ours, theirs, toasted = interleave(bench.searches("a", queries), bench.pgvector_searches(inline, queries),
                                       bench.pgvector_searches(default, queries))
    what = f"exact top-10, {n:,} × 512; against pgvector, "
    yield faster(what + "vectors inline", ours, theirs, 25)
    yield faster(what + "its default storage", ours, toasted, 80)
    # the same vectors, not copied into real[]: the run is over pgvector's column
    bench.compute(inline)
    ours, theirs = interleave(bench.searches(inline, queries), bench.pgvector_searches(inline, queries))
    yield faster("same, both over one `vector` column (inline)", ours, theirs)


@row
def search_1m(bench):
    n, queries = bench.sizes.b, bench.vectors("b")[1][:20]
    bench.dataset("b")
    ours, theirs = interleave(bench.searches("b", queries),
                              bench.pgvector_searches(bench.pgvector("b_inline", "b"), queries))
    yield faster(f"exact top-10, {n:,} × 128 (inline), against pgvector", ours, theirs, 30)


@row
def read_limit(bench):
    for name, goal in (("a", 0.45), ("b", 0.65)):
        vectors, queries = bench.vectors(name)
        session = bench.connect()
        ours, limit = interleave(bench.searches(bench.dataset(name), queries[:20], session),
                                 bench.sums(name, session))
        yield within(f"that call, against a read-only sum over the mapped float32 rows in the same process, "
                     f"{shape(vectors)}", ours, limit, goal)


@row
def screens_off(bench):
    for name in ("a", "b"):
        vectors, queries = bench.vectors(name)
        session = bench.connect(brain__screening="off")
        ours, limit = interleave(bench.searches(bench.dataset(name), queries[:20], session),
                                 bench.sums(name, session))
        yield within(f"screens switched off, against that sum, {shape(vectors)}", ours, limit, 1.2)


@row
def defeated(bench):
    vectors, queries = bench.vectors("defeat")
    bench.dataset("defeat")
    firsts, plain, later = [], [], []
    for i in range(bench.sizes.sessions):
        session = bench.connect()
        # the row that lies alone: checksums are verified, the screens do their work
        bench.searches("defeat", vectors[-1:], session)[0]()
        off = bench.connect(brain__screening="off")
        unscreened = bench.searches("defeat", queries[i:i + 5], off)
        unscreened[0]()
        screened = bench.searches("defeat", queries[i:i + 5], session)
        firsts.append(screened[0]())
        plain.append(unscreened[0]())
        for a, b in zip(screened[1:], unscreened[1:]):
            later.append(a())
            plain.append(b())
        session.close()
        off.close()
    what = f"data that defeats the screens, {shape(vectors)}, against screens switched off: "
    yield within(what + "first such query of a session", Time(firsts), Time(plain), 1.35)
    yield within(what + "from the second on", Time(later), Time(plain), 1.1)
    session = bench.connect()
    searches = bench.searches("defeat", queries[:20], session)
    ours, limit = interleave(searches, bench.sums("defeat", session))
    yield within("the same from the second on, against the read-only sum", ours, limit)


@row
def small(bench):
    vectors, queries = bench.vectors("a")
    for n in bench.sizes.small:
        name = f"small_{n}"
        bench.table(name, vectors[:n])
        bench.compute(name)
        bench.data[name] = vectors[:n], queries
        session = bench.connect()
        ours, theirs, one_read = interleave(
            bench.searches(name, queries[:20], session),
            bench.pgvector_searches(bench.pgvector(f"{name}_vector", name), queries[:20]),
            bench.sums(name, session))
        yield faster(f"exact top-10, {n:,} × 512, against pgvector", ours, theirs, 1)
        keys = ", ".join(str(n * (2 * i + 1) // 20) for i in range(10))
        script = f"SELECT id, label FROM {name} WHERE id IN ({keys});\n"
        by_key = Time(pgbench(script, bench.sizes.transactions) for _ in range(bench.sizes.rounds))
        goal = 3 * by_key.min + one_read.min
        yield at_most(f"same, against a prepared SELECT of 10 rows by key (pgbench, "
                      f"{bench.sizes.rounds} means) and a read of the bytes ({one_read})", ours.min, goal,
                      f"{three((ours.min - one_read.min) / by_key.min)}× + read",
                      f"3× + one read = {show(goal)}", ours, by_key)


@row
def plain_sql(bench):
    vectors, queries = bench.vectors("a")
    bench.dataset("a")
    statement = bench.connect().prepare(
        "SELECT id FROM a ORDER BY 1 - (SELECT sum(x * y) FROM unnest(embedding, $1::real[]) AS u (x, y))"
        " LIMIT 10")
    ours, theirs = interleave(bench.searches("a", queries[:20]), [statement(query) for query in queries[:20]])
    yield faster(f"plain SQL without an extension (unnest and sum over real[]), {shape(vectors)}",
                 ours, theirs, 1000)


@row
def recall_of_all(bench):
    for name in ("a", "b", "defeat"):
        vectors, queries = bench.vectors(name)
        yield recall_row(bench, name, vectors, queries[:5 if Repeats.quick else 50])


def recall_row(bench, name, vectors, queries):
    answers, worst = [], 0
    for query, search in zip(queries, bench.searches(bench.dataset(name), queries)):
        found = search.rows()
        answers.append([int(sample_id) for sample_id, _ in found])
        true = exact_distances(vectors[[i - 1 for i in answers[-1]]], query)
        told = np.frombuffer(b"".join(distance for _, distance in found), dtype=">f8")
        worst = max(worst, np.abs(true - told).max())
    share = recall(vectors, queries, answers)
    what = f"recall against double-precision brute force, {shape(vectors)}, {len(queries)} queries"
    return Result(what, f"{share:.4f}, distances within {worst:.0e}", "", "", "1.0", share == 1 and worst < 1e-12)


# ---- several queries, all pairs ---------------------------------------------

@row
def several(bench):
    vectors, queries = bench.vectors("a")
    bench.dataset("a")
    session = bench.connect()
    at_once = bench.search("a", session, aggregation="post-min")
    singles = bench.searches("a", queries[:8], session)
    ours, theirs = interleave([at_once(queries[:8])], [lambda: sum(single() for single in singles)])
    yield within(f"8 queries in one call against eight calls, {shape(vectors)}", ours, theirs, 0.9)
    for n, goal in zip(bench.sizes.queries, (1.6, 1.18)):
        limit = Time([2 * vectors.size / bench.flops()])
        ours = interleave([at_once(queries[:n])])[0].per(n)
        yield within(f"{n:,} queries in one call, each, against 2·n·d flops at sgemm's peak "
                     f"({three(bench.flops() / 1e9)} GFLOP/s)", ours, limit, goal)


@row
def neighbors(bench):
    vectors, _ = bench.vectors("a")
    session = bench.connect(work_mem="64MB")
    call = session.prepare(f"SELECT count(*) FROM brain.neighbors('{bench.dataset('a')}', 'run', k => 10)")()
    bench.flops()
    peak = Peak(session)
    try:
        ours = interleave([call])[0]
    finally:
        memory = peak.stop()
    share = 2 * len(vectors) * vectors.size / ours.min / bench.flops()
    yield Result(f"brain.neighbors(), {shape(vectors)}, k = 10: share of sgemm's peak", ours,
                 f"{three(bench.flops() / 1e9)} GFLOP/s", f"{100 * share:.0f} %", "≥ 75 %", share >= 0.75)
    limit = 128 << 20
    yield at_most("its private memory, work_mem = 64 MB", memory, limit, megabytes(memory),
                  f"work_mem + 64 MB = {megabytes(limit)}")
    model = fiftyone_default(vectors)
    theirs = interleave([lambda: clock(model.kneighbors, None, 10)])[0]
    yield faster("the same by scikit-learn, as FiftyOne's default backend runs it", ours, theirs, 2)


def fiftyone_default(vectors):
    """What it is above 15,000 samples: Euclidean on unit vectors for cosine; 'auto' is 'brute' here."""
    from sklearn.neighbors import NearestNeighbors
    return NearestNeighbors(metric="euclidean", algorithm="brute").fit(vectors)


class Peak:
    """The most private memory of a server process while something runs in it."""

    def __init__(self, session):
        self.peak = 0
        self.session = session
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.stopped.wait(0.02):
            self.peak = max(self.peak, self.session.memory("RssAnon"))

    def stop(self):
        self.stopped.set()
        self.thread.join()
        return self.peak


@row
def sklearn(bench):
    vectors, queries = bench.vectors("a")
    bench.dataset("a")
    model = fiftyone_default(vectors)
    ours, theirs = interleave(bench.searches("a", queries[:20]),
                              [lambda i=i: clock(model.kneighbors, queries[i:i + 1], 10) for i in range(20)])
    yield faster(f"one query by scikit-learn, as FiftyOne's default backend runs it, {shape(vectors)}",
                 ours, theirs, 20)


# ---- building, opening, writing ---------------------------------------------

@row
def compute(bench):
    vectors, _ = bench.vectors("a")
    bench.dataset("a")
    session = bench.connect()
    build = session.prepare("SELECT * FROM brain.compute_similarity('a', 'run', embeddings => 'embedding',"
                            " metric => 'cosine', overwrite => true)")()
    read = session.prepare("SELECT bench.read_rows($1)")("SELECT id, embedding FROM a").inside
    ours, theirs = interleave([build], [read])
    yield within(f"compute_similarity() from an inline column, {shape(vectors)}, against reading the column "
                 "and adding up every element", ours, theirs, 6)
    yield Result("FiftyOne's compute_similarity() (quoted: 1.22.1, 100,000 × 512, another machine)", ours,
                 "50.8 s / 50.8 s (scikit-learn); 15.7 s / 17.2 s (Milvus 2.3.5)", "", "", None)


@row
def first_search(bench):
    vectors, queries = bench.vectors("a")
    bench.dataset("a")
    firsts, later = [], []
    for i in range(bench.sizes.sessions):
        session = bench.connect()
        session.run("SELECT 1")
        start = time.monotonic()
        search = bench.searches("a", queries[i:i + 1], session)[0]
        firsts.append(search() and time.monotonic() - start)
        later.extend(search() for _ in range(3))
        session.close()
    firsts, later = Time(firsts), Time(later)
    extra = firsts.median - later.median
    yield at_most(f"first search of a new session (with loading the library and preparing), {shape(vectors)}, "
                  "against later ones", extra, 0.025, f"+ {show(extra)}", "later ones + 25 ms", firsts, later)
    yield Result("FiftyOne's load_brain_results() and first sort_by_similarity() (quoted, as above)", firsts,
                 "17.8 s + 1.09 s (scikit-learn); 70.0 ms + 11.6 ms (Milvus 2.3.5)", "", "", None)


@row
def writers(bench):
    """How long a writer waits while a run is made; each of the two has a CPU, if there are two."""
    vectors, _ = bench.vectors("b")
    bench.dataset("b")
    update = bench.connect().prepare("UPDATE b SET label = label + 1 WHERE id = $1::integer")
    building = bench.connect()
    ended = threading.Event()

    def build():
        building.run("SELECT * FROM brain.compute_similarity('b', 'beside', embeddings => 'embedding',"
                     " metric => 'cosine')")
        ended.set()
    os.sched_setaffinity(0, ALL_CPUS)
    os.sched_setaffinity(building.pid, ALL_CPUS)
    thread = threading.Thread(target=build)
    try:
        alone = Time(update(1 + i)() for i in range(1000))
        thread.start()
        beside = []
        while not ended.is_set() and thread.is_alive():
            beside.append(update(2000 + len(beside) % 10000)())
        thread.join()
    finally:
        os.sched_setaffinity(0, {CPU})
    yield Result(f"longest wait of a single-row UPDATE while compute_similarity() reads {shape(vectors)}, "
                 "against the longest without", show(max(beside)), show(max(alone.seconds)), "", "", None)
    bench.admin.run("SELECT brain.delete_brain_run('b', 'beside')")
    bench.admin.run("VACUUM b")


def tracked_pair(bench, name, fill=True):
    """Two equal tables, the first with a run."""
    vectors, _ = bench.vectors("a")
    pair = f"{name}_tracked", f"{name}_untracked"
    for table in pair:
        bench.table(table, vectors, fill=fill)
    if not fill:
        # a run wants to know its dimensions
        for table in pair:
            bench.admin.copy(f"COPY {table} FROM STDIN (FORMAT binary)", copy_chunks(vectors[:1], first_id=0))
    bench.compute(pair[0])
    return pair


def temporary_files(bench, session=None):
    (session or bench.admin).run("SELECT pg_stat_force_next_flush()")
    return int(bench.admin.value("SELECT temp_files FROM pg_stat_database WHERE datname = 'bench'"))


def no_files(files, what):
    return Result(f"temporary files of that {what}", str(files), "", "", "none", files == 0)


@row
def copy(bench):
    vectors, _ = bench.vectors("a")
    chunks = list(copy_chunks(vectors))
    files, sides = 0, {"copy_tracked": [], "copy_untracked": []}
    for _ in range(1 if Repeats.quick else 5):
        for table in tracked_pair(bench, "copy", fill=False):
            bench.admin.run("CHECKPOINT")
            before = temporary_files(bench)
            session = bench.connect()
            sides[table].append(clock(session.copy, f"COPY {table} FROM STDIN (FORMAT binary)", chunks))
            files += temporary_files(bench, session) - before
            session.close()
    yield within(f"COPY of {shape(vectors)} into a tracked table against an untracked one",
                 *map(Time, sides.values()), 1.3)
    yield no_files(files, "COPY")
    bench.admin.run("DROP TABLE copy_tracked, copy_untracked")


@row
def single_writes(bench):
    vectors, _ = bench.vectors("a")
    pair = tracked_pair(bench, "single")
    bench.admin.run(f"CREATE SEQUENCE IF NOT EXISTS new_id START {10 * len(vectors)}")
    insert = ("INSERT INTO {} VALUES (nextval('new_id'), 0, array_fill(0.5::real, ARRAY[512]));")
    update = "\\set id random(1, " + str(len(vectors)) + ")\nUPDATE {} SET label = label + 1 WHERE id = :id;"
    for what, script in (("INSERT", insert), ("UPDATE of another column", update)):
        sides = [], []
        for i in range(bench.sizes.rounds + 1):
            for table, side in zip(pair, sides):
                mean = pgbench(script.format(table), bench.sizes.transactions)
                if i > 0:  # the first warms
                    side.append(mean)
        yield within(f"single-row {what} from pgbench ({bench.sizes.rounds} means), tracked against untracked",
                     *map(Time, sides), 1.3)
    bench.admin.run("DROP TABLE single_tracked, single_untracked")


@row
def bulk_update(bench):
    vectors, _ = bench.vectors("a")
    pair = tracked_pair(bench, "bulk")
    bench.admin.run("CHECKPOINT")
    files = temporary_files(bench)
    sessions = [bench.connect() for _ in pair]

    def side(table, session):
        update = session.prepare(f"UPDATE {table} SET label = label + 1")()

        def once():
            seconds = update()
            bench.admin.run(f"VACUUM {table}")
            return seconds
        return [once]
    tracked, untracked = interleave(*map(side, pair, sessions), most=10)
    files = max(temporary_files(bench, session) for session in sessions) - files
    yield within(f"bulk UPDATE of another column, {shape(vectors)}, tracked against untracked",
                 tracked, untracked, 1.4)
    yield no_files(files, "UPDATE")
    bench.admin.run("DROP TABLE bulk_tracked, bulk_untracked")


# ---- the change log ---------------------------------------------------------

@row
def empty_log(bench):
    bench.table("tiny", bench.vectors("b")[0][:10])
    bench.compute("tiny")
    session = bench.connect()
    ours, nothing = interleave(bench.searches("tiny", bench.vectors("b")[1][:20], session),
                               [session.prepare("SELECT i::text, i::float8 FROM generate_series(1, 10) AS i")()])
    extra = ours.min - nothing.min
    yield at_most("an empty log costs less than the whole search of a table of 10 rows × 128 against a SELECT "
                  "of 10 rows", extra, 0.00005, f"+ {show(extra)}", "0.05 ms", ours, nothing)


@row
def changed(bench):
    queries, n = bench.vectors("a")[1][:20], bench.sizes.changes
    bench.dataset("a")
    for name, storage, goal, how in (("log_inline", "PLAIN", 0.003, "inline"),
                                     ("log_toasted", "EXTERNAL", 0.006, "TOASTed")):
        bench.table(name, bench.vectors("a")[0], storage)
        bench.compute(name)
        step = bench.sizes.a // n
        bench.admin.run(f"UPDATE {name} SET embedding = (SELECT other.embedding FROM {name} AS other"
                        f" WHERE other.id = {name}.id + 1) WHERE id % {step} = 1")
        bench.admin.run(f"VACUUM {name}")
        ours, theirs = interleave(bench.searches(name, queries), bench.searches("a", queries))
        extra = ours.min - theirs.min
        yield at_most(f"{n:,} changed ids, {how}, against none, {bench.sizes.a:,} × 512", extra, goal,
                      f"+ {show(extra)}", show(goal), ours, theirs)
    run_id = bench.admin.value("SELECT run_id FROM brain._runs WHERE dataset_name = 'log_inline'")
    bench.admin.run("INSERT INTO brain.changes (run_id, kind, sample_id, changed)"
                    f" SELECT '{run_id}', 'r', (i % {bench.sizes.a} + 1)::text, now()"
                    f" FROM generate_series(1, {bench.sizes.long_log}) AS i")
    bench.admin.run("VACUUM ANALYZE brain.changes")
    table = bench.connect(brain__use_matrix="off")
    ours, theirs = interleave(bench.searches("log_inline", queries), bench.searches("log_inline", queries, table))
    yield within(f"a log of {bench.sizes.long_log:,} rows against the table path, {bench.sizes.a:,} × 512",
                 ours, theirs, 1.2)
    bench.admin.run("DROP TABLE log_inline, log_toasted")


@row
def sync(bench):
    vectors, queries = bench.vectors("b")
    bench.table("synced", vectors)
    bench.table("fresh", vectors)
    step = bench.sizes.b // bench.sizes.changes
    builds, syncs = [], []
    for i in range(1 if Repeats.quick else 5):
        builds.append(clock(lambda: bench.compute("fresh", overwrite="true")))
        bench.compute("synced", overwrite="true")
        bench.admin.run("UPDATE synced SET embedding = (SELECT other.embedding FROM synced AS other"
                        f" WHERE other.id = synced.id + {1 + i}) WHERE id % {step} = 1")
        start = time.monotonic()
        action = bench.admin.run("SELECT action, changes FROM brain.sync('synced', 'run')")
        syncs.append(time.monotonic() - start)
    yield within(f"sync of {action[0][1]} changed rows of {shape(vectors)} ({action[0][0]}) against a full build",
                 Time(syncs), Time(builds), 0.05)
    after, before = interleave(bench.searches("synced", queries[:20]), bench.searches("fresh", queries[:20]))
    yield within("searches after that sync against a fresh build's", after, before, 1.1)
    bench.admin.run("DROP TABLE synced, fresh")


@row
def partitions(bench):
    n = bench.sizes.partitions
    vectors, queries = bench.vectors("b")
    bench.admin.run("CREATE TABLE parted (id bigint PRIMARY KEY, label integer NOT NULL, embedding real[] NOT NULL)"
                    " PARTITION BY HASH (id)")
    bench.admin.run("DO $$ BEGIN FOR i IN 0 .. " + str(n - 1) + " LOOP EXECUTE format('CREATE TABLE parted_%s"
                    f" PARTITION OF parted FOR VALUES WITH (MODULUS {n}, REMAINDER %s)', i, i); END LOOP; END $$")
    bench.admin.copy("COPY parted FROM STDIN (FORMAT binary)", copy_chunks(vectors[:10 * n]))
    bench.admin.run("VACUUM (FREEZE, ANALYZE) parted")
    bench.compute("parted")
    ours = interleave(bench.searches("parted", queries[:20]))[0]
    yield at_most(f"a search over {n:,} partitions, {10 * n:,} × 128", ours.min, 0.0003, str(ours), "0.3 ms")
    bench.admin.run("DROP TABLE parted")


# ---- memory, cancel ---------------------------------------------------------

@row
def memory(bench):
    for name in ("a", "b"):
        vectors, queries = bench.vectors(name)
        n, dim = vectors.shape
        bench.dataset(name)
        size = int(bench.admin.value(f"SELECT size FROM brain.sync_status WHERE samples = '{name}'::regclass"
                                     " AND brain_key = 'run'"))
        digits = int(bench.admin.value(f"SELECT sum(length(id::text)) FROM {name}"))
        limit = 1.36 * n * dim * 4 + dim * dim * 4 + 80 * n + digits
        yield at_most(f"file of {shape(vectors)}, shared by all sessions", size, limit, megabytes(size),
                      f"1.36·n·d·4 + d·d·4 + (80 + id) a row = {megabytes(limit)}",
                      f"{megabytes(size)} = {three(size / (n * dim * 4))} × n·d·4")
        session = bench.connect()
        session.run("SELECT count(*) FROM pg_class")
        before = session.memory("RssAnon")
        for search in bench.searches(name, queries[:20], session):
            search()
        private = session.memory("RssAnon") - before
        yield at_most(f"private memory of a further session, {shape(vectors)}", private, 10 << 20,
                      megabytes(private), "10 MB")


@row
def cancel(bench):
    queries = bench.vectors("b")[1]
    bench.dataset("b")
    bench.dataset("a")
    bench.compute("b", "cancelled")
    run_id = bench.admin.value("SELECT run_id FROM brain._runs WHERE brain_key = 'cancelled'")

    def sync(session):
        bench.admin.run("INSERT INTO brain.changes (run_id, kind, sample_id, changed)"
                        f" SELECT '{run_id}', 'r', id::text, now() FROM b")
        return session.prepare("SELECT * FROM brain.sync('b', 'cancelled')")()

    def table_path(session):
        session.run("SET brain.use_matrix = off")
        return bench.searches("b", queries[:1], session)[0]

    cases = {
        f"search, {len(queries):,} queries in one call": lambda session: bench.search(
            "b", session, aggregation="post-min")(queries),
        "search that reads the table": table_path,
        "build": lambda session: session.prepare(
            "SELECT * FROM brain.compute_similarity('b', 'never', embeddings => 'embedding', metric => 'cosine')")(),
        "sync of all rows": sync,
    }
    what = shape(bench.vectors("b")[0])
    cases = {f"{case}, {what}": function for case, function in cases.items()}
    cases[f"neighbors(), {shape(bench.vectors('a')[0])}"] = lambda session: session.prepare(
        "SELECT count(*) FROM brain.neighbors('a', 'run', k => 10)")()
    os.sched_setaffinity(0, ALL_CPUS)  # who cancels does not wait for the CPU
    try:
        for what, case in cases.items():
            waits, finished = cancelled(bench, case)
            if not waits:
                yield Result(f"cancel of a running {what}", "always finished before", "", "", "≤ 50 ms", None)
                continue
            more = f"; {finished} had finished" if finished else ""
            yield at_most(f"cancel of a running {what}, at {len(waits)} moments, the longest wait{more}",
                          max(waits), 0.05, show(max(waits)), "50 ms", f"{show(max(waits))} (median "
                          f"{show(Time(waits).median)})")
    finally:
        os.sched_setaffinity(0, {CPU})
        bench.admin.run("DELETE FROM brain.changes WHERE run_id = '" + run_id + "'")


def cancelled(bench, case):
    """Cancel at several moments; seconds from asking to the error, and how often it was too late."""
    session = bench.connect()
    killer = bench.connect()
    whole = timed_until_cancel(case(session), killer, session, 5)[1]  # at most five seconds of it
    undo_finished(bench)
    call = case(session)
    waits, finished = [], 0
    for i in range(bench.sizes.cancels):
        was_cancelled, seconds = timed_until_cancel(call, killer, session, whole * (i + 0.5) / bench.sizes.cancels)
        if was_cancelled:
            waits.append(seconds)
        else:
            finished += 1
            undo_finished(bench)
            call = case(session)
    return waits, finished


def undo_finished(bench):
    """A build that was not cancelled in time is in the way of the next."""
    if bench.admin.run("SELECT 1 FROM brain._runs WHERE brain_key = 'never'"):
        bench.admin.run("SELECT brain.delete_brain_run('b', 'never')")


def timed_until_cancel(call, killer, session, delay):
    """(True, seconds from the cancel to its error) or (False, seconds that the call took)."""
    ended = []

    def run():
        start = time.monotonic()
        try:
            call()
            ended.append((False, time.monotonic(), time.monotonic() - start))
        except SqlError as error:
            if error.state != "57014":
                traceback.print_exc()
            ended.append((error.state == "57014", time.monotonic(), time.monotonic() - start))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(delay)
    asked = time.monotonic()
    killer.run(f"SELECT pg_cancel_backend({session.pid})")
    thread.join()
    was_cancelled, end, took = ended[0]
    if not was_cancelled:
        undo_late_cancel(session)
    return (True, end - asked) if was_cancelled and delay < 5 else (False, took)


def undo_late_cancel(session):
    """A cancel that came after the end hits nothing, or the next statement."""
    time.sleep(0.05)
    try:
        session.run("SELECT 1")
    except SqlError:
        pass


# ---- graphs, and real embeddings ---------------------------------------------

def hnsw(bench, name, vectors, queries, goals=(None, None), by="min"):
    """Our exact search against pgvector's HNSW: times, recall, and what the build takes."""
    table = bench.pgvector(f"{name}_hnsw", name)
    start = time.monotonic()
    bench.admin.run(f"CREATE INDEX {table}_index ON {table} USING hnsw (embedding vector_cosine_ops)")
    build = Time([time.monotonic() - start])
    graphs = {}
    for ef_search in (40, 200):
        session = bench.connect()
        session.run(f"SET hnsw.ef_search = {ef_search}")
        graphs[ef_search] = bench.pgvector_searches(table, queries, session)
    ours, *theirs = interleave(bench.searches(name, queries), *graphs.values(), most=len(queries))
    for (ef_search, searches), times, goal in zip(graphs.items(), theirs, goals):
        found = [[int.from_bytes(row[0], "big") for row in search.rows()] for search in searches]
        share = recall(vectors, queries[:50], found[:50])
        yield within(f"exact top-10 (recall 1.0), {shape(vectors)}, against HNSW at ef_search {ef_search} "
                     f"(recall {share:.3f})", ours, times, goal, by)
    ours = interleave([lambda: clock(lambda: bench.compute(name, overwrite="true"))])[0]
    yield Result(f"compute_similarity(), {shape(vectors)}, against building HNSW (m 16, ef_construction 64)",
                 ours, build, f"1/{three(build.median / ours.median)}", "≤ 1/40" if goals[0] else "",
                 build.median >= 40 * ours.median if goals[0] else None)
    bench.admin.run(f"DROP TABLE {table}")


@row
def hnsw_100k(bench):
    vectors, queries = bench.vectors("a")
    yield from hnsw(bench, bench.dataset("a"), vectors, queries[:20 if Repeats.quick else 100])


@row(default=False)
def hnsw_1m(bench):
    vectors, queries = bench.vectors("b")
    yield from hnsw(bench, bench.dataset("b"), vectors, queries[:100])


@row(section=REAL)
def real(bench):
    """Parts of the real embeddings, then all: up to which size exact wins."""
    everything, queries = bench.vectors("real")
    for n in bench.sizes.real:
        if n is None:
            name, vectors, goals = "real", everything, (1.1, 0.4)
        else:
            name, goals = f"real_{n}", (None, None)
            order = np.random.default_rng(5).permutation(len(everything))[:n]
            vectors = everything[np.sort(order)]
        bench.table(name, vectors)
        bench.data[name] = vectors, queries
        bench.compute(name)
        yield from hnsw(bench, name, vectors, queries, goals, by="median")


@row(section=REAL)
def real_exact(bench):
    vectors, queries = bench.vectors("real")
    session = bench.connect()
    ours, theirs, limit = interleave(bench.searches(bench.dataset("real"), queries, session),
                                     bench.pgvector_searches(bench.pgvector("real_inline", "real"), queries),
                                     bench.sums("real", session), most=len(queries))
    yield faster(f"exact top-10, {shape(vectors)}, against pgvector's exact search (inline)", ours, theirs)
    yield within("that call against a read-only sum over the float32 rows", ours, limit)
    yield recall_row(bench, "real", vectors, queries)
