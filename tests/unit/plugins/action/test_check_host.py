# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All looks at a host share one visit, and what one of them fails with costs no other. Whole runs: tests/local/test_check.py."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.template import trust_as_template

from ansible_collections.fleet.tls.plugins.action import check_host
from ansible_collections.fleet.tls.plugins.module_utils.host_module import answer_of
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts import steps
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, tls_server

MODULES = "ansible_collections.fleet.tls.plugins.modules."


class Host:
    """This machine, asked without a connection.

    :param visits: the steps that it was asked for.
    :param fails: step → what asking for it ends with.
    """

    def __init__(self) -> None:
        self.visits: list[str] = []
        self.fails: dict[str, Any] = {}

    def result_of(self, step: str, request: Any, _variables: Any, secrets: Any, _limit: float) -> Any:
        self.visits.append(step)
        failure = self.fails.get(step)
        if isinstance(failure, Exception):
            raise failure
        if failure:
            return failure
        module = importlib.import_module(MODULES + steps.MODULE_OF[step].rpartition(".")[2])
        sent = json.loads(json.dumps(request))
        return json.loads(json.dumps(answer_of(module.STEPS, step, sent, dict(secrets))))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(
        steps.HostSteps, "result_of", lambda _action, *arguments: made.result_of(*arguments), raising=True
    )
    return made


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Authority(tmp_path_factory.mktemp("ca")).issue("www", "DNS:www.example.com")


@pytest.fixture(scope="module")
def endpoint(pair: Pair) -> Iterator[str]:
    """Where the pair is served."""
    with tls_server(pair) as address:
        yield f"{address.host}:{address.port}"


def look(when: Any = True, **options: Any) -> dict[str, Any]:
    """One of the playbook's looks."""
    return {"when": trusted(when), "options": {name: trusted(value) for name, value in options.items()}}


def trusted(value: Any) -> Any:
    """A template as one in a playbook is."""
    return trust_as_template(value) if isinstance(value, str) else value


def checked(folder: Path, variables: dict[str, Any] | None = None, options: str = "{}", **looks: Any) -> dict[str, Any]:
    """What the action returns; files are looked for in the folder."""
    files = look(paths=[str(folder)], directory=str(folder / "tls"))
    left = {"left_over": look(directory=str(folder / "tls"))} if (folder / "tls").exists() else {}
    return run_action(
        check_host.ActionModule,
        options,
        {"fleet_tls_check_looks": {"files": files, **left, **looks}, **(variables or {})},
    )


def shown(result: dict[str, Any], name: str) -> list[str]:
    """What a look has seen: paths, or endpoints."""
    return [
        each.get("path") or each["endpoint"]
        for each in result["looks"][name].get("files") or result["looks"][name]["endpoints"]
    ]


@pytest.fixture
def folder(tmp_path: Path, pair: Pair) -> Path:
    """One with a certificate in it."""
    (tmp_path / "found.pem").write_text(pair.pem)
    return tmp_path


def test_one_visit_for_everything(host: Host, folder: Path, endpoint: str) -> None:
    result = checked(
        folder,
        {"place": endpoint},
        site_list=look("{{ [place] }}", fleet_tls_check_sites="{{ [place] }}"),
        sites=look("{{ fleet_tls_check_sites }}", endpoints="{{ fleet_tls_check_sites }}", origin="host"),
        endpoints=look(endpoints=[endpoint, "127.0.0.1:1"], origin="host"),
    )
    assert host.visits == ["inspect"]
    assert shown(result, "files") == [str(folder / "found.pem")]
    assert shown(result, "sites") == [endpoint] and shown(result, "endpoints") == [endpoint, "127.0.0.1:1"]
    assert result["looks"]["sites"]["endpoints"][0]["certificates"][0]["dns_names"] == ["www.example.com"]
    assert result["wanted"] == [endpoint] and result["changed"] is False
    skipped = {name for name, each in result["looks"].items() if each.get("skipped")}
    assert skipped == {"certificates", "left_over", "site_list", "site_clashes"}


def test_what_is_left_over_is_looked_at_in_the_same_visit(host: Host, folder: Path) -> None:
    (folder / "tls" / "generations" / "gone" / "1").mkdir(parents=True)
    result = checked(folder)
    assert host.visits == ["inspect"]
    assert [(each["kind"], each["name"]) for each in result["looks"]["left_over"]["left_over"]] == [
        ("certificate", "gone")
    ]


def test_the_controller_asks_for_itself(host: Host, folder: Path, endpoint: str) -> None:
    result = checked(folder, endpoints=look(endpoints=[endpoint], origin="controller"))
    assert host.visits == ["inspect"] and shown(result, "endpoints") == [endpoint]


@pytest.mark.parametrize(("when", "taken"), [("{{ some }}", True), ("{{ none }}", False), (None, None), (7, None)])
def test_a_list_with_nothing_in_it_is_nothing_to_look_at(
    host: Host, folder: Path, when: Any, taken: bool | None
) -> None:
    result = checked(folder, {"some": ["x"], "none": []}, files=look(when, paths=[str(folder)]))["looks"]["files"]
    assert result.get("skipped", False) is (taken is False) and result.get("failed", False) is (taken is None)
    assert host.visits == (["inspect"] if taken else [])


def test_nothing_to_look_at_is_no_visit(host: Host, folder: Path) -> None:
    result = checked(folder, files=look(False))
    assert host.visits == [] and all(each["skipped"] for each in result["looks"].values())


def test_who_cannot_be_reached_is_asked_nothing_more(host: Host, folder: Path, endpoint: str) -> None:
    host.fails["inspect"] = AnsibleConnectionFailure("no route to web1")
    result = checked(
        folder,
        sites=look(endpoints=[endpoint], origin="host"),
        endpoints=look(endpoints=[endpoint], origin="controller"),
    )
    away = {"changed": False, "unreachable": True, "msg": "Task failed: no route to web1"}
    assert result["looks"]["files"] == result["looks"]["sites"] == away
    assert result["looks"]["endpoints"]["skipped"] and host.visits == ["inspect"]


def test_one_that_fails_costs_no_other(host: Host, folder: Path, endpoint: str) -> None:
    result = checked(
        folder,
        certificates=look(store="{{ tls_store }}", certificates=[]),
        sites=look(endpoints=["no port"], origin="host"),
        endpoints=look(endpoints=[endpoint], origin="host", timeout="{{ nobody | default(omit) }}"),
    )
    looks = result["looks"]
    assert looks["certificates"]["msg"] == (
        "Task failed: Finalization of task args for 'fleet.tls.certificates' failed: Error while resolving value for"
        " 'store': 'tls_store' is undefined"
    )
    assert looks["sites"]["failed"] and looks["sites"]["error"]["message"] in looks["sites"]["msg"]
    assert looks["sites"]["msg"].startswith("web1: ")
    assert shown(result, "files") and shown(result, "endpoints") and host.visits == ["inspect"]


def test_sites_that_cannot_be_understood_are_not_asked_for(host: Host, folder: Path) -> None:
    after = look("{{ fleet_tls_check_sites }}", endpoints="{{ fleet_tls_check_sites }}", origin="host")
    result = checked(folder, site_list=look([1], fleet_tls_check_sites="{{ [1] | fleet.tls.sites }}"), sites=after)
    assert "tls_sites" in result["looks"]["site_list"]["msg"] and result["looks"]["site_list"]["failed"]
    assert result["looks"]["sites"]["skipped"] and result["wanted"] == [] and host.visits == ["inspect"]


def test_nothing_is_ever_changed(host: Host, folder: Path) -> None:
    """Even a look that would, in a run that is not in check mode."""
    path = folder / "site.conf"
    service = {"name": "any", "reload": ["true"]}
    file = {"path": str(path), "content": "hello"}
    result = checked(folder, site_clashes=look(service=service, files=[file], directory=str(folder / "tls")))
    assert result["looks"]["site_clashes"]["changed_paths"] == [str(path)] and not result["changed"]
    assert not path.exists() and host.visits == ["inspect"]
    assert "diff" not in result["looks"]["site_clashes"]


@pytest.mark.parametrize("reachable", [True, False])
def test_one_host_reads_the_store_for_all(host: Host, folder: Path, reachable: bool) -> None:
    if not reachable:
        host.fails["inspect"] = AnsibleConnectionFailure("no route to web1")
    store = look(store={"type": "directory", "path": str(folder / "store")}, issuers={"internal": {"type": "ca"}})
    result = checked(folder, options="{keeper: web1, fail_on: never, reports: true}", store=store)
    assert list(result["store"]["issuers"]) == ["internal"] and host.visits == ["inspect"]
    assert (result["fail_on"], result["reports"]) == ("never", True)
    assert "store" not in checked(folder, options="{keeper: web2}", store=store)
    wrong = look(store={"type": "paper"}, issuers={})
    assert "'paper'" in checked(folder, options="{keeper: web1}", store=wrong)["store"]["error"]["message"]


def test_passphrases_travel_by_themselves(host: Host, folder: Path, endpoint: str) -> None:
    files = look(paths=[str(folder)], passphrases=["hunter2 and more"])
    result = checked(folder, files=files, endpoints=look(endpoints=[endpoint], origin="host"))
    assert host.visits == ["inspect", "files"] and shown(result, "files") and shown(result, "endpoints")
    assert "hunter2" not in json.dumps(result, default=str)


def test_a_visit_that_fails_as_a_whole_is_made_one_by_one(host: Host, folder: Path, endpoint: str) -> None:
    """A look that crashes there ends the program that takes all of them."""
    host.fails |= {"inspect": {"failed": True, "msg": "out of memory"}, "files": {"failed": True, "msg": "too many"}}
    result = checked(folder, endpoints=look(endpoints=[endpoint], origin="host"))
    assert host.visits == ["inspect", "files", "handshake"]
    assert result["looks"]["files"]["error"]["message"] == "step 'files' failed: too many"
    assert shown(result, "endpoints") == [endpoint]


def test_who_goes_away_between_two_visits(host: Host, folder: Path, endpoint: str) -> None:
    host.fails |= {"inspect": {"failed": True, "msg": "killed"}, "files": AnsibleConnectionFailure("gone")}
    result = checked(folder, endpoints=look(endpoints=[endpoint], origin="controller"))
    assert result["looks"]["files"]["unreachable"] and result["looks"]["endpoints"]["skipped"]
    assert host.visits == ["inspect", "files"]


@pytest.mark.parametrize("certificates_hang", [True, False])
def test_a_host_that_hangs_is_not_waited_for_with_each_look(
    host: Host, folder: Path, endpoint: str, certificates_hang: bool
) -> None:
    """A look that hangs for itself, as a search in a folder that is away, costs no other."""
    late = {"failed": False, "answer": {"error": {"code": "too_slow", "message": "too slow", "remedy": "see why"}}}
    host.fails |= {"inspect": late, "look" if certificates_hang else "files": late}
    store = {"type": "directory", "path": str(folder / "store")}
    wanted = {"name": "www", "issuer": "internal", "dns_names": ["www.example.com"]}
    result = checked(
        folder,
        certificates=look(
            store=store,
            issuers={"internal": {"type": "ca"}},
            certificates=[wanted],
            directory=str(folder / "tls"),
        ),
        sites=look(endpoints=[endpoint], origin="host"),
        endpoints=look(endpoints=[endpoint], origin="controller"),
    )["looks"]
    assert shown({"looks": result}, "endpoints") == [endpoint]
    assert result["certificates" if certificates_hang else "files"]["error"]["message"] == "too slow"
    if certificates_hang:
        assert host.visits == ["inspect", "look"] and result["files"]["skipped"] and result["sites"]["skipped"]
    else:
        assert host.visits == ["inspect", "look", "files", "handshake"]
        assert shown({"looks": result}, "sites") == [endpoint] and result["certificates"]["certificates"]


@pytest.mark.parametrize("known", [None, {"family": "redhat"}, {"family": "debian"}])
def test_variables_that_ask_what_the_host_is(
    host: Host, folder: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, known: Any
) -> None:
    """It says so in the very visit that they are for."""

    class Told(TlsAction):
        def act(self, options: Any, variables: Any) -> dict[str, Any]:
            return {"changed": False, "ansible_facts": {"fleet_tls_host": {"family": "debian"}}}

    monkeypatch.setitem(check_host.ACTIONS, "certificates", (Told, "fleet.tls.certificates"))
    places = {"debian": [endpoint], "redhat": ["127.0.0.1:1"]}
    result = checked(
        folder,
        {"places": places, "ansible_facts": {"fleet_tls_host": known} if known else {}},
        certificates=look(),
        sites=look(endpoints="{{ places[ansible_facts.fleet_tls_host.family] }}", origin="host"),
    )
    assert shown(result, "sites") == [endpoint]
    assert host.visits == (["inspect"] if known == {"family": "debian"} else ["inspect", "handshake"])
    assert result["ansible_facts"] == {"fleet_tls_host": {"family": "debian"}}
    assert "ansible_facts" not in result["looks"]["certificates"]
