"""What every command shares: the data folder, the form of the output, and how an error ends it.

A command is a plain function whose first parameter is :class:`Here`. :func:`command` gives it ``--data`` and
``--output``, and turns what it raises into words and an exit code, so that no command does so itself.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from upcall.cli import keeping
from upcall.cli.exits import INTERRUPTED_EXIT
from upcall.cli.main import LEFT_OUT, markup
from upcall.cli.output import Output
from upcall.cli.typed import as_typed
from upcall.client.blocking import KEPT_PATIENCE_S, Client
from upcall.client.folder import cluster_of, folder_at
from upcall.cluster.control_plane import Reached
from upcall.protocol.errors import UpcallError
from upcall.protocol.operator import refusal

Form = Literal["table", "json", "yaml"]

_DATA = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FOLDER", envvar="UPCALL_DATA", help="Data folder of the cluster.", show_default=False
    ),
]
_OUTPUT = Annotated[Form, typer.Option("--output", "-o", help="For people, or for programs.")]


class Session:
    """Where a command runs: which cluster, and how it speaks."""

    def __init__(self, folder: Path | None = None, form: Form = "table") -> None:
        self.folder = folder_at(folder)
        self.out = Output(as_json=form == "json", as_yaml=form == "yaml")

    @property
    def control_plane(self) -> str:
        """Where its master runs, if that is not this machine."""
        try:
            known = self.folder.cluster_file.exists()
        except OSError:
            return ""  # Whose it is, and what would be right, is said by whoever needs it.
        return cluster_of(self.folder).control_plane if known else ""

    @functools.cached_property
    def reached(self) -> Reached:
        """Of a master that runs elsewhere."""
        from upcall.cli import elsewhere

        return elsewhere.on(self.control_plane, self.folder).reach()

    @functools.cached_property
    def client(self) -> Client:
        if self.control_plane:
            there = self.reached
            return Client(there.master, there.tokens["operator"], root=self.folder.root)
        client = Client.of(self.folder)
        client.gone = lambda: keeping.gone(self.folder)
        client.patience_s = KEPT_PATIENCE_S
        client.waits = lambda words: self.out.note(f"{words}; it is kept, and waited for")
        return client

    def as_renewed(self) -> None:
        """Its tokens may be others from now on: they are read anew."""
        self.__dict__.pop("client", None)


class Makes(TyperGroup):
    """``upcall backup SERVICE`` makes one: the usual word may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first and first not in self.commands and first not in ctx.help_option_names:
            args = ["make", *args]
            ctx.meta[LEFT_OUT] = "make"
        return list(super().parse_args(ctx, args))


def commands(help: str = "", *, group: type[TyperGroup] | None = None) -> typer.Typer:
    """A file's commands: a noun with its own, or the one command of a verb."""
    return typer.Typer(
        cls=group,
        help=help,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=markup(),
    )


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function ``(session, ...)`` as a command with the shared options."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        shared = [
            inspect.Parameter("data_folder", inspect.Parameter.KEYWORD_ONLY, annotation=_DATA, default=None),
            inspect.Parameter("output_form", inspect.Parameter.KEYWORD_ONLY, annotation=_OUTPUT, default="table"),
        ]

        @functools.wraps(function)
        def wrapper(**arguments: Any) -> None:
            session = Session(arguments.pop("data_folder"), arguments.pop("output_form"))
            run_within(session, lambda: function(session, **arguments), own)

        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *shared)]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {one.name: one.annotation for one in parameters}
        # The list of a noun's commands has whole sentences: what is cut off says little, or the wrong thing.
        sentence, _, _ = " ".join((function.__doc__ or "").split()).partition(". ")
        app.command(name, short_help=sentence.rstrip(".") + ".", **options)(wrapper)
        return function

    return register


def run_within(session: Session, action: Callable[[], None], parameters: Iterable[inspect.Parameter] = ()) -> None:
    """Run it; an error becomes words on standard error and exit code 1, Ctrl-C 130. ``parameters``: what was typed."""
    try:
        action()
    except UpcallError as error:
        session.out.problem(as_typed(error.problem, parameters))
        raise typer.Exit(1) from None
    except ValidationError as error:
        # A request that could not even be made: the words are those of the API, which would refuse it too.
        session.out.problem(as_typed(refusal(error.errors(include_url=False)).problem, parameters))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        session.out.note("interrupted")
        raise typer.Exit(INTERRUPTED_EXIT) from None
