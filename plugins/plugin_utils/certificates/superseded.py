# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation has against a pair that is good otherwise: its CA was replaced, or its key is older than the rotation wants."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Reason
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanRollOver
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso, key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance


@dataclasses.dataclass(frozen=True)
class Rekey:
    """Which keys are to be replaced.

    :param before: seconds since the epoch: keys that were in use before this moment.
    :param names: of certificates; None: all.
    :param key_ids: only these keys (SHA-256 of the public key's DER form, hex), whatever their age; None: any.
    """

    before: int = 0
    names: frozenset[str] | None = None
    key_ids: frozenset[str] | None = None

    def concerns(self, name: str) -> bool:
        """Whether it is about the certificate ``name``."""
        return bool(self.before or self.key_ids) and (self.names is None or name in self.names)

    def applied_to(self, spec: CertificateSpec) -> CertificateSpec:
        """The wish, with a new key whatever its own policy says."""
        if not self.concerns(spec.name):
            return spec
        return dataclasses.replace(spec, private_key=dataclasses.replace(spec.private_key, rotation_policy="always"))


def parse_rekey(raw: Any) -> Rekey:
    """The option ``rekey``: ``{before: 1764000000, names: [www], key_ids: [...]}``, all of them optional.

    :raises SpecError: unknown fields or values.
    """
    fields = Fields(raw or {}, ("before", "names", "key_ids"), "rekey")
    try:
        before = int(fields.get("before", 0))
    except (TypeError, ValueError):
        raise SpecError("rekey: before is not a number of seconds since the epoch") from None
    names, ids = (frozenset(fields.strings(each)) or None for each in ("names", "key_ids"))
    return Rekey(before, names, ids)


def superseded(
    spec: CertificateSpec, found: PairReport, issuer: Issuer, rekey: Rekey, issuances: Iterable[Issuance]
) -> tuple[Reason, ...]:
    """The reasons ``issuer_ca_changed`` and ``key_rotation``.

    :param issuer: the one that the present certificate says it is from.
    :param issuances: of the ledger; it is only read where keys are to be replaced.
    """
    if found.leaf is None:
        return ()
    reasons = []
    if isinstance(issuer, CanRollOver) and found.manifest.get("issuer") == issuer.name:
        text = issuer.superseded(found.chain)
        if text:
            reasons.append(Reason("issuer_ca_changed", text))
    text = old_key(found.leaf, rekey, issuances) if rekey.concerns(spec.name) else None
    if text:
        reasons.append(Reason("key_rotation", text))
    return tuple(reasons)


def old_key(leaf: x509.Certificate, rekey: Rekey, issuances: Iterable[Issuance]) -> str | None:
    """Why the key of ``leaf`` is to be replaced, in words; None: it is not.

    A key is as old as the first certificate that the ledger has for it; one that it does not know is older than all.
    """
    key = key_id(leaf.public_key())
    if rekey.key_ids is not None:
        return "its key must no longer be used" if key in rekey.key_ids else None
    first = min((row.issued_at for row in issuances if row.key_id == key), default=None)
    if first is not None and first >= rekey.before:
        return None
    since = "an unknown time" if first is None else iso(dt.datetime.fromtimestamp(first, dt.timezone.utc))
    wanted = iso(dt.datetime.fromtimestamp(rekey.before, dt.timezone.utc))
    return f"its key is in use since {since}, and a new one is wanted since {wanted}"
