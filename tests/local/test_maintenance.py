# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A freeze and maintenance windows, on playbooks: what is due waits and is shown, what has begun is finished."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from local.hosts import Hosts
from local.test_rotations_killed import assert_whole, deployed, inventory, killed_when, record
from tools.playbook import PlaybookResult, run_playbook

# A CA dates an hour back, so it is due as soon as it is issued, and half of what is left is twelve hours.
WISH: dict[str, Any] = {"duration": "24h", "renew_before": "99%"}
AGES = {"tls_check_interval": "1h"}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with deployed(tmp_path_factory.mktemp("maintenance"), {"web1": ["www"]}) as made:
        run(made, "deploy", tls_force=True).check()
        yield made


def run(hosts: Hosts, playbook: str, **common: Any) -> PlaybookResult:
    (site,) = hosts
    changes = {"web1": {"tls_certificates": [site.certificate(**WISH)]}}
    return run_playbook(f"fleet.tls.{playbook}", inventory(hosts, changes, **AGES, **common), timeout=300)


def hourly(hours_from_now: int) -> dict[str, str]:
    """A window of an hour, once a day."""
    opens = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=hours_from_now)
    return {"cron": f"0 {opens.hour} * * *", "duration": "1h"}


def test_what_is_due_waits_for_its_window_and_check_shows_it(hosts: Hosts) -> None:
    (site,) = hosts
    first = site.on_disk()
    closed = {"tls_renewal_windows": [hourly(3)]}
    held = run(hosts, "deploy", **closed).check()
    (entry,) = held.results(action="fleet.tls.certificates")[0]["certificates"]
    assert entry["due"] and entry["deferred"].endswith("no maintenance window is open") and entry["deferred_until"]
    assert held.changed == 0 and site.on_disk() == first
    seen = run(hosts, "check", **closed).check()
    assert f"deferred: is due, and waits until {entry['deferred_until']}" in str(seen.results(task="Table"))
    # Half of what is left comes before the end of the freeze.
    frozen = run(hosts, "deploy", tls_freeze=[{"until": "2100-01-01", "reason": "holidays"}]).check()
    (entry,) = frozen.results(action="fleet.tls.certificates")[0]["certificates"]
    assert "a freeze (holidays), and it waits no longer than half" in entry["deferred"] and site.on_disk() == first
    run(hosts, "deploy", tls_renewal_windows=[hourly(0), hourly(1)]).check()
    assert site.on_disk() != first and site.served(hosts.root) == site.on_disk()


def test_rotations_begin_and_go_on_when_they_may(hosts: Hosts) -> None:
    (site,) = hosts
    first = site.on_disk()
    for playbook in ("rotate_ca", "rotate_keys"):
        held = run(hosts, playbook, tls_freeze=True).check()
        assert "waits until" in str(held.results(action="fleet.tls.rotation"))
        assert (held.changed, site.on_disk()) == (0, first)
    assert not record(hosts, "ca-internal") and not record(hosts, "keys")
    # Killed at a stage, it is finished in the freeze, and the next stage waits.
    path = inventory(hosts, {"web1": {"tls_certificates": [site.certificate(**WISH)]}})
    assert killed_when("fleet.tls.rotate_ca", path, lambda: record(hosts, "ca-internal").get("stage") == "activate")
    held = run(hosts, "rotate_ca", tls_freeze=True).check()
    assert record(hosts, "ca-internal")["stage"] == "activate" and record(hosts, "ca-internal")["proven"]
    assert "waits until" in str(held.results(task="Say what waits for a maintenance window"))
    assert site.on_disk() != first
    run(hosts, "rotate_ca").check()
    assert record(hosts, "ca-internal")["stage"] == "done"
    assert_whole(hosts)


def test_a_compromised_ca_is_replaced_in_a_freeze(hosts: Hosts) -> None:
    run(hosts, "replace_compromised", tls_freeze=True, tls_compromised_issuer="internal").check()
    assert record(hosts, "ca-internal")["stage"] == "done"
    assert_whole(hosts)
