# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kit for AWX: its options are those of the collection awx.awx, and what it makes fits the collection's playbooks."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import paths
from tools.playbook import ansible_environment

KIT = paths.ROOT / "extensions" / "awx"
PLAYBOOKS = {path.stem for path in (paths.ROOT / "playbooks").glob("*.yml")} - {"rotation_hosts"}
# RFC 5545, as AWX wants it: one moment in UTC, one rule.
SCHEDULE = re.compile(r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=(HOURLY|DAILY|WEEKLY);INTERVAL=\d+")


class Loader(yaml.SafeLoader):
    """YAML as Ansible reads it; what is unsafe is text."""


Loader.add_constructor("!unsafe", yaml.SafeLoader.construct_yaml_str)


def loaded(path: Path) -> Any:
    """What a YAML file says."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


def program(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the environment with AWX's own collection."""
    command = [str(paths.venv("awx") / "bin" / name), *arguments]
    return subprocess.run(
        command, env=ansible_environment("awx"), capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def tasks() -> list[dict[str, Any]]:
    """Those of configure.yml that call AWX."""
    (play,) = loaded(KIT / "configure.yml")
    return [task for task in play["tasks"] if any(key.startswith("awx.awx.") for key in task)]


@pytest.fixture(scope="module")
def templates() -> list[dict[str, Any]]:
    """The job templates."""
    return list(loaded(KIT / "kit.yml")["fleet_tls_awx_job_templates"])


def test_the_playbook_is_one() -> None:
    done = program("ansible-playbook", "--syntax-check", str(KIT / "configure.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_option_is_one_of_its_module(tasks: list[dict[str, Any]]) -> None:
    modules = {next(key for key in task if key.startswith("awx.awx.")): task for task in tasks}
    done = program("ansible-doc", "--json", "--type", "module", *modules)
    known = {name: entry["doc"]["options"] for name, entry in json.loads(done.stdout).items()}
    assert set(known) == set(modules) and len(known) == len(tasks)
    for name, task in modules.items():
        given = task[name]
        assert set(given) <= set(known[name]), name
        assert {option for option, entry in known[name].items() if entry.get("required")} <= set(given), name
        for option, value in given.items():
            choices = known[name][option].get("choices")
            assert not choices or value in choices, f"{name}: {option}"


def test_missing_settings_are_named() -> None:
    done = program("ansible-playbook", "-i", "localhost,", str(KIT / "configure.yml"))
    assert done.returncode == 2
    assert "tls_awx_project_url" in done.stdout


def test_the_project_has_every_playbook_of_the_collection(templates: list[dict[str, Any]]) -> None:
    wrappers = {path.stem: loaded(path) for path in (KIT / "project").glob("*.yml")}
    assert set(wrappers) == PLAYBOOKS
    for name, (play,) in wrappers.items():
        assert play["ansible.builtin.import_playbook"] == f"fleet.tls.{name}"
    assert {Path(each["playbook"]).stem for each in templates} <= PLAYBOOKS


def test_what_is_asked_is_what_its_playbook_reads(templates: list[dict[str, Any]]) -> None:
    asked = 0
    for template in templates:
        text = (paths.ROOT / "playbooks" / template["playbook"]).read_text(encoding="utf-8")
        questions = template.get("survey", {}).get("spec", [])
        asked += len(questions)
        for variable in [*(each["variable"] for each in questions), *template.get("variables", {})]:
            assert variable in text, template["name"]
        # An empty answer would count as one.
        assert all(each["required"] for each in questions)
    assert asked > 5


def test_schedules_and_names(templates: list[dict[str, Any]]) -> None:
    schedules = [each["schedule"] for each in templates if "schedule" in each]
    assert len(schedules) >= 4 and all(SCHEDULE.fullmatch(each) for each in schedules)
    names = [each["name"] for each in templates]
    assert len(set(names)) == len(names)
    assert set(loaded(KIT / "kit.yml")["tls_awx_schedules_off"]) <= set(names)


def test_reasons_are_those_of_the_playbook(templates: list[dict[str, Any]]) -> None:
    (revoke,) = [each for each in templates if each["playbook"] == "revoke.yml"]
    reasons = next(each["choices"] for each in revoke["survey"]["spec"] if each["variable"] == "tls_revoke_reason")
    head = (paths.ROOT / "playbooks" / "revoke.yml").read_text(encoding="utf-8")
    line = next(each for each in head.splitlines() if each.startswith("# tls_revoke_reason"))
    assert set(reasons) == set(re.findall(r"[a-z]+(?:_[a-z]+)*", line.split(None, 2)[2])) - {"default"}


def test_the_page_reads_what_the_credential_gives() -> None:
    given = set(loaded(KIT / "kit.yml")["fleet_tls_awx_credential_type"]["injectors"]["env"])
    page = (paths.ROOT / "docs" / "awx.md").read_text(encoding="utf-8")
    assert given == set(re.findall(r"\bFLEET_TLS_[A-Z_]+\b", page))


def test_an_execution_environment_begins_to_be_built(tmp_path: Path) -> None:
    """As far as that goes without its base image: the whole build context, and what the collection asks for."""
    definition = KIT / "execution-environment.yml"
    done = program("ansible-builder", "create", "--file", str(definition), "--context", str(tmp_path / "context"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ansible-runner" in (tmp_path / "context" / "Containerfile").read_text(encoding="utf-8")
    done = program("ansible-builder", "introspect", "--sanitize", str(paths.COLLECTIONS))
    assert done.returncode == 0, done.stderr
    wanted = yaml.safe_load(done.stdout)
    assert any(each.startswith("hvac") for each in wanted["python"])
    assert any(each.startswith("openssh-client") for each in wanted["system"])
