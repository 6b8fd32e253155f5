# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the host's side share: a CA and pairs that are made once, and a fresh host for each test.

They run with the oldest Python of managed hosts too (suite unit-3.9), which has nothing of a controller.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair

# What tests import that hold the host's part against the controller's.
OF_A_CONTROLLER = re.compile(
    r"^(from|import) (cryptography|ansible)\b|\.plugins\.(plugin_utils|sub_plugins)\.|\.support\.(pki|traces)\b",
    re.MULTILINE,
)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """pytest's hook: such a file is left out where there is no cryptography; the suite unit has it."""
    if importlib.util.find_spec("cryptography") or collection_path.suffix != ".py":
        return None
    return bool(OF_A_CONTROLLER.search(collection_path.read_text(encoding="utf-8"))) or None


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
