# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as it looks: in light and dark, on paper and on a telephone, and to those who do not see it or not well."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import expect

from ansible_collections.fleet.tls.tests.unit.support import health_documents as given
from report import screenshots
from report.pages import SCHEMES, Opened, Opener

# Every text with the least contrast (WCAG 2) to the colours that it may stand on: gradients count with each of their colours.
CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, below) => {
    const alpha = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map((i) => top[i] * alpha + below[i] * (1 - alpha));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const grounds = (element) => {
    if (!element) return [[255, 255, 255]];
    const style = getComputedStyle(element);
    const gradient = style.backgroundImage.match(/rgba?\\([^)]+\\)/g);
    if (gradient) return gradient.map(parse).map((c) => c.slice(0, 3));
    const own = parse(style.backgroundColor);
    if (own.length < 4 || own[3] === 1) return [own];
    return grounds(element.parentElement).map((below) => over(own, below));
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || element.closest('script, style, title, desc') || !element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const colour = parse(element.closest('svg') ? style.fill : style.color);
    const least = Math.min(...grounds(element).map((ground) => ratio(over(colour, ground), ground)));
    found.push([text, Math.round(least * 100) / 100]);
  }
  return found;
}"""
FOCUSABLE = "a[href], button, input, select, summary, [tabindex='0']"


def picture(opened: Opened, **how: Any) -> Image.Image:
    return Image.open(io.BytesIO(opened.page.screenshot(full_page=True, **how))).convert("RGB")


def brightness(image: Image.Image) -> float:
    return ImageStat.Stat(image.convert("L")).mean[0]


def test_both_schemes_are_drawn_and_differ(open_page: Opener) -> None:
    shots = {scheme: picture(open_page(color_scheme=scheme)) for scheme in SCHEMES}
    for image in shots.values():
        # Not blank: it has many colours, and no one colour covers it.
        colours = image.getcolors(maxcolors=image.width * image.height)
        assert colours is not None and len(colours) > 500
        assert max(count for count, _colour in colours) < 0.9 * image.width * image.height
    assert brightness(shots["light"]) > 200
    assert brightness(shots["dark"]) < 60
    assert shots["light"].size == shots["dark"].size


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "what", ["h1", "#findings .remedy", "#certificate-table time", ".timeline .month", ".tile b", ".badge"]
)
def test_text_is_really_drawn(open_page: Opener, scheme: str, what: str) -> None:
    opened = open_page(color_scheme=scheme)
    place = opened.page.locator(what).first
    seen = Image.open(io.BytesIO(place.screenshot())).convert("RGB")
    place.evaluate("(e) => { e.style.visibility = 'hidden'; }")
    without = Image.open(io.BytesIO(place.page.screenshot(clip=place.bounding_box()))).convert("RGB")  # type: ignore[arg-type]
    difference = ImageChops.difference(seen, without.resize(seen.size))
    assert max(high for _low, high in difference.getextrema()) > 80


@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_text_has_enough_contrast(open_page: Opener, scheme: str) -> None:
    opened = open_page(color_scheme=scheme)
    opened.page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    found = opened.page.evaluate(CONTRASTS)
    assert len(found) > 250
    assert [each for each in found if each[1] < 4.5] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_where_the_focus_is_can_be_seen(open_page: Opener, scheme: str) -> None:
    opened = open_page(color_scheme=scheme)
    total = opened.page.locator(FOCUSABLE).locator("visible=true").count()
    assert total > 25
    for _each in range(total):
        opened.page.keyboard.press("Tab")
        style = opened.page.evaluate(
            "() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)] }"
        )
        assert style[0] != "none" and style[1] >= 2, opened.focused()


def test_it_has_the_structure_that_screen_readers_need(sample_page: Opened) -> None:
    page = sample_page.page
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert page.locator("h1").count() == page.locator("main").count() == 1
    tables = page.locator("table").all()
    assert len(tables) == 5
    for table in tables:
        assert table.locator("caption").text_content()
        assert table.locator("thead th:not([scope=col])").count() == 0
        assert table.locator("tbody tr").count() == table.locator("tbody th[scope=row]").count()
    assert page.locator("table.sortable thead th:not([aria-sort])").count() == 0
    expect(page.locator("#count")).to_have_attribute("aria-live", "polite")
    names = [page.get_by_role("img").nth(index) for index in range(page.get_by_role("img").count())]
    assert len(names) == 1  # All other pictures repeat what stands beside them.
    assert "Already over: 1" in names[0].aria_snapshot()
    for control in page.locator("input, select, button").all():
        assert control.evaluate("(e) => e.labels?.length || e.textContent.trim().length") > 0


def test_the_picture_is_there_in_words_too(sample_page: Opened) -> None:
    words = sample_page.page.get_by_role("table", name="Expiries by month")
    expect(words).to_be_hidden()
    sample_page.page.get_by_text("The same in words").click()
    expect(words).to_be_visible()
    assert words.locator("tbody tr").first.inner_text().split("\t") == ["Already over", "1", "mail on mail1"]


def test_no_meaning_is_in_colours_alone(sample_page: Opened) -> None:
    shapes = [
        sample_page.page.locator(f"#shape-{each}").inner_html() for each in ("critical", "warning", "notice", "ok")
    ]
    assert len(set(shapes)) == 4
    for badge in sample_page.page.locator(".badge").all():
        assert badge.inner_text().strip()
    for mark in sample_page.page.locator(".timeline .mark").all():
        kind = str(mark.get_attribute("class")).split()[1]
        assert mark.locator("use").get_attribute("href") == f"#shape-{kind}"
        assert str(mark.locator("title").text_content()).endswith(f"({kind})")


def test_on_paper_it_is_dark_on_white_without_controls_and_with_the_words(open_page: Opener) -> None:
    opened = open_page(color_scheme="dark")
    opened.page.emulate_media(media="print", color_scheme="dark")
    assert opened.page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(opened.page.get_by_role("searchbox", name="Search")).to_be_hidden()
    assert [each for each in opened.page.evaluate(CONTRASTS) if each[1] < 4.5] == []
    opened.page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    expect(opened.page.get_by_role("table", name="Expiries by month")).to_be_visible()
    opened.page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    expect(opened.page.get_by_role("table", name="Expiries by month")).to_be_hidden()
    assert opened.page.pdf(format="A4").startswith(b"%PDF-")


def test_on_a_telephone_only_tables_scroll_sideways(open_page: Opener) -> None:
    for document in (given.sample(), given.hostile()):
        opened = open_page(document, viewport={"width": 390, "height": 844})
        assert opened.page.evaluate("() => document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_pictures_in_the_documentation_show_the_page(open_page: Opener, scheme: str) -> None:
    file = screenshots.IMAGES / f"report-{scheme}.png"
    assert file.stat().st_size < 300_000
    told = Image.open(file).convert("RGB")
    opened = open_page(screenshots.showcase(), color_scheme=scheme, viewport=screenshots.SIZE)
    seen = Image.open(io.BytesIO(opened.page.screenshot())).convert("RGB")
    assert told.size == seen.size
    # Fonts differ from machine to machine; what is where does not.
    small = [each.resize((64, 62), Image.Resampling.BOX) for each in (told, seen)]
    assert max(ImageStat.Stat(ImageChops.difference(*small)).mean) < 6


def test_nothing_moves_for_those_who_do_not_want_it(open_page: Opener) -> None:
    behaviour = "() => getComputedStyle(document.documentElement).scrollBehavior"
    assert open_page().page.evaluate(behaviour) == "smooth"
    assert open_page(reduced_motion="reduce").page.evaluate(behaviour) == "auto"
