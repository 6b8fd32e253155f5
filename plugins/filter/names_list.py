# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``fleet.tls.names_list``: a variable of names, whatever way it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.base import fields
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError

DOCUMENTATION = r"""
name: names_list
short_description: Read a variable that holds names
version_added: 0.1.0
author: Contributors to the fleet.tls project (@fleet-tls)
description:
  - Returns a list of names. A text is one name, because C(-e name=value) and surveys always give texts.
  - A text that looks like several names is refused, and so is anything else that is not a list.
  - Use it before a test with C(in), which looks for parts of a name in a text.
positional: variable
options:
  _input:
    description: A list of names, or one name. An empty text is an empty list.
    type: raw
    required: true
  variable:
    description: What the variable is called, for the error.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Leave out some hosts
  ansible.builtin.debug:
    msg: This host is not left out
  when: inventory_hostname not in tls_leave_behind | default([]) | fleet.tls.names_list('tls_leave_behind')
"""

RETURN = r"""
_value:
  description: The names.
  type: list
  elements: str
"""


def names_list(value: Any, variable: str) -> list[str]:
    """See RETURN.

    :raises AnsibleFilterError: what :func:`fields.names_list` refuses.
    """
    try:
        return fields.names_list(value, str(variable))
    except TlsError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"names_list": names_list}
