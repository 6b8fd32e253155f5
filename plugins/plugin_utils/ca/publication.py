# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients fetch of an internal CA by plain http: a CRL and a certificate for each of its CAs, DER (RFC 5280, 4.2.1.13 and 4.2.2.1)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from ansible_collections.fleet.tls.plugins.plugin_utils.ca.keeper import Keeper
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState, number_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_der


def publication(ca: Keeper, now: dt.datetime) -> dict[str, bytes | None]:
    """Name of a file → its content; None: it was published once, and is of no use to anybody any more."""
    state = ca.state()
    if state is None:
        return {}
    found: dict[str, bytes | None] = {
        f"{ca.name}-{each}.{suffix}": None for each in ids_ever(state) for suffix in ("crl", "crt")
    }
    in_use = ca.in_use(now, state)
    for each, certificate in {**in_use, **ca.crosses_of(state.root, now)}.items():
        found[f"{ca.name}-{each}.crt"] = to_der(certificate)
        found.update(listing(ca, each, certificate) if each in in_use else {})
    return found


def listing(ca: Keeper, authority_id: str, certificate: x509.Certificate) -> dict[str, bytes]:
    """The CRL of a CA; of a root whose key is elsewhere there may be none."""
    crl = ca.crl_keeper.kept(authority_id, certificate)
    return {} if crl is None else {f"{ca.name}-{authority_id}.crl": crl.public_bytes(serialization.Encoding.DER)}


def ids_ever(state: CaState) -> Iterator[str]:
    """All CAs that there were, as far as numbers tell."""
    highest = max(number_of(each) for each in (state.root, *state.trusted))
    yield from (f"root-{number}" for number in range(1, highest + 1))
    yield from (f"issuing-{number}" for number in range(1, state.made + 1))
