# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate that only some clients are shown, whatever OpenSSL this Python came with."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.scan import other_key
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, serving


@pytest.mark.parametrize("pythons", [(1, 1, 1, 23), (3, 0, 0, 19), (3, 5, 0, 1)])
def test_a_python_with_another_openssl_than_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pythons: tuple[int, ...]
) -> None:
    ca = Authority(tmp_path)
    ecdsa = ca.issue("www", "DNS:www.example.com")
    rsa = ca.issue("www-rsa", "DNS:www.example.com", rsa=2048)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for pair in (rsa, ecdsa):
        context.load_cert_chain(pair.chain, pair.key)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", pythons)
    with serving(answer) as server:
        endpoint = Endpoint(server.host, server.port, "www.example.com", 60)
        found = other_key.other_chain(endpoint, ecdsa.chain.read_text())
    assert [other_key.key_type(each) for each in found][:1] == ["rsa"]
