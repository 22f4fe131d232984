"""``apply -f`` on a real cluster: checked whole, applied as often as one likes, taken back when it fails."""

import json
import signal
from pathlib import Path

import pytest
from real_cluster import WAIT_S, Cluster

from upcall.cli.session import Session
from upcall.cli.upload import upload

CLERK = Path(__file__).parent / "packages" / "clerk.py"
COMPOSITION = """\
services:
  - {package: clerk, options: {count: 2}}
actions:
  - {service: clerk, action: write, arguments: {text: hello}}
"""


@pytest.fixture(scope="module")
def clerks(cluster: Cluster) -> Cluster:
    upload(Session(cluster.data), CLERK)
    return cluster


def written(tmp_path: Path, text: str = COMPOSITION) -> str:
    path = tmp_path / "clerks.yaml"
    path.write_text(text)
    return str(path)


def nothing_left(cluster: Cluster) -> None:
    assert cluster.client.services() == []
    assert cluster.client.tasks() == []
    assert cluster.client.operations() == []


@pytest.mark.parametrize(
    ("was", "mistaken", "said"),
    [
        ("action: write", "action: wirte", "clerk (clerk) has no action 'wirte'"),
        ("text: hello", "txt: hello", "unknown argument 'txt' of write, did you mean 'text'?"),
        ("count: 2", "count: 7", "7 is greater than the maximum of 3"),
        ("options: {count: 2}", "bindings: {store: x}", "clerk has no need 'store'"),
    ],
)
def test_a_mistake_is_found_before_anything_is_begun(
    clerks: Cluster, tmp_path: Path, was: str, mistaken: str, said: str
) -> None:
    assert said in clerks.refused("apply", "-f", written(tmp_path, COMPOSITION.replace(was, mistaken)))
    wanted = [event for event in clerks.client.events(limit=500) if "wanted by" in event.text]
    assert wanted == []
    nothing_left(clerks)


def test_an_action_that_fails_takes_back_what_was_begun(clerks: Cluster, tmp_path: Path) -> None:
    refused = clerks.refused("apply", "-f", written(tmp_path, COMPOSITION.replace("hello", "nonsense")))
    assert "this cannot be written down" in refused
    assert "clerk is taken away again" in refused
    nothing_left(clerks)


def test_an_interrupt_says_what_goes_on_and_which_actions_were_not_run(clerks: Cluster, tmp_path: Path) -> None:
    process = clerks.begin("apply", "-f", written(tmp_path))
    clerks.until("its members are being started", lambda: clerks.client.tasks())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT_S)
    if process.returncode == 130 and "taken away again" in errors:  # it had not heard yet that it is installed
        nothing_left(clerks)
        return
    assert process.returncode == 130, errors
    assert "clerk: what is begun goes on" in errors
    assert "actions not run: clerk write" in errors
    clerks.until("it goes on to its end", lambda: clerks.client.service("clerk").state == "running")
    clerks.upcall("uninstall", "clerk")


def test_it_can_be_applied_again_also_after_down_and_up(clerks: Cluster, tmp_path: Path) -> None:
    """Once more, the plan is done from a life before, and the members come up anew: the action waits for them, and so
    does the look at what the service holds. A dry run waits for nobody."""
    file = written(tmp_path, COMPOSITION.replace("{count: 2}}", "{count: 2}, letters: {one: {text: hello}}}"))
    for _ in range(2):
        assert "clerk: write done" in clerks.upcall("apply", "-f", file).stderr
    before = {task.member: task.incarnation for task in clerks.client.tasks()}
    clerks.down()
    clerks.up()
    dry = clerks.upcall("apply", "--dry-run", "-f", file).stdout
    assert "letters" in dry if "cannot be seen now" in dry else "nothing differs" in dry
    said = clerks.upcall("apply", "-f", file)
    assert "clerk: write done" in said.stderr
    assert "clerk: as the file says" in said.stdout
    after = {task.member: task.incarnation for task in clerks.client.tasks()}
    assert {name: number - 1 for name, number in after.items()} == before
    clerks.upcall("uninstall", "clerk")
    nothing_left(clerks)


def test_a_platform_is_changed_where_its_file_differs_and_exported_as_it_stands(
    clerks: Cluster, tmp_path: Path
) -> None:
    platform = """\
name: office
services:
  - package: clerk
    letters:
      one: {text: hello}
      two: {text: bye}
  - {package: clerk, name: second, options: {count: 1}}
"""
    file = written(tmp_path, platform)
    assert "clerk: installed, letters one made, letters two made" in clerks.upcall("apply", "-f", file).stdout
    assert "clerk, second: as the file says" in clerks.upcall("apply", "-f", file).stdout
    out = tmp_path / "exported.yaml"
    clerks.upcall("export", "--name", "office", "--to", str(out))
    assert "clerk, second: as the file says" in clerks.upcall("apply", "-f", str(out)).stdout
    more = platform.replace("{text: hello}", "{text: hi}").replace("      two: {text: bye}\n", "")
    more = more.partition("  - {package: clerk, name: second")[0].replace(
        "    letters:", "    options: {count: 3}\n    letters:"
    )
    file = written(tmp_path, more)
    shown = clerks.upcall("apply", "--dry-run", "-f", file).stdout
    assert all(words in shown for words in ("2 -> 3", "desk-2", "comes", "hello -> hi", "two", "the service"))
    assert len(clerks.client.service("clerk").members) == 2, "nothing was changed"
    done = clerks.upcall("apply", "--prune", "-f", file).stdout
    assert "clerk: changed, letters one changed, letters two dropped; second: uninstalled" in done
    assert len(clerks.client.service("clerk").members) == 3
    letters = clerks.upcall("service", "do", "clerk", "letters", "--output", "json").stdout
    assert json.loads(letters) == [{"name": "one", "text": "hi"}]
    clerks.upcall("uninstall", "clerk")
    nothing_left(clerks)


def test_a_file_of_ones_own_is_named_in_it_and_an_edit_of_it_is_an_update(clerks: Cluster, tmp_path: Path) -> None:
    own = tmp_path / "own_clerk.py"
    own.write_text(CLERK.read_text().replace("class Clerk", "class OwnClerk"))
    file = written(tmp_path, "services:\n  - {package: ./own_clerk.py, options: {count: 1}}\n")
    dry = clerks.upcall("apply", "--dry-run", "-f", file)
    assert "own-clerk" in dry.stdout
    assert "own-clerk" not in {package.name for package in clerks.client.packages()}, "nothing is left of a dry run"
    assert "own-clerk: installed" in clerks.upcall("apply", "-f", file).stdout
    assert "own-clerk: as the file says" in clerks.upcall("apply", "-f", file).stdout
    first = clerks.client.service("own-clerk").version
    own.write_text(own.read_text() + "\n# edited\n")
    assert "own-clerk: changed" in clerks.upcall("apply", "-f", file).stdout
    assert clerks.client.service("own-clerk").version.startswith(f"{first}+")
    clerks.upcall("uninstall", "own-clerk")
    said = clerks.refused("apply", "-f", written(tmp_path, "services:\n  - {package: ./clark.py}\n"))
    assert "there is no file or folder ./clark.py" in said
    assert "clerks.yaml line 2" in said
    nothing_left(clerks)
