"""A service of one's own is edited and installed again: its new code is tried before anything begins, and what shows
only later ends the change, with the file and the line."""

import asyncio
import inspect
import threading
from typing import Any

import pytest

from upcall.protocol import service as wire
from upcall.protocol.operator import Update
from upcall.service import (
    Declaration,
    Member,
    Operation,
    Phase,
    Pod,
    Service,
    ServiceOptions,
    Verdict,
    decline,
    previewing,
)
from upcall.service import Update as Change
from upcall.service.context import Context
from upcall.testing import KINDS, Life, live

EDITED = "0.1.0+edited"


class Web(Service):
    """Servers."""

    package = "web"

    class Options(ServiceOptions):
        count: int = 2

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count)]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("serve", "old"))


class Better(Web):
    package = "web"

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("serve", "new"))


def broken(method: str) -> type[Service]:
    """The same, and one of its methods raises."""

    def raises(self: Any, *given: Any) -> Any:
        raise LookupError(f"no such thing in {method}")

    return type("Broken", (Better,), {"package": "web", method: raises, "__module__": __name__})


async def over(life: Life, operation: str) -> Operation:
    await life.master.until(lambda: life.master.operations[operation].state not in ("open", "executing"))
    return life.master.operations[operation]


def commands(life: Life) -> set[str]:
    declared = life.master.known.members
    return {declared[one.name][one.generation].declaration.command[1] for one in life.master.members.values()}


@pytest.mark.parametrize("kind", KINDS)
def test_edited_code_is_brought_by_restarts_and_gone_back_from(kind: Any) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        said = await life.master.preview_of(Update(version=EDITED))
        assert list(said.restart) == ["web-0", "web-1"]
        assert (await over(life, life.master.upgrade(EDITED))).state == "done"
        assert commands(life) == {"new"}
        assert (await over(life, life.master.rollback())).state == "done"
        assert commands(life) == {"old"}

    live(Web, script, kind=kind, edits={EDITED: Better})


@pytest.mark.parametrize("method", ["__init__", "pods", "task", "deploy", "policy"])
def test_code_that_raises_is_declined_before_anything_begins_with_its_line(method: str) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        line = f"LookupError: 'no such thing in {method}' (test_edited_code.py:"
        said = await life.master.preview_of(Update(version=EDITED))
        assert line.replace("'", "") in said.declined.replace("'", "")
        assert "in raises)" in said.declined
        before = life.master.launches
        declined = await over(life, life.master.upgrade(EDITED))
        assert declined.state == "declined"
        assert life.master.known.record.revision == 1
        assert said.declined in life.master.known.revisions[2].why
        assert life.master.launches == before

    live(Web, script, kind="kernel", edits={EDITED: broken(method)})


def test_the_new_code_may_have_other_options() -> None:
    class Fewer(Better):
        package = "web"

        class Options(ServiceOptions):
            number: int

        options: Options  # type: ignore[assignment]

        def pods(self) -> list[Pod]:
            return [Pod("web", count=self.options.number)]

    async def script(life: Life) -> None:
        await life.until_deployed()
        said = await life.master.preview_of(Update(version=EDITED, options={"number": 1}))
        assert (said.declined, said.leave, set(said.restart)) == ("", ("web-1",), {"web-0"})

    live(Web, script, kind="kernel", options={"count": 2}, edits={EDITED: Fewer})


def test_a_member_that_the_new_code_would_lose_is_asked_about_before() -> None:
    class Fewer(Better):
        package = "web"

        def pods(self) -> list[Pod]:
            return [Pod("web", count=1)]

    class Keeps(Web):
        package = "web"

        async def may_scale_in(self, member: Member, why: Operation) -> Verdict:
            return decline("it has the only copy")

    async def script(life: Life) -> None:
        await life.until_deployed()
        said = await life.master.preview_of(Update(version=EDITED))
        assert (said.leave, said.declined) == (("web-1",), "web-1 would leave: it has the only copy")

    live(Keeps, script, kind="kernel", edits={EDITED: Fewer})


def test_code_that_hangs_is_declined_and_the_code_that_runs_answers_on() -> None:
    waits = threading.Event()

    class Hangs(Better):
        package = "web"

        def pods(self) -> list[Pod]:
            waits.wait()
            return super().pods()

    async def load(_revision: wire.Revision) -> type[Service]:
        return Hangs

    async def main() -> str:
        service = Web(Context(name="web", load=load, started=True))
        service.answer_timeout_s = 0.5  # type: ignore[misc]
        revision = wire.Revision(number=2, version=EDITED, other_code=True, options={"count": 2})
        said = await previewing.preview(service, revision)
        assert service.pods()
        waits.set()
        service._context.close()
        return said.declined

    line = inspect.getsourcelines(Hangs.pods)[1] + 1
    words = f"its code cannot say what it wants: pods() of test_edited_code.py:{line} has taken longer than 0.15 s"
    assert asyncio.run(main()) == words


class Remembers(Web):
    """What it has is in its memory."""

    package = "web"
    jobs: int = 0

    async def on_start(self) -> None:
        self.jobs = await self.state.get("jobs", 1)

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count), Pod("job", count=self.jobs)]


def test_what_the_code_that_runs_has_learned_is_known_to_the_one_that_is_tried() -> None:
    class More(Remembers):
        package = "web"

        def task(self, member: Member) -> Declaration:
            return Declaration(command=("serve", f"{10 // self.jobs}"))

    async def script(life: Life) -> None:
        await life.until_deployed()
        said = await life.master.preview_of(Update(version=EDITED))
        assert (said.declined, said.leave, len(said.restart)) == ("", (), 3)

    live(Remembers, script, kind="kernel", edits={EDITED: More})


def test_code_that_learns_otherwise_is_not_tried_and_its_trouble_ends_the_update() -> None:
    class Other(Remembers):
        package = "web"

        async def on_start(self) -> None:
            self.queues = await self.state.get("queues", {})

        def pods(self) -> list[Pod]:
            return [Pod("web", count=self.queues["main"])]

    async def script(life: Life) -> None:
        await life.until_deployed()
        said = await life.master.preview_of(Update(version=EDITED))
        assert not said.declined, "what it will know nobody can say"
        before = life.master.launches
        failed = await over(life, life.master.upgrade(EDITED))
        assert failed.state == "failed"
        why = life.master.known.revisions[2].why
        assert "its code cannot say what it wants: KeyError: 'main' (test_edited_code.py:" in why
        assert "in pods)" in why
        assert life.master.launches == before, "nobody was touched"
        life.faults.clear()
        assert (await over(life, life.master.rollback())).state == "done"
        assert life.master.launches == before

    live(Remembers, script, kind="kernel", edits={EDITED: Other}, raises=True)


def test_code_that_does_not_start_fails_its_update_and_is_gone_back_from() -> None:
    class Sick(Better):
        package = "web"

        async def on_start(self) -> None:
            raise LookupError("nothing was written down")

        async def may_update(self, update: Change, why: Operation) -> Verdict:
            raise AssertionError("it has not started, and is not asked")

    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.launches
        assert (await over(life, life.master.upgrade(EDITED))).state == "failed"
        assert "LookupError: nothing was written down (test_edited" in life.master.known.revisions[2].why
        assert (await over(life, life.master.rollback())).state == "done"
        assert (commands(life), life.master.launches) == ({"old"}, before)

    live(Web, script, kind="kernel", edits={EDITED: Sick}, raises=True)


@pytest.mark.parametrize("kind", KINDS)
def test_other_options_mend_code_that_did_not_start_with_those_of_before(kind: Any) -> None:
    """However long it could not: what was wrong before is not said of what comes."""

    class Picky(Web):
        package = "web"

        async def on_start(self) -> None:
            if self.options.count == 1:
                await asyncio.sleep(50)  # The change comes while it is being called, as a rule.
                raise LookupError("one is none")

    async def script(life: Life) -> None:
        await life.master.until(lambda: "one is none" in getattr(life.master.plans.get("deploy"), "reason", ""))
        await asyncio.sleep(300)
        assert (await over(life, life.master.change(count=2))).state == "done"
        await life.until_deployed()

    live(Picky, script, kind=kind, options={"count": 1}, raises=True)


def test_code_that_does_not_start_keeps_nobody_from_taking_it_away() -> None:
    class Sick(Web):
        package = "web"

        async def on_start(self) -> None:
            raise LookupError("nothing was written down")

    async def script(life: Life) -> None:
        await life.master.until(lambda: "deploy" in life.master.plans)
        assert (await over(life, life.master.propose("uninstall"))).state == "done"

    live(Sick, script, kind="kernel", raises=True)


def test_trouble_that_comes_in_the_middle_ends_the_update_too() -> None:
    class Later(Better):
        package = "web"

        def deploy(self) -> list[Phase]:
            if any(member.incarnation > 1 for member in self.members.values()):
                raise LookupError("nobody thought of a second one")
            return super().deploy()

    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.upgrade(EDITED)
        await life.master.until(lambda: life.master.plans["deploy"].since > 0)
        assert life.master.operations[update].state == "executing", "it is told at once, and may pass"
        failed = await over(life, update)
        assert failed.state == "failed"
        assert "nobody thought of a second one" in life.master.known.revisions[2].why
        assert (await over(life, life.master.rollback())).state == "done"
        await life.master.until_ready()
        assert commands(life) == {"old"}

    live(Web, script, kind="kernel", edits={EDITED: Later}, raises=True)


def test_code_that_waits_for_something_to_start_is_asked_once_it_has() -> None:
    """Nobody goes over its head meanwhile."""
    there = False
    asked: list[bool] = []

    class Waits(Web):
        package = "web"

        async def on_start(self) -> None:
            if not there:
                raise ConnectionError("the store is not there yet")

        async def may_update(self, update: Change, why: Operation) -> Verdict:
            asked.append(there)
            return decline("not today")

    class Other(Better):
        package = "web"

        async def on_start(self) -> None:
            self.learned = True

    async def script(life: Life) -> None:
        nonlocal there
        there = True
        await life.until_deployed()
        there = False
        await life.kill_host()
        life.start_host()
        update = life.master.upgrade(EDITED)
        await asyncio.sleep(300)
        assert life.master.operations[update].state == "open"
        there = True
        assert (await over(life, update)).state == "declined"
        assert asked == [True]

    live(Waits, script, kind="kernel", edits={EDITED: Other})


def test_what_may_pass_is_waited_for() -> None:
    class Waits(Better):
        package = "web"
        tries = 0

        async def on_start(self) -> None:
            type(self).tries += 1
            if self.tries < 40:
                raise ConnectionError("the store is not there yet")

    async def script(life: Life) -> None:
        await life.until_deployed()
        assert (await over(life, life.master.upgrade(EDITED))).state == "done"
        assert Waits.tries == 40

    live(Web, script, kind="kernel", edits={EDITED: Waits})


def test_new_code_mends_what_the_code_that_runs_cannot_say() -> None:
    class Breaks(Web):
        package = "web"
        broken = False

        def pods(self) -> list[Pod]:
            if self.broken:
                raise LookupError("what it was made for is gone")
            return super().pods()

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.broken = True
        life.runner.context.refresh()
        await life.master.until(lambda: life.master.plans["deploy"].since > 0)
        assert (await over(life, life.master.upgrade(EDITED))).state == "done"
        assert commands(life) == {"new"}

    live(Breaks, script, kind="kernel", edits={EDITED: Better}, raises=True)
