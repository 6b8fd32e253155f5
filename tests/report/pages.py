# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of reports in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given

VIEW = {"width": 1280, "height": 900}
SCHEMES = ("light", "dark")


@dataclass
class Opened:
    """A page, with what it asked the network (or the disk) for, and what the console said."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def rows(self, table: str) -> list[str]:
        """The first host cells of the rows that are shown, in their order, with what they are about."""
        return [
            " ".join(row.locator("td:nth-child(2), th").all_inner_texts()).replace("\n", " ").strip()
            for row in self.page.locator(f"#{table} tbody tr:visible").all()
        ]

    def count(self) -> str:
        """What is said of the filter."""
        return self.page.locator("#count").inner_text()

    def focused(self) -> str:
        """What has the focus: its text, else its id or value."""
        return self.page.evaluate(
            "() => { const e = document.activeElement; return (e.innerText || e.id || e.value || e.tagName).trim().split('\\n')[0] }"
        )


@dataclass
class Opener:
    """Opens documents, each in a context of its own."""

    browser: Browser
    file: Path
    contexts: list[BrowserContext] = field(default_factory=list)

    def __call__(self, document: Mapping[str, Any] | None = None, **context: Any) -> Opened:
        self.file.write_text(render(document or given.sample(), "html"), encoding="utf-8")
        made = self.browser.new_context(**{"viewport": VIEW, "offline": True, "color_scheme": "light", **context})
        self.contexts.append(made)
        opened = Opened(made.new_page(), self.file.as_uri())
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("console", lambda message: opened.complaints.append(message.text))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.goto(opened.address)
        return opened

    def close(self) -> None:
        """All of them."""
        for context in self.contexts:
            context.close()
