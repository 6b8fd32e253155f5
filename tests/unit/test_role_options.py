# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's options are written thrice: to be checked, to have a default, and to be read. These say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parents[1] for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
# The web servers' roles share most of their variables, which are described with nginx.
SHARED = {"apache": "nginx", "haproxy": "nginx"}
TASKS = "".join(path.read_text() for name in ("roles", "playbooks") for path in ROOT.joinpath(name).rglob("*.yml"))
ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \|([^|]*)\|", re.MULTILINE)


def options_of(role: Path) -> dict[str, Any]:
    entries = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"].values()
    return {name: option for entry in entries for name, option in (entry.get("options") or {}).items()}


def defaults_of(role: Path) -> dict[str, Any]:
    return yaml.safe_load((role / "defaults/main.yml").read_text()) or {}


def rows_of(role: Path) -> dict[str, str]:
    """Variable → its default in words, by the README's table."""
    rows = ROW.findall((role / "README.md").read_text())
    return {name: cell.strip() for names, cell in rows for name in re.findall(r"`(tls_\w+)`", names)}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults(role: Path) -> None:
    options, defaults = options_of(role), defaults_of(role)
    assert set(defaults) <= set(options)
    # An expression has no value that the specification could tell.
    values = {name: value for name, value in defaults.items() if "{{" not in str(value)}
    assert {name: options[name].get("default") for name in values} == values
    # Some are for playbooks too, which know no role's defaults.
    told = {name for name, option in options.items() if "default" in option} - set(defaults)
    assert {name for name in told if f"{name} | default(" not in TASKS} == set()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_readme(role: Path) -> None:
    options, rows = options_of(role), rows_of(role)
    assert set(rows) <= set(options)
    text = "".join(
        (role.parent / name / "README.md").read_text() for name in sorted({role.name, SHARED.get(role.name, role.name)})
    )
    users = {name for name in options if not name.startswith("fleet_tls_")}
    # `tls_session_ticket_owner`, `_group`
    assert {name for name in users if name not in text and f"`_{name.rpartition('_')[2]}`" not in text} == set()
    # A cell that is one literal, in the row of one variable, is the default.
    told = {
        name: cell[1:-1] for name, cell in rows.items() if re.fullmatch(r"`[^`]+`", cell) and name in defaults_of(role)
    }
    usual = {name: options[name].get("default") for name in told}
    wrong = {name for name, text in told.items() if usual[name] not in (text, yaml.safe_load(text))}
    assert wrong == set()
