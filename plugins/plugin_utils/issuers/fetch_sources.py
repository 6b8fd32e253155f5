# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where issuer ``fetch`` finds things: a file on the controller or an https URL. Asked with a tag, a source that is as it was says so."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.urls import ConnectionError as AnsibleConnectionError
from ansible.module_utils.urls import open_url

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import LONGEST_FILE, read_file


@dataclass(frozen=True)
class Content:
    """What was found. ``tag`` names this very content for :meth:`Source.changed`; the bytes are never part of a repr."""

    data: bytes = field(repr=False)
    tag: str


class Source(ABC):
    """One place; ``remote``: to look there costs a request."""

    remote = False

    @abstractmethod
    def read(self) -> Content:
        """What is there.

        :raises TlsError: it is not to be had.
        """

    def changed(self, tag: str) -> Content | None:
        """What is there; None: it still is what ``tag`` names. Errors as :meth:`read`."""
        content = self.read()
        return None if content.tag == tag else content

    @abstractmethod
    def describe(self) -> str:
        """Which place it is, for messages and without secrets."""


class FileSource(Source):
    """A file on the controller; its tag is its digest."""

    def __init__(self, path: str) -> None:
        self.path = path

    def describe(self) -> str:
        return self.path

    def read(self) -> Content:
        data = read_file(self.path, "fetch")
        return Content(data, f"sha256:{hashlib.sha256(data).hexdigest()}")


@dataclass(frozen=True)
class Web:
    """How https is spoken; ``headers`` may be secrets, ``timeout`` is in seconds."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    timeout: float = 30.0


class Unchanged(Exception):
    """The server's word that nothing changed (304)."""


class WebSource(Source):
    """An https URL. Its tag is the server's ETag or date, else the digest: servers that know neither send it all again."""

    remote = True

    def __init__(self, url: str, web: Web) -> None:
        self.url = url
        self.web = web

    def describe(self) -> str:
        parts = urllib.parse.urlsplit(self.url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        return f"https://{f'[{host}]' if ':' in host else host}{port}{parts.path}"

    def read(self) -> Content:
        try:
            return self.get({})
        except Unchanged:
            raise self.failed("the server answered 304", remedy_for(304)) from None

    def changed(self, tag: str) -> Content | None:
        kind, _colon, value = tag.partition(":")
        try:
            answer = self.get({"etag": {"If-None-Match": value}, "date": {"If-Modified-Since": value}}.get(kind, {}))
        except Unchanged:
            return None
        return None if answer.tag == tag else answer

    def get(self, conditions: Mapping[str, str]) -> Content:
        """One request.

        :raises Unchanged: the conditions say so.
        :raises IssuerError: anything else than 200. The server's own text is not told: it may repeat what it was sent.
        """
        try:
            with open_url(
                self.url,
                headers={**self.web.headers, **conditions},
                http_agent="fleet.tls",
                timeout=self.web.timeout,
                validate_certs=True,
                # A redirection would take the headers to another place, or to plain http.
                follow_redirects="none",
                ca_path=self.web.ca_certificate,
                client_cert=self.web.client_certificate,
                client_key=self.web.client_key,
                use_netrc=False,
                decompress=False,
            ) as response:
                data = response.read(LONGEST_FILE + 1)
                tag, promised = tag_of(response.headers, data), str(response.headers.get("Content-Length"))
        except urllib.error.HTTPError as error:
            if error.code == 304:
                raise Unchanged from None
            raise self.failed(f"the server answered {error.code}", remedy_for(error.code)) from None
        except urllib.error.URLError as error:
            raise self.failed(reason_of(error.reason), "check the URL, the network and ca_certificate") from None
        except (OSError, ValueError, http.client.HTTPException, AnsibleConnectionError) as error:
            raise self.failed(reason_of(error), "check the URL and the network") from None
        if len(data) > LONGEST_FILE:
            raise self.failed("it is larger than 1 MiB", "give the URL of a file of certificates")
        if promised.isdigit() and len(data) < int(promised):
            raise self.failed("the answer was cut off", "try again when the server is well")
        return Content(data, tag)

    def failed(self, problem: str, remedy: str) -> IssuerError:
        """What went wrong there."""
        return IssuerError(f"{self.describe()}: {problem}", remedy=remedy)


def tag_of(headers: Any, data: bytes) -> str:
    """The tag of an answer."""
    if headers.get("ETag"):
        return f"etag:{headers['ETag']}"
    if headers.get("Last-Modified"):
        return f"date:{headers['Last-Modified']}"
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def reason_of(reason: Any) -> str:
    """A network's failure in words; those of the ssl module name the check that failed."""
    if isinstance(reason, OSError):
        return str(reason.strerror or reason)[:200]
    return f"{type(reason).__name__}" if isinstance(reason, Exception) else str(reason)[:200]


def remedy_for(status: int) -> str:
    """What to do about an HTTP status."""
    if status in (401, 403):
        return "check headers or the client certificate"
    if 300 <= status < 400:
        return "it redirects: give the URL that it leads to"
    return "check the URL, or try again when the server is well"


def parse_source(value: Any, what: str, web: Web, names: Mapping[str, str]) -> Source:
    """A source as the user writes it.

    :param names: what stands for ``{host}`` and ``{certificate}`` in it.
    :raises SpecError: neither an absolute path nor an https URL.
    """
    text = str(value or "").strip()
    if text.lower().startswith("https://"):
        return WebSource(filled(text, {name: urllib.parse.quote(each, safe="") for name, each in names.items()}), web)
    path = os.path.expanduser(text)
    if not os.path.isabs(path):
        raise SpecError(
            f"{what}: it is neither an https URL nor an absolute path on the controller",
            remedy="plain http is not offered: anybody on the way could replace a certificate, or read a key",
        )
    for name, each in names.items():
        if "/" in each or each.startswith("."):
            raise SpecError(f"{what}: the {name} '{each}' cannot be part of a path", remedy=f"leave {{{name}}} out")
    return FileSource(filled(path, names))


def filled(text: str, names: Mapping[str, str]) -> str:
    """``text`` with the placeholders replaced; other braces are left as they are."""
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text
