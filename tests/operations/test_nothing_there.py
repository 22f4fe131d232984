"""Wishes about nothing end at once: nobody waits for what is not there."""

import pytest

from upcall.operations import inputs as given
from upcall.operations.ledger import Ledger


@pytest.mark.parametrize(
    "proposal",
    [
        given.Propose(kind="shutdown", asked_by="me"),
        given.Propose(kind="maintenance", asked_by="me", node="n1", window_s=600, on_deadline="hold"),
    ],
)
def test_what_concerns_nothing_is_done_at_once(proposal: given.Propose) -> None:
    ledger = Ledger([], start=1)
    ledger.handle(given.Started(), 0.0, 0.0)
    ledger.handle(given.NodeObserved(node="n1", state="up"), 0.0, 0.0)
    asked = ledger.handle(proposal, 1.0, 1.0)
    operation = ledger.operation(asked.operation)
    assert operation is not None
    assert operation.state == "done"
