# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.sub_plugins.store.openbao import OpenBaoStore
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, cheap_scrypt
from bao.policies import STORE, allow
from bao.server import Cluster, running

__all__ = ["cheap_scrypt"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One server for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("bao")) as cluster:
        yield cluster


@pytest.fixture
def open_store(cluster: Cluster) -> Callable[..., OpenBaoStore]:
    """Opens a place of the test's own, every time anew, with a token that has no more rights than the docs give."""
    path = f"fleet-tls/{uuid.uuid4().hex}"
    # Each test has a store of its own, a folder deeper than that of the docs.
    deeper = allow(cluster, path.replace("/", "-"), STORE.replace("fleet-tls/", f"{path}/"))
    token = cluster.token(allow(cluster, "store", STORE), deeper)

    def work(**changes: Any) -> OpenBaoStore:
        return OpenBaoStore({"path": path, "passphrase": PASSPHRASE, **cluster.options(token), **changes})

    return work
