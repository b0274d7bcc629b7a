"""Stores rows in a Milvus server and finds them, by pymilvus.

    round_trip.py write INFO    makes a collection, and searches in it
    round_trip.py read INFO     finds the same rows again
"""

import sys
import warnings

warnings.simplefilter("ignore")
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections  # noqa: E402

ROWS, DIM = 100, 8


def connect(path):
    with open(path, encoding="utf-8") as file:
        info = dict(line.rstrip("\n").split("=", 1) for line in file)
    options = {key: info[key] for key in ("user", "password", "server_name") if key in info}
    options["host"], options["port"] = info["uri"].split("://")[1].split(":")
    if "cert" in info:
        options.update(secure=True, ca_pem_path=info["ca"], client_pem_path=info["cert"], client_key_path=info["key"])
    elif "ca" in info:
        options.update(secure=True, server_pem_path=info["ca"])
    connections.connect(timeout=20, **options)


def vector(row):
    return [float((row * (column + 3)) % 101) for column in range(DIM)]


def write():
    fields = [
        FieldSchema("pk", DataType.VARCHAR, is_primary=True, max_length=64),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM),
    ]
    collection = Collection("round_trip", CollectionSchema(fields))
    collection.insert([[f"row {row}" for row in range(ROWS)], [vector(row) for row in range(ROWS)]])
    collection.flush(timeout=60)
    collection.create_index("vector", {"index_type": "FLAT", "metric_type": "L2", "params": {}}, timeout=60)


def read():
    collection = Collection("round_trip")
    collection.load(timeout=60)
    hits = collection.search(
        [vector(row) for row in (0, 42, 99)], "vector", {"metric_type": "L2", "params": {}}, 1, consistency_level="Strong", timeout=60
    )
    found = [hit[0].id for hit in hits]
    if found != ["row 0", "row 42", "row 99"]:
        sys.exit(f"found {found}")


connect(sys.argv[2])
if sys.argv[1] == "write":
    write()
read()
