# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lookups of this collection have in common: options with the variables that stand for them, and errors in people's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import require_cryptography


class TlsLookup(LookupBase):
    """A lookup of this collection: :meth:`found` is all it has to bring."""

    name = "lookup"

    def run(self, terms: Sequence[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """One text for each term."""
        self.set_options(var_options=dict(variables or {}), direct=kwargs)
        try:
            require_cryptography()
            return self.found([str(term) for term in terms])
        except TlsError as error:
            # "from None": the traceback of an inner error could carry what it was working on.
            raise AnsibleLookupError(f"fleet.tls.{self.name}: {error}") from None

    def found(self, terms: Sequence[str]) -> list[str]:
        """The texts, in the order of the terms.

        :raises TlsError: one of them cannot be told.
        """
        raise TypeError(f"{type(self).__name__} does not say what it finds")

    def value(self, option: str) -> Any:
        """An option; a variable that stands for it may be a template."""
        value, templar = self.get_option(option), self._templar
        return templar.template(value) if templar else value
