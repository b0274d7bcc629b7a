"""One session: makes plans, carries them out, and compares every search."""

import io
import random
import re
import threading

import psycopg2

import milvus
from plans import (NO_RUN, Compare, Copy, Declare, Fetch, Other, Reconnect, RemoveFiles, Sync,
                   random_plan)
from searches import difference, differs_by_ties, recalled

# Conflicts with other sessions, and ends of the server or the session.
ALWAYS_EXPECTED = {
    "40001": "serialization failure", "40P01": "deadlock", "55P03": "lock timeout",
    "57P01": "terminated", "57P02": "crash of another", "57P03": "starting up or shutting down",
}
LOST = "connection lost"

class Failure(Exception):
    """Something that must not be."""

    def __init__(self, kind, text, search=None):
        super().__init__(text)
        self.kind = kind
        self.search = search


class Session(threading.Thread):
    def __init__(self, number, seed, server, functions, journal, fail, stop):
        super().__init__(daemon=True)
        self.number = number
        self.seed = seed
        self.server = server
        self.functions = functions
        self.journal = journal
        self.fail = fail
        self.stop = stop
        self.pid = None
        self.connection = None
        self.other = None  # a second one, for Other steps
        self.gid = f"checker_{number}"
        self.plan = None
        self.step = None

    # ---- plans ---------------------------------------------------------------

    def run(self):
        n = 0
        try:
            self.connect()
            while not self.stop.is_set():
                n += 1
                rng = random.Random(f"{self.seed} {self.number} {n}")
                self.plan = random_plan(rng, self.functions)
                self.step = None
                self.carry_out(self.plan)
        except Failure as failure:
            if not self.stop.is_set():
                self.fail(f"{failure.kind}: {failure}", self, n, failure)
        except Exception as error:
            if not self.stop.is_set():
                self.fail(f"unexpected: {error!r}", self, n)

    def carry_out(self, plan):
        self.journal.count("operations", ("plan", plan.kind))
        try:
            for self.step in plan.steps:
                if isinstance(self.step, Other):
                    self.perform_beside(self.step.step)
                else:
                    self.perform(self.step)
                self.journal.count("operations", self.step.kind)
        except psycopg2.Error as error:
            self.classify(error, self.step)
            if self.connection.closed or error.pgcode is None:
                self.connect()
            else:
                self.end_transaction()
        if self.other:
            self.other.close()
            self.other = None

    def perform(self, step):
        if isinstance(step, Compare):
            self.compare(step)
        elif isinstance(step, Declare):
            self.execute("DECLARE held CURSOR FOR " + self.sql_of(step.search))
        elif isinstance(step, Fetch):
            self.check(step.search, self.execute("FETCH FROM held"))
        elif isinstance(step, Copy):
            self.copy(step)
        elif isinstance(step, RemoveFiles):
            self.server.remove_matrix_files()
        elif isinstance(step, Reconnect):
            self.connect()
        elif isinstance(step, Sync):
            for action, _, _, reason in self.execute(step.sql):
                self.journal.count("syncs", (action, re.sub(r'".*?"', '"…"', reason or "")))
        else:
            self.execute(step.sql.replace("{gid}", self.gid))

    def perform_beside(self, step):
        """On the other connection.  It fails where it would wait for the
        session's own transaction, and the plan goes on."""
        if self.other is None:
            self.other = self.server.connect("owner")
            self.other.cursor().execute("SET lock_timeout = '100ms'")
        mine, self.connection, isolation, self.plan.isolation = (
            self.connection, self.other, self.plan.isolation, "beside")
        try:
            self.perform(step)
        except psycopg2.Error as error:
            self.classify(error, step)
            if self.other.closed or error.pgcode is None:
                self.other = None
            else:
                self.execute("ROLLBACK")
        finally:
            self.connection, self.plan.isolation = mine, isolation

    def execute(self, sql):
        """The rows, if there are any."""
        del self.connection.notices[:]
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def copy(self, step):
        lines = "".join("\t".join("\\N" if value is None else str(value) for value in row) + "\n"
                        for row in step.rows)
        with self.connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {step.dataset.name} ({step.dataset.id}, embedding, tag, note) FROM STDIN",
                               io.StringIO(lines))

    # ---- searches ------------------------------------------------------------

    def compare(self, step):
        self.check(step.search, self.execute(self.sql_of(step.search)))
        if step.by_table and "use_matrix" in self.functions:
            self.execute("SET LOCAL brain.use_matrix = off")
            self.check(step.search, self.execute(self.sql_of(step.search)), "by the table")
            self.execute("SET LOCAL brain.use_matrix = on")

    def sql_of(self, search):
        search.whole_truth = "milvus" in self.functions
        return search.sql()

    def check(self, search, rows, how=None):
        (answer, truth, bad), = rows
        left_out = self.left_out()
        last = None
        if not how and "last_search" in self.functions:
            (last,), = self.execute("SELECT brain.last_search()")
        by_milvus = last and last["path"] == "milvus"
        wanted = truth if not search.whole_truth or search.k is None else (truth or [])[:search.k]
        found = difference(answer, wanted)
        if found and by_milvus and differs_by_ties(answer, truth, search.k):
            found = None
            self.journal.count("ties", search.run.metric)
        if by_milvus and search.k and "approximate" in self.functions:
            counts = recalled(answer, truth, search.k)
            if counts:
                found = None
                self.journal.count("recall", "found", counts[0])
                self.journal.count("recall", "of", counts[1])
        if found:
            raise Failure("wrong answer", f"{found}\nanswer: {answer}\ntruth:  {wanted}\nlast search: {last}", search)
        # a collection has none of those that cannot be searched: they are met by chance
        if bad is not None and (left_out > bad if by_milvus else left_out != bad):
            raise Failure("wrong WARNING", f"{left_out} samples left out, not {bad}", search)
        self.journal.count("compared", self.plan.isolation + (f", {how}" if how else ""))
        if last:
            self.journal.count("paths", (last["path"], re.sub(r'".*?"', '"…"', last["reason"] or "")))

    def left_out(self):
        """How many samples the last statement's WARNING counted."""
        found = re.search(r"WARNING:  (\d+) samples? (was|were) left out", "".join(self.connection.notices))
        return int(found[1]) if found else 0

    # ---- errors and connections ----------------------------------------------

    def classify(self, error, step):
        """Counts an expected error; raises a Failure for another."""
        code = error.pgcode
        if code is None and not isinstance(error, psycopg2.ProgrammingError):
            code = LOST
        expected = code == LOST or code in ALWAYS_EXPECTED or code in getattr(step, "expected", ())
        if "milvus" in self.functions and step.kind in ("sync", "compute_similarity"):
            expected = expected or code in milvus.AWAY
        if isinstance(step, (Compare, Declare, Fetch)):
            expected = expected or code in NO_RUN + step.search.expected
        if code == "CHECK":
            raise Failure("wrong answer", str(error))
        if not expected:
            raise Failure("unexpected error", f"{code} {error}")
        self.journal.count("errors", (code, step.kind))

    def connect(self):
        self.pid = None
        if self.connection:
            self.connection.close()
        self.connection = self.server.connect("owner")
        self.pid = self.connection.get_backend_pid()
        try:
            if self.number % 2 == 0:
                self.execute("SET synchronous_commit = off")
            # what a session of this name prepared before it lost its connection
            for gid, in self.execute(f"SELECT gid FROM pg_prepared_xacts WHERE gid = '{self.gid}'"):
                self.execute(f"ROLLBACK PREPARED '{gid}'")
        except psycopg2.Error:
            if not self.connection.closed:
                raise
            self.connect()

    def end_transaction(self):
        try:
            self.execute("ROLLBACK")
            for gid, in self.execute(f"SELECT gid FROM pg_prepared_xacts WHERE gid = '{self.gid}'"):
                self.execute(f"ROLLBACK PREPARED '{gid}'")
        except psycopg2.Error:
            self.connect()
