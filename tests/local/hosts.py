# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of this machine's: a directory and an nginx of its own for each, played on without a connection."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import handshakes
from local import nginx
from tools.playbook import PlaybookResult, run_playbook

PASSPHRASE = "correct horse battery staple"
ISSUERS = {"internal": {"type": "ca", "duration": "30d"}}
SERVER = """
    server {{ listen 127.0.0.1:{port} ssl; server_name {name}.example.com; {pair} return 200 "hello"; }}
    include {folder}/extra*.conf;
"""
PAIR = "ssl_certificate {0}/fullchain.pem; ssl_certificate_key {0}/privkey.pem;"
OPTIONS = {
    "store": "{{ tls_store }}",
    "issuers": "{{ tls_issuers }}",
    "directory": "{{ tls_directory }}",
    "certificates": "{{ tls_certificates }}",
    # A rotation that is not served fails after this, so tests of failures wait as long.
    "prove_timeout": 2,
}


@dataclass(frozen=True)
class Host:
    """One host; its nginx serves the certificate ``www`` on a port of 127.0.0.1."""

    name: str
    folder: Path
    port: int

    @property
    def tls(self) -> Path:
        """Its ``tls_directory``."""
        return self.folder / "fleet-tls"

    @property
    def live(self) -> Path:
        """The live pair."""
        return self.tls / "live" / "www"

    @property
    def site(self) -> handshakes.Site:
        """Where it serves TLS."""
        return handshakes.Site("127.0.0.1", self.port, f"{self.name}.example.com")

    def service(self, **changes: Any) -> dict[str, Any]:
        """Its nginx as a user describes it."""
        folder = self.folder / "nginx"
        return {
            "name": "nginx",
            "validate": nginx.command(folder, "-t", "-q"),
            "reload": nginx.command(folder, "-s", "reload"),
            "check": ["test", "-s", str(folder / "nginx.pid")],
            "endpoints": [f"127.0.0.1:{self.port}"],
            **changes,
        }

    def certificate(self, **changes: Any) -> dict[str, Any]:
        """An entry of ``tls_certificates``."""
        entry = {"name": "www", "issuer": "internal", "dns_names": [f"{self.name}.example.com"], "services": [self.service()]}
        return {**entry, **changes}

    def variables(self, **changes: Any) -> dict[str, Any]:
        """What the inventory says about it."""
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_directory": str(self.tls),
            "tls_certificates": [self.certificate()],
            **changes,
        }

    def nginx(self, pair: Path | None = None) -> contextlib.AbstractContextManager[None]:
        """Its nginx, running; it serves the live pair, or that in the directory ``pair``."""
        values = {"port": self.port, "name": self.name, "folder": self.folder, "pair": PAIR.format(pair or self.live)}
        return nginx.running(self.folder / "nginx", SERVER.format(**values), self.port)

    def on_disk(self) -> str:
        """Fingerprint (SHA-256, hex) of the live certificate."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert((self.live / "cert.pem").read_text())).hexdigest()

    def served(self, root: Path) -> str:
        """Fingerprint of what its nginx serves to a client that trusts ``root`` only."""
        context = ssl.create_default_context(cafile=str(root))
        return hashlib.sha256(handshakes.leaf(self.site, context)).hexdigest()

    def snapshot(self) -> dict[str, tuple[int, str]]:
        """Every file, link and directory of ``tls_directory``: mode, and content or target."""
        return {str(path.relative_to(self.tls)): state(path) for path in sorted(self.tls.rglob("*"))}

    def pair_fault(self) -> str | None:
        """What is wrong with the live pair, None: nothing. openssl is asked, none of our own code."""
        try:
            key = public_key("pkey", "-pubout", "-in", str(self.live / "privkey.pem"))
            leaves = {public_key("x509", "-noout", "-pubkey", "-in", str(self.live / f"{name}.pem")) for name in ("cert", "fullchain")}
        except subprocess.CalledProcessError as error:
            return str(error.stderr)
        return None if leaves == {key} else "key and certificate do not belong together"


def public_key(*arguments: str) -> bytes:
    """What openssl prints."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30).stdout


def state(path: Path) -> tuple[int, str]:
    """Mode, and content or target."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return mode, os.readlink(path)
    return mode, hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""


class Hosts:
    """Hosts below one directory, with one inventory and, unless a host says otherwise, one store."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder = folder
        self.by_name = {name: Host(name, folder / name, nginx.free_port()) for name in names}
        self.store = folder / "store"
        for host in self:
            host.folder.mkdir(parents=True)

    def __iter__(self) -> Iterator[Host]:
        return iter(self.by_name.values())

    def __getitem__(self, name: str) -> Host:
        return self.by_name[name]

    @property
    def root(self) -> Path:
        """The CA's root certificate."""
        return self.store / "ca" / "internal" / "root-1.pem"

    def store_options(self, **changes: Any) -> dict[str, Any]:
        """``tls_store``."""
        return {"type": "directory", "path": str(self.store), "passphrase": PASSPHRASE, **changes}

    def inventory(self, hosts: Mapping[str, Mapping[str, Any]] | None = None, name: str = "inventory", **common: Any) -> Path:
        """Write an inventory: all hosts, or those of ``hosts`` with changed variables."""
        chosen = dict.fromkeys(self.by_name, {}) if hosts is None else hosts
        path = self.folder / f"{name}.json"
        variables = {"tls_store": self.store_options(), "tls_issuers": ISSUERS, **common}
        entries = {each: self.by_name[each].variables(**changes) for each, changes in chosen.items()}
        path.write_text(json.dumps({"all": {"hosts": entries, "vars": variables}}))
        return path

    def playbook(self, **options: Any) -> Path:
        """A playbook of the one task fleet.tls.certificates."""
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
        path = self.folder / f"play-{digest}.yml"
        task = {"name": "Certificates", "fleet.tls.certificates": {**OPTIONS, **options}}
        path.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": [task]}]))
        return path

    def play(
        self, hosts: Mapping[str, Mapping[str, Any]] | None = None, *args: str, common: Mapping[str, Any] | None = None, **options: Any
    ) -> PlaybookResult:
        """Run the task on all hosts, or on those of ``hosts`` with changed variables.

        :param common: variables of all hosts.
        :param options: of the task.
        """
        return run_playbook(self.playbook(**options), self.inventory(hosts, **(common or {})), args=args, timeout=300)

    def issue(self, **options: Any) -> None:
        """First certificates; nginx, which runs later, is not yet asked."""
        hosts = {host.name: {"tls_certificates": [host.certificate(services=[])]} for host in self}
        self.play(hosts, **options).check()

    @contextlib.contextmanager
    def serving(self, *names: str) -> Iterator[None]:
        """The nginx of these hosts, or of all."""
        with contextlib.ExitStack() as stack:
            for name in names or self.by_name:
                stack.enter_context(self.by_name[name].nginx())
            yield


def ledger(store: Path) -> list[dict[str, Any]]:
    """All rows, oldest first."""
    with contextlib.closing(sqlite3.connect(f"file:{store / 'ledger.sqlite3'}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM issuance ORDER BY id")]


def message(result: PlaybookResult, host: str) -> str:
    """The words with which a host's task failed."""
    failed = [each["result"] for each in result.task_results if each["host"] == host and each["status"] == "failed"]
    assert len(failed) == 1, result.stdout + result.stderr
    return str(failed[0]["msg"])


def entry(result: PlaybookResult, host: str) -> dict[str, Any]:
    """The result for a host's only certificate."""
    (found,) = result.results(host=host, task="Certificates")
    (certificate,) = found["certificates"]
    return dict(certificate)


def reasons(result: PlaybookResult, host: str) -> list[str]:
    """The codes of why a host's only certificate was due."""
    return [each["code"] for each in entry(result, host)["reasons"]]
