# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One nginx with a thousand listeners on loopback, each with a certificate of its own; and listeners that never answer."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local import nginx
from tools.ports import free_port

ADDRESSES = 100
SERVER = """
    server {{
        listen {host}:{port} ssl; server_name {name};
        {settings}
        ssl_certificate {folder}/{name}.pem; ssl_certificate_key {folder}/{name}.key;
    }}
"""


@dataclass(frozen=True)
class Farm:
    """Where they listen: ``(address, port, server name)`` each; ``root`` is the PEM text of their CA's root, and the file it is in."""

    listeners: tuple[tuple[str, int, str], ...]
    root: str
    root_file: Path


def pem(certificate: x509.Certificate) -> bytes:
    """PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A root and an issuing CA, in memory."""

    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.timezone.utc)
        root_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _count in range(2))
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bench issuing")])
        root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bench root")])
        authority = x509.BasicConstraints(ca=True, path_length=None)
        self.root = self.builder(root_name, root_name, root_key, authority).sign(root_key, hashes.SHA256())
        self.issuing = self.builder(self.name, root_name, self.key, authority).sign(root_key, hashes.SHA256())

    def builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, constraints: x509.BasicConstraints
    ) -> x509.CertificateBuilder:
        """What all certificates have."""
        return (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(self.now - dt.timedelta(hours=1))
            .not_valid_after(self.now + dt.timedelta(days=90))
            .add_extension(constraints, critical=True)
        )

    def issue(self, name: str, folder: Path) -> None:
        """A certificate with its chain, and its key, in ``folder``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self.builder(subject, self.name, key, x509.BasicConstraints(ca=False, path_length=None))
        leaf = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        (folder / f"{name}.pem").write_bytes(pem(leaf.sign(self.key, hashes.SHA256())) + pem(self.issuing))
        plain = serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        (folder / f"{name}.key").write_bytes(private)


@contextlib.contextmanager
def farm(folder: Path, count: int, settings: str = "") -> Iterator[Farm]:
    """nginx with so many listeners, up.

    :param settings: directives for each.
    """
    authority = Authority()
    ports = [free_port() for _each in range((count + ADDRESSES - 1) // ADDRESSES)]
    listeners = tuple(
        (f"127.0.0.{1 + number % ADDRESSES}", ports[number // ADDRESSES], f"www{number}.example.com")
        for number in range(count)
    )
    for _host, _port, name in listeners:
        authority.issue(name, folder)
    root_file = folder / "root.pem"
    root_file.write_bytes(pem(authority.root))
    servers = "".join(
        SERVER.format(host=host, port=port, name=name, folder=folder, settings=settings)
        for host, port, name in listeners
    )
    with nginx.running(folder, servers, ports[0]):
        yield Farm(listeners, pem(authority.root).decode(), root_file)


@contextlib.contextmanager
def silent(count: int) -> Iterator[tuple[tuple[str, int], ...]]:
    """Listeners that never answer: half of them take connections and say nothing, half are full and take none."""
    with contextlib.ExitStack() as stack:
        addresses = []
        for number in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0 if number % 2 else 128)
            addresses.append(listener.getsockname())
            for _each in range(4 if number % 2 else 0):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
        yield tuple(addresses)
