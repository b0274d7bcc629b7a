"""What the rows of bench.py are measured with: connections, times, data, results."""
import ctypes
import os
import re
import statistics
import struct
import subprocess
import time

import numpy as np

WORK = os.environ["BENCH_WORK"]
BINDIR = os.environ["BENCH_BINDIR"]
CPU = int(os.environ["BENCH_CPU"])
ALL_CPUS = os.sched_getaffinity(0)
SOCKET = f"{WORK}/socket"
PGENV = {"PGHOST": SOCKET, "PGUSER": "postgres", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}


# ---- the client ------------------------------------------------------------

class Call(ctypes.Structure):
    """client.c's: a prepared statement with its parameters."""
    _fields_ = [("connection", ctypes.c_void_p), ("statement", ctypes.c_char_p),
                ("nparams", ctypes.c_int), ("values", ctypes.POINTER(ctypes.c_char_p)),
                ("lengths", ctypes.POINTER(ctypes.c_int))]


def load_client():
    client = ctypes.CDLL(f"{WORK}/client.so", mode=ctypes.RTLD_GLOBAL)
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, *arguments in [
            ("PQconnectdb", pointer, text), ("PQstatus", integer, pointer),
            ("PQfinish", None, pointer), ("PQbackendPID", integer, pointer),
            ("PQerrorMessage", text, pointer), ("PQexec", pointer, pointer, text),
            ("PQprepare", pointer, pointer, text, text, integer, pointer),
            ("PQresultStatus", integer, pointer), ("PQresultErrorField", text, pointer, integer),
            ("PQresultErrorMessage", text, pointer), ("PQclear", None, pointer),
            ("PQntuples", integer, pointer), ("PQnfields", integer, pointer),
            ("PQgetvalue", pointer, pointer, integer, integer),
            ("PQgetlength", integer, pointer, integer, integer),
            ("PQgetisnull", integer, pointer, integer, integer),
            ("PQputCopyData", integer, pointer, text, integer),
            ("PQputCopyEnd", integer, pointer, text), ("PQgetResult", pointer, pointer),
            ("time_call", pointer, ctypes.POINTER(Call), ctypes.POINTER(ctypes.c_double))]:
        getattr(client, name).restype = result
        getattr(client, name).argtypes = arguments
    return client


CLIENT = load_client() if WORK else None
OK, COPY_IN = (1, 2), 4  # of PQresultStatus()


class SqlError(Exception):
    def __init__(self, message, state):
        super().__init__(message)
        self.state = state


NOTICE_PROCESSOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)


class Connection:
    """A session; every statement that is timed is prepared, with a generic plan."""

    def __init__(self, **settings):
        self.connection = CLIENT.PQconnectdb(f"host={SOCKET} user=postgres dbname=bench".encode())
        if CLIENT.PQstatus(self.connection) != 0:
            raise SqlError(CLIENT.PQerrorMessage(self.connection).decode(), None)
        self.notices = []
        self.on_notice = NOTICE_PROCESSOR(lambda _, text: self.notices.append(text.decode().strip()))
        CLIENT.PQsetNoticeProcessor(ctypes.c_void_p(self.connection), self.on_notice, None)
        self.pid = CLIENT.PQbackendPID(self.connection)
        self.statements = 0
        self.run("SET plan_cache_mode = force_generic_plan")
        for name, value in settings.items():
            self.run(f"SET {name.replace('__', '.')} = '{value}'")

    def close(self):
        CLIENT.PQfinish(self.connection)
        self.connection = None

    def check(self, result, wanted=OK):
        status = CLIENT.PQresultStatus(result)
        if status in wanted:
            return result
        message = CLIENT.PQresultErrorMessage(result).decode().strip()
        state = CLIENT.PQresultErrorField(result, ord("C"))
        CLIENT.PQclear(result)
        raise SqlError(message, state and state.decode())

    def run(self, sql):
        """Rows, as text."""
        result = self.check(CLIENT.PQexec(self.connection, sql.encode()))
        rows = [tuple(value and value.decode() for value in row) for row in values_of(result)]
        CLIENT.PQclear(result)
        return rows

    def value(self, sql):
        return self.run(sql)[0][0]

    def prepare(self, sql):
        self.statements += 1
        name = f"s{self.statements}".encode()
        CLIENT.PQclear(self.check(CLIENT.PQprepare(self.connection, name, sql.encode(), 0, None)))
        return lambda *parameters: Execution(self, name, parameters)

    def copy(self, sql, chunks):
        CLIENT.PQclear(self.check(CLIENT.PQexec(self.connection, sql.encode()), (COPY_IN,)))
        for chunk in chunks:
            CLIENT.PQputCopyData(self.connection, chunk, len(chunk))
        CLIENT.PQputCopyEnd(self.connection, None)
        result = CLIENT.PQgetResult(self.connection)
        while more := CLIENT.PQgetResult(self.connection):
            CLIENT.PQclear(more)
        CLIENT.PQclear(self.check(result))

    def memory(self, name):
        """A line of the server process's /proc/PID/status, in bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        raise KeyError(name)


def values_of(result):
    for row in range(CLIENT.PQntuples(result)):
        yield tuple(None if CLIENT.PQgetisnull(result, row, column) else ctypes.string_at(
            CLIENT.PQgetvalue(result, row, column), CLIENT.PQgetlength(result, row, column))
                    for column in range(CLIENT.PQnfields(result)))


class Execution:
    """A prepared statement with parameters, ready to be sent."""

    def __init__(self, connection, name, parameters):
        self.connection = connection
        self.parameters = [binary(parameter) for parameter in parameters]
        n = len(self.parameters)
        self.call = Call(connection.connection, name, n, (ctypes.c_char_p * n)(*self.parameters),
                         (ctypes.c_int * n)(*map(len, self.parameters)))

    def execute(self):
        seconds = ctypes.c_double()
        result = CLIENT.time_call(ctypes.byref(self.call), ctypes.byref(seconds))
        return seconds.value, self.connection.check(result)

    def __call__(self):
        """Seconds that the client waits for the answer."""
        seconds, result = self.execute()
        CLIENT.PQclear(result)
        return seconds

    def rows(self):
        """Binary values."""
        _, result = self.execute()
        rows = list(values_of(result))
        CLIENT.PQclear(result)
        return rows

    def inside(self):
        """Seconds that a function of limits.c measured itself."""
        value = self.rows()[0][0]
        return struct.unpack(">d", value[24:32])[0]  # the first element of a float8[]


def binary(parameter):
    if isinstance(parameter, str):
        return parameter.encode()
    if isinstance(parameter, int):
        return struct.pack(">i", parameter)
    if isinstance(parameter, Vector):
        return struct.pack(">hh", len(parameter.values), 0) + parameter.values.astype(">f4").tobytes()
    return array_header(parameter.shape) + elements(parameter).tobytes()


class Vector:
    """A parameter of pgvector's type."""

    def __init__(self, values):
        self.values = values


def array_header(shape):
    header = struct.pack(">iii", len(shape), 0, 700)  # float4
    return header + b"".join(struct.pack(">ii", length, 1) for length in shape)


def elements(values):
    """The elements of real[]: length and value of each."""
    pairs = np.empty(values.shape, dtype=[("length", ">i4"), ("value", ">f4")])
    pairs["length"] = 4
    pairs["value"] = values
    return pairs


def copy_chunks(vectors, first_id=1, rows_each=2000):
    """Rows (id bigint, label integer, embedding real[]) for COPY ... (FORMAT binary)."""
    dim = vectors.shape[1]
    header = array_header((dim,))
    row = np.dtype([("fields", ">i2"), ("id_length", ">i4"), ("id", ">i8"), ("label_length", ">i4"),
                    ("label", ">i4"), ("length", ">i4"), ("header", f"V{len(header)}"),
                    ("elements", [("length", ">i4"), ("value", ">f4")], (dim,))])
    yield b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
    for start in range(0, len(vectors), rows_each):
        part = vectors[start:start + rows_each]
        rows = np.zeros(len(part), dtype=row)
        rows["fields"], rows["id_length"], rows["label_length"] = 3, 8, 4
        rows["id"] = np.arange(first_id + start, first_id + start + len(part))
        rows["label"] = rows["id"] % 100
        rows["length"] = len(header) + 8 * dim
        rows["header"] = np.void(header)
        rows["elements"] = elements(part)
        yield rows.tobytes()
    yield b"\xff\xff"


# ---- time ------------------------------------------------------------------

class Time:
    """What several executions took."""

    def __init__(self, seconds):
        self.seconds = list(seconds)
        self.min = min(self.seconds)
        self.median = statistics.median(self.seconds)

    def per(self, n):
        return Time(seconds / n for seconds in self.seconds)

    def __str__(self):
        if len(self.seconds) == 1:
            return show(self.min)
        return f"{show(self.min)} / {show(self.median)}"


def show(seconds):
    if abs(seconds) < 1:
        return f"{three(seconds * 1000)} ms"
    return f"{three(seconds)} s"


def three(number):
    """Three significant digits, without an exponent."""
    digits = max(0, 2 - int(np.floor(np.log10(abs(number))))) if number else 0
    return f"{number:.{digits}f}"


class Repeats:
    """How often a thing is measured that took so long the first time."""
    quick = False

    @classmethod
    def of(cls, seconds, most=20):
        if cls.quick:
            return 1 if seconds > 0.5 else 3
        if seconds > 10:
            return 1
        if seconds > 1:
            return min(5, most)
        return most if seconds > 0.001 or most < 20 else 10 * most


def interleave(*sides, most=20):
    """A Time for each side, measured in turn.

    A side is a list of functions that return seconds, one for each query; they
    take turns too. Each side is warmed, by one execution or, if that is short,
    ten; one that takes so long that there is only one is not executed again.
    """
    warm = [side[-1]() for side in sides]
    for side, first in zip(sides, warm):
        if first < 0.05:
            for i in range(10):
                side[i % len(side)]()
    counts = [Repeats.of(seconds, most) for seconds in warm]
    seconds = [[first] if count == 1 else [] for first, count in zip(warm, counts)]
    for i in range(max(counts)):
        for side, count, times in zip(sides, counts, seconds):
            if i < count and count > 1:
                times.append(side[i % len(side)]())
    return [Time(times) for times in seconds]


def clock(function, *arguments):
    start = time.monotonic()
    function(*arguments)
    return time.monotonic() - start


def pgbench(script, transactions):
    """Mean seconds of a transaction: one client, prepared statements."""
    path = f"{WORK}/script.sql"
    with open(path, "w", encoding="utf-8") as file:
        file.write(script)
    output = subprocess.run([f"{BINDIR}/pgbench", "--no-vacuum", "--protocol=prepared", "--client=1",
                             f"--transactions={transactions}", f"--file={path}", "bench"],
                            env=PGENV, check=True, capture_output=True, text=True).stdout
    return 1 / float(re.search(r"tps = ([0-9.]+)", output)[1])


# ---- data ------------------------------------------------------------------

def clustered(n, dim, noise, seed, centres=1000):
    """n vectors of unit length: one of the unit centres, plus normal noise in each dimension."""
    random = np.random.default_rng(seed)
    middle = unit(random.standard_normal((centres, dim), dtype=np.float32))
    vectors = noise * random.standard_normal((n, dim), dtype=np.float32)
    vectors += middle[random.integers(centres, size=n)]
    return unit(vectors)


def unit(vectors):
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def exact_distances(vectors, query):
    """Cosine distances in double precision."""
    query = query.astype(float)
    distances = np.empty(len(vectors))
    for start in range(0, len(vectors), 50000):
        part = vectors[start:start + 50000].astype(float)
        norms = np.sqrt(np.einsum("ij,ij->i", part, part))
        distances[start:start + 50000] = 1 - part @ query / (norms * np.linalg.norm(query))
    return distances


def recall(vectors, queries, answers):
    """The share of the true nearest ids in the answers; equal distances are equally right."""
    right = total = 0
    for query, ids in zip(queries, answers):
        distances = exact_distances(vectors, query)
        limit = np.partition(distances, len(ids) - 1)[len(ids) - 1]
        right += sum(distances[i - 1] <= limit + 1e-12 for i in set(ids))
        total += len(ids)
    return right / total


# ---- results ---------------------------------------------------------------

class Result:
    """A line of the table."""

    def __init__(self, what, ours, theirs, ratio, goal, reached):
        self.what, self.ours, self.theirs = what, ours, theirs
        self.ratio, self.goal, self.reached = ratio, goal, reached

    def line(self):
        verdict = {True: "yes", False: "**no**", None: ""}[self.reached]
        return f"| {self.what} | {self.ours} | {self.theirs} | {self.ratio} | {self.goal} | {verdict} |"


def faster(what, ours, theirs, goal=None, by="min"):
    """How many times faster ours is."""
    ratio = getattr(theirs, by) / getattr(ours, by)
    other = theirs.median / ours.median
    return Result(what, ours, theirs, f"{three(ratio)}×{also(by, ratio, other)}",
                  f"≥ {goal}×" if goal else "", ratio >= goal if goal else None)


def within(what, ours, theirs, goal=None, by="min"):
    """Ours as a share of theirs."""
    ratio = getattr(ours, by) / getattr(theirs, by)
    other = ours.median / theirs.median
    return Result(what, ours, theirs, f"{three(ratio)}×{also(by, ratio, other)}",
                  f"≤ {goal}×" if goal else "", ratio <= goal if goal else None)


def also(by, ratio, median):
    return f" (median {three(median)}×)" if by == "min" and three(ratio) != three(median) else ""


def at_most(what, value, goal, shown, goal_shown, ours="", theirs=""):
    return Result(what, ours or shown, theirs, shown if ours else "", f"≤ {goal_shown}", value <= goal)
