"""The webhook's certificate over two years: at every instant what is served is signed by whom the API server trusts."""

import contextlib
import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from upcall.substrate.kubernetes.certificates.renewing import SERVER_FOR, TOLD_FOR, Kept, due, renewed

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
