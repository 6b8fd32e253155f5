# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks with rules for who may have what, and with a host that publishes CRLs and CA certificates for clients to fetch."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from tools.playbook import PlaybookResult, run_playbook
from tools.ports import free_port

PASSPHRASE = "correct horse battery staple"
RULES = [{"groups": ["web"], "dns_names": ["*.web.example.com"], "max_duration": "30d"}]


class World:
    """``pki`` publishes; ``web1`` is of the group web, ``db1`` of none."""

    def __init__(self, folder: Path, nginx: NginxService) -> None:
        self.folder, self.nginx, self.port = folder, nginx, free_port()
        self.files = folder / "published"

    @property
    def url(self) -> str:
        """Where it publishes."""
        return f"http://localhost:{self.port}/ca/"

    def bundle(self, host: str) -> Path:
        """Whom a host trusts."""
        return self.folder / f"{host}.pem"

    def variables(self, host: str, names: list[str]) -> dict[str, Any]:
        """Of one host."""
        wanted = [{"name": "www", "issuer": "internal", "dns_names": names}] if names else []
        own = {
            "tls_directory": str(self.folder / host), "tls_certificates": wanted, "tls_trust_bundles": [{"path": str(self.bundle(host))}],
        }  # fmt: skip
        if host != "pki":
            return own
        publishing = {"tls_publish_ca": ["internal"], "tls_publish_ca_directory": str(self.files)}
        return {
            **own, **publishing, "tls_nginx_directory": str(self.nginx.folder), "tls_nginx_service": self.nginx.described(),
        }  # fmt: skip

    def run(self, playbook: str, *args: str, **names: list[str]) -> PlaybookResult:
        """A playbook, with these names for hosts; the variables of a host are its own, as in ``host_vars``."""
        options = {
            "type": "ca", "duration": "20d", "crl_distribution_points": [self.url], "authority_information_access": [self.url], "permit": RULES,
            "name_constraints": {"permitted": {"dns_names": ["example.com"]}}, "cross_certificates": True,
        }  # fmt: skip
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_store": {"path": str(self.folder / "store"), "passphrase": PASSPHRASE},
            "tls_issuers": {"internal": options},
            "tls_trust_system": False,
            "tls_check_files": False,
            "tls_prove_timeout": "60s",
        }
        hosts = {host: self.variables(host, names.get(host, [])) for host in ("pki", "web1", "db1")}
        path = self.folder / "inventory.json"
        groups = {"web": {"hosts": {"web1": {}}}}
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": common, "children": groups}}))
        return run_playbook(playbook, path, args=args)

    def fetch(self, name: str) -> bytes:
        """What a client gets."""
        with urllib.request.urlopen(f"{self.url}{name}", timeout=60) as answer:
            kind = {"crl": "application/pkix-crl", "crt": "application/pkix-cert"}[name.rpartition(".")[2]]
            assert answer.headers["Content-Type"] == kind
            return bytes(answer.read())

    def openssl_verify(self, certificate: Path) -> str:
        """What openssl says of a certificate of web1's chain, with the list that it fetches where the certificate says."""
        chain, root = self.folder / "web1/live/www/chain.pem", self.folder / "store/ca/internal/root-1.pem"
        command = [
            "openssl",
            "verify",
            "-crl_download",
            "-crl_check",
            "-CAfile",
            root,
            "-untrusted",
            chain,
            certificate,
        ]
        ended = subprocess.run(
            [str(each) for each in command], capture_output=True, text=True, timeout=120, check=False
        )
        return ended.stdout + ended.stderr


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with NginxService(tmp_path / "nginx") as nginx:
        # Its workers have to get at files of a test's own folder.
        conf = nginx.folder / "nginx.conf"
        conf.write_text(f"user {getpass.getuser()};\n{conf.read_text()}")
        yield World(tmp_path, nginx)


def words(result: PlaybookResult) -> str:
    """All that failed tasks said."""
    return "\n".join(str(each["result"].get("msg")) for each in result.task_results if each["status"] == "failed")


def test_rules_and_a_host_that_publishes(world: World) -> None:
    wishes = {"web1": ["a.web.example.com"], "db1": ["db.web.example.com"]}
    # Nothing is touched on the host that may have none, not even looked at; the others go on.
    refused = world.run("fleet.tls.deploy", **wishes)
    assert refused.rc != 0 and refused.stats["db1"]["failures"] == 1 and refused.stats["web1"]["failures"] == 0
    assert "db1: certificate 'www': issuer 'internal' does not permit it (no rule is for a host of the groups" in words(
        refused
    )
    assert not (world.folder / "db1").exists() and not world.bundle("db1").exists()
    # A CA that nobody has asked yet: what could be had is shown, and what may not.
    shown = world.run("fleet.tls.check", **wishes)
    (document,) = {json.dumps(each["ansible_facts"]["fleet_tls_health"]) for each in shown.results(task="Judge")}
    health = json.loads(document)
    assert [each["code"] for each in health["findings"] if each["host"] == "db1"] == ["not_permitted"]
    rules = {tuple(each["hosts"]): each["rules"] for each in health["permits"]}
    assert rules[("pki", "db1")] == [] and rules[("web1",)][0]["dns_names"] == ["*.web.example.com"]
    assert (
        "internal permits web1: dns_names *.web.example.com; usages server_auth, client_auth; max_duration 30d"
        in shown.stdout
    )
    # What a host of the group may not have, either.
    assert "is not among *.web.example.com" in words(
        world.run("fleet.tls.deploy", "--limit", "web1", web1=["www.example.com"])
    )

    del wishes["db1"]
    again = world.run("fleet.tls.deploy", **wishes).check()
    # The host that is refused no more gets what it had not got before: whom to trust.
    assert {host: known["changed"] for host, known in again.stats.items()} == {"pki": 0, "web1": 0, "db1": 1}, (
        again.stdout
    )
    crl = x509.load_der_x509_crl(world.fetch("internal-issuing-1.crl"))
    issuing = x509.load_der_x509_certificate(world.fetch("internal-issuing-1.crt"))
    assert crl.is_signature_valid(issuing.public_key()) and len(crl) == 0  # type: ignore[arg-type]
    assert x509.load_der_x509_certificate(world.fetch("internal-root-1.crt")).subject == issuing.issuer
    leaf = world.folder / "leaf.pem"
    leaf.write_bytes((world.folder / "web1/live/www/cert.pem").read_bytes())
    for each in (leaf, world.folder / "web1/live/www/chain.pem"):
        assert world.openssl_verify(each) == f"{each}: OK\n"

    # A revocation is there for everybody at once.
    world.run("fleet.tls.revoke", "-e", '{"tls_revoke_hosts": ["web1"]}', **wishes).check()
    serial = x509.load_pem_x509_certificate(leaf.read_bytes()).serial_number
    crl = x509.load_der_x509_crl(world.fetch("internal-issuing-1.crl"))
    assert crl.get_revoked_certificate_by_serial_number(serial) is not None
    assert "certificate revoked" in world.openssl_verify(leaf)


def test_a_rollover_that_clients_elsewhere_go_along_with(world: World) -> None:
    wishes = {"web1": ["a.web.example.com"]}
    world.run("fleet.tls.deploy", **wishes).check()
    # Clients elsewhere know the old root alone; the hosts, which trusted both for a while, know the new one. What is proven stays within the
    # constraints.
    old = world.folder / "old-root.pem"
    old.write_bytes((world.folder / "store/ca/internal/root-1.pem").read_bytes())
    world.run("fleet.tls.rotate_ca", **wishes).check()
    live, new = world.folder / "web1/live/www", world.bundle("web1")
    assert (
        new.read_text().count("BEGIN CERTIFICATE") == 1
        and (live / "chain.pem").read_text().count("BEGIN CERTIFICATE") == 2
    )
    for root in (old, new):
        command = [
            "openssl",
            "verify",
            "-x509_strict",
            "-CAfile",
            root,
            "-untrusted",
            live / "chain.pem",
            live / "cert.pem",
        ]
        subprocess.run([str(each) for each in command], capture_output=True, timeout=120, check=True)
    assert world.fetch("internal-issuing-2.crl") and world.fetch("internal-root-2-by-root-1.crt")
    assert world.run("fleet.tls.deploy", **wishes).check().changed == 0
