# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step configure for a proxy whose upstream verifies it, and is verified: a real nginx before another one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, CHAIN, FULLCHAIN, PRIVKEY, Layout
from ansible_collections.fleet.tls.plugins.module_utils.proof.upstream import Upstream, through
from ansible_collections.fleet.tls.plugins.module_utils.services import upstreams
from ansible_collections.fleet.tls.plugins.module_utils.steps.configure import configure_step
from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, run_openssl
from tools.ports import free_port

SITE, APP = "www.example.com", "app.example.com"


@dataclass
class World:
    """A proxy with one site; behind it an application that takes clients of ``authority`` only."""

    proxy: NginxService
    app: NginxService
    folder: Path
    authority: Authority
    stranger: Authority
    www: Pair
    ports: tuple[int, int]

    @property
    def upstreams(self) -> Path:
        return self.folder / "fleet-tls" / "upstreams" / "nginx"

    def install(self, name: str, pair: Pair, number: int = 1) -> None:
        """A pair as this collection leaves it on a host."""
        layout = Layout(str(self.folder / "fleet-tls"), name)
        folder = Path(layout.generation(number))
        folder.mkdir(parents=True)
        chain = pair.chain.read_text().replace(pair.pem, "")
        for each, content in {CERT: pair.pem, CHAIN: chain, FULLCHAIN: pair.pem + chain}.items():
            (folder / each).write_text(content)
        (folder / PRIVKEY).write_text(pair.key.read_text())
        live = Path(layout.live)
        live.parent.mkdir(exist_ok=True)
        live.unlink(missing_ok=True)
        live.symlink_to(layout.target(number))

    def serve_app(self, pair: Pair, crl: Path | None = None) -> None:
        """The application, with this certificate."""
        self.app.stop()
        revoked = f"ssl_crl {crl};" if crl else ""
        (self.app.conf / "app.conf").write_text(
            f"server {{ listen 127.0.0.1:{self.ports[1]} ssl; server_name {APP};\n"
            f"ssl_certificate {pair.chain}; ssl_certificate_key {pair.key}; ssl_client_certificate {self.ca(self.authority)};\n"
            f'ssl_verify_client on; ssl_verify_depth 4; {revoked} location / {{ return 404 "none here"; }} }}\n'
        )
        self.app.start()

    def ca(self, authority: Authority) -> Path:
        """What trusts an authority."""
        return authority.root.certificate

    def site(self, *, trusted: str = "anchors", app: int | None = None) -> str:
        """The proxy's configuration."""
        files = self.upstreams / "www"
        return (
            f"server {{ listen 127.0.0.1:{self.ports[0]} ssl; server_name {SITE};\n"
            f"ssl_certificate {self.www.chain}; ssl_certificate_key {self.www.key};\n"
            f"location / {{ proxy_pass https://127.0.0.1:{app or self.ports[1]}; proxy_ssl_verify on; proxy_ssl_verify_depth 4;\n"
            f"proxy_ssl_name {APP}; proxy_ssl_server_name on; proxy_ssl_trusted_certificate {files}.{trusted}.pem;\n"
            f"proxy_ssl_certificate {files}.client.pem; proxy_ssl_certificate_key {files}.client.pem; }} }}\n"
        )

    def run(self, changes: dict[str, Any] | None = None, **how: Any) -> tuple[bool, dict[str, Any]]:
        """The step. ``changes`` are to the upstream; ``trust``, ``crl`` and ``site`` to the files, others to the request."""
        files = str(self.upstreams / "www")
        trust = how.pop("trust", self.authority.root.pem)
        crl = how.pop("crl", None)
        wanted = [
            *how.pop("more", ()),
            {"path": str(self.proxy.conf / "site.conf"), "content": how.pop("site", None) or self.site()},
            {"path": f"{files}.anchors.pem", **({"content": trust} if trust else {"system_trust": True})},
            {"path": f"{files}.client.pem", "pair": "client", "form": "combined", "mode": "0600"},
            *([{"path": f"{files}.crls.pem", "content": crl}] if crl else []),
        ]
        place = {"host": "127.0.0.1", "port": self.ports[0], "server_name": SITE}
        upstream = {
            "site": "www", "url": f"https://127.0.0.1:{self.ports[1]}", "host": "127.0.0.1", "port": self.ports[1], "name": APP, "path": "/",
            "host_header": SITE, "anchors": f"{files}.anchors.pem", "crls": f"{files}.crls.pem" if crl else None,
            "client": [f"{files}.client.pem"], "proxy": place, **(changes or {}),
        }  # fmt: skip
        service = {
            **self.proxy.described(),
            "preset": None,
            "endpoints": [{**place, "certificate": "www", "explicit": True}],
        }
        request = {
            "directory": str(self.folder / "fleet-tls"), "files": wanted, "services": [service], "started": True, "missing": "fail",
            "prove_timeout": 4, "check": False, "upstreams": [upstream], "owned": str(self.upstreams), **how,
        }  # fmt: skip
        return configure_step(request)

    def answers(self) -> int | None:
        """What a user of the site gets."""
        blank = Upstream("www", "", "", 0, None, "/", "", None, None, None, ("127.0.0.1", self.ports[0], SITE))
        return through(blank, 10).status

    def state(self) -> dict[str, bytes]:
        """Every file that a run could change."""
        found = [*self.proxy.conf.glob("*"), *self.upstreams.glob("*")]
        return {str(path): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> list[Authority]:
    return [Authority(tmp_path_factory.mktemp(name)) for name in ("ours", "theirs")]


@pytest.fixture
def world(tmp_path: Path, authorities: list[Authority]) -> Iterator[World]:
    ours, theirs = authorities
    with NginxService(tmp_path / "proxy") as proxy, NginxService(tmp_path / "app") as app:
        made = World(proxy, app, tmp_path, ours, theirs, ours.issue("www", f"DNS:{SITE}"), (free_port(), free_port()))
        made.install("www", made.www)
        made.install("client", ours.issue("client", "DNS:proxy.example.com"))
        made.serve_app(ours.issue("app", f"DNS:{APP}"))
        yield made


def crl_of(authority: Authority, folder: Path, *revoked: Pair) -> Path:
    """The revocation lists of both CAs of an authority."""
    texts = []
    for signer, listed in ((authority.root, ()), (authority.issuing, revoked)):
        database = folder / f"{signer.certificate.stem}.db"
        database.write_text("")
        settings = folder / "ca.cnf"
        settings.write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndatabase={database}\ndefault_md=sha256\ndefault_crl_days=7\n"
            f"certificate={signer.certificate}\nprivate_key={signer.key}\n"
        )
        for pair in listed:
            run_openssl("ca", "-config", str(settings), "-revoke", str(pair.certificate))
        out = folder / f"{signer.certificate.stem}.crl"
        run_openssl("ca", "-config", str(settings), "-gencrl", "-out", str(out))
        texts.append(out.read_text())
    whole = folder / "crls.pem"
    whole.write_text("".join(texts))
    return whole


def test_both_sides_verified_and_proven_through_the_proxy(world: World) -> None:
    changed, answer = world.run()
    assert changed and not answer["error"] and answer["notes"] == []
    assert world.answers() == 404
    client = world.upstreams / "www.client.pem"
    assert client.stat().st_mode & 0o777 == 0o600
    key = client.read_text().split("-----BEGIN")[-1].split("-----")[2]
    assert key.strip() and key not in json.dumps(answer)
    world.proxy.calls()
    assert world.run()[0] is False and world.proxy.calls() == []


def test_a_renewed_pair_is_taken_by_one_reload(world: World) -> None:
    world.run()
    world.proxy.calls()
    world.install("client", world.authority.issue("client2", "DNS:proxy.example.com"), 2)
    changed, answer = world.run()
    assert changed and answer["changed_paths"] == [str(world.upstreams / "www.client.pem")]
    assert world.proxy.calls() == ["validate", "reload"] and world.answers() == 404


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("wrong name", "not accepted: Hostname mismatch"),
        ("unknown CA", "not accepted: self-signed certificate in certificate chain|not accepted: unable to get"),
        ("expired", "not accepted: certificate has expired"),
        ("revoked", "not accepted: certificate revoked"),
        (
            "client of an unknown CA",
            "refused the client certificate with '400 Bad Request' .400 The SSL certificate error",
        ),
        ("expired client", "refused the client certificate with '400 Bad Request' .400 The SSL certificate error"),
        ("revoked client", "refused the client certificate with '400 Bad Request' .400 The SSL certificate error"),
    ],
)
def test_what_would_be_a_502_is_an_error_before_anything_is_touched(world: World, fault: str, words: str) -> None:
    world.run()
    before, ours = world.state(), world.authority
    how: dict[str, Any] = {}
    if fault == "wrong name":
        how = {"changes": {"name": "other.example.com"}}
    elif fault == "unknown CA":
        how = {"trust": world.stranger.root.pem}
    elif fault == "expired":
        world.serve_app(ours.issue("late", f"DNS:{APP}", days=-1))
    elif fault == "revoked":
        bad = ours.issue("bad", f"DNS:{APP}")
        world.serve_app(bad)
        how = {"crl": crl_of(ours, world.folder, bad).read_text()}
    elif fault == "client of an unknown CA":
        world.install("client", world.stranger.issue("stranger", "DNS:x.example.com"), 2)
    elif fault == "expired client":
        world.install("client", ours.issue("latecomer", "DNS:x.example.com", days=-1), 2)
    else:
        bad = ours.issue("badclient", "DNS:x.example.com")
        world.install("client", bad, 2)
        world.serve_app(ours.issue("app2", f"DNS:{APP}"), crl_of(ours, world.folder, bad))
    world.proxy.calls()
    for check in (True, False):
        with pytest.raises(StepError, match=words) as found:
            world.run(check=check, **how)
        assert found.value.code == "upstream_refused" and "site 'www'" in found.value.message
    assert world.state() == before and world.proxy.calls() == []


def test_revocation_lists_let_good_ones_through(world: World) -> None:
    bad = world.authority.issue("bad", f"DNS:{APP}")
    changed, answer = world.run(crl=crl_of(world.authority, world.folder, bad).read_text())
    assert changed and not answer["error"] and world.answers() == 404


def test_an_upstream_that_is_away_is_told_and_stops_nothing(world: World) -> None:
    world.app.stop()
    changed, answer = world.run()
    assert changed and not answer["error"]
    (note,) = answer["notes"]
    assert "site 'www'" in note and "connection refused" in note


def test_a_proxy_that_does_not_reach_what_answers_is_put_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files say what would work; the proxy's configuration does not."""
    world.run()
    before = world.state()
    # On a busy machine old workers answer for longer than that.
    monkeypatch.setattr(upstreams, "BRIEFLY", 10)
    _changed, answer = world.run(site=world.site(app=free_port()), prove_timeout=12)
    assert answer["error"]["code"] == "upstream_blocked" and answer["rolled_back"]
    assert "site 'www' answers 502" in answer["error"]["message"] and "itself 404" in answer["error"]["message"]
    # Old workers may answer a while after the reload.
    assert world.state() == before and ask_until(lambda _left: world.answers(), lambda status: status == 404, 30) == 404


def test_the_systems_trust_is_asked_and_proven_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's bundle may be a link; what is in it is compared at each run, so that the server takes what has changed."""
    bundle = world.folder / "system.pem"
    bundle.write_text(world.stranger.root.pem)
    (world.folder / "link.pem").symlink_to(bundle)
    monkeypatch.setattr(upstreams, "system_bundle", lambda: str(world.folder / "link.pem"))
    with pytest.raises(StepError) as found:
        world.run(trust=None)
    assert found.value.code == "upstream_refused"
    bundle.write_text(world.stranger.root.pem + world.authority.root.pem)
    changed, answer = world.run(trust=None)
    assert changed and not answer["error"] and world.answers() == 404
    assert world.run(trust=None)[0] is False and world.run(trust=None, check=True)[0] is False
    bundle.write_text(world.authority.root.pem)
    assert world.run(trust=None)[1]["changed_paths"] == [str(world.upstreams / "www.anchors.pem")]


def test_revocation_lists_are_kept_up_though_an_upstream_is_refused(world: World) -> None:
    """They run out, and a client that was revoked is to be turned away today, whatever somebody else's upstream does."""
    lists, other = world.proxy.conf / "clients.crl.pem", world.proxy.conf / "other.pem"

    def wishes(text: str) -> list[dict[str, Any]]:
        return [{"path": str(lists), "content": text, "upkeep": True}, {"path": str(other), "content": text}]

    world.run(more=wishes("yesterday's"))
    world.serve_app(world.stranger.issue("app", f"DNS:{APP}"))
    planned = world.run(more=wishes("today's"), check=True)
    assert planned[0] and planned[1]["error"]["code"] == "upstream_refused" and lists.read_text() == "yesterday's"
    changed, answer = world.run(more=wishes("today's"))
    assert changed and answer["error"]["code"] == "upstream_refused" and answer["changed_paths"] == [str(lists)]
    assert "nothing was changed" not in answer["error"]["remedy"].lower()
    assert (lists.read_text(), other.read_text()) == ("today's", "yesterday's")
    with pytest.raises(StepError) as again:
        world.run(more=wishes("today's"))
    assert again.value.code == "upstream_refused"


def test_what_is_wanted_no_more_is_gone(world: World) -> None:
    world.run()
    (world.upstreams / "old.client.pem").write_text("a key")
    changed, answer = world.run()
    assert changed and answer["changed_paths"] == [str(world.upstreams / "old.client.pem")]
    assert "a key" not in json.dumps(answer)
    assert sorted(os.listdir(world.upstreams)) == ["www.anchors.pem", "www.client.pem"]


def test_check_mode_on_a_fresh_host_touches_nothing(world: World) -> None:
    (world.folder / "fleet-tls" / "live" / "client").unlink()
    changed, answer = world.run(check=True)
    assert changed and not answer["error"] and not world.upstreams.exists()
    with pytest.raises(StepError) as found:
        world.run()
    assert found.value.code == "no_certificate"
