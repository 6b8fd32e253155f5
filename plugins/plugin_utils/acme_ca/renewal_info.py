# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a CA when it wants a certificate renewed (RFC 9773), no more often than it wants to be asked."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.records import Records
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_window import (
    USUAL_WAIT,
    WAIT_AFTER_FAILURE,
    Renewal,
    ari_id,
    latest,
    moment_in,
    next_request,
    parse_window,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds

# A run with nothing due does not wait long for a CA that is slow.
SECONDS = 10.0
TRIES = 1


class RenewalAdvice:
    """The moment to renew a certificate, by its CA.

    :param base: the directory's ``renewalInfo``.
    :param verify: see :class:`Network`.
    """

    def __init__(self, records: Records, base: str, verify: str | None) -> None:
        self.records, self.base, self.verify = records, base, verify

    def __call__(self, leaf: x509.Certificate, now: dt.datetime) -> dt.datetime | None:
        """The moment, at the latest a twentieth of the life before its end; None: the CA has never said anything.

        Never fails: what cannot be asked, or not be written down, is as if the CA had nothing new to say.
        """
        name = ari_id(leaf)
        if name is None or leaf.not_valid_after_utc <= now:
            return None
        known = self.records.renewal(name)
        if known is None or known.next_request <= seconds(now):
            try:
                known = self.asked(name, leaf, now)
            except TlsError:
                known = known or Renewal(seconds(leaf.not_valid_after_utc))
        if known.moment is None:
            return None
        return min(dt.datetime.fromtimestamp(known.moment, dt.timezone.utc), latest(leaf))

    def asked(self, name: str, leaf: x509.Certificate, now: dt.datetime) -> Renewal:
        """Ask, and write down what was said. Of several hosts with this certificate one asks."""
        with self.records.lock(f"renewal-{name.rpartition('.')[2][-2:]}"):
            known = self.records.renewal(name) or Renewal(seconds(leaf.not_valid_after_utc))
            if known.next_request <= seconds(now):
                known = self.answer(name, known, seconds(now))
                self.records.keep_renewal(name, known, seconds(now))
        return known

    def answer(self, name: str, known: Renewal, now: int) -> Renewal:
        """What the CA says now; where it says nothing of use, what it said last, and when to ask again."""
        # Late: in most runs nothing is asked.
        from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.network import AcmeError, Network, retry_after

        network = Network(None, verify=self.verify, patience=SECONDS, timeout=SECONDS)
        try:
            document = network.read(f"{self.base.rstrip('/')}/{name}", tries=TRIES)
            window = parse_window(document)
        except AcmeError as error:
            wait = max(error.retry_after or 0.0, USUAL_WAIT if error.status == 404 else WAIT_AFTER_FAILURE)
            return replace(known, next_request=next_request(now, wait))
        except ValueError:
            return replace(known, next_request=next_request(now, WAIT_AFTER_FAILURE))
        again = next_request(now, retry_after(network.answer.headers, default=None))
        if (known.start, known.end) == window and known.moment is not None:
            return replace(known, next_request=again)
        return replace(known, next_request=again, start=window[0], end=window[1], moment=moment_in(window, name))
