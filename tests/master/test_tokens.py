from pathlib import Path

import pytest

from upcall.master.tokens import SESSION_VALID_S, Tokens
from upcall.protocol.errors import Forbidden, Unauthorised


def test_a_token_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = Tokens(tmp_path).issue("operator")
    assert path.stat().st_mode & 0o777 == 0o600


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


def test_a_session_is_an_operator_until_it_runs_out(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    session = tokens.open_session(1.0)
    assert tokens.authenticate(f"Bearer {session}", 2.0).role == "operator"
    with pytest.raises(Unauthorised):
        tokens.authenticate(f"Bearer {session}", SESSION_VALID_S + 2)


def test_a_revoked_token_opens_nothing(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = tokens.issue("agent-n").read_text()
    tokens.revoke("agent-n")
    with pytest.raises(Unauthorised):
        tokens.authenticate(f"Bearer {token}", 0.0)
