# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as a CBOM, CycloneDX 1.6: certificates, keys and where they are, algorithms, and the protocol of each endpoint. Pure.

https://cyclonedx.org/docs/1.6/json/#components_items_cryptoProperties has what each field means. The library ``cyclonedx-python-lib`` compares
every component with many others when it writes, which takes minutes for ten thousand certificates, so the tests alone use it, to validate.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import title_of

# The categories of NIST's call for post-quantum algorithms (FIPS 203 and 204), 0: a quantum computer breaks it.
QUANTUM_LEVELS = {"mldsa44": 2, "mldsa65": 3, "mldsa87": 5, "mlkem512": 1, "mlkem768": 3, "mlkem1024": 5}
NAMESPACE = "https://fleet-tls.example/cbom/"
PREFIX = "fleet-tls:"
HOST, ELSEWHERE = "host", "elsewhere"
SIGNATURE, KEY_AGREEMENT = "signature", "key-agree"


def render(document: Mapping[str, Any]) -> str:
    """JSON, indented."""
    inventory = Inventory()
    for certificate in document["certificates"]:
        inventory.add_certificate(certificate)
    for authority in document["authorities"]:
        inventory.add_authority(authority)
    components = inventory.listed()
    # The same components of the same moment have the same number.
    text = json.dumps([document["generated"], components], sort_keys=True)
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE + text).urn,
        "version": 1,
        "metadata": {"timestamp": document["generated"]},
        "components": components,
    }
    return json.dumps(bill, indent=2, ensure_ascii=True) + "\n"


def provider_of(row: Mapping[str, Any]) -> str:
    """Where the private key of a CA is: the store, a key provider and what that finds it by, or elsewhere."""
    return str(row.get("key") or ELSEWHERE)


class Inventory:
    """The components by their references, each once, however many hosts have it."""

    def __init__(self) -> None:
        self._components: dict[str, dict[str, Any]] = {}
        self._notes: dict[str, set[tuple[str, str]]] = {}

    def listed(self) -> list[dict[str, Any]]:
        """All of them, by their references, with what was noted of them."""
        found = []
        for reference, component in sorted(self._components.items()):
            notes = sorted(self._notes.get(reference, ()))
            properties = [{"name": PREFIX + name, "value": value} for name, value in notes]
            found.append({**component, "properties": properties} if properties else component)
        return found

    def add_certificate(self, row: Mapping[str, Any]) -> None:
        """One of ``certificates``, with its key, and the endpoints that serve it."""
        fingerprint = row["fingerprint_sha256"]
        if fingerprint is None or row["not_after"] is None:
            return
        reference = f"certificate:{fingerprint}"
        if reference not in self._components:
            facts = {
                "subjectName": row["subject"],
                "issuerName": row["issuer_subject"],
                "notValidBefore": row["not_before"],
                "notValidAfter": row["not_after"],
                "signatureAlgorithmRef": self.algorithm(row["signature_algorithm"], SIGNATURE),
                "subjectPublicKeyRef": self.public_key(fingerprint, row),
                "certificateFormat": "X.509",
            }
            self.add(reference, title_of(row), "certificate", "certificateProperties", facts)
        where = [("host", row["host"]), ("path", row["path"]), ("origin", row["origin"]), ("issuer", row["issuer"])]
        self.note(reference, [*where, ("serial", row["serial"]), ("state", row["state"])])
        if row["origin"] != "wire":
            key = f"private-key:{fingerprint}:{row['host']}"
            self.private_key(key, title_of(row), row["key_algorithm"], HOST, row["host"])
        for sight in row["served"]:
            if sight["fingerprint_sha256"] == fingerprint:
                self.endpoint(row["host"], sight, reference)

    def add_authority(self, row: Mapping[str, Any]) -> None:
        """One of ``authorities``: the key of a CA. Its certificate is none of the document's."""
        if row["kind"] == "crl":
            return
        reference = f"private-key:{row['issuer']}:{row['kind']}:{row['subject']}"
        self.private_key(reference, str(row["subject"]), row.get("key_algorithm"), provider_of(row), None)
        self.note(reference, [("issuer", row["issuer"]), ("kind", row["kind"]), ("not_after", row["not_after"])])

    def public_key(self, fingerprint: str, row: Mapping[str, Any]) -> str:
        """The key in a certificate; its reference."""
        return self.material(
            f"public-key:{fingerprint}", f"public key of {title_of(row)}", "public-key", row["key_algorithm"]
        )

    def private_key(self, reference: str, name: str, algorithm: str | None, provider: str, host: str | None) -> None:
        """A private key, and where it is."""
        secured = {"securedBy": {"mechanism": provider}}
        self.material(reference, f"private key of {name}", "private-key", algorithm, secured)
        self.note(reference, [("key_provider", provider), ("host", host)])

    def material(
        self, reference: str, name: str, kind: str, algorithm: str | None, more: Mapping[str, Any] | None = None
    ) -> str:
        """A key; its reference."""
        facts = {
            "type": kind,
            "algorithmRef": self.algorithm(algorithm, SIGNATURE),
            "size": bits_of(algorithm),
            **(more or {}),
        }
        return self.add(reference, name, "related-crypto-material", "relatedCryptoMaterialProperties", facts)

    def endpoint(self, host: str, sight: Mapping[str, Any], certificate: str) -> None:
        """The protocol that an endpoint agreed on, with its group, the server's signature and the certificate."""
        reference = f"protocol:{host}:{sight['endpoint']}:{sight['server_name'] or ''}"
        version = (sight["protocol"] or "").removeprefix("TLSv") or None
        facts: dict[str, Any] = {"type": "tls", "version": version, "cryptoRefArray": []}
        self.add(reference, f"TLS at {sight['endpoint']}", "protocol", "protocolProperties", facts)
        self.note(reference, [("host", host), ("endpoint", sight["endpoint"]), ("server_name", sight["server_name"])])
        known = self._components[reference]["cryptoProperties"]["protocolProperties"]
        if version:
            # The host's own look does not tell it.
            known["version"] = version
        used = (
            self.algorithm(sight["group"], KEY_AGREEMENT),
            self.algorithm(sight["signature_scheme"], SIGNATURE),
            certificate,
        )
        known["cryptoRefArray"] = sorted({*known["cryptoRefArray"], *(each for each in used if each)})

    def algorithm(self, name: str | None, primitive: str) -> str | None:
        """The reference of an algorithm, by the name that the document has for it; None: it is not known."""
        if not name:
            return None
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        level = next((level for word, level in QUANTUM_LEVELS.items() if word in plain), 0)
        if "mlkem" in plain:
            primitive = "kem" if plain.startswith("mlkem") else "combiner"
        facts = {"primitive": primitive, "parameterSetIdentifier": name, "nistQuantumSecurityLevel": level}
        return self.add(f"algorithm:{primitive}:{name}", name, "algorithm", "algorithmProperties", facts)

    def add(self, reference: str, name: str, kind: str, field: str, facts: Mapping[str, Any]) -> str:
        """A component, unless it is there; its reference."""
        if reference not in self._components:
            told = {key: value for key, value in facts.items() if value is not None}
            self._components[reference] = {
                "type": "cryptographic-asset",
                "bom-ref": reference,
                "name": name or reference,
                "cryptoProperties": {"assetType": kind, field: told},
            }
        return reference

    def note(self, reference: str, facts: Iterable[tuple[str, Any]]) -> None:
        """What the schema has no field for."""
        known = self._notes.setdefault(reference, set())
        known.update((name, str(value)) for name, value in facts if value is not None)


def bits_of(algorithm: str | None) -> int | None:
    """The size of a key, from its name: ``rsa-2048``, ``ecdsa-p256``; None: the name does not tell."""
    found = re.fullmatch(r"(?:rsa|dsa|ecdsa)-[a-z]*(\d+)\w*", algorithm or "")
    return int(found[1]) if found else None
