# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx, Apache and HAProxy side by side on one host, each with the same sites on ports of its own, and clients for them."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from fleet.fleet import Fleet
from tools.playbook import PlaybookResult, run_playbook

# Server → its first port, and its systemd unit.
SERVERS = {"nginx": (4400, "nginx"), "apache": (4500, "apache2"), "haproxy": (4600, "haproxy")}
# What an application says of the request that reached it; one for what everybody may see, and one for what only some may.
PUBLIC, PRIVATE = 8081, 8082
APPLICATION = """
import http.server, itertools, json, sys, threading
count = itertools.count(1)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {name.replace("_", "-").lower(): value for name, value in self.headers.items()}
        body = json.dumps({"port": self.server.server_port, "headers": told, "count": next(count)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
for port in map(int, sys.argv[1:]):
    threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever).start()
"""
NGINX_DEFAULT = "/etc/nginx/sites-enabled/default"
PATHS = (
    "/etc/fleet-tls", "/etc/nginx/fleet-tls", "/etc/nginx/conf.d/zz-fleet-tls.conf", "/etc/nginx/sites-enabled/zz-fleet-tls.conf",
    "/etc/apache2/fleet-tls", "/etc/haproxy/fleet-tls",
    "/etc/apache2/conf-enabled/fleet-tls.conf", "/etc/apache2/conf-available/fleet-tls.conf",
    "/etc/apache2/sites-enabled/zz-fleet-tls.conf", "/etc/apache2/sites-available/zz-fleet-tls.conf", "/root/application.py",
)  # fmt: skip
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"import_role": {"name": "fleet.tls.certificates"}, "when": "tls_certificates | length > 0"},
            *(
                {
                    "import_role": {"name": f"fleet.tls.{server}"},
                    "vars": {"tls_sites": f"{{{{ sites_of_{server} }}}}"},
                    "when": f"'{server}' in servers",
                }
                for server in SERVERS
            ),
        ],
    }
]


@dataclass(frozen=True)
class Answer:
    """How a request ended.

    :param status: of HTTP; 0: there was none, because the server ended the connection.
    :param told: what the application says that it was told; empty where it was not reached.
    :param resumed: whether TLS resumed a session.
    :param session: what could be resumed the next time.
    """

    status: int
    told: dict[str, Any] = field(default_factory=dict)
    resumed: bool = False
    session: ssl.SSLSession | None = None

    @property
    def private(self) -> bool:
        """Whether it came from behind a site that verifies its clients."""
        return bool(self.told.get("port") == PRIVATE)


class ClientAuthority:
    """A CA of the test's own: clients good and bad, and its CRL."""

    def __init__(self, folder: Path, name: str = "Clients") -> None:
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.now = dt.datetime.now(dt.timezone.utc)
        folder.mkdir(parents=True, exist_ok=True)
        builder = self._builder(self.name, self.key.public_key(), 365)
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.add_extension(usage, critical=True).sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        """The CA's certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _builder(self, subject: x509.Name, key: Any, days: int) -> x509.CertificateBuilder:
        start, end = sorted((self.now, self.now + dt.timedelta(days=days)))
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(start - dt.timedelta(days=1)).not_valid_after(end)

    def issue(
        self,
        name: str,
        days: int = 30,
        *,
        dns_names: Sequence[str] = (),
        names: Sequence[x509.GeneralName] = (),
        ocsp: str | None = None,
    ) -> tuple[x509.Certificate, Path]:
        """A certificate, and a file with it and its key; a server's with ``dns_names``, else a client's.

        :param days: negative: it has expired.
        :param names: a client's subject alternative names.
        :param ocsp: URL of a responder.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = ExtendedKeyUsageOID.SERVER_AUTH if dns_names else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(subject, key.public_key(), days)
        if days < 0:
            builder = self._builder(subject, key.public_key(), -1)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        known = [*(x509.DNSName(each) for each in dns_names), *names]
        if known:
            builder = builder.add_extension(x509.SubjectAlternativeName(known), critical=False)
        if ocsp:
            where = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
            builder = builder.add_extension(x509.AuthorityInformationAccess([where]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key_pem(key))
        return certificate, path

    def crl(self, *revoked: x509.Certificate) -> str:
        """The CRL, PEM."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(self.now - dt.timedelta(hours=1)).next_update(self.now + dt.timedelta(days=7))
        builder = builder.add_extension(x509.CRLNumber(len(revoked)), critical=False)
        for certificate in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(self.now).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key, PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class WebServers:
    """The three servers on the hosts of a fleet."""

    fleet: Fleet
    folder: Path
    hosts: tuple[str, ...]

    def start_applications(self) -> None:
        """What sites pass requests to."""
        for host in self.hosts:
            # Port 80 is for Apache, which would not start without it.
            self.fleet.exec(host, ["rm", "-f", NGINX_DEFAULT])
            self.fleet.exec(host, ["tee", "/root/application.py"], stdin=APPLICATION)
            start = ["systemd-run", "--unit=application", "python3", "/root/application.py", str(PUBLIC), str(PRIVATE)]
            self.fleet.exec(host, start)

    def run(self, variables: dict[str, Any], *args: str, servers: Sequence[str] = tuple(SERVERS)) -> PlaybookResult:
        """The roles; ``tls_sites`` in ``variables`` have ports counted from 0."""
        play = self.folder / "play.yml"
        play.write_text(json.dumps(PLAY))
        given = {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_certificates": [],
            **{f"sites_of_{server}": self.sites(server, variables["tls_sites"]) for server in SERVERS},
            **{name: value for name, value in variables.items() if name != "tls_sites"},
            "servers": list(servers),
        }
        hosts = {name: values for name, values in self.fleet.host_vars().items() if name in self.hosts}
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": given}}))
        return run_playbook(play, inventory, args=args)

    @staticmethod
    def sites(server: str, sites: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The sites on one server's ports."""
        return [{**site, "listen": [SERVERS[server][0] + site["listen"]]} for site in sites]

    def clean(self) -> None:
        """The hosts as they were."""
        units = " ".join(unit for _port, unit in SERVERS.values())
        script = f"""
        sed -i '/^# BEGIN fleet.tls/,/^# END fleet.tls/d' /etc/haproxy/haproxy.cfg
        rm -rf {" ".join(PATHS)} /etc/nginx/snippets/fleet-tls*
        ln -sf /etc/nginx/sites-available/default {NGINX_DEFAULT}
        systemctl stop application {units} || true
        systemctl disable --quiet {units}
        """
        for host in self.hosts:
            self.fleet.exec(host, ["sh", "-e"], stdin=script)

    def ask(
        self,
        host: str,
        server: str,
        port: int,
        context: ssl.SSLContext,
        name: str,
        *,
        http_host: str | None = None,
        session: ssl.SSLSession | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request.

        :param port: counted from the server's first.
        :param name: for SNI, and for the Host header where ``http_host`` does not say.
        """
        address = (self.fleet.addresses[host], SERVERS[server][0] + port)
        with socket.create_connection(address, timeout=120) as plain, contextlib.ExitStack() as stack:
            try:
                secure = stack.enter_context(context.wrap_socket(plain, server_hostname=name, session=session))
                resumed = bool(secure.session_reused)
                lines = [f"GET / HTTP/1.1\r\nHost: {http_host or name}\r\nConnection: close\r\n"]
                lines += [f"{key}: {value}\r\n" for key, value in (headers or {}).items()]
                secure.sendall("".join([*lines, "\r\n"]).encode())
                response = http.client.HTTPResponse(secure)
                response.begin()
                body = response.read()
                # In TLS 1.3 a session comes after the handshake, at the latest with the answer.
                given = secure.session
            except (OSError, http.client.HTTPException):
                return Answer(0)
        told = json.loads(body) if response.status == 200 else {}
        return Answer(response.status, told, resumed, given)


def client_context(version: ssl.TLSVersion, pair: Path | None = None) -> ssl.SSLContext:
    """A client of one version of TLS, which looks at nothing that the server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if pair:
        context.load_cert_chain(pair)
    return context


@contextlib.contextmanager
def web_servers(fleet: Fleet, folder: Path, hosts: Sequence[str]) -> Iterator[WebServers]:
    """Applications behind them, and everything gone at the end."""
    bench = WebServers(fleet, folder, tuple(host for host in hosts if host in fleet.addresses))
    bench.clean()
    bench.start_applications()
    try:
        yield bench
    finally:
        bench.clean()
