# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What issuers let clients fetch by plain http, as files of a host that publishes it."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import KeepsCrls, LetsFetch
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer


def published_files(
    issuers: Mapping[str, Issuer], chosen: Collection[str], directory: str, now: dt.datetime, *, renew: bool
) -> tuple[list[dict[str, Any]], bool]:
    """Files of step ``configure``, and whether a run that renews would have others.

    :param chosen: the issuers whose files are to be there; those of all others go.
    :param renew: sign what is due, where its key can be had.
    :raises SpecError: an issuer is unknown, or has nothing to be fetched.
    :raises TlsError: the store cannot be read, or a list not be signed.
    """
    for name in chosen:
        if not isinstance(issuers[one_of(name, issuers, "published: from_issuers")], LetsFetch):
            raise SpecError(
                f"published: from_issuers: '{name}' is not one of our CAs",
                remedy="name issuers of the type ca, or leave it out",
            )
    files, due = [], False
    for name, issuer in issuers.items():
        if not isinstance(issuer, LetsFetch):
            continue
        if name in chosen and isinstance(issuer, KeepsCrls):
            due = due or issuer.crls_due(now) is not None
            issuer.crls(now, renew=renew)
        for file, content in issuer.fetched(now).items():
            files.append(file_request(f"{directory}/{file}", content if name in chosen else None))
    return files, due and not renew


def file_request(path: str, content: bytes | None) -> dict[str, Any]:
    """One of them; None: it goes."""
    if content is None:
        return {"path": path, "state": "absent"}
    return {"path": path, "content_base64": base64.b64encode(content).decode(), "mode": "0644"}
