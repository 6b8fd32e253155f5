# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a request to OpenBao: whether it passes by itself, and what to do about it. Pure.

The words of the server are those of OpenBao 2 and Vault 1; both say them in plain English and in nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Said by a node that knows no leader, or lost its own part as leader while it worked.
NO_LEADER = re.compile(
    r"node not active|active cluster node not found|no active node|not the active|leader|raft is already shutdown"
    r"|context canceled|forwarding RPC|from non-versioned to versioned|cannot write to readonly storage",
    re.IGNORECASE,
)
# Where the node said so before it began.
NOT_BEGUN = re.compile(
    r"node not active|active cluster node not found|no active node|from non-versioned to versioned", re.IGNORECASE
)
PASSING_STATUSES = frozenset({412, 429, 472, 473, 502, 503, 504})


@dataclass(frozen=True)
class Problem:
    """Why a request has no answer.

    :param passes: it may be over in a moment.
    :param begun: the server may have carried it out.
    :param final: other addresses would say the same.
    :param tells_all: the text needs no path beside it.
    """

    text: str
    remedy: str
    passes: bool = False
    begun: bool = False
    final: bool = False
    denied: bool = False
    sealed: bool = False
    tells_all: bool = True


def problem_of(status: int, errors: Sequence[str]) -> Problem:
    """What a status and the server's words mean."""
    words = "; ".join(" ".join(each.split()) for each in errors)[:600]
    if status == 503 and "sealed" in words.lower():
        return Problem(
            "it is sealed", "unseal it (bao operator unseal) and run again; what is installed was kept", sealed=True
        )
    if status in (501, 503) and "not initialized" in words:
        return Problem("it is not initialized", "initialize it (bao operator init), or set the right url")
    if status in PASSING_STATUSES or (status in (400, 500) and NO_LEADER.search(words)):
        told = f" ({words})" if words else ""
        if status == 429:
            return Problem(
                f"it takes no more requests now{told}",
                "raise its rate limit quota, or run with fewer forks",
                passes=True,
            )
        return Problem(
            f"it has no active node, status {status}{told}",
            "see that a node of the cluster is active (bao operator raft list-peers) and run again",
            passes=True,
            begun=not NOT_BEGUN.search(words),
        )
    if status == 403:
        return Problem("permission denied", "give the token the policy that the docs show", denied=True, final=True)
    if status == 404 and "no handler for route" in words:
        return Problem(
            "there is no secrets engine at that path",
            "enable it (bao secrets enable), or set the right mount and namespace",
            final=True,
            tells_all=False,
        )
    if status == 404:
        return Problem("not found", "check mount, path and namespace", final=True, tells_all=False)
    return Problem(
        words or f"status {status}",
        "what it says must be put right there",
        final=status < 500,
        begun=status >= 500,
        tells_all=False,
    )


def no_right(path: str) -> Problem:
    """A good token without this right."""
    return Problem(
        f"permission denied for {path}",
        "add the path to the policy of the token or role (docs/stores/openbao.md and docs/issuers/openbao.md show them)",
        final=True,
    )


def nothing_open(path: str) -> Problem:
    """A request without a token, to what is either not there or not open to everybody."""
    return Problem(
        f"there is no secrets engine at '{path.partition('/')[0]}/' that answers {path} without a token",
        "enable it (bao secrets enable), or set the right mount and namespace",
        final=True,
    )


def expired_token(remedy: str) -> Problem:
    """A token that is nobody's any more."""
    return Problem(
        "the token is not valid: it has expired, was revoked, or is of another namespace", remedy, final=True
    )


def network_problem(error: Any, url: str, limit: float) -> Problem:
    """What ``requests`` raised, in people's words.

    :param limit: seconds that were given.
    """
    import requests.exceptions as kinds

    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = re.search(r"certificate verify failed: ([^(\"']+)", text)
        return Problem(
            f"the certificate of {url} is not trusted: {reason[1].strip() if reason else 'verification failed'}",
            "set ca_certificate to the CA of its listener, and use a name that its certificate has",
        )
    if isinstance(error, kinds.InvalidSchema):
        return Problem(f"{url} sends on to an address without TLS", "set api_addr of the nodes to https", final=True)
    if isinstance(error, kinds.SSLError):
        return Problem(
            f"no TLS with {url}: {tls_words(text)}",
            "see that it speaks TLS there and takes the certificate",
            passes=True,
        )
    if isinstance(error, kinds.ConnectTimeout) or "NewConnectionError" in text or "NameResolutionError" in text:
        return Problem(f"{url} cannot be reached: {system_words(text)}", "check url, network and firewall", passes=True)
    if isinstance(error, kinds.ReadTimeout):
        return Problem(
            f"{url} gave no answer within {limit:g} s",
            "see what keeps the server busy, or raise timeout",
            passes=True,
            begun=True,
        )
    return Problem(f"{url} broke the connection off", "see the server's log, and run again", passes=True, begun=True)


def tls_words(text: str) -> str:
    """OpenSSL's own word for it."""
    found = re.search(r"\[SSL[^\]]*\] ([a-z0-9 ]+)", text)
    return found[1].strip() if found else "the handshake failed"


def system_words(text: str) -> str:
    """The system's words for a connection that did not come about."""
    found = re.search(r"\[Errno -?\d+\] ([^)'\"]+)", text)
    return found[1].strip() if found else "no answer"
