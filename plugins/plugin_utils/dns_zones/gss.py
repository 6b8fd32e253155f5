# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys for updates that a Kerberos ticket gives (GSS-TSIG, RFC 3645), as Active Directory and FreeIPA want them.

The one place where the library ``gssapi`` is imported. The ticket is that of the controller's credentials cache (``KRB5CCNAME``), or is
got with its client keytab (``KRB5_CLIENT_KTNAME``); no secret passes through here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_boolean
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.library import dns
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.name_servers import (
    Lookup,
    NameServer,
    ask,
    failed,
    is_address,
)

# RFC 2930, 2.5: the mode of a TKEY record that carries tokens of GSS-API. Kerberos needs two of them.
GSS_MODE = 3
MOST_TOKENS = 5


@dataclass(frozen=True)
class Gss:
    """Who signs, and for whom.

    :param service: the host in the server's Kerberos name, ``DNS/HOST``.
    :param principal: None: whoever the controller's credentials are of.
    """

    service: str
    principal: str | None

    @classmethod
    def parse(cls, raw: Any, server: NameServer, where: str) -> Gss | None:
        """``true``, or ``{principal, service}``; None: updates are not signed this way.

        :raises SpecError: another form, or no name to ask for a ticket.
        """
        options = raw if isinstance(raw, Mapping) else {}
        if not options and (raw is None or not parse_boolean(raw, where)):
            return None
        fields = Fields(options, ("principal", "service"), where)
        service = fields.text("service") or server.host
        if is_address(service):
            raise SpecError(
                f"{where}: Kerberos knows servers by name, and '{service}' is an address",
                remedy="write the server's name in server, or in gss: {service: dc1.example.com}",
            )
        return cls(service.rstrip("."), fields.text("principal"))

    def key(self, lookup: Lookup, server: NameServer) -> Any:
        """A key of dnspython's for one update, which the server has agreed to.

        :raises DependencyError: the library is missing; :raises IssuerError: there is no ticket, or the server does not take it.
        """
        gssapi = library()
        try:
            context = self.context(gssapi)
            key = dns.tsig.Key(f"{secrets.token_hex(16)}.{self.service}", context, dns.tsig.GSS_TSIG)
            token = context.step()
            for _token in range(MOST_TOKENS):
                token = self.answered(lookup, server, key, token)
                if context.complete:
                    return key
        except gssapi.exceptions.GSSError as error:
            problem = failed(server, f"no key with Kerberos for DNS/{self.service}: {shortened(error)[:300]}")
            problem.remedy = (
                "get a ticket (kinit), or name a keytab in KRB5_CLIENT_KTNAME, where ansible runs; see challenge.gss"
            )
            raise problem from None
        raise failed(server, f"no key with Kerberos for DNS/{self.service}: the server asks for more and more")

    def context(self, gssapi: Any) -> Any:
        """What both sides derive keys in."""
        kinds, credentials = gssapi.NameType, None
        if self.principal:
            credentials = gssapi.Credentials(
                name=gssapi.Name(self.principal, kinds.kerberos_principal), usage="initiate"
            )
        name = gssapi.Name(f"DNS@{self.service}", kinds.hostbased_service)
        return gssapi.SecurityContext(name=name, creds=credentials, usage="initiate")

    def answered(self, lookup: Lookup, server: NameServer, key: Any, token: bytes) -> bytes | None:
        """Our next token, once the server has answered the last one (RFC 3645, 3.1 and 4.1). None: it needs none.

        :raises IssuerError: it refuses.
        """
        now = int(time.time())
        any_class, kind = dns.rdataclass.ANY, dns.rdatatype.TKEY
        record = dns.rdtypes.ANY.TKEY.TKEY(any_class, kind, dns.tsig.GSS_TSIG, now, now, GSS_MODE, 0, token)
        query = dns.message.make_query(key.name, kind, any_class)
        # The last answer is signed with the key that its own token completes: dnspython's adapter takes it in first.
        query.keyring = dns.tsig.GSSTSigAdapter({key.name: key})
        query.find_rrset(query.additional, key.name, any_class, kind, create=True).add(record)
        answer = ask(lookup, server, query, "agreement on a key", tcp=True)
        rrset = answer.get_rrset(answer.answer, key.name, any_class, kind)
        error = answer.rcode() or (rrset[0].error if rrset else dns.rcode.SERVFAIL)
        if error:
            raise failed(server, f"it does not take the ticket for DNS/{self.service}: {dns.rcode.to_text(error)}")
        return None if key.secret.complete else key.secret.step(rrset[0].key)


def library() -> Any:
    """:raises DependencyError: it is not on the controller."""
    try:
        import gssapi
    # It is bound to the system's Kerberos library, which may be missing as well.
    except (ImportError, OSError) as error:
        raise DependencyError(
            f"challenge.gss: the Python package 'gssapi' is missing on the controller ({error})",
            remedy="install it where ansible runs: pip install gssapi, which needs a compiler and libkrb5-dev; "
            "or Debian's python3-gssapi for Debian's own Python",
        ) from None
    return gssapi
