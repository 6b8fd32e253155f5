# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``fleet.tls.seconds``: a duration in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError

DOCUMENTATION = r"""
name: seconds
short_description: Read a duration
version_added: 0.1.0
author: Contributors to the fleet.tls project (@fleet-tls)
description:
  - Returns the seconds of a duration such as V(15s), V(30m), V(24h) or V(90d).
  - A number without a unit is refused.
positional: variable
options:
  _input:
    description: The duration.
    type: str
    required: true
  variable:
    description: What the variable is called, for the error.
    type: str
    required: true
  zero:
    description: Whether V(0s) is a duration as well.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ tls_session_timeout | fleet.tls.seconds('tls_session_timeout') }}"
"""

RETURN = r"""
_value:
  description: Seconds.
  type: int
"""


def seconds(value: Any, variable: str, zero: bool = False) -> int:
    """See RETURN.

    :raises AnsibleFilterError: what :func:`parse_duration` refuses.
    """
    try:
        return parse_duration(value, str(variable), zero=zero)
    except TlsError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"seconds": seconds}
