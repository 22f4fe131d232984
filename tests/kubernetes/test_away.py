"""The API server is away for longer than a Lease lasts: nobody ends, and everything is known again afterwards."""

import asyncio
from pathlib import Path

import yaml
from installed import Installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes
from lab.wire import wire

from upcall.kubernetes.records import leader
from upcall.kubernetes.records.store import KubernetesStore
from upcall.master.app import Master, make
from upcall.substrate.kubernetes.client.kinds import NODE

LIMIT_S = 200.0


async def test_a_master_whose_api_server_is_away_acknowledges_nothing_and_goes_on_when_it_is_back(
    plane: ControlPlane, namespace: str, nodes: PlayedNodes, disruptions: None, tmp_path: Path
) -> None:
    async with wire(plane.api_port) as line:
        config = yaml.safe_load(plane.kubeconfig().read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{line.port}"
        far = tmp_path / "far.kubeconfig"
        far.write_text(yaml.safe_dump(config))
        folder = Installed(tmp_path / "data", far, namespace, records="kubernetes").folder
        master = await asyncio.to_thread(make, folder, folder.load_cluster())
        async with master.app.router.lifespan_context(master.app):
            await knows(master, nodes)
            start = master.core.state.start
            line.cut()
            told = asyncio.ensure_future(master.core.turn(lambda tx: tx.event("alert", "test", "said while away")))
            await asyncio.sleep(leader.LEASE_S + 3)
            store = master.core.store
            assert isinstance(store, KubernetesStore)
            assert not store.leads()
            assert not told.done()
            assert not any(event.text == "said while away" for event in master.core.journal.newest(10))
            gone = min(nodes.alive)
            await nodes.api.delete(NODE, gone)
            nodes.alive.discard(gone)
            line.mend()
            async with asyncio.timeout(LIMIT_S):
                await told
            assert any(event.text == "said while away" for event in master.core.journal.newest(10))
            await knows(master, nodes)
            assert gone not in master.core.nodes
            assert (master.core.superseded, store.newest_start()) == ("", start)
        again = await asyncio.to_thread(make, folder, folder.load_cluster())
        assert any(event.text == "said while away" for event in again.core.journal.newest(20))
        await asyncio.to_thread(again.core.store.close)


async def knows(master: Master, nodes: PlayedNodes) -> None:
    async with asyncio.timeout(LIMIT_S):
        while master.core.nodes.keys() != nodes.alive:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
