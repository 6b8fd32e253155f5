# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import Rekey, parse_rekey
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id, seconds
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer

KEPT = {"rotation_policy": "never"}


def wish(name: str = "www", **key: str) -> dict[str, object]:
    return {"name": name, "dns_names": [f"{name}.example.com"], "private_key": key}


def key_of(host: HonestHost, name: str = "www") -> str:
    return key_id(host.live[name].key.public_key())


@pytest.mark.parametrize("key", [{}, KEPT, {"location": "controller"}, {**KEPT, "location": "controller"}])
def test_a_rotation_replaces_a_key_once_whatever_its_policy(key: dict[str, str], tmp_path: Path) -> None:
    host, issuers = HonestHost(), {"internal": make_issuer(tmp_path)}
    run_task(host, issuers, wish(**key))
    first, rekey = key_of(host), Rekey(before=seconds(NOW + DAY))
    rotated = run_task(host, issuers, wish(**key), now=NOW + DAY, rekey=rekey).progress["www"]
    assert [reason.code for reason in rotated.verdict.reasons] == ["key_rotation"] and rotated.error is None
    second = key_of(host)
    assert second != first and len(host.live) == 1
    # The rerun of a rotation that was interrupted elsewhere.
    assert not run_task(host, issuers, wish(**key), now=NOW + DAY, rekey=rekey).progress["www"].verdict.due
    assert key_of(host) == second
    # Without a rotation the policy counts again.
    assert not run_task(host, issuers, wish(**key), now=NOW + DAY).progress["www"].verdict.due


def test_a_key_that_was_renewed_with_its_certificate_is_as_old_as_it_is(tmp_path: Path) -> None:
    host, issuers = HonestHost(), {"internal": make_issuer(tmp_path)}
    run_task(host, issuers, wish(**KEPT))
    later = NOW + 70 * DAY
    run_task(host, issuers, wish(**KEPT), now=later)
    assert host.live["www"].generation == 2
    due = run_task(host, issuers, wish(**KEPT), now=later, rekey=Rekey(before=seconds(NOW + DAY))).progress["www"]
    assert [reason.code for reason in due.verdict.reasons] == ["key_rotation"]
    assert "its key is in use since 2026-11-23T10:00:00Z" in due.verdict.reasons[0].detail


def test_only_the_chosen_certificates(tmp_path: Path) -> None:
    host, issuers = HonestHost(), {"internal": make_issuer(tmp_path)}
    run_task(host, issuers, wish(), wish("mail"))
    before = key_of(host), key_of(host, "mail")
    rekey = Rekey(before=seconds(NOW + DAY), names=frozenset({"mail"}))
    run_task(host, issuers, wish(), wish("mail"), now=NOW + DAY, rekey=rekey)
    assert key_of(host) == before[0] and key_of(host, "mail") != before[1]


def test_only_the_leaked_keys(tmp_path: Path) -> None:
    host, issuers = HonestHost(), {"internal": make_issuer(tmp_path)}
    run_task(host, issuers, wish(), wish("mail", **KEPT))
    before = key_of(host), key_of(host, "mail")
    rekey = Rekey(key_ids=frozenset({before[1]}))
    run_task(host, issuers, wish(), wish("mail", **KEPT), rekey=rekey)
    assert key_of(host) == before[0] and key_of(host, "mail") != before[1]


def test_a_key_that_the_ledger_does_not_know_is_old(tmp_path: Path) -> None:
    host, issuers = HonestHost(), {"internal": make_issuer(tmp_path)}
    run_task(host, issuers, wish())
    for path in tmp_path.glob("ledger.sqlite3*"):
        path.unlink()
    run = run_task(host, issuers, wish(), rekey=Rekey(before=1)).progress["www"]
    assert "in use since an unknown time" in run.verdict.reasons[0].detail


def test_parsing() -> None:
    assert parse_rekey({}) == parse_rekey(None) == Rekey()
    assert not Rekey().concerns("www")
    assert parse_rekey({"before": "5", "names": ["a"], "key_ids": ["x"]}) == Rekey(5, frozenset("a"), frozenset("x"))
    for bad in ({"before": "soon"}, {"befor": 1}, [1]):
        with pytest.raises(SpecError, match="rekey"):
            parse_rekey(bad)
