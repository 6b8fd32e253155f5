# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Debian a host of the tests gets where mirrors no longer serve the one that it should have."""

from __future__ import annotations

import pytest

from fleet import images


@pytest.mark.parametrize(
    ("release", "built", "given"),
    [
        ("bullseye", "bullseye bookworm trixie", "bullseye"),
        ("bullseye", "bookworm trixie", "bookworm"),
        ("bullseye", "trixie", "trixie"),
        ("trixie", "bullseye bookworm", "bullseye"),
    ],
)
def test_the_nearest_newer_release_else_any(release: str, built: str, given: str) -> None:
    assert images.instead(release, dict.fromkeys(built.split(), "an image")) == given


def test_a_release_that_is_left_out_is_not_built_though_it_could_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.LEFT_OUT, "bullseye,trixie")
    built, left_out = images.ensure_all(["bullseye", "trixie"])
    assert built == {} and set(left_out) == {"bullseye", "trixie"}
    assert left_out["trixie"] == "no image of trixie: left out of this run"
