"""`down` and `up` of a cluster elsewhere, whose leader goes in the middle: the next one is
asked, and nothing is an error."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fake_master import TOKEN, FakeMaster
from upcall.cli import elsewhere
from upcall.cli.session import Session
from upcall.cluster.control_plane import Reached, Wanted
from upcall.cluster.folder import DataFolder
from upcall.protocol.errors import Conflict


class Played:
    """A control plane that is reached at the fake master's socket."""

    def __init__(self, master: FakeMaster) -> None:
        self.master = master
        self.taken_away = False
        self.running = 0

    def up(self, wanted: Wanted, note: Callable[[str], None]) -> None: ...

    def settled(self) -> bool:
        return True

    def why_not(self) -> tuple[str, bool]:
        return "", False

    def reach(self) -> Reached:
        return Reached(self.master.socket, {"operator": TOKEN}, self.master.socket)

    def members(self) -> int:
        return self.running

    def let_go(self) -> str:
        return ""

    def down(self) -> None:
        self.taken_away = True


@pytest.fixture
def there(master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played(master)
    monkeypatch.setattr(elsewhere, "on", lambda name, folder: played)
    return played


@pytest.fixture
def session(folder: Path, there: Played) -> Session:
    data = DataFolder(folder)
    session = Session(folder)
    session.__dict__["reached"] = there.reach()
    data.save_cluster(msgspec.structs.replace(data.load_cluster(), control_plane="played"))
    return session


def asked(master: FakeMaster, path: str) -> int:
    return sum((method, there) == ("POST", path) for method, there, _ in master.calls)


def test_a_leader_that_takes_the_shutdown_in_and_goes_is_followed_by_the_next(
    session: Session, there: Played, master: FakeMaster
) -> None:
    master.add_service("hello", 1)
    master.lost_answers = 1
    elsewhere.stop(session, "played")
    assert there.taken_away
    assert asked(master, "/v1/shutdown") == 2


def test_so_is_one_that_goes_before_what_was_shut_down_starts_again(
    session: Session, there: Played, master: FakeMaster
) -> None:
    master.add_service("hello", 1)
    master.services["hello"] = master.services["hello"].model_copy(update={"desired": "shut_down"})
    master.lost_answers = 1
    elsewhere.start(session, "played", Wanted())
    assert asked(master, "/v1/startup") == 2


def test_a_control_plane_that_nobody_leads_is_not_taken_away_from_under_its_members(
    session: Session, there: Played, master: FakeMaster
) -> None:
    master.not_now = 10_000
    session.client.patience_s = 0.0
    there.running = 2
    with pytest.raises(Conflict, match="2 members of theirs run"):
        elsewhere.stop(session, "played")
    assert not there.taken_away


def test_one_that_never_came_up_is_taken_away(session: Session, there: Played, master: FakeMaster) -> None:
    master.not_now = 10_000
    session.client.patience_s = 0.0
    elsewhere.stop(session, "played")
    assert there.taken_away
