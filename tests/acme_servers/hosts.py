# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of this machine whose certificates come from Pebble, validated through one nginx that answers for all of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acme_servers import pebble, proxy
from acme_servers.pebble import Pebble
from acme_servers.proxy import Answer, Proxy, Seen
from acme_servers.servers import Pair
from local import nginx
from local.family import Family
from local.hosts import Hosts
from tools.playbook import PlaybookResult
from tools.ports import free_port

# As the server roles configure it: the answer to every challenge of these accounts, without a file.
STATELESS = r"""
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$ {{
            default_type text/plain;
            return 200 "$1.{thumbprint}";
        }}
    }}
"""
WEBROOT = """
    server {{ listen 127.0.0.1:{port}; root {root}; }}
"""


class AcmeHosts(Hosts):
    """Hosts, the CA, and the proxy in between.

    :param http: the port that stands for port 80 of all of them.
    """

    pebble: Pebble
    proxy: Proxy
    http: int

    @property
    def public_root(self) -> Path:
        """The CA's root in a file."""
        path = self.folder / "public-root.pem"
        path.write_text(self.pebble.root())
        return path

    def issuer(self, **changes: Any) -> dict[str, Any]:
        """An entry of tls_issuers."""
        return {
            "type": "acme",
            "directory_url": self.proxy.directory_url,
            "ca_certificate": str(self.pebble.pair.root),
            "anchors": self.pebble.root(),
            "terms_agreed": True,
            "challenge": {"type": "http-01", "check_address": f"127.0.0.1:{self.http}"},
            "timeout": "10m",
            **changes,
        }

    def run(
        self, *args: str, hosts: Any = None, issuer: dict[str, Any] | None = None, **options: Any
    ) -> PlaybookResult:
        """fleet.tls.certificates with this issuer, called public, and the internal one."""
        issuers = {"public": issuer or self.issuer(), "internal": {"type": "ca", "duration": "30d"}}
        return self.play(hosts or self.wishes(), *args, issuers=issuers, **options)

    def wishes(self, **changes: Any) -> dict[str, Any]:
        """All certificates, from the public issuer."""
        wanted = {"issuer": "public", **changes}
        return {
            host: {"tls_certificates": [site.certificate(**wanted) for site in mine]}
            for host, mine in self.sites.items()
        }

    def killed_at(self, moment: str, playbook: str | Path, inventory: Path) -> None:
        """A run that is ended by SIGKILL when the CA has done this (a part of a path), before its answer arrives."""
        reached, go_on = threading.Event(), threading.Event()

        def wait(seen: Seen, real: Answer) -> Answer:
            if moment in seen.path and real.status < 400:
                reached.set()
                go_on.wait(600)
            return real

        self.proxy.after.append(wait)
        run = Family(playbook, inventory)
        assert reached.wait(300)
        run.kill()
        go_on.set()
        self.proxy.after.remove(wait)


@contextlib.contextmanager
def acme_hosts(folder: Path, pair: Pair, labels: dict[str, list[str]]) -> Iterator[AcmeHosts]:
    """The hosts, with Pebble and proxy; what answers challenges is started by the test."""
    hosts = AcmeHosts(folder, labels, one_nginx=True)
    hosts.http = free_port()
    # Every order is validated: whether a challenge is answered is what these tests look at.
    env = {"PEBBLE_AUTHZREUSE": "0"}
    with (
        pebble.running(folder / "pebble", pair, http_port=hosts.http, env=env) as ca,
        proxy.running(pair, ca.port) as front,
    ):
        hosts.pebble, hosts.proxy = ca, front
        yield hosts


@contextlib.contextmanager
def stateless(hosts: AcmeHosts, thumbprint: str) -> Iterator[None]:
    """The nginx that answers challenges from an account's thumbprint."""
    block = STATELESS.format(port=hosts.http, thumbprint=thumbprint)
    with nginx.running(hosts.folder / "answers", block, hosts.http):
        yield


@contextlib.contextmanager
def webroot(hosts: AcmeHosts, root: Path) -> Iterator[None]:
    """An nginx that serves files."""
    with nginx.running(hosts.folder / "files", WEBROOT.format(port=hosts.http, root=root), hosts.http):
        yield
