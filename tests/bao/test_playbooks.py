# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook with store and issuer in OpenBao: several runs at once, nothing due, a kill, and secrets that reach nobody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bao.playbooks import P384, Fleet
from bao.proxy import HANG, PASS, proxied
from bao.server import Cluster, until
from local.family import Family
from local.hosts import entry
from tools.playbook import run_playbook

NAMES = [f"web{number}" for number in range(1, 9)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Fleet]:
    yield Fleet(tmp_path_factory.mktemp("slices"), cluster, NAMES)


def test_four_runs_at_once(fleet: Fleet) -> None:
    """Job slices, and slices that overlap: every certificate is issued once, by one CA, and both runs tell the same of it."""
    slices = [NAMES[0:4], NAMES[2:6], NAMES[4:8], [*NAMES[6:8], *NAMES[0:2]]]
    inventory = fleet.inventory()
    play = fleet.hosts.playbook()
    with ThreadPoolExecutor(4) as pool:
        limits = [["--limit", ",".join(names)] for names in slices]
        runs = list(pool.map(lambda limit: run_playbook(play, inventory, args=limit), limits))
    assert [run.rc for run in runs] == [0] * 4, "\n".join(run.stdout for run in runs)
    rows = fleet.rows()
    assert Counter((row.host, row.certificate) for row in rows) == {
        (name, what): 1 for name in NAMES for what in ("www", "api")
    }
    assert len({row.serial for row in rows}) == len({row.key_id for row in rows}) == 16
    # One root and one issuing CA, whoever made them; in OpenBao eight certificates and its root.
    entries = fleet.cluster.root.secrets.kv.v2.list_secrets(
        f"{fleet.store['path']}/entries/ca/internal", mount_point="secret"
    )
    keys = [name for name in entries["data"]["keys"] if name.endswith((".key", ".json", ".pem"))]
    assert sorted(keys) == ["ca.json", "issued.json", "issuing-1.key", "issuing-1.pem", "root-1.key", "root-1.pem"]
    assert len({row.chain.partition("-----END")[2] for row in rows if row.issuer == "internal"}) == 1
    assert len(fleet.mount.serials()) == 9
    live = {site.on_disk() for site in fleet.sites()}
    assert live == {row.fingerprint for row in rows}
    for run, names in zip(runs, slices):
        for name in names:
            for result in run.results(host=name):
                assert {each["fingerprint_sha256"] for each in result["certificates"]} <= live


def test_nothing_due_asks_no_ca(fleet: Fleet) -> None:
    fleet.play().check()
    with proxied(fleet.cluster) as proxy:
        # Another address is another source of anchors, asked for once.
        fleet.play(tls_issuers=fleet.issuers(url=proxy.url)).check()
        proxy.seen.clear()
        again = fleet.play(None, "--diff", tls_issuers=fleet.issuers(url=proxy.url)).check()
        check = fleet.play(None, "--check", tls_issuers=fleet.issuers(url=proxy.url)).check()
        assert again.changed == check.changed == 0 and proxy.seen == []


def test_nothing_due_needs_no_passphrase_and_no_right_to_write(fleet: Fleet) -> None:
    fleet.play().check()
    reader = fleet.cluster.root.sys.create_or_update_policy(
        "reader", 'path "secret/data/fleet-tls/*" { capabilities = ["read"] }'
    )
    assert reader is not None
    auth = {"method": "token", "token": fleet.cluster.token("reader")}
    store = {**fleet.store, "auth": auth, "passphrase": None}
    assert fleet.play(tls_store=store).check().changed == 0
    due = fleet.play({"web1": {"tls_certificates": fleet.certificates("web1", **P384)}}, tls_store=store)
    assert due.rc == 2 and "permission denied for secret/data/fleet-tls/" in due.stdout
    assert entry(due, "web1")["changed"] is False


def test_a_run_that_is_killed_while_it_has_the_lock(fleet: Fleet) -> None:
    fleet.play().check()
    before = {site.label: site.on_disk() for site in fleet.hosts.sites["web1"]}
    signed = len(fleet.mount.serials())
    with proxied(fleet.cluster) as proxy:
        proxy.rule = lambda method, path: HANG if "/sign/" in path else PASS
        wish = {"web1": {"tls_certificates": fleet.certificates("web1", **P384)}}
        inventory = fleet.inventory(wish, tls_issuers=fleet.issuers(url=proxy.url, timeout="1m"))
        family = Family(fleet.hosts.playbook(), inventory)
        until(lambda: proxy.count("/sign/"), "nothing is asked for")
        family.kill()
    assert {site.label: site.on_disk() for site in fleet.hosts.sites["web1"]} == before
    # The lock of the killed run ends by itself; what had been issued is used, what had not is issued once.
    after = fleet.play(wish).check()
    assert entry(after, "web1")["fingerprint_sha256"] != before["www"]
    assert len(fleet.mount.serials()) == signed + 1
    rows = [row for row in fleet.rows() if row.host == "web1"]
    assert len({row.request_id for row in rows}) == len(rows) == 4
    assert fleet.play(wish).check().changed == 0


def test_secrets(fleet: Fleet, tmp_path: Path) -> None:
    root, path = fleet.cluster.root, "approle-secrets"
    root.sys.enable_auth_method("approle", path=path)
    root.auth.approle.create_or_update_approle("fleet", token_policies=[fleet.mount.policy()], mount_point=path)
    role_id = root.auth.approle.read_role_id("fleet", mount_point=path)["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("fleet", mount_point=path)["data"]["secret_id"]
    auth = {"method": "approle", "mount": path, "role_id": role_id, "secret_id": secret_id}
    wish = {name: {"tls_certificates": fleet.certificates(name, **P384)} for name in ("web2", "web3")}
    poor = fleet.cluster.token("default")
    good = fleet.play(wish, "-vvvvv", "--diff", tls_issuers=fleet.issuers(auth=auth)).check()
    refused = fleet.play(
        {"web4": {"tls_certificates": fleet.certificates("web4", **P384)}},
        "-vvvvv",
        tls_issuers=fleet.issuers(auth={**auth, "secret_id": f"{secret_id}-wrong"}),
    )
    denied = fleet.play(
        {"web4": {"tls_certificates": fleet.certificates("web4", **P384)}},
        "-vvvvv",
        tls_issuers=fleet.issuers(auth={"token": poor}),
    )
    assert refused.rc == denied.rc == 2 and "was refused" in refused.stdout and "permission denied for" in denied.stdout
    secrets = [secret_id, poor, str(fleet.store["auth"]["token"]), str(fleet.store["passphrase"])]
    for run in (good, refused, denied):
        text = run.stdout + run.stderr + repr(run.task_results)
        assert len(text) > 5000
        assert [secret for secret in secrets if secret in text] == []
        assert re.findall(r"\b(?:s|b|hvs|hvb)\.[A-Za-z0-9_-]{20,}", text) == []
