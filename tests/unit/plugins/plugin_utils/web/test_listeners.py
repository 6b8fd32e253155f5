# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.web.listeners import group_listeners, site_claims
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import expand_sites


def site(name: str, listen: Any, client_auth: str = "none") -> dict[str, Any]:
    return {
        "name": name, "server_names": [name], "certificate": name, "root": "/srv", "listen": listen, "client_auth": client_auth,
    }  # fmt: skip


def grouped(*sites: dict[str, Any], field: str = "listen") -> list[tuple[str, int, str, str, list[str]]]:
    found = group_listeners(expand_sites(list(sites)), field)
    return [
        (each["host"], each["port"], each["name"], each["session"], [one["name"] for one in each["sites"]])
        for each in found
    ]


def test_sites_by_socket() -> None:
    assert grouped(site("a", [443, "[::]:443"]), site("b", "*:443"), site("c", "192.0.2.1:443", "required")) == [
        ("", 443, "443", "public", ["a", "b"]),
        ("::", 443, "---443", "public", ["a"]),
        ("192.0.2.1", 443, "192-0-2-1-443", "required", ["c"]),
    ]


def test_a_socket_with_sites_of_two_kinds_resumes_nothing() -> None:
    ours = [site("a", 443), site("b", [443, 8443], "required"), site("c", 8443, "required")]
    assert [each[3] for each in grouped(*ours)] == ["off", "off"]


def test_plain_http_once_an_address() -> None:
    assert grouped(site("a", [443, 8443]), site("b", 443), field="http_listen") == [
        ("", 80, "80", "public", ["a", "b"])
    ]


def claims(server: str, sites: list[dict[str, Any]], **how: Any) -> dict[str, Any]:
    return site_claims(expand_sites(sites, server), server, **how)


def claimed(server: str, *sites: dict[str, Any], **how: Any) -> list[tuple[str, str, int, bool]]:
    return [
        (each["site"], each["host"], each["port"], each["plain"])
        for each in claims(server, list(sites), **how)["places"]
    ]


def test_what_sites_claim() -> None:
    redirecting = {**site("a", [443, "[::]:443"]), "redirect": True}
    tls = [("a", "", 443, False), ("a", "::", 443, False)]
    http = [("a", "", 80, True), ("a", "::", 80, True)]
    assert claimed("nginx", redirecting) == tls + http
    # Its addresses of both families are one.
    assert set(claimed("apache", redirecting)) == {tls[0], http[0]}
    assert claimed("nginx", {**redirecting, "redirect": False}) == tls
    assert claimed("nginx", redirecting, http=False) == tls
    assert claimed("nginx", {**redirecting, "redirect": False}, challenges=True) == tls + http


def test_tickets_are_claimed_for_sites_that_give_them_out() -> None:
    for client_auth, tickets in (("none", True), ("required", False)):
        sites = [site("a", 443, client_auth)]
        assert claims("nginx", sites, tickets=True)["tickets"] is tickets
        assert claims("nginx", sites)["tickets"] is False
