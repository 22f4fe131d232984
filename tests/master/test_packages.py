import pytest

from upcall.master.packages import Packages, check_options
from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.service import Package

SCHEMA = {
    "type": "object",
    "properties": {
        "brokers": {"type": "integer", "minimum": 1, "maximum": 9},
        "mode": {"enum": ["fast", "safe"]},
        "voters": {
            "type": "integer",
            "minimum": 1,
            "maximum": 9,
            "not": {"const": 2},
            "description": "1, or 3 and more",
        },
    },
}


def package(version: str = "1.0") -> Package:
    return Package(name="log", version=version, options_schema=SCHEMA)


def test_newest_version_is_the_default() -> None:
    packages = Packages([package("1.9"), package("1.10"), package("1.2")])
    assert packages.find("log").version == "1.10"
    assert packages.find("log", "1.2").version == "1.2"


def test_a_version_of_odd_digits_is_found_like_any_other() -> None:
    """Superscripts are digits to ``str.isdigit``, and none to ``int``."""
    packages = Packages([package("1.\xb2"), package("1." + "9" * 5000), package("1.1")])
    assert packages.find("log", "1.\xb2").version == "1.\xb2"
    assert packages.find("log").version == "1.1"


def test_the_beginning_of_a_version_is_the_newest_that_begins_so() -> None:
    packages = Packages([package("4.1.1"), package("4.1.2"), package("4.10.0"), package("4.3.1")])
    assert packages.find("log", "4.1").version == "4.1.2"
    assert packages.find("log", "4").version == "4.10.0"
    with pytest.raises(NotFound, match=r"has no version '4.'.*one of 4.1.1, 4.1.2, 4.3.1, 4.10.0"):
        packages.find("log", "4.")


def test_unknown_package_names_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"no package 'lgo', did you mean 'log'\?"):
        Packages([package()]).find("lgo")


def test_unknown_version_lists_the_known() -> None:
    with pytest.raises(NotFound, match=r"has no version '2.0'.*expected 1.0 or 1.5"):
        Packages([package("1.0"), package("1.5")]).find("log", "2.0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"borkers": 3}, r"unknown option 'borkers' of package log, did you mean 'brokers'\?; at options.borkers"),
        ({"brokers": 0}, r"at options.brokers; expected a whole number from 1 to 9"),
        ({"brokers": "three"}, r"at options.brokers; expected a whole number from 1 to 9"),
        (
            {"voters": 2},
            r"2 is not allowed \(1, or 3 and more\); at options.voters; expected a whole number: 1 or 3 to 9",
        ),
        ({"voters": 10}, r"at options.voters; expected a whole number: 1 or 3 to 9"),
        ({"mode": "slow"}, r"at options.mode; expected fast or safe"),
    ],
)
def test_bad_option_says_where_and_what_would_be_right(options: dict[str, object], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_options(package(), options)


def test_good_options_pass() -> None:
    check_options(package(), {"brokers": 3, "mode": "safe"})


def test_registering_the_same_again_changes_nothing() -> None:
    packages = Packages()
    assert packages.put(package())
    assert not packages.put(package())
