# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A digest of what the inventory says about a host, as far as a deployment reads it. Pure.

Nothing is rendered: rendering ten thousand hosts' variables takes longer than all that is done with them. Instead the templates count as they
are written, and so does each variable that they name. What a lookup returns, and what is taken from other hosts, is not seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

WORD = re.compile(r"[A-Za-z_]\w*")
DIGEST_LENGTH = 32
# Facts may be known in one run and not in the next; those of all hosts are as large as the fleet.
NOT_FOLLOWED = frozenset({"ansible_facts", "environment", "groups", "hostvars", "omit", "vars"})
# The lookup that reads variables by the beginnings of their names.
JOINED = "joined"
# Where secrets are written, by the ends of the options' names. The digest is kept, and a short secret could be guessed from it.
SECRETS = ("passphrase", "password", "pin", "secret", "secret_id", "token", "hmac_key", "environment", "headers")


def digest_of_wishes(
    variables: Mapping[str, Any], names: Collection[str], ciphertext: Callable[[Any], str | None]
) -> str:
    """The digest, hexadecimal.

    :param variables: the host's, not rendered.
    :param names: of those that a deployment reads.
    :param ciphertext: what stands in the file for a value that Ansible Vault has encrypted; None: it has not.
    """
    found: dict[str, Any] = {}
    waiting = [name for name in names if name in variables]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        named: set[str] = set()
        found[name] = None if is_secret(name) else as_written(variables[name], named, ciphertext)
        if JOINED in named:
            # The lookup fleet.tls.joined reads tls_certificates_web, and is told tls_certificates.
            wholes = tuple(f"{each}_" for each in named if each in variables)
            named.update(each for each in variables if each.startswith(wholes))
        waiting += [each for each in named if each in variables and each not in NOT_FOLLOWED]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:DIGEST_LENGTH]


def as_written(value: Any, named: set[str], ciphertext: Callable[[Any], str | None]) -> Any:
    """A value as JSON takes it, without what is secret.

    :param named: gets the words of its templates, names of variables among them.
    """
    sealed = ciphertext(value)
    if sealed is not None:
        return f"vault: {sealed}"
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            named.update(WORD.findall(value))
        return str(value)
    if isinstance(value, Mapping):
        return {
            str(name): None if is_secret(str(name)) else as_written(each, named, ciphertext)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [as_written(each, named, ciphertext) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def is_secret(name: str) -> bool:
    """Whether what is written under this name may be a secret."""
    return name.lower().endswith(SECRETS)
