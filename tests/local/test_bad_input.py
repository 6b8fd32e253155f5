# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be done is refused before anything is touched, and told to the one who wrote it. One run, a host a mistake."""

from __future__ import annotations

from typing import Any

import pytest

from local.hosts import Hosts, message
from tools.playbook import PlaybookResult

LONG = ".".join(["a" * 60] * 5)

# host → what is wrong with its one certificate, what the message says about it, and the remedy in it.
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown-issuer": ({"issuer": "intrenal"}, "issuer: 'intrenal' is unknown", "Did you mean 'internal'?"),
    "no-issuer": ({"issuer": []}, "has no issuer", "Name one of: internal"),
    "unknown-service": ({"services": ["ngnix"]}, "services: 'ngnix' is unknown", "Did you mean 'nginx'?"),
    "no-name": ({"dns_names": []}, "has no names", "Give it at least one of dns_names"),
    "empty-dns": ({"dns_names": [""]}, "dns_names: empty name", "check the variable it comes from"),
    "long-dns": ({"dns_names": [LONG]}, "304 characters", "253 is the longest"),
    "long-label": ({"dns_names": [f"{'b' * 64}.example.com"]}, "the label 'bbb", "1 to 63 letters"),
    "twice-dns": ({"dns_names": ["a.example.com", "A.example.com."]}, "'a.example.com' appears twice", "Remove one"),
    "underscore": ({"dns_names": ["my_host.example.com"]}, "the label 'my_host'", "letters, digits and inner hyphens"),
    "wildcard": ({"dns_names": ["www.*.example.com"]}, "wildcard in the wrong place in 'www.*.example.com'", "*.example.com"),
    "wildcard-tld": ({"dns_names": ["*.com"]}, "wildcard in the wrong place in '*.com'", "has two more behind it"),
    "ip-in-dns": ({"dns_names": ["192.0.2.1"]}, "'192.0.2.1' is an IP address", "Put it into ip_addresses"),
    "bad-ip": ({"ip_addresses": ["192.0.2.256"]}, "'192.0.2.256' is not an IP address", "Write one address"),
    "network": ({"ip_addresses": ["192.0.2.0/24"]}, "'192.0.2.0/24' is not an IP address", "no network"),
    "renew-too-early": ({"renew_before": "30d"}, "renew_before (30d) is not shorter than the lifetime (30d)", "such as 33%"),
    "open-key": ({"mode": "0644"}, "mode: 0644 lets more than its owner", '"0600"'),
    "unknown-option": ({"dns_name": ["a.example.com"]}, "unknown option 'dns_name'", "Did you mean 'dns_names'?"),
}  # fmt: skip


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    return Hosts(tmp_path_factory.mktemp("bad-input"), dict.fromkeys([*CASES, "same-name", "good"], ["www"]))


@pytest.fixture(scope="module")
def result(hosts: Hosts) -> PlaybookResult:
    changes = {
        name: {
            "tls_certificates": [hosts[name].certificate(name="before", services=[]), hosts[name].certificate(**wrong)]
        }
        for name, (wrong, _message, _remedy) in CASES.items()
    }
    changes["same-name"] = {"tls_certificates": [hosts["same-name"].certificate(services=[])] * 2}
    changes["good"] = {"tls_certificates": [hosts["good"].certificate(services=[])]}
    return hosts.play(changes)


@pytest.mark.parametrize("name", CASES)
def test_refused(hosts: Hosts, result: PlaybookResult, name: str) -> None:
    _wrong, said, remedy = CASES[name]
    words = message(result, name)
    assert words.startswith(f"{name}: certificate 'www': ")
    assert said in words and remedy in words
    # The certificate before it is right, and was not begun either.
    assert not hosts[name].tls.exists()


def test_two_of_one_name(hosts: Hosts, result: PlaybookResult) -> None:
    words = message(result, "same-name")
    assert words == "same-name: two certificates have the name 'www'. Rename or remove one of them."
    assert not hosts["same-name"].tls.exists()


def test_the_others_go_on(hosts: Hosts, result: PlaybookResult) -> None:
    assert result.rc == 2
    assert result.stats["good"]["changed"] == 1 and result.stats["good"]["failures"] == 0
    assert hosts["good"].pair_fault() is None
