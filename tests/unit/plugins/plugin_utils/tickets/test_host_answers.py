# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.host_answers import parse_servers
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.rotation import parse_hosts


def test_usual_servers() -> None:
    nginx, haproxy = parse_servers(
        ["nginx", {"server": "haproxy", "endpoints": ["192.0.2.1:8443"], "socket": "/run/edge.sock"}]
    )
    assert (nginx.kind, nginx.socket, nginx.service.name) == ("nginx", None, "nginx")
    assert [(each.host, each.port) for each in nginx.service.endpoints] == [("127.0.0.1", 443)]
    assert (haproxy.kind, haproxy.socket) == ("haproxy", "/run/edge.sock")
    assert [(each.host, each.port) for each in haproxy.service.endpoints] == [("192.0.2.1", 8443)]
    assert parse_servers(["haproxy"])[0].socket == "/run/haproxy/admin.sock"


def test_a_service_of_ones_own() -> None:
    (server,) = parse_servers(
        [{"server": "nginx", "service": {"name": "edge", "reload": "edge --reload"}, "endpoints": ["[::1]:443"]}]
    )
    request = server.as_request()
    assert (request["service"]["name"], request["service"]["reload"]) == ("edge", ("edge", "--reload"))


@pytest.mark.parametrize(
    "raw, words",
    [
        (["apache"], "Apache does not use the HMAC half"),
        (["httpd"], "Apache does not use the HMAC half"),
        (["nginx", {"server": "apache2"}], "Apache does not use the HMAC half"),
        (["ngnix"], "'ngnix' is unknown"),
        ([], "servers is empty"),
        (["nginx", "nginx"], "two entries are for 'nginx'"),
        ([{"server": "nginx", "endpoint": "x:1"}], "unknown option 'endpoint'"),
        ([{"server": "nginx", "endpoints": []}], "nginx has no endpoints"),
        ([{"server": "nginx", "service": {"name": "edge", "reload": "x"}}], "nginx has no endpoints"),
        ([{"server": "haproxy", "socket": "admin.sock"}], "is not an absolute path"),
        ([5], "must be a mapping"),
    ],
)
def test_what_cannot_be(raw: list[Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        parse_servers(raw)
    assert caught.value.remedy


def test_apaches_way_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        parse_servers(["apache"])
    assert "tls_session_cache: redis:HOST:PORT" in str(caught.value.remedy)


def test_pools_of_a_run() -> None:
    look = {"pool": "web", "generation": 7, "lifetime": 60, "found": {"generation": 7, "current": True, "same": True}}
    pools = parse_hosts(
        {
            "web1": look,
            "web2": {**look, "lifetime": 90, "generation": 8},
            "mail": {"unreachable": True, "msg": "gone"},
            "db": {"skipped": True},
            "x": {"skipped": True},
        },
        {"mail": "mail"},
    )
    assert sorted(pools) == ["mail", "web"]
    # The older of two generations is what some host was compared with; the longest lifetime counts.
    assert (pools["web"].generation, pools["web"].lifetime) == (7, 90)
    assert pools["mail"].generation is None and pools["mail"].looks["mail"].problem == "gone"
    with pytest.raises(SpecError, match="nobody says which pool mail is of"):
        parse_hosts({"mail": {"unreachable": True}}, {})
