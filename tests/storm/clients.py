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
import multiprocessing
import os
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from storm.handshakes import Context, Outcome, shake

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
OPEN, MUTUAL = ("www.test", 443), ("mtls.test", 8443)
# Servers count a session's age in whole seconds: one this much younger than its lifetime is tried, and counts.
MARGIN = 1.5
# A client takes no session to a server that may not be through with its handshake in time, in seconds.
TIME_FOR_IT = 1.0
# Between two handshakes of a client, in seconds. About a hundred a second for each kind of server then: clients that come as fast as
# they can take the processors from the playbooks, which then take twice as long and prove nothing more.
PAUSE = 0.1
SAMPLES = 12
# That a client keeps at a time, about.
SESSIONS = 8


@dataclass(frozen=True)
class Plan:
    """What the clients of one kind of server are to do.

    :param open_nodes: addresses of the nodes whose site takes everybody; :param mutual_nodes: of those that verify their clients.
    :param bundle: what the clients trust.
    :param good: folder of the pair of a client that is accepted; :param refused: folders of those that are not, by name.
    :param spare: folder of the pair that is revoked in the storm.
    :param lifetime: of a session, in seconds.
    """

    kind: str
    open_nodes: tuple[str, ...]
    mutual_nodes: tuple[str, ...]
    bundle: str
    good: str
    spare: str
    refused: dict[str, str]
    lifetime: float


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
    """The threads of one process, and what they counted: (event, what) → how often."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.event = ""
        # May the spare client come in (True), has it been revoked (False), or is that being done (None)?
        self.spare_good: bool | None = True
        self.spare = plan.spare
        self.counts: Counter[tuple[str, str]] = Counter()
        self.samples: list[str] = []
        self.lock = threading.Lock()
        self.over = threading.Event()
        works: list[Callable[[ssl.TLSVersion], None]] = [
            self.come_anew, self.come_back, self.come_anew_certified, self.come_back_certified, self.come_while_good,
        ]  # fmt: skip
        self.threads = [threading.Thread(target=work, args=(each,)) for work in works for each in VERSIONS]
        self.threads.append(threading.Thread(target=self.try_in_vain))

    def note(self, *what: str, event: str = "") -> None:
        """Count."""
        with self.lock:
            for each in what:
                self.counts[event or self.event, each] += 1

    def tell(self, what: str, outcome: Outcome, where: str) -> None:
        """Count something that must not be, and keep how it was for people."""
        self.note(what)
        with self.lock:
            if len(self.samples) < SAMPLES:
                self.samples.append(
                    f"{self.plan.kind}, {self.event}: {what}: {where}: {outcome.words.splitlines()[0] if outcome.words else ''}"
                )

    def good(self, outcome: Outcome, where: str) -> bool:
        """One of a client that has to be accepted: whether it was."""
        self.note("handshakes")
        if not outcome.accepted:
            self.tell("failed", outcome, where)
        return outcome.accepted

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
            self.good(shake(context, node, OPEN), f"new client, {version.name}, {node}")

    def come_anew_certified(self, version: ssl.TLSVersion) -> None:
        """The same with a certificate."""
        context = self.context(version, self.plan.good)
        for node in itertools.cycle(self.plan.mutual_nodes):
            if self.over.wait(PAUSE):
                return
            context = context if context.is_current() else self.context(version, self.plan.good)
            self.good(shake(context, node, MUTUAL), f"new certified client, {version.name}, {node}")

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
        if not self.good(outcome, f"resuming client, {version.name}, {node}") or self.is_old(kept):
            return False
        if outcome.resumed:
            self.note("tried", "resumed")
        else:
            self.not_resumed(kept, outcome, f"{version.name}, {node}, a session of {kept.age():.1f} s")
        return outcome.resumed

    def begin(self, context: Context, node: str, where: tuple[str, int]) -> Kept | None:
        """A first handshake, and the session that it gives."""
        begun = time.monotonic()
        outcome = shake(context, node, where)
        if not self.good(outcome, f"client without a session, {node}") or outcome.session is None:
            return None
        return Kept(context, outcome.session, begun, outcome.leaf)

    def not_resumed(self, kept: Kept, outcome: Outcome, where: str) -> None:
        """nginx begins all sessions anew under another certificate, and nothing else may end one."""
        if self.plan.kind == "nginx" and outcome.leaf != kept.leaf:
            self.note("reset")
        else:
            self.note("tried")
            self.tell("lost", outcome, where)

    def come_back_certified(self, version: ssl.TLSVersion) -> None:
        """The same with a certificate: each node keeps these sessions for itself, and loses them when it is told of other CAs, other
        CRLs or (Apache, HAProxy) is reloaded. So they are new with each event, and count while none of that is done: event ``tickets``."""
        kept: dict[str, Kept | None] = {}
        event = ""
        for node in itertools.cycle(self.plan.mutual_nodes):
            if self.over.wait(PAUSE):
                return
            mine = kept.get(node) if event == self.event else None
            if event != self.event:
                kept, event = {}, self.event
            if mine is None or self.is_old(mine, TIME_FOR_IT):
                kept[node] = self.begin(self.context(version, self.plan.good), node, MUTUAL)
                continue
            mine.context.keep_up()
            outcome = shake(mine.context, node, MUTUAL, mine.session)
            if not self.good(outcome, f"resuming certified client, {version.name}, {node}") or not outcome.resumed:
                kept[node] = None
            if outcome.accepted and event == self.event and event.startswith("tickets") and not self.is_old(mine):
                self.note("certified tried", *(["certified resumed"] if outcome.resumed else []), event=event)

    def come_while_good(self, version: ssl.TLSVersion) -> None:
        """The client that is revoked in the storm, anew and with a session of each node."""
        kept: dict[str, Kept] = {}
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
                if may:
                    self.good(outcome, where)
                elif may is False:
                    self.bad(outcome, where)
                    if mine and not self.is_old(mine):
                        self.note("revoked sessions")
                # A session is renewed as long as one is given, so that it is young when the client is revoked.
                if outcome.accepted and outcome.session and not outcome.resumed and (not mine or mine.age() > 3):
                    kept[node] = Kept(context, outcome.session, begun, outcome.leaf)

    def bad(self, outcome: Outcome, where: str) -> None:
        """One of a client that has to be refused; that nobody answered is no refusal."""
        if outcome.refused:
            self.note("refused")
        else:
            self.tell("wrong" if outcome.accepted else "failed", outcome, where)

    def try_in_vain(self) -> None:
        """Those who have to be refused all the time: the client revoked before, one of another CA, and one without a certificate."""
        pairs: dict[str, str | None] = {"no certificate": None, **self.plan.refused}
        for node in itertools.cycle(self.plan.mutual_nodes):
            for (name, pair), version in itertools.product(pairs.items(), VERSIONS):
                if self.over.wait(PAUSE):
                    return
                outcome = shake(self.context(version, pair), node, MUTUAL)
                self.bad(outcome, f"{name}, {version.name}, {node}")

    def serve(self, pipe: Connection) -> None:
        """Do what comes over the pipe, until ``("end",)``; ``("counts",)`` is answered."""
        while True:
            try:
                word, *rest = pipe.recv()
            except EOFError:
                # Whoever started this is gone.
                word = "end"
            if word == "event":
                (self.event,) = rest
                for thread in self.threads:
                    if thread.ident is None:
                        thread.start()
            elif word == "spare":
                self.spare_good, self.spare = rest
            elif word == "counts":
                with self.lock:
                    pipe.send((dict(self.counts), list(self.samples)))
            else:
                self.over.set()
                for thread in self.threads:
                    if thread.ident is not None:
                        thread.join()
                return


def run(plan: Plan, pipe: Connection) -> None:
    """The process; what rotates keys and certificates goes before it."""
    os.nice(10)
    Clients(plan).serve(pipe)


class Crowd:
    """The processes of all kinds, from outside."""

    def __init__(self, plans: list[Plan]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes: dict[str, Connection] = {}
        self.processes = []
        for plan in plans:
            mine, its = context.Pipe()
            process = context.Process(target=run, args=(plan, its), daemon=True)
            process.start()
            self.pipes[plan.kind] = mine
            self.processes.append(process)

    def tell(self, *words: object) -> None:
        """Everybody."""
        for pipe in self.pipes.values():
            pipe.send(words)

    def counts(self) -> dict[str, Counter[tuple[str, str]]]:
        """Kind → (event, what) → how often, so far."""
        return {kind: Counter(counts) for kind, (counts, _samples) in self.ask().items()}

    def samples(self) -> list[str]:
        """What must not have been, in words."""
        return [each for _counts, samples in self.ask().values() for each in samples]

    def ask(self) -> dict[str, tuple[dict[tuple[str, str], int], list[str]]]:
        """All processes, which answer at once."""
        self.tell("counts")
        return {kind: pipe.recv() for kind, pipe in self.pipes.items()}

    def end(self) -> None:
        """Until all threads have ended."""
        self.tell("end")
        for process in self.processes:
            process.join(90)
            if process.is_alive():
                process.kill()
