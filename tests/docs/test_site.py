# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages that no host can show: the YAML for AWX, and what becomes of a page's links on the site."""

from __future__ import annotations

from pathlib import Path

import yaml

from docs import substitutions
from docs.blocks import blocks
from tools import paths, site

PAGE = """\
[a](b.md#c), [d](../README.md), [e](../plugins/modules/ca.py), [f](../examples/mtls), [g](https://example.com/), [h](#i), [j](../examples#k)

```md
[a](../README.md)
```
"""


def test_what_is_for_awx_can_be_read() -> None:
    found = {
        block.file: yaml.safe_load(block.text)
        for block in blocks(substitutions.AWX, (paths.ROOT / substitutions.AWX).read_text(encoding="utf-8"))
        if block.language == "yaml"
    }
    environment = found["execution-environment.yml"]
    assert environment["version"] == 3
    assert {"name": "fleet.tls"} in environment["dependencies"]["galaxy"]["collections"]
    (play,) = found["awx.yml"]
    modules = [next(key for key in task if key not in ("name", "loop")) for task in play["tasks"]]
    assert modules and all(module.startswith("awx.awx.") for module in modules)
    for name in ("tls-deploy.yml", "tls-check.yml"):
        playbook = found[name][0]["ansible.builtin.import_playbook"].removeprefix("fleet.tls.")
        assert (paths.ROOT / "playbooks" / f"{playbook}.yml").exists()


def test_links_lead_to_pages_of_the_site_or_to_the_repository(tmp_path: Path) -> None:
    (tmp_path / "ca_module.rst").touch()
    pages = {Path("docs/b.md"), Path("examples/mtls/README.md")}
    repository = "https://github.com/fleet-tls/fleet.tls"
    assert site.led(Path("docs/page.md"), PAGE, pages, tmp_path) == (
        f"[a](b.md#c), [d]({repository}/blob/main/README.md), [e](/ca_module.rst), [f](../examples/mtls/README.md), "
        f"[g](https://example.com/), [h](#i), [j]({repository}/tree/main/examples#k)\n\n```md\n[a](../README.md)\n```\n"
    )
