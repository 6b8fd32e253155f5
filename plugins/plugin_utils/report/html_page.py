# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as one HTML page that needs nothing else: no network, no other file; it can be read without its script. Pure.

What stands in it was said by certificates and servers of other people: Jinja escapes all of it, and the page's policy
(Content-Security-Policy) runs no script but the page's own, known by its digest, and loads nothing.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import CODES
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment
from ansible_collections.fleet.tls.plugins.plugin_utils.report import timeline as report_timeline
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import (
    SECONDS_A_DAY,
    WORST_FIRST,
    served_text,
    sort_findings,
    title_of,
)

PAGE = Path(__file__).with_name("page")


def render(document: Mapping[str, Any]) -> str:
    """The page."""
    style, script = asset("page.css"), asset("page.js")
    template = environment().get_template("page.html.j2")
    return template.render(
        document=document,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'; base-uri 'none'; form-action 'none'",
        severities=WORST_FIRST,
        headline=headline(document),
        tiles=tiles(document),
        timeline=report_timeline.timeline(document),
        frame=report_timeline,
        findings=document["findings"],
        certificates=certificates(document),
    )


class PageEnvironment(Environment):
    """Jinja for mappings: ``each.host`` is an item. Jinja's own way looks for an attribute first, and half a page's time went into that."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """As Jinja's own; items first."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def environment() -> Environment:
    """Jinja with everything escaped, and with nothing left out silently."""
    made = PageEnvironment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(day=day, clock=clock, ago=ago, words=words, title=title, breakable=breakable)
    return made


@functools.cache
def asset(name: str) -> str:
    """The page's style or script."""
    return (PAGE / name).read_text(encoding="utf-8").strip()


def digest(text: str) -> str:
    """How the page's policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def headline(document: Mapping[str, Any]) -> tuple[str, str]:
    """The worst severity, and the page's first sentence."""
    found = Counter(each["severity"] for each in document["findings"])
    if found["critical"]:
        return "critical", f"{things(found['critical'])} to fix now"
    if found["warning"]:
        return "warning", f"{things(found['warning'])} to fix soon"
    if found["notice"]:
        return "notice", f"All is well, with {found['notice']} note{'s'[: found['notice'] != 1]}"
    return "ok", "All is well"


def things(count: int) -> str:
    """``1 thing``, ``2 things``."""
    return f"{count} thing{'s'[: count != 1]}"


def tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Figures in front: name, figure, and a remark."""
    found = Counter(each["severity"] for each in document["findings"])
    silent = sum(not each["reachable"] for each in document["hosts"])
    unmanaged = sum(each["origin"] != "managed" for each in document["certificates"])
    ends = sorted((each["days_left"], title_of(each), each["host"]) for each in document["certificates"]
                  if each["days_left"] is not None and each["days_left"] > 0)  # fmt: skip
    following = ends[0] if ends else None
    return [
        ("Hosts", str(len(document["hosts"])), f"{silent} not reached" if silent else "all reached"),
        ("Certificates", str(len(document["certificates"])), f"{unmanaged} not managed here" if unmanaged else "all managed"),
        *((name.capitalize(), str(found[name]), "findings"[: None if found[name] != 1 else -1]) for name in WORST_FIRST[:3]),
        ("Next expiry", report_timeline.distance(following[0]) if following else "none",
         f"{following[1]} on {following[2]}" if following else ""),
    ]  # fmt: skip


def certificates(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Certificates with what the table shows besides their own fields."""
    found = sort_findings(document)
    return [
        {
            **each,
            "title": title_of(each),
            "served_text": served_text(each),
            "life": life(each),
            "codes": [finding["code"] for finding in found.of_certificates[index]],
        }
        for index, each in enumerate(document["certificates"])
    ]


def life(certificate: Mapping[str, Any]) -> float | None:
    """Which part of its lifetime is left, in percent."""
    if not (certificate["not_before"] and certificate["not_after"]) or certificate["days_left"] is None:
        return None
    lifetime = parse_moment(certificate["not_after"]) - parse_moment(certificate["not_before"])
    whole = lifetime.total_seconds() / SECONDS_A_DAY
    return round(min(100.0, max(0.0, 100 * certificate["days_left"] / whole)), 1) if whole > 0 else 0.0


def day(text: str) -> str:
    """``24 Nov 2026``."""
    return report_timeline.day(parse_moment(text))


def clock(text: str) -> str:
    """``24 Nov 2026, 17:00 UTC``."""
    return f"{day(text)}, {parse_moment(text).strftime('%H:%M')} UTC"


def ago(days: float | None) -> str:
    """``in 29 days``."""
    return "" if days is None else report_timeline.distance(days)


def words(code: Any) -> str:
    """``not_served`` → ``not served``."""
    return str(code or "").replace("_", " ")


def title(code: str) -> str:
    """What a code means, as a heading."""
    return CODES[code].title if code in CODES else words(code)


def breakable(text: Any) -> Markup:
    """A path or name that may be broken behind its slashes, rather than anywhere."""
    # Escaping leaves slashes alone and makes none.
    return Markup(str(escape(str(text))).replace("/", "/<wbr>"))
