# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary: a leaf whose only use is to show who trusts its CA. Bundle files take it or not, and servers that verify clients.

Its key comes with the request and is gone with the process: it is never written to a disk.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass, replace

from ansible_collections.fleet.tls.plugins.module_utils.files.content import read
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import private_file
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint, handshake

ACCEPTED, REFUSED = "accepted", "refused"
# What HTTP servers answer to a client whose certificate they do not take after the handshake: nginx, by any of its two codes.
_REFUSALS = (b"400", b"495")
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Canary:
    """A leaf for servers and clients.

    :param pem: its chain and its key.
    :param server_name: the DNS name in it.
    """

    pem: bytes
    server_name: str

    def __repr__(self) -> str:
        return "Canary()"


def bundle_takes(path: str, canary: Canary) -> tuple[bool, str | None]:
    """Whether a client that trusts the file ``path`` takes the canary for a server, by a handshake in memory; and why not."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        with private_file(read(path, follow=True)) as bundle:
            client.load_verify_locations(cafile=bundle)
    except FileNotFoundError:
        return False, f"{path} is missing"
    except (OSError, ssl.SSLError) as error:
        return False, f"{path} cannot be used: {error.strerror or error}"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with private_file(canary.pem) as pem:
        server.load_cert_chain(pem)
    try:
        _shake_in_memory(client, server, canary.server_name)
    except ssl.SSLCertVerificationError as error:
        return False, f"{path}: {error.verify_message}"
    except ssl.SSLError as error:
        return False, f"{path}: {error.reason or error}"
    return True, None


def _shake_in_memory(client: ssl.SSLContext, server: ssl.SSLContext, server_name: str) -> None:
    """A whole handshake between two contexts.

    :raises ssl.SSLError: either side refuses.
    """
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=server_name), server.wrap_bio(up, down, server_side=True)]
    # A handshake is through after three flights; a few more do no harm.
    for _flight in range(10):
        for end in list(ends):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                ends.remove(end)
        if not ends:
            return
    raise ssl.SSLError("the handshake did not finish")


@dataclass(frozen=True)
class Verdict:
    """What a server says to the canary as its client.

    :param outcome: ``accepted``, ``refused``, or None where it asks for no certificate or nobody answers.
    :param leaf: the certificate that it served, PEM.
    """

    outcome: str | None
    error: str | None = None
    leaf: str | None = None


def server_takes(endpoint: Endpoint, canary: Canary) -> Verdict:
    """Ask a server.

    Some servers, nginx among them, complete the handshake and refuse with the first answer: where one speaks HTTP, it is asked.
    """
    with private_file(canary.pem) as pem:
        result = handshake(replace(endpoint, client_certificate=pem))
        if result.client_certificate == ACCEPTED:
            refusal = None if endpoint.starttls else _http_refusal(endpoint, pem)
            return Verdict(REFUSED if refusal else ACCEPTED, refusal, result.chain[0])
    outcome = REFUSED if result.client_certificate == REFUSED else None
    return Verdict(outcome, result.error, result.chain[0] if result.chain else None)


def _http_refusal(endpoint: Endpoint, pem: str) -> str | None:
    """The status line with which an HTTP server refuses the client's certificate; None: it does not, or does not speak HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(pem)
    name = endpoint.server_name or endpoint.host
    request = f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=endpoint.timeout) as sock:
            with context.wrap_socket(sock, server_hostname=endpoint.server_name or None) as tls:
                tls.sendall(request.encode("idna" if not name.isascii() else "ascii"))
                answer = tls.recv(_MOST_BYTES)
    except (OSError, ValueError):
        # It has taken the certificate in the handshake; whatever it does not like now is another thing.
        return None
    line = answer.split(b"\r\n")[0]
    words = line.split(b" ", 2)
    refused = words[0].startswith(b"HTTP/") and len(words) > 1 and words[1] in _REFUSALS
    return line.decode("ascii", "replace") if refused else None
