# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of chains and NIST's PKITS: what it says otherwise, and why."""

from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import judge_chain
from ansible_collections.fleet.tls.tests.unit.support.pkits import MOMENT, PkitsCase, path_cases

CASES = {case.name: case for case in path_cases()}
KNOWN_DIFFERENCES = {
    "ValidDSASignaturesTest4": "DSA with SHA-1: no client of today takes such a signature (RFC 9155)",
    "ValidDSAParameterInheritanceTest5": "DSA with SHA-1, and a key whose parameters are its issuer's, which cryptography cannot read",
}


def test_all_of_them_are_there() -> None:
    assert len(CASES) == 89 and set(KNOWN_DIFFERENCES) < set(CASES)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_path(case: PkitsCase) -> None:
    # The suite's certificates are for nothing in particular. One that cannot be read is refused before anybody judges it.
    problems = (
        judge_chain(case.chain, [case.anchor], now=MOMENT, purposes=()).refused if case.chain else ("unreadable",)
    )
    assert (case.expected is not bool(problems)) is (case.name not in KNOWN_DIFFERENCES), problems
