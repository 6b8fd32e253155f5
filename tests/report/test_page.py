# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as it is used: filtered, sorted, with and without a mouse, without its script, in a hostile world, and for a large fleet."""

from __future__ import annotations

import socket

import pytest
from playwright.sync_api import expect

from ansible_collections.fleet.tls.tests.unit.support import health_documents as given
from report.pages import Opened, Opener

ALL_SEEN = "11 of 11 findings, 6 of 6 certificates"


def test_it_asks_for_nothing_and_complains_of_nothing(sample_page: Opened) -> None:
    expect(sample_page.page).to_have_title("5 things to fix now - TLS certificates")
    assert sample_page.requests == [sample_page.address]
    assert sample_page.complaints == []
    assert sample_page.count() == ALL_SEEN


def test_it_may_load_and_run_nothing_even_if_something_got_in(sample_page: Opened) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        ran = sample_page.page.evaluate(
            """(address) => new Promise((done) => {
                const script = document.createElement('script');
                script.textContent = 'window.broken = 1';
                document.body.append(script);
                const image = document.createElement('img');
                image.onload = image.onerror = () => done(window.broken ?? null);
                image.src = address;
                document.body.append(image);
            })""",
            f"http://127.0.0.1:{server.getsockname()[1]}/x.png",
        )
        assert ran is None
        with pytest.raises(BlockingIOError):
            server.accept()
    assert sum("Content Security Policy" in each for each in sample_page.complaints) >= 2


def test_search_shows_what_has_all_the_words(sample_page: Opened) -> None:
    sample_page.page.get_by_role("searchbox", name="Search").fill("WEB2 shop")
    assert sample_page.rows("certificate-table") == ["web2 shop.example.com"]
    assert sample_page.count() == "0 of 11 findings, 1 of 6 certificates"
    expect(sample_page.page.get_by_text("No finding fits the filter.")).to_be_visible()


def test_search_finds_what_is_folded_away(sample_page: Opened) -> None:
    sample_page.page.get_by_role("searchbox", name="Search").fill("2e75aaaa")
    assert sample_page.rows("certificate-table") == ["web1 www"]


def test_severities_and_hosts_filter_both_tables(sample_page: Opened) -> None:
    sample_page.page.get_by_role("combobox", name="Host").select_option("web2")
    assert sample_page.count() == "3 of 11 findings, 3 of 6 certificates"
    sample_page.page.get_by_role("checkbox", name="critical").uncheck()
    assert sample_page.count() == "1 of 11 findings, 1 of 6 certificates"
    assert sample_page.rows("findings") == ["web2 web2:8443"]
    sample_page.page.get_by_role("button", name="Reset").click()
    expect(sample_page.page.locator("#count")).to_have_text(ALL_SEEN)


def test_columns_sort_both_ways_and_what_is_not_known_comes_last(sample_page: Opened) -> None:
    expires = sample_page.page.locator("#certificate-table").get_by_role("button", name="Expires")
    heading = expires.locator("..")
    expect(heading).to_have_attribute("aria-sort", "none")
    expires.click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert sample_page.rows("certificate-table") == [
        "mail1 mail", "web1 intranet.example.com", "web2 shop.example.com", "web1 www", "web2 www", "web2 api",
    ]  # fmt: skip
    expires.click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert sample_page.rows("certificate-table") == [
        "web1 www", "web2 www", "web2 shop.example.com", "web1 intranet.example.com", "mail1 mail", "web2 api",
    ]  # fmt: skip
    sample_page.page.locator("#certificate-table").get_by_role("button", name="Host").click()
    expect(heading).to_have_attribute("aria-sort", "none")
    assert sample_page.rows("certificate-table")[0] == "mail1 mail"


def test_findings_are_sorted_by_how_bad_they_are_and_each_has_its_remedy(sample_page: Opened) -> None:
    rows = sample_page.page.locator("#findings tbody tr").all()
    said = [row.get_attribute("data-severity") for row in rows]
    assert said == ["critical"] * 5 + ["warning"] * 4 + ["notice"] * 2
    remedies = [row.locator(".remedy").inner_text() for row in rows]
    assert remedies == [each["remedy"] for each in given.sample()["findings"]]
    sample_page.page.locator("#findings").get_by_role("button", name="Severity").click()
    assert sample_page.page.locator("#findings tbody tr").first.get_attribute("data-severity") == "notice"


def test_everything_can_be_done_with_the_keyboard(sample_page: Opened) -> None:
    keyboard = sample_page.page.keyboard
    keyboard.press("Tab")
    assert sample_page.focused() == "Skip to the certificates"
    expect(sample_page.page.get_by_text("Skip to the certificates")).to_be_in_viewport()
    for _step in range(20):
        keyboard.press("Tab")
        if sample_page.focused() == "search":
            break
    keyboard.type("example.com")
    assert sample_page.count() == "0 of 11 findings, 6 of 6 certificates"
    keyboard.press("Control+A")
    keyboard.press("Delete")
    keyboard.press("Tab")
    keyboard.type("web1")
    expect(sample_page.page.get_by_role("combobox", name="Host")).to_have_value("web1")
    assert sample_page.count().endswith("2 of 6 certificates")
    keyboard.press("Tab")
    assert sample_page.focused() == "critical"
    keyboard.press("Space")
    expect(sample_page.page.get_by_role("checkbox", name="critical")).not_to_be_checked()
    for _step in range(40):
        keyboard.press("Tab")
        if sample_page.focused() == "Expires":
            break
    keyboard.press("Enter")
    assert sample_page.rows("certificate-table") == ["web1 intranet.example.com", "web1 www"]
    for _step in range(10):
        keyboard.press("Tab")
        if sample_page.focused() == "intranet.example.com":
            break
    keyboard.press("Enter")
    expect(sample_page.page.get_by_text("sha1WithRSAEncryption", exact=True)).to_be_visible()


def test_the_skip_link_goes_past_the_filter(sample_page: Opened) -> None:
    sample_page.page.keyboard.press("Tab")
    sample_page.page.keyboard.press("Enter")
    assert sample_page.page.evaluate("() => document.activeElement.id") == "certificates"


def test_it_can_be_read_without_its_script(open_page: Opener) -> None:
    opened = open_page(java_script_enabled=False)
    assert len(opened.page.locator("#findings tbody tr").all()) == 11
    expect(opened.page.get_by_text("run fleet.tls.deploy -l mail1")).to_be_visible()
    expect(opened.page.get_by_role("searchbox", name="Search")).to_be_hidden()


def test_a_hostile_world_is_text(open_page: Opener) -> None:
    opened = open_page(given.hostile())
    assert opened.page.evaluate("() => window.broken") is None
    assert opened.complaints == []
    assert opened.requests == [opened.address]
    assert opened.page.locator("img, iframe, object, script:not(:last-child)").count() == 0
    assert len(opened.rows("certificate-table")) == len(given.HOSTILE_TEXTS)
    expect(opened.page.locator("#findings").get_by_text("<script>window.broken = 1</script>").first).to_be_visible()
    opened.page.get_by_role("searchbox", name="Search").fill("<script>")
    assert opened.count().startswith("1 of ")


def test_a_fleet_that_is_well_is_said_to_be(open_page: Opener) -> None:
    opened = open_page(given.document([given.certificate()], []))
    expect(opened.page.get_by_role("heading", level=1)).to_have_text("All is well")
    expect(opened.page.get_by_text("Nothing to do.")).to_be_visible()
    assert opened.count() == "1 of 1 certificate"
    assert opened.complaints == []


@pytest.mark.parametrize("count", [3000])
def test_a_large_fleet_can_be_filtered(open_page: Opener, count: int) -> None:
    opened = open_page(given.many(count))
    opened.page.get_by_role("searchbox", name="Search").fill("site-1234.example.com")
    assert opened.rows("certificate-table") == ["web0123 site-4"]
    opened.page.get_by_role("button", name="Reset").click()
    expect(opened.page.locator("#count")).to_have_text("60 of 60 findings, 3000 of 3000 certificates")
    bars = opened.page.locator(".timeline .mark rect")
    assert bars.count() >= 48
    assert opened.page.locator(".timeline .total").first.text_content() == "60"
