# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of each kind for the whole fleet, whose reasons are right, and which fails no check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import failed_hosts, failing_texts
from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import HostInput
from ansible_collections.fleet.tls.plugins.plugin_utils.health.post_quantum import too_old
from ansible_collections.fleet.tls.tests.unit.plugins.plugin_utils.health.test_document import (
    FULL,
    codes,
    judged,
    look,
    managed,
    now_fp,
    probe,
    shown,
    web1,
)

OLD, NEW = "3.0.17", "3.5.1"


def host(
    name: str, group: str | None, asked_by: str | None, openssl: tuple[int, ...] = (), **changes: Any
) -> HostInput:
    """One whose only endpoint agrees on keys so."""
    served = shown(now_fp(), group=group, signature_scheme="ecdsa_secp256r1_sha256", openssl=asked_by, **changes)
    return HostInput(name, look(managed(served=[served])), openssl=openssl)


def test_one_line_for_all_that_lack_it_with_each_hosts_reason() -> None:
    seen = [
        *(host(f"old{number:02}", "x25519", NEW, (3, 0, 17)) for number in range(20)),
        host("left-out", "secp256r1", NEW, (3, 5, 1)),
        host("ready", "X25519MLKEM768", NEW, (3, 5, 1)),
    ]
    document = judged(*seen)
    (finding,) = document["findings"]
    assert (finding["code"], finding["host"], finding["severity"]) == ("pq_key_agreement_missing", None, "notice")
    assert "21 of 22 endpoints" in finding["message"]
    assert "OpenSSL 3.0.17 is too old (old00, old01, old02, old03, old04 and 15 more)" in finding["message"]
    assert (
        "OpenSSL 3.5.1 has it, but the server's profile or configuration leaves it out (left-out)" in finding["message"]
    )
    assert all(each["state"] == "ok" for each in document["certificates"])
    assert failing_texts(document, None, ("warning", "critical")) == []
    assert failed_hosts(document, dict.fromkeys(("old00", "ready"), "warning")) == {}
    served = document["certificates"][0]["served"][0]
    assert (served["group"], served["signature_scheme"]) == ("x25519", "ecdsa_secp256r1_sha256")


def test_an_old_openssl_does_not_judge() -> None:
    document = judged(host("web1", "x25519", OLD), host("web2", "x25519", OLD), host("web3", "X25519MLKEM768", NEW))
    (finding,) = document["findings"]
    assert (finding["code"], finding["severity"]) == ("cannot_judge_here", "notice")
    assert "whether 2 of 3 endpoints" in finding["message"] and f"OpenSSL {OLD} asked" in finding["message"]
    assert "web1, web2" in finding["message"]


def test_who_is_new_enough_decides_where_both_have_asked() -> None:
    both = shown(now_fp(), endpoint="web1:443", group="x25519", openssl=OLD)
    new = {**probe(*FULL, group="X25519MLKEM768"), "openssl": NEW}
    assert judged(web1(managed(served=[both]), probes=[new]))["findings"] == []
    lacking = {**probe(*FULL, group="x25519"), "openssl": NEW}
    assert codes(judged(web1(managed(served=[both]), probes=[lacking]))) == [
        ("pq_key_agreement_missing", "key agreement")
    ]


@pytest.mark.parametrize(
    ("post_quantum", "expected"), [(True, []), (False, [("pq_key_agreement_missing", "key agreement")])]
)
def test_an_old_openssl_judges_by_what_was_asked_without_it(
    post_quantum: bool, expected: list[tuple[str, str]]
) -> None:
    seen = {**probe(*FULL, group="x25519", post_quantum=post_quantum), "openssl": OLD}
    assert codes(judged(web1(managed(), probes=[seen]))) == expected


def test_nothing_is_said_of_what_was_not_seen() -> None:
    assert judged(host("web1", None, None))["findings"] == []
    found = codes(judged(web1(managed(served=[shown(None, openssl=NEW, error="refused")]))))
    assert [code for code, _subject in found] == ["endpoint_down"]


def test_vulnerable_keys_only_where_that_is_wanted() -> None:
    seen = [host("web1", "X25519MLKEM768", NEW, (3, 0, 17)), host("web2", "X25519MLKEM768", NEW, (3, 5, 0))]
    assert judged(*seen)["findings"] == []
    (finding,) = judged(*seen, quantum_vulnerable=True)["findings"]
    assert (finding["code"], finding["severity"], finding["host"]) == ("quantum_vulnerable", "notice", None)
    assert "2 of 2 certificates" in finding["message"] and "(2 ecdsa-p256)" in finding["message"]
    assert (
        "OpenSSL 3.0.17 is too old (web1)" in finding["message"] and "OpenSSL 3.5.0 has it, but" in finding["message"]
    )


@pytest.mark.parametrize("fingerprint", [None, "ab" * 32])
def test_a_certificate_that_the_asking_side_does_not_know_is_not_called_unserved(fingerprint: str | None) -> None:
    safe = managed(key_algorithm="ml-dsa-65")
    served = shown(fingerprint, openssl=OLD, error=None if fingerprint else "handshake_failure")
    document = judged(web1({**safe, "served": [served]}))
    found = {code for code, _subject in codes(document)}
    assert "cannot_judge_here" in found and not found & {"not_served", "endpoint_down"}
    assert any(OLD in each["message"] and "kind of key" in each["message"] for each in document["findings"])
    told = codes(judged(web1({**safe, "served": [{**served, "openssl": NEW}]})))
    assert told[0][0] == ("not_served" if fingerprint else "endpoint_down")


@pytest.mark.parametrize("name", ["www.example.com", "other.example.com"])
def test_an_endpoint_with_ml_dsa_is_not_called_down(name: str) -> None:
    seen = {**probe(name=name, error="…", ml_dsa=True), "openssl": OLD}
    (finding,) = judged(web1(managed(), probes=[seen]))["findings"]
    assert (finding["code"], finding["severity"]) == ("cannot_judge_here", "notice") and OLD in finding["message"]


def test_versions() -> None:
    assert too_old("1.1.1") and too_old("3.0.17") and too_old("3.4.9")
    assert not too_old("3.5.0") and not too_old("4.0.0") and not too_old(None) and not too_old("LibreSSL")


def test_the_facts_of_a_host_are_not_taken_on_trust() -> None:
    assert replace(host("web1", "x25519", NEW), openssl=()).openssl == ()
    (finding,) = judged(host("web1", "x25519", NEW))["findings"]
    assert "their OpenSSL is not known (web1)" in finding["message"]
