# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fleet.tls.endpoint_info tells of a handshake besides the certificates: against an nginx with several faces."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair
from local import nginx
from local.probing import LOCAL, play, probe
from tools.ports import free_port

NAME = "www.example.com"
PATIENT = "60s"
SERVERS = """
    ssl_certificate {chain}; ssl_certificate_key {key};
    ssl_session_cache off; ssl_ecdh_curve {curve};
    server {{ listen 127.0.0.1:{first} ssl; ssl_protocols TLSv1.3; ssl_session_ticket_key {ours}; }}
    server {{ listen 127.0.0.1:{second} ssl; ssl_protocols TLSv1.3; ssl_session_ticket_key {ours}; }}
    server {{ listen 127.0.0.1:{third} ssl; ssl_protocols TLSv1.3; ssl_session_ticket_key {theirs}; }}
    server {{ listen 127.0.0.1:{old} ssl; ssl_protocols TLSv1.2; ssl_session_ticket_key {ours}; ssl_ciphers ECDHE; }}
    server {{ listen 127.0.0.1:{bare} ssl; ssl_protocols TLSv1.3; ssl_session_tickets off; }}
    server {{
        listen [::1]:{mutual} ssl; ssl_protocols TLSv1.2; ssl_verify_client on; ssl_client_certificate {root}; ssl_verify_depth 2;
    }}
    server {{ listen 127.0.0.1:{stapling} ssl; ssl_stapling on; ssl_stapling_file {staple}; }}
"""
PLACES = ("first", "second", "third", "old", "bare", "mutual", "stapling")


@dataclass(frozen=True)
class Site:
    """The nginx, the ports of its faces, and the names of the keys of its tickets."""

    ca: Authority
    client: Pair
    ports: dict[str, int]
    ours: str
    theirs: str

    def at(self, name: str) -> str:
        """An endpoint."""
        return f"127.0.0.1:{self.ports[name]}"


def answer_for(www: Pair, ca: Authority) -> bytes:
    """An OCSP answer: revoked, which nobody would take for a default."""
    leaf, issuer = (x509.load_pem_x509_certificate(each.certificate.read_bytes()) for each in (www, ca.issuing))
    key: Any = serialization.load_pem_private_key(ca.issuing.key.read_bytes(), None)
    now = dt.datetime.now(dt.timezone.utc)
    builder = ocsp.OCSPResponseBuilder().add_response(
        leaf, issuer, hashes.SHA1(), ocsp.OCSPCertStatus.REVOKED, now, now + dt.timedelta(days=3), now,
        x509.ReasonFlags.key_compromise,
    )  # fmt: skip
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, issuer).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    ca = Authority(folder / "ca")
    www, client = ca.issue("www", f"DNS:{NAME}"), ca.issue("client")
    ports = {name: free_port("::1" if name == "mutual" else "127.0.0.1") for name in PLACES}
    keys = {name: os.urandom(80) for name in ("ours", "theirs")}
    for name, key in keys.items():
        (folder / name).write_bytes(key)
    (folder / "staple").write_bytes(answer_for(www, ca))
    files = {name: folder / name for name in ("ours", "theirs", "staple")}
    servers = SERVERS.format(
        chain=www.chain, key=www.key, root=ca.root.certificate, curve="prime256v1", **ports, **files
    )
    with nginx.running(folder, servers, ports["first"]):
        yield Site(ca, client, ports, *(keys[name][:16].hex() for name in ("ours", "theirs")))


def test_group_and_alpn(site: Site, tmp_path: Path) -> None:
    endpoints = [
        site.at("first"),
        site.at("old"),
        {"host": "127.0.0.1", "port": site.ports["first"], "alpn": ["http/1.1"]},
    ]
    new, old, offered = probe(tmp_path, endpoints=endpoints, server_name=NAME, timeout=PATIENT)["endpoints"]
    assert (new["protocol"], new["group"], new["alpn"]) == ("TLSv1.3", "secp256r1", None)
    assert (old["protocol"], old["group"], old["alpn"]) == ("TLSv1.2", "secp256r1", None)
    assert (new["signature_scheme"], old["signature_scheme"]) == ("ecdsa_secp256r1_sha256",) * 2
    assert old["cipher"].startswith("ECDHE-ECDSA-")
    assert offered["alpn"] == "http/1.1"
    assert old["ticket_key_name"] == site.ours


@pytest.mark.parametrize("host", [None, LOCAL], ids=["controller", "host"])
def test_sessions_across_nodes(site: Site, tmp_path: Path, host: dict[str, Any] | None) -> None:
    others = [site.at("second"), site.at("third"), {"host": "127.0.0.1", "port": free_port()}]
    result = probe(
        tmp_path, host, endpoints=[site.at("first"), site.at("old"), site.at("bare")], resume_at=others,
        server_name=NAME, timeout=PATIENT, origin="host" if host else "controller",
    )  # fmt: skip
    new, old, bare = result["endpoints"]
    assert (new["ticket_key_name"], new["resumption"]["offered"], new["resumption"]["resumed"]) == (
        site.ours,
        True,
        True,
    )
    assert [(each["endpoint"], each["resumed"], each["error"]) for each in new["resumption"]["at"]] == [
        (site.at("second"), True, None),
        (site.at("third"), False, None),
        (f"127.0.0.1:{others[2]['port']}", None, "connection refused: nothing listens there"),  # type: ignore[index]
    ]
    assert (old["protocol"], old["resumption"]["resumed"]) == ("TLSv1.2", True)
    assert old["resumption"]["at"][0]["resumed"] is False
    # A session it gave, and does not take back: nginx keeps none, and says so with a ticket that is no ticket.
    assert bare["ticket_key_name"] is None and bare["resumption"]["resumed"] is not True


def test_without_being_asked_no_session_is_resumed(site: Site, tmp_path: Path) -> None:
    entry = probe(tmp_path, endpoints=[site.at("first")], server_name=NAME, timeout=PATIENT)["endpoints"][0]
    assert (entry["resumption"], entry["staple"]) == (None, None)


def test_mutual_tls_12_over_ipv6(site: Site, tmp_path: Path) -> None:
    place = f"[::1]:{site.ports['mutual']}"
    files = {"client_certificate": str(site.client.chain), "client_key": str(site.client.key)}
    with_certificate = {"host": "::1", "port": site.ports["mutual"], **files}
    result = probe(
        tmp_path, endpoints=[place, with_certificate], server_name=NAME, timeout=PATIENT, anchors=site.ca.root.pem
    )
    without, given = result["endpoints"]
    assert (without["protocol"], without["client_certificate"], without["trusted"]) == ("TLSv1.2", "requested", True)
    assert (given["protocol"], given["client_certificate"], given["trusted"]) == ("TLSv1.2", "accepted", True)
    assert given["endpoint"] == place


def test_stapled_answers(site: Site, tmp_path: Path) -> None:
    endpoints = [site.at("stapling"), site.at("first"), f"127.0.0.1:{free_port()}"]
    result = probe(tmp_path, endpoints=endpoints, server_name=NAME, timeout=PATIENT, stapling=True)
    stapled, plain, dead = (entry["staple"] for entry in result["endpoints"])
    assert (stapled["present"], stapled["status"], stapled["error"]) == (True, "revoked", None)
    assert stapled["this_update"].endswith(" GMT") and stapled["next_update"].endswith(" GMT")
    assert plain == {"present": False, "status": None, "this_update": None, "next_update": None, "error": None}
    assert dead is None


def test_wishes_that_cannot_be_met_are_refused(site: Site, tmp_path: Path) -> None:
    cases = [
        ({"retries": 11}, "retries: 11 is not a number of retries"),
        ({"resume_at": ["nowhere"]}, "'nowhere' is not host and port"),
        ({"alpn": ["x" * 256]}, "is not a list of protocols"),
    ]
    tasks = [
        {"fleet.tls.endpoint_info": {"endpoints": [site.at("first")], **wish}, "ignore_errors": True}
        for wish, _words in cases
    ]
    messages = [each["msg"] for each in play(tmp_path, tasks).results(action="fleet.tls.endpoint_info")]
    assert len(messages) == len(cases)
    for message, (_wish, words) in zip(messages, cases):
        assert words in message
