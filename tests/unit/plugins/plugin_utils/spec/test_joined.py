# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.joined import joined, parts_of


def test_the_order_is_that_of_the_names() -> None:
    parts = parts_of(
        "tls_sites", ["tls_sites_b", "tls_sites", "tls_sites_a", "tls_site_c", "tls_sites_x"], {"tls_sites_x"}
    )
    assert parts == ["tls_sites_a", "tls_sites_b"]
    lists = {"tls_sites_b": [{"name": "1"}, {"name": "2"}], "tls_sites_a": [{"name": "3"}, "text"]}
    assert joined({name: lists[name] for name in parts}) == [{"name": "3"}, "text", {"name": "1"}, {"name": "2"}]
    assert joined({}) == []


@pytest.mark.parametrize("field", ["name", "certificate"])
def test_two_of_one_name_are_an_error_with_both_variables(field: str) -> None:
    with pytest.raises(SpecError) as caught:
        joined({"tls_clients_a": [{field: "www"}], "tls_clients_b": [{field: "mail"}, {field: "www"}]})
    assert str(caught.value) == "'www' is in both tls_clients_a and tls_clients_b. Rename or remove one of them."


def test_two_of_one_name_in_one_list_are_left_to_whoever_reads_it() -> None:
    assert len(joined({"tls_clients_a": [{"certificate": "www"}, {"certificate": "www"}]})) == 2


def test_a_part_is_a_list() -> None:
    with pytest.raises(SpecError, match="tls_sites_a is not a list"):
        joined({"tls_sites_a": {"name": "www"}})
