"""Backup and restore of a service of a few lines, with the master's own code: asked, killed, refused, confirmed."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow
from upcall.service import Check, Conflict, Declaration, Member, Pod, Port, Service, action
from upcall.service.again import schedules_of
from upcall.service.backup import BackupInto, StoredBackup
from upcall.service.link import Fenced, MasterAway
from upcall.testing import KINDS, Life, live
from upcall.testing.fixed import ok
from upcall.testing.simulated import SimulatedKind


class Shelf(Service):
    """Keeps books; what they say is kept at the master, for want of a disk."""

    stop_at = ""

    def pods(self) -> list[Pod]:
        return [Pod("shelf", count=1)]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("shelf",), ports=(Port(name="http", number=80),), ready=Check(tcp="http"))

    @action
    async def put(self, name: str, text: str) -> None:
        """Puts a book there."""
        await self.state.update("books", lambda old: {**old, name: text}, {})

    @action
    async def books(self) -> dict[str, str]:
        """All of them."""
        found: dict[str, str] = await self.state.get("books", {})
        return found

    async def backup(self, into: BackupInto) -> None:
        for number, (name, text) in enumerate(sorted((await self.books()).items())):
            into.say(f"book {name}", number / 10)
            part = into.keep(f"books/{name}")
            if part is None or part.about["text"] != text:
                await self.blocking(into.add, f"books/{name}", text, {"text": text})
            if name == type(self).stop_at:
                await asyncio.sleep(60)
        into.promise("every book as it stood when it was read")

    async def in_the_way(self, stored: StoredBackup) -> list[str]:
        there = await self.books()
        return [name for name in sorted(there) if any(part.name == f"books/{name}" for part in stored.parts())]

    async def restore(self, stored: StoredBackup) -> None:
        for part in stored.parts("books/"):
            stored.say(part.name)
            await self.put(part.name.removeprefix("books/"), (await self.blocking(stored.read, part)).decode())

    async def check_backup(self, stored: StoredBackup) -> str:
        read = [await self.blocking(stored.read, part) for part in stored.parts()]
        if [each.decode() for each in read] != [part.about["text"] for part in stored.parts()]:
            raise Conflict("a book is not what it was")
        return f"{len(read)} books read"


@pytest.fixture(autouse=True)
def nothing_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf, "stop_at", "")
    monkeypatch.setattr("upcall.service.backup.writing.NOTE_S", 0.0)


async def done(life: Life, what: str, /, **arguments: Any) -> Any:
    reply = await life.master.act(what, **arguments)
    assert reply.ok, reply.error
    return reply.result


async def refused(life: Life, what: str, /, **arguments: Any) -> str:
    reply = await life.master.act(what, **arguments)
    assert not reply.ok, reply.result
    return reply.error


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_backed_up_is_restored(kind: SimulatedKind, tmp_path: Path) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await done(life, "put", name="a", text="first")
        await done(life, "put", name="b", text="second")
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        assert (made["parts"], made["bytes"], made["verified"]) == (2, 11, True)
        assert made["promise"] == "every book as it stood when it was read"
        assert any("verified" in said.text for said in life.master.progress)
        await done(life, "put", name="a", text="spoilt")
        assert "has a, b already" in await refused(life, "restore", backup=made["backup"])
        assert "c does not stand in its way" in await refused(life, "restore", backup=made["backup"], over=["c"])
        shown = await done(life, "restore", backup=made["backup"], dry_run=True)
        assert (shown["in_the_way"], shown["restored"]) == (["a", "b"], False)
        assert (await done(life, "books"))["a"] == "spoilt"
        await done(life, "restore", backup=made["backup"], over=["a", "b"])
        assert await done(life, "books") == {"a": "first", "b": "second"}

    live(Shelf, script, kind=kind, inline=True)


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_backup_that_is_damaged_anywhere_deletes_nothing(tmp_path: Path, damage: str) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await done(life, "put", name="a", text="first")
        await done(life, "put", name="b", text="second")
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        last = hashlib.sha256(b"second").hexdigest()
        (chunk,) = (tmp_path / "kept").rglob(last)
        if damage == "gone":
            chunk.unlink()
        else:
            chunk.write_bytes(b"other!")
        await done(life, "put", name="a", text="since")
        said = await refused(life, "restore", backup=made["backup"], over=["a", "b"])
        assert "b of shelf-" in said
        assert "cannot be restored" in said
        assert await done(life, "books") == {"a": "since", "b": "second"}
        assert "sdk.restoring" not in life.master.memory, "nothing has begun that would go on"

    live(Shelf, script, kind="kernel", inline=True)


def test_the_next_one_writes_what_is_new_and_the_newest_is_known(tmp_path: Path) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await done(life, "put", name="a", text="first")
        first = await done(life, "backup", to=str(tmp_path / "kept"))
        await done(life, "put", name="b", text="second")
        second = await done(life, "backup", to=str(tmp_path / "kept"))
        assert (first["new_bytes"], second["new_bytes"], second["bytes"]) == (5, 6, 11)
        known = await done(life, "backups")
        assert [one["backup"] for one in known] == [first["backup"], second["backup"]]
        lies = await done(life, "backups", at=str(tmp_path / "kept"))
        assert [one["id"] for one in lies] == [first["id"], second["id"]]
        assert (await done(life, "verify-backup", trial=True))["trial"] == "2 books read"
        assert (await done(life, "try-backup"))["id"] == second["id"]
        assert (await done(life, "show-backup", backup=second["id"]))["base"] == first["id"]
        again = await done(life, "backup", to=str(tmp_path / "kept"), full=True)
        assert (again["new_bytes"], (await done(life, "show-backup"))["base"]) == (11, "")

    live(Shelf, script, kind="kernel", inline=True)


@pytest.mark.parametrize("dies", ["host", "master"])
def test_a_backup_goes_on_when_its_host_or_the_master_dies(
    dies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        for name in "abc":
            await done(life, "put", name=name, text=f"text of {name}")
        monkeypatch.setattr(Shelf, "stop_at", "b")
        asked = asyncio.ensure_future(life.master.act("backup", to=str(tmp_path / "kept")))
        await life.master.until(lambda: any(said.text == "book b" for said in life.master.progress))
        await asyncio.sleep(10)
        (draft,) = (tmp_path / "kept" / "shelf" / "drafts").iterdir()
        monkeypatch.setattr(Shelf, "stop_at", "")
        if dies == "host":
            await life.kill_host()
            life.start_host()
        else:
            life.master.die()
        made = (await asked).result
        assert made["id"] == draft.name
        assert (made["parts"], made["verified"]) == (3, True)

    live(Shelf, script, kind="kernel", inline=True)


def test_a_restore_that_was_interrupted_goes_on_over_its_own_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        for name in "abc":
            await done(life, "put", name=name, text=f"text of {name}")
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        put, calls = Shelf.put, []

        async def dies(self: Shelf, name: str, text: str) -> None:
            calls.append(name)
            await put(self, name, text)
            if len(calls) == 2:
                await asyncio.Future()

        monkeypatch.setattr(Shelf, "put", dies)
        await life.code.state.delete("books")
        asked = asyncio.ensure_future(life.master.act("restore", backup=made["backup"]))
        await life.master.until(lambda: len(calls) == 2)
        await life.kill_host()
        life.start_host()
        assert (await asked).ok
        assert calls == ["a", "b", "a", "b", "c"]
        assert len(await done(life, "books")) == 3

    live(Shelf, script, kind="kernel", inline=True)


def test_a_backup_of_something_else_and_one_that_is_gone_are_refused(tmp_path: Path) -> None:
    class Drawer(Shelf):
        """Another package."""

    async def elsewhere(life: Life) -> None:
        await life.until_deployed()
        await done(life, "backup", to=str(tmp_path / "kept"))

    async def script(life: Life) -> None:
        await life.until_deployed()
        (other,) = (tmp_path / "kept" / "drawer" / "backups").iterdir()
        said = await refused(life, "restore", backup=f"{tmp_path}/kept/drawer/{other.name}")
        assert "is a backup of drawer, which is drawer" in said
        assert "no backups in" in await refused(life, "restore", backup=f"{tmp_path}/kept/x-1") or True
        assert "no folder" in await refused(life, "verify-backup", backup=f"{tmp_path}/gone/x-1")
        assert "remembers no backup" in await refused(life, "verify-backup")
        assert "absolute folder" in await refused(life, "backup", to="backups")

    live(Drawer, elsewhere, kind="kernel", inline=True)
    live(Shelf, script, kind="kernel", inline=True)


def test_a_service_without_a_backup_offers_none() -> None:
    class Plain(Shelf):
        backup = Service.backup

    from upcall.service.actions import actions_of

    assert set(actions_of(Plain)) == {"put", "books"}
    assert {"backup", "backups", "restore", "show-backup", "verify-backup"} < set(actions_of(Shelf))


def test_a_trial_restore_can_be_scheduled_where_there_is_one() -> None:
    class Untried(Shelf):
        check_backup = Service.check_backup

    assert [(each.name, each.every) for each in schedules_of(Shelf)] == [("try-backup", "never")]
    assert schedules_of(Untried) == ()


def test_a_cancelled_backup_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await done(life, "put", name="a", text="first")
        monkeypatch.setattr(Shelf, "stop_at", "a")
        asked = asyncio.ensure_future(life.master.act("backup", to=str(tmp_path / "kept")))
        await life.master.until(lambda: any(said.text == "book a" for said in life.master.progress))
        (first,) = [one.id for one in life.master.door.actions.of("shelf") if one.state == "running"]
        assert "another one is under way" in await refused(life, "backup", to=str(tmp_path / "kept"))
        await life.master.door.actions.cancel(first, "a person")
        assert (await asked).cancelled
        monkeypatch.setattr(Shelf, "stop_at", "")
        assert await done(life, "backups", at=str(tmp_path / "kept")) == []
        assert (await done(life, "backup", to=str(tmp_path / "kept")))["parts"] == 1

    live(Shelf, script, kind="kernel", inline=True)


def test_old_ones_are_removed_and_forgotten(tmp_path: Path) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        made = []
        for name in "abc":
            await done(life, "put", name=name, text=f"text of {name}")
            made.append(await done(life, "backup", to=str(tmp_path / "kept")))
        would = await done(life, "remove-backups", keep=2, dry_run=True)
        assert (would["backups"], would["kept"], would["removed"]) == ([made[0]["id"]], 2, False)
        assert [one["there"] for one in await done(life, "backups")] == [True] * 3
        (tmp_path / "kept").rename(tmp_path / "away")
        assert [one["there"] for one in await done(life, "backups")] == [False] * 3, "a disk that was taken out"
        (tmp_path / "away").rename(tmp_path / "kept")
        (tmp_path / "kept" / "shelf").chmod(0o755)
        said = {(one["there"], one["refused"].partition(" into ")[0]) for one in await done(life, "backups")}
        assert said == {(None, "others may look")}, "what is refused is not gone"
        (tmp_path / "kept" / "shelf").chmod(0o700)
        went = await done(life, "remove-backups", backups=[made[1]["id"]])
        assert (went["backups"], went["kept"], went["freed_bytes"]) == ([made[1]["id"]], 2, 0)
        assert [one["id"] for one in await done(life, "backups")] == [made[0]["id"], made[2]["id"]]
        went = await done(life, "remove-backups", keep=1, at=str(tmp_path / "kept"))
        assert went["backups"] == [made[0]["id"]]
        assert (await done(life, "verify-backup", trial=True))["id"] == made[2]["id"]
        assert "remembers no such backups" in await refused(life, "remove-backups", backups=[made[0]["id"]])
        await done(life, "backup", to=str(tmp_path / "elsewhere"))
        assert "remembers them in" in await refused(life, "remove-backups", keep=1)

    live(Shelf, script, kind="kernel", inline=True)


def test_none_is_removed_while_one_is_written_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await done(life, "put", name="a", text="first")
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        await done(life, "put", name="b", text="second")
        monkeypatch.setattr(Shelf, "stop_at", "b")
        asked = asyncio.ensure_future(life.master.act("backup", to=str(tmp_path / "kept")))
        await life.master.until(lambda: any(said.text == "book b" for said in life.master.progress))
        assert "another one is under way" in await refused(life, "remove-backups", backups=[made["id"]])
        assert (await asked).ok

        async def looks_long(self: Shelf, stored: StoredBackup) -> str:
            stored.say("is looked at")
            await asyncio.sleep(60)
            return "all"

        monkeypatch.setattr(Shelf, "check_backup", looks_long)
        tried = asyncio.ensure_future(life.master.act("verify-backup", trial=True))
        await life.master.until(lambda: any(said.text == "is looked at" for said in life.master.progress))
        assert "is being read" in await refused(life, "remove-backups", backups=[made["id"]])
        assert (await tried).ok
        assert (await done(life, "remove-backups", backups=[made["id"]]))["removed"]

    live(Shelf, script, kind="kernel", inline=True)


class Library(Shelf):
    """A shelf whose books are fetched by a tool beside its member, as those of a real system are."""

    async def backup(self, into: BackupInto) -> None:
        for number, name in enumerate(sorted(await self.books())):
            into.say(f"book {name}", number / 10)
            found = await self.members["shelf-0"].run(("cat", name), timeout_s=600)
            await self.blocking(into.add, f"books/{name}", found.output)
            into.say(f"book {name} is there", number / 10)

    async def restore(self, stored: StoredBackup) -> None:
        for part in stored.parts("books/"):
            stored.say(part.name)
            await self.members["shelf-0"].run(("write", part.name), timeout_s=600)
            await self.put(part.name.removeprefix("books/"), (await self.blocking(stored.read, part)).decode())


class Away:
    """What is away, from the second book on, and for so many attempts."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left, self.ran = error, times, 0

    def __call__(self, tool: wire.RunTool) -> wire.ToolResult:
        self.ran += 1
        if self.ran > 1 and self.left > 0:
            self.left -= 1
            raise self.error
        return wire.ToolResult(code=0, output=f"text of {tool.command[1]}")


CUT_OFF = "not now: its host lost its connection to the master; tried again"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotNow("the agent of node-1 is not connected"), "not now: the agent of node-1 is not connected; tried again"),
        (MasterAway("nobody listens"), CUT_OFF),
        (Fenced("another stream", where="Upcall-Stream"), CUT_OFF),
        (ConnectionResetError("reset"), "not now: ConnectionResetError: reset; tried again"),
    ],
)
def test_a_backup_and_a_restore_wait_for_what_is_away_and_go_on_by_themselves(
    error: Exception, words: str, tmp_path: Path
) -> None:
    """Nobody who asked has patience here: that is for what cannot be done in the first place."""

    async def script(life: Life) -> None:
        await life.until_deployed()
        for name in "abc":
            await done(life, "put", name=name, text=f"text of {name}")
        life.master.tool = Away(error, 20)
        began_s = asyncio.get_running_loop().time()
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        assert 200 < asyncio.get_running_loop().time() - began_s < 400, "for as long as it was away"
        assert made["parts"] == 3
        assert any(said.text.startswith(words) for said in life.master.progress)
        assert len([*(tmp_path / "kept" / "library" / "backups").iterdir()]) == 1, "one backup, which went on"
        assert not [*(tmp_path / "kept" / "library" / "drafts").rglob("*")]
        life.master.tool, life.master.progress[:] = Away(error, 20), []
        await done(life, "restore", backup=made["backup"], over=["a", "b", "c"])
        assert any(said.text.startswith(words) for said in life.master.progress)
        assert await done(life, "books") == {name: f"text of {name}" for name in "abc"}

    live(Library, script, kind="kernel", inline=True)


def test_a_backup_that_was_broken_off_waits_with_a_bound_and_then_says_why(tmp_path: Path) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        for name in "ab":
            await done(life, "put", name=name, text=f"text of {name}")
        life.master.tool = Away(NotNow("the agent of node-1 is not connected"), 10**9)
        began_s = asyncio.get_running_loop().time()
        reply = await life.master.act("backup", to=str(tmp_path / "kept"))
        assert reply.problem is not None
        assert (reply.problem.code, reply.problem.message) == ("not_now", "the agent of node-1 is not connected")
        assert 600 <= asyncio.get_running_loop().time() - began_s < 700
        life.master.tool = ok
        assert (await done(life, "backup", to=str(tmp_path / "kept")))["parts"] == 2, "asked again it goes on"

    live(Library, script, kind="kernel", inline=True)


def test_what_cannot_be_done_in_the_first_place_is_said_at_once(tmp_path: Path) -> None:
    class Empty(Shelf):
        async def backup(self, into: BackupInto) -> None:
            raise NotNow("no node is back")

    async def script(life: Life) -> None:
        await life.until_deployed()
        began_s = asyncio.get_running_loop().time()
        assert "no node is back" in await refused(life, "backup", to=str(tmp_path / "kept"))
        assert asyncio.get_running_loop().time() - began_s < 5

    live(Empty, script, kind="kernel", inline=True)


def test_whatever_fails_while_a_member_is_started_anew_is_tried_again(tmp_path: Path) -> None:
    """A client of a system says in words of its own, or takes for a refusal, that its node has gone."""

    class Dies(Shelf):
        fails = 3

        async def backup(self, into: BackupInto) -> None:
            into.say("a book", 0.5)
            if type(self).fails:
                type(self).fails -= 1
                if type(self).fails == 2:
                    await self.state.set("kill", True)
                    await asyncio.sleep(60)
                raise (KeyError("leader"), Conflict("not loaded: no node answers"))[type(self).fails % 2]
            await super().backup(into)

    async def script(life: Life) -> None:
        await life.until_deployed()
        await done(life, "put", name="a", text="first")
        asked = asyncio.ensure_future(life.master.act("backup", to=str(tmp_path / "kept")))
        await life.master.until(lambda: "kill" in life.master.memory)
        life.master.crash("shelf-0")
        reply = await asked
        assert not reply.ok, "the member is back by the second attempt, and then a failure is one"
        assert any("not now: shelf-0 went away: KeyError" in said.text for said in life.master.progress)

    live(Dies, script, kind="kernel", inline=True)


class Tries(Shelf):
    """Lays what it tries on a table, and takes it away again; somebody else has something there, too."""

    hangs = False
    stuck = 0
    """So often what is left cannot be taken away."""

    async def check_backup(self, stored: StoredBackup) -> str:
        table = f"trial.{stored.mark}"
        await self.state.set("table", [*await self.state.get("table", ["trial.of-somebody"]), table])
        stored.say("it lies there")
        if type(self).hangs:
            await asyncio.sleep(600)
        await self.clear_trial(stored.mark)
        return "tried"

    async def clear_trial(self, mark: str) -> None:
        if type(self).stuck:
            type(self).stuck -= 1
            raise NotNow("the table cannot be reached")
        there = await self.state.get("table", [])
        await self.state.set("table", [each for each in there if each != f"trial.{mark}"])


def on_the_table(life: Life) -> list[str]:
    found: list[str] = life.master.memory["table"].value if "table" in life.master.memory else []
    return found


@pytest.mark.parametrize(
    "how",
    [
        "it is cancelled",
        "its host dies and nobody asks again",
        "and cannot be reached",
        "it is cancelled as its host dies",
    ],
)
def test_what_an_interrupted_trial_left_is_taken_away_and_nothing_else(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await done(life, "put", name="a", text="first")
        await done(life, "backup", to=str(tmp_path / "kept"))
        monkeypatch.setattr(Tries, "hangs", True)
        asked = asyncio.ensure_future(life.master.act("verify-backup", trial=True))
        await life.master.until(lambda: any(said.text == "it lies there" for said in life.master.progress))
        assert len(on_the_table(life)) == 2
        monkeypatch.setattr(Tries, "hangs", False)
        monkeypatch.setattr(Tries, "stuck", 3 if how == "and cannot be reached" else 0)
        if how == "it is cancelled as its host dies":
            life.master.cancel("verify-backup")  # It is on record, and no host heard of it.
            await asyncio.sleep(0)
            await life.kill_host()
            assert len(on_the_table(life)) == 2
            life.start_host()
            assert (await asked).cancelled, "who comes next is shown both"
        else:
            if how != "it is cancelled":
                await life.kill_host()
            life.master.cancel("verify-backup")
            await asked
            if how != "it is cancelled":
                assert len(on_the_table(life)) == 2
                life.start_host()
        await life.master.until(lambda: on_the_table(life) == ["trial.of-somebody"], within_s=60)
        await life.master.until(lambda: "sdk.trying" not in life.master.memory, within_s=60)
        assert (await done(life, "verify-backup", trial=True))["trial"] == "tried"
        assert on_the_table(life) == ["trial.of-somebody"]

    live(Tries, script, kind="kernel", inline=True)
