# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks with a CA that exists, and with roots whose keys are elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import (
    ISSUING,
    ROOT,
    SECRET,
    ForeignCa,
    locked_pkcs8,
    openssl,
    pkcs12,
)
from local.hosts import Hosts
from tools.playbook import PlaybookResult, run_playbook

OWN = {"type": "ca", "duration": "30d"}


class World:
    """Two hosts, the first with a certificate of ``internal``, the second with one of ``other``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = Hosts(folder, {"web1": ["www"], "web2": ["api"]})

    def bundle(self, host: str) -> Path:
        """The trust bundle of a host."""
        return self.folder / host / "bundle.pem"

    def run(self, playbook: str, internal: dict[str, Any], *args: str) -> PlaybookResult:
        """A playbook of the collection, with this issuer ``internal``."""
        wishes = {
            name: {
                "tls_certificates": [self.hosts[name].certificate(services=[], issuer=issuer)],
                "tls_trust_bundles": [{"path": str(self.bundle(name))}],
            }
            for name, issuer in (("web1", "internal"), ("web2", "other"))
        }
        common = {"tls_issuers": {"internal": {**OWN, **internal}, "other": OWN}, "tls_trust_system": False}
        return run_playbook(playbook, self.hosts.inventory(wishes, **common), args=args)

    def verify(self, host: str, root: Path) -> None:
        """openssl has nothing against the live chain, and the host trusts the root."""
        live = self.hosts[host].live
        openssl("verify", "-CAfile", root, "-untrusted", live / "fullchain.pem", live / "cert.pem")
        openssl("verify", "-CAfile", self.bundle(host), "-untrusted", live / "fullchain.pem", live / "cert.pem")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_root_whose_key_is_elsewhere_and_the_next_one(world: World) -> None:
    corp, better = ForeignCa(world.folder / "corp"), ForeignCa(world.folder / "better")
    answer = world.folder / "fleet-issuing.pem"
    internal = {"root": {"certificate": str(corp.make("root", ROOT))}, "issuing": {"certificate": str(answer)}}
    first = world.run("fleet.tls.deploy", internal)
    assert first.rc == 2 and first.stats["web1"]["failures"] and not first.stats["web2"]["failures"], first.stdout
    assert "waits for the signature of 'CN=root,O=Corp' under issuing-1.csr" in first.stdout
    # All else was done.
    assert corp.path("root.pem").read_text().strip() in world.bundle("web1").read_text()
    world.verify("web2", world.hosts.store / "ca/other/root-1.pem")

    seen = world.run("fleet.tls.check", internal)
    assert "internal: signature_wanted: the CA 'internal' waits" in seen.stdout

    csr = world.hosts.store / "ca/internal/issuing-1.csr"
    shutil.copy(corp.sign(csr, "answer", ISSUING, "root", days=730), answer)
    world.run("fleet.tls.deploy", internal).check()
    world.verify("web1", corp.path("root.pem"))
    again = world.run("fleet.tls.deploy", internal).check()
    assert again.changed == 0, again.stdout

    # Another root of the company's takes over, when it has signed.
    internal["root"] = {"certificate": str(better.make("root", ROOT, subject="/O=Corp/CN=better"))}
    waits = world.run("fleet.tls.rotate_ca", internal, "-e", "tls_rotate_issuer=internal")
    assert waits.rc != 0 and "stays at 'prepare'" in waits.stdout and "issuing-2.csr" in waits.stdout, waits.stdout
    world.verify("web1", corp.path("root.pem"))
    signed = better.sign(world.hosts.store / "ca/internal/issuing-2.csr", "signed", ISSUING, "root", days=730)
    answer.write_bytes(signed.read_bytes())
    world.run("fleet.tls.rotate_ca", internal, "-e", "tls_rotate_issuer=internal").check()
    world.verify("web1", better.path("root.pem"))
    assert corp.path("root.pem").read_text().strip() not in world.bundle("web1").read_text()


def test_a_ca_that_exists(world: World) -> None:
    theirs = ForeignCa(world.folder / "theirs")
    theirs.make("root", ROOT, key="rsa")
    theirs.make("issuing", ISSUING, "root")
    internal: dict[str, Any] = {
        "root": {
            "certificate": str(theirs.path("root.pem")),
            "key": str(locked_pkcs8(theirs, "root")),
            "passphrase": SECRET,
        },
        "issuing": {"certificate": str(pkcs12(theirs, "issuing", "root")), "passphrase": "wrong horse battery"},
    }
    refused = world.run("fleet.tls.deploy", internal)
    assert refused.rc == 2 and "issuer 'internal': issuing: certificate: " in refused.stdout, refused.stdout
    assert "it cannot be opened as PKCS#12" in refused.stdout and "wrong horse" not in refused.stdout + refused.stderr
    assert not (world.hosts.store / "ca/internal").exists()

    internal["issuing"]["passphrase"] = SECRET
    looked = world.run("fleet.tls.deploy", internal, "--check", "--diff")
    assert "the root 'CN=root,O=Corp' and the issuing CA 'CN=issuing,O=Corp' are adopted" in looked.stdout
    assert not (world.hosts.store / "ca/internal").exists()
    done = world.run("fleet.tls.deploy", internal).check()
    assert SECRET not in done.stdout + done.stderr
    root = world.folder / "root.pem"
    shutil.copy(theirs.path("root.pem"), root)
    shutil.rmtree(theirs.folder)
    world.verify("web1", root)
    again = world.run("fleet.tls.deploy", internal).check()
    assert again.changed == 0, again.stdout
