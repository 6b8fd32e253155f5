# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clients of one kind of server are to do. Standard library only."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
OPEN, MUTUAL, PASSED_ON = ("www.test", 443), ("mtls.test", 8443), ("up.test", 443)
# Between two handshakes of a client, in seconds: about seventy a second for each kind of server then. Clients that come as fast as they
# can take the processors from the playbooks, which then take twice as long and prove nothing more.
PAUSE = 0.2


@dataclass(frozen=True)
class Plan:
    """What it is.

    :param open_nodes: addresses of the nodes whose site takes everybody, and another site passes its users on; :param mutual_nodes: of
        those that verify their clients.
    :param bundle: what the clients trust; :param their_bundle: what the user's own clients do.
    :param good: folder of the pair of a client that is accepted; :param refused: folders of those that are not, by name.
    :param spare: folder of the pair that is revoked in the storm.
    :param lifetime: of a session, in seconds.
    :param app_sockets: paths of sockets of the user's that speak HTTP; :param stats_sockets: of those that answer ``show info``.
    """

    kind: str
    open_nodes: tuple[str, ...]
    mutual_nodes: tuple[str, ...]
    bundle: str
    their_bundle: str
    good: str
    spare: str
    refused: dict[str, str]
    lifetime: float
    app_sockets: tuple[str, ...] = ()
    stats_sockets: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys(self.open_nodes + self.mutual_nodes))
