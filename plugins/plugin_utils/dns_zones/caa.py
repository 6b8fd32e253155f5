# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CAA records (RFC 8659, RFC 8657) before an order: what the CA would refuse after a validation is refused before one.

Only what a record says counts. Where nobody answers, or the CA does not say which names it goes by, the CA is asked as ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.library import LIBRARY_PROBLEM, dns
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.name_servers import Lookup, NameServer


@dataclass(frozen=True)
class Property:
    """One CAA record.

    :param tag: ``issue``, ``issuewild``, or another, in lower case.
    :param value: as it stands.
    """

    critical: bool
    tag: str
    value: str


@dataclass(frozen=True)
class Asking:
    """Who is going to ask for a certificate.

    :param identities: the CA's names in CAA records (``caaIdentities`` of its directory).
    :param account: the account's URL.
    :param method: of validation, such as ``dns-01``.
    """

    identities: tuple[str, ...]
    account: str
    method: str


def check_caa(names: Iterable[str], asking: Asking, resolvers: Sequence[NameServer]) -> None:
    """Whether the domains' owners allow this.

    :param names: DNS names, wildcards with their ``*.``.
    :raises IssuerError: they do not; with the record that says so.
    """
    if LIBRARY_PROBLEM or not asking.identities:
        return
    lookup = Lookup(resolvers)
    known: dict[str, tuple[str, tuple[Property, ...]]] = {}
    for name in names:
        domain = name.removeprefix("*.")
        if domain not in known:
            found = relevant(lookup, domain)
            if found is None:
                return
            known[domain] = found
        where, properties = known[domain]
        problem = refusal(properties, asking, wildcard=name.startswith("*."))
        if problem:
            raise IssuerError(
                f"the CAA records of {where} do not allow a certificate for {name}: {problem}; the CA was not asked",
                remedy=f'add to DNS: {where}. CAA 0 {"issuewild" if name.startswith("*.") else "issue"} "{asking.identities[0]}"',
            )


def relevant(lookup: Lookup, domain: str) -> tuple[str, tuple[Property, ...]] | None:
    """The records that count for a domain, and whose they are: its own, or those of the nearest name above (RFC 8659, 3).

    None: nobody answers. The CA sees for itself; a resolver that is silent here says nothing of the domain.
    """
    labels = domain.rstrip(".").split(".")
    for start in range(len(labels)):
        name = ".".join(labels[start:])
        try:
            rrset = lookup.resolver.resolve(name, "CAA", raise_on_no_answer=False).rrset
        except dns.resolver.NXDOMAIN:
            continue
        except dns.exception.DNSException:
            return None
        if rrset:
            found = [
                Property(bool(each.flags & 128), each.tag.decode().lower(), each.value.decode("ascii", "replace"))
                for each in rrset
            ]
            return name, tuple(found)
    return domain, ()


def refusal(properties: Collection[Property], asking: Asking, *, wildcard: bool) -> str | None:
    """Why a set of records does not allow it (RFC 8659, 4), None: it does."""
    unknown = [each.tag for each in properties if each.critical and each.tag not in ("issue", "issuewild", "iodef")]
    if unknown:
        return f"the critical property '{unknown[0]}' is not understood"
    wild = [each for each in properties if each.tag == "issuewild"]
    counting = wild if wildcard and wild else [each for each in properties if each.tag == "issue"]
    if not counting or any(allows(each.value, asking) for each in counting):
        return None
    return "; ".join(f'{each.tag} "{each.value}"' for each in counting)


def allows(value: str, asking: Asking) -> bool:
    """Whether an issue-value lets the CA issue to this account by this method (RFC 8657, 3 and 4)."""
    name, *rest = (each.strip() for each in value.split(";"))
    parameters = {key.strip().lower(): text.strip() for key, _equals, text in (each.partition("=") for each in rest)}
    methods = {each.strip() for each in parameters.get("validationmethods", asking.method).split(",")}
    return (
        name.lower().rstrip(".") in {each.lower() for each in asking.identities}
        and parameters.get("accounturi", asking.account) == asking.account
        and asking.method in methods
    )
