"""A service's description: options, pods, endpoints, needs, and the declared set that comes of them."""

from typing import Any

import pytest
from sample_services import Plain, Store

from upcall.protocol.declaration import Constraints
from upcall.protocol.errors import Invalid, NotFound
from upcall.service import (
    Check,
    Declaration,
    Do,
    Endpoint,
    Field,
    Member,
    Need,
    Phase,
    Pod,
    Port,
    Service,
    ServiceOptions,
    Start,
)
from upcall.service.context import Context
from upcall.service.options import validated
from upcall.service.wanted import checked, declared, phases
from upcall.testing import Scenario


def made(service: type[Service], **context: Any) -> Any:
    return service(Context(name="s", **context))


# -- options --------------------------------------------------------------------------------------------------------


def test_the_options_model_is_found_by_nesting_or_by_annotation() -> None:
    class Model(ServiceOptions):
        size: int = 1

    class ByAnnotation(Service):
        options: Model

    assert ByAnnotation.Options is Model
    assert Plain.Options.__name__ == "Options"
    assert made(ByAnnotation, options={"size": 4}).options.size == 4


def test_an_annotation_that_is_no_options_model_is_refused() -> None:
    with pytest.raises(TypeError, match="not a subclass of ServiceOptions"):

        class Wrong(Service):
            options: int  # type: ignore[assignment]


def test_an_unknown_option_is_named_with_the_known_ones() -> None:
    with pytest.raises(Invalid) as caught:
        validated(Plain.Options, {"cuont": 3}, where="web")
    assert "cuont" in str(caught.value)
    assert caught.value.problem.expected == "one of count, data, replace_after_s, schedules, time_zone, windows"


def test_a_value_out_of_range_says_the_range() -> None:
    with pytest.raises(Invalid, match=r"count=10 should be less than or equal to 9"):
        validated(Plain.Options, {"count": 10}, where="web")


def test_a_service_with_a_required_option_can_be_made_before_it_is_known() -> None:
    class Strict(Service):
        class Options(ServiceOptions):
            license: str = Field()

        options: Options

    assert not hasattr(Strict(), "options")


def test_the_package_is_named_after_the_class() -> None:
    class HelloWorld(Service):
        pass

    class Named(Service):
        package = "something-else"

    assert (HelloWorld.package, Named.package) == ("hello-world", "something-else")


# -- pods -----------------------------------------------------------------------------------------------------------


def test_members_are_numbered_from_zero_or_have_names_of_their_own() -> None:
    assert Pod("broker", count=3).member_names == ("broker-0", "broker-1", "broker-2")
    assert Pod("job", names=("etl", "report")).member_names == ("etl", "report")


@pytest.mark.parametrize("name", ["Broker", "b_roker", "-b", "b-", "b--c", "1b", ""])
def test_a_name_that_is_not_valid_in_dns_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Pod(name)


def test_a_count_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="1001"):
        Pod("broker", count=1001)


def test_a_pod_keeps_its_members_apart_unless_the_task_says_otherwise() -> None:
    pod = Pod("broker", spread="zone")
    assert pod.placed(Declaration(command=("x",))).constraints == Constraints(apart="broker", spread="zone")
    own = Declaration(command=("x",), constraints=Constraints(apart="all", together="broker-1"))
    assert pod.placed(own).constraints == Constraints(apart="all", spread="zone", together="broker-1")


def test_the_same_member_in_two_pods_is_refused() -> None:
    class Twice(Service):
        def pods(self) -> list[Pod]:
            return [Pod("a"), Pod("b", names=("a-0",))]

    with pytest.raises(Invalid, match=r"a-0.*pod 'a' and in pod 'b'"):
        checked(Twice())


def test_a_check_that_cannot_work_is_refused_with_its_member_and_its_name() -> None:
    class Deaf(Service):
        """Watches a port that it does not have."""

        def task(self, member: Member) -> Declaration:
            return Declaration(command=("x",), ports=(Port(name="http", number=80),), health=Check(tcp="https"))

    with pytest.raises(Invalid, match=r"the health check of server-0 names an unknown port 'https'; at deaf.health; "
                                      "expected http"):  # fmt: skip
        declared(made(Deaf))


def test_every_pod_member_is_declared_with_its_own_task() -> None:
    declared = Scenario(Store, {"nodes": 2}, memory={"jobs": ["etl"]}).run()
    assert declared.task("node-1").command == ("store", "node-1")
    assert declared.task("etl").command == ("job", "etl")
    assert declared.declared is not None
    assert [wanted.minimum for wanted in declared.declared.members.values()] == [True, True, False]


def test_a_replacement_is_declared_only_where_it_differs() -> None:
    store = Scenario(Store).run().declared
    plain = Scenario(Plain).run().declared
    assert store is not None
    assert plain is not None
    replacement = store.members["node-0"].replacement
    assert replacement is not None
    assert replacement.command == ("store", "node-0", "--replaces", "{{replaced.address}}")
    assert replacement.constraints.apart == "node"
    assert plain.members["web-0"].replacement is None


def test_a_task_that_is_no_declaration_is_refused_by_name() -> None:
    class Wrong(Plain):
        def task(self, member: Member) -> Declaration:
            return "python -m http.server"  # type: ignore[return-value]

    outcome, _ = Scenario(Wrong, members={"web-0": "wanted"}).broken()
    assert outcome.plans["deploy"].state == "failed"
    assert "the task of web-0 is a str" in outcome.plans["deploy"].reason


def test_lists_in_a_declaration_are_put_right_and_wrong_types_refused() -> None:
    class Lists(Plain):
        def task(self, member: Member) -> Declaration:
            return Declaration(command=["serve"], ports=[Port(name="http", number=1)])  # type: ignore[arg-type]

    class Wrong(Plain):
        def task(self, member: Member) -> Declaration:
            return Declaration(command=(1,), ports=(Port(name="http", number=1),))  # type: ignore[arg-type]

    assert Scenario(Lists).run().task("web-0").command == ("serve",)
    said = "the task of web-0 is no declaration: command[0]: a whole number, not text"
    assert said in Scenario(Wrong).broken()[0].plans["deploy"].reason


# -- endpoints and needs --------------------------------------------------------------------------------------------


def test_an_endpoint_names_the_port_and_the_members_of_its_pod() -> None:
    (endpoint,) = Scenario(Plain, {"count": 2}).run().endpoints
    assert (endpoint.name, endpoint.port, endpoint.members) == ("http", "http", ("web-0", "web-1"))


def test_an_endpoint_of_a_port_that_is_not_declared_is_refused() -> None:
    class Wrong(Plain):
        def pods(self) -> list[Pod]:
            return [Pod("web", endpoints=[Endpoint("client", port="cql")])]

    assert "endpoints of ports that it lacks: cql" in Scenario(Wrong).broken()[0].plans["deploy"].reason


class Reader(Plain):
    kafka = Need("kafka", endpoint="client")
    store = Need("store", endpoint="cql", optional=True)

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("read", str(self.kafka)), ports=(Port(name="http", number=1),))


def test_a_need_is_the_template_of_the_bound_service() -> None:
    assert Scenario(Reader).run().task("web-0").command == ("read", "{{endpoint.kafka.client}}")
    bound = Scenario(Reader, bindings={"kafka": "events"}).run()
    assert bound.task("web-0").command == ("read", "{{endpoint.events.client}}")


def test_an_optional_need_is_false_until_it_is_bound() -> None:
    assert not made(Reader).store
    assert str(made(Reader, bindings={"store": "s1"}).store) == "{{endpoint.s1.cql}}"


# -- plans ----------------------------------------------------------------------------------------------------------


def test_the_default_plan_is_a_phase_for_each_pod() -> None:
    (phase,) = made(Plain).deploy()
    assert (phase.name, phase.strategy, [step.name for step in phase.steps]) == (
        "web",
        "parallel",
        ["web-0", "web-1", "web-2"],
    )


def test_members_that_the_experts_plan_forgot_are_started_after_it() -> None:
    store = made(Store)
    store.jobs = ["etl"]
    assert [phase.name for phase in phases(store)] == ["node", "schema", "job"]


def test_a_plan_that_starts_a_stranger_is_refused() -> None:
    class Wrong(Plain):
        def deploy(self) -> list[Phase]:
            return [Phase("web", Start("web-7"))]

    with pytest.raises(Invalid, match="the plan starts web-7, which no pod has"):
        phases(made(Wrong))


def test_two_steps_of_one_name_are_refused() -> None:
    async def work() -> None: ...

    with pytest.raises(ValueError, match="same name"):
        Phase("p", Do("a", work), Do("a", work))
    with pytest.raises(ValueError, match="no '/'"):
        Phase("p", Do("a/b", work))


def test_an_unknown_pod_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match="expected web"):
        made(Plain).pod("broker")
