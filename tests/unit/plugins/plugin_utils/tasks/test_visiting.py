# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that failed within another one looks as if Ansible had registered it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError

from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.visiting import failed_result


def caused() -> AnsibleError:
    """One with a cause."""
    error = AnsibleError("Outside.")
    error.__cause__ = ValueError("inside")
    return error


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (AnsibleActionFail("web1: no", result={"error": {"code": "x"}}), {"failed": True, "msg": "web1: no", "error": {"code": "x"}}),
        (AnsibleConnectionFailure("no route"), {"unreachable": True, "msg": "Task failed: no route"}),
        (AnsibleAuthenticationFailure("denied"), {"unreachable": True, "msg": "Task failed: Failed to authenticate: denied"}),
        (caused(), {"failed": True, "msg": "Task failed: Outside: inside"}),
        (KeyError("x"), {"failed": True, "msg": "Task failed: 'x'"}),
    ],
)  # fmt: skip
def test_as_ansible_registers_it(error: Exception, result: dict[str, Any]) -> None:
    assert failed_result(error) == {"changed": False, **result}
