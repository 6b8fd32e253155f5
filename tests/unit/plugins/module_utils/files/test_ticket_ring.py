# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import os
import stat
import subprocess
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import (
    TicketPlace,
    haproxy_keys,
    haproxy_line,
    haproxy_order,
    key_id,
    render,
)
from ansible_collections.fleet.tls.plugins.module_utils.services.ticket_boot import SCRIPT, BootUnit

RING = [bytes([number]) * 16 + bytes([16 + number]) * 32 + bytes([32 + number]) * 32 for number in range(3)]


@pytest.fixture
def place(tmp_path: Path) -> TicketPlace:
    return TicketPlace(str(tmp_path), "web", memory=False)


def test_the_order_of_both_servers() -> None:
    files = render(RING)
    assert files["cur.key"] == RING[1] == bytes([1]) * 16 + bytes([17]) * 32 + bytes([33]) * 32  # name, HMAC, AES
    lines = [base64.b64decode(line) for line in files["haproxy.keys"].splitlines()]
    assert lines[1] == bytes([1]) * 16 + bytes([33]) * 32 + bytes([17]) * 32  # name, AES, HMAC
    assert [line[:16] for line in lines] == [key[:16] for key in RING]
    assert all(len(content) == 80 for name, content in files.items() if name != "haproxy.keys")


def test_there_and_back() -> None:
    assert haproxy_order(haproxy_order(RING[0])) == RING[0]
    assert haproxy_keys("\n".join(map(haproxy_line, RING))) == tuple(RING)
    assert haproxy_keys("no base64!") is None and haproxy_keys(base64.b64encode(b"x" * 48).decode()) is None


def test_a_ring_is_written_whole_and_for_nobody_else(place: TicketPlace, tmp_path: Path) -> None:
    path = Path(place.write(7, RING))
    assert place.keys() is None, "nothing points at it yet"
    place.point_at(str(path))
    assert place.keys() == tuple(RING) and place.drift() == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.iterdir()} == {0o600}


def test_a_ring_that_cannot_be_written_leaves_nothing(place: TicketPlace) -> None:
    nobody = TicketPlace(place.directory, "web", memory=False, owner="no such user")
    with pytest.raises(StepError, match="no such user"):
        nobody.write(7, RING)
    assert os.listdir(place.rings) == []


def test_only_the_ring_in_use_stays(place: TicketPlace) -> None:
    place.write(6, RING)
    place.point_at(place.write(7, RING))
    place.write(8, RING)
    place.prune()
    assert [name.split("-")[0] for name in os.listdir(place.rings)] == ["7"]


def test_a_link_to_elsewhere_is_not_ours(place: TicketPlace, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    place.point_at(str(tmp_path / "mine"))
    assert place.target() is None and place.keys() is None
    # Nor is one to memory, where disk was chosen: it is made anew there.
    place.point_at("/run/fleet-tls/tickets/web/7-00000000")
    assert place.target() is None


def test_something_in_the_links_way(place: TicketPlace) -> None:
    Path(place.link).mkdir(parents=True)
    with pytest.raises(StepError, match="writing .*/tickets/web"):
        place.point_at(place.write(7, RING))


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"generation": "x", "keys": [], "settled": true}', '{"generation": 1, "keys": 5}']
)
def test_a_manifest_that_is_none(place: TicketPlace, text: str) -> None:
    path = Path(place.manifest)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert place.read_manifest() == {}


def test_a_manifest_is_public_and_holds_no_key(place: TicketPlace) -> None:
    place.write_manifest(7, [key_id(key) for key in RING], settled=True)
    known = place.read_manifest()
    assert (known["generation"], known["settled"]) == (7, True)
    assert known["keys"][1] == [RING[1][:16].hex(), key_id(RING[1]).digest]
    place.put_manifest_back({})
    assert place.read_manifest() == {}
    place.put_manifest_back(known)
    assert place.read_manifest() == known


def boot(place: TicketPlace, script: Path) -> None:
    """What the unit does."""
    script.write_text(SCRIPT)
    subprocess.run(["sh", str(script), place.directory], check=True, capture_output=True, timeout=120)


def test_a_boot_finds_a_ring_that_both_servers_take(place: TicketPlace, tmp_path: Path) -> None:
    place.write_manifest(7, [key_id(key) for key in RING], settled=True)
    place.point_at(os.path.join(place.rings, "7-0123abcd"))
    boot(place, tmp_path / "boot.sh")
    made = place.keys()
    assert made is not None and not set(made) & set(RING) and len({key[:16] for key in made}) == 3
    assert place.drift() == []
    # What is there is left alone, and so is what is no link.
    (Path(place.directory) / "tickets" / "directory").mkdir()
    boot(place, tmp_path / "boot.sh")
    assert place.keys() == made


def test_a_boot_that_was_cut_short_is_made_good(place: TicketPlace, tmp_path: Path) -> None:
    place.write_manifest(7, [key_id(key) for key in RING], settled=True)
    target = Path(place.rings, "7-0123abcd")
    place.point_at(str(target))
    for half in (target, Path(f"{target}.boot")):
        half.mkdir(parents=True)
        (half / "prev.key").write_bytes(b"short")
    boot(place, tmp_path / "boot.sh")
    assert place.keys() is not None


@pytest.mark.parametrize("where", ["{}", "{}/tls/ticket-rings/../precious", "{}/tls/ticket-rings/web/1-0/precious"])
def test_a_boot_removes_nothing_but_rings(tmp_path: Path, where: str) -> None:
    """A link below a user's directory may lead anywhere."""
    place = TicketPlace(str(tmp_path / "tls"), "web", memory=False)
    target = Path(where.format(tmp_path))
    (target / "file").parent.mkdir(parents=True, exist_ok=True)
    (target / "file").write_text("precious")
    Path(place.link).parent.mkdir(parents=True)
    Path(place.link).symlink_to(target)
    place.write_manifest(7, [key_id(key) for key in RING], settled=True)
    boot(place, tmp_path / "boot.sh")
    assert (target / "file").read_text() == "precious"


def test_memory_needs_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fleet.tls.plugins.module_utils.services import ticket_boot

    monkeypatch.setattr(ticket_boot, "systemd_runs", lambda: False)
    with pytest.raises(StepError) as caught:
        BootUnit(str(tmp_path)).ensure()
    assert caught.value.remedy == "set tls_session_ticket_location: disk"
