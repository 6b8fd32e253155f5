# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pwd
import socket
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import LONGEST, Who, who

ACCOUNT = pwd.getpwuid(os.getuid()).pw_name
HERE = socket.gethostname()


@pytest.mark.parametrize(
    ("variables", "environment", "user", "job"),
    [
        ({}, {}, ACCOUNT, ""),
        ({}, {"SUDO_USER": "ana"}, "ana", ""),
        ({}, {"CI_JOB_ID": "12"}, ACCOUNT, "12"),
        ({"awx_user_name": "ana", "awx_job_id": 7}, {"JOB_ID": "8", "SUDO_USER": "x"}, "ana", "7"),
        ({"tower_user_name": "ana"}, {"JOB_ID": "8"}, "ana", "8"),
        ({"awx_user_name": None, "awx_job_id": ["x"]}, {}, ACCOUNT, ""),
        ({"awx_user_name": "a\nb\x1b"}, {"JOB_ID": "\n"}, "ab", ""),
        ({"awx_user_name": "a" * 5000}, {}, "a" * LONGEST, ""),
    ],
)
def test_who(variables: dict[str, Any], environment: dict[str, str], user: str, job: str) -> None:
    assert who(variables, environment) == Who(user, job, HERE)


def test_an_account_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers have it that run as any number."""
    monkeypatch.setattr(os, "getuid", lambda: 12345678)
    assert who({}, {}).user == "12345678"
