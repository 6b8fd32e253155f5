# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step
from ansible_collections.fleet.tls.plugins.module_utils.tls import handshake as module
from ansible_collections.fleet.tls.plugins.module_utils.tls import memory_tls as wire
from ansible_collections.fleet.tls.plugins.module_utils.tls import messages as tls_messages
from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import openssl_version
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import (
    Endpoint,
    HandshakeError,
    handshake,
    served_leaf,
)
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import (
    Address,
    Authority,
    Pair,
    run_openssl,
    serving,
    tls_server,
)

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def www(ca: Authority) -> Pair:
    return ca.issue("www", "DNS:www.example.com")


@pytest.fixture(scope="module")
def client(ca: Authority) -> Pair:
    return ca.issue("client", "DNS:client.example.com")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A client certificate of another CA."""
    return Authority(tmp_path_factory.mktemp("other")).issue("stranger")


def pems(path: Path) -> list[str]:
    return [
        part + "-----END CERTIFICATE-----\n" for part in path.read_text().split("-----END CERTIFICATE-----\n") if part
    ]


def to(address: Address, **more: object) -> Endpoint:
    return Endpoint(address.host, address.port, **{"timeout": 30, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, TLS12, TLS13], ids=lambda version: version.name)
def test_whole_chain_protocol_and_cipher(www: Pair, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with tls_server(www, version=version) as address:
            result = handshake(to(address))
    assert list(result.chain) == pems(www.chain)
    assert result.protocol == version.name.replace("_", ".")
    assert result.cipher
    assert (result.error, result.client_certificate) == (None, None)
    assert 0 < result.seconds < 30


def test_no_warnings_of_our_own(www: Pair) -> None:
    with tls_server(www) as address, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert handshake(to(address)).error is None


CLIENTS = [
    # version, insists, tickets, which certificate we give → what is said of it, and the alert
    (TLS12, True, 2, None, "refused", "handshake_failure"),
    (TLS12, True, 2, "client", "accepted", None),
    (TLS12, True, 2, "stranger", "refused", "unknown_ca"),
    (TLS12, False, 2, None, "requested", None),
    (TLS13, True, 2, None, "refused", "certificate_required"),
    (TLS13, True, 2, "client", "accepted", None),
    (TLS13, True, 0, "client", "accepted", None),
    (TLS13, True, 2, "stranger", "refused", "unknown_ca"),
    (TLS13, True, 0, None, "refused", "certificate_required"),
    (TLS13, False, 2, None, "requested", None),
    (TLS13, False, 0, None, "requested", None),
    (TLS13, False, 2, "client", "accepted", None),
]


@pytest.mark.parametrize(("version", "insists", "tickets", "who", "expected", "alert"), CLIENTS)
def test_client_certificates(
    ca: Authority,
    www: Pair,
    client: Pair,
    stranger: Pair,
    version: ssl.TLSVersion,
    insists: bool,
    tickets: int,
    who: str | None,
    expected: str,
    alert: str | None,
) -> None:
    ours = {"client": client, "stranger": stranger}.get(who or "")
    files = {"client_certificate": str(ours.chain), "client_key": str(ours.key)} if ours else {}
    with tls_server(
        www, version=version, client_ca=ca.root.certificate, require_client=insists, tickets=tickets
    ) as address:
        result = handshake(to(address, **files))
    assert list(result.chain) == pems(www.chain)
    assert result.client_certificate == expected
    assert result.protocol == version.name.replace("_", ".")
    assert result.error == (f"the server refused with the TLS alert {alert}" if alert else None)


def test_a_ticket_saves_the_wait(ca: Authority, www: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a handshake takes on a busy machine.
    monkeypatch.setattr(module, "_SHORTEST_LISTEN", 60)
    with tls_server(www, version=TLS13, client_ca=ca.root.certificate, require_client=False) as address:
        assert handshake(to(address, timeout=120)).seconds < 60


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=lambda version: version.name)
def test_leaf_of_a_server_that_refuses_us(ca: Authority, www: Pair, version: ssl.TLSVersion) -> None:
    with tls_server(www, version=version, client_ca=ca.root.certificate) as address:
        assert served_leaf(address.host, address.port, None, 5) == www.der


@pytest.mark.parametrize("name", ["www.example.com", "www.example.com."])
def test_server_name_is_asked_for(ca: Authority, www: Pair, name: str) -> None:
    other = ca.issue("fallback", "DNS:fallback.example.com")
    with tls_server(other, by_name={"www.example.com": www}) as address:
        assert served_leaf(address.host, address.port, name, 5) == www.der
        assert served_leaf(address.host, address.port, None, 5) == other.der


def test_ip_addresses_are_never_sent_as_server_name(www: Pair) -> None:
    seen = []
    with serving(lambda connection: seen.append(connection.recv(4096))) as address:
        handshake(to(address, server_name="127.0.0.1"))
        handshake(to(address, server_name="www.example.com"))
    assert [b"127.0.0.1" in hello for hello in seen] == [False, False]
    assert [b"www.example.com" in hello for hello in seen] == [False, True]


def test_a_name_that_cannot_be_sent(www: Pair) -> None:
    with tls_server(www) as address:
        assert (
            handshake(to(address, server_name="." + "a" * 70)).error == f"'.{'a' * 70}' cannot be sent as a server name"
        )


def test_ipv6(www: Pair) -> None:
    with tls_server(www, host="::1") as address:
        endpoint = to(address)
        assert endpoint.address == f"[::1]:{address.port}"
        assert handshake(endpoint).error is None


def test_every_address_of_a_name_is_tried(www: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_server(www) as address:
        dead = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0))
        alive = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address.host, address.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [dead, alive])
        assert handshake(Endpoint("www.example.com", address.port)).error is None


@contextlib.contextmanager
def full_listener() -> Iterator[Address]:
    """A listener with a full backlog, which takes no further connection."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _count in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Address(*listener.getsockname())


def test_a_dead_address_leaves_time_for_the_next(www: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_server(www) as address, full_listener() as full:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each.host, each.port)) for each in (full, address)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        assert handshake(Endpoint("www.example.com", address.port, timeout=4)).error is None


def dripping(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x03\x40\x00")
    for _byte in range(400):
        connection.sendall(b"\x02")
        time.sleep(0.05)


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def resetting(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def flooding(connection: socket.socket) -> None:
    # Warning alerts, which OpenSSL 1.1.1 and 3 count, and records of an endless message.
    while True:
        connection.sendall(b"\x16\x03\x03\x40\x00" + b"\x0b\xff\xff\xff" + b"\0" * 16380)


SICK: list[tuple[str, Callable[[socket.socket], None], str]] = [
    ("silent", silent, "timed out after 2 s, connected but without a complete handshake"),
    ("dripping", dripping, "timed out after 2 s, connected but without a complete handshake"),
    ("closing", lambda connection: None, "the server "),
    ("resetting", resetting, "the server reset the connection during the handshake"),
    (
        "http",
        lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"),
        "not TLS: the server said 'HTTP/1.1 400 Bad Request'",
    ),
    (
        "ssh",
        lambda connection: connection.sendall(b"SSH-2.0-x\x1b[31m\r\n"),
        "not TLS: the server said 'SSH-2.0-x.[31m'",
    ),
    (
        "alert",
        lambda connection: connection.sendall(b"\x15\x03\x03\x00\x02\x02\x70"),
        "the server refused with the TLS alert unrecognized_name",
    ),
    ("flooding", flooding, "the TLS handshake failed: "),
]


@pytest.mark.parametrize(("answer", "error"), [case[1:] for case in SICK], ids=[case[0] for case in SICK])
def test_sick_servers(answer: Callable[[socket.socket], None], error: str) -> None:
    with serving(answer) as address:
        begin = time.monotonic()
        result = handshake(to(address, timeout=2 if error.startswith("timed out") else 30))
        took = time.monotonic() - begin
    assert result.error is not None and result.error.startswith(error)
    assert result.chain == ()
    # Those that end only when we go would last ten seconds, and twenty.
    assert took < 8 or not error.startswith("timed out")


def test_one_deadline_over_the_wait_for_a_verdict_too(
    ca: Authority, www: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHORTEST_LISTEN", 60)
    with tls_server(www, version=TLS13, client_ca=ca.root.certificate, require_client=False, tickets=0) as address:
        assert 0.9 < handshake(to(address, timeout=1)).seconds < 30


def test_endless_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch, www: Pair) -> None:
    monkeypatch.setattr(wire, "_MOST_BYTES", 100)
    with tls_server(www) as address:
        assert "more than" in str(handshake(to(address)).error)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nothing listens: bound, so that nobody else takes it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_nothing_listens(closed_port: int) -> None:
    with pytest.raises(HandshakeError, match="^connection refused: nothing listens there$"):
        served_leaf("127.0.0.1", closed_port, None, 2)


def test_connect_times_out() -> None:
    with full_listener() as full:
        result = handshake(Endpoint("127.0.0.1", full.port, timeout=0.3))
    assert result.error == "timed out after 0.3 s while connecting"


def test_name_does_not_resolve() -> None:
    error = handshake(Endpoint("no-such-host.invalid", 443, timeout=1)).error
    assert error is not None and error.startswith("the name no-such-host.invalid does not resolve: ")


def test_client_files_that_cannot_be_used(www: Pair, client: Pair, tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.key"
    run_openssl("pkcs8", "-topk8", "-in", str(client.key), "-out", str(encrypted), "-passout", "pass:secret-word")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    certificate = str(client.chain)
    cases = [
        (
            "/nonexistent.pem",
            None,
            "the client certificate cannot be read (/nonexistent.pem): No such file or directory",
        ),
        (
            certificate,
            str(www.key),
            f"the client certificate {certificate} and its key cannot be used: key values mismatch",
        ),
        (certificate, str(encrypted), f"the client key {encrypted} is encrypted: give one that is not"),
        (str(empty), None, f"the client certificate {empty} and its key cannot be used: "),
    ]
    for file, key, error in cases:
        said = handshake(Endpoint("127.0.0.1", 1, client_certificate=file, client_key=key)).error
        assert said is not None and said.startswith(error)


def test_home_directories_are_expanded(ca: Authority, www: Pair, client: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(client.key.parent))
    with tls_server(www, client_ca=ca.root.certificate) as address:
        files = {"client_certificate": f"~/{client.chain.name}", "client_key": f"~/{client.key.name}"}
        assert handshake(to(address, **files)).client_certificate == "accepted"


def test_without_the_callback_the_public_interface_serves(www: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_messages.Heard, "note", lambda *args: None)
    with tls_server(www) as address:
        result = handshake(to(address))
    assert list(result.chain) == (
        pems(www.chain) if hasattr(ssl.SSLObject, "get_unverified_chain") else pems(www.chain)[:1]
    )


def test_step(www: Pair, client: Pair, ca: Authority, closed_port: int) -> None:
    with tls_server(www, client_ca=ca.root.certificate) as address:
        changed, answer = handshake_step(
            {
                "endpoints": [
                    {
                        "host": address.host,
                        "port": address.port,
                        "server_name": "www.example.com",
                        "timeout": 3,
                        "client": {"certificate": str(client.chain), "key": str(client.key)},
                        "alpn": ["h2"],
                    },
                    {
                        "host": "127.0.0.1",
                        "port": closed_port,
                        "server_name": None,
                        "timeout": 3,
                        "client": None,
                        "alpn": [],
                    },
                ]
            }
        )
    assert changed is False
    first, second = answer["results"]
    assert first.pop("seconds") >= 0 and second.pop("seconds") >= 0
    assert first.pop("cipher")
    assert first == {
        "endpoint": f"127.0.0.1:{address.port}",
        "server_name": "www.example.com",
        "chain": pems(www.chain),
        "chain_length": 2,
        "other_chain": [],
        "protocol": "TLSv1.3",
        "group": first["group"],
        "signature_scheme": "ecdsa_secp256r1_sha256",
        "alpn": None,
        "ticket_key_name": first["ticket_key_name"],
        "error": None,
        "client_certificate": "accepted",
        "attempts": 1,
        "resumption": None,
        "staple": None,
        "accepts": None,
        "post_quantum": None,
        "ml_dsa": False,
    }
    assert "25519" in first["group"] and len(first["ticket_key_name"]) == 32
    assert second == {
        "endpoint": f"127.0.0.1:{closed_port}",
        "server_name": None,
        "chain": [],
        "chain_length": 0,
        "other_chain": [],
        "protocol": None,
        "cipher": None,
        "group": None,
        "signature_scheme": None,
        "alpn": None,
        "ticket_key_name": None,
        "attempts": 1,
        "resumption": None,
        "staple": None,
        "accepts": None,
        "post_quantum": None,
        "ml_dsa": False,
        "error": "connection refused: nothing listens there",
        "client_certificate": None,
    }


def test_step_tries_endpoints_at_the_same_time() -> None:
    with serving(silent) as address:
        wanted = {"host": address.host, "port": address.port, "timeout": 2}
        begin = time.monotonic()
        _changed, answer = handshake_step({"endpoints": [wanted] * 16})
    assert len(answer["results"]) == 16
    # One after the other they would take 32 seconds.
    assert time.monotonic() - begin < 30


def test_step_with_no_endpoints() -> None:
    assert handshake_step({"endpoints": []}) == (False, {"openssl": openssl_version(), "results": []})
