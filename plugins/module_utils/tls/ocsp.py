# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a certificate has an OCSP responder. Alone, because the controller asks this of every certificate too, and nothing else of a host's."""

from __future__ import annotations

# OBJECT IDENTIFIER 1.3.6.1.5.5.7.48.1, then the tag of a uniformResourceIdentifier.
OCSP_ACCESS = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86"


def names_responder(der: bytes) -> bool:
    """Whether a certificate (DER) has the address of an OCSP responder: id-ad-ocsp (RFC 5280, 4.2.2.1) with a URI."""
    return OCSP_ACCESS in der
