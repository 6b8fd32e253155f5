# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""acme2certifier, an ACME server with renewal information (RFC 9773), profiles and external accounts, on loopback."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from acme_servers.servers import process
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority, make_issuing, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from tools import venvs
from tools.ports import free_port

# Its own script listens on port 80 of all addresses.
# What stands for it in CAA records, and in those of dns-persist-01.
IDENTITY = "ca.example.org"
RUNNER = """\
import sys
from wsgiref.simple_server import make_server
import dns.resolver
from acme2certifier.share.acme2certifier_wsgi import application, get_handler_cls
if len(sys.argv) > 2:
    # It knows no other port than 53.
    dns.resolver.default_resolver = dns.resolver.Resolver(configure=False)
    dns.resolver.default_resolver.nameservers, dns.resolver.default_resolver.port = ["127.0.0.1"], int(sys.argv[2])
make_server("127.0.0.1", int(sys.argv[1]), application, handler_class=get_handler_cls()).serve_forever()
"""
CONFIG = """\
[DEFAULT]
debug: False
[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {folder}/issuing.key
issuing_ca_cert: {folder}/issuing.pem
issuing_ca_crl: {folder}/crl.pem
ca_cert_chain_list: ["{folder}/root.pem"]
cert_save_path: {folder}/certificates
cert_validity_days: 90
[DBhandler]
handler: wsgi
dbfile: {folder}/acme.db
[Directory]
tos_url: https://example.com/terms
caaidentities: ["{identity}"]
[Challenge]
challenge_validation_disable: {trusting}
dns_persist_01_support: True
dns_persist_allow_policy_wildcard: True
[Order]
profiles: {{"usual": "https://example.com/usual", "short": "https://example.com/short"}}
[Renewalinfo]
renewalthreshold_pctg: {percentage}
retry_after_timeout: 7200
[EABhandler]
eab_handler_module: acme2certifier.eabhandlers.json_handler
key_file: {folder}/accounts.json
"""


@dataclass(frozen=True)
class Acme2certifier:
    """One that runs, without TLS: the proxy of the tests gives it that.

    :param root: what its certificates lead to (PEM).
    :param external: kid and hmac_key of a customer.
    """

    port: int
    root: str
    external: dict[str, str]


@contextlib.contextmanager
def running(folder: Path, *, percentage: float = 85.0, dns_port: int | None = None) -> Iterator[Acme2certifier]:
    """acme2certifier on a free port.

    :param percentage: part of the life at which its renewal window begins.
    :param dns_port: of the server on 127.0.0.1 that it asks for dns-persist-01; None: it validates nothing, that is Pebble's part.
    """
    python = venvs.ensure("acme2certifier") / "bin" / "python"
    now, year = dt.datetime.now(dt.timezone.utc), dt.timedelta(days=365)
    root = make_root("acme2certifier root", "ecdsa-p256", now, 3 * year)
    issuing = make_issuing("acme2certifier issuing", "ecdsa-p256", root, now, 2 * year)
    (folder / "certificates").mkdir(parents=True)
    (folder / "root.pem").write_text(to_pem(root.certificate))
    (folder / "issuing.pem").write_text(to_pem(issuing.certificate))
    (folder / "issuing.key").write_bytes(in_the_clear(issuing))
    external = {"kid": "customer-1", "hmac_key": base64.urlsafe_b64encode(secrets.token_bytes(48)).decode()}
    (folder / "accounts.json").write_text(json.dumps({external["kid"]: external["hmac_key"]}))
    (folder / "acme_srv.cfg").write_text(
        CONFIG.format(folder=folder, percentage=percentage, trusting=dns_port is None, identity=IDENTITY)
    )
    (folder / "runner.py").write_text(RUNNER)
    port = free_port()
    # The risk of a server without validation is the test's.
    env = {"ACME_SRV_CONFIGFILE": str(folder / "acme_srv.cfg"), "ACME2CERTIFIER_I_KNOW_THE_RISK": "1"}
    command = [str(python), str(folder / "runner.py"), str(port), *([str(dns_port)] if dns_port else [])]
    with process(command, folder / "log", port, env=env, cwd=folder):
        yield Acme2certifier(port, to_pem(root.certificate), external)


def in_the_clear(authority: Authority) -> bytes:
    """An authority's key as this server reads it."""
    return bytes(
        authority.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
