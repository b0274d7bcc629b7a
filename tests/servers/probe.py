"""Asks a Milvus server whether it is there, by the gRPC calls themselves.

    probe.py [--wait SECONDS [--pid PID]] [--new-password PASSWORD] INFO [KEY=VALUE...]

INFO is a file of lines as `server start` prints them; KEY=VALUE replaces one,
an empty value takes it away.  The exit status is 0 when HasCollection succeeds
and CheckHealth, where there is one, finds the server healthy; else 1, and the
last line says why.  With --wait it asks again until then, or until the process
is gone.
"""

import argparse
import base64
import os
import sys
import time

os.environ["GRPC_VERBOSITY"] = "NONE"
import grpc  # noqa: E402


def fields(data):
    """The fields of a protobuf message: (number, integer or bytes)."""

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    at = 0
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            length = varint()
            yield key >> 3, data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {key & 7} in a reply")


def text_field(number, text):
    data = text.encode()
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


class Refused(Exception):
    pass


def check_status(data):
    status = dict(fields(data))
    if status.get(1, 0) or status.get(3, 0):
        reason = status.get(2, b"").decode(errors="replace")
        raise Refused(f"status {status.get(3, 0)}/{status.get(1, 0)}: {reason}")


def contents(path):
    with open(path, "rb") as file:
        return file.read()


class Server:
    def __init__(self, info):
        scheme, address = info["uri"].split("://")
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        if "server_name" in info:
            options.append(("grpc.ssl_target_name_override", info["server_name"]))
        if scheme == "https":
            files = [contents(info[key]) if key in info else None for key in ("ca", "key", "cert")]
            self.channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(*files), options)
        else:
            self.channel = grpc.insecure_channel(address, options)
        self.metadata = []
        if "user" in info:
            token = base64.b64encode(f"{info['user']}:{info['password']}".encode()).decode()
            self.metadata = [("authorization", token)]

    def call(self, name, request):
        method = self.channel.unary_unary(f"/milvus.proto.milvus.MilvusService/{name}")
        return method(request, metadata=self.metadata, timeout=5)

    def probe(self):
        reply = self.call("HasCollection", text_field(3, "probe"))
        check_status(dict(fields(reply)).get(1, b""))
        try:
            reply = dict(fields(self.call("CheckHealth", b"")))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
        else:
            check_status(reply.get(1, b""))
            if not reply.get(2, 0):
                raise Refused("CheckHealth: not healthy")

    def change_password(self, user, old, new):
        old, new = (base64.b64encode(text.encode()).decode() for text in (old, new))
        check_status(self.call("UpdateCredential", text_field(2, user) + text_field(3, old) + text_field(4, new)))


def attempt(info, new_password):
    server = Server(info)
    try:
        server.probe()
        if new_password:
            server.change_password(info["user"], info["password"], new_password)
    except grpc.RpcError as error:
        raise Refused(f"grpc {error.code().value[0]} {error.code().name}: {error.details()}") from None
    finally:
        server.channel.close()


def is_running(pid):
    """Whether a process is alive and no zombie."""
    try:
        return contents(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wait", type=float, default=0)
    parser.add_argument("--pid", type=int)
    parser.add_argument("--new-password")
    parser.add_argument("info")
    parser.add_argument("changes", nargs="*")
    arguments = parser.parse_args()
    with open(arguments.info, encoding="utf-8") as file:
        lines = file.read().splitlines() + arguments.changes
    info = {key: value for key, value in (line.split("=", 1) for line in lines)}
    info = {key: value for key, value in info.items() if value}

    end = time.monotonic() + arguments.wait
    while True:
        try:
            return attempt(info, arguments.new_password)
        except Refused as error:
            reason = str(error)
        if arguments.pid and not is_running(arguments.pid):
            sys.exit("the server's process has ended")
        if time.monotonic() >= end:
            sys.exit(reason)
        time.sleep(0.02)


main()
