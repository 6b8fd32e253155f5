# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live pair as one file, for programs that want certificate and key together and take a new pair at a moment of their own."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_if_there
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, CHAIN, FULLCHAIN, PRIVKEY, Layout
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl

# What each form has, in its order. Apache wants the leaf alone beside the key, and the chain apart.
FORMS = {"combined": (FULLCHAIN, PRIVKEY), "leaf": (CERT, PRIVKEY), "chain": (CHAIN,)}


def pair_copy(directory: str, name: str, form: str) -> bytes | None:
    """The live pair in one of ``FORMS``; None: there is none.

    All of it is of one generation, though another one may become live meanwhile.
    """
    layout = Layout(directory, name)
    number = layout.current()
    if number is None:
        return None
    parts = [read_if_there(os.path.join(layout.generation(number), each)) for each in FORMS[form]]
    if parts == [b""]:
        # Signed by a root: there is nothing above it, and Apache takes no empty file.
        parts = [read_if_there(os.path.join(layout.generation(number), CERT))]
    if None in parts:
        return None
    whole = [part or b"" for part in parts]
    if form == "leaf":
        # With OpenSSL 1.1.1, Apache passes over keys in PKCS#8 without a word (SSLProxyMachineCertificateFile). Ed25519 has no other form.
        with contextlib.suppress(StepError):
            whole[-1] = openssl.call(["pkey", "-traditional"], whole[-1])
    return b"".join(whole)
