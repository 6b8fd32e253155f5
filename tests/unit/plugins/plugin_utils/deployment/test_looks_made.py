# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is noted of a host comes from what its tasks returned."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair, LastLook
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.looks_made import (
    asks_for_lists,
    finished,
    known_pairs,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import Question

ENTRY: dict[str, Any] = {
    "name": "www",
    "installed": True,
    "fingerprint_sha256": "aa",
    "not_before": "1970-01-01T00:00:10Z",
    "renew_after": "1970-01-01T00:01:00Z",
    "deferred_until": None,
    "pool": None,
}
LOOK = LastLook(5, "w", {"internal": "t"}, None, {"www": KnownPair("aa", 10, 60)})


def test_certificates_are_due_at_their_renewal_or_when_their_window_opens() -> None:
    assert known_pairs({"certificates": [ENTRY]}) == {"www": KnownPair("aa", 10, 60)}
    waits = {**ENTRY, "deferred_until": "1970-01-01T00:02:00Z", "pool": "p"}
    assert known_pairs({"certificates": [waits]}) == {"www": KnownPair("aa", 10, 120, "p", waits=True)}
    assert known_pairs({"certificates": [ENTRY, {**ENTRY, "name": "b", "installed": False}]}) is None
    assert known_pairs({}) is None and known_pairs({"certificates": []}) == {}


def test_a_host_where_all_is_done() -> None:
    assert finished(LOOK, {}, {}) == LOOK
    newer = {"certificates": [{**ENTRY, "fingerprint_sha256": "bb"}]}
    given = {"trust": {"internal": "u"}, "lists": {"internal": "l"}}
    assert finished(LOOK, newer, given) == LastLook(5, "w", {"internal": "u"}, None, {"www": KnownPair("bb", 10, 60)})
    listed = LastLook(5, "w", {}, {}, {})
    assert finished(listed, newer, given) == LastLook(
        5, "w", {"internal": "u"}, {"internal": "l"}, {"www": KnownPair("bb", 10, 60)}
    )
    # It is to have no certificate.
    assert finished(listed, {}, given) == LastLook(5, "w", {"internal": "u"}, {"internal": "l"}, {})
    assert finished(LOOK, {"certificates": [{**ENTRY, "installed": False}]}, given) is None


def test_who_is_given_revocation_lists() -> None:
    crl = "-----BEGIN X509 CRL-----\nMII=\n-----END X509 CRL-----\n"
    given = Question("configure", {"files": [{"path": "/a", "content": crl}]})
    nothing = Question("configure", {"files": [{"path": "/a", "state": "absent"}]})
    assert asks_for_lists(None, False) and asks_for_lists(given, False)
    assert not asks_for_lists(nothing, False) and not asks_for_lists(nothing, True)
    # A CA that has not signed its first list: the server that verifies its clients gets one in this run.
    bundle = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
    verifies = Question("configure", {"files": [{"path": "/a", "content": bundle}, {"path": "/b", "state": "absent"}]})
    assert asks_for_lists(verifies, True) and not asks_for_lists(verifies, False)
