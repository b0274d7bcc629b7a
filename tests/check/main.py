"""Several sessions change and search the same tables at once; every search is
compared with plain SQL.  tests/checker starts this; tests/README.md says more."""

import argparse
import os
import random
import sys
import threading
import time

import psycopg2

import datasets
from datasets import DATASETS, TABLES, compute, values
from disturber import Disturber
from journal import Journal
from milvus import Milvus
from plans import NO_RUN, Compare, Plan, Sync, add_to_index
from searches import random_search
from server import Server
from session import Failure, Session

MUTATIONS = ["R1", "R2", "R3", "R4", "R5", "R6", "R7"]

# What a session has; a statement that takes longer hangs.
SESSION_SETTINGS = """
ALTER ROLE owner SET lock_timeout = '3s';
ALTER ROLE owner SET statement_timeout = '60s';
ALTER ROLE owner SET client_min_messages = 'warning';
"""

SETUP = """
CREATE EXTENSION milvus_brain;
CREATE ROLE owner LOGIN;
CREATE ROLE reader;
GRANT reader TO owner;
GRANT CREATE ON SCHEMA public TO owner;
GRANT SET ON PARAMETER session_replication_role TO owner;
GRANT SELECT ON brain._runs, brain.embeddings TO owner;
GRANT USAGE ON SCHEMA public TO reader;
"""


class Run:
    """One server, its sessions, and what became of it."""

    def __init__(self, options, folder, mutation=None):
        self.options = options
        self.mutation = mutation
        self.server = Server(folder)
        self.milvus = Milvus(options.milvus) if options.milvus else None
        self.journal = Journal()
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.failure = None       # its text; the first one counts
        self.failure_kind = None

    def fail(self, text, session=None, n=None, failure=None):
        """Called in the thread that failed."""
        with self.lock:
            if self.failure is None:
                self.failure_kind = failure.kind if failure else "error"
                self.failure = "\n".join(self.describe(text, session, n, failure))
        self.stop.set()

    def describe(self, text, session, n, failure):
        yield f"FAILED after {self.journal.seconds():.0f} s, seed {self.options.seed}: {text}"
        if session:
            yield f"in session {session.number}, plan {n}: {session.plan}"
            yield f"at step {session.plan.steps.index(session.step) + 1}, {session.step.kind}"
        if failure and failure.search:
            yield f"its statement:\n{failure.search.sql()}"
        yield from self.state_of_runs()
        yield "end of the server's log:\n" + self.server.end_of_log()

    def state_of_runs(self):
        if self.mutation:
            return
        try:
            with self.server.connect("postgres", wait=20).cursor() as cursor:
                for query in ("SELECT * FROM brain.runs", "SELECT * FROM brain.sync_status",
                              "SELECT * FROM brain._bases", "SELECT * FROM brain.changes LIMIT 100",
                              "SELECT gid FROM pg_prepared_xacts"):
                    try:
                        cursor.execute(query)
                    except Exception as error:
                        yield f"{query}: {error}"
                        continue
                    yield query
                    yield from (f"  {row}" for row in cursor.fetchall())
        except Exception as error:
            yield f"no state: {error}"
        yield "\n".join(["files:"] + self.server.matrix_files())

    # ---- its course ------------------------------------------------------------

    def set_up(self):
        settings = {"brain.mutate": self.mutation} if self.mutation else {}
        self.server.make(settings)
        self.server.start()
        connection = self.server.connect("postgres", "postgres")
        self.execute(connection, "CREATE DATABASE checker")
        connection.close()
        connection = self.server.connect("postgres")
        self.execute(connection, SETUP + SESSION_SETTINGS)
        functions = {name for name, in self.execute(
            connection, "SELECT proname FROM pg_proc WHERE pronamespace = 'brain'::regnamespace UNION ALL "
            "SELECT replace(name, 'brain.', '') FROM pg_settings WHERE name LIKE 'brain.%'")}
        if self.mutation and "mutate" not in functions:
            sys.exit("this build has no mutations: it needs -DBRAIN_MUTATE")
        functions.add("milvus" if self.milvus else "matrix")
        if self.milvus:
            datasets.BACKEND = datasets.milvus(self.options.index)
            if self.options.index != "FLAT":
                functions.add("approximate")
            if self.milvus.is_full:
                functions.add("full")
            self.execute(connection, self.milvus.setup())
        connection.close()
        owner = self.server.connect("owner")
        self.execute(owner, TABLES)
        rng = random.Random(f"{self.options.seed} rows")
        for dataset in DATASETS:
            self.execute(owner, f"INSERT INTO {dataset.name} VALUES {values(rng, dataset, range(dataset.ids))}")
            for run in dataset.runs:
                self.execute(owner, compute(dataset, run))
                if run.stored:
                    self.execute(owner, add_to_index(rng, dataset, run, range(dataset.ids)).sql)
        owner.close()
        return functions

    @staticmethod
    def execute(connection, sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def go(self):
        try:
            functions = self.set_up()
        except psycopg2.Error as error:
            self.fail(f"it does not begin: {error}")
            return False
        for name in ("sync", "last_search"):
            if name not in functions:
                print(f"This version has no brain.{name}(): left out.")
        sessions = [Session(number, self.options.seed, self.server, functions, self.journal, self.fail, self.stop)
                    for number in range(1, self.options.sessions + 1)]
        threads = list(sessions)
        if self.options.disturb:
            threads.append(Disturber(self.options.seed, self.server, self.milvus, functions, sessions, self.journal, self.fail, self.stop))
        for thread in threads:
            thread.start()
        self.watch(sessions)
        for thread in threads:
            thread.join(90)
            if thread.is_alive():
                self.fail(f"{thread} hangs")
        if not self.failure:
            try:
                self.closing_check(functions)
            except Exception as error:
                self.fail(f"the closing check failed: {error!r}")
        self.server.stop("immediate")
        return self.failure is None

    def watch(self, sessions):
        """Until the time is over, or something failed."""
        deadline = time.monotonic() + self.options.seconds
        while not self.stop.wait(min(5, max(0.01, deadline - time.monotonic()))):
            crashes = self.server.crashes()
            if crashes:
                self.fail("a server process crashed: " + crashes[0])
            if time.monotonic() >= deadline:
                break
        self.stop.set()

    def closing_check(self, functions):
        """Now that all is quiet: what is right to the end."""
        if self.server.crashes():
            self.fail("a server process crashed: " + self.server.crashes()[0])
        self.search_once_more(functions)
        if "sync" in functions:
            self.check_leftovers()
        if "last_search" in functions and not self.mutation:
            self.check_share()

    def check_share(self):
        """Milvus does a part of what searches ask for, and is away at times."""
        path, least = ("milvus", 0.2) if self.milvus else ("matrix", 0.5)
        share = self.journal.share(path)
        if share <= least:
            self.fail(f"only {share:.0%} of the searches took the path {path}")
        recall = self.journal.recall
        if recall["found"] < 0.95 * recall["of"]:
            self.fail(f"the recall of Milvus' index is {recall['found'] / recall['of']:.3f}")

    def search_once_more(self, functions):
        """Each run, before and after a sync: what was lost on the way shows.  And
        on Milvus, what a restart of the server has lost."""
        rng = random.Random(f"{self.options.seed} closing")
        session = Session(0, self.options.seed, self.server, functions, self.journal, self.fail, threading.Event())
        session.connect()
        session.execute("SELECT attach_parts_b()")
        if self.milvus:
            self.milvus.restart()
            for dataset in DATASETS:
                for run in dataset.runs:
                    self.make_if_missing(session, dataset, run)
        for sync in ([], [Sync("SELECT action, samples, brain_key, reason FROM brain.sync()")]):
            session.plan = Plan("closing check", sync if "sync" in functions else [])
            session.plan.steps += [Compare(random_search(rng, dataset, run))
                                   for dataset in DATASETS for run in dataset.runs for _ in range(10)]
            try:
                for session.step in session.plan.steps:
                    session.perform(session.step)
            except Failure as failure:
                self.fail(f"{failure.kind}: {failure}", session, 0, failure)
                return
            except Exception as error:
                self.fail(f"unexpected: {error!r}", session, 0)
                return

    @staticmethod
    def make_if_missing(session, dataset, run):
        """Where it was cleaned up, and the server away when it was to be made anew."""
        try:
            session.execute(f"SELECT FROM brain.sort_by_similarity('{dataset.name}', "
                            f"'{datasets.array([1.0] * run.dim)}'::real[], k => 1, brain_key => '{run.key}')")
        except psycopg2.Error as error:
            if error.pgcode not in NO_RUN:
                raise
            session.execute(compute(dataset, run))

    def check_leftovers(self):
        """Nothing is left in the log, and no file that belongs to nothing."""
        connection = self.server.connect("postgres")
        if self.milvus:
            self.settle(connection)
        self.execute(connection, "SELECT * FROM brain.sweep()")
        # a run to which no embedding was given since its cleanup has no collection
        left = self.execute(connection, "SELECT * FROM brain.sync_status "
                                        "WHERE changes > 0 OR NOT in_use AND reason <> 'there is no embedding yet'")
        if left:
            self.fail(f"after a sync: {left}")
        known = {uuid for (files,) in self.execute(connection, "SELECT files::text[] FROM brain._bases") for uuid in files}
        for path in self.server.matrix_files():
            if not any(uuid in path for uuid in known):
                self.fail(f"this file belongs to nothing: {path}")
        # after other mutations there is what their clusters have left
        if self.milvus and not self.mutation:
            known = {name for name, in self.execute(connection, "SELECT collection FROM brain._bases WHERE collection IS NOT NULL")}
            if self.milvus.collections() != known:
                self.fail(f"the server has {self.milvus.collections()}, the runs {known}")
        connection.close()

    def settle(self, connection):
        """A sync to Milvus leaves what a running transaction may not see yet."""
        for gid, in self.execute(connection, "SELECT gid FROM pg_prepared_xacts"):
            self.execute(connection, f"ROLLBACK PREPARED '{gid}'")
        for _ in range(100):
            self.execute(connection, "SELECT count(*) FROM brain.sync()")
            if self.execute(connection, "SELECT count(*) FROM brain.changes") == [(0,)]:
                return
            time.sleep(0.1)


def mutations(options, folder):
    """Each rule in turn is switched off: that must be found."""
    missed = []
    for mutation in options.mutations:
        run = Run(options, folder, mutation)
        run.go()
        if run.failure_kind in ("wrong answer", "wrong WARNING"):
            print(f"{mutation}: found after {run.journal.seconds():.0f} s, {run.journal.total_compared()} searches; "
                  + run.failure.split("\n")[0])
        elif run.failure:
            print(f"{mutation}: {run.failure}")
            missed.append(mutation)
        else:
            print(f"{mutation}: NOT FOUND in {options.seconds} s\n{run.journal.report()}")
            missed.append(mutation)
        sys.stdout.flush()
    print(f"{len(options.mutations) - len(missed)} mutations found, {len(missed)} not")
    return not missed


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tests/checker", description=__doc__)
    parser.add_argument("--seconds", type=int, help="how long (120; for a mutation at most 180)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--milvus", metavar="KIND", help="runs by the milvus backend, on a server of that kind")
    parser.add_argument("--index", metavar="TYPE", default="FLAT",
                        help="of these runs (FLAT, which finds the nearest); of another the recall has to be 0.95")
    parser.add_argument("--no-disturb", dest="disturb", action="store_false",
                        help="no crashes, and files are left alone")
    parser.add_argument("--mutations", nargs="*", metavar="R1", choices=MUTATIONS,
                        help="switch rules off, one after the other (all of them), and find that")
    options = parser.parse_args()
    if options.mutations == []:
        options.mutations = MUTATIONS
    options.seconds = options.seconds or (180 if options.mutations else 120)
    return options


def main():
    options = parse_arguments()
    folder = os.getcwd()
    print(f"seed {options.seed}", flush=True)
    if options.mutations:
        good = mutations(options, folder)
    else:
        run = Run(options, folder)
        good = run.go()
        print(run.journal.report())
        if run.failure:  # at the end, which is what tests/run repeats
            print(run.failure)
    sys.stdout.flush()
    os._exit(0 if good else 1)  # also when a thread hangs


if __name__ == "__main__":
    main()
