# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key provider ``store``: keys are made on the controller and lie in the store, sealed under its passphrase. See docs/keys.md."""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: In the store, sealed under its passphrase
description:
  - What every CA has that says nothing else.
  - See L(Keys, ../keys.md) for the other places.
options: {}
"""
EXAMPLES = r"""
keys:
  issuing: {type: store}
"""

from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import KeyProvider
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key


class StoreKeys(KeyProvider):
    """No options. ``ca/files.py`` seals and opens them."""

    in_store = True

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ()

    def new_key(self, label: str, algorithm: str) -> Any:
        return generate_key(algorithm)


PROVIDER = StoreKeys
