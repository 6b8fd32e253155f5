# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of test files: what takes longest begins first, so that no process is left alone with it at the end. Standard library only.

./dev test names the slowest tests; a file that is not named here is run after these, in the order of its name.
"""

from __future__ import annotations

from typing import Any

LONGEST = (
    # fleet
    "test_rotate_ca.py", "test_session_tickets.py", "test_web_pairs.py", "test_clients.py", "test_services_bad_luck.py",
    "test_beside_theirs.py", "test_canary.py", "test_deploy_web.py", "test_services.py", "test_trust.py", "test_tls_profile.py",
    "test_client_names.py", "test_rhel_family.py", "test_presets.py", "test_mutual_tls.py", "test_trial.py",
    # local
    "test_rotations_bad_luck.py", "test_deploy.py", "test_rotations_killed.py", "test_pools.py", "test_maintenance.py",
    "test_ways_to_a_host.py", "test_killed.py", "test_check.py", "test_attacks_victims.py", "test_foreign_issuers.py",
    # acme, bao
    "test_hosts.py", "test_account_rotation.py", "test_cluster.py", "test_playbooks.py", "test_store.py",
    # unit
    "test_configure.py", "test_apply_kill.py", "test_ca_processes.py", "test_ca_crls.py", "test_many_certificates.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """pytest's hook; pytest-xdist keeps this order of files with ``--no-loadscope-reorder``, and each file's tests theirs."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))
