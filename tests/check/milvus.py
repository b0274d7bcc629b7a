"""The Milvus server of a run: looked at, killed, frozen, started again.  Whoever
started the checker started it, with tests/servers/server."""

import os
import signal
import subprocess

# What a sync or a build may meet while the server is away: no connection, no
# answer in time, a limit of its own, a collection that is not there (any more).
AWAY = ("08001", "08006", "08P01", "38000", "42704", "53000", "54000")

# Timeouts are short, so that what was sent and not acknowledged happens too.
SETUP = """
CREATE SERVER milvus FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '{uri}');
GRANT USAGE ON FOREIGN SERVER milvus TO owner, reader;
CREATE USER MAPPING FOR PUBLIC SERVER milvus;
ALTER DATABASE checker SET brain.connect_timeout = '3';
ALTER DATABASE checker SET brain.request_timeout = '{request_timeout}';
"""

LIST = """
import sys
from pymilvus import connections, utility
connections.connect(uri=sys.argv[1])
print("collections:", *utility.list_collections())
"""


class Milvus:
    def __init__(self, kind):
        self.kind = kind
        self.program = os.environ["BRAIN_SERVERS"]
        self.is_full = kind.startswith("milvus-2")

    def call(self, command):
        # its own session: who interrupts us does not interrupt the server
        return subprocess.run([self.program, command, self.kind], check=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True).stdout

    def info(self):
        return dict(line.split("=", 1) for line in self.call("info").splitlines())

    def setup(self):
        return SETUP.format(uri=self.info()["uri"], request_timeout=20 if self.is_full else 5)

    def kill(self):
        self.call("kill")

    def restart(self):
        self.call("restart")

    def freeze(self, stop, seconds):
        """It takes requests, and answers them later; or its clients have given up."""
        pid = int(self.info()["pid"])
        os.kill(pid, signal.SIGSTOP)
        try:
            stop.wait(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def collections(self):
        info = self.info()
        done = subprocess.run([info["python"], "-s", "-B", "-c", LIST, info["uri"]], text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=120, env={"LANG": "C.UTF-8", "HOME": os.getcwd()})
        for line in done.stdout.splitlines():
            if line.startswith("collections:"):
                return set(line.split()[1:])
        raise RuntimeError(f"no list of collections: {done.stdout} {done.stderr}")
