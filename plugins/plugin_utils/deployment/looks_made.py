# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note of a host, made of what its tasks have returned. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair, LastLook
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import Question
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment

CRL, ANCHOR = "-----BEGIN X509 CRL-----", "-----BEGIN CERTIFICATE-----"


def known_pairs(result: Mapping[str, Any]) -> dict[str, KnownPair] | None:
    """A host's certificates by their names; None: one of them is not there, or nobody knows.

    :param result: of ``fleet.tls.certificates``.
    """
    if "certificates" not in result:
        return None
    pairs: dict[str, KnownPair] = {}
    for each in result["certificates"]:
        if not each.get("installed"):
            return None
        # What waits for a maintenance window has nothing to do until then. Other windows would be another inventory.
        waits_until = each.get("deferred_until")
        pairs[str(each["name"])] = KnownPair(
            str(each["fingerprint_sha256"]),
            moment(each["not_before"]),
            moment(waits_until or each["renew_after"]),
            each.get("pool"),
            waits=bool(waits_until),
        )
    return pairs


def moment(text: str) -> int:
    """Seconds since the epoch."""
    return int(parse_moment(text).timestamp())


def asks_for_lists(question: Question | None, ca_due: bool) -> bool:
    """Whether a host's web server is given revocation lists.

    :param question: what the host is asked about it; None: nobody knows what would be asked.
    :param ca_due: there may be no list yet, and one by the end of the run: then a server that verifies anybody counts.
    """
    if question is None:
        return True
    request = json.dumps(question.request, default=str)
    return CRL in request or (ca_due and ANCHOR in request)


def finished(look: LastLook, result: Mapping[str, Any], given: Mapping[str, Mapping[str, str]]) -> LastLook | None:
    """A look at a host that had something to do, now that this is done; None: its certificates are not known.

    :param look: as it was before.
    :param result: of ``fleet.tls.certificates`` since then; empty: it was not run.
    :param given: what issuers handed out before the host got it, as ``handed_out()`` has it; empty: the same as before.
    """
    pairs = known_pairs(result) if result else look.certificates
    if pairs is None:
        return None
    trust, lists = given.get("trust", look.trust), given.get("lists", look.lists)
    return replace(look, certificates=pairs, trust=trust, lists=None if look.lists is None else lists)
