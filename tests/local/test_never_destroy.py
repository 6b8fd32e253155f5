# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose outputs, bundles and site files lie where somebody's files lie: told, kept, and given back."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.system.commands import find_program
from local.deployment import DeployedHost, Deployment, due
from tools.playbook import PlaybookResult


def kept(path: Path) -> Path:
    """Where it has to be kept."""
    return path.parent / f".{path.name}.before-fleet-tls"


def key_lines(*paths: Path) -> set[str]:
    """Every line of private keys, as they could stand in an output."""
    return {line for path in paths for line in path.read_text().splitlines() if line and not line.startswith("--")}


def ca_playbook(folder: Path) -> Path:
    """A playbook that makes the CA."""
    path, task = folder / "ca.yml", {"name": "CA", "import_role": {"name": "fleet.tls.ca"}}
    path.write_text(json.dumps([{"name": "CA", "hosts": "all", "gather_facts": False, "tasks": [task]}]))
    return path


class TheirFiles:
    """What somebody has on a host, at paths that the inventory names."""

    def __init__(self, host: DeployedHost) -> None:
        self.host, folder = host, host.folder / "etc"
        folder.mkdir()
        self.linked, self.copied, self.misplaced = (
            folder / "linked.key",
            folder / "copied.key",
            host.folder / "bundle.pem",
        )
        self.bundle, self.site = host.folder / "app-ca.pem", host.nginx.conf / "zz-fleet-tls.conf"
        for path in (self.linked, self.copied, self.misplaced):
            command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        self.bundle.write_text("# their CAs\n")
        self.site.write_text("# their site\n")
        self.linked.chmod(0o640)
        self.secrets = key_lines(self.linked, self.copied, self.misplaced)
        self.before = self.state()

    @property
    def paths(self) -> list[Path]:
        return [self.linked, self.copied, self.misplaced, self.bundle, self.site]

    def state(self) -> dict[Path, tuple[int, int, bytes]]:
        """Inode, mode and content of each."""
        return {path: (os.lstat(path).st_ino, os.lstat(path).st_mode, path.read_bytes()) for path in self.paths}

    def kept_state(self) -> dict[Path, tuple[int, int, bytes]]:
        """The same of what was kept."""
        places = {path: kept(path) for path in self.paths}
        return {
            path: (os.lstat(each).st_ino, os.lstat(each).st_mode, each.read_bytes()) for path, each in places.items()
        }

    def certificates(self, outputs: bool = True) -> list[dict[str, Any]]:
        """``tls_certificates``."""
        wanted = {"issuer": "internal", "dns_names": [self.host.domain]}
        found = [
            {"path": str(self.linked), "format": "privkey"},
            {"path": str(self.copied), "format": "combined", "method": "copy"},
        ]
        return [
            {"name": "www", **wanted, "outputs": found if outputs else []},
            {"name": "other", **wanted},
            {"name": "app", **wanted, "usages": ["client_auth"]},
        ]


def told(result: PlaybookResult) -> dict[str, str]:
    """All of ``kept_files``, path → where."""
    results = [each["result"] for each in result.task_results]
    parts = [each for result in results for each in (result, *result.get("certificates", ()))]
    parts += [each for result in results for each in dict(result.get("clients") or {}).values()]
    return {path: place for part in parts for path, place in dict(part.get("kept_files") or {}).items()}


@pytest.mark.skipif(not find_program("nginx"), reason="it needs nginx")
def test_what_lies_there_is_told_kept_and_given_back(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, ["web1"])
    host = deployment.hosts["web1"]
    with deployment.running():
        theirs = TheirFiles(host)
        first = {"web1": {"tls_certificates": theirs.certificates()}}
        # Without a CA nobody could tell in check mode what the bundles will hold.
        deployment.deploy(playbook=ca_playbook(tmp_path), changes=first).check()
        foretold = deployment.deploy("--check", "--diff", changes=first).check()
        text = foretold.stdout + foretold.stderr
        assert theirs.state() == theirs.before and not any(kept(path).exists() for path in theirs.paths)
        assert not any(secret in text for secret in theirs.secrets)
        named = {str(path): str(kept(path)) for path in theirs.paths}
        assert told(foretold) == named and all(place in text for place in named.values())

        done = deployment.deploy("--diff", changes=first).check()
        text = done.stdout + done.stderr
        assert told(done) == named and all(place in text for place in named.values())
        assert not any(secret in text for secret in theirs.secrets)
        assert theirs.kept_state() == theirs.before and host.served() == host.live()
        assert theirs.linked.is_symlink() and theirs.copied.read_bytes() != theirs.before[theirs.copied][2]

        again = deployment.deploy(changes=first).check()
        assert again.changed == 0 and due(again) == {"web1": []}
        # A renewal, and what somebody edited in the meantime: ours all the same.
        theirs.copied.write_text("edited\n")
        renewed = deployment.deploy("-e", json.dumps({"tls_force": True}), changes=first).check()
        assert renewed.changed and told(renewed) == {} and theirs.kept_state() == theirs.before

        without = {"web1": {"tls_certificates": theirs.certificates(outputs=False)}}
        deployment.deploy(changes=without).check()
        for path in (theirs.linked, theirs.copied):
            assert theirs.state()[path] == theirs.before[path] and not os.path.lexists(kept(path))
        assert deployment.deploy(changes=without).check().changed == 0
        record = json.loads((host.tls / "originals.json").read_text())
        assert str(theirs.copied) not in record and record[str(theirs.bundle)] == str(kept(theirs.bundle))
