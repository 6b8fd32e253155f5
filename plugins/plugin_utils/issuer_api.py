# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an issuer of another collection may import: this module, and nothing else of this collection. See docs/issuers/own.md."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    CertificateError,
    DependencyError,
    IssuerError,
    SpecError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.issue_once import issue_once
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issued import check_issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    USAGES,
    Names,
    check_chain,
    fingerprint,
    general_names,
    parse_pem_chain,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key

__all__ = (
    "USAGES",
    "CertificateError",
    "DependencyError",
    "Fields",
    "IssueRequest",
    "Issued",
    "Issuer",
    "IssuerError",
    "Names",
    "SpecError",
    "Store",
    "TlsError",
    "check_chain",
    "check_issued",
    "fingerprint",
    "general_names",
    "get_key",
    "issue_once",
    "parse_duration",
    "parse_pem_chain",
    "put_key",
    "to_pem",
)
