# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a handshake failed, in words, from its messages and how it ended. Pure.

A server says little: one word, and often not the right one (Go says bad_certificate for everything, nginx nothing at all before HTTP). What
both sides had sent until then says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import validity_of

# Alerts with which servers refuse a client certificate without saying what is wrong with it (RFC 8446 section 6.2).
VAGUE = ("bad_certificate", "certificate_unknown", "handshake_failure", "access_denied", "unsupported_certificate")
# How a handshake may end beside an alert → code and the beginning of what is said.
ENDINGS = {
    "own_files": ("client_files", "bad key or certificate of the client's own, nothing was sent"),
    "connect": ("no_connection", "no connection"),
    "starttls": ("starttls_refused", "STARTTLS did not come about"),
    "server_name": ("client_files", "nothing was sent"),
    "too_much": ("flooded", "the server sends without end"),
    "broken": ("broken", "the connection broke"),
}


@dataclass(frozen=True)
class Failure:
    """Why.

    :param code: one word for programs, see RETURN of ``fleet.tls.endpoint_info``.
    :param why: for people.
    :param ended_by: ``client``, ``server``, or None: nobody, the time was up or the way broke.
    """

    code: str
    why: str
    ended_by: str | None


class Story:
    """Messages, asked for by name.

    :param messages: as :func:`trace.read_trace` has them.
    """

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self.messages = messages

    def said(self, sender: str, *names: str) -> Mapping[str, Any] | None:
        """The first message with one of these names."""
        return next((each for each in self.messages if each["sender"] == sender and each["name"] in names), None)

    def detail(self, sender: str, name: str, field: str, default: Any = None) -> Any:
        """A detail of the first message of this name."""
        message = self.said(sender, name)
        return default if message is None else message["details"].get(field, default)

    def certificates(self, sender: str) -> Sequence[Mapping[str, Any]] | None:
        """What a side sent to show who it is; empty: it said that it has none; None: it said nothing. Of one that was packed in a way that
        cannot be unpacked, nothing is known but that it is there."""
        message = self.said(sender, "Certificate", "CompressedCertificate")
        if message is None:
            return None
        return message["certificates"] or ([{}] if message["name"] == "CompressedCertificate" else [])

    def alert(self, sender: str) -> Mapping[str, Any] | None:
        """The last fatal alert of a side."""
        fatal = [each for each in self.messages if each["sender"] == sender and each["details"].get("level") == "fatal"]
        return fatal[-1]["details"] if fatal else None

    def before_the_end(self) -> Mapping[str, Any] | None:
        """The last message that is no alert."""
        return next((each for each in reversed(self.messages) if each["content"] != "alert"), None)


def failure(ended: str, error: str, messages: Sequence[Mapping[str, Any]], now: Any) -> Failure:
    """Why a handshake failed.

    :param ended: the step's word for it (docs/host-protocol.md).
    :param error: the handshake's own words.
    """
    story = Story(messages)
    if ended == "alert":
        alert = story.alert("server")
        return by_alert(str(alert["description"]) if alert else "", story, now)
    if ended in ENDINGS:
        code, text = ENDINGS[ended]
        return Failure(
            code, f"{text}: {error}", "client" if ended in ("own_files", "server_name", "too_much") else None
        )
    if ended == "not_tls":
        error = error.removeprefix("not TLS: ")
        if "'HTTP/" in error:
            return Failure("plain_http", f"plain HTTP instead of TLS: {error}", "client")
        return Failure("not_tls", f"another protocol instead of TLS: {error}", "client")
    if ended == "timeout":
        return Failure("timeout", f"silence: {error}", None)
    if ended in ("reset", "hung_up"):
        return hung_up(ended, story, now)
    return by_client(story, error)


def hung_up(ended: str, story: Story, now: Any) -> Failure:
    """The server went without a word."""
    how = "reset the connection" if ended == "reset" else "closed the connection"
    text = f"the server {how} without saying why"
    if story.certificates("client") is not None:
        hint = client_hint(story, now) or "it had asked for a client certificate"
        text += f"; {hint}"
    return Failure("reset" if ended == "reset" else "closed", text, "server")


def by_client(story: Story, error: str) -> Failure:
    """We ended it, for what the server said was not to be taken."""
    alert = story.alert("client")
    if alert is not None and alert["description"] == "protocol_version":
        offered = ", ".join(story.detail("client", "ClientHello", "versions", []))
        return Failure(
            "no_common_version", f"no common version: the client takes {offered}, the server none of them", "client"
        )
    return Failure("client_refused", f"the client refused what the server said: {error}", "client")


def by_alert(alert: str, story: Story, now: Any) -> Failure:
    """What a server's alert means at the point where it came."""
    shown = story.certificates("client")
    if shown is None and story.said("server", "ServerHello") is None:
        return hello_refused(alert, story)
    if alert == "certificate_required" or (shown is not None and not shown and alert in VAGUE):
        why = "client certificate required: the server asked for one and got none"
        return Failure("client_certificate_required", why, "server")
    if shown:
        return client_refused(alert, story, now)
    return other(alert)


def hello_refused(alert: str, story: Story) -> Failure:
    """The server takes nothing of what a ClientHello offered."""
    offer = (story.said("client", "ClientHello") or {"details": {}})["details"]
    if alert == "protocol_version":
        offered = ", ".join(offer.get("versions", ()))
        return Failure("no_common_version", f"no common version: the server takes none of {offered}", "server")
    if alert in ("handshake_failure", "insufficient_security"):
        counts = [
            f"{len(offer[field])} {word}"
            for field, word in (
                ("ciphers", "cipher suites"),
                ("groups", "groups"),
                ("signature_schemes", "signature schemes"),
            )
            if offer.get(field)
        ]
        why = f"no common cipher: of what was offered ({', '.join(counts)}) nothing suits the server"
        return Failure("no_common_cipher", why, "server")
    if alert == "unrecognized_name":
        name = offer.get("server_name")
        what = f"the server does not serve '{name}'" if name else "the server wants to be told a server name"
        return Failure("unknown_name", f"wrong name: {what}", "server")
    if alert == "no_application_protocol":
        offered = ", ".join(offer.get("alpn", ()))
        return Failure(
            "no_common_protocol",
            f"no common application protocol (ALPN): the server speaks none of {offered}",
            "server",
        )
    return other(alert)


def other(alert: str) -> Failure:
    """An alert that says all there is to know."""
    if alert == "internal_error":
        return Failure(
            "server_error", "the server met an error of its own (internal_error): its log says which", "server"
        )
    return Failure("refused", f"the server refused with the TLS alert {alert or 'without a name'}", "server")


def client_refused(alert: str, story: Story, now: Any) -> Failure:
    """The server does not take our certificate."""
    shown = story.certificates("client") or ()
    leaf, subject = shown[0], shown[0].get("subject") or "a certificate that cannot be read"
    over = expired(leaf, now)
    if alert == "certificate_expired" and not over:
        ends = leaf.get("not_after") or "a date that cannot be read"
        why = (
            f"expired client certificate, says the server; by the clock here '{subject}' lasts until {ends}: is its clock right, is its"
            " revocation list current?"
        )
        return Failure("client_certificate_expired", why, "server")
    if over and alert in (*VAGUE, "certificate_expired"):
        return Failure("client_certificate_expired", f"expired client certificate: {over}", "server")
    if alert == "certificate_revoked":
        return Failure("client_certificate_revoked", f"revoked client certificate: '{subject}'", "server")
    if alert == "unknown_ca":
        return unknown_ca(story)
    if alert == "decrypt_error":
        why = f"bad key: the server says that the client's signature does not fit the certificate '{subject}'"
        return Failure("client_key", why, "server")
    usages = leaf.get("usages") or ()
    if alert in VAGUE and usages and "client_auth" not in usages:
        why = f"the client certificate '{subject}' is not for clients (its usages: {', '.join(usages)})"
        return Failure("client_certificate_refused", why, "server")
    if alert in VAGUE:
        why = f"client certificate refused: the server does not take '{subject}', and says {alert}"
        return Failure("client_certificate_refused", why, "server")
    return other(alert)


def unknown_ca(story: Story) -> Failure:
    """The server knows no CA of our certificate, or would, had it seen the one between."""
    shown = story.certificates("client") or ()
    top = shown[-1]
    issuer = top.get("issuer") or "a CA whose name cannot be read"
    accepted = story.detail("server", "CertificateRequest", "authorities", [])
    names = f" (it takes clients of {'; '.join(accepted[:5])})" if accepted else ""
    if len(shown) == 1 and not self_issued(top) and issuer not in accepted:
        why = (
            f"missing intermediate, or unknown CA: the client sent its own certificate alone, without that of '{issuer}' which"
            f" issued it, and the server does not know that one{names}"
        )
        return Failure("client_certificate_incomplete", why, "server")
    why = f"unknown CA: the server does not know '{issuer}', where the client's chain ends, or has no revocation list for it{names}"
    return Failure("client_certificate_unknown_ca", why, "server")


def client_hint(story: Story, now: Any) -> str | None:
    """What may be wrong with our certificate, where nobody said."""
    shown = story.certificates("client")
    if shown is None:
        return None
    return expired(shown[0], now) if shown else "it had asked for a client certificate and got none"


def expired(certificate: Mapping[str, Any], now: Any) -> str | None:
    """That a certificate is over, if it is."""
    if not certificate.get("not_after") or not validity_of(certificate).expired(now):
        return None
    return f"'{certificate.get('subject')}' ended on {certificate['not_after']}"


def self_issued(certificate: Mapping[str, Any]) -> bool:
    """Whether a certificate names itself as its issuer."""
    return certificate.get("subject") == certificate.get("issuer")
