# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to OpenBao (and HashiCorp Vault) for all who need it: what the user says about the server, and requests to it.

``hvac`` is imported by the first request. A change of leader, a node that restarts and a full request quota pass by themselves, so
requests are repeated for :data:`PATIENCE` seconds; one that must not be carried out twice is repeated only where the server surely
did not begin with it. TLS is always verified.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.masking import masked
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.options import Auth, Server
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.problems import (
    Problem,
    expired_token,
    network_problem,
    no_right,
    nothing_open,
    problem_of,
)

# Seconds; an election among raft nodes takes one to ten, and one that stepped down does not stand again for ten.
PATIENCE = 30.0
CONNECT_SECONDS = 5.0
# Shorter ones are no secrets, but parts of words.
# Of reads that go on side by side (the ledger's rows).
CONNECTIONS = 8


@dataclass(frozen=True)
class Answer:
    """What the server said. ``errors``: its own words where it refused."""

    status: int
    data: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


class Connection:
    """Requests to one cluster, as one identity.

    :param error: the kind of TlsError that its failures are.
    """

    def __init__(self, server: Server, auth: Auth, error: type[TlsError]) -> None:
        self.server = server
        self.auth = auth
        self.error = error
        self.token: str | None = None
        self.token_ends: float | None = None
        self.lock = threading.RLock()
        self.urls = list(server.urls)
        self.session: Any = None
        self.clients: dict[str, Any] = {}
        self.patience = PATIENCE
        self.network_error: type[Exception] = OSError

    def describe(self) -> str:
        """Which server this is, for messages."""
        return f"OpenBao at {self.server.urls[0]}"

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        accept: tuple[int, ...] = (),
        anonymous: bool = False,
        once: bool = False,
        timeout: float | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Ask, and ask again while it may help.

        :param path: below ``/v1/``.
        :param accept: statuses besides 2xx that are an answer.
        :param anonymous: without a token.
        :param once: it must not be carried out twice.
        :param timeout: seconds for one try, at most the server's own.
        :param before: called before every try; what it raises ends the request.
        :raises TlsError: of the connection's kind.
        :raises DependencyError: ``hvac`` is missing.
        """
        end, pause = time.monotonic() + self.patience, 0.1
        while True:
            for url in tuple(self.urls):
                before()
                found = self.attempt(url, method, path, body, anonymous=anonymous, fresh=once, timeout=timeout)
                if isinstance(found, Answer) and (found.status < 300 or found.status in accept):
                    self.prefer(url)
                    self.patience = PATIENCE
                    return found
                problem = found if isinstance(found, Problem) else problem_of(found.status, found.errors)
                if problem.denied:
                    problem = nothing_open(path) if anonymous else self.denied(url, path)
                if problem.final or (once and problem.begun):
                    raise self.failure(problem, method, path)
            if not problem.passes or time.monotonic() + pause > end:
                # Whoever comes next (the host's other certificates) need not wait for as long.
                self.patience = 0.0
                raise self.failure(problem, method, path)
            time.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 2, 2.0)

    def attempt(
        self,
        url: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        anonymous: bool,
        fresh: bool = False,
        timeout: float | None = None,
    ) -> Answer | Problem:
        """One try at one address; a token that has come to its end is replaced first."""
        adapter = self.adapter(url)
        if fresh:
            # A connection that was kept and has died would leave open whether the request arrived.
            adapter.close()
        try:
            token = None if anonymous else self.current_token(url)
        except LoginProblem as error:
            return error.problem
        return self.send(url, method, path, body, token=token, timeout=timeout)

    def send(
        self,
        url: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        token: str | None,
        timeout: float | None = None,
    ) -> Answer | Problem:
        """One HTTP request."""
        limit = min(timeout or self.server.timeout, self.server.timeout)
        adapter = self.adapter(url)
        # The token goes along with the request: threads share the adapter.
        headers = {"X-Vault-Token": token} if token else {}
        limits = (min(limit, CONNECT_SECONDS), limit)
        try:
            response = adapter.request(method, f"v1/{path}", headers, raise_exception=False, json=body, timeout=limits)
        except self.network_error as error:
            return network_problem(error, url, limit)
        return answer_of(response)

    def adapter(self, url: str) -> Any:
        """hvac's way to one address, made when first needed.

        :raises DependencyError: the package is not there.
        """
        with self.lock:
            if url not in self.clients:
                hvac, requests = import_hvac()
                self.network_error = requests.exceptions.RequestException
                if self.session is None:
                    context = self.auth.tls_context(self.server.tls_context(self.error), self.error)
                    self.session = make_session(requests, context, urlsplit(url).scheme)
                self.clients[url] = hvac.Client(
                    url=url,
                    # Without one it would look for one in the environment and in the home directory.
                    token="",
                    namespace=self.server.namespace or None,
                    session=self.session,
                    adapter=hvac.adapters.RawAdapter,
                )
            return self.clients[url].adapter

    def current_token(self, url: str) -> str:
        """The token, got by a login where the method has one.

        :raises LoginProblem: it was refused or could not be asked for.
        """
        with self.lock:
            if self.token is None or (self.token_ends is not None and time.monotonic() > self.token_ends):
                self.token, self.token_ends = self.login(url)
            return self.token

    def login(self, url: str) -> tuple[str, float | None]:
        """A token, and when it ends on the monotonic clock (None: it is the user's to know)."""
        asked = self.auth.login(self.error)
        if isinstance(asked, str):
            return asked, None
        path, body = asked
        begun = time.monotonic()
        found = self.send(url, "POST", path, body, token=None)
        if isinstance(found, Problem):
            raise LoginProblem(found)
        auth = found.data.get("auth")
        if found.status != 200 or not isinstance(auth, Mapping) or not auth.get("client_token"):
            problem = problem_of(found.status, found.errors)
            if problem.passes or problem.sealed:
                raise LoginProblem(problem)
            words = "; ".join(found.errors) or f"status {found.status}"
            raise LoginProblem(Problem(f"the login at {path} was refused: {words}", self.auth.remedy, final=True))
        lifetime = float(auth.get("lease_duration") or 0)
        return str(auth["client_token"]), begun + lifetime * 0.9 if lifetime else None

    def denied(self, url: str, path: str) -> Problem:
        """Whether it is the token that has ended, or a right that it lacks: the server says the same to both."""
        own = self.attempt(url, "GET", "auth/token/lookup-self", None, anonymous=False)
        if isinstance(own, Answer) and own.status < 300:
            return no_right(path)
        return expired_token(self.auth.remedy) if isinstance(own, Answer) else own

    def prefer(self, url: str) -> None:
        """Ask the one that answered first from now on."""
        if self.urls[0] != url:
            self.urls = [url, *(each for each in self.urls if each != url)]

    def failure(self, problem: Problem, method: str, path: str) -> TlsError:
        """A problem as an error; no secret that the server may have repeated stays in it."""
        text = problem.text if problem.tells_all else f"{method} {path}: {problem.text}"
        return self.error(f"{self.describe()}: {masked(text, self.secrets())}", remedy=problem.remedy)

    def secrets(self) -> Iterator[str]:
        """What no message may have in it."""
        if self.token:
            yield self.token
        yield from self.auth.secrets()


class LoginProblem(Exception):
    """The login did not come about."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def answer_of(response: Any) -> Answer:
    """A response as a value; a body that is no JSON object counts as none."""
    try:
        body = response.json()
    except ValueError:
        body = None
    body = body if isinstance(body, Mapping) else {}
    errors = body.get("errors")
    words = tuple(str(each) for each in errors) if isinstance(errors, list) else ()
    return Answer(response.status_code, body, words)


def import_hvac() -> tuple[Any, Any]:
    """``hvac`` and the ``requests`` it is made of.

    :raises DependencyError: they are missing.
    """
    try:
        import hvac
        import requests.adapters
    except ImportError as error:
        raise DependencyError(
            f"OpenBao needs the Python package 'hvac' on the controller ({error})",
            remedy="install it where ansible runs: pip install 'hvac>=2.1'",
        ) from None
    return hvac, requests


def make_session(requests: Any, context: Any, scheme: str) -> Any:
    """A session whose TLS is ``context`` and nothing else.

    ``requests`` would add a bundle of CAs of its own, or that of an environment variable.
    """

    class Verified(requests.adapters.HTTPAdapter):  # type: ignore[misc,name-defined]
        """TLS as the context says."""

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs, ssl_context=context)

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            return super().proxy_manager_for(*args, **kwargs, ssl_context=context)

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            host, _tls = super().build_connection_pool_key_attributes(request, True, None)
            return host, {"cert_reqs": "CERT_REQUIRED"}

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            conn.cert_reqs = "CERT_REQUIRED"

    session = requests.Session()
    session.adapters.clear()
    # The other scheme has no adapter: being sent on from https to http ends with an error, not with the token in the clear.
    session.mount(f"{scheme}://", Verified(pool_maxsize=CONNECTIONS))
    return session
