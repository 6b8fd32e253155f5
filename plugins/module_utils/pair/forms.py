# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms in which programs can have a pair, and what a user can say of each. The controller checks what users write by this table."""

from __future__ import annotations

from typing import NamedTuple

PROFILES = ("modern", "legacy")
# As keytool has it.
SHORTEST_JKS_PASSPHRASE = 6


class Form(NamedTuple):
    """One form of an output.

    :param has_key: whether the private key is in it.
    :param takes: options beside those that every output has.
    :param needs: those of them that it cannot be without.
    """

    has_key: bool = False
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


FORMS = {
    "cert": Form(),
    "chain": Form(),
    "fullchain": Form(),
    "privkey": Form(has_key=True),
    "combined": Form(has_key=True),
    "der": Form(),
    "pkcs1": Form(has_key=True),
    "encrypted": Form(has_key=True, takes=("passphrase",), needs=("passphrase",)),
    "pkcs12": Form(has_key=True, takes=("passphrase", "anchors", "profile")),
    "truststore": Form(takes=("passphrase", "profile")),
    "jks": Form(has_key=True, takes=("passphrase",), needs=("passphrase",)),
}
FORMATS_WITH_KEY = frozenset(name for name, form in FORMS.items() if form.has_key)
