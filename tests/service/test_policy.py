"""What a service's policy says is what the ledger keeps: every patience of the ledger can be set, none is lost on its
way."""

import asyncio

import msgspec
import pytest
from sample_services import Plain

from upcall.master.from_wire import policy
from upcall.operations.records import Policy as LedgerPolicy
from upcall.protocol.service import Policy
from upcall.testing import KINDS, Life, live
from upcall.testing.simulated import SimulatedKind


def test_whatever_the_ledger_goes_by_can_be_set_and_has_one_default() -> None:
    ledger = LedgerPolicy()
    unset = Policy()
    for name in LedgerPolicy.__struct_fields__:
        if name != "silence":  # Its default follows from whether there are data.
            assert getattr(unset, name) == getattr(ledger, name), name
    given = Policy(on_lost="wait", leave_s=7, keep_volumes_s=8, stuck_after_s=9, order=("b", "a"), before_stop_s=3)
    kept = policy(given)
    assert {name: getattr(kept, name) for name in LedgerPolicy.__struct_fields__} == {
        name: getattr(given, name) for name in LedgerPolicy.__struct_fields__
    }


class Patient(Plain):
    """Says itself when what died is started again."""

    says = False

    def policy(self) -> Policy:
        return msgspec.structs.replace(super().policy(), on_lost="wait")

    async def on_lost(self, member, why):  # type: ignore[no-untyped-def]
        if not self.says:
            raise TimeoutError("its own store does not answer")
        return await super().on_lost(member, why)


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_may_want_to_be_asked_before_what_died_is_started_again(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.crash("web-0")
        await asyncio.sleep(300)
        assert life.master.state("web-0") != "ready", "it was started although nobody had said so"
        life.code.says = True
        await life.master.until(lambda: life.master.state("web-0") == "ready", within_s=120)

    live(Patient, script, kind=kind)
