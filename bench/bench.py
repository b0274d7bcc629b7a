"""bench/run's program: the database, the rows one after the other, RESULTS.md."""
import datetime
import os
import platform
import re
import subprocess
import sys
import time
import traceback

import numpy as np

from harness import BINDIR, CPU, PGENV, WORK, Connection, Repeats, SqlError, Vector, clustered, copy_chunks, interleave
from rows import ON_MILVUS, REAL, ROWS, SYNTHETIC
import milvus  # noqa: its rows

HERE = os.path.dirname(os.path.abspath(__file__))
REAL_VECTORS = os.environ["BENCH_REAL"]


class Sizes:
    a = 100_000  # × 512
    b = 1_000_000  # × 128
    small = (1_000, 10_000)
    queries = (64, 1_000)
    sgemm = 2048
    changes = 1_000
    long_log = 1_000_000
    partitions = 1_000
    sessions = 20
    cancels = 20
    transactions = 2_000
    rounds = 10
    real = (10_000, 30_000, None)
    milvus_rounds = 5
    milvus_slow = 20_000  # rows that are uploaded as FiftyOne does
    milvus_lite = 20_000  # rows of milvus-lite's datasets
    milvus_builds = 2


class QuickSizes:
    a = 3_000
    b = 10_000
    small = (500, 1_000)
    queries = (8, 32)
    sgemm = 512
    changes = 100
    long_log = 20_000
    partitions = 20
    sessions = 2
    cancels = 2
    transactions = 100
    rounds = 2
    real = (2_000,)
    milvus_rounds = 1
    milvus_slow = 500
    milvus_lite = 2_000
    milvus_builds = 1


SEARCH = ("SELECT sample_id, distance FROM brain.sort_by_similarity('{}', $1::real[], k => 10, brain_key => '{}',"
          " aggregation => '{}')")
PGVECTOR = "SELECT id FROM {} ORDER BY embedding <=> $1::vector LIMIT 10"


class Bench:
    """The database, its datasets (made when a row first needs them), its sessions."""

    def __init__(self, sizes):
        self.sizes = sizes
        self.data = {}
        self.peak = None
        self.sessions = []
        subprocess.run([f"{BINDIR}/createdb", "bench"], env=PGENV, check=True)
        self.admin = Connection()
        self.admin.run("CREATE EXTENSION vector; CREATE EXTENSION milvus_brain; CREATE SCHEMA bench;"
                       "CREATE FUNCTION bench.sum_file(text) RETURNS float8[] STRICT"
                       " AS 'bench_limits', 'bench_sum_file' LANGUAGE c;"
                       "CREATE FUNCTION bench.sgemm(int, int) RETURNS float8[] STRICT"
                       " AS 'bench_limits', 'bench_sgemm' LANGUAGE c;"
                       "CREATE FUNCTION bench.openblas() RETURNS text"
                       " AS 'bench_limits', 'bench_openblas' LANGUAGE c;"
                       "CREATE FUNCTION bench.read_rows(text) RETURNS float8[] STRICT"
                       " AS 'bench_limits', 'bench_read_rows' LANGUAGE c")

    def connect(self, **settings):
        session = Connection(**settings)
        self.sessions.append(session)
        return session

    def close_sessions(self):
        for session in self.sessions:
            if session.connection:
                session.close()
        self.sessions = []

    def vectors(self, name):
        """(vectors, queries) of a dataset; the queries are not among the vectors."""
        if name not in self.data:
            self.data[name] = self.make_vectors(name)
        return self.data[name]

    def make_vectors(self, name):
        sizes = self.sizes
        if name == "b":
            vectors = clustered(sizes.b + 1000, 128, 0.05, seed=2)
        elif name == "defeat":
            # One large coordinate in each row coarsens the int8 grid of all
            # others until no bound tells rows apart. The last row lies alone.
            vectors = np.random.default_rng(3).standard_normal((sizes.a + 1000, 512), dtype=np.float32)
            vectors[:, 0] = 200
            vectors[sizes.a - 1] = 0
            vectors[sizes.a - 1, 0] = -200
        elif name == "real":
            vectors = np.fromfile(REAL_VECTORS, dtype=np.float32).reshape(-1, 384)
            if Repeats.quick:
                vectors = vectors[:5000]
            chosen = np.random.default_rng(4).choice(len(vectors), 200, replace=False)
            return vectors, vectors[chosen]
        else:
            vectors = clustered(sizes.a + 1000, 512, 0.03, seed=1)
        n = len(vectors) - 1000
        return vectors[:n], vectors[n:]

    def table(self, name, vectors, storage="PLAIN", fill=True):
        """A dataset of real[]."""
        self.admin.run(f"DROP TABLE IF EXISTS {name};"
                       f"CREATE TABLE {name} (id bigint PRIMARY KEY, label integer NOT NULL,"
                       f" embedding real[] NOT NULL);"
                       f"ALTER TABLE {name} ALTER embedding SET STORAGE {storage}")
        if fill:
            self.admin.copy(f"COPY {name} FROM STDIN (FORMAT binary)", copy_chunks(vectors))
            self.admin.run(f"VACUUM (FREEZE, ANALYZE) {name}")

    def has(self, name):
        return self.admin.value(f"SELECT to_regclass('{name}') IS NOT NULL") == "t"

    def dataset(self, name, like=None):
        """The dataset of that name with the run "run"; like: whose vectors, if not its own."""
        if not self.has(name):
            self.table(name, self.vectors(like or name)[0])
            self.compute(name)
        return name

    def compute(self, name, key="run", **options):
        more = "".join(f", {option} => {value}" for option, value in options.items())
        return self.admin.run(f"SELECT * FROM brain.compute_similarity('{name}', '{key}',"
                              f" embeddings => 'embedding', metric => 'cosine'{more})")

    def pgvector(self, name, source, storage="PLAIN"):
        """The same vectors as pgvector's type; storage None: its default."""
        if not self.has(name):
            dim = self.vectors(source)[0].shape[1]
            self.admin.run(f"CREATE TABLE {name} (id bigint PRIMARY KEY, embedding vector({dim}) NOT NULL)")
            if storage:
                self.admin.run(f"ALTER TABLE {name} ALTER embedding SET STORAGE {storage}")
            self.admin.run(f"INSERT INTO {name} SELECT id, embedding::vector FROM {source}")
            self.admin.run(f"VACUUM (FREEZE, ANALYZE) {name}")
        return name

    def search(self, dataset, session=None, key="run", aggregation="mean"):
        """A statement: the ten nearest to a vector, or to several."""
        return (session or self.connect()).prepare(SEARCH.format(dataset, key, aggregation))

    def searches(self, dataset, queries, session=None):
        statement = self.search(dataset, session)
        return [statement(query) for query in queries]

    def pgvector_searches(self, table, queries, session=None):
        statement = (session or self.connect()).prepare(PGVECTOR.format(table))
        return [statement(Vector(query)) for query in queries]

    def sums(self, name, session):
        """Reading all the vectors once, in that session's server process."""
        path = f"{WORK}/{name}.f32"
        if not os.path.exists(path):
            self.vectors(name)[0].tofile(path)
            os.chmod(path, 0o644)
        return [session.prepare("SELECT bench.sum_file($1)")(path).inside]

    def flops(self):
        """Floating-point operations a second of sgemm."""
        if not self.peak:
            n = self.sizes.sgemm
            call = self.connect().prepare("SELECT bench.sgemm($1, $2)")(n, 512)
            self.peak = 2 * n * n * 512 / interleave([call.inside])[0].min
        return self.peak


# ---- the run -----------------------------------------------------------------

def main():
    arguments = sys.argv[1:]
    section = REAL if "--real" in arguments else ON_MILVUS if "--milvus" in arguments else SYNTHETIC
    names = [argument for argument in arguments if not argument.startswith("--")]
    if "--list" in arguments:
        options = {SYNTHETIC: "", REAL: " (--real)", ON_MILVUS: " (--milvus)"}
        for name, (_, of, default) in ROWS.items():
            print(name + options[of] + ("" if default else " (only by name)"))
        return 0
    for name in names:
        if name not in ROWS:
            sys.exit(f"bench/run: there is no row {name}; bench/run --list")
    Repeats.quick = "--quick" in arguments
    chosen = names or [name for name, (_, of, default) in ROWS.items() if default and of == section]
    if section != ON_MILVUS:  # Milvus wants all of them
        os.sched_setaffinity(0, {CPU})
    bench = Bench(QuickSizes if Repeats.quick else Sizes)
    header = describe(bench, section)
    print(header)
    keep = not names and not Repeats.quick
    failed = measure(bench, chosen, lambda lines: keep and write_results(section, header, lines))
    return 1 if failed else 0


TABLE = ("| what | ours, min / median | theirs, min / median | ratio | goal | reached |\n"
         "| --- | --- | --- | --- | --- | --- |")


def measure(bench, names, write):
    print(TABLE, flush=True)
    lines, failed, started = [TABLE], False, time.monotonic()
    for name in names:
        start = time.monotonic()
        try:
            for result in ROWS[name][0](bench):
                if Repeats.quick:
                    result.reached = None  # the goals are for other sizes
                lines.append(result.line())
                print(lines[-1], flush=True)
        except Exception as error:  # one row's failure does not cost the others
            failed = True
            if not isinstance(error, SqlError):
                traceback.print_exc()
            lines.append(f"| {name} | failed: {(str(error) or repr(error)).splitlines()[0]} | | | | **no** |")
            print(lines[-1], flush=True)
            bench.admin.run("ROLLBACK")
        bench.close_sessions()
        write(lines)  # what there is, should the run be ended early
        print(f"# {name}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
    lines.append(f"\nThe run took {(time.monotonic() - started) / 60:.1f} minutes.")
    print(lines[-1])
    write(lines)
    return failed


def describe(bench, section):
    with open("/proc/cpuinfo", encoding="ascii") as file:
        cpu = dict(re.findall(r"^([\w ]+\w)\s*: (.*)$", file.read(), re.M))
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True,
                            text=True, check=False).stdout.strip() or "not known"
    version = bench.admin.value("SHOW server_version").split()[0]
    extensions = dict(bench.admin.run("SELECT extname, extversion FROM pg_extension"))
    try:
        openblas = bench.connect().value("SELECT bench.openblas()")
    except SqlError as error:
        openblas = f"none ({error})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    return (f"{datetime.date.today()}, commit {commit}, milvus_brain {extensions['milvus_brain']}. "
            f"{cpu.get('model name', platform.machine())} (family {cpu.get('cpu family', '?')}, "
            f"model {cpu.get('model', '?')}), {os.cpu_count()} CPUs, {'all' if section == ON_MILVUS else 'one of them'} used, {memory:.0f} GB, "
            f"load average {os.getloadavg()[0]:.1f} before; Linux {platform.release()}. PostgreSQL {version}, pgvector {extensions['vector']}, "
            f"shared_buffers {bench.admin.value('SHOW shared_buffers')}; {openblas} "
            f"({os.environ['BENCH_OPENBLAS'].strip() or 'environment without OPENBLAS_*'}).\n")


def write_results(section, header, lines):
    """Each kind of data has a section of its own, of its own run."""
    path = f"{HERE}/RESULTS.md"
    titles = (SYNTHETIC, REAL, ON_MILVUS)
    sections = dict.fromkeys(titles, "Not run yet.\n")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for title, text in re.findall(r"^## (.*)\n\n((?:.*\n)*?)(?=## |\Z)", file.read(), re.M):
                if title in sections:
                    sections[title] = text
    sections[section] = header + "\n" + "\n".join(lines) + "\n\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write("# Results\n\nWritten by `bench/run`, `bench/run --real` and `bench/run --milvus`; "
                   "[README.md](README.md) says what each line is.\n\n")
        for title, text in sections.items():
            file.write(f"## {title}\n\n{text}")


if __name__ == "__main__":
    sys.exit(main())
