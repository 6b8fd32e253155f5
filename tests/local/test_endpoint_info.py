# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.tls.endpoint_info and the tests on what it returns, against a real nginx, as a playbook uses them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair
from local import nginx
from local.probing import LOCAL, play
from tools.ports import free_port

SERVERS = """
    ssl_protocols TLSv1.2 TLSv1.3;
    server {{ listen 127.0.0.1:{tls} ssl default_server; server_name www.example.com; {www} }}
    server {{ listen 127.0.0.1:{tls} ssl; server_name old.example.com; {old} }}
    server {{
        listen 127.0.0.1:{mutual} ssl; {www}
        ssl_client_certificate {root}; ssl_verify_client on; ssl_verify_depth 2;
    }}
    server {{ listen 127.0.0.1:{plain}; return 200 "plain"; }}
"""


@dataclass(frozen=True)
class Site:
    """The nginx under test and what it was given."""

    ca: Authority
    www: Pair
    old: Pair
    client: Pair
    tls: int
    mutual: int
    plain: int
    closed: int


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    ca = Authority(folder / "ca")
    www, old = ca.issue("www", "DNS:www.example.com"), ca.issue("old", "DNS:old.example.com", days=5)
    client = ca.issue("client", "URI:spiffe://example.com/client")
    tls, mutual, plain = (free_port() for _count in range(3))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens, so that nobody else does
        pairs = {
            name: f"ssl_certificate {pair.chain}; ssl_certificate_key {pair.key};"
            for name, pair in (("www", www), ("old", old))
        }
        servers = SERVERS.format(tls=tls, mutual=mutual, plain=plain, root=ca.root.certificate, **pairs)
        with nginx.running(folder, servers, tls):
            yield Site(ca, www, old, client, tls, mutual, plain, closed.getsockname()[1])


def pems(path: Path) -> list[str]:
    end = "-----END CERTIFICATE-----\n"
    return [part + end for part in path.read_text().split(end) if part]


def test_from_the_controller_without_a_connection(site: Site, tmp_path: Path) -> None:
    probe = {
        "endpoints": [
            f"127.0.0.1:{site.tls}",
            {"host": "localhost", "port": site.tls, "server_name": "old.example.com"},
            f"127.0.0.1:{site.mutual}",
            {
                "host": "127.0.0.1",
                "port": site.mutual,
                "client_certificate": str(site.client.chain),
                "client_key": str(site.client.key),
            },
            f"127.0.0.1:{site.plain}",
            {"host": "127.0.0.1", "port": site.closed, "timeout": "1s"},
        ],
        "server_name": "www.example.com",
        "anchors": [site.ca.root.pem],
    }
    asserts = [
        "seen is not changed",
        "seen.endpoints[0].certificates[0] is not fleet.tls.expired",
        "seen.endpoints[0].certificates[0] is not fleet.tls.expiring('29d')",
        "seen.endpoints[0].certificates[0] is fleet.tls.expiring('31d')",
        "seen.endpoints[0].chain[0] is not fleet.tls.expiring('90%')",
        "seen.endpoints[1].chain[0] is fleet.tls.expiring('14d')",
        "seen.endpoints | selectattr('reachable') | map(attribute='chain') | map('first') | select('fleet.tls.expired') | count == 0",
    ]
    result = play(
        tmp_path,
        [
            {"fleet.tls.endpoint_info": probe, "register": "seen", "check_mode": True},
            {"ansible.builtin.assert": {"that": asserts}},
        ],
    ).check()
    assert result.changed == 0
    first, second, mutual, client, plain, closed = result.results(action="fleet.tls.endpoint_info")[0]["endpoints"]

    assert first["chain"] == pems(site.www.chain)
    assert (first["reachable"], first["error"], first["protocol"]) == (True, None, "TLSv1.3")
    assert (first["trusted"], first["problems"], first["client_certificate"]) == (True, [], None)
    assert second["chain"] == pems(site.old.chain)
    assert second["certificates"][0]["dns_names"] == ["old.example.com"]
    assert 4 < second["certificates"][0]["days_left"] < 5.1
    assert second["trusted"] is True

    # nginx completes the handshake, and answers with HTTP 400 to those who gave no certificate.
    assert (mutual["chain"], mutual["client_certificate"]) == (pems(site.www.chain), "requested")
    assert (client["chain"], client["client_certificate"]) == (pems(site.www.chain), "accepted")

    assert (plain["reachable"], plain["certificates"], plain["trusted"]) == (False, [], None)
    assert plain["error"].startswith("not TLS: the server said 'HTTP/1.1 400") or "closed" in plain["error"]
    assert (closed["reachable"], closed["error"]) == (False, "connection refused: nothing listens there")


def test_required(site: Site, tmp_path: Path) -> None:
    endpoints = [f"127.0.0.1:{site.tls}", f"127.0.0.1:{site.closed}"]
    common = {"endpoints": endpoints, "server_name": "mail.example.com", "required": True}
    result = play(tmp_path, [{"fleet.tls.endpoint_info": {**common, "anchors": site.ca.root.pem}}])
    assert result.rc == 2
    (failed,) = result.results(action="fleet.tls.endpoint_info")
    assert failed["msg"] == (
        f"web1: 127.0.0.1:{site.tls}: the certificate is not for mail.example.com (its names: www.example.com);"
        f" 127.0.0.1:{site.closed}: connection refused: nothing listens there"
    )
    assert [entry["reachable"] for entry in failed["endpoints"]] == [True, False]


def test_from_the_host(site: Site, tmp_path: Path) -> None:
    probe = {
        "endpoints": [f"127.0.0.1:{site.mutual}", f"127.0.0.1:{site.closed}"],
        "origin": "host",
        "server_name": "www.example.com",
        "client_certificate": str(site.client.chain),
        "client_key": str(site.client.key),
    }
    result = play(tmp_path, [{"fleet.tls.endpoint_info": probe, "check_mode": True}], LOCAL).check()
    assert result.changed == 0
    seen, closed = result.results(action="fleet.tls.endpoint_info")[0]["endpoints"]
    assert (seen["chain"], seen["client_certificate"]) == (pems(site.www.chain), "accepted")
    assert closed["error"] == "connection refused: nothing listens there"


def test_from_a_host_that_cannot_be_reached(site: Site, tmp_path: Path) -> None:
    result = play(tmp_path, [{"fleet.tls.endpoint_info": {"endpoints": [f"127.0.0.1:{site.tls}"], "origin": "host"}}])
    assert result.stats["web1"]["unreachable"] == 1


DEVICE = '''
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: device
short_description: a network device
description: none
options:
  persistent_command_timeout: {type: int, default: 5, description: unused}
"""


class Connection(ConnectionBase):
    transport = "device"
    force_persistence = True
    _connect = exec_command = put_file = fetch_file = close = lambda *args, **kwargs: 1 / 0
'''


def test_a_network_device_is_left_alone(site: Site, tmp_path: Path) -> None:
    plugins = tmp_path / "connection_plugins"
    plugins.mkdir()
    (plugins / "device.py").write_text(DEVICE)
    probe = {"endpoints": [f"127.0.0.1:{site.tls}"], "required": True}
    play(tmp_path, [{"fleet.tls.endpoint_info": probe}], {"ansible_connection": "device"}).check()


def test_bad_input_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"endpoints": ["{good}", "https://x"]}, "'https://x' is not host and port"),
        ({"endpoints": ["{good}"], "timeout": 5}, "timeout: '5' is not a duration"),
        ({"endpoints": ["{good}"], "anchors": "x"}, "anchors: not a complete PEM certificate"),
        ({"endpoints": ["{good}"], "client_key": "/x"}, "client_key without a client_certificate"),
        ({"endpoints": ["{good}"], "origin": "moon"}, "value of origin must be one of: controller, host"),
        ({"endpoints": ["{good}"], "sni": "x"}, "Unsupported parameters"),
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        good = "127.0.0.1:{0}".format(listener.getsockname()[1])
        tasks = [
            {"fleet.tls.endpoint_info": json.loads(json.dumps(options).replace("{good}", good)), "ignore_errors": True}
            for options, _complaint in cases
        ]
        result = play(tmp_path, tasks)
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    messages = [each["msg"] for each in result.results(action="fleet.tls.endpoint_info")]
    assert len(messages) == len(cases)
    for message, (_options, complaint) in zip(messages, cases):
        assert complaint in message


def test_errors_of_the_tests_name_them(tmp_path: Path) -> None:
    conditions = ["'x' is fleet.tls.expired", "{'not_after': '2027-01-01T00:00:00Z'} is fleet.tls.expiring('soon')"]
    tasks = [{"ansible.builtin.assert": {"that": [condition]}, "ignore_errors": True} for condition in conditions]
    first, second = (each["msg"] for each in play(tmp_path, tasks).results(action="ansible.builtin.assert"))
    assert "fleet.tls.expired: not a complete PEM certificate" in first
    assert "fleet.tls.expiring: within: 'soon' is not a duration" in second
