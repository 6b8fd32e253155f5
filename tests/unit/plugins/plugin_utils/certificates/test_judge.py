# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Verdict, judge
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import EndpointReport, PairProblem, PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    generate_key,
    make_issuing,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_spec

SPEC = make_spec(dns_names=["a.example", "b.example"], renew_before="10d")
ROOT = make_root("Root", "ecdsa-p256", NOW, 1000 * DAY)
ISSUING = make_issuing("Issuing", "ecdsa-p256", ROOT, NOW, 100 * DAY)
OTHER_ROOT = make_root("Root", "ecdsa-p256", NOW, 1000 * DAY)
LEAF = make_leaf(generate_key("ecdsa-p256").public_key(), SPEC.names, SPEC.usages, ISSUING, NOW, 30 * DAY)
END = LEAF.not_valid_after_utc
SECOND = dt.timedelta(seconds=1)
GOOD = PairReport(generation=3, manifest={"issuer": "internal", "settled": 1}, chain=(LEAF, ISSUING.certificate))


def verdict(spec: CertificateSpec = SPEC, found: PairReport = GOOD, **options: Any) -> Verdict:
    return judge(spec, found, **{"now": NOW, "anchors": [ROOT.certificate], **options})


def codes(found: Verdict) -> tuple[list[str], list[str]]:
    return [reason.code for reason in found.reasons], [reason.code for reason in found.repairs]


def found_with(**changes: Any) -> PairReport:
    return dataclasses.replace(GOOD, **changes)


def spec_with(**fields: Any) -> CertificateSpec:
    return make_spec(**{"dns_names": ["a.example", "b.example"], "renew_before": "10d", **fields})


def test_nothing_is_due() -> None:
    assert verdict() == Verdict((), ())
    assert not verdict().due


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        (PairReport(), ["missing"]),
        (PairReport(problems=(PairProblem("damaged", "truncated"),)), ["damaged"]),
        (found_with(problems=(PairProblem("key_missing", "gone"),)), ["key_missing"]),
        (found_with(problems=(PairProblem("key_mismatch", "replaced"),)), ["key_mismatch"]),
        (found_with(manifest={"settled": 1}), ["issuer_changed"]),
        (found_with(manifest={"settled": 1, "issuer": "other"}), ["issuer_changed"]),
        (found_with(chain=(LEAF,)), ["chain_untrusted"]),
        (found_with(chain=(LEAF, ROOT.certificate)), ["chain_broken"]),
    ],
)
def test_reasons_on_the_host(found: PairReport, reasons: list[str]) -> None:
    assert codes(verdict(found=found)) == (reasons, [])
    assert verdict(found=found).due
    assert all(reason.detail for reason in verdict(found=found).reasons)


@pytest.mark.parametrize(
    "chain",
    [
        (LEAF, ISSUING.certificate, OTHER_ROOT.certificate),
        (LEAF, OTHER_ROOT.certificate, ISSUING.certificate),
        (LEAF, ISSUING.certificate, ISSUING.certificate),
        (LEAF, ISSUING.certificate, ROOT.certificate),
    ],
)
def test_what_clients_take_is_not_due(chain: tuple[Any, ...]) -> None:
    assert verdict(found=found_with(chain=chain)) == Verdict((), ())


@pytest.mark.parametrize(
    ("spec", "reasons", "detail"),
    [
        (spec_with(dns_names=["a.example"]), ["names_changed"], "a.example, b.example -> a.example"),
        (spec_with(ip_addresses=["192.0.2.1"]), ["names_changed"], "-> a.example, b.example, 192.0.2.1"),
        (spec_with(common_name="Chosen"), ["names_changed"], "CN a.example -> CN Chosen"),
        (spec_with(common_name="a.example"), [], ""),
        (spec_with(usages=["client_auth"]), ["usages_changed"], "server_auth -> client_auth"),
        (
            spec_with(usages=["client_auth", "server_auth"]),
            ["usages_changed"],
            "server_auth -> client_auth, server_auth",
        ),
        (spec_with(private_key={"algorithm": "ed25519"}), ["key_algorithm_changed"], "ecdsa-p256 -> ed25519"),
        (spec_with(issuer="other"), ["issuer_changed"], "internal -> other"),
        (spec_with(issuer=["other", "internal"]), [], ""),
        (spec_with(owner="x", mode="0640", private_key={"rotation_policy": "never"}), [], ""),
    ],
)
def test_reasons_in_the_wish(spec: CertificateSpec, reasons: list[str], detail: str) -> None:
    found = verdict(spec)
    assert codes(found) == (reasons, [])
    assert detail in "".join(reason.detail for reason in found.reasons)


@pytest.mark.parametrize("anchors", [[], [OTHER_ROOT.certificate]])
def test_another_root(anchors: list[Any]) -> None:
    assert codes(verdict(anchors=anchors)) == (["chain_untrusted"], [])


def test_an_expired_intermediate_makes_the_chain_untrusted() -> None:
    leaf = make_leaf(generate_key("ecdsa-p256").public_key(), SPEC.names, SPEC.usages, ISSUING, NOW, 400 * DAY)
    found = found_with(chain=(leaf, ISSUING.certificate))
    assert codes(verdict(found=found, now=NOW + 101 * DAY)) == (["chain_untrusted"], [])


THIRD = spec_with(renew_before="33%")
LIFE = END - LEAF.not_valid_before_utc
AT_THIRD = dt.datetime.fromtimestamp(int(END.timestamp() - LIFE.total_seconds() * 0.33), dt.timezone.utc)


@pytest.mark.parametrize(
    ("spec", "now", "reasons"),
    [
        (SPEC, END - 10 * DAY - SECOND, []),
        (SPEC, END - 10 * DAY - dt.timedelta(microseconds=1), []),
        (SPEC, END - 10 * DAY, ["expiring"]),
        (SPEC, END - SECOND, ["expiring"]),
        (SPEC, END, ["expired"]),
        (SPEC, END + DAY, ["expired"]),
        (THIRD, AT_THIRD - SECOND, []),
        (THIRD, AT_THIRD, ["expiring"]),
    ],
)
def test_the_moment_of_renewal(spec: CertificateSpec, now: dt.datetime, reasons: list[str]) -> None:
    assert codes(verdict(spec, now=now))[0] == reasons


@pytest.mark.parametrize(
    ("advice", "now", "reasons"),
    [
        (NOW + DAY, NOW, []),
        (NOW, NOW, ["expiring"]),
        (NOW - DAY, NOW, ["expiring"]),
        (END - DAY, END - 2 * DAY, []),
        (END + DAY, END, ["expired"]),
    ],
)
def test_the_issuers_advice_wins(advice: dt.datetime, now: dt.datetime, reasons: list[str]) -> None:
    assert codes(verdict(now=now, advice=advice))[0] == reasons


def test_forced_comes_on_top() -> None:
    assert codes(verdict(forced=True)) == (["forced"], [])
    assert codes(verdict(found=PairReport(), forced=True)) == (["missing", "forced"], [])


def test_all_reasons_are_told() -> None:
    spec = make_spec(
        dns_names=["c.example"], usages=["client_auth"], private_key={"algorithm": "rsa-2048"}, issuer="other"
    )
    found = found_with(problems=(PairProblem("key_mismatch", "x"),), drift=("mode",))
    assert codes(verdict(spec, found, now=END, anchors=[], forced=True)) == (
        ["key_mismatch", "expired", "names_changed", "usages_changed", "key_algorithm_changed", "issuer_changed",
         "chain_untrusted", "forced"],
        ["drift"],
    )  # fmt: skip


def served(
    ours: str | None, *, explicit: bool, fingerprint: str | None = "ab", error: str | None = None
) -> EndpointReport:
    return EndpointReport("127.0.0.1:443", "a.example", fingerprint, error, explicit, ours)


@pytest.mark.parametrize(
    ("changes", "repairs", "detail"),
    [
        ({"drift": ("mode 0644", "link gone")}, ["drift", "drift"], "mode 0644"),
        ({"manifest": {"issuer": "internal"}}, ["unsettled"], "interrupted"),
        ({"manifest": {"issuer": "internal", "settled": 0}}, ["unsettled"], "interrupted"),
        ({"served": (served("live", explicit=True), served("live", explicit=False))}, [], ""),
        ({"served": (served("older", explicit=True),)}, ["not_served"], "an older generation"),
        ({"served": (served("older", explicit=False),)}, ["not_served"], "an older generation"),
        ({"served": (served(None, explicit=True),)}, ["not_served"], "another certificate (ab)"),
        ({"served": (served(None, explicit=True, fingerprint=None, error="refused"),)}, ["not_served"], "refused"),
        ({"served": (served(None, explicit=False),)}, [], ""),
        ({"served": (served(None, explicit=False, fingerprint=None, error="refused"),)}, [], ""),
    ],
)
def test_repairs(changes: dict[str, Any], repairs: list[str], detail: str) -> None:
    found = verdict(found=found_with(**changes))
    assert codes(found) == ([], repairs)
    assert not found.due
    assert detail in " ".join(str(reason) for reason in found.repairs)


ANSWERED = {"issuer": "internal", "settled": 1}


@pytest.mark.parametrize(
    ("wish", "leaf_usages", "answered", "reasons"),
    [
        # What an issuer dropped or added when it was asked for exactly this.
        ({"common_name": "Chosen"}, ["server_auth"], True, []),
        ({"common_name": "Chosen"}, ["server_auth"], False, ["names_changed"]),
        ({}, ["client_auth", "server_auth"], True, []),
        ({}, ["client_auth", "server_auth"], False, ["usages_changed"]),
        ({"usages": ["client_auth", "server_auth"]}, ["server_auth"], True, ["usages_changed"]),
    ],
)
def test_what_an_issuer_made_of_this_very_request_is_not_asked_for_again(
    wish: dict[str, Any], leaf_usages: list[str], answered: bool, reasons: list[str]
) -> None:
    spec = spec_with(**wish)
    leaf = make_leaf(generate_key("ecdsa-p256").public_key(), SPEC.names, tuple(leaf_usages), ISSUING, NOW, 30 * DAY)
    digest = spec.request_digest if answered else "another"
    found = found_with(chain=(leaf, ISSUING.certificate), manifest={**ANSWERED, "request_digest": digest})
    assert codes(verdict(spec, found))[0] == reasons


@pytest.mark.parametrize(
    ("wish", "reasons"),
    [
        ({"dns_names": ["a.example"]}, []),
        ({"common_name": "Chosen", "private_key": {"algorithm": "ed25519"}}, []),
        ({"dns_names": ["a.example", "c.example"]}, ["names_changed"]),
        ({"usages": ["client_auth"]}, ["usages_changed"]),
        ({"issuer": "other"}, ["issuer_changed"]),
    ],
)
def test_a_certificate_that_others_made_has_to_cover_the_wish(wish: dict[str, Any], reasons: list[str]) -> None:
    found = found_with(manifest={**ANSWERED, "request_digest": "of an earlier wish"})
    assert codes(verdict(spec_with(**wish), found, ready_made=True))[0] == reasons


def test_renew_before_that_the_issuer_makes_nonsense_of() -> None:
    """The CA gives 30 days, whatever was asked: renewed at two thirds, with a word, instead of at every run."""
    spec = spec_with(renew_before="60d", renewal_spread=False)
    leaf = make_leaf(generate_key("ecdsa-p256").public_key(), SPEC.names, ("server_auth",), ISSUING, NOW, 30 * DAY)
    found = found_with(chain=(leaf, ISSUING.certificate), manifest={**ANSWERED, "request_digest": spec.request_digest})
    early = verdict(spec, found)
    assert codes(early)[0] == [] and "renew_before (60d) is not shorter than the lifetime" in early.notes[0]
    assert codes(verdict(spec, found, now=NOW + 21 * DAY))[0] == ["expiring"]


@pytest.mark.parametrize(
    ("days", "usages", "said"),
    [(826, ["server_auth"], True), (825, ["server_auth"], False), (900, ["client_auth"], False)],
)
def test_a_server_certificate_that_lives_too_long_for_some_clients(days: int, usages: list[str], said: bool) -> None:
    spec = spec_with(usages=usages)
    lifetime = days * DAY - dt.timedelta(hours=1)  # the CA dates it back by an hour
    leaf = make_leaf(
        generate_key("ecdsa-p256").public_key(),
        SPEC.names,
        tuple(usages),
        ISSUING,
        NOW,
        lifetime + dt.timedelta(seconds=1) if said else lifetime,
    )
    found = found_with(chain=(leaf, ISSUING.certificate), manifest={**ANSWERED, "request_digest": spec.request_digest})
    assert any("825 days" in note for note in verdict(spec, found).notes) is said


def test_hosts_of_one_run_are_not_due_in_one_run_again() -> None:
    spec = spec_with()
    moments = {spec.on(f"web{number}").renew_before.due_at(0, 90 * 86400) for number in range(50)}
    assert len(moments) > 40
    assert max(moments) <= spec.renew_before.due_at(0, 90 * 86400) and max(moments) - min(moments) <= 90 * 86400 / 20
    assert spec.on("web1") == spec.on("web1")
    pooled = spec_with(scope="pool")
    assert pooled.on("web1") == pooled.on("web2")
    still = spec_with(renewal_spread=False)
    assert still.on("web1") == still
