# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes with thousands of endpoints in one go, on an event loop of its own.

Those that do not answer wait side by side and hold up nobody: as many more are begun. Those that do answer are not begun faster than
they can be seen through, else they would all run into their time limits together.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils.scan.async_connection import Line
from ansible_collections.fleet.tls.plugins.module_utils.scan.helper_process import Helper, start_helper
from ansible_collections.fleet.tls.plugins.module_utils.scan.jobs import Job, JobResult, Resumed
from ansible_collections.fleet.tls.plugins.module_utils.scan.other_key import other_chain
from ansible_collections.fleet.tls.plugins.module_utils.system.descriptors import many_descriptors
from ansible_collections.fleet.tls.plugins.module_utils.tls.contexts import context_for
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError, resolve
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Handshake, HandshakeResult
from ansible_collections.fleet.tls.plugins.module_utils.tls.staple import staple_of

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.module_utils.scan.accepts import Accepts

# So many that answer are under way at a time: at first, and between which bounds; and with those that do not answer, so many.
_FIRST, _FEWEST, _LIVELIEST, _MOST = 64, 8, 256, 2048
# How long (seconds) handshakes may take before fewer are begun, and below which more are.
_SLOW, _QUICK = 0.5, 0.25
# Who has not moved for this long (seconds) does not answer, as far as the others are concerned.
_STUCK = 0.5
_TICK = 0.1
# A resolver that hangs holds a thread until it gives up.
_MOST_RESOLVING = 128
# The program openssl, one process each.
_MOST_PROGRAMS = 8
DOZENS = 40
ML_DSA_SINCE = (3, 5)
# What a server says to a client that can use none of its certificates (RFC 8446 section 6.2).
HANDSHAKE_FAILURE = 40
# Before an endpoint is tried again; longer each time.
_PAUSE = 0.2

Report = Callable[[int, JobResult], None]
Progress = Callable[[int, int], None]


def scan(jobs: Sequence[Job], report: Report, progress: Progress | None = None) -> None:
    """Shake hands with all endpoints. What goes wrong with one is in its result.

    :param report: called with the place of a job and what its endpoint showed, as they come.
    :param progress: called every now and then with how many of how many are done.
    """
    if not jobs:
        return
    with many_descriptors(min(_MOST, len(jobs))) as most:
        placed = list(enumerate(jobs))
        # An enumeration is some dozens of handshakes.
        handshakes = sum(DOZENS if job.enumerate else 1 for job in jobs)
        helper = start_helper(placed[1::2], handshakes, lambda share, tell: _run(share, tell, None, most, None))
        try:
            _run(placed[::2] if helper else placed, report, progress, most, helper)
        finally:
            if helper:
                helper.close()


def _run(
    jobs: Sequence[tuple[int, Job]], report: Report, progress: Progress | None, most: int, helper: Helper | None
) -> None:
    loop = asyncio.new_event_loop()
    pools = [ThreadPoolExecutor(count) for count in (_MOST_RESOLVING, _MOST_PROGRAMS)]
    try:
        loop.run_until_complete(Scan(loop, jobs, report, progress, most, pools[0], pools[1], helper).run())
    finally:
        loop.close()
        for pool in pools:
            pool.shutdown(wait=False)


class Scan:
    """One scan as it goes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        jobs: Sequence[tuple[int, Job]],
        report: Report,
        progress: Progress | None,
        most: int,
        resolvers: Executor,
        programs: Executor,
        helper: Helper | None = None,
    ) -> None:
        self._loop = loop
        self._helper = helper
        self._left = len(jobs)
        self._total = len(jobs) + (len(helper.outstanding) if helper else 0)
        self._jobs: Iterator[tuple[int, Job]] = iter(jobs)
        self._problem: BaseException | None = None
        self._report = report
        self._progress = progress
        self._most = most
        self._lively = _FIRST
        self._allowed = 0
        self._took: list[float] = []
        self._last = 0.0
        self._resolvers = resolvers
        self._programs = programs
        self._done = 0
        self._workers: dict[asyncio.Task[None], Line] = {}
        self._contexts: dict[Endpoint, ssl.SSLContext | HandshakeError] = {}
        self._found: dict[tuple[str, int], asyncio.Future[Any]] = {}

    async def run(self) -> None:
        """Until every job is reported; an error of ours ends it."""
        self._last = time.monotonic()
        if self._helper is not None:
            self._loop.add_reader(self._helper.descriptor, self._hear, self._helper)
        try:
            while self._done < self._total:
                await self._tick()
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)

    async def _tick(self) -> None:
        self._staff()
        finished: set[asyncio.Task[None]] = set()
        if self._workers:
            finished, _others = await asyncio.wait(self._workers, timeout=_TICK, return_when=asyncio.FIRST_EXCEPTION)
        else:
            await asyncio.sleep(_TICK)
        for worker in finished:
            del self._workers[worker]
            worker.result()
        if self._problem is not None:
            raise self._problem
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _hear(self, helper: Helper) -> None:
        """What the other process has seen; what it was to see and died over is for us to do."""
        try:
            found = helper.read()
            for place, seen in found or ():
                self._report(place, seen)
                self._done += 1
        except BaseException as error:
            # Raised here, it would go to the loop's own log.
            self._problem = error
            found = None
        if found is None:
            self._loop.remove_reader(helper.descriptor)
            self._left += len(helper.outstanding)
            self._jobs = itertools.chain(self._jobs, helper.outstanding.items())

    def _staff(self) -> None:
        """As many workers as are allowed: fewer where those that answer take long, more for those who wait for somebody that does not."""
        now = time.monotonic()
        if self._took:
            mean, self._last = sum(self._took) / len(self._took), now
            if mean > _SLOW:
                self._lively = max(_FEWEST, self._lively * 3 // 4)
            elif mean < _QUICK:
                self._lively = min(_LIVELIEST, self._lively + _FEWEST)
            self._took.clear()
        stuck = sum(line.since < now - _STUCK for line in self._workers.values())
        # Where nobody answers at all, nobody is held up.
        self._allowed = min(self._most, self._lively + (2 * stuck if self._last < now - _STUCK else stuck))
        for _each in range(min(self._allowed, self._left) - len(self._workers)):
            line = Line(self._loop)
            self._workers[self._loop.create_task(self._work(line))] = line

    async def _work(self, line: Line) -> None:
        """One job after the other, until there are none, or too many workers."""
        for place, job in self._jobs:
            line.since = time.monotonic()
            seen = await self._see(line, job)
            self._report(place, seen)
            self._done += 1
            self._left -= 1
            if seen.result.chain:
                self._took.append(seen.result.seconds)
            if len(self._workers) > self._allowed:
                return

    async def _see(self, line: Line, job: Job) -> JobResult:
        endpoint, attempts = replace(job.endpoint, ticket=True) if job.resumption else job.endpoint, 0
        while True:
            attempts += 1
            result, shaken = await self._shake(line, endpoint)
            if result.chain or attempts > job.retries:
                break
            await asyncio.sleep(_PAUSE * attempts)
        session = shaken.session() if shaken is not None and job.resumption else None
        resumed = []
        if session is not None:
            for place in (endpoint, *job.resume_at):
                resumed.append(await self._resume(line, place, session))
        staple = None
        if job.stapling and result.chain:
            staple = await self._loop.run_in_executor(self._programs, staple_of, endpoint)
        other: tuple[str, ...] = ()
        if job.key_types and result.chain:
            other = await self._loop.run_in_executor(self._programs, other_chain, endpoint, result.chain[0])
        accepts, post_quantum = await self._offer(line, job) if job.enumerate or job.post_quantum else (None, None)
        ml_dsa = not result.chain and shaken is not None and await self._has_ml_dsa(line, shaken)
        return JobResult(result, attempts, tuple(resumed), staple, other, accepts, post_quantum, ml_dsa)

    async def _has_ml_dsa(self, line: Line, shaken: Handshake) -> bool:
        """Whether a handshake failed because our OpenSSL does not know the server's kind of key."""
        alert = shaken.tls.heard.alert if shaken.tls else None
        if ssl.OPENSSL_VERSION_INFO >= ML_DSA_SINCE or alert != HANDSHAKE_FAILURE:
            return False
        from ansible_collections.fleet.tls.plugins.module_utils.scan.offering import Offering

        endpoint = shaken.endpoint
        return await Offering(line, endpoint, await self._resolve(endpoint)).ml_dsa()

    async def _offer(self, line: Line, job: Job) -> tuple[Accepts | None, bool | None]:
        """What the endpoint makes of ClientHellos of our own."""
        # Late: seldom wanted.
        from ansible_collections.fleet.tls.plugins.module_utils.scan.accepts import Accepts
        from ansible_collections.fleet.tls.plugins.module_utils.scan.offering import Offering

        try:
            offering = Offering(line, job.endpoint, await self._resolve(job.endpoint))
        except HandshakeError as error:
            return Accepts(error=str(error)) if job.enumerate else None, None
        accepts = await offering.accepts() if job.enumerate else None
        if accepts is not None and accepts.error is None:
            return accepts, accepts.is_hybrid
        return accepts, await offering.post_quantum() if job.post_quantum else None

    async def _resume(self, line: Line, endpoint: Endpoint, session: ssl.SSLSession) -> Resumed:
        result, shaken = await self._shake(line, endpoint, session)
        error = None if shaken is not None and shaken.resumed() else result.error
        return Resumed(endpoint, None if error is not None or shaken is None else shaken.resumed(), error)

    async def _shake(
        self, line: Line, endpoint: Endpoint, session: ssl.SSLSession | None = None
    ) -> tuple[HandshakeResult, Handshake | None]:
        """One connection and handshake."""
        begin = time.monotonic()
        shaken = None
        try:
            context = self._context(endpoint)
            found = await self._resolve(endpoint)
            connected = time.monotonic()
            deadline = connected + endpoint.timeout
            with await line.connect(endpoint, found, deadline) as sock:
                shaken = Handshake(endpoint, context, session)
                await line.drive(shaken.flow(), sock, deadline)
            result = shaken.result()
        except HandshakeError as error:
            result = HandshakeResult(error=str(error))
        return replace(result, seconds=round(time.monotonic() - begin, 3)), shaken

    def _context(self, endpoint: Endpoint) -> ssl.SSLContext:
        """The context of all endpoints with these settings: making one costs as much as a handshake.

        :raises HandshakeError: as ``context_for``.
        """
        key = replace(
            endpoint, host="", port=0, server_name=None, timeout=0, ticket=False, starttls=None, proxy_protocol=0
        )
        if key not in self._contexts:
            try:
                self._contexts[key] = context_for(endpoint)
            except HandshakeError as error:
                self._contexts[key] = error
        context = self._contexts[key]
        if isinstance(context, HandshakeError):
            raise HandshakeError(str(context))
        return context

    async def _resolve(self, endpoint: Endpoint) -> Sequence[Any]:
        """The addresses of an endpoint; names are looked up in threads, each once.

        :raises HandshakeError: there are none.
        """
        try:
            address = ipaddress.ip_address(endpoint.host)
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            if "%" not in endpoint.host:
                return [(family, socket.SOCK_STREAM, 0, "", (endpoint.host, endpoint.port))]
        except ValueError:
            pass
        key = (endpoint.host, endpoint.port)
        if key not in self._found:
            self._found[key] = asyncio.ensure_future(self._loop.run_in_executor(self._resolvers, resolve, endpoint))
        return await asyncio.shield(self._found[key])
