# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Solver ``command``: a program of yours makes challenges visible, for every DNS service that has a program or an API.

It is run as ``PROGRAM… present|cleanup DOMAIN NAME VALUE`` on the controller, without a shell, and has to return only when the
answer is visible to the CA. For dns-01 NAME is the TXT record's name and VALUE its text; for http-01 NAME is the token and VALUE
the file's content. Neither is a secret. ``cleanup`` is called also where ``present`` failed.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: A program of yours makes challenges visible
description:
  - Run on the controller as C(PROGRAM ARGUMENT… present DOMAIN NAME VALUE), and later with C(cleanup), without a shell. It returns when the answer
    is visible.
  - For dns-01, NAME is the name of the TXT record and VALUE its text. For http-01, they are the token and the file's content.
options:
  command:
    description: The program and its first arguments.
    type: list
    elements: str
    required: true
  challenge:
    description: Which challenge it answers.
    type: str
    default: dns-01
    choices: [dns-01, http-01]
  timeout:
    description: How long it may take.
    type: str
    default: 5m
"""
EXAMPLES = r"""
challenge:
  type: command
  command: [/usr/local/bin/dns-hook, --zone, example.com]
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.masking import secret_variables
from ansible_collections.fleet.tls.plugins.plugin_utils.base.programs import last_words
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver


class CommandSolver(Solver):
    """Options: ``command`` (program and first arguments), ``challenge`` (dns-01, http-01), ``timeout``."""

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        self.command = [str(each) for each in self.fields.items("command")]
        if not self.command:
            raise SpecError(f"{where}: command is missing", remedy="write command: [/path/of/program, argument, ...]")
        self.challenge_type = one_of(
            self.fields.get("challenge", "dns-01"), ("dns-01", "http-01"), f"{where}: challenge"
        )
        self.timeout = parse_duration(self.fields.get("timeout", "5m"), f"{where}: timeout")

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("command", "challenge", "timeout")

    def present(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        for each in challenges:
            self.call("present", each)

    def cleanup(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        problems = []
        for each in challenges:
            try:
                self.call("cleanup", each)
            except IssuerError as error:
                problems.append(error)
        if problems:
            raise problems[0]

    def call(self, verb: str, challenge: Challenge) -> None:
        """:raises IssuerError: it cannot be started, fails, or takes too long."""
        try:
            ended = subprocess.run(
                [*self.command, verb, challenge.domain, challenge.name, challenge.value],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self.failed(verb, challenge, f"it took longer than {self.timeout} s") from None
        except OSError as error:
            raise self.failed(verb, challenge, f"it cannot be started: {error.strerror}") from None
        if ended.returncode != 0:
            words = last_words(ended.stderr, secret_variables(os.environ))
            raise self.failed(verb, challenge, f"it ended with {ended.returncode}: {words or 'no word of why'}")

    def failed(self, verb: str, challenge: Challenge, problem: str) -> IssuerError:
        """The program's failure."""
        return IssuerError(
            f"{self.command[0]} {verb} {challenge.domain}: {problem}",
            remedy=f"run '{self.command[0]} … {verb} {challenge.domain} {challenge.name} TEXT' by hand",
        )


PROVIDER = CommandSolver
