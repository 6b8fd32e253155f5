# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout on a host: which generation is live, which there are, which go."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.pair import layout as generations
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import Layout
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import fingerprint
from ansible_collections.fleet.tls.tests.unit.support.one_host import fingerprint_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair

GOOD: dict[str, Any] = {"fingerprint": "ab", "files": {}, "outputs": {}}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path), "www")
    (tmp_path / "live").mkdir()
    return layout


def add(layout: Layout, *numbers: int, manifest: Any = "good") -> None:
    manifest = GOOD if manifest == "good" else manifest
    for number in numbers:
        os.makedirs(layout.generation(number))
        if manifest is not None:
            (Path(layout.generation(number)) / "manifest.json").write_text(
                manifest if isinstance(manifest, str) else json.dumps(manifest)
            )


def go_live(layout: Layout, target: str) -> None:
    if os.path.lexists(layout.live):
        os.unlink(layout.live)
    os.symlink(target, layout.live)


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("../generations/www/7", 7),
        # Dangling is still ours: the number says which one is missing.
        ("../generations/www/12", 12),
        ("../generations/www/7/", None),
        ("../generations/www/07", None),
        ("../generations/www/0", None),
        ("../generations/www/²", None),
        ("../generations/www/٣", None),
        ("../generations/www/latest", None),
        ("../generations/other/7", None),
        ("../generations/www/../www/7", None),
        ("{directory}/generations/www/7", None),
        ("/etc/letsencrypt/live/www", None),
        ("7", None),
    ],
)
def test_current(layout: Layout, target: str, number: int | None) -> None:
    add(layout, 7)
    go_live(layout, target.format(directory=layout.directory))
    assert layout.current() == number


def test_current_without_a_link(layout: Layout) -> None:
    assert layout.current() is None
    os.mkdir(layout.live)
    assert layout.current() is None


def test_the_live_link_leads_to_its_generation(layout: Layout) -> None:
    add(layout, 3)
    go_live(layout, layout.target(3))
    assert os.path.realpath(layout.live) == os.path.realpath(layout.generation(3))


def test_numbers_pass_over_junk(layout: Layout) -> None:
    assert layout.numbers() == []
    add(layout, 10, 9, 2)
    for junk in ("0", "01", "²", "٣", "-1", "1.5", "lost+found", "9~", ".7", "99999999999999999999"):
        os.mkdir(os.path.join(layout.generations, junk))
    assert layout.numbers() == [2, 9, 10]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", '"text"', "\xff\xfe", "{}", '{"fingerprint": 5, "files": {}, "outputs": {}}',
        '{"fingerprint": "ab", "files": [], "outputs": {}}', '{"fingerprint": "ab", "files": {}}',
        '{"fingerprint": "ab", "files": {}, "outputs": {"/a": 1}}',
    ],
)  # fmt: skip
def test_what_is_no_manifest(layout: Layout, text: str) -> None:
    add(layout, 1, manifest=text)
    add(layout, 2, manifest=None)
    add(layout, 3)
    assert [layout.manifest(number) for number in (1, 2, 3, 4)] == [None, None, GOOD, None]


@pytest.mark.parametrize(
    ("numbers", "live", "keep", "left"),
    [
        ([1, 2, 3, 4], 4, 2, [3, 4]),
        ([1, 2, 3, 4], 4, 1, [4]),
        ([1, 2, 3, 4], 4, 3, [2, 3, 4]),
        # Those above the live one never were live: what was before it is worth more.
        ([1, 2, 3, 4], 2, 2, [1, 2]),
        ([5], 5, 2, [5]),
        ([1, 2, 3], None, 2, [2, 3]),
    ],
)
def test_prune(layout: Layout, numbers: list[int], live: int | None, keep: int, left: list[int]) -> None:
    add(layout, *numbers)
    if live:
        go_live(layout, layout.target(live))
    layout.prune(keep)
    assert layout.numbers() == left


def test_prune_removes_what_a_killed_staging_left_but_never_the_live_one(layout: Layout) -> None:
    add(layout, 1, 4)
    add(layout, 2, 3, 5, manifest=None)
    go_live(layout, layout.target(5))
    layout.prune(2)
    assert layout.numbers() == [4, 5]


def test_fingerprint(pairs: list[Pair]) -> None:
    pem = pairs[0].chain.read_bytes()
    assert fingerprint(pem) == fingerprint_of(pairs[0])
    assert fingerprint(b"a comment\r\n" + pem.replace(b"\n", b"\r\n")) == fingerprint_of(pairs[0])
    for text in (b"", b"\xff\xfe\0", pem[:200], pem.replace(b"-----END", b"----END"), pairs[0].key.read_bytes()):
        assert fingerprint(text) is None
    assert fingerprint(b"-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----") is None


def test_output_files_have_names_of_their_own() -> None:
    names = {generations.output_file(path) for path in ("/a/b", "/a/c", "/a/b/")}
    assert len(names) == 3 and all(name.startswith("output-") and "/" not in name for name in names)


def test_the_lock_lets_one_in_and_the_other_wait(tmp_path: Path) -> None:
    directory = str(tmp_path / "tls")
    with host_lock(directory):
        with pytest.raises(StepError) as caught, host_lock(directory, wait=0.1):
            raise AssertionError("both are in")
        assert caught.value.code == "busy" and caught.value.remedy
    entered = []
    with host_lock(directory):
        thread = threading.Thread(
            target=lambda: [entered.append(time.monotonic()) for _each in [0] if enter(directory)]
        )
        thread.start()
        time.sleep(0.15)
        left = time.monotonic()
    thread.join()
    assert entered and entered[0] >= left
    assert (tmp_path / "tls" / ".lock").stat().st_mode & 0o777 == 0o600


def enter(directory: str) -> bool:
    with host_lock(directory, wait=10):
        return True


def test_the_lock_goes_with_its_holder_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), host_lock(str(tmp_path)):
        raise ZeroDivisionError
    with host_lock(str(tmp_path), wait=0):
        descriptor = os.open(tmp_path / ".lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_the_lock_says_why_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in ("file", "file/below"):
        with pytest.raises(StepError) as caught, host_lock(str(tmp_path / directory)):
            pass
        assert caught.value.code == "io" and str(tmp_path / directory) in caught.value.message
    os.symlink("elsewhere", tmp_path / ".lock")
    with pytest.raises(StepError), host_lock(str(tmp_path)):
        pass
    assert not (tmp_path / "elsewhere").exists()
