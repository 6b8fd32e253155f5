# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first certificate of a PEM text."""

from __future__ import annotations

import base64
import binascii
import re

from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest

BLOCK = re.compile("-----BEGIN CERTIFICATE-----\\s+([A-Za-z0-9+/=\\s]+?)-----END CERTIFICATE-----")


def fingerprint(pem: bytes) -> str | None:
    """SHA-256 (hex) of the DER form of the first certificate in a PEM text; None: there is none that is complete."""
    der = leaf_der(pem)
    return None if der is None else digest(der)


def leaf_der(pem: bytes) -> bytes | None:
    """The DER form of the first certificate in a PEM text; None: there is none that is complete."""
    match = BLOCK.search(pem.decode(errors="replace"))
    if not match:
        return None
    try:
        return base64.b64decode(match.group(1), validate=False)
    except (binascii.Error, ValueError):
        return None
