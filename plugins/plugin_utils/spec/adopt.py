# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``adopt`` of a certificate: the pair of somebody else's that becomes its first generation. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_path


@dataclass(frozen=True)
class Source:
    """Where a pair lies on the host that becomes the first generation; both may be one file."""

    certificate: str
    private_key: str


def parse_source(raw: Any, location: str, *, pooled: bool) -> Source | None:
    """``adopt`` of an entry: ``{certificate: path, private_key: path}``.

    :param location: where the entry wants keys to be made.
    :raises SpecError: unknown fields, paths that are not absolute, or a key that is wanted on the controller: it stays where it is.
    """
    if raw is None:
        return None
    if pooled or location == "controller":
        wanted = "scope: pool" if pooled else "private_key.location: controller"
        raise SpecError(
            f"adopt: the pair's key stays on the host, and {wanted} wants it on the controller",
            remedy="leave that out until the first renewal, or leave adopt out to have a new pair issued",
        )
    fields = Fields(raw, ("certificate", "private_key"), "adopt")
    certificate = parse_path(fields.get("certificate"), "adopt: certificate")
    # A file may have both, as HAProxy's do.
    return Source(certificate, parse_path(fields.get("private_key", certificate), "adopt: private_key"))
