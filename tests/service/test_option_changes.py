"""What a change of options would do, said beforehand: which options change how, who restarts, comes and leaves."""

from typing import Annotated, Any

from msgspec import structs
from sample_services import Plain

from upcall.protocol import service as wire
from upcall.service import (
    Declaration,
    Field,
    Member,
    Operation,
    Pod,
    Port,
    ServiceOptions,
    Verdict,
    Volume,
    accept,
    by_restart,
    decline,
    defer,
    live,
    never,
)
from upcall.service.changing import How, OptionChange, Update, applied, before, between, named
from upcall.service.comparing import compare
from upcall.service.context import Context
from upcall.service.previewing import preview
from upcall.service.proposed import consent_to_update
from upcall.testing import operation
from upcall.testing.virtual import run


class Cache(Plain):
    """Some of it changes while it runs, some never."""

    class Options(ServiceOptions):
        count: int = Field(3, ge=1, le=9)
        size_mib: int = Field(64, ge=1)
        level: Annotated[str, live] = "info"
        tokens: Annotated[int, never("a ring keeps its tokens; install another one")] = 16
        settings: dict[str, Any] = Field({})
        first_only: str = ""

    options: Options  # type: ignore[assignment]

    def how(self, change: OptionChange) -> How:
        return live if change.name == "settings.limit" else super().how(change)

    def task(self, member: Member) -> Declaration:
        options = self.options
        settings = [f"{name}={value}" for name, value in sorted(options.settings.items())]
        first = [options.first_only] if member.index == 0 and options.first_only else []
        command = ("serve", str(options.size_mib), options.level, *settings, *first)
        return Declaration(command=command, ports=(Port(name="http", number=8080),))


def made(**options: Any) -> Cache:
    return Cache(Context(name="cache", options=options))


def wish(number: int = 2, **options: Any) -> wire.Revision:
    return wire.Revision(number=number, version="0.1.0", options=options)


def asked(service: Cache, **options: Any) -> Verdict:
    revision = wish(**options)
    return run(consent_to_update(service, operation("update", revision=revision), revision))


def seen(service: Cache, **options: Any) -> wire.Preview:
    return run(preview(service, wish(**options)))


def test_entries_of_a_map_change_one_by_one() -> None:
    was = Cache.Options(settings={"a": 1, "b": 2})
    found = between(was, Cache.Options(settings={"b": 3, "c": 4}, level="debug"))
    assert [(change.name, change.was, change.wanted) for change in found] == [
        ("level", "info", "debug"),
        ("settings.a", 1, None),
        ("settings.b", 2, 3),
        ("settings.c", None, 4),
    ]
    assert applied(was, found) == Cache.Options(settings={"b": 3, "c": 4}, level="debug")


def test_the_options_before_a_revision_follow_from_what_it_says_that_it_changes() -> None:
    options = {"count": 4, "settings": {"x.y": 2, "z": 1}}
    changed = {"count": (3, 4), "settings.x.y": (None, 2), "settings.gone": (7, None), "level": ("debug", "info")}
    assert before(options, changed) == {"count": 3, "settings": {"z": 1, "gone": 7}, "level": "debug"}


def test_what_was_changed_before_and_is_as_it_was_again_is_still_named() -> None:
    one = Cache.Options(settings={"limit": 1})
    assert named(one, one, ["settings.limit", "level"]) == (
        OptionChange("settings", "limit", 1, 1),
        OptionChange("level", "", "info", "info"),
    )


def test_only_members_that_would_be_told_something_else_restart() -> None:
    service = made()
    found = compare(service, service.options, Cache.Options(first_only="--leader", level="debug"))
    assert found.differ == ("web-0",)
    assert [change.name for change in found.live] == ["level"]


def test_a_service_that_writes_nothing_restarts_what_differs() -> None:
    service = Plain(Context(name="plain"))
    found = compare(service, service.options, Plain.Options(data=True))
    assert found.differ == ("web-0", "web-1", "web-2")
    assert service.how(found.changes[0]) == by_restart


def test_the_service_itself_is_not_touched_by_a_look_at_other_options() -> None:
    service = made()
    pods = service.members
    compare(service, service.options, Cache.Options(count=5))
    assert service.options.count == 3
    assert len(service.members) == len(pods) == 3


def test_a_preview_says_how_each_option_changes_and_who_restarts_and_why() -> None:
    found = seen(made(), count=4, size_mib=32, level="debug", replace_after_s=300.0, settings={"limit": 2})
    assert found.how == {
        "replace_after_s": "at once",
        "count": "new members",
        "size_mib": "restart",
        "level": "live",
        "settings.limit": "live",
    }
    assert found.restart == dict.fromkeys(("web-0", "web-1", "web-2"), "size_mib")
    assert (found.come, found.leave) == (("web-3",), ())
    assert found.live == ("web-0", "web-1", "web-2")
    assert (found.answer, found.declined) == ("accept", "")
    assert found.next.startswith("restart of web-0: accept")


def test_a_smaller_service_says_who_leaves() -> None:
    found = seen(made(), count=1)
    assert found.leave == ("web-1", "web-2")
    assert found.how == {"count": "members leave"}


def test_what_never_changes_is_declined_with_what_to_do_instead() -> None:
    verdict = asked(made(), tokens=4)
    assert verdict == decline("tokens is never changed: a ring keeps its tokens; install another one")
    found = seen(made(), tokens=4)
    assert found.how == {"tokens": "never: a ring keeps its tokens; install another one"}
    assert found.answer.startswith("decline: tokens is never changed")
    assert found.answer == f"decline: {found.declined}"


def test_what_the_model_refuses_is_declined_before_anything_begins() -> None:
    verdict = asked(made(), count=77)
    assert (verdict.word, verdict.reason) == ("decline", "count=77 should be less than or equal to 9")


class Careful(Cache):
    heard: Update | None = None

    def pods(self) -> list[Pod]:
        if self.options.size_mib == 13:
            raise ValueError("13 brings bad luck")
        return super().pods()

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        self.heard = update
        return accept() if self.options.size_mib == 64 else defer("it is being filled")


def test_pods_that_raise_with_the_new_options_decline_them_with_file_and_line() -> None:
    verdict = asked(Careful(Context(name="careful")), size_mib=13)
    assert verdict.word == "decline"
    assert verdict.reason.startswith("with these options: ValueError: 13 brings bad luck (test_option_changes.py:")


def test_what_passed_is_the_experts_to_answer_who_still_has_the_options_that_stand() -> None:
    service = Careful(Context(name="careful"))
    assert asked(service, size_mib=128) == accept()
    assert service.heard is not None
    assert (service.heard.revision, service.heard.upgrade) == (2, False)
    assert service.heard.changes == (OptionChange("size_mib", "", 64, 128),)
    assert service.heard.options.size_mib == 128  # type: ignore[attr-defined]


class Stored(Cache):
    def task(self, member: Member) -> Declaration:
        return structs.replace(super().task(member), volumes=(Volume(name="data", size_mib=10),))


def test_a_member_with_data_that_nobody_moves_away_may_not_leave_and_the_update_is_declined() -> None:
    verdict = asked(Stored(Context(name="stored")), count=2)
    assert verdict.word == "decline"
    assert verdict.reason.startswith("web-2 would leave: web-2 has data, and stored has no leave()")
