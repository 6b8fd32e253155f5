# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who shakes hands: the OpenSSL of this Python. What it does not know, no endpoint can show it."""

from __future__ import annotations

# Without the module that stands in front of it: a look that asks no endpoint does not pay for that.
from _ssl import OPENSSL_VERSION_INFO


def openssl_version() -> str:
    """Its version, ``3.0.17``."""
    return ".".join(map(str, version_numbers(OPENSSL_VERSION_INFO)))


def version_numbers(known: tuple[int, ...]) -> list[int]:
    """``[3, 0, 17]`` or ``[1, 1, 1]``, from ``ssl.OPENSSL_VERSION_INFO``, where 3.0.17 is 3, 0, 0, 17 and 1.1.1n is 1, 1, 1, 14."""
    major, minor, fix, patch = known[:4]
    return [major, minor, patch if major >= 3 else fix]
