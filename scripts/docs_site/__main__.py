"""Writes what the site of the documentation is made of: the pages of ``docs/``, what stands beside them in the
repository, and pages from the code. ``python -m docs_site FOLDER``; :mod:`sphinx` makes the site of it (``make docs``).

By what a reader wants (diataxis.fr): to learn, to do, to look up, to understand.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from docs_site import command_line, http_api, links, packages, sdk

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
BESIDE: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""In the repository -> page."""
MADE: Final[dict[str, Callable[[], str]]] = {
    "commands.md": command_line.page,
    "packages.md": packages.page,
    "sdk.md": sdk.page,
    "api.md": http_api.page,
}
"""Page -> who writes it from the code."""
LANGUAGES: Final = {".py": "python", ".yaml": "yaml"}
SECTIONS: Final = {
    "Learn": ("install", "service", "testing", "examples"),
    "Do": ("cli", "kafka", "cassandra", "spark", "goals", "backup", "heal", "alerts", "kubernetes", "measuring"),
    "Look up": ("commands", "packages", "reference", "sdk", "api"),
    "Understand": ("architecture", "operations", "security", "comparison"),
    "Project": ("status", "changelog", "contributing"),
}


def main(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    pages = sources()
    for source, page in pages.items():
        place = target / page
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".md":
            place.write_text(links.relinked(_text(source), source, page, pages))
        else:
            shutil.copy(ROOT / source, place)
    for page, written in MADE.items():
        (target / page).write_text(written())
    (target / "examples.md").write_text(_examples(pages))
    with (target / "index.md").open("a") as index:
        index.writelines(_contents())


def sources() -> dict[str, str]:
    """All that is taken from the repository: file -> page, or copy."""
    docs = (one.name for one in sorted(DOCS.iterdir()) if one.is_file())
    examples = (one.name for one in sorted((ROOT / "examples").iterdir()) if one.suffix in LANGUAGES)
    return {
        **BESIDE,
        **{f"docs/{one}": one for one in docs},
        **{f"examples/{one}": f"examples/{one}.md" for one in examples},
    }


def _text(source: str) -> str:
    text, language = (ROOT / source).read_text(), LANGUAGES.get(Path(source).suffix)
    return f"# {Path(source).name}\n\n```{language}\n{text}```\n" if language else text


def _examples(pages: dict[str, str]) -> str:
    found = [page.removesuffix(".md") for page in pages.values() if page.startswith("examples/")]
    return "\n".join(["# Examples\n", "```{toctree}", *found, "```", ""])


def _contents() -> Iterator[str]:
    for section, pages in SECTIONS.items():
        yield "\n".join(["", "```{toctree}", ":hidden:", f":caption: {section}", "", *pages, "```", ""])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
