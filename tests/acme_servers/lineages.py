# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs as people have them before they come: made by the real certbot, lego, dehydrated and openssl, with Pebble as their CA."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from acme_servers.pebble import Pebble
from acme_servers.servers import in_threads
from tools import paths


@dataclass(frozen=True)
class Pair:
    """The files that a configuration names."""

    domain: str
    certificate: Path
    key: Path


class Lineages:
    """Those of one host.

    :param folder: what would be ``/etc`` and ``/var/lib`` there.
    """

    def __init__(self, folder: Path, ca: Pebble) -> None:
        self.folder, self.ca = folder, ca
        folder.mkdir()

    def certbot_command(self, *arguments: str) -> list[str]:
        """certbot's command line."""
        places = [f"--{kind}-dir={self.folder}/{kind}" for kind in ("work", "logs")]
        # Not by its first line, which names the place where it was installed.
        programs = [str(paths.venv("certbot") / "bin" / each) for each in ("python", "certbot")]
        return [*programs, *arguments, f"--config-dir={self.folder}/letsencrypt", *places, "--non-interactive"]

    def certbot(self, domain: str) -> Pair:
        """One of certbot's."""
        common = ["--server", self.ca.directory_url, "--agree-tos", "--register-unsafely-without-email"]
        answer = ["--standalone", "--http-01-address=127.0.0.1", f"--http-01-port={self.ca.http_port}"]
        self.call(self.certbot_command("certonly", *common, *answer, "--key-type", "ecdsa", "--domain", domain))
        live = self.folder / "letsencrypt/live" / domain
        return Pair(domain, live / "fullchain.pem", live / "privkey.pem")

    def lego(self, domain: str) -> Pair:
        """One of lego's."""
        common = ["lego", "--server", self.ca.directory_url, "--accept-tos", "--email", "admin@example.com"]
        common += ["--path", str(self.folder / "lego"), "--key-type", "rsa2048", "--http"]
        self.call([*common, "--http.port", f"127.0.0.1:{self.ca.http_port}", "--domains", domain, "run"])
        made = self.folder / "lego/certificates"
        return Pair(domain, made / f"{domain}.crt", made / f"{domain}.key")

    def dehydrated(self, domain: str) -> Pair:
        """One of dehydrated's, which leaves the answers in files."""
        base = self.folder / "dehydrated"
        answers = base / "web/.well-known/acme-challenge"
        answers.mkdir(parents=True)
        (base / "config").write_text(
            f'CA="{self.ca.directory_url}"\nBASEDIR="{base}"\nWELLKNOWN="{answers}"\nKEY_ALGO=prime256v1\n'
            f'CURL_OPTS="--cacert {self.ca.pair.root}"\nCONTACT_EMAIL=admin@example.com\n'
        )
        handler = functools.partial(Quiet, directory=str(base / "web"))
        common = ["dehydrated", "--config", str(base / "config")]
        with in_threads(ThreadingHTTPServer(("127.0.0.1", self.ca.http_port), handler)):
            self.call([*common, "--register", "--accept-terms"])
            self.call([*common, "--cron", "--domain", domain])
        made = base / "certs" / domain
        return Pair(domain, made / "fullchain.pem", made / "privkey.pem")

    def openssl(self, domain: str) -> Pair:
        """A self-signed one, as a role with community.crypto or a person at the prompt makes it."""
        made = self.folder / "ssl"
        made.mkdir(exist_ok=True)
        pair = Pair(domain, made / f"{domain}.pem", made / f"{domain}.key")
        names = ["-subj", f"/CN={domain}", "-addext", f"subjectAltName=DNS:{domain}", "-days", "90", "-nodes"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        self.call(["openssl", "req", "-x509", *kind, *names, "-out", str(pair.certificate), "-keyout", str(pair.key)])
        pair.key.chmod(0o600)
        return pair

    def acme_sh(self, domain: str, made: Pair) -> Pair:
        """The files of another pair as acme.sh lays them down (it could not be run: its package is in Debian 13 only)."""
        folder = self.folder / "acme.sh" / f"{domain}_ecc"
        folder.mkdir(parents=True)
        pair = Pair(domain, folder / "fullchain.cer", folder / f"{domain}.key")
        shutil.copy(made.certificate, pair.certificate)
        shutil.copy(made.key, pair.key)
        leaf, _end, above = made.certificate.read_text().partition("-----END CERTIFICATE-----\n")
        (folder / f"{domain}.cer").write_text(leaf + _end)
        (folder / "ca.cer").write_text(above.lstrip())
        return pair

    def call(self, command: Sequence[str]) -> None:
        """:raises AssertionError: the command failed; with its own words."""
        root = str(self.ca.pair.root)
        environment = {
            **os.environ,
            "REQUESTS_CA_BUNDLE": root,
            "LEGO_CA_CERTIFICATES": root,
            "PATH": paths.tool_path(),
        }
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


class Quiet(SimpleHTTPRequestHandler):
    """Files, and no log."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
