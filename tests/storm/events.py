# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens while the clients come and go: rotations, each by the playbook that a user runs; and ways of doing it wrong."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from dataclasses import dataclass

from storm import beside
from storm.crowd import Crowd
from storm.world import CLIENT, NODES, World
from tools import paths
from tools.playbook import PlaybookResult

BREAKS = ("ring", "trust", "theirs")


@dataclass(frozen=True)
class Event:
    """Something that is rotated.

    :param name: short, on the command line; those of session tickets begin with ``tickets``.
    :param title: in the table.
    :param work: does it, and returns the last run of a playbook.
    """

    name: str
    title: str
    work: Callable[[World, Crowd], PlaybookResult]


def leaf(world: World, unused_crowd: Crowd) -> PlaybookResult:
    """A new certificate for everybody; servers keep their keys."""
    return world.run("deploy", tls_force=True)


def keys(world: World, unused_crowd: Crowd) -> PlaybookResult:
    """New keys: one host first, then all others."""
    return world.run("rotate_keys", tls_rotation_serial=[1, "100%"])


def rollover(world: World, unused_crowd: Crowd) -> PlaybookResult:
    """A new CA, all stages."""
    return world.run("rotate_ca")


def tickets(world: World, unused_crowd: Crowd) -> PlaybookResult:
    """A step of the rings."""
    return world.run("rotate_session_tickets")


def revocation(world: World, crowd: Crowd) -> PlaybookResult:
    """A client that was accepted until now. While the servers are told, it may still be."""
    world.keep("spare")
    crowd.tell("spare", None, str(world.kept("spare")))
    result = world.run("revoke", tls_revoke_hosts=[CLIENT], tls_revoke_names=["spare"])
    crowd.tell("spare", False, str(world.kept("spare")))
    return result


def tickets_without_a_node(world: World, unused_crowd: Crowd) -> PlaybookResult:
    """Wrong: a node of each kind keeps its old ring, step after step."""
    left = [nodes[0][1] for kind, nodes in NODES.items() if kind != "apache"]
    return world.run("rotate_session_tickets", tls_leave_behind=left)


def rollover_without_stages(world: World, unused_crowd: Crowd) -> PlaybookResult:
    """Wrong: the new CA issues before anybody trusts it. No playbook does that, so the collection's own code is asked."""
    sys.path.append(str(paths.COLLECTIONS))
    from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
    from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store

    store = load_store({"type": "directory", "path": str(world.store), "passphrase": "a passphrase of the storm"})
    change = load_issuers({"internal": {"type": "ca", "duration": "30d"}}, store)["internal"].rollover()
    change.prepare(change.next_root(), dt.datetime.now(dt.timezone.utc))
    change.activate()
    change.retire()
    return world.run("deploy")


def leaf_at_their_cost(world: World, unused_crowd: Crowd) -> PlaybookResult:
    """Wrong: a node of each kind loses what the user has there."""
    for kind, nodes in NODES.items():
        world.fleet.exec(nodes[0][1], ["sh", "-e"], stdin=beside.lost(kind))
    return world.run("deploy", tls_force=True)


def schedule(broken: str = "") -> tuple[Event, ...]:
    """All events, in the order in which they come; ``broken``: one of ``BREAKS``, done wrong."""
    step = tickets_without_a_node if broken == "ring" else tickets
    renewal = leaf_at_their_cost if broken == "theirs" else leaf
    change = rollover_without_stages if broken == "trust" else rollover
    return (
        Event("tickets-1", "session tickets, first step", step),
        Event("leaf", "leaf rotation", renewal),
        Event("tickets-2", "session tickets, second step", step),
        Event("revocation", "revocation of a client", revocation),
        Event("tickets-3", "session tickets, third step", step),
        Event("keys", "key rotation", keys),
        Event("ca", "CA rollover, all stages", change),
    )
