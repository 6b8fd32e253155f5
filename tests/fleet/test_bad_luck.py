# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad luck that takes a host of its own: a full disk, no openssl, a wrong clock, no rights. The nginx there serves what it served."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo import handshakes
from fleet.fleet import Fleet
from tools.playbook import PlaybookResult, run_playbook

# A pending key takes four files, a generation five, and a small file one page.
PAGE = 4096
FULL = "dd if=/dev/zero of=/etc/fleet-tls/filler bs={0} count={1}"
CLOCKS = {"tomorrow": "+1d", "yesterday": "-1d"}
WRAPPER = '#!/bin/sh\nexec faketime -f {0} /usr/bin/python3 "$@"\n'
PLAY = [{"hosts": "all", "gather_facts": False, "roles": ["fleet.tls.certificates"]}]


@dataclass(frozen=True)
class Bench:
    """The fleet with its certificates, and how it is played upon."""

    fleet: Fleet
    folder: Path

    def variables(self) -> dict[str, Any]:
        """Of all hosts."""
        name = "{{ inventory_hostname }}.test"
        return {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_certificates": [{"name": "www", "issuer": "internal", "dns_names": [name], "services": ["nginx"]}],
            "tls_sites": [{"name": "www", "server_names": [name], "certificate": "www", "root": "/var/www/html"}],
            "tls_trust_system": False,
        }

    def run(
        self, playbook: str | Path = "", changes: dict[str, dict[str, Any]] | None = None, *args: str
    ) -> PlaybookResult:
        """The role certificates, or another playbook, on all hosts, or on those of ``changes`` with changed variables."""
        play = self.folder / "play.yml"
        play.write_text(json.dumps(PLAY))
        known = self.fleet.host_vars()
        hosts = {
            name: {**values, **(changes or {}).get(name, {})}
            for name, values in known.items()
            if not changes or name in changes
        }
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": self.variables()}}))
        return run_playbook(playbook or play, inventory, args=args)

    def forced(self, changes: dict[str, dict[str, Any]]) -> PlaybookResult:
        """The role with new certificates for these hosts."""
        return self.run("", changes, "-e", "tls_force=true")

    def served(self, host: str) -> str:
        """Fingerprint of what the host's nginx serves to a client that trusts the CA."""
        context = ssl.create_default_context(cafile=str(self.folder / "store" / "ca" / "internal" / "root-1.pem"))
        site = handshakes.Site(self.fleet.addresses[host], 443, f"{host}.test")
        return hashlib.sha256(handshakes.leaf(site, context)).hexdigest()

    def files(self, host: str) -> str:
        """Mode, size, name, target and time of everything that is live or was."""
        listing = "find /etc/fleet-tls/live /etc/fleet-tls/generations -not -type d -printf".split()
        listing.append("%m %s %p %l %T@\\n")
        return self.fleet.exec(host, listing).stdout


@dataclass(frozen=True)
class Before:
    """A host before its bad luck."""

    served: str
    files: str


@pytest.fixture(scope="module")
def bench(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    one = Bench(fleet, tmp_path_factory.mktemp("bad-luck"))
    for host in fleet.addresses:
        fleet.exec(host, ["mkdir", "-p", "/etc/fleet-tls"])
    fleet.exec("deb11", ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", "/etc/fleet-tls"])
    one.run("fleet.tls.deploy").check()
    yield one
    fleet.exec("deb11", ["umount", "/etc/fleet-tls"])
    for host in fleet.addresses:
        fleet.exec(
            host,
            [
                "rm",
                "-rf",
                "/etc/fleet-tls",
                "/etc/nginx/sites-enabled/zz-fleet-tls.conf",
                *(f"/root/{name}" for name in CLOCKS),
            ],
        )
        fleet.exec(host, ["systemctl", "stop", "nginx"])


def fill(fleet: Fleet, leave: int) -> None:
    """Leave so many pages of deb11's tls_directory."""
    fleet.exec("deb11", ["rm", "-f", "/etc/fleet-tls/filler"])
    left = int(fleet.exec("deb11", "stat -f -c %a /etc/fleet-tls".split()).stdout)
    fleet.exec("deb11", FULL.format(PAGE, left - leave).split())


def words(result: PlaybookResult, host: str) -> str:
    """How the host's task failed."""
    (failed,) = [each["result"] for each in result.task_results if each["host"] == host and each["status"] == "failed"]
    return str(failed["msg"])


def test_bad_luck_on_four_hosts_at_once(bench: Bench) -> None:
    fleet = bench.fleet
    before = {host: Before(bench.served(host), bench.files(host)) for host in fleet.addresses}
    for name, shift in CLOCKS.items():
        fleet.exec("deb13", ["tee", f"/root/{name}"], stdin=WRAPPER.format(shift))
        fleet.exec("deb13", ["chmod", "755", f"/root/{name}"])
    fleet.exec("deb12", ["mv", "/usr/bin/openssl", "/usr/bin/openssl.away"])
    fill(fleet, 0)
    changes: dict[str, dict[str, Any]] = {
        "deb11": {}, "deb12": {},
        "deb13": {"ansible_python_interpreter": "/root/tomorrow"},
        "deb12u": {"ansible_become": False},
    }  # fmt: skip
    try:
        failed = bench.forced(changes)
        calm = bench.run("", {"deb12": {}, "deb13": {"ansible_python_interpreter": "/root/yesterday"}})
    finally:
        fleet.exec("deb12", ["mv", "/usr/bin/openssl.away", "/usr/bin/openssl"])

    expected = {
        "deb11": ("no space left on the host", "ree some space and run again"),
        "deb12": ("the program 'openssl' is not on the host", "nstall the package openssl there"),
        "deb13": ("the host's clock is 24.0 h ahead of the controller's", "et the clock (timedatectl, chronyc makestep) and run again"),
        "deb12u": ("ermission denied", "oes the task need become: true?"),
    }  # fmt: skip
    for host, (said, remedy) in expected.items():
        message = words(failed, host)
        assert message.startswith(f"{host}: certificate 'www': "), message
        assert said in message and remedy in message, message
    for host in ("deb11", "deb12", "deb13"):
        assert "Kept: generation 1, valid until 20" in words(failed, host)
    for host, known in before.items():
        assert bench.served(host) == known.served
        assert bench.files(host) == known.files
    # With nothing due, neither openssl nor the clock is needed; the clock is mentioned.
    assert (calm.rc, calm.changed) == (0, 0)
    warnings = [warning for each in calm.results(host="deb13") for warning in each.get("warnings", ())]
    assert any("deb13: the clock is -86" in warning for warning in warnings)


def test_no_space_for_the_generation(bench: Bench) -> None:
    """The key still has room, the certificate's directory has not: what was begun is removed, and the key is used later."""
    known = Before(bench.served("deb11"), bench.files("deb11"))
    fill(bench.fleet, 6)
    failed = bench.forced({"deb11": {}})
    message = words(failed, "deb11")
    assert message.startswith("deb11: certificate 'www': ")
    assert "writing /etc/fleet-tls/generations/www/2: no space left on the host" in message
    assert "Kept: generation 1" in message
    assert (bench.served("deb11"), bench.files("deb11")) == (known.served, known.files)

    bench.fleet.exec("deb11", ["rm", "/etc/fleet-tls/filler"])
    bench.forced({"deb11": {}}).check()
    assert bench.served("deb11") != known.served


def test_all_is_well_afterwards(bench: Bench) -> None:
    bench.run().check()
    again = bench.run().check()
    assert again.changed == 0
