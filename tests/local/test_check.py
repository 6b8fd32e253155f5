# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook fleet.tls.check: one table for the inventory, and an exit status that tells whether somebody has to look."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import openssl_version
from ansible_collections.fleet.tls.plugins.plugin_utils.health.post_quantum import too_old
from local import nginx
from tools.playbook import PlaybookResult, run_playbook
from tools.ports import free_port

SERVER = "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {pair}/fullchain.pem; ssl_certificate_key {pair}/privkey.pem; }}"
STORE = {"type": "directory", "path": "{{ inventory_dir }}/store"}
# How a visit through a pipe begins, at -vvv.
VISIT = "exec(sys.stdin.buffer.read("


@dataclass(frozen=True)
class Fleet:
    """An inventory in a directory: web1 has a certificate and an nginx that serves it."""

    folder: Path
    port: int

    def host(self, name: str, **changes: Any) -> dict[str, Any]:
        """The variables of a host that does without a connection."""
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_directory": str(self.folder / name / "fleet-tls"),
            "tls_certificates": [
                {
                    "name": "www",
                    "issuer": "internal",
                    "dns_names": [f"{name}.example.com"],
                    "services": [self.service(name)],
                }
            ],
            **changes,
        }

    def service(self, name: str) -> dict[str, Any]:
        """nginx as a service of the host; nobody is to prove web2's, which has none."""
        reload = nginx.command(self.folder / "nginx", "-s", "reload")
        endpoints = [f"127.0.0.1:{self.port}"] if name == "web1" else []
        return {"name": f"nginx-{name}", "reload": reload, "endpoints": endpoints}

    def run(
        self,
        playbook: str | Path,
        hosts: dict[str, Any],
        *args: str,
        env: dict[str, str] | None = None,
        **extra: Any,
    ) -> PlaybookResult:
        """Run a playbook on an inventory of these hosts."""
        issuers = {"internal": {"type": "ca", "duration": "30d"}}
        inventory = self.folder / "inventory.json"
        common = {"tls_store": STORE, "tls_issuers": issuers}
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
        return run_playbook(playbook, inventory, extra, args, env)

    def issue(self, *names: str, **options: Any) -> None:
        """Give hosts a certificate, without a word to the service."""
        arguments = {
            "store": {**STORE, "passphrase": "correct horse battery"},
            "issuers": "{{ tls_issuers }}",
            "directory": "{{ tls_directory }}",
            "certificates": "{{ tls_certificates | map('combine', {'services': []}) }}",
            **options,
        }
        play = {"hosts": "all", "gather_facts": False, "tasks": [{"fleet.tls.certificates": arguments}]}
        playbook = self.folder / "issue.yml"
        playbook.write_text(json.dumps([play]))
        self.run(playbook, {name: self.host(name) for name in names}).check()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    one = Fleet(folder, free_port())
    one.issue("web1")
    servers = SERVER.format(port=one.port, pair=folder / "web1" / "fleet-tls" / "live" / "www")
    with nginx.running(folder / "nginx", servers, one.port):
        yield one


# The subject of what is said once for all hosts.
KEY_AGREEMENT = "key agreement"


def shown(result: PlaybookResult) -> list[list[str]]:
    """The table's lines in words, without the heading and the fleet's line on key agreement, of which there is one at most."""
    tables = result.results(task="Table")
    assert len(tables) == 1, result.stdout + result.stderr
    lines = tables[0]["msg"]
    assert lines[0].split() == "HOST CERTIFICATE ISSUER DAYS LEFT NOT AFTER DISK SERVED VERDICT".split()
    assert sum(KEY_AGREEMENT in line for line in lines) <= 1
    return [line.split(maxsplit=7) for line in lines[1:] if KEY_AGREEMENT not in line]


def test_all_is_well_in_one_visit_and_one_task_a_host(fleet: Fleet) -> None:
    """The second host is asked the same, has no certificates, and is not the one that all of them need once."""
    place = f"127.0.0.1:{fleet.port}"
    site = {
        "name": "www",
        "server_names": ["web1.example.com"],
        "certificate": "www",
        "listen": [place],
        "root": "/srv",
        "redirect": False,
    }
    service = {"name": "own-nginx", "reload": ["true"], "check": ["true"]}
    asked = {
        "tls_sites": [site], "tls_nginx_service": service, "tls_endpoints": [place], "tls_check_origin": "host",
    }  # fmt: skip
    hosts = {"web1": fleet.host("web1", **asked), "web2": fleet.host("web2", tls_certificates=[])}
    result = fleet.run("fleet.tls.check", hosts, "-vvv").check()
    assert result.stdout.count(VISIT) == 2
    assert [each["action"] for each in result.task_results if each["host"] == "web2"] == ["fleet.tls.check_host"]
    seen = result.results(action="fleet.tls.check_host", host="web1")[0]["looks"]
    assert not [name for name, each in seen.items() if each.get("failed")], seen
    assert [name for name, each in seen.items() if each.get("skipped")] == ["site_list"]
    ((host, name, issuer, days, _after, disk, served, verdict),) = shown(result)
    assert (host, name, issuer, verdict) == ("web1", "www", "internal", "ok")
    assert 29 < float(days) <= 30
    assert disk == served and len(disk) == 8
    # Asked three times, it is one endpoint; whether it agrees on keys with ML-KEM only a new OpenSSL can tell.
    (table,) = result.results(task="Table")
    judged = [line for line in table["msg"] if "whether 1 of 1 endpoints" in line and "cannot judge here" in line]
    assert len(judged) == too_old(openssl_version())
    assert result.changed == 0


def test_below_the_threshold(fleet: Fleet) -> None:
    result = fleet.run("fleet.tls.check", {"web1": fleet.host("web1")}, tls_check_threshold="31d")
    assert result.rc == 2
    assert shown(result)[0][7].startswith("expiring: expires on ")


def test_a_passphrase_that_is_not_there_and_one_host_that_wants_reports(fleet: Fleet, tmp_path: Path) -> None:
    store = {**STORE, "passphrase": "{{ vault_tls_passphrase }}"}
    reports = {"tls_report_formats": ["json"], "tls_report_directory": str(tmp_path)}
    hosts = {
        "web1": fleet.host("web1", tls_store=store),
        "web2": fleet.host("web2", tls_certificates=[], tls_store=store, **reports),
    }
    result = fleet.run("fleet.tls.check", hosts).check()
    document = json.loads((tmp_path / "health.json").read_text())
    assert [each["issuer"] for each in document["authorities"] if each["kind"] == "issuing"] == ["internal"]
    assert {each["host"] for each in result.task_results if each["action"] == "fleet.tls.report"} == {"web2"}


def test_what_is_wrong_is_in_the_table_and_in_the_exit_status(fleet: Fleet) -> None:
    hosts = {
        "web1": fleet.host("web1"),
        "web2": fleet.host("web2"),
        "web3": {**fleet.host("web3"), "ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
        "web4": fleet.host(
            "web4", tls_certificates=[{"name": "www", "issuer": "nobody", "dns_names": ["a.example.com"]}]
        ),
        "web5": fleet.host("web5", tls_certificates=[]),
        "web6": {"ansible_connection": "local", "tls_store": None, "tls_issuers": None},
        "web7": fleet.host("web7", tls_check_fail_on="never"),
        "web8": fleet.host("web8", tls_check_fail_on="sometimes"),
        "web9": fleet.host("web9", tls_certificates=[], tls_sites=[{"name": "www"}]),
    }
    result = fleet.run("fleet.tls.check", hosts)
    assert result.rc == 2
    rows = {line[0]: line[7] for line in shown(result)}
    assert list(rows) == ["web1", "web2", "web3", "web4", "web7", "web8", "web9"]
    assert rows["web1"] == "ok"
    assert rows["web2"].startswith("missing: ")
    assert rows["web3"].startswith("unreachable: ")
    assert rows["web4"].startswith("failed: ") and "nobody" in rows["web4"]
    failed = {host for host, stats in result.stats.items() if stats["failures"]}
    assert failed == {"web2", "web3", "web4", "web8", "web9"}
    words = {
        each["host"]: each["result"]["msg"] for each in result.task_results if each["task"].startswith("Fail where")
    }
    assert set(words) == failed and "tls_check_fail_on: 'sometimes' is unknown" in words["web8"]
    assert (
        rows["web7"].startswith("missing: ") and "www: failed: " not in words["web9"] and "tls_sites" in words["web9"]
    )


def test_reports_say_the_same_and_a_second_run_changes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    hosts = {
        "web1": fleet.host("web1"),
        "web2": fleet.host("web2"),
        # The first host that cannot be reached costs nobody the report.
        # With pipelining, what it says depends on whether ssh ends before it is written to.
        "dead": {
            **fleet.host("dead"),
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": 1,
            "ansible_pipelining": False,
        },
    }
    hosts = dict(sorted(hosts.items()))
    forms = ["terminal", "json", "csv", "junit", "prometheus", "html", "ics"]
    wanted = {"tls_report_formats": forms, "tls_report_directory": str(tmp_path / "reports")}
    first = fleet.run("fleet.tls.check", hosts, **wanted)
    assert (first.rc, first.changed) == (2, 1)
    document = json.loads((tmp_path / "reports" / "health.json").read_text())
    found = {each["code"]: each["severity"] for each in document["findings"]}
    assert found.pop("cannot_judge_here", "notice") == "notice" and found.keys() == {"unreachable", "missing"}
    (served,) = next(each["served"] for each in document["certificates"] if each["host"] == "web1")
    assert served["signature_scheme"] == "ecdsa_secp256r1_sha256" and "25519" in served["group"]
    assert sorted(each.name for each in (tmp_path / "reports").iterdir()) == [
        "fleet_tls.prom", "health.csv", "health.html", "health.ics", "health.json", "health.txt", "health.xml",
    ]  # fmt: skip
    metrics = (tmp_path / "reports" / "fleet_tls.prom").read_text()
    assert 'fleet_tls_host_reachable{host="dead"} 0' in metrics
    assert fleet.run("fleet.tls.check", hosts, **wanted).changed == 0


@pytest.mark.parametrize("strategy", ["free", "ansible.builtin.host_pinned"])
def test_with_any_strategy_all_are_looked_at_before_they_are_judged(
    fleet: Fleet, tmp_path: Path, strategy: str
) -> None:
    """One after the other: the first would be through before the second is asked."""
    reports = {"tls_report_formats": ["json"], "tls_report_directory": str(tmp_path)}
    hosts = {"web1": fleet.host("web1", **reports), "web2": fleet.host("web2")}
    result = fleet.run("fleet.tls.check", hosts, "--forks", "1", env={"ANSIBLE_STRATEGY": strategy})
    assert result.rc == 2 and [line[0] for line in shown(result)] == ["web1", "web2"]
    assert {host for host, stats in result.stats.items() if stats["failures"]} == {"web2"}
    document = json.loads((tmp_path / "health.json").read_text())
    assert {each["host"] for each in document["certificates"]} == {"web1", "web2"}


def test_a_reload_forgotten(fleet: Fleet) -> None:
    fleet.issue("web1", force=True)
    result = fleet.run("fleet.tls.check", {"web1": fleet.host("web1")}, "--check")
    assert result.rc == 2
    ((*_columns, disk, served, verdict),) = shown(result)
    assert disk != served
    assert verdict.startswith("not served: ")
    assert result.changed == 0
