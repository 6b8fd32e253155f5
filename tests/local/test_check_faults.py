# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook fleet.tls.check with one of each fault planted: each is found by its right name, and nothing else is."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fleet import faults
from local import nginx
from tools import paths
from tools.playbook import PlaybookResult, run_playbook
from tools.ports import free_port


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One that others get through, so that a key in it can be read by them."""
    made = Path(tempfile.mkdtemp(prefix="fleet-tls-faults-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def place(folder: Path) -> faults.Place:
    found = folder / "found"
    return faults.Place("web1", str(found), str(folder / "tls" / "live"), "127.0.0.1", faults.free_ports(free_port))


def variables(folder: Path) -> dict[str, Any]:
    """What all hosts have in common."""
    return {
        "ansible_python_interpreter": sys.executable,
        "tls_store": {"path": str(folder / "store")},
        "tls_issuers": faults.ISSUERS,
        "tls_directory": str(folder / "tls"),
    }


def play(folder: Path, hosts: dict[str, Any], playbook: Any, **extra: Any) -> PlaybookResult:
    """Run a playbook, or tasks, on an inventory."""
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables(folder)}}))
    if isinstance(playbook, list):
        name = folder / "play.yml"
        name.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": playbook}]))
        playbook = name
    return run_playbook(playbook, inventory, extra)


@pytest.fixture(scope="module")
def checked(folder: Path, place: faults.Place) -> Iterator[PlaybookResult]:
    """The check of a host with all of them, of one that is not there, and of one whose inventory is wrong."""
    known, host = variables(folder), {"ansible_connection": "local"}
    faults.plant_in_store(folder / "store")
    issued = {"web1": {**host, "tls_certificates": place.certificates()}}
    play(folder, issued, [faults.issue(known)]).check()
    Path(place.folder).mkdir()
    for name, (content, mode) in faults.files().items():
        (Path(place.folder) / name).write_bytes(content)
        (Path(place.folder) / name).chmod(int(mode, 8))
    with nginx.running(folder / "nginx", place.servers(), place.ports["good"]):
        play(folder, issued, [faults.issue(known, force=["reload"]), faults.revoke(known, "web1")]).check()
        (folder / "tls/live/damaged/privkey.pem").write_bytes(faults.pair("x", 1, 1)[1])
        faults.lose_a_list(folder / "store")
        hosts = {
            "web1": {
                **host, "tls_certificates": place.wanted(), "tls_endpoints": place.endpoints(), "tls_session_tickets": True,
                "tls_session_ticket_pool": "web",
            },
            "web2": {"ansible_host": "127.0.0.1", "ansible_port": 1, "tls_certificates": place.certificates()},
            "web3": {**host, "tls_certificates": [{"name": "www", "issuer": "nobody", "dns_names": ["a.example.com"]}]},
        }  # fmt: skip
        paths_to_search = [place.folder, f"{folder}/tls/live/*"]
        yield play(folder, hosts, "fleet.tls.check", tls_check_paths=paths_to_search)


def document(result: PlaybookResult) -> dict[str, Any]:
    """The health document."""
    (judged,) = result.results(task="Judge")
    return judged["ansible_facts"]["fleet_tls_health"]  # type: ignore[no-any-return]


def test_each_fault_is_found_by_its_right_name_and_nothing_else(checked: PlaybookResult, place: faults.Place) -> None:
    expected = place.expected() | faults.OF_NOBODY | {("web2", "unreachable", "web2"), ("web3", "failed", "web3")}
    # The third host is this machine as well, and has an inventory that says nothing of what is there.
    found = {each for each in faults.found_in(document(checked)) if each[0] != "web3" or each[1] == "failed"}
    assert found == expected, checked.stdout
    assert checked.rc == 2 and checked.changed == 0


def test_the_document_follows_its_schema(checked: PlaybookResult) -> None:
    schema = json.loads((paths.ROOT / "docs" / "health.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document(checked))


def test_every_host_fails_for_what_is_its_own(checked: PlaybookResult) -> None:
    words = {
        each["host"]: each["result"]["msg"] for each in checked.task_results if each["task"].startswith("Fail where")
    }
    assert set(words) == {"web1", "web2", "web3"}
    assert "crl_expired" in words["web1"] and "crl_expired" not in words["web2"]
    assert "good: weak:" in words["web1"] and "unmanaged" not in words["web1"]


def test_nothing_secret_is_said(checked: PlaybookResult) -> None:
    assert "PRIVATE" not in checked.stdout and faults.PASSPHRASE not in checked.stdout


@pytest.mark.parametrize(("fail_on", "status"), [("never", 0), ("critical", 2)])
def test_what_makes_it_fail(checked: PlaybookResult, folder: Path, fail_on: str, status: int) -> None:
    wrong = {"web3": {"ansible_connection": "local", "tls_certificates": [{"name": "www"}], "tls_check_files": False}}
    result = play(folder, wrong, "fleet.tls.check", tls_check_fail_on=fail_on)
    assert result.rc == status and "failed" in result.stdout
