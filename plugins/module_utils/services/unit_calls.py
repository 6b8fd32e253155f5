# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service's own unit calls its program: a check says something of the service only with the same arguments and environment.

systemd.exec(5) and systemd.service(5), as far as ``Environment``, ``EnvironmentFile`` and the command lines go.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_text
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import output_of

OBJECT, INTERFACE = "/org/freedesktop/systemd1/unit/", "org.freedesktop.systemd1.Service"
NAME = r"[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True)
class UnitCalls:
    """:param commands: how the unit starts its programs, variables put in.
    :param environment: what systemd gives them.
    """

    commands: tuple[tuple[str, ...], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def check(self, usual: Sequence[str], word: str, programs: Sequence[str]) -> tuple[str, ...]:
        """The command by which the service's configuration is checked.

        :param usual: where the unit tells nothing of it, because it runs another program (a container's, say).
        :param word: the argument that makes one of ``programs`` check its configuration and end.
        """
        same = [each for each in self.commands if is_one_of(each[0], programs)]
        return (*same[-1], word) if same else tuple(usual)


def is_one_of(path: str, programs: Sequence[str]) -> bool:
    """Whether a unit's program is one of these. A script of ``/etc/init.d``, of which systemd has made the unit, may have the same name;
    called with a word more, it would start the service."""
    folder, name = os.path.split(path)
    return name in programs and folder != "/etc/init.d"


def ask_unit(unit: str) -> UnitCalls:
    """What systemd knows of a unit; nothing where it cannot be asked."""
    path = OBJECT + "".join(
        each if each.isascii() and each.isalnum() else f"_{ord(each):02x}" for each in full_name(unit)
    )
    wanted = ("ExecStart", "Environment", "EnvironmentFiles")
    shown = output_of(("busctl", "--json=short", "get-property", "org.freedesktop.systemd1", path, INTERFACE, *wanted))
    try:
        values = dict(zip(wanted, (json.loads(line)["data"] for line in shown.splitlines())))
    except (ValueError, KeyError, TypeError):
        return UnitCalls()
    return read_unit(values) if len(values) == len(wanted) else UnitCalls()


def full_name(unit: str) -> str:
    """A unit's name with its type."""
    return unit if unit.endswith(".service") else unit + ".service"


def read_unit(values: Mapping[str, Any]) -> UnitCalls:
    """:param values: property → value, as systemd's D-Bus interface has them."""
    environment = dict(each.partition("=")[::2] for each in values["Environment"])
    for pattern, _optional in values["EnvironmentFiles"]:
        for path in sorted(glob.glob(pattern)):
            try:
                environment.update(parse_environment(read_text(path, follow=True)))
            except OSError:
                continue
    calls = [each[1] for each in values["ExecStart"]]
    return UnitCalls(tuple(expand(words, environment) for words in calls if words), environment)


def parse_environment(text: str) -> dict[str, str]:
    """The variables of an ``EnvironmentFile``."""
    found = {}
    for line in text.replace("\\\n", "").splitlines():
        match = re.fullmatch(rf"\s*({NAME})=(.*)", line)
        if match:
            found[match[1]] = " ".join(split(match[2]))
    return found


def expand(words: Iterable[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """A command line with its variables put in: ``$NAME`` alone stands for any number of words."""
    found: list[str] = []
    for word in words:
        alone = re.fullmatch(rf"\$({NAME})", word)
        if alone:
            found += split(environment.get(alone[1], ""))
        else:
            put_in = re.sub(rf"\$\{{({NAME})\}}", lambda match: environment.get(match[1], ""), word)
            found.append(put_in.replace("$$", "$"))
    return tuple(found)


def split(text: str) -> list[str]:
    """The words of a text that may have quotes."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
