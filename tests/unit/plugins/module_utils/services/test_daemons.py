# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of a host: which commands it has there, which unit, whether it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.services import daemons
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service
from ansible_collections.fleet.tls.plugins.module_utils.services.unit_calls import UnitCalls
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.presets import as_request
from ansible_collections.fleet.tls.tests.unit.support.one_host import service

SYSTEMD = {
    "validate": ("nginx", "-t", "-q"),
    "reload": ("systemctl", "reload", "nginx"),
    "check": ("systemctl", "is-active", "--quiet", "nginx"),
    "start": ("systemctl", "enable", "--now", "nginx"),
    "restart": ("sh", "-c", 'systemctl reset-failed "$@"; exec systemctl restart "$@"', "sh", "nginx"),
    "programs": ("nginx", "openresty"),
    "guard": "nginx",
}
PLAIN = {
    "validate": ("nginx", "-t", "-q"),
    "reload": ("nginx", "-s", "reload"),
    "check": ("test", "-s", "/run/nginx.pid"),
    "start": ("nginx",),
    "restart": ("nginx",),
    "programs": ("nginx", "openresty"),
    "guard": "nginx",
}


def bare(name: str) -> dict[str, Any]:
    """A service of which the user says nothing."""
    return {**service(name), "reload": None}


NOBODY = "nobody says how it is reloaded, and systemd, which could, does not run this host"
NONE = dict.fromkeys(("validate", "reload", "check", "start"))
UNIT = {
    "check": ("systemctl", "is-active", "--quiet", "a"),
    "start": ("systemctl", "enable", "--now", "a"),
    "restart": ("sh", "-c", daemons.RESTART, "sh", "a"),
}


@pytest.mark.parametrize(
    ("systemd", "raw", "resolved"),
    [
        (True, {"preset": as_request("nginx")}, SYSTEMD),
        (False, {"preset": as_request("nginx")}, PLAIN),
        # Our own look at the usual configuration goes with the usual commands.
        (
            True,
            {"preset": as_request("nginx"), "validate": ["mine", "-t"]},
            {**SYSTEMD, "validate": ("mine", "-t"), "guard": None},
        ),
        # A reload of the user's own: systemd's unit would be another process.
        (
            True,
            {"preset": as_request("nginx"), "reload": ["mine"]},
            {**PLAIN, "reload": ("mine",), "guard": None, "anywhere": True},
        ),
        (
            True,
            {"preset": as_request("nginx"), "reload": ["mine"], "check": ["c"]},
            {**PLAIN, "reload": ("mine",), "check": ("c",), "guard": None, "anywhere": True},
        ),
        (True, {"preset": as_request("nginx"), "reload_by": "restart"}, {**SYSTEMD, "reload": SYSTEMD["restart"]}),
        (True, {"preset": as_request("nginx"), "reload_by": "none"}, {**SYSTEMD, "reload": None}),
        (True, {"reload_by": "none"}, NONE),
        (True, {"preset": {"units": ["a"], "reload_by": "restart"}}, {**UNIT, "reload": UNIT["restart"]}),
        (
            True,
            {"preset": {"units": ["a"], "reload_by": "restart"}, "reload": ["mine"]},
            {**NONE, "reload": ("mine",), "anywhere": True},
        ),
        (True, {"preset": {"units": ["a"], "reload_by": "none"}}, {**UNIT, "reload": None}),
        (
            True,
            {"preset": {"units": ["a"], "signal": "USR2"}},
            {**UNIT, "reload": ("systemctl", "kill", "--signal=USR2", "a")},
        ),
        (False, {"preset": {"units": ["a"], "signal": "USR2"}}, {**NONE, "unreloadable": NOBODY}),
        (False, {"units": ["a"], "reload_by": "restart"}, {**NONE, "unreloadable": NOBODY}),
        (False, {"units": ["a"]}, {**NONE, "unreloadable": NOBODY}),
        (True, {}, {**NONE, "unreloadable": NOBODY}),
        (False, {"reload": ["mine"]}, {**NONE, "reload": ("mine",), "anywhere": True}),
    ],
)
def test_resolve(monkeypatch: pytest.MonkeyPatch, systemd: bool, raw: Any, resolved: Any) -> None:
    monkeypatch.setattr(daemons, "systemd_runs", lambda: systemd)
    assert daemons.resolve({**bare("web"), **raw}) == Service("web", **resolved)


def test_systemd_runs() -> None:
    assert daemons.systemd_runs() is os.path.isdir("/run/systemd/system")


def test_is_running() -> None:
    assert daemons.is_running(Service("a"))
    assert daemons.is_running(Service("a", check=("true",)))
    assert not daemons.is_running(Service("a", check=("false",)))
    assert not daemons.is_running(Service("a", check=("no-such-program",)))


DAEMON = "[Service]\nExecStart=/bin/true\n"
BRACKET = "[Service]\nType=oneshot\nExecStart=/bin/true\n"


@pytest.mark.parametrize(
    ("units", "wanted", "found"),
    [
        ({"apache2": DAEMON}, ("apache2", "httpd"), ("apache2",)),
        ({"httpd": DAEMON}, ("apache2", "httpd"), ("httpd",)),
        # Debian 12 brackets its instances, Debian 13 and others do not.
        ({"postfix": BRACKET, "postfix@": DAEMON}, ("postfix", "postfix@-"), ("postfix@-",)),
        ({"postfix": DAEMON, "postfix@": DAEMON}, ("postfix", "postfix@-"), ("postfix",)),
        (
            {"postgresql": BRACKET},
            ("postgresql", "postgresql@*"),
            # The other one was stopped: systemctl would reload neither.
            ("postgresql@15-main.service",),
        ),
        ({}, ("nginx", "other"), ("nginx",)),
    ],
)
def test_units(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    units: dict[str, str],
    wanted: tuple[str, ...],
    found: tuple[str, ...],
) -> None:
    for name, text in units.items():
        (tmp_path / f"{name}.service").write_text(text)
    listed = (
        "echo postgresql@15-main.service loaded active running x; echo postgresql@16-x.service loaded failed failed x"
    )
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{listed}; echo other.service x\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(daemons, "UNIT_DIRECTORIES", (str(tmp_path / "absent"), str(tmp_path)))
    assert daemons.find_units(wanted) == found


@pytest.mark.parametrize(("there", "prepare"), [(True, ("systemctl", "start", "httpd-init")), (False, None)])
def test_what_a_first_check_wants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool, prepare: tuple[str, ...] | None
) -> None:
    if there:
        (tmp_path / "httpd-init.service").write_text("[Service]\nType=oneshot\n")
    monkeypatch.setattr(daemons, "UNIT_DIRECTORIES", (str(tmp_path),))
    monkeypatch.setattr(daemons, "systemd_runs", lambda: True)
    assert daemons.resolve({**bare("apache"), "preset": as_request("apache")}).prepare == prepare


@pytest.mark.parametrize(
    ("raw", "reload", "check"),
    [
        ({"units": ["gateway"]}, ("systemctl", "reload", "gateway"), ("systemctl", "is-active", "--quiet", "gateway")),
        # The user's own reload, and what systemd knows of the rest.
        ({"units": ["gateway"], "reload": ["mine"]}, ("mine",), ("systemctl", "is-active", "--quiet", "gateway")),
        ({"preset": as_request("caddy")}, ("caddy", "reload"), ("systemctl", "is-active", "--quiet", "caddy")),
    ],
)
def test_units_of_ones_own(monkeypatch: pytest.MonkeyPatch, raw: Any, reload: Any, check: Any) -> None:
    monkeypatch.setattr(daemons, "systemd_runs", lambda: True)
    found = daemons.resolve({**bare("gateway"), **raw})
    assert found.reload is not None and found.reload[: len(reload)] == reload and found.check == check


@pytest.mark.parametrize(
    ("shown", "unreloadable"),
    [
        ("LoadState=loaded\nCanReload=no", True),
        ("LoadState=loaded\nCanReload=yes", False),
        # A later task may install it.
        ("LoadState=not-found\nCanReload=no", False),
    ],
)
def test_a_unit_without_a_reload(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shown: str, unreloadable: bool
) -> None:
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\necho '{shown}'\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(daemons, "systemd_runs", lambda: True)
    raw = {**bare("gateway"), "units": ["gateway"]}
    assert ("has no reload" in daemons.resolve(raw).unreloadable) is unreloadable
    for other in ({"reload": ["mine"]}, {"reload_by": "restart"}, {"reload_by": "none"}):
        assert not daemons.resolve({**raw, **other}).unreloadable


def test_a_reload_has_its_unit_s_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Caddy puts the variables of its configuration in when it is told to reload."""
    program = tmp_path / "caddy"
    program.write_text(f'#!/bin/sh\necho "$1 $SITE" >>{tmp_path}/told\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(daemons, "systemd_runs", lambda: True)
    monkeypatch.setattr(daemons, "ask_unit", lambda _unit: UnitCalls(environment={"SITE": "www.test"}))
    daemons.reload(daemons.resolve({**bare("caddy"), "preset": as_request("caddy"), "validate": ["true"]}))
    assert (tmp_path / "told").read_text() == "reload www.test\n"


def test_redis_is_reloaded_by_what_it_understands_unless_told_otherwise() -> None:
    assert (
        daemons.resolve({**bare("redis"), "preset": as_request("redis")}).control,
        daemons.resolve(bare("redis")).control,
    ) == ("redis", None)
    own = daemons.resolve({**bare("redis"), "preset": as_request("redis"), "reload": ["mine"], "user": "app"})
    assert (own.control, own.reload, own.user, own.guard) == (None, ("mine",), "app", None)
