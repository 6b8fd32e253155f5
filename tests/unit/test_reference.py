# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of each sub-plugin says what its code accepts, and docs/reference says what the documentation says.

What the code accepts is asked of the code itself: each provider is made with options that are left out, misspelt or of a wrong kind.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.fleet.tls.plugins.plugin_utils.base import fields as fields_module
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import load_solver
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import load_key_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from tools import paths, reference

NOBODY = "zz_nobody_knows"
SECRET = "c2VjcmV0IG9mIGEga2V5"
ALL = [(kind, name) for kind in reference.kinds() for name in reference.sub_plugins(kind)]
# What makes one of each kind of its options, with where these are for messages.
MAKERS: dict[str, tuple[str, Callable[[dict[str, Any], Path], Any]]] = {
    "issuer": ("issuer 'x': ", lambda raw, folder: load_issuer("x", raw, load_store({"type": "directory", "path": str(folder)}))),
    "store": ("store: ", lambda raw, folder: load_store(raw)),
    "key": ("x: ", lambda raw, folder: load_key_provider(raw, "x")),
    "solver": ("x: challenge: ", lambda raw, folder: load_solver(raw, "x")),
}  # fmt: skip
# Required only where another one is not there; the text of the documentation says so.
ONE_OF = {("issuer", "fetch", "certificate"), ("solver", "dns_rfc2136", "server"), ("key", "pkcs11", "pin")}
# Defaults that are computed, or that are a word of the code's own.
COMPUTED = {
    ("issuer", "ca", "common_name"),
    ("issuer", "ca", "path_length"),
    ("solver", "dns_rfc2136", "server"),
}
# Defaults of options that decide which others there are; the code looks at them before it looks at a mapping's fields.
FIRST = ("auth: method", "type")
# Where another option decides what is accepted: values of it.
VARIANTS = {"auth": [{"method": each} for each in ("token", "approle", "cert")]}
# What stands beside an option in a mapping because it is required there.
BESIDE = {
    "url": "https://bao.example.com",
    "auth": {"method": "token", "token": SECRET},
    "certificate": "/srv/a.pem",
    "server": "ns1.example.com",
}
# (type, option) → the option that it takes the place of.
INSTEAD = {("fetch", "openbao"): "certificate"}
# How the code looks at an option → the type that it has then; other looks say nothing of it.
TYPES = {"flag": "bool", "items": "list", "strings": "list"}
# Option → how the code has looked at it, and the default that it had in mind.
Seen = dict[str, list[tuple[str, Any]]]
# A root alone may be in OpenBao.
ONLY_ROOT = {"openbao"}


def given(kind: str, name: str) -> dict[str, Any]:
    """What is asked of all that follows: the first example's options that are required, and its type."""
    doc, examples = reference.sub_plugins(kind)[name]
    first = entry(kind, next(iter(documents(examples))))
    needed = {option for option, about in doc["options"].items() if about.get("required")}
    return {key: value for key, value in first.items() if key == "type" or key in needed or (kind, name, key) in ONE_OF}


def documents(examples: list[str]) -> Iterator[Any]:
    """All examples as YAML; what Ansible Vault has is base64 of something long."""
    for text in examples:
        yield yaml.safe_load(text.replace("{{ inventory_dir }}", "/srv").replace('"{{ vault', f'"{SECRET}{{{{ vault'))


def entry(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """The first entry of an example."""
    return entries(kind, document)[0]


def entries(kind: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    """All entries of an example, templates filled in."""
    found = document.popitem()[1] if kind != "solver" else document["challenge"]
    several = list(found.values()) if kind in ("issuer", "key") else [found]
    return [filled(each) for each in several]


def filled(node: Any) -> Any:
    """With values for templates."""
    if isinstance(node, dict):
        return {key: filled(value) for key, value in node.items()}
    if isinstance(node, list):
        return [filled(each) for each in node]
    return SECRET if isinstance(node, str) and "{{ " in node else node


def made(kind: str, raw: dict[str, Any], folder: Path) -> Any:
    """One of these options."""
    return MAKERS[kind][1](copy.deepcopy(raw), folder)


def refusal(kind: str, raw: dict[str, Any], folder: Path) -> SpecError | None:
    """Why it is refused, None: it is not."""
    try:
        made(kind, raw, folder)
    except SpecError as error:
        return error
    return None


def options(kind: str, name: str) -> dict[str, Any]:
    """All that are documented, those of every type of the kind among them."""
    return {**reference.common(kind).get("options", {}), **reference.sub_plugins(kind)[name][0].get("options", {})}


def nested(known: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Path → documentation, of all options and suboptions."""
    for option, about in known.items():
        yield (*above, option), about
        yield from nested(about.get("suboptions", {}), (*above, option))


def at(raw: dict[str, Any], path: tuple[str, ...], value: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """The options with another value at a path; mappings and lists on the way are made, with what is required in them."""
    option, *rest = path
    about = known[option]
    if rest:
        inside = about["suboptions"]
        needed = {each: BESIDE.get(each, SECRET) for each, one in inside.items() if one.get("required")}
        value = at({**needed, **(raw[option] if isinstance(raw.get(option), dict) else {})}, tuple(rest), value, inside)
    instead = INSTEAD.get((str(raw.get("type")), option), "")
    kept = {key: copy.deepcopy(one) for key, one in raw.items() if key != instead}
    return {**kept, option: [value] if about.get("elements") == "dict" else value}


def accepted(kind: str, raw: dict[str, Any], path: tuple[str, ...], known: Mapping[str, Any], folder: Path) -> set[str]:
    """The names that the code knows in the mapping at a path; empty: it looks at none."""
    found: set[str] = set()
    for variant in VARIANTS.get(path[-1], [{}]):
        value: Any = {**variant, NOBODY: 1}
        error = refusal(kind, at(raw, path, value, known), folder)
        if error and f"unknown option '{NOBODY}'" in error.message:
            assert error.remedy and error.remedy.startswith("known: "), error.remedy
            found |= set(error.remedy.removeprefix("known: ").split(", "))
    return found


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_option_that_is_accepted_is_documented_and_no_other(kind: str, name: str, tmp_path: Path) -> None:
    known, raw = options(kind, name), given(kind, name)
    error = refusal(kind, {**raw, NOBODY: 1}, tmp_path)
    assert error and error.remedy
    # The loader takes these away before the provider sees any.
    loaders = {"issuer": {"type", "permit"}}.get(kind, {"type"})
    assert (set(error.remedy.removeprefix("known: ").split(", ")) - {"none"}) | loaders == set(known)
    for path, about in nested(known):
        if about["type"] in ("dict", "raw") or about.get("elements") == "dict":
            documented = set(about.get("suboptions", {})) - (ONLY_ROOT if path == ("issuing",) else set())
            found = accepted(kind, raw, path, known, tmp_path)
            # One that repeats another, or is checked as another one of the code, says so in its text.
            if documented or not str(about["description"]).startswith(("As O(", "Your own issuing CA")):
                assert found - {"openbao"} == documented - {"openbao"}, path


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_what_is_required_is_required_and_nothing_else(kind: str, name: str, tmp_path: Path) -> None:
    known, raw = options(kind, name), given(kind, name)
    assert refusal(kind, raw, tmp_path) is None
    for option, about in known.items():
        # Without a type, it is another provider whose options are looked at.
        if option in raw and option != "type":
            without = {key: value for key, value in raw.items() if key != option}
            needed = about.get("required", False) or (kind, name, option) in ONE_OF
            assert (refusal(kind, without, tmp_path) is not None) is needed, option


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_examples_are_accepted(kind: str, name: str, tmp_path: Path) -> None:
    found = [each for document in documents(reference.sub_plugins(kind)[name][1]) for each in entries(kind, document)]
    assert found and all(each["type"].replace("-", "_") == name for each in found)
    for raw in found:
        made(kind, raw, tmp_path)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_choices_are_those_of_the_code(kind: str, name: str, tmp_path: Path) -> None:
    known, raw = options(kind, name), given(kind, name)
    for path, about in nested(known):
        if about["type"] == "str" and path[-1] != "type":
            error = refusal(kind, at(raw, path, NOBODY, known), tmp_path)
            words = error.remedy if error and f"'{NOBODY}' is unknown" in error.message else ""
            listed = words.removeprefix("known: ").split(", ") if words and words.startswith("known: ") else None
            assert listed == about.get("choices"), path


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_defaults_and_types_are_those_of_the_code(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Seen = {}
    watch(monkeypatch, seen, MAKERS[kind][0])
    known, raw = options(kind, name), given(kind, name)
    made(kind, raw, tmp_path)
    for path, about in nested(known):
        # A mapping that nobody wrote is not looked at.
        if len(path) > 1 and "default" in about:
            refusal(kind, at(raw, path, about["default"], known), tmp_path)
    documented = {": ".join(path): about for path, about in nested(known)}
    unseen = {where for where, one in documented.items() if "default" in one and not where.endswith(FIRST)} - set(seen)
    assert not unseen, unseen
    for where, looks in seen.items():
        about = documented.get(where)
        if about is None or about["type"] == "raw" or (kind, name, where) in COMPUTED:
            continue
        default = next((each for _accessor, each in looks if each is not None), None)
        if default is not None and not about.get("required"):
            assert json.dumps(about.get("default")) == json.dumps(default), where
        kinds = {TYPES[accessor] for accessor, _default in looks if accessor in TYPES}
        assert kinds == ({about["type"]} & set(TYPES.values())), where


def watch(monkeypatch: pytest.MonkeyPatch, seen: Seen, prefix: str) -> None:
    """Note which options are looked at, how, and with which default; the code runs as ever."""
    original = {each: getattr(Fields, each) for each in ("flag", "items", "strings", "text", "get")}
    inside: list[str] = []

    def watched(accessor: str) -> Callable[..., Any]:
        def call(self: Fields, field: str, *rest: Any) -> Any:
            inside.append(accessor)
            try:
                if accessor == "get":
                    where = re.sub(r"rule \d+: ", "", f"{self.prefix}{field}".removeprefix(prefix))
                    seen.setdefault(where, []).append((inside[0], rest[0] if rest else None))
                return original[accessor](self, field, *rest)
            finally:
                inside.pop()

        return call

    for each in original:
        monkeypatch.setattr(fields_module.Fields, each, watched(each))


def test_the_pages_are_as_the_code_says() -> None:
    made_now = reference.pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in (paths.ROOT / "docs" / "reference").glob("*.md")}
    assert there == made_now, "run ./dev reference"
