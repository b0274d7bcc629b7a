"""What a session does: plans of a few steps, drawn at random.

A plan is mostly one transaction.  When a step fails, the rest of its plan is
given up; which failures are expected, session.py says.
"""

from dataclasses import dataclass, field

import datasets
from datasets import DATASETS, PARTS, PLAIN, TEXTS, compute, some_ids, values
from searches import Search, random_neighbors, random_search


# Of searches while another session cleans a run up or makes it anew.
NO_RUN = ("42704", "55000")


@dataclass
class Sql:
    kind: str
    sql: str
    expected: tuple = ()  # SQLSTATEs beyond those that always are

    def __str__(self):
        return self.sql


@dataclass
class Copy:
    dataset: object
    rows: list
    kind: str = "COPY"
    expected: tuple = ("23505", "23514")

    def __str__(self):
        return f"COPY {self.dataset.name}: {self.rows}"


@dataclass
class Compare:
    search: Search
    by_table: bool = False  # once more from the table; only where the snapshot stays
    kind: str = "search"

    def __str__(self):
        return str(self.search)


@dataclass
class Declare:
    search: Search
    kind: str = "DECLARE"

    def __str__(self):
        return f"DECLARE held CURSOR FOR {self.search}"


@dataclass
class Fetch:
    """The end of a cursor over a search that was declared before."""
    search: Search
    kind: str = "FETCH"

    def __str__(self):
        return "FETCH FROM held"


@dataclass
class Sync:
    sql: str
    kind: str = "sync"
    # 53100: the file that it was writing was removed
    expected: tuple = ("42704", "55000", "53100")

    def __str__(self):
        return self.sql


@dataclass
class Reconnect:
    kind: str = "reconnect"

    def __str__(self):
        return "reconnect"


@dataclass
class RemoveFiles:
    """All bases are gone: the next search makes one, for others too."""
    kind: str = "remove files"

    def __str__(self):
        return "remove the matrix files"


@dataclass
class Other:
    """A step on a second connection of the session, outside its transaction."""
    step: object

    @property
    def kind(self):
        return self.step.kind

    def __str__(self):
        return f"[other] {self.step}"


@dataclass
class Plan:
    kind: str
    steps: list = field(default_factory=list)
    isolation: str = "autocommit"

    def __str__(self):
        return f"{self.kind} ({self.isolation})\n" + "\n".join(f"  {step};" for step in self.steps)


def nap(rng, longest):
    return Sql("pg_sleep", f"SELECT pg_sleep({rng.uniform(0, longest):.3f})")


def begin(plan, isolation):
    plan.isolation = isolation
    plan.steps.append(Sql("BEGIN", f"BEGIN ISOLATION LEVEL {isolation}"))


def any_isolation(rng):
    return rng.choice(["READ COMMITTED"] * 4 + ["REPEATABLE READ", "SERIALIZABLE"])


# ---- statements that write ---------------------------------------------------

def insert(rng, dataset, most=5):
    rows = values(rng, dataset, some_ids(rng, dataset, most))
    sql = f"INSERT INTO {dataset.name} VALUES {rows} ON CONFLICT ({dataset.id}) "
    if rng.random() < 0.5:
        return Sql("INSERT DO NOTHING", sql + "DO NOTHING", ("23514",))
    return Sql("INSERT DO UPDATE", sql + "DO UPDATE SET embedding = excluded.embedding, tag = excluded.tag",
               ("23514",))


def ids_in(rng, dataset, most):
    return f"{dataset.id} IN ({', '.join(dataset.id_of(n) for n in some_ids(rng, dataset, most))})"


def update_embedding(rng, dataset):
    new = f"{datasets.embedding_literal(rng, dataset.dim)}::{dataset.embedding_type}"
    return Sql("UPDATE embedding", f"UPDATE {dataset.name} SET embedding = {new} WHERE {ids_in(rng, dataset, 3)}")


def update_tag(rng, dataset):
    return Sql("UPDATE filter column",
               f"UPDATE {dataset.name} SET tag = {datasets.tag(rng)} WHERE {ids_in(rng, dataset, 5)}")


def update_note(rng, dataset):
    return Sql("UPDATE another column",
               f"UPDATE {dataset.name} SET note = '{rng.choice('xyz')}' WHERE {ids_in(rng, dataset, 10)}")


def update_key(rng, dataset):
    """Moves between partitions are among them.  The new key is mostly taken:
    that row goes first, at times."""
    old, new = (dataset.id_of(n) for n in rng.sample(range(dataset.ids), 2))
    steps = [Sql("UPDATE key", f"UPDATE {dataset.name} SET {dataset.id} = {new} WHERE {dataset.id} = {old}",
                 ("23505", "23514"))]
    if rng.random() < 0.7:
        steps.insert(0, Sql("DELETE", f"DELETE FROM {dataset.name} WHERE {dataset.id} = {new}"))
    return steps


def delete(rng, dataset):
    return Sql("DELETE", f"DELETE FROM {dataset.name} WHERE {ids_in(rng, dataset, 4)}")


def merge(rng, dataset):
    rows = values(rng, dataset, some_ids(rng, dataset, 4))
    return Sql("MERGE", f"""MERGE INTO {dataset.name} AS t USING (VALUES {rows}) AS s (id, embedding, tag, note)
	ON t.{dataset.id} = s.id
	WHEN MATCHED AND s.tag = 0 THEN DELETE
	WHEN MATCHED THEN UPDATE SET embedding = s.embedding
	WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.embedding, s.tag, s.note)""", ("23505", "23514"))


def copy(rng, dataset):
    """Ids that mostly are not there: they go first."""
    numbers = some_ids(rng, dataset, 8)
    first = Sql("DELETE", f"DELETE FROM {dataset.name} WHERE {dataset.id} IN "
                f"({', '.join(dataset.id_of(n) for n in numbers)})")
    return [first, Copy(dataset, datasets.rows(rng, dataset, numbers))]


def write_partition(rng):
    leaf = rng.choice(list(PARTS.partitions))
    ids = some_ids(rng, PARTS, 3, leaf)
    kind = rng.random()
    if kind < 0.4:
        return Sql("INSERT into partition", f"INSERT INTO {leaf} VALUES {values(rng, PARTS, ids)} ON CONFLICT DO NOTHING")
    if kind < 0.7:
        return Sql("UPDATE of partition", f"UPDATE {leaf} SET embedding = {datasets.embedding_literal(rng, PARTS.dim)}"
                   f" WHERE id IN ({', '.join(map(str, ids))})")
    if kind < 0.95:
        return Sql("DELETE from partition", f"DELETE FROM {leaf} WHERE id IN ({', '.join(map(str, ids))})")
    # 55006: a cursor of the same transaction is open
    return Sql("TRUNCATE of partition", f"TRUNCATE {leaf}", ("55006",))


def write_stored(rng, dataset):
    run = rng.choice(dataset.stored_runs())
    ids = some_ids(rng, dataset, 6)
    if rng.random() < 0.3:
        return Sql("remove_from_index", f"SELECT brain.remove_from_index('{dataset.name}', '{run.key}', "
                   f"ARRAY[{', '.join(dataset.id_of(n) for n in ids)}])", ("55000",))
    return add_to_index(rng, dataset, run, ids)


def add_to_index(rng, dataset, run, ids):
    """A call for each id that the dataset has: others are refused."""
    id_array = f"ARRAY[{', '.join(dataset.id_of(n) for n in ids)}]"
    vectors = ", ".join(f"'{datasets.array(datasets.vector(rng, run.dim))}'" for _ in ids)
    return Sql("add_to_index", f"""SELECT brain.add_to_index('{dataset.name}', '{run.key}', given.id, given.vector::real[])
	FROM unnest({id_array}, ARRAY[{vectors}]) AS given (id, vector)
	WHERE EXISTS (SELECT FROM {dataset.name} AS t WHERE t.{dataset.id} = given.id)""", ("55000", "P0002"))


def refill(rng, dataset):
    """Many rows at once, so that the dataset does not become empty."""
    numbers = some_ids(rng, dataset, dataset.ids)
    return Sql("INSERT many", f"INSERT INTO {dataset.name} VALUES {values(rng, dataset, numbers)} ON CONFLICT DO NOTHING",
               ("23514",))


def write(rng, dataset):
    """One write, as a list of steps."""
    writers = [insert] * 4 + [update_embedding] * 5 + [update_tag, update_note, delete, delete, merge]
    kind = rng.random()
    if kind < 0.08:
        return copy(rng, dataset)
    if kind < 0.18:
        return update_key(rng, dataset)
    if kind < 0.35 and dataset.partitions:
        return [write_partition(rng)]
    if kind < 0.30 and dataset.stored_runs():
        return [write_stored(rng, dataset)]
    return [rng.choice(writers)(rng, dataset)]


def savepoint(rng, steps):
    """The steps in a savepoint, rolled back or released."""
    end = rng.choice(["ROLLBACK TO s", "ROLLBACK TO s", "RELEASE s"])
    return [Sql("SAVEPOINT", "SAVEPOINT s")] + steps + [Sql(end.replace(" s", ""), end)]


# ---- plans -------------------------------------------------------------------

def plan_search(rng, plan):
    for _ in range(rng.randint(1, 4)):
        plan.steps.append(Compare(random_search(rng, datasets=DATASETS)))


def plan_neighbors(rng, plan):
    dataset = rng.choice([TEXTS, TEXTS, PLAIN])
    plan.steps.append(Compare(random_neighbors(rng, dataset, rng.choice(dataset.runs))))


def plan_search_as_reader(rng, plan):
    """Row security hides some rows."""
    begin(plan, any_isolation(rng))
    plan.steps.append(Sql("SET ROLE", "SET LOCAL ROLE reader"))
    run = rng.choice(PLAIN.column_runs())
    for _ in range(rng.randint(1, 3)):
        plan.steps.append(Compare(random_search(rng, PLAIN, run)))
    plan.steps.append(Sql("COMMIT", "COMMIT"))


def plan_search_of_one_statement(rng, plan):
    """The statement that searches writes, too; the search must not see that."""
    search = random_search(rng, PLAIN)
    search.by_function = False
    rows = values(rng, PLAIN, some_ids(rng, PLAIN, 3))
    search.insert_first = (f"	INSERT INTO plain VALUES {rows} ON CONFLICT (id) DO UPDATE "
                           "SET embedding = excluded.embedding RETURNING id")
    plan.steps.append(Compare(search))


def plan_search_in_trigger(rng, plan):
    begin(plan, any_isolation(rng))
    search = random_search(rng, PLAIN)
    plan.steps.append(Sql("SET", f"SET LOCAL checker.search = $trigger${search.sql()}$trigger$"))
    for _ in range(rng.randint(1, 3)):
        step = rng.choice([insert, update_embedding, delete])(rng, PLAIN)
        plan.steps.append(Sql(step.kind, step.sql, step.expected + NO_RUN))
    plan.steps.append(Sql("COMMIT", "COMMIT"))


def plan_search_in_returning(rng, plan):
    """A function that the writing statement calls: our triggers come later."""
    dataset = rng.choice(DATASETS)
    if rng.random() < 0.5:
        begin(plan, any_isolation(rng))
        plan.steps += write(rng, dataset)
    step = rng.choice([insert, update_embedding, delete])(rng, dataset)
    search = random_search(rng, dataset)
    plan.steps.append(Sql("RETURNING", f"{step.sql} RETURNING compare_here($returning${search.sql()}$returning$)",
                          step.expected + NO_RUN))
    if plan.isolation != "autocommit":
        plan.steps += [Compare(random_search(rng, dataset)), Sql("COMMIT", "COMMIT")]


def plan_write(rng, plan):
    begin(plan, any_isolation(rng))
    dataset = rng.choice(DATASETS)
    for _ in range(rng.randint(1, 4)):
        steps = write(rng, dataset)
        if rng.random() < 0.5:
            steps.append(Compare(random_search(rng, dataset), plan.isolation != "READ COMMITTED"))
        if rng.random() < 0.2:
            steps = savepoint(rng, steps)
        plan.steps += steps
    if rng.random() < 0.1:
        plan.steps.append(nap(rng, 0.05))
    end(rng, plan)


def end(rng, plan):
    kind = rng.random()
    if kind < 0.72:
        plan.steps.append(Sql("COMMIT", "COMMIT"))
    elif kind < 0.92:
        plan.steps.append(Sql("ROLLBACK", "ROLLBACK"))
    else:
        # {gid} is the session's own
        plan.steps += [Sql("PREPARE TRANSACTION", "PREPARE TRANSACTION '{gid}'"), nap(rng, 0.1)]
        plan.steps.append(Compare(random_search(rng, datasets=DATASETS)))
        verb = rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])
        plan.steps.append(Sql(f"{verb} PREPARED", f"{verb} PREPARED '{{gid}}'"))


def plan_write_at_once(rng, plan):
    for _ in range(rng.randint(1, 4)):
        plan.steps += write(rng, rng.choice(DATASETS))


def plan_refill(rng, plan):
    plan.steps.append(refill(rng, rng.choice(DATASETS)))


def plan_refill_stored(rng, plan):
    plan.steps.append(add_to_index(rng, PLAIN, PLAIN.stored_runs()[0], some_ids(rng, PLAIN, PLAIN.ids)))


def plan_truncate(rng, plan):
    begin(plan, any_isolation(rng))
    dataset = rng.choice(DATASETS)
    steps = [Sql("TRUNCATE", f"TRUNCATE {dataset.name}")]
    if rng.random() < 0.5:
        steps.append(insert(rng, dataset))
    steps.append(Compare(random_search(rng, dataset), plan.isolation != "READ COMMITTED"))
    if rng.random() < 0.5:
        steps = savepoint(rng, steps)
    plan.steps += steps
    plan.steps.append(Compare(random_search(rng, dataset), plan.isolation != "READ COMMITTED"))
    plan.steps.append(refill(rng, dataset))
    plan.steps.append(Sql("COMMIT", rng.choice(["COMMIT", "ROLLBACK"])))


def plan_old_snapshot(rng, plan):
    """A reader whose snapshot grows old while others write, sync and build."""
    begin(plan, rng.choice(["REPEATABLE READ", "SERIALIZABLE"]))
    if rng.random() < 0.3:
        plan.steps.append(Sql("BEGIN READ ONLY", "SET TRANSACTION READ ONLY"))
    plan.steps.append(Sql("SELECT", "SELECT count(*) FROM pg_class"))
    for _ in range(rng.randint(1, 4)):
        plan.steps += [nap(rng, 0.3), Compare(random_search(rng, datasets=DATASETS), rng.random() < 0.5)]
    plan.steps.append(Sql("COMMIT", "COMMIT"))


def between(rng, dataset):
    """What may happen between the steps of a transaction, on another connection."""
    what = rng.random()
    if what < 0.25:
        return [RemoveFiles()]
    if what < 0.45:
        return [Other(Compare(random_search(rng, dataset)))]
    if what < 0.7:
        return [Other(step) for step in write(rng, dataset)]
    if what < 0.85:
        return [Other(random_sync(rng))]
    return [Other(rng.choice([
        Sql("TRUNCATE", f"TRUNCATE {dataset.name}"), Sql("VACUUM FULL", f"VACUUM FULL {dataset.name}"),
        Sql("compute_similarity", compute(dataset, rng.choice(dataset.runs)), ("42710", "23505")),
        refill(rng, dataset)]))]


def plan_side_by_side(rng, plan):
    """A transaction and what happens between its steps, in close order."""
    dataset = rng.choice(DATASETS)
    begin(plan, rng.choice(["READ COMMITTED", "REPEATABLE READ", "REPEATABLE READ", "SERIALIZABLE"]))
    plan.steps.append(Sql("SELECT", "SELECT count(*) FROM pg_class"))
    for _ in range(rng.randint(2, 5)):
        plan.steps += between(rng, dataset)
        what = rng.random()
        if what < 0.6:
            plan.steps.append(Compare(random_search(rng, dataset), plan.isolation != "READ COMMITTED"))
        elif what < 0.8:
            plan.steps += write(rng, dataset)
        elif what < 0.85:
            plan.steps.append(Sql("compute_similarity", compute(dataset, rng.choice(dataset.runs)), ("42710", "23505")))
    plan.steps += [Compare(random_search(rng, dataset)), Sql("COMMIT", rng.choice(["COMMIT", "ROLLBACK"])),
                   Compare(random_search(rng, dataset))]


def plan_reader_file(rng, plan):
    """A snapshot that has not seen one transaction, which is older than what it
    has seen, and a reader's file that has (C1).  Or a reader that writes (A12)."""
    dataset = rng.choice([PLAIN, TEXTS])
    run = dataset.runs[0]
    if rng.random() < 0.5:
        begin(plan, "REPEATABLE READ")
        plan.steps += [Sql("DELETE", f"DELETE FROM {dataset.name}"), refill(rng, dataset), RemoveFiles(),
                       Compare(random_search(rng, dataset, run)), Other(Compare(random_search(rng, dataset, run))),
                       Sql("ROLLBACK", "ROLLBACK"), Compare(random_search(rng, dataset, run))]
        return
    old, new = (Other(update_embedding(rng, dataset)) for _ in range(2))
    plan.steps += [Other(Sql("BEGIN", "BEGIN")), old, new, update_note(rng, PARTS)]
    begin(plan, "REPEATABLE READ")
    plan.steps += [Sql("SELECT", "SELECT count(*) FROM pg_class"), Other(Sql("COMMIT", "COMMIT")), RemoveFiles()]
    for _ in range(2):
        plan.steps += [Other(Compare(random_search(rng, dataset, run))), Compare(random_search(rng, dataset, run))]
    plan.steps.append(Sql("COMMIT", "COMMIT"))


def plan_cursor(rng, plan):
    """A cursor that is opened now and read later."""
    begin(plan, any_isolation(rng))
    dataset = rng.choice(DATASETS)
    if rng.random() < 0.5:
        plan.steps += write(rng, dataset)
    search = random_search(rng, dataset)
    plan.steps.append(Declare(search))
    for _ in range(rng.randint(0, 2)):
        plan.steps += write(rng, dataset)
    plan.steps += [nap(rng, 0.2), Fetch(search)]
    plan.steps.append(Sql("COMMIT", rng.choice(["COMMIT", "ROLLBACK"])))


def sync_of(dataset):
    return Sync(f"SELECT action, samples, brain_key, reason FROM brain.sync('{dataset.name}')")


def random_sync(rng):
    dataset = rng.choice(DATASETS)
    run = rng.choice(dataset.runs)
    arguments = rng.choice(["", f"'{dataset.name}'", f"'{dataset.name}', '{run.key}'"])
    return Sync(f"SELECT action, samples, brain_key, reason FROM brain.sync({arguments})")


def plan_sync(rng, plan):
    plan.steps.append(random_sync(rng))
    if rng.random() < 0.5:
        plan.steps.append(Compare(random_search(rng, datasets=DATASETS)))


def plan_sync_in_transaction(rng, plan):
    """A sync that waits with its commit, of changes that may be its own: a
    second one meanwhile waits for it, and others write."""
    begin(plan, "READ COMMITTED")
    dataset = rng.choice(DATASETS)
    if rng.random() < 0.4:
        plan.steps += write(rng, dataset)
    sync = random_sync(rng)
    plan.steps += savepoint(rng, [sync]) if rng.random() < 0.2 else [sync]
    plan.steps += [nap(rng, 0.1), Compare(random_search(rng, dataset))]
    if rng.random() < 0.3:
        plan.steps += write(rng, dataset) + [Compare(random_search(rng, dataset))]
    plan.steps.append(Sql("COMMIT", rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])))


def random_compute(rng):
    dataset = rng.choice(DATASETS)
    return Sql("compute_similarity", compute(dataset, rng.choice(dataset.runs)), ("42710", "23505"))


def plan_compute(rng, plan):
    if rng.random() < 0.5:
        plan.steps.append(random_compute(rng))
        return
    begin(plan, any_isolation(rng))
    if plan.isolation != "READ COMMITTED":
        plan.steps += [Sql("SELECT", "SELECT count(*) FROM pg_class"), nap(rng, 0.1)]
    if rng.random() < 0.3:
        plan.steps += write(rng, rng.choice(DATASETS))
    plan.steps += [random_compute(rng), Compare(random_search(rng, datasets=DATASETS))]
    plan.steps.append(Sql("COMMIT", rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])))


def plan_cleanup(rng, plan):
    dataset = rng.choice(DATASETS)
    run = rng.choice(dataset.column_runs())
    call = rng.choice(["brain.cleanup", "brain.delete_brain_run"])
    if rng.random() < 0.5:
        begin(plan, "READ COMMITTED")
    plan.steps.append(Sql(call, f"SELECT {call}('{dataset.name}', '{run.key}')", ("42704",)))
    plan.steps.append(Sql("compute_similarity", compute(dataset, run), ("42710", "23505")))
    if plan.isolation != "autocommit":
        plan.steps.append(Sql("COMMIT", rng.choice(["COMMIT", "ROLLBACK"])))


def plan_detach(rng, plan):
    """A partition is away for a while, and changes there."""
    if rng.random() < 0.5:
        begin(plan, "READ COMMITTED")
    plan.steps.append(Sql("DETACH", "SELECT detach_parts_b()"))
    ids = some_ids(rng, PARTS, 3, "parts_b")
    plan.steps.append(Sql("write detached", f"INSERT INTO parts_b VALUES {values(rng, PARTS, ids)} ON CONFLICT (id) "
                          "DO UPDATE SET embedding = excluded.embedding"))
    plan.steps += [Compare(random_search(rng, PARTS)), nap(rng, 0.1)]
    plan.steps.append(Sql("ATTACH", "SELECT attach_parts_b()"))
    plan.steps.append(Compare(random_search(rng, PARTS)))
    if plan.isolation != "autocommit":
        plan.steps.append(Sql("COMMIT", rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])))
        plan.steps.append(Sql("ATTACH", "SELECT attach_parts_b()"))


def plan_untracked_writes(rng, plan):
    """Writes that our triggers do not see."""
    begin(plan, "READ COMMITTED")
    dataset = rng.choice([PLAIN, TEXTS])
    plan.steps.append(Sql("DISABLE TRIGGER", f"ALTER TABLE {dataset.name} DISABLE TRIGGER USER"))
    plan.steps += [rng.choice([insert, update_embedding, delete])(rng, dataset), Compare(random_search(rng, dataset))]
    plan.steps.append(Sql("ENABLE ALWAYS TRIGGER", f"SELECT enable_tracking('{dataset.name}')"))
    plan.steps.append(Compare(random_search(rng, dataset)))
    plan.steps.append(Sql("COMMIT", rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])))


def plan_replica_writes(rng, plan):
    """As logical replication and restores write."""
    begin(plan, "READ COMMITTED")
    plan.steps.append(Sql("SET replica", "SET LOCAL session_replication_role = replica"))
    dataset = rng.choice(DATASETS)
    plan.steps += write(rng, dataset) + [Compare(random_search(rng, dataset))]
    plan.steps.append(Sql("COMMIT", "COMMIT"))


def plan_other_base(rng, plan):
    """A snapshot that is older than a base which was filled since (R1)."""
    dataset = rng.choice([PLAIN, TEXTS])
    begin(plan, "REPEATABLE READ")
    plan.steps.append(Sql("SELECT", "SELECT count(*) FROM pg_class"))
    plan.steps += [Other(update_embedding(rng, dataset)), Other(delete(rng, dataset)), Other(delete(rng, dataset)),
                   Other(Sql("VACUUM FULL", f"VACUUM FULL {dataset.name}")), Other(sync_of(dataset))]
    plan.steps += [Compare(random_search(rng, dataset)) for _ in range(3)] + [Sql("COMMIT", "COMMIT")]


def plan_attached_later(rng, plan):
    """A base without a partition, which even an older snapshot sees (R6)."""
    plan.steps += [Sql("DETACH", "SELECT detach_parts_b()"), sync_of(PARTS)]
    begin(plan, "REPEATABLE READ")
    plan.steps += [Sql("SELECT", "SELECT count(*) FROM pg_class"), Other(Sql("ATTACH", "SELECT attach_parts_b()"))]
    plan.steps += [Compare(random_search(rng, PARTS)) for _ in range(3)] + [Sql("COMMIT", "COMMIT")]
    plan.steps.append(Sql("ATTACH", "SELECT attach_parts_b()"))


def plan_alter(rng, plan):
    """Tables that change their shape or their file."""
    sql = rng.choice([
        "ALTER TABLE plain ADD COLUMN IF NOT EXISTS more integer DEFAULT 1",
        "ALTER TABLE plain DROP COLUMN IF EXISTS more",
        "ALTER TABLE texts ALTER COLUMN tag TYPE bigint",
        "ALTER TABLE texts ALTER COLUMN tag TYPE integer",
        "ALTER TABLE parts ALTER COLUMN note SET DEFAULT 'x'",
        "CLUSTER plain USING plain_pkey",
        "VACUUM FULL texts",
        "VACUUM (FREEZE) plain",
        "VACUUM ANALYZE parts",
        "REINDEX TABLE plain",
    ])
    plan.steps.append(Sql(" ".join(sql.split()[:2]), sql, ("42701",)))
    plan.steps.append(Compare(random_search(rng, datasets=DATASETS)))


def plan_reconnect(rng, plan):
    plan.steps += [Reconnect(), Compare(random_search(rng, datasets=DATASETS))]


PLANS = [
    # weight, plan, what of the extension it needs
    (16, plan_search, ()),
    (1, plan_neighbors, ("neighbors", "matrix")),
    (3, plan_search_as_reader, ()),
    (2, plan_search_of_one_statement, ()),
    (1, plan_search_in_trigger, ()),
    (1, plan_search_in_returning, ()),
    (14, plan_write, ()),
    (10, plan_write_at_once, ()),
    (3, plan_refill, ()),
    (1, plan_refill_stored, ()),
    (1, plan_truncate, ()),
    (4, plan_old_snapshot, ()),
    (4, plan_side_by_side, ()),
    (2, plan_reader_file, ("matrix",)),
    (3, plan_cursor, ()),
    (10, plan_sync, ("sync",)),
    (4, plan_sync_in_transaction, ("sync",)),
    (3, plan_compute, ()),
    (1, plan_cleanup, ()),
    (1, plan_detach, ()),
    (1, plan_untracked_writes, ()),
    (2, plan_replica_writes, ()),
    (1, plan_other_base, ("sync",)),
    (1, plan_attached_later, ("sync",)),
    (1, plan_alter, ()),
    (1, plan_reconnect, ()),
]


# The full Milvus takes five seconds to make a collection, and no others meanwhile.
SLOW_ON_FULL = {plan_compute: 0.3, plan_cleanup: 0.2, plan_truncate: 0.3, plan_untracked_writes: 0.3, plan_alter: 0.3,
                plan_detach: 0.3, plan_other_base: 0.3, plan_attached_later: 0.3}


def random_plan(rng, functions):
    """A plan of those that this version of the extension has the functions for."""
    there = [(weight * SLOW_ON_FULL.get(make, 1) if "full" in functions else weight, make)
             for weight, make, needs in PLANS if set(needs) <= functions]
    make = rng.choices([make for _, make in there], [weight for weight, _ in there])[0]
    plan = Plan(make.__name__.removeprefix("plan_"))
    make(rng, plan)
    return plan
