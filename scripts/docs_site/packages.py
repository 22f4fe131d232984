"""A page with every package of the catalog: its versions, options with how each is changed, actions and commands."""

from collections.abc import Iterator

from docs_site.tables import cell, code
from upcall.cli.catalog import argument_words, option_rows
from upcall.protocol.service import Package
from upcall.service import package as sdk
from upcall.service.changing import marked
from upcall.service.service import Service

HEAD = """# Packages

Made from the code. `upcall catalog show PACKAGE` says the same of each version. Where nothing is said of how an
option is changed, the members restart whose declarations differ by it, and nobody else; of an entry of a map
(`settings.NAME`) the service may know better, and `upcall update --dry-run` says it.
"""


def page() -> str:
    found = sorted(((sdk.build_installed(entry), sdk.load(entry)) for entry in sdk.installed()), key=_name)
    return "\n".join([HEAD, *(line for built, service in found for line in _package(built, service))])


def _name(found: tuple[sdk.Built, type[Service]]) -> str:
    return found[0].package.name


def _package(built: sdk.Built, service: type[Service]) -> Iterator[str]:
    package = built.package
    yield f"## {package.name}\n\n{package.description}\n"
    yield f"Versions: {', '.join(reversed(built.versions)) or package.version}.\n"
    yield from _options(package, service)
    yield from _actions(package)


def _options(package: Package, service: type[Service]) -> Iterator[str]:
    rows = option_rows(package.options_schema)
    if not rows:
        return
    yield "| option | takes | default | | is changed |\n| --- | --- | --- | --- | --- |"
    for name, takes, default, words in rows:
        how = "" if "." in name else str(marked(service.Options, name) or "")
        given = "must be given" if default == "required" else code(default)
        yield "| " + " | ".join((code(name), cell(takes), given, cell(words), cell(how))) + " |"
    yield ""


def _actions(package: Package) -> Iterator[str]:
    if not package.actions:
        return
    yield "| action | arguments | |\n| --- | --- | --- |"
    for one in package.actions:
        words = argument_words({"arguments": one.arguments})
        yield f"| `{one.name}` | {cell(words)} | {cell(one.description.partition(chr(10) * 2)[0])} |"
    yield ""
