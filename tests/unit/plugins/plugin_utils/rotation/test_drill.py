# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill's copies reach nothing that is served, and its estimate."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation import drill_folder
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.drill import Measured, Stand, throw_away_issuers

STAND = Stand("/etc/fleet-tls")
WWW = {
    "name": "www",
    "issuer": "internal",
    "dns_names": ["www.example.com"],
    "renew_before": "30d",
    "adopt": {"certificate": "/a", "private_key": "/b"},
    "outputs": [{"path": "/etc/haproxy/www.pem", "format": "combined"}],
    "services": ["nginx", {"name": "gate", "reload": ["gate", "-r"], "endpoints": ["127.0.0.1:1"]}],
}


def test_a_certificate_is_written_elsewhere_and_nobody_is_reloaded_or_asked_for_it() -> None:
    (copy,) = STAND.certificates([WWW, {"name": "old", "state": "absent"}])
    assert copy == {
        "name": "www",
        "issuer": "internal",
        "dns_names": ["www.example.com"],
        "outputs": [{"path": "/etc/fleet-tls.drill/files/etc/haproxy/www.pem", "format": "combined"}],
        "services": [
            {"name": "nginx", "endpoints": [], "reload": "none"},
            {"name": "gate", "endpoints": [], "reload": "none"},
        ],
    }
    (reloaded,) = Stand("/etc/fleet-tls", reload=True).certificates([WWW])
    assert [each.get("reload") for each in reloaded["services"]] == [None, ["gate", "-r"]]


def test_files_of_bundles_and_clients_are_the_drills_own() -> None:
    assert STAND.bundles([{"path": "/etc/ca.pem", "mode": "0640"}]) == [
        {"path": "/etc/fleet-tls.drill/files/etc/ca.pem", "mode": "0640"}
    ]
    clients = [{"certificate": "app", "bundle": {"path": "/srv/ca.pem"}, "endpoints": ["db:5432"]}]
    assert STAND.clients(clients) == [
        {"certificate": "app", "bundle": {"path": "/etc/fleet-tls.drill/files/srv/ca.pem"}}
    ]


@pytest.mark.parametrize("path", ["/etc/../../../etc/ca.pem", "../ca.pem"])
def test_a_path_that_goes_up_is_refused(path: str) -> None:
    with pytest.raises(SpecError, match=r"'\.\.'"):
        STAND.bundles([{"path": path}])


def test_issuers_are_thrown_away_and_bring_no_secret() -> None:
    raw = {
        "internal": {"type": "ca", "duration": "30d", "root": {"certificate": "/r.pem", "key": "/r.key"}},
        "public": {"type": "acme", "directory_url": "https://acme.example.com", "eab": {"hmac_key": "secret"}},
    }
    assert throw_away_issuers(raw) == {"internal": {"type": "ca", "duration": "30d"}, "public": {"type": "ca"}}


def test_the_estimate_is_for_all_hosts_and_for_a_first_host_alone() -> None:
    seconds = {"first issue": 9.0, "prepare": 2.0, "activate": 4.0}
    shown = Measured(seconds, ["a", "b", "c"], 4, {"c": "no space"})
    assert shown.estimate(["prepare", "activate"], "activate") == (12.0, 16.0)
    lines = shown.lines("fleet.tls.rotate_ca", ["prepare", "activate"], "activate", check=False)
    assert lines[:2] == [
        "3 of 4 hosts took part in the drill of fleet.tls.rotate_ca, 2 came through",
        "c would fail: no space",
    ]
    assert "fleet.tls.rotate_ca would take 12 to 16 s for 4 hosts" in lines
    nobody = Measured(seconds, ["c"], 1, {"c": "no space"})
    assert nobody.estimate(["prepare", "activate"], "activate") is None


def test_only_folders_of_runs_that_are_no_more_are_removed(tmp_path: Path) -> None:
    mine, dead, alive, stranger = (tmp_path / each for each in ("mine", "dead", "alive", "stranger"))
    for folder in (mine, dead, alive):
        folder.mkdir()
        made = drill_folder.make(folder)
        assert os.stat(made["passphrase_file"]).st_mode & 0o077 == 0
        assert drill_folder.make(folder) == made
    (stranger / drill_folder.NAME).mkdir(parents=True)
    run = dead / drill_folder.NAME / drill_folder.RUN
    run.write_text(json.dumps({**json.loads(run.read_text()), "started": "another process of this number"}))
    drill_folder.remove(mine)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["alive", "mine", "stranger"]
    assert not list(mine.iterdir()) and list(alive.iterdir()) and list(stranger.iterdir())
