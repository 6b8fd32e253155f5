# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong in a handshake, in words that people understand."""

from __future__ import annotations

import socket
import ssl

from ansible_collections.fleet.tls.plugins.module_utils.tls import messages as tls_messages
from ansible_collections.fleet.tls.plugins.module_utils.tls.contexts import reason
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError
from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import HANDSHAKE_TIMEOUT

# How it looks when the other side ends the connection without a word.
HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)
# OpenSSL's reasons that say nothing to people; what begins with the first, as the second.
WORDS = (
    ("EXCESSIVE_MESSAGE_SIZE", "the server sent certificates, or another message, larger than any client takes"),
    ("ASN1", "the server's certificate is malformed"),
    ("BAD_CERTIFICATE", "the server's certificate is malformed"),
    ("CERT_LENGTH_MISMATCH", "the server's certificate is malformed"),
)


def in_words(problem: Exception, endpoint: Endpoint, heard: tls_messages.Heard, first_bytes: bytes) -> str:
    """The problem of a handshake.

    :param heard: what the server said until then.
    :param first_bytes: the first that came after TLS was to begin.
    """
    if isinstance(problem, HandshakeError):
        return str(problem)
    if isinstance(problem, socket.timeout):
        return HANDSHAKE_TIMEOUT.format(endpoint.timeout)
    if heard.alert is not None:
        return f"the server refused with the TLS alert {tls_messages.alert_name(heard.alert)}"
    # Every TLS record starts with its content type, 20 to 24 (RFC 8446 section 5.1).
    if first_bytes and not 20 <= first_bytes[0] <= 24:
        return f"not TLS: the server said '{_printable(first_bytes)}'"
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {problem.verify_message}"
    if isinstance(problem, HUNG_UP):
        how = "reset" if isinstance(problem, ConnectionError) else "closed"
        asked = " after it had asked for a client certificate" if heard.requested else " during the handshake"
        return f"the server {how} the connection{asked}"
    if isinstance(problem, ssl.SSLError):
        for beginning, words in WORDS:
            if str(problem.reason).startswith(beginning):
                return words
        return f"the TLS handshake failed: {reason(problem)}"
    return f"the connection broke: {getattr(problem, 'strerror', None) or problem}"


def _printable(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data.strip().split(b"\r\n")[0][:60])
