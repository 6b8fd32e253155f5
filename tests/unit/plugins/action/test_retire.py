# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates are issued by one action and taken away by another, with the hosts' steps run in place and a real store and CA."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action import certificates, retire
from ansible_collections.fleet.tls.plugins.module_utils.steps.apply import apply_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.retire import retire_step
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import LastLook, known_looks, note_look
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import HostFacts, parse_host_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.known_facts import known_facts, note_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement import entries
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, cheap_scrypt, make_store, snapshot

__all__ = ["cheap_scrypt"]

WWW = {"name": "www", "issuer": "internal", "dns_names": ["www.example.com"], "private_key": {"location": "controller"}}
MAIL = {"name": "mail", "issuer": "internal", "dns_names": ["mail.example.com"]}
POOL = {"name": "shared", "issuer": "internal", "dns_names": ["shared.example.com"], "scope": "pool"}
STEPS = {"look": lambda request, _secrets: look_step(request), "apply": apply_step}
GONE = {"state": "absent"}


class Deploying(certificates.ActionModule):
    """The steps without a connection."""

    def step(self, step: str, request: Any, variables: Any, secrets: Any = None) -> dict[str, Any]:
        changed, answer = STEPS[step](request, secrets or {})
        return {**answer, "changed": changed}


class Retiring(retire.ActionModule):
    """The same."""

    def step(self, step: str, request: Any, variables: Any, secrets: Any = None) -> dict[str, Any]:
        assert step == "retire"
        changed, answer = retire_step(request)
        return json.loads(json.dumps({**answer, "changed": changed}))


class Fleet:
    """Hosts in directories, and their store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "store"

    @property
    def store(self) -> Store:
        return make_store(self.path)

    def directory(self, host: str) -> Path:
        return self.folder / host / "tls"

    def run(
        self, action: Any, host: str, wanted: list[dict[str, Any]], *, passphrase: bool = True, **options: Any
    ) -> dict[str, Any]:
        flags = {name: options.pop(name) for name in ("check_mode", "diff") if name in options}
        store = {"path": str(self.path), **({"passphrase": PASSPHRASE} if passphrase else {})}
        given = {
            "store": store, "issuers": {"internal": {"type": "ca"}}, "directory": str(self.directory(host)), "certificates": wanted,
            "prove_timeout": "1s", **options,
        }  # fmt: skip
        return run_action(action, json.dumps(given), {"inventory_hostname": host}, **flags)

    def deploy(self, host: str, *wanted: dict[str, Any], **options: Any) -> dict[str, Any]:
        return self.run(Deploying, host, list(wanted), **options)

    def retire(self, host: str, *wanted: dict[str, Any], **options: Any) -> dict[str, Any]:
        return self.run(Retiring, host, list(wanted), **options)

    def names(self, kind: str) -> set[str]:
        """Entries of the store below a folder."""
        return {name for name in snapshot(self.path) if name.startswith(f"{kind}/")}

    def revoked(self) -> set[str]:
        return {each.issuance.certificate for each in self.store.revocations("internal")} - {entries.CANARY_NAME}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def failure_of(run: Any, *arguments: Any, **options: Any) -> Mapping[str, Any]:
    """The result of a task that fails, with its message."""
    with pytest.raises(AnsibleActionFail) as caught:
        run(*arguments, **options)
    return {**caught.value._result, "msg": str(caught.value)}


def test_one_of_two(fleet: Fleet) -> None:
    """Its key goes on the host and in the store, which needs no passphrase; the other one is not touched, and the name is free."""
    first = fleet.deploy("web1", WWW, MAIL)["certificates"]
    wanted = [{**WWW, **GONE}, MAIL]
    assert fleet.deploy("web1", *wanted)["changed"] is False
    assert fleet.names("keys") == {"keys/web1/www.key"}
    foreseen = fleet.retire("web1", *wanted, check_mode=True, diff=True, passphrase=False)
    assert foreseen["changed"] is True and fleet.names("keys") == {"keys/web1/www.key"}
    done = fleet.retire("web1", *wanted, diff=True, passphrase=False)
    assert (done["changed"], done["store_entries"], done["revoked"]) == (True, ["keys/web1/www.key"], [])
    assert {name: done[name] for name in ("retired", "store_entries", "diff")} == {
        name: foreseen[name] for name in ("retired", "store_entries", "diff")
    }
    assert [each.name for each in (fleet.directory("web1") / "live").iterdir()] == ["mail"]
    assert fleet.names("keys") == set() and fleet.revoked() == set()
    again = fleet.retire("web1", *wanted, passphrase=False)
    assert (again["changed"], again["retired"], again["store_entries"]) == (False, [], [])
    back = fleet.deploy("web1", WWW, MAIL)["certificates"]
    assert {each["name"]: each["action"] for each in back} == {"www": "issue", "mail": "none"}
    assert back[0]["fingerprint_sha256"] != first[0]["fingerprint_sha256"]


def test_revoked_where_it_is_asked_for(fleet: Fleet) -> None:
    fleet.deploy("web1", WWW, MAIL)
    wanted = [{**WWW, **GONE, "revoke": "cessation_of_operation"}, {**MAIL, **GONE}]
    foreseen = fleet.retire("web1", *wanted, check_mode=True)
    assert len(foreseen["revoked"]) == 1 and fleet.revoked() == set()
    done = fleet.retire("web1", *wanted)
    assert done["revoked"] == foreseen["revoked"] and fleet.revoked() == {"www"}
    (revocation,) = [each for each in fleet.store.revocations("internal") if each.issuance.certificate == "www"]
    assert revocation.reason == "cessation_of_operation"
    assert fleet.retire("web1", *wanted)["changed"] is False


@pytest.mark.parametrize("killed", ["revoke", "drop"])
def test_killed_after_the_host_was_done(fleet: Fleet, killed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is revoked, and before its key is taken out of the store: the next run finds both by themselves."""
    fleet.deploy("web1", WWW)
    wanted = {**WWW, **GONE, "revoke": "superseded"}

    def end(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(entries.HostEntries, killed, end)
        with pytest.raises(KeyboardInterrupt):
            fleet.retire("web1", wanted)
    assert not (fleet.directory("web1") / "generations" / "www").exists()
    assert fleet.names("keys") == {"keys/web1/www.key"}
    done = fleet.retire("web1", wanted)
    assert (done["changed"], done["retired"]) == (True, [])
    assert (fleet.names("keys"), fleet.revoked()) == (set(), {"www"})
    assert fleet.retire("web1", wanted)["changed"] is False


def test_a_pool_stays_as_long_as_a_host_wants_it(fleet: Fleet) -> None:
    for host in ("web1", "web2"):
        fleet.deploy(host, POOL)
    gone = {**POOL, **GONE, "revoke": "superseded"}
    done = fleet.retire("web1", gone, certificates_of={"web1": [gone], "web2": [POOL]})
    assert (done["changed"], done["store_entries"], done["revoked"]) == (True, [], [])
    assert "pools/shared.json" in fleet.names("pools")
    done = fleet.retire("web2", gone, certificates_of={"web1": [gone], "web2": [gone]})
    assert (done["changed"], len(done["revoked"])) == (True, 1)
    assert (fleet.names("pools"), fleet.revoked()) == (set(), {"shared"})
    assert fleet.retire("web2", gone, certificates_of={"web1": [gone], "web2": [gone]})["changed"] is False
    # The name is free: another pair, and the host takes it.
    assert fleet.deploy("web1", POOL)["certificates"][0]["action"] == "issue"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sites": [{"name": "shop", "certificate": "www"}]}, "site 'shop' still names it"),
        ({"sites": [{"name": "shop", "certificates": ["x", "www"]}]}, "site 'shop' still names it"),
        ({"sites": [{"name": "shop", "upstream_certificate": "www"}]}, "site 'shop' still names it"),
        ({"clients": [{"certificate": "www"}]}, "client 'www' still names it"),
        ({"session_ticket_pool": "web", "session_tickets": True}, "the servers are to use them"),
        ({"store": {"path": "relative"}}, "path is relative"),
        ({"revoke": "superseded"}, "revoke is for a whole host"),
        ({"unreachable": True}, "unreachable is for a whole host"),
        ({"whole_host": True, "revoke": "boredom"}, "'boredom' is unknown"),
    ],
)
def test_refused_before_anything_is_touched(fleet: Fleet, options: dict[str, Any], words: str) -> None:
    fleet.deploy("web1", WWW)
    before = snapshot(fleet.folder)
    result = failure_of(fleet.retire, "web1", {**WWW, **GONE}, **options)
    assert words in result["msg"] and result["error"]["remedy"]
    assert snapshot(fleet.folder) == before


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**WWW, "state": "gone"}, "state: 'gone' is unknown"),
        ({**WWW, **GONE, "revoke": "boredom"}, "revoke: 'boredom' is unknown"),
        ({**WWW, **GONE, "colour": "red"}, "unknown option 'colour'"),
        ({"name": "../www", **GONE}, "is not a valid certificate name"),
    ],
)
def test_entries_that_are_wrong(fleet: Fleet, entry: dict[str, Any], words: str) -> None:
    assert words in failure_of(fleet.retire, "web1", entry)["msg"]


def test_twice_under_one_name(fleet: Fleet) -> None:
    assert "two certificates have the name 'www'" in failure_of(fleet.retire, "web1", WWW, {**WWW, **GONE})["msg"]
    assert "revoke: it is wanted" in failure_of(fleet.deploy, "web1", {**WWW, "revoke": "superseded"})["msg"]


def test_only_the_name_is_needed(fleet: Fleet) -> None:
    """Its issuer may be no more."""
    fleet.deploy("web1", WWW)
    assert fleet.retire("web1", {"name": "www", **GONE}, issuers={})["changed"] is True
    assert not (fleet.directory("web1") / "generations" / "www").exists()


def test_what_a_service_refuses_stays_in_the_store_too(fleet: Fleet) -> None:
    refusing = {"name": "app", "validate": ["false"], "reload": ["true"]}
    fleet.deploy("web1", WWW, MAIL)
    result = failure_of(fleet.retire, "web1", {**WWW, **GONE, "services": [refusing], "revoke": "superseded"}, MAIL)
    assert result["error"]["code"] == "validate_failed" and result["changed"] is False
    assert (fleet.names("keys"), fleet.revoked()) == ({"keys/web1/www.key"}, set())
    assert (fleet.directory("web1") / "live" / "www" / "privkey.pem").exists()


def test_a_wrong_passphrase(fleet: Fleet) -> None:
    """The host has been done, and is told of; what is recorded as revoked is listed by whoever signs next."""
    fleet.deploy("web1", WWW)
    gone = {**WWW, **GONE, "revoke": "superseded"}
    wrong = {"path": str(fleet.path), "passphrase": "another passphrase"}
    result = failure_of(fleet.retire, "web1", gone, store=wrong)
    assert "wrong passphrase" in result["msg"] and result["changed"] is True
    assert [each["name"] for each in result["retired"]] == ["www"] and fleet.names("keys") == {"keys/web1/www.key"}
    done = fleet.retire("web1", gone)
    assert (done["store_entries"], fleet.revoked(), fleet.names("keys")) == (["keys/web1/www.key"], {"www"}, set())


def test_what_cannot_be_revoked(fleet: Fleet) -> None:
    """The host is done all the same, and every run says so until it is."""
    fleet.deploy("web1", WWW)
    gone = {**WWW, **GONE, "revoke": "superseded"}
    for _run in range(2):
        result = failure_of(fleet.retire, "web1", gone, issuers={"other": {"type": "ca"}})
        assert "'internal', which issued 'www' of web1" in result["msg"]
    assert not (fleet.directory("web1") / "generations" / "www").exists()


FACTS: HostFacts = parse_host_facts(
    {"family": "debian", "openssl": [3, 0, 17], "python": [3, 11], "systemd": True, "resolvers": [], "trusts_ours": True, "nginx_sites": True}
)  # fmt: skip


def settled_host(fleet: Fleet) -> None:
    """A host of which the store knows all that it can know, beside another one."""
    fleet.deploy("web1", WWW, POOL, MAIL)
    fleet.deploy("web2", WWW, POOL)
    for host in ("web1", "web2"):
        note_facts(fleet.store, host, FACTS)
        note_look(fleet.store, host, LastLook(1, "", {}, None, {}))
    rings = RingStore(fleet.store, "web")
    rings.create(1)
    for host in ("web1", "web2"):
        rings.note(lambda record, host=host: record.with_proof(host, 2), 1)


def test_a_whole_host(fleet: Fleet) -> None:
    """What the inventory has forgotten goes as well; of the other host nothing does."""
    settled_host(fleet)
    options = {
        "whole_host": True, "session_ticket_pool": "web", "revoke": "cessation_of_operation", "certificates_of": {"web2": [WWW, POOL]},
    }  # fmt: skip
    foreseen = fleet.retire("web1", WWW, POOL, **options, check_mode=True, diff=True)
    assert fleet.directory("web1").exists() and fleet.revoked() == set()
    done = fleet.retire("web1", WWW, POOL, **options, diff=True)
    assert done["changed"] is True and {name: foreseen[name] for name in ("retired", "store_entries", "diff")} == {
        name: done[name] for name in ("retired", "store_entries", "diff")
    }
    assert done["store_entries"] == ["keys/web1/www.key", "tickets/web.json: without web1", "hosts/web1.json"]
    assert not fleet.directory("web1").exists()
    assert {(each.issuance.host, each.issuance.certificate) for each in fleet.store.revocations("internal")} - {
        ("", entries.CANARY_NAME)
    } == {("web1", "www"), ("web1", "mail")}
    assert fleet.names("keys") == {"keys/web2/www.key"} and "pools/shared.json" in fleet.names("pools")
    assert set(known_looks(fleet.store)) == {"web2"} and known_facts(fleet.store, "web1") is None
    ring = RingStore(fleet.store, "web").known()
    assert ring is not None and set(ring.record.proven) == {"web2"}
    assert fleet.retire("web1", WWW, POOL, **options)["changed"] is False
    assert not fleet.directory("web1").exists()
    # With the last host the ring and the pool go.
    fleet.retire("web2", WWW, POOL, whole_host=True, session_ticket_pool="web")
    assert fleet.names("tickets") | fleet.names("pools") | fleet.names("keys") | fleet.names("hosts") == set()


def test_a_host_that_is_no_more(fleet: Fleet) -> None:
    """Nobody asks it; its directory stands for that here."""
    settled_host(fleet)
    options = {
        "whole_host": True,
        "unreachable": True,
        "session_ticket_pool": "web",
        "certificates_of": {"web2": [WWW, POOL]},
    }
    done = fleet.retire("web1", WWW, POOL, **options)
    assert done["store_entries"] == ["keys/web1/www.key", "tickets/web.json: without web1", "hosts/web1.json"]
    assert (fleet.directory("web1") / "live" / "www").exists()
    assert fleet.retire("web1", WWW, POOL, **options)["changed"] is False


def test_a_host_whose_service_refuses_is_not_forgotten(fleet: Fleet) -> None:
    settled_host(fleet)
    refusing = {"name": "app", "validate": ["false"], "reload": ["true"]}
    result = failure_of(
        fleet.retire, "web1", WWW, POOL, whole_host=True, session_ticket_pool="web", services=[refusing]
    )
    assert result["error"]["code"] == "validate_failed" and result["changed"] is False
    assert known_facts(fleet.store, "web1") == FACTS and set(known_looks(fleet.store)) == {"web1", "web2"}


def test_a_hostile_host_has_no_say_in_the_store(fleet: Fleet) -> None:
    """What it claims to have is looked for under its own name only."""
    settled_host(fleet)

    class Lying(Retiring):
        def step(self, step: str, request: Any, variables: Any, secrets: Any = None) -> dict[str, Any]:
            answer = super().step(step, request, variables, secrets)
            names = ["../web2/www", "www", "\x1b[31m"]
            answer["there"] = {
                "certificates": names,
                "clients": [],
                "bundles": [],
                "pools": ["web", "../x", "none"],
                "configured": [],
            }
            return answer

    done = fleet.run(Lying, "web1", [WWW], whole_host=True, certificates_of={"web2": [WWW, POOL]})
    assert done["store_entries"] == ["keys/web1/www.key", "tickets/web.json: without web1", "hosts/web1.json"]
    assert fleet.names("keys") == {"keys/web2/www.key"}

    class Misshapen(Retiring):
        def step(self, step: str, request: Any, variables: Any, secrets: Any = None) -> dict[str, Any]:
            return {"changed": True, "there": ["x"]}

    with pytest.raises(AnsibleActionFail, match="does not have the agreed form"):
        fleet.run(Misshapen, "web1", [WWW], whole_host=True)
