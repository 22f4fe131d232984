"""Links between pages of the documentation: right in the repository, and led on to the site's own page."""

import importlib.util
import sys

import pytest
from shown import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from docs_site import links

PAGES = {"README.md": "index.md", "docs/kafka.md": "kafka.md", "examples/a.py": "examples/a.py.md"}


@pytest.mark.parametrize(
    ("source", "page", "text", "led"),
    [
        ("README.md", "index.md", "[k](docs/kafka.md#by-hand)", "[k](kafka.md#by-hand)"),
        ("docs/kafka.md", "kafka.md", "[e](../examples/a.py)", "[e](examples/a.py.md)"),
        ("docs/kafka.md", "kafka.md", "[r](../README.md)", "[r](index.md)"),
        ("examples/a.py", "examples/a.py.md", "[k](../docs/kafka.md)", "[k](../kafka.md)"),
        (
            "docs/kafka.md",
            "kafka.md",
            "[h](https://kafka.apache.org) [s](#here)",
            "[h](https://kafka.apache.org) [s](#here)",
        ),
        ("README.md", "index.md", "```\n[k](nowhere.md)\n```\n", "```\n[k](nowhere.md)\n```\n"),
    ],
)
def test_a_link_leads_to_the_page_that_is_made_of_the_file(source: str, page: str, text: str, led: str) -> None:
    assert links.relinked(text, source, page, PAGES) == led


def test_a_link_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(links.LeadsNowhere, match=r"docs/kafka\.md links to nowhere\.md"):
        links.relinked("[n](nowhere.md)", "docs/kafka.md", "kafka.md", PAGES)


def test_every_link_of_the_documentation_leads_to_a_file_and_to_a_title_in_it() -> None:
    spec = importlib.util.spec_from_file_location("docs_site.__main__", ROOT / "scripts" / "docs_site" / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)
    pages = site.sources()
    for source, page in pages.items():
        if page.endswith(".md"):
            links.relinked((ROOT / source).read_text(), source, page, pages)
