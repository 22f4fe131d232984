"""One-use codes: what each is good for, and what is told of it afterwards."""

import pytest

from upcall.master.logins import CODE_VALID_S, CODES_MAX, Logins
from upcall.protocol.errors import NotFound, Unauthorised

ME, SOMEBODY = 1000, 54_321


def test_a_code_is_good_once_and_the_second_attempt_hears_who_was_first() -> None:
    logins = Logins()
    code, name = logins.code("page", ME, 0.0)
    assert logins.state(name, 1.0).state == "waiting"
    logins.use(code, "page", ME, 1.0, 100.0)
    found = logins.state(name, 2.0)
    assert (found.state, found.at) == ("used", 100.0)
    with pytest.raises(Unauthorised, match=r"used already: a browser of .* logged in with it"):
        logins.use(code, "page", ME, 3.0, 102.0)


def test_somebody_elses_browser_gets_nothing_and_spends_the_code() -> None:
    logins = Logins()
    code, name = logins.code("page", ME, 0.0)
    with pytest.raises(Unauthorised, match=f"not yours: user {SOMEBODY} gave it in"):
        logins.use(code, "page", SOMEBODY, 1.0, 100.0)
    found = logins.state(name, 2.0)
    assert (found.state, found.by, found.at) == ("refused", f"user {SOMEBODY}", 100.0)
    with pytest.raises(Unauthorised, match=f"used already: user {SOMEBODY} gave it in, and was refused"):
        logins.use(code, "page", ME, 3.0, 102.0)


def test_root_may_and_a_machine_that_does_not_tell_is_no_obstacle() -> None:
    logins = Logins()
    for user in (0, None):
        logins.use(logins.code("page", ME, 0.0)[0], "page", user, 1.0, 1.0)


def test_a_code_of_the_documentation_opens_no_page() -> None:
    logins = Logins()
    code, name = logins.code("documentation", ME, 0.0)
    with pytest.raises(Unauthorised, match="for something else"):
        logins.use(code, "page", ME, 1.0, 1.0)
    assert logins.state(name, 2.0).state == "refused"


def test_codes_run_out_and_are_bounded() -> None:
    logins = Logins()
    code, name = logins.code("page", ME, 0.0)
    with pytest.raises(Unauthorised, match="too old"):
        logins.use(code, "page", ME, CODE_VALID_S + 1, 1.0)
    assert logins.state(name, CODE_VALID_S + 1).state == "expired"
    for _ in range(CODES_MAX):
        logins.code("page", ME, 1.0)
    with pytest.raises(NotFound):
        logins.state(name, 1.0)
