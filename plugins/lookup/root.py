# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup ``fleet.tls.root``: the root certificate of a CA, from the store."""

from __future__ import annotations

DOCUMENTATION = r"""
name: root
short_description: The root certificate of a CA, from the store
version_added: 0.1.0
author: Contributors to the fleet.tls project (@fleet-tls)
description:
  - Returns what a program has to trust for an issuer's certificates, as PEM text. For an internal CA that is its root; while a CA is being
    replaced, the old and the new one.
  - Reads the store on the controller. It needs no passphrase, asks no host, and makes nothing.
options:
  _terms:
    description: Names of issuers.
    required: true
  store:
    description: The store, as in M(fleet.tls.certificates).
    type: raw
    vars:
      - name: tls_store
  issuers:
    description: The issuers, as in M(fleet.tls.certificates).
    type: raw
    vars:
      - name: tls_issuers
seealso:
  - module: fleet.tls.trust_bundle
  - module: fleet.tls.ca
"""

EXAMPLES = r"""
- name: Give a program that has its own format the root
  ansible.builtin.template:
    src: app.yml.j2  # ca: {{ lookup('fleet.tls.root', 'internal') | to_json }}
    dest: /etc/app/app.yml
    mode: "0644"

- name: Trust it for one request
  ansible.builtin.uri:
    url: https://app.example.com/
    ca_path: /etc/app/root.pem
  when: lookup('fleet.tls.root', 'internal') is search('BEGIN CERTIFICATE')
"""

RETURN = r"""
_raw:
  description: A PEM text for each issuer.
  type: list
  elements: str
"""

import datetime as dt
from collections.abc import Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanPrepare
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.lookup import TlsLookup


class LookupModule(TlsLookup):
    """What Ansible looks for."""

    name = "root"

    def found(self, terms: Sequence[str]) -> list[str]:
        given = {option: self.value(option) for option in ("store", "issuers")}
        for option, value in given.items():
            if value is None:
                raise SpecError(f"there is no tls_{option}", remedy=f"define it, or give the lookup {option}=")
        issuers = load_issuers(given["issuers"], load_store(given["store"]))
        return [root_of(issuers[one_of(term, issuers, "issuer")]) for term in terms]


def root_of(issuer: Issuer) -> str:
    """What hosts have to be given to trust an issuer, PEM.

    :raises IssuerError: there is nothing yet, or every system has it of its own.
    """
    text = "".join(to_pem(each) for each in issuer.anchors())
    if text:
        return text
    missing = issuer.unprepared(dt.datetime.now(dt.timezone.utc)) if isinstance(issuer, CanPrepare) else None
    if missing and not issuer.trust():
        raise IssuerError(
            f"issuer '{issuer.name}' has no root yet: {missing}", remedy="make it first, with the role fleet.tls.ca"
        )
    raise IssuerError(
        f"issuer '{issuer.name}' has no root of its own: systems trust its CA by themselves",
        remedy="leave the root out, so that the program trusts what its system trusts",
    )
