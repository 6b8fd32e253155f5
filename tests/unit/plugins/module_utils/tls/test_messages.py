# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ssl

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import handshake
from ansible_collections.fleet.tls.plugins.module_utils.tls.messages import ticket_in
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair, tls_server

TICKET = bytes(range(200))


def message(body: bytes) -> bytes:
    return b"\x04" + len(body).to_bytes(3, "big") + body


def test_the_ticket_of_both_versions() -> None:
    length = len(TICKET).to_bytes(2, "big")
    assert ticket_in(message(b"\x00\x00\x1c\x20" + length + TICKET), tls13=False) == TICKET
    new = b"\x00\x00\x1c\x20" + b"\xaa" * 4 + b"\x08" + b"\xbb" * 8 + length + TICKET + b"\x00\x00"
    assert ticket_in(message(new), tls13=True) == TICKET


@pytest.mark.parametrize("tls13", [False, True])
def test_half_a_message_has_no_ticket(tls13: bool) -> None:
    more = b"\xaa" * 4 + b"\x02\xbb\xbb" if tls13 else b""
    whole = message(b"\x00" * 4 + more + len(TICKET).to_bytes(2, "big") + TICKET)
    assert ticket_in(whole, tls13) == TICKET
    assert {ticket_in(whole[:end], tls13) for end in range(len(whole))} == {b""}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_handshake_shows_it(pairs: list[Pair], version: ssl.TLSVersion) -> None:
    with tls_server(pairs[0], version=version) as server:
        first, second = (
            handshake(Endpoint(server.host, server.port, "www.example.com", ticket=True)) for _try in range(2)
        )
    assert first.error is None and len(first.ticket) > 100
    # OpenSSL's server keeps its key as long as it runs, and so the name.
    assert first.ticket[:16] == second.ticket[:16] and first.ticket != second.ticket


def test_a_server_without_tickets_is_not_waited_for(pairs: list[Pair]) -> None:
    with tls_server(pairs[0], version=ssl.TLSVersion.TLSv1_3, tickets=0) as server:
        result = handshake(Endpoint(server.host, server.port, timeout=20, ticket=True))
    assert (result.error, result.ticket) == (None, b"") and result.seconds < 15
