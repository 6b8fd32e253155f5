# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a CA wants a certificate renewed: ACME Renewal Information (RFC 9773). Pure.

The CA gives a window. The moment in it is drawn once, from the certificate's and the window's own bits, so that every run and every
controller comes to the same one; a window that was moved gives a new moment.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import authority_key_identifier, seconds

# Whatever a CA says, no certificate comes nearer to its end than this part of its life.
LAST_PART = 20
# Between two requests for one certificate, in seconds: RFC 9773, 4.3.2.
SHORTEST_WAIT, USUAL_WAIT, LONGEST_WAIT = 60, 6 * 3600, 24 * 3600
WAIT_AFTER_FAILURE = 3600
RFC_3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.\d+)?(?:[Zz]|([+-]\d{2}:\d{2}))",
)


@dataclass(frozen=True)
class Renewal:
    """What is known of one certificate's renewal. All moments are seconds since the epoch.

    :param not_after: the certificate's end: what is kept of it is dropped then.
    :param next_request: not before this the CA is asked again.
    :param start, end, moment: the CA's window and the moment in it; None: the CA has said nothing yet.
    :param replaced: the CA does not take this certificate as the one that an order replaces.
    """

    not_after: int
    next_request: int = 0
    start: int | None = None
    end: int | None = None
    moment: int | None = None
    replaced: bool = False

    def as_json(self) -> dict[str, Any]:
        """The form it is kept in."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Renewal:
        """:raises TypeError, ValueError, KeyError: not what :meth:`as_json` gives."""
        optional = {key: None if raw[key] is None else int(raw[key]) for key in ("start", "end", "moment")}
        return cls(int(raw["not_after"]), int(raw["next_request"]), replaced=bool(raw["replaced"]), **optional)


def ari_id(leaf: x509.Certificate) -> str | None:
    """A certificate's name in ARI (RFC 9773, 4.1): key identifier of its issuer, and serial number; None: it has none."""
    key_identifier = authority_key_identifier(leaf)
    if not key_identifier:
        return None
    serial = leaf.serial_number
    # As in DER: one more bit, so that the first one is no sign.
    number = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{unpadded(key_identifier)}.{unpadded(number)}"


def unpadded(data: bytes) -> str:
    """base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parse_window(document: Mapping[str, Any]) -> tuple[int, int]:
    """The suggested window of a RenewalInfo object.

    :raises ValueError: none, or one that ends before it starts.
    """
    window = document.get("suggestedWindow")
    if not isinstance(window, Mapping):
        raise ValueError("no suggestedWindow")
    start, end = parse_moment(window.get("start")), parse_moment(window.get("end"))
    if end <= start:
        raise ValueError("the window ends before it starts")
    return start, end


def parse_moment(text: Any) -> int:
    """RFC 3339 → seconds since the epoch.

    :raises ValueError: another form.
    """
    match = RFC_3339.fullmatch(str(text))
    if not match:
        raise ValueError("no moment of RFC 3339")
    return seconds(dt.datetime.fromisoformat(f"{match[1]}T{match[2]}{match[3] or '+00:00'}"))


def moment_in(window: tuple[int, int], certificate: str) -> int:
    """The moment for a certificate in a window, evenly spread over all certificates, and always the same for this one.

    :param certificate: its :func:`ari_id`.
    """
    start, end = window
    digest = hashlib.sha256(f"{certificate} {start} {end}".encode()).digest()
    return start + int.from_bytes(digest[:8], "big") % (end - start + 1)


def next_request(now: int, retry_after: float | None) -> int:
    """When to ask again, by the Retry-After that came with an answer, within reason."""
    wait = USUAL_WAIT if retry_after is None else retry_after
    return now + int(min(max(wait, SHORTEST_WAIT), LONGEST_WAIT))


def latest(leaf: x509.Certificate) -> dt.datetime:
    """When a certificate is renewed though its CA says later."""
    return leaf.not_valid_after_utc - (leaf.not_valid_after_utc - leaf.not_valid_before_utc) / LAST_PART
