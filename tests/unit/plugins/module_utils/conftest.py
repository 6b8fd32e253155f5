# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the host's side share: a CA and pairs that are made once, and a fresh host for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair


@pytest.fixture(scope="session")
def shared_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("shared-ca"))


@pytest.fixture(scope="session")
def pairs(shared_authority: Authority) -> list[Pair]:
    """Pairs with different keys, by an issuing CA."""
    return [shared_authority.issue(f"pair-{number}", "DNS:www.example.com") for number in range(3)]


@pytest.fixture
def host(tmp_path: Path) -> OneHost:
    return OneHost(tmp_path / "host")
