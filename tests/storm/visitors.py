# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that take no session anywhere: of a site with two certificates, through a proxy, of a site whose upstream is verified and
verifies its proxy, and of what is the user's own."""

from __future__ import annotations

import itertools
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from storm import beside
from storm.handshakes import PROXY_V1, PROXY_V2, Context, http, local, shake
from storm.notes import Notes
from storm.plan import OPEN, PASSED_ON, PAUSE, VERSIONS, Plan

# TLS 1.2 clients that can verify signatures of one kind of key only.
KEY_KINDS = {"ECDSA": "ECDHE+aECDSA", "RSA": "ECDHE+aRSA"}
HEADERS = dict(zip(VERSIONS, (PROXY_V1, PROXY_V2)))
Way = TypeVar("Way")


class Visitors:
    """What their threads do, until ``over``."""

    def __init__(self, plan: Plan, notes: Notes, over: threading.Event) -> None:
        self.plan, self.notes, self.over = plan, notes, over

    def works(self) -> list[Callable[[], None]]:
        """One a thread."""
        sockets = [self.visit_sockets] if self.plan.app_sockets else []
        return [
            self.come_with_a_key_kind,
            self.come_through_a_proxy,
            self.come_to_be_passed_on,
            self.visit_theirs,
            *sockets,
        ]

    def turns(self, nodes: Sequence[str], ways: Sequence[Way]) -> Iterator[tuple[str, Way]]:
        """Each node in each way, again and again."""
        for turn in itertools.cycle(itertools.product(nodes, ways)):
            if self.over.wait(PAUSE):
                return
            yield turn

    def come_with_a_key_kind(self) -> None:
        """The site has a certificate for each."""
        contexts: dict[str, Context] = {}
        for node, kind in self.turns(self.plan.open_nodes, tuple(KEY_KINDS)):
            if kind not in contexts or not contexts[kind].is_current():
                contexts[kind] = Context(ssl.TLSVersion.TLSv1_2, self.plan.bundle, None, KEY_KINDS[kind])
            self.notes.good(shake(contexts[kind], node, OPEN), f"client of {kind} only, {node}", kind)

    def come_through_a_proxy(self) -> None:
        """With both versions of the PROXY protocol."""
        contexts: dict[ssl.TLSVersion, Context] = {}
        for node, version in self.turns(self.plan.open_nodes, VERSIONS):
            outcome = shake(self.fresh(contexts, version), node, beside.PROXIED, first=HEADERS[version])
            self.notes.good(outcome, f"client behind a proxy, {version.name}, {node}", "proxied")

    def come_to_be_passed_on(self) -> None:
        """Who gets an answer has it from the upstream, over TLS that both sides verified."""
        contexts: dict[ssl.TLSVersion, Context] = {}
        for node, version in self.turns(self.plan.open_nodes, VERSIONS):
            outcome = shake(self.fresh(contexts, version), node, PASSED_ON)
            self.notes.good(outcome, f"client that is passed on to an upstream, {version.name}, {node}", "passed on")

    def fresh(self, contexts: dict[ssl.TLSVersion, Context], version: ssl.TLSVersion) -> Context:
        """A context with what is trusted now."""
        if version not in contexts or not contexts[version].is_current():
            contexts[version] = Context(version, self.plan.bundle, None)
        return contexts[version]

    def visit_theirs(self) -> None:
        """They trust the user's certificate and no other."""
        contexts = {version: Context(version, self.plan.their_bundle, None) for version in VERSIONS}
        for node, version in self.turns(self.plan.nodes, VERSIONS):
            self.notes.theirs(shake(contexts[version], node, beside.SITE), "site", f"{version.name}, {node}")

    def visit_sockets(self) -> None:
        """Of both sorts."""
        app = (self.plan.app_sockets, http(beside.SITE[0]), b"theirs", "app socket")
        stats = (self.plan.stats_sockets, b"show info\n", b"Uptime_sec", "stats socket")
        for _node, (paths, request, wanted, what) in self.turns(("all nodes",), (app, stats)):
            for path in paths:
                self.notes.theirs(local(path, request, wanted), what, path)
