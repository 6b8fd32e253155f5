# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair in the form of an output."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, CHAIN, FULLCHAIN, PRIVKEY
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import leaf_der

# What a form is that is one of the pair's own files.
FILES = {"cert": CERT, "chain": CHAIN, "fullchain": FULLCHAIN, "privkey": PRIVKEY}


def rendered(output: Mapping[str, Any], contents: Mapping[str, bytes], name: str, scratch: str) -> bytes:
    """The content of an output.

    :param output: as in docs/host-protocol.md.
    :param contents: the pair's files, by their names.
    :param name: the certificate's, under which keystores have it.
    :param scratch: a path of which nothing is left; leftovers of a killed run are found there.
    :raises StepError: openssl_failed, openssl_missing, keytool_failed, keytool_missing, bad_form (a key that has not this form).
    """
    form, key, passphrase = output["format"], contents[PRIVKEY], output.get("passphrase")
    if form == "combined":
        return contents[FULLCHAIN] + key
    if form == "der":
        return leaf_der(contents[CERT]) or b""
    if form == "pkcs1":
        return pkcs1(key, output["path"])
    if form == "encrypted":
        return openssl.encrypted(key, str(passphrase))
    if form == "pkcs12":
        certificates = contents[FULLCHAIN] + (output.get("anchors") or "").encode()
        return openssl.pkcs12(key, certificates, name, passphrase, legacy=output.get("profile") == "legacy")
    if form == "truststore":
        # There is no secret in it, and not every openssl can make one: it comes from the controller.
        return base64.b64decode(output["content"])
    if form == "jks":
        # Late: few hosts have one.
        from ansible_collections.fleet.tls.plugins.module_utils.keyfiles import keytool

        # In between, in memory, in the form that each Java reads.
        between = openssl.pkcs12(key, contents[FULLCHAIN], name, passphrase, legacy=True)
        return keytool.jks(between, str(passphrase), scratch)
    return contents[FILES[form]]


def pkcs1(key: bytes, path: str) -> bytes:
    """An RSA key as PKCS#1 (RFC 8017, appendix A.1.2), PEM.

    :raises StepError: bad_form: another kind of key, as it can come from those who hand out ready-made ones.
    """
    try:
        found = openssl.traditional(key)
    except StepError as error:
        # Some kinds, Ed25519 among them, have no form of their own.
        if error.code != "openssl_failed":
            raise
        found = b""
    if b"BEGIN RSA PRIVATE KEY" not in found:
        raise StepError(
            "bad_form",
            f"output {path}: only an RSA key has the form pkcs1, and this key is of another kind",
            "use format: privkey, or an RSA key",
        )
    return found
