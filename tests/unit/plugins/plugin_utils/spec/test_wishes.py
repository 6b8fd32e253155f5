# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A digest that changes with what is wanted of a host, and has no secret in it."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.spec.wishes import digest_of_wishes

NAMES = ("tls_certificates", "tls_store", "tls_issuers")
USUAL: dict[str, Any] = {
    "inventory_hostname": "web1",
    "tls_certificates": [{"name": "www", "dns_names": ["{{ inventory_hostname }}.{{ domain }}"]}],
    "domain": "{{ zone | default('example.com') }}",
    "tls_store": {"path": "/srv/store", "passphrase": "{{ vault_passphrase }}"},
    "vault_passphrase": "secret1",
    "groups": {"all": ["web1"]},
    "ansible_facts": {"distribution": "Debian"},
    "unrelated": 1,
}


def digest(**changes: Any) -> str:
    """That of the usual variables with changes; None: there is no such variable."""
    known = {name: value for name, value in {**USUAL, **changes}.items() if value is not None}
    return digest_of_wishes(known, NAMES, lambda value: value.text if isinstance(value, Vaulted) else None)


class Vaulted:
    """A value that is encrypted."""

    def __init__(self, text: str) -> None:
        self.text = text


def test_it_changes_with_what_is_read_and_with_nothing_else() -> None:
    usual = digest()
    assert usual == digest(unrelated=2) == digest(groups={"all": []}) == digest(ansible_facts={})
    assert usual != digest(tls_certificates=[{"name": "www", "dns_names": ["other.example.com"]}])
    assert usual != digest(tls_issuers={"internal": {"type": "ca"}})
    assert usual != digest(tls_store={"path": "/srv/other", "passphrase": "{{ vault_passphrase }}"})


def test_it_follows_templates_through_the_variables_that_they_name() -> None:
    usual = digest()
    assert (
        len({usual, digest(domain="example.org"), digest(zone="example.net"), digest(inventory_hostname="web2")}) == 4
    )
    loop = digest(domain="{{ zone }}", zone="{{ domain }}")
    assert loop not in (usual, digest(domain="{{ zone }}", zone="{{ domain }} "))


def test_secrets_are_not_in_it() -> None:
    usual = digest()
    assert usual == digest(vault_passphrase="secret2")
    assert usual == digest(tls_store={"path": "/srv/store", "passphrase": "typed here"})
    assert digest(domain="{{ dns_token }}", dns_token="a") == digest(domain="{{ dns_token }}", dns_token="b")
    assert digest(domain="{{ vault_pin }}", vault_pin="1") == digest(domain="{{ vault_pin }}", vault_pin="2")
    rooted = [
        {"internal": {"type": "ca", "keys": {"root": {"type": "pkcs11", "pin": pin}}}} for pin in ("1234", "4321")
    ]
    assert digest(tls_issuers=rooted[0]) == digest(tls_issuers=rooted[1]) != usual
    account = {"bao": {"type": "openbao", "token": "a", "environment": {"KEY": "b"}, "eab": {"hmac_key": "c"}}}
    other = {"bao": {"type": "openbao", "token": "d", "environment": {"KEY": "e"}, "eab": {"hmac_key": "f"}}}
    assert digest(tls_issuers=account) == digest(tls_issuers=other) != usual


def test_what_is_encrypted_counts_as_it_is_written() -> None:
    assert digest(domain=Vaulted("a")) == digest(domain=Vaulted("a")) != digest(domain=Vaulted("b"))


def test_the_parts_of_a_joined_list_count() -> None:
    whole = "{{ lookup('fleet.tls.joined', 'tls_certificates') }}"
    variables = {"tls_certificates": whole, "tls_certificates_web": [{"name": "www"}], "tls_hosts": "web"}
    before = digest(**variables)
    assert digest(**{**variables, "tls_certificates_web": [{"name": "mail"}]}) != before
    assert digest(**{**variables, "tls_certificates_db": []}) != before
    assert digest(**{**variables, "tls_hosts": "db"}) == before
