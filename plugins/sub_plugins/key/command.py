# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key provider ``command``: any program that has keys and signs with them. See docs/keys.md.

It runs on the controller, without a shell, with the name of what is wanted in ``FLEET_TLS_ACTION``:

- ``make``: make a key; standard output is what finds it again (``FLEET_TLS_KEY`` from then on), one line.
- ``public_key``: standard output is the public key, PEM.
- ``sign``: standard input is what is to be signed, standard output the signature, raw.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: A program of yours has the keys and signs with them
description:
  - The program runs on the controller, without a shell. C(FLEET_TLS_ACTION) in its environment says what is wanted.
  - V(make) makes a key of C(FLEET_TLS_ALGORITHM) for C(FLEET_TLS_LABEL), and writes one line that finds it again. From then on that is C(FLEET_TLS_KEY).
  - V(public_key) writes the public key, PEM.
  - V(sign) reads on standard input what is to be signed, and writes the signature, raw. C(FLEET_TLS_SCHEME) is V(ecdsa), V(rsa-pkcs1v15) or V(ed25519),
    C(FLEET_TLS_HASH) is V(sha256), V(sha384) or empty. Each signature is verified.
options:
  command:
    description: The program, by its absolute path, and its arguments.
    type: list
    elements: str
    required: true
  input:
    description: What V(sign) gets, all of the data or its digest. With Ed25519 it is always the data.
    type: str
    default: data
    choices: [data, digest]
  environment:
    description: Further variables, such as the program's credentials. They are masked in what it says.
    type: dict
    default: {}
  timeout:
    description: How long it may take.
    type: str
    default: 30s
"""
EXAMPLES = r"""
keys:
  issuing:
    type: command
    command: [/usr/local/bin/kms-signer, --ring, fleet]
    environment: {KMS_TOKEN: "{{ vault_kms_token }}"}
"""

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import KeyUnavailable, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.programs import ProgramError, run_program
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import KeysElsewhere, Reference, ToSign
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import UnsupportedAlgorithm, serialization

PREFIX = "FLEET_TLS_"
LONGEST_NAME = 500
INPUTS = ("data", "digest")


class CommandKeys(KeysElsewhere):
    """Options: ``command`` (a list), ``input`` (what is signed: ``data`` or its ``digest``), ``environment``, ``timeout``."""

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        self.command = tuple(str(each) for each in self.fields.items("command"))
        if not self.command or not os.path.isabs(os.path.expanduser(self.command[0])):
            raise SpecError(
                f"{where}: command is missing, or its program has no absolute path",
                remedy="write command: [/path/of/program, argument, ...]",
            )
        self.input = one_of(self.fields.get("input", "data"), INPUTS, f"{where}: input")
        raw = self.fields.get("environment", {})
        if not isinstance(raw, Mapping):
            raise SpecError(f"{where}: environment has to be a mapping", remedy="write environment: {NAME: value}")
        self.environment = {str(name): str(value) for name, value in raw.items()}
        self.timeout = parse_timeout(self.fields.get("timeout", "30s"), f"{where}: timeout", 600)

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("command", "input", "environment", "timeout")

    def make(self, label: str, algorithm: str) -> Reference:
        output = self.call("make", b"", {"LABEL": label, "ALGORITHM": algorithm})
        name = output.decode(errors="replace").strip()
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise KeyUnavailable(
                f"{self.place({})}: make did not answer with the name of a key",
                remedy="it has to write one line to standard output",
            )
        return {"key": name}

    def adopt(self, text: str) -> Reference:
        if not text.isprintable() or len(text) > LONGEST_NAME:
            raise SpecError(
                f"{self.where}: that is no name of a key", remedy="write what the program calls it, one line"
            )
        return {"key": text}

    def public_key(self, reference: Reference) -> Any:
        pem = self.call("public_key", b"", {"KEY": reference["key"]})
        try:
            return serialization.load_pem_public_key(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyUnavailable(
                f"{self.place(reference)}: public_key did not answer with a public key",
                remedy="it has to write it to standard output, PEM (-----BEGIN PUBLIC KEY-----)",
            ) from None

    def sign(self, reference: Reference, what: ToSign) -> bytes:
        data = what.digest if self.input == "digest" and what.hash_name else what.data
        facts = {"KEY": reference["key"], "SCHEME": what.scheme, "HASH": what.hash_name}
        return self.call("sign", data, facts)

    def place(self, reference: Reference) -> str:
        return f"the keys of '{os.path.basename(self.command[0])}'"

    def call(self, action: str, data: bytes, facts: Mapping[str, str]) -> bytes:
        """What the program writes.

        :raises KeyUnavailable: it cannot be started, takes too long, or ends with anything but 0.
        """
        told = {f"{PREFIX}{name}": value for name, value in {"ACTION": action, **facts}.items()}
        try:
            ended = run_program(
                (os.path.expanduser(self.command[0]), *self.command[1:]),
                data,
                {**os.environ, **self.environment, **told},
                self.timeout,
                secrets=self.environment.values(),
            )
        except ProgramError as error:
            raise KeyUnavailable(error.message, remedy=f"see what keeps {self.command[0]}") from None
        if ended.code != 0:
            how = f"ended with {ended.code}" if ended.code > 0 else f"was ended by signal {-ended.code}"
            words = f": {ended.words}" if ended.words else " and said nothing of why"
            raise KeyUnavailable(
                f"{self.place({})}: {action} {how}{words}", remedy=f"what {self.command[0]} says is meant for you"
            )
        return ended.output


PROVIDER = CommandKeys
