# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real servers say, as OpenBao 2.7 and Vault 1 word it."""

from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.problems import problem_of

STANDBY = "local node not active but active cluster node not found"


@pytest.mark.parametrize(
    ("status", "words", "says", "passes", "begun"),
    [
        (503, "OpenBao is sealed", "it is sealed", False, False),
        (503, "Vault is sealed", "it is sealed", False, False),
        (501, "server is not initialized", "it is not initialized", False, False),
        (500, STANDBY, "no active node", True, False),
        (503, STANDBY, "no active node", True, False),
        (500, "context canceled", "no active node", True, True),
        (500, "error during forwarding RPC request", "no active node", True, True),
        (502, "", "no active node, status 502", True, True),
        (400, "Upgrading from non-versioned to versioned data", "Upgrading", True, False),
        (400, "Waiting for the primary to upgrade from non-versioned to versioned data.", "Waiting", True, False),
        (429, "rate limit quota exceeded", "takes no more requests", True, False),
        (403, "permission denied", "permission denied", False, False),
        (404, 'no handler for route "x/data/a". route entry not found.', "no secrets engine", False, False),
        (404, "", "not found", False, False),
        (400, "unknown role: web", "unknown role: web", False, False),
        (500, "1 error occurred:\n\t* disk full\n\n", "1 error occurred: * disk full", False, True),
        (418, "", "status 418", False, False),
    ],
)
def test_problems(status: int, words: str, says: str, passes: bool, begun: bool) -> None:
    problem = problem_of(status, [words] if words else [])
    assert says in problem.text and problem.remedy
    assert (problem.passes, problem.begun) == (passes, begun)
