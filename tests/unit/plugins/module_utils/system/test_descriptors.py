# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import resource

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.system import descriptors
from ansible_collections.fleet.tls.plugins.module_utils.system.descriptors import in_use, many_descriptors


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limit of a process that is not ours: what is set last counts."""
    limits = [(256, 1024)]
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _kind: limits[-1])
    monkeypatch.setattr(descriptors.resource, "setrlimit", lambda _kind, limit: limits.append(limit))
    monkeypatch.setattr(descriptors, "in_use", lambda: 10)
    return limits


def test_the_soft_limit_goes_up_and_back(limit: list[tuple[int, int]]) -> None:
    with many_descriptors(500) as most:
        assert (most, limit[-1]) == (500, (558, 1024))
    assert limit[-1] == (256, 1024)


def test_the_hard_limit_is_the_end(limit: list[tuple[int, int]]) -> None:
    with many_descriptors(5000) as most:
        assert (most, limit[-1]) == (966, (1024, 1024))


def test_what_is_enough_stays(limit: list[tuple[int, int]]) -> None:
    with many_descriptors(20) as most:
        assert most == 20
    assert limit == [(256, 1024)]


def test_where_it_must_not_go_up_fewer_have_to_do(
    limit: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_kind: int, _limit: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(descriptors.resource, "setrlimit", refuse)
    with many_descriptors(5000) as most:
        assert most == 198
    limit.append((16, 16))
    with many_descriptors(5000) as most:
        assert most == 8


def test_this_process() -> None:
    assert 0 < in_use() < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
