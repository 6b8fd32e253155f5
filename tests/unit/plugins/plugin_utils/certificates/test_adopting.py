# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair that lies on the host is taken over when it is what the entry says, stays until its renewal is due, and then goes by the issuer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    generate_key,
    make_issuing,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_spec

CERTIFICATE, KEY = "/etc/letsencrypt/live/www/fullchain.pem", "/etc/letsencrypt/live/www/privkey.pem"
ENTRY: dict[str, Any] = {
    "name": "www",
    "dns_names": ["www.example.com"],
    "renewal_spread": False,
    "adopt": {"certificate": CERTIFICATE, "private_key": KEY},
}
ROOT = make_root("Their root", "ecdsa-p256", NOW, 1000 * DAY)
ISSUING = make_issuing("Their CA", "ecdsa-p256", ROOT, NOW, 500 * DAY)


@pytest.fixture
def issuers(tmp_path: Path) -> dict[str, Issuer]:
    return {name: make_issuer(tmp_path, name) for name in ("internal", "other")}


def host_with(algorithm: str = "ecdsa-p256", days: int = 90, signer: Any = ISSUING, **fields: Any) -> HonestHost:
    """A host where somebody has made a pair."""
    key, spec = generate_key(algorithm), make_spec(**{"dns_names": ["www.example.com"], **fields})
    begin = NOW if days > 0 else NOW + (days - 10) * DAY
    leaf = make_leaf(key.public_key(), spec.names, spec.usages, signer, begin, 90 * DAY if days > 0 else 10 * DAY)
    return HonestHost(theirs={CERTIFICATE: (key, [to_pem(leaf), to_pem(signer.certificate)])})


def only(run: HostRun) -> dict[str, Any]:
    (found,) = task_result(run, True)["certificates"]
    return dict(found)


def rows(issuers: Mapping[str, Issuer]) -> int:
    return len(list(issuers["internal"].store.issuances()))


def test_same_key_same_certificate_and_nothing_ordered(issuers: Mapping[str, Issuer]) -> None:
    host = host_with()
    foretold = only(run_task(host, issuers, ENTRY, check_mode=True))
    assert (foretold["action"], foretold["changed"]) == ("adopt", True)
    run = run_task(host, issuers, ENTRY, adopt_only=True)
    assert failure(run) is None and only(run)["action"] == "adopt" and only(run)["generation"] == 1
    assert (host.live["www"].key, host.live["www"].chain) == host.theirs[CERTIFICATE]
    assert host.secrets == {} and host.pending == {} and rows(issuers) == 0
    manifest = host.live["www"].manifest
    assert (manifest["adopted"], manifest["issuer"], manifest["name"]) == (True, None, "www")
    # Neither run finds anything to do, whatever their CA is to us.
    for settings in ({"adopt_only": True}, {}):
        again = only(run_task(host, issuers, ENTRY, now=NOW + 30 * DAY, **settings))
        assert (again["changed"], again["due"], again["error"]) == (False, False, None)
    # When its time has come, the inventory's issuer gives the next one; taking over alone does not.
    late = NOW + 80 * DAY
    assert only(run_task(host, issuers, ENTRY, now=late, adopt_only=True))["changed"] is False and rows(issuers) == 0
    renewed = only(run_task(host, issuers, ENTRY, now=late))
    assert (renewed["action"], renewed["issuer"], renewed["generation"]) == ("issue", "internal", 2)
    assert not host.live["www"].manifest.get("adopted") and rows(issuers) == 1


def test_a_deployment_takes_it_over_as_well(issuers: Mapping[str, Issuer]) -> None:
    host = host_with()
    assert only(run_task(host, issuers, ENTRY))["action"] == "adopt" and rows(issuers) == 0


def test_what_an_issuer_here_has_signed_is_its_own(issuers: Mapping[str, Issuer]) -> None:
    first = HonestHost()
    run_task(first, issuers, {key: value for key, value in ENTRY.items() if key != "adopt"})
    live = first.live["www"]
    host = HonestHost(theirs={CERTIFICATE: (live.key, live.chain)})
    run_task(host, issuers, {**ENTRY, "issuer": ["other", "internal"]})
    assert host.live["www"].manifest["issuer"] == "internal"


@pytest.mark.parametrize(
    "change", [{"private_key": {"algorithm": "ed25519"}}, {"issuer": "other"}, {"dns_names": ["www.example.com"]}]
)
def test_what_it_would_be_by_now_can_wait(issuers: Mapping[str, Issuer], change: dict[str, Any]) -> None:
    host = host_with(dns_names=["www.example.com", "more.example.com"], algorithm="rsa-2048")
    run_task(host, issuers, ENTRY)
    assert only(run_task(host, issuers, {**ENTRY, **change}))["due"] is False
    wanted = {**ENTRY, "dns_names": ["www.example.com", "new.example.com"]}
    assert only(run_task(host, issuers, wanted))["reasons"][0]["code"] == "names_changed"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (HonestHost(), "there is nothing at"),
        (host_with(days=-1), "expired on"),
        (host_with(dns_names=["other.example.com"]), "names_changed: other.example.com -> www.example.com"),
        (host_with(usages=["client_auth"]), "usages_changed"),
    ],
)
def test_what_is_not_taken_over(issuers: Mapping[str, Issuer], host: HonestHost, words: str) -> None:
    error = failure(run_task(host, issuers, ENTRY, adopt_only=True))
    assert error is not None and words in str(error)
    assert host.live == {} and host.pending == {} and rows(issuers) == 0


def test_one_that_names_no_usage_is_for_all_of_them(issuers: Mapping[str, Issuer]) -> None:
    """As openssl req -x509 and community.crypto make them."""
    host = host_with()
    key, chain = host.theirs[CERTIFICATE]
    (leaf,) = parse_pem_chain(chain[0])
    builder = x509.CertificateBuilder(
        leaf.issuer,
        leaf.subject,
        leaf.public_key(),
        leaf.serial_number,
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
    )
    for each in leaf.extensions:
        if not isinstance(each.value, x509.ExtendedKeyUsage):
            builder = builder.add_extension(each.value, each.critical)
    host.theirs[CERTIFICATE] = (key, [to_pem(builder.sign(ISSUING.private_key, hashes.SHA256())), chain[1]])
    assert only(run_task(host, issuers, ENTRY))["action"] == "adopt"
    assert only(run_task(host, issuers, ENTRY))["due"] is False


def test_a_chain_that_is_out_of_order(issuers: Mapping[str, Issuer]) -> None:
    host = host_with()
    key, chain = host.theirs[CERTIFICATE]
    host.theirs[CERTIFICATE] = (key, [chain[0], to_pem(ROOT.certificate)])
    error = failure(run_task(host, issuers, ENTRY))
    assert error is not None and "do not follow each other" in str(error) and host.live == {}


def test_a_deployment_issues_where_there_is_nothing_of_use(issuers: Mapping[str, Issuer]) -> None:
    for host in (HonestHost(), host_with(days=-1)):
        before = rows(issuers)
        assert only(run_task(host, issuers, ENTRY))["action"] == "issue" and rows(issuers) == before + 1


def test_one_that_is_forced_is_issued(issuers: Mapping[str, Issuer]) -> None:
    host = host_with()
    assert only(run_task(host, issuers, ENTRY, force=("www",)))["action"] == "issue"


def test_a_host_that_says_nonsense(issuers: Mapping[str, Issuer]) -> None:
    for nonsense in (
        "x",
        {"chain": "x"},
        {"chain": ["-----BEGIN"], "error": None},
        {"error": {"message": "{{ x }}", "code": 1}},
    ):
        host = host_with()

        def lie(step: str, answer: dict[str, Any], told: Any = nonsense) -> Any:
            if step == "look":
                answer["certificates"]["www"]["adoptable"] = told
            return answer

        host.answers = lie
        assert failure(run_task(host, issuers, ENTRY)) is not None and host.live == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scope": "pool"}, "stays on the host"),
        ({"private_key": {"location": "controller"}}, "stays on the host"),
        ({"adopt": {"certificate": "www.pem"}}, "absolute path"),
        ({"adopt": {"certificates": "/x"}}, "certificates"),
        ({"adopt": "/x"}, "adopt"),
    ],
)
def test_wishes_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_host([{"issuer": "internal", **ENTRY, **changes}], {"internal": None})


def test_two_certificates_that_claim_one_pair() -> None:
    entries = [{"issuer": "internal", **ENTRY, "name": name} for name in ("a", "b")]
    with pytest.raises(SpecError, match="two certificates adopt the pair of"):
        parse_host(entries, {"internal": None})


def test_the_moment_is_its_own(issuers: Mapping[str, Issuer]) -> None:
    host = host_with()
    run_task(host, issuers, {**ENTRY, "renew_before": "30d"})
    before, then = NOW + 60 * DAY - dt.timedelta(seconds=1), NOW + 60 * DAY
    assert only(run_task(host, issuers, {**ENTRY, "renew_before": "30d"}, now=before))["due"] is False
    assert only(run_task(host, issuers, {**ENTRY, "renew_before": "30d"}, now=then))["due"] is True
