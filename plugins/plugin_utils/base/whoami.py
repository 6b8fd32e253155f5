# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who does something, for records: user, job and controller, as the environment of the run has them. Nothing of it is proven."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST = 100
# The number of a job, as AWX, GitLab, GitHub and Jenkins give it to what they run.
JOBS = ("JOB_ID", "CI_JOB_ID", "GITHUB_RUN_ID", "BUILD_TAG")
# What AWX gives to a play as variables.
USER_VARIABLES = ("awx_user_name", "tower_user_name")
JOB_VARIABLES = ("awx_job_id", "tower_job_id")


@dataclass(frozen=True)
class Who:
    """``user`` and ``controller`` (a host name) are never empty; ``job`` is, where a person has started the run."""

    user: str
    job: str
    controller: str


def who(variables: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Who:
    """Who runs this.

    :param environment: None: that of this process.
    :param variables: those of a play; what AWX says of the user counts more than the account that its jobs run as.
    """
    environment = os.environ if environment is None else environment
    user = first(variables, USER_VARIABLES) or first(environment, ("SUDO_USER",)) or account()
    job = first(variables, JOB_VARIABLES) or first(environment, JOBS)
    return Who(user, job, readable(socket.gethostname()) or "unknown")


def account() -> str:
    """The name of the account that this process runs as, its number where it has none."""
    try:
        return readable(pwd.getpwuid(os.getuid()).pw_name) or str(os.getuid())
    except KeyError:
        return str(os.getuid())


def first(values: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of these that says something."""
    return next((text for name in names if (text := readable(values.get(name)))), "")


def readable(value: Any) -> str:
    """One line of limited length; empty for what is no text or number."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return ""
    return "".join(letter for letter in str(value) if letter.isprintable())[:LONGEST].strip()


class Present:
    """Who this process works for. An action says so before it does anything; a worker process has one task."""

    def __init__(self) -> None:
        self.variables: Mapping[str, Any] = {}

    def works_for(self, variables: Mapping[str, Any]) -> None:
        """From now on."""
        self.variables = {name: variables.get(name) for name in (*USER_VARIABLES, *JOB_VARIABLES)}

    def __call__(self) -> Who:
        return who(self.variables)


present = Present()
