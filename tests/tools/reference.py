# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of docs/reference, rendered from the documentation beside the code; run by ./dev reference.

A sub-plugin has ``DOCUMENTATION`` and ``EXAMPLES`` as Ansible's plugins do. Two things are different: an option may extend a fragment too,
whose options become its suboptions, and L() may name a page of docs/ as seen from docs/reference.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import paths

SUB_PLUGINS = paths.ROOT / "plugins" / "sub_plugins"
FRAGMENTS = paths.ROOT / "plugins" / "doc_fragments"
PAGES = paths.ROOT / "docs" / "reference"
EXTENDS = "extends_documentation_fragment"
# Kind of sub-plugin -> how its page is called, and what users write its options in.
KINDS = {
    "issuer": ("Issuers", "The entries of `tls_issuers`: where certificates come from. [Issuers](../issuers/README.md) compares the types."),
    "store": ("Stores", "`tls_store`: where CA keys, accounts, the ledger and everything else that outlives a run is kept."),
    "key": ("Keys", "`keys` of an [issuer `ca`](../issuers/ca.md): where the private keys of CAs are. [Keys](../keys.md) says how to set them up."),
    "solver": ("Solvers", "`challenge` of an [issuer `acme`](../issuers/acme.md#challenges): how a CA validates names."),
}  # fmt: skip
MADE = "<!-- made by ./dev reference from the documentation beside the code -->\n"
MARKUP = (
    (re.compile(r"\bL\(([^,()]+), ?([^()]+)\)"), r"[\1](\2)"),
    (re.compile(r"\b[CVMOP]\(([^()]+(?:\([^()]*\))?[^()]*)\)"), r"`\1`"),
    (re.compile(r"\bB\(([^()]+)\)"), r"**\1**"),
    (re.compile(r"\bI\(([^()]+)\)"), r"*\1*"),
)
Doc = dict[str, Any]


def constants(nodes: list[ast.stmt]) -> dict[str, str]:
    """Name → text, of those that are assigned a text."""
    return {
        target.id: node.value.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@functools.cache
def fragment(name: str) -> Doc:
    """``fleet.tls.providers.openbao``: OPENBAO of doc_fragments/providers.py; {}: there is none of that name."""
    file, _dot, constant = name.removeprefix("fleet.tls.").partition(".")
    tree = ast.parse((FRAGMENTS / f"{file}.py").read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    return parsed(constants(found.body).get(constant.upper() or "DOCUMENTATION", "{}"))


def parsed(text: str) -> Doc:
    """A documentation, with the fragments that it extends."""
    return extended(yaml.safe_load(text), "options")


def extended(node: Doc, below: str) -> Doc:
    """A documentation or an option, with the options of fragments ``below`` it; its own come first."""
    own = dict(node.get(below, {}))
    for option, about in own.items():
        own[option] = extended(about, "suboptions")
    names = node.get(EXTENDS, [])
    requirements = list(node.get("requirements", []))
    for name in [names] if isinstance(names, str) else names:
        shared = fragment(name)
        own = {**own, **{each: about for each, about in shared["options"].items() if each not in own}}
        requirements += shared.get("requirements", [])
    made = {**node, below: own} if own else dict(node)
    if requirements and below == "options":
        made["requirements"] = requirements
    return made


@functools.cache
def sub_plugins(kind: str) -> dict[str, tuple[Doc, list[Any]]]:
    """Type → its documentation, and its examples as YAML documents.

    :raises ValueError: one has none.
    """
    found = {}
    for path in sorted((SUB_PLUGINS / kind).glob("[a-z]*.py")):
        texts = constants(ast.parse(path.read_text(encoding="utf-8")).body)
        if not {"DOCUMENTATION", "EXAMPLES"} <= set(texts):
            raise ValueError(
                f"{path.relative_to(paths.ROOT)} has no DOCUMENTATION and EXAMPLES: write them as its neighbours have them"
            )
        found[path.stem] = parsed(texts["DOCUMENTATION"]), texts["EXAMPLES"].strip().split("\n---\n")
    return found


def common(kind: str) -> Doc:
    """The documentation of what all types of a kind take."""
    return fragment(f"fleet.tls.providers.{kind}")


def kinds() -> list[str]:
    """All kinds of sub-plugins that there are."""
    return sorted(path.name for path in SUB_PLUGINS.iterdir() if any(path.glob("[a-z]*.py")))


def prose(text: Any) -> list[str]:
    """Paragraphs of a description, in Markdown."""
    found = []
    for paragraph in [text] if isinstance(text, str) else list(text or []):
        for pattern, instead in MARKUP:
            paragraph = pattern.sub(instead, paragraph)
        found.append(" ".join(paragraph.split()))
    return found


def rows(options: Mapping[str, Doc], above: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and description of each option; those within another one follow it."""
    for name, about in options.items():
        path = f"{above}{name}"
        kind = f"list of {about['elements']}" if about.get("elements") else about["type"]
        default = about.get("default")
        usual = (
            "required"
            if about.get("required")
            else f"`{plain(default)}`"
            if "default" in about and default != ""
            else ""
        )
        text = " ".join(prose(about["description"]))
        if about.get("choices"):
            text += f" One of {', '.join(f'`{each}`' for each in about['choices'])}."
        yield f"`{path}`", kind, usual, text.replace("|", "\\|")
        yield from rows(about.get("suboptions", {}), f"{path}.")


def plain(value: Any) -> str:
    """A default as users write it."""
    return value if isinstance(value, str) else json.dumps(value)


def table(options: Mapping[str, Doc]) -> str:
    """The options as a table."""
    lines = ["| option | type | default | |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows(options))]) + "\n"


def section(name: str, doc: Doc, examples: list[str]) -> str:
    """What is said of one type."""
    lines = [
        f"## {name}",
        "",
        f"{doc['short_description']}.",
        "",
        *[f"{each}\n" for each in prose(doc.get("description"))],
    ]
    if doc.get("requirements"):
        lines += ["Needs on the controller: " + "; ".join(prose(doc["requirements"])) + ".", ""]
    lines.append(table(doc["options"]) if doc.get("options") else "It has no options.\n")
    for each in examples:
        lines += ["```yaml", each.strip(), "```", ""]
    return "\n".join(lines)


def page(kind: str) -> str:
    """The page of a kind of sub-plugins."""
    title, about = KINDS.get(kind, (f"{kind.capitalize()}s", ""))
    shared, found = common(kind), sub_plugins(kind)
    lines = [f"# {title}", "", MADE, about, ""] if about else [f"# {title}", "", MADE]
    if shared.get("options"):
        lines += [f"Every type of {kind} takes these:", "", table(shared["options"])]
    return "\n".join([*lines, *(section(name, *each) for name, each in found.items())]).rstrip() + "\n"


def taken_by(preset: Any) -> str:
    """How a service takes a new pair where systemd runs; "": by its command."""
    if preset.reload_by or preset.signal:
        return f"`{preset.reload_by or f'SIG{preset.signal}'}`"
    if preset.control:
        return "`CONFIG SET`"
    return "its unit's" if preset.through_unit else ""


def presets_page() -> str:
    """What the presets of services say."""
    if str(paths.COLLECTIONS) not in sys.path:
        sys.path.append(str(paths.COLLECTIONS))
    from ansible_collections.fleet.tls.plugins.plugin_utils.spec.presets import find_preset, preset_names

    def words(commands: Any) -> str:
        return f"`{' '.join(commands)}`" if commands else ""

    lines = [
        "# Presets", "", MADE,
        "The services that are known by name. [Services](../services.md) says how each takes a new pair, and how you change a preset or add one.", "",
        "| preset | `unit` | `validate` | `reload` | `endpoints` | `programs` | `user` |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in preset_names():
        preset = find_preset(name)
        assert preset is not None
        several = [
            ", ".join(f"`{each}`" for each in values) for values in (preset.units, preset.endpoints, preset.programs)
        ]
        how = taken_by(preset) or words(preset.reload)
        cells = [
            f"`{name}`",
            several[0],
            words(preset.validate),
            how,
            several[1],
            several[2],
            f"`{preset.user or 'root'}`",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """File name → text, of all pages."""
    return {**{f"{kind}s.md": page(kind) for kind in kinds()}, "presets.md": presets_page()}


def main() -> int:
    """Write them."""
    PAGES.mkdir(exist_ok=True)
    made = pages()
    for name, text in made.items():
        (PAGES / name).write_text(text, encoding="utf-8")
    for path in PAGES.glob("*.md"):
        if path.name not in made:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
