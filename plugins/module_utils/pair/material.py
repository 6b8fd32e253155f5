# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is what is to be installed a chain, and may its modes be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.forms import FORMATS_WITH_KEY
from ansible_collections.fleet.tls.plugins.module_utils.pair.soundness import Link, check_certificate, links
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl

MARKS = re.compile("-----(BEGIN|END) CERTIFICATE-----")


def check_material(chain: Sequence[bytes], entry: Mapping[str, Any], sound: Set[Link] = frozenset()) -> None:
    """Whether a chain is one: each part a whole certificate, leaf first, each issued by the next; and no mode that lets others at the key.

    :param sound: what is known of its links already.
    :raises StepError: bad_certificate, chain_broken, bad_mode.
    """
    for number, pem in enumerate(chain, 1):
        if list(MARKS.findall(pem.decode(errors="replace"))) != ["BEGIN", "END"]:
            raise StepError("bad_certificate", f"part {number} of the chain is not one whole certificate", "run again")
        try:
            check_certificate(pem)
        except StepError as error:
            if error.code == "openssl_failed":
                error.code, error.message = (
                    "bad_certificate",
                    f"certificate {number} of the chain: {error.message}",
                )
            raise
    for number, link in enumerate(links(chain), 1):
        if link not in sound and not openssl.issued(link[:1], link[1]):
            raise StepError(
                "chain_broken",
                f"the chain is not in order: certificate {number} was not issued by the one after it",
                "run again; where it stays like this, the issuer sends it so",
            )
    modes = [entry["mode"], *(each["mode"] for each in entry["outputs"] if each["format"] in FORMATS_WITH_KEY)]
    for mode in modes:
        if int(mode, 8) & 0o027:
            raise StepError("bad_mode", f"mode {mode} lets others at the private key", 'use "0600" or "0640"')
