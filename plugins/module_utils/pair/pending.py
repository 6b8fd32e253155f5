# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key and a CSR that wait for their certificate, so that an interrupted run orders nothing twice."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read, read_if_there
from ansible_collections.fleet.tls.plugins.module_utils.files.places import make_directory, remove_tree
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import write_new
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import PRIVKEY, Layout
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl

CSR, REQUEST = "request.csr", "request.json"


def pending_request(layout: Layout) -> dict[str, Any] | None:
    """``{"request_id", "request_digest", "csr"}`` of a complete pending request, else None."""
    try:
        found = json.loads(read(os.path.join(layout.pending, REQUEST)))
        request = {"request_id": str(found["request_id"]), "request_digest": str(found["request_digest"])}
        request["csr"] = read(os.path.join(layout.pending, CSR)).decode()
        complete = os.path.exists(os.path.join(layout.pending, PRIVKEY))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return request if complete else None


def ensure_pending(layout: Layout, entry: dict[str, Any], live_key: str | None, used: str | None) -> dict[str, Any]:
    """The pending request for what is wanted now: the present one when it fits, else a new one.

    :param entry: the certificate as in a look's request.
    :param live_key: path of the live key, where it may be used again; None: a new one is made.
    :param used: the request id of the live pair: a pending request of that id is a leftover.
    :raises StepError: openssl_missing, openssl_failed; OSErrors as they come.
    """
    live = read_if_there(live_key) if live_key is not None else None
    kept = live if live is not None and may_be_kept(live, entry["key"]) else None
    present = pending_request(layout)
    if present and present["request_digest"] == entry["request_digest"] and present["request_id"] != used:
        # The rotation policy may have changed since: neither a new key nor the live one may slip in against it.
        waiting = read(os.path.join(layout.pending, PRIVKEY))
        if waiting == kept or (kept is None and waiting != live):
            return present
    drop_pending(layout)
    try:
        return make_pending(layout, entry, kept)
    except (OSError, StepError):
        drop_pending(layout)
        raise


def may_be_kept(key: bytes, wanted: dict[str, Any]) -> bool:
    """Whether the policy says to keep the live key and it is of the wanted kind.

    :raises StepError: openssl_missing.
    """
    if wanted["rotation_policy"] != "never":
        return False
    try:
        return openssl.key_algorithm(key) == wanted["algorithm"]
    except StepError as error:
        if error.code == "openssl_missing":
            raise
        return False


def make_pending(layout: Layout, entry: dict[str, Any], key: bytes | None) -> dict[str, Any]:
    """A pending request where there is none; errors as :func:`ensure_pending`.

    :param key: what it is for (PEM); None: a new one.
    """
    make_directory(os.path.dirname(layout.pending), 0o700)
    make_directory(layout.pending, 0o700)
    key = key or openssl.generate_key(entry["key"]["algorithm"])
    write_new(os.path.join(layout.pending, PRIVKEY), key)
    csr = openssl.make_csr(key, entry["subject"])
    write_new(os.path.join(layout.pending, CSR), csr)
    # Last: what has no request.json is no request.
    request = {"request_id": str(uuid.uuid4()), "request_digest": entry["request_digest"]}
    write_new(os.path.join(layout.pending, REQUEST), json.dumps(request).encode())
    return {**request, "csr": csr.decode()}


def is_leftover(pending: dict[str, Any] | None, manifest: dict[str, Any]) -> bool:
    """Whether what lies in a certificate's pending directory serves no run any more.

    :param pending: what :func:`pending_request` found: None for a request that was never completed, or half removed.
    :param manifest: of the live pair; a request with its id has become that pair.
    """
    return pending is None or pending["request_id"] == manifest.get("request_id")


def drop_pending(layout: Layout) -> None:
    """Remove a pending request, complete or not."""
    remove_tree(layout.pending)
