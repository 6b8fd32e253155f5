# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Solver ``dns_lexicon``: dns-01 by the API of any of the DNS providers that the library ``dns-lexicon`` knows."""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: dns-01, by the API of one of about 90 DNS providers
description:
  - For names and wildcards. The library L(dns-lexicon,https://dns-lexicon.readthedocs.io/) writes the TXT records.
requirements:
  - dns-lexicon
  - dnspython
extends_documentation_fragment: fleet.tls.providers.dns_api
options:
  provider:
    description: The provider's name in dns-lexicon.
    type: str
    required: true
  options:
    description: The provider's own options, credentials among them, as dns-lexicon names them. Keep secrets in Ansible Vault.
    type: dict
    default: {}
  zones:
    description: The zones that the provider hosts. They are never guessed.
    type: list
    elements: str
    required: true
"""
EXAMPLES = r"""
challenge:
  type: dns_lexicon
  provider: powerdns
  zones: [example.com]
  options: {pdns-server: "https://pdns.example.com:8081", auth-token: "{{ vault_pdns_token }}"}
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError, IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.visible import Record
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.dns_api_solver import DnsApiSolver

try:
    import lexicon.client
    import lexicon.config
    import tldextract
except ImportError as error:
    LIBRARY_PROBLEM: str | None = str(error)
else:
    LIBRARY_PROBLEM = None

TTL = 60
HIDDEN = "[hidden]"


class LexiconSolver(DnsApiSolver):
    """Options: ``provider``, ``options`` (the provider's own, credentials among them), ``zones``, and those of every API solver."""

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        provider = self.fields.text("provider")
        if not provider:
            raise SpecError(
                f"{where}: provider is missing", remedy="name one of dns-lexicon's providers, such as powerdns"
            )
        self.provider = provider
        raw = self.fields.get("options", {})
        if not isinstance(raw, Mapping):
            raise SpecError(
                f"{where}: options must be a mapping", remedy="write the provider's options, without dashes in front"
            )
        self.options = {str(key).replace("-", "_"): str(value) for key, value in raw.items()}
        self.zones = tuple(each.rstrip(".").lower() for each in self.fields.strings("zones"))
        if not self.zones:
            raise SpecError(
                f"{where}: zones is missing", remedy="name the zones that the provider has, such as example.com"
            )

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("provider", "options", "zones", *super().option_names())

    def rehearse(self, domains: Any, thumbprint: str) -> None:
        require_lexicon()
        for domain in domains:
            self.zone_of(self.lookup.canonical(f"_acme-challenge.{domain}"))

    def write(self, record: Record) -> None:
        with self.operations(record) as operations:
            operations.create_record("TXT", record.name, record.value)

    def remove(self, record: Record) -> None:
        with self.operations(record) as operations:
            operations.delete_record(rtype="TXT", name=record.name, content=record.value)

    def zone_of(self, name: str) -> str:
        """The one of ``zones`` that a name lies in, the longest first.

        :raises IssuerError: none.
        """
        fitting = [each for each in self.zones if f".{name}".endswith(f".{each}")]
        if not fitting:
            raise IssuerError(
                f"{self.where}: {name} lies in none of the zones ({', '.join(self.zones)})",
                remedy="add its zone to zones",
            )
        return max(fitting, key=len)

    @contextlib.contextmanager
    def operations(self, record: Record) -> Iterator[Any]:
        """The provider, logged in.

        :raises IssuerError: it refuses, with its words, in which no option of the user's appears.
        """
        require_lexicon()
        zone = self.zone_of(record.name)
        settings = {"provider_name": self.provider, "domain": zone, "ttl": TTL, self.provider: self.options}
        try:
            with no_suffix_list():
                client = lexicon.client.Client(lexicon.config.ConfigResolver().with_dict(settings))
            # The library guesses a registered domain; the zone is known.
            client.config.add_config_source(lexicon.config.DictConfigSource({"domain": zone}), 0)
            with client as operations:
                yield operations
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            for secret in sorted(filter(None, self.options.values()), key=len, reverse=True):
                words = words.replace(secret, HIDDEN)
            raise IssuerError(
                f"DNS provider {self.provider}: {shortened(words)[:300]}",
                remedy=f"see challenge.options and what dns-lexicon says of its provider {self.provider}",
            ) from None


@contextlib.contextmanager
def no_suffix_list() -> Iterator[None]:
    """The library downloads the list of public suffixes to guess a zone with; here the copy that its helper brings will do."""
    module: Any = lexicon.client.tldextract
    original = tldextract.TLDExtract
    module.TLDExtract = functools.partial(original, suffix_list_urls=())
    try:
        yield
    finally:
        module.TLDExtract = original


def require_lexicon() -> None:
    """:raises DependencyError: the library is not on the controller."""
    if LIBRARY_PROBLEM:
        raise DependencyError(
            f"the Python package 'dns-lexicon' is missing on the controller ({LIBRARY_PROBLEM})",
            remedy="install it where ansible runs: pip install dns-lexicon",
        )


PROVIDER = LexiconSolver
