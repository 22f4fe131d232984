"""The webhook's certificate over two years: at every instant what is served is signed by whom the API server trusts."""

import asyncio
import base64
import contextlib
import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from upcall.substrate.kubernetes.certificates import keeping
from upcall.substrate.kubernetes.certificates.keeping import FILES, Keeper
from upcall.substrate.kubernetes.certificates.renewing import SERVER_FOR, TOLD_FOR, Kept, due, renewed
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import JSON, Connection
from upcall.substrate.kubernetes.client.errors import from_status
from upcall.substrate.kubernetes.client.login import Login
from upcall.substrate.kubernetes.client.tokens import NoToken

BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOSTS = ("evictions.upcall.svc", "127.0.0.1")


def server(kept: Kept) -> x509.Certificate:
    return x509.load_pem_x509_certificate(kept.certificate)


def trusted_by(kept: Kept, bundle: bytes, now: datetime.datetime) -> bool:
    served = server(kept)
    if not served.not_valid_before_utc <= now <= served.not_valid_after_utc:
        return False
    for authority in x509.load_pem_x509_certificates(bundle):
        if authority.not_valid_before_utc <= now <= authority.not_valid_after_utc:
            with contextlib.suppress(ValueError, InvalidSignature):
                served.verify_directly_issued_by(authority)
                return True
    return False


def test_the_first_is_made_at_once_and_nothing_more_is_due() -> None:
    kept = renewed(None, HOSTS, BEGIN, trusted=False)
    names = server(kept).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["evictions.upcall.svc"]
    assert trusted_by(kept, kept.bundle, BEGIN)
    assert renewed(kept, HOSTS, BEGIN, trusted=True) == kept
    assert due(kept, BEGIN) == SERVER_FOR * 2 / 3


def test_for_two_years_each_step_leaves_it_trusted_by_who_knows_only_the_step_before() -> None:
    """The bundle is told between two steps; whoever has not heard of the newest still trusts what is served."""
    now, kept = BEGIN, renewed(None, HOSTS, BEGIN, trusted=False)
    told, told_at = kept.bundle, now
    servers, bundles = {kept.certificate}, {kept.bundle}
    while now < BEGIN + datetime.timedelta(days=730):
        now += max(due(kept, now), datetime.timedelta(seconds=1))
        assert trusted_by(kept, told, now), now
        for _ in range(5):
            new = renewed(kept, HOSTS, now, trusted=told == kept.bundle and now - told_at >= TOLD_FOR)
            assert trusted_by(new, told, now), "what is served is trusted before anybody hears of the step"
            if new == kept:
                break
            kept = new
        if told != kept.bundle:
            told, told_at = kept.bundle, now
        servers.add(kept.certificate)
        bundles.add(kept.bundle)
        assert len(x509.load_pem_x509_certificates(kept.bundle)) <= 2
    assert len(servers) >= 730 // 20
    assert len(bundles) >= 4, "authorities came and went"


def test_one_that_expired_while_nobody_was_there_is_made_anew_at_once() -> None:
    kept = renewed(None, HOSTS, BEGIN, trusted=False)
    later = BEGIN + datetime.timedelta(days=400)
    anew = renewed(kept, HOSTS, later, trusted=False)
    assert trusted_by(anew, anew.bundle, later)


def test_another_address_means_another_certificate_of_the_same_authority() -> None:
    kept = renewed(None, HOSTS, BEGIN, trusted=False)
    moved = renewed(kept, ("evictions.other.svc",), BEGIN, trusted=True)
    assert moved.bundle == kept.bundle
    assert trusted_by(moved, kept.bundle, BEGIN)


class Secrets(Connection):
    """An API server with one Secret, which may be refused."""

    def __init__(self) -> None:
        super().__init__(Login("http://played", None, NoToken()))
        self.stands: dict[str, Any] | None = None
        self.refused = ""
        self.calls_made = 0

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        form: str = JSON,
        throttled: bool = False,
    ) -> Any:
        self.calls_made += 1
        if self.refused:
            raise from_status(403, {"kind": "Status", "code": 403, "message": self.refused})
        if method == "GET" and self.stands is None:
            raise from_status(404, {"kind": "Status", "code": 404, "message": "not found"})
        if method != "GET":
            self.stands = body
        return self.stands


def keeper(secrets: Secrets, alerts: list[str] | None = None) -> Keeper:
    async def tell(bundle: bytes) -> None: ...

    complain = alerts.append if alerts is not None else lambda text: None
    return Keeper(Api(secrets), "data", "certificate", HOSTS, tell, alert=complain)


async def test_what_somebody_wrote_in_its_place_and_is_none_is_made_anew() -> None:
    secrets = Secrets()
    first = await keeper(secrets).look()
    assert secrets.stands is not None
    assert await keeper(secrets).look() == first, "what is whole stays"
    for file in FILES.values():
        secrets.stands["data"][file] = base64.b64encode(b"-----BEGIN NOTHING-----").decode()
        again = await keeper(secrets).look()
        assert again != first
        assert server(again).not_valid_after_utc > datetime.datetime.now(datetime.UTC)
        first = again
    other = Secrets()
    await keeper(other).look()
    assert other.stands is not None
    secrets.stands["data"]["tls.key"] = other.stands["data"]["tls.key"]
    assert (await keeper(secrets).look()).key != base64.b64decode(other.stands["data"]["tls.key"])


async def test_one_that_cannot_be_renewed_is_an_alert_once_that_says_until_when_it_is_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "AGAIN_S", 0.0)
    monkeypatch.setattr(keeping, "LOOK_S", 0.0)
    secrets, alerts = Secrets(), list[str]()
    one = keeper(secrets, alerts)
    kept = await one.look()
    secrets.refused = 'secrets "certificate" is forbidden'
    running = asyncio.create_task(one.run())
    async with asyncio.timeout(60):
        while secrets.calls_made < 50:  # noqa: ASYNC110
            await asyncio.sleep(0)
        (said,) = alerts
        until = f"{server(kept).not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        assert f"for {HOSTS[0]}, which is good until {until}, cannot be looked after: secrets" in said
        secrets.refused, made = "", secrets.calls_made
        while secrets.calls_made < made + 20:  # noqa: ASYNC110
            await asyncio.sleep(0)
        secrets.refused = 'secrets "certificate" is forbidden'
        while len(alerts) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    running.cancel()
