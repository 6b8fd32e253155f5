# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies that the docs give to users, taken from there: the tests have no more rights than these."""

from __future__ import annotations

import re

from bao.server import Cluster
from tools import paths


def documented(page: str) -> str:
    """The first HCL block of a page below ``docs/``."""
    found = re.search(r"```hcl\n(.*?)```", (paths.ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found, page
    return found[1]


def allow(cluster: Cluster, name: str, policy: str) -> str:
    """Write a policy; its name."""
    cluster.root.sys.create_or_update_policy(name, policy)
    return name


STORE = documented("stores/openbao.md")
ISSUER = documented("issuers/openbao.md")
ROOT_SIGNER = documented("guides/offline-root.md")
