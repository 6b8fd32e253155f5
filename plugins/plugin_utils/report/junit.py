# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as JUnit XML, which CI servers show: a test case a certificate, a failure where something is wrong. Pure.

What the next deploy settles (severity ``notice``) fails no test case; it stands in its ``system-out``.
"""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import SEVERITIES
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import at_least, sort_findings, title_of

# The suite of what belongs to no host: authorities, revocation lists, rings, the schedule.
CONTROLLER = "controller"


@dataclass
class Case:
    """One test case and what was found; kinds and subjects of the findings that belong to it, and the state they come from."""

    name: str
    findings: list[Mapping[str, Any]] = field(default_factory=list)
    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    state: str | None = None

    @property
    def failing(self) -> list[Mapping[str, Any]]:
        """Findings that let it fail."""
        return [each for each in self.findings if at_least(each["severity"], "warning")]


def render(document: Mapping[str, Any]) -> str:
    """An XML document in UTF-8."""
    suites = cases(document)
    root = ET.Element("testsuites", counts("fleet.tls", [case for each in suites.values() for case in each]))
    for name, found in suites.items():
        suite = ET.SubElement(root, "testsuite", counts(name, found))
        # The format has no zone here; it is UTC.
        suite.set("timestamp", document["generated"].rstrip("Z"))
        suite.set("hostname", name)
        for case in found:
            add_case(suite, name, case)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def cases(document: Mapping[str, Any]) -> dict[str, list[Case]]:
    """Host → its test cases: the host itself first, then its certificates, then what else was found there."""
    found = sort_findings(document)
    suites: dict[str, list[Case]] = {str(each["host"]): [Case("host")] for each in document["hosts"]}
    for index, certificate in enumerate(document["certificates"]):
        case = Case(unique_name(certificate), list(found.of_certificates[index]))
        suites.setdefault(str(certificate["host"]), []).append(case)
    for authority in document["authorities"]:
        names = (authority["issuer"], authority["subject"])
        kind = "crl" if authority["kind"] == "crl" else "authority"
        case = Case(f"{authority['kind']} {': '.join(names)}", kinds=(kind,), subjects=names, state=authority["state"])
        suites.setdefault(CONTROLLER, []).append(case)
    for ring in document["rings"]:
        case = Case(f"ring {ring['pool']}", kinds=("ring",), subjects=(ring["pool"],))
        suites.setdefault(CONTROLLER, []).append(case)
    homes: dict[tuple[str, str, str], list[Case]] = {}
    for host, suite in suites.items():
        for each in suite:
            for kind, subject in itertools.product(each.kinds, each.subjects):
                homes.setdefault((host, kind, subject), []).append(each)
    for finding in found.others:
        host = str(finding["host"] or CONTROLLER)
        suite, key = suites.setdefault(host, []), (host, finding["kind"], finding["subject"])
        home = home_of(finding, suite, homes.get(key, ()))
        if home is None:
            home = Case(f"{finding['kind']} {finding['subject']}", kinds=(key[1],), subjects=(key[2],))
            suite.append(home)
            homes.setdefault(key, []).append(home)
        home.findings.append(finding)
    return suites


def unique_name(certificate: Mapping[str, Any]) -> str:
    """A certificate's title, with what tells it from another of that title on the host."""
    where = certificate["path"] or ", ".join(str(one["endpoint"]) for one in certificate["served"])
    title = title_of(certificate)
    return title if certificate["name"] or not where or where == title else f"{title} ({where})"


def home_of(finding: Mapping[str, Any], suite: Sequence[Case], about: Sequence[Case]) -> Case | None:
    """The test case of what a finding is about, None where there is none yet; ``about``: those of its kind and subject."""
    if finding["kind"] == "host":
        return next((case for case in suite if case.name == "host"), None)
    # An issuer has several authorities: it is the one whose state is told.
    return next((case for case in about if case.state in (None, finding["code"])), None)


def add_case(suite: ET.Element, name: str, case: Case) -> None:
    """One test case below its suite."""
    element = ET.SubElement(suite, "testcase", {"classname": f"fleet.tls.{name}", "name": case.name, "time": "0"})
    if case.failing:
        first = max(case.failing, key=lambda each: SEVERITIES.index(each["severity"]))
        failure = ET.SubElement(element, "failure", {"type": str(first["code"]), "message": str(first["message"])})
        failure.text = "\n".join(line(each) for each in case.failing)
    others = [each for each in case.findings if each not in case.failing]
    if others:
        ET.SubElement(element, "system-out").text = "\n".join(line(each) for each in others)


def line(finding: Mapping[str, Any]) -> str:
    """A finding with its remedy."""
    remedy = f"\n  remedy: {finding['remedy']}" if finding["remedy"] else ""
    return f"{finding['severity']}: {finding['code']}: {finding['message']}{remedy}"


def counts(name: str, found: Iterable[Case]) -> dict[str, str]:
    """The attributes of a suite."""
    found = list(found)
    failures = sum(bool(case.failing) for case in found)
    return {
        "name": name,
        "tests": str(len(found)),
        "failures": str(failures),
        "errors": "0",
        "skipped": "0",
        "time": "0",
    }
