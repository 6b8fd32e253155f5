# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_constraints import (
    WITHIN,
    Budget,
    TooMuchWork,
    dns_within,
    forbidden_names,
)
from ansible_collections.fleet.tls.tests.unit.support.chains import authority, leaf


@pytest.mark.parametrize(
    ("kind", "name", "tree", "expected"),
    [
        (x509.DNSName, "www.example.com", "example.com", True),
        (x509.DNSName, "example.com", "example.com", True),
        (x509.DNSName, "WWW.Example.com", ".example.com", True),
        (x509.DNSName, "badexample.com", "example.com", False),
        (x509.DNSName, "*.example.com", "example.com", True),
        (x509.DNSName, "anything.test", "", True),
        (x509.RFC822Name, "a@example.com", "example.com", True),
        (x509.RFC822Name, "a@mail.example.com", "example.com", False),
        (x509.RFC822Name, "a@mail.example.com", ".example.com", True),
        (x509.RFC822Name, "a@example.com", "b@example.com", False),
        (x509.RFC822Name, "a@EXAMPLE.com", "a@example.com", True),
        (x509.RFC822Name, "A@example.com", "a@example.com", False),
        (x509.RFC822Name, "*@example.com", "a@example.com", False),
        (x509.DNSName, "example.com", ".example.com", False),
        (x509.DNSName, "*.example.com", "www.example.com", False),
        (x509.UniformResourceIdentifier, "urn:example.com", "example.com", False),
        (x509.UniformResourceIdentifier, "https://[::1]/", "", False),
        (x509.UniformResourceIdentifier, "spiffe://example.com/a", "example.com", True),
        (x509.UniformResourceIdentifier, "https://u@www.example.com:443/a", ".example.com", True),
        (x509.UniformResourceIdentifier, "https://example.org/example.com", "example.com", False),
    ],
)
def test_within(kind: type[Any], name: str, tree: str, expected: bool) -> None:
    assert WITHIN[kind](name, tree, False) is expected


@pytest.mark.parametrize(
    ("tree", "excluded"),
    [
        ("www.example.com", True),
        (".example.com", True),
        ("example.com", True),
        ("a.b.example.com", False),
        ("example.org", False),
    ],
)
def test_a_wildcard_is_excluded_with_any_name_it_stands_for(tree: str, excluded: bool) -> None:
    assert dns_within("*.example.com", tree, True) is excluded


def test_the_budget_holds_for_all_of_a_chain() -> None:
    names = [x509.DNSName(f"x{number}.example.com") for number in range(100)]
    limited = authority("ca", "", x509.NameConstraints(names, None))
    below = [leaf("ca", x509.SubjectAlternativeName(names))]
    budget = Budget(15000)
    assert forbidden_names(limited, below, budget) == []
    with pytest.raises(TooMuchWork):
        forbidden_names(limited, below, budget)
