# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Event source of ansible-rulebook: shakes hands with endpoints and tells when the state of one changes."""

from __future__ import annotations

DOCUMENTATION = r"""
---
short_description: Watch what endpoints serve, and tell when a certificate expires, is about to, or is not trusted
description:
  - Shakes hands with every endpoint, as M(fleet.tls.endpoint_info) does, and emits an event when the state of one changes. At the start, one for
    every endpoint that is not well.
  - An endpoint that fails is a state, C(endpoint_down), and never ends the source.
  - Needs the Python package C(cryptography) beside ansible-rulebook.
options:
  endpoints:
    description:
      - Where to look, as in M(fleet.tls.endpoint_info). C(host:port), C([IPv6]:port), C(smtp://host:25), or a mapping with C(host), C(port),
        C(server_name), C(starttls), C(timeout), C(client_certificate) and C(client_key).
      - A mapping may have C(hosts), names of hosts or groups of the inventory. The playbook that a rule runs is limited to these.
    type: list
    elements: raw
    required: true
  interval:
    description: How long to wait between two looks, such as C(10m) or C(1h).
    type: str
    default: 1h
  threshold:
    description:
      - What counts as expiring. A time before the end (C(14d)), or a part of the lifetime (C(20%)).
      - Less than C(renew_before) of the certificates, or fleet.tls.deploy finds nothing that is due.
    type: str
    default: 14d
  timeout:
    description: How long one handshake may take, with everything that belongs to it.
    type: str
    default: 5s
  anchors:
    description: CA certificates that chains have to lead to. PEM text, the absolute path of a file, or a list of either. Without them, trust
      is not judged. Files are read anew at every look.
    type: raw
  state_file:
    description: Absolute path of a file that remembers the states, so that a restart does not tell again what was told. Made with mode 0600.
    type: str
  remind_after:
    description: Tell again of an endpoint that is still not well after this time, such as C(12h). By default only changes are told.
    type: str
"""

EXAMPLES = r"""
- name: Watch certificates
  hosts: all
  sources:
    - fleet.tls.expiry:
        endpoints:
          - www.example.com:443
          - {host: 192.0.2.7, port: 8443, server_name: api.example.com, hosts: [api1]}
        interval: 10m
        threshold: 20%
        anchors: /etc/ssl/certs/ca-certificates.crt
        state_file: /var/lib/eda/fleet-tls.json
  rules:
    - name: Somebody has to look
      condition: event.severity == "critical"
      action:
        debug:
          msg: "{{ event.endpoint }} is {{ event.state }}: {{ event.problems }}"

# An event:
#   endpoint: 192.0.2.7:8443       server_name: api.example.com
#   state: expiring                # ok, expiring, expired, not_yet_valid, name_mismatch, untrusted, damaged, endpoint_down
#   severity: warning              # ok, warning, critical
#   before: ok                     # null where it was not known
#   since: "2026-11-24T17:00:00Z"  reminder: false
#   problems: ["the certificate ends on 2026-12-01T00:00:00Z, in 6.3 days"]
#   remedy: run fleet.tls.deploy
#   certificate: {subject: …, issuer: …, common_name: …, dns_names: […], ip_addresses: […], not_before: …, not_after: …, days_left: 6.3,
#                 serial: …, fingerprint_sha256: …, key_algorithm: …}       # null where none was shown
#   fingerprint_before: …          hosts: [api1]
#   meta: {hosts: [api1]}          # only with hosts: what ansible-rulebook limits playbooks to
"""

import asyncio
import contextlib
import datetime as dt
import importlib
import json
import logging
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# ansible-rulebook runs this file by its path and knows no collections; it is …/ansible_collections/fleet/tls/extensions/eda/plugins/….
COLLECTIONS = Path(__file__).absolute().parents[6:7]
if COLLECTIONS and COLLECTIONS[0].name == "ansible_collections":
    sys.path.insert(0, str(COLLECTIONS[0].parent))
    # Where the package "ansible" is installed this is a regular package, which knows its own folder only.
    known = importlib.import_module("ansible_collections").__path__
    if str(COLLECTIONS[0]) not in known:
        known.append(str(COLLECTIONS[0]))

from ansible_collections.fleet.tls.plugins.module_utils.scan.jobs import Job, JobResult
from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import seen_as_answer
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import handshake
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.wanted import parse_anchors, read_result
from ansible_collections.fleet.tls.plugins.plugin_utils.health import watch
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import require_cryptography
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import read_file

LOG = logging.getLogger("fleet.tls.expiry")
MOST_THREADS = 32


async def main(queue: asyncio.Queue[Any], args: dict[str, Any]) -> None:
    """Look, tell, wait, for ever.

    :param queue: gets the events.
    :param args: the options, and those of ansible-rulebook's own, which begin with ``eda_``.
    :raises TlsError: an option cannot be used, ``cryptography`` is missing; before the first look.
    """
    require_cryptography()
    options = watch.parse_options({name: value for name, value in args.items() if not name.startswith("eda_")})
    anchors = read_anchors(options)
    known = read_state(options)
    try:
        write_state(options, known)
    except OSError as error:
        raise SpecError(
            f"state_file: {options.state_file} cannot be written: {error.strerror}",
            remedy="name a file in a directory that ansible-rulebook may write",
        ) from None
    with contextlib.ExitStack() as stack:
        pool = ThreadPoolExecutor(max_workers=min(MOST_THREADS, len(options.watched)))
        # Not "with pool": whoever is cancelled does not wait for handshakes that are under way.
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            try:
                anchors = read_anchors(options)
            except TlsError as error:
                LOG.warning("%s Going on with those of before.", error)
            looks = [loop.run_in_executor(pool, look, each.endpoint, anchors, options) for each in options.watched]
            for watched, found in zip(options.watched, await asyncio.gather(*looks)):
                before = known.get(watched.key)
                seen, event = watch.observe(watched, found, before, options.remind_after, now())
                if event is not None:
                    await queue.put(event)
                if seen != before:
                    # At once: the next event may have to wait until a rule's playbook has ended.
                    known[watched.key] = seen
                    keep_state(options, known)
            await asyncio.sleep(max(0.0, begin + options.interval - loop.time()))


def look(endpoint: Any, anchors: Any, options: watch.WatchOptions) -> watch.Observation:
    """One handshake, and what it means; nothing that an endpoint does raises."""
    try:
        answer = seen_as_answer(Job(endpoint), JobResult(handshake(endpoint)))
        return watch.sight(read_result(endpoint, answer, anchors=anchors, now=now()), options.threshold, now())
    except Exception as error:
        LOG.warning("%s: %s", endpoint.address, error)
        return watch.down(str(error))


def now() -> dt.datetime:
    """The moment, UTC."""
    return dt.datetime.now(dt.timezone.utc)


def read_anchors(options: watch.WatchOptions) -> Any:
    """The anchors as they are now; None: trust is not judged.

    :raises TlsError: a file that cannot be read, or something that is no certificate.
    """
    if options.anchors is None:
        return None
    return parse_anchors(
        [
            text if "-----BEGIN " in text else read_file(text, "anchors").decode("ascii", errors="replace")
            for text in options.anchors
        ]
    )


def read_state(options: watch.WatchOptions) -> dict[str, watch.RememberedEndpoint]:
    """What was known before a restart; nothing where there is no file, or none that can be read."""
    if options.state_file is None:
        return {}
    try:
        return watch.remembered(json.loads(read_file(options.state_file, "state_file")))
    except (TlsError, ValueError) as error:
        if os.path.lexists(options.state_file):
            LOG.warning("%s cannot be read, so everything is told anew: %s", options.state_file, error)
        return {}


def keep_state(options: watch.WatchOptions, known: dict[str, watch.RememberedEndpoint]) -> None:
    """As :func:`write_state`; a disk that is full for a while does not end the watch."""
    try:
        write_state(options, known)
    except OSError as error:
        LOG.warning("%s cannot be written: %s", options.state_file, error)


def write_state(options: watch.WatchOptions, known: dict[str, watch.RememberedEndpoint]) -> None:
    """Replace the state file as a whole.

    :raises OSError: its directory is not there, or may not be written.
    """
    if options.state_file is None:
        return
    content = json.dumps(watch.to_remember(known, options.watched), indent=1)
    handle, name = tempfile.mkstemp(dir=os.path.dirname(options.state_file), prefix=".fleet-tls-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content + "\n")
        os.replace(name, options.state_file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
