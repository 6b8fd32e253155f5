# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState

FIRST = CaState(root="root-1", issuing="issuing-1", trusted=("root-1",))


def test_a_rollover() -> None:
    prepared = FIRST.prepared("root-2", "issuing-2")
    assert (prepared.root, prepared.issuing, prepared.trusted) == ("root-1", "issuing-1", ("root-1", "root-2"))
    assert prepared.old_roots == ()
    activated = prepared.activated()
    assert (activated.root, activated.issuing, activated.trusted) == ("root-2", "issuing-2", ("root-2", "root-1"))
    assert activated.old_roots == ("root-1",) and activated.successor is None
    retired = activated.retired()
    assert retired == CaState(root="root-2", issuing="issuing-2", trusted=("root-2",)) and retired.old_roots == ()


def test_retiring_spares_what_is_prepared() -> None:
    assert FIRST.prepared("root-2", "issuing-2").retired().trusted == ("root-1", "root-2")


def test_there_has_to_be_a_successor() -> None:
    with pytest.raises(ValueError, match="no successor"):
        FIRST.activated()


def test_numbers_of_issuing_cas_are_never_given_twice() -> None:
    prepared = FIRST.prepared("root-2", "issuing-2")
    assert prepared.made == 2
    # The issuing CA of the old root was renewed while the new one waited.
    later = CaState("root-1", "issuing-3", ("root-1", "root-2"), ("root-2", "issuing-2"), made=3)
    assert later.activated().made == 3 and CaState.from_json(later.activated().as_json()).made == 3


@pytest.mark.parametrize(
    "state", [FIRST, FIRST.prepared("root-2", "issuing-2"), FIRST.prepared("root-2", "issuing-2").activated()]
)
def test_it_comes_back_as_it_was(state: CaState) -> None:
    assert CaState.from_json(state.as_json()) == state


def test_without_a_rollover_the_file_is_as_it_always_was() -> None:
    assert FIRST.as_json() == {"root": "root-1", "issuing": "issuing-1", "trusted": ["root-1"]}


@pytest.mark.parametrize(
    "raw",
    [{}, {"root": "../x", "issuing": "issuing-1", "trusted": []},
     {"root": "root-1", "issuing": "issuing-1", "trusted": ["root-1"], "next": {"root": "/root-2", "issuing": "issuing-2"}}],
)  # fmt: skip
def test_what_is_no_state(raw: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        CaState.from_json(raw)
