"""How long ``up`` waits: for as long as one part after the other comes."""

from upcall.cli.coming_up import Coming, again


def test_each_part_that_comes_gives_it_its_time_anew() -> None:
    coming = Coming(1000.0)
    coming.look({"process master"}, 1200.0)
    assert coming.still_s(1250.0) == 50
    coming.look({"process master", "node node-1"}, 1400.0)
    assert coming.still_s(1650.0) == 250


def test_what_ends_and_is_started_again_is_no_progress() -> None:
    coming = Coming(0.0)
    for now_s in range(10, 300, 20):
        coming.look({"process master"}, now_s)
        coming.look(set(), now_s + 10)
    assert coming.still_s(300.0) == 290


def test_who_ends_again_and_again_is_named_with_how() -> None:
    process = {"name": "master", "restarts": 3, "last_exit": "code 1"}
    assert again([process]) == "; master ended with code 1, and is started again"
    assert again([{**process, "restarts": 0, "last_exit": ""}]) == ""
