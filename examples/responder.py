"""Answers for a workload of yours on Kubernetes, in twenty lines of standard library: may this member go now?

    python responder.py 8080
    kubectl annotate statefulset/web upcall.dev/ask=http://RESPONDER:8080/upcall

What comes and what goes is in docs/responder.schema.json; any language will do. This one keeps a member for as long as
another is not ready, as the careful rule does, and says no while a file `busy` lies beside it.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def answer(upcall: dict[str, Any]) -> dict[str, Any]:
    others = [one for one in upcall["members"] if one["name"] != upcall["member"]["name"]]
    if away := [one["name"] for one in others if not one["ready"]]:
        return {"verdict": "defer", "reason": f"{', '.join(away)} not ready", "retry_after_s": 5}
    if Path("busy").exists():
        return {"verdict": "defer", "reason": "it is busy", "progress": 0.5, "retry_after_s": 1}
    return {"verdict": "accept"}


class Responder(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = json.dumps(answer(asked)).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Responder).serve_forever()
