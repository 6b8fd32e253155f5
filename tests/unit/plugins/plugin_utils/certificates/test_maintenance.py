# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits for a maintenance window, and what never does."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import Maintenance, parse_maintenance
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Verdict, judge
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import Rekey
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.verdicts import with_successor
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key, make_leaf, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_spec

# Of 90 days; due about 30 days before the end.
WWW: dict[str, Any] = {"name": "www", "dns_names": ["www.example.com"], "renew_before": "30d"}
FROZEN = parse_maintenance([], True)


class World:
    """A host that has its certificate (a first issue waits for nothing), due at ``due``, not to wait past ``last``."""

    def __init__(self, path: Path) -> None:
        self.path, self.host = path, HonestHost()
        self.issuers: dict[str, Issuer] = {"internal": make_issuer(path)}
        entry = self.entry(now=NOW)
        assert (entry["action"], entry["deferred_until"]) == ("issue", None)
        self.due = dt.datetime.fromisoformat(entry["renew_after"])
        self.last = self.due + (dt.datetime.fromisoformat(entry["not_after"]) - self.due) / 2

    def entry(self, **options: Any) -> dict[str, Any]:
        wish = {**WWW, **options.pop("wish", {})}
        done: HostRun = run_task(self.host, self.issuers, wish, **{"maintenance": FROZEN, **options})
        assert failure(done) is None
        result = task_result(done, True)
        (entry,) = result["certificates"]
        if entry["deferred_until"]:
            (warning,) = result["warnings"]
            assert warning.endswith(f"is due, and {entry['deferred']}")
        return entry

    def run(self, **options: Any) -> tuple[str, str | None]:
        entry = self.entry(**{"now": self.due + DAY, **options})
        return entry["action"], entry["deferred_until"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_renewal_waits_and_says_until_when(check_mode: bool, world: World) -> None:
    entry = world.entry(check_mode=check_mode, now=world.due + DAY)
    assert entry["deferred"].startswith(f"waits until {text(world.last)}: a freeze")
    assert (entry["action"], entry["changed"], entry["due"]) == ("none", False, True)
    assert world.host.live["www"].generation == 1


def test_it_is_renewed_in_the_window(world: World) -> None:
    opens = (world.due + 4 * DAY).replace(hour=2, minute=0, second=0)
    window = parse_maintenance({"cron": f"0 2 {opens.day} {opens.month} *", "duration": "1h"}, False)
    assert world.run(maintenance=window) == ("none", text(opens))
    assert world.run(maintenance=window, now=opens) == ("issue", None)


def test_it_waits_no_longer_than_half_of_what_is_left(world: World) -> None:
    assert world.run(now=world.last - dt.timedelta(seconds=1)) == ("none", text(world.last))
    assert world.run(now=world.last) == ("issue", None)


def test_what_is_wrong_does_not_wait(world: World) -> None:
    world.host.problems["www"] = [{"code": "key_mismatch", "detail": "x"}]
    assert world.run() == ("issue", None)
    world.host.problems.clear()
    world.issuers["other"] = make_issuer(world.path, "other")
    # From another issuer, and so not trusted; for other names.
    assert world.run(wish={"issuer": "other"}) == ("issue", None)
    assert world.run(wish={"issuer": "other", "dns_names": ["new.example.com"]}) == ("issue", None)


def test_repairs_do_not_wait(world: World) -> None:
    world.host.drift["www"] = ["mode 0644"]
    assert world.run() == ("repair", text(world.last))
    assert world.host.live["www"].generation == 1


def test_force_and_new_keys_do_not_wait(world: World) -> None:
    # As fleet.tls.replace_compromised and a rotation that has begun ask for them.
    assert world.run(rekey=Rekey(before=int((NOW + DAY).timestamp()))) == ("issue", None)
    assert world.run(force=("www",)) == ("issue", None)


def test_what_is_revoked_does_not_wait(world: World) -> None:
    (row,) = world.issuers["internal"].store.issuances()
    revoke(world.issuers, world.issuers["internal"].store, [row.fingerprint], "superseded", world.due)
    assert world.run() == ("issue", None)


DUE = NOW + 60 * DAY
SPEC = make_spec(dns_names=["www.example.com"], renew_before="30d")
ROOT = make_root("Root", "ecdsa-p256", NOW, 1000 * DAY)
LEAF = make_leaf(generate_key("ecdsa-p256").public_key(), SPEC.names, SPEC.usages, ROOT, NOW, 90 * DAY)


def verdict(advice: dt.datetime | None) -> Verdict:
    found = PairReport(generation=3, manifest={"issuer": "internal", "settled": 1}, chain=(LEAF,))
    return judge(SPEC, found, now=DUE + DAY, anchors=[ROOT.certificate], advice=advice)


def test_a_ca_that_hurries_is_not_kept_waiting() -> None:
    assert verdict(None).due_since
    assert verdict(DUE - DAY).due_since == DUE - DAY
    early = verdict(NOW + 10 * DAY)
    assert early.due and early.due_since is None


def test_a_newer_one_of_others_waits_from_its_first_day_on() -> None:
    newer = make_leaf(generate_key("ecdsa-p256").public_key(), SPEC.names, SPEC.usages, ROOT, NOW + 20 * DAY, 90 * DAY)
    found = with_successor(Verdict(), SPEC, "theirs", LEAF, newer)
    assert [reason.code for reason in found.reasons] == ["source_changed"]
    assert found.due_since == newer.not_valid_before_utc
    assert Maintenance().wait(DUE, found.due_since, LEAF.not_valid_after_utc) is None
