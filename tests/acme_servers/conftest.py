# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of one file share: a CA that runs for all of them; and what each has for itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acme_servers import kerberos, pebble, proxy
from acme_servers.kerberos import Kerberos
from acme_servers.pebble import Pebble
from acme_servers.proxy import Proxy
from acme_servers.servers import Pair, make_pair
from acme_servers.world import Responder, World, responding
from tools import packages


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def responder() -> Iterator[Responder]:
    with responding() as responder:
        yield responder


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory, pair: Pair, responder: Responder) -> Iterator[Pebble]:
    with pebble.running(tmp_path_factory.mktemp("pebble"), pair, http_port=responder.port) as running:
        yield running


@pytest.fixture
def front(ca: Pebble, pair: Pair) -> Iterator[Proxy]:
    with proxy.running(pair, ca.port) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, ca: Pebble, front: Proxy, responder: Responder) -> World:
    responder.thumbprint = None
    return World(tmp_path, ca, front, responder)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kerberos]:
    """Skipped, with the reason, where the package gssapi cannot be had."""
    try:
        packages.ensure("kerberos")
        library = str(kerberos.library())
    except packages.SetupError as error:
        pytest.skip(f"gssapi cannot be built here: {error}")
    sys.path.append(library)
    with kerberos.running(tmp_path_factory.mktemp("kerberos")) as running:
        yield running
    sys.path.remove(library)


@pytest.fixture
def controller(realm: Kerberos, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Makes this process somebody of the realm, by the name before the @, or nobody."""

    def become(name: str | None) -> None:
        for key, value in (realm.client(name) if name else realm.environment).items():
            monkeypatch.setenv(key, value)

    return become
