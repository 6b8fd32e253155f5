# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of the pages lead to files that are there, and to headings that these have.

Those of README.md are absolute, because Galaxy shows it without its repository. They lead there all the same.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from docs.story import PAGES
from tools import paths

LINK = re.compile(r"\]\((?P<file>[^)#:\s]*)(?:#(?P<heading>[^)\s]+))?\)")
REPOSITORY = yaml.safe_load((paths.ROOT / "galaxy.yml").read_text(encoding="utf-8"))["repository"]
RAW = REPOSITORY.replace("//github.com/", "//raw.githubusercontent.com/")
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
# Those that are run, and all others of docs.
FOUND = sorted({path for pattern in (*PAGES, "docs/**/*.md") for path in paths.ROOT.glob(pattern)})


def text_of(page: Path) -> str:
    """A page without its blocks. Links into this repository, pictures among them, are those of files beside it."""
    text, root = FENCED.sub("", page.read_text(encoding="utf-8")), os.path.relpath(paths.ROOT, page.parent)
    text = re.sub(rf'(?:"{RAW}/main/([^"]+)")', rf"]({root}/\1)", text)
    return re.sub(rf"\({REPOSITORY}/(?:blob|tree)/main/", f"({root}/", text)


def headings(path: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    found = re.findall(r"^#+ +(.+)$", FENCED.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", each) for each in found)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in plain}


@pytest.mark.parametrize("page", FOUND, ids=[str(each.relative_to(paths.ROOT)) for each in FOUND])
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.finditer(text_of(page)):
        target = (page.parent / link["file"]).resolve() if link["file"] else page
        if not target.exists() or (link["heading"] and link["heading"] not in headings(target)):
            broken.append(link[0])
    assert not broken


def test_readme_is_read_on_galaxy_too() -> None:
    """Nothing in it is relative, and it has the sections that Automation Hub asks for."""
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    plain = FENCED.sub("", text)
    assert not re.findall(r'(?:\]\(|src="|srcset=")(?!https://)[^)"]+', plain)
    wanted = [
        "Description",
        "Requirements",
        "Installation",
        "Use Cases",
        "Testing",
        "Support",
        "Release Notes",
        "Related Information",
        "License",
    ]
    assert [each for each in re.findall(r"^## (.+)$", plain, re.MULTILINE) if each in wanted] == wanted
    assert len(text.splitlines()) <= 150
