# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: store
short_description: Look after the store
version_added: 0.1.0
description:
  - Changes the store's passphrase, backs it up, verifies it, restores a backup, or moves it to another place or kind of store.
  - It is what the playbook C(fleet.tls.store) runs; C(docs/stores/care.md) of the collection says how each of these works.
  - Other runs may continue meanwhile. The same task finishes what was interrupted.
  - Runs on the controller alone and never connects to the host. Use C(run_once).
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store.only_store
attributes:
  idempotent:
    support: partial
    details: Each V(backup) is a new one. V(restore) refuses a store that is not empty.
options:
  action:
    description:
      - V(passphrase) seals everything under O(new_passphrase).
      - V(backup) makes a backup below the directory O(backup).
      - V(verify) looks whether every sealed entry opens, every key fits its certificate, and the ledger is whole and knows what the hosts in
        O(seen) have. It fails where something is wrong, and changes nothing.
      - V(restore) puts the backup O(backup) into a store that is empty.
      - V(move) moves everything to O(target), and closes this store.
    type: str
    choices: [passphrase, backup, verify, restore, move]
    required: true
  new_passphrase:
    description: The next passphrase, best from Ansible Vault. The present one is in O(store).
    type: str
  backup:
    description: An absolute path on the controller. With V(backup) where backups are to lie, with V(restore) one of them.
    type: path
  target:
    description: The store to move to, as O(store). It is empty, or was moved to O(store) before. It keeps the passphrase.
    type: dict
  head:
    description: With V(verify), the head that the ledger had earlier, as RV(head) said. A ledger that has lost its end does not have it.
    type: str
  issuers:
    description: With V(verify), the issuers as in M(fleet.tls.certificates). The ledger knows all that those have issued whose CA is in the store.
    type: dict
    default: {}
  seen:
    description: With V(verify), from hosts to what M(fleet.tls.certificates) returned there in check mode.
    type: dict
    default: {}
seealso:
  - module: fleet.tls.store_info
"""

EXAMPLES = r"""
- name: Back the store up
  fleet.tls.store:
    store: "{{ tls_store }}"
    action: backup
    backup: /var/backups/tls-store
  run_once: true
  register: backup

- name: Change its passphrase
  fleet.tls.store:
    store: "{{ tls_store }}"
    action: passphrase
    new_passphrase: "{{ vault_tls_new_passphrase }}"
  run_once: true
"""

RETURN = r"""
resealed:
  description: The entries with something sealed in them.
  returned: with O(action=passphrase)
  type: list
  elements: str
path:
  description: The backup. Empty in check mode, and with V(move).
  returned: with O(action=backup), O(action=restore) and O(action=move)
  type: str
  sample: /var/backups/tls-store/20261130T060000Z
entries:
  description: How many entries there are.
  returned: with all actions but O(action=passphrase)
  type: int
head:
  description: The end of the ledger. Keep it where those who can write to the store cannot, and give it to O(head) later.
  returned: with all actions but O(action=passphrase)
  type: str
  sample: "1234:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
findings:
  description: What is wrong. Also when the task fails for it.
  returned: with O(action=verify)
  type: list
  elements: dict
  contains:
    code:
      description:
        - V(unopened), V(key_mismatch), V(damaged), V(ledger_broken), V(ledger_cut), V(not_in_ledger) or V(revoked_served).
      type: str
    about:
      description: The entry, V(ledger), or the host.
      type: str
    message:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
opened:
  description: Whether sealed entries were opened, as there was a passphrase.
  returned: with O(action=verify)
  type: bool
certificates:
  description: How many certificates the ledger has.
  returned: with O(action=verify)
  type: int
unattributed:
  description: How many records of the ledger do not say who wrote them, such as those of releases that did not note it.
  returned: with O(action=verify)
  type: int
unseen:
  description: Hosts in O(seen) that could not be looked at.
  returned: with O(action=verify)
  type: list
  elements: str
"""
