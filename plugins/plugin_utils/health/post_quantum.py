# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a fleet is from the time after RSA and elliptic curves: one finding of each kind for all of it. Pure.

Nearly every fleet of today lacks something of it. A line for each endpoint would hide what has to be done today.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import (
    CertificateEntry,
    Context,
    Finding,
    HostInput,
    Observation,
)

HYBRID = "X25519MLKEM768"
# The first OpenSSL with ML-KEM and ML-DSA.
SINCE = (3, 5)
# Signature algorithms (FIPS 204 and 205) that no quantum computer is known to break, as certificates' keys are called.
SAFE_KEYS = ("ml-dsa", "mldsa", "slh-dsa")
# What keeps a host from it whose OpenSSL has it.
LEFT_OUT = "the server's profile or configuration leaves it out"
CHOSEN = "private_key.algorithm is another one, for the sake of clients perhaps"
# So many hosts are named; the others are counted.
MOST_NAMED = 5


def post_quantum(seen: Sequence[HostInput], entries: Iterable[CertificateEntry], context: Context) -> list[Finding]:
    """What there is to say of key agreement and, where that is wanted, of keys."""
    entries = list(entries)
    hosts = {each.host: each.openssl for each in seen}
    found = key_agreement(hosts, entries)
    return found + (vulnerable_keys(hosts, entries) if context.quantum_vulnerable else [])


def cannot_show(entry: CertificateEntry, sight: Observation) -> bool:
    """Whether an endpoint may serve a certificate all the same: the OpenSSL that asked does not know keys of its kind."""
    differs = sight.fingerprint is None or sight.fingerprint != entry.fingerprint
    return sight.ml_dsa or (differs and is_safe(entry) and too_old(sight.openssl))


def too_old(version: str | None) -> bool:
    """Whether an OpenSSL lacks ML-KEM and ML-DSA; one that is not known does not count as that."""
    numbers = tuple(int(each) for each in (version or "").split(".")[:2] if each.isdecimal())
    return bool(numbers) and numbers < SINCE


def is_safe(entry: CertificateEntry) -> bool:
    """Whether no quantum computer is known to break its key."""
    return str(entry.facts.get("key_algorithm") or "").lower().startswith(SAFE_KEYS)


def key_agreement(hosts: Mapping[str, tuple[int, ...]], entries: Iterable[CertificateEntry]) -> list[Finding]:
    """The endpoints that agree on keys in a way that a quantum computer breaks later, and those of which that cannot be told.

    :param hosts: with the version of their OpenSSL.
    """
    # One endpoint may have been looked at twice, and by two versions.
    sights: dict[tuple[str, str], list[Observation]] = {}
    for entry in entries:
        for sight in entry.sights:
            if sight.fingerprint is not None and sight.openssl:
                sights.setdefault((entry.host, sight.endpoint), []).append(sight)
    hybrid = {place for place, seen in sights.items() if any(is_hybrid(each) for each in seen)}
    missing = {place for place, seen in sights.items() if any(map(can_tell, seen))} - hybrid
    unknown = sights.keys() - hybrid - missing
    found = []
    if missing:
        affected = dict.fromkeys(sorted(host for host, _endpoint in missing))
        message = (
            f"{len(missing)} of {len(sights)} endpoints agree on keys without {HYBRID}, so what is recorded today may be"
            f" read when there are quantum computers: {reasons(affected, hosts, LEFT_OUT)}"
        )
        remedy = (
            "upgrade these hosts to OpenSSL 3.5 or newer (Debian 13 has it), and let their servers' groups begin with"
        )
        found.append(fleet_finding("pq_key_agreement_missing", "key agreement", message, f"{remedy} {HYBRID}"))
    if unknown:
        versions = sorted({str(each.openssl) for place in unknown for each in sights[place]})
        message = (
            f"whether {len(unknown)} of {len(sights)} endpoints agree on keys with {HYBRID} cannot be told: OpenSSL"
            f" {', '.join(versions)} asked, and that is known from 3.5 on"
            f" ({named(sorted({host for host, _endpoint in unknown}))})"
        )
        remedy = "set tls_check_post_quantum for hosts with tls_sites or tls_endpoints, or ask from a machine with OpenSSL 3.5"
        found.append(fleet_finding("cannot_judge_here", "key agreement", message, remedy))
    return found


def is_hybrid(sight: Observation) -> bool:
    """Whether keys were agreed on with ML-KEM."""
    return sight.post_quantum is True or "MLKEM" in (sight.group or "").upper()


def can_tell(sight: Observation) -> bool:
    """Whether who asked would have seen that."""
    return sight.post_quantum is not None or not too_old(sight.openssl)


def vulnerable_keys(hosts: Mapping[str, tuple[int, ...]], entries: Iterable[CertificateEntry]) -> list[Finding]:
    """The certificates whose keys a quantum computer could break."""
    known = [each for each in entries if each.facts.get("key_algorithm")]
    weak = [each for each in known if not is_safe(each)]
    if not weak:
        return []
    kinds = Counter(str(each.facts["key_algorithm"]) for each in weak)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda each: (-each[1], each[0])))
    message = (
        f"{len(weak)} of {len(known)} certificates have keys that a quantum computer could break ({listed}):"
        f" {reasons(dict.fromkeys(sorted(each.host for each in weak)), hosts, CHOSEN)}"
    )
    remedy = "nothing is broken yet; give a certificate an ML-DSA key where its host and all its clients know that"
    return [fleet_finding("quantum_vulnerable", "certificates' keys", message, remedy)]


def reasons(affected: Iterable[str], hosts: Mapping[str, tuple[int, ...]], otherwise: str) -> str:
    """Why it is so, each reason with its hosts.

    :param otherwise: what keeps a host from it whose OpenSSL is new enough.
    """
    groups: dict[str, list[str]] = {}
    for host in affected:
        groups.setdefault(reason(hosts.get(host, ()), otherwise), []).append(host)
    return "; ".join(f"{why} ({named(names)})" for why, names in groups.items())


def reason(openssl: tuple[int, ...], otherwise: str) -> str:
    """The one of a host."""
    if not openssl:
        return "their OpenSSL is not known"
    version = ".".join(map(str, openssl))
    if openssl < SINCE:
        return f"OpenSSL {version} is too old"
    return f"OpenSSL {version} has it, but {otherwise}"


def named(hosts: Sequence[str]) -> str:
    """Hosts by name, the first of them where they are many."""
    rest = len(hosts) - MOST_NAMED
    return ", ".join(hosts[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def fleet_finding(code: str, subject: str, message: str, remedy: str) -> Finding:
    """A finding about no host in particular."""
    return Finding(code, "host", subject, message, remedy)
