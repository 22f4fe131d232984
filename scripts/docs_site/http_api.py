"""A page with every call of the API, from the document that a running cluster has of itself (``/openapi.json``)."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs_site.tables import cell
from upcall.cluster.folder import Cluster, DataFolder
from upcall.master import app

HEAD = """# The API

Made from the code. `upcall open --docs` shows a cluster's own document, with the schemas and a form for each call.
Every call wants a token (`Authorization: Bearer`, [who has which](security.md#people)); what goes wrong is a problem
with `code`, `message`, `where` and `expected`.
"""


def page() -> str:
    with tempfile.TemporaryDirectory() as folder:
        data = DataFolder(Path(folder) / "data")
        data.make_private()
        cluster = Cluster(cluster="upcall-1", prefix="127.0.0", url="https://127.0.0.1:5050")
        document = app.make(data, cluster).app.openapi()
    return "\n".join([HEAD, *_parts(document)])


def _parts(document: dict[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"## {tag['name'].capitalize().replace('api', 'API')}\n\n{tag.get('description', '')}\n"
        yield "| call | takes | |\n| --- | --- | --- |"
        for path, calls in document["paths"].items():
            for method, call in calls.items():
                if tag["name"] in call["tags"]:
                    words = cell(call.get("description") or call["summary"])
                    yield f"| `{method.upper()} {path}` | {_takes(call)} | {words} |"
        yield ""


def _takes(call: dict[str, Any]) -> str:
    """Names: of the query, and of the body's schema."""
    asked = [f"`?{one['name']}`" for one in call.get("parameters", ()) if one["in"] == "query"]
    for content in call.get("requestBody", {}).get("content", {}).values():
        named = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        asked += [f"`{named}`"] if named else ["bytes"]
    return " ".join(asked)
