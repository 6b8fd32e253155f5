# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role as a user runs it: files, second runs, check mode, a program and a webhook of the user's, and what is shown of secrets."""

from __future__ import annotations

import http.server
import json
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import FORMATS, render
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given
from tools.playbook import PlaybookResult, run_playbook

PLAY = [{"name": "Report", "hosts": "all", "gather_facts": False, "roles": [{"role": "fleet.tls.report"}]}]
SECRETS = ("path-is-a-secret", "header-is-a-secret")


@dataclass
class Hook:
    """A real web server that takes what is sent to it."""

    url: str = ""
    status: int = 204
    got: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with serving() as found:
        yield found


@contextmanager
def serving(pair: Path | None = None) -> Iterator[Hook]:
    """A web server; with a file of key and certificate, one that speaks TLS."""
    found = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Not to the terminal."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(found.status)
            if found.status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http{'s' if pair else ''}://127.0.0.1:{server.server_port}/{SECRETS[0]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Inventory:
    """Three hosts that nobody can reach; the role needs none of them."""

    folder: Path

    def run(self, *arguments: str, health: dict[str, Any] | None = None, **variables: Any) -> PlaybookResult:
        """The role alone. The inventory lies in a folder with a blank in its name."""
        place = self.folder / "my inventory"
        place.mkdir(exist_ok=True)
        inventory, playbook = place / "inventory.json", self.folder / "report.yml"
        dead = {"ansible_host": "192.0.2.1", "ansible_timeout": 1}
        inventory.write_text(json.dumps({"all": {"hosts": dict.fromkeys(("web1", "web2", "web3"), dead)}}))
        playbook.write_text(json.dumps(PLAY))
        values = {"fleet_tls_health": health or given.sample(), **variables}
        (self.folder / "values.json").write_text(json.dumps(values))
        return run_playbook(playbook, inventory, args=["-e", f"@{self.folder}/values.json", *arguments])

    @property
    def reports(self) -> Path:
        """Where they are by default."""
        return self.folder / "my inventory" / "tls-report"


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return Inventory(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_page_and_json_are_beside_the_inventory_and_a_second_run_changes_nothing(inventory: Inventory) -> None:
    assert inventory.run().check().changed == 1
    assert names(inventory.reports) == ["health.html", "health.json"]
    later = {**given.sample(), "generated": "2026-11-24T23:00:00Z"}
    assert inventory.run(health=later).check().changed == 0
    assert json.loads((inventory.reports / "health.json").read_text())["generated"] == later["generated"]


def test_all_forms_with_their_modes_where_they_are_wanted(inventory: Inventory, tmp_path: Path) -> None:
    collector = tmp_path / "node-exporter"
    collector.mkdir()
    forms = [each for each in FORMATS if each != "prometheus"]
    inventory.run(
        tls_report_formats=forms, tls_report_files={"prometheus": str(collector / "tls.prom")}, tls_report_mode="0600"
    ).check()
    assert len(names(inventory.reports)) == len(forms)
    assert {stat.S_IMODE(each.stat().st_mode) for each in inventory.reports.iterdir()} == {0o600}
    assert (collector / "tls.prom").read_text() == render(given.sample(), "prometheus")
    assert stat.S_IMODE((collector / "tls.prom").stat().st_mode) == 0o644
    assert names(collector) == ["tls.prom"]


def test_check_and_diff_tell_what_would_be_and_do_nothing(inventory: Inventory, hook: Hook, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    told = {"tls_report_webhook": {"url": hook.url}, "tls_report_notify_command": ["touch", str(mark)]}
    run = inventory.run("--check", "--diff", tls_report_formats=["terminal"], **told).check()
    assert run.changed == 1
    assert "+CRITICAL expired  mail1: mail" in run.stdout
    assert not inventory.reports.exists() and not mark.exists() and hook.got == []


def test_a_program_and_a_webhook_get_the_document(inventory: Inventory, hook: Hook, tmp_path: Path) -> None:
    program = tmp_path / "notify.py"
    program.write_text("import pathlib, sys\npathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())\n")
    command = [sys.executable, str(program), str(tmp_path / "got it.json")]
    webhook = {"url": hook.url, "headers": {"X-Token": SECRETS[1]}}
    told = {"tls_report_notify_command": command, "tls_report_webhook": webhook}
    assert inventory.run(**told).check().changed == 1
    assert json.loads((tmp_path / "got it.json").read_text()) == given.sample()
    # Told once, whatever the number of hosts.
    ((path, headers, body),) = hook.got
    assert (path, headers["X-Token"], headers["Content-Type"]) == (f"/{SECRETS[0]}", SECRETS[1], "application/json")
    assert body == given.sample()
    assert inventory.run(**told).check().changed == 0


def test_a_webhook_of_an_internal_ca_is_verified(inventory: Inventory, tmp_path: Path) -> None:
    pair, subject = tmp_path / "pair.pem", ["-subj", "/CN=hook", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-days",
        "30",
        *subject,
    ]
    subprocess.run([*command, "-keyout", pair, "-out", tmp_path / "ca.pem"], check=True, capture_output=True)
    pair.write_text(pair.read_text() + (tmp_path / "ca.pem").read_text())
    with serving(pair) as hook:
        trusted = inventory.run(tls_report_webhook={"url": hook.url, "ca_path": str(tmp_path / "ca.pem")})
        assert (trusted.rc, len(hook.got)) == (0, 1)
        refused = inventory.run(tls_report_webhook={"url": hook.url})
        assert "The webhook was not told: no answer" in refused.stdout
        assert (refused.rc != 0, len(hook.got)) == (True, 1)


def test_a_webhook_may_want_other_words(inventory: Inventory, hook: Hook) -> None:
    body = {"text": "{{ fleet_tls_health.summary.findings }} findings, the worst {{ fleet_tls_health.summary.worst }}"}
    inventory.run(tls_report_webhook={"url": hook.url, "body": body}).check()
    assert hook.got[0][2] == {"text": "11 findings, the worst critical"}


def test_nobody_is_told_below_the_severity(inventory: Inventory, hook: Hook) -> None:
    well = given.document([given.certificate()], [given.finding(severity="notice", code="due")])
    inventory.run(health=well, tls_report_webhook={"url": hook.url}).check()
    assert hook.got == []
    inventory.run(health=well, tls_report_webhook={"url": hook.url, "severity": "ok"}).check()
    assert len(hook.got) == 1


@pytest.mark.parametrize(
    ("status", "words"), [(500, "it answered with status 500"), (302, "it answered with status 302"), (0, "no answer")]
)
def test_a_webhook_that_fails_is_told_without_its_secrets(
    inventory: Inventory, hook: Hook, status: int, words: str
) -> None:
    hook.status = status
    url = hook.url if status else f"http://127.0.0.1:1/{SECRETS[0]}"
    run = inventory.run("-vvvv", "--diff", tls_report_webhook={"url": url, "headers": {"X-Token": SECRETS[1]}})
    assert run.rc != 0
    assert f"The webhook was not told: {words}. The reports are written" in run.stdout
    assert names(inventory.reports) == ["health.html", "health.json"]
    for secret in SECRETS:
        assert secret not in run.stdout + run.stderr


def test_secrets_are_not_shown_when_all_goes_well(inventory: Inventory, hook: Hook) -> None:
    run = inventory.run(
        "-vvvv", "--diff", tls_report_webhook={"url": hook.url, "headers": {"X-Token": SECRETS[1]}}
    ).check()
    assert len(hook.got) == 1
    for secret in SECRETS:
        assert secret not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"tls_report_formats": ["pdf"]}, "pdf"),
        ({"tls_report_webhook": {"adress": "http://127.0.0.1/"}}, "adress"),
        ({"fleet_tls_health": {"schema": "other"}}, "not a document of the schema fleet.tls/health/1"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    inventory: Inventory, variables: dict[str, Any], words: str
) -> None:
    run = inventory.run(**variables)
    assert run.rc != 0 and words in run.stdout
    assert not inventory.reports.exists()
