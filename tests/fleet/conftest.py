# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts for the tests of this folder, up once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet.fleet import Fleet


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Debian 11, 12 and 13 as root, and a Debian 12 as an ordinary user with sudo: deb11, deb12, deb13, deb12u."""
    with Fleet("pytest") as hosts:
        yield hosts
