# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust anchors: which CA certificates a host is to trust, each once, in a stable order. Pure.

What is wrong is refused here, on the controller: a host that takes a truncated bundle trusts nobody any more.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanPrepare
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.anchor_text import check_is_ca, parse_anchor_text
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    describe,
    fingerprint,
    iso,
    subject_text,
    to_pem,
)

NOT_IN_A_FILE_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Anchor:
    """One CA certificate and the one who wants it trusted (an issuer's name, or a name under ``anchors``)."""

    source: str
    certificate: x509.Certificate

    @property
    def name(self) -> str:
        """What its file is called: two CAs of one issuer, old and new, live side by side during a rollover."""
        return f"{NOT_IN_A_FILE_NAME.sub('-', self.source).strip('-') or 'anchor'}-{fingerprint(self.certificate)[:16]}"

    @property
    def comment(self) -> str:
        """The line above it in a bundle. Control characters of a subject must not begin a line of their own."""
        subject = "".join(char if char.isprintable() else "?" for char in subject_text(self.certificate))
        return f"# {subject}, expires {iso(self.certificate.not_valid_after_utc)}"

    def as_request(self) -> dict[str, str]:
        """The form the host gets."""
        return {"name": self.name, "comment": self.comment, "pem": to_pem(self.certificate)}

    def as_result(self, now: dt.datetime) -> dict[str, Any]:
        """The form that stands in a task's result."""
        facts = describe(self.certificate, now)
        return {
            "source": self.source,
            **{key: facts[key] for key in ("subject", "issuer", "not_before", "not_after", "fingerprint_sha256")},
        }


@dataclass(frozen=True)
class Selection:
    """What to trust, sorted by subject and fingerprint; ``expired``: what was left out, in the same order."""

    anchors: tuple[Anchor, ...]
    expired: tuple[Anchor, ...]


def trusted_by(
    issuers: Mapping[str, Issuer], names: Iterable[str] | None, anchors: Any, what: str
) -> dict[str, tuple[x509.Certificate, ...]]:
    """Anchors by who gives them, issuers and extra ones.

    :param names: those of the issuers; None: all of them.
    :param anchors: as :func:`parse_anchors` takes them.
    :param what: what the user calls ``names``, for errors.
    :raises TlsError: an unknown issuer, an anchor that cannot be read, an anchor that is named like an issuer.
    """
    chosen = [one_of(name, issuers, what) for name in (issuers if names is None else names)]
    extra = parse_anchors(anchors)
    for name in extra:
        if name in chosen:
            raise SpecError(f"anchors: '{name}' is the name of an issuer", remedy="give the anchor another name")
    return {**{name: issuers[name].trust() for name in chosen}, **extra}


def absent_texts(issuers: Mapping[str, Issuer], sources: Iterable[str], now: dt.datetime) -> list[str]:
    """Which of the chosen issuers have nothing to trust because their CA was not made yet, for people."""
    absent = {name: issuers[name] for name in sources if name in issuers and not issuers[name].trust()}
    texts = {name: each.unprepared(now) for name, each in absent.items() if isinstance(each, CanPrepare)}
    return [f"nothing of the issuer '{name}' is trusted yet: {text}" for name, text in texts.items() if text]


def bundle_text(anchors: Iterable[Anchor]) -> str:
    """A bundle file: each anchor's PEM below its line of comment."""
    return "".join(f"{anchor.comment}\n{to_pem(anchor.certificate)}" for anchor in anchors)


def parse_anchors(raw: Any) -> dict[str, tuple[x509.Certificate, ...]]:
    """``anchors`` of the user: a mapping name → PEM text, or a list of PEM texts (named by their place, from 1).

    :raises SpecError: another type, or a private key in a text.
    :raises CertificateError: a text that is truncated or holds no certificate.
    """
    if isinstance(raw, (list, tuple)):
        raw = {str(place): text for place, text in enumerate(raw, start=1)}
    if not isinstance(raw, Mapping):
        raise SpecError("anchors must be a list of PEM texts or a mapping of names to PEM texts")
    return {str(name): parse_anchor_text(str(name), text) for name, text in raw.items()}


def select(sources: Mapping[str, Iterable[x509.Certificate]], now: dt.datetime) -> Selection:
    """Each anchor once (that of the first source in alphabetical order), the expired ones set aside.

    :raises CertificateError: one that is not a CA's.
    """
    anchors: dict[str, Anchor] = {}
    for source in sorted(sources):
        for certificate in sources[source]:
            check_is_ca(source, certificate)
            anchors.setdefault(fingerprint(certificate), Anchor(source, certificate))
    ordered = sorted(anchors.values(), key=lambda anchor: (anchor.comment, fingerprint(anchor.certificate)))
    return Selection(
        anchors=tuple(anchor for anchor in ordered if anchor.certificate.not_valid_after_utc > now),
        expired=tuple(anchor for anchor in ordered if anchor.certificate.not_valid_after_utc <= now),
    )


def expired_text(anchor: Anchor) -> str:
    """That an anchor was left out, for people."""
    certificate = anchor.certificate
    return (
        f"the trust anchor '{subject_text(certificate)}' of '{anchor.source}' expired on"
        f" {iso(certificate.not_valid_after_utc)} and is left out"
    )


def refuse_empty(selection: Selection, asked: Sequence[str]) -> None:
    """A bundle without a certificate makes every peer a stranger: it is never written.

    :param asked: the names of the issuers and extra anchors that were to give some.
    :raises TlsError: nothing is left to trust.
    """
    if selection.anchors:
        return
    if selection.expired:
        names = ", ".join(subject_text(anchor.certificate) for anchor in selection.expired)
        raise TlsError(f"every trust anchor has expired ({names})", remedy="give anchors that are valid")
    raise TlsError(
        f"there is no trust anchor to install (asked: {', '.join(asked) or 'nobody'})",
        remedy="create the CA first, with fleet.tls.ca or the role fleet.tls.ca, or give anchors",
    )
