# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a page's links on the site."""

from __future__ import annotations

from pathlib import Path

from tools import site

PAGE = """\
[a](b.md#c), [d](../README.md), [e](../plugins/modules/ca.py), [f](../examples/mtls), [g](https://example.com/), [h](#i), [j](../examples#k)

```md
[a](../README.md)
```
"""


def test_links_lead_to_pages_of_the_site_or_to_the_repository(tmp_path: Path) -> None:
    (tmp_path / "ca_module.rst").touch()
    pages = {Path("docs/b.md"), Path("examples/mtls/README.md")}
    repository = "https://github.com/fleet-tls/fleet.tls"
    assert site.led(Path("docs/page.md"), PAGE, pages, tmp_path) == (
        f"[a](b.md#c), [d]({repository}/blob/main/README.md), [e](/ca_module.rst), [f](../examples/mtls/README.md), "
        f"[g](https://example.com/), [h](#i), [j]({repository}/tree/main/examples#k)\n\n```md\n[a](../README.md)\n```\n"
    )


def test_a_page_is_in_one_section(tmp_path: Path) -> None:
    (tmp_path / "docsite").mkdir()
    for section in site.SECTIONS:
        (tmp_path / f"docsite/{section}.rst").write_text("Title\n", encoding="utf-8")
    index = tmp_path / "index.rst"
    index.write_text("Title\n\n.. contents::\n   :local:\n   :depth: 1\n\nText\n", encoding="utf-8")
    names = (
        "docs/faq.md",
        "docs/awx.md",
        "docs/guides/b.md",
        "docs/guides/a.md",
        "docs/other.md",
        "roles/ca/README.md",
    )
    site.finish(tmp_path, set(map(Path, names)))
    listed = {
        each.stem: each.read_text(encoding="utf-8").split("\n\n")[-1].split() for each in tmp_path.glob("docsite/*")
    }
    assert listed == {
        "start": ["/docs/faq"],
        "guides": ["/docs/guides/a", "/docs/guides/b", "/docs/awx"],
        "runbooks": [],
        "reference": ["/roles/ca/README"],
        "more": ["/docs/other"],
    }
    assert index.read_text(encoding="utf-8") == "Title\n\n\nText\n"
