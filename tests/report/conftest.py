# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from report.pages import Opened, Opener
from tools import packages


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium, as Debian has it."""
    with sync_playwright() as library:
        # Its sandbox does not start for root; what it opens are pages that the tests made.
        started = library.chromium.launch(executable_path=packages.find("chromium"), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Opener]:
    """Renders a document and opens it from its file, without a network; what the page asked for, and complained of, is noted."""
    opener = Opener(browser, tmp_path / "health.html")
    yield opener
    opener.close()


@pytest.fixture
def sample_page(open_page: Opener) -> Opened:
    """The documented sample."""
    return open_page()
