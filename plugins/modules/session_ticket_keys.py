#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_ticket_keys
short_description: A pool's session ticket keys on a host, taken by its servers and proven
version_added: 0.1.0
description:
  - Brings the ring of a pool from the store to the host, lets nginx (reload) and HAProxy (runtime socket, without a reload) take it,
    and shakes hands until their session tickets show the name of the ring's current key.
  - A ring is three keys, C([prev, cur, next]). The servers of a pool encrypt tickets with C(cur) and decrypt with all three, so that a
    client resumes its session on whichever host it meets. The first host of a pool creates the ring; M(fleet.tls.session_ticket_rotation)
    moves it by one step.
  - If a server refuses the keys, or does not start using them, the task restores everything and fails.
  - The keys are files below C(tickets/POOL) of O(directory), C(cur.key), C(next.key) and C(prev.key) for nginx and C(haproxy.keys) for
    HAProxy. The server's own configuration must name them.
notes:
  - A host that has a newer ring than the store, or other keys for the same one, is refused. The store is then a copy of an earlier day.
  - Nothing due costs one round trip, needs no passphrase, and leaves HAProxy's socket alone.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store.only_store
  - fleet.tls.host
  - fleet.tls.host.presets
  - fleet.tls.host.proven
options:
  pool:
    description: Name of the pool. Hosts whose servers answer to one name, with one certificate, are a pool.
    type: str
    required: true
  servers:
    description:
      - The servers that read the ring, each V(nginx), V(haproxy) or a mapping.
      - A mapping has C(server), V(nginx) or V(haproxy); C(service), how it is checked and reloaded, as in M(fleet.tls.certificates);
        C(endpoints), where it speaks TLS (default V(127.0.0.1:443)); and, for HAProxy, C(socket), its runtime socket
        (default V(/run/haproxy/admin.sock)) with C(level admin), or an empty text to reload instead.
      - Apache is refused. It does not use all of its key file with OpenSSL 3.
    type: list
    elements: raw
    required: true
  location:
    description:
      - V(memory) keeps the keys below C(/run), so that no disk remembers them. A unit of systemd makes a throw-away ring at boot, with
        which servers start, until the next run of this task.
      - V(disk) keeps them below O(directory).
    type: str
    choices: [memory, disk]
    default: memory
  owner:
    description: Owner of the key files. Without it, the user the task runs as.
    type: str
  group:
    description: Group of the key files. Their mode is V(0600) in any case.
    type: str
  session_timeout:
    description: How long the servers let a session live. A rotation may come no sooner after the last one.
    type: str
    default: 24h
  defer_proof:
    description: For the time before a server's configuration names the keys. A missing proof is then no failure; RV(proven) reports it.
    type: bool
    default: false
  keeps_configuration:
    description:
      - With O(defer_proof), that the servers' configuration of today stays and is only added to. What it does not let the proof succeed with
        is refused at once then, before anything is changed.
    type: bool
    default: false
  prove_timeout:
    description: How long the servers have to start using the current key.
"""

EXAMPLES = r"""
- name: Session ticket keys of the web servers
  fleet.tls.session_ticket_keys:
    store: "{{ tls_store }}"
    pool: web
    servers: [nginx]

- name: HAProxy with a socket and an address of its own
  fleet.tls.session_ticket_keys:
    store: "{{ tls_store }}"
    pool: edge
    session_timeout: 12h
    servers:
      - server: haproxy
        socket: /run/haproxy/edge.sock
        endpoints: [192.0.2.1:443]
"""

RETURN = r"""
pool:
  description: The pool.
  returned: always
  type: str
generation:
  description: Which ring the store has, counted in steps from 1. Null where there was none yet, in check mode.
  returned: always
  type: int
lifetime:
  description: O(session_timeout), in seconds.
  returned: always
  type: int
found:
  description:
    - What the host had before, C(generation), whether that is C(current) in its files and on the wire, and whether its keys are the C(same)
      as the store's where the generation is.
  returned: always
  type: dict
  sample: {generation: 7, current: true, same: true}
proven:
  description: Whether every endpoint has shown the current key's name.
  returned: success
  type: bool
servers:
  description: How each server took the ring, V(reloaded), V(set) at HAProxy's socket, V(unchanged), V(not_running) or V(unused).
  returned: when the host's ring was changed
  type: dict
  sample: {nginx: reloaded}
wire:
  description: What each endpoint's tickets showed. The name of a key is public.
  returned: always
  type: list
  elements: str
"""
