# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of an endpoint in a scan, and what it showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import HandshakeResult
from ansible_collections.fleet.tls.plugins.module_utils.tls.staple import Staple

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.module_utils.scan.accepts import Accepts


@dataclass(frozen=True)
class Job:
    """What is wanted of an endpoint.

    :param retries: how often to try again where no certificate was seen.
    :param resumption: try a second handshake with the session of the first.
    :param resume_at: and there too: other endpoints of the same name.
    :param stapling: ask for a stapled OCSP answer, in another handshake.
    :param enumerate: find out all that it accepts, by ClientHellos of our own.
    :param post_quantum: find out whether it agrees on keys with X25519MLKEM768, by one of those.
    :param key_types: ask for the certificate with a key of the other kind, in another handshake.
    """

    endpoint: Endpoint
    retries: int = 0
    resumption: bool = False
    resume_at: tuple[Endpoint, ...] = ()
    stapling: bool = False
    key_types: bool = False
    enumerate: bool = False
    post_quantum: bool = False


@dataclass(frozen=True)
class Resumed:
    """How an attempt to resume a session went.

    :param resumed: None: that cannot be told, see ``error``.
    """

    endpoint: Endpoint
    resumed: bool | None
    error: str | None


@dataclass(frozen=True)
class JobResult:
    """What an endpoint showed.

    :param attempts: how many handshakes it took.
    :param other_chain: what clients are shown that take only keys of the other kind, PEM.
    :param accepts, post_quantum: None: that was not asked for; ``post_quantum`` also where it cannot be told.
    :param ml_dsa: it shows its certificate to clients that know ML-DSA, and ours does not.
    :param resumed: of the endpoint itself first; empty where it was not tried, or there is no session.
    """

    result: HandshakeResult
    attempts: int = 1
    resumed: tuple[Resumed, ...] = ()
    staple: Staple | None = None
    other_chain: tuple[str, ...] = ()
    accepts: Accepts | None = None
    post_quantum: bool | None = None
    ml_dsa: bool = False
