# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.results import Announcer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.client_view import trust_problems
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_constraints import forbidden_names, within

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.timezone.utc)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(name: str, issuer: str, *extensions: x509.ExtensionType) -> x509.Certificate:
    """One signed with the key that all have."""
    subject, above = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)]) for each in (name, issuer))
    builder = x509.CertificateBuilder(
        above, subject, KEY.public_key(), 7, NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=1)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def chain(permitted: list[Any] | None, excluded: list[Any] | None, *names: x509.GeneralName) -> list[x509.Certificate]:
    """Leaf, and a root that limits it."""
    root = certificate("root", "root", x509.BasicConstraints(True, None), x509.NameConstraints(permitted, excluded))
    return [certificate("leaf", "root", x509.SubjectAlternativeName(names)), root]


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
        (x509.UniformResourceIdentifier, "spiffe://example.com/a", "example.com", True),
        (x509.UniformResourceIdentifier, "https://u@www.example.com:443/a", ".example.com", True),
        (x509.UniformResourceIdentifier, "https://example.org/example.com", "example.com", False),
    ],
)
def test_within(kind: type[Any], name: str, tree: str, expected: bool) -> None:
    assert within(kind, name, tree) is expected


def test_addresses() -> None:
    tree = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
    inside, outside, other = (x509.IPAddress(ipaddress.ip_address(each)) for each in ("10.1.1.1", "11.1.1.1", "::1"))
    assert forbidden_names(chain([tree], None, inside)) == []
    assert forbidden_names(chain([tree], None, outside)) == [
        "'CN=root' may not issue for 11.1.1.1 (its name constraints)"
    ]
    assert forbidden_names(chain(None, [tree], inside, other)) == [
        "'CN=root' may not issue for 10.1.1.1 (its name constraints)"
    ]


def test_names_of_other_kinds_are_free() -> None:
    limited = chain(
        [x509.DNSName("example.com")],
        [x509.DNSName("bad.example.com")],
        x509.DNSName("a.example.com"),
        x509.RFC822Name("a@b"),
    )
    assert forbidden_names(limited) == []
    assert len(forbidden_names(chain([x509.DNSName("example.com")], None, x509.DNSName("example.org")))) == 1
    assert len(forbidden_names(chain(None, [x509.DNSName("example.com")], x509.DNSName("example.com")))) == 1


def test_the_anchor_has_its_say_though_it_is_not_sent() -> None:
    leaf, root = chain([x509.DNSName("example.com")], None, x509.DNSName("example.org"))
    assert trust_problems([leaf], [root], NOW) == ["'CN=root' may not issue for example.org (its name constraints)"]


def test_a_ca_that_may_have_none_below_it() -> None:
    root = certificate("root", "root", x509.BasicConstraints(True, 0))
    middle = certificate("middle", "root", x509.BasicConstraints(True, None))
    leaf = certificate("leaf", "middle", x509.SubjectAlternativeName([x509.DNSName("a")]))
    assert trust_problems([leaf, middle, root], [root], NOW) == ["'CN=root' may not have so many CAs below it"]


def test_an_announcer_is_quiet_at_first_and_not_too_loud_later() -> None:
    clock, said = [0.0], list[str]()
    tell = Announcer(said.append, lambda: clock[0])
    for second in range(13):
        clock[0] = second
        tell(second, 12)
    assert said == ["fleet.tls.endpoint_info: 5 of 12 endpoints", "fleet.tls.endpoint_info: 10 of 12 endpoints"]
