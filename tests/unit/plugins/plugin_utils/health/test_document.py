# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement over everything: one fault planted, one finding, by its right name, and nothing else."""

from __future__ import annotations

import datetime as dt
import functools
import json
from typing import Any

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_renew_before
from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import failing_texts
from ansible_collections.fleet.tls.plugins.plugin_utils.health.document import health
from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import Context, HostInput
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    Authority,
    make_issuing,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import distinguished_name
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.weakness import weaknesses
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, describe, fingerprint, iso, to_pem
from tools import paths

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.timezone.utc)
DAY = dt.timedelta(days=1)
VALIDATOR = jsonschema.Draft202012Validator(json.loads((paths.ROOT / "docs" / "health.schema.json").read_text()))

ROOT = make_root("Root", "ecdsa-p256", NOW - 400 * DAY, 3650 * DAY)
ISSUING = make_issuing("Issuing", "ecdsa-p256", ROOT, NOW - 100 * DAY, 730 * DAY)
STRANGER = make_root("Stranger", "ecdsa-p256", NOW - DAY, 3650 * DAY)


@functools.lru_cache
def leaf(
    *names: str, days: float = 90, left: float = 60, by: str = "issuing", which: int = 0, key: str = "ec"
) -> x509.Certificate:
    """A certificate of ``days`` with ``left`` of them to come; ``which``: another one of the same kind."""
    keys = {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),
        "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    }
    signer = {"issuing": ISSUING, "stranger": STRANGER}[by]
    begin = NOW + (left - days) * DAY
    made = make_leaf(
        keys[key]().public_key(),
        Names(dns_names=names or ("www.example.com",)),
        ("server_auth",),
        signer,
        begin,
        days * DAY,
    )
    return made


def managed(certificate: x509.Certificate | None = None, *, renew: float = 0.33, **changes: Any) -> dict[str, Any]:
    """An entry of ``fleet.tls.certificates`` in check mode."""
    certificate = certificate or leaf()
    facts = describe(certificate, NOW)
    end, begin = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    return {
        **facts, "name": "www", "action": "none", "due": False, "reasons": [], "repairs": [], "deferred": None, "issuer": "internal",
        "issuer_subject": facts["issuer"], "fallback_for": None, "path": "/etc/fleet-tls/live/www", "installed": True, "settled": True,
        "served": [], "error": None, "renew_after": iso(end - (end - begin) * renew), **{"issuer": "internal", **changes},
    }  # fmt: skip


def absent(**changes: Any) -> dict[str, Any]:
    """The same where there is no certificate."""
    gone = dict.fromkeys(
        ("not_before", "not_after", "days_left", "fingerprint_sha256", "serial", "subject", "renew_after")
    )
    reasons = [{"code": "missing", "detail": "no certificate on the host"}]
    return managed(
        action="issue", installed=False, due=True, **{**gone, "reasons": reasons, "dns_names": None, **changes}
    )


def look(*entries: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"changed": False, "certificates": list(entries), **changes}


def shown(fingerprint_: str | None, **changes: Any) -> dict[str, Any]:
    """What the host's own look saw at an endpoint."""
    return {
        "endpoint": "127.0.0.1:443", "server_name": "www.example.com", "fingerprint": fingerprint_, "error": None, "explicit": True,
        "ours": None, **changes,
    }  # fmt: skip


def probe(*chain: x509.Certificate, name: str | None = "www.example.com", **changes: Any) -> dict[str, Any]:
    """What fleet.tls.endpoint_info says of an endpoint."""
    entry = {
        "endpoint": "web1:443", "server_name": name, "reachable": bool(chain), "error": None, "protocol": "TLSv1.3",
        "chain": [to_pem(each) for each in chain], "certificates": [{**describe(each, NOW), "error": None} for each in chain], **changes,
    }  # fmt: skip
    return {"changed": False, "endpoints": [entry]}


def file(certificate: x509.Certificate | None = None, **changes: Any) -> dict[str, Any]:
    """What fleet.tls.certificate_files_info says of a file."""
    found = [{**describe(certificate, NOW), "ca": False, "error": None}] if certificate else []
    return {
        "path": "/etc/nginx/a.pem", "links": [], "mode": "0644", "readable_by_others": True, "managed": None, "certificates": found,
        "private_keys": [], "pairs": [], "mismatch": False, "error": None, **changes,
    }  # fmt: skip


KEY = {"algorithm": "ecdsa", "encrypted": False, "public_key_sha256": "ab"}


def judged(
    *seen: HostInput,
    store: dict[str, Any] | None = None,
    threshold: str | None = None,
    ring_age: int = 7 * 86400,
    **context: Any,
) -> dict[str, Any]:
    """The document, which follows the schema."""
    known = Context(
        now=NOW,
        threshold=parse_renew_before(threshold) if threshold else None,
        **{"anchors": (ROOT.certificate,), "intermediates": (ISSUING.certificate,), **context},
    )
    document = health(seen, store or {}, known, threshold=threshold or "usual", ring_age=ring_age)
    VALIDATOR.validate(document)
    return document


def codes(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["code"], each["subject"]) for each in document["findings"]]


def web1(*entries: dict[str, Any], files: Any = (), probes: Any = (), **changes: Any) -> HostInput:
    return HostInput("web1", look(*entries), {"files": list(files)}, list(probes), **changes)


def left_over(*found: tuple[str, str]) -> dict[str, Any]:
    """What fleet.tls.left_over_info says."""
    return {"changed": False, "left_over": [{"kind": kind, "name": name, "remedy": "…"} for kind, name in found]}


def now_fp(*names: str, **options: Any) -> str:
    return fingerprint(leaf(*names, **options))


OTHER = now_fp(which=1)
FULL = (leaf(), ISSUING.certificate)


def two(*second: x509.Certificate) -> HostInput:
    """A site with two certificates, and what it shows to clients that take RSA only."""
    chain = [*second, ISSUING.certificate] if second else []
    seen = probe(
        *FULL,
        other_chain=[to_pem(each) for each in chain],
        other_certificates=[{**describe(each, NOW), "error": None} for each in chain],
    )
    wanted = {("web1:443", "www.example.com"): ("www", "www-rsa")}
    return web1(managed(), managed(leaf(key="rsa-2048"), name="www-rsa"), probes=[seen], wanted=wanted)


FAULTS: dict[str, tuple[HostInput, list[tuple[str, str]]]] = {
    "all is well": (web1(managed(served=[shown(now_fp())]), probes=[probe(*FULL)]), []),
    "due": (web1(managed(leaf(left=20), action="issue", due=True, reasons=[{"code": "expiring", "detail": "a third is left"}])), [("due", "www")]),
    "taken over next": (web1(absent(reasons=[{"code": "adopted", "detail": "the pair at …"}])), [("due", "www")]),
    "repair": (web1(managed(action="repair", repairs=[{"code": "drift", "detail": "mode"}])), [("due", "www")]),
    "deferred": (web1(managed(deferred="no room", reasons=[{"code": "expiring", "detail": "x"}])), []),
    "no client any more": (web1(managed(client_auth_ends=True)), [("client_auth_ends", "www")]),
    "served elsewhere than its preset looks": (
        web1(managed(served=[shown(None, explicit=False, service="nginx", error="refused"), shown(OTHER, explicit=False, service="nginx")])),
        [("unproven", "www")],
    ),
    "served at one of its preset's places": (
        web1(
            managed(
                served=[
                    shown(None, explicit=False, service="dovecot", error="refused"),
                    shown(now_fp(), explicit=False, service="dovecot", ours="live"),
                ]
            )
        ),
        [],
    ),
    "waits for a window": (
        web1(managed(leaf(left=10), deferred="waits", deferred_until="2030-01-01T00:00:00Z", reasons=[{"code": "expiring", "detail": "x"}])),
        [("deferred", "www")],
    ),
    "missing": (web1(absent(served=[shown(None, error="refused")])), [("missing", "www")]),
    "damaged": (web1(managed(reasons=[{"code": "key_mismatch", "detail": "no pair"}], action="issue")), [("damaged", "www")]),
    "failed": (web1(managed(error={"code": "io", "message": "no disk", "remedy": None})), [("failed", "www")]),
    "expired": (web1(managed(leaf(left=-3), reasons=[{"code": "expired", "detail": "x"}], action="issue")), [("expired", "www")]),
    "expiring": (web1(managed(leaf(left=10), reasons=[{"code": "expiring", "detail": "x"}], action="issue")), [("expiring", "www")]),
    "not yet valid": (web1(managed(leaf(left=95))), [("not_yet_valid", "www")]),
    "reload forgotten": (
        web1(managed(served=[shown(OTHER, ours="older")], repairs=[{"code": "not_served", "detail": "x"}])), [("not_served", "www")],
    ),
    "reload forgotten, seen from here": (web1(managed(), probes=[probe(leaf(which=1), ISSUING.certificate)]), [("not_served", "www")]),
    "both at once are one": (
        web1(managed(served=[shown(OTHER)]), probes=[probe(leaf(which=1), ISSUING.certificate)]), [("not_served", "www")],
    ),
    "another certificate than the site's": (
        web1(managed(), probes=[probe(leaf("default", by="stranger"))], wanted={("web1:443", "www.example.com"): ("www",)}),
        [("not_served", "www")],
    ),
    "a preset's endpoint of somebody else": (web1(managed(served=[shown(OTHER, explicit=False)])), [("unproven", "www")]),
    "two certificates of a site": (two(leaf(key="rsa-2048")), []),
    "the second of a site forgotten at a reload": (two(leaf(key="rsa-2048", which=1)), [("not_served", "www-rsa")]),
    "the second of a site not served": (two(), [("not_served", "www-rsa")]),
    "endpoint down": (web1(managed(), probes=[probe(error="refused")]), [("endpoint_down", "www")]),
    "endpoint of nobody down": (web1(managed(), probes=[probe(name=None, error="refused")]), [("endpoint_down", "web1:443")]),
    "untrusted on disk": (web1(managed(reasons=[{"code": "chain_untrusted", "detail": "x"}])), [("untrusted", "www")]),
    "untrusted on the wire": (
        web1(probes=[probe(leaf("x.org", by="stranger"), name="x.org")]), [("untrusted", "web1:443"), ("unmanaged", "web1:443")],
    ),
    "intermediate left out": (web1(managed(), probes=[probe(leaf())]), [("chain_incomplete", "www")]),
    "wrong name": (web1(managed(), probes=[probe(*FULL, name="other.example.com")]), [("name_mismatch", "www")]),
    "no name asked for": (web1(managed(), probes=[probe(*FULL, name=None)]), []),
    "old protocol": (web1(managed(), probes=[probe(*FULL, protocol="TLSv1.1")]), [("weak", "www")]),
    "weak key": (web1(managed(leaf(key="rsa-1024"))), [("weak", "www")]),
    "key for everybody": (
        web1(managed(repairs=[{"code": "drift", "detail": "mode"}]), files=[file(path="/k", private_keys=[KEY], managed="www")]),
        [("key_exposed", "www")],
    ),
    "somebody's key for everybody": (web1(files=[file(path="/k", private_keys=[KEY])]), [("key_exposed", "/k")]),
    "encrypted key for everybody": (web1(files=[file(private_keys=[{**KEY, "encrypted": True}])]), []),
    "closed key": (web1(files=[file(private_keys=[KEY], readable_by_others=False)]), []),
    "forgotten": (web1(managed(), files=[file(leaf("old.org"))]), [("unmanaged", "/etc/nginx/a.pem")]),
    "a copy of a managed one": (web1(managed(), files=[file(leaf())]), []),
    "a file of a managed one": (web1(managed(), files=[file(leaf(), managed="www")]), []),
    "live and wanted no more": (web1(managed(), files=[file(leaf("x.org"), managed="gone")]), [("unmanaged", "gone")]),
    "left over": (
        web1(managed(), files=[file(leaf("x.org"), managed="gone")], left_over=left_over(("certificate", "gone"))), [("left_over", "gone")],
    ),
    "left over and expired": (
        web1(files=[file(leaf("x.org", left=-1), managed="gone")], left_over=left_over(("certificate", "gone"))),
        [("expired", "gone"), ("left_over", "gone")],
    ),
    "of all kinds": (
        web1(left_over=left_over(("certificate", "never issued"), ("client", "app"), ("bundle", "/ca.pem"), ("pool", "web"), ("sites", "nginx"))),
        [("left_over", "/ca.pem"), ("left_over", "app"), ("left_over", "never issued"), ("left_over", "nginx"), ("left_over", "web")],
    ),
    "what is left over cannot be told": (web1(left_over={"failed": True, "msg": "no"}), [("failed", "web1")]),
    "forgotten and expired": (
        web1(files=[file(leaf("old.org", left=-1))]), [("expired", "/etc/nginx/a.pem"), ("unmanaged", "/etc/nginx/a.pem")],
    ),
    "somebody's renewal without a reload": (
        web1(files=[file(leaf("old.org"))], probes=[probe(leaf("old.org", which=1), ISSUING.certificate, name="old.org")]),
        [("not_served", "/etc/nginx/a.pem"), ("unmanaged", "/etc/nginx/a.pem")],
    ),
    "keystore that nobody opens": (web1(files=[file(error="it needs a passphrase")]), [("unmanaged", "/etc/nginx/a.pem")]),
    "two halves that are no pair": (
        web1(files=[file(leaf("old.org"), mismatch=True)]), [("damaged", "/etc/nginx/a.pem"), ("unmanaged", "/etc/nginx/a.pem")],
    ),
    "a trusted CA": (web1(files=[file(certificates=[{**describe(ROOT.certificate, NOW), "ca": True, "error": None}])]), []),
    "a CA with its key": (
        web1(files=[file(certificates=[{**describe(ROOT.certificate, NOW), "ca": True, "error": None}], pairs=["/ca.key"])]),
        [("unmanaged", "/etc/nginx/a.pem")],
    ),
    "nonsense on the wire": (
        web1(probes=[probe(chain=["nonsense"], certificates=[{"fingerprint_sha256": "ab" * 32, "error": "x"}], reachable=True)]),
        [("failed", "web1:443"), ("unmanaged", "web1:443")],
    ),
    "six days, a run a day": (web1(managed(leaf(days=6, left=5))), [("schedule_too_rare", "www")]),
    "47 days, a run a day": (web1(managed(leaf(days=47, left=40))), []),
    "unreachable": (HostInput("web1", {"unreachable": True, "msg": "no route"}), [("unreachable", "web1")]),
    "a site that clashes": (
        web1(probes=[{"failed": True, "error": {"code": "site_clash", "message": "site 'www': …", "remedy": None}}]), [("site_clash", "web1")],
    ),
    "unreachable for files": (HostInput("web1", {"skipped": True}, {"unreachable": True}), [("unreachable", "web1")]),
    "bad input": (HostInput("web1", {"failed": True, "msg": "issuer: unknown"}), [("failed", "web1")]),
    "not looked at": (HostInput("web1", {}), [("failed", "web1")]),
    "nothing there": (HostInput("web1", {"skipped": True}, {"files": []}), []),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_name_and_no_other(fault: str) -> None:
    seen, expected = FAULTS[fault]
    document = judged(seen)
    assert codes(document) == expected
    assert document["summary"]["findings"] == len(expected)
    if expected and document["certificates"]:
        assert document["hosts"][0]["severity"] == document["findings"][0]["severity"] == document["summary"]["worst"]
    if not expected:
        assert document["summary"]["worst"] == "ok" and all(each["state"] == "ok" for each in document["certificates"])


def test_revoked_and_still_there() -> None:
    revoked = {
        now_fp(): {"reason": "key_compromise", "revoked_at": iso(NOW)},
        OTHER: {"reason": "superseded", "revoked_at": iso(NOW)},
    }
    document = judged(web1(managed(), files=[file(leaf(which=1))]), revoked=revoked)
    assert codes(document) == [
        ("revoked", "/etc/nginx/a.pem"), ("revoked", "www"), ("unmanaged", "/etc/nginx/a.pem"),
    ]  # fmt: skip
    assert "key_compromise" in document["findings"][1]["message"]


def test_the_ledger_knows_whose_certificate_is_served_still() -> None:
    renamed = leaf("before.example.com")
    seen = web1(managed(), probes=[probe(renamed, ISSUING.certificate, name="before.example.com")])
    issued = {fingerprint(renamed): {"issuer": "internal", "host": "web1", "certificate": "www"}}
    assert codes(judged(seen, issued=issued)) == [("not_served", "www")]
    elsewhere = {fingerprint(renamed): {"issuer": "internal", "host": "web2", "certificate": "www"}}
    document = judged(seen, issued=elsewhere)
    assert codes(document) == [("unmanaged", "web1:443")]
    assert [each["issuer"] for each in document["certificates"]] == ["internal", "internal"]


def test_thresholds() -> None:
    def found(threshold: str | None, **validity: float) -> list[str]:
        return [
            code
            for code, _subject in codes(judged(web1(managed(leaf(**validity))), threshold=threshold, interval=3600))
        ]

    assert found("59d") == [] and found("61d") == ["expiring"]
    assert found("66%") == [] and found("67%") == ["expiring"]
    # By default two weeks, or a sixth of what lives shorter.
    assert found(None, days=365, left=13.9) == ["expiring"] and found(None, days=365, left=14.1) == []
    assert found(None, days=6, left=1.1) == [] and found(None, days=6, left=0.9) == ["expiring"]


def test_how_often_a_run_is_needed() -> None:
    (finding,) = judged(web1(managed(leaf(days=6, left=5))))["findings"]
    assert "due 47 hours before its end" in finding["message"] and "needed every 15 h" in finding["message"]
    assert finding["kind"] == "schedule"
    assert judged(web1(managed(leaf(days=6, left=5))), interval=15 * 3600)["findings"] == []


def store(**changes: Any) -> dict[str, Any]:
    """What fleet.tls.store_info says when all is well."""

    def authority(kind: str, certificate: x509.Certificate) -> dict[str, Any]:
        return {
            "kind": kind,
            **{key: describe(certificate, NOW)[key] for key in ("subject", "not_before", "not_after")},
        }

    crl = {"subject": "CN=Issuing", "last_update": iso(NOW - DAY), "next_update": iso(NOW + 6 * DAY)}
    issuer = {
        "authorities": [authority("root", ROOT.certificate), authority("issuing", ISSUING.certificate)],
        "crls": [crl],
    }
    rings = [{"pool": "web", "generation": 7, "created": iso(NOW - DAY)}]
    return {"issuers": {"internal": {**issuer, **changes}}, "rings": rings, "errors": []}


def dates(begin: float, end: float) -> dict[str, Any]:
    return {"subject": "CN=X", "not_before": iso(NOW + begin * DAY), "not_after": iso(NOW + end * DAY)}


def crl(begin: float | None, end: float | None) -> dict[str, Any]:
    moments = [None if each is None else iso(NOW + each * DAY) for each in (begin, end)]
    return {"subject": "CN=X", "last_update": moments[0], "next_update": moments[1]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"authorities": [{"kind": "issuing", **dates(-548, 182)}]}, ["ca_expiring"]),
        ({"authorities": [{"kind": "issuing", **dates(-547, 183)}]}, []),
        ({"authorities": [{"kind": "root", **dates(-3300, 350)}]}, ["ca_expiring"]),
        ({"authorities": [{"kind": "root", **dates(-3000, 650)}]}, []),
        ({"authorities": [{"kind": "root", **dates(-3650, -1)}]}, ["ca_expired"]),
        ({"crls": [crl(-5.5, 1.5)]}, ["crl_expiring"]),
        ({"crls": [crl(-8, -1)]}, ["crl_expired"]),
        ({"crls": [crl(None, None)]}, ["crl_expired"]),
    ],
)  # fmt: skip
def test_authorities_and_lists(changes: dict[str, Any], expected: list[str]) -> None:
    document = judged(store=store(**changes))
    assert [code for code, _subject in codes(document)] == expected
    assert [each["state"] for each in document["authorities"] if each["state"] != "ok"] == expected
    assert failing_texts(document, None, ("warning", "critical")) == [
        f"internal: {each['code']}: {each['message']}" for each in document["findings"]
    ]
    assert failing_texts(document, "web1", ("warning", "critical")) == []


def test_rings() -> None:
    assert judged(store=store())["rings"] == [
        {"pool": "web", "generation": 7, "created": iso(NOW - DAY), "age_days": 1.0, "state": "ok", "severity": "ok"}
    ]
    document = judged(store=store(), ring_age=3600)
    assert codes(document) == [("ring_old", "web")] and document["rings"][0]["state"] == "ring_old"


def test_a_weak_passphrase_is_found_and_stops_nobody() -> None:
    assert codes(judged(store={**store(), "weak_passphrase": False})) == []
    (finding,) = judged(store={**store(), "weak_passphrase": True})["findings"]
    assert (finding["code"], finding["severity"], finding["subject"]) == ("weak_passphrase", "notice", "tls_store")
    assert "openssl rand" in finding["remedy"]


def test_a_csr_that_waits_for_a_signature_is_found_with_what_to_do() -> None:
    wanted = {"csr": "-----BEGIN …", "message": "the CA waits", "remedy": "have it signed"}
    known = {**store(), "issuers": {"internal": {"authorities": [], "crls": [], "signature_wanted": wanted}}}
    (finding,) = judged(store=known)["findings"]
    assert (finding["code"], finding["severity"], finding["subject"]) == ("signature_wanted", "warning", "internal")
    assert (finding["message"], finding["remedy"]) == ("the CA waits", "have it signed")


def test_a_store_that_cannot_be_read() -> None:
    assert codes(judged(store={"failed": True, "msg": "gone"})) == [("failed", "tls_store")]
    errors = [{"about": "internal", "message": "damaged", "remedy": "restore it"}]
    (finding,) = judged(store={**store(), "errors": errors})["findings"]
    assert (finding["subject"], finding["message"], finding["remedy"]) == ("internal", "damaged", "restore it")


def test_what_hosts_say_plays_no_tricks() -> None:
    hostile = "\x1b[2J\r\n" + "x" * 2000
    document = judged(
        HostInput("web1", {"unreachable": True, "msg": hostile}), web1(probes=[probe(error=hostile, name=None)])
    )
    for each in document["findings"]:
        assert each["message"].isprintable() and len(each["message"]) <= 500


@pytest.mark.parametrize(
    ("key", "signature", "weak"),
    [
        ("rsa-2048", "sha256WithRSAEncryption", 0), ("rsa-2047", "sha256WithRSAEncryption", 1), ("rsa-1024", "md5WithRSAEncryption", 2),
        ("ecdsa-p256", "ecdsa-with-SHA1", 1), ("ecdsa-secp192r1", "ecdsa-with-SHA256", 1), ("ecdsa-secp256k1", "ecdsa-with-SHA384", 0),
        ("ecdsa-brainpoolP256r1", "ecdsa-with-SHA512", 0), ("dsa", "dsa-with-sha256", 1), ("ed25519", "ed25519", 0), ("ed448", "ed448", 0),
        ("rsa-4096", "rsassaPss", 0),
    ],
)  # fmt: skip
def test_weak(key: str, signature: str, weak: int) -> None:
    assert len(weaknesses(key, signature)) == weak


def test_weak_ones_as_cryptography_names_them() -> None:
    key = dsa.generate_private_key(1024)
    builder = (
        x509.CertificateBuilder()
        .subject_name(distinguished_name((), "a"))
        .issuer_name(distinguished_name((), "a"))
        .public_key(key.public_key())
    )
    made = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + DAY).sign(key, hashes.SHA256())
    facts = describe(made, NOW)
    assert weaknesses(facts["key_algorithm"], facts["signature_algorithm"]) == ["the key is dsa"]
    assert isinstance(ROOT, Authority)


def test_who_takes_over_what_nobody_manages() -> None:
    """The remedy names the playbook that finds out whether it can be."""
    (finding,) = judged(FAULTS["forgotten"][0])["findings"]
    assert finding["code"] == "unmanaged" and "fleet.tls.adopt -l web1" in finding["remedy"]
