# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks with a lease in OpenBao's KV engine.

A lock is an entry with its holder. The holder renews it all the while; one that is killed does so no more, and whoever waits takes
the lock when it has not changed for the lease and :data:`GRACE`. No clock is compared with another: the holder counts from before its
own renewal, the one who waits from after what it saw, each on its own monotonic clock, so the holder always ends first. A holder that was
stopped for too long (or cut off) finds its lease over, and writes no more unless it can renew it: check-and-set tells whether another
had the lock meanwhile. While a cluster changes its leader nobody can renew, so that time does not count for those who wait.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    StoreBusy,
    StoreConflict,
    StoreError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.kv import Kept, KeyValues

# Seconds. A write under a lock is given up WRITE seconds after it found no way (connecting) or no answer, so none that was begun before
# the lease was over arrives once another has the lock.
LEASE = 15.0
WRITE = 5.0
GRACE = 2 * WRITE
TRIES = 3


class Lease:
    """One lock, held by this process or not.

    :param path: of its entry.
    :param name: for messages.
    """

    def __init__(self, entries: KeyValues, path: str, name: str) -> None:
        self.entries = entries
        self.path = path
        self.name = name
        self.holder = f"{socket.gethostname()}, process {os.getpid()}"
        self.token = secrets.token_hex(16)
        self.version = 0
        self.ends = 0.0
        self.lost = False
        self.renewing = threading.Lock()
        self.released = threading.Event()
        self.renewer = threading.Thread(target=self.keep, name=f"lease {name}", daemon=True)

    def acquire(self, wait: float) -> None:
        """Get it and keep it.

        :param wait: seconds.
        :raises StoreBusy: not in that time.
        """
        begun, pause = time.monotonic(), 0.02
        seen, since = Kept(), begun
        while True:
            asked = time.monotonic()
            present = self.entries.read(self.path)
            now = time.monotonic()
            no_leader = now - asked > LEASE / 3
            if no_leader or (present.version, token_of(present)) != (seen.version, token_of(seen)):
                seen, since = present, now
            if not token_of(present) or now - since > lease_of(present) + GRACE:
                try:
                    self.write(present.version if present.values is not None else 0, self.token)
                    self.renewer.start()
                    return
                except StoreConflict:
                    pass
            elif now - begun >= wait:
                raise StoreBusy(
                    f"the lock '{self.name}' was held for {wait:g} s by another run ({holder_of(present)})",
                    remedy="wait for that run to end, then run again; the lock of one that was killed ends by itself"
                    f" after {lease_of(present) + GRACE:g} s",
                )
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.5, 0.5)

    def write(self, expect: int, token: str, before: Callable[[], None] = lambda: None) -> None:
        """Say in the entry who has it; an empty token: nobody."""
        sent = time.monotonic()
        values = {"holder": self.holder if token else "", "token": token, "lease_seconds": LEASE}
        self.version = self.entries.write(self.path, values, expect=expect, timeout=WRITE, before=before)
        self.ends = sent + LEASE

    def renew(self, before: Callable[[], None] = lambda: None) -> None:
        """Have it for another lease.

        :raises StoreConflict: another has it, or had it.
        :raises StoreError: the store cannot be asked.
        """
        with self.renewing:
            try:
                self.write_ours(self.token, before)
            except StoreConflict:
                self.lost = True
                raise

    def write_ours(self, token: str, before: Callable[[], None] = lambda: None) -> None:
        """As :meth:`write`, on top of whatever version of ours is there.

        :raises StoreConflict: another has the lock, or had it.
        """
        for left in reversed(range(TRIES)):
            try:
                self.write(self.version, token, before)
                return
            except StoreConflict:
                if not self.is_still_ours() or not left:
                    raise

    def is_still_ours(self) -> bool:
        """Whether the entry became another by a renewal of our own, carried out after its sender had given it up.

        Nobody else writes our token, and we had it ourselves only on top of our own versions: so nobody had the lock in between.
        """
        present = self.entries.read(self.path)
        if token_of(present) != self.token:
            return False
        self.version = present.version
        return True

    def keep(self) -> None:
        """Renew it, in a thread of its own, until it is released or lost."""
        while not self.released.wait(LEASE / 3):
            try:
                self.renew(self.go_on)
            except StoreConflict:
                return
            except TlsError:
                # Tried again; if it stays so, the lease ends.
                continue

    def go_on(self) -> None:
        """:raises StoreError: the lock is given back meanwhile; nobody sees it."""
        if self.released.is_set():
            raise StoreError("released")

    def check(self) -> None:
        """Whether nobody else can have it; a lease that is over is renewed, where that is still possible.

        :raises StoreBusy: another has it, or had it.
        """
        # A renewal that took long counts from its beginning, and may be over as well.
        for _try in range(TRIES):
            if self.lost or self.ends > time.monotonic():
                break
            with contextlib.suppress(StoreConflict):
                self.renew()
        if self.lost or self.ends <= time.monotonic():
            raise StoreBusy(
                f"the lock '{self.name}' was lost: this run stood still, or was cut off from the store, for too long",
                remedy="run again: nothing was written since",
            )

    def release(self) -> None:
        """Give it back; where that cannot be said, the lease ends by itself."""
        self.released.set()
        self.renewer.join()
        if not self.lost:
            with contextlib.suppress(TlsError):
                self.write_ours("")
        self.lost = True


def token_of(present: Kept) -> str:
    """Whose it is; empty: nobody's."""
    return str((present.values or {}).get("token") or "")


def lease_of(present: Kept) -> float:
    """Seconds for which its holder may count on it."""
    value: Any = (present.values or {}).get("lease_seconds")
    return float(value) if isinstance(value, (int, float)) and 0 < value <= 3600 else LEASE


def holder_of(present: Kept) -> str:
    """Who has it, for people."""
    text = str((present.values or {}).get("holder") or "unknown")
    return "".join(char for char in text if char.isprintable())[:100]
