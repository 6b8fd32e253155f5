# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.tls.endpoint_info with thousands of endpoints: few descriptors, many dead ones, results in a file, progress on the terminal."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, serving, tls_server
from local.probing import LOCAL, play, probe
from tools import paths

NAME = "www.example.com"
PATIENT = "2m"
PATIENT_SECONDS = 120  # in requests to a step, below the options that people write

# What a controller's task or a host's step does, in a process with few descriptors.
SCANNING = """
import json, resource, sys
from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
_changed, answer = handshake_step(json.load(sys.stdin))
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
json.dump([[result["error"], len(result["chain"])] for result in answer["results"]], sys.stdout)
"""


# The same, and its second process dies over the fifth result that it is about to tell.
DYING = (
    """
import os
from ansible_collections.fleet.tls.plugins.module_utils.scan import helper_process as scan_helper
told, tell = [], scan_helper._tell
def die(descriptor, said):
    told.append(said)
    tell(descriptor, said) if len(told) < 5 else os._exit(9)
scan_helper._tell = die
scan_helper.processors = lambda: 2
"""
    + SCANNING
)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def www(ca: Authority) -> Pair:
    return ca.issue("www", f"DNS:{NAME}")


@contextlib.contextmanager
def silence(count: int) -> Iterator[list[int]]:
    """Ports on which connections are taken, by the kernel, and nothing is ever said."""
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096)) for _each in range(count)
        ]
        yield [listener.getsockname()[1] for listener in listeners]


def scan_apart(script: str, endpoints: list[Any], soft: int, hard: int) -> list[Any]:
    """Error and number of certificates of each endpoint, seen from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(soft), str(hard)],
        input=json.dumps({"endpoints": endpoints}),
        env={"PYTHONPATH": str(paths.COLLECTIONS), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("soft", [256, 1024])
def test_five_thousand_descriptors_and_a_limit_of_1024(www: Pair, soft: int) -> None:
    with silence(8) as ports, tls_server(www) as place:
        endpoints = [{"host": "127.0.0.1", "port": ports[number % 8], "timeout": 0.5} for number in range(4980)]
        alive = {"host": place.host, "port": place.port, "server_name": NAME, "timeout": PATIENT_SECONDS}
        for number in range(20):
            endpoints.insert(number * 200, alive)
        results = scan_apart(SCANNING, endpoints, soft, 1024)
    assert len(results) == 5000
    assert [shown for _error, shown in results].count(2) == 20
    assert {error for error, shown in results if not shown} == {
        "timed out after 0.5 s, connected but without a complete handshake"
    }


def test_what_a_dying_process_leaves_is_seen_to(www: Pair) -> None:
    with silence(1) as (port,), tls_server(www) as place:
        dead = {"host": "127.0.0.1", "port": port, "timeout": 0.5}
        alive = {"host": place.host, "port": place.port, "server_name": NAME, "timeout": PATIENT_SECONDS}
        endpoints = [alive if number % 50 < 2 else dead for number in range(1200)]
        results = scan_apart(DYING, endpoints, 1024, 1024)
    assert [shown for _error, shown in results] == [2 if number % 50 < 2 else 0 for number in range(1200)]


def test_dead_endpoints_wait_side_by_side(www: Pair, ca: Authority, tmp_path: Path) -> None:
    """One after the other, they would take ten minutes; however busy the machine is, that is told apart from three seconds."""
    with silence(4) as ports, tls_server(www) as place:
        endpoints: list[Any] = [
            {"host": "127.0.0.1", "port": ports[number % 4], "timeout": "3s"} for number in range(200)
        ]
        alive = {"host": place.host, "port": place.port, "server_name": NAME, "timeout": PATIENT}
        begin = time.monotonic()
        result = probe(tmp_path, endpoints=[*endpoints, *[alive] * 5], anchors=ca.root.pem)
        assert time.monotonic() - begin < 120
    assert result["counts"] == {
        "endpoints": 205, "reachable": 5, "unreachable": 200, "trusted": 5, "with_problems": 200,
    }  # fmt: skip
    assert [entry["trusted"] for entry in result["endpoints"][200:]] == [True] * 5


def test_results_in_a_file(www: Pair, ca: Authority, tmp_path: Path) -> None:
    with silence(1) as (port,), tls_server(www) as place:
        bad = [
            {"host": "127.0.0.1", "port": port, "server_name": f"n{number}.example.com", "timeout": "500ms"}
            for number in range(250)
        ]
        good = [{"host": place.host, "port": place.port, "server_name": NAME, "timeout": PATIENT}] * 10
        file = tmp_path / "seen.jsonl"
        file.write_text("of yesterday")
        file.chmod(0o644)
        options = {"endpoints": [*bad, *good], "anchors": ca.root.pem, "results_file": str(file)}
        checked = play(tmp_path, [{"fleet.tls.endpoint_info": options, "check_mode": True}]).check()
        assert file.read_text() == "of yesterday"
        result = probe(tmp_path, **options)
    assert len(checked.results(action="fleet.tls.endpoint_info")[0]["endpoints"]) == 260
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(entries) == 260 and file.stat().st_mode & 0o777 == 0o600
    assert sorted(entry["server_name"] for entry in entries if entry["error"]) == sorted(
        each["server_name"] for each in bad
    )
    trusted = [entry for entry in entries if entry["trusted"]]
    assert len(trusted) == 10 and trusted[0]["certificates"][0]["dns_names"] == [NAME]
    assert (result["results_file"], result["endpoints_left_out"], len(result["endpoints"])) == (str(file), 50, 200)
    assert all(entry["error"] for entry in result["endpoints"])
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".new-")] == []


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = "127.0.0.1:{0}".format(listener.getsockname()[1])
        options = {"endpoints": [endpoint], "results_file": str(tmp_path / "missing" / "seen.jsonl")}
        result = play(tmp_path, [{"fleet.tls.endpoint_info": options}])
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert result.rc == 2
    message = result.results(action="fleet.tls.endpoint_info")[0]["msg"]
    assert "results_file: " in message and "seen.jsonl cannot be written: No such file or directory" in message


def test_results_of_a_host_in_a_file(www: Pair, tmp_path: Path) -> None:
    with tls_server(www) as place:
        endpoints = [{"host": place.host, "port": place.port, "server_name": NAME, "timeout": PATIENT}] * 3
        file = tmp_path / "seen.jsonl"
        result = probe(tmp_path, LOCAL, endpoints=endpoints, origin="host", results_file=str(file))
    assert result["counts"]["reachable"] == 3 and result["endpoints"] == []
    assert len(file.read_text().splitlines()) == 3


def test_progress_is_told_when_it_takes_long(tmp_path: Path) -> None:
    with silence(1) as (port,):
        endpoints = [{"host": "127.0.0.1", "port": port, "timeout": timeout} for timeout in ("200ms", "8s")]
        result = play(tmp_path, [{"fleet.tls.endpoint_info": {"endpoints": endpoints}}]).check()
    assert "fleet.tls.endpoint_info: 1 of 2 endpoints" in result.stdout


def test_an_endpoint_is_tried_again(www: Pair, tmp_path: Path) -> None:
    refused = []

    def answer(connection: socket.socket) -> None:
        if len(refused) < 2:
            refused.append(connection.recv(1))
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(www.chain, www.key)
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    with serving(answer) as place:
        wanted = {"host": place.host, "port": place.port, "timeout": PATIENT}
        result = probe(tmp_path, endpoints=[wanted], retries=3)
    assert (result["endpoints"][0]["reachable"], result["endpoints"][0]["attempts"]) == (True, 3)
