# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair that lies on the host already becomes generation 1: with nothing reloaded, nothing destroyed, and a kill at any moment."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.files.originals import kept_path
from ansible_collections.fleet.tls.plugins.module_utils.pair.soundness import belongs
from ansible_collections.fleet.tls.plugins.module_utils.steps.retire import retire_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import served_leaf
from ansible_collections.fleet.tls.tests.unit.support.killed import run_killed
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost, endpoint, fingerprint_of, state_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair
from tools.ports import free_port

NAME = "www.example.com"
SITE = "server {{ listen 127.0.0.1:{port} ssl; server_name {name}; ssl_certificate {chain}; ssl_certificate_key {key}; }}\n"
# Of the changes that taking over makes at least so many; that the hook counts at all is part of the test.
AT_LEAST = 20


class Theirs:
    """certbot's lineage on a host, and an nginx that has been told of it."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.host = OneHost(folder)
        self.pair, self.next = (authority.issue(each, f"DNS:{NAME}") for each in ("one", "two"))
        self.live, self.archive = folder / "letsencrypt/live", folder / "letsencrypt/archive"
        for each in (self.live, self.archive):
            each.mkdir(parents=True)
        self.chain, self.key = self.live / "fullchain.pem", self.live / "privkey.pem"
        self.renew(self.pair, 1)
        self.nginx, self.port = NginxService(folder / "nginx"), free_port()
        site = SITE.format(port=self.port, name=NAME, chain=self.chain, key=self.key)
        (self.nginx.conf / "site.conf").write_text(site)

    def renew(self, pair: Pair, number: int, *, half: bool = False) -> None:
        """certbot's next pair, link after link.

        :param half: it stops after the first.
        """
        # With a line between, as certbot's has: other bytes than ours, and the same certificates.
        text = pair.chain.read_text().replace("-----END CERTIFICATE-----\n", "-----END CERTIFICATE-----\n\n")
        (self.archive / f"fullchain{number}.pem").write_text(text)
        (self.archive / f"privkey{number}.pem").write_bytes(pair.key.read_bytes())
        for name in ("fullchain",) if half else ("fullchain", "privkey"):
            link = self.live / f"{name}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../archive/{name}{number}.pem")

    def wish(self, **changes: Any) -> dict[str, Any]:
        """The entry, as the playbook writes it."""
        forms = {self.chain: "fullchain", self.key: "privkey"}
        common = {"method": "link", "owner": None, "group": None, "mode": "0600"}
        return self.host.wish(
            adopt={"certificate": str(self.chain), "private_key": str(self.key)},
            services=["own-nginx"],
            outputs=[{"path": str(path), "format": form, **common} for path, form in forms.items()],
            **changes,
        )

    def look(self) -> dict[str, Any]:
        """What the host says of it."""
        return self.host.look_at(self.wish(), services=[self.service()])

    def service(self) -> dict[str, Any]:
        """The nginx."""
        endpoints = [endpoint(self.port, server_name=NAME)]
        return {**self.host_service(), "endpoints": endpoints}

    def host_service(self) -> dict[str, Any]:
        """Without what it is asked for."""
        return {**self.nginx.described(), "preset": None, "units": [], "programs": [], "user": None}

    def take(self, pair: Pair | None = None) -> dict[str, Any]:
        """Take it over; the certificate's answer."""
        entry = self.host.install_entry(self.wish(), pair or self.pair, "adopted-1", adopted=True)
        changed, answer = self.host.apply(entry, services=[self.service()], prove_timeout=120)
        assert changed is answer["certificates"]["www"]["changed"]
        return dict(answer["certificates"]["www"])

    def finish(self) -> dict[str, Any]:
        """What the next run does: takes it over where that has not happened, and puts right what is not."""
        found = self.look()
        if found["generation"] is None:
            assert found["adoptable"] and not found["adoptable"]["error"], found
            return self.take()
        return self.host.repair(self.wish(), services=[self.service()], prove_timeout=120)[1]

    def served(self) -> bytes:
        """The leaf."""
        return served_leaf("127.0.0.1", self.port, NAME, 30)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def theirs(tmp_path: Path, authority: Authority) -> Iterator[Theirs]:
    found = Theirs(tmp_path, authority)
    with found.nginx:
        found.nginx.start()
        yield found


def test_it_is_taken_over_as_it_is(theirs: Theirs) -> None:
    before = {path: path.read_bytes() for path in (theirs.chain, theirs.key)}
    links = {path: os.readlink(path) for path in before}
    found = theirs.look()
    assert found["generation"] is None and found["pending"] is None and found["error"] is None
    assert "".join(found["adoptable"]["chain"]) == theirs.pair.chain.read_text()
    assert b"PRIVATE" not in repr(found).encode()
    assert not (theirs.host.tls / "pending").exists()
    answer = theirs.take()
    assert (answer["generation"], answer["installed"], answer["error"], answer["unproven"]) == (1, True, None, False)
    # Asked whether its configuration is right, and told of nothing.
    assert theirs.nginx.calls() == ["validate"]
    assert {path: path.read_bytes() for path in before} == before
    assert {path: os.readlink(kept_path(str(path))) for path in before} == links
    assert (theirs.host.live("privkey.pem")).read_bytes() == theirs.pair.key.read_bytes()
    state = state_of(theirs.host.folder)
    after = theirs.look()
    assert (after["adoptable"], after["problems"], after["drift"], after["generation"]) == (None, [], [], 1)
    assert after["manifest"]["settled"]
    again = theirs.host.repair(theirs.wish(), services=[theirs.service()])[1]
    assert again["changed"] is False and theirs.nginx.calls() == [] and state_of(theirs.host.folder) == state


def test_what_was_never_reloaded_is(theirs: Theirs) -> None:
    theirs.renew(theirs.next, 2)
    answer = theirs.take(theirs.next)
    assert answer["error"] is None and theirs.nginx.calls() == ["validate", "validate", "reload"]
    assert answer["proof"][0]["fingerprint"] == fingerprint_of(theirs.next)


def test_other_content_is_no_secret_change(theirs: Theirs) -> None:
    # The leaf alone, where an output has the whole chain: that is something new to clients.
    target = theirs.archive / "fullchain1.pem"
    wish = theirs.wish()
    whole = theirs.live / "whole.pem"
    whole.write_text(theirs.pair.chain.read_text())
    target.write_text(theirs.pair.pem)
    wish["adopt"] = {"certificate": str(whole), "private_key": str(theirs.key)}
    entry = theirs.host.install_entry(wish, theirs.pair, "adopted-1", adopted=True)
    answer = theirs.host.apply(entry, services=[theirs.service()])[1]["certificates"]["www"]
    assert answer["error"] is None
    same_chain = theirs.pair.chain.read_text() == theirs.pair.pem
    assert ("reload" in theirs.nginx.calls()) is not same_chain


def test_a_configuration_that_does_not_take_it_gets_everything_back(theirs: Theirs) -> None:
    (theirs.nginx.conf / "broken.conf").write_text("no such directive;\n")
    links, served = [os.readlink(each) for each in (theirs.chain, theirs.key)], theirs.served()
    answer = theirs.take()
    assert answer["error"]["code"] == "validate_failed" and answer["generation"] is None
    assert [os.readlink(each) for each in (theirs.chain, theirs.key)] == links
    assert not os.path.lexists(kept_path(str(theirs.key))) and theirs.served() == served
    (theirs.nginx.conf / "broken.conf").unlink()
    assert theirs.take()["error"] is None


def test_a_lineage_that_is_renewed_in_between(theirs: Theirs) -> None:
    state = state_of(theirs.live)
    assert theirs.look()["adoptable"]["error"] is None
    theirs.renew(theirs.next, 2)
    renewed = state_of(theirs.live)
    answer = theirs.take()
    assert answer["error"]["code"] == "adopt_changed" and answer["generation"] is None
    theirs.renew(theirs.pair, 3, half=True)
    assert theirs.look()["adoptable"]["error"]["code"] == "adopt_mismatch"
    assert theirs.take()["error"]["code"] == "adopt_mismatch"
    assert state != renewed and not (theirs.host.tls / "live").exists()
    assert not list((theirs.host.tls / "generations").rglob("*.pem")) and theirs.nginx.calls() == []


def test_retired_it_is_theirs_again(theirs: Theirs) -> None:
    """The pair that comes back is the first generation's, so that an endpoint serves that again is no failure."""
    served, links = theirs.served(), [os.readlink(each) for each in (theirs.chain, theirs.key)]
    theirs.take()
    entry = theirs.host.install_entry({**theirs.wish(), "adopt": None}, theirs.next)
    secrets = {"www": theirs.next.key.read_text()}
    answer = theirs.host.apply(entry, secrets=secrets, services=[theirs.service()], prove_timeout=120)[1]
    assert answer["certificates"]["www"]["error"] is None
    request = {
        "directory": str(theirs.host.tls), "check": False, "whole": False, "prove_timeout": 60, "certificates": ["www"], "clients": [],
        "bundles": [], "pools": [], "claimed": [], "endpoints": [], "services": [theirs.service()],
    }  # fmt: skip
    (item,) = retire_step(request)[1]["retired"]
    assert item["error"] is None, item
    assert [os.readlink(each) for each in (theirs.chain, theirs.key)] == links and not (
        theirs.host.tls / "generations/www"
    ).exists()
    for _try in range(300):
        if theirs.served() == served:
            break
        time.sleep(0.2)
    assert theirs.served() == served


def test_killed_at_any_moment_the_next_run_finishes(tmp_path: Path, authority: Authority) -> None:
    folder = tmp_path / "host"
    theirs = Theirs(folder, authority)
    shutil.copytree(folder, tmp_path / "template", symlinks=True)
    with theirs.nginx:
        theirs.nginx.start()
        expected, number = theirs.served(), 0
        while True:
            number += 1
            ended = run_killed(theirs.take, number, folder)
            # Whoever reads the two files right now gets a pair, the same as ever.
            chain, key = theirs.chain.read_bytes(), theirs.key.read_bytes()
            assert belongs(key, chain) and chain.count(b"BEGIN") == theirs.pair.chain.read_text().count("BEGIN"), number
            answer = theirs.finish()
            assert answer["error"] is None, (number, answer)
            found = theirs.look()
            assert (found["problems"], found["drift"], found["manifest"]["fingerprint"]) == (
                [],
                [],
                fingerprint_of(theirs.pair),
            ), number
            assert found["manifest"]["adopted"] and found["manifest"]["settled"] and not found["pending"]
            assert os.readlink(kept_path(str(theirs.key))) == "../archive/privkey1.pem", number
            assert theirs.served() == expected
            if ended:
                break
            for name in ("tls", "letsencrypt"):
                shutil.rmtree(folder / name)
            shutil.copytree(tmp_path / "template/letsencrypt", folder / "letsencrypt", symlinks=True)
    assert number > AT_LEAST
