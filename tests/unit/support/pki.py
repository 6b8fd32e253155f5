# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An internal CA in a directory store with a clock of the test's, and the wishes and requests that go to it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.csr import make_csr
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import KEY_ALGORITHMS
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec, parse_certificate
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import SCRYPT
from ansible_collections.fleet.tls.plugins.plugin_utils.store.pkcs8 import PBKDF2
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.store.directory import DirectoryStore

NOW = dt.datetime(2026, 11, 23, 10, tzinfo=dt.timezone.utc)
DAY = dt.timedelta(days=1)
# What sealed keys had in earlier releases.
FEW_ROUNDS = 2048
# Those that every openssl and every cryptography here has; test_post_quantum.py has the others.
CLASSICAL = tuple(each for each in KEY_ALGORITHMS if not each.startswith("ml-dsa-"))
PASSPHRASE = "correct horse battery staple"
LIFETIMES = {"internal": 90 * 86400, "other": 90 * 86400}


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps guessers busy for a moment would keep the tests busy for minutes; stores record their own cost."""
    monkeypatch.setitem(SCRYPT, "n", 2)
    monkeypatch.setitem(PBKDF2, "rounds", FEW_ROUNDS)


def make_store(path: Path, passphrase: str | None = PASSPHRASE) -> DirectoryStore:
    """The store at ``path``."""
    return DirectoryStore({"path": str(path), "passphrase": passphrase})


class Killed(BaseException):
    """A run that ends without another word."""


def killed_after_puts(store: DirectoryStore, puts: int, work: Callable[[], Any]) -> bool:
    """Do ``work``, which ends when ``store`` has been written to so many times; False: it was done before."""
    put, left = store.put, puts

    def counted(*arguments: Any, **named: Any) -> str:
        nonlocal left
        version = put(*arguments, **named)
        left -= 1
        if not left:
            raise Killed
        return version

    store.put = counted  # type: ignore[method-assign]
    try:
        work()
    except Killed:
        return True
    return False


def make_issuer(path: Path, name: str = "internal", passphrase: str | None = PASSPHRASE, **options: Any) -> CaIssuer:
    """A CA in the store at ``path``."""
    return CaIssuer(name, options, make_store(path, passphrase))


def make_spec(name: str = "www", **fields: Any) -> CertificateSpec:
    """A wish, as an entry of tls_certificates makes it."""
    names = (
        {}
        if any(field in fields for field in ("ip_addresses", "uris", "email_addresses"))
        else {"dns_names": [f"{name}.example.com"]}
    )
    return parse_certificate({"name": name, "issuer": "internal", **names, **fields}, LIFETIMES)


def make_request(
    spec: CertificateSpec | None = None, *, request_id: str = "request-0001", host: str = "web1", key: Any = None
) -> IssueRequest:
    """A request with a CSR of a fresh key, or of ``key``."""
    spec = spec or make_spec()
    return IssueRequest(
        request_id=request_id,
        host=host,
        certificate=spec.name,
        csr=make_csr(key or ec.generate_private_key(ec.SECP256R1()), spec),
        names=spec.names,
        usages=spec.usages,
        key_usages=spec.key_usages,
        duration=spec.duration,
        reason="missing",
    )


def snapshot(directory: Path, without: Iterable[str] = ("locks", ".gitignore")) -> dict[str, bytes]:
    """The files of a directory with their contents, less what lies in the folders ``without``."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not set(path.relative_to(directory).parts) & set(without)
    }


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name."""
    return str(certificate.subject.rfc4514_string()).removeprefix("CN=")
