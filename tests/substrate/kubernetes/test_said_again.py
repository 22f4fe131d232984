"""`upcall up --on kubernetes`, said again: what is not said of a control plane stays as it is there."""

import msgspec
import pytest

from upcall.cluster.control_plane import Wanted
from upcall.kubernetes.installing.elsewhere import UNKNOWN, as_said
from upcall.kubernetes.installing.objects import Wish, objects, wish_of
from upcall.kubernetes.settings import Settings
from upcall.substrate.kubernetes.client.kinds import DEPLOYMENT

STANDS = Wish(namespace="data", image="i:1", replicas=3, storage_class="fast", volumes_bound_to_node="true")
FOLDER = Settings(namespace="data", image=UNKNOWN)


def test_what_stands_is_read_as_it_was_wished_for() -> None:
    for wish in (STANDS, Wish(namespace="data", image="i:2")):
        (deployment,) = [one for kind, one in objects(wish) if kind is DEPLOYMENT]
        assert wish_of("data", deployment) == wish
    deployment["spec"]["replicas"] = 0
    assert wish_of("data", deployment).replicas == 2, "of none nobody would ever lead"


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        (Wanted(), STANDS),
        (Wanted(image="i:2"), msgspec.structs.replace(STANDS, image="i:2")),
        (Wanted(replicas=1), msgspec.structs.replace(STANDS, replicas=1)),
        (Wanted(storage_class="slow"), msgspec.structs.replace(STANDS, storage_class="slow")),
        (Wanted(storage_class=""), msgspec.structs.replace(STANDS, storage_class="")),
        (Wanted(volumes_bound_to_node=False), msgspec.structs.replace(STANDS, volumes_bound_to_node="false")),
    ],
)
def test_only_what_is_said_is_changed(said: Wanted, becomes: Wish) -> None:
    assert as_said(said, STANDS, FOLDER) == becomes


def test_what_stands_counts_and_not_what_this_folder_remembers_of_it() -> None:
    """Somebody else has exchanged the image since, by Helm or from another machine."""
    remembers = Settings(namespace="data", image="i:0", storage_class="old", volumes_bound_to_node=False)
    assert as_said(Wanted(), STANDS, remembers) == STANDS


def test_after_down_the_folder_remembers() -> None:
    remembers = Settings(namespace="data", image="i:0", storage_class="old", volumes_bound_to_node=True)
    found = as_said(Wanted(), None, remembers)
    assert found == Wish(namespace="data", image="i:0", storage_class="old", volumes_bound_to_node="true")
    assert as_said(Wanted(), None, FOLDER).image == "", "nobody has said it yet"
