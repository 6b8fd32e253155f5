# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With which settings a handshake is made: to look, or to do as a client does."""

from __future__ import annotations

import contextlib
import os.path
import ssl
from typing import Callable

from ansible_collections.fleet.tls.plugins.module_utils.files.content import read
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import private_file
from ansible_collections.fleet.tls.plugins.module_utils.tls import messages as tls_messages
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError
from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import looking_context

# Those that a client may be limited to.
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def context_for(endpoint: Endpoint) -> ssl.SSLContext:
    """The context for an endpoint; it has nothing in it that is this endpoint's alone.

    :raises HandshakeError: our own client certificate, or the bundle, cannot be used.
    """
    context = _verifying(endpoint.trust, endpoint.crls) if endpoint.verify else looking_context()
    if endpoint.minimum_version:
        context.minimum_version = VERSIONS[endpoint.minimum_version]
    if endpoint.maximum_version:
        context.maximum_version = VERSIONS[endpoint.maximum_version]
    if endpoint.alpn:
        context.set_alpn_protocols(list(endpoint.alpn))
    tls_messages.listen(context)
    if endpoint.client_certificate:
        # "~" is expanded here, on the machine whose files they are.
        key = os.path.expanduser(endpoint.client_key) if endpoint.client_key else None
        _load_client(context, os.path.expanduser(endpoint.client_certificate), key)
    return context


def reason(error: ssl.SSLError) -> str:
    """OpenSSL's reason, for people."""
    return (error.reason or str(error)).replace("_", " ").lower()


def load_pair(context: ssl.SSLContext, certificate: str, key: str | None, password: Callable[[], str] | None) -> None:
    """Give a context a certificate with its chain, and the key, from files (PEM); key None: it is in the same one.

    :raises OSError: a file cannot be read, or (``ssl.SSLError``) used.
    """
    with private_file(read(certificate, follow=True)) as chain, contextlib.ExitStack() as stack:
        secret = stack.enter_context(private_file(read(key, follow=True))) if key else None
        context.load_cert_chain(chain, secret, password=password)


def _verifying(trust: str | None, crls: str | None = None) -> ssl.SSLContext:
    """A context as clients have it. Not Python's default one, which since 3.13 asks more of a chain than other programs do.

    :raises HandshakeError: the bundle cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if trust is None:
            context.load_default_certs()
        else:
            with private_file(read(trust, follow=True)) as bundle:
                context.load_verify_locations(bundle)
        if crls is not None:
            with private_file(read(crls, follow=True)) as lists:
                context.load_verify_locations(lists)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    except OSError as error:
        why = reason(error) if isinstance(error, ssl.SSLError) else error.strerror or error
        raise HandshakeError(f"the trust bundle {trust} cannot be used: {why}") from None
    return context


def _load_client(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    def no_passphrase() -> str:
        # Without a callback OpenSSL would ask at the terminal, and wait.
        raise HandshakeError(f"the client key {key or certificate} is encrypted: give one that is not")

    try:
        load_pair(context, certificate, key, no_passphrase)
    except ssl.SSLError as error:
        why = reason(error)
        raise HandshakeError(f"the client certificate {certificate} and its key cannot be used: {why}") from None
    except OSError as error:
        name = " or ".join(path for path in (certificate, key) if path)
        problem = f"the client certificate cannot be read ({name}): {error.strerror or error}"
        raise HandshakeError(problem) from None
