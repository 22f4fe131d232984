"""A server's certificate, which nobody has to make, and nobody has to renew.

An authority of its own signs it; whoever calls is told to trust that authority, and nothing else of it. Both grow old,
and are made anew when two thirds of their time is over. A new authority is trusted before anything is signed by it, and
the old one for as long as it would have lasted: no instant at which a call would fail, whichever of several servers
has seen what. Each :func:`renewed` is one step; none is due any more when it gives back what it was given.
"""

import datetime
import ipaddress
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_FOR: Final = datetime.timedelta(days=365)
SERVER_FOR: Final = datetime.timedelta(days=30)
SKEW: Final = datetime.timedelta(hours=1)
"""How far a caller's clock may be behind ours."""
TOLD_FOR: Final = datetime.timedelta(minutes=3)
"""Until each API server has surely heard whom to trust, and each kubelet has put it into its pods."""
ISSUER: Final = "upcall"


@dataclass(frozen=True)
class Kept:
    """All of it PEM. It stands in one Secret, so that it is changed as one."""

    authority_key: bytes
    bundle: bytes
    """Authorities to be trusted, the newest first; it is the one that signs."""
    key: bytes
    certificate: bytes


def renewed(
    kept: Kept | None,
    hosts: tuple[str, ...],
    now: datetime.datetime,
    *,
    trusted: bool,
    server_for: datetime.timedelta = SERVER_FOR,
) -> Kept:
    """``trusted``: all who call were told the bundle as it stands, long enough ago (:data:`TOLD_FOR`)."""
    if kept is None:
        key, authority = _authority(now)
        return _signed(Kept(_private(key), _pem(authority), b"", b""), hosts, now, server_for)
    authorities = x509.load_pem_x509_certificates(kept.bundle)
    alive = [one for one in authorities if one.not_valid_after_utc > now]
    if not alive or _old(alive[0], now):
        key, authority = _authority(now)
        kept = replace(kept, authority_key=_private(key), bundle=_pem(authority, *alive))
        # Where none is good any more, nothing that is signed by them would be trusted either.
        return kept if alive else _signed(kept, hosts, now, server_for)
    if len(alive) < len(authorities):
        return replace(kept, bundle=_pem(*alive))
    server = x509.load_pem_x509_certificate(kept.certificate)
    mine = _issued(server, alive[0])
    if not mine and not trusted and any(_issued(server, one) for one in alive) and server.not_valid_after_utc > now:
        return kept
    if not mine or _old(server, now) or set(hosts) != _hosts(server):
        return _signed(kept, hosts, now, server_for)
    return kept


def is_whole(kept: Kept) -> bool:
    """Whether it is what it should be, and each key that of its certificate."""
    try:
        server = x509.load_pem_x509_certificate(kept.certificate)
        newest = x509.load_pem_x509_certificates(kept.bundle)[0]
        keys = [serialization.load_pem_private_key(key, None) for key in (kept.key, kept.authority_key)]
        server.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return [key.public_key() for key in keys] == [server.public_key(), newest.public_key()]


def expires(certificate: bytes) -> datetime.datetime:
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def due(kept: Kept, now: datetime.datetime) -> datetime.timedelta:
    """How long nothing has to be looked at."""
    server = x509.load_pem_x509_certificate(kept.certificate)
    newest, *older = x509.load_pem_x509_certificates(kept.bundle)
    if not _issued(server, newest):
        return TOLD_FOR
    at = min(_old_at(server), _old_at(newest), *(one.not_valid_after_utc for one in older))
    return max(at - now, datetime.timedelta())


def _signed(kept: Kept, hosts: tuple[str, ...], now: datetime.datetime, good_for: datetime.timedelta) -> Kept:
    authority = x509.load_pem_x509_certificates(kept.bundle)[0]
    signer = serialization.load_pem_private_key(kept.authority_key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _begin(hosts[0], authority.subject, key.public_key(), now, good_for)
        .add_extension(x509.SubjectAlternativeName([_host(each) for each in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return replace(kept, key=_private(key), certificate=_pem(certificate))


def _authority(now: datetime.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two of them have not the same name: by it a signature finds its authority.
    name = _name(f"{ISSUER} {x509.random_serial_number():x}"[:64])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _begin("", name, key.public_key(), now, AUTHORITY_FOR, subject=name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _begin(
    common_name: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    good_for: datetime.timedelta,
    subject: x509.Name | None = None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject or _name(common_name[:64]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + good_for)
    )


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    return certificate.issuer == authority.subject


def _old(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return now >= _old_at(certificate)


def _old_at(certificate: x509.Certificate) -> datetime.datetime:
    begins, ends = certificate.not_valid_before_utc + SKEW, certificate.not_valid_after_utc
    return begins + (ends - begins) * 2 / 3


def _hosts(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
