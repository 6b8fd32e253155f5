# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit's own arguments and environment, as systemd shows them. The units themselves are met in tests/fleet."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.services.unit_calls import (
    UnitCalls,
    ask_unit,
    expand,
    parse_environment,
)

USUAL = ("haproxy", "-W", "-c", "-f", "/etc/haproxy/haproxy.cfg")
START = ("/usr/sbin/haproxy", "-Ws", "-f", "a.cfg", "-p", "/run/pid")


@pytest.mark.parametrize(
    ("commands", "check"),
    [
        ((), USUAL),
        ((("/bin/docker", "run", "haproxy", "-c"),), USUAL),
        ((("/etc/init.d/haproxy", "start"),), USUAL),
        ((START,), (*START, "-c")),
        ((("/bin/sh", "-c", "x"), START), (*START, "-c")),
    ],
)
def test_check(commands: tuple[tuple[str, ...], ...], check: tuple[str, ...]) -> None:
    assert UnitCalls(commands).check(USUAL, "-c", ("haproxy",)) == check


@pytest.mark.parametrize(
    ("start", "check"),
    [
        (("/usr/sbin/apachectl", "start"), ("apachectl", "-t")),  # Debian's unit
        (("/usr/sbin/httpd", "-DFOREGROUND"), ("/usr/sbin/httpd", "-DFOREGROUND", "-t")),  # the RHEL family's
    ],
)
def test_check_by_the_program_that_the_unit_runs(start: tuple[str, ...], check: tuple[str, ...]) -> None:
    assert UnitCalls((start,)).check(("apachectl", "-t"), "-t", ("apache2", "httpd")) == check


def test_environment_files() -> None:
    text = "# a comment\nA=1 \n B='two words'\nC=\"x\\\n y\"\nnonsense\nD=\nE='open\n"
    assert parse_environment(text) == {"A": "1", "B": "two words", "C": "x y", "D": "", "E": "'open"}


def test_expand() -> None:
    words = ("haproxy", "-f", "$CONFIG", "${CONFIG}.d", "$EXTRA", "$NONE", "a$$b")
    expanded = expand(words, {"CONFIG": "/etc/h.cfg", "EXTRA": "-S /run/master.sock"})
    assert expanded == ("haproxy", "-f", "/etc/h.cfg", "/etc/h.cfg.d", "-S", "/run/master.sock", "a$b")


def answer(path: Path, environment_file: str) -> str:
    start = [["/usr/sbin/haproxy", ["/usr/sbin/haproxy", "-Ws", "-f", "$CONFIG"], False, 0]]
    values = [start, ["CONFIG=a b.cfg", "A=1"], [[environment_file, True], ["/no/such/file", True]]]
    path.write_text("\n".join(json.dumps({"type": "x", "data": each}) for each in values))
    return str(path)


def test_ask_unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "default").write_text("CONFIG=/etc/h.cfg\n")
    shown = answer(tmp_path / "shown", str(tmp_path / "defaul*"))
    program = tmp_path / "busctl"
    program.write_text(f'#!/bin/sh\ncase "$*" in */unit/haproxy_40a_2eservice*) cat {shown};; *) exit 1;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = ask_unit("haproxy@a")
    assert found.commands == (("/usr/sbin/haproxy", "-Ws", "-f", "/etc/h.cfg"),)
    assert found.environment == {"CONFIG": "/etc/h.cfg", "A": "1"}
    assert ask_unit("other") == UnitCalls()
    (tmp_path / "shown").write_text("{}")
    assert ask_unit("haproxy@a") == UnitCalls()
