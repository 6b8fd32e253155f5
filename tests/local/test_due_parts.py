# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment finds out in one visit a host what there is to do, and does that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import known_looks
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from local.deployment import DeployedHost, Deployment, due

VISIT = "exec(sys.stdin.buffer.read("
ALL = ["certificates", "ca", "trust", "session_tickets", "web_server", "clients"]


def change_configuration(host: DeployedHost) -> None:
    """Somebody edits a file of ours."""
    path = host.nginx.conf / "zz-fleet-tls.conf"
    path.write_text(path.read_text() + "# mine\n")


def change_bundle(host: DeployedHost) -> None:
    """Somebody empties the trust bundle."""
    (host.folder / "bundle.pem").write_text("")


def change_ticket_key(host: DeployedHost) -> None:
    """A ticket key is another one."""
    path = host.tls / "tickets" / "default" / "cur.key"
    path.write_bytes(os.urandom(80))


def change_client(host: DeployedHost) -> None:
    """What the client trusts is gone."""
    (host.folder / "app-ca.pem").unlink()


def change_pair(host: DeployedHost) -> None:
    """A private key that everybody can read."""
    (host.tls / "live" / "other" / "privkey.pem").chmod(0o644)


def change_what_is_served(host: DeployedHost) -> None:
    """nginx was reloaded with another certificate, and the file has been put back."""
    path = host.nginx.conf / "zz-fleet-tls.conf"
    before = path.read_text()
    path.write_text(before.replace("/live/www/", "/live/other/"))
    host.nginx.stop()
    host.nginx.start()
    path.write_text(before)
    assert host.served() == host.live("other")


CHANGES: dict[str, tuple[Callable[[DeployedHost], None], str]] = {
    "configuration": (change_configuration, "web_server"),
    "bundle": (change_bundle, "trust"),
    "ticket": (change_ticket_key, "session_tickets"),
    "client": (change_client, "clients"),
    "pair": (change_pair, "certificates"),
    "served": (change_what_is_served, "web_server"),
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("due"), [*CHANGES, "calm"]).running() as made:
        first = made.deploy().check()
        assert due(first) == dict.fromkeys(made.hosts, ALL)
        # What a host is was not known before, so its server was due without being asked.
        yield made


def test_nothing_to_do_is_one_visit_and_one_task_a_host(deployment: Deployment) -> None:
    again = deployment.deploy("-vvv").check()
    assert due(again) == dict.fromkeys(deployment.hosts, [])
    assert again.changed == 0 and again.stdout.count(VISIT) == len(deployment.hosts)
    ours = [each["action"] for each in again.task_results if each["status"] == "ok"]
    assert ours == ["fleet.tls.due_parts"] * len(deployment.hosts)
    assert deployment.passphrase not in again.stdout + again.stderr


def test_each_change_by_hand_is_found_and_put_right(deployment: Deployment) -> None:
    for name, (change, _part) in CHANGES.items():
        change(deployment.hosts[name])
    wanted = {name: ALL[ALL.index(part) :] for name, (_change, part) in CHANGES.items()} | {"calm": []}
    foretold = deployment.deploy("--check").check()
    assert due(foretold) == wanted
    assert {name for name, each in foretold.stats.items() if each["changed"]} == set(CHANGES)
    assert (deployment.hosts["bundle"].folder / "bundle.pem").read_text() == ""
    repaired = deployment.deploy().check()
    assert due(repaired) == wanted
    assert {name for name, each in repaired.stats.items() if each["changed"]} == set(CHANGES)
    served = deployment.hosts["served"]
    assert served.served() == served.live() != served.live("other")
    assert (deployment.hosts["bundle"].folder / "bundle.pem").read_text().startswith("# CN=internal CA")
    assert due(deployment.deploy().check()) == dict.fromkeys(deployment.hosts, [])


def test_what_is_refused_says_its_own_words(deployment: Deployment) -> None:
    def wrong(name: str, variable: str, **changes: object) -> dict[str, object]:
        first, *rest = deployment.hosts[name].variables()[variable]
        return {variable: [{**first, **changes}, *rest]}

    changes = {
        "configuration": {"tls_web_server": "lighttpd"},
        "bundle": {"tls_prove_timeout": ["x"]},
        "ticket": {"tls_session_timeout": "soon"},
        "client": wrong("client", "tls_clients", certificate="nobody"),
        "pair": wrong("pair", "tls_certificates", issuer="intern"),
        # Nothing has it: not a name that the first run is yet to issue.
        "served": {"tls_sites": [*deployment.hosts["served"].variables()["tls_sites"], site_of_nobody(deployment)]},
    }
    result = deployment.deploy(changes=changes)
    said = {
        each["host"]: str(each["result"]["msg"])
        for each in result.task_results
        if each["status"] in ("failed", "ignored")
    }
    assert (
        "tls_web_server: 'lighttpd' is unknown. Known: nginx, apache, haproxy. Nothing was changed"
        in said["configuration"]
    )
    assert "prove_timeout: what is written there is not a duration" in said["bundle"]
    assert "'soon' is not a duration" in said["ticket"]
    assert "'nobody'" in said["client"]
    assert "'intern' is unknown. Did you mean 'internal'" in said["pair"]
    assert "the certificate 'nobody' is not on this host" in said["served"]
    assert set(said) == set(changes) and result.stats["calm"]["failures"] == 0


def site_of_nobody(deployment: Deployment) -> dict[str, object]:
    """A site whose certificate is not in tls_certificates; on disk everything else is as it should be."""
    return {
        "name": "nobody",
        "server_names": ["nobody.example.com"],
        "certificate": "nobody",
        "listen": [f"127.0.0.1:{deployment.hosts['served'].port}"],
        "root": "/srv",
    }


def test_revocation_lists_that_are_due_are_signed_once_and_given_out(deployment: Deployment) -> None:
    (crl,) = deployment.store.glob("ca/internal/issuing-1.crl")
    before = crl.read_bytes()
    crl.unlink()
    result = deployment.deploy().check()
    assert all(each[0] == "ca" for each in due(result).values()) and crl.read_bytes() != before
    assert sum(bool(each["prepared"]) for each in result.results(action="fleet.tls.ca")) == 1
    lists = {(host.nginx.folder / "fleet-tls" / "clients.crl.pem").read_bytes() for host in deployment.hosts.values()}
    assert len(lists) == 1
    assert due(deployment.deploy().check()) == dict.fromkeys(deployment.hosts, [])


def test_a_client_is_asked_again_after_the_server_of_another_host_has_changed(deployment: Deployment) -> None:
    """It has nothing to do by itself, and another host gets a certificate in this run that it does not trust."""
    calm, both = deployment.hosts["calm"], ("--limit", "client,calm")
    (client,) = deployment.hosts["client"].variables()["tls_clients"]
    endpoint = {"host": "127.0.0.1", "port": calm.guarded, "server_name": calm.domain}
    visits = {**client, "bundle": {**client["bundle"], "issuers": ["internal"]}, "endpoints": [endpoint]}
    common = {"tls_issuers": {"internal": {"type": "ca"}, "other": {"type": "ca"}}, "tls_prove_timeout": "10s"}
    changes: dict[str, dict[str, object]] = {"client": {"tls_clients": [visits]}}
    deployment.deploy(*both, changes=changes, **common).check()
    first, *rest = calm.variables()["tls_certificates"]
    changes["calm"] = {"tls_certificates": [{**first, "issuer": "other"}, *rest]}
    result = deployment.deploy(*both, changes=changes, **common)
    assert due(result) == {"client": [], "calm": ALL}
    assert [result.stats[each]["failures"] for each in ("client", "calm")] == [1, 0], result.stdout
    # For fleet.tls.deploy_due: it was in order until it asked.
    store = load_store({"path": str(deployment.store), "passphrase": deployment.passphrase})
    assert "calm" in known_looks(store) and "client" not in known_looks(store)
    deployment.deploy(*both).check()
    assert "client" in known_looks(store)


TWICE = """
- ansible.builtin.import_playbook: fleet.tls.deploy
- hosts: bundle
  gather_facts: false
  tasks:
    - ansible.builtin.file: {path: "{{ tls_directory }}/../bundle.pem", state: absent}
- ansible.builtin.import_playbook: fleet.tls.deploy
"""


def test_with_any_strategy_no_host_is_left_before_it_was_asked(deployment: Deployment) -> None:
    """What all said in an earlier deployment of the same run is no answer."""
    playbook = deployment.folder / "twice.yml"
    playbook.write_text(TWICE)
    # One after the other: the first knows its answer before the second is asked.
    few = ("--forks", "1", "--limit", "configuration,bundle")
    result = deployment.deploy(*few, playbook=playbook, env={"ANSIBLE_STRATEGY": "free"}).check()
    assert result.stats["bundle"]["changed"] == 2 and (deployment.hosts["bundle"].folder / "bundle.pem").exists()


def test_a_site_whose_certificate_nobody_makes_fails_in_check_mode_with_the_same_words(deployment: Deployment) -> None:
    sites = deployment.hosts["calm"].variables()["tls_sites"]
    changes = {"calm": {"tls_sites": [*sites, {**sites[0], "name": "forgotten", "certificate": "forgotten"}]}}
    said = []
    for args in (("--check",), ()):
        result = deployment.deploy("--limit", "calm", *args, changes=changes)
        assert result.rc != 0 and result.changed == 0
        said += [each["result"]["msg"] for each in result.task_results if each["status"] == "failed"]
    assert said[0] == said[1] and "the certificate 'forgotten' is not on this host" in said[0]


def test_a_warning_of_the_ca_is_said_though_the_host_that_asked_is_away(deployment: Deployment) -> None:
    (crl,) = deployment.store.glob("ca/internal/issuing-1.crl")
    before = crl.read_bytes()
    crl.unlink()
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0}
    changes = {name: away for name in deployment.hosts if name != "calm"}
    result = deployment.deploy(changes=changes, tls_store={"path": str(deployment.store)})
    assert "passphrase" in "".join(result.results(action="fleet.tls.ca", host="calm")[0]["warnings"])
    crl.write_bytes(before)


def test_another_host_under_the_same_name_is_noticed(deployment: Deployment) -> None:
    entry = deployment.store / "hosts" / "calm.json"
    known = json.loads(entry.read_text())
    entry.write_text(json.dumps({**known, "openssl": [1, 1, 1]}))
    assert due(deployment.deploy("--check").check())["calm"] == ALL
    assert json.loads(entry.read_text())["openssl"] == [1, 1, 1]
    assert deployment.deploy().check().changed == 0
    assert json.loads(entry.read_text()) == known
    assert due(deployment.deploy().check())["calm"] == []


def test_a_host_that_cannot_be_reached_is_unreachable_and_the_others_go_on(deployment: Deployment) -> None:
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0}
    result = deployment.deploy(changes={"calm": away})
    assert result.rc == 4 and result.stats["calm"]["unreachable"] == 1
    assert not any(each["failures"] or each["unreachable"] for name, each in result.stats.items() if name != "calm")


def test_a_start_at_a_later_task_does_all_that_follows(deployment: Deployment) -> None:
    result = deployment.deploy("--start-at-task", "Install the trust anchors").check()
    actions = {each["action"] for each in result.task_results}
    assert {"fleet.tls.trust_bundle", "fleet.tls.service_config", "fleet.tls.clients"} <= actions
    assert "fleet.tls.due_parts" not in actions and result.changed == 0
