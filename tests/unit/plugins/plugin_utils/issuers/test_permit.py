# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of an issuer: what they permit to whom, and what they refuse in which words."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.permit import NotPermitted, parse_permit, permitted
from ansible_collections.fleet.tls.tests.unit.support.pki import make_spec

DAY = 86400
WEB = {"groups": ["web"], "dns_names": ["*.web.example.com", ".lab.example.com", "example.com"]}
WIDE: dict[str, Any] = {
    "dns_names": ["*.example.com"],
    "ip_addresses": ["192.0.2.0/24", "2001:db8::/32"],
    "uris": ["spiffe://example.com/web/*"],
    "email_addresses": ["@example.com", "root@example.net"],
    "common_names": ["Web Farm"],
    "subject": {"O": "Example", "OU": ["Web", "Shop"]},
    "usages": ["server_auth", "client_auth", "1.2.3.4"],
    "max_duration": "90d",
    "key_algorithms": ["ecdsa-p256", "ed448"],
}


def objection(
    rules: list[dict[str, Any]], groups: tuple[str, ...] = (), lifetime: int | None = 30 * DAY, **fields: Any
) -> str:
    """What the rules have against a certificate; empty: nothing."""
    permit = parse_permit("internal", rules)
    assert permit
    try:
        permit.refuse(make_spec(**fields), lifetime, groups)
    except NotPermitted as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "name",
    [
        "a.web.example.com", "*.web.example.com", "b.lab.example.com", "a.b.lab.example.com", "*.lab.example.com", "example.com",
    ],
)  # fmt: skip
def test_names_that_patterns_permit(name: str) -> None:
    assert objection([WEB], ("web",), dns_names=[name]) == ""


@pytest.mark.parametrize(
    "name",
    [
        "web.example.com", "a.b.web.example.com", "lab.example.com", "xlab.example.com", "www.example.com", "a.web.example.com.evil.example",
        "*.example.com",
    ],
)  # fmt: skip
def test_names_that_they_do_not(name: str) -> None:
    words = objection([WEB], ("web",), dns_names=["example.com", name])
    assert words.startswith(
        f"issuer 'internal' does not permit it (rule 1: dns_names: {name} is not among *.web.example.com, .lab.example.com, example.com)"
    )
    assert "tls_issuers.internal.permit" in words and "nothing was changed" in words


@pytest.mark.parametrize(
    "fields",
    [
        {"ip_addresses": ["192.0.2.7", "2001:db8::1"]},
        {"uris": ["spiffe://example.com/web/1"]},
        {"email_addresses": ["anybody@EXAMPLE.com", "root@example.net"]},
        {"dns_names": ["a.example.com"], "common_name": "a.example.com"},
        {"dns_names": ["a.example.com"], "common_name": "Web Farm"},
        {"dns_names": ["a.example.com"], "subject": {"O": "Example", "OU": ["Shop", "Web"]}},
        {"dns_names": ["a.example.com"], "usages": ["1.2.3.4", "1.3.6.1.5.5.7.3.1"]},
        {"dns_names": ["a.example.com"], "duration": "90d"},
        {"dns_names": ["a.example.com"], "private_key": {"algorithm": "ed448"}},
    ],
    ids=str,
)
def test_everything_a_rule_lists(fields: dict[str, Any]) -> None:
    assert objection([WIDE], **fields) == ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ip_addresses": ["192.0.3.7"]}, "ip_addresses: 192.0.3.7 is not among 192.0.2.0/24, 2001:db8::/32"),
        ({"uris": ["spiffe://example.com/webmaster"]}, "uris: spiffe://example.com/webmaster is not among"),
        ({"email_addresses": ["me@sub.example.com"]}, "email_addresses: me@sub.example.com is not among"),
        ({"email_addresses": ["me@example.net"]}, "email_addresses: me@example.net is not among"),
        ({"common_name": "admin"}, "common_name: admin is none of its names, nor among Web Farm"),
        ({"subject": {"O": "system:masters"}}, "subject: O=system:masters is not among Example"),
        ({"subject": {"C": "DE"}}, "subject: C=DE is not among none"),
        ({"usages": ["code_signing"]}, "usages: code_signing is not among server_auth, client_auth, 1.2.3.4"),
        ({"duration": "91d"}, "duration: 91d is more than 90d"),
        ({"private_key": {"algorithm": "rsa-2048"}}, "private_key.algorithm: rsa-2048 is not among ecdsa-p256, ed448"),
    ],
)
def test_everything_else_is_refused(fields: dict[str, Any], words: str) -> None:
    names = {} if fields.keys() & {"ip_addresses", "uris", "email_addresses"} else {"dns_names": ["a.example.com"]}
    assert words in objection([WIDE], **names, **fields)


def test_a_kind_of_name_that_a_rule_does_not_list() -> None:
    assert "ip_addresses: 192.0.2.1 is not among none" in objection([WEB], ("web",), ip_addresses=["192.0.2.1"])
    # It lists no names at all, so that it is about other things.
    rule = {"max_duration": "30d"}
    assert objection([rule], ip_addresses=["192.0.2.1"], common_name="admin", subject={"O": "x"}) == ""
    assert "usages: code_signing is not among server_auth, client_auth" in objection([rule], usages=["code_signing"])


def test_one_rule_has_to_permit_all_of_it() -> None:
    rules = [{"dns_names": ["a.example.com"]}, {"dns_names": ["b.example.com"]}]
    assert objection(rules, dns_names=["b.example.com"]) == ""
    words = objection(rules, dns_names=["a.example.com", "b.example.com"])
    assert "rule 1: dns_names: b.example.com" in words and "rule 2: dns_names: a.example.com" in words


def test_rules_are_for_groups() -> None:
    rules = [WEB, {"groups": ["db", "all"], "dns_names": ["db.example.com"]}]
    assert objection(rules, ("web",), dns_names=["example.com"]) == ""
    assert "rule 2" in objection(rules, ("mail",), dns_names=["example.com"])
    assert objection(rules, ("mail",), dns_names=["db.example.com"]) == ""
    assert "no rule is for a host of the groups mail, x" in objection([WEB], ("x", "mail"), dns_names=["example.com"])
    assert "does not permit it" in objection([], dns_names=["example.com"])


def test_a_lifetime_that_only_the_ca_knows() -> None:
    rule = {"max_duration": "30d"}
    assert "only the CA knows how long it would live" in objection([rule], lifetime=None)
    assert objection([rule], lifetime=None, duration="29d") == "" == objection([rule], lifetime=30 * DAY)
    assert "duration: 31d is more than 30d" in objection([rule], lifetime=31 * DAY)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, "permit must be a list of rules"),
        ("web", "permit must be a list of rules"),
        ([{}], "permit: rule 1 says nothing"),
        ([WEB, {"dnsnames": ["a"]}], "permit: rule 2: unknown option 'dnsnames'. Did you mean 'dns_names'?"),
        ([{"dns_names": ["*a.example.com"]}], "permit: rule 1: dns_names: '*a.example.com' is not understood"),
        ([{"dns_names": ["192.0.2.1"]}], "is an IP address"),
        ([{"ip_addresses": ["192.0.2.1/24"]}], "rule 1: ip_addresses: '192.0.2.1/24' is not understood"),
        ([{"uris": ["*"]}], "rule 1: uris: '*' is not understood"),
        ([{"email_addresses": ["example.com"]}], "rule 1: email_addresses: 'example.com' is not understood"),
        ([{"usages": ["web"]}], "rule 1: usages: 'web' is not understood"),
        ([{"max_duration": 90}], "rule 1: max_duration: '90' is not a duration"),
        ([{"key_algorithms": ["rsa"]}], "rule 1: key_algorithms: 'rsa' is unknown"),
        ([{"subject": {"CN": "x"}}], "rule 1: subject: unknown option 'CN'"),
    ],
)
def test_rules_that_are_none(raw: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_permit("internal", raw)
    assert words in str(caught.value) and "issuer 'internal': permit" in str(caught.value)


def test_what_a_host_could_get() -> None:
    issuers = {
        "internal": {"type": "ca", "permit": [WEB, WIDE]},
        "free": {"type": "ca"},
        "odd": {"permit": 7},
        "none": None,
    }
    known = permitted(issuers, ["db"])
    rules = known["internal"]
    assert rules and len(rules) == 1 and known["free"] is None and "odd" not in known
    assert rules[0] == {**WIDE, "subject": {"O": ["Example"], "OU": ["Web", "Shop"]}}
    assert permitted(None, ()) == {} == permitted("x", ())
