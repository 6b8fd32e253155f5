# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.left_over import NEXT_RUN, Inventory, left_over
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.wishes import parse_wishes

THERE: dict[str, list[str]] = {
    "certificates": ["www", "old"], "clients": ["app"], "bundles": ["/etc/ca.pem"], "pools": ["web"], "configured": ["nginx"],
}  # fmt: skip
WANTED = Inventory(
    certificates=[{"name": "www"}, {"name": "old"}],
    clients=[{"certificate": "app"}],
    bundles=[{"path": "/etc//ca.pem"}],
    pool="web",
)


def found(**changes: Any) -> dict[tuple[str, str], str]:
    inventory = Inventory(**{**vars(WANTED), **changes})
    return {(each.kind, each.name): each.remedy for each in left_over(THERE, inventory)}


def test_what_is_wanted_is_not_left_over() -> None:
    assert found() == {}


def test_nothing_is_wanted() -> None:
    everything = {
        ("certificate", "www"),
        ("certificate", "old"),
        ("client", "app"),
        ("bundle", "/etc/ca.pem"),
        ("pool", "web"),
    }
    assert set(found(certificates=[], clients=[], bundles=[], pool=None)) == everything
    assert set(found(sites=False)) == {("sites", "nginx")}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"certificates": [{"name": "www"}, {"name": "old", "state": "absent"}]}, "certificate"),
        ({"clients": [{"certificate": "app", "state": "absent"}]}, "client"),
        ({"bundles": [{"path": "/etc/ca.pem", "state": "absent"}]}, "bundle"),
        ({"pool_is_absent": True}, "pool"),
    ],
)
def test_what_is_on_its_way_out_needs_nothing_more(changes: dict[str, Any], kind: str) -> None:
    assert {key[0]: remedy for key, remedy in found(**changes).items()} == {kind: NEXT_RUN}


def test_a_remedy_is_an_entry_that_does_it() -> None:
    """As it stands there, in the list that it names."""
    lists: dict[str, list[Any]] = {}
    for remedy in found(certificates=[{"name": "www"}], clients=[], bundles=[]).values():
        entry, _to, rest = remedy.removeprefix("add ").partition(" to ")
        lists[rest.split(",")[0]] = [yaml.safe_load(entry)]
    wishes = parse_wishes(lists["tls_certificates"], lists["tls_clients"], lists["tls_trust_bundles"])
    assert [each.name for each in wishes.certificates] == ["old"]
    assert [each.name for each in wishes.clients] == ["app"]
    assert wishes.bundles == ("/etc/ca.pem",)


def test_a_state_that_is_none() -> None:
    with pytest.raises(SpecError, match="state: 'gone' is unknown"):
        found(certificates=[{"name": "www", "state": "gone"}])
