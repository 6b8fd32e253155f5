# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CBOM as its readers take it: against the schema, with the library's own validator."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ansible_collections.fleet.tls.plugins.plugin_utils.report import cbom
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import as_of, parse_document
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import as_before, render
from ansible_collections.fleet.tls.tests.unit.support import health_documents

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def bill(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its components by reference; it follows the schema."""
    text = render(document, "cbom")
    problem = VALIDATOR.validate_str(text)
    assert problem is None, problem
    read = json.loads(text)
    assert (read["bomFormat"], read["specVersion"]) == ("CycloneDX", "1.6")
    return {each["bom-ref"]: each for each in read["components"]}


def properties(component: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["name"].removeprefix("fleet-tls:"), each["value"]) for each in component["properties"]}


def test_the_sample() -> None:
    sample = health_documents.sample()
    components = bill(sample)
    kinds = [each["cryptoProperties"]["assetType"] for each in components.values()]
    known = [each for each in sample["certificates"] if each["fingerprint_sha256"] and each["not_after"]]
    assert kinds.count("certificate") == len({each["fingerprint_sha256"] for each in known})
    certificate = components["certificate:" + "a" * 64]
    facts = certificate["cryptoProperties"]["certificateProperties"]
    assert facts["subjectName"] == "CN=www.example.com" and facts["notValidAfter"].startswith("2027-01-22T17:00:00")
    assert ("host", "web1") in properties(certificate)
    key = components[facts["subjectPublicKeyRef"]]["cryptoProperties"]["relatedCryptoMaterialProperties"]
    assert (key["type"], key["size"]) == ("public-key", 256)
    assert components[key["algorithmRef"]]["name"] == "ecdsa-p256"
    assert facts["signatureAlgorithmRef"] in components


def test_a_protocol_for_each_endpoint_with_what_it_agreed_on() -> None:
    protocol = bill(health_documents.sample())["protocol:web1:web1:443:www.example.com"]
    facts = protocol["cryptoProperties"]["protocolProperties"]
    assert (facts["type"], facts["version"]) == ("tls", "1.3")
    assert set(facts["cryptoRefArray"]) == {
        "algorithm:key-agree:x25519", "algorithm:signature:ecdsa_secp256r1_sha256", "certificate:" + "a" * 64,
    }  # fmt: skip


def test_where_keys_are() -> None:
    document = health_documents.sample()
    document["authorities"] = [
        {"issuer": "internal", "kind": kind, "subject": f"CN={kind}", "not_after": None, "days_left": None, "state": "ok", "severity": "ok"}
        for kind in ("root", "issuing", "old", "crl")
    ]  # fmt: skip
    document["authorities"][0]["key"] = "pkcs11 pkcs11:token=tls"
    document["authorities"][1]["key"] = "store"
    components = bill(document)

    def mechanism(reference: str) -> str:
        facts = components[reference]["cryptoProperties"]["relatedCryptoMaterialProperties"]
        return str(facts["securedBy"]["mechanism"])

    assert mechanism("private-key:internal:root:CN=root") == "pkcs11 pkcs11:token=tls"
    assert mechanism("private-key:internal:issuing:CN=issuing") == "store"
    assert mechanism("private-key:internal:old:CN=old") == "elsewhere"
    assert not any("crl" in each for each in components)
    assert mechanism("private-key:" + "a" * 64 + ":web1") == "host"
    assert "PRIVATE KEY-----" not in json.dumps(components)


def test_post_quantum_algorithms_have_their_levels() -> None:
    served = {**health_documents.certificate()["served"][0], "group": "X25519MLKEM768", "signature_scheme": "mldsa65"}
    made = health_documents.certificate(key_algorithm="ml-dsa-65", signature_algorithm="ml-dsa-65", served=[served])
    served["fingerprint_sha256"] = made["fingerprint_sha256"]
    components = bill(health_documents.document([made], []))
    levels = {
        each["name"]: each["cryptoProperties"]["algorithmProperties"]["nistQuantumSecurityLevel"]
        for each in components.values()
        if each["cryptoProperties"]["assetType"] == "algorithm"
    }
    assert levels == {"X25519MLKEM768": 3, "mldsa65": 3, "ml-dsa-65": 3}


def test_a_hostile_world_follows_the_schema() -> None:
    for text in health_documents.HOSTILE_TEXTS:
        hostile = health_documents.certificate(
            host=text, name=text, path=text, subject=text, issuer_subject=text, key_algorithm=text
        )
        bill(health_documents.document([hostile], []))


def test_a_later_run_has_nothing_new_to_say() -> None:
    document = parse_document(health_documents.sample())
    before = cbom.render(document)
    later = as_of(document, health_documents.NOW + dt.timedelta(days=1))
    assert cbom.render(later) != before and as_before(later, "cbom", before) == before
