# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``fleet.tls.gathered``: what each host has of a variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.base import gathering
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError

DOCUMENTATION = r"""
name: gathered
short_description: Gather what each host has of a variable
version_added: 0.1.0
author: Contributors to the fleet.tls project (@fleet-tls)
description:
  - Returns a mapping from hosts to what they have of a variable, mostly one that a task has registered.
  - Playbooks use it to hand what every host returned to one task that judges all of it.
  - It looks at every host that is named. Use it in tasks with C(run_once).
positional: variables, hosts
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  variables:
    description: The name of a variable, or a list of names. Of several, the first that has the O(part) counts.
    type: raw
    required: true
  hosts:
    description: The hosts to look at, for example C(ansible_play_hosts_all) or C(groups['all']). Hosts that Ansible does not know are left out.
    type: list
    elements: str
    required: true
  part:
    description:
      - V(value) is the variable itself.
      - V(names) is a list, the keys of a mapping or the C(name) of each entry of a list.
      - V(failure) is why a registered task failed or its host was unreachable, in words; an empty text where it did not.
    type: str
    choices: [value, names, failure]
    default: value
  default:
    description: With O(part=value), what stands for a host that has none of the variables. Without it, an empty mapping.
    type: raw
"""

EXAMPLES = r"""
- name: Judge what fleet.tls.certificates returned on all hosts
  ansible.builtin.debug:
    msg: "{{ (hostvars | fleet.tls.gathered('looked', ansible_play_hosts_all) | fleet.tls.health).findings }}"
  run_once: true

- name: Show which issuers each host knows
  ansible.builtin.debug:
    msg: "{{ hostvars | fleet.tls.gathered('tls_issuers', groups['all'], part='names') }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: From hosts to what they have.
  type: dict
"""


def gathered(known: Any, variables: Any, hosts: Any, part: str = "value", default: Any = None) -> dict[str, Any]:
    """See RETURN.

    :raises AnsibleFilterError: what :func:`gathering.gathered` refuses.
    """
    try:
        return gathering.gathered(known, variables, hosts, part, default)
    except TlsError as error:
        raise AnsibleFilterError(f"fleet.tls.gathered: {error}") from None


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"gathered": gathered}
