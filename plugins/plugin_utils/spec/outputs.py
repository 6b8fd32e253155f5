# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``outputs`` of a certificate: more files, in the forms that programs want."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.pair.forms import (
    FORMATS_WITH_KEY,
    FORMS,
    PROFILES,
    SHORTEST_JKS_PASSPHRASE,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import (
    Fields,
    one_of,
    parse_boolean,
    parse_mode,
    parse_path,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.java_truststore import refuse_old_cryptography

__all__ = ("FORMATS_WITH_KEY", "Output", "parse_output")

OUTPUT_METHODS = ("link", "copy")
# Those that some forms only have.
FORM_FIELDS = ("passphrase", "anchors", "profile")
OUTPUT_FIELDS = ("path", "format", "method", "owner", "group", "mode", *FORM_FIELDS)
# Bytes; openssl reads no longer one from a file (PEM_BUFSIZE).
LONGEST_PASSPHRASE = 1023
MAKE_ONE = "make one with 'openssl rand -base64 24' and keep it in Ansible Vault"


@dataclass(frozen=True)
class Output:
    """One more file a service wants; ``mode`` is an octal text such as ``0600``, owner and group None: the process's.

    :param passphrase: what it is encrypted with; None: nothing.
    :param anchors: whether the issuers' trust anchors go into it.
    :param profile: of a PKCS#12 file, ``modern`` or ``legacy``.
    """

    path: str
    format: str
    method: str = "link"
    owner: str | None = None
    group: str | None = None
    mode: str = "0644"
    passphrase: str | None = field(default=None, repr=False)
    anchors: bool = False
    profile: str = "modern"


def parse_output(raw: Any, owner: str | None, group: str | None) -> Output:
    """One of ``outputs``; owner and group default to the certificate's.

    :raises SpecError: unknown fields or formats, what its format does not take or lacks, a relative path, or a mode that lets others read
        a key.
    :raises DependencyError: a format for which the controller's cryptography is too old.
    """
    fields = Fields(raw, OUTPUT_FIELDS, "outputs")
    path = parse_path(fields.get("path"), "outputs: path")
    form = one_of(fields.get("format", "fullchain"), FORMS, f"outputs: format of {path}")
    secret = FORMS[form].has_key
    anchors = parse_boolean(fields.get("anchors", False), f"outputs: anchors of {path}")
    given = {"passphrase": fields.get("passphrase"), "anchors": anchors, "profile": fields.get("profile")}
    refuse_unfit(path, form, [option for option, value in given.items() if value])
    if form == "truststore":
        refuse_old_cryptography(f"outputs: {path} with format: truststore")
    return Output(
        path=path,
        format=form,
        method=one_of(fields.get("method", "link"), OUTPUT_METHODS, f"outputs: method of {path}"),
        owner=fields.text("owner") or owner,
        group=fields.text("group") or group,
        mode=parse_mode(fields.get("mode", "0600" if secret else "0644"), secret=secret),
        passphrase=parse_passphrase(fields.text("passphrase"), path, form),
        # Nothing else is in a truststore.
        anchors=anchors or form == "truststore",
        profile=one_of(fields.get("profile", "modern"), PROFILES, f"outputs: profile of {path}"),
    )


def refuse_unfit(path: str, form: str, given: list[str]) -> None:
    """:raises SpecError: options that this form does not take, or lacks."""
    for option in given:
        if option not in FORMS[form].takes:
            others = ", ".join(name for name, each in FORMS.items() if option in each.takes)
            raise SpecError(
                f"outputs: {path} has {option}, which format: {form} does not take",
                remedy=f"leave it out, or choose a format that does: {others}",
            )
    for option in FORMS[form].needs:
        if option not in given:
            raise SpecError(f"outputs: {path} with format: {form} needs a {option}", remedy=MAKE_ONE)
    if form == "truststore" and "profile" in given and "passphrase" not in given:
        raise SpecError(
            f"outputs: {path} has a profile, but no passphrase: nothing is encrypted then, and every Java reads it",
            remedy="leave profile out, or give a passphrase",
        )


def parse_passphrase(text: str | None, path: str, form: str) -> str | None:
    """The passphrase of a file; an empty one is none.

    :raises SpecError: one that other programs could not be given; it is not told.
    """
    if text and (len(text.encode(errors="replace")) > LONGEST_PASSPHRASE or not text.isprintable()):
        raise SpecError(
            f"outputs: the passphrase of {path} is longer than {LONGEST_PASSPHRASE} bytes or not printable",
            remedy=MAKE_ONE,
        )
    if text and form == "jks" and not (text.isascii() and len(text) >= SHORTEST_JKS_PASSPHRASE):
        raise SpecError(
            f"outputs: the passphrase of {path} has fewer than {SHORTEST_JKS_PASSPHRASE} characters or is not ASCII, and keytool takes"
            " no such one",
            remedy=MAKE_ONE,
        )
    return text or None
