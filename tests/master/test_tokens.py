from pathlib import Path

import pytest

from upcall.master.tokens import SESSION_VALID_S, Principal, Tokens, owner_of
from upcall.protocol.errors import Forbidden, Unauthorised
from upcall.protocol.operator import PersonRole

OWNER = Principal(owner_of(Path.home()), "admin")


def test_a_token_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = Tokens(tmp_path).issue("operator")
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_first_admin_is_the_folders_user_or_who_is_named(tmp_path: Path) -> None:
    for owner, name in (("", owner_of(tmp_path)), ("admin", "admin")):
        tokens = Tokens(tmp_path, owner=owner)
        principal = tokens.authenticate(f"Bearer {tokens.issue('operator').read_text()}", 0.0)
        assert (principal.name, principal.role) == (name, "admin")
        assert tokens.taken(name)


def test_the_files_name_says_whose_token_it_is(tmp_path: Path) -> None:
    path = Tokens(tmp_path).issue("agent-node-1")
    principal = Tokens(tmp_path).authenticate(f"Bearer {path.read_text()}", 0.0)
    assert (principal.role, principal.node) == ("agent", "node-1")


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer nonsense", "Basic abc"])
def test_a_wrong_token_is_refused(tmp_path: Path, header: str) -> None:
    tokens = Tokens(tmp_path)
    tokens.issue("operator")
    with pytest.raises(Unauthorised):
        tokens.authenticate(header, 0.0)


def test_a_role_may_not_do_what_is_anothers(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    principal = tokens.authenticate(f"Bearer {tokens.issue('agent-n').read_text()}", 0.0)
    with pytest.raises(Forbidden, match="agent-n may not do this"):
        principal.must_be("operator")


def test_a_session_is_the_persons_until_it_runs_out(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    session = tokens.open_session(OWNER, 1.0)
    assert tokens.authenticate(f"Bearer {session}", 2.0) == OWNER
    with pytest.raises(Unauthorised):
        tokens.authenticate(f"Bearer {session}", SESSION_VALID_S + 2)


def test_a_revoked_token_opens_nothing(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = tokens.issue("agent-n").read_text()
    tokens.revoke("agent-n")
    with pytest.raises(Unauthorised):
        tokens.authenticate(f"Bearer {token}", 0.0)


# -- people -----------------------------------------------------------------------------------------------------------


def test_the_owner_is_an_admin_by_the_name_of_the_user(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    assert tokens.authenticate(f"Bearer {tokens.issue('operator').read_text()}", 0.0) == OWNER


@pytest.mark.parametrize(
    ("role", "may"),
    [("viewer", {"viewer"}), ("operator", {"viewer", "operator"}), ("admin", {"viewer", "operator", "admin"})],
)
def test_each_role_may_what_those_below_it_may(role: PersonRole, may: set[PersonRole]) -> None:
    allowed: set[PersonRole] = set()
    wanted: tuple[PersonRole, ...] = ("viewer", "operator", "admin")
    for one in wanted:
        try:
            Principal("x", role).must_be(one)
            allowed.add(one)
        except Forbidden:
            pass
    assert allowed == may


def test_nobody_of_ours_is_a_person(tmp_path: Path) -> None:
    for ours in (Principal("host", "host"), Principal("agent-n", "agent")):
        with pytest.raises(Forbidden):
            ours.must_be("viewer")


def test_what_is_granted_ends_and_outlives_the_master_and_is_kept_as_a_digest(tmp_path: Path) -> None:
    now = [1000.0]
    tokens = Tokens(tmp_path, wall=lambda: now[0])
    token = tokens.grant("ci", "viewer", 3600.0, "root")
    assert token not in (tmp_path / "access.json").read_text()
    assert (tmp_path / "access.json").stat().st_mode & 0o777 == 0o600
    again = Tokens(tmp_path, wall=lambda: now[0])
    assert again.authenticate(f"Bearer {token}", 0.0) == Principal("ci", "viewer")
    now[0] += 3601.0
    with pytest.raises(Unauthorised):
        again.authenticate(f"Bearer {token}", 0.0)
    assert [one.expired for one in again.access.all()] == [True]


def test_a_second_grant_of_a_name_takes_the_place_of_the_first(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    first = tokens.grant("ci", "admin", 3600.0, "root")
    second = tokens.grant("ci", "viewer", 3600.0, "root")
    assert tokens.authenticate(f"Bearer {second}", 0.0).role == "viewer"
    with pytest.raises(Unauthorised):
        tokens.authenticate(f"Bearer {first}", 0.0)


def test_a_session_has_its_persons_name_and_role_and_ends_with_what_was_granted(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = tokens.grant("ann", "viewer", 3600.0, "root")
    ann = tokens.authenticate(f"Bearer {token}", 0.0)
    session = tokens.open_session(ann, 1.0)
    assert tokens.authenticate(f"Bearer {session}", 2.0) == Principal("ann", "viewer")
    tokens.access.remove("ann")
    with pytest.raises(Unauthorised):
        tokens.authenticate(f"Bearer {session}", 3.0)
