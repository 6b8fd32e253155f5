# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller's own system trusts."""

from __future__ import annotations

import contextlib
import os
import ssl
import warnings

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import PEM_CERTIFICATE, parse_pem_chain


def system_anchors() -> tuple[x509.Certificate, ...]:
    """What the controller trusts; roots that cannot be parsed are passed over.

    :raises IssuerError: it has no trust store, or there is nothing in it.
    """
    path = ssl.get_default_verify_paths().cafile
    if not path or not os.path.isfile(path):
        try:
            import certifi

            path = certifi.where()
        except ImportError:
            raise no_store() from None
    with open(path, encoding="utf-8", errors="replace") as stream:
        blocks = PEM_CERTIFICATE.findall(stream.read())
    found: list[x509.Certificate] = []
    with warnings.catch_warnings():
        # Of a store that is not the user's own nobody wants to hear what is odd in it.
        warnings.simplefilter("ignore")
        for block in blocks:
            with contextlib.suppress(CertificateError):
                found += parse_pem_chain(block)
    if not found:
        raise no_store()
    return tuple(found)


def no_store() -> IssuerError:
    """The error of a controller that trusts nobody."""
    return IssuerError(
        "the controller has no store of trusted CAs", remedy="install ca-certificates there, or set anchors"
    )
