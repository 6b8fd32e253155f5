# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.tls.endpoint_info and endpoints that are broken, in all ways we could think of: one task, each with words of its own, none stops it."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import re
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.fleet.tls.tests.unit.support.raw_tls import presenting
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, serving, tls_server
from local.probing import probe
from tools.ports import free_port

# A healthy endpoint on a busy machine needs its time; a sick one's is up soon.
PATIENT, IMPATIENT = "60s", "2s"
NAME = "www.example.com"
MUTATED = 240


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def www(ca: Authority) -> Pair:
    return ca.issue("www", f"DNS:{NAME},DNS:*.example.com")


def ders(path: Path) -> list[bytes]:
    return [certificate.public_bytes(serialization.Encoding.DER) for certificate in certificates(path)]


def certificates(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def built(
    ca: Authority, name: str, *, extension: bytes = b"", not_before: dt.timedelta = dt.timedelta(hours=-1)
) -> Pair:
    """A certificate as openssl's command line does not make them."""
    issuer = certificates(ca.issuing.certificate)[0]
    signer: Any = serialization.load_pem_private_key(ca.issuing.key.read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + not_before)
        .not_valid_after(now + dt.timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    )
    if extension:
        other = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), extension)
        builder = builder.add_extension(other, critical=False)
    leaf = builder.sign(signer, hashes.SHA256())
    pair = Pair(*(ca.directory / f"{name}{suffix}" for suffix in (".pem", ".key", ".chain.pem")))
    pem = leaf.public_bytes(serialization.Encoding.PEM).decode()
    pair.certificate.write_text(pem)
    pair.chain.write_text(pem + ca.issuing.pem)
    pair.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pair


def dripping(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x03\x40\x00")
    for _byte in range(600):
        connection.sendall(b"\x02")
        time.sleep(0.05)


def resetting(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def garbage(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(random.Random(6).randbytes(4096))


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def http(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n")


def garbled(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x16\x03\x03\x01\x00" + random.Random(7).randbytes(256))


SICK = {
    "silent": (silent, "timed out after 2 s, connected but without a complete handshake"),
    "http": (http, "not TLS: the server said 'HTTP/1.1 400 Bad Request'"),
    "garbage": (garbage, "not TLS: the server said '"),
    "garbled": (garbled, "the TLS handshake failed: "),
    "resetting": (resetting, "the server reset the connection during the handshake"),
    "dripping": (dripping, "timed out after 2 s, connected but without a complete handshake"),
}


def test_servers_that_do_not_speak_tls(www: Pair, ca: Authority, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(serving(answer)) for answer, _words in SICK.values()]
        good = stack.enter_context(tls_server(www))
        endpoints: list[Any] = [{"host": each.host, "port": each.port, "timeout": IMPATIENT} for each in places]
        endpoints.append({"host": good.host, "port": good.port, "server_name": NAME, "timeout": PATIENT})
        endpoints.append(f"127.0.0.1:{free_port()}")
        endpoints.append("no-such-host.invalid:443")
        result = probe(tmp_path, endpoints=endpoints, anchors=ca.root.pem)
    *sick, healthy, closed, nameless = result["endpoints"]
    for entry, (name, (_answer, words)) in zip(sick, SICK.items()):
        assert (name, entry["reachable"], entry["trusted"]) == (name, False, None)
        assert entry["error"].startswith(words), name
        assert entry["error"].isprintable()
    assert (healthy["trusted"], healthy["problems"], healthy["error"]) == (True, [], None)
    assert closed["error"] == "connection refused: nothing listens there"
    assert nameless["error"].startswith("the name no-such-host.invalid does not resolve: ")
    assert result["counts"] == {
        "endpoints": 9, "reachable": 1, "unreachable": 8, "trusted": 1, "with_problems": 8,
    }  # fmt: skip


def bad_chains(ca: Authority, other: Authority) -> dict[str, tuple[Pair, str]]:
    """Name that is asked for → what is served there, and the one problem it has."""
    limited = ca.issue(
        "limited", ca=True, signer=ca.root, extra="nameConstraints=critical,permitted;DNS:internal.example.com"
    )
    weak = "is too weak: "
    return {
        "expired": (ca.issue("expired", f"DNS:{NAME}", days=-1), "the certificate expired on 2"),
        "early": (built(ca, "early", not_before=dt.timedelta(days=9)), "the certificate is not valid before 2"),
        "selfsigned": (
            other._make("selfsigned", "/CN=self", None, san=f"DNS:{NAME}"),
            "the certificate is self-signed: no CA stands for it",
        ),
        "foreign": (other.issue("foreign", f"DNS:{NAME}"), "the chain does not lead to a trust anchor"),
        "wronghost": (
            ca.issue("wronghost", "DNS:mail.example.com"),
            f"the certificate is not for {NAME} (its names: mail.example.com)",
        ),
        "sha1": (
            ca.issue("sha1", f"DNS:{NAME}", digest="sha1"),
            f"the signature of 'CN=sha1' {weak}it is made with SHA-1",
        ),
        "rsa1024": (
            ca.issue("rsa1024", f"DNS:{NAME}", rsa=1024),
            f"the key of 'CN=rsa1024' {weak}RSA of 1024 bits, where 2048 are needed",
        ),
        "constrained": (
            ca.issue("constrained", f"DNS:{NAME}", signer=limited),
            f"'CN=limited' may not issue for {NAME} (its name constraints)",
        ),
        "client": (
            ca.issue("client", f"DNS:{NAME}", extra="extendedKeyUsage=clientAuth"),
            "the certificate is not for servers (its usages: client_auth)",
        ),
    }


def test_certificates_that_clients_refuse(www: Pair, ca: Authority, tmp_path: Path) -> None:
    cases = bad_chains(ca, Authority(tmp_path / "other"))
    with contextlib.ExitStack() as stack:
        places = {name: stack.enter_context(tls_server(pair)) for name, (pair, _words) in cases.items()}
        endpoints = [{"host": place.host, "port": place.port} for place in places.values()]
        result = probe(tmp_path, endpoints=endpoints, server_name=NAME, anchors=ca.root.pem, timeout=PATIENT)
    for entry, (name, (_pair, words)) in zip(result["endpoints"], cases.items()):
        assert (name, entry["error"], entry["trusted"], len(entry["problems"])) == (name, None, False, 1), entry[
            "problems"
        ]
        assert entry["problems"][0].startswith(words)


def test_too_many_and_too_large(www: Pair, ca: Authority, tmp_path: Path) -> None:
    many = Pair(www.certificate, www.key, tmp_path / "many.pem")
    many.chain.write_text(www.chain.read_text() + ca.issuing.pem * 198)
    large = built(ca, "large", extension=b"\x04\x83\x10\x00\x00" + bytes(2**20))
    with tls_server(many) as first, serving(presenting(lambda _hello: ders(large.chain))) as second:
        endpoints = [{"host": each.host, "port": each.port, "server_name": NAME} for each in (first, second)]
        result = probe(tmp_path, endpoints=endpoints, anchors=ca.root.pem, timeout=PATIENT)
    of_many, of_large = result["endpoints"]
    assert len(of_many["chain"]) == 64 and of_many["error"] is None
    assert "it sent 200 certificates, of which the first 64 were looked at" in of_many["problems"]
    assert of_large["reachable"] is False
    assert of_large["error"] == "the server sent certificates, or another message, larger than any client takes"


def mutations(der: bytes) -> Iterator[bytes]:
    """Broken forms of a certificate, the same each time: bits turned, bytes lost, added, and lengths that lie."""
    chance = random.Random(2026)
    while True:
        broken = bytearray(der)
        kind = chance.randrange(5)
        place = chance.randrange(len(broken))
        if kind == 0:
            broken[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del broken[place : place + chance.randint(1, 16)]
        elif kind == 2:
            broken[place:place] = chance.randbytes(chance.randint(1, 16))
        elif kind == 3:
            del broken[place + 1 :]
        else:
            for _each in range(4):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
        if bytes(broken) != der:
            yield bytes(broken)


def test_malformed_certificates(www: Pair, ca: Authority, tmp_path: Path) -> None:
    leaf, issuing = ders(www.chain)
    source = mutations(leaf)
    corpus = [next(source) for _each in range(MUTATED)]

    def choose(hello: bytes) -> Sequence[bytes]:
        found = re.search(rb"m(\d+)\.example\.com", hello)
        return [corpus[int(found[1])] if found else leaf, issuing]

    with serving(presenting(choose)) as place:
        names = [NAME, *(f"m{number}.example.com" for number in range(MUTATED))]
        endpoints = [{"host": place.host, "port": place.port, "server_name": name} for name in names]
        result = probe(tmp_path, endpoints=endpoints, anchors=ca.root.pem, timeout=PATIENT)
    sound, *broken = result["endpoints"]
    assert (sound["problems"], sound["trusted"]) == ([], True)
    assert len(broken) == MUTATED
    for entry in broken:
        assert (entry["reachable"], entry["trusted"]) == (True, False), entry["server_name"]
        assert entry["problems"] and all(problem.isprintable() for problem in entry["problems"])
        assert entry["error"] and "rror" not in entry["error"]
    unreadable = [entry for entry in broken if "certificate 1 of the chain cannot be read" in entry["problems"][0]]
    assert len(unreadable) > MUTATED // 4
    assert ssl.PEM_cert_to_DER_cert(broken[0]["chain"][0]) == corpus[0]
