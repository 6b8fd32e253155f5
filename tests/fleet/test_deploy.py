# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on real hosts: fleet.tls.deploy twice, what is served against the ledger, and how often a host is visited."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.fleet import Fleet
from tools.playbook import PlaybookResult, run_playbook

CONNECTION = re.compile(r"<([0-9.]+)> ESTABLISH SSH CONNECTION FOR USER")
ROUND_TRIP_PLAY = """
- hosts: all
  gather_facts: false
  roles: [fleet.tls.certificates]
"""


def variables(folder: Path) -> dict[str, Any]:
    """An inventory's variables, as a newcomer would write them."""
    return {
        "tls_store": {"path": str(folder / "store"), "passphrase": "a passphrase of the tests"},
        "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
        "tls_certificates": [
            {"name": "www", "issuer": "internal", "dns_names": ["{{ inventory_hostname }}.test"], "services": ["nginx"]},
            {"name": "mail", "issuer": "internal", "dns_names": ["mail.{{ inventory_hostname }}.test"],
             "private_key": {"algorithm": "rsa-2048"},
             "outputs": [{"path": "/srv/mail/mail.pem", "format": "combined", "group": "mail", "mode": "0640"}]},
        ],
        "tls_sites": [
            {"name": "www", "server_names": ["{{ inventory_hostname }}.test"], "certificate": "www", "root": "/var/www/html",
             "redirect": True}
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def deployed(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, PlaybookResult]]:
    """The store of a fleet that was deployed once, in two batches, and that first run; the hosts are clean again afterwards."""
    folder = tmp_path_factory.mktemp("deploy")
    batches = {"tls_serial": [1, "100%"], "tls_max_fail_percentage": 0}
    yield folder, run_playbook("fleet.tls.deploy", fleet.inventory, {**variables(folder), **batches}).check()
    for host in fleet.hosts:
        fleet.exec(
            host.name, ["rm", "-rf", "/etc/fleet-tls", "/srv/mail", "/etc/nginx/sites-enabled/zz-fleet-tls.conf"]
        )
        fleet.exec(host.name, ["systemctl", "stop", "nginx"])


def issued(folder: Path) -> dict[tuple[str, str], str]:
    """(host, certificate) → fingerprint of the newest row of the ledger."""
    with contextlib.closing(sqlite3.connect(folder / "store" / "ledger.sqlite3")) as ledger:
        rows = ledger.execute("SELECT host, certificate, fingerprint FROM issuance ORDER BY id").fetchall()
    return {(host, certificate): fingerprint for host, certificate, fingerprint in rows}


def served(address: str, name: str, root: Path) -> tuple[str, str]:
    """What ``openssl s_client`` sees from here: the leaf's fingerprint, and its verdict on the chain."""
    command = ["openssl", "s_client", "-connect", f"{address}:443", "-servername", name, "-CAfile", str(root)]
    shown = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    ).stdout
    printed = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=shown,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    verdict = re.search(r"Verify return code: (.*)", shown)
    return printed.partition("=")[2].strip().replace(":", "").lower(), verdict[1] if verdict else "none"


def test_every_host_serves_what_the_ledger_says(fleet: Fleet, deployed: tuple[Path, PlaybookResult]) -> None:
    folder, first = deployed
    ledger = issued(folder)
    root = folder / "store" / "ca" / "internal" / "root-1.pem"

    assert all(stats["changed"] > 0 for stats in first.stats.values())
    assert len(ledger) == 2 * len(fleet.hosts)
    for host in fleet.hosts:
        seen = served(fleet.addresses[host.name], f"{host.name}.test", root)
        assert seen == (ledger[host.name, "www"], "0 (ok)")


def test_every_host_trusts_every_other_and_redirects(fleet: Fleet, deployed: tuple[Path, PlaybookResult]) -> None:
    """Hosts ask each other with no CA but those of their systems: also those of the first batch trust the CA that it brought."""
    for asking in fleet.hosts:
        for asked in fleet.hosts:
            address, name = fleet.addresses[asked.name], f"{asked.name}.test"
            command = f"openssl s_client -connect {address}:443 -servername {name} -verify_hostname {name} -CApath /etc/ssl/certs"
            fleet.exec(asking.name, [*command.split(), "-verify_return_error"])
    for host in fleet.hosts:
        request = f"GET /page HTTP/1.0\r\nHost: {host.name}.test\r\n\r\n"
        answer = fleet.exec(
            host.name, ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/80; cat >&3; cat <&3"], stdin=request
        ).stdout
        assert f"Location: https://{host.name}.test/page" in answer


def test_the_second_run_changes_nothing_and_needs_one_visit(
    fleet: Fleet, deployed: tuple[Path, PlaybookResult]
) -> None:
    folder, _first = deployed
    second = run_playbook("fleet.tls.deploy", fleet.inventory, variables(folder), args=["-vvv"]).check()
    visits = Counter(CONNECTION.findall(second.stdout))

    assert second.changed == 0
    assert set(visits) == set(fleet.addresses.values())
    assert max(visits.values()) == 1


def test_one_visit_when_nothing_is_due_and_two_when_something_is(
    fleet: Fleet, deployed: tuple[Path, PlaybookResult], tmp_path: Path
) -> None:
    folder, _first = deployed
    play = tmp_path / "play.yml"
    play.write_text(ROUND_TRIP_PLAY, encoding="utf-8")
    known = variables(folder)

    nothing = run_playbook(play, fleet.inventory, known, args=["-vvv"]).check()
    forced = run_playbook(play, fleet.inventory, {**known, "tls_force": True}, args=["-vvv"]).check()

    assert nothing.changed == 0
    assert dict.fromkeys(fleet.addresses.values(), 1) == Counter(CONNECTION.findall(nothing.stdout))
    assert forced.changed == len(fleet.hosts)
    assert dict.fromkeys(fleet.addresses.values(), 2) == Counter(CONNECTION.findall(forced.stdout))


def test_keys_are_for_their_owners_only(fleet: Fleet, deployed: tuple[Path, PlaybookResult]) -> None:
    listing = "find -L /etc/fleet-tls/live /srv/mail /etc/fleet-tls/pending -type f -printf %m:%u:%g:%f\\n"
    for host in fleet.hosts:
        modes = fleet.exec(host.name, listing.split()).stdout.split()
        keys = sorted(each for each in modes if "privkey" in each or "output" in each or "mail.pem" in each)
        assert set(keys) == {"600:root:root:privkey.pem", *(each for each in keys if each.startswith("640:root:mail:"))}
        assert "640:root:mail:mail.pem" in keys


def test_a_host_that_cannot_be_reached_costs_the_others_nothing(
    fleet: Fleet, deployed: tuple[Path, PlaybookResult], tmp_path: Path
) -> None:
    folder, _first = deployed
    absent = tmp_path / "absent.yml"
    absent.write_text("all: {hosts: {absent: {ansible_host: 127.0.0.1, ansible_port: 1}}}\n", encoding="utf-8")
    result = run_playbook("fleet.tls.deploy", fleet.inventory, variables(folder), args=["-i", str(absent)])

    assert result.stats["absent"]["unreachable"] == 1
    assert all(result.stats[host.name]["failures"] == 0 and result.stats[host.name]["ok"] > 0 for host in fleet.hosts)
