# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen of a host, joined: one entry a certificate, whether it was wanted, found on disk or seen on the wire. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import (
    CertificateEntry,
    Context,
    Finding,
    HostInput,
    Observation,
    mappings,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import describe, parse_pem_chain

# What is left over, in words.
WORDS = {
    "certificate": "the certificate", "client": "the client", "bundle": "the trust bundle", "pool": "the ring of session ticket keys",
    "sites": "the configuration of",
}  # fmt: skip
FINDING_KINDS = {"certificate": "certificate", "pool": "ring"}
DAMAGE = ("damaged", "key_missing", "key_mismatch", "chain_broken")


def join(seen: HostInput, context: Context) -> tuple[list[CertificateEntry], list[Finding]]:
    """The certificates of a host, and what was found of files that belong to none."""
    entries = HostEntries()
    for look in mappings(seen.look.get("certificates")):
        entries.add(managed_entry(seen.host, look))
    findings = add_files(seen, entries, context)
    findings += add_left_over(seen, entries)
    for probe in seen.probes:
        for result in mappings(probe.get("endpoints")):
            findings += add_sight(seen, entries, {**result, "openssl": probe.get("openssl")}, context)
    return entries.all, findings


class HostEntries:
    """The certificates of a host, found by what they are asked for: some hosts have thousands."""

    def __init__(self) -> None:
        self.all: list[CertificateEntry] = []
        self._known: dict[tuple[str, Any], CertificateEntry] = {}

    def add(self, entry: CertificateEntry) -> None:
        """Take one; where two have the same, the first one is found."""
        self.all.append(entry)
        marks: list[tuple[str, Any]] = [("name", entry.name), ("fingerprint", entry.fingerprint)]
        if entry.origin != "wire":
            marks.append(("names", entry.names))
        if entry.origin == "managed":
            marks += [("host name", name) for name in entry.names]
        for mark in marks:
            if mark[1]:
                self._known.setdefault(mark, entry)

    def find(self, what: str, value: Any) -> CertificateEntry | None:
        """By ``name``, ``fingerprint``, ``names`` (all of them; of what is wanted or on disk) or ``host name`` (of a managed one)."""
        return self._known.get((what, value))


def managed_entry(host: str, look: Mapping[str, Any]) -> CertificateEntry:
    """A certificate of ``tls_certificates``."""
    return CertificateEntry(
        host=host,
        origin="managed",
        facts=look if look.get("not_after") else {"dns_names": (), "ip_addresses": ()},
        name=str(look.get("name")),
        path=f"{look.get('path')}/fullchain.pem",
        issuer=look.get("issuer"),
        issuer_subject=look.get("issuer_subject"),
        next_run=next_run(look),
        look=look,
        sights=[
            Observation(
                str(one.get("endpoint")),
                one.get("server_name"),
                one.get("fingerprint"),
                one.get("error"),
                group=one.get("group"),
                signature_scheme=one.get("signature_scheme"),
                openssl=one.get("openssl"),
            )
            for one in mappings(look.get("served"))
            # One that only came with a service's preset counts when it shows this certificate, or an older one of the same name.
            if one.get("explicit") or one.get("ours")
        ],
    )


def next_run(look: Mapping[str, Any]) -> str:
    """What the next deploy will do, from what one in check mode said."""
    if look.get("action") == "repair":
        return "repair"
    if look.get("action") != "issue":
        return "nothing"
    damaged = any(reason.get("code") in DAMAGE for reason in mappings(look.get("reasons")))
    return "renew" if look.get("installed") and not damaged else "issue"


def add_files(seen: HostInput, entries: HostEntries, context: Context) -> list[Finding]:
    """Entries for what nobody manages; findings about keys and files."""
    findings = []
    looked = isinstance(seen.look.get("certificates"), (list, tuple)) or bool(seen.look.get("skipped"))
    for file in mappings(seen.files.get("files")):
        owner = entries.find("name", file.get("managed"))
        path = str(file.get("path"))
        findings += file_findings(seen.host, file, owner)
        leaf = next((each for each in mappings(file.get("certificates")) if each.get("not_after")), None)
        if owner or leaf is None or (file.get("managed") and not looked):
            continue
        # A CA without its key is somebody's trust, and nothing that a server shows.
        known = entries.find("fingerprint", leaf.get("fingerprint_sha256"))
        if known or (leaf.get("ca") and not file.get("pairs")):
            continue
        entry = unmanaged_entry(seen.host, "disk", leaf, context, path)
        # A pair of ours that is in the inventory no more.
        entry.name = str(file["managed"]) if file.get("managed") else None
        entries.add(entry)
    return findings


def add_left_over(seen: HostInput, entries: HostEntries) -> list[Finding]:
    """What is in the inventory no more: said of its certificate where that is seen, else a finding of its own."""
    findings = []
    for each in mappings(seen.left_over.get("left_over")):
        kind, name, remedy = (str(each.get(key)) for key in ("kind", "name", "remedy"))
        message = f"{WORDS.get(kind, kind)} '{name}' is no longer in the inventory"
        entry = entries.find("name", name) if kind == "certificate" else None
        if entry:
            entry.found("left_over", message, remedy)
        else:
            path = name if kind == "bundle" else None
            findings.append(
                Finding("left_over", FINDING_KINDS.get(kind, "file"), name, message, remedy, seen.host, path)
            )
    return findings


def unmanaged_entry(
    host: str, origin: str, facts: Mapping[str, Any], context: Context, path: str | None = None
) -> CertificateEntry:
    """A certificate that is in nobody's ``tls_certificates``."""
    row = context.issued.get(str(facts.get("fingerprint_sha256"))) or {}
    return CertificateEntry(
        host, origin, facts, path=path, issuer=row.get("issuer"), issuer_subject=facts.get("issuer")
    )


def file_findings(host: str, file: Mapping[str, Any], owner: CertificateEntry | None) -> list[Finding]:
    """What is wrong with a file itself. What is wrong with a managed pair is said with its certificate."""
    path = str(file.get("path"))
    found = []
    keys = [key for key in mappings(file.get("private_keys")) if not key.get("encrypted")]
    if keys and file.get("readable_by_others"):
        message = f"the private key in {path} can be read by everybody on the host (mode {file.get('mode')})"
        if owner:
            remedy = (
                f"run fleet.tls.deploy -l {host}, and if anybody else has been there, fleet.tls.replace_compromised"
            )
            finding = Finding("key_exposed", "file", owner.subject, message, remedy, host, path)
            owner.findings.append(finding)
        else:
            found.append(
                Finding("key_exposed", "file", path, message, f"run chmod o= {path}, and replace the key", host, path)
            )
    if file.get("mismatch") and not owner:
        message = f"the private key in {path} belongs to none of the certificates in it"
        found.append(Finding("damaged", "file", path, message, "put the right key beside its certificate", host, path))
    if not owner:
        found += unread(host, file, path)
    return found


def unread(host: str, file: Mapping[str, Any], path: str) -> list[Finding]:
    """What a file has that nobody can read; one that is understood in part is somebody's, and not to be removed."""
    certificates = mappings(file.get("certificates"))
    error = file.get("error") or next((one["error"] for one in certificates if one.get("error")), None)
    if not error:
        return []
    if any(one.get("not_after") for one in certificates):
        message = f"{path} could be read in part only: {error}"
        remedy = "replace what is wrong in it, or name it in tls_check_exclude"
    else:
        message = f"{path} could not be read: {error}"
        remedy = "give tls_check_passphrases, name it in tls_check_exclude, or remove it"
    return [Finding("unmanaged", "file", path, message, remedy, host, path)]


def add_sight(seen: HostInput, entries: HostEntries, result: Mapping[str, Any], context: Context) -> list[Finding]:
    """What an endpoint showed goes to the certificate it shows, or to the one that it was to show; findings where there is none."""
    chain = readable_chain(result.get("chain"))
    shown = next((each for each in mappings(result.get("certificates"))), {})
    fingerprint = shown.get("fingerprint_sha256")
    sight = Observation(
        endpoint=str(result.get("endpoint")),
        server_name=result.get("server_name"),
        fingerprint=fingerprint,
        # A server that insists on a client's certificate has shown its own all the same.
        error=None if fingerprint else str(result.get("error") or "it shows no certificate"),
        protocol=result.get("protocol"),
        chain=chain,
        group=result.get("group"),
        signature_scheme=result.get("signature_scheme"),
        openssl=result.get("openssl"),
        post_quantum=result.get("post_quantum"),
        ml_dsa=result.get("ml_dsa") is True,
    )
    wanted = seen.wanted.get((sight.endpoint, sight.server_name), ())
    if len(wanted) > 1 and fingerprint is not None:
        several = [each for each in (entries.find("name", name) for name in wanted) if each]
        add_to_several(several, [sight, *second_sight(sight, result)])
        return []
    facts = describe(chain[0], context.now) if chain else {"fingerprint_sha256": fingerprint, **shown}
    entry = meant(seen.host, entries, sight, next(iter(wanted), None), facts, context)
    if entry is None and sight.ml_dsa:
        remedy = "ask from a machine with OpenSSL 3.5 or newer: its own host with tls_check_origin: host"
        message = f"{sight.endpoint}: {sight.error} ({sight.openssl} asked)"
        return [
            Finding("cannot_judge_here", "host", sight.endpoint, message, remedy, seen.host, endpoint=sight.endpoint)
        ]
    if entry is None and fingerprint is None:
        remedy = "see whether its server runs and can be reached from here, or take it out of tls_endpoints"
        message = f"{sight.endpoint} shows no certificate: {sight.error}"
        return [Finding("endpoint_down", "host", sight.endpoint, message, remedy, seen.host, endpoint=sight.endpoint)]
    if entry is None:
        entry = unmanaged_entry(seen.host, "wire", facts, context)
        entries.add(entry)
    entry.sights.append(sight)
    add_second(seen.host, entries, sight, result, context)
    return []


def add_second(
    host: str, entries: HostEntries, first: Observation, result: Mapping[str, Any], context: Context
) -> None:
    """What the endpoint shows to clients of another kind, RSA beside ECDSA. Which one is to be there is not known, so only itself is judged."""
    for sight in second_sight(first, result):
        entry = entries.find("fingerprint", sight.fingerprint)
        if entry is None:
            entry = unmanaged_entry(host, "wire", mappings(result.get("other_certificates"))[0], context)
            entries.add(entry)
        entry.sights.append(sight)


def second_sight(first: Observation, result: Mapping[str, Any]) -> list[Observation]:
    """What an endpoint shows to clients of another kind; empty where there is nothing."""
    shown = next((each for each in mappings(result.get("other_certificates"))), {})
    fingerprint = shown.get("fingerprint_sha256")
    if fingerprint is None:
        return []
    chain = readable_chain(result.get("other_chain"))
    # By which algorithm the server signs for those clients, the handshake that showed it does not tell.
    return [replace(first, fingerprint=fingerprint, error=None, chain=chain, signature_scheme=None)]


def add_to_several(entries: Sequence[CertificateEntry], shown: Sequence[Observation]) -> None:
    """What an endpoint shows that is to serve several certificates, each to clients of another kind, goes to each of them: itself, or
    what is shown in its place."""
    strange = [each for each in shown if each.fingerprint not in {entry.fingerprint for entry in entries}]
    for entry in entries:
        itself = [each for each in shown if each.fingerprint == entry.fingerprint]
        entry.sights.append((itself or strange or list(shown))[0])


def readable_chain(raw: Any) -> tuple[x509.Certificate, ...]:
    """What an endpoint sent, up to the first certificate that cannot be read."""
    chain: list[x509.Certificate] = []
    for pem in raw if isinstance(raw, (list, tuple)) else ():
        try:
            chain.append(parse_pem_chain(str(pem))[0])
        except CertificateError:
            break
    return tuple(chain)


def meant(
    host: str,
    entries: HostEntries,
    sight: Observation,
    wanted: str | None,
    shown: Mapping[str, Any],
    context: Context,
) -> CertificateEntry | None:
    """The certificate that an endpoint shows, or was to show; None: nothing is known of one.

    In this order: the one that the inventory names for it; the very one; the one in whose place the ledger says it was issued; one with
    the same names; where nothing is shown, one for the name that was asked for.
    """
    found = entries.find("name", wanted)
    if sight.fingerprint is None:
        return found or entries.find("host name", sight.server_name)
    row = context.issued.get(sight.fingerprint) or {}
    issued = row.get("certificate") if row.get("host") == host else None
    names = CertificateEntry("", "wire", shown).names
    return (
        found
        or entries.find("fingerprint", sight.fingerprint)
        or entries.find("name", issued)
        or entries.find("names", names)
    )
