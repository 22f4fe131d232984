"""The platform files that the project ships are right for the packages that it ships."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from upcall.cli import platform_schema
from upcall.cli.applicable import check_against
from upcall.cli.composition import load
from upcall.master.service_views import package_view
from upcall.protocol.operator import PackageView
from upcall.service.package import build_installed, installed

ROOT = Path(__file__).parents[2]
FILES = ("examples/shop.yaml", "src/upcall/fastdata/demo.yaml")


@pytest.fixture(scope="module")
def packages() -> list[PackageView]:
    return [package_view(build_installed(entry).package) for entry in installed()]


@pytest.mark.parametrize("file", FILES)
def test_it_names_what_there_is(packages: list[PackageView], file: str) -> None:
    check_against(load(ROOT / file), packages)


@pytest.mark.parametrize("file", FILES)
def test_editors_find_no_mistake_in_it(packages: list[PackageView], file: str) -> None:
    schema = platform_schema.whole(packages)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load((ROOT / file).read_text()))


def test_editors_find_a_misspelt_setting(packages: list[PackageView]) -> None:
    validator = jsonschema.Draft202012Validator(platform_schema.whole(packages))
    topics = {"orders": {"partitions": "many"}}
    assert not validator.is_valid({"services": [{"package": "kafka", "topics": topics}]})
    assert not validator.is_valid({"services": [{"package": "kafka", "options": {"broker": 3}}]})
