# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: Show which certificates TLS endpoints serve
version_added: 0.1.0
description:
  - Shakes hands with endpoints, all at the same time, and returns what each one showed. Chain, names, dates, issuer, protocol,
    cipher, and whether it asks for client certificates.
  - An endpoint that cannot be reached or refuses the handshake is an answer as well, not a failure, unless O(required) is set.
  - The chain of a server that insists on a client certificate is seen without one, too.
  - To see the certificates of old servers, this takes protocol versions down to TLS 1.0 and weak ciphers, as far as the OpenSSL of
    the probing machine has them. That it succeeds does not mean that other clients would.
notes:
  - Resolving a host name takes as long as the resolver allows, on top of O(timeout).
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
options:
  endpoints:
    description:
      - Where to shake hands, each as V(host:port), V([IPv6]:port) or a mapping of C(host) and C(port), and where they differ from the
        options of the same names also C(server_name), C(timeout), C(starttls), C(client_certificate) and C(client_key).
      - Where TLS has to be asked for, V(smtp://host:port), or another protocol of O(starttls), does the same as C(starttls).
    type: list
    elements: raw
    required: true
  origin:
    description:
      - From where. V(controller) needs no connection to the managed host.
      - V(host) shows what the managed host sees, on its loopback addresses for instance.
    type: str
    choices: [controller, host]
    default: controller
  timeout:
    description: Seconds for an endpoint's connection, handshake and last words together.
    type: float
    default: 5.0
  server_name:
    description:
      - The name to ask for (SNI) and to look for in the certificate. Without it, the endpoint's host, if that is a name. IP addresses
        are never sent.
      - An empty text asks for no name.
    type: str
  starttls:
    description:
      - The protocol in which the endpoints speak in clear until TLS is asked for. Without it, TLS begins at once.
      - An empty text in an endpoint's C(starttls) says so for that one.
    type: str
    choices: [smtp, imap, pop3, ftp, ldap, postgres, mysql, xmpp]
  client_certificate:
    description: Path, on the probing machine, of a PEM file with a client certificate and its chain, for endpoints that ask for one.
    type: str
  client_key:
    description: Path of its unencrypted private key. Without it, the key is in the same file.
    type: str
  anchors:
    description:
      - CA certificates, as PEM text or a list of PEM texts. With them, chain, dates and name are verified and
        RV(endpoints[].trusted) tells the result.
      - Nothing but these is trusted, and the order of the chain has to be right.
    type: raw
  required:
    description: Fail when an endpoint shows no certificate, or, with O(anchors), one that does not verify. All of them are tried first.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: What do our servers present to the world
  fleet.tls.probe:
    endpoints:
      - www.example.com:443
      - "[2001:db8::1]:8443"
      - host: 192.0.2.10
        port: 443
        server_name: intranet.example.com
      - smtp://mail.example.com:25
  delegate_to: localhost
  run_once: true
  register: seen

- name: No certificate may end within two weeks
  ansible.builtin.assert:
    that: item.certificates[0] is not fleet.tls.expiring('14d')
    fail_msg: "{{ item.endpoint }} ends on {{ item.certificates[0].not_after }}"
    quiet: true
  loop: "{{ seen.endpoints | selectattr('reachable') }}"
  loop_control:
    label: "{{ item.endpoint }}"
  run_once: true

- name: The application can talk to its mTLS-protected backend
  fleet.tls.probe:
    endpoints: [backend.example.com:8443]
    origin: host
    client_certificate: /etc/fleet-tls/live/app/fullchain.pem
    client_key: /etc/fleet-tls/live/app/privkey.pem
    anchors: "{{ lookup('ansible.builtin.file', 'internal-root.pem') }}"
    required: true
"""

RETURN = r"""
endpoints:
  description: What each endpoint showed, in the order of the option.
  returned: always
  type: list
  elements: dict
  contains:
    endpoint:
      description: Host and port.
      type: str
      sample: www.example.com:443
    host:
      description: The host.
      type: str
    port:
      description: The port.
      type: int
    server_name:
      description: The name that was asked for, or null.
      type: str
    reachable:
      description: Whether it showed a certificate. It may have refused the handshake after that, see RV(endpoints[].error).
      type: bool
    error:
      description: Why the handshake failed, or null.
      type: str
      sample: "connection refused: nothing listens there"
    protocol:
      description: The version that was agreed on.
      type: str
      sample: TLSv1.3
    cipher:
      description: The cipher suite, by OpenSSL's name.
      type: str
      sample: TLS_AES_256_GCM_SHA384
    client_certificate:
      description:
        - Null where the endpoint did not ask for one. V(requested) where it asked, got none and went on.
        - V(accepted) where it took ours. This is the handshake's view. Some servers, nginx among them, refuse a bad one in HTTP later.
        - V(refused) where it ended the connection after asking, for there was none, or none it would take.
      type: str
    seconds:
      description: How long it took.
      type: float
    chain:
      description: The certificates it sent, as PEM, in its order.
      type: list
      elements: str
    certificates:
      description: The same certificates, read. One that cannot be read has only C(fingerprint_sha256) and C(error).
      type: list
      elements: dict
      contains:
        subject:
          description: Subject, as RFC 4514 text. The names where it is empty.
          type: str
        issuer:
          description: Issuer, as RFC 4514 text.
          type: str
          sample: CN=internal CA
        common_name:
          description: Common name of the subject, or null.
          type: str
        dns_names:
          description: DNS names.
          type: list
          elements: str
        ip_addresses:
          description: IP addresses.
          type: list
          elements: str
        uris:
          description: URIs.
          type: list
          elements: str
        email_addresses:
          description: Mail addresses.
          type: list
          elements: str
        usages:
          description: Extended key usages.
          type: list
          elements: str
        not_before:
          description: Valid from, UTC.
          type: str
        not_after:
          description: Valid until, UTC.
          type: str
          sample: "2027-02-21T10:00:00Z"
        days_left:
          description: Days until then, by the controller's clock. Negative when it is over.
          type: float
        serial:
          description: Serial number, hexadecimal.
          type: str
        fingerprint_sha256:
          description: SHA-256 of the certificate, hexadecimal, lower case.
          type: str
        key_algorithm:
          description: The kind of its key.
          type: str
          sample: ecdsa-p256
        signature_algorithm:
          description: How it is signed.
          type: str
          sample: ecdsa-with-SHA256
        error:
          description: Why it cannot be read, or null.
          type: str
    problems:
      description:
        - What a client would object to, in words. Dates and names, certificates that cannot be read, and with O(anchors) the chain.
      type: list
      elements: str
      sample: ["the certificate expired on 2026-11-01T00:00:00Z"]
    trusted:
      description: Whether there are no problems and the chain leads to O(anchors). Null without O(anchors), or without a certificate.
      type: bool
"""
