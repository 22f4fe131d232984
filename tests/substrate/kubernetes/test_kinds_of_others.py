"""Kinds of another release are told in words that say whose they are and what mends it."""

from upcall import __version__
from upcall.kubernetes.kinds_there import WATCHED, expected, in_words
from upcall.kubernetes.resources.kinds import release_of, released


def test_a_release_is_read_from_its_kinds() -> None:
    assert release_of(released()) == ".".join(__version__.split(".")[:3])
    assert [release_of(said) for said in ("7010003", "7", "", "seven")] == ["7.10.3", "", "", ""]


def test_nothing_is_said_of_ours_nor_of_kinds_that_were_left_out() -> None:
    assert in_words(expected()) == ""
    assert in_words({}) == ""


def test_newer_ones_are_told_with_the_image_that_knows_them() -> None:
    said = in_words(expected() | {WATCHED: "99001002"})
    assert f"those of upcall 99.1.2, and this control plane is upcall {__version__}" in said
    assert said.endswith("expected an image of upcall 99.1.2 or newer")
    assert "those of a newer upcall" in in_words(expected() | {"records.upcall.dev": "9"})
    assert "those of a newer upcall" in in_words(expected() | {WATCHED: "of another make"})


def test_older_ones_are_told_with_both_ways_to_apply_ours() -> None:
    said = in_words(expected() | {WATCHED: "1"})
    assert "those of an older upcall" in said
    assert "`upcall up --on kubernetes`" in said
    assert "`kubectl apply --server-side --force-conflicts -f chart/crds`" in said
