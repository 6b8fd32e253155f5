# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of what hosts are given of each issuer: whether that has changed since a host was looked at. Pure; no secret."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any


def handed_out(shown: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """By the issuer's name, ``trust``: of anchors, and of the accounts whose challenges servers answer; ``lists``: of revocation lists.

    :param shown: by the issuer's name, as ``shown()`` in ``upkeep.py`` has it. An issuer that could not be read is in neither.
    """
    return {
        "trust": {name: digest([each["anchors"], *sorted(each["thumbprints"])]) for name, each in shown.items()},
        "lists": {name: digest(sorted(crl["pem"] for crl in each["crls"])) for name, each in shown.items()},
    }


def digest(texts: Iterable[str]) -> str:
    """Of several texts, hexadecimal."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]
