# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action takes is what its module documents: the one is checked with, the other is read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.fleet.tls.plugins.action import certificates
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import FORMATS
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_FIELDS

PLUGINS = Path(certificates.__file__).resolve().parents[1]
PACKAGE = "ansible_collections.fleet.tls.plugins"
ACTIONS = sorted(path.stem for path in PLUGINS.joinpath("action").glob("*.py"))
COMPARED: dict[str, Any] = {"type": "str", "elements": None, "default": None, "required": False, "choices": None}
# Documented field by field, and checked by a parser of ours that names the entry: module and option → its fields.
PARSED = {("certificates", "certificates"): CERTIFICATE_FIELDS}
# The same for words to choose from, whose parser says what was probably meant.
CHOSEN = {("report", "formats"): list(FORMATS)}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """As Ansible puts a fragment below what a module says itself."""
    both = {
        key: merged(below[key], value) if isinstance(value, Mapping) and isinstance(below.get(key), Mapping) else value
        for key, value in above.items()
    }
    return {**below, **both}


def documented(name: str) -> dict[str, Any]:
    """A module's options, those of its fragments among them."""
    found = yaml.safe_load(importlib.import_module(f"{PACKAGE}.modules.{name}").DOCUMENTATION)
    options: dict[str, Any] = found.get("options") or {}
    for fragment in found["extends_documentation_fragment"]:
        file, _dot, section = fragment.removeprefix("fleet.tls.").partition(".")
        text = getattr(
            importlib.import_module(f"{PACKAGE}.doc_fragments.{file}").ModuleDocFragment,
            section.upper() or "DOCUMENTATION",
        )
        options = merged(yaml.safe_load(text).get("options") or {}, options)
    return options


def disagreements(arguments: Mapping[str, Any], options: Mapping[str, Any], where: tuple[str, ...]) -> list[str]:
    """What is said in two ways, in words."""
    found = [f"{'.'.join((*where, name))} is only on one side" for name in sorted(set(arguments) ^ set(options))]
    for name in sorted(set(arguments) & set(options)):
        here, argument, option = (*where, name), arguments[name], options[name]
        if here in CHOSEN:
            argument = {**argument, "choices": CHOSEN[here]}
        found += [
            f"{'.'.join(here)}: {key}: the action says {argument.get(key, usual)}, the documentation {option.get(key, usual)}"
            for key, usual in COMPARED.items()
            if not agree(key, argument.get(key, usual), option.get(key, usual))
        ]
        if not option.get("description"):
            found.append(f"{'.'.join(here)} is not described")
        nested = option.get("suboptions") or {}
        if here in PARSED:
            assert "options" not in argument
            found += [f"{'.'.join(here)}: {each} is only on one side" for each in set(nested) ^ set(PARSED[here])]
        else:
            found += disagreements(argument.get("options") or {}, nested, here)
    return found


def agree(key: str, argument: Any, option: Any) -> bool:
    """An action takes a path of a host as text: Ansible would expand it as one of the controller's."""
    return argument == option or (key == "type" and (argument, option) == ("str", "path"))


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_takes_what_its_module_documents(name: str) -> None:
    arguments = importlib.import_module(f"{PACKAGE}.action.{name}").ActionModule.ARGUMENTS
    assert disagreements(arguments, documented(name), (name,)) == []


def test_it_notices_a_difference() -> None:
    arguments = {"a": {"type": "int", "default": 1}, "b": {"type": "dict", "options": {"x": {}}}, "c": {}}
    options = {
        "a": {"type": "int", "default": 2, "description": "A."}, "b": {"type": "dict", "description": "B."}, "c": {}
    }  # fmt: skip
    assert disagreements(arguments, options, ("m",)) == [
        "m.a: default: the action says 1, the documentation 2", "m.b.x is only on one side", "m.c is not described",
    ]  # fmt: skip


def test_facts_of_certificates_are_told_in_the_same_words() -> None:
    """RETURN has no fragments before ansible-core 2.20."""
    files, endpoints = (
        yaml.safe_load(importlib.import_module(f"{PACKAGE}.modules.{name}").RETURN)
        for name in ("certificate_files_info", "endpoint_info")
    )
    one = files["files"]["contains"]["certificates"]["contains"]
    other = endpoints["endpoints"]["contains"]["certificates"]["contains"]
    shared = set(one) & set(other)
    assert len(shared) >= 15 and {name for name in shared if one[name] != other[name]} == set()
