# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option that is a time is a duration, and no option's name holds a unit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from tools import paths

# Parts of names of times. Other times are moments, and have other names.
TIMES = re.compile(r"(^|_)(timeout|interval|jitter|lifetime|duration|age|hsts)$")
UNITS = re.compile(r"_(seconds|minutes|hours|days)$")


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Where options are described: modules, filters, event sources and roles."""
    for path in sorted(paths.ROOT.glob("plugins/**/*.py")) + sorted(paths.ROOT.glob("extensions/eda/**/*.py")):
        text = assigned(path, "DOCUMENTATION")
        if text:
            yield str(path.relative_to(paths.ROOT)), yaml.safe_load(text).get("options") or {}
    for path in sorted(paths.ROOT.glob("roles/*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            yield str(path.relative_to(paths.ROOT)), entry["options"]


def assigned(path: Path, name: str) -> str:
    """The text that a Python file assigns to a name."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            if any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
                return str(node.value.value)
    return ""


def options(where: str, described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """All options, those of mappings too."""
    for name, option in described.items():
        yield where, name, option
        yield from options(where, option.get("suboptions") or option.get("options") or {})


# Without a type of its own, an option has that of a fragment, which tests/unit/plugins/action/test_arguments.py holds to the action's.
ALL = [each for where, described in documents() for each in options(where, described) if "type" in each[2]]


@pytest.mark.parametrize(("where", "name", "option"), [each for each in ALL if TIMES.search(each[1])])
def test_a_time_is_a_duration(where: str, name: str, option: dict[str, Any]) -> None:
    assert option["type"] in ("str", "raw"), f"{where}: {name}"
    if option.get("default") is not None:
        parse_duration(option["default"], name, zero=True)


def test_no_name_holds_a_unit() -> None:
    assert [f"{where}: {name}" for where, name, _option in ALL if UNITS.search(name)] == []
    assert sum(bool(TIMES.search(name)) for _where, name, _option in ALL) > 15
