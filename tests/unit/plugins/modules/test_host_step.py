# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The internal modules as they run on hosts: packed by Ansible, and through a pipe. Either is a process with input, and JSON on its output."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.parcel import parcel, parse_answer
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.steps import MODULE_OF
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost, fingerprint_of, service
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, tls_server

Run = Callable[..., tuple[int, dict[str, Any], str]]
MODULES = "ansible_collections.fleet.tls.plugins.modules."
# What Ansible's own wrapper does: newer versions ask how the arguments are packed.
START = """
import runpy, sys
sys.path[:0] = {path!r}
try:
    from ansible.module_utils import basic
    basic._ANSIBLE_PROFILE = "legacy"
except ImportError:
    pass
sys.argv = ["module"]
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(params=["module", "pipe"])
def run(request: pytest.FixtureRequest) -> Run:
    """One step, in either way."""
    return run_module if request.param == "module" else run_pipe


def run_pipe(step: str, request: Any, **changes: Any) -> tuple[int, dict[str, Any], str]:
    """Exit status, result, and everything that was printed, by a bare Python."""
    sent = parcel(MODULE_OF[step].rpartition(".")[2], step, request, changes.get("secrets", {}))
    done = subprocess.run(
        [sys.executable, "-I", "-c", sent.program], input=sent.input, capture_output=True, timeout=60, check=False
    )
    output, errors = done.stdout.decode(), done.stderr.decode()
    result = parse_answer(output)
    assert result, errors
    return done.returncode, dict(result), output + errors


def run_module(step: Any, request: Any, **changes: Any) -> tuple[int, dict[str, Any], str]:
    """Exit status, result, and everything that was printed."""
    arguments = {"step": step, "request": request, **changes}
    module = MODULE_OF.get(step, "fleet.tls.host_look").replace("fleet.tls.", MODULES)
    done = subprocess.run(
        [sys.executable, "-c", START.format(path=[each for each in sys.path if each], module=module)],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip(), done.stderr
    return done.returncode, json.loads(done.stdout), done.stdout + done.stderr


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Authority(tmp_path_factory.mktemp("ca")).issue("www", "DNS:www.example.com")


@pytest.fixture
def host(tmp_path: Path) -> OneHost:
    return OneHost(tmp_path / "host")


def apply_request(host: OneHost, pair: Pair, **changes: Any) -> dict[str, Any]:
    return {
        "directory": str(host.tls), "now": 1, "prove_timeout": 1, "defer_proof": False, "keep": 2, "claimed": [],
        "services": [service()], "certificates": [host.install_entry(host.wish(services=["any"]), pair)], **changes,
    }  # fmt: skip


def test_look_and_apply_with_a_secret(run: Run, host: OneHost, pair: Pair) -> None:
    wish = host.wish(key={"location": "controller"})
    status, result, _said = run("look", host.look_request(wish))
    assert (status, result["changed"]) == (0, False)
    assert result["answer"]["certificates"]["www"]["generation"] is None and result["answer"]["clock"] > 10**9
    key = pair.key.read_text()
    request = apply_request(host, pair)
    for changed in (True, False):
        status, result, said = run("apply", request, secrets={"www": key})
        assert (status, result["changed"]) == (0, changed), said
        found = result["answer"]["certificates"]["www"]
        assert (found["generation"], found["installed"], found["error"]) == (1, changed, None)
        # Nor in what some versions repeat of the arguments.
        assert not [line for line in key.splitlines()[1:-1] if line in said]
    assert host.live("privkey.pem").read_text() == key


def test_handshake(run: Run, pair: Pair) -> None:
    with tls_server(pair) as address:
        endpoint = {"host": address.host, "port": address.port, "server_name": "www.example.com", "timeout": 5}
        status, result, _said = run("handshake", {"endpoints": [{**endpoint, "client": None, "alpn": []}]})
    (found,) = result["answer"]["results"]
    assert (status, result["changed"], found["error"]) == (0, False, None)
    assert found["chain"][0].strip() == pair.pem.strip()


def test_all_that_a_check_asks(run: Run, host: OneHost, pair: Pair) -> None:
    (host.out / "found.pem").write_text(pair.pem)
    files = {"directory": str(host.tls), "paths": [str(host.out)], "exclude": [], "trust_stores": False}
    configure = {
        "directory": str(host.tls), "files": [], "services": [service()], "started": False, "missing": "report", "prove_timeout": 1,
        "check": True,
    }  # fmt: skip
    with tls_server(pair) as address:
        asked = {"host": address.host, "port": address.port, "server_name": "www.example.com", "timeout": 5}
        requests = [
            {"step": "look", "request": host.look_request(host.wish(), prepare="never")},
            {"step": "files", "request": files},
            {"step": "configure", "request": configure},
            {"step": "handshake", "request": {"endpoints": [asked], "key_types": True}},
        ]
        status, result, _said = run("inspect", {"requests": requests})
    assert (status, result["changed"]) == (0, False)
    look, found, configured, shown = [each["answer"] for each in result["answer"]["outcomes"]]
    assert look["certificates"]["www"]["generation"] is None and not host.tls.exists()
    assert [each["path"] for each in found["files"]] == [str(host.out / "found.pem")]
    assert configured["changed_paths"] == [] and shown["results"][0]["chain"][0].strip() == pair.pem.strip()


def test_configure(run: Run, host: OneHost) -> None:
    path = host.out / "site.conf"
    request = {
        "directory": str(host.tls), "files": [{"path": str(path), "content": "hello\n"}], "services": [service()],
        "started": False, "missing": "fail", "prove_timeout": 1, "check": False,
    }  # fmt: skip
    status, result, _said = run("configure", request)
    assert (status, result["changed"], result["answer"]["changed_paths"]) == (0, True, [str(path)])
    assert path.read_text() == "hello\n"
    assert run("configure", request)[1]["changed"] is False


def test_trust(run: Run, host: OneHost, pair: Pair) -> None:
    path = host.out / "bundle.pem"
    request = {
        "directory": str(host.tls), "anchors": [{"name": "ca", "comment": "a CA", "pem": pair.pem}], "system": False,
        "bundles": [{"path": str(path), "owner": None, "group": None, "mode": "0644"}], "services": [], "check": False,
    }  # fmt: skip
    status, result, _said = run("trust", request)
    assert (status, result["changed"]) == (0, True) and pair.pem.strip() in path.read_text()


def test_check_mode_is_no_reason_to_refuse(host: OneHost) -> None:
    request = host.look_request(host.wish(), prepare="never")
    status, result, _said = run_module("look", request, _ansible_check_mode=True)
    assert status == 0 and "skipped" not in result and not host.tls.exists()


def not_permitted(host: OneHost) -> str:
    host.tls.write_text("a file")
    return "io"


def name_too_long(host: OneHost) -> str:
    host.tls = host.folder / ("x" * 300)
    return "io"


@pytest.mark.parametrize("trouble", [not_permitted, name_too_long])
@pytest.mark.parametrize("step", ["look", "apply"])
def test_trouble_of_the_whole_host_is_an_answer(run: Run, host: OneHost, pair: Pair, trouble: Any, step: str) -> None:
    code = trouble(host)
    request = host.look_request(host.wish()) if step == "look" else apply_request(host, pair)
    status, result, said = run(step, request, secrets={"www": pair.key.read_text()})
    assert (status, result["changed"]) == (0, False) and "Traceback" not in said
    error = result["answer"].get("error") or result["answer"]["certificates"]["www"]["error"]
    assert error["code"] == code and str(host.tls) in error["message"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"step": "no-such-step", "request": {}}, "value of step must be one of"),
        ({"step": "look", "request": None}, "request"),
        ({"step": None, "request": {}}, "step"),
    ],
)
def test_arguments_of_another_form(arguments: Any, words: str) -> None:
    status, result, _said = run_module(**arguments)
    assert status == 1 and result["failed"] and words in result["msg"]


def test_the_answer_says_what_was_installed(run: Run, host: OneHost, pair: Pair) -> None:
    _status, result, _said = run("apply", apply_request(host, pair), secrets={"www": pair.key.read_text()})
    assert result["answer"]["services"] == {"any": {"state": "reloaded", "error": None}}
    _status, result, _said = run("look", host.look_request(host.wish(services=["any"])))
    found = result["answer"]["certificates"]["www"]
    assert found["manifest"]["fingerprint"] == fingerprint_of(pair) and found["manifest"]["settled"] == 1
