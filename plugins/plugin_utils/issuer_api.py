# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door for issuers, stores, solvers and key providers of other collections: what they may import of this collection, see docs/issuers/own.md.

What is here stays as it is within a major release. All other modules of this collection are private.
"""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    CertificateError,
    Deferred,
    DependencyError,
    IssuerError,
    KeyUnavailable,
    SpecError,
    StoreBusy,
    StoreConflict,
    StoreError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import Who
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import (
    AdvisesRenewal,
    AnswersChallenges,
    CanPrepare,
    CanRevoke,
    CanRollOver,
    ForeseesDeferral,
    HandsOutReadyMade,
    KeepsCrls,
    SignatureWanted,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.issue_once import issue_once
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import KeysElsewhere, ToSign
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issued import check_issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import USAGES
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    Names,
    fingerprint,
    general_names,
    parse_pem_chain,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Head, Record, next_record
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import (
    Entry,
    Issuance,
    Ledger,
    Revocation,
    Store,
    check_key,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store.snapshot import Snapshot

__all__ = (
    "USAGES",
    "AdvisesRenewal",
    "AnswersChallenges",
    "CanPrepare",
    "CanRevoke",
    "CanRollOver",
    "CertificateError",
    "Challenge",
    "Deferred",
    "DependencyError",
    "Entry",
    "Fields",
    "ForeseesDeferral",
    "HandsOutReadyMade",
    "Head",
    "HostStep",
    "Issuance",
    "IssueRequest",
    "Issued",
    "Issuer",
    "IssuerError",
    "JsonEntry",
    "KeepsCrls",
    "KeyUnavailable",
    "KeysElsewhere",
    "Ledger",
    "Names",
    "Record",
    "Revocation",
    "SignatureWanted",
    "Snapshot",
    "Solver",
    "SpecError",
    "Store",
    "StoreBusy",
    "StoreConflict",
    "StoreError",
    "TlsError",
    "ToSign",
    "Who",
    "check_chain",
    "check_issued",
    "check_key",
    "fingerprint",
    "general_names",
    "get_key",
    "issue_once",
    "next_record",
    "parse_duration",
    "parse_pem_chain",
    "put_key",
    "to_pem",
)
