# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients of one kind of server: a process with a thread for each client, all shaking hands until they are told to stop.

They trust what the collection has put into the trust bundle of their host, use the pairs that it keeps there, and take nodes in turn.
What became of each handshake is counted under the event that goes on. Standard library only.
"""

from __future__ import annotations

import itertools
import math
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from storm.handshakes import Context, Outcome, shake
from storm.notes import Notes
from storm.plan import MUTUAL, OPEN, PAUSE, VERSIONS, Plan
from storm.visitors import Visitors

# Servers count a session's age in whole seconds: one this much younger than its lifetime is tried, and counts.
MARGIN = 1.5
# A client takes no session to a server that may not be through with its handshake in time, in seconds.
TIME_FOR_IT = 1.0
# That a client keeps at a time, about.
SESSIONS = 8
# So long has a node refused a client without a session until it may not take one either, in seconds: old workers have gone by then.
SETTLED = 10.0


@dataclass
class Kept:
    """A session that a client keeps: with the context that it belongs to, when it began, and the certificate that it began under."""

    context: Context
    session: ssl.SSLSession
    born: float
    leaf: bytes

    def age(self) -> float:
        """In seconds."""
        return time.monotonic() - self.born


class Clients:
    """The threads of one process, and what they noted."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        # May the spare client come in (True), has it been revoked (False), or is that being done (None)?
        self.spare_good: bool | None = True
        self.spare = plan.spare
        self.notes = Notes(plan.kind)
        self.over = threading.Event()
        works: list[Callable[[ssl.TLSVersion], None]] = [
            self.come_anew, self.come_back, self.come_anew_certified, self.come_back_certified, self.come_while_good,
        ]  # fmt: skip
        self.threads = [threading.Thread(target=work, args=(each,)) for work in works for each in VERSIONS]
        self.threads.append(threading.Thread(target=self.try_in_vain))
        self.threads += [threading.Thread(target=work) for work in Visitors(plan, self.notes, self.over).works()]

    def context(self, version: ssl.TLSVersion, pair: str | None = None) -> Context:
        """A client's, with what is trusted now."""
        return Context(version, self.plan.bundle, pair)

    def is_old(self, kept: Kept, more: float = 0.0) -> bool:
        """Whether a session is, or will be in ``more`` seconds, too old to count."""
        return kept.age() > self.plan.lifetime - MARGIN - more

    def come_anew(self, version: ssl.TLSVersion) -> None:
        """A client without a session, on each node in turn."""
        context = self.context(version)
        for node in itertools.cycle(self.plan.open_nodes):
            if self.over.wait(PAUSE):
                return
            context = context if context.is_current() else self.context(version)
            self.notes.good(shake(context, node, OPEN), f"new client, {version.name}, {node}")

    def come_anew_certified(self, version: ssl.TLSVersion) -> None:
        """The same with a certificate."""
        context = self.context(version, self.plan.good)
        for node in itertools.cycle(self.plan.mutual_nodes):
            if self.over.wait(PAUSE):
                return
            context = context if context.is_current() else self.context(version, self.plan.good)
            self.notes.good(shake(context, node, MUTUAL), f"new certified client, {version.name}, {node}")

    def come_back(self, version: ssl.TLSVersion) -> None:
        """A client that takes its sessions to the nodes in turn until they are too old. It gets a new one every few seconds, from the nodes in
        turn, so that there are always some under each key that servers may have to know."""
        kept: list[Kept] = []
        homes = itertools.cycle(self.plan.open_nodes)
        latest = -math.inf
        for node in itertools.cycle(self.plan.open_nodes):
            if self.over.wait(PAUSE):
                return
            if not kept or time.monotonic() - latest > self.plan.lifetime / SESSIONS:
                latest = time.monotonic()
                begun = self.begin(self.context(version), next(homes), OPEN)
                kept += [begun] if begun else []
            kept = [each for each in kept if not self.is_old(each, TIME_FOR_IT) and self.take(each, node, version)]

    def take(self, kept: Kept, node: str, version: ssl.TLSVersion) -> bool:
        """A session taken to a node: whether it is good for more."""
        if self.over.wait(PAUSE):
            return False
        kept.context.keep_up()
        outcome = shake(kept.context, node, OPEN, kept.session)
        if not self.notes.good(outcome, f"resuming client, {version.name}, {node}") or self.is_old(kept):
            return False
        if outcome.resumed:
            self.notes.note("tried", "resumed")
        else:
            self.not_resumed(kept, outcome, f"{version.name}, {node}, a session of {kept.age():.1f} s")
        return outcome.resumed

    def begin(self, context: Context, node: str, where: tuple[str, int]) -> Kept | None:
        """A first handshake, and the session that it gives."""
        begun = time.monotonic()
        outcome = shake(context, node, where)
        if not self.notes.good(outcome, f"client without a session, {node}") or outcome.session is None:
            return None
        return Kept(context, outcome.session, begun, outcome.leaf)

    def not_resumed(self, kept: Kept, outcome: Outcome, where: str) -> None:
        """nginx begins all sessions anew under another certificate, and nothing else may end one."""
        if self.plan.kind == "nginx" and outcome.leaf != kept.leaf:
            self.notes.note("reset")
        else:
            self.notes.note("tried")
            self.notes.tell("lost", outcome, where)

    def come_back_certified(self, version: ssl.TLSVersion) -> None:
        """The same with a certificate: each node keeps these sessions for itself, and loses them when it is told of other CAs, other
        CRLs or (Apache, HAProxy) is reloaded. So they are new with each event, and count while none of that is done: event ``tickets``."""
        kept: dict[str, Kept | None] = {}
        event = ""
        for node in itertools.cycle(self.plan.mutual_nodes):
            if self.over.wait(PAUSE):
                return
            mine = kept.get(node) if event == self.notes.event else None
            if event != self.notes.event:
                kept, event = {}, self.notes.event
            if mine is None or self.is_old(mine, TIME_FOR_IT):
                kept[node] = self.begin(self.context(version, self.plan.good), node, MUTUAL)
                continue
            mine.context.keep_up()
            outcome = shake(mine.context, node, MUTUAL, mine.session)
            if (
                not self.notes.good(outcome, f"resuming certified client, {version.name}, {node}")
                or not outcome.resumed
            ):
                kept[node] = None
            if outcome.accepted and event == self.notes.event and event.startswith("tickets") and not self.is_old(mine):
                self.notes.note("certified tried", *(["certified resumed"] if outcome.resumed else []), event=event)

    def come_while_good(self, version: ssl.TLSVersion) -> None:
        """The client that is revoked in the storm, anew and with a session of each node.

        Nodes learn of it one after the other, and until all know, the sessions of the first may have become too old to show anything. So each
        node counts from when it refuses the client.
        """
        kept: dict[str, Kept] = {}
        refused_since: dict[str, float] = {}
        for node in itertools.cycle(self.plan.mutual_nodes):
            if self.over.wait(PAUSE):
                return
            may, pair = self.spare_good, self.spare
            for resuming in (False, True):
                mine = kept.get(node) if resuming else None
                if resuming and mine is None:
                    continue
                context = mine.context if mine else self.context(version, pair)
                context.pair = pair
                context.keep_up()
                begun = time.monotonic()
                outcome = shake(context, node, MUTUAL, mine.session if mine else None)
                where = f"revoked client, {'resuming' if resuming else 'new'}, {version.name}, {node}"
                if outcome.accepted and not resuming:
                    refused_since.pop(node, None)
                elif outcome.refused and not resuming:
                    refused_since.setdefault(node, begun)
                knows = may is None and begun - refused_since.get(node, begun) > SETTLED
                if may:
                    self.notes.good(outcome, where)
                elif may is False or knows:
                    self.notes.bad(outcome, where)
                    if mine and not self.is_old(mine):
                        self.notes.note("revoked sessions")
                # A session is renewed as long as one is given, so that it is young when the client is revoked.
                if outcome.accepted and outcome.session and not outcome.resumed and (not mine or mine.age() > 3):
                    kept[node] = Kept(context, outcome.session, begun, outcome.leaf)

    def try_in_vain(self) -> None:
        """Those who have to be refused all the time: the client revoked before, one of another CA, and one without a certificate."""
        pairs: dict[str, str | None] = {"no certificate": None, **self.plan.refused}
        contexts: dict[tuple[str, ssl.TLSVersion], Context] = {}
        for node in itertools.cycle(self.plan.mutual_nodes):
            for (name, pair), version in itertools.product(pairs.items(), VERSIONS):
                if self.over.wait(PAUSE):
                    return
                context = contexts.get((name, version))
                if context is None or not context.is_current():
                    context = contexts[name, version] = self.context(version, pair)
                outcome = shake(context, node, MUTUAL)
                self.notes.bad(outcome, f"{name}, {version.name}, {node}")

    def serve(self, pipe: Connection) -> None:
        """Do what comes over the pipe, until ``("end",)``; ``("report",)`` is answered."""
        while True:
            try:
                word, *rest = pipe.recv()
            except EOFError:
                # Whoever started this is gone.
                word = "end"
            if word == "event":
                self.notes.event, self.notes.phase = rest
                for thread in self.threads:
                    if thread.ident is None:
                        thread.start()
            elif word == "spare":
                self.spare_good, self.spare = rest
            elif word == "report":
                pipe.send(self.notes.report())
            else:
                self.over.set()
                for thread in self.threads:
                    if thread.ident is not None:
                        thread.join()
                return
