# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints as a look sees them: a glance where that does, a closer look where it does not."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import threading
import time
import warnings

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.proof import served as module
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import ProofTarget, look_at
from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import glance
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Address, Authority, Pair, serving, tls_server
from tools.ports import free_port

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def www(pairs: list[Pair]) -> Pair:
    return pairs[0]


def to(address: Address, name: str | None = "www.example.com", expected: str = "") -> ProofTarget:
    return ProofTarget(address.host, address.port, name, "www", expected)


def digest(pair: Pair) -> str:
    return hashlib.sha256(pair.der).hexdigest()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, TLS12, TLS13], ids=lambda version: version.name)
def test_a_glance_sees_the_leaf(www: Pair, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with tls_server(www, version=version) as address:
            seen = glance(address.host, address.port, None, 5)
            assert seen is not None and seen.leaf == www.der


def test_by_name(pairs: list[Pair]) -> None:
    www, api, _other = pairs
    with tls_server(www, by_name={"api.example.com": api}) as address:
        names = ["www.example.com", "api.example.com.", "127.0.0.1", None, "ü" * 70, "x" * 300]
        seen = look_at([to(address, name) for name in names])
    assert [each.fingerprint for each in seen[:4]] == [digest(www), digest(api), digest(www), digest(www)]
    assert all("cannot be sent as a server name" in str(each.error) for each in seen[4:])


def test_one_handshake_where_all_is_well(www: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def dear(*_arguments: object) -> tuple[bytes | None, str | None]:
        raise AssertionError("a closer look, though a glance had seen it")

    monkeypatch.setattr(module, "look_closer", dear)
    with tls_server(www) as address:
        (seen,) = look_at([to(address, expected=digest(www))])
    assert (seen.ours, seen.error) == ("live", None)


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=lambda version: version.name)
def test_a_server_that_refuses_us_has_shown_its_leaf(
    www: Pair, shared_authority: Authority, version: ssl.TLSVersion
) -> None:
    with tls_server(www, version=version, client_ca=shared_authority.root.certificate) as address:
        (seen,) = look_at([to(address)])
    assert (seen.fingerprint, seen.error) == (digest(www), None)


def test_why_there_was_none() -> None:
    with serving(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as plain:
        seen = look_at([to(Address("127.0.0.1", free_port())), to(plain)])
    assert "connection refused" in str(seen[0].error)
    assert "not TLS: the server said 'HTTP/1.1 400 Bad Request'" in str(seen[1].error)


def test_silent_ones_are_waited_for_together(www: Pair) -> None:
    over = threading.Event()
    with serving(lambda connection: (over.wait(60), None)[1]) as silent, tls_server(www) as address:
        with contextlib.ExitStack() as stack:
            stack.callback(over.set)
            begin = time.monotonic()
            seen = look_at([to(silent)] * 6 + [to(address)], timeout=2)
            seconds = time.monotonic() - begin
    words = "timed out after 2 s, connected but without a complete handshake"
    assert [each.error for each in seen] == [words] * 6 + [None]
    # The first alone, the others at once; one after the other they would take twelve seconds.
    assert 4 <= seconds < 11
    assert seen[-1].fingerprint == digest(www)


def test_drips_do_not_make_it_longer() -> None:
    def drip(connection: object) -> None:
        # The beginning of a handshake record, byte by byte.
        for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 400:
            connection.sendall(bytes([byte]))  # type: ignore[attr-defined]
            time.sleep(0.1)

    with serving(drip) as address:
        begin = time.monotonic()
        (seen,) = look_at([to(address)], timeout=1)
        assert time.monotonic() - begin < 20
    assert "timed out after 1 s" in str(seen.error)
