# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook fleet.tls.rotate_acme_account, whole: Pebble, a managed nginx that answers its challenges, freezes and kills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acme_servers.hosts import AcmeHosts, acme_hosts
from acme_servers.servers import Pair
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient, Payload
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.acme import AcmeIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.store.directory import DirectoryStore
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from local.hosts import entry
from tools.playbook import PlaybookResult, run_playbook

ROTATE = "fleet.tls.rotate_acme_account"
# Of the user's own: the role's snippet is the answer to challenges.
ANSWERS = """\
server {{
    listen 127.0.0.1:{port};
    include {folder}/snippets/fleet-tls-acme*.conf;
}}
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> Iterator[AcmeHosts]:
    """The first host does not know the issuer, the second has its certificate from it; both are deployed."""
    with acme_hosts(tmp_path_factory.mktemp("accounts"), pair, {"app0": ["www0"], "web1": ["www1"]}) as hosts:
        with NginxService(hosts.folder / "answers") as nginx:
            (nginx.conf / "theirs.conf").write_text(ANSWERS.format(port=hosts.http, folder=nginx.folder))
            nginx.start()
            run(hosts, "fleet.tls.deploy").check()
            yield hosts


def inventory(hosts: AcmeHosts, **common: Any) -> Path:
    nginx = NginxService(hosts.folder / "answers")
    internal = {"internal": {"type": "ca"}}
    changes = {
        "app0": {"tls_issuers": internal, "tls_certificates": [hosts["app0"].certificate(services=[])]},
        "web1": {
            "tls_issuers": {**internal, "public": hosts.issuer()},
            "tls_certificates": [hosts["web1"].certificate(services=[], issuer="public")],
            "tls_nginx": True,
            "tls_nginx_directory": str(nginx.folder),
            "tls_nginx_service": nginx.described(),
        },
    }
    return hosts.inventory(changes, **{"tls_trust_system": False, "tls_rotate_issuer": "public", **common})


def run(hosts: AcmeHosts, playbook: str, *args: str, **common: Any) -> PlaybookResult:
    return run_playbook(playbook, inventory(hosts, **common), args=args)


def client(hosts: AcmeHosts) -> AcmeClient:
    """One that signs with the key which is in the store now."""
    options = {key: value for key, value in hosts.issuer().items() if key != "type"}
    store = DirectoryStore({key: value for key, value in hosts.store_options().items() if key != "type"})
    return AcmeIssuer("public", options, store).accounts.client()[0]


def record(hosts: AcmeHosts) -> dict[str, Any]:
    return dict(json.loads((hosts.store / "acme/public/account.json").read_text()))


def answered(hosts: AcmeHosts) -> str:
    """What nginx answers challenges with."""
    return (hosts.folder / "answers/snippets/fleet-tls-acme.conf").read_text()


def rollovers(hosts: AcmeHosts) -> int:
    return len(hosts.proxy.accepted("/rollover"))


def test_a_freeze_and_check_mode_change_nothing(hosts: AcmeHosts) -> None:
    before, made = record(hosts), rollovers(hosts)
    foreseen = run(hosts, ROTATE, "--check").check()
    (task,) = [each for each in foreseen.results(action="fleet.tls.ca") if each.get("prepared")]
    assert task["prepared"] == {"public": "the account of 'public' gets a new key"} and task["changed"]
    held = run(hosts, ROTATE, tls_freeze=[{"until": "2100-01-01", "reason": "holidays"}]).check()
    assert "waits until 2100-01-01T00:00:00Z: a freeze (holidays)" in str(
        held.results(task="Say what waits for a maintenance window")
    )
    assert held.changed == 0 and held.stats["web1"]["failures"] == 0
    unknown = run(hosts, ROTATE, tls_rotate_issuer="other")
    assert unknown.rc != 0 and "no host has 'other' in its tls_issuers. Nothing was changed" in unknown.stdout
    assert (record(hosts), rollovers(hosts)) == (before, made)


def test_a_new_key_and_a_certificate_that_is_due_at_once(hosts: AcmeHosts) -> None:
    """The servers learn of the new key in the run that makes it; a renewal waits for that, and the old key is worth nothing."""
    before, former, first = record(hosts), client(hosts), hosts["web1"].on_disk()
    renewed = run(hosts, ROTATE, tls_force=["www1"]).check()
    after = record(hosts)
    assert after["url"] == before["url"] and after["thumbprint"] != before["thumbprint"] and not after["successor"]
    assert after["thumbprint"] in answered(hosts) and before["thumbprint"] not in answered(hosts)
    assert hosts["web1"].on_disk() != first and entry(renewed, "www1")["installed"]
    # The very request that the new key may make.
    request = Payload({"contact": ["mailto:tls@example.com"]})
    with pytest.raises(IssuerError):
        former.network.send(after["url"], request)
    assert former.find() is None and client(hosts).network.send(after["url"], request)
    assert run(hosts, "fleet.tls.deploy").check().changed == 0


def test_killed_after_the_ca_said_yes(hosts: AcmeHosts) -> None:
    """A change that has begun is finished, in a freeze too."""
    before, first = record(hosts), hosts["web1"].on_disk()
    hosts.killed_at("/rollover", ROTATE, inventory(hosts))
    begun = record(hosts)
    assert begun["thumbprint"] == before["thumbprint"] and begun["successor"]
    run(hosts, ROTATE, tls_freeze=True, tls_force=["www1"]).check()
    after = record(hosts)
    assert (after["url"], after["thumbprint"], after["successor"]) == (before["url"], begun["successor"], None)
    assert after["thumbprint"] in answered(hosts) and hosts["web1"].on_disk() != first


def test_another_account_is_a_repair(hosts: AcmeHosts) -> None:
    """As the error of a deactivated account says; no freeze holds it up."""
    before, first, present = record(hosts), hosts["web1"].on_disk(), client(hosts)
    present.network.send(before["url"], Payload({"status": "deactivated"}))
    failed = run(hosts, "fleet.tls.deploy", tls_force=["www1"])
    assert failed.rc != 0 and f"{ROTATE} -e tls_rotate_issuer=public -e tls_new_acme_account=true" in failed.stdout
    run(hosts, ROTATE, tls_freeze=True, tls_force=["www1"], tls_new_acme_account=True).check()
    after = record(hosts)
    assert after["url"] != before["url"] and after["thumbprint"] in answered(hosts)
    assert hosts["web1"].on_disk() != first
