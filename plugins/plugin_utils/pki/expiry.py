# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a certificate expired, is it about to? Works on PEM text and on the mappings that our modules return. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import RenewBefore
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError


@dataclass(frozen=True)
class Validity:
    """From when until when; ``not_before`` None: not known."""

    not_after: dt.datetime
    not_before: dt.datetime | None = None

    def expired(self, now: dt.datetime) -> bool:
        """Whether it is over."""
        return self.not_after <= now

    def expiring(self, before: RenewBefore, now: dt.datetime) -> bool:
        """Whether it is over, or will be within ``before``.

        :raises SpecError: ``before`` is a part of the lifetime, and nobody knows when that began.
        """
        if self.expired(now):
            return True
        if self.not_before is None and before.seconds is None:
            raise SpecError("a percentage needs not_before", remedy="give a duration such as 14d")
        begin = self.not_before or now
        return before.reached(int(begin.timestamp()), int(self.not_after.timestamp()), now.timestamp())


def validity_of(value: Any) -> Validity:
    """The validity of PEM text (its first certificate), or of a mapping with ``not_after`` and maybe ``not_before``.

    :raises TlsError: neither, or one that cannot be read.
    """
    if isinstance(value, Mapping) and value.get("not_after"):
        begin = value.get("not_before")
        return Validity(parse_moment(value["not_after"]), parse_moment(begin) if begin else None)
    if isinstance(value, str):
        # Only here: a playbook that compares dates of results does not wait for cryptography to load.
        from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain

        certificate = parse_pem_chain(value)[0]
        return Validity(certificate.not_valid_after_utc, certificate.not_valid_before_utc)
    raise SpecError(
        "neither a PEM certificate nor a mapping with not_after",
        remedy="give the certificate's text, or one of the certificates that a module of this collection returned",
    )


def parse_moment(text: Any) -> dt.datetime:
    """ISO 8601; without a zone it is UTC.

    :raises SpecError: not a moment.
    """
    try:
        moment = dt.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        raise SpecError(f"'{text}' is not a moment", remedy="write it like 2027-01-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.timezone.utc)
