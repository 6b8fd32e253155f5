# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import html
import json

import jsonschema
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.fleet.tls.plugins.filter.report import FilterModule
from ansible_collections.fleet.tls.plugins.modules import report
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import as_of, parse_document
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import FORMATS, as_before, render
from ansible_collections.fleet.tls.plugins.plugin_utils.report.html_page import certificates, headline
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given
from tools import paths

SCHEMA = json.loads((paths.ROOT / "docs" / "health.schema.json").read_text(encoding="utf-8"))


def test_a_form_is_named_wherever_forms_are_chosen() -> None:
    root = paths.ROOT
    described = yaml.safe_load(report.DOCUMENTATION)["options"]["formats"]
    text = yaml.safe_load((root / "plugins/filter/health_report.yml").read_text())["DOCUMENTATION"]["options"]["format"]
    role = yaml.safe_load((root / "roles/report/meta/argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    for choices in (described["choices"], text["choices"], role["tls_report_formats"]["choices"]):
        assert set(choices) == set(FORMATS)
    table = (root / "docs/reports.md").read_text()
    assert all(f"| `{name}` | `{form.file_name}` |" in table for name, form in FORMATS.items())


@pytest.mark.parametrize("document", [given.sample(), given.many(20)], ids=["sample", "many"])
def test_the_json_form_follows_the_schema(document: dict) -> None:
    jsonschema.validate(json.loads(render(document, "json")), SCHEMA)


def test_the_json_form_of_the_sample_is_the_sample() -> None:
    assert json.loads(render(given.sample(), "json")) == given.sample()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("hours", [0, 7, 24 * 40])
def test_a_later_document_that_says_the_same_is_the_same(name: str, hours: int) -> None:
    before = render(given.sample(), name)
    later = as_of(parse_document(given.sample()), given.NOW + dt.timedelta(hours=hours))
    assert as_before(later, name, before) == before
    if hours:
        assert render(later, name) != before


@pytest.mark.parametrize("name", FORMATS)
def test_a_document_with_something_new_is_another(name: str) -> None:
    before = render(given.sample(), name)
    news = given.sample()
    news["certificates"][1]["not_after"] = given.moment(200)
    news["findings"][0]["message"] = "the host cannot be reached: No route to host"
    assert as_before(parse_document(news), name, before) != before


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("before", ["", "nonsense", "9999-99-99T99:99:99Z", 'DTSTAMP:x timestamp="x" "generated": "x"'])
def test_a_file_that_says_no_moment_is_compared_as_it_is(name: str, before: str) -> None:
    document = parse_document(given.sample())
    assert as_before(document, name, before) == FORMATS[name].render(document)


@pytest.mark.parametrize("name", FORMATS)
def test_every_form_takes_an_empty_and_a_hostile_document(name: str) -> None:
    for document in (given.document([], []), given.hostile()):
        text = render(document, name)
        text.encode()
        assert as_before(parse_document(document), name, text) == text


def test_the_filter_renders_what_templates_give_it() -> None:
    templar = Templar(DataLoader(), variables={"fleet_tls_health": given.sample()})
    made = templar.template(trust_as_template("{{ fleet_tls_health | fleet.tls.health_report('prometheus') }}"))
    assert made == render(given.sample(), "prometheus")


def test_the_filter_says_what_is_wrong() -> None:
    with pytest.raises(AnsibleFilterError, match="did you mean 'junit'|Did you mean 'junit'"):
        FilterModule().filters()["health_report"](given.sample(), "junitt")


def test_nothing_hostile_is_markup_in_the_page() -> None:
    page = render(given.hostile(), "html")
    for text in ("<script>window", "<img", "onload='", 'onerror="window'):
        assert text not in page
    assert html.escape("<script>window.broken = 1</script>") in page
    assert "{{ 7 * 7 }}" in page and "49{" not in page


def test_the_headline_is_the_worst_there_is() -> None:
    def said(*severities: str) -> tuple[str, str]:
        return headline(parse_document(given.document([], [given.finding(severity=each) for each in severities])))

    assert said("critical", "critical", "warning") == ("critical", "2 things to fix now")
    assert said("warning", "notice") == ("warning", "1 thing to fix soon")
    assert said("notice") == ("notice", "All is well, with 1 note")
    assert said() == ("ok", "All is well")


def test_how_much_life_is_left() -> None:
    parsed = parse_document(given.sample())
    assert [each["life"] for each in certificates(parsed)] == [0.0, 65.6, 1.7, 65.6, None, 29.4]
