# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users say about an OpenBao server and about who they are to it: the same options for the store and the issuer."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.secret_option import (
    Secret,
    option_names_of,
    parse_secret,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import KEY

CONNECTION_OPTIONS = ("url", "namespace", "ca_certificate", "auth", "timeout")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Method → what it takes; a name with three forms is a secret: itself, or where it is kept.
METHODS = {
    "token": option_names_of("token"),
    "approle": ("mount", "role_id", *option_names_of("secret_id")),
    "cert": ("mount", "name", "certificate_file", "private_key_file"),
}

# What ``ssl`` raises for a file that is not there, or not what it has to be.
UNUSABLE = (OSError, ssl.SSLError, ValueError)
PAIR_REMEDY = "name PEM files of a certificate and its unencrypted key that the playbook's user can read"
CA_REMEDY = "give the CA of OpenBao's listener, as PEM text or as a path on the controller"


@dataclass
class Auth:
    """Who we are: ``method`` and its options."""

    method: str
    mount: str = ""
    role: str = ""
    secret: Secret | None = None
    files: tuple[str, str] | None = None
    known: set[str] = field(default_factory=set, repr=False)

    @property
    def remedy(self) -> str:
        """What to do when it is refused."""
        return {
            "token": "give a new token (bao token create -policy=...)",
            "approle": "check role_id, and make a new secret_id",
            "cert": "check the certificate, and the role at the cert auth mount",
        }[self.method]

    def login(self, error: type[TlsError]) -> str | tuple[str, dict[str, str]]:
        """The token, or path and body of the login that gives one.

        :raises TlsError: (of the kind ``error``) a secret is not where it was said to be.
        """
        if self.method == "cert":
            return f"auth/{self.mount}/login", {"name": self.role} if self.role else {}
        what = "token" if self.method == "token" else "secret_id"
        secret = self.secret.read(error, what) if self.secret else ""
        self.known.add(secret)
        if self.method == "token":
            return secret
        return f"auth/{self.mount}/login", {"role_id": self.role, **({"secret_id": secret} if secret else {})}

    def secrets(self) -> Iterator[str]:
        """Those that were read so far."""
        return (each for each in self.known if each)

    def tls_context(self, context: ssl.SSLContext, error: type[TlsError]) -> ssl.SSLContext:
        """The context with our certificate in it, where the method is one.

        :raises TlsError: (of the kind ``error``) it cannot be read.
        """
        if self.files:
            try:
                # A password prompt would wait for nobody.
                context.load_cert_chain(*self.files, password=lambda: "")
            except UNUSABLE as caught:
                raise unusable(error, f"{self.files[0]} and {self.files[1]}", caught, PAIR_REMEDY) from None
        return context


@dataclass(frozen=True)
class Server:
    """Where the cluster is; ``timeout`` in seconds for one request, ``ca_certificate`` a PEM text or a path."""

    urls: tuple[str, ...]
    namespace: str
    ca_certificate: str | None
    timeout: float

    def tls_context(self, error: type[TlsError]) -> ssl.SSLContext:
        """What verifies the listener: its CA where one is named, else the system's.

        :raises TlsError: (of the kind ``error``) the CA cannot be read.
        """
        if not self.ca_certificate:
            return ssl.create_default_context()
        try:
            if "-----BEGIN" in self.ca_certificate:
                return ssl.create_default_context(cadata=self.ca_certificate)
            return ssl.create_default_context(cafile=os.path.expanduser(self.ca_certificate))
        except UNUSABLE as caught:
            raise unusable(error, "ca_certificate", caught, CA_REMEDY) from None


def unusable(error: type[TlsError], what: str, caught: Exception, remedy: str) -> TlsError:
    """Why certificates or keys cannot be used, in the system's words where it has some."""
    words = None if isinstance(caught, ssl.SSLError) else getattr(caught, "strerror", None)
    return error(f"OpenBao: {what} cannot be used: {words or 'not the PEM that is needed'}", remedy=remedy)


def parse_server(fields: Fields, where: str) -> Server:
    """The options about the server.

    :raises SpecError: one is missing or does not fit.
    """
    urls = tuple(parse_url(url, where) for url in fields.strings("url"))
    if not urls:
        raise SpecError(f"{where}: url is missing", remedy="write url: https://openbao.example.com:8200")
    if len({urlsplit(url).scheme for url in urls}) > 1:
        raise SpecError(f"{where}: url: https and http are mixed", remedy="use https for all nodes")
    ca = fields.text("ca_certificate")
    if ca and "PRIVATE KEY" in ca:
        raise SpecError(f"{where}: ca_certificate has a private key in it", remedy="give the certificate alone")
    if ca and "-----BEGIN" not in ca and not os.path.isabs(os.path.expanduser(ca)):
        raise SpecError(f"{where}: ca_certificate is neither PEM text nor an absolute path")
    timeout = parse_timeout(fields.get("timeout", "10s"), f"{where}: timeout", 300)
    return Server(urls, (fields.text("namespace") or "").strip("/"), ca, timeout)


def parse_url(url: str, where: str) -> str:
    """An address without a slash at its end.

    :raises SpecError: no https (or http to this machine itself), or more in it than an address.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    # The url itself is not told where it may have a password in it.
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SpecError(f"{where}: url has more in it than an address", remedy="write who you are under auth")
    if not host or parts.scheme not in ("https", "http"):
        raise SpecError(f"{where}: url is not an address", remedy="write https://openbao.example.com:8200")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise SpecError(f"{where}: url has no TLS", remedy="use https; http is for an agent on this machine")
    return url.rstrip("/")


def parse_auth(fields: Fields, where: str) -> Auth:
    """``auth: {method: …}``.

    :raises SpecError: missing, unknown, or without what its method needs.
    """
    raw = fields.get("auth")
    if not isinstance(raw, Mapping):
        raise SpecError(f"{where}: auth is missing", remedy="write auth: {method: token, token: …}")
    method = one_of(raw.get("method", "token"), METHODS, f"{where}: auth: method")
    auth = Fields(raw, ("method", *METHODS[method]), f"{where}: auth")
    if method == "token":
        return Auth(method, secret=parse_secret(auth, "token", f"{where}: auth", required=True))
    mount = (auth.text("mount") or method).strip("/")
    if method == "approle":
        role = needed(auth, "role_id", where)
        return Auth(method, mount, role, secret=parse_secret(auth, "secret_id", f"{where}: auth", required=False))
    files = needed(auth, "certificate_file", where), needed(auth, "private_key_file", where)
    return Auth(
        method, mount, auth.text("name") or "", files=(os.path.expanduser(files[0]), os.path.expanduser(files[1]))
    )


def parse_place(value: Any, what: str) -> str:
    """A mount, a folder or a name in one.

    :raises SpecError: not letters, digits and ``-_.:@`` between slashes.
    """
    text = str(value).strip("/")
    if not KEY.fullmatch(text):
        raise SpecError(f"{what} is not a path in OpenBao", remedy="write it as some/path")
    return text


def needed(auth: Fields, name: str, where: str) -> str:
    """:raises SpecError: it is missing."""
    value = auth.text(name)
    if not value:
        raise SpecError(f"{where}: auth: {name} is missing", remedy="docs/stores/openbao.md shows all three methods")
    return value
