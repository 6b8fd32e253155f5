# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A DNS name that CAs with name constraints may issue for, where any will do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import facts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_constraints import Limits


def name_within(authorities: Iterable[x509.Certificate], usual: str) -> str:
    """``usual``, or where a CA's constraints do not allow it, a name of its first label in a domain that all of them allow.

    Where no name at all is allowed, it is ``usual`` again.
    """
    constraints = [facts_of(each).constraints for each in authorities]
    limits = [Limits(each) for each in constraints if each is not None]
    return next(
        (name for name in candidates(limits, usual) if all(each.allow(x509.DNSName, name) for each in limits)), usual
    )


def candidates(limits: Sequence[Limits], usual: str) -> Iterator[str]:
    """Names to try."""
    yield usual
    label = usual.partition(".")[0]
    for each in limits:
        for tree in each.permitted.get(x509.DNSName, ()):
            if tree:
                yield f"{label}.{tree.lstrip('.')}"
                yield tree.lstrip(".")
