# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: clients
short_description: Set up mTLS clients and prove that servers accept them
version_added: 0.1.0
description:
  - Gives the mTLS clients of a host the bundle of CAs they trust, and proves them. From that host, with its certificate and key, it shakes
    hands with every server the client is meant to talk to. The server must accept the client, and its own certificate must chain to the
    bundle and match the name.
  - The certificates themselves come from M(fleet.tls.certificates), with C(usages=[client_auth]), as PEM, combined PEM or PKCS#12.
  - If a server refuses, the task restores the previous bundle and, if that is not enough, the pair that was accepted last. The
    host fails with the server's own words. If nothing worked before, the new files stay.
  - Services of the host that use the files are reloaded after the proof, when bundle or certificate changed.
  - One round trip per host for all clients.
notes:
  - In TLS 1.3 a server's refusal comes after the handshake, and is waited for. A web server may refuse only the request (nginx does, with
    status 400). Name such a server by a URL.
  - Certificates in which an output has C(method=copy) are not put back.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store
  - fleet.tls.host
  - fleet.tls.host.presets
  - fleet.tls.host.proven
options:
  store:
    required: false
  issuers:
    required: false
    default: {}
  clients:
    description:
      - The clients of the host, each a mapping.
      - C(certificate) is the name of one of the host's certificates. C(name) is a name of your own, by default that of the certificate.
      - C(bundle) is the file of what the client trusts, a mapping of C(path), C(issuers) (names, by default all), C(anchors) (as in
        M(fleet.tls.trust_bundle)), C(owner), C(group) and C(mode) (V(0644)). Without it, servers are verified with what the system
        trusts.
      - C(endpoints) are the servers that must accept it. V(host:port), or V(https://host/path) if a request must be answered with a
        status below 400, or a mapping of C(host), C(port), C(server_name) (the name in its certificate, by default C(host)) and C(request)
        (a path).
      - C(state=absent) leaves it to M(fleet.tls.retire) to take its bundle away.
      - C(services) are reloaded when bundle or certificate changed, each a preset's name or a mapping with C(name), C(validate), C(reload)
        and C(check), as in M(fleet.tls.certificates).
    type: list
    elements: raw
    required: true
  certificates:
    description:
      - What the host has as C(certificates) in M(fleet.tls.certificates). With it, a client whose certificate is missing there, or is not for
        clients, is refused before anything is touched.
    type: list
    elements: dict
  prove_timeout:
    description: How long every server has to start accepting the client.
"""

EXAMPLES = r"""
- name: An application that talks to two servers
  fleet.tls.clients:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    clients:
      - certificate: app
        bundle:
          path: /etc/app/ca.pem
          group: app
        endpoints:
          - https://api.example.com/health
          - host: 192.0.2.7
            port: 5671
            server_name: queue.example.com
        services:
          - name: app
            reload: [systemctl, reload, app]
"""

RETURN = r"""
clients:
  description: What became of each client, by its name.
  returned: when there are clients and the host could be asked
  type: dict
  contains:
    changed:
      description: Whether its files changed with lasting effect, or its services took them.
      type: bool
    changed_paths:
      description: The bundle, where it was written, or in check mode would be.
      type: list
      elements: str
    kept_files:
      description:
        - The path of the bundle where something lay that is not of fleet.tls, and where that is kept, or in check mode would be. The first such
          file is kept, beside the new one, with its own owner and mode, and not replaced later.
      type: dict
      sample: {/etc/nginx/site.pem: /etc/nginx/.site.pem.before-fleet-tls}
    proof:
      description: What each endpoint did.
      type: list
      elements: dict
      contains:
        endpoint:
          description: Host and port.
          type: str
        server_name:
          description: The name asked for.
          type: str
        protocol:
          description: TLS version.
          type: str
        cipher:
          description: Cipher suite.
          type: str
        client_certificate:
          description: V(accepted), V(refused), or null where the server did not ask for one.
          type: str
        error:
          description: Why it did not accept the client, in its own words. Null where it did.
          type: str
        seconds:
          description: How long the last attempt took.
          type: float
    rolled_back:
      description: Whether what was there before is back.
      type: bool
    services:
      description: What became of each service, with C(state) and C(error).
      type: dict
    error:
      description: What went wrong, with C(code), C(message) and C(remedy).
      type: dict
"""
