"""The entry point: finds the command, loads its file alone, runs it.

The table below is the whole first level. Its own words are the help, so ``upcall --help`` imports neither the command
line library nor any command. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from upcall.cli.exits import FAILED_EXIT, INTERRUPTED_EXIT, PIPE_EXIT, USAGE_EXIT, CannotPrint, ReaderGone, printed

if TYPE_CHECKING:
    import typer

LEFT_OUT: Final = "upcall.left_out"
"""Of a command line: a word of it that nobody typed."""

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("system", "Start the cluster on this machine, detached, and wait until it answers."),
    "down": ("down", "Shut the services down in order, then the cluster; data is kept."),
    "status": ("status", "Nodes, services, and what waits."),
    "top": ("top.command", "The cluster on one screen, as it changes; drain and undrain by key."),
    "open": ("opening", "Print the page's address with a one-use login code."),
    "doctor": ("doctor", "Where everything lies, what this machine has and lacks, and what to do."),
    "demo": ("demo.command", "The whole platform at work on this machine, watched until Ctrl-C."),
    "catalog": ("catalog", "Packages that can be installed: list, show, remove."),
    "new": ("new", "Write a service of your own: a folder that runs, with its tests."),
    "install": ("install", "Install a package or an own Python file."),
    "uninstall": ("install", "Remove a service; it is asked once, as a whole."),
    "update": ("update", "Change a running service: options, version; it is asked."),
    "upgrade": ("upgrade", "Bring a service to another version; before it is finalized it can go back."),
    "finalize": ("upgrade", "The point of no return of an upgrade."),
    "scale": ("update", "More members of a service or fewer, or let it scale itself."),
    "window": ("schedule", "When the system may act by itself on a service: maintenance windows."),
    "schedule": ("schedule", "What is done again and again of services: list."),
    "rollback": ("update", "Go back to an earlier revision of a service."),
    "backup": ("backup", "Back a service up: `backup [make] SERVICE --to`; list, show, verify, remove."),
    "restore": ("backup", "Bring a backup back, into its service or a new one."),
    "apply": ("apply", "Make the platform what a file says (-f): only what differs is changed."),
    "export": ("export", "Write a platform file from what runs."),
    "explain": ("explain", "Why a service's options are what they are: you, a goal, the machine, or a default."),
    "config": ("config", "Options of a service: show, diff."),
    "service": ("service", "Services: list, show, history, rebalance; do, actions, action: what one is asked."),
    "plan": ("plan", "Plans of a service: show, pause, resume, force, restart."),
    "endpoints": ("service", "What clients may connect to; of one service, how they do."),
    "connect": ("clients", "Open the shell of a service's system, logged in."),
    "node": ("node", "Nodes: list, add, remove, drain, undrain."),
    "task": ("task", "Members and their tasks: list, show, start, stop, restart, replace."),
    "volume": ("volume", "Volumes that members have left: list, take-back, drop."),
    "logs": ("logs", "Output of a member, of a service, of several; -f follows it."),
    "events": ("events", "What happened, and who asked whom; -f follows it."),
    "alerts": ("alerts", "Tell people where they are what they must know: add, list, test, remove."),
    "why": ("why", "Who waits for whom, since when and why."),
    "operation": ("why", "Operations: list, force, cancel, pause, resume, assume-dead."),
    "fetch": ("fetch", "Download what packages run, so that they start with no network."),
    "cache": ("cache", "What was fetched and made for all clusters: size, clean."),
    "image": ("image", "Packages as images for a cluster that runs containers: build."),
    "bundle": ("bundle", "Images for where no network reaches: `bundle [make] PACKAGE --to`; verify, push."),
    "secret": ("secret", "Secrets that services refer to: set, list, remove, grant, revoke."),
    "access": ("access", "Who may call the API: list, grant, revoke."),
    "completion": ("completion", "Script that completes commands, for bash, zsh or fish."),
    "version": ("version", "Which release this is."),
}
"""Command -> (module in this package, one line of help), in the order of the help."""

WORDS: Final = {name: words for name, (_, words) in COMMANDS.items()}

NOUNS: Final = frozenset(
    {
        "backup",
        "catalog",
        "config",
        "service",
        "plan",
        "node",
        "task",
        "volume",
        "operation",
        "schedule",
        "cache",
        "image",
        "bundle",
        "secret",
        "access",
        "alerts",
    }
)
"""Commands with commands of their own."""


OF_SERVICES: Final = "Services bring commands of their own: `upcall SERVICE --help` lists them while the cluster is up."
DATA: Final = "  --data FOLDER         Data folder of the cluster (UPCALL_DATA; default ~/.local/share/upcall)."


def help_text(program: str = "upcall", commands: Mapping[str, str] = WORDS, where: str = DATA) -> str:
    """The help of the first level. ``where``: how it is said which cluster is meant."""
    width = max(map(len, commands))
    lines = [
        f"Usage: {program} COMMAND [ARGUMENTS]",
        "",
        "  A datacenter operating system for data services that operate themselves.",
        "",
        "Commands:",
        *(f"  {name:<{width}}  {words}" for name, words in commands.items()),
        "",
        *([OF_SERVICES, ""] if commands is WORDS else ()),
        "Everywhere:",
        where,
        "  --output FORM         table for people (the default), json or yaml for programs.",
        "  --help, -h            Of each command: its arguments and options.",
        "",
        "What is long is folded to a terminal's width; in a file or a pipe each record is one line.",
    ]
    return "\n".join(lines)


def markup() -> Literal["rich"] | None:
    """How helps look: boxes are for a terminal."""
    return "rich" if sys.stdout is not None and sys.stdout.isatty() else None


def first_level() -> "typer.Typer":
    """Without any command."""
    import typer

    app = typer.Typer(
        name="upcall",
        help="A datacenter operating system.",
        no_args_is_help=True,
        rich_markup_mode=markup(),
        context_settings={"help_option_names": ["--help", "-h"]},  # of all commands below it
    )

    @app.callback()
    def level() -> None:
        pass  # its presence keeps a single command from taking the place of the first level

    return app


def application(*names: str) -> "typer.Typer":
    """The command line with these commands loaded (all of them when none is named)."""
    from importlib import import_module

    import typer

    app = first_level()
    for name in names or COMMANDS:
        module, words = COMMANDS[name]
        commands: typer.Typer = import_module(f"upcall.cli.{module}").APPS[name]
        if name in NOUNS:
            app.add_typer(commands, name=name, help=words)
        else:
            app.registered_commands.extend(commands.registered_commands)
    return app


def run(argv: list[str] | None = None, loaded: Callable[[], None] = lambda: None, program: str = "upcall") -> int:
    """Run one command; the exit code is returned (and is the process's, by the console script). ``loaded`` is called
    when all that the command needs is imported, before it does anything. ``program``: as which it was called."""
    return streaming(lambda: _run(argv, loaded, program))


def streaming(work: Callable[[], int]) -> int:
    """Its exit code, whatever becomes of the streams that it prints to."""
    _stand_in_for_streams()
    try:
        code = work()
        with printed():
            sys.stdout.flush()  # While it is still ours to say what that means.
        return code
    except (ReaderGone, BrokenPipeError):
        _print_nowhere()
        return PIPE_EXIT
    except CannotPrint as error:
        _print_nowhere()
        print(f"error: what was asked for cannot be printed: {error}", file=sys.stderr)
        return FAILED_EXIT


def _stand_in_for_streams() -> None:
    """A caller may have closed one of the three (``>&-``): then it is nowhere, and no file of ours gets its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _print_nowhere() -> None:
    """What is still buffered must not fail at exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: list[str] | None, loaded: Callable[[], None], program: str) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    completing = "_UPCALL_COMPLETE" in os.environ
    if not completing and (not arguments or arguments[0] in ("--help", "-h", "help")):
        with printed():
            print(help_text())
        return 0 if arguments else USAGE_EXIT
    if not completing and (arguments[0] == "--version" or arguments == ["version"]):
        from upcall import __version__

        print(f"upcall {__version__}")
        return 0
    arguments = _shared_options_last(arguments)
    if not completing and (broken := [word for word in arguments if not _is_text(word)]):
        print(f"upcall: {broken[0]!r} is no text (UTF-8 is expected)", file=sys.stderr)
        return USAGE_EXIT
    if not completing and arguments[0] not in COMMANDS:
        from upcall.cli import own_commands

        return own_commands.run(arguments, loaded, program)
    return invoked(_completed() if completing else application(arguments[0]), arguments, loaded, program)


def _completed() -> "typer.Typer":
    """All that can be typed: our own commands, and those of the services that run."""
    from upcall.cli import own_commands
    from upcall.cli.session import Session

    app = application()
    for name, commands, words in own_commands.all_of(Session()):
        app.add_typer(commands, name=name, help=words)
    return app


def invoked(app: "typer.Typer", arguments: list[str], loaded: Callable[[], None], program: str) -> int:
    """Its exit code; a wrong command line is said as every other error."""
    try:
        loaded()
        code = app(args=arguments, prog_name=program, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1 if done.code else 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_EXIT
    except Exception as wrong:
        if not hasattr(wrong, "format_message"):
            raise
        _say_usage(wrong, arguments)
        return USAGE_EXIT


def _say_usage(wrong: Any, arguments: list[str]) -> None:
    """A wrong command line (typer's own error), as every other error is said: for a person or for a program."""
    from upcall.cli.output import Output
    from upcall.protocol.decoder_words import of_validator
    from upcall.protocol.errors import Problem

    context = wrong.ctx
    path = named = context.command_path if context is not None else "upcall"
    if context is not None and (word := context.meta.get(LEFT_OUT)):
        named = path.removesuffix(f" {word}")  # Where it went wrong is what was typed.
    if type(wrong).__name__ == "NoArgsIsHelpError":
        if not as_json(arguments):
            print(context.get_help(), file=sys.stderr)
            return
        message = "a command or an argument is missing"
    else:
        message = str(wrong.format_message())
    problem = Problem(code="usage", message=message, where=named, expected=f"`{path} --help` says what")
    judged = getattr(wrong.__cause__, "errors", None)  # pydantic's, of one value
    if judged is not None:
        said, option = of_validator(judged(include_url=False)[0]), _named(wrong.param)
        right = f"{said.expected}; `{path} --help` says what" if said.expected else problem.expected
        problem = Problem(code="usage", message=said.message, where=f"{named} {option}", expected=right)
    Output(as_json=as_json(arguments), as_yaml=as_yaml(arguments)).problem(problem)


def _named(parameter: Any) -> str:
    """As a person types it: the longest of its names."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name.upper())


def as_json(arguments: list[str]) -> bool:
    """Whether a program reads the answer, as far as a command line that is wrong tells it."""
    return _asks_for("json", arguments) or as_yaml(arguments)


def as_yaml(arguments: list[str]) -> bool:
    return _asks_for("yaml", arguments)


def _asks_for(form: str, arguments: list[str]) -> bool:
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    words = (one for pair in pairs for one in ("=".join(pair), pair[0]))
    return any(word in (f"--output={form}", f"-o={form}", f"-o{form}") for word in words)


def _shared_options_last(arguments: list[str]) -> list[str]:
    """``upcall --data x status`` is ``upcall status --data x``: the shared options belong to each command."""
    first: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith(("--data", "--output", "-o")):
        first.append(rest.pop(0))
        if "=" not in first[-1] and rest:
            first.append(rest.pop(0))
    return [*rest, *first] if rest else arguments


def _is_text(word: str) -> bool:
    """Bytes that are none arrive as halves of characters, which nothing could be asked with."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


def say_unknown(arguments: list[str], commands: Iterable[str], program: str) -> None:
    from difflib import get_close_matches

    word = arguments[0]
    near = get_close_matches(word, commands, n=1)
    hint = f"did you mean `{program} {near[0]}`?" if near else f"`{program} --help` lists the commands"
    if as_json(arguments):
        from upcall.cli.output import Output
        from upcall.protocol.errors import Problem

        Output(as_json=True, as_yaml=as_yaml(arguments)).problem(
            Problem(code="usage", message=f"no command {word!r}", where=program, expected=hint)
        )
        return
    print(f"{program}: no command {word!r}; {hint}", file=sys.stderr)
