# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints behind the PROXY protocol: a real nginx takes its headers, proves and scans, and it knows who the client is."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.proof.served import ProofTarget, look_at
from ansible_collections.fleet.tls.plugins.module_utils.scan.other_key import other_chain
from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.trace import trace_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import handshake
from ansible_collections.fleet.tls.plugins.module_utils.tls.proxy_protocol import header
from ansible_collections.fleet.tls.plugins.module_utils.tls.staple import Staple, staple_of
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair
from tools.ports import free_port

SITE = """log_format who $proxy_protocol_addr;
server {{
    listen 127.0.0.1:{port} ssl proxy_protocol;
    listen [::1]:{port} ssl proxy_protocol;
    access_log {folder}/who.log who;
    ssl_certificate {pair.chain};
    ssl_certificate_key {pair.key};
}}
"""


@pytest.fixture(scope="module")
def www(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Authority(tmp_path_factory.mktemp("ca")).issue("www", "DNS:www.example.com")


@pytest.fixture(scope="module")
def port(www: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of an nginx that takes connections from proxies only."""
    found = free_port()
    with NginxService(tmp_path_factory.mktemp("nginx")) as nginx:
        (nginx.conf / "site.conf").write_text(SITE.format(port=found, folder=nginx.folder, pair=www))
        nginx.start()
        yield found


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_is_seen(www: Pair, port: int, host: str, version: int) -> None:
    endpoint = Endpoint(host, port, "www.example.com", 30, proxy_protocol=version)
    assert handshake(endpoint).error is None
    target = ProofTarget(
        host, port, "www.example.com", "www", hashlib.sha256(www.der).hexdigest(), proxy_protocol=version
    )
    (report,) = look_at([target], timeout=30)
    assert report.ours == "live", report.error


def test_without_it_there_is_no_handshake(port: int) -> None:
    assert handshake(Endpoint("127.0.0.1", port, "www.example.com", 30)).error


@pytest.mark.parametrize("version", [1, 2])
def test_a_scan_and_a_trace(port: int, version: int) -> None:
    wanted = {"host": "127.0.0.1", "port": port, "server_name": "www.example.com", "timeout": 30}
    request = {"endpoints": [{**wanted, "proxy_protocol": version}], "resumption": True, "stapling": True}
    (scanned,) = handshake_step(request)[1]["results"]
    assert scanned["error"] is None and scanned["resumption"]["resumed"] is True
    assert scanned["staple"]["present"] is False
    (traced,) = trace_step(request)[1]["results"]
    assert traced["error"] is None and traced["trace"]["connections"][0]["ended"] == "complete"


def test_what_only_the_program_openssl_can_do(www: Pair, port: int) -> None:
    assert staple_of(Endpoint("127.0.0.1", port, "www.example.com", 30, proxy_protocol=1)) == Staple(False)
    endpoint = Endpoint("127.0.0.1", port, "www.example.com", 30, proxy_protocol=2)
    assert other_chain(endpoint, www.chain.read_text()) == ()
    assert staple_of(Endpoint("127.0.0.1", 1, timeout=30, proxy_protocol=1)).present is None


def test_headers() -> None:
    """HAProxy's proxy-protocol.txt, sections 2.1 and 2.2."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        client, server = sock.getsockname()[1], sock.getpeername()[1]
        assert header(1, sock) == f"PROXY TCP4 127.0.0.1 127.0.0.1 {client} {server}\r\n".encode()
        ports = client.to_bytes(2, "big") + server.to_bytes(2, "big")
        addresses = bytes((127, 0, 0, 1, 127, 0, 0, 1))
        assert header(2, sock) == b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + addresses + ports
