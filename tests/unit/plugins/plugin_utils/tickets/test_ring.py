# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import json

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import (
    Ring,
    RingProof,
    RingRecord,
    parse_pool_name,
)

NOW = 1_800_000_000


NUMBERS = itertools.count(1)


def numbered(size: int) -> bytes:
    """Keys that can be told apart."""
    return bytes([next(NUMBERS)]) * size


def record(ring: Ring | None = None, **changes: object) -> RingRecord:
    known = {"generation": 7, "keys": (ring or Ring.new()).ids, "made_at": NOW, **changes}
    return RingRecord(**known)  # type: ignore[arg-type]


def test_a_step_moves_every_key_one_place() -> None:
    ring = Ring.new(numbered)
    _prev, cur, following = ring.keys
    after = ring.rotated(numbered)
    assert after.keys[:2] == (cur, following)
    assert after.keys[2] not in ring.keys and len(after.keys[2]) == 80
    # One step apart, each one's current key is known to the other; two steps apart it is not.
    assert after.keys[1] in ring.keys and ring.keys[1] in after.keys
    assert after.rotated(numbered).keys[1] not in ring.keys


def test_new_rings_share_nothing() -> None:
    first, second = Ring.new(), Ring.new()
    assert len({*first.keys, *second.keys}) == 6
    assert len({each.name for each in (*first.ids, *second.ids)}) == 6


def test_a_ring_is_shown_nowhere() -> None:
    ring = Ring.new()
    assert repr(ring) == "Ring()" and str(ring) == "Ring()"
    assert repr(ring.keys[0]) not in repr([ring, {"ring": ring}])


def test_there_and_back() -> None:
    ring = Ring.new()
    assert Ring.load(ring.dump()) == ring
    for data in (b"", ring.dump()[:-1], ring.dump() + b"x"):
        with pytest.raises(ValueError, match="no ring"):
            Ring.load(data)
    known = record(
        ring, proven={"web1": RingProof(7, NOW), "web2": RingProof(6, NOW - 9)}, left_behind={"web3": RingProof(5, 1)}
    )
    assert RingRecord.load(json.loads(json.dumps(known.dump()))) == known


def test_the_public_part_has_no_key() -> None:
    ring = Ring.new()
    text = json.dumps(record(ring).dump())
    for key in ring.keys:
        assert key[16:].hex() not in text and key[:16].hex() in text


def test_a_step_is_done_when_the_last_host_has_shown_it() -> None:
    first = record(proven={"web1": RingProof(6, NOW - 100), "web2": RingProof(6, NOW - 90)})
    assert (first.unproven, first.done_at) == (("web1", "web2"), None)
    second = first.with_proof("web1", NOW + 5)
    assert (second.unproven, second.done_at) == (("web2",), None)
    third = second.with_proof("web2", NOW + 30)
    assert (third.unproven, third.done_at) == ((), NOW + 30)
    # A host that shows it again has still shown it then.
    assert third.with_proof("web1", NOW + 500) is third


def test_a_host_that_is_left_behind_is_remembered_until_it_shows_a_ring() -> None:
    known = record(proven={"web1": RingProof(7, NOW), "web2": RingProof(6, NOW)})
    left = known.leaving(["web2", "never heard of"])
    assert left.unproven == () and left.left_behind == {"web2": RingProof(6, NOW)}
    back = left.with_proof("web2", NOW + 1)
    assert back.left_behind == {} and back.proven["web2"] == RingProof(7, NOW + 1)


@pytest.mark.parametrize("name", ["", "../web", "web.json", "a b", "-x", "x" * 65, "wéb"])
def test_names_that_no_pool_has(name: str) -> None:
    with pytest.raises(SpecError, match="not a valid name for a pool"):
        parse_pool_name(name)
