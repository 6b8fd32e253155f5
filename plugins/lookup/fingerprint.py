# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup ``fleet.tls.fingerprint``: the digest by which programs know a certificate."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fingerprint
short_description: The fingerprint of a certificate
version_added: 0.1.0
author: Contributors to the fleet.tls project (@fleet-tls)
description:
  - Returns the digest of a certificate's DER form, as other tasks of this collection have it (C(fingerprint_sha256)), or in the form that
    programs want in their configuration.
options:
  _terms:
    description:
      - Certificates as PEM text. Of a chain, the first one counts, which is the leaf.
    required: true
  algorithm:
    description: The digest. V(sha1) is for programs that know no other.
    type: str
    choices: [sha256, sha1]
    default: sha256
  form:
    description:
      - V(hex) is lower case without anything between. V(colons) is upper case with a colon between bytes, as C(openssl x509 -fingerprint)
        prints it.
    type: str
    choices: [hex, colons]
    default: hex
seealso:
  - plugin: fleet.tls.root
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Show what a client has to be told of the internal CA
  ansible.builtin.debug:
    msg: "{{ lookup('fleet.tls.fingerprint', lookup('fleet.tls.root', 'internal')) }}"

- name: Let Postfix relay for a client that has this certificate
  ansible.builtin.lineinfile:
    path: /etc/postfix/relay_clientcerts
    line: "{{ lookup('fleet.tls.fingerprint', lookup('ansible.builtin.file', 'client.pem'), form='colons') }} client.example.com"
"""

RETURN = r"""
_raw:
  description: A fingerprint for each certificate.
  type: list
  elements: str
"""

import hashlib
from collections.abc import Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain, to_der
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.lookup import TlsLookup


class LookupModule(TlsLookup):
    """What Ansible looks for."""

    name = "fingerprint"

    def found(self, terms: Sequence[str]) -> list[str]:
        algorithm, colons = str(self.get_option("algorithm")), self.get_option("form") == "colons"
        return [fingerprint(term, algorithm, colons=colons) for term in terms]


def fingerprint(text: str, algorithm: str, *, colons: bool) -> str:
    """Of the first certificate in a PEM text.

    :raises CertificateError: there is none, or one that is not whole.
    """
    digest = hashlib.new(algorithm, to_der(parse_pem_chain(text)[0]), usedforsecurity=False)
    return digest.digest().hex(":").upper() if colons else digest.hexdigest()
