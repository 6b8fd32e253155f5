# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's private ways, which lead a pipe to a host, are not what they were: the step goes as a module, and all is right."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from local.hosts import OPTIONS, Hosts
from tools.playbook import PlaybookResult, run_playbook

# Host → what is another one there, and how.
SURPRISES = {
    "gone": ("is_pipelining_enabled", "AttributeError"),
    "refused": ("is_pipelining_enabled", "AssertionError"),
    "asserted": ("_compute_environment_string", "AnsibleAssertionError"),
    "no-text": ("_compute_environment_string", "None"),
    "moved": ("discover_interpreter", "ImportError"),
    "nothing-found": ("discover_interpreter", "None"),
    "no-command": ("join", "None"),
    "renamed": ("_low_level_execute_command", "TypeError"),
    "nothing": ("_low_level_execute_command", "None"),
    "other-words": ("_low_level_execute_command", "{'code': 0}"),
    "bytes": ("_low_level_execute_command", "{'rc': 0, 'stdout': b'{}', 'stderr': b''}"),
    "input-lost": ("_low_level_execute_command", "real(*given, **{**named, 'in_data': b''})"),
    # The host did what it was told, and nobody knows.
    "unheard": ("_low_level_execute_command", "real(*given, **named) and None"),
}
# These get a certificate, the others are asked what they are.
ISSUED = ("unheard", "refused")
# For the process that forks the workers; everybody else is answered as ever.
PLUGIN = """
import sys

from ansible.errors import AnsibleAssertionError
from ansible.executor import interpreter_discovery
from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.shell import ShellBase

SURPRISES = {surprises!r}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_NAME, CALLBACK_NEEDS_ENABLED = 2.0, "surprises", False


def surprising(place, name):
    real = getattr(place, name)

    def replaced(*given, **named):
        caller = sys._getframe(1)
        if caller.f_globals["__name__"] != "ansible_collections.fleet.tls.plugins.plugin_utils.hosts.steps":
            return real(*given, **named)
        what, how = SURPRISES.get(caller.f_locals["self"]._play_context.remote_addr, (None, None))
        if what != name:
            return real(*given, **named)
        if how.endswith("Error"):
            raise eval(how)("a private matter")
        return eval(how, {{"real": real, "given": given, "named": named}})

    setattr(place, name, replaced)


surprising(ConnectionBase, "is_pipelining_enabled")
surprising(ActionBase, "_compute_environment_string")
surprising(ActionBase, "_low_level_execute_command")
surprising(ShellBase, "join")
surprising(interpreter_discovery, "discover_interpreter")
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    return Hosts(tmp_path_factory.mktemp("surprises"), {name: ["www"] for name in ("calm", *SURPRISES)})


@pytest.fixture(scope="module")
def run(hosts: Hosts) -> PlaybookResult:
    """All of them in one run: the certificates a second time too."""
    plugins = hosts.folder / "callback"
    plugins.mkdir()
    (plugins / "surprises.py").write_text(PLUGIN.format(surprises=SURPRISES))
    issue = {"name": "Issue", "fleet.tls.certificates": OPTIONS}
    chosen = {"hosts": ["calm", *ISSUED], "gather_facts": False}
    plays = [
        {
            "name": "Facts",
            "hosts": [name for name in hosts.sites if name not in ISSUED],
            "gather_facts": False,
            "tasks": [{"name": "Facts", "fleet.tls.host_facts": {}}],
        },
        {"name": "Certificates", **chosen, "tasks": [issue, {**issue, "name": "Issue again"}]},
    ]
    playbook = hosts.folder / "surprises.yml"
    playbook.write_text(json.dumps(plays))
    # Those with a surprise at discovery have to discover.
    python = {
        name: "auto_silent" if what == "discover_interpreter" else sys.executable
        for name, (what, _how) in {"calm": ("", ""), **SURPRISES}.items()
    }
    changes = {
        name: {
            "ansible_python_interpreter": python[name],
            "ansible_interpreter_python_fallback": [sys.executable],
            "tls_certificates": [hosts[name].certificate(services=[])],
        }
        for name in hosts.sites
    }
    found = {"ANSIBLE_CALLBACK_PLUGINS": f"{plugins}:{callbacks()}"}
    return run_playbook(playbook, hosts.inventory(changes), args=["-vvv"], env=found).check()


def fingerprint(result: dict[str, Any]) -> str:
    """That of the only certificate."""
    (found,) = result["certificates"]
    return str(found["fingerprint_sha256"])


def callbacks() -> Path:
    """Where the tests' own callback is."""
    return Path(__file__).resolve().parents[1] / "tools" / "callback_plugins"


@pytest.mark.parametrize("host", SURPRISES)
def test_the_step_goes_as_a_module(run: PlaybookResult, host: str) -> None:
    step = "look" if host in ISSUED else "facts"
    assert f"<{host}> step '{step}' goes as a module: " in run.stdout
    assert "<calm> step" not in run.stdout


@pytest.mark.parametrize("host", [name for name in SURPRISES if name not in ISSUED])
def test_and_what_the_host_says_is_right(run: PlaybookResult, host: str) -> None:
    said, calm = (
        [each["ansible_facts"]["fleet_tls_host"] for each in run.results(host=name, task="Facts")]
        for name in (host, "calm")
    )
    assert len(said) == 1 and said == calm


@pytest.mark.parametrize("host", ["calm", *ISSUED])
def test_and_certificates_are_issued_once(run: PlaybookResult, hosts: Hosts, host: str) -> None:
    (first,), (again,) = (run.results(host=host, task=task) for task in ("Issue", "Issue again"))
    assert (first["changed"], again["changed"]) == (True, False)
    assert fingerprint(first) == fingerprint(again) == hosts[host].on_disk()
    assert hosts[host].pair_fault() is None
    # Whoever was surprised at the look does not try again with what changes the host.
    assert host == "calm" or f"<{host}> step 'apply'" not in run.stdout
