# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of this machine: a ``tls_directory`` of its own for each, nginx processes that serve it, and no connection in between."""

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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import handshakes
from local import nginx
from tools.playbook import PlaybookResult, run_playbook
from tools.ports import free_port

PASSPHRASE = "correct horse battery staple"
ISSUERS = {"internal": {"type": "ca", "duration": "30d"}}
SERVER = """
    server {{
        listen 127.0.0.1:{port} ssl; server_name {domain}; return 200 "hello";
        ssl_certificate {pair}/fullchain.pem; ssl_certificate_key {pair}/privkey.pem;
    }}
"""
OPTIONS = {
    "store": "{{ tls_store }}",
    "issuers": "{{ tls_issuers }}",
    "directory": "{{ tls_directory }}",
    "certificates": "{{ tls_certificates }}",
    # A rotation that is not served fails after this, so tests of failures wait as long.
    "prove_timeout": "10s",
}


@dataclass(frozen=True)
class Site:
    """A certificate of a host, and the nginx that serves it on a port of 127.0.0.1.

    :param folder: of the nginx; sites of one folder are served by one process, each under its own name.
    :param tls: the host's ``tls_directory``.
    """

    host: str
    label: str
    folder: Path
    port: int
    tls: Path

    @property
    def domain(self) -> str:
        """The certificate's name in DNS."""
        return f"{self.label}.{self.host}.example.com"

    @property
    def live(self) -> Path:
        """The live pair."""
        return self.tls / "live" / self.label

    @property
    def address(self) -> handshakes.Site:
        """Where it is served."""
        return handshakes.Site("127.0.0.1", self.port, self.domain)

    def service(self, **changes: Any) -> dict[str, Any]:
        """The nginx as a user describes it."""
        return {
            "name": self.folder.name,
            "validate": nginx.command(self.folder, "-t", "-q"),
            "reload": nginx.command(self.folder, "-s", "reload"),
            "check": ["test", "-s", str(self.folder / "nginx.pid")],
            "endpoints": [f"127.0.0.1:{self.port}"],
            **changes,
        }

    def certificate(self, **changes: Any) -> dict[str, Any]:
        """An entry of ``tls_certificates``."""
        return {
            "name": self.label,
            "issuer": "internal",
            "dns_names": [self.domain],
            "services": [self.service()],
            **changes,
        }

    def on_disk(self) -> str:
        """Fingerprint (SHA-256, hex) of the live certificate."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert((self.live / "cert.pem").read_text())).hexdigest()

    def ends(self) -> float:
        """When the live certificate ends, seconds since the epoch."""
        shown = subprocess.run(
            ["openssl", "x509", "-in", str(self.live / "cert.pem"), "-noout", "-enddate"],
            capture_output=True,
            text=True,
            check=True,
        )
        return ssl.cert_time_to_seconds(shown.stdout.strip().partition("=")[2])

    def served(self, root: Path) -> str:
        """Fingerprint of what is served to a client that trusts ``root`` only."""
        context = ssl.create_default_context(cafile=str(root))
        return hashlib.sha256(handshakes.leaf(self.address, context, timeout=60)).hexdigest()

    def snapshot(self) -> dict[str, tuple[int, str]]:
        """Every file and link of the live and the older pairs: mode, and content or target."""
        folder = self.tls / "generations" / self.label
        paths = [self.live, *self.live.parent.glob(f".{self.label}.*"), folder, *sorted(folder.rglob("*"))]
        return {str(path.relative_to(self.tls)): state(path) for path in paths}

    def pair_fault(self) -> str | None:
        """What is wrong with the live pair, None: nothing. openssl is asked, none of our own code."""
        try:
            key = public_key("pkey", "-pubout", "-in", str(self.live / "privkey.pem"))
            leaves = {
                public_key("x509", "-noout", "-pubkey", "-in", str(self.live / f"{name}.pem"))
                for name in ("cert", "fullchain")
            }
        except subprocess.CalledProcessError as error:
            return str(error.stderr)
        return None if leaves == {key} else "key and certificate do not belong together"


def public_key(*arguments: str) -> bytes:
    """What openssl prints."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=300).stdout


def state(path: Path) -> tuple[int, str]:
    """Mode, and content or target."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return mode, os.readlink(path)
    return mode, hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""


@contextlib.contextmanager
def serving(*sites: Site, pair: Path | None = None) -> Iterator[None]:
    """The nginx of these sites, running; they serve their live pairs, or that in the directory ``pair``."""
    with contextlib.ExitStack() as stack:
        for folder in {site.folder: None for site in sites}:
            mine = [site for site in sites if site.folder == folder]
            blocks = [SERVER.format(port=site.port, domain=site.domain, pair=pair or site.live) for site in mine]
            # Where a test puts what a user might have written.
            blocks.append(f"    include {folder}/extra*.conf;\n")
            stack.enter_context(nginx.running(folder, "".join(blocks), mine[0].port))
        yield


class Hosts:
    """Hosts below one directory, with one inventory and, unless a host says otherwise, one store.

    :param labels: host → the names of its certificates.
    :param one_nginx: whether one nginx serves all sites of a host.
    """

    def __init__(self, folder: Path, labels: Mapping[str, Iterable[str]], *, one_nginx: bool = False) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.inventories = 0
        self.sites: dict[str, list[Site]] = {}
        for name, mine in labels.items():
            tls, port = folder / name / "fleet-tls", free_port()
            self.sites[name] = [
                Site(name, label, folder / name / "nginx", port, tls)
                if one_nginx
                else Site(name, label, folder / name / f"nginx-{label}", free_port(), tls)
                for label in mine
            ]
            (folder / name).mkdir(parents=True)

    def __iter__(self) -> Iterator[Site]:
        return (site for mine in self.sites.values() for site in mine)

    def __getitem__(self, name: str) -> Site:
        """A host's only site, or that of a certificate's name."""
        return next(site for site in self if name in (site.host, site.label))

    @property
    def root(self) -> Path:
        """The CA's root certificate."""
        return self.store / "ca" / "internal" / "root-1.pem"

    def store_options(self, **changes: Any) -> dict[str, Any]:
        """``tls_store``."""
        return {"type": "directory", "path": str(self.store), "passphrase": PASSPHRASE, **changes}

    def variables(self, host: str, **changes: Any) -> dict[str, Any]:
        """What the inventory says about a host."""
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_directory": str(self.sites[host][0].tls),
            "tls_certificates": [site.certificate() for site in self.sites[host]],
            **changes,
        }

    def inventory(self, hosts: Mapping[str, Mapping[str, Any]] | None = None, **common: Any) -> Path:
        """Write a new inventory: all hosts, or those of ``hosts`` with changed variables.

        :param common: variables of all hosts.
        """
        chosen: Mapping[str, Mapping[str, Any]] = dict.fromkeys(self.sites, {}) if hosts is None else hosts
        # These hosts are this machine: its trust store is none of theirs.
        usual = {"tls_store": self.store_options(), "tls_issuers": ISSUERS, "tls_trust_system": False}
        variables = {**usual, **common}
        entries = {each: self.variables(each, **changes) for each, changes in chosen.items()}
        self.inventories += 1
        path = self.folder / f"inventory-{self.inventories}.json"
        path.write_text(json.dumps({"all": {"hosts": entries, "vars": variables}}))
        return path

    def playbook(self, **options: Any) -> Path:
        """A playbook of the one task fleet.tls.certificates."""
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
        path = self.folder / f"play-{digest}.yml"
        task = {"name": "Certificates", "fleet.tls.certificates": {**OPTIONS, **options}}
        path.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": [task]}]))
        return path

    def play(self, hosts: Mapping[str, Mapping[str, Any]] | None = None, *args: str, **options: Any) -> PlaybookResult:
        """Run the task on all hosts, or on those of ``hosts`` with changed variables.

        :param options: of the task.
        """
        return run_playbook(self.playbook(**options), self.inventory(hosts), args=args)

    def issue(self) -> None:
        """First certificates; the servers are started, and asked, later."""
        self.play(
            {
                host: {"tls_certificates": [site.certificate(services=[]) for site in mine]}
                for host, mine in self.sites.items()
            }
        ).check()


def ledger(store: Path) -> list[dict[str, Any]]:
    """All rows, oldest first. What a run that was killed had not committed is rolled back, which a reader alone could not do."""
    with contextlib.closing(sqlite3.connect(f"file:{store / 'ledger.sqlite3'}?mode=rw", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM issuance ORDER BY id")]


def message(result: PlaybookResult, host: str) -> str:
    """The words with which a host's task failed."""
    failed = [each["result"] for each in result.task_results if each["host"] == host and each["status"] == "failed"]
    assert len(failed) == 1, result.stdout + result.stderr
    return str(failed[0]["msg"])


def entry(result: PlaybookResult, name: str) -> dict[str, Any]:
    """The result for a certificate of this name, or for the only one of the host of this name."""
    for task in result.task_results:
        for found in task["result"].get("certificates", ()):
            if name in (task["host"], found["name"]):
                return dict(found)
    raise AssertionError(f"no result for {name}\n{result.stdout}{result.stderr}")
