# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.report import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import FORMATS, render
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action

LATER = {**given.sample(), "generated": "2026-11-25T03:00:00Z"}
ALL = "[terminal, json, csv, junit, prometheus, html, cbom, ics]"


def run(
    folder: Path, options: str = f"formats: {ALL}", health: dict[str, Any] | None = None, **how: bool
) -> dict[str, Any]:
    text = f"health: '{{{{ health }}}}'\ndirectory: '{folder}'\n{options}\n"
    return run_action(ActionModule, text, {"health": health or given.sample()}, **how)


def contents(folder: Path) -> dict[str, str]:
    return {each.name: each.read_bytes().decode() for each in folder.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_form_is_written_with_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    result = run(folder)
    assert (result["changed"], result["worst"], result["notified"]) == (True, "critical", False)
    assert contents(folder) == {form.file_name: render(given.sample(), name) for name, form in FORMATS.items()}
    modes = {each.name: mode(each) for each in folder.iterdir()}
    assert modes.pop("fleet_tls.prom") == 0o644
    assert set(modes.values()) == {0o640}


def test_a_second_run_changes_nothing_but_makes_the_moment_new(tmp_path: Path) -> None:
    run(tmp_path)
    again = run(tmp_path, health=LATER, diff=True)
    assert (again["changed"], again["diff"]) == (False, [])
    assert contents(tmp_path) == {form.file_name: render(LATER, name) for name, form in FORMATS.items()}


def test_check_mode_writes_nothing_and_tells_the_truth(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    assert run(folder, check_mode=True)["changed"] is True
    assert not folder.exists()
    run(folder)
    before = contents(folder)
    assert run(folder, health=LATER, check_mode=True)["changed"] is False
    assert contents(folder) == before


def test_the_diff_shows_what_is_new_and_no_moments(tmp_path: Path) -> None:
    run(tmp_path, "formats: [terminal]")
    news = given.sample()
    news["generated"] = "2026-11-25T03:00:00Z"
    news["certificates"][1]["state"] = "revoked"
    diff = run(tmp_path, "formats: [terminal]", news, diff=True)["diff"][0]
    before, after = diff["before"].splitlines(), diff["after"].splitlines()
    assert [(old, new) for old, new in zip(before, after) if old.split() != new.split()] == [
        (line, line.replace("ok", "revoked")) for line in before if line.startswith("web1   www")
    ]


def test_a_file_made_readable_by_others_is_put_right(tmp_path: Path) -> None:
    run(tmp_path, "formats: [json]")
    (tmp_path / "health.json").chmod(0o666)
    again = run(tmp_path, "formats: [json]", diff=True)
    assert again["changed"] is True
    assert "mode 0666, wanted 0640" in again["diff"][0]["before"]
    assert mode(tmp_path / "health.json") == 0o640


def test_a_form_may_go_elsewhere_and_a_link_stays_one(tmp_path: Path) -> None:
    there, link = tmp_path / "real.prom", tmp_path / "link.prom"
    link.symlink_to(there)
    result = run(tmp_path / "d", f"formats: [json]\nfiles: {{prometheus: '{link}'}}")
    assert result["files"] == {"json": str(tmp_path / "d" / "health.json"), "prometheus": str(link)}
    assert link.is_symlink() and there.read_text() == render(given.sample(), "prometheus")


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    run(tmp_path, "formats: [prometheus]")
    with open(tmp_path / "fleet_tls.prom", encoding="utf-8") as before:
        run(tmp_path, "formats: [prometheus]", LATER)
        assert before.read() == render(given.sample(), "prometheus")
    assert [each for each in os.listdir(tmp_path) if each.endswith(".prom")] == ["fleet_tls.prom"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("formats: [pdf]", "format: 'pdf' is unknown"),
        ("files: {htm: /tmp/x}", "Did you mean 'html'"),
        ("files: {html: x.html}", "'x.html' is not an absolute path"),
        ("files: {html: /tmp/a, csv: /tmp/a}", "csv would be one file, /tmp/a|html would be one file, /tmp/a"),
        ("mode: rw", "is not a file mode"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path: Path, options: str, words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        run(tmp_path, options)
    assert contents(tmp_path) == {}


def test_what_cannot_be_written_is_said_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "health.json").mkdir()
    with pytest.raises(AnsibleActionFail, match=r"health\.json cannot be read: Is a directory\..*tls_report_directory"):
        run(tmp_path, "formats: [json]")
    with pytest.raises(AnsibleActionFail, match="there is no directory .*/missing"):
        run(tmp_path, f"formats: []\nfiles: {{html: '{tmp_path}/missing/x.html'}}")


def program(folder: Path, code: str) -> str:
    """Options for a program of the user's, in Python."""
    path = folder / "notify.py"
    path.write_text(f"import json, sys, pathlib, time\nhere = pathlib.Path({str(folder)!r})\n{code}\n")
    return f"formats: []\nnotify_command: ['{sys.executable}', '{path}', 'a b', '$HOME']"


def test_a_program_gets_the_document_and_its_arguments_as_they_are(tmp_path: Path) -> None:
    options = program(tmp_path, "(here / 'got').write_text(json.dumps([json.load(sys.stdin), sys.argv[1:]]))")
    result = run(tmp_path / "d", options)
    assert (result["changed"], result["notified"]) == (False, True)
    assert json.loads((tmp_path / "got").read_text()) == [given.sample(), ["a b", "$HOME"]]


@pytest.mark.parametrize(
    ("found", "limit", "started"),
    [
        ("warning", "critical", False),
        ("warning", "warning", True),
        ("critical", "warning", True),
        ("notice", "ok", True),
    ],
)
def test_a_program_is_started_from_a_severity_on(tmp_path: Path, found: str, limit: str, started: bool) -> None:
    options = program(tmp_path, "(here / 'got').touch()") + f"\nnotify_severity: {limit}"
    health = given.document([], [given.finding(severity=found)])
    assert run(tmp_path / "d", options, health)["notified"] is started
    assert (tmp_path / "got").exists() is started


def test_no_program_is_started_in_check_mode(tmp_path: Path) -> None:
    options = program(tmp_path, "(here / 'got').touch()")
    assert run(tmp_path / "d", options, check_mode=True)["notified"] is False
    assert not (tmp_path / "got").exists()


def test_a_program_that_fails_is_told_in_its_own_words_after_the_files_are_written(tmp_path: Path) -> None:
    options = program(tmp_path, "sys.exit('no mail today')").replace("formats: []", "formats: [json]")
    with pytest.raises(AnsibleActionFail, match="ended with 1: no mail today"):
        run(tmp_path / "d", options)
    assert (tmp_path / "d" / "health.json").exists()


def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    options = program(tmp_path, "time.sleep(600)") + "\nnotify_timeout: 500ms"
    with pytest.raises(AnsibleActionFail, match="was not done in 0.5 s"):
        run(tmp_path / "d", options)
