"""Whose volumes are on which kind of storage is the person's to say, once."""

import pytest
from pydantic import ValidationError

from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.storage import STAYS
from upcall.service import Service
from upcall.testing import Scenario

PACKAGES = pytest.mark.parametrize(("package", "member"), [(Kafka, "broker-0"), (Cassandra, "node-0")])


@PACKAGES
def test_its_volumes_are_of_the_kind_that_is_said(package: type[Service], member: str) -> None:
    def kinds(**options: object) -> list[str]:
        return [one.kind for one in Scenario(package, options, fresh=True).run().task(member).volumes]

    assert kinds() == ["disk"], "and so nothing of what runs is changed by a newer release that asks for it"
    assert kinds(storage="fast-ssd") == ["fast-ssd"]


@PACKAGES
def test_it_is_a_name_that_a_storage_class_can_have_and_is_never_changed(package: type[Service], member: str) -> None:
    with pytest.raises(ValidationError, match="storage"):
        package.Options.model_validate({"storage": "Fast SSD"})
    (how,) = [each for each in package.Options.model_fields["storage"].metadata if str(each).startswith("never")]
    assert str(how) == f"never: {STAYS}"
