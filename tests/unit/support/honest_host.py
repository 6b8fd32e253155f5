# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in memory that keeps docs/host-protocol.md with real keys and CSRs; all goes to it and comes back as JSON."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from ansible_collections.fleet.tls.plugins.module_utils.renewal import renewal_moment
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id, parse_pem_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW

GENERAL_NAMES: dict[str, Callable[[str], x509.GeneralName]] = {
    "DNS": x509.DNSName,
    "IP": lambda value: x509.IPAddress(ipaddress.ip_address(value)),
    "URI": x509.UniformResourceIdentifier,
    "email": x509.RFC822Name,
}

# What it says of itself.
HOST = {"family": "debian", "openssl": [3, 0, 17], "python": [3, 11], "systemd": True, "resolvers": ["192.0.2.53"]}


@dataclass
class Live:
    """An installed pair."""

    generation: int
    key: Any
    chain: list[str]
    manifest: dict[str, Any]


@dataclass
class HonestHost:
    """``unwilling`` has the errors by which it would refuse certificates in check mode. ``answers`` changes an answer before it is sent:
    (step, answer) → answer, for hosts that are not honest. ``theirs`` has pairs that others have made: path → key, chain (PEM)."""

    clock: float = NOW.timestamp()
    live: dict[str, Live] = field(default_factory=dict)
    pending: dict[str, tuple[str, str, Any, str]] = field(default_factory=dict)
    theirs: dict[str, tuple[Any, list[str]]] = field(default_factory=dict, repr=False)
    problems: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    drift: dict[str, list[str]] = field(default_factory=dict)
    kept_files: dict[str, str] = field(default_factory=dict)
    served: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    unwilling: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: Callable[[str, dict[str, Any]], Any] = lambda _step, answer: answer
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def steps(self) -> list[str]:
        """What it was asked to do, ``look`` with what it should prepare."""
        return [f"{step} {request['prepare']}" if step == "look" else step for step, request in self.calls]

    def look(self, request: Mapping[str, Any]) -> Any:
        """Step look."""
        asked = self._asked("look", request)
        found = {entry["name"]: self._found(entry, asked["prepare"], asked["now"]) for entry in asked["certificates"]}
        return self._answered("look", {"clock": self.clock, "openssl": "3.0.17", "host": HOST, "certificates": found})

    def apply(self, request: Mapping[str, Any], secrets: Mapping[str, str]) -> Any:
        """Step apply."""
        asked = self._asked("apply", request)
        if asked.get("check"):
            outcomes = {entry["name"]: {"error": self.unwilling.get(entry["name"])} for entry in asked["certificates"]}
            return self._answered("apply", {"certificates": outcomes, "services": {}})
        self.secrets.update(secrets)
        outcomes = {entry["name"]: self._applied(entry, secrets, asked["now"]) for entry in asked["certificates"]}
        services = {service["name"]: {"state": "reloaded", "error": None} for service in asked["services"]}
        return self._answered("apply", {"certificates": outcomes, "services": services, "changed": True})

    def _asked(self, step: str, request: Mapping[str, Any]) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(request))
        self.calls.append((step, plain))
        return plain

    def _answered(self, step: str, answer: dict[str, Any]) -> Any:
        return self.answers(step, json.loads(json.dumps(answer)))

    def _found(self, entry: dict[str, Any], prepare: str | list[str], now: int) -> dict[str, Any]:
        name = entry["name"]
        live, problems = self.live.get(name), self.problems.get(name, [])
        adopt = (entry.get("adopt") or {}).get("certificate") if live is None else None
        adoptable = {"chain": self.theirs[adopt][1], "error": None} if adopt in self.theirs else None
        if isinstance(prepare, list) or (
            not adoptable and prepare == "auto" and self._can_tell(entry, live, problems, now)
        ):
            self._prepare(entry)
        pending = self.pending.get(name)
        return {
            "generation": live.generation if live else None,
            "manifest": live.manifest if live else None,
            "fullchain": "".join(live.chain) if live else None,
            "problems": problems,
            "drift": self.drift.get(name, []),
            "kept_files": self.kept_files,
            "pending": {"request_id": pending[0], "csr": pending[3]} if pending else None,
            "served": self.served.get(name, []),
            "adoptable": adoptable,
            "error": None,
        }

    @staticmethod
    def _can_tell(entry: dict[str, Any], live: Live | None, problems: Sequence[Any], now: int) -> bool:
        if live is None or problems or entry["force"] or live.manifest["request_digest"] != entry["request_digest"]:
            return True
        return renewal_moment(live.manifest["not_before"], live.manifest["not_after"], entry["renew_before"]) <= now

    def _prepare(self, entry: dict[str, Any]) -> None:
        name, live = entry["name"], self.live.get(entry["name"])
        if entry["key"]["location"] == "controller":
            return
        if name in self.pending and self.pending[name][1] == entry["request_digest"]:
            return
        key = generate_key(entry["key"]["algorithm"])
        if live and entry["key"]["rotation_policy"] == "never":
            key = live.key
        self.pending[name] = (str(uuid.uuid4()), entry["request_digest"], key, make_csr(key, entry["subject"]))

    def _applied(self, entry: dict[str, Any], secrets: Mapping[str, str], now: int) -> dict[str, Any]:
        name = entry["name"]
        live = self.live.get(name)
        outcome: dict[str, Any] = {
            "generation": live.generation if live else None, "changed": True, "installed": False, "rolled_back": False,
            "unproven": False, "repaired": [], "proof": [], "error": None,
        }  # fmt: skip
        if name in self.refuses:
            return {**outcome, "changed": False, **self.refuses[name]}
        if entry["action"] == "install":
            if entry.get("adopt"):
                key = self.theirs[entry["adopt"]["certificate"]][0]
            else:
                key = self.pending[name][2] if name not in secrets else _loaded(secrets[name])
            leaf = parse_pem_chain(entry["chain"][0])[0]
            assert key_id(key.public_key()) == key_id(leaf.public_key()), "the pair does not match"
            live = Live(
                (live.generation if live else 0) + 1, key, entry["chain"], {**entry["manifest"], "settled": now}
            )
            self.live[name] = live
            self.pending.pop(name, None)
            self.problems.pop(name, None)
            outcome.update(installed=True, generation=live.generation)
        assert live is not None
        live.manifest["settled"] = now
        self.drift.pop(name, None)
        self.served.pop(name, None)
        return outcome


def make_csr(key: Any, subject: dict[str, Any]) -> str:
    """A CSR for the subject of a look's request, PEM."""
    name = subject["common_name"]
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    names = [GENERAL_NAMES[kind](value) for kind, value in subject["sans"]]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    csr = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def _loaded(pem: str) -> Any:
    return serialization.load_pem_private_key(pem.encode(), None)


def run_task(
    host: HonestHost,
    issuers: Mapping[str, Issuer],
    *certificates: Mapping[str, Any],
    now: dt.datetime = NOW,
    name: str = "web1",
    **settings: Any,
) -> HostRun:
    """The task on a host; each certificate is an entry of tls_certificates, ``internal`` its default issuer.

    The host's clock is the controller's, but for the difference that its own already had.
    """
    host.clock += (now - NOW).total_seconds()
    lifetimes = {issuer: each.lifetime for issuer, each in issuers.items()}
    spec = parse_host([{"issuer": "internal", **each} for each in certificates], lifetimes)
    run = HostRun(
        host=name, spec=spec, issuers=issuers, settings=Settings(**settings), look=host.look, apply=host.apply, now=now
    )
    try:
        return run()
    finally:
        host.clock -= (now - NOW).total_seconds()
