# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts for the tests of this folder, up once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fleet.fleet import Fleet, Host
from fleet.ninefold import Ninefold

# Each process of pytest-xdist has hosts of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Debian 11, 12 and 13 as root, and a Debian 12 as an ordinary user with sudo: deb11, deb12, deb13, deb12u."""
    with Fleet("pytest" + WORKER) as hosts:
        yield hosts


@pytest.fixture(scope="session")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ninefold]:
    """Debian 12 and 13, called nine12 and nine13, each with all nine services, which serve."""
    with Fleet("nine" + WORKER, (Host("nine12", "bookworm"), Host("nine13", "trixie"))) as hosts:
        one = Ninefold(hosts, tmp_path_factory.mktemp("nine"))
        one.set_up()
        yield one
