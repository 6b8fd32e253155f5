# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers of many handshakes mean. No Ansible, no sockets."""

from __future__ import annotations

import datetime as dt
import functools
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import LONGEST_CHAIN
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.accepted import judge_accepts, read_accepts
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.fields import (
    boolean_or_none,
    number_or_none,
    printable,
    read_resumption,
    read_staple,
    text_or_none,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import ChainVerdict, judge_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.partial_certificate import describe_partly
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.path_rules import leaf_names
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import UNREADABLE, describe, parse_pem_chain

TEXT_FIELDS = ("protocol", "cipher", "group", "signature_scheme", "alpn", "ticket_key_name", "client_certificate")
# What `cryptography` raises for a certificate that parses on the outside and is broken, or too new for it, further in.
BROKEN = (CertificateError, OverflowError, LookupError, *UNREADABLE)
# What is said of a chain that leads nowhere.
PATHLESS = ("no_path", "bad_signature", "self_signed")
# Of an endpoint that goes on with clients that take nothing else.
ML_DSA = "it serves a certificate with an ML-DSA key, which the OpenSSL that asked does not know: that takes 3.5"
# So many certificates and chains are kept in mind, for thousands of endpoints serve few.
MOST_KNOWN = 2048


def read_answer(
    endpoints: Sequence[Endpoint],
    answer: Mapping[str, Any],
    *,
    anchors: Sequence[x509.Certificate] | None,
    now: dt.datetime,
) -> list[dict[str, Any]]:
    """What the handshakes showed, one entry an endpoint as documented in ``fleet.tls.endpoint_info``.

    :param answer: of the step ``handshake``. It may come from a host, so its shape is not taken on trust.
    :param anchors: verify that chains lead there; None: say nothing about trust.
    :raises HostError: the answer does not have the agreed shape.
    """
    judge = Judge(anchors, now)
    return [judge.entry(*pair) for pair in zip(endpoints, results_of(endpoints, answer))]


def results_of(endpoints: Sequence[Endpoint], answer: Mapping[str, Any]) -> list[Any]:
    """The results of an answer, one an endpoint.

    :raises HostError: there are not as many.
    """
    results = answer.get("results")
    if not isinstance(results, list) or len(results) != len(endpoints):
        raise HostError("the host's answer does not fit the endpoints it was asked for", code="bad_answer")
    return results


def read_result(
    endpoint: Endpoint, result: Any, *, anchors: Sequence[x509.Certificate] | None, now: dt.datetime
) -> dict[str, Any]:
    """One entry of :func:`read_answer`."""
    return Judge(anchors, now).entry(endpoint, result)


class Judge:
    """Reads results and says what is wrong, and remembers what it has said: ten thousand endpoints serve few chains.

    :param anchors: as in :func:`read_answer`.
    :param profiles: by which to judge what endpoints accept.
    """

    def __init__(
        self, anchors: Sequence[x509.Certificate] | None, now: dt.datetime, profiles: Sequence[str] = ()
    ) -> None:
        self._anchors = anchors
        self._profiles = profiles
        self._now = now
        # Per judge, not per class: they go when it goes.
        self._read = functools.lru_cache(MOST_KNOWN)(lambda pem: read_certificate(pem, now))
        self._verdict = functools.lru_cache(MOST_KNOWN)(self._judge)

    def entry(self, endpoint: Endpoint, result: Any) -> dict[str, Any]:
        """One entry of :func:`read_answer`.

        :raises HostError: the result does not have the agreed shape.
        """
        chain = result.get("chain") if isinstance(result, Mapping) else None
        if not isinstance(chain, list) or len(chain) > LONGEST_CHAIN or not all(isinstance(pem, str) for pem in chain):
            raise HostError(f"the host's answer for {endpoint.address} has no chain", code="bad_answer")
        name = endpoint.server_name or endpoint.host
        problems = self._problems(tuple(chain), name)
        other = other_chain_of(result)
        problems += [f"the second certificate: {each}" for each in self._problems(other, name)]
        ml_dsa = not chain and result.get("ml_dsa") is True
        accepts = read_accepts(result.get("accepts"))
        count = result.get("chain_length")
        if isinstance(count, int) and count > len(chain):
            problems.append(f"it sent {count} certificates, of which the first {len(chain)} were looked at")
        return {
            "endpoint": endpoint.address,
            "host": endpoint.host,
            "port": endpoint.port,
            "server_name": endpoint.server_name,
            "reachable": bool(chain),
            "error": ML_DSA if ml_dsa else text_or_none(result.get("error")),
            **{field: text_or_none(result.get(field)) for field in TEXT_FIELDS},
            "attempts": number_or_none(result.get("attempts")),
            "seconds": number_or_none(result.get("seconds")),
            "resumption": read_resumption(result.get("resumption")),
            "staple": read_staple(result.get("staple")),
            "accepts": accepts,
            "profiles": judge_accepts(accepts, self._profiles) if accepts else {},
            "ml_dsa": ml_dsa,
            "post_quantum": boolean_or_none(result.get("post_quantum")),
            "chain": chain,
            "certificates": [self._read(pem)[0] for pem in chain],
            "other_chain": list(other),
            "other_certificates": [self._read(pem)[0] for pem in other],
            "problems": problems,
            "notices": self._notices(tuple(chain)),
            "trusted": None if self._anchors is None or not chain else not problems,
        }

    def _problems(self, chain: tuple[str, ...], wanted: str) -> list[str]:
        """What clients that want to reach a name refuse."""
        read = [self._read(pem) for pem in chain]
        found = [
            f"certificate {number} of the chain cannot be read: {described['error']}"
            for number, (described, _certificate) in enumerate(read, 1)
            if described["error"]
        ]
        leaf = read[0][1] if read else None
        if leaf is not None:
            verdict = self._verdict(chain)
            # Without anchors nothing can be said of where it leads.
            above = verdict.chain if self._anchors is not None else [each for each in verdict.chain if each.soft]
            # Where one cannot be read, that is why no path is found.
            above = [each for each in above if not found or each.code not in PATHLESS]
            found += [str(problem) for problem in (*verdict.leaf, *leaf_names(leaf, (wanted,)), *above)]
        return [printable(text) for text in found]

    def _notices(self, chain: tuple[str, ...]) -> list[str]:
        """What clients do not mind, though it is not as it ought to be."""
        if self._anchors is None or not chain or self._read(chain[0])[1] is None:
            return []
        return [printable(str(notice)) for notice in self._verdict(chain).notices]

    def _judge(self, chain: tuple[str, ...]) -> ChainVerdict:
        """Of those that can be read, the leaf among them; whatever the name."""
        certificates = [certificate for _described, certificate in map(self._read, chain) if certificate is not None]
        return judge_chain(certificates, self._anchors or (), now=self._now)


def other_chain_of(result: Mapping[str, Any]) -> tuple[str, ...]:
    """What an endpoint shows to clients that take only keys of the other kind; empty where that was not asked, or there is nothing."""
    chain = result.get("other_chain")
    return tuple(map(str, chain[:LONGEST_CHAIN])) if isinstance(chain, list) else ()


def read_certificate(pem: str, now: dt.datetime) -> tuple[dict[str, Any], x509.Certificate | None]:
    """A certificate as results have it; one that cannot be read as a whole has ``error``, and what can be read of it."""
    try:
        certificate = parse_pem_chain(pem)[0]
        return {**describe(certificate, now), "error": None}, certificate
    except BROKEN as error:
        return {**read_partly(pem, now), "error": printable(str(error)) or type(error).__name__}, None


def read_partly(pem: str, now: dt.datetime) -> dict[str, Any]:
    """Whatever can be read inside the PEM armour; of what is not even that, no fingerprint."""
    try:
        return describe_partly(ssl.PEM_cert_to_DER_cert(pem), now)
    except ValueError:
        return {**describe_partly(b"", now), "fingerprint_sha256": None}
