# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source, run by its path as ansible-rulebook does, against servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Address, Authority, Pair, serving, tls_server
from tools import paths

SOURCE = paths.ROOT / "extensions/eda/plugins/event_source/expiry.py"
INSTALLED = paths.COLLECTIONS / "ansible_collections/fleet/tls/extensions/eda/plugins/event_source/expiry.py"
PATIENCE = 60


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def good(ca: Authority) -> Pair:
    return ca.issue("good", "IP:127.0.0.1", days=30)


@pytest.fixture(scope="module")
def ending(ca: Authority) -> Pair:
    return ca.issue("ending", "IP:127.0.0.1", days=3)


def loaded() -> Any:
    """The source. By runpy, as ansible-rulebook has it, only in a process of its own: Ansible's loader, which is here, is in its way."""
    spec = importlib.util.spec_from_file_location("expiry", SOURCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def no_change(_event: dict[str, Any]) -> None:
    """Between two events, nothing happens to the servers."""


def watch(args: dict[str, Any], events: int, between: Callable[[dict[str, Any]], Any] = no_change) -> list[Any]:
    """Run the source until so many events came, then end it as ansible-rulebook does."""

    async def run() -> list[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        task = asyncio.create_task(loaded().main(queue, args))
        try:
            seen = []
            while len(seen) < events:
                getter = asyncio.create_task(queue.get())
                await asyncio.wait({task, getter}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    task.result()
                seen.append(getter.result())
                await between(seen[-1])
            return seen
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return asyncio.run(run())


def place(address: Address) -> str:
    return f"{address.host}:{address.port}"


def test_each_state_is_told_at_the_start_and_no_endpoint_ends_the_source(
    ca: Authority, good: Pair, ending: Pair, tmp_path: Path
) -> None:
    expired = ca.issue("expired", "IP:127.0.0.1", days=-1)
    other = ca.issue("other", "DNS:other.example.com")
    stranger = Authority(tmp_path / "stranger").issue("stranger", "IP:127.0.0.1")

    def garbage(connection: socket.socket) -> None:
        connection.sendall(b"{{ 7 * 7 }} {% raw %} and no TLS\r\n")
        connection.recv(1)

    pairs = {"ok": good, "expiring": ending, "expired": expired, "name_mismatch": other, "untrusted": stranger}
    with contextlib.ExitStack() as stack:
        at = {place(stack.enter_context(tls_server(pair))): state for state, pair in pairs.items()}
        at[place(stack.enter_context(serving(garbage)))] = "endpoint_down"
        args = {"endpoints": list(at), "anchors": str(ca.root.certificate), "threshold": "14d", "interval": "1s"}
        events = watch({**args, "eda_feedback_queue": None}, len(at) - 1)
    assert {event["endpoint"]: event["state"] for event in events} == {
        where: state for where, state in at.items() if state != "ok"
    }
    by_state = {event["state"]: event for event in events}
    assert "{" not in json.dumps(by_state["endpoint_down"]["problems"])
    assert "49" not in by_state["endpoint_down"]["problems"][0]
    assert by_state["endpoint_down"]["certificate"] is None
    assert by_state["expiring"]["certificate"]["common_name"] == "ending"
    assert all("BEGIN" not in json.dumps(event) for event in events)


def test_a_restart_tells_nothing_twice(good: Pair, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with tls_server(good) as address:
        endpoint = {"host": address.host, "port": address.port, "server_name": "www"}
        down = {"host": "127.0.0.1", "port": 1}
        args = {"endpoints": [endpoint, down], "interval": "1s", "state_file": str(state), "threshold": "14d"}
        events = watch(args, 2)
        assert {event["state"] for event in events} == {"name_mismatch", "endpoint_down"}
        assert state.stat().st_mode & 0o777 == 0o600
        before = json.loads(state.read_text())["endpoints"]

        # A restart: what was told is not told again, so the first event is the third endpoint's.
        args["endpoints"] = [endpoint, down, {"host": "127.0.0.1", "port": 2}]
        (event,) = watch(args, 1)
        assert event["endpoint"] == "127.0.0.1:2"
        after = json.loads(state.read_text())["endpoints"]
        assert {key: after[key] for key in before} == before

        # A damaged file: everything is told anew.
        state.write_text('{"schema": ')
        assert len(watch(args, 3)) == 3


def test_anchors_are_read_anew_and_an_unreadable_file_of_them_changes_nothing(
    ca: Authority, good: Pair, ending: Pair, tmp_path: Path
) -> None:
    anchors, stranger = tmp_path / "anchors.pem", Authority(tmp_path / "stranger")
    anchors.write_text(ca.root.pem)
    with tls_server(good) as first, contextlib.ExitStack() as stack:
        second = stack.enter_context(tls_server(ending))
        args = {"endpoints": [place(first), place(second)], "anchors": [str(anchors)], "interval": "1s"}
        count = 0

        async def change(_event: dict[str, Any]) -> None:
            nonlocal count
            count += 1
            if count == 1:
                # Another CA, while the source runs.
                anchors.write_text(stranger.root.pem)
            elif count == 3:
                anchors.write_text("no longer a certificate")
                stack.close()

        events = watch(args, 4, change)
    told = [(event["endpoint"], event["state"], event["before"]) for event in events]
    assert told == [
        (place(second), "expiring", None),
        (place(first), "untrusted", "ok"),
        (place(second), "untrusted", "expiring"),
        (place(second), "endpoint_down", "untrusted"),
    ]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"endpoints": ["nonsense"]}, "is not host and port"),
        ({"state_file": "/nonexistent/state.json"}, "cannot be written"),
        ({"anchors": "/nonexistent/ca.pem"}, "cannot read /nonexistent/ca.pem"),
        ({"anchors": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "anchors"),
    ],
)
def test_refused_before_the_first_look(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TlsError) as caught:
        watch({"endpoints": ["127.0.0.1:1"], **changes}, 1)
    assert complaint in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("packaged", [False, True])
def test_it_finds_its_collection_without_ansible(tmp_path: Path, packaged: bool) -> None:
    """By its path alone; also where the package "ansible" has made ansible_collections a regular package elsewhere."""
    package = tmp_path / "ansible_collections"
    (package / "fleet_of_others").mkdir(parents=True)
    if packaged:
        (package / "__init__.py").touch()
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['main'].__name__)"
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(INSTALLED)],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "main\n", done.stderr
