"""The rules for Prometheus name what `/metrics` has, with the labels that it has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = Path(__file__).parents[2] / "docs" / "prometheus-rules.yml"
METRICS = Path(__file__).parents[2] / "src" / "upcall" / "master" / "metrics.py"
FOUND = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]


def labels(metric: str) -> set[str]:
    """As the source declares them; the exposition of an empty cluster has no samples to read them from."""
    declared = re.search(rf'"{metric}",.*?(?:labels=(\[[^\]]*\]|own|of)|value=)', METRICS.read_text(), re.DOTALL)
    assert declared, f"{metric} is no metric of ours"
    text = declared[1] or ""
    if text in ("own", "of"):
        named = re.search(rf"{text} = (\[[^\]]*\]|\([^)]*\))", METRICS.read_text())
        assert named
        text = named[1]
    return set(re.findall(r'"(\w+)"', text))


@pytest.mark.parametrize("rule", FOUND, ids=lambda one: one["alert"])
def test_a_rule_names_what_there_is(rule: dict[str, Any]) -> None:
    metrics = re.findall(r"upcall_\w+", rule["expr"])
    assert metrics
    known = set.intersection(*(labels(one) for one in metrics))
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= known
    assert rule["labels"]["severity"] in ("page", "ticket")
