# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of a host whose passphrase may be out of reach: in a vault that this run cannot open, or in a variable that is not there.

A run that signs nothing needs no passphrase. What does need it says so itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError

PASSPHRASE = "passphrase"


def openable_store(raw: Any, template: Callable[[Any], Any]) -> Any:
    """``tls_store`` with values; without the passphrase, where that cannot be told.

    :param raw: as it is written.
    :param template: gives what has templates in it its values.
    :raises AnsibleError: anything else of it cannot be told.
    """
    try:
        return template(raw)
    except AnsibleError:
        if not isinstance(raw, Mapping) or PASSPHRASE not in raw:
            raise
        return template({name: value for name, value in raw.items() if name != PASSPHRASE})
