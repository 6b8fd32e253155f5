# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``client_names``: which clients a site lets in, as patterns of the names in their certificates, and the program that web servers
read them with. Pure.

One program in Lua for all servers, so that a certificate is read in one way: nginx and HAProxy cannot look into one by themselves,
and Apache's ``PeerExtList`` gives a text in which one name can look like two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509

NAMES_HEADER, CERTIFICATE_HEADER = "san", "certificate"
CLIENT_HEADERS = (NAMES_HEADER, CERTIFICATE_HEADER)
PROGRAM = Path(__file__).with_name("client_names.lua")
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+")
SUBJECT = re.compile(r"[A-Za-z0-9.]+=")
DNS = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
DNS_LABEL, URI_SEGMENT, URI_REST, SUBJECT_REST = "[%w_-]+", "[^/%c]*", "[^%c]*", "[^%c]*"
# What RFC 4514 has no short name for, and people write all the same.
ATTRIBUTES = {
    "emailAddress": x509.NameOID.EMAIL_ADDRESS,
    "serialNumber": x509.NameOID.SERIAL_NUMBER,
    "GN": x509.NameOID.GIVEN_NAME,
    "SN": x509.NameOID.SURNAME,
}

# What each server calls, behind the program.
ENTRY_POINTS = {
    "nginx": """
local site = ngx.var.fleet_tls_site
local allowed, names, certificate = is_open(site), "", ""
if ngx.var.ssl_client_verify == "SUCCESS" then
  allowed, names, certificate = judge_pem(site, ngx.var.ssl_client_raw_cert)
end
if not allowed then return ngx.exit(403) end
ngx.var.fleet_tls_client_names, ngx.var.fleet_tls_client_certificate = names, certificate
""",
    "apache": """
for site in pairs(NAMES) do
  _G["fleet-tls " .. site] = function(r)
    if r:ssl_var_lookup("SSL_CLIENT_VERIFY") ~= "SUCCESS" then return is_open(site) and apache2.DECLINED or 403 end
    local allowed, names, certificate = judge_pem(site, r:ssl_var_lookup("SSL_CLIENT_CERT"))
    if not allowed then return 403 end
    r.subprocess_env["FLEET_TLS_CLIENT_NAMES"], r.subprocess_env["FLEET_TLS_CLIENT_CERTIFICATE"] = names, certificate
    return apache2.DECLINED
  end
end
""",
    "haproxy": """
core.register_action("fleet-tls-client", { "http-req" }, function(txn, site)
  local der = txn.f:ssl_c_der()
  local good, allowed, names = true, is_open(site), ""
  if der then
    good, allowed, names = pcall(judge, site, der)
  end
  txn:set_var("txn.fleet_tls_client", good and allowed and "allowed" or "refused")
  txn:set_var("txn.fleet_tls_client_names", good and names or "")
end, 1)
""",
}


@dataclass(frozen=True)
class ClientName:
    """One pattern: exactly one of these is given.

    :param dns: a Lua pattern of a DNS name in lower case.
    :param uri: a Lua pattern of a URI.
    :param subject: the parts of a distinguished name in the certificate's order, each ``((dotted OID, Lua pattern), ...)``.
    """

    dns: str | None = None
    uri: str | None = None
    subject: tuple[tuple[tuple[str, str], ...], ...] | None = None


def parse_client_names(fields: Fields, client_auth: str, default: Sequence[str]) -> list[str]:
    """``client_names``, checked.

    :param default: for sites that require a certificate and do not say.
    :raises SpecError: something that is no name; names of clients that need no certificate.
    """
    given = "client_names" in fields.raw
    names = fields.strings("client_names") if given else list(default) if client_auth == "required" else []
    if names and client_auth != "required":
        raise SpecError(
            f"{fields.prefix}client_names: clients need no certificate here", remedy="add client_auth: required"
        )
    for text in names:
        parse_client_name(text, f"{fields.prefix}client_names" if given else "tls_client_auth_names")
    return names


def parse_client_headers(fields: Fields, client_auth: str, default: list[str]) -> list[str]:
    """``client_headers``, checked.

    :raises SpecError: an unknown one; the site asks nobody for a certificate.
    """
    headers = fields.strings("client_headers") if "client_headers" in fields.raw else default
    if headers and client_auth == "none":
        raise SpecError(
            f"{fields.prefix}client_headers: no client is asked for a certificate here",
            remedy="add client_auth: optional or required",
        )
    return [one_of(each, CLIENT_HEADERS, f"{fields.prefix}client_headers") for each in headers]


def parse_client_name(text: str, where: str) -> ClientName:
    """``app.example.com``, ``*.jobs.example.com``, ``spiffe://example.com/ns/*/sa/web`` or ``CN=deploy,O=Example``.

    A ``*`` stands for one label of a DNS name, for anything within one segment of a URI (``**``: also for several), for anything in
    a value of a subject.

    :param where: for errors.
    :raises SpecError: it is none of these, or would match everything.
    """
    if not text.strip("*/:. "):
        raise SpecError(f"{where}: '{text}' would let everybody in", remedy="leave client_names out for that")
    if SUBJECT.match(text):
        return ClientName(subject=parse_subject(text, where))
    if URI.fullmatch(text):
        return ClientName(uri=f"^{pattern(text, ((r'**', URI_REST), (r'*', URI_SEGMENT)))}$")
    if DNS.fullmatch(text.lower()):
        return ClientName(dns=f"^{pattern(text.lower(), (('*', DNS_LABEL),))}$")
    raise SpecError(
        f"{where}: '{text}' is not a client's name",
        remedy="write a DNS name (app.example.com, *.jobs.example.com), a URI (spiffe://example.com/ns/*/sa/web) or a subject (CN=deploy,O=Example)",
    )


def parse_subject(text: str, where: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The parts of a subject as RFC 4514 writes it.

    :raises SpecError: it is none.
    """
    try:
        name = x509.Name.from_rfc4514_string(text, ATTRIBUTES)
        # Newer releases of cryptography refuse that themselves.
        if not all(attribute.value for attribute in name):
            raise ValueError("a part of it has no value")
    except ValueError as error:
        raise SpecError(
            f"{where}: '{text}' is not a subject: {str(error) or 'it cannot be read'}",
            remedy="write it as RFC 4514 does, CN=deploy,O=Example",
        ) from error
    return tuple(
        tuple(
            (each.oid.dotted_string, f"^{pattern(str(each.value), (('*', SUBJECT_REST),))}$")
            for each in sorted(part, key=lambda attribute: attribute.oid.dotted_string)
        )
        for part in name.rdns
    )


def pattern(text: str, wildcards: Sequence[tuple[str, str]]) -> str:
    """A text with wildcards as a Lua pattern (Lua 5.1 manual, 5.4.1).

    :param wildcards: what each stands for; the longer one first.
    """
    if not wildcards:
        return re.sub(r"[^A-Za-z0-9\x80-\U0010ffff]", lambda match: f"%{match[0]}", text)
    (wildcard, meaning), *others = wildcards
    return meaning.join(pattern(part, others) for part in text.split(wildcard))


def client_names_program(sites: Iterable[dict[str, Any]], server: str) -> str:
    """The program for a web server, with the names of its sites.

    :param sites: as :func:`expand_sites` returns them; those that neither ask who a client is nor tell are left out.
    :param server: one of ``ENTRY_POINTS``.
    """
    names = [
        f"NAMES[{quoted(site['name'])}] = {{ {', '.join(as_lua(parse_client_name(each, '')) for each in site['client_names'])} }}"
        for site in sites
        if site["checks_clients"]
    ]
    return f"{PROGRAM.read_text(encoding='ascii')}\n" + "\n".join(names) + f"\n{ENTRY_POINTS[server]}"


def header_spellings(name: str) -> list[str]:
    """A header's name with every mix of ``-`` and ``_``: applications take these for the same (CGI, RFC 3875 4.1.18)."""
    first, *others = name.split("-")
    return ["".join(each) for each in product([first], *(("-" + part, "_" + part) for part in others))]


def as_lua(name: ClientName) -> str:
    """A pattern as a Lua table."""
    if name.subject is None:
        return f"{{ dns = {quoted(name.dns)} }}" if name.dns else f"{{ uri = {quoted(name.uri or '')} }}"
    parts = (
        "{ " + ", ".join(f"{{ {quoted(oid)}, {quoted(value)} }}" for oid, value in part) + " }" for part in name.subject
    )
    return f"{{ subject = {{ {', '.join(parts)} }} }}"


def quoted(text: str) -> str:
    """A Lua string; what is not plain is written as numbers of bytes."""
    plain = re.compile(rb"[A-Za-z0-9 %^$.:/_*+()\[\]@=,-]")
    return '"' + "".join(chr(byte) if plain.match(bytes([byte])) else f"\\{byte:03d}" for byte in text.encode()) + '"'
