# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.groups import GROUPS
from ansible_collections.fleet.tls.plugins.module_utils.tls.signatures import SCHEMES
from ansible_collections.fleet.tls.plugins.module_utils.tls.suites import SUITES
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.accepted import (
    judge_accepts,
    parse_profiles,
    read_accepts,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.judged_profiles import PROFILES
from ansible_collections.fleet.tls.plugins.plugin_utils.web import profiles as ours

GOOD = {
    "TLSv1.3": {
        "suites": ["TLS_AES_128_GCM_SHA256"],
        "groups": ["x25519"],
        "signature_schemes": ["ecdsa_secp256r1_sha256"],
    },
    "TLSv1.2": {
        "suites": ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
        "groups": ["secp256r1"],
        "signature_schemes": ["ecdsa_secp256r1_sha256"],
    },
}


def accepts(error: str | None = None, **protocols: Any) -> dict[str, Any]:
    return {"protocols": protocols or GOOD, "handshakes": 9, "error": error}


def found(profile: str, seen: dict[str, Any]) -> list[tuple[str, str, str]]:
    judged = judge_accepts(seen, [profile])[profile]
    return [(each["what"], each["value"], each["problem"]) for each in judged["violations"]]


def with_suite(name: str, version: str = "TLSv1.2") -> dict[str, Any]:
    return accepts(**{**GOOD, version: {**GOOD.get(version, GOOD["TLSv1.2"]), "suites": [name]}})


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_names_its_document_and_knows_what_it_names(profile: str) -> None:
    known = PROFILES[profile]
    assert known.document and known.source.startswith("https://")
    assert any(each.isdigit() for each in known.document)
    assert set(known.suites or ()) <= set(SUITES.values())
    assert {each for each in known.groups or () if not each.startswith("dh-")} <= set(GROUPS.values())
    assert set(known.schemes or ()) <= set(SCHEMES.values())
    assert len(set(known.suites or ())) == len(known.suites or ())


def test_what_conforms() -> None:
    judged = judge_accepts(accepts(), ["mozilla_intermediate", "nist_sp_800_52r2", "pci_dss_4_0_1"])
    assert all(each["conforms"] and each["violations"] == [] for each in judged.values())
    assert judged["mozilla_intermediate"]["source"].endswith("6.0.json")


def test_what_our_own_roles_configure_conforms_to_what_they_are_named_after() -> None:
    for name, profile in ours.PROFILES.items():
        theirs = PROFILES[f"mozilla_{name}"]
        assert set(profile.protocols) == set(theirs.protocols or ())
        assert set(ours.CIPHERSUITES) <= set(theirs.suites or ())
        assert {"secp256r1" if each == "prime256v1" else each.lower() for each in ours.GROUPS} <= set(
            theirs.groups or ()
        )


@pytest.mark.parametrize(
    ("profile", "seen", "expected"),
    [
        ("mozilla_modern", accepts(), [("protocols", "TLSv1.2", "not_allowed")]),
        ("mozilla_intermediate", accepts(**{"TLSv1.3": GOOD["TLSv1.3"]}), [("protocols", "TLSv1.2", "required")]),
        ("mozilla_intermediate", with_suite("TLS_RSA_WITH_AES_128_CBC_SHA"), [("suites", "TLS_RSA_WITH_AES_128_CBC_SHA", "not_allowed")]),
        ("bsi_tr_02102_2", accepts(), [("groups", "x25519", "not_allowed")]),
        ("nist_sp_800_52r2", with_suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
         [("suites", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "not_allowed")]),
        ("pci_dss_4_0_1", with_suite("TLS_RSA_WITH_NULL_SHA"), [("suites", "TLS_RSA_WITH_NULL_SHA", "not_allowed")]),
        ("pci_dss_4_0_1", with_suite("TLS_RSA_EXPORT_WITH_DES40_CBC_SHA", "TLSv1"), [("protocols", "TLSv1", "not_allowed")]),
        ("pci_dss_4_0_1", with_suite("TLS_RSA_WITH_3DES_EDE_CBC_SHA"), []),
        ("pci_dss_4_0_1", with_suite("TLS_DH_anon_WITH_AES_128_CBC_SHA"), [("suites", "TLS_DH_anon_WITH_AES_128_CBC_SHA", "not_allowed")]),
    ],
)  # fmt: skip
def test_what_does_not(profile: str, seen: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert found(profile, seen) == expected


def test_finite_fields_by_their_bits() -> None:
    def with_group(name: str) -> dict[str, Any]:
        return accepts(**{**GOOD, "TLSv1.2": {**GOOD["TLSv1.2"], "groups": [name]}})

    assert ("groups", "dh-2048", "not_allowed") in found("bsi_tr_02102_2", with_group("dh-2048"))
    assert ("groups", "dh-4096", "not_allowed") not in found("bsi_tr_02102_2", with_group("dh-4096"))
    assert ("groups", "dh-1024", "not_allowed") in found("mozilla_intermediate", with_group("dh-1024"))
    # What a host says may be anything.
    for name in ("dh-many", "dh-", "dh-1_0", f"dh-{'9' * 60}"):
        assert ("groups", name, "not_allowed") in found("bsi_tr_02102_2", with_group(name))


def test_a_rule_where_its_text_was_read_and_none_elsewhere() -> None:
    (violation,) = judge_accepts(with_suite("TLS_RSA_WITH_NULL_SHA"), ["pci_dss_4_0_1"])["pci_dss_4_0_1"]["violations"]
    assert violation["rule"] == "4.2.1" and violation["protocol"] == "TLSv1.2"
    (violation,) = judge_accepts(accepts(), ["bsi_tr_02102_2"])["bsi_tr_02102_2"]["violations"]
    assert violation["rule"] is None


def test_where_not_all_is_known_nobody_is_acquitted() -> None:
    assert judge_accepts(accepts(error="timed out"), ["nist_sp_800_52r2"])["nist_sp_800_52r2"]["conforms"] is None
    nothing = {"protocols": {}, "handshakes": 2, "error": None}
    assert judge_accepts(nothing, ["mozilla_modern"])["mozilla_modern"] | {"document": "", "source": ""} == {
        "document": "", "source": "", "conforms": None, "violations": [],
    }  # fmt: skip
    assert judge_accepts(accepts(error="timed out"), ["mozilla_modern"])["mozilla_modern"]["conforms"] is False


def test_a_hosts_answer_is_not_taken_on_trust() -> None:
    assert read_accepts(None) is None and read_accepts([1]) is None
    raw = {
        "protocols": {"TLSv1.3": {"suites": ["TLS_AES_128_GCM_SHA256", "\x1b[31m", 7, "x" * 999], "groups": "x"}, "TLSv9": {}, "TLSv1": 5},
        "handshakes": "many",
        "error": 5,
    }  # fmt: skip
    read = read_accepts(raw)
    assert read is not None and list(read["protocols"]) == ["TLSv1.3", "TLSv1"]
    assert read["protocols"]["TLSv1.3"] == {
        "suites": ["TLS_AES_128_GCM_SHA256", "7"],
        "groups": [],
        "signature_schemes": [],
    }
    assert read["handshakes"] is None


def test_profiles_that_are_none() -> None:
    assert parse_profiles(["mozilla_old", "mozilla_old"]) == ("mozilla_old",)
    with pytest.raises(SpecError, match="profiles: 'mozilla' is unknown"):
        parse_profiles(["mozilla"])
