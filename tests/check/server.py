"""A server of our own, in a folder of our own: made, started, crashed."""

import os
import re
import shutil
import signal
import subprocess
import time

import psycopg2

CONFIGURATION = """
listen_addresses = ''
fsync = off                      # the machine stays up; crashes of processes lose nothing
max_connections = 40
max_prepared_transactions = 20
shared_buffers = 64MB
wal_writer_delay = 2s            # so that a crash loses what synchronous_commit = off left
autovacuum_naptime = 1s
deadlock_timeout = 50ms
restart_after_crash = on
log_line_prefix = '%m [%p] '
log_min_messages = log
"""


class Server:
    def __init__(self, folder):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.log = os.path.join(folder, "server.log")
        self.files = os.path.join(self.data, "pgsql_tmp_milvus_brain")

    def make(self, settings):
        shutil.rmtree(self.data, ignore_errors=True)
        if os.path.exists(self.log):
            os.remove(self.log)
        subprocess.run(["initdb", "--pgdata", self.data, "--username=postgres", "--auth=trust", "--no-sync",
                        "--encoding=UTF8", "--locale=C.UTF-8"], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write(CONFIGURATION + f"unix_socket_directories = '{self.folder}'\n")
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def pg_ctl(self, *arguments):
        # its own session: who interrupts us does not interrupt the server
        subprocess.run(["pg_ctl", "--silent", "--wait", "--pgdata", self.data, *arguments], check=True,
                       stdout=subprocess.DEVNULL, start_new_session=True)

    def start(self):
        self.pg_ctl("start", "--log", self.log)

    def stop(self, mode="fast"):
        if self.is_running():
            self.pg_ctl("stop", "--mode", mode)

    def restart(self, mode):
        self.pg_ctl("restart", "--mode", mode, "--log", self.log)

    def postmaster(self):
        with open(os.path.join(self.data, "postmaster.pid")) as file:
            return int(file.readline())

    def is_running(self):
        return os.path.exists(os.path.join(self.data, "postmaster.pid"))

    def kill_postmaster(self):
        """Its children notice, end, and leave everything as it is."""
        pid = self.postmaster()
        children = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True).stdout.split()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while any(os.path.exists(f"/proc/{child}") for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.remove(os.path.join(self.data, "postmaster.pid"))  # pg_ctl would complain
        self.start()

    def connect(self, user, database="checker", wait=60):
        """Waits for a server that is on its way up."""
        deadline = time.monotonic() + wait
        while True:
            try:
                connection = psycopg2.connect(host=self.folder, user=user, dbname=database)
                connection.autocommit = True
                return connection
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def crashes(self):
        """Lines of the log that say that a process ended as it never should;
        signal 9 is ours."""
        with open(self.log, errors="replace") as file:
            return [line for line in file
                    if re.search(r"was terminated by signal (?!9\b)|PANIC:|TRAP:|stuck spinlock", line)]

    def end_of_log(self, lines=60):
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def matrix_files(self):
        try:
            # a note of a write to Milvus that may still arrive is none
            return sorted(os.path.join(self.files, name) for name in os.listdir(self.files)
                          if not name.endswith(".pending"))
        except FileNotFoundError:
            return []

    def remove_matrix_files(self):
        """Returns whether there were any."""
        files = self.matrix_files()
        for path in files:
            try:
                os.remove(path)
            except FileNotFoundError:
                pass
        return bool(files)
