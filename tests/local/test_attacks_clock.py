# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller whose clock is wrong makes nothing that has a date, and what one made all the same is mended by the next run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.hosts import ISSUERS, PASSPHRASE
from tools.playbook import PlaybookResult, run_playbook

HOSTS = ("a", "b", "c")
# The hosts are this machine, and their clocks are right whatever the controller's is.
RIGHT_CLOCK = f"""#!/bin/sh
unset LD_PRELOAD FAKETIME
exec {sys.executable} "$@"
"""
PLAY = [
    {
        "name": "Play",
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"import_role": {"name": "fleet.tls.certificates"}},
            {"import_role": {"name": "fleet.tls.ca"}},
            {
                "fleet.tls.service_config": {
                    "service": {"name": "any", "validate": ["true"], "reload": ["true"], "check": ["true"]},
                    "directory": "{{ tls_directory }}",
                    "ignore_clocks": "{{ tls_ignore_clocks | default(false) }}",
                    "client_trust": {"store": "{{ tls_store }}", "issuers": "{{ tls_issuers }}"},
                    "files": [{"path": "{{ tls_directory }}/clients.crl.pem", "client": "crls"}],
                }
            },
        ],
    }
]


class World:
    """Three hosts, and a controller with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        python = folder / "python"
        python.write_text(RIGHT_CLOCK)
        python.chmod(0o755)
        hosts = {
            name: {
                "ansible_connection": "local",
                "ansible_python_interpreter": str(python),
                "tls_directory": str(folder / name),
                "tls_certificates": [{"name": "www", "issuer": "internal", "dns_names": [f"{name}.example.com"]}],
            }
            for name in HOSTS
        }
        shared = {"tls_store": {"path": str(folder / "store"), "passphrase": PASSPHRASE}, "tls_issuers": ISSUERS}
        self.inventory = folder / "inventory.json"
        self.inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
        self.playbook = folder / "play.yml"
        self.playbook.write_text(json.dumps(PLAY))

    def run(self, ahead: str = "", **variables: Any) -> PlaybookResult:
        """A run of the controller, ``ahead`` of the time there is."""
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        fake = {"LD_PRELOAD": str(library), "FAKETIME": ahead} if ahead else {}
        return run_playbook(self.playbook, self.inventory, variables, env=fake)

    def state(self) -> dict[str, bytes]:
        """All files of store and hosts that have a date, and the ledger."""
        wanted = ("*.pem", "*.crl", "*.json", "ledger.sqlite3")
        paths = (path for name in ("store", *HOSTS) for kind in wanted for path in (self.folder / name).rglob(kind))
        return {str(path): path.read_bytes() for path in sorted(paths) if "pending" not in path.parts}

    def valid(self, host: str) -> bool:
        """Whether the host's certificate and CRLs are valid now, by openssl."""
        live, crls = self.folder / host / "live/www", self.folder / host / "clients.crl.pem"
        done = subprocess.run(
            ["openssl", "verify", "-crl_check_all", "-CRLfile", str(crls), "-CAfile", str(self.folder / "store/ca/internal/root-1.pem"),
             "-untrusted", str(live / "chain.pem"), str(live / "cert.pem")],
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        return done.returncode == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("clocks"))
    world.run().check()
    yield world
    shutil.rmtree(world.folder)


def test_nothing_dated_is_made_and_all_that_works_stays(made: World) -> None:
    assert all(made.valid(host) for host in HOSTS)
    before = made.state()
    # CRLs are due by now, and certificates are asked for.
    result = made.run("+5d", tls_force=True)
    failed = [each["result"] for each in result.task_results if each["status"] == "failed"]
    codes = [each["error"]["code"] for each in failed]
    assert codes and set(codes) == {"controller_clock"}
    assert all(each["failures"] == 1 for each in result.stats.values()), result.stdout
    assert made.state() == before and all(made.valid(host) for host in HOSTS)
    # With nothing asked for there is only what belongs to the CA, and the lists.
    result = made.run("+5d")
    assert result.rc != 0 and "s ahead of those of 3 of 3 hosts" in str(result.task_results)
    assert made.state() == before and all(made.valid(host) for host in HOSTS)


def test_what_was_made_from_the_future_is_mended(made: World) -> None:
    wrong = made.run("+5d", tls_force=True, tls_ignore_clocks=True)
    wrong.check()
    assert not any(made.valid(host) for host in HOSTS)
    made.run().check()
    assert all(made.valid(host) for host in HOSTS)
    assert made.run().check().changed == 0
