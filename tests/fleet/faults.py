# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of each fault that fleet.tls.check is to find, for hosts on loopback and in containers: what is planted, and what is to be said of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import distinguished_name
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.store.directory import DirectoryStore

DAY = dt.timedelta(days=1)
PASSPHRASE = "correct horse battery staple"
ISSUERS = {"internal": {"type": "ca", "duration": "30d"}, "aging": {"type": "ca", "duration": "30d"}}
# The certificates of tls_certificates, and what is planted on each of them.
MANAGED = ("good", "reload", "chain", "revoked", "damaged", "due", "short")
# name → certificate and key of an nginx on a port of its own; an older protocol for one of them.
SITES = {"good": "good", "reload": "reload", "chain": "chain", "old": "good"}
SERVER = """server {{ listen {address}:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
  ssl_protocols {protocols}; ssl_ciphers ALL:@SECLEVEL=0; return 204; }}
"""


@dataclass(frozen=True)
class Place:
    """Where the faults of one host are.

    :param folder: of the files that nobody manages, on the host.
    :param live: where the managed ones are on the host.
    :param address: of its servers, for the controller; :param ports: of the sites and of one that nothing listens on.
    """

    host: str
    folder: str
    live: str
    address: str
    ports: dict[str, int]

    def certificates(self) -> list[dict[str, Any]]:
        """``tls_certificates`` as they are issued first."""
        return [
            {"name": name, "issuer": "internal", "dns_names": [f"{name}.example.com"], **({"duration": "6d"} if name == "short" else {})}
            for name in MANAGED
        ]  # fmt: skip

    def wanted(self) -> list[dict[str, Any]]:
        """The same as they are wanted when the check is made: one is missing, one is to have another name."""
        changed = [
            {**each, "dns_names": ["another.example.com"]} if each["name"] == "due" else each
            for each in self.certificates()
        ]
        return [*changed, {"name": "missing", "issuer": "internal", "dns_names": ["missing.example.com"]}]

    def servers(self) -> str:
        """The ``server`` blocks of its nginx."""
        pairs = {
            name: (f"{self.live}/{pair}/fullchain.pem", f"{self.live}/{pair}/privkey.pem")
            for name, pair in SITES.items()
        }
        pairs["chain"] = (f"{self.live}/chain/cert.pem", f"{self.live}/chain/privkey.pem")
        pairs["stranger"] = (f"{self.folder}/stranger.pem", f"{self.folder}/stranger.key")
        return "".join(
            SERVER.format(
                address="0.0.0.0" if self.address != "127.0.0.1" else self.address,
                port=self.ports[name],
                certificate=certificate,
                key=key,
                protocols="TLSv1.1" if name == "old" else "TLSv1.2 TLSv1.3",
            )
            for name, (certificate, key) in pairs.items()
        )

    def endpoint(self, site: str, name: str) -> dict[str, Any]:
        """One of ``tls_endpoints``."""
        return {"host": self.address, "port": self.ports[site], "server_name": f"{name}.example.com"}

    def endpoints(self) -> list[dict[str, Any]]:
        """``tls_endpoints``: each site by its name, one by a wrong name, and one where nobody listens."""
        right = [self.endpoint(site, pair) for site, pair in {**SITES, "stranger": "stranger"}.items()]
        return [*right, self.endpoint("good", "wrong"), self.endpoint("down", "nobody")]

    def at(self, site: str) -> str:
        """An endpoint as findings name it."""
        return f"{self.address}:{self.ports[site]}"

    def expected(self) -> set[tuple[str | None, str, str]]:
        """Host, code and subject of everything that is to be found on this host."""
        files = {f"{self.folder}/{name}.pem" for name in UNMANAGED}
        found = {
            ("not_served", "reload"), ("chain_incomplete", "chain"), ("revoked", "revoked"), ("damaged", "damaged"), ("due", "due"),
            ("schedule_too_rare", "short"), ("missing", "missing"), ("weak", "good"), ("name_mismatch", "good"),
            ("endpoint_down", self.at("down")), ("key_exposed", f"{self.folder}/exposed.key"),
            ("unmanaged", f"{self.folder}/locked.p12"),
            *((code, f"{self.folder}/{name}.pem") for name, code in UNMANAGED.items() if code), *(("unmanaged", path) for path in files),
        }  # fmt: skip
        return {(self.host, code, subject) for code, subject in found}


# What nobody manages: a file's name → what is wrong with it besides.
UNMANAGED = {
    "forgotten": None, "expired": "expired", "soon": "expiring", "early": "not_yet_valid", "weak": "weak", "mixed": "damaged",
    "stranger": "untrusted", "exposed": None,
}  # fmt: skip
OF_NOBODY = {
    (None, "ca_expiring", "aging"), (None, "crl_expired", "internal"), (None, "ring_old", "web"),
}  # fmt: skip


def pair(name: str, days: float, left: float, key: Any = None) -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key, PEM; it lives for ``days``, ``left`` of them to come."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(distinguished_name((), f"{name}.example.com"))
        .issuer_name(distinguished_name((), "somebody else"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + (left - days) * DAY)
        .not_valid_after(now + left * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    )


def files() -> dict[str, tuple[bytes, str]]:
    """What lies in the folder: name → content and mode. A key is closed but where it is the fault."""
    found: dict[str, tuple[bytes, str]] = {}
    dates = {"expired": (90, -3), "soon": (365, 5), "early": (90, 95)}
    for name in UNMANAGED:
        strength = rsa.generate_private_key(65537, 1024) if name == "weak" else None
        certificate, key = pair(name, *dates.get(name, (365, 200)), key=strength)
        found[f"{name}.pem"] = (certificate, "0644")
        if name in ("stranger", "exposed"):
            found[f"{name}.key"] = (key, "0644" if name == "exposed" else "0600")
        if name == "mixed":
            found["mixed.pem"] = (certificate + pair("other", 90, 60)[1], "0600")
    locked = pair("locked", 90, 60)
    found["locked.p12"] = (
        serialization.pkcs12.serialize_key_and_certificates(
            b"locked", serialization.load_pem_private_key(locked[1], None), x509.load_pem_x509_certificate(locked[0]), None,  # type: ignore[arg-type]
            serialization.BestAvailableEncryption(b"nobody knows"),
        ),
        "0600",
    )  # fmt: skip
    return found


def plant_in_store(path: Path) -> None:
    """An issuing CA that nobody replaced in time, and session ticket keys that nobody rotates."""
    store = DirectoryStore({"path": str(path), "passphrase": PASSPHRASE})
    now = dt.datetime.now(dt.timezone.utc)
    # Of two years, 100 days are left: a third would have been the time for the next one.
    CaIssuer("aging", {"duration": "30d"}, store).prepare(now - 630 * DAY)
    # Its lists are current: those are another fault.
    CaIssuer("aging", {"duration": "30d"}, store).crls(now)
    RingStore(store, "web").create(int((now - 20 * DAY).timestamp()))


def lose_a_list(path: Path) -> None:
    """A revocation list that is not there any more."""
    (path / "ca" / "internal" / "root-1.crl").unlink()


def found_in(document: dict[str, Any]) -> set[tuple[str | None, str, str]]:
    """Host, code and subject of everything that was found, but for what depends on how old the OpenSSL of this machine is."""
    found = {(each["host"], each["code"], each["subject"]) for each in document["findings"]}
    return {each for each in found if each[2] != "key agreement"}


def issue(variables: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A task that gives hosts their certificates, without a word to any server."""
    store = {**variables["tls_store"], "passphrase": PASSPHRASE}
    arguments = {"store": store, "issuers": "{{ tls_issuers }}", "directory": "{{ tls_directory }}", **options}
    return {"fleet.tls.certificates": {"certificates": "{{ tls_certificates }}", **arguments}}


def revoke(variables: dict[str, Any], host: str) -> dict[str, Any]:
    """A task that revokes a certificate, which stays where it is."""
    store = {**variables["tls_store"], "passphrase": PASSPHRASE}
    arguments = {"store": store, "issuers": "{{ tls_issuers }}", "names": ["revoked"], "hosts": [host]}
    return {"fleet.tls.revoke": {**arguments, "reason": "key_compromise"}, "run_once": True}


Ports = Callable[[], int]


def free_ports(free: Ports) -> dict[str, int]:
    """A port for every site, and one where nobody listens."""
    return {name: free() for name in (*SITES, "stranger", "down")}
