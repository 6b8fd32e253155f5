# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of the packages in docs/architecture.md, drawn from the imports; run by ./dev picture."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import paths

PLUGINS = "ansible_collections.fleet.tls.plugins."
PAGE = paths.ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- packages: drawn by ./dev picture -->\n", "<!-- end of packages -->"
Graph = dict[str, set[str]]


def imported(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def graph(floor: str) -> Graph:
    """Package or file of a floor (``plugin_utils``) → those of the same floor that it imports."""
    root = paths.ROOT / "plugins" / floor
    found: Graph = {}
    for path in sorted(root.rglob("*.py")):
        me = path.relative_to(root).parts[0].removesuffix(".py")
        mine = found.setdefault(me, set())
        for name in imported(path):
            if name.startswith(f"{PLUGINS}{floor}."):
                mine.add(name.removeprefix(f"{PLUGINS}{floor}.").split(".")[0])
        mine.discard(me)
    return found


def reached(links: Graph, begin: str) -> set[str]:
    """All that a package imports, by whatever way; there are no circles."""
    return {each for link in links[begin] for each in (link, *reached(links, link))}


def reduced(links: Graph) -> Graph:
    """Without arrows that a longer way implies."""
    return {each: known - {far for link in known for far in reached(links, link)} for each, known in links.items()}


def drawn() -> str:
    """The picture, as Mermaid has it."""
    lines = ["```mermaid", "flowchart TB"]
    for floor, title in (("plugin_utils", "controller"), ("module_utils", "host")):
        links = reduced(graph(floor))
        lines.append(f"  subgraph {floor}[{title}: {floor}]")
        lines += [f"    {floor}_{each}[{each}]" for each in sorted(links)]
        lines += [f"    {floor}_{each} --> {floor}_{to}" for each in sorted(links) for to in sorted(links[each])]
        lines.append("  end")
    return "\n".join([*lines, "  plugin_utils --> module_utils", "```", ""])


def page(text: str) -> str:
    """The page with the picture as it has to be."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + drawn() + END + rest.split(END)[1]


def main() -> int:
    """Draw it into the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
