"""The webhook itself: it reads what stands, lets :mod:`judging` decide, writes what follows, and answers."""

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import ApiError, NotFound
from upcall.substrate.kubernetes.client.kinds import POD, WEBHOOK, Kind, Object
from upcall.substrate.kubernetes.evictions.judging import Request, Verdict, answer, judge, read
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION, NAME, PATH, disruption_name, webhook
from upcall.substrate.kubernetes.names import HELD, LET_GO

REVIEW_BYTES_MAX: Final = 1 << 20
"""A review of an eviction has a few KiB."""
STANDS_IN: Final = "upcall-evictions"
"""The Secret of its certificate."""
END_S: Final = 5.0
"""For the reviews that are under way when we end."""


def telling(api: Api, where: Object, serves: Object, name: str = NAME) -> Callable[[bytes], Awaitable[None]]:
    """Says to the API server where it finds the webhook (a ``url``, or a ``service``), of which namespaces it asks it,
    and whom to trust there."""

    async def tell(bundle: bytes) -> None:
        await api.apply(WEBHOOK, webhook(where, bundle, serves, name), force=True)

    return tell


class Webhook:
    """Without memory: any number of them may answer."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.time) -> None:
        self._api = api
        self._clock = clock
        self.seconds: list[float] = []
        """How long each of the last answers took."""

    async def review(self, said: Any) -> Object:
        """Raises ``KeyError`` or ``TypeError`` where it is no review of an eviction."""
        request = read(said)
        try:
            return answer(request, await self.verdict(request))
        except ApiError as error:
            # Not known is not allowed; a drain comes again.
            return answer(request, Verdict(False, f"{request.pod} cannot be looked at now: {error.message}"))

    async def verdict(self, request: Request) -> Verdict:
        """With what follows from it written: the disruption, and that a pod may go."""
        pod = await self._find(POD, request.pod, request.namespace)
        name = disruption_name(pod["metadata"]["uid"]) if pod is not None else ""
        known = await self._find(DISRUPTION, name, request.namespace) if name else None
        verdict = judge(request, pod, known, self._clock())
        if verdict.write is not None:
            await self._api.apply(DISRUPTION, verdict.write, request.namespace, force=True)
        if verdict.release and pod is not None:
            labels = {LET_GO: "true"} if verdict.guest else {HELD: None}
            change = {"metadata": {"uid": pod["metadata"]["uid"], "labels": labels}}
            with contextlib.suppress(NotFound):
                await self._api.merge(POD, request.pod, change, request.namespace)
        return verdict

    async def _find(self, kind: Kind, name: str, namespace: str) -> Object | None:
        try:
            return await self._api.get(kind, name, namespace)
        except NotFound:
            return None

    async def asked(self, asked: web.Request) -> web.Response:
        began_s = time.perf_counter()
        try:
            said = await self.review(msgspec.json.decode(await asked.read()))
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return web.Response(status=400, text="a review of an eviction is expected")
        self.seconds = [*self.seconds[-999:], time.perf_counter() - began_s]
        return web.Response(body=msgspec.json.encode(said), content_type="application/json")


@contextlib.asynccontextmanager
async def serving(webhook: Webhook, host: str, port: int, tls: ssl.SSLContext) -> AsyncIterator[None]:
    """``tls`` may be given a newer certificate while it serves: the next connection has it."""
    app = web.Application(client_max_size=REVIEW_BYTES_MAX)
    app.router.add_post(PATH, webhook.asked)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=END_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        yield
    finally:
        await runner.cleanup()
