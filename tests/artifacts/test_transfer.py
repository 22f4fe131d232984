"""Files over HTTP: gone on with where they stopped, whatever stopped them. The server is real and misbehaves."""

import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from file_server import FileServer, await_that

from upcall.artifacts.cache import Cache
from upcall.artifacts.connection import CHUNK_BYTES, Refused
from upcall.artifacts.errors import Cancelled, Mismatch, NotCached
from upcall.artifacts.lock import LockedFile, digest_of
from upcall.artifacts.progress import Meter, Progress
from upcall.artifacts.transfer import FRUITLESS_MAX, Transfers

DATA = random.Random(5).randbytes(1_000_003)
OTHER = random.Random(6).randbytes(len(DATA))
FILE = LockedFile(name="big.bin", sha256=digest_of(DATA), size=len(DATA))
MIDDLE = 600_000


def bring(cache: Cache, *addresses: str, file: LockedFile = FILE, meter: Meter | None = None) -> bytes:
    Transfers(cache, meter or Meter("thing"), "thing").bring(file, addresses)
    return cache.file_path(file.sha256).read_bytes()


def begun(cache: Cache, data: bytes) -> None:
    cache.part(FILE).write_bytes(data)


@pytest.fixture
def big(server: FileServer) -> str:
    server.files["/big.bin"] = DATA
    return server.url("/big.bin")


def test_a_file_comes_whole_and_is_counted(cache: Cache, server: FileServer, big: str) -> None:
    meter = Meter("thing")
    assert bring(cache, big, meter=meter) == DATA
    assert meter.fetched_bytes == len(DATA)
    assert [one.first for one in server.asked] == [None]
    assert not cache.part(FILE).exists()
    bring(cache, big)
    assert len(server.asked) == 1, "what is here is not asked for"


def test_a_cut_connection_is_gone_on_with(cache: Cache, server: FileServer, big: str) -> None:
    server.cuts = [MIDDLE, 100_000]
    meter = Meter("thing")
    assert bring(cache, big, meter=meter) == DATA
    first, second, third = server.asked
    assert first.first is None
    assert second.first is not None
    assert MIDDLE - CHUNK_BYTES <= second.first <= MIDDLE, "from where it was"
    assert third.first is not None
    assert third.first > second.first
    assert third.sent == len(DATA) - third.first, "only the rest"
    assert meter.fetched_bytes == len(DATA)


def test_a_server_without_ranges_starts_over(cache: Cache, server: FileServer, big: str) -> None:
    server.ranges = False
    server.cuts = [MIDDLE]
    assert bring(cache, big) == DATA
    first, second = server.asked
    assert second.first is not None, "it was asked for the rest"
    assert second.sent == len(DATA), "and sent all"
    assert first.sent == MIDDLE


def test_wrong_bytes_after_a_resume_are_thrown_away_and_fetched_whole(
    cache: Cache, server: FileServer, big: str
) -> None:
    begun(cache, DATA[:MIDDLE])
    server.resumed["/big.bin"] = OTHER
    assert bring(cache, big) == DATA
    assert [one.first for one in server.asked] == [MIDDLE, None]


def test_a_wrong_beginning_is_thrown_away_too(cache: Cache, server: FileServer, big: str) -> None:
    begun(cache, OTHER[:MIDDLE])
    assert bring(cache, big) == DATA
    assert [one.first for one in server.asked] == [MIDDLE, None]


def test_what_stays_wrong_is_refused_with_both_hashes_and_leaves_nothing(
    cache: Cache, server: FileServer, big: str
) -> None:
    begun(cache, DATA[:MIDDLE])
    server.files["/big.bin"] = OTHER
    with pytest.raises(Mismatch) as caught:
        bring(cache, big)
    assert FILE.sha256 in str(caught.value)
    assert digest_of(OTHER) in str(caught.value)
    assert [one.first for one in server.asked] == [MIDDLE, None], "twice, and no more"
    assert list((cache.root / "partial").iterdir()) == []
    assert not cache.file_path(FILE.sha256).exists()


def test_a_wrong_file_is_asked_for_once(cache: Cache, server: FileServer, big: str) -> None:
    server.files["/big.bin"] = OTHER
    with pytest.raises(Mismatch):
        bring(cache, big)
    assert len(server.asked) == 1


def test_a_longer_file_is_not_read_to_its_end(cache: Cache, server: FileServer, big: str) -> None:
    server.files["/big.bin"] = DATA + bytes(100 << 20)
    with pytest.raises(Mismatch, match="more than its 1000003 bytes"):
        bring(cache, big)
    assert server.asked[0].sent < 100 << 20
    assert cache.part_bytes(FILE) == 0


def test_a_shorter_file_is_the_wrong_one_and_not_a_cut(cache: Cache, server: FileServer, big: str) -> None:
    server.files["/big.bin"] = DATA[:-1]
    with pytest.raises(Mismatch, match=digest_of(DATA[:-1])):
        bring(cache, big)
    assert len(server.asked) == 1


def test_a_part_that_is_longer_than_the_file_starts_over(cache: Cache, server: FileServer, big: str) -> None:
    begun(cache, DATA + b"more")
    assert bring(cache, big) == DATA
    assert [one.first for one in server.asked] == [None]


def test_a_range_that_cannot_be_had_starts_over(cache: Cache, server: FileServer, big: str) -> None:
    begun(cache, DATA[:MIDDLE])
    server.statuses = [416]
    assert bring(cache, big) == DATA
    assert [one.first for one in server.asked] == [MIDDLE, None]


def test_another_range_than_the_asked_one_starts_over(cache: Cache, server: FileServer, big: str) -> None:
    begun(cache, DATA[:MIDDLE])
    server.before = [10]
    meter = Meter("thing")
    assert bring(cache, big, meter=meter) == DATA
    assert [one.first for one in server.asked] == [MIDDLE, None]
    assert meter.fetched_bytes == len(DATA), "nothing of it was taken"


def test_a_part_that_is_whole_is_only_judged(cache: Cache, server: FileServer, big: str) -> None:
    begun(cache, DATA)
    assert bring(cache, big) == DATA
    assert server.asked == []


def test_an_empty_file_needs_no_server(cache: Cache) -> None:
    empty = LockedFile(name="empty", sha256=digest_of(b""), size=0)
    assert bring(cache, "http://127.0.0.1:9/empty", file=empty) == b""


def test_connections_that_bring_nothing_are_bounded_and_no_address_is_told(
    cache: Cache, server: FileServer, big: str
) -> None:
    server.cuts = [MIDDLE, *[0] * 100]
    with pytest.raises(NotCached) as caught:
        bring(cache, big.replace("http://", "http://somebody:secret@"))
    assert len(server.asked) == 1 + FRUITLESS_MAX
    chain, error = [], caught.value
    while error is not None:
        chain.append(f"{error!r} {error}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)  # type: ignore[assignment]
    assert "secret" not in " ".join(chain)
    assert "127." not in " ".join(chain)
    assert MIDDLE - CHUNK_BYTES <= cache.part_bytes(FILE) <= MIDDLE, "what came stays for the next time"


def test_a_busy_server_is_asked_again(cache: Cache, server: FileServer, big: str) -> None:
    server.statuses = [503, 429, 500]
    assert bring(cache, big) == DATA


def test_another_address_goes_on_with_the_same_part(cache: Cache, server: FileServer, big: str) -> None:
    begun(cache, DATA[:MIDDLE])
    assert bring(cache, server.url("/not/there"), "http://127.0.0.1:9/nobody", big) == DATA
    assert [(one.path, one.first) for one in server.asked] == [("/not/there", MIDDLE), ("/big.bin", MIDDLE)]


def test_an_address_that_does_not_give_it_is_not_asked_again(cache: Cache, server: FileServer) -> None:
    with pytest.raises(Refused, match="does not have it"):
        bring(cache, server.url("/not/there"))
    server.refuses = lambda _path, _agent: 403
    with pytest.raises(Refused, match="HTTP 403"):
        bring(cache, server.url("/not/there"))
    assert len(server.asked) == 2


def test_a_stop_leaves_a_silent_server_and_keeps_what_came(cache: Cache, server: FileServer, big: str) -> None:
    server.hold = MIDDLE
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            bring(cache, big, meter=Meter("thing", None, stop))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    await_that(lambda: cache.part_bytes(FILE) >= MIDDLE - 2 * CHUNK_BYTES)
    stop.set()
    thread.join(180)
    assert not thread.is_alive(), "although the server says nothing"
    assert isinstance(failed[0], Cancelled)
    assert cache.part_bytes(FILE) >= MIDDLE - 2 * CHUNK_BYTES


def test_the_first_failure_stops_the_others_and_their_parts_stay(cache: Cache, server: FileServer, big: str) -> None:
    server.hold = MIDDLE
    transfers = Transfers(cache, Meter("thing"), "thing")

    def one(name: str) -> None:
        if name == "bad":
            await_that(lambda: cache.part_bytes(FILE) > 0)
            raise NotCached("thing", name, "it is bad")
        transfers.bring(FILE, [big])

    with pytest.raises(NotCached, match="it is bad"):
        transfers.side_by_side(2, one, ["good", "bad"])
    assert cache.part_bytes(FILE) > 0


def test_progress_counts_what_was_there_but_not_as_speed(cache: Cache, server: FileServer, big: str) -> None:
    begun(cache, DATA[:MIDDLE])
    seen: list[Progress] = []
    meter = Meter("thing", seen.append)
    transfers = Transfers(cache, meter, "thing")
    transfers.begin("fetching", [FILE])
    assert (seen[0].done_bytes, seen[0].total_bytes, seen[0].rate_bytes_s) == (MIDDLE, len(DATA), 0)
    transfers.bring(FILE, [big])
    assert meter.fetched_bytes == len(DATA) - MIDDLE


def _bring(root: str, address: str) -> None:
    bring(Cache(Path(root)), address)


def test_after_sigkill_in_the_middle_only_the_rest_is_asked_for(cache: Cache, server: FileServer, big: str) -> None:
    server.hold = MIDDLE
    process = multiprocessing.get_context("spawn").Process(target=_bring, args=(str(cache.root), big))
    process.start()
    await_that(lambda: cache.part_bytes(FILE) >= MIDDLE - 2 * CHUNK_BYTES)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    there = cache.part_bytes(FILE)
    server.hold = None
    server.let_go.set()
    assert bring(cache, big) == DATA
    assert [one.first for one in server.asked] == [None, there]
    assert server.asked[1].sent == len(DATA) - there


def test_processes_at_the_same_time_ask_once(cache: Cache, server: FileServer, big: str) -> None:
    server.hold = MIDDLE
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_bring, args=(str(cache.root), big)) for _ in range(3)]
    for process in processes:
        process.start()
    await_that(lambda: cache.part_bytes(FILE) >= MIDDLE - 2 * CHUNK_BYTES)
    server.let_go.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(server.asked) == 1
    assert cache.file_path(FILE.sha256).read_bytes() == DATA


def test_a_beginning_that_nobody_went_on_with_is_dropped(cache: Cache) -> None:
    begun(cache, DATA[:100])
    assert cache.prune() == 0
    long_ago = time.time() - 40 * 86_400
    os.utime(cache.part(FILE), (long_ago, long_ago))
    assert cache.prune() == 100
    assert not cache.part(FILE).exists()
