# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenBao fails in the middle of a run: what works goes on being served, other hosts go on, and the error says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bao.mounts import make_mount
from bao.playbooks import P384, Fleet
from bao.proxy import HANG, PASS, Proxy, proxied
from bao.server import Cluster, until
from local.hosts import Site, message, serving
from tools.playbook import PlaybookResult
from tools.ports import free_port


@dataclass(frozen=True)
class Case:
    """What is wrong with a host's issuer in OpenBao, and what its message has to say."""

    says: tuple[str, ...]
    issuer: Callable[[Fleet, Proxy], dict[str, Any]] = field(default=lambda fleet, proxy: {})


def expired(fleet: Fleet, proxy: Proxy) -> dict[str, Any]:
    token = fleet.cluster.token(fleet.mount.policy())
    fleet.cluster.root.auth.token.revoke(token)
    return {"auth": {"token": token}}


def disabled(fleet: Fleet, proxy: Proxy) -> dict[str, Any]:
    mount = make_mount(fleet.cluster)
    options = mount.options()
    fleet.cluster.root.sys.disable_secrets_engine(mount.path)
    return options


CASES = {
    "expired": Case(("the token is not valid: it has expired, was revoked", "ive a new token"), expired),
    "norights": Case(
        ("permission denied for pki-", "dd the path to the policy"),
        lambda fleet, proxy: {"auth": {"token": fleet.cluster.token("default")}},
    ),
    "disabled": Case(("there is no secrets engine at 'pki-", "nable it (bao secrets enable)"), disabled),
    "norole": Case(
        ("did not sign it: common name", "not allowed by this role", "et the role 'narrow'"),
        lambda fleet, proxy: {"role": "narrow", "auth": {"token": fleet.cluster.root_token}},
    ),
    "slow": Case(
        ("gave no answer within 2 s", "raise timeout"), lambda fleet, proxy: {"url": proxy.url, "timeout": "2s"}
    ),
    "gone": Case(
        ("cannot be reached: Connection refused", "heck url, network and firewall"),
        lambda fleet, proxy: {"url": f"https://127.0.0.1:{free_port()}"},
    ),
    "untrusted": Case(
        ("is not trusted: ", "et ca_certificate to the CA of its listener"),
        lambda fleet, proxy: {"ca_certificate": None},
    ),
}


def api_of(fleet: Fleet, host: str) -> Site:
    return fleet.hosts.sites[host][1]


def certificate(site: Site, **changes: Any) -> dict[str, Any]:
    """The wish for a certificate of OpenBao that an nginx serves."""
    return site.certificate(issuer="bao", **changes)


def root_file(fleet: Fleet) -> Path:
    """The mount's root."""
    path = fleet.hosts.folder / "bao-root.pem"
    path.write_text(fleet.mount.root.read(f"{fleet.mount.path}/cert/ca")["data"]["certificate"])
    return path


@dataclass(frozen=True)
class Runs:
    """One run in which every host but "good" has bad luck."""

    fleet: Fleet
    result: PlaybookResult
    before: dict[str, str]
    files: dict[str, dict[str, tuple[int, str]]]
    root: Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Runs]:
    fleet = Fleet(tmp_path_factory.mktemp("bad-luck"), cluster, [*CASES, "good"])
    fleet.mount.write("roles/narrow", allowed_domains="example.net", require_cn=False, key_type="any")
    sites = {name: api_of(fleet, name) for name in (*CASES, "good")}
    fleet.play({name: {"tls_certificates": [certificate(site, services=[])]} for name, site in sites.items()}).check()
    root = root_file(fleet)
    with serving(*sites.values()), proxied(cluster) as proxy:
        fleet.play({name: {"tls_certificates": [certificate(site)]} for name, site in sites.items()}).check()
        proxy.rule = lambda method, path: HANG if "/sign/" in path else PASS
        before = {name: site.served(root) for name, site in sites.items()}
        files = {name: site.snapshot() for name, site in sites.items()}
        hosts = {
            name: {
                "tls_certificates": [certificate(site, **P384)],
                "tls_issuers": fleet.issuers(**(CASES[name].issuer(fleet, proxy) if name in CASES else {})),
            }
            for name, site in sites.items()
        }
        yield Runs(fleet, fleet.play(hosts), before, files, root)


@pytest.mark.parametrize("name", CASES)
def test_what_works_goes_on_and_the_error_says_what_to_do(runs: Runs, name: str) -> None:
    site, words = api_of(runs.fleet, name), message(runs.result, name)
    assert words.startswith(f"{name}: certificate 'api': ")
    for part in CASES[name].says:
        assert part in words, words
    assert site.served(runs.root) == site.on_disk() == runs.before[name]
    assert site.snapshot() == runs.files[name] and site.pair_fault() is None


def test_the_others_go_on(runs: Runs) -> None:
    site = api_of(runs.fleet, "good")
    assert runs.result.stats["good"]["failures"] == 0
    assert site.served(runs.root) == site.on_disk() != runs.before["good"]


def test_sealed_between_look_and_issue(tmp_path: Path, cluster: Cluster) -> None:
    """The store as well as the issuer; afterwards the next run ends what this one began, with the same pending keys."""
    fleet = Fleet(tmp_path, cluster, ["web1", "web2", "other"])
    names = ["web1", "web2"]
    sites = [api_of(fleet, name) for name in names]
    directory = {
        "tls_store": fleet.hosts.store_options(),
        "tls_certificates": [fleet.hosts["other"].certificate(services=[])],
    }
    fleet.play({name: {"tls_certificates": [certificate(api_of(fleet, name), services=[])]} for name in names}).check()
    root = root_file(fleet)
    with serving(*sites), proxied(cluster) as proxy:
        wish = {name: {"tls_certificates": [certificate(api_of(fleet, name), **P384)]} for name in names}
        before = {site.host: site.served(root) for site in sites}

        def seal_first(method: str, path: str) -> str:
            if "/sign/" in path:
                cluster.nodes[0].client(cluster.root_token).sys.seal()
            return PASS

        proxy.rule = seal_first
        try:
            failed = fleet.play({**wish, "other": directory}, tls_issuers=fleet.issuers(url=proxy.url))
        finally:
            cluster.unseal_all()
        assert failed.rc == 2 and failed.stats["other"]["failures"] == 0
        told = [message(failed, site.host) for site in sites]
        # A request that is under way while it seals ends with the server's own words.
        assert all("it is sealed. Unseal it (bao operator unseal)" in each or "internal error" in each for each in told)
        assert any("it is sealed" in each for each in told), told
        for site in sites:
            assert site.served(root) == site.on_disk() == before[site.host]
        until(cluster.leader, "it does not come back")
        pending = {site.host: (site.tls / "pending/api/request.csr").read_bytes() for site in sites}
        assert all(pending.values())
        proxy.rule = lambda method, path: PASS
        # The locks of the run that could not give them back end by themselves.
        fleet.play(wish).check()
        for site in sites:
            assert site.served(root) == site.on_disk() != before[site.host]
        assert fleet.play(wish).check().changed == 0
    assert len({row.request_id for row in fleet.rows()}) == len(fleet.rows()) == 4
