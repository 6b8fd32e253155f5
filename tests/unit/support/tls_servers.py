# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real TLS servers on loopback, in threads, and the certificates they need (made with openssl: also for Python 3.9)."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable


@dataclass(frozen=True)
class Pair:
    """A certificate and its key; ``chain`` is what a server sends: the certificate and those above it but the root."""

    certificate: Path
    key: Path
    chain: Path

    @property
    def pem(self) -> str:
        """The certificate alone, PEM."""
        return self.certificate.read_text()

    @property
    def der(self) -> bytes:
        """The certificate alone, DER."""
        return ssl.PEM_cert_to_DER_cert(self.pem)


class Authority:
    """A root and an issuing CA in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._serials = itertools.count(0x1001)
        directory.mkdir(parents=True, exist_ok=True)
        self.root = self._make("root", "/CN=Test root", None, ca=True)
        self.issuing = self._make("issuing", "/CN=Test issuing", self.root, ca=True)

    def issue(
        self,
        name: str,
        san: str = "",
        *,
        days: int = 30,
        signer: Pair | None = None,
        extra: str = "",
        ca: bool = False,
        rsa: int = 0,
        digest: str = "sha256",
    ) -> Pair:
        """A leaf; ``san`` in openssl's form, ``DNS:www.example.com,IP:127.0.0.1``; ``days`` can be negative: expired.

        :param extra: another extension, as openssl's configuration has it.
        :param ca: another issuing CA instead.
        :param rsa: bits of an RSA key instead of one on P-256.
        """
        above = signer or self.issuing
        return self._make(name, f"/CN={name}", above, san=san, days=days, extra=extra, ca=ca, rsa=rsa, digest=digest)

    def _make(
        self,
        name: str,
        subject: str,
        signer: Pair | None,
        *,
        ca: bool = False,
        san: str = "",
        days: int = 30,
        extra: str = "",
        rsa: int = 0,
        digest: str = "sha256",
    ) -> Pair:
        certificate, key, chain = (self.directory / f"{name}{suffix}" for suffix in (".pem", ".key", ".chain.pem"))
        extensions = self.directory / f"{name}.ext"
        lines = [
            f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}",
            *([f"subjectAltName={san}"] if san else []),
            *([extra] if extra else []),
        ]
        extensions.write_text("\n".join(lines) + "\n")
        request = self.directory / f"{name}.csr"
        if rsa:
            run_openssl("genrsa", "-out", str(key), str(rsa))
        else:
            run_openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(key))
        run_openssl("req", "-new", "-key", str(key), "-subj", subject, "-out", str(request))
        signing = ["-signkey", str(key)]
        if signer is not None:
            signing = [
                "-CA",
                str(signer.certificate),
                "-CAkey",
                str(signer.key),
                "-set_serial",
                str(next(self._serials)),
            ]
        run_openssl(
            "x509", "-req", f"-{digest}", "-in", str(request), *signing, "-days", str(days), "-extfile", str(extensions),
            "-out", str(certificate),
        )  # fmt: skip
        above = signer.chain.read_text() if signer is not None and signer.certificate.stem != "root" else ""
        chain.write_text(certificate.read_text() + above)
        return Pair(certificate, key, chain)


def run_openssl(*arguments: str) -> None:
    """Run openssl, quietly unless it fails."""
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=120)


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[Address]:
    """A TCP server that gives each connection to ``answer`` in a thread of its own, and closes it afterwards."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)
    ending = threading.Event()
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            answer(connection)

    def accept() -> None:
        listener.settimeout(0.05)
        while not ending.is_set():
            try:
                connection, _peer = listener.accept()
            except OSError:
                continue
            connection.settimeout(10)
            threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield Address(host, listener.getsockname()[1])
    finally:
        ending.set()
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join(5)


@contextlib.contextmanager
def tls_server(
    pair: Pair,
    *,
    host: str = "127.0.0.1",
    version: ssl.TLSVersion | None = None,
    client_ca: Path | None = None,
    require_client: bool = True,
    tickets: int = 2,
    by_name: dict[str, Pair] | None = None,
) -> Iterator[Address]:
    """A TLS server that shakes hands and waits for the client to go.

    :param version: the only one it speaks.
    :param client_ca: ask for client certificates of this CA; ``require_client``: insist.
    :param by_name: other pairs for other names (SNI).
    """

    def context_for(which: Pair) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        if version is not None:
            # The versions below 1.2 are deprecated in Python, and are what this is about.
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = version
            if version >= ssl.TLSVersion.TLSv1_2:
                context.minimum_version = version
        context.load_cert_chain(which.chain, which.key)
        context.num_tickets = tickets
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
        return context

    context = context_for(pair)
    others = {name: context_for(other) for name, other in (by_name or {}).items()}

    def choose(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name in others:
            connection.context = others[name]

    context.sni_callback = choose

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    with serving(answer, host) as address:
        yield address
