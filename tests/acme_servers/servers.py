# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that a test starts on loopback, each ended by its own process id."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_leaf, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, to_pem


@dataclass(frozen=True)
class Pair:
    """A server's own certificate and key, and the root that clients verify it with; paths of PEM files."""

    certificate: Path
    key: Path
    root: Path


def make_pair(folder: Path) -> Pair:
    """A CA of the test's and a certificate of it for loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    now = dt.datetime.now(dt.timezone.utc)
    root = make_root("Test root of servers", "ecdsa-p256", now, dt.timedelta(days=30))
    key = ec.generate_private_key(ec.SECP256R1())
    names = Names(dns_names=("localhost",), ip_addresses=("127.0.0.1",))
    leaf = make_leaf(key.public_key(), names, ("server_auth",), root, now, dt.timedelta(days=7))
    pair = Pair(folder / "server.pem", folder / "server.key", folder / "root.pem")
    pair.certificate.write_text(to_pem(leaf))
    pair.root.write_text(to_pem(root.certificate))
    pair.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pair


@contextlib.contextmanager
def process(
    command: list[str], log: Path, port: int, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that writes to ``log``, up as soon as it listens on ``port`` of 127.0.0.1.

    :raises AssertionError: it does not start; with its own words.
    """
    with log.open("wb") as stream:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
    try:
        await_port(started, port, log)
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait(20)


def await_port(started: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until it listens.

    :raises AssertionError: it has ended, or does not come to it in minutes.
    """
    # Long only on a machine that is busy: a CA makes its RSA keys first.
    end = time.monotonic() + 300
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if started.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"{started.args!r} does not listen on port {port}:\n{log.read_text(errors='replace')[-3000:]}")


@contextlib.contextmanager
def in_threads(server: ThreadingHTTPServer) -> Iterator[int]:
    """A server of this process, each connection in a thread of its own; yields its port."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
