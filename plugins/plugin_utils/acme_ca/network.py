# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to an ACME CA (RFC 8555): signed, repeated where that helps, and their failures in our words.

What is repeated: a nonce that was refused, a CA that is overloaded (429, 503) or broken (500, 502, 504), a connection that was
lost. Each request has a bounded number of tries, and all requests of a client end at one deadline.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account_key import signing
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.library import (
    ClientNetwork,
    acme_errors,
    jose,
    messages,
    requests,
    require_acme,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened

TRIES = 8
# A storm of refused nonces is not the client's fault, and costs nobody anything.
NONCE_TRIES = 20
BUSY = frozenset({429, 500, 502, 503, 504})
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
LONGEST_ANSWER = 1024 * 1024
USER_AGENT = "fleet.tls (Ansible collection)"

REMEDIES = {
    "rateLimited": "wait as the CA says; meanwhile the installed certificate is still served",
    "rejectedIdentifier": "this CA does not issue for that name",
    "unauthorized": "see that the account may do this (one that was deactivated may nothing), and that the name's challenge is answered as this task expects",
    "externalAccountRequired": "set external_account to the kid and hmac_key that the CA gave you",
    "userActionRequired": "the CA wants something of a person: see the address in its answer",
    "caa": "allow this CA in the domain's CAA records",
    "dns": "see the domain's DNS records",
    "connection": "see that the CA can reach the host on port 80",
    "badCSR": "see what keys and names this CA takes",
    "invalidProfile": "use one of the CA's profiles",
}


class AcmeError(IssuerError):
    """What a CA refused, or that it did not answer.

    :param problem: the word of the problem document (RFC 8555, 6.7), such as ``rateLimited``; None: there was none.
    :param status: of HTTP; None: there was no answer.
    :param retry_after: seconds after which it may be tried again, where the CA said so.
    :param lost: whether the request may have reached the CA though no answer came.
    """

    def __init__(
        self,
        message: str,
        *,
        problem: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        lost: bool = False,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy or REMEDIES.get(problem or ""))
        self.problem, self.status, self.retry_after, self.lost = problem, status, retry_after, lost


class Network(ClientNetwork):
    """Signed requests with patience.

    :param key: the account's private key, None: for requests that need no account.
    :param verify: path of the CA certificates that the CA's own TLS is verified with; None: the usual ones.
    :param patience: seconds after which no request is repeated any more.
    :param timeout: seconds one answer may take.
    :raises DependencyError: the library is missing.
    """

    def __init__(self, key: Any, *, verify: str | None, patience: float, timeout: float = 30.0) -> None:
        require_acme()
        self.made_of = {"key": key, "verify": verify, "patience": patience, "timeout": timeout}
        signer, algorithm = signing(key) if key is not None else (None, jose.ES256)
        super().__init__(
            signer,
            alg=algorithm,
            verify_ssl=verify or True,  # type: ignore[arg-type]
            user_agent=USER_AGENT,
            timeout=timeout,  # type: ignore[arg-type]
        )
        self.patience = patience
        self.deadline = 0.0
        self.begin()
        self.new_nonce: str | None = None
        self.answer: Any = None

    def another(self) -> Network:
        """The same for another thread: a connection, nonces and a deadline of its own."""
        made = Network(**self.made_of)
        made.new_nonce, made.account = self.new_nonce, self.account
        return made

    def begin(self) -> None:
        """A new piece of work: time runs anew."""
        self.deadline = time.monotonic() + self.patience

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time that is not the CA's: what a solver needs until answers are visible has a bound of its own."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.deadline += time.monotonic() - began

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer: the library's exceptions do not carry status and headers."""
        if not url.startswith("https://"):
            raise AcmeError(f"the CA names an address that is not https: {shortened(url)}")
        self.answer = None
        self.answer = super()._send_request(method, url, *args, **kwargs)
        return self.answer

    def read(self, url: str, *, tries: int = TRIES) -> Any:
        """The JSON object behind a plain GET; for the directory and renewal information.

        :raises AcmeError: it was not to be had.
        """
        response = self.patiently(lambda: self.get(url), tries, repeat_lost=True)
        return self.json_of(response, url)

    def fetch(self, url: str) -> Any:
        """A resource by POST-as-GET (RFC 8555, 6.3), the response.

        :raises AcmeError: it was not to be had.
        """
        return self.send(url, None)

    def send(self, url: str, message: Any, *, repeat_lost: bool = True) -> Any:
        """A signed POST, the response.

        :param repeat_lost: whether to send it again when no answer came.
        :raises AcmeError: refused, or no answer.
        """
        return self.patiently(
            lambda: self._post_once(url, message, new_nonce_url=self.new_nonce), TRIES, repeat_lost=repeat_lost
        )

    def patiently(self, work: Callable[[], Any], tries: int, *, repeat_lost: bool) -> Any:
        """Do it until it is done, refused for good, or time or tries are used up."""
        attempt = nonces = 0
        while True:
            try:
                return work()
            except (acme_errors.Error, requests.RequestException, jose.DeserializationError) as error:
                found = self.told(error)
            if found.problem == "badNonce":
                # The nonces that came with it are as stale as this one.
                self._nonces.clear()
                nonces += 1
                pause, spent = (0.0 if nonces < 3 else min(0.1 * nonces, 1.0)), nonces >= NONCE_TRIES
            elif found.status in BUSY or (found.lost and repeat_lost):
                attempt += 1
                pause = max(found.retry_after or 0.0, min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE))
                spent = attempt >= tries
            else:
                raise found from None
            if spent or time.monotonic() + pause > self.deadline:
                raise found from None
            time.sleep(pause)

    def wait(self, pause: float) -> bool:
        """Sleep; False when the deadline would be passed."""
        if time.monotonic() + pause > self.deadline:
            return False
        time.sleep(pause)
        return True

    def told(self, error: Exception) -> AcmeError:
        """The library's exception in our words."""
        answer = self.answer
        if isinstance(error, requests.exceptions.SSLError):
            return AcmeError(
                f"the CA's own TLS certificate is not trusted: {shortened(error)[:300]}",
                remedy="name the CA certificate it leads to in ca_certificate, where the CA is not a public one",
            )
        if isinstance(error, requests.RequestException) or answer is None:
            slow = isinstance(error, requests.Timeout)
            words = "the CA did not answer in time" if slow else f"the CA cannot be reached: {shortened(error)[:300]}"
            return AcmeError(
                words, lost=True, remedy="see that the controller reaches the directory_url; run again later"
            )
        document = problem_document(answer)
        if document is None and isinstance(error, messages.Error):
            document = {"type": error.typ, "detail": error.detail}
        delay = retry_after(answer.headers, default=None)
        if document is None:
            return AcmeError(
                f"the CA's answer makes no sense (HTTP {answer.status_code}, {shortened(answer.text)[:120]!r})",
                status=answer.status_code,
                retry_after=delay,
                remedy="see that directory_url is an ACME directory and that no proxy answers in its place",
            )
        problem = str(document.get("type") or "").rpartition(":")[2] or None
        when = f" (to be tried again in {delay:.0f} s)" if delay else ""
        return AcmeError(
            f"the CA refuses: {problem_text(document)}{when}",
            problem=problem,
            status=answer.status_code,
            retry_after=delay,
        )

    def json_of(self, response: Any, url: str) -> dict[str, Any]:
        """The response's JSON object.

        :raises AcmeError: it is none.
        """
        try:
            found = response.json() if len(response.content) <= LONGEST_ANSWER else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise AcmeError(
                f"the CA's answer makes no sense ({shortened(url)}: {shortened(response.text)[:120]!r})",
                remedy="see that directory_url is an ACME directory and that no proxy answers in its place",
            )
        return found


def problem_document(response: Any) -> dict[str, Any] | None:
    """The problem document (RFC 9457) of a response, None: it has none."""
    try:
        found = response.json() if not response.ok else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and ("type" in found or "detail" in found) else None


def problem_text(document: dict[str, Any]) -> str:
    """A problem document in one line, its parts included."""
    word = str(document.get("type") or "").rpartition(":")[2]
    parts = [shortened(document.get("detail") or document.get("title") or "no reason given")[:500]]
    subproblems = document.get("subproblems")
    for each in subproblems if isinstance(subproblems, list) else ():
        if isinstance(each, dict):
            identifier = each.get("identifier")
            name = identifier.get("value") if isinstance(identifier, dict) else None
            parts.append(f"{shortened(name or '?')[:100]}: {shortened(each.get('detail'))[:300]}")
    return f"{'; '.join(parts)}{f' [{shortened(word)[:60]}]' if word else ''}"


def retry_after(headers: Any, default: float | None) -> float | None:
    """Seconds to wait by a response's Retry-After (RFC 9110, 10.2.3), a number or a date.

    A date is compared with the response's own Date, so that two clocks that differ do no harm.
    """
    text = str(headers.get("Retry-After") or "").strip()
    if text.isdecimal():
        return float(min(int(text), 10**9))
    try:
        until = parsedate_to_datetime(text)
        sent = parsedate_to_datetime(str(headers.get("Date") or ""))
    except (TypeError, ValueError):
        return default
    naive = until.tzinfo is None or sent.tzinfo is None
    return default if naive else max((until - sent) / dt.timedelta(seconds=1), 0.0)
