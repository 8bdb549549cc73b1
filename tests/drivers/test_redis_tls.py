"""The Redis driver over TLS, where the server at hand speaks it."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apsperf_mw.errors import DriverDown
from tests.drivers.conftest import MakeFace
from tests.drivers.servers import Server, free_port

MINUTE_S = 60.0


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a server that speaks TLS, and the certificate that vouches for it."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(directory)
    port = free_port()
    server = Server(
        directory,
        *("--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key),
        *("--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"),
    )
    server.launch()
    assert server.process is not None
    with suppress(TimeoutExpired):
        server.process.wait(0.5)
    if server.process.poll() is not None:
        pytest.skip("this server was built without TLS")  # .ci/redis.sh sees to one that was
    yield f"rediss://127.0.0.1:{port}", certificate
    server.stop()


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis of a test")])
    now = dt.datetime.now(dt.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    certificate, key = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, key


def test_a_server_that_is_vouched_for_is_used(face: MakeFace, secured: tuple[str, Path]) -> None:
    url, certificate = secured
    call = face(f"{url}?ca_file={certificate}&timeout_s=2&connect_timeout_s=2")
    assert call("set", b"k", bytes(100_000), MINUTE_S)
    assert call("get", b"k") == bytes(100_000)
    assert call("bump", b"space", [b"tag"]).position > 0


def test_a_server_that_nobody_vouches_for_is_not_used(
    face: MakeFace, secured: tuple[str, Path]
) -> None:
    call = face(f"{secured[0]}?timeout_s=2&connect_timeout_s=2")
    with pytest.raises(DriverDown, match="certificate verify failed"):
        call("get", b"k")


def test_that_is_only_so_where_it_is_wanted(face: MakeFace, secured: tuple[str, Path]) -> None:
    call = face(f"{secured[0]}?verify=false&timeout_s=2&connect_timeout_s=2")
    assert call("set", b"k", b"v", MINUTE_S)
