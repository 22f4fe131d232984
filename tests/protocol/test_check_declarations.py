"""A check that can never work is refused where it is declared, in one sentence."""

import pytest

from upcall.protocol import checks, patterns
from upcall.protocol.declaration import Check, Declaration, Port
from upcall.protocol.errors import Invalid

PORTS = (Port(name="client", number=9092), Port(name="jmx", number=7199))


def declaration(*, ready: Check | None = None, health: Check | None = None) -> Declaration:
    return Declaration(command=("x",), ports=PORTS, ready=ready, health=health, start_timeout_s=60)


@pytest.mark.parametrize(
    "check",
    [
        Check(tcp="client"),
        Check(http="jmx/metrics?all=1"),
        Check(exec=("nodetool", "info"), interval_s=30, timeout_s=20),
        Check(log=r"^Started in \d+ s$"),
        Check(log="up", interval_s=0, timeout_s=0, failures=0),
        Check(tcp="jmx", delay_s=30, interval_s=0.1, failures=1),
    ],
)
def test_what_can_be_carried_out_is_taken(check: Check) -> None:
    checks.validate("broker-0", declaration(ready=check, health=check))


@pytest.mark.parametrize(
    ("check", "words", "right"),
    [
        (Check(), "has no target", "exactly one of tcp, http, exec, log"),
        (Check(tcp="client", log="up"), "has 2 targets (tcp, log)", "exactly one of tcp, http, exec, log"),
        (Check(tcp="clients"), "names an unknown port 'clients'", "client or jmx"),
        (Check(http="/health"), "names an unknown port ''", "client or jmx"),
        (Check(exec=("",)), "runs an empty command", "a program and its arguments"),
        (Check(log="(up"), "has a pattern that cannot be read: missing )", patterns.RIGHT),
        (Check(log="up(?!stream)"), "has a pattern that cannot be read: invalid perl operator: (?!", patterns.RIGHT),
        (Check(log=r"(up)\1"), r"has a pattern that cannot be read: invalid escape sequence: \1", patterns.RIGHT),
        (Check(log="\ud800"), "has a pattern that holds half a character", patterns.RIGHT),
        (Check(log="x" * 1001), "has a pattern that has 1001 characters", "at most 1000"),
        (Check(tcp="client", interval_s=0), "has interval_s=0", "between 0.05 and 86400 seconds"),
        (Check(tcp="client", timeout_s=0), "has timeout_s=0", "between 0.05 and 86400 seconds"),
        (Check(tcp="client", timeout_s=float("nan")), "has timeout_s=nan", "between 0.05 and 86400 seconds"),
        (Check(tcp="client", interval_s=float("inf")), "has interval_s=inf", "between 0.05 and 86400 seconds"),
        (Check(tcp="client", delay_s=-1), "has delay_s=-1", "between 0 and 86400 seconds"),
    ],
)
@pytest.mark.parametrize("name", ["ready", "health"])
def test_what_can_not_is_one_error_that_names_member_check_and_what_would_be_right(
    name: str, check: Check, words: str, right: str
) -> None:
    with pytest.raises(Invalid) as caught:
        checks.validate("broker-0", declaration(**{name: check}), where="members.broker-0.declaration")
    problem = caught.value.problem
    assert problem.message.startswith(f"the {name} check of broker-0 {words}")
    assert (problem.where, problem.expected) == (f"members.broker-0.declaration.{name}", right)


def test_a_readiness_that_is_asked_for_too_late_and_a_health_that_never_fails_are_refused() -> None:
    with pytest.raises(Invalid, match=r"too late.*below start_timeout_s"):
        checks.validate("m", declaration(ready=Check(tcp="client", delay_s=60)))
    with pytest.raises(Invalid, match=r"failures=0.*at least 1"):
        checks.validate("m", declaration(health=Check(tcp="client", failures=0)))


def test_without_ports_the_error_says_so() -> None:
    with pytest.raises(
        Invalid, match=r"unknown port 'http'; at declaration.ready; expected a declared port \(none is\)"
    ):
        checks.validate("m", Declaration(command=("x",), ready=Check(tcp="http")))
