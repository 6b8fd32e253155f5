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
    start, more = tmp_path / "docsite/start.rst", tmp_path / "docsite/more.rst"
    start.write_text("   /docs/a\n", encoding="utf-8")
    more.write_text("   /docs/*\n", encoding="utf-8")
    index = tmp_path / "index.rst"
    index.write_text("Title\n\n.. contents::\n   :local:\n   :depth: 1\n\nText\n", encoding="utf-8")
    site.finish(tmp_path, {Path("docs/a.md"), Path("docs/b.md"), Path("docs/guides/c.md")})
    assert (start.read_text(), more.read_text()) == ("   /docs/a\n", "   /docs/b\n")
    assert index.read_text() == "Title\n\n\nText\n"
