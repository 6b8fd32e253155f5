# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``retire`` killed before each of its changes to the file system, one after the other; the next one always finishes the job."""

from __future__ import annotations

import base64
import copy
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals, kept_path
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import key_id
from ansible_collections.fleet.tls.plugins.module_utils.pair.retiring import Holdings
from ansible_collections.fleet.tls.plugins.module_utils.steps.client import client_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.retire import retire_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.tickets import tickets_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.trust import trust_step
from ansible_collections.fleet.tls.tests.unit.support.killed import run_killed
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost, service, state_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair

THEIRS = "-----BEGIN PRIVATE KEY-----\nof somebody else\n"
# Of a run's changes at least so many; that the hook counts at all is part of the test.
AT_LEAST = 60
NAMES = ("linked", "copied", "client.pem", "trusted.pem")


@dataclass(frozen=True)
class Retired:
    """A host from which ``www``, a client, a bundle and a ring are to go, and ``other`` is not; made anew for each kill."""

    host: OneHost
    template: Path
    other: dict[str, tuple[Any, ...]]

    def fresh(self) -> dict[str, int]:
        """The host as it was; the inodes of what lay there first, by path."""
        shutil.rmtree(self.host.folder)
        shutil.copytree(self.template, self.host.folder, symlinks=True)
        return {str(self.host.out / name): os.stat(kept_path(str(self.host.out / name))).st_ino for name in NAMES}

    def request(self, validate: str = "true", **changes: Any) -> dict[str, Any]:
        """All of it."""
        return {
            "directory": str(self.host.tls), "check": False, "whole": False, "prove_timeout": 1, "certificates": ["www"],
            "clients": [{"name": "app", "bundle": None}], "bundles": [str(self.host.out / "trusted.pem")], "pools": ["web"], "claimed": [],
            "endpoints": [], "services": [service("any", validate=[validate])], **changes,
        }  # fmt: skip

    def killed_everywhere(self, request: dict[str, Any], since: int = 1) -> Iterator[tuple[str, dict[str, int]]]:
        """After each kill: where it was, and the inodes of what lay there first; ends when the step came to its end unharmed.

        :param since: the number of the first change.
        """
        number = since - 1
        while True:
            number += 1
            theirs = self.fresh()
            if run_killed(partial(retire_step, copy.deepcopy(request)), number, self.host.folder):
                assert number > AT_LEAST
                return
            yield f"killed before change {number}", theirs

    def assert_nothing_destroyed(self, theirs: dict[str, int], *, where: str) -> None:
        """What lay there first is in its place or beside it; and a live link leads to a whole pair."""
        for path, inode in theirs.items():
            found = [Path(each) for each in (path, kept_path(path)) if os.path.lexists(each)]
            assert inode in [each.lstat().st_ino for each in found], (where, path)
        live = Path(self.host.layout().live)
        if os.path.lexists(live):
            assert {"privkey.pem", "cert.pem", "chain.pem", "fullchain.pem"} <= {
                each.name for each in live.iterdir()
            }, where

    def assert_as_before(self, theirs: dict[str, int], *, where: str) -> None:
        """Nothing has gone: everything that services see is ours, and what lay there first is still kept."""
        assert (Path(self.host.layout().live) / "privkey.pem").exists(), where
        assert (self.host.tls / "tickets" / "web" / "cur.key").exists(), where
        for path, inode in theirs.items():
            assert os.stat(kept_path(path)).st_ino == inode, (where, path)
            assert os.path.lexists(path) and os.lstat(path).st_ino != inode, (where, path)
        assert set(Originals(str(self.host.tls)).known()) == set(theirs), where

    def assert_gone(self, theirs: dict[str, int], *, where: str) -> None:
        """All of it, and what lay there first is back; ``other`` is as it was."""
        here = Holdings(str(self.host.tls)).as_answer()
        assert here == {"certificates": ["other"], "clients": [], "bundles": [], "pools": [], "configured": []}, where
        assert Originals(str(self.host.tls)).known() == {}, where
        assert {path: os.stat(path).st_ino for path in theirs} == theirs, where
        assert {str(each) for each in self.host.out.iterdir()} == set(theirs), where
        files = {str(path): path for path in self.host.tls.rglob("*") if path.is_file() and "other" not in path.parts}
        assert [path for path, each in files.items() if b"PRIVATE KEY" in each.read_bytes()] == [], where
        assert not [path for path in files if path.endswith(".key") or "fleet-tls-" in path], where
        assert others(self.host) == self.other, where


def others(host: OneHost) -> dict[str, tuple[Any, ...]]:
    """What ``other`` has, less inodes and times, which a copy of the template has not kept."""
    return {path: (*each[:3], each[5]) for path, each in state_of(host.tls).items() if "other" in Path(path).parts}


@pytest.fixture(scope="module")
def retired(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> Retired:
    """Made once; every kill begins with a copy of it in the same place, for its links are absolute."""
    folder = tmp_path_factory.mktemp("retire-kill")
    host = OneHost(folder / "host")
    for name in NAMES:
        (host.out / name).write_text(THEIRS)
        (host.out / name).chmod(0o400)
    wish = host.wish(outputs=[host.output("linked"), host.output("copied", method="copy")])
    host.install(wish, pairs[0])
    host.install(wish, pairs[1])
    host.install(host.wish("other"), pairs[2])
    # A key that waits for the next certificate.
    host.look({**wish, "force": True})
    common = {"owner": None, "group": None, "mode": "0644"}
    client = {"name": "app", "certificate": "www", "services": [], "endpoints": []}
    bundle = {"path": str(host.out / "client.pem"), "content": "ours\n", **common}
    here = {"directory": str(host.tls), "prove_timeout": 1, "check": False}
    client_step({**here, "now": 0, "clients": [{**client, "bundle": bundle}]})
    anchors = [{"name": "a", "comment": "# a", "pem": "a\n"}]
    bundles = [{"path": str(host.out / "trusted.pem"), **common}]
    trust_step({**here, "anchors": anchors, "system": None, "bundles": bundles, "services": [service("any")]})
    keys = [os.urandom(80) for _each in range(3)]
    ring = {
        "pool": "web", "memory": False, "owner": None, "group": None, "generation": 1, "defer_proof": True, "servers": [],
        "keys": [[key_id(key).name, key_id(key).digest] for key in keys],
    }  # fmt: skip
    tickets_step({**here, **ring}, dict(zip(("prev", "cur", "next"), (base64.b64encode(key).decode() for key in keys))))
    shutil.copytree(host.folder, folder / "template", symlinks=True)
    for name in NAMES:
        # One inode under two names, where the copy has two files: of both of them the one that is kept counts.
        assert Path(kept_path(str(host.out / name))).read_text() == THEIRS
    return Retired(host, folder / "template", others(host))


def test_the_same_again(retired: Retired) -> None:
    for where, theirs in retired.killed_everywhere(retired.request()):
        retired.assert_nothing_destroyed(theirs, where=where)
        _changed, answer = retire_step(retired.request())
        assert [each["error"] for each in answer["retired"] if each["error"]] == [], where
        retired.assert_gone(theirs, where=where)
        assert retire_step(retired.request())[0] is False, where


def test_a_service_that_refuses(retired: Retired) -> None:
    """Killed before the service could say no, or on the way back: the next run asks it again, and everything is where it was."""
    for where, theirs in retired.killed_everywhere(retired.request("false")):
        retired.assert_nothing_destroyed(theirs, where=where)
        changed, answer = retire_step(retired.request("false"))
        assert changed is False, where
        assert {each["error"]["code"] for each in answer["retired"]} == {"validate_failed"}, where
        retired.assert_as_before(theirs, where=where)


def test_a_whole_host(retired: Retired) -> None:
    """To what the services see, the same happens as above."""
    for where, theirs in retired.killed_everywhere(retired.request(whole=True), since=2 * AT_LEAST):
        retired.assert_nothing_destroyed(theirs, where=where)
        _changed, answer = retire_step(retired.request(whole=True))
        assert [each["error"] for each in answer["retired"] if each["error"]] == [], where
        assert not retired.host.tls.exists(), where
        assert {path: os.stat(path).st_ino for path in theirs} == theirs, where
        assert {str(each) for each in retired.host.out.iterdir()} == set(theirs), where
        assert retire_step(retired.request(whole=True))[0] is False, where
