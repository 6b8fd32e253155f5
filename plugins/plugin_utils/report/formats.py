# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms in which the health document is given to its readers, and whether a file has anything else to say than the one before it. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.report import cbom as report_cbom
from ansible_collections.fleet.tls.plugins.plugin_utils.report import csv_form as report_csv
from ansible_collections.fleet.tls.plugins.plugin_utils.report import html_page as report_html
from ansible_collections.fleet.tls.plugins.plugin_utils.report import ics as report_ics
from ansible_collections.fleet.tls.plugins.plugin_utils.report import json_form as report_json
from ansible_collections.fleet.tls.plugins.plugin_utils.report import junit as report_junit
from ansible_collections.fleet.tls.plugins.plugin_utils.report import prometheus as report_prometheus
from ansible_collections.fleet.tls.plugins.plugin_utils.report import terminal as report_terminal
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import as_of, parse_document

# Where a file says of which moment it is: the first one that has this form.
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?")


@dataclass(frozen=True)
class Format:
    """How a form is made, the usual name of its file, and how the file says of which moment it is."""

    render: Callable[[Mapping[str, Any]], str]
    file_name: str
    moment: re.Pattern[str]


FORMATS = {
    "terminal": Format(report_terminal.render, "health.txt", ISO),
    "json": Format(report_json.render, "health.json", re.compile(r'(?<="generated": ")[^"]+')),
    "csv": Format(report_csv.render, "health.csv", ISO),
    "junit": Format(report_junit.render, "health.xml", re.compile(r'(?<=timestamp=")[^"]+')),
    "prometheus": Format(report_prometheus.render, "fleet_tls.prom", ISO),
    "html": Format(report_html.render, "health.html", re.compile(r'(?<=Seen <time datetime=")[^"]+')),
    "cbom": Format(report_cbom.render, "health.cdx.json", re.compile(r'(?<="timestamp": ")[-0-9T:]{19}')),
    "ics": Format(report_ics.render, "health.ics", re.compile(r"(?<=DTSTAMP:)\w+")),
}


def format_named(name: Any) -> Format:
    """One of ``FORMATS``.

    :raises SpecError: there is none of that name.
    """
    return FORMATS[one_of(name, FORMATS, "format")]


def render(raw: Any, name: Any) -> str:
    """A health document in a form.

    :raises SpecError: an unknown form, or no health document.
    """
    return format_named(name).render(parse_document(raw))


def as_before(document: Mapping[str, Any], name: str, before: str) -> str:
    """The form as it would be had this document been made when the text ``before`` was.

    It is equal to ``before`` when nothing is new but the moment, and what is counted from it. Where ``before`` does not say of
    which moment it is, the document is as it is.
    """
    form = FORMATS[name]
    found = form.moment.search(before)
    moment = moment_of(found[0]) if found else None
    return form.render(as_of(document, moment) if moment else document)


def moment_of(text: str) -> dt.datetime | None:
    """``2026-11-24T17:00:00Z``, with or without its punctuation; None: it is no moment."""
    digits = re.sub(r"\D", "", text)
    try:
        return dt.datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return None
