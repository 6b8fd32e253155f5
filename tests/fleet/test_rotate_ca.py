# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA replaced under mTLS requests on nginx, Apache and HAProxy: hosts that are missing, killed runs, two runs, an old store; then a
revocation and compromised keys. The tests of this file follow each other on one fleet."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Iterator

import pytest

from fleet.mtls_world import CLIENT, SERVERS, SESSIONS, World, world

EVERYWHERE = [
    *itertools.product(SERVERS, ("www", "www-rsa", "backend", "proxy")),
    (CLIENT, "app"),
    (CLIENT, "spare"),
]
BUNDLES = [
    (CLIENT, "/srv/app/ca.pem"),
    ("web1", "/etc/nginx/fleet-tls/clients.pem"),
    *((host, f"/etc/fleet-tls/upstreams/{server}/www.anchors.pem") for host, server in SERVERS.items()),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("rotation")) as made:
        yield made


def stays(site: World, stage: str, host: str) -> str:
    """A run while ``host`` cannot be reached ends at ``stage``, names it, and says so."""
    with site.unreachable(host):
        result = site.run("rotate_ca")
    assert result.rc != 0 and site.record()["stage"] == stage, result.stdout
    assert f"stays at '{stage}', held back by {host} (unreachable: " in result.stdout, result.stdout
    return result.stdout


def test_a_ca_is_replaced_and_no_request_fails(site: World) -> None:
    shutil.copytree(site.store, site.folder / "yesterday")
    site.start_storm()

    told = site.run("rotate_ca", "--check").check()
    assert site.record() == {} and "stage none, next prepare" in told.stdout
    # A server is missing in the stage that nobody may leave alone; the next is entered by a run that is killed at that moment. More kills and more
    # hosts that are away: tests/local/test_rotations_killed.py, test_rotations_bad_luck.py.
    stays(site, "prepare", "web3")
    site.killed_at("activate")
    assert all("internal CA Issuing" in site.issuer_of(*each) for each in EVERYWHERE)
    told = site.run("rotate_ca", "--check").check()
    assert "'retire' is next, held back by" in told.stdout + told.stderr and site.record()["stage"] == "activate"

    with site.started("rotate_ca") as first:
        me = site.record()["runner"]
        while site.record()["runner"] == me:
            assert first.poll() is None
            time.sleep(0.02)
        second = site.run("rotate_ca")
        assert (
            second.rc != 0
            and f"another run drives the rotation of the CA 'internal': process {first.pid}" in second.stdout
        )
        assert first.wait(1200) == 0, (site.folder / "started.log").read_text()[-3000:]

    count, failed = site.end_storm()
    print(f"{count} requests, {len(failed)} failed")
    assert site.record()["stage"] == "done"
    assert failed == [] and count > 200
    assert all("internal CA 2 Issuing" in site.issuer_of(*each) for each in EVERYWHERE)
    old_root = (site.store / "ca/internal/root-1.pem").read_text().split("\n")[1]
    for host, path in BUNDLES:
        assert old_root not in site.fleet.exec(host, ["cat", path]).stdout
    for host, sigalgs in itertools.product(SERVERS, ("ECDSA+SHA256", "RSA-PSS+SHA256:RSA+SHA256")):
        assert "internal CA 2 Issuing" in site.shown_issuer(host, sigalgs), (host, sigalgs)
    assert site.run("deploy").check().changed == 0


def test_a_store_of_yesterday_is_refused(site: World) -> None:
    newest = site.folder / "newest"
    site.store.rename(newest)
    (site.folder / "yesterday").rename(site.store)
    before = {each: site.issuer_of(*each) for each in EVERYWHERE}
    result = site.run("rotate_ca")
    assert result.rc != 0 and "that issuer has another CA in the store" in result.stdout
    assert {each: site.issuer_of(*each) for each in EVERYWHERE} == before
    assert site.record().get("stage") == "prepare"
    shutil.rmtree(site.store)
    newest.rename(site.store)
    assert site.run("deploy").check().changed == 0


def test_a_revoked_client_is_refused_with_a_new_and_an_old_session(site: World) -> None:
    arguments = ("/etc/fleet-tls/live/{0}", "/root/go", "/root/{0}.json", *site.addresses)
    for name in ("spare", "app"):
        site.background(CLIENT, f"sessions-{name}", SESSIONS, *(each.format(name) for each in arguments))
        site.wait_for(CLIENT, f"/root/{name}.json.ready")
    site.start_storm()
    result = site.run(
        "revoke", tls_revoke_hosts=[CLIENT], tls_revoke_names=["spare"], tls_revoke_reason="key_compromise"
    )
    result.check()
    count, failed = site.end_storm()
    assert failed == [] and count > 20
    site.fleet.exec(CLIENT, ["touch", "/root/go"])
    revoked, good = (json.loads(site.wait_for(CLIENT, f"/root/{name}.json")) for name in ("spare", "app"))
    assert len(revoked) == len(good) == 6
    for each in revoked:
        # It had a session, and that it could be resumed shows that the end of it is worth something.
        assert each["before"][0] and each["again"][0], each
        assert not each["resumed"][0] and not each["fresh"][0], each
    assert any(each["again"][1] is True for each in revoked), revoked
    for each in good:
        assert each["resumed"][0] and each["fresh"][0], each
    again = site.run("revoke", tls_revoke_hosts=[CLIENT], tls_revoke_names=["spare"]).check()
    assert again.changed == 0


def test_compromised_keys_are_replaced_everywhere(site: World) -> None:
    before = {each: site.issuer_of(*each) for each in EVERYWHERE}
    keys = {each: public_key(site, *each) for each in EVERYWHERE}
    site.start_storm()
    result = site.run("replace_compromised", tls_compromised_hosts=["web1"]).check()
    count, failed = site.end_storm()
    assert failed == [] and count > 20
    after = {each: public_key(site, *each) for each in EVERYWHERE}
    assert {each for each in EVERYWHERE if after[each] != keys[each]} == {
        each for each in EVERYWHERE if each[0] == "web1"
    }
    assert "replaced_by" in result.stdout and {each: site.issuer_of(*each) for each in EVERYWHERE} == before
    assert site.run("deploy").check().changed == 0


def public_key(site: World, host: str, name: str) -> str:
    """Of a live certificate."""
    return site.fleet.exec(
        host, ["openssl", "x509", "-noout", "-pubkey", "-in", f"/etc/fleet-tls/live/{name}/cert.pem"]
    ).stdout


def test_a_compromised_ca_is_replaced_without_a_host_that_is_missing(site: World) -> None:
    old = site.issuer_of("web1", "www")
    with site.unreachable(CLIENT):
        result = site.run("replace_compromised", tls_compromised_issuer="internal", tls_leave_behind=[CLIENT]).check()
    assert site.record()["stage"] == "done" and site.record()["left_behind"] == {CLIENT: "prepare"}, result.stdout
    assert "replaced_by" in result.stdout
    new = {site.issuer_of(host, "www") for host in SERVERS}
    assert len(new) == 1 and old not in new and site.issuer_of(CLIENT, "app") == old
    site.run("deploy").check()
    assert {site.issuer_of(CLIENT, "app")} == new
