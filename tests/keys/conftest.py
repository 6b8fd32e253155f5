# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.fleet.tls.tests.unit.support.pki import cheap_scrypt
from keys.softhsm import Token, make_token

__all__ = ["cheap_scrypt"]


@pytest.fixture
def token(tmp_path: Path) -> Token:
    """An empty token."""
    return make_token(tmp_path / "token")
