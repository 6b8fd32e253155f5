# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries that are absent, and hosts that are retired, as a user would have it: nginx serves what stays, and what lay there first is back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.system.commands import find_program
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store, load_store
from local.deployment import DeployedHost, Deployment, due
from tools.playbook import PlaybookResult

GONE = {"state": "absent"}
HOSTS = {"tls_hosts": "web1"}

pytestmark = pytest.mark.skipif(not find_program("nginx"), reason="it needs nginx")


class World:
    """Two hosts of one store and one pool of session ticket keys; of the first, somebody's key lies where an output is to be."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.host: DeployedHost = deployment.hosts["web1"]
        self.theirs = self.host.folder / "their.key"
        self.theirs.write_text("-----BEGIN PRIVATE KEY-----\ntheirs\n-----END PRIVATE KEY-----\n")
        self.theirs.chmod(0o400)
        self.inode = self.theirs.stat().st_ino

    @property
    def store(self) -> Store:
        return load_store({"path": str(self.deployment.store), "passphrase": self.deployment.passphrase})

    def wanted(self, *gone: str, revoke: str | None = None) -> dict[str, Any]:
        """The first host's variables, in which these are absent: certificates, sites, ``bundle``, ``client`` and ``ring``."""
        known = self.host.variables()
        certificates = known["tls_certificates"]
        certificates[1]["outputs"] = [{"path": str(self.theirs), "format": "privkey"}]
        certificates[1]["private_key"] = {"location": "controller"}
        clients, sites = known["tls_clients"], known["tls_sites"]
        bundles: list[dict[str, Any]] = [{"path": str(self.host.folder / "bundle.pem")}]
        for entry in [*certificates, *sites]:
            entry.update(
                {**GONE, **({"revoke": revoke} if revoke and entry in certificates else {})}
                if entry["name"] in gone
                else {}
            )
        for entry, name in ((clients[0], "client"), (bundles[0], "bundle")):
            entry.update(GONE if name in gone else {})
        ring = {"tls_session_tickets": False, "tls_session_ticket_state": "absent"} if "ring" in gone else {}
        return {**known, "tls_trust_bundles": bundles, **ring}

    def run(
        self, *args: str, playbook: str = "fleet.tls.deploy", wanted: dict[str, Any] | None = None, **extra: Any
    ) -> PlaybookResult:
        changes = {"web1": wanted or self.wanted()}
        return self.deployment.deploy(*args, playbook=playbook, extra=extra or None, changes=changes)

    def files(self) -> set[str]:
        """All that the first host has, but for what nginx makes while it runs."""
        places = [
            path
            for path in self.host.folder.rglob("*")
            if not {"tmp", "nginx.pid", "error.log", "calls", ".lock"} & set(path.parts)
        ]
        return {str(path) for path in places if path.is_symlink() or path.is_file()}

    def assert_theirs(self) -> None:
        """Somebody's key is in its place again, and nothing beside it."""
        assert self.theirs.stat().st_ino == self.inode and "theirs" in self.theirs.read_text()
        assert self.theirs.stat().st_mode & 0o777 == 0o400
        assert not os.path.lexists(self.theirs.parent / f".{self.theirs.name}.before-fleet-tls")

    def findings(self, wanted: dict[str, Any]) -> dict[str, str]:
        """What fleet.tls.check calls left over on the first host: subject → remedy."""
        result = self.run(
            playbook="fleet.tls.check", wanted=wanted, tls_check_files=True, tls_check_paths=[str(self.host.folder)]
        )
        document = json.loads(
            json.dumps(next(each["ansible_facts"]["fleet_tls_health"] for each in result.results(task="Judge")))
        )
        return {
            each["subject"]: each["remedy"]
            for each in document["findings"]
            if (each["code"], each["host"]) == ("left_over", "web1")
        }


def test_entries_that_are_absent_and_a_host_that_is_retired(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, ["web1", "web2"])
    with deployment.running():
        world = World(deployment)
        host, before = world.host, set()
        before = world.files()
        world.run().check()
        everything = world.files()
        assert host.served() == host.live() and world.findings(world.wanted()) == {}

        # A certificate that a site still names: refused on the controller, and nothing of it is touched.
        refused = world.run(wanted=world.wanted("www"))
        assert refused.rc != 0 and "still names it" in refused.stdout and refused.stats["web1"]["changed"] == 0
        assert world.files() == everything

        # What somebody has deleted from the inventory is where it was, and is found.
        forgotten = world.wanted()
        forgotten["tls_certificates"] = [each for each in forgotten["tls_certificates"] if each["name"] != "other"]
        world.run(wanted=forgotten).check()
        assert world.files() == everything
        (remedy,) = world.findings(forgotten).values()
        assert "{name: other, state: absent}" in remedy

        some = world.wanted("other", "app", "api", "client", "bundle", "ring", revoke="cessation_of_operation")
        foretold = world.run("--check", "--diff", wanted=some).check()
        assert foretold.changed and str(world.theirs) in foretold.stdout and world.files() == everything
        assert "PRIVATE KEY" not in foretold.stdout
        serial = host.live()
        done = world.run("--diff", wanted=some).check()
        assert done.changed and host.served() == host.live() == serial
        assert [each.name for each in (host.tls / "live").iterdir()] == ["www"]
        gone = [host.tls / "generations" / "other", host.tls / "generations" / "app", host.tls / "tickets" / "default"]
        gone += [host.folder / "bundle.pem", host.folder / "app-ca.pem"]
        assert not [path for path in gone if os.path.lexists(path)]
        world.assert_theirs()
        assert str(host.guarded) not in (host.nginx.conf / "zz-fleet-tls.conf").read_text()
        revoked = {(each.issuance.host, each.issuance.certificate) for each in world.store.revocations("internal")}
        assert {("web1", "other"), ("web1", "app")} <= revoked and ("web1", "www") not in revoked
        assert world.store.get("keys/web1/other.key") is None
        # The other host is told what was revoked.
        again = world.run(wanted=some).check()
        assert again.stats["web1"]["changed"] == 0 and due(again)["web1"] == []
        assert world.run(wanted=some).check().changed == 0
        assert world.findings(some) == {}

        # All of it comes back under the same names.
        world.run().check()
        assert host.served() == host.live() == serial and (host.tls / "live" / "other").exists()

        nobody = world.run(playbook="fleet.tls.retire")
        assert nobody.rc != 0 and "Name the hosts" in nobody.stdout
        foretold = world.run("--check", "--diff", playbook="fleet.tls.retire", **HOSTS).check()
        assert foretold.changed and host.served() == serial and (host.tls / "live" / "www").exists()
        world.run(playbook="fleet.tls.retire", tls_retire_revoke="superseded", **HOSTS).check()
        assert host.served() is None and host.nginx.pid()
        world.assert_theirs()
        assert not host.tls.exists() and world.files() == before
        revoked = {(each.issuance.host, each.issuance.certificate) for each in world.store.revocations("internal")}
        assert ("web1", "www") in revoked and not [each for each in revoked if each[0] == "web2"]
        assert world.store.get("hosts/web1.json") is None and world.store.get("keys/web1/other.key") is None
        ring = json.loads((world.store.get("tickets/default.json") or pytest.fail("no ring")).value)
        assert set(ring["proven"]) == {"web2"}
        again = world.run(playbook="fleet.tls.retire", **HOSTS).check()
        assert again.changed == 0 and not host.tls.exists()
        # The other host has noticed nothing.
        other = deployment.hosts["web2"]
        assert other.served() == other.live()
