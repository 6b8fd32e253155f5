# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as a CBOM, CycloneDX 1.6: certificates, keys and where they are, algorithms, and the protocol of each endpoint. Pure.

https://cyclonedx.org/docs/1.6/json/#components_items_cryptoProperties has what each field means. The library ``cyclonedx-python-lib`` writes it,
and only who wants this form needs that.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import title_of

try:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.bom_ref import BomRef
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.crypto import (
        AlgorithmProperties,
        CertificateProperties,
        CryptoAssetType,
        CryptoPrimitive,
        CryptoProperties,
        ProtocolProperties,
        ProtocolPropertiesType,
        RelatedCryptoMaterialProperties,
        RelatedCryptoMaterialSecuredBy,
        RelatedCryptoMaterialType,
    )
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion
except ImportError as error:
    LIBRARY_PROBLEM: str | None = str(error)
else:
    LIBRARY_PROBLEM = None

# The categories of NIST's call for post-quantum algorithms (FIPS 203 and 204), 0: a quantum computer breaks it.
QUANTUM_LEVELS = {"mldsa44": 2, "mldsa65": 3, "mldsa87": 5, "mlkem512": 1, "mlkem768": 3, "mlkem1024": 5}
NAMESPACE = "https://fleet-tls.example/cbom/"
PREFIX = "fleet-tls:"
STORE, HOST = "store", "host"


def render(document: Mapping[str, Any]) -> str:
    """JSON, indented.

    :raises DependencyError: the library is not on the controller.
    """
    if LIBRARY_PROBLEM:
        raise DependencyError(
            f"the Python package 'cyclonedx-python-lib' is missing on the controller ({LIBRARY_PROBLEM})",
            remedy="install it where ansible runs: pip install 'cyclonedx-python-lib>=8', or leave cbom out of tls_report_formats",
        )
    inventory = Inventory()
    for certificate in document["certificates"]:
        inventory.add_certificate(certificate)
    for authority in document["authorities"]:
        inventory.add_authority(authority)
    # The same document has the same number.
    number = uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE + json.dumps(document, sort_keys=True, default=str))
    bom = Bom(
        components=inventory.components.values(),
        serial_number=number,
        metadata=BomMetaData(timestamp=parse_moment(document["generated"])),
    )
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    return text + "\n"


def provider_of(row: Mapping[str, Any]) -> str:
    """Where the private key of a CA is: the provider of its key, the store unless the row names another."""
    return str(row.get("key_provider") or STORE)


class Inventory:
    """The components by their references, each once, however many hosts have it."""

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}

    def add_certificate(self, row: Mapping[str, Any]) -> None:
        """One of ``certificates``, with its key, and the endpoints that serve it."""
        fingerprint = row["fingerprint_sha256"]
        if fingerprint is None or row["not_after"] is None:
            return
        reference = f"certificate:{fingerprint}"
        if reference not in self.components:
            properties = CertificateProperties(
                subject_name=row["subject"],
                issuer_name=row["issuer_subject"],
                not_valid_before=parse_moment(row["not_before"]) if row["not_before"] else None,
                not_valid_after=parse_moment(row["not_after"]),
                signature_algorithm_ref=self.algorithm(row["signature_algorithm"], CryptoPrimitive.SIGNATURE),
                subject_public_key_ref=self.public_key(fingerprint, row),
                certificate_format="X.509",
            )
            self.add(
                reference,
                title_of(row),
                CryptoProperties(asset_type=CryptoAssetType.CERTIFICATE, certificate_properties=properties),
            )
        where = [("host", row["host"]), ("path", row["path"]), ("origin", row["origin"]), ("issuer", row["issuer"])]
        self.note(reference, [*where, ("serial", row["serial"]), ("state", row["state"])])
        if row["origin"] != "wire":
            self.private_key(
                f"private-key:{fingerprint}:{row['host']}", title_of(row), row["key_algorithm"], HOST, row["host"]
            )
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

    def public_key(self, fingerprint: str, row: Mapping[str, Any]) -> BomRef:
        """The key in a certificate."""
        material = RelatedCryptoMaterialProperties(
            type=RelatedCryptoMaterialType.PUBLIC_KEY,
            algorithm_ref=self.algorithm(row["key_algorithm"], CryptoPrimitive.SIGNATURE),
            size=bits_of(row["key_algorithm"]),
        )
        properties = CryptoProperties(
            asset_type=CryptoAssetType.RELATED_CRYPTO_MATERIAL, related_crypto_material_properties=material
        )
        return self.add(f"public-key:{fingerprint}", f"public key of {title_of(row)}", properties)

    def private_key(self, reference: str, name: str, algorithm: str | None, provider: str, host: str | None) -> None:
        """A private key, and where it is."""
        if reference in self.components:
            return
        material = RelatedCryptoMaterialProperties(
            type=RelatedCryptoMaterialType.PRIVATE_KEY,
            algorithm_ref=self.algorithm(algorithm, CryptoPrimitive.SIGNATURE),
            size=bits_of(algorithm),
            secured_by=RelatedCryptoMaterialSecuredBy(mechanism=provider),
        )
        properties = CryptoProperties(
            asset_type=CryptoAssetType.RELATED_CRYPTO_MATERIAL, related_crypto_material_properties=material
        )
        self.add(reference, f"private key of {name}", properties)
        self.note(reference, [("key_provider", provider), ("host", host)])

    def endpoint(self, host: str, sight: Mapping[str, Any], certificate: str) -> None:
        """The protocol that an endpoint agreed on, with its group, the server's signature and the certificate."""
        reference = f"protocol:{host}:{sight['endpoint']}:{sight['server_name'] or ''}"
        used = [
            self.algorithm(sight["group"], CryptoPrimitive.KEY_AGREE),
            self.algorithm(sight["signature_scheme"], CryptoPrimitive.SIGNATURE),
            self.components[certificate].bom_ref,
        ]
        known = self.components.get(reference)
        if known is not None:
            # A second certificate of the same endpoint, or the same look from somewhere else.
            known.crypto_properties.protocol_properties.crypto_refs.update(each for each in used if each)  # type: ignore[union-attr]
            return
        version = (sight["protocol"] or "").removeprefix("TLSv") or None
        protocol = ProtocolProperties(
            type=ProtocolPropertiesType.TLS, version=version, crypto_refs=[each for each in used if each]
        )
        properties = CryptoProperties(asset_type=CryptoAssetType.PROTOCOL, protocol_properties=protocol)
        self.add(reference, f"TLS at {sight['endpoint']}", properties)
        self.note(reference, [("host", host), ("endpoint", sight["endpoint"]), ("server_name", sight["server_name"])])

    def algorithm(self, name: str | None, primitive: CryptoPrimitive) -> BomRef | None:
        """The component of an algorithm, by the name that the document has for it; None: it is not known."""
        if not name:
            return None
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        level = next((level for word, level in QUANTUM_LEVELS.items() if word in plain), 0)
        if "mlkem" in plain:
            primitive = CryptoPrimitive.COMBINER if not plain.startswith("mlkem") else CryptoPrimitive.KEM
        algorithm = AlgorithmProperties(
            primitive=primitive, parameter_set_identifier=name, nist_quantum_security_level=level
        )
        properties = CryptoProperties(asset_type=CryptoAssetType.ALGORITHM, algorithm_properties=algorithm)
        return self.add(f"algorithm:{primitive.value}:{name}", name, properties)

    def add(self, reference: str, name: str, properties: CryptoProperties) -> BomRef:
        """A component, unless it is there."""
        if reference not in self.components:
            self.components[reference] = Component(
                name=name or reference,
                type=ComponentType.CRYPTOGRAPHIC_ASSET,
                bom_ref=reference,
                crypto_properties=properties,
            )
        return self.components[reference].bom_ref

    def note(self, reference: str, facts: Iterable[tuple[str, Any]]) -> None:
        """What the schema has no field for."""
        known = self.components[reference].properties
        known.update(Property(name=PREFIX + name, value=str(value)) for name, value in facts if value is not None)


def bits_of(algorithm: str | None) -> int | None:
    """The size of a key, from its name: ``rsa-2048``, ``ecdsa-p256``; None: the name does not tell."""
    found = re.fullmatch(r"(?:rsa|dsa|ecdsa)-[a-z]*(\d+)\w*", algorithm or "")
    return int(found[1]) if found else None
