# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import RotationError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.record import (
    Record,
    is_alive,
    machine,
    started,
    take,
    this_run,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import LEASE, Rotation, Runner, begin
from ansible_collections.fleet.tls.tests.unit.support.pki import make_store


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, that can be killed."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def runner_of(process: subprocess.Popen[bytes]) -> Runner:
    return Runner(machine(), process.pid, started(process.pid) or "")


def test_a_record_is_made_and_changed(tmp_path: Path) -> None:
    record = Record(make_store(tmp_path), "ca-internal")
    assert record.read() is None
    made = record.change(lambda present: begin("ca", "internal", ["web1"], 1000) if present is None else present)
    assert record.read() == made
    assert record.change(lambda present: present.proved("web1", 1001)) == record.read()  # type: ignore[union-attr]
    assert (tmp_path / "rotations/ca-internal.json").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_done_changes_nothing(tmp_path: Path) -> None:
    record = Record(make_store(tmp_path), "keys")
    record.change(lambda _present: begin("keys", "keys", ["web1"], 1000))
    before = record.read()

    def fail(present: Rotation | None) -> Rotation:
        raise RotationError("no")

    with pytest.raises(RotationError):
        record.change(fail)
    assert record.read() == before


def test_a_damaged_record(tmp_path: Path) -> None:
    path = tmp_path / "rotations/keys.json"
    path.parent.mkdir()
    path.write_bytes(b"{}")
    with pytest.raises(StoreError, match="'rotations/keys.json' in .* is damaged"):
        Record(make_store(tmp_path), "keys").read()


def test_this_run_is_that_of_the_parent(other: subprocess.Popen[bytes]) -> None:
    me = this_run()
    assert me.process == os.getppid() and is_alive(me)
    assert is_alive(runner_of(other)) is True
    os.kill(other.pid, signal.SIGKILL)
    runner = runner_of(other)
    other.wait()
    assert is_alive(runner) is False


def test_a_later_process_of_the_same_number_is_another(other: subprocess.Popen[bytes]) -> None:
    assert is_alive(dataclasses.replace(runner_of(other), started="another boot 1")) is False
    assert is_alive(dataclasses.replace(runner_of(other), machine="elsewhere")) is None


def test_two_at_once_one_says_so(other: subprocess.Popen[bytes]) -> None:
    rotation = begin("ca", "internal", ["web1"], 1000).taken_by(runner_of(other), 1000)
    with pytest.raises(
        RotationError, match=f"another run drives the rotation of the CA 'internal': process {other.pid} on"
    ):
        take(rotation, this_run(), 1001)
    assert take(rotation, this_run(), 1001, take_over=True).runner == this_run()
    runner = runner_of(other)
    other.kill()
    other.wait()
    assert take(dataclasses.replace(rotation, runner=runner), this_run(), 1001).runner == this_run()


def test_a_run_on_another_machine_has_a_lease() -> None:
    rotation = begin("ca", "internal", ["web1"], 1000).taken_by(Runner("elsewhere", 1, ""), 1000)
    with pytest.raises(RotationError, match="last heard of 5 s ago.*tls_take_over"):
        take(rotation, this_run(), 1005)
    assert take(rotation, this_run(), 1000 + LEASE).runner == this_run()
