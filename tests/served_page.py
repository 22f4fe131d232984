"""A page process and the fake master behind it, as the page's tests see them."""

import socket
import time
from dataclasses import dataclass

from fake_master import FakeMaster

START_TIMEOUT_S = 60.0


@dataclass
class Page:
    """A page process and its fake master."""

    url: str
    master: FakeMaster

    def login_url(self) -> str:
        code = f"code-{len(self.master.codes) + 1}-{time.monotonic_ns()}"
        self.master.codes.add(code)
        return f"{self.url}/login?code={code}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
