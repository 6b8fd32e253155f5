# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ClientHellos of our own over the lines of a scan: one connection each, and the answer to it."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.scan.accepts import (
    ALL_SCHEMES,
    Accepts,
    Offers,
    enumeration,
    hybrid,
    ml_dsa,
)
from ansible_collections.fleet.tls.plugins.module_utils.scan.async_connection import Line
from ansible_collections.fleet.tls.plugins.module_utils.tls.client_hello import Offer, client_hello
from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import Flow
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError, ask_for_tls
from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import sent_name
from ansible_collections.fleet.tls.plugins.module_utils.tls.server_answer import Answer, answer_to
from ansible_collections.fleet.tls.plugins.module_utils.tls.tcp import deadline_in

# A server that never tires of agreeing is not worth more.
MOST_OFFERS = 500
# How many times an endpoint's timeout all of them together may take: each alone is in time with an answer just before its end.
LONGEST = 60
TIMED_OUT = "timed out after {0:g} s, waiting for the answer to a ClientHello"


class Offering:
    """Offers to one endpoint.

    :param addresses: as ``socket.getaddrinfo`` has them.
    """

    def __init__(self, line: Line, endpoint: Endpoint, addresses: Sequence[Any]) -> None:
        self._line = line
        self._endpoint = endpoint
        self._addresses = addresses
        self._end = deadline_in(LONGEST * endpoint.timeout)
        self.count = 0

    async def accepts(self) -> Accepts:
        """All that the endpoint accepts. What goes wrong is in it."""
        found = Accepts()
        try:
            await self._through(enumeration(found.protocols))
        except HandshakeError as error:
            found.error = str(error)
        found.offers = self.count
        return found

    async def post_quantum(self) -> bool | None:
        """Whether keys are agreed on with X25519MLKEM768; None: that cannot be told."""
        try:
            return bool(await self._through(hybrid()))
        except HandshakeError:
            return None

    async def ml_dsa(self) -> bool:
        """Whether it has a certificate with an ML-DSA key; False: no, or that cannot be told."""
        try:
            return bool(await self._through(ml_dsa()))
        except HandshakeError:
            return False

    async def _through(self, offers: Offers) -> Any:
        """:raises HandshakeError: the endpoint does not answer any more, or its answers have no end."""
        try:
            offer = next(offers)
            while self.count < MOST_OFFERS:
                if time.monotonic() > self._end:
                    raise HandshakeError(
                        f"gave up: {self.count} handshakes took {LONGEST * self._endpoint.timeout:g} s"
                    )
                offer = offers.send(await self._answer(offer))
        except StopIteration as end:
            return end.value
        raise HandshakeError(f"gave up: after {MOST_OFFERS} handshakes there was still something new")

    async def _answer(self, offer: Offer) -> Answer:
        """One answer; who is silent once is asked again.

        :raises HandshakeError: there is none, or what was asked for cannot be sent.
        """
        again = True
        while True:
            self.count += 1
            deadline = deadline_in(self._endpoint.timeout)
            try:
                with await self._line.connect(self._endpoint, self._addresses, deadline) as sock:
                    answer: Answer = await self._line.drive(self._flow(offer), sock, deadline)
            except socket.timeout:
                if not again:
                    raise HandshakeError(TIMED_OUT.format(self._endpoint.timeout)) from None
                again = False
                continue
            except OSError:
                # Some refuse by breaking the connection.
                return Answer()
            except UnicodeError:
                name = self._endpoint.server_name
                raise HandshakeError(f"'{name}' cannot be sent as a server name") from None
            if not answer.is_tls:
                raise HandshakeError("not TLS")
            return answer

    def _flow(self, offer: Offer) -> Flow:
        yield from ask_for_tls(self._endpoint)
        hello = client_hello(offer, sent_name(self._endpoint.server_name), ALL_SCHEMES)
        answer: Answer = yield from answer_to(hello, offer)
        return answer
