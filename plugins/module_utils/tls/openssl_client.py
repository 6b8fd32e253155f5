# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the program openssl can do in a handshake: ask for a stapled answer, offer some signature algorithms."""

from __future__ import annotations

import contextlib
import os.path
import selectors
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

from ansible_collections.fleet.tls.plugins.module_utils.system.commands import environment, find_program
from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import drive
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import (
    Endpoint,
    HandshakeError,
    ask_for_tls,
    connect,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.tcp import remaining

# What is read of the program's words.
MOST_CHARACTERS = 256 * 1024


def ask(endpoint: Endpoint, wishes: Sequence[str]) -> str:
    """What ``openssl s_client`` prints about a handshake, within the endpoint's time limit.

    :param wishes: further options of ``s_client``.
    :raises HandshakeError: it cannot be run, or the time was up.
    """
    program = find_program("openssl")
    if program is None:
        raise HandshakeError("there is no program openssl here")
    try:
        with way_to(endpoint) as way:
            ended = subprocess.run(  # pylint: disable=ansible-bad-function
                [program, "s_client", *wishes, *way, *arguments(endpoint)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
                timeout=endpoint.timeout,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise HandshakeError(f"timed out after {endpoint.timeout:g} s") from None
    except OSError as error:
        raise HandshakeError(f"openssl cannot be run: {error.strerror}") from None
    return ended.stdout[:MOST_CHARACTERS].decode(errors="replace")


@contextlib.contextmanager
def way_to(endpoint: Endpoint) -> Iterator[list[str]]:
    """The options that lead to an endpoint. Where something has to be said before TLS, we say it, and carry the bytes after that: the
    program knows fewer protocols than we do, and no proxy's."""
    if not endpoint.starttls and not endpoint.proxy_protocol:
        yield ["-connect", endpoint.address]
        return
    with tempfile.TemporaryDirectory(prefix="fleet-tls-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "way")
        listener.bind(path)
        listener.listen(1)
        carrier = threading.Thread(target=carry, args=(listener, endpoint, time.monotonic() + endpoint.timeout))
        carrier.start()
        try:
            yield ["-unix", path]
        finally:
            # It waits for nobody then.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            carrier.join()


def carry(listener: socket.socket, endpoint: Endpoint, deadline: float) -> None:
    """Let one who connects speak with an endpoint from where TLS begins, until one of them hangs up or the time is up."""
    with contextlib.suppress(OSError, HandshakeError), selectors.DefaultSelector() as selector:
        listener.settimeout(remaining(deadline))
        near, _address = listener.accept()
        with near, connect(endpoint, deadline) as far:
            drive(ask_for_tls(endpoint), far, deadline)
            for each, other in ((near, far), (far, near)):
                each.settimeout(remaining(deadline))
                selector.register(each, selectors.EVENT_READ, other)
            while True:
                for key, _events in selector.select(remaining(deadline)):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)


def arguments(endpoint: Endpoint) -> list[str]:
    """The options that say who is asked for, and who asks."""
    said = []
    name = (endpoint.server_name or "").rstrip(".")
    said += (
        ["-servername", name] if name and not name.replace(".", "").isdigit() and ":" not in name else ["-noservername"]
    )
    if endpoint.client_certificate:
        files = (endpoint.client_certificate, endpoint.client_key or endpoint.client_certificate)
        # "~" is the probing machine's, and no shell expands it.
        said += ["-cert", os.path.expanduser(files[0]), "-key", os.path.expanduser(files[1])]
    return said
