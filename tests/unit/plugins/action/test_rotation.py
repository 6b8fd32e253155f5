# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action import ca, certificates, rotation
from ansible_collections.fleet.tls.plugins.module_utils.steps.prove import prove_step
from ansible_collections.fleet.tls.plugins.plugin_utils.base.gathering import gathered
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.record import Record
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import Runner
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    PASSPHRASE,
    cheap_scrypt,
    make_issuer,
    make_store,
    snapshot,
)

__all__ = ["cheap_scrypt"]

TASKS = ["fleet_tls_proof", "fleet_tls_result"]


class Unread(Mapping[str, Any]):
    """``hostvars``, which the module leaves alone: what it has to know of other hosts is handed to it."""

    def __getitem__(self, host: str) -> Any:
        raise AssertionError(f"hostvars[{host!r}] was read")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all of hostvars was read")

    __len__ = None  # type: ignore[assignment]


class Site:
    """Two hosts of an inventory, one bundle file, and a store."""

    def __init__(self, folder: Path) -> None:
        self.store, self.bundle = folder / "store", folder / "bundle.pem"
        self.hosts = {name: HonestHost() for name in ("web1", "web2")}
        self.results: dict[str, dict[str, Any]] = {name: {} for name in self.hosts}
        make_issuer(self.store).prepare(rotation.ActionModule.now())
        self.distribute()

    def distribute(self) -> None:
        """What the role trust does."""
        self.bundle.write_text(make_trust(self.store))

    def variables(self, host: str) -> dict[str, Any]:
        each = {"tls_issuers": {"internal": {"type": "ca"}}, "tls_certificates": [{"name": "www"}]}
        known = {name: {**each, **self.results[name]} for name in self.hosts}
        return {
            "inventory_hostname": host, "groups": {"all": [*self.hosts, "printer"]}, "ansible_play_hosts_all": list(self.hosts),
            "gathering": {**known, "printer": {}}, "hostvars": Unread(),
        }  # fmt: skip

    def options(self, extra: str) -> str:
        lines = [
            f"store: {{path: {self.store}, passphrase: {PASSPHRASE}}}",
            "issuers: {internal: {type: ca}}",
            "certificates: [{name: www, issuer: internal, dns_names: [www.example.com]}]",
        ]
        return "\n".join(lines) + f"\n{extra}\n"

    def run(self, state: str, host: str = "web1", extra: str = "", check: bool = False) -> dict[str, Any]:
        """The task on a host; its proof is made with the real step, and the certificates of a host in memory."""
        memory = self.hosts[host]

        class OnHost(rotation.ActionModule):
            def step(
                self,
                step: str,
                request: Mapping[str, Any],
                variables: dict[str, Any],
                secrets: Mapping[str, str] | None = None,
            ) -> dict[str, Any]:
                assert step == "prove" and set(secrets or {}) == {each["name"] for each in request["canaries"]}
                plain = json.loads(json.dumps(request))
                plain["look"]["certificates"], plain["look"]["services"] = [], []
                plain["patience"] = 0
                memory.clock = self.now().timestamp()
                _changed, answer = prove_step(plain, secrets or {})
                return {**answer, **memory.look(request["look"])}

        extra = f"state: {state}\n{extra}\nbundles: [{{path: {self.bundle}}}]"
        variables = self.variables(host)
        if state != "proven":
            what = "tls_certificates" if "rotation: keys" in extra else "tls_issuers"
            known = variables["gathering"]
            extra += f"\ninventory: {json.dumps(gathered(known, what, variables['groups']['all'], 'names'))}"
            extra += f"\nfailures: {json.dumps(gathered(known, TASKS, self.hosts, 'failure'))}"
        return run_action(OnHost, self.options(extra), variables, check_mode=check)

    def reissue(self, *hosts: str) -> None:
        """What the role certificates does."""
        for name in hosts:
            memory = self.hosts[name]

            class OnHost(certificates.ActionModule):
                def step(
                    self,
                    step: str,
                    request: Mapping[str, Any],
                    variables: dict[str, Any],
                    secrets: Mapping[str, str] | None = None,
                ) -> dict[str, Any]:
                    memory.clock = self.now().timestamp()  # noqa: B023
                    answer = memory.look(request) if step == "look" else memory.apply(request, secrets or {})  # noqa: B023
                    return dict(answer)

            run_action(OnHost, self.options(""), self.variables(name))

    def prove(self, *hosts: str, **options: Any) -> None:
        for host in hosts:
            self.run("proven", host, **options)


def make_trust(store: Path) -> str:
    result = run_action(
        ca.ActionModule,
        f"store: {{path: {store}, passphrase: {PASSPHRASE}}}\nissuers: {{internal: {{type: ca}}}}",
    )
    return str(result["issuers"]["internal"]["anchors"])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.reissue("web1", "web2")
    return made


def test_all_stages(site: Site) -> None:
    assert site.run("begun")["stage"] == "prepare"
    site.distribute()
    site.prove("web1", "web2")
    advanced = site.run("advanced")
    assert advanced.pop("stage_seconds").keys() == {"prepare"}
    assert advanced == {
        "changed": True, "stage": "activate", "next": "retire", "begun_at": site.run("shown")["begun_at"], "names": [],
        "proven": [], "held_back_by": ["web1", "web2"], "left_behind": {}, "deferred": None,
    }  # fmt: skip
    site.reissue("web1", "web2")
    site.prove("web1", "web2")
    assert site.run("advanced")["stage"] == "retire"
    site.distribute()
    site.prove("web1", "web2")
    assert site.run("advanced")["stage"] == "done"
    assert make_issuer(site.store).rollover().state().trusted == ("root-2",)
    assert site.run("proven")["stage"] == "done"


def test_a_host_that_does_not_trust_the_new_ca_has_proven_nothing(site: Site) -> None:
    site.run("begun")
    with pytest.raises(
        AnsibleActionFail, match="web1: it has not proven the stage 'prepare': .*bundle.pem does not trust the new CA"
    ):
        site.run("proven")
    assert site.run("shown")["proven"] == []
    site.distribute()
    site.prove("web1", "web2")
    # It is asked again, and does not any more.
    site.bundle.write_text(site.bundle.read_text()[: site.bundle.read_text().index("-----END") + 26])
    with pytest.raises(AnsibleActionFail):
        site.run("proven", "web2")
    with pytest.raises(
        AnsibleActionFail, match="the rotation of the CA 'internal' stays at 'prepare', held back by web2"
    ):
        site.run("advanced")


def test_hosts_are_named_with_what_is_known_of_them(site: Site) -> None:
    site.run("begun")
    site.distribute()
    site.results["web1"] = {"fleet_tls_result": {"failed": True, "msg": "no rights"}}
    site.results["web2"] = {"fleet_tls_proof": {"unreachable": True, "msg": "Failed to connect"}}
    with pytest.raises(
        AnsibleActionFail, match=r"held back by web1 \(failed: no rights\), web2 \(unreachable: Failed to connect\)"
    ):
        site.run("advanced")
    assert make_issuer(site.store).rollover().state().root == "root-1"


def test_a_proof_does_not_grow_with_the_inventory(site: Site) -> None:
    site.run("begun")
    site.distribute()
    assert set(site.run("proven")) == {"changed", "stage", "next", "begun_at", "problems"}


@pytest.mark.parametrize("state", ["begun", "advanced"])
def test_who_has_to_prove_it_is_handed_over(site: Site, state: str) -> None:
    options = site.options(f"state: {state}")
    with pytest.raises(AnsibleActionFail, match=f"inventory: the state '{state}' needs it"):
        run_action(rotation.ActionModule, options, site.variables("web1"))


def test_left_behind_by_name(site: Site) -> None:
    site.run("begun")
    site.distribute()
    site.prove("web1")
    after = site.run("advanced", extra="leave_behind: [web2]")
    assert after["stage"] == "activate" and after["left_behind"] == {"web2": "prepare"}


def test_begun_again_it_goes_on(site: Site) -> None:
    first = site.run("begun")
    again = site.run("begun")
    assert again["begun_at"] == first["begun_at"] and not again["changed"]
    assert "of an earlier run continues at 'prepare'" in again["warnings"][0]
    assert make_issuer(site.store).rollover().state().successor == ("root-2", "issuing-2")


def test_two_at_once(site: Site) -> None:
    site.run("begun")
    Record(make_store(site.store), "ca-internal").change(
        lambda present: present.taken_by(Runner("elsewhere", 1, ""), present.seen)  # type: ignore[union-attr]
    )
    for state in ("begun", "proven", "advanced"):
        with pytest.raises(AnsibleActionFail, match="another run drives the rotation of the CA 'internal'"):
            site.distribute()
            site.run(state)
    assert site.run("begun", extra="take_over: true")["stage"] == "prepare"


def test_check_mode_tells_and_changes_nothing(site: Site) -> None:
    before = snapshot(site.store)
    nothing = {"changed": False, "stage": "none", "next": "prepare", "held_back_by": [], "deferred": None}
    assert site.run("begun", check=True) == nothing
    assert snapshot(site.store) == before
    site.run("begun")
    before = snapshot(site.store)
    assert "does not trust the new CA" in site.run("proven", check=True)["problems"][0]
    told = site.run("advanced", check=True)
    assert told["stage"] == "prepare" and not told["changed"]
    assert told["warnings"] == ["'activate' is next, held back by web1 (not proven yet), web2 (not proven yet)"]
    assert snapshot(site.store) == before


def test_keys(site: Site) -> None:
    later = "rotation: keys\n"
    begun = site.run("begun", extra=later + "names: [www]")
    assert begun["stage"] == "rekey" and begun["names"] == ["www"]
    record = Record(make_store(site.store), "keys")
    record.change(lambda present: dataclasses.replace(present, begun_at=present.begun_at + 60))  # type: ignore[type-var]
    with pytest.raises(
        AnsibleActionFail, match="has not proven the stage 'rekey': certificate 'www': its key is in use since"
    ):
        site.run("proven", extra=later)
    record.change(lambda present: dataclasses.replace(present, begun_at=present.begun_at - 3600))  # type: ignore[type-var]
    for host in site.hosts:
        site.run("proven", host, extra=later)
    assert site.run("advanced", extra=later)["stage"] == "done"


def test_without_a_rotation(site: Site) -> None:
    assert site.run("shown")["stage"] == site.run("proven")["stage"] == "none"
    with pytest.raises(AnsibleActionFail, match="no rotation is under way"):
        site.run("advanced")


def test_no_secret_comes_back(site: Site) -> None:
    site.run("begun")
    site.distribute()
    assert "PRIVATE" not in str(site.run("proven")) + str(site.run("shown"))
