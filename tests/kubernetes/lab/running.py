"""Nodes of a test cluster whose pods really run: each container's command as processes of this machine.

A pod has a loopback address of its own, which is the same for every pod of its name, and a name in the cluster. Its
volumes are folders: an ``emptyDir`` goes with the pod, a claim's stays. Where a kubelet would mount a folder, the paths
in the container's environment are changed instead, for there is nothing that could be mounted without root. Its token
is a real one, asked of the API server for this very pod. Whoever provides volumes is played too: a claim gets one.
"""

import asyncio
import contextlib
import functools
import os
import random
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lab.hosts import Hosts
from lab.nodes import PlayedNodes, is_resized, now_stamp, playing
from lab.volumes import provide
from upcall.keeper import linux
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import Conflict, NotFound
from upcall.substrate.kubernetes.client.kinds import CONFIG_MAP, POD, SERVICE_ACCOUNT, VOLUME, Object

PROBE_TIMEOUT_S: Final = 1.0
RESTART_S: Final = 1.0
MOUNT_AGAIN_S: Final = 0.5
ENTRY: Final = (sys.executable, "-m", "upcall.kubernetes.pod")
"""The entry point of the image."""


@dataclass
class Container:
    pod: Object
    folder: Path
    process: asyncio.subprocess.Process | None = None
    since: str = ""
    ready: bool = False
    told_to_end: bool = False
    restarts: int = 0
    before: Object | None = None
    """How the container before this one ended, of a pod whose containers are started again."""
    work: asyncio.Task[None] | None = None

    @property
    def last_word(self) -> str:
        path = self.pod["spec"]["containers"][0].get("terminationMessagePath", "/dev/termination-log")
        file = self.folder / "root" / path.lstrip("/")
        return file.read_text(errors="replace")[:4096] if file.exists() else ""

    def output(self) -> str:
        """What ``kubectl logs`` would say."""
        return (self.folder / "output").read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)


@dataclass
class RunningNodes(PlayedNodes):
    folder: Path = field(kw_only=True)
    hosts: Hosts = field(kw_only=True)
    environment: dict[str, str] = field(default_factory=dict, kw_only=True)
    """That of the image."""
    containers: dict[str, Container] = field(default_factory=dict)
    """By uid of the pod."""
    pulls: Callable[[str], str] = lambda _: ""
    """Why an image cannot be had; empty: it can."""
    kubelet_port: int = 0
    """Where a port of a pod can be had, where somebody plays that (:mod:`lab.network`)."""
    _prefix: str = field(default_factory=lambda: f"127.{random.randint(60, 250)}.{random.randint(1, 250)}")
    _addresses: dict[str, str] = field(default_factory=dict)

    def container(self, name: str) -> Container:
        """Of the pod that has this name now."""
        pod = self.named(name)
        assert pod is not None, name
        return self.containers[pod["metadata"]["uid"]]

    async def power_cut(self, name: str) -> None:
        await super().power_cut(name)
        for one in self.containers.values():
            if one.pod["spec"].get("nodeName") == name and one.work is not None:
                one.work.cancel()

    async def end(self) -> None:
        """All that still runs."""
        working = [one.work for one in self.containers.values() if one.work is not None and not one.work.done()]
        for work in working:
            work.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    # -- what a kubelet does ----------------------------------------------------------------------------------------

    def _reached(self) -> Object:
        if not self.kubelet_port:
            return {}
        return {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.kubelet_port}},
        }

    def address(self, namespace: str, name: str) -> str:
        return self._addresses[f"{namespace}/{name}"]

    def _address_of(self, pod: Object) -> str:
        key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if key not in self._addresses:
            self._addresses[key] = f"{self._prefix}.{len(self._addresses) + 1}"
        return self._addresses[key]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(provide(self.api, self.claim))

    async def _take(self, pod: Object) -> None:
        if pod.get("spec", {}).get("nodeName") not in self.alive:
            return
        uid, leaving = pod["metadata"]["uid"], bool(pod["metadata"].get("deletionTimestamp"))
        one = self.containers.get(uid)
        if one is None:
            if leaving:
                await super()._take(pod)
            elif pod.get("status", {}).get("phase") == "Pending":
                one = self.containers[uid] = Container(pod, self.folder / "pods" / uid)
                one.work = asyncio.create_task(self._run_pod(one))
                one.work.add_done_callback(functools.partial(self._failed, one))
            return
        one.pod = pod
        if one.ready and not leaving and is_resized(pod):
            await self._tell(one, "Running", ready=True)
        if leaving and not one.told_to_end:
            one.told_to_end = True
            asyncio.get_running_loop().create_task(self._end_pod(one))

    def _failed(self, one: Container, work: asyncio.Task[None]) -> None:
        if not work.cancelled() and (error := work.exception()):
            self.failures.append(f"{one.pod['metadata']['name']}: {error!r}")

    async def _end_pod(self, one: Container) -> None:
        one.signal(signal.SIGTERM)
        await asyncio.sleep(one.pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        one.signal(signal.SIGUSR1)

    def _gone(self, pod: Object) -> None:
        if (one := self.containers.get(pod["metadata"]["uid"])) is not None:
            one.signal(signal.SIGUSR1)

    async def _run_pod(self, one: Container) -> None:
        spec = one.pod["spec"]["containers"][0]
        try:
            if why := self.pulls(spec["image"]):
                waiting = {"waiting": {"reason": "ErrImagePull", "message": why}}
                await self._tell(one, "Pending", ready=False, state=waiting)
                while not one.told_to_end:  # noqa: ASYNC110
                    await asyncio.sleep(MOUNT_AGAIN_S)
                await self._over(one, 0)
                return
            await self._mount(one)
            self._give_name(one.pod)
            while True:
                one.process = await self._start(one, spec)
                one.since = now_stamp()
                if one.told_to_end:
                    one.signal(signal.SIGTERM)
                await self._tell(one, "Running", ready=False)
                probing = asyncio.create_task(self._probe(one, spec))
                code = await one.process.wait()
                probing.cancel()
                await asyncio.gather(probing, return_exceptions=True)
                if one.told_to_end or one.pod["spec"]["restartPolicy"] != "Always":
                    break
                await self._again(one, code)
            await self._over(one, code)
        finally:
            if one.process is not None and one.process.returncode is None:
                one.signal(signal.SIGUSR1)
                await one.process.wait()

    async def _again(self, one: Container, code: int) -> None:
        """A kubelet starts it in the same pod, after a pause."""
        now = now_stamp()
        over = {"exitCode": code, "reason": "Error", "startedAt": one.since, "finishedAt": now}
        said = one.output()[-500:]
        one.restarts, one.before, one.ready = one.restarts + 1, {"terminated": over | {"message": said}}, False
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        await self._tell(one, "Running", ready=False, state=waiting)
        await asyncio.sleep(RESTART_S)

    async def _over(self, one: Container, code: int) -> None:
        reason = "Error" if code else "Completed"
        await self._tell(
            one, "Failed" if code else "Succeeded", ready=False, ended=(code, reason), message=one.last_word
        )
        if one.pod["metadata"].get("deletionTimestamp"):
            with contextlib.suppress(NotFound, Conflict):
                meta = one.pod["metadata"]
                await self.api.delete(POD, meta["name"], meta["namespace"], uid=meta["uid"], grace_s=0)

    async def _tell(self, one: Container, phase: str, **more: Any) -> None:
        with contextlib.suppress(NotFound, Conflict):
            await self._say(one.pod, phase, since=one.since, restarts=one.restarts, before=one.before, **more)

    async def _probe(self, one: Container, spec: Object) -> None:
        probe = spec["readinessProbe"]
        port, path = probe["httpGet"]["port"], probe["httpGet"]["path"]
        failed = 0
        while True:
            await asyncio.sleep(probe["periodSeconds"])
            answers = await _answers(self._address_of(one.pod), port, path)
            failed = 0 if answers else failed + 1
            ready = answers or (one.ready and failed < probe["failureThreshold"])
            if ready != one.ready:
                one.ready = ready
                await self._tell(one, "Running", ready=ready)

    # -- what stands around a container -----------------------------------------------------------------------------

    def _give_name(self, pod: Object) -> None:
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        if spec.get("hostname") and spec.get("subdomain"):
            name = f"{spec['hostname']}.{spec['subdomain']}.{namespace}.svc"
            self.hosts.add(name, self._address_of(pod))

    async def _mount(self, one: Container) -> None:
        spec = one.pod["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in spec["containers"][0]["volumeMounts"]:
            at = one.folder / "root" / mount["mountPath"].lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            at.symlink_to(await self._volume(one, volumes[mount["name"]]))
        word = one.folder / "root" / spec["containers"][0]["terminationMessagePath"].lstrip("/")
        word.parent.mkdir(parents=True, exist_ok=True)
        word.touch()

    async def _volume(self, one: Container, volume: Object) -> Path:
        namespace = one.pod["metadata"]["namespace"]
        if claim := volume.get("persistentVolumeClaim"):
            folder = self.claim(namespace, claim["claimName"])
        else:
            folder = one.folder / "volumes" / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        for source in volume.get("projected", {}).get("sources", ()):
            if token := source.get("serviceAccountToken"):
                (folder / token["path"]).write_text(await self._token(one.pod, token))
            for item in source.get("downwardAPI", {}).get("items", ()):
                (folder / item["path"]).write_text(self._fields(one.pod)[item["fieldRef"]["fieldPath"]])
            if files := source.get("configMap"):
                data = await self._config_map(namespace, files["name"])
                for item in files["items"]:
                    (folder / item["path"]).write_text(data[item["key"]])
        return folder

    def claim(self, namespace: str, name: str) -> Path:
        return self.folder / "claims" / namespace / name

    async def _token(self, pod: Object, wanted: Object) -> str:
        meta = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        request = {
            "spec": {
                "audiences": [wanted["audience"]] if "audience" in wanted else [],
                "expirationSeconds": wanted["expirationSeconds"],
                "boundObjectRef": bound,
            }
        }
        account = pod["spec"].get("serviceAccountName", "default")
        granted = await self.api.create(SERVICE_ACCOUNT, request, meta["namespace"], name=account, part="token")
        return str(granted["status"]["token"])

    async def _config_map(self, namespace: str, name: str) -> dict[str, str]:
        """A kubelet waits for it."""
        while True:
            with contextlib.suppress(NotFound):
                return dict((await self.api.get(CONFIG_MAP, name, namespace))["data"])
            await asyncio.sleep(MOUNT_AGAIN_S)

    async def _start(self, one: Container, spec: Object) -> asyncio.subprocess.Process:
        command = [*spec.get("command", ENTRY), *spec.get("args", ())]
        with (one.folder / "output").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "lab.container", *self.hosts.before(), *command,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                env=self._environment(one, spec), preexec_fn=functools.partial(linux.die_with_parent, signal.SIGUSR1),
            )  # fmt: skip

    def _fields(self, pod: Object) -> dict[str, str]:
        meta = pod["metadata"]
        return {
            "status.podIP": self._address_of(pod),
            "spec.nodeName": pod["spec"]["nodeName"],
            "metadata.name": meta["name"],
            "metadata.namespace": meta["namespace"],
        }

    def _environment(self, one: Container, spec: Object) -> dict[str, str]:
        fields = self._fields(one.pod)
        mounted = [mount["mountPath"] for mount in spec["volumeMounts"]] + [spec["terminationMessagePath"]]
        found = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **self.environment}
        host, _, port = self.api.connection.login.server.removeprefix("https://").rpartition(":")
        found |= {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        for each in spec["env"]:
            value = fields[each["valueFrom"]["fieldRef"]["fieldPath"]] if "valueFrom" in each else each.get("value", "")
            if value.startswith(
                "127.0.0.1:"
            ):  # where it listens: each pod has a loopback of its own. Whom it dials stays
                value = value.replace("127.0.0.1:", f"{fields['status.podIP']}:")
            if value.startswith("/") and any(_touch(value, path) for path in mounted):
                value = str(one.folder / "root" / value.lstrip("/"))
            found[each["name"]] = value
        return found


def _touch(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


async def _answers(address: str, port: int, path: str) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


@contextlib.asynccontextmanager
async def running_nodes(
    api: Api, count: int, folder: Path, *, kubelet_port: int = 0, **environment: str
) -> AsyncIterator[RunningNodes]:
    folder.mkdir(parents=True, exist_ok=True)
    hosts = Hosts(folder / "hosts")
    nodes = RunningNodes(api, folder=folder, hosts=hosts, environment=environment, kubelet_port=kubelet_port)
    async with playing(nodes, count):
        try:
            yield nodes
        finally:
            await nodes.end()
            for volume in (await api.list(VOLUME)).objects:
                with contextlib.suppress(NotFound):
                    await api.delete(VOLUME, volume["metadata"]["name"])
            shutil.rmtree(folder / "pods", ignore_errors=True)
