"""What happens to the server and its files while the sessions work."""

import os
import random
import signal
import threading

import psycopg2


class Disturber(threading.Thread):
    def __init__(self, seed, server, milvus, functions, sessions, journal, fail, stop):
        super().__init__(daemon=True)
        self.rng = random.Random(f"{seed} disturber")
        self.server = server
        self.milvus = milvus
        self.functions = functions
        self.sessions = sessions
        self.journal = journal
        self.fail = fail
        self.stop = stop

    # ---- what it does; false: there was nothing to do --------------------------------------------------------

    def remove_files(self):
        return self.server.remove_matrix_files()

    def remove_a_file(self):
        files = self.server.matrix_files()
        if not files:
            return False
        os.remove(self.rng.choice(files))
        return True

    def damage_a_file(self):
        """A new file in the place of the old one: who has that mapped keeps it."""
        files = self.server.matrix_files()
        if not files:
            return False
        path = self.rng.choice(files)
        with open(path, "rb") as file:
            content = bytearray(file.read())
        if self.rng.random() < 0.5:
            content = content[:self.rng.randrange(len(content) + 1)]
        elif content:
            content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
        # a name that no sweep takes for one of its own
        copy = os.path.join(self.server.folder, "damaged")
        with open(copy, "wb") as file:
            file.write(content)
        os.chmod(copy, 0o600)
        os.rename(copy, path)
        return True

    def terminate_a_session(self):
        return self.signal_a_session(signal.SIGTERM)

    def kill_a_session(self):
        return self.signal_a_session(signal.SIGKILL)

    def signal_a_session(self, number):
        pid = self.rng.choice(self.sessions).pid
        if not pid:
            return False
        os.kill(pid, number)
        return True

    def restart(self):
        self.server.restart(self.rng.choice(["fast", "immediate"]))
        return True

    def kill_postmaster(self):
        self.server.kill_postmaster()
        return True

    def sweep(self):
        """Beside builds and syncs that are not committed yet."""
        if "sweep" not in self.functions:
            return False
        connection = self.server.connect("postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '3s'; SELECT kind, count(*) FROM brain.sweep() GROUP BY kind")
                for kind, n in cursor.fetchall():
                    self.journal.count("disturbances", f"swept: {kind}", n)
        except psycopg2.Error as error:
            if error.pgcode not in ("55P03", "40P01", "40001"):
                raise
        connection.close()
        return True

    def kill_milvus(self):
        """It is away for a while."""
        self.milvus.kill()
        self.stop.wait(self.rng.choice([0, 0.3, 3]))
        self.milvus.restart()
        return True

    def restart_milvus(self):
        self.milvus.restart()
        return True

    def freeze_milvus(self):
        # after long enough the full server takes itself for dead, and stays so
        self.milvus.freeze(self.stop, self.rng.choice([0.1, 1, 2] if self.milvus.is_full else [0.1, 1, 8]))
        return True

    CHOICES = {sweep: 3, remove_files: 6, remove_a_file: 6, damage_a_file: 4, terminate_a_session: 4,
               kill_a_session: 1, restart: 0.3, kill_postmaster: 0.3}
    # the full server takes five seconds to make a collection, and 15 to 19 to come back
    MILVUS_CHOICES = {sweep: 4, terminate_a_session: 4, kill_a_session: 2, restart: 0.3, kill_postmaster: 0.3,
                      kill_milvus: 1, restart_milvus: 0.5, freeze_milvus: 1}
    FULL_CHOICES = MILVUS_CHOICES | {kill_milvus: 0.2, restart_milvus: 0.1}

    def run(self):
        choices = self.CHOICES
        pace = 5 if self.milvus and self.milvus.is_full else 1
        if self.milvus:
            choices = self.FULL_CHOICES if self.milvus.is_full else self.MILVUS_CHOICES
        try:
            while not self.stop.wait(pace * self.rng.uniform(0.3, 1.5)):
                what = self.rng.choices(list(choices), list(choices.values()))[0]
                try:
                    done = what(self)
                except (FileNotFoundError, ProcessLookupError):
                    continue  # somebody else was quicker
                if done:
                    self.journal.count("disturbances", what.__name__)
        except Exception as error:  # the checker must not go on without it
            self.fail(f"the disturber failed: {error!r}")
