#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_files_info
short_description: Find the certificates and private keys in the files of a host
version_added: 0.1.0
description:
  - Finds every certificate below some paths, whoever put it there, in one round trip. PEM and DER (bundles too), PKCS#12 (that of
    NSS and Firefox too) and Java keystores are known by what is in them, not by their names.
  - Tells of each file what its certificates are, whose pair its private key is, and whether others can read it.
  - A private key never leaves the host. What is compared is the SHA-256 of its public half.
  - A file that cannot be read or opened is an entry with RV(files[].error), not a failure.
notes:
  - At most 20000 files are looked at, 5000 reported, and no file of more than 2 MiB is read. RV(complete) tells whether that was enough.
  - What is below C(generations) of O(directory) is left out, but for what is live.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
  - fleet.tls.host
options:
  paths:
    description:
      - Files, directories (with all that is below them) and patterns such as V(/srv/*/tls/*.pem); C(**) stands for any number of
        directories.
      - By default the places where servers and administrators keep certificates on Linux, such as V(/etc/ssl), V(/etc/pki/tls),
        V(/etc/nginx), V(/etc/apache2), V(/etc/haproxy), V(/etc/letsencrypt/live), V(/etc/postfix) and V(/etc/dovecot), and what is live
        in O(directory). What is not there is passed over.
    type: list
    elements: str
  exclude:
    description:
      - Patterns of paths to leave out. In them V(*) stands for slashes, too. A link counts by its own path and by that of its target.
      - By default the certificate that Debian's package ssl-cert makes, V(*/ssl-cert-snakeoil.*), and what fleet.tls has kept of files that lay
        where its own lie now, V(*/.*.before-fleet-tls).
    type: list
    elements: str
  trust_stores:
    description: Look into the system's trust stores as well. They hold CAs that the host trusts, and nothing that it serves.
    type: bool
    default: false
  passphrases:
    description:
      - What encrypted private keys and PKCS#12 files are tried with. An empty passphrase is tried in any case.
      - They reach the host as an argument that is not logged, and C(openssl) through a pipe.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Find what nobody renews
  fleet.tls.certificate_files_info:
  register: found

- name: Show those that end within a month
  ansible.builtin.debug:
    msg: "{{ item.path }}: {{ item.certificates[0].subject }} ends on {{ item.certificates[0].not_after }}"
  loop: "{{ found.files | rejectattr('managed') | selectattr('certificates') }}"
  loop_control:
    label: "{{ item.path }}"
  when: item.certificates[0] is fleet.tls.expiring('30d')

- name: Private keys that others can read
  ansible.builtin.assert:
    that: exposed | length == 0
    fail_msg: "{{ exposed | map(attribute='path') | join(', ') }}"
  vars:
    exposed: "{{ found.files | selectattr('private_keys') | selectattr('readable_by_others') }}"

- name: A keystore of the application's
  fleet.tls.certificate_files_info:
    paths: [/opt/app/conf/keystore.p12]
    passphrases: ["{{ vault_keystore_passphrase }}"]
"""

RETURN = r"""
files:
  description: The files that hold certificates or private keys, in the order of O(paths). A file that several links lead to is there once.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path by which it was found first. A byte that is not UTF-8 is written as an escape, such as V(\\xe9).
      type: str
      sample: /etc/nginx/tls/intranet.pem
    links:
      description: Other paths that lead to it, that of the file itself first where RV(files[].path) is a link.
      type: list
      elements: str
    format:
      description: V(pem), V(der), V(pkcs12) or V(jks). Null where it could not be read.
      type: str
    size:
      description: Bytes.
      type: int
    owner:
      description: Its owner.
      type: str
    group:
      description: Its group.
      type: str
    mode:
      description: Its mode.
      type: str
      sample: "0640"
    readable_by_others:
      description: Whether others than its owner and group can read it, by its mode and those of the directories above it.
      type: bool
    managed:
      description: The name of the certificate in O(directory) whose live generation it belongs to, or null.
      type: str
    certificates:
      description: Its certificates in their order. What cannot be read of one is null or empty, and C(error) says why.
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
          description: Days until then, by the controller's clock. Negative once it has expired.
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
        ca:
          description: Whether it may issue others.
          type: bool
        self_signed:
          description: Whether it is signed with its own key.
          type: bool
        public_key_sha256:
          description: SHA-256 of its public key.
          type: str
        error:
          description: Why it cannot be read, or null.
          type: str
    private_keys:
      description: Its private keys.
      type: list
      elements: dict
      contains:
        algorithm:
          description: V(rsa), V(ecdsa) and so on. Null where it is encrypted.
          type: str
        encrypted:
          description: Whether it needs a passphrase.
          type: bool
        public_key_sha256:
          description: SHA-256 of its public half. Null where that could not be told.
          type: str
    pairs:
      description:
        - Of a file with certificates, the files among RV(files) that hold the private key of its first one; its own path where it does.
        - Of a file with keys only, those whose first certificate is for its key.
      type: list
      elements: str
    mismatch:
      description: Whether it holds both certificates and a private key that belongs to none of them.
      type: bool
    error:
      description: Why it, or a part of it, could not be read, or null.
      type: str
      sample: it needs a passphrase
complete:
  description: Whether all of it was looked at.
  returned: success
  type: bool
"""
