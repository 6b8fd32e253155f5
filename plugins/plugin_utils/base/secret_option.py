# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret that the user gives in one of three forms: itself, the file that it is in, or the environment variable that has it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields

# What the option's name ends with.
SECRET_FORMS = ("", "_file", "_env")


@dataclass(frozen=True)
class Secret:
    """A secret, or where it is kept; it is read when it is needed and never part of a repr.

    :param whose: the service that wants it, for messages.
    """

    form: str
    value: str = field(repr=False)
    whose: str = "OpenBao"

    def read(self, error: type[TlsError], what: str) -> str:
        """:raises TlsError: (of the kind ``error``) it is not there."""
        if self.form == "":
            return self.value
        if self.form == "_env":
            text = os.environ.get(self.value, "").strip()
            problem = f"the environment variable {self.value} is not set"
        else:
            try:
                with open(os.path.expanduser(self.value), encoding="utf-8") as stream:
                    text = stream.read().strip()
                problem = f"the file {self.value} is empty"
            except (OSError, UnicodeDecodeError) as caught:
                text = ""
                problem = f"the file {self.value} cannot be read: {getattr(caught, 'strerror', None) or 'no text'}"
        if not text:
            raise error(f"{self.whose}: no {what}: {problem}", remedy="set it where the playbook is started")
        return text


def option_names_of(name: str) -> tuple[str, ...]:
    """The options that may give the secret ``name``."""
    return tuple(f"{name}{form}" for form in SECRET_FORMS)


def parse_secret(fields: Fields, name: str, where: str, *, required: bool, whose: str = "OpenBao") -> Secret | None:
    """A secret in one of its three forms.

    :param where: whose option it is, for messages.
    :raises SpecError: none though one is needed, or more than one.
    """
    given = [(form, value) for form in SECRET_FORMS if (value := fields.text(f"{name}{form}"))]
    if len(given) > 1 or (required and not given):
        forms: Any = ", ".join(option_names_of(name))
        raise SpecError(f"{where}: give one of {forms}", remedy=f"best {name} from Ansible Vault")
    return Secret(*given[0], whose) if given else None
