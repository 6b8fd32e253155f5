# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of a store at one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Head, Record


@dataclass(frozen=True)
class Snapshot:
    """:param entries: all of them, by their keys. Never part of a repr, though keys in it are sealed.
    :param records: gives those of the ledger, oldest first, as often as it is called. Of a row without a record there is one at the end.
    :param head: of the ledger as it lies there, so that it can be found in it again.
    """

    entries: Mapping[str, bytes] = field(repr=False)
    records: Callable[[], Iterator[Record]] = field(repr=False)
    head: Head
