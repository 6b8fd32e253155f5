# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuer ``command``: any program that turns a CSR into a certificate. See docs/issuers/command.md.

It runs on the controller, without a shell: the CSR (PEM) comes on standard input, the chain (PEM, leaf first) is expected on standard
output, and everything else that it may want to know is in its environment.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: Any program that turns a CSR into a certificate
description:
  - Runs a program on the controller, without a shell. It reads the CSR on standard input and writes the chain to standard output.
  - See L(Issuer command, ../issuers/command.md) for the variables that the program gets, and an example.
options:
  command:
    description: The program and its arguments. An absolute path, or the name of a program in C(PATH).
    type: list
    elements: str
    required: true
  anchors:
    description: The root certificates that its chains lead to, PEM text or an absolute path on the controller.
    type: str
    required: true
  environment:
    description:
      - Environment variables for the program, and the place for its secrets. Names that begin with C(FLEET_TLS_) are taken.
      - What the program writes to standard error is shown without their values.
    type: dict
    default: {}
  timeout:
    description: How long the program may take. After that it is ended, with all it started.
    type: str
    default: 60s
  duration:
    description: Validity to ask for, where the certificate does not say it itself. Without it, the program decides.
    type: str
  revoke:
    description: A program that revokes a certificate, which it reads on standard input (PEM). Without it, nothing can be revoked.
    type: list
    elements: str
    default: []
"""
EXAMPLES = r"""
tls_issuers:
  corporate:
    type: command
    command: [/usr/local/bin/corporate-ca, sign, --profile, web]
    anchors: /etc/corporate/root.pem
    environment: {CA_TOKEN: "{{ vault_ca_token }}"}
"""

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.programs import Ended, ProgramError, run_program
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import named
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanRevoke
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.issue_once import issue_once
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import parse_path_or_pem, read_anchors
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    fingerprint,
    names_of,
    parse_pem_chain,
    serial_text,
    to_pem,
)

PREFIX = "FLEET_TLS_"


class CommandIssuer(Issuer, CanRevoke):
    """Options: ``command``, ``revoke``, ``anchors``, ``environment``, ``timeout``, ``duration``."""

    says_more = True

    def __init__(self, name: str, options: Any, store: Any) -> None:
        super().__init__(name, options, store)
        self.command = self.arguments("command")
        if not self.command:
            raise SpecError(
                f"issuer '{name}': command is missing", remedy="write command: [/path/of/program, argument, ...]"
            )
        self.revoke_command = self.arguments("revoke")
        if self.fields.get("anchors") is None:
            raise SpecError(
                f"issuer '{name}': anchors is missing",
                remedy="give the root certificate that its chains lead to, as PEM text or as the path of a file",
            )
        self.given_anchors = parse_path_or_pem(self.fields.get("anchors"), f"issuer '{name}': anchors")
        self.environment = self.parse_environment()
        self.timeout = parse_duration(self.fields.get("timeout", "60s"), f"issuer '{name}': timeout")
        duration = self.fields.get("duration")
        self.duration = None if duration is None else parse_duration(duration, f"issuer '{name}': duration")

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("command", "revoke", "anchors", "environment", "timeout", "duration")

    @property
    def lifetime(self) -> int | None:
        return self.duration

    def trust(self) -> tuple[x509.Certificate, ...]:
        return read_anchors(self.given_anchors, f"issuer '{self.name}': anchors")

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        return tuple(issue_once(self, request, now, partial(self.order, request)) for request in requests)

    def order(self, request: IssueRequest) -> tuple[x509.Certificate, ...]:
        """What the program makes of a request.

        :raises TlsError: it fails, or what it wrote is no chain.
        """
        csr = request.csr.public_bytes(serialization.Encoding.PEM)
        ended = self.call(self.command, csr, facts_of_request(request, request.duration or self.duration))
        return parse_pem_chain(ended.output.decode("ascii", errors="replace"))

    def revoke(self, leaf: x509.Certificate, reason: str, now: dt.datetime) -> None:
        if not self.revoke_command:
            raise IssuerError(
                f"issuer '{self.name}' has no way to revoke a certificate",
                remedy="name a program in revoke, or revoke it where it was issued",
            )
        self.call(self.revoke_command, to_pem(leaf).encode(), facts_of_leaf(leaf, reason))

    def call(self, arguments: Sequence[str], data: bytes, facts: Mapping[str, str]) -> Ended:
        """Run one of the programs.

        :raises IssuerError: it cannot be started, takes too long, or ends with anything but 0.
        """
        told = {f"{PREFIX}{name}": value for name, value in facts.items()}
        try:
            ended = run_program(
                arguments,
                data,
                {**os.environ, **self.environment, **told},
                self.timeout,
                secrets=self.environment.values(),
            )
        except ProgramError as error:
            raise IssuerError(error.message, remedy=f"see what keeps {arguments[0]}") from None
        if ended.code != 0:
            how = f"ended with {ended.code}" if ended.code > 0 else f"was ended by signal {-ended.code}"
            words = f": {ended.words}" if ended.words else " and said nothing of why"
            raise IssuerError(
                f"'{os.path.basename(arguments[0])}' {how}{words}",
                remedy=f"what {arguments[0]} says is meant for you; the CSR came on its standard input",
            )
        return ended

    def arguments(self, field: str) -> tuple[str, ...]:
        """A program and its arguments.

        :raises SpecError: no list, or a program that would be looked for in the current directory.
        """
        arguments = tuple(str(each) for each in self.fields.items(field))
        if arguments and ("\0" in "".join(arguments) or not arguments[0].strip()):
            raise SpecError(f"issuer '{self.name}': {field}: no program is named", remedy="name it by its path")
        if arguments and "/" in arguments[0] and not os.path.isabs(os.path.expanduser(arguments[0])):
            raise SpecError(
                f"issuer '{self.name}': {field}: the program's path depends on the current directory",
                remedy="write an absolute path, or the bare name of a program in PATH",
            )
        return (os.path.expanduser(arguments[0]), *arguments[1:]) if arguments else ()

    def parse_environment(self) -> dict[str, str]:
        """``environment``: variables for the programs, the place for their secrets.

        :raises SpecError: no mapping, or names that no variable can have.
        """
        raw = self.fields.get("environment", {})
        if not isinstance(raw, Mapping):
            raise SpecError(f"issuer '{self.name}': environment must be a mapping", remedy="write {NAME: value}")
        environment = {str(name): str(value) for name, value in raw.items()}
        for name in environment:
            if not name or "=" in name or "\0" in name or name.startswith(PREFIX):
                raise SpecError(
                    f"issuer '{self.name}': environment: {named(name)} is not a valid name for a variable",
                    remedy=f"choose one without '=' that does not begin with {PREFIX}",
                )
        return environment


def facts_of_request(request: IssueRequest, duration: int | None) -> dict[str, str]:
    """What a program is told of a request, in variables; lists are separated by blanks, which no name holds."""
    names = request.names
    return {
        "REQUEST_ID": request.request_id,
        "HOST": request.host,
        "CERTIFICATE": request.certificate,
        "DNS_NAMES": " ".join(names.dns_names),
        "IP_ADDRESSES": " ".join(names.ip_addresses),
        "URIS": " ".join(names.uris),
        "EMAIL_ADDRESSES": " ".join(names.email_addresses),
        "COMMON_NAME": names.common_name or "",
        "SUBJECT": ", ".join(f"{part}={value}" for part, value in names.subject),
        "USAGES": " ".join(request.usages),
        "KEY_USAGES": " ".join(request.key_usages),
        "DURATION": "" if duration is None else str(duration),
        "REASON": request.reason,
    }


def facts_of_leaf(leaf: x509.Certificate, reason: str) -> dict[str, str]:
    """What a program that revokes is told."""
    return {
        "SERIAL": serial_text(leaf.serial_number),
        "FINGERPRINT": fingerprint(leaf),
        "DNS_NAMES": " ".join(names_of(leaf).dns_names),
        "REASON": reason,
    }


PROVIDER = CommandIssuer
