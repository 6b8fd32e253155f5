# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as a file for Prometheus, read by node_exporter's textfile collector. Pure.

Certificates have the metrics, and the labels, of x509-certificate-exporter (github.com/enix/x509-certificate-exporter, docs/metrics.md), so that
dashboards and alerts made for it (``(x509_cert_not_after - time()) / 86400 < 14``, grafana.com/dashboards/13922) read them. What that exporter
does not know stands in ``fleet_tls_*``.

node_exporter drops a whole file for one series that stands twice, so every certificate carries ``discriminator``, the beginning of
its fingerprint, as that exporter's does where series would collide; what is still the same is left out.
"""

from __future__ import annotations

import os.path
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import SEVERITIES
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment

Sample = tuple[dict[str, str], float]
# Attributes of a name that the exporter has as labels.
NAME_PARTS = ("C", "ST", "L", "O", "OU", "CN")
DISCRIMINATOR_LENGTH = 8
FAILING = ("unreachable", "failed", "damaged")


def render(document: Mapping[str, Any]) -> str:
    """The exposition format's text."""
    lines = [f"# fleet.tls {document['generated']}"]
    for name, (explanation, samples) in families(document).items():
        if samples:
            lines += [f"# HELP {name} {explanation}", f"# TYPE {name} gauge", *series(name, samples)]
    return "\n".join(lines) + "\n"


def families(document: Mapping[str, Any]) -> dict[str, tuple[str, list[Sample]]]:
    """Metric → explanation and samples."""
    now = parse_moment(document["generated"]).timestamp()
    certificates = [(labels_of(each), each) for each in document["certificates"]]
    revocation_lists = [({**part_labels("issuer", each["subject"]), "issuer": text(each["issuer"])}, each)
                        for each in document["authorities"] if each["kind"] == "crl"]  # fmt: skip
    authorities = [({"issuer": text(each["issuer"]), "kind": text(each["kind"]), **part_labels("subject", each["subject"])}, each)
                   for each in document["authorities"] if each["kind"] != "crl"]  # fmt: skip
    failing = [each for each in document["findings"] if each["code"] in FAILING]
    found = Counter((text(each["code"]), each["severity"]) for each in document["findings"])
    severities = Counter(each["severity"] for each in document["findings"])
    return {
        "x509_cert_not_before": ("Since when the certificate is valid, in seconds since the epoch.", seconds(certificates, "not_before")),
        "x509_cert_not_after": ("Until when the certificate is valid, in seconds since the epoch.", seconds(certificates, "not_after")),
        "x509_cert_expired": ("Whether the certificate had expired when it was looked at.", over(certificates, now)),
        "x509_crl_next_update": ("Until when the revocation list counts, in seconds since the epoch.", seconds(revocation_lists, "not_after")),
        "x509_crl_stale": ("Whether the revocation list had expired when it was looked at.", over(revocation_lists, now)),
        "x509_read_errors": ("Hosts and certificates that could not be looked at.", [({}, len(failing))]),
        "fleet_tls_authority_not_after": ("Until when the authority is valid, in seconds since the epoch.", seconds(authorities, "not_after")),
        "fleet_tls_certificate_severity": (
            "How bad the worst finding about the certificate is: 0 ok, 1 notice, 2 warning, 3 critical.",
            [(labels, rank(each["severity"])) for labels, each in certificates],
        ),
        "fleet_tls_findings": (
            "Findings by code.",
            [({"code": code, "severity": severity}, count) for (code, severity), count in sorted(found.items())],
        ),
        "fleet_tls_severity_findings": (
            "Findings by severity.",
            [({"severity": each}, severities[each]) for each in SEVERITIES if each != "ok"],
        ),
        "fleet_tls_host_reachable": (
            "Whether the host could be looked at.",
            [({"host": text(each["host"])}, int(bool(each["reachable"]))) for each in document["hosts"]],
        ),
        "fleet_tls_session_ticket_ring_created": (
            "When the pool's session ticket keys were last moved, in seconds since the epoch.",
            seconds([({"pool": text(each["pool"])}, each) for each in document["rings"]], "created"),
        ),
        "fleet_tls_scan_timestamp_seconds": ("When all this was seen, in seconds since the epoch.", [({}, now)]),
    }  # fmt: skip


def labels_of(certificate: Mapping[str, Any]) -> dict[str, str]:
    """The exporter's labels, and those that tell hosts and endpoints of a fleet apart."""
    path = text(certificate["path"])
    return {
        "host": text(certificate["host"]),
        "name": text(certificate["name"]),
        "endpoint": text(next((one["endpoint"] for one in certificate["served"]), None)),
        "origin": text(certificate["origin"]),
        "filename": os.path.basename(path),
        "filepath": path,
        "embedded_kind": "",
        "embedded_key": "",
        "serial_number": decimal(certificate["serial"]),
        **part_labels("issuer", certificate["issuer_subject"]),
        **part_labels("subject", certificate["subject"], certificate["common_name"]),
        "discriminator": text(certificate["fingerprint_sha256"])[:DISCRIMINATOR_LENGTH],
    }


def part_labels(prefix: str, name: str | None, common_name: str | None = None) -> dict[str, str]:
    """``CN=www,O=Example`` → ``subject_CN``, ``subject_O`` and the others, empty."""
    parts = name_parts(text(name))
    found = {f"{prefix}_{part}": parts.get(part, "") for part in NAME_PARTS}
    return {**found, f"{prefix}_CN": common_name or found[f"{prefix}_CN"]}


def name_parts(name: str) -> dict[str, str]:
    """RFC 4514 text → attribute → value; of an attribute that stands twice, the first."""
    parts: dict[str, str] = {}
    for piece in pieces(name):
        attribute, _equals, value = piece.partition("=")
        parts.setdefault(attribute.strip().upper(), value.replace("\0", "").strip())
    return parts


def pieces(name: str) -> list[str]:
    """The text at its commas and plus signs, unless a backslash is before them; the backslashes are gone then."""
    if "\\" not in name:
        return name.replace("+", ",").split(",")
    found, current, quoted = [], "", False
    for character in name:
        if quoted:
            current, quoted = current + character, False
        elif character == "\\":
            quoted = True
        elif character in ",+":
            found.append(current)
            current = ""
        else:
            current += character
    return [*found, current]


def decimal(serial: str | None) -> str:
    """A serial number in hexadecimal, maybe with colons → decimal, as the exporter has it."""
    try:
        return str(int(text(serial).replace(":", ""), 16))
    except ValueError:
        return ""


def seconds(entries: Iterable[tuple[dict[str, str], Mapping[str, Any]]], field: str) -> list[Sample]:
    """A moment of each that has it."""
    return [(labels, parse_moment(each[field]).timestamp()) for labels, each in entries if each[field]]


def over(entries: Iterable[tuple[dict[str, str], Mapping[str, Any]]], now: float) -> list[Sample]:
    """Whether each was over then."""
    return [(labels, int(moment < now)) for labels, moment in seconds(entries, "not_after")]


def rank(severity: str) -> int:
    """0 for ok, up to 3."""
    return SEVERITIES.index(severity)


def series(name: str, samples: Iterable[Sample]) -> list[str]:
    """The lines of one metric, each set of labels once."""
    lines: dict[str, str] = {}
    for labels, value in samples:
        inner = ",".join(f'{key}="{label_value(each)}"' for key, each in labels.items())
        lines.setdefault(inner, f"{name}{{{inner}}} {value:.0f}" if inner else f"{name} {value:.0f}")
    return list(lines.values())


def label_value(value: str) -> str:
    """As it stands between the quotes."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def text(value: Any) -> str:
    """The value as text, nothing for None."""
    return "" if value is None else str(value)
