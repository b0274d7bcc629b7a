"""What happened, counted by all sessions at once."""

import threading
import time
from collections import Counter


class Journal:
    def __init__(self):
        self.lock = threading.Lock()
        self.started = time.monotonic()
        self.operations = Counter()
        self.compared = Counter()  # by isolation level
        self.paths = Counter()
        self.syncs = Counter()     # by action
        self.errors = Counter()    # (SQLSTATE, operation)
        self.disturbances = Counter()
        self.ties = Counter()      # by metric
        self.recall = Counter()    # rows by an index that may miss some

    def count(self, what, key, n=1):
        with self.lock:
            getattr(self, what)[key] += n

    def seconds(self):
        return time.monotonic() - self.started

    def total_compared(self):
        return sum(self.compared.values())

    def share(self, wanted):
        """Of the searches, how many took a path."""
        total = sum(self.paths.values())
        return sum(n for (path, _), n in self.paths.items() if path == wanted) / total if total else 0

    def report(self):
        lines = [f"{self.total_compared()} searches compared in {self.seconds():.0f} s"]
        for title, counter in (("operations", self.operations), ("searches compared, by isolation", self.compared),
                               ("paths", self.paths), ("syncs by action", self.syncs),
                               ("errors by SQLSTATE", self.errors), ("disturbances", self.disturbances),
                               ("differ by which of equal distances there are at rank k", self.ties),
                               ("rows by Milvus' index", self.recall)):
            if not counter:
                continue
            lines.append(title + ":")
            lines += [f"  {n:8}  {' '.join(key) if isinstance(key, tuple) else key}"
                      for key, n in sorted(counter.items(), key=lambda item: (-item[1], str(item[0])))]
        return "\n".join(lines)
