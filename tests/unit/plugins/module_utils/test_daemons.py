# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of a host: which commands it has there, which unit, whether it runs."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils import daemons
from ansible_collections.fleet.tls.plugins.module_utils.daemons import Service
from ansible_collections.fleet.tls.tests.unit.support.one_host import service

SYSTEMD = {
    "validate": ("nginx", "-t", "-q"),
    "reload": ("systemctl", "reload", "nginx"),
    "check": ("systemctl", "is-active", "--quiet", "nginx"),
    "start": ("systemctl", "enable", "--now", "nginx"),
    "restart": ("sh", "-c", 'systemctl reset-failed "$@"; exec systemctl restart "$@"', "sh", "nginx"),
    "programs": ("nginx",),
    "guard": "nginx",
}
PLAIN = {
    "validate": ("nginx", "-t", "-q"),
    "reload": ("nginx", "-s", "reload"),
    "check": ("test", "-s", "/run/nginx.pid"),
    "start": ("nginx",),
    "restart": ("nginx",),
    "programs": ("nginx",),
    "guard": "nginx",
}
NONE = dict.fromkeys(("validate", "reload", "check", "start"))


@pytest.mark.parametrize(
    ("systemd", "raw", "resolved"),
    [
        (True, {"preset": "nginx"}, SYSTEMD),
        (False, {"preset": "nginx"}, PLAIN),
        # Our own look at the usual configuration goes with the usual commands.
        (True, {"preset": "nginx", "validate": ["mine", "-t"]}, {**SYSTEMD, "validate": ("mine", "-t"), "guard": None}),
        # A reload of the user's own: systemd's unit would be another process.
        (True, {"preset": "nginx", "reload": ["mine"]}, {**PLAIN, "reload": ("mine",), "guard": None}),
        (
            True,
            {"preset": "nginx", "reload": ["mine"], "check": ["c"]},
            {**PLAIN, "reload": ("mine",), "check": ("c",), "guard": None},
        ),
        (True, {}, NONE),
        (False, {"reload": ["mine"]}, {**NONE, "reload": ("mine",)}),
    ],
)
def test_resolve(monkeypatch: pytest.MonkeyPatch, systemd: bool, raw: Any, resolved: Any) -> None:
    monkeypatch.setattr(daemons, "systemd_runs", lambda: systemd)
    assert daemons.resolve({**service("web"), **raw}) == Service("web", **resolved)


def test_systemd_runs() -> None:
    assert daemons.systemd_runs() is os.path.isdir("/run/systemd/system")


def test_is_running() -> None:
    assert daemons.is_running(Service("a"))
    assert daemons.is_running(Service("a", check=("true",)))
    assert not daemons.is_running(Service("a", check=("false",)))
    assert not daemons.is_running(Service("a", check=("no-such-program",)))
