# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.fleet.tls.tests.unit.support.store_contract import StoreContract


class TestOpenBao(StoreContract):
    """The contract, on a real server."""
