# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients of tests/storm that take no session anywhere, at an nginx on loopback: what they count, and what they make of an outage."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority
from storm import beside, visitors
from storm.notes import Notes
from storm.plan import Plan
from storm.table import Row, problems
from storm.visitors import Visitors
from tools.ports import free_port

OURS = """
server {{
    listen 127.0.0.1:{ours} ssl;
    listen 127.0.0.1:{proxied} ssl proxy_protocol;
    server_name www.test;
    ssl_certificate {ecdsa.chain};
    ssl_certificate_key {ecdsa.key};
    ssl_certificate {rsa.chain};
    ssl_certificate_key {rsa.key};
    return 200 "ours";
}}
"""
THEIRS = """
server {{
    listen 127.0.0.1:{theirs} ssl;
    listen unix:{socket};
    server_name theirs.test;
    ssl_certificate {their.chain};
    ssl_certificate_key {their.key};
    return 200 "theirs";
}}
"""
NODE = "127.0.0.1"


@pytest.fixture
def nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NginxService]:
    """With a site of ours and the user's own, where the clients look for them."""
    ours, theirs = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    pairs = {
        "ecdsa": ours.issue("www", "DNS:www.test"), "rsa": ours.issue("www-rsa", "DNS:www.test", rsa=2048),
        "their": theirs.issue("theirs", "DNS:theirs.test"),
    }  # fmt: skip
    ports = {name: free_port() for name in ("ours", "proxied", "theirs")}
    for module, name, where in (
        (visitors, "OPEN", "ours"), (visitors, "PASSED_ON", "ours"), (beside, "PROXIED", "proxied"), (beside, "SITE", "theirs"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, ("theirs.test" if where == "theirs" else "www.test", ports[where]))
    monkeypatch.setattr(visitors, "PAUSE", 0.01)
    with NginxService(tmp_path / "nginx") as service:
        words = {**pairs, **ports, "socket": tmp_path / "socket"}
        for name, text in (("ours", OURS), ("theirs", THEIRS)):
            (service.conf / f"{name}.conf").write_text(text.format(**words))
        service.start()
        yield service


@pytest.fixture
def notes(nginx: NginxService, tmp_path: Path) -> Iterator[Notes]:
    """Of clients that come all the time."""
    found, over = Notes("nginx", "leaf", "during"), threading.Event()
    plan = Plan(
        kind="nginx", open_nodes=(NODE,), mutual_nodes=(NODE,), bundle=str(tmp_path / "ca/root.pem"),
        their_bundle=str(tmp_path / "other/root.pem"), good="", spare="", refused={}, lifetime=1, app_sockets=(str(tmp_path / "socket"),),
    )  # fmt: skip
    threads = [threading.Thread(target=work) for work in Visitors(plan, found, over).works()]
    for thread in threads:
        thread.start()
    yield found
    over.set()
    for thread in threads:
        thread.join()


def wait_for(met: Callable[[], bool]) -> None:
    """Until it is so."""
    end = time.monotonic() + 60
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_everybody_is_served_and_an_outage_of_theirs_is_told(nginx: NginxService, notes: Notes) -> None:
    wanted = ("ECDSA", "RSA", "proxied", "passed on")
    notes.phase = "after"
    wait_for(lambda: all(notes.counts["leaf", each] > 5 for each in (*wanted, "site after", "app socket after")))
    report = notes.report()
    assert not report.all("failed") and not report.all("theirs failed"), report.samples
    assert report.of("leaf")["handshakes"] >= sum(report.of("leaf")[each] for each in wanted)
    assert all(0 < each < 60 for each in report.times("leaf")["after"])

    (nginx.conf / "theirs.conf").rename(nginx.folder / "away")
    subprocess.run(nginx.command("-s", "reload"), check=True, capture_output=True, timeout=120)
    wait_for(lambda: notes.counts["leaf", "theirs failed"] > 5)
    report = notes.report()
    assert not report.all("failed"), report.samples
    assert any(f"the user's {what}" in each for what in ("site", "app socket") for each in report.samples["leaf"])
    told = problems([Row("leaf", "leaf rotation", "nginx", report.of("leaf"), 1.0)], 1)
    assert any("failed requests to what is the user's own" in each for each in told)
