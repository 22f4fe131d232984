"""A page that nobody looks at costs next to nothing."""

import socket
import subprocess
import sys
import threading

from upcall.web.__main__ import wait_for_a_visitor

HEAVY = ("fastapi", "pydantic", "nicegui", "asyncio", "ssl", "msgspec")


def test_until_somebody_comes_nothing_of_the_page_is_loaded() -> None:
    seen = f"import sys, upcall.web.__main__; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_visitor_who_came_first_still_waits_in_the_queue() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as visitor:
        waiting = threading.Thread(target=wait_for_a_visitor, args=(listener,), daemon=True)
        waiting.start()
        assert waiting.is_alive()
        visitor.connect(listener.getsockname())
        waiting.join(180)
        assert not waiting.is_alive()
        accepted, _ = listener.accept()
        accepted.close()
