# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a forge and contributors read: workflows, issue forms, hooks, and what the artifact holds. They name what is there."""

from __future__ import annotations

import fnmatch
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from tools import paths
from tools.suites import SUITES

GITHUB = paths.ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = sorted(each for each in GITHUB.glob("ISSUE_TEMPLATE/*.yml") if each.name != "config.yml")
INPUTS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
PAGES = (
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
    "MAINTAINERS.md",
    "docs/release-policy.md",
    "docs/ansible.md",
)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def steps_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_workflows_run_for_every_change_and_each_night_and_may_only_read() -> None:
    assert WORKFLOWS
    for path in WORKFLOWS:
        workflow = read(path)
        # YAML 1.1 takes "on" for true.
        events = workflow[True]
        assert (
            set(events) >= {"push", "pull_request", "schedule"}
            and events["schedule"][0]["cron"].split()[2:] == ["*"] * 3
        )
        assert workflow["permissions"] == {"contents": "read"}
        assert all(set(job) >= {"runs-on", "timeout-minutes", "steps"} for job in workflow["jobs"].values())
        assert all(("uses" in step) != ("run" in step) for step in steps_of(workflow))
        assert all("@v" in step["uses"] for step in steps_of(workflow) if "uses" in step)


def test_the_matrix_has_every_core_that_is_promised_and_only_the_candidate_may_fail() -> None:
    job = read(GITHUB / "workflows" / "ci.yml")["jobs"]["versions"]
    rows = job["strategy"]["matrix"]["include"]
    cores = {row["core"] for row in rows if not row.get("candidate")}
    assert cores == {"2.19", "2.20", "2.21"} and [row["core"] for row in rows if row.get("candidate")] == ["candidate"]
    oldest = read(paths.ROOT / "meta" / "runtime.yml")["requires_ansible"]
    assert oldest == f">={min(cores)}.0"
    assert {row["python"] for row in rows} >= {"3.11", "3.12", "3.13"}
    assert "candidate" in job["continue-on-error"] and job["strategy"]["fail-fast"] is False


def test_commands_name_what_is_there() -> None:
    texts = [step["run"] for path in WORKFLOWS for step in steps_of(read(path)) if "run" in step]
    texts.append((paths.ROOT / "CONTRIBUTING.md").read_text())
    named = {
        word
        for text in texts
        for found in re.findall(r"\./dev test((?: [a-z][\w.-]*)+)", text)
        for word in found.split()
    }
    assert named <= {suite.name for suite in SUITES}
    given = {word for text in texts for word in re.findall(r"(?<![\w./])(?:tests|plugins)/[\w./-]+\w", text)}
    assert {each for each in given if "NAME" not in each and not (paths.ROOT / each).exists()} == set()


def test_issue_forms_are_what_the_forge_takes() -> None:
    assert {path.stem for path in FORMS} == {"bug_report", "feature_request", "documentation"}
    for path in FORMS:
        form = read(path)
        assert set(form) == {"name", "description", "labels", "body"}
        ids = [each["id"] for each in form["body"] if each["type"] != "markdown"]
        assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[a-z_]+", each) for each in ids)
        assert {each["type"] for each in form["body"]} <= INPUTS
        assert all(each["attributes"].get("label") or each["attributes"].get("value") for each in form["body"])
    links = read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")["contact_links"]
    assert all(set(each) == {"name", "url", "about"} for each in links)


def test_hooks_run_programs_of_the_linters() -> None:
    hooks = [hook for repo in read(paths.ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert len({hook["id"] for hook in hooks}) == len(hooks) > 3
    for hook in hooks:
        program = Path(hook["entry"].split()[0]).name
        assert (paths.venv("main") / "bin" / program).exists() or shutil.which(program) or program == "shellcheck"


def test_pages_link_to_what_is_there() -> None:
    for page in PAGES:
        path = paths.ROOT / page
        missing = [each for each in LINK.findall(path.read_text()) if not (path.parent / each).exists()]
        assert missing == [], page


def test_the_artifact_has_no_tests_and_none_of_our_tools() -> None:
    ignored = read(paths.ROOT / "galaxy.yml")["build_ignore"]
    for name in (
        "tests",
        "extensions/molecule",
        ".github",
        "dev",
        "mypy.ini",
        ".pre-commit-config.yaml",
        ".ansible-lint",
    ):
        assert any(fnmatch.fnmatch(name, pattern) for pattern in ignored), name
    # Whatever is at the top has been thought of: it is shipped, or it is not.
    shipped = {
        "CHANGELOG.rst", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE", "MAINTAINERS.md", "README.md", "SECURITY.md", "bindep.txt",
        "changelogs", "docs", "examples", "extensions", "galaxy.yml", "meta", "playbooks", "plugins", "requirements-extras.txt",
        "requirements.txt", "roles",
    }  # fmt: skip
    tops = {each.name for each in paths.ROOT.iterdir()} - {
        ".git",
        ".dev",
        ".ruff_cache",
        ".pytest_cache",
        ".mypy_cache",
    }
    assert {each for each in tops - shipped if not any(fnmatch.fnmatch(each, pattern) for pattern in ignored)} == set()
