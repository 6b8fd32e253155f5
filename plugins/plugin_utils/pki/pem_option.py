# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PEM texts as options: written out, or the path of a file on the controller."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.anchor_text import check_is_ca, parse_anchor_text
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509

LONGEST_FILE = 1024 * 1024


def parse_path_or_pem(value: Any, what: str) -> str:
    """The option as it stands, a PEM text or an absolute path.

    :raises SpecError: neither.
    """
    text = str(value or "")
    if "-----BEGIN " in text:
        return text
    path = os.path.expanduser(text.strip())
    if not os.path.isabs(path):
        raise SpecError(
            f"{what} is neither a PEM text nor the absolute path of one", remedy="start a path with a slash"
        )
    return path


def read_anchors(value: str, what: str) -> tuple[x509.Certificate, ...]:
    """The CA certificates of such an option.

    :raises StoreError: the file cannot be read; :raises TlsError: they are no CA certificates.
    """
    text = value if "-----BEGIN " in value else read_file(value, what).decode("ascii", errors="replace")
    certificates = parse_anchor_text(what, text)
    for certificate in certificates:
        check_is_ca(what, certificate)
    return certificates


def read_file(path: str, what: str) -> bytes:
    """A file of the controller's.

    :raises StoreError: it cannot be read, or is far longer than any certificate.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(LONGEST_FILE + 1)
    except OSError as error:
        raise StoreError(
            f"{what}: cannot read {path} on the controller: {error.strerror}",
            remedy="see that it is there and that who runs the playbook may read it",
        ) from error
    if len(content) > LONGEST_FILE:
        raise StoreError(f"{what}: {path} is larger than 1 MiB", remedy="name a file of certificates")
    return content
