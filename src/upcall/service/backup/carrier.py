"""Runs beside a member, and carries files between its folders and the service's host. The standard library alone.

It is given a line of JSON on its standard input: the address and port to listen on, a key, the folder outside of which
it touches nothing. It serves one caller, who knows the key (each proves it to the other, and it is never sent), and
ends when he has gone. Requests are lines of JSON:

    {"list": GLOB}                what matches below the folder: name, size, time
    {"get": NAME}                 eight bytes with its size, and the file
    {"put": NAME, "size": SIZE}   followed by the file; answered by a line
    {"drop": NAME}                a folder with all that is in it; answered by a line
"""

import hmac
import json
import os
import shutil
import socket
import sys
from pathlib import Path

WAIT_S = 60
PIECE = 1 << 20


def proof(key: str, nonce: str, who: str) -> bytes:
    return hmac.new(key.encode(), f"{who} {nonce}".encode(), "sha256").hexdigest().encode()


def within(root: Path, name: str) -> Path:
    found = (root / name).resolve()
    if not found.is_relative_to(root) or found == root:
        raise ValueError(f"{name} lies outside")
    return found


def listed(root: Path, pattern: str) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted(root.glob(pattern)):
        try:
            seen = path.lstat()
        except FileNotFoundError:
            continue
        if path.is_file() and not path.is_symlink():
            found.append((path.relative_to(root).as_posix(), seen.st_size, seen.st_mtime_ns))
    return found


def serve(root: Path, line: socket.socket) -> None:
    reading = line.makefile("rb")
    for request in map(json.loads, reading):
        if "list" in request:
            line.sendall(json.dumps(listed(root, request["list"])).encode() + b"\n")
        elif "get" in request:
            with within(root, request["get"]).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                line.sendall(size.to_bytes(8, "big"))
                line.sendfile(file, 0, size or None)
        elif "put" in request:
            path, left = within(root, request["put"]), int(request["size"])
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                while left:
                    piece = reading.read(min(left, PIECE))
                    if not piece:
                        raise EOFError("cut off")
                    file.write(piece)
                    left -= len(piece)
            line.sendall(b"{}\n")
        else:
            shutil.rmtree(within(root, request["drop"]), ignore_errors=True)
            line.sendall(b"{}\n")


def main() -> None:
    given = json.loads(sys.stdin.readline())
    root = Path(given["root"]).resolve()
    with socket.create_server((given["address"], given["port"])) as server:
        server.settimeout(WAIT_S)
        nonce = os.urandom(16).hex()
        line, _ = server.accept()
    with line:
        line.settimeout(WAIT_S)
        line.sendall(nonce.encode() + b"\n")
        if not hmac.compare_digest(line.recv(64, socket.MSG_WAITALL), proof(given["key"], nonce, "host")):
            return
        line.sendall(proof(given["key"], nonce, "member"))
        line.settimeout(None)
        serve(root, line)


if __name__ == "__main__":
    main()
