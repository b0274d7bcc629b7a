#!/usr/bin/python3
"""A Milvus server that goes wrong as it is told.

It speaks gRPC over HTTP/2 as far as milvus_brain asks, keeps collections in
memory, and answers right unless a script says otherwise. Needs python3-hpack.

    fake_milvus.py FOLDER      prints key=value for each port, then serves
    fake_milvus.py --namespace FOLDER
                               within `unshare -c -m -n --keep-caps`: loopback up,
                               and a resolver from which no answer ever comes

Ports, all on 127.0.0.1:

    main     HTTP/2, h2c; other protocols as Milvus' port: HTTP/1 gets a 404 page
    tls      the same over TLS; FOLDER/ca.pem is its certificate
    mute     accepts, and says nothing
    full     its queue of connections is full: connecting hangs
    refused  nobody listens
    control  a line of JSON each way, see Control

A fault is {"method": "Search", "kind": "...", ...}; the first that fits a call is
used. "times": n (default 1, 0: always), "skip": the first n calls are answered
right, "after": until bytes of the request's body came, "done": false, "late":
seconds after which it is done, not before. Kinds are the methods
fault_* of Connection.
"""

import collections
import ctypes
import fcntl
import json
import math
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import hpack

# ---- protobuf --------------------------------------------------------------------


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def part(field, data):
    if isinstance(data, str):
        data = data.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data


def take_varint(data, at):
    n = shift = 0
    while True:
        byte = data[at]
        at += 1
        n |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return n, at


def fields(data):
    """A message: field number -> list of ints and bytes."""
    out = collections.defaultdict(list)
    at = 0
    while at < len(data):
        key, at = take_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = take_varint(data, at)
        elif kind == 2:
            length, at = take_varint(data, at)
            value = data[at:at + length]
            at += length
        else:
            length = 8 if kind == 1 else 4
            value = data[at:at + length]
            at += length
        out[key >> 3].append(value)
    return out


def text(message, field):
    return message[field][0].decode() if message[field] else ""


def pairs(messages):
    return {text(pair, 1): text(pair, 2) for pair in map(fields, messages)}


# ---- what Milvus knows and does ----------------------------------------------------


class Milvus:
    def __init__(self):
        self.collections = {}
        self.timestamp = 1 << 60

    def answer(self, method, request):
        do = getattr(self, "do_" + method, None)
        return do(fields(request)) if do else None

    def now(self):
        self.timestamp += 1
        return self.timestamp

    def knows(self, request):
        return text(fields(request), 3) in self.collections

    def do_Connect(self, request):
        return part(2, part(1, "v2.3.5-fake"))

    def do_GetVersion(self, request):
        return part(2, "v2.3.5-fake")

    def do_ListDatabases(self, request):
        return part(2, "default")

    def do_AllocTimestamp(self, request):
        return number(2, self.now())

    def do_HasCollection(self, request):
        return number(2, text(request, 3) in self.collections)

    def do_ShowCollections(self, request):
        return b"".join(part(2, name) for name in self.collections)

    def do_CreateCollection(self, request):
        self.collections[text(request, 3)] = {
            "schema": request[4][0], "properties": request[7], "rows": {}, "duplicates": 0}
        return b""

    def do_DescribeCollection(self, request):
        collection = self.collections.get(text(request, 3))
        if collection is None:
            return part(1, number(3, 100) + part(2, "collection not found"))
        return (part(2, collection["schema"]) + number(3, 7) + number(8, 1) + number(11, 1)
                + b"".join(part(13, pair) for pair in collection["properties"]))

    def do_GetCollectionStatistics(self, request):
        rows = self.collections[text(request, 3)]["rows"]
        return part(2, part(1, "row_count") + part(2, str(len(rows))))

    def do_DropCollection(self, request):
        self.collections.pop(text(request, 3), None)
        return b""

    def write(self, request, inserts):
        collection = self.collections[text(request, 3)]
        keys = vectors = dim = None
        for column in map(fields, request[5]):
            if text(column, 2) == "pk":
                keys = [key.decode() for key in fields(fields(column[3][0])[6][0])[1]]
            elif column[4]:
                vector = fields(column[4][0])
                dim = vector[1][0]
                vectors = fields(vector[2][0])[1][0]
        for i, key in enumerate(keys):
            collection["duplicates"] += inserts and key in collection["rows"]
            collection["rows"][key] = struct.unpack_from("<%df" % dim, vectors, 4 * dim * i)
        return len(keys)

    def do_Insert(self, request):
        return number(6, self.write(request, True)) + number(9, self.now())

    def do_Upsert(self, request):
        return number(8, self.write(request, False)) + number(9, self.now())

    def do_Delete(self, request):
        keys = re.findall(r'"((?:[^"\\]|\\.)*)"', text(request, 5))
        for key in keys:
            self.collections[text(request, 3)]["rows"].pop(key, None)
        return number(7, len(keys))

    def do_Flush(self, request):
        name = request[3][0]
        return part(3, part(1, name) + part(2, part(1, b"\1"))) + part(6, part(1, name) + number(2, self.now()))

    def do_GetFlushState(self, request):
        return number(2, 1)

    def do_CreateIndex(self, request):
        return b""

    def do_DescribeIndex(self, request):
        n = len(self.collections[text(request, 3)]["rows"])
        return part(2, part(1, "vector") + part(4, text(request, 4)) + number(5, n) + number(6, n) + number(7, 3))

    def do_LoadCollection(self, request):
        return b""

    def do_GetLoadState(self, request):
        return number(2, 3)

    def do_Query(self, request):
        rows = self.collections[text(request, 3)]["rows"]
        if request[5][0] == b"count(*)":
            return part(2, number(1, 5) + part(2, "count(*)") + part(3, part(3, part(1, varint(len(rows))))))
        return part(2, number(1, 21) + part(2, "pk") + part(3, part(6, b"".join(part(1, key) for key in sorted(rows)))))

    def do_Search(self, request):
        return part(2, hits(self.nearest(request)))

    def nearest(self, request):
        """Of each query a list."""
        return [self.nearest_to(request, query) for query in fields(fields(request[6][0])[1][0])[3]]

    def nearest_to(self, request, query):
        rows = self.collections[text(request, 3)]["rows"]
        params = pairs(request[9])
        query = struct.unpack("<%df" % (len(query) // 4), query)

        def score(row):
            if params["metric_type"] == "L2":
                return -sum((a - b) ** 2 for a, b in zip(row, query))
            dot = sum(a * b for a, b in zip(row, query))
            if params["metric_type"] == "COSINE":
                dot /= math.sqrt(sum(a * a for a in row) * sum(a * a for a in query)) or 1
            return dot

        # of those equally near, the last by key first: not as they are to be told
        found = sorted(((score(row), key) for key, row in rows.items()), reverse=True)
        # an index that does not find all
        index = json.loads(params.get("params") or "{}")
        found = [hit for hit in found if hit[1] not in index.get("without", [])][:index.get("found")]
        sign = -1 if params["metric_type"] == "L2" else 1
        return [(key, sign * s) for s, key in found[:int(params["topk"])]]


def hits(lists, ids="text", counts=None, scores=None, queries=None):
    """SearchResultData, right or wrong."""
    found = [hit for one in lists for hit in one]
    counts = [len(one) for one in lists] if counts is None else counts
    if ids == "text":
        keys = part(2, b"".join(part(1, key) for key, _ in found))
    elif ids == "int":
        keys = part(1, part(1, b"".join(varint(1000 + i) for i in range(len(found)))))
    elif ids == "both":
        keys = part(1, part(1, varint(1))) + part(2, part(1, "1"))
    elif ids == "few":
        keys = part(2, b"".join(part(1, key) for key, _ in found[1:]))
    elif ids == "latin":
        keys = part(2, b"".join(part(1, b"\xe9") for _ in found))
    else:
        keys = b""
    values = [s for _, s in found] if scores is None else [float(scores)] * len(found)
    return (number(1, len(lists) if queries is None else queries) + number(2, max(counts))
            + part(4, struct.pack("<%df" % len(values), *values))
            + part(5, keys) + part(6, b"".join(varint(count) for count in counts)))


# ---- HTTP/2 --------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
PAGE = b"<html><head><title>404 Not Found</title></head><body>nothing here</body></html>"


class Closed(Exception):
    pass


class Connection(threading.Thread):
    def __init__(self, server, sock):
        super().__init__(daemon=True)
        self.server = server
        self.sock = sock
        self.streams = {}  # id -> [method, body, fault]
        self.held = False  # nothing is read any more

    def run(self):
        try:
            self.serve()
        except (Closed, OSError):
            pass
        finally:
            self.server.ended(self)
            self.close()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise Closed

    def read(self, n):
        out = b""
        while len(out) < n:
            more = self.sock.recv(n - len(out))
            if not more:
                raise Closed
            out += more
        return out

    def send(self, kind, flags, stream, payload=b""):
        self.sock.sendall(struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload)

    def send_headers(self, stream, headers, end=False):
        self.send(HEADERS, 4 | end, stream, self.encoder.encode(headers))

    def send_data(self, stream, data, end=False):
        for at in range(0, len(data), 16384):
            self.send(DATA, end and at + 16384 >= len(data), stream, data[at:at + 16384])

    def serve(self):
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.do_handshake()
        start = self.read(3)
        if start != PREFACE[:3]:
            self.serve_http1(start)
        if self.read(len(PREFACE) - 3) != PREFACE[3:]:
            return
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.send(SETTINGS, 0, 0)
        while True:
            head = self.read(9)
            length = int.from_bytes(head[:3], "big")
            kind, flags = head[3], head[4]
            stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
            self.take(kind, flags, stream, self.read(length))
            while self.held:  # until the server is told otherwise, or ends
                time.sleep(0.05)

    def serve_http1(self, start):
        """As Milvus, which has its REST on the same port."""
        if not start.isalpha():
            return self.reset()
        while b"\r\n\r\n" not in start:
            more = self.sock.recv(4096)
            if not more:
                raise Closed
            start += more
        self.server.count("http1")
        status = self.server.http1_status
        self.sock.sendall(b"HTTP/1.1 %d It\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (status, len(PAGE), PAGE))
        raise Closed

    def take(self, kind, flags, stream, payload):
        if kind == HEADERS:
            if flags & 8:
                payload = payload[1:-payload[0] or None]
            if flags & 32:
                payload = payload[5:]
            headers = dict(self.decoder.decode(payload))
            method = headers[":path"].rpartition("/")[2]
            fault = self.server.begin(method, headers)
            self.streams[stream] = [method, b"", fault]
            if fault and "after" in fault and fault["after"] == 0:
                self.act(stream)
        elif kind == DATA and stream in self.streams:
            self.streams[stream][1] += payload
            fault = self.streams[stream][2]
            if fault and "after" in fault and len(self.streams[stream][1]) >= fault["after"]:
                self.act(stream)
                return
            if payload:
                for s in (0, stream):
                    self.send(WINDOW_UPDATE, 0, s, struct.pack(">I", len(payload)))
        elif kind == SETTINGS and not flags & 1:
            self.send(SETTINGS, 1, 0)
        elif kind == PING and not flags & 1:
            self.send(PING, 1, 0, payload)
        elif kind == RST_STREAM:
            self.streams.pop(stream, None)
        if kind in (HEADERS, DATA) and flags & 1 and stream in self.streams:
            self.act(stream)

    # ---- a call ----

    def act(self, stream):
        method, body, fault = self.streams.pop(stream)
        self.request = body[5:]
        late = fault.get("late") if fault else None
        if late:
            threading.Timer(late, self.late, (method, self.request)).start()
        done = not fault or (fault.get("done", True) and not late)
        message = self.server.milvus.answer(method, self.request) if done and "after" not in (fault or {}) else b""
        self.server.served(method, self.request)
        if message is None:
            self.status(stream, 12, "unknown method")
        elif fault:
            getattr(self, "fault_" + fault["kind"])(stream, message, fault)
        else:
            self.reply(stream, message)

    def late(self, method, request):
        if self.server.milvus.knows(request):
            self.server.milvus.answer(method, request)
        self.server.count("late")

    HEAD = [(":status", "200"), ("content-type", "application/grpc")]
    OK = [("grpc-status", "0"), ("grpc-message", "")]

    def frame(self, message, flag=0, length=None):
        return struct.pack(">BI", flag, len(message) if length is None else length) + message

    def whole(self, stream, data, head=None, trailers=None):
        self.send_headers(stream, head or self.HEAD)
        self.send_data(stream, data)
        self.send_headers(stream, trailers or self.OK, end=True)

    def reply(self, stream, message):
        self.whole(stream, self.frame(message))

    def part_of_reply(self, stream, message, fault):
        """It is to be read before what follows comes."""
        self.send_headers(stream, self.HEAD)
        self.send_data(stream, self.frame(message)[:fault["bytes"]])
        time.sleep(0.1)

    def status(self, stream, status, words):
        self.send_headers(stream, self.HEAD + [("grpc-status", str(status)), ("grpc-message", words)], end=True)

    # ---- faults ----

    def fault_delay(self, stream, message, fault):
        time.sleep(fault["seconds"])
        self.reply(stream, message)

    def fault_wait(self, stream, message, fault):
        """Answered when the next script comes."""
        faults = self.server.faults
        while self.server.faults is faults:
            time.sleep(0.01)
        self.reply(stream, message)

    def fault_never(self, stream, message, fault):
        pass

    def fault_stall(self, stream, message, fault):
        self.held = True

    def fault_drop(self, stream, message, fault):
        """Closes the connection at once, after the headers, or within the body."""
        if "bytes" in fault:
            self.part_of_reply(stream, message, fault)
        if fault.get("how") == "reset":
            self.reset()
        raise Closed

    def fault_hold(self, stream, message, fault):
        """So many bytes of the body, and then no more."""
        self.part_of_reply(stream, message, fault)

    def fault_rst(self, stream, message, fault):
        if "bytes" in fault:
            self.part_of_reply(stream, message, fault)
        self.send(RST_STREAM, 0, stream, struct.pack(">I", fault.get("code", 2)))

    def fault_goaway(self, stream, message, fault):
        if "bytes" in fault:
            self.part_of_reply(stream, message, fault)
        self.send(GOAWAY, 0, 0, struct.pack(">II", fault.get("last", stream), fault.get("code", 0)) + b"max_age")
        raise Closed

    def fault_goaway_after(self, stream, message, fault):
        """The call is answered, but before it is said that there will be no other."""
        self.send(GOAWAY, 0, 0, struct.pack(">II", fault.get("last", stream), 0) + b"max_age")
        self.reply(stream, message)
        time.sleep(0.1)
        raise Closed

    def fault_no_trailers(self, stream, message, fault):
        self.send_headers(stream, self.HEAD)
        self.send_data(stream, self.frame(message), end=True)

    def fault_headers_only(self, stream, message, fault):
        self.send_headers(stream, self.HEAD, end=True)

    def fault_status(self, stream, message, fault):
        self.status(stream, fault["status"], fault.get("words", ""))

    def fault_status_after(self, stream, message, fault):
        """The status in trailers, after a reply."""
        self.whole(stream, self.frame(message), trailers=[("grpc-status", str(fault["status"])), ("grpc-message", fault.get("words", ""))])

    def fault_page(self, stream, message, fault):
        page = PAGE * fault.get("times_page", 1)
        self.send_headers(stream, [(":status", str(fault["status"])), ("content-type", "text/html")])
        self.send_data(stream, page, end=True)

    def fault_compressed(self, stream, message, fault):
        self.whole(stream, self.frame(message, flag=1), head=self.HEAD + [("grpc-encoding", "gzip")])

    def fault_length(self, stream, message, fault):
        """A frame that says that it is longer or shorter than it is."""
        length = fault["says"] if "says" in fault else len(message) + fault["by"]
        self.whole(stream, self.frame(message, length=length))

    def fault_content_length(self, stream, message, fault):
        data = self.frame(message)
        self.send_headers(stream, self.HEAD + [("content-length", str(len(data) + fault.get("by", 0)))])
        self.send_data(stream, data)
        time.sleep(0.1)
        self.send_headers(stream, self.OK, end=True)

    def fault_content_type(self, stream, message, fault):
        self.whole(stream, self.frame(message), head=[(":status", "200"), ("content-type", fault["type"])])

    def fault_empty(self, stream, message, fault):
        self.whole(stream, b"")

    def fault_twice(self, stream, message, fault):
        self.whole(stream, self.frame(message) * 2)

    def fault_message(self, stream, message, fault):
        self.reply(stream, bytes.fromhex(fault["hex"]))

    def fault_code(self, stream, message, fault):
        self.reply(stream, part(1, number(3, fault["code"]) + part(2, fault.get("words", "so it is"))))

    def fault_hits(self, stream, message, fault):
        """A Search's reply that is wrong in one thing; more: hits than were asked for."""
        found = self.server.milvus.nearest(fields(self.request))
        found[-1] += [("x%d" % i, found[-1][-1][1]) for i in range(fault.get("more", 0))]
        wrong = {name: fault[name] for name in ("ids", "counts", "scores", "queries") if name in fault}
        self.reply(stream, part(2, hits(found, **wrong)))

    def fault_index(self, stream, message, fault):
        """A DescribeIndex's reply: so many rows of so many are in it, it is being built."""
        done, total = fault["done_rows"], fault["rows"]
        self.reply(stream, part(2, part(1, "vector") + part(4, "vector") + number(5, done) + number(6, total)
                                + number(7, 2) + number(9, total - done)))

    def fault_garbage(self, stream, message, fault):
        self.sock.sendall(b"\xff" * 64)

    def fault_big_headers(self, stream, message, fault):
        self.send_headers(stream, self.HEAD + [("x-%d" % i, "y" * 1000) for i in range(15)])
        self.send_data(stream, self.frame(message))
        self.send_headers(stream, [("grpc-status", "2"), ("grpc-message", "%41%0a%00%e9" + "z" * 5000)], end=True)


# ---- the server ------------------------------------------------------------------------


# Of a request: guarantee timestamp, consistency level.
LEVEL_FIELDS = {"Search": (11, 14), "Query": (8, 11)}


class Server:
    def __init__(self):
        self.lock = threading.Lock()
        self.milvus = Milvus()
        self.open = set()
        self.faults = []
        self.http1_status = 404
        self.clear()

    def clear(self):
        self.counts = collections.Counter()
        self.calls = []

    def count(self, name):
        with self.lock:
            self.counts[name] += 1

    def begin(self, method, headers):
        """A call's headers came: which fault is it to have?"""
        with self.lock:
            self.counts["calls"] += 1
            self.counts["begun " + method] += 1
            for fault in self.faults:
                if fault["method"] not in ("*", method) or fault.get("times", 1) < 0:
                    continue
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                    continue
                if fault.get("times", 1) > 0:
                    fault["times"] = fault.get("times", 1) - 1 or -1
                self.counts["faults"] += 1
                return fault
        return None

    def served(self, method, request):
        """Its request is noted, with what it asks to see of what was written."""
        timestamp, level = LEVEL_FIELDS.get(method, (None, None))
        note = {"method": method, "bytes": len(request), "at": time.monotonic()}
        if level:
            message = fields(request)
            note.update(timestamp=(message[timestamp] or [0])[0], level=(message[level] or [0])[0])
        with self.lock:
            self.counts[method] += 1
            self.calls.append(note)

    def ended(self, connection):
        with self.lock:
            self.open.discard(connection)

    def listen(self, name, context=None):
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self.accept, args=(name, listener, context), daemon=True).start()
        return listener.getsockname()[1]

    def accept(self, name, listener, context):
        mute = []
        while True:
            sock, _ = listener.accept()
            self.count("connections" if name in ("main", "tls") else name)
            if name == "mute":
                mute.append(sock)
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            connection = Connection(self, sock)
            with self.lock:
                self.open.add(connection)
            connection.start()

    def drop(self, how):
        with self.lock:
            connections = list(self.open)
        for connection in connections:
            connection.held = False
            try:
                if how == "goaway":
                    connection.send(GOAWAY, 0, 0, struct.pack(">II", 1 << 30, 0))
                if how == "reset":
                    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def control(self, listener):
        """One line of JSON each way: {"do": "script", "faults": [...]}, "state", "drop",
        "calls": the state and what was called since the last script."""
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=self.talk, args=(sock,), daemon=True).start()

    def talk(self, sock):
        with sock, sock.makefile("rw") as lines:
            for line in lines:
                command = json.loads(line)
                if command["do"] == "script":
                    with self.lock:
                        self.faults = command["faults"]
                        self.http1_status = command.get("http1_status", 404)
                        self.clear()
                    if any(c.held for c in list(self.open)):
                        self.drop("close")
                elif command["do"] == "drop":
                    self.drop(command.get("how", "close"))
                with self.lock:
                    state = dict(self.counts, open=len(self.open), timestamp=self.milvus.timestamp,
                                 rows={name: len(c["rows"]) for name, c in self.milvus.collections.items()},
                                 duplicates=sum(c["duplicates"] for c in self.milvus.collections.values()))
                    if command["do"] == "calls":
                        state["made"] = self.calls
                lines.write(json.dumps(state) + "\n")
                lines.flush()


def full_port():
    """A listener whose queue is full: what more comes is not answered."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        waiting.append(sock)
    return listener, waiting, listener.getsockname()[1]


def namespace(folder):
    """Loopback up, and a resolver that is silent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
    path = os.path.join(folder, "resolv.conf")
    with open(path, "w") as out:
        out.write("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(path.encode(), os.path.realpath("/etc/resolv.conf").encode(), None, 4096, None) != 0:  # MS_BIND
        raise OSError(ctypes.get_errno(), "mount")


def main():
    folder = sys.argv[-1]
    resolver = None
    if sys.argv[1] == "--namespace":
        namespace(folder)
        resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        resolver.bind(("127.0.0.1", 53))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-keyout", folder + "/key.pem",
                    "-out", folder + "/ca.pem", "-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/ca.pem", folder + "/key.pem")
    context.set_alpn_protocols(["h2"])
    server = Server()
    full = full_port()
    refused = socket.socket()
    refused.bind(("127.0.0.1", 0))
    control = socket.create_server(("127.0.0.1", 0))
    for name, port in (("main", server.listen("main")), ("tls", server.listen("tls", context)), ("mute", server.listen("mute")),
                       ("full", full[2]), ("refused", refused.getsockname()[1]), ("control", control.getsockname()[1])):
        print("%s=%d" % (name, port))
    print("resolver=%s" % ("silent" if resolver else ""), flush=True)
    threading.Thread(target=server.control, args=(control,), daemon=True).start()
    sys.stdin.read()  # until who started it ends


if __name__ == "__main__":
    main()
