# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that several sub-plugins share; docs/reference has it for people."""

from __future__ import annotations


class ModuleDocFragment:
    """ISSUER, STORE, SOLVER and KEY: what every type of that kind takes. The others: what single types extend."""

    ISSUER = r"""
options:
  type:
    description: The type, one of those below, or C(namespace.collection.name) of L(another collection, ../issuers/own.md).
    type: str
    required: true
  permit:
    description:
      - Rules that say which hosts may have which certificates. One rule has to permit all of a certificate. See L(permit, ../issuers/permit.md).
      - Without it, every host can have any certificate.
    type: list
    elements: dict
    suboptions:
      groups:
        description: The rule is for hosts of these groups. Without it, for all hosts.
        type: list
        elements: str
        default: []
      dns_names:
        description: A name, V(*.example.com) for names with one label more, or V(.example.com) for everything below.
        type: list
        elements: str
        default: []
      ip_addresses:
        description: Addresses and networks.
        type: list
        elements: str
        default: []
      uris:
        description: URIs. With C(*) at the end, all that begin so.
        type: list
        elements: str
        default: []
      email_addresses:
        description: Mailboxes, or V(@example.com) for all on that host.
        type: list
        elements: str
        default: []
      common_names:
        description: Common names. One that is also among the certificate's other names is always permitted.
        type: list
        elements: str
        default: []
      subject:
        description: Parts of the subject, each with the values that are permitted.
        type: dict
        default: {}
        suboptions:
          O:
            description: Organizations.
            type: raw
          OU:
            description: Organizational units.
            type: raw
          C:
            description: Countries.
            type: raw
          L:
            description: Localities.
            type: raw
          ST:
            description: States or provinces.
            type: raw
          DC:
            description: Domain components.
            type: raw
          serialNumber:
            description: Serial numbers.
            type: raw
      usages:
        description: Usages, in words or as OIDs. Without it, V(server_auth) and V(client_auth).
        type: list
        elements: str
        default: []
      max_duration:
        description: Certificates must not be valid for longer. Without it, for as long as the issuer gives.
        type: str
      key_algorithms:
        description: Algorithms of the certificate's key. Without it, any.
        type: list
        elements: str
        default: []
"""

    STORE = r"""
options:
  type:
    description: The type, one of those below, or C(namespace.collection.name) of another collection.
    type: str
    default: directory
  passphrase:
    description:
      - Seals all private keys in the store, at least 12 characters. Make one with C(openssl rand -base64 32), and keep it in Ansible Vault.
      - It is needed only when something is issued, or a key goes to a host.
    type: str
"""

    SOLVER = r"""
options:
  type:
    description: The type, one of those below, or C(namespace.collection.name) of another collection. A dash counts as an underscore.
    type: str
    required: true
"""

    KEY = r"""
options:
  type:
    description: The type, one of those below, or C(namespace.collection.name) of L(another collection, ../keys.md#a-provider-of-your-own).
    type: str
    required: true
"""

    OPENBAO = r"""
requirements:
  - hvac 2.1 or newer
options:
  url:
    description: The cluster's address, or those of its nodes. The first that answers is used. Plain http is for an agent on this machine only.
    type: list
    elements: str
    required: true
  namespace:
    description: The namespace of mount, auth mount and token.
    type: str
  ca_certificate:
    description: The CA of the server's own listener, PEM text or an absolute path on the controller. The default is the system's CAs.
    type: str
  auth:
    description: Who we are.
    type: dict
    required: true
    suboptions:
      method:
        description: How we log in.
        type: str
        default: token
        choices: [token, approle, cert]
      token:
        description: Only V(token). The token itself. Keep it in Ansible Vault.
        type: str
      token_file:
        description: Only V(token). A file on the controller that holds it.
        type: path
      token_env:
        description: Only V(token). An environment variable that holds it.
        type: str
      mount:
        description: Only V(approle) and V(cert). The auth mount. The default is the method's name.
        type: str
      role_id:
        description: Only V(approle), and required there. The role's id.
        type: str
      secret_id:
        description: Only V(approle). The secret id itself. Keep it in Ansible Vault.
        type: str
      secret_id_file:
        description: Only V(approle). A file on the controller that holds it.
        type: path
      secret_id_env:
        description: Only V(approle). An environment variable that holds it.
        type: str
      name:
        description: Only V(cert). The role at the auth mount. Without it, OpenBao looks for one that fits.
        type: str
      certificate_file:
        description: Only V(cert), and required there. Our certificate, a PEM file on the controller.
        type: path
      private_key_file:
        description: Only V(cert), and required there. Its private key, not encrypted.
        type: path
  timeout:
    description: How long one request may take, up to V(5m).
    type: str
    default: 10s
"""

    DNS_API = r"""
options:
  resolvers:
    description: IP addresses of the resolvers that CNAMEs and name servers are looked up with. The default is the controller's own.
    type: list
    elements: str
    default: []
  authoritative:
    description: The servers that must show a record before the CA is asked, C(HOST) or C(HOST:PORT). The default is the zone's NS records.
    type: list
    elements: str
    default: []
  timeout:
    description: How long all authoritative servers together may take to show the records. It does not count against the issuer's C(timeout).
    type: str
    default: 2m
"""
