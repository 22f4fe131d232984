"""``kubectl upcall``: the same commands, on the control plane of the context that kubectl uses.

kubectl runs ``kubectl-upcall`` of the search path and hands over what was typed, without a word about what it would
have meant itself. So its own words for which cluster (``--kubeconfig``, ``--context``, ``--namespace``, and
``KUBECONFIG``) are read here, as it reads them. Nothing has to be joined before: the data folder, which says by names
alone which cluster is meant, is this command's own, and gone with it. So of two at once none gets the other's cluster.

What concerns this machine, and putting a control plane there or taking it away, is ``upcall``'s alone.
"""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from upcall.cli import main
from upcall.cli.exits import FAILED_EXIT, USAGE_EXIT, printed

PROGRAM: Final = "kubectl upcall"
SHORT: Final = {
    "drain": (("node", "drain"), "Ask the services to leave a node: `node drain`."),
    "undrain": (("node", "undrain"), "What a drain held comes back: `node undrain`."),
}
"""As kubectl's own users type them."""
NOT_HERE: Final = {
    "up": "`upcall up --on kubernetes` puts a control plane into a cluster",
    "down": "`upcall down` takes it away, in the data folder of who put it there",
    "new": "`upcall new` writes a folder on this machine; `install` takes it",
    "connect": "addresses of pods are reached from within their cluster",
    "completion": "`upcall completion` is of `upcall`",
    "doctor": "`upcall doctor` is about this machine",
    "demo": "`upcall demo` is for this machine",
    "fetch": "`upcall fetch` is for this machine",
    "cache": "`upcall cache` is for this machine",
    "image": "`upcall image` makes images on this machine",
    "bundle": "`upcall bundle` makes images on this machine",
}
OFFERED: Final = {
    **{name: words for name, (_, words) in SHORT.items()},
    **{name: words for name, words in main.WORDS.items() if name not in NOT_HERE},
}
FLAGS: Final = {"--context": "context", "--namespace": "namespace", "-n": "namespace", "--kubeconfig": "kubeconfig"}
WHERE: Final = """\
  --context NAME        Of the kubeconfig; default: the current one.
  -n, --namespace NAME  Of the control plane; default: the context's, else upcall. (Lines of a log: --lines.)
  --kubeconfig FILE     Default: KUBECONFIG, else ~/.kube/config."""


class Unusable(Exception):
    """What was typed, in words."""


def run(argv: Sequence[str] | None = None, loaded: Callable[[], None] = lambda: None) -> int:
    return main.streaming(lambda: _run(sys.argv[1:] if argv is None else list(argv), loaded))


def _run(argv: list[str], loaded: Callable[[], None]) -> int:
    try:
        given, words = taken(argv)
        if not words or words[0] in ("--help", "-h", "help"):
            with printed():
                print(main.help_text(PROGRAM, OFFERED, WHERE))
            return 0 if words else USAGE_EXIT
        if words[0] in NOT_HERE:
            raise Unusable(f"{words[0]} is not here; {NOT_HERE[words[0]]}")
        if any(word.partition("=")[0] == "--data" for word in words):
            raise Unusable("--data is not here; --context and --namespace say which cluster")
    except Unusable as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return USAGE_EXIT
    if words[0] not in (*OFFERED, "--version"):
        main.say_unknown(words, OFFERED, PROGRAM)
        return USAGE_EXIT
    if words[0] != "version" and (words[0] in main.COMMANDS or words[0] in SHORT):
        if (said := _mean(given)) is not None:
            said(main.as_json(words))
            return FAILED_EXIT
        words = [*(SHORT[words[0]][0] if words[0] in SHORT else words[:1]), *words[1:]]
    return main.run(words, loaded, PROGRAM)


def taken(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What says which cluster, wherever it stands, and the rest. After ``--`` nothing is kubectl's."""
    given: dict[str, str] = {}
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return given, [*words, word, *rest]
        flag, equals, value = word.partition("=")
        if flag not in FLAGS:
            words.append(word)
            continue
        if not equals:
            if not rest:
                raise Unusable(f"{flag} names nothing; `{PROGRAM} --help` says what")
            value = rest.pop(0)
        given[FLAGS[flag]] = value
    return given, words


def _mean(given: dict[str, str]) -> Callable[[bool], None] | None:
    """From now on this process's cluster is the one that was named; else what says why not."""
    from upcall.cli import elsewhere
    from upcall.cli.output import Output
    from upcall.client.folder import folder_at
    from upcall.protocol.errors import UpcallError

    folder = folder_at(Path(tempfile.mkdtemp(prefix="upcall-kubectl-")))
    atexit.register(shutil.rmtree, folder.root, ignore_errors=True)
    try:
        there = elsewhere.on("kubernetes", folder)
        there.join(given.get("kubeconfig", ""), given.get("context", ""), given.get("namespace", ""))
    except UpcallError as error:
        problem = error.problem
        return lambda as_json: Output(as_json=as_json).problem(problem)
    os.environ["UPCALL_DATA"] = str(folder.root)
    return None
