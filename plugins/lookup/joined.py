# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup ``fleet.tls.joined``: one list of several variables."""

from __future__ import annotations

DOCUMENTATION = r"""
name: joined
short_description: One list of the lists that several groups give a host
version_added: 0.1.0
author: Contributors to the fleet.tls project (@fleet-tls)
description:
  - Of a variable that two groups of a host set, Ansible keeps one. This lookup joins C(tls_certificates_web), C(tls_certificates_db) and every other
    variable whose name begins with C(tls_certificates_) to one list.
  - Set C(tls_certificates) to it once, for all hosts. Everything that reads C(tls_certificates) then sees the joined list.
  - The lists are joined in the order of the variables' names. A host that has none of these variables gets an empty list.
  - Two lists that have an entry of the same C(name) (or C(certificate), where an entry has no name) are an error that names both variables.
options:
  _terms:
    description: The variable whose parts are joined, such as V(tls_certificates), V(tls_sites) or V(tls_clients).
    required: true
"""

EXAMPLES = r"""
# group_vars/all.yml
# tls_certificates: "{{ lookup('fleet.tls.joined', 'tls_certificates') }}"
#
# group_vars/web.yml
# tls_certificates_web:
#   - {name: www, issuer: internal, dns_names: [www.example.com]}
#
# group_vars/db.yml
# tls_certificates_db:
#   - {name: db, issuer: internal, dns_names: ["{{ inventory_hostname }}"]}

- name: Show what a host of both groups has
  ansible.builtin.debug:
    msg: "{{ lookup('fleet.tls.joined', 'tls_certificates') | map(attribute='name') }}"
"""

RETURN = r"""
_raw:
  description: A joined list for each variable.
  type: list
  elements: list
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.joined import joined, parts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.user_variables import known_variables


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: Sequence[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[list[Any]]:
        """A list for each term."""
        self.set_options(var_options=dict(variables or {}), direct=kwargs)
        try:
            return [self.joined(str(term), variables or {}) for term in terms]
        except TlsError as error:
            raise AnsibleLookupError(f"fleet.tls.joined: {error}") from None

    def joined(self, whole: str, variables: Mapping[str, Any]) -> list[Any]:
        """The entries of all parts of a variable.

        :raises SpecError: they cannot be joined.
        """
        names = parts_of(whole, variables, known_variables())
        parts = {name: variables[name] for name in names}
        return joined(self._templar.template(parts) if self._templar else parts)
