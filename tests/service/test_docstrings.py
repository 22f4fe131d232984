"""An expert's docstring as people are shown it: no line ends of a source file, no marks of its documentation tool."""

import json
import re

from upcall.service import docstrings
from upcall.service.package import build_installed, installed


def documented() -> None:
    """What ``nodetool status`` says of :class:`~upcall.Ring`, in a line that goes on
    below.

    A second paragraph,
    of `plain` words.
    """


def test_a_paragraph_is_a_line_and_code_stands_in_single_backticks() -> None:
    first, second = docstrings.plain(documented).split("\n\n")
    assert first == "What `nodetool status` says of `upcall.Ring`, in a line that goes on below."
    assert second == "A second paragraph, of `plain` words."
    assert docstrings.first_line(documented) == first


def test_so_are_the_descriptions_within_a_schema() -> None:
    schema = {"description": "a ``b``\nc", "properties": {"description": {"description": "d\n\ne"}}, "required": ["x"]}
    assert docstrings.of_schema(schema) == {
        "description": "a `b` c",
        "properties": {"description": {"description": "d\n\ne"}},
        "required": ["x"],
    }


def test_no_package_tells_more_of_its_source_file_than_its_words() -> None:
    for entry in installed():
        package = build_installed(entry).package
        told = [package.description, *(each.description for each in package.actions)]
        told += [each.description for each in package.schedules]
        told += re.findall(
            r'"description": ("[^"]*")', json.dumps([package.options_schema, *(a.arguments for a in package.actions)])
        )
        assert [words for words in told if "``" in words or re.search(r"\w\n\w|\w\\\\n\w", words)] == []
