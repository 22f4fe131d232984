"""What is written for a task."""

from typing import Any

import pytest
from objects_of import SETTINGS, wanted

from upcall.kubernetes.pod.given import Given
from upcall.protocol.declaration import Constraints, Declaration, Port, Resources, Volume
from upcall.substrate.interface import TaskId, Wanted
from upcall.substrate.kubernetes import manifest, names
from upcall.substrate.kubernetes.evictions import objects
from upcall.substrate.kubernetes.manifest import Owner, Settings
from upcall.substrate.kubernetes.objects import Disruption, read
from upcall.substrate.kubernetes.placement import TOLERATED
from upcall.substrate.tasks import parse

RULE = "requiredDuringSchedulingIgnoredDuringExecution"


def spec(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = manifest.pod(wanted(Declaration(command=("run",), **more)), {}, SETTINGS)["spec"]
    return found


def placed(**constraints: Any) -> dict[str, Any]:
    return spec(constraints=Constraints(**constraints))


# -- identity -------------------------------------------------------------------------------------------------------


def test_a_pod_is_named_by_its_place_so_that_two_incarnations_cannot_be_there_at_once() -> None:
    first = manifest.pod(wanted(incarnation=1, place=3), {}, SETTINGS)["metadata"]
    second = manifest.pod(wanted(incarnation=2, place=3), {}, SETTINGS)["metadata"]
    elsewhere = manifest.pod(wanted(incarnation=2, place=4), {}, SETTINGS)["metadata"]
    assert first["name"] == second["name"] == "log.b0.p3"
    assert elsewhere["name"] == "log.b0.p4"
    assert parse(first["annotations"][names.TASK]) == TaskId("log", "b0", 1)
    assert parse(second["annotations"][names.TASK]) == TaskId("log", "b0", 2)


def test_a_member_has_a_name_in_the_cluster_that_outlives_its_pods() -> None:
    made, service = spec(), manifest.headless("log", SETTINGS)
    assert (made["hostname"], made["subdomain"]) == ("b0", service["metadata"]["name"]) == ("b0", "log")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"], "they find one another before they are ready"
    labels = manifest.pod(wanted(), {}, SETTINGS)["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_what_is_no_name_of_kubernetes_becomes_one_that_nothing_else_becomes() -> None:
    odd = [names.as_name(text) for text in ("Data_1.log.b0.1", "data-1.log.b0.1", "data_1.log.b0.1", "x" * 300)]
    assert len(set(odd)) == 4
    assert odd[1] == "data-1.log.b0.1"
    assert all(len(name) <= 253 and name == name.lower() and "_" not in name for name in odd)
    assert len(names.as_label("a.b" * 60)) <= 63
    assert "." not in names.as_label("a.b")


def test_everything_goes_with_the_installation_that_made_it() -> None:
    owner = Owner(api_version="upcall.dev/v1", kind="Installation", name="main", uid="u-9")
    settings = Settings(image="i", master_url="u", owner=owner)
    for made in (
        manifest.pod(wanted(), {}, settings),
        manifest.claim("log.b0", Volume(name="data", size_mib=1), 1, 1, settings),
        manifest.headless("log", settings),
    ):
        (reference,) = made["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["uid"], reference["controller"]) == ("Installation", "u-9", True)


# -- what runs ------------------------------------------------------------------------------------------------------


def test_it_starts_anew_and_ends_by_nobodys_will_but_ours() -> None:
    made = spec(grace_s=12.5)
    (container,) = made["containers"]
    assert made["restartPolicy"] == "Never"
    assert "livenessProbe" not in container
    assert "startupProbe" not in container
    assert made["terminationGracePeriodSeconds"] == 13 + manifest.OURS_S
    tolerated = {one["key"]: one for one in made["tolerations"]}
    assert set(tolerated) == set(TOLERATED)
    assert all("tolerationSeconds" not in one for one in tolerated.values()), "for ever"
    assert names.OUT_OF_SERVICE not in tolerated


def test_it_stays_until_we_have_read_how_it_ended() -> None:
    assert manifest.pod(wanted(), {}, SETTINGS)["metadata"]["finalizers"] == [names.KEEPS]


def test_the_floor_of_evictions_holds_it_from_its_first_moment_and_knows_whose_it_is() -> None:
    """The webhook's part knows these by their names too."""
    labels = manifest.pod(wanted(), {}, SETTINGS)["metadata"]["labels"]
    assert {objects.HELD, objects.SERVICE, objects.MEMBER} <= labels.keys()
    assert (names.HELD, names.SERVICE, names.MEMBER) == (objects.HELD, objects.SERVICE, objects.MEMBER)


def test_what_the_webhook_writes_down_is_what_the_core_reads() -> None:
    raw = manifest.pod(wanted(), {}, SETTINGS)
    raw["metadata"]["uid"] = "u1"
    written = objects.disruption(raw, "kubectl", 12.0)
    written["metadata"] |= {"uid": "d1", "resourceVersion": "7"}
    found = read("Disruption", written)
    assert isinstance(found, Disruption)
    assert (found.spec.verb, found.spec.pod, found.spec.pod_uid) == ("evict", "log.b0.p1", "u1")
    assert (found.spec.who, found.spec.asked, found.status.allowed) == ("kubectl", 12.0, False)
    assert found.member_id == "log.b0"


def test_it_fits_the_restricted_level_of_pod_security() -> None:
    """Each rule of that level, by its documentation."""
    made = spec(volumes=(), ports=(Port(name="client", number=9092),))
    (container,) = made["containers"]
    inner = container["securityContext"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & made.keys()
    assert all("hostPort" not in port for port in container["ports"])
    assert made["securityContext"]["runAsNonRoot"]
    assert made["securityContext"]["runAsUser"] > 0
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner["allowPrivilegeEscalation"] is False
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in inner
    allowed = {"emptyDir", "projected", "persistentVolumeClaim"}
    assert all(set(volume) - {"name"} <= allowed for volume in made["volumes"])


def test_it_holds_no_secret_and_proves_who_it_is_by_a_token_for_us_alone() -> None:
    made = spec()
    assert made["automountServiceAccountToken"] is False
    token, trust = next(one for one in made["volumes"] if one["name"] == "identity")["projected"]["sources"]
    assert token["serviceAccountToken"]["audience"] == "upcall"
    assert trust["configMap"]["name"] == manifest.TRUST, "whom it may take for the master is no secret"


def test_our_part_in_it_is_told_each_folder_that_is_mounted() -> None:
    (container,) = manifest.pod(
        wanted(Declaration(command=("run",), volumes=(Volume(name="data", size_mib=1),))), {"data": "c"}, SETTINGS
    )["spec"]["containers"]
    assert not {"command", "args"} & container.keys(), "the image's entry point is our part"
    told = {each["name"]: each.get("value", "") for each in container["env"]}
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    folders = {told["UPCALL_SANDBOX"], told["UPCALL_IDENTITY"], f"{told['UPCALL_VOLUMES']}/data"}
    assert folders == mounts
    assert told["UPCALL_LAST_WORD"] == container["terminationMessagePath"]
    assert Given.of(told | {"UPCALL_ADDRESS": "10.1.2.3", "UPCALL_NODE": "n1"}).task == "log.b0.1"


def test_what_it_wants_is_reserved_and_memory_and_disk_are_limits() -> None:
    (container,) = spec(resources=Resources(cpus=1.5, memory_mib=512, disk_mib=100))["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "1500m", "memory": "512Mi", "ephemeral-storage": "100Mi"},
        "limits": {"memory": "512Mi", "ephemeral-storage": "100Mi"},
    }


def test_a_volume_is_a_claim_of_its_set_that_one_pod_has_at_a_time() -> None:
    data = Volume(name="data", size_mib=2048, kind="fast")
    settings = Settings(image="i", master_url="u", storage_class="plain", storage_classes={"fast": "nvme"})
    claim = manifest.claim("log.b0", data, 4, 2, settings)
    assert claim["metadata"]["name"] == "data.log.b0.4"
    assert claim["metadata"]["annotations"] == {names.FENCE: "4", names.PLACE: "2", names.VOLUME: "data"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": "2048Mi"}},
        "storageClassName": "nvme",
    }

    def class_of(volume: Volume, settings: Settings) -> str | None:
        found: str | None = manifest.claim("log.b0", volume, 4, 2, settings)["spec"].get("storageClassName")
        return found

    usual = Volume(name="data", size_mib=2048)
    assert class_of(usual, SETTINGS) is None, "the cluster's default"
    assert class_of(usual, settings) == "plain"
    assert class_of(data, SETTINGS) == "fast", "of which nobody says another name"
    made = manifest.pod(wanted(Declaration(command=("run",), volumes=(data,))), {"data": "data.log.b0.4"}, SETTINGS)
    mounts = {one["name"]: one["mountPath"] for one in made["spec"]["containers"][0]["volumeMounts"]}
    claims = {
        one["name"]: one["persistentVolumeClaim"]["claimName"]
        for one in made["spec"]["volumes"]
        if len(one) > 1 and "persistentVolumeClaim" in one
    }
    assert {mounts[name]: claimed for name, claimed in claims.items()} == {"/upcall/volumes/data": "data.log.b0.4"}


# -- where ----------------------------------------------------------------------------------------------------------


def test_apart_is_anti_affinity_by_host_among_those_with_the_same_word() -> None:
    (term,) = placed(apart="brokers")["affinity"]["podAntiAffinity"][RULE]
    assert term["topologyKey"] == names.HOST
    labels = manifest.pod(
        wanted(Declaration(command=("run",), constraints=Constraints(apart="brokers"))), {}, SETTINGS
    )["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= labels.items()


def test_several_on_a_node_are_counted_hard_and_spread_softly() -> None:
    hard, soft = placed(apart="brokers", per_node=2)["topologySpreadConstraints"]
    assert (hard["maxSkew"], hard["whenUnsatisfiable"], hard["topologyKey"]) == (2, "DoNotSchedule", names.HOST)
    assert hard["minDomains"] > 100_000, "so that the emptiest node counts as none"
    assert (soft["maxSkew"], soft["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
    assert "podAntiAffinity" not in placed(apart="brokers", per_node=2).get("affinity", {})


def test_spread_is_a_wish_and_the_attribute_is_needed() -> None:
    made = placed(apart="brokers", spread="zone")
    (spread,) = made["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == (names.ZONE, "ScheduleAnyway")
    (term,) = made["affinity"]["nodeAffinity"][RULE]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": names.ZONE, "operator": "Exists"}]


def test_where_no_node_has_the_label_hosts_are_spread_over_and_the_pod_says_so() -> None:
    declaration = Declaration(command=("run",), constraints=Constraints(apart="brokers", spread="zone"))
    made = manifest.pod(wanted(declaration), {}, SETTINGS, lambda label: False)
    (spread,) = made["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == (names.HOST, "ScheduleAnyway")
    assert "nodeAffinity" not in made["spec"]["affinity"]
    assert made["metadata"]["annotations"][names.SPREAD] == f"over nodes: none has the label {names.ZONE}"
    assert names.SPREAD not in manifest.pod(wanted(declaration), {}, SETTINGS)["metadata"]["annotations"]


def test_together_is_affinity_to_that_member_and_attributes_are_a_selector() -> None:
    made = placed(together="b7", attributes={"zone": "a", "disk": "ssd"})
    (term,) = made["affinity"]["podAffinity"][RULE]
    assert term["labelSelector"]["matchLabels"] == {names.SERVICE: "log", names.MEMBER: "b7"}
    assert made["nodeSelector"] == {names.ZONE: "a", "disk": "ssd"}


@pytest.mark.parametrize("beside", [False, True])
def test_one_that_is_wanted_beside_another_says_so(beside: bool) -> None:
    one = Wanted(task=TaskId("log", "b0", 2), declaration=Declaration(command=("run",)), place=2, beside=beside)
    assert (names.BESIDE in manifest.pod(one, {}, SETTINGS)["metadata"]["annotations"]) is beside
