"""The certificate by which other tools know this cluster: made at ``up``, kept in the data folder, signed by itself.

A loopback address proves nothing: while nothing of ours listens there, every user of the machine may. Who pins this
certificate (``curl --cacert <data>/api.crt``) sends its token to this cluster or to nobody.
"""

import datetime
import ipaddress
from typing import Final

from upcall.cluster.folder import Cluster, DataFolder, write_private

VALID: Final = datetime.timedelta(days=825)
RENEW_BEFORE: Final = datetime.timedelta(days=90)


def ensure(folder: DataFolder, cluster: Cluster) -> None:
    """There is one for the cluster's address, and it holds for a while."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    address = ipaddress.ip_address(cluster.address[0])
    now = datetime.datetime.now(datetime.UTC)
    if _good(folder, address, now + RENEW_BEFORE):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, cluster.cluster)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # a clock that is set back a little
        .not_valid_after(now + VALID)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(address), x509.DNSName("localhost")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder.certificate_key, secret)
    write_private(folder.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _good(folder: DataFolder, address: ipaddress.IPv4Address | ipaddress.IPv6Address, until: datetime.datetime) -> bool:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        found = x509.load_pem_x509_certificate(folder.certificate.read_bytes())
        key = serialization.load_pem_private_key(folder.certificate_key.read_bytes(), password=None)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return (
        found.not_valid_after_utc > until
        and address in names.get_values_for_type(x509.IPAddress)
        and found.public_key() == key.public_key()
    )
