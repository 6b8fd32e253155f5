# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's hosts: what is on them, what the inventory says of them, and whether they serve what was issued."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fleet.fleet import Fleet, Host

RELEASE = "bookworm"
# The opponents' modules need it on the hosts; ours do not.
PACKAGES = ("python3-cryptography",)
PASSPHRASE_VARIABLE = "BENCH_CA_PASSPHRASE"
SERVE_SECONDS = 10.0

CA_SETTINGS = """
[req]
prompt = no
distinguished_name = name
x509_extensions = ca
[name]
CN = Benchmark CA
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where one contestant keeps its certificates on a host, and where nginx serves them.

    :param directory: all of its state; removed to make a run the first one.
    :param certificate, key: paths with ``{name}``.
    """

    port: int
    directory: str
    certificate: str
    key: str


PLACES = {
    "fleet.tls": Place(
        443, "/etc/fleet-tls", "/etc/fleet-tls/live/{name}/fullchain.pem", "/etc/fleet-tls/live/{name}/privkey.pem"
    ),
    "fast": Place(8443, "/etc/pki-fast", "/etc/pki-fast/{name}.pem", "/etc/pki-fast/{name}.key"),
    "full": Place(9443, "/etc/pki-full", "/etc/pki-full/{name}.pem", "/etc/pki-full/{name}.key"),
}


class WrongResult(Exception):
    """A run did not do its job; its time means nothing."""


def certificate_names(count: int) -> list[str]:
    """The names of a host's certificates."""
    return ["www-{0}".format(number + 1) for number in range(count)]


def dns_name(host: str, certificate: str) -> str:
    """The one DNS name of a certificate of a host."""
    return "{0}.{1}.example.test".format(certificate, host)


class Hosts:
    """So many equal hosts with nginx running, the opponents' CA, and a store for ours.

    :param packages: what is on them besides; none: the servers that the tests' hosts have.
    """

    def __init__(self, count: int, packages: tuple[str, ...] = PACKAGES) -> None:
        self.names = tuple("host{0}".format(number + 1) for number in range(count))
        self.fleet = Fleet("bench", [Host(name, RELEASE, servers=packages) for name in self.names])
        self.folder = self.fleet.folder
        # Both sides' CA keys are encrypted; a passphrase of the day, handed over in the environment only.
        self.environment = {PASSPHRASE_VARIABLE: secrets.token_urlsafe(18)}

    def up(self) -> Hosts:
        """Fresh hosts. :raises FleetError: they do not come up."""
        self.fleet.up()
        self._make_ca()
        self.everywhere(lambda host: self.run(host, ["systemctl", "start", "nginx.service"]))
        return self

    def everywhere(self, work: Callable[[str], T]) -> list[T]:
        """Do something with every host at once."""
        with concurrent.futures.ThreadPoolExecutor(len(self.names)) as pool:
            return list(pool.map(work, self.names))

    def run(self, host: str, argv: Sequence[str], stdin: str | None = None) -> str:
        """A command on a host; its output. :raises WrongResult: it failed."""
        done = self.fleet.exec(host, argv, stdin=stdin, check=False)
        if done.returncode != 0:
            raise WrongResult("{0}: {1}: {2}".format(host, " ".join(argv), done.stderr.strip()))
        return done.stdout

    def inventory(self, certificates: int) -> Path:
        """An inventory in which every host has so many certificates, in both sides' words."""
        path = self.folder / "inventory-{0}.yml".format(certificates)
        if not path.exists():
            entries = self.fleet.host_vars()
            for host, values in entries.items():
                values.update(_wanted(host, certificates))
            path.write_text(
                json.dumps({"all": {"hosts": entries, "vars": self.shared()}}, indent=2) + "\n", encoding="utf-8"
            )
        return path

    def shared(self) -> dict[str, Any]:
        """The variables of all hosts: store, issuer, and what the opponents need."""
        passphrase = "{{{{ lookup('ansible.builtin.env', '{0}') }}}}".format(PASSPHRASE_VARIABLE)
        return {
            "tls_store": {"type": "directory", "path": str(self.folder / "tls-store"), "passphrase": passphrase},
            "tls_issuers": {"internal": {"type": "ca", "duration": "90d"}},
            "pki_ca_certificate": str(self.folder / "ca.pem"),
            "pki_ca_key": str(self.folder / "ca.key"),
            "pki_ca_passphrase": passphrase,
            # notAfter as text sorts like time, so one limit does for all: 30 days from now.
            "pki_renew_by": "{{ '%Y%m%d%H%M%SZ' | strftime(now(utc=true).timestamp() | int + 2592000, utc=true) }}",
        }

    def _make_ca(self) -> None:
        settings = self.folder / "ca.cnf"
        settings.write_text(CA_SETTINGS, encoding="ascii")
        command = ["openssl", "req", "-x509", "-config", str(settings), "-days", "3650", "-newkey", "ec"]
        command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-passout", "env:" + PASSPHRASE_VARIABLE]
        command += ["-keyout", str(self.folder / "ca.key"), "-out", str(self.folder / "ca.pem")]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True, capture_output=True)

    def anchors(self, place: str) -> Path:
        """The file with the CA certificate a contestant's leaves have to chain to."""
        return self.folder / ("tls-store/ca/internal/root-1.pem" if place == "fleet.tls" else "ca.pem")

    def forget(self, place: str) -> None:
        """Remove a contestant's state from all hosts, so that its next run is a first one."""
        directory = PLACES[place].directory
        script = 'rm -rf "$1" && install -d -m 0700 "$1"'
        self.everywhere(lambda host: self.run(host, ["sh", "-c", script, "sh", directory]))

    def serve(self, counts: dict[str, int]) -> None:
        """Have nginx serve so many certificates of each contestant, which must be there."""

        def configure(host: str) -> None:
            text = "".join(
                _server(PLACES[place], host, name) for place in counts for name in certificate_names(counts[place])
            )
            self.run(host, ["tee", "/etc/nginx/conf.d/bench.conf"], stdin=text)
            self.run(host, ["nginx", "-t"])
            self.run(host, ["systemctl", "reload", "nginx.service"])

        self.everywhere(configure)

    def check_served(self, place: str, count: int) -> None:
        """Shake hands for every certificate of a contestant: it is what lies on the host, for the name, from the CA.

        :raises WrongResult: one is not.
        """
        context = ssl.create_default_context(cafile=str(self.anchors(place)))

        def check(host: str) -> None:
            for name in certificate_names(count):
                self._check_one(context, place, host, name)

        self.everywhere(check)

    def _check_one(self, context: ssl.SSLContext, place: str, host: str, name: str) -> None:
        path = PLACES[place].certificate.format(name=name)
        pem = self.run(host, ["cat", path]).partition("-----END CERTIFICATE-----")
        installed = _fingerprint(ssl.PEM_cert_to_DER_cert(pem[0] + pem[1]))
        end = time.monotonic() + SERVE_SECONDS
        while True:
            seen = "nothing"
            with contextlib.suppress(OSError):
                seen = self.handshake(context, PLACES[place].port, host, name)
            if seen == installed:
                return
            if time.monotonic() > end:
                raise WrongResult(
                    "{0}: {1} is installed for {2}, but nginx serves {3} to one who trusts {4}".format(
                        host, installed[:16], name, seen[:16], self.anchors(place).name
                    )
                )
            # A reload ends before the last old worker has.
            time.sleep(0.2)

    def handshake(self, context: ssl.SSLContext, port: int, host: str, name: str) -> str:
        """The fingerprint of what a host serves for one of its certificates. :raises OSError: no handshake."""
        with socket.create_connection((self.fleet.addresses[host], port), timeout=5) as connection:
            with context.wrap_socket(connection, server_hostname=dns_name(host, name)) as tls:
                return _fingerprint(tls.getpeercert(binary_form=True) or b"")

    def close(self) -> None:
        """Remove the hosts."""
        self.fleet.down()


def _wanted(host: str, certificates: int) -> dict[str, Any]:
    names = certificate_names(certificates)
    return {
        "tls_certificates": [
            {"name": name, "issuer": "internal", "dns_names": [dns_name(host, name)], "services": ["nginx"]}
            for name in names
        ],
        "pki_certificates": [{"name": name, "sans": ["DNS:" + dns_name(host, name)]} for name in names],
    }


def _server(place: Place, host: str, name: str) -> str:
    return (
        "server {{ listen {port} ssl; server_name {server}; ssl_certificate {certificate}; ssl_certificate_key {key};"
        " return 204; }}\n"
    ).format(
        port=place.port,
        server=dns_name(host, name),
        certificate=place.certificate.format(name=name),
        key=place.key.format(name=name),
    )


def _fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
