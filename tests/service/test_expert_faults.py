"""A mistake in an expert's code is told with his own file and line, where it is looked for, and fails its test."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from upcall.service import (
    Declaration,
    Degraded,
    Member,
    Operation,
    Pod,
    Service,
    Verdict,
    Way,
    accept,
    action,
    defer,
    faults,
    hopeless,
)
from upcall.service.link import Fenced, MasterAway
from upcall.testing import KINDS, Life, Scenario, SimulatedKind, live, operation

HERE = Path(__file__).name
both_kinds = pytest.mark.parametrize("kind", KINDS)


class Mistyped(Service):
    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.cuont)]  # type: ignore[attr-defined]


class Misspelt(Service):
    def task(self, member: Member) -> Declaration:
        return Declaration(comand=("serve",))  # type: ignore[call-arg]


class Unreasoned(Service):
    def task(self, member: Member) -> Declaration:
        return Declaration(command=("serve",))

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        return defer("") if why else accept()


class Raising(Unreasoned):
    async def after_ready(self, member: Member) -> None:
        raise KeyError(member.name)


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_mistyped_option_fails_a_scenario_with_its_line() -> None:
    where = rf"{HERE}:{line_of('self.options.cuont')} in pods"
    with pytest.raises(AssertionError, match=rf"no attribute 'cuont'.*\({where}\)"):
        Scenario(Mistyped, fresh=True).run()


def test_a_wrong_keyword_names_the_valid_ones_also_in_the_plan_that_people_see() -> None:
    outcome, faults = Scenario(Misspelt, fresh=True).broken()
    words = outcome.plans["deploy"].reason
    assert "Unexpected keyword argument 'comand'; it takes command, artifacts, env, files, volumes, ports" in words
    assert f"({HERE}:{line_of('comand=')} in task)" in words
    assert [fault.words for fault in faults] == [words]


def test_a_question_that_raises_fails_a_scenario() -> None:
    with pytest.raises(AssertionError, match=r"stop of server-0: ValueError: defer\(\) needs a reason.*in may_stop"):
        Scenario(Unreasoned, operations=[operation("stop", "server-0")]).run()


@both_kinds
def test_a_hook_that_raises_fails_a_life_unless_the_script_takes_it_out(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: life.faults)

    with pytest.raises(AssertionError, match=r"after_ready\(server-0\): KeyError: 'server-0' .*in after_ready"):
        live(Raising, script, kind=kind)

    async def forgiving(life: Life) -> None:
        await life.master.until(lambda: life.faults)
        life.kill_host()
        life.faults.clear()
        await asyncio.sleep(60)
        life.faults.clear()

    async def killed(life: Life) -> None:
        await forgiving(life)
        life.start_host()
        await life.master.until(lambda: life.faults)
        await life.kill_host()
        life.faults.clear()
        life.start_host()
        life.kill_host()

    live(Raising, killed, kind=kind)


@both_kinds
def test_a_script_that_waits_in_vain_is_told_where(kind: SimulatedKind) -> None:
    async def waits_for_nobody() -> None:
        await asyncio.get_running_loop().create_future()

    async def script(life: Life) -> None:
        await waits_for_nobody()  # here

    with pytest.raises(AssertionError, match=rf"it waits at {HERE}, line \d+: .*create_future"):
        live(Unreasoned, script, kind=kind)


@both_kinds
def test_members_are_gone_through_as_members_and_found_by_name(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        members = life.code.members
        assert [member.name for member in members] == ["server-0"]
        assert "server-0" in members
        assert members["server-0"] in members
        assert members.get("server-9") is None

    live(Unreasoned, script, kind=kind)


HALF: Final = "\ud800"
"""Half of a surrogate pair: what Python makes of a file's name that is no UTF-8."""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (lambda: defer(ValueError("full")), "defer(reason) is text, not ValueError('full')"),  # type: ignore[arg-type]
        (lambda: accept(3), "accept(reason) is text, not 3"),  # type: ignore[arg-type]
        (lambda: accept(valid_s=math.nan), "accept(valid=nan): not a finite number"),
        (lambda: defer("full", progress="half"), "defer(progress='half'): not a finite number"),  # type: ignore[arg-type]
        (lambda: accept(counts_on="web-1.1"), "accept(counts_on='web-1.1'): names of incarnations"),  # type: ignore[arg-type]
        (lambda: hopeless("full", would_help=Way(3)), "Way(does=...) is text, not 3"),  # type: ignore[arg-type]
        (lambda: hopeless("full", would_help=Way("x", arguments={"on": object()})), "no mapping that JSON can carry"),
        (lambda: True, "may_stop ({here}:{line}) returned a bool; expected accept(), defer(), decline()"),
        (lambda: None, "may_stop ({here}:{line}) returned nothing: a `return` is missing"),
    ],
)
def test_what_is_no_answer_is_told_and_ends_no_subscription(said: Callable[[], Any], words: str) -> None:
    class Wrong(Unreasoned):
        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            return said()  # type: ignore[no-any-return]

    stop = operation("stop", "server-0")
    outcome, faults = Scenario(Wrong, operations=[stop]).broken()
    assert not outcome.answers
    (fault,) = faults
    line = Wrong.may_stop.__code__.co_firstlineno
    assert words.format(here=HERE, line=line) in fault.words
    assert HERE in fault.words, "the expert's own file"


def test_what_asks_may_stop_by_default_names_may_stop() -> None:
    class Forgot(Unreasoned):
        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            accept()  # without return
            return None  # type: ignore[return-value]

    _, (fault,) = Scenario(Forgot, operations=[operation("replace", "server-0")]).broken()
    assert f"may_stop ({HERE}:{Forgot.may_stop.__code__.co_firstlineno}) returned nothing" in fault.words


def test_a_cancellation_that_nobody_asked_for_is_an_error_and_the_next_question_is_answered() -> None:
    class Cancels(Unreasoned):
        asked = 0

        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            type(self).asked += 1
            if self.asked == 1:
                waits = asyncio.ensure_future(asyncio.sleep(3600))
                waits.cancel()
                await waits
            return accept()

    outcome, faults = Scenario(Cancels, operations=[operation("stop", "server-0")]).broken(for_s=60)
    assert "what it waited for was cancelled" in faults[0].words
    assert outcome.answer.verdict == "accept"


@pytest.mark.parametrize(("method", "wanted"), [("pods", "a list of Pod"), ("deploy", "a list of Phase")])
def test_a_description_without_a_return_is_named(method: str, wanted: str) -> None:
    forgot = type("Forgot", (Unreasoned,), {method: lambda self: None})
    outcome, _ = Scenario(forgot, fresh=True).broken()
    reason = outcome.plans["deploy"].reason
    assert reason.startswith(f"{method} ({HERE}:")
    assert reason.endswith(f"returned nothing: a `return` is missing; expected {wanted}")


def test_a_wrong_value_names_the_experts_line_and_not_what_python_makes_of_a_class() -> None:
    class Misnamed(Unreasoned):
        def pods(self) -> list[Pod]:
            return [Pod("No Name")]

    outcome, _ = Scenario(Misnamed, fresh=True).broken()
    assert f"({HERE}:{line_of('No Name')} in pods)" in outcome.plans["deploy"].reason


def test_words_with_half_a_surrogate_pair_are_told_with_a_mark_in_its_place() -> None:
    class Quotes(Unreasoned):
        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            return defer(f"file-{HALF} is open")

        async def health(self) -> list[Degraded]:
            return [Degraded(f"file-{HALF} is open", member="server-0")]

    outcome = Scenario(Quotes, operations=[operation("stop", "server-0")]).run()
    assert outcome.answer.reason == "file-\ufffd is open"
    assert outcome.health is not None
    assert outcome.health.degraded[0].what == "file-\ufffd is open"


@both_kinds
def test_data_with_half_a_surrogate_pair_is_refused_where_it_is_given(kind: SimulatedKind) -> None:
    class Keeps(Unreasoned):
        @action
        async def keep(self) -> None:
            await self.state.set("name", HALF)

        @action
        async def give(self) -> str:
            return HALF

        @action
        async def run(self) -> None:
            await self.members["server-0"].run(("cat", HALF))

    async def script(life: Life) -> None:
        await life.until_deployed()
        for name in ("keep", "give", "run"):
            reply = await life.master.act(name)
            assert not reply.ok
            assert "half of a surrogate pair is no text" in reply.error

    live(Keeps, script, kind=kind)


def test_what_is_wrong_with_a_wrong_type_is_that_nothing_can_be_seen() -> None:
    for wrong in (Degraded(3), Degraded("full", member=3), Degraded("full", restart_after_s="3"), "full"):  # type: ignore[arg-type]

        class Sick(Unreasoned):
            found: ClassVar[Any] = wrong

            async def health(self) -> list[Degraded]:
                return [self.found]

        outcome, faults = Scenario(Sick).broken()
        assert outcome.health is not None
        assert outcome.health.unseen
        assert faults


@both_kinds
def test_an_action_that_raises_says_where(kind: SimulatedKind) -> None:
    class Acts(Unreasoned):
        @action
        async def act(self) -> int:
            return int(dict[str, int]()["nothing"])  # here it raises

    async def script(life: Life) -> None:
        await life.until_deployed()
        reply = await life.master.act("act")
        assert reply.error == f"KeyError: 'nothing' ({HERE}:{line_of('# here it raises')} in act)"

    live(Acts, script, kind=kind)


@both_kinds
def test_the_plan_says_what_after_ready_raised(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        def reason() -> str:
            return life.steps().get("server/server-0", ("", ""))[1] if "deploy" in life.master.plans else ""

        await life.master.until(lambda: "has not returned" in reason())
        line = line_of("raise KeyError(member.name)")
        await life.master.until(lambda: f"KeyError: 'server-0' ({HERE}:{line} in after_ready)" in reason())
        life.faults.clear()

    live(Raising, script, kind=kind, raises=True)


@pytest.mark.parametrize(
    "error",
    [
        MasterAway("POST /v1/service/cassandra/credentials: [Errno 104] Connection reset by peer"),
        Fenced("this is not the current stream of cassandra", where="Upcall-Stream"),
    ],
)
def test_that_the_host_lost_the_master_is_told_without_a_word_of_the_wire(error: Exception) -> None:
    assert faults.words(error, Mistyped) == faults.sentence(error) == "its host lost its connection to the master"
