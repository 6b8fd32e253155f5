# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import parse_host_facts

GOOD: dict[str, Any] = {
    "family": "debian", "openssl": [3, 0, 17], "python": [3, 11], "systemd": True, "resolvers": ["192.0.2.53"], "trusts_ours": True,
    "nginx_sites": True,
    "ocsp": ["www"],
}  # fmt: skip


def test_what_a_host_says() -> None:
    assert parse_host_facts(GOOD).as_facts() == {"fleet_tls_host": GOOD}


@pytest.mark.parametrize(
    ("change", "field", "taken"),
    [
        ({"family": "{{ evil }}"}, "family", "other"),
        ({"resolvers": ["192.0.2.53;", "fe80::1%eth0;", "2001:DB8::1", 7]}, "resolvers", ["2001:db8::1"]),
        ({"resolvers": None}, "resolvers", []),
        ({"resolvers": ["192.0.2.1"] * 99}, "resolvers", ["192.0.2.1"] * 8),
        ({"ocsp": ["../x", "www", 5, "{{ x }}"]}, "ocsp", ["www", "5"]),
        ({"systemd": "yes"}, "systemd", True),
        ({"nginx_sites": "{{ evil }}"}, "nginx_sites", False),
    ],
)
def test_a_host_chooses_among_what_is_known(change: dict[str, Any], field: str, taken: Any) -> None:
    assert parse_host_facts({**GOOD, **change}).as_facts()["fleet_tls_host"][field] == taken


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {**GOOD, "openssl": "3.0"},
        {**GOOD, "openssl": []},
        {**GOOD, "openssl": [3, True]},
        {**GOOD, "openssl": [3, "0; evil"]},
        {**GOOD, "python": None},
        {**GOOD, "python": [-3]},
        {**GOOD, "family": ["debian"]},
        {**GOOD, "resolvers": 5},
    ],
)
def test_what_has_another_form_is_refused(raw: Any) -> None:
    if isinstance(raw, dict) and raw.get("family") == ["debian"]:
        assert parse_host_facts(raw).family == "other"
        return
    with pytest.raises(HostError, match="does not have the agreed form"):
        parse_host_facts(raw)
