"""Commands that a package brings with it: ``upcall queue topic create orders --partitions 6``.

The first word is a service, or a package of which there is one service. Which commands there are, what they take and
their help come with the package (:mod:`upcall.service.commands`) and from the schemas of its actions: nothing of any
package stands here. A package that names no commands has one for each action.
"""

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from upcall.cli import bringing, main, schema_options
from upcall.cli import logs as log_commands
from upcall.cli.action import begin, finished, run_action, show_result
from upcall.cli.asking import Yes, confirm
from upcall.cli.exits import USAGE_EXIT
from upcall.cli.patience import USUAL, Patience, patience_of
from upcall.cli.session import Form, Session, command, commands
from upcall.cli.values import FILE_BYTES_MAX
from upcall.client import paths
from upcall.client.blocking import Unreachable
from upcall.protocol.errors import Conflict, Invalid, NotFound, UpcallError
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.operator import ActionView, ServiceView

NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LINES_MAX: Final = 10_000
"""Of standard input: what is more is no longer typed or tried, and wants a client."""
QUICK_S: Final = 60.0
"""What takes longer may be left to itself (``--no-wait``)."""

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")]
Lines = Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="From the end.")]
All = Annotated[bool, typer.Option("--all", help="What its system logs, too.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")]


def run(arguments: list[str], loaded: Callable[[], None], program: str) -> int:
    """A command line whose first word is no command of ours."""
    word = arguments[0]
    if not NAME.fullmatch(word):
        main.say_unknown(arguments, main.COMMANDS, program)
        return USAGE_EXIT
    form: Form = "yaml" if main.as_yaml(arguments) else "json" if main.as_json(arguments) else "table"
    session = Session(_folder_in(arguments), form)
    try:
        service = _service_of(session, word)
    except _Unknown as unknown:
        main.say_unknown(arguments, (*main.COMMANDS, *unknown.services), program)
        return USAGE_EXIT
    except UpcallError as error:
        session.out.problem(error.problem)
        return 1
    app = main.first_level()
    app.add_typer(application(service), name=word, help=_words(service))
    return main.invoked(app, arguments, loaded, program)


def all_of(session: Session) -> list[tuple[str, typer.Typer, str]]:
    """Of all services that run, for completion: names, commands and helps; none where nobody can be asked."""
    try:
        session.client.patience_s = 0.0
        services = session.client.services()
    except UpcallError:
        return []
    return [(one.name, application(one), _words(one)) for one in services if one.name not in main.COMMANDS]


class _Unknown(Exception):
    def __init__(self, services: Sequence[str] = ()) -> None:
        super().__init__()
        self.services = services


def _service_of(session: Session, word: str) -> ServiceView:
    from difflib import get_close_matches

    typed_wrong = bool(get_close_matches(word, main.COMMANDS, n=1))
    try:
        services = session.client.services()
    except NotFound:
        raise _Unknown from None  # There is no cluster, so no service that could be meant.
    except Unreachable:
        if typed_wrong:
            raise _Unknown from None
        raise Conflict(
            f"no command {word!r} of upcall itself; a service's commands are known while its cluster is up",
            where=str(session.folder.root),
            expected="`upcall up`, or a command of `upcall --help`",
        ) from None
    named = [one for one in services if one.name == word] or [one for one in services if one.package == word]
    if len(named) == 1:
        return named[0]
    if named:
        raise Invalid(
            f"{word} is the package of {len(named)} services",
            where=word,
            expected=choice([f"`upcall {one.name} ...`" for one in named], ""),
        )
    if any(one.name == word for one in session.client.packages()):
        raise NotFound(f"there is no service of {word} here", where=word, expected=f"`upcall install {word}` first")
    raise _Unknown([one.name for one in services])


def _folder_in(arguments: Sequence[str]) -> Path | None:
    """Which cluster, before the command is known that will read it."""
    for at, one in enumerate(arguments):
        if one.startswith("--data="):
            return Path(one.partition("=")[2])
        if one == "--data" and at + 1 < len(arguments):
            return Path(arguments[at + 1])
    return None


def _words(service: ServiceView) -> str:
    return f"Commands of {service.name} ({service.package} {service.version})."


# -- the tree ---------------------------------------------------------------------------------------------------------


def application(service: ServiceView) -> typer.Typer:
    """All commands of a service, below nouns where their words say so."""
    actions = {str(one["name"]): one for one in service.actions}
    specs = service.commands or [{"words": name, "action": name} for name in sorted(actions)]
    app = _noun(_words(service))
    nouns: dict[str, typer.Typer] = {"": app}
    verbs: dict[str, list[str]] = {}
    for one in specs:
        noun, _, verb = str(one["words"]).rpartition(" ")
        verbs.setdefault(noun, []).append(verb)
    for one in specs:
        noun, _, verb = str(one["words"]).rpartition(" ")
        above = ""
        for word in noun.split():
            path = f"{above} {word}".strip()
            if path not in nouns:
                nouns[path] = _noun(f"{word.capitalize()}: {', '.join(verbs.get(path, ()))}.")
                nouns[above].add_typer(nouns[path], name=word)
            above = path
        made = _of_log(service, one) if one.get("member") else _of_action(service, one, actions[str(one["action"])])
        command(nouns[noun], verb)(made)
    return app


def _noun(words: str) -> typer.Typer:
    app = commands(words)

    @app.callback(help=words)
    def level() -> None:
        pass  # its presence keeps a single command from taking the place of the noun

    return app


def _function(run: Callable[..., None], parameters: Sequence[inspect.Parameter], words: str) -> Callable[..., None]:
    """``run`` with the parameters that typer is to see."""

    def called(session: Session, **given: Any) -> None:
        run(session, given)

    first = inspect.Parameter("session", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Session)
    called.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
    called.__doc__ = words
    return called


def _of_brought(spec: Mapping[str, Any]) -> inspect.Parameter:
    """An option that may be repeated: paths, or names in a registry."""
    words = "GROUP:ARTIFACT:VERSION" if spec["how"] == "jars" else "FILE"
    told = typer.Option(f"--{spec['option']}", metavar=words, help=f"{spec.get('about', '')}; may be repeated")
    annotated: Any = Annotated
    return _own(schema_options.BEGIN + str(spec["argument"]), annotated[list[str] | None, told], None)


def _own(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


# -- an action --------------------------------------------------------------------------------------------------------


def _of_action(service: ServiceView, spec: Mapping[str, Any], action: Mapping[str, Any]) -> Callable[..., None]:
    schema: dict[str, Any] = action.get("arguments", {})
    where = f"{service.name} {spec['words']}"
    files = [one for one in (spec.get("reads", ""),) if one]
    elsewhere = [one for one in (spec.get("named_after_it", ""), spec.get("lines", "")) if one]
    brings: Sequence[Mapping[str, Any]] = spec.get("brings", ())
    brought = {str(one["argument"]): one for one in brings}
    placed = [name for name in brought if name in spec.get("takes", ())]
    hidden = {*spec.get("given", {}), *(set(brought) - set(placed)), *([bringing.BUNDLE] if brought else [])}
    told = {name: {**schema["properties"][name], "description": brought[name].get("about", "")} for name in placed}
    shown = {
        **schema,
        "properties": {**schema.get("properties", {}), **told},
        "required": [*schema.get("required", ()), *placed],
    }
    parameters = schema_options.parameters(shown, spec.get("takes", ()), [*files, *placed], hidden, elsewhere)
    parameters += [_of_brought(one) for name, one in brought.items() if name not in placed]
    takes_long = float(action.get("timeout_s", QUICK_S)) > QUICK_S
    if takes_long:
        parameters.append(_own("no_wait", NoWait, False))
    if spec.get("loses"):
        parameters.append(_own("yes", Yes, False))
    parameters.append(_own("patience", Patience, USUAL))

    def run(session: Session, given: dict[str, Any]) -> None:
        no_wait, yes = given.pop("no_wait", False), given.pop("yes", False)
        patience_s = patience_of(given.pop("patience"))
        mine = {name: given.pop(schema_options.BEGIN + name) for name in brought}
        arguments = {**schema_options.values(given, schema, where, files), **spec.get("given", {})}
        _fill(
            session, spec, arguments, {**given, **{schema_options.BEGIN + name: mine[name] for name in placed}}, where
        )
        arguments |= bringing.brought(session, service, brings, mine, where)
        if lost := spec.get("loses"):
            names = [str(arguments[one]) for one in spec.get("takes", ())]
            _must_be_known(session, service, str(action["name"]), names)
            confirm(session, f"{' '.join((where, *names))}: {lost} is gone for good", where, yes=yes)
        begun = begin(session, service.name, str(action["name"]), arguments, patience_s=patience_s)
        if no_wait:
            said = f"{where} has begun; `upcall service action {begun.id}` says how far it is"
            session.out.say(begun, said)
            return
        _show(session, finished(session, begun), str(spec.get("prints", "")))

    words = str(spec.get("about", "") or action.get("description", "")) or f"The action {action['name']}."
    return _function(run, parameters, words)


def _fill(
    session: Session, spec: Mapping[str, Any], arguments: dict[str, Any], given: Mapping[str, Any], where: str
) -> None:
    """What nobody gave and the command line has elsewhere: the file's name, the lines of standard input."""
    if (name := spec.get("named_after_it")) and name not in arguments:
        of = spec.get("reads") or next(str(one["argument"]) for one in spec["brings"] if one["how"] == "program")
        stem = bringing.stem_of(Path(str(given[schema_options.BEGIN + of])))
        arguments[name] = "-".join(re.findall(r"[a-z0-9]+", stem.lower()))
    if (name := spec.get("lines")) and name not in arguments:
        arguments[name] = _lines(session, where)


def _lines(session: Session, where: str) -> list[str]:
    """Of standard input, whole."""
    if sys.stdin.isatty():
        session.out.note("one a line; Ctrl-D ends")
    found: list[str] = []
    characters = 0
    for line in sys.stdin:
        found.append(line.rstrip("\n"))
        characters += len(line)
        if len(found) > LINES_MAX or characters > FILE_BYTES_MAX:
            raise Invalid(
                "standard input holds more than is taken at once",
                where=where,
                expected=f"at most {LINES_MAX} lines and {FILE_BYTES_MAX} characters; nothing was done",
            )
    return found


def _must_be_known(session: Session, service: ServiceView, action: str, names: Sequence[str]) -> None:
    """Of what a service holds that people name one by one: the name is one of those, before anybody is asked."""
    package = next(
        (one for one in session.client.packages() if (one.name, one.version) == (service.package, service.version)),
        None,
    )
    for kind in package.contents if package else ():
        if kind["drop"] == action:
            there = run_action(session, service.name, str(kind["show"]), kind.get("show_with", {}))
            known = sorted(str(one[kind["key"]]) for one in there)
            for name in names[:1]:
                if name not in known:
                    raise NotFound(
                        f"{service.name} has no {kind['key']} {name!r}{nearest(name, known)}",
                        where=service.name,
                        expected=choice(known, "one that is there"),
                    )


def _show(session: Session, found: ActionView, prints: str) -> None:
    rows = found.result
    if not prints or session.out.as_json or not isinstance(rows, list):
        show_result(session, found)
        return
    for row in rows:
        session.out.output(str(row.get(prints, "")))


# -- a log ------------------------------------------------------------------------------------------------------------


def _of_log(service: ServiceView, spec: Mapping[str, Any]) -> Callable[..., None]:
    takes: Sequence[str] = spec.get("takes", ())
    schema = {"properties": {one: {"type": "string"} for one in takes}, "required": list(takes)}
    parameters = schema_options.parameters(schema, takes)
    parameters += [_own("follow", Follow, False), _own("lines", Lines, 100)]
    own = spec.get("stream", "both")
    if own != "both":
        parameters.append(_own("all_of_it", All, False))

    def run(session: Session, given: dict[str, Any]) -> None:
        follow, lines = given.pop("follow"), given.pop("lines")
        stream = "both" if given.pop("all_of_it", False) else own
        names = {name.removeprefix(schema_options.BEGIN): value for name, value in given.items()}
        member = str(spec["member"]).format_map(names)
        _must_be_there(session, service, str(spec["member"]), member)
        log_commands.logs(session, [f"{service.name}.{member}"], follow=follow, lines=lines, stream=stream)

    return _function(run, parameters, str(spec.get("about", "")) or "Output of a member.")


def _must_be_there(session: Session, service: ServiceView, pattern: str, member: str) -> None:
    """One that has left has a log too, for a while; of those that are there, all are named."""
    if any(one.name == member for one in service.members):
        return
    try:
        session.client.get(paths.of("tasks", f"{service.name}.{member}"))
    except NotFound:
        begin_, _, _ = pattern.partition("{")
        there = [one.name.removeprefix(begin_) for one in service.members if one.name.startswith(begin_)]
        raise NotFound(
            f"{service.name} has none that is called {member.removeprefix(begin_)!r}",
            where=service.name,
            expected=choice(there, "one that is there"),
        ) from None
