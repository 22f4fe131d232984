"""``kubectl upcall``: which cluster is meant is said by kubectl's own words, and what is typed wrongly is said."""

import json
import os
import tempfile
from pathlib import Path

import pytest

from upcall.cli import kubectl
from upcall.cli.kubectl import Unusable, run, taken
from upcall.kubernetes.settings import FILE

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: there, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: me, user: {token: t}}]
contexts:
  - {name: here, context: {cluster: there, user: me}}
  - {name: spaced, context: {cluster: there, user: me, namespace: data}}
"""


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("UPCALL_DATA", str(tmp_path / "of-this-machine"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return path


@pytest.mark.parametrize(
    ("typed", "given", "rest"),
    [
        ("why", {}, "why"),
        ("why op-3 --context prod -n data", {"context": "prod", "namespace": "data"}, "why op-3"),
        ("--namespace=data status -o json", {"namespace": "data"}, "status -o json"),
        ("status --kubeconfig=/a/b", {"kubeconfig": "/a/b"}, "status"),
        ("service action x -- --context not-ours", {}, "service action x -- --context not-ours"),
    ],
)
def test_what_says_which_cluster_may_stand_anywhere(typed: str, given: dict[str, str], rest: str) -> None:
    assert taken(typed.split()) == (given, rest.split())


def test_a_flag_that_names_nothing_is_refused() -> None:
    with pytest.raises(Unusable, match="--context names nothing"):
        taken(["why", "--context"])


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("why -n", 2, "kubectl upcall: -n names nothing"),
        ("up --image i", 2, "up is not here; `upcall up --on kubernetes` puts a control plane into a cluster"),
        ("status --data /x", 2, "--data is not here; --context and --namespace say which cluster"),
        ("drian node-1", 2, "no command 'drian'; did you mean `kubectl upcall drain`?"),
        ("status --context gone", 1, "there is no context gone; there are: here, spaced"),
        ("status", 1, "127.0.0.1:9 does not answer"),
        ("drain", 2, "where: kubectl upcall node drain expected"),
    ],
)
def test_what_is_wrong_is_said(typed: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(typed.split()) == code
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_program_reads_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--context", "gone", "-o", "json"]) == 1
    assert "there is no context gone" in json.loads(capsys.readouterr().err)["error"]["message"]


@pytest.mark.parametrize(
    ("typed", "context", "namespace"),
    [
        ("status", "here", "upcall"),
        ("status --context spaced", "spaced", "data"),
        ("status --context spaced -n other", "spaced", "other"),
    ],
)
def test_the_namespace_is_the_contexts_own_unless_one_is_named(typed: str, context: str, namespace: str) -> None:
    run(typed.split())
    known = json.loads((Path(os.environ["UPCALL_DATA"]) / FILE).read_text())
    assert (known["context"], known["namespace"]) == (context, namespace)


def test_the_help_names_what_is_there_and_how_a_cluster_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    assert "Usage: kubectl upcall COMMAND" in said
    assert "  drain " in said
    assert "--context NAME" in said
    assert not [name for name in kubectl.NOT_HERE if f"\n  {name} " in said]
    assert run([]) == 2
