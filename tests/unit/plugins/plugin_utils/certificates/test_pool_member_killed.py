# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that has a pool's pair renewed, killed at every change it makes to a file: the next one finishes it, and orders nothing again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, parse_pem_chain
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, cheap_scrypt, make_issuer, make_store
from ansible_collections.fleet.tls.tests.unit.support.processes import killed_at

__all__ = ["cheap_scrypt"]

WWW = {"name": "www", "dns_names": ["www.example.com"], "scope": "pool"}
LATER = NOW + 70 * DAY


def run_on(host: HonestHost, store: Path, now: object = LATER) -> str:
    """A run on a host; the fingerprint it has after that."""
    run = run_task(host, {"internal": make_issuer(store)}, WWW, now=now)  # type: ignore[arg-type]
    assert failure(run) is None, str(failure(run))
    return fingerprint(parse_pem_chain("".join(host.live["www"].chain))[0])


@pytest.mark.parametrize("first", [True, False])
def test_killed_anywhere(first: bool, tmp_path: Path) -> None:
    """``first``: the first pair of all; else its renewal."""
    prepared, kills = tmp_path / "prepared", 0
    make_issuer(prepared).prepare(NOW)
    if not first:
        run_on(HonestHost(), prepared, NOW)
    before = len(list(make_store(prepared).issuances()))
    while True:
        store = tmp_path / f"store-{kills}"
        shutil.copytree(prepared, store)
        if not killed_at(lambda store=store: run_on(HonestHost(), store), kills + 1):  # type: ignore[misc]
            break
        kills += 1
        hosts = [HonestHost(), HonestHost()]
        found = {run_on(host, store) for host in hosts}
        assert len(found) == 1 and len(list(make_store(store).issuances())) == before + 1, f"killed at change {kills}"
        pool = Pool(make_store(store), "www")
        current = pool.load().current
        assert current is not None and {fingerprint(current.leaf)} == found and pool.key_of(current)
    assert kills > 10
