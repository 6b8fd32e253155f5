# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation site, built into .dev/site by ./dev site: antsibull-docs renders the pages of modules, plugins and roles, Sphinx all of it
and the pages in Markdown.

A link to a file that is no page of the site becomes one to the repository; one to a module's file leads to the module's page.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import paths, trees, venvs
from tools.running import Failed, Run, program, tool_environment

SITE = paths.DEV / "site"
PAGES = ("docs/**/*.md", "examples/*/README.md", "roles/*/README.md")
# The pages of docs/docsite/rst, and what they lead to; antsibull-docs takes no lists of files that are not beside them.
SECTIONS = {
    "start": ("docs/getting-started.md", "docs/concepts.md", "docs/faq.md", "docs/upgrade.md"),
    "guides": ("docs/guides/*.md", "docs/awx.md", "examples/*/README.md"),
    "runbooks": ("docs/runbooks/*.md", "docs/troubleshooting.md"),
    "reference": (
        "docs/variables.md",
        "docs/reference/*.md",
        "docs/issuers/*.md",
        "docs/stores/*.md",
        "roles/*/README.md",
    ),
    "more": ("docs/**/*.md", "docs/*.md"),
}
IMAGES = ("docs/**/*.png", "docs/**/*.svg")
REPOSITORY = "https://github.com/fleet-tls/fleet.tls/{kind}/main/{path}"
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?P<heading>#[^)\s]*)?(?=\))")
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
CONTENTS = re.compile(r"^\.\. contents::\n(?:   .*\n)+", re.MULTILINE)
MODULE = re.compile(r"plugins/modules/(\w+)\.py")


def build(run: Run) -> Path:
    """Build it; the folder of its pages.

    :raises Failed: a page cannot be rendered, or has a link or a reference that leads nowhere.
    """
    venvs.ensure("site")
    source, copy = SITE / "source", trees.copy()
    shutil.rmtree(SITE, ignore_errors=True)
    source.mkdir(parents=True)
    env = tool_environment()
    env["PATH"] = os.pathsep.join([str(paths.venv("site") / "bin"), env["PATH"]])
    options = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", str(source)]
    run.run([program("antsibull-docs", "site"), "collection", *options, "fleet.tls"], cwd=copy, env=env)
    lay_out(copy, source)
    out = SITE / "html"
    sphinx = ["-W", "--keep-going", "-q", "-j", "2", "-c", str(copy / "docs" / "docsite"), "-d", str(SITE / "doctrees")]
    run.run([program("sphinx-build", "site"), *sphinx, str(source), str(out)], cwd=copy, env=env)
    return out


def lay_out(copy: Path, source: Path) -> None:
    """Copy pages and images beside what antsibull-docs has made, and lead links where the site has their targets."""
    pages = {each.relative_to(copy) for pattern in PAGES for each in copy.glob(pattern)}
    for page in pages:
        target = source / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(led(page, (copy / page).read_text(encoding="utf-8"), pages, source), encoding="utf-8")
    for image in {each for pattern in IMAGES for each in copy.glob(pattern)}:
        target = source / image.relative_to(copy)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)

    finish(source, pages)


def finish(source: Path, pages: set[Path]) -> None:
    """The sections lead to their pages, and what the theme has of its own is left out: a page's contents."""
    for section, entries in sections(pages).items():
        page = source / "docsite" / f"{section}.rst"
        lines = "".join(f"   /{each.with_suffix('')}\n" for each in entries)
        page.write_text(
            f"{page.read_text(encoding='utf-8')}\n.. toctree::\n   :maxdepth: 1\n\n{lines}", encoding="utf-8"
        )
    for page in source.glob("*.rst"):
        page.write_text(CONTENTS.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")


def sections(pages: set[Path]) -> dict[str, list[Path]]:
    """Section → its pages, each in one section alone, those of one pattern by their names."""
    left, found = set(pages), {}
    for section, patterns in SECTIONS.items():
        found[section] = []
        for pattern in patterns:
            fitting = sorted(each for each in left if each.match(pattern))
            found[section] += fitting
            left -= set(fitting)
    return found


def led(page: Path, text: str, pages: set[Path], source: Path) -> str:
    """The text of a page with links as the site needs them; blocks stay as they are."""

    def one(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(page.parent / link["path"]))
        heading = link["heading"] or ""
        if path in pages or path.suffix in (".png", ".svg"):
            return link[0]
        module = MODULE.fullmatch(str(path))
        if module and (source / f"{module[1]}_module.rst").exists():
            return f"/{module[1]}_module.rst"
        if path / "README.md" in pages:
            return f"{link['path'].rstrip('/')}/README.md{heading}"
        kind = "blob" if path.suffix else "tree"
        return REPOSITORY.format(kind=kind, path=path) + heading

    return "".join(part if FENCED.fullmatch(part) else LINK.sub(one, part) for part in FENCED.split(text))


def main() -> int:
    """Build it, and say where it is."""
    run = Run("site")
    try:
        out = build(run)
    except Failed as error:
        print(run.log.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
        print(f"site: {error}", file=sys.stderr)
        return 1
    print(out / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
