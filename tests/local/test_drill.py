# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.drill``: a rotation is rehearsed, who would fail is named, and nothing of it is seen or left anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.family import Family
from local.hosts import Hosts, state
from local.test_rotations_killed import deployed, inventory
from tools.playbook import PlaybookResult, run_playbook

HOSTS = {"web1": ["www"], "web2": ["mail"], "web3": ["api"]}
AWAY = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
STAGES = ["first issue", "prepare", "activate", "retire"]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """One fleet for all tests here, which none of them changes."""
    with deployed(tmp_path_factory.mktemp("drill"), HOSTS) as made:
        yield made


def everything(hosts: Hosts) -> dict[str, tuple[int, str]]:
    """Every file and folder of hosts and store, and the processes of the servers: who reloads gets other ones."""
    seen = {}
    for path in sorted(hosts.folder.rglob("*")):
        # Inventories are the tests' own, SQLite's two helpers come with each reader, and servers write logs.
        if (
            not path.name.startswith(("inventory-", "ledger.sqlite3-"))
            and path.suffix != ".log"
            and not path.is_socket()
        ):
            seen[str(path.relative_to(hosts.folder))] = state(path)
    for site in hosts:
        master = (site.folder / "nginx.pid").read_text().strip()
        seen[f"workers of {site.host}"] = (0, Path(f"/proc/{master}/task/{master}/children").read_text())
    return seen


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """What is another one, or there only before or after."""
    return {each for each in {*before, *after} if before.get(each) != after.get(each)}


def drill(
    hosts: Hosts, *args: str, extra: Mapping[str, Any] | None = None, **changes: Mapping[str, Any]
) -> PlaybookResult:
    """A drill; ``changes``: variables of single hosts."""
    return run_playbook("fleet.tls.drill", inventory(hosts, changes), extra, args)


def judged(result: PlaybookResult) -> dict[str, Any]:
    """What it has shown."""
    (found,) = [each for each in result.results(action="fleet.tls.drill") if "failed_hosts" in each]
    return found


def folders(hosts: Hosts) -> set[str]:
    """The hosts with something of a drill."""
    return {path.parent.name for path in hosts.folder.glob("*/*.drill")}


def test_a_rotation_is_rehearsed_and_who_would_fail_is_named(hosts: Hosts) -> None:
    broken = hosts["web2"].folder / "extra-broken.conf"
    broken.write_text("listen 1;\n")
    before = everything(hosts)
    try:
        result = drill(hosts, web3=AWAY)
        assert changed(before, everything(hosts)) == set(), result.stdout
    finally:
        broken.unlink()
    shown = judged(result)
    # With "none wanted", the real CA's anchors would be removed from the system's trust store.
    trusted = [each.get("system_store") for each in result.results(action="fleet.tls.trust_bundle")]
    assert trusted and set(trusted) == {None}
    assert result.rc != 0
    assert {each for each, told in result.stats.items() if told["failures"] or told["unreachable"]} == {"web2", "web3"}
    assert shown["failed_hosts"].keys() == {"web2", "web3"}
    assert '"listen" directive' in shown["failed_hosts"]["web2"] and "unreachable" in shown["failed_hosts"]["web3"]
    assert list(shown["seconds"]) == STAGES
    # The other two take as long each.
    least, most = shown["estimate"]["from"], shown["estimate"]["to"]
    assert least == pytest.approx(3 * sum(shown["seconds"][each] for each in STAGES[1:])) and most >= least > 0
    assert "3 of 3 hosts took part in the drill of fleet.tls.rotate_ca, 1 came through" in result.stdout


def test_a_drill_that_was_killed_is_cleaned_up(hosts: Hosts, tmp_path: Path) -> None:
    before, temporary = everything(hosts), {"ANSIBLE_LOCAL_TEMP": str(tmp_path)}
    run = Family("fleet.tls.drill", inventory(hosts), settings=temporary)
    while run.process.poll() is None and len(list(hosts.folder.glob("*/*.drill/state/live/*"))) < len(HOSTS):
        time.sleep(0.01)
    assert run.process.poll() is None
    run.kill_controller_only()
    assert folders(hosts) == set(HOSTS) and list(tmp_path.glob("*/fleet-tls-drill/store"))
    run_playbook("fleet.tls.drill", inventory(hosts), args=["--tags", "cleanup"], env=temporary).check()
    assert changed(before, everything(hosts)) == set()
    # What else lies there is Ansible's own.
    assert not list(tmp_path.glob("*/fleet-tls-drill"))


def test_all_keys_of_a_host_are_replaced_for_practice(hosts: Hosts) -> None:
    before = everything(hosts)
    result = drill(
        hosts, extra={"tls_drill": "replace_compromised", "tls_hosts": "web1", "tls_drill_reload": True}
    ).check()
    assert list(judged(result)["seconds"]) == ["first issue", "replace", "prove"]
    # It was reloaded.
    assert changed(before, everything(hosts)) == {"workers of web1"}


def test_what_would_touch_the_real_one_is_refused_and_check_mode_touches_nothing(hosts: Hosts) -> None:
    before = everything(hosts)
    result = drill(hosts, extra={"tls_store": hosts.store_options()})
    assert result.rc != 0 and "Nothing was touched" in result.stdout
    unknown = drill(hosts, extra={"tls_drill": "rotate_all"})
    assert unknown.rc != 0 and "tls_drill: 'rotate_all' is unknown" in unknown.stdout
    seen = drill(hosts, "--check").check()
    assert judged(seen)["failed_hosts"] == {} and "in check mode nothing was issued" in seen.stdout
    assert changed(before, everything(hosts)) == set()
