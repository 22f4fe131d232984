"""Goals become options: told whose word each is, refused where they cannot be met or are contradicted, changed like
anything else; on both kinds of cluster."""

from collections.abc import Mapping
from typing import Any, Literal

import pytest
from sample_services import Plain

from upcall.cli.explain import explained
from upcall.master import revisions
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.operator import RevisionView
from upcall.protocol.service import NodeView
from upcall.service import (
    Declaration,
    Derived,
    Field,
    Machine,
    Member,
    Port,
    Service,
    ServiceGoals,
    ServiceOptions,
    unmet,
)
from upcall.service.goals import derive
from upcall.testing import Life

Live = Any
THREE = tuple(NodeView(name=f"n{number}", zone="abc"[number], memory_mib=2048) for number in range(3))


class WebGoals(ServiceGoals):
    survive: Literal["1-node", "1-zone"] | None = Field(None, description="what may be gone")
    per_s: int | None = Field(None, gt=0, description="requests in a second")


class Web(Plain):
    """A page, for so many."""

    class Options(ServiceOptions):
        count: int = Field(1, ge=1, le=9)
        threads: int = Field(1, ge=1)
        settings: dict[str, str] = Field({})
        memory_mib: int = 64

    Goals = WebGoals
    options: Options  # type: ignore[assignment]

    def from_goals(self, goals: WebGoals, machine: Machine) -> Mapping[str, Derived]:
        found = {}
        if goals.survive:
            machine.must_survive(goals.survive)
            found["count"] = Derived(3, "two of three are left", goal="survive", at_least=True)
        if goals.per_s:
            if goals.per_s > 1000:
                raise unmet("per_s", goals.per_s, "needs 10 nodes")
            found["threads"] = Derived(goals.per_s // 100, "100 of each thread", goal="per_s")
            found["settings.backlog"] = Derived(str(goals.per_s), "a second's worth", goal="per_s")
            found["memory_mib"] = Derived(machine.memory_mib // 8, "an eighth of a node")
        return found

    def task(self, member: Member) -> Declaration:
        options = self.options
        command = ("serve", str(options.threads), str(sorted(options.settings.items())))
        return Declaration(command=command, ports=(Port(name="http", number=8080),))


def view(life: Life) -> RevisionView:
    known = life.master.known
    stands = known.revisions.get(known.record.revision)
    record = known.record
    return RevisionView(
        number=record.revision,
        state="stands",
        package=record.package,
        version=record.version,
        options=revisions.by_a_person(record),
        derived={name: vars_of(one) for name, one in record.derived.items()},
        asked_by=stands.asked_by if stands else record.asked_by,
    )


def vars_of(one: Any) -> dict[str, Any]:
    return {"value": one.value, "why": one.why, "goal": one.goal, "at_least": one.at_least}


def test_options_follow_from_goals_and_each_says_why(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert sorted(life.master.members) == ["web-0", "web-1", "web-2"]
        assert life.code.options.threads == 4
        assert life.code.options.settings == {"backlog": "400", "name": "x"}
        rows = {row["option"]: row for row in explained(view(life), [view(life)], Web.Options.model_json_schema())}
        assert (rows["count"]["from"], rows["count"]["why"]) == ("goal survive", "two of three are left")
        assert (rows["settings.backlog"]["from"], rows["settings.name"]["from"]) == ("goal per_s", "person")
        assert (rows["memory_mib"]["from"], rows["replace_after_s"]["from"]) == ("machine", "default")
        assert rows["goals.per_s"]["from"] == "person"

    live(Web, script, goals={"survive": "1-node", "per_s": 400}, settings={"name": "x"})


def test_a_goal_that_is_changed_is_an_update_and_rollback_brings_back_what_followed(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        master = life.master
        preview = await master.preview(goals={"per_s": 800})
        assert preview.how["threads"] == "restart"
        update = master.change(goals={"per_s": 800})
        await master.until(lambda: master.operations[update].state == "done")
        assert (life.code.options.threads, life.code.options.settings) == (8, {"backlog": "800"})
        assert master.known.revisions[2].derived["threads"].value == 8
        back = master.rollback()
        await master.until(lambda: master.operations[back].state == "done")
        assert (life.code.options.threads, life.code.options.settings) == (4, {"backlog": "400"})
        assert revisions.by_a_person(master.known.record) == {"goals": {"per_s": 400}}
        assert master.known.record.derived["threads"].goal == "per_s"

    live(Web, script, goals={"per_s": 400})


def test_an_option_that_contradicts_a_goal_is_refused_and_both_are_named(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        with pytest.raises(Conflict, match="count=2 contradicts the goal survive=1-node: two of three are left"):
            life.master.change(count=2)
        with pytest.raises(Conflict, match=r"settings\.backlog=7 contradicts the goal per_s=400"):
            life.master.change(settings={"backlog": "7"})
        assert life.master.known.record.revision == 1
        more = life.master.change(count=4)  # more of it does no harm
        await life.master.until(lambda: life.master.operations[more].state == "done")
        assert "count" not in life.master.known.record.derived

    live(Web, script, goals={"survive": "1-node", "per_s": 400}, cluster={"nodes": 4})


def test_what_cannot_be_met_is_refused_with_what_would_be_needed(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        with pytest.raises(Invalid, match=r"survive=1-node needs 3 nodes \(one member on each of them\), there are 2"):
            life.master.change(goals={"survive": "1-node"})
        with pytest.raises(Invalid, match="per_s=5000 needs 10 nodes"):
            life.master.change(goals={"per_s": 5000})
        with pytest.raises(Invalid, match="surwive"):
            life.master.change(goals={"surwive": "1-node"})
        assert life.master.known.record.revision == 1

    live(Web, script, cluster={"nodes": 2})


def test_zones_are_counted_and_not_nodes() -> None:
    in_two = tuple(NodeView(name=f"n{number}", zone="ab"[number % 2]) for number in range(6))
    with pytest.raises(Invalid, match=r"survive=1-zone needs nodes in 3 zones .* there are 2"):
        derive(Web, {"goals": {"survive": "1-zone"}}, in_two)
    assert derive(Web, {"goals": {"survive": "1-zone"}}, THREE)["count"].value == 3


def test_without_a_goal_nothing_follows() -> None:
    assert derive(Web, {"threads": 3}, THREE) == {}
    assert derive(Web, {"goals": {}}, THREE) == {}
    assert derive(Plain, {}, THREE) == {}


def test_goals_are_in_the_schema_of_a_service_that_has_some() -> None:
    schema = Web.Options.model_json_schema()
    assert set(schema["$defs"]["WebGoals"]["properties"]) == {"survive", "per_s"}
    assert "goals" not in Plain.Options.model_json_schema()["properties"]
    assert "goals" not in Service.Options.model_json_schema()["properties"]
