# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the parts when the visit that they share fails, and what is noted of the host. Whole runs: tests/local/test_due_parts.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.template import trust_as_template

from ansible_collections.fleet.tls.plugins.action import ca, due_parts
from ansible_collections.fleet.tls.plugins.action.due_parts import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import LastLook, known_looks
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.parts import PARTS
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.limits import TOO_SLOW
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import Question, SharedTask
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE


def visited(error: Exception) -> SharedTask:
    """A part's task, after a visit that failed."""

    class Failing(ActionModule):
        def __init__(self) -> None:
            """Nothing of a task is needed."""

        def step(self, *_arguments: Any, **_named: Any) -> dict[str, Any]:
            raise error

    task = SharedTask(lambda ask: ask(Question("look", {})))
    Failing().visit([task], {})
    return task


def test_an_error_is_what_each_part_gets_for_an_answer() -> None:
    error = HostError("no sound")
    assert visited(error).error is error


def test_who_is_too_slow_is_not_asked_by_each_part_again() -> None:
    with pytest.raises(HostError, match="an hour"):
        visited(HostError("it took an hour", code=TOO_SLOW))


class Noted:
    """A host that has nothing but CAs to keep: nobody has to ask it anything."""

    def __init__(self, folder: Path) -> None:
        self.variables: dict[str, Any] = {
            "tls_store": {"path": str(folder / "store"), "passphrase": PASSPHRASE},
            "tls_issuers": {"internal": {"type": "ca"}},
            "fleet_tls_parts": {part: part == "ca" for part in PARTS},
            "hostvars": self,
        }

    def raw_get(self, host: str) -> dict[str, Any]:
        """As Ansible's."""
        return {"inventory_hostname": host, "tls_issuers": self.variables["tls_issuers"]}

    def asked(self, *, check_mode: bool = False, **more: Any) -> dict[str, Any]:
        """The task's result."""
        return run_action(ActionModule, "{}", {**self.variables, **more}, check_mode=check_mode)

    def noted(self) -> dict[str, LastLook]:
        """What is noted now."""
        return known_looks(load_store(self.variables["tls_store"]))

    def keep_cas(self) -> None:
        """As the role ca does it."""
        run_action(ca.ActionModule, 'store: "{{ tls_store }}"\nissuers: "{{ tls_issuers }}"', self.variables)


def test_a_host_is_noted_when_nothing_is_due_on_it(tmp_path: Path) -> None:
    host = Noted(tmp_path)
    due = host.asked()
    assert due["due"] == due["own"] == ["ca"] and "look" in due and host.noted() == {}
    host.keep_cas()
    assert host.asked(check_mode=True)["due"] == [] and host.noted() == {}
    calm = host.asked()
    # It is to have no certificate.
    assert calm["due"] == [] and "look" not in calm and host.noted()["web1"].certificates == {}
    assert set(host.noted()["web1"].trust) == {"internal"} and host.noted()["web1"].lists is None


def test_a_host_that_asks_others_can_be_noted_again_when_it_has_done_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Noted(tmp_path)
    host.keep_cas()
    assert host.asked(check_mode=True)["asks_others"] == []
    # Without a host to ask, no part that asks others could be in order.
    monkeypatch.setattr(due_parts, "asks_others", lambda *_arguments: ["clients"])
    calm = host.asked()
    assert calm["due"] == [] and calm["asks_others"] == ["clients"]
    assert LastLook.from_json(calm["look"]) == host.noted()["web1"]


def test_who_looks_at_one_part_only_says_nothing_of_the_host(tmp_path: Path) -> None:
    host = Noted(tmp_path)
    host.keep_cas()
    # As fleet.tls.revoke.
    assert host.asked(fleet_tls_parts={"ca": True})["due"] == [] and host.noted() == {}


@pytest.mark.parametrize(
    ("user", "who"),
    [
        ({"tls_sites": [{"name": "shop", "certificate": "www"}]}, "site 'shop'"),
        ({"tls_clients": "{{ [{'certificate': 'www'}] }}"}, "client 'www'"),
    ],
)
def test_a_certificate_that_is_to_go_and_still_named_is_refused_before_any_part(
    tmp_path: Path, user: dict[str, Any], who: str
) -> None:
    """Also where the list that names it is a template."""
    host = Noted(tmp_path)
    parts = {part: part in ("ca", "retire") for part in PARTS}
    wanted = {"tls_certificates": [{"name": "www", "state": "absent"}], "fleet_tls_parts": parts}
    user = {name: trust_as_template(each) if isinstance(each, str) else each for name, each in user.items()}
    with pytest.raises(AnsibleActionFail, match=f"'www' is absent, and {who} still names it"):
        host.asked(**wanted, **user)
