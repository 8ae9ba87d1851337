"""The page in a browser, as people use it: with a mouse, with keys alone, on a phone, in the dark."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.leaderboard.html.conftest import FAILED, HOSTILE, METHODS

pytestmark = pytest.mark.browser


@dataclass
class Opened:
    """A page, its console messages and its network requests."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def column(self, number: int, table: str = ".board") -> list[str]:
        found = self.page.locator(f"{table} tbody tr:visible").all()
        return [line.locator("th, td").nth(number).inner_text().strip() for line in found]


@pytest.fixture
def opened(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The report opened from disk; fails on console errors and network requests."""
    context = browser.new_context(**getattr(request, "param", {}))
    page = context.new_page()
    found = Opened(page)
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield found
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith(("data:", report.as_uri()))] == []
    assert page.evaluate("window.hacked") is None
    context.close()


def test_columns_sort_as_numbers_by_mouse_and_by_keyboard(opened: Opened) -> None:
    best_first = opened.column(0)
    accuracy = opened.page.locator(".board th", has_text="Accuracy")
    accuracy.locator("button").click()
    assert accuracy.get_attribute("aria-sort") == "descending"
    values = [float(text.split()[0]) for text in opened.column(1) if text != "-"]
    assert values == sorted(values, reverse=True)
    accuracy.locator("button").focus()
    opened.page.keyboard.press("Enter")
    assert accuracy.get_attribute("aria-sort") == "ascending"
    assert [float(text.split()[0]) for text in opened.column(1) if text != "-"] == sorted(values)
    assert opened.column(1)[-1] == "-", "what is not known stays last"
    opened.page.keyboard.press("Space")
    assert accuracy.get_attribute("aria-sort") == "none"
    assert opened.column(0) == best_first


def test_numbers_sort_by_size_whatever_their_number_of_digits(opened: Opened) -> None:
    opened.page.locator(".board th", has_text="Parameters").locator("button").click()
    assert opened.column(0) == ["weak", "unsound (unsound)", "strong", "broken"], "1,234,567; 651,090; 94,102; 8"
    opened.page.locator(".cells th", has_text="Accuracy").locator("button").click()
    shown = [text.split()[0] for text in opened.column(5, ".cells")]
    assert shown[-1] == "-"
    assert [float(text) for text in shown[:-1]] == sorted((float(text) for text in shown[:-1]), reverse=True)


def test_filters_leave_what_fits(opened: Opened) -> None:
    page = opened.page
    page.fill("#filter-text", "WEAK")
    assert opened.column(0) == ["weak"]
    assert set(opened.column(0, ".cells")) == {"weak"}
    assert page.locator("#shown").inner_text() == f"1 of {len(METHODS)} rows"
    page.locator("button[type=reset]").click()
    page.wait_for_selector("#shown:empty", state="attached")
    page.select_option("#filter-state", "failed")
    assert opened.column(0) == ["broken"]
    assert opened.column(0, ".cells") == ["broken"]
    page.select_option("#filter-state", "")
    page.select_option("#filter-method", METHODS["strong"])
    assert set(opened.column(0)) == {"strong", "unsound (unsound)"}
    page.select_option("#filter-entry", "weak")
    assert page.locator(".group:visible").count() == 0
    assert "No cell fits the filter" in page.locator(".pages").inner_text()


def test_a_failed_cell_opens_by_keyboard_and_says_why(opened: Opened) -> None:
    page = opened.page
    page.select_option("#filter-state", "failed")
    button = page.locator(".cells tbody button")
    button.focus()
    page.keyboard.press("Enter")
    text = page.locator("dialog[open]").inner_text()
    assert f"broken, fold {FAILED}, seed 0" in text
    assert "it broke </script><script>" in text, "what is hostile is shown as text"
    assert text.count("the last line") == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert button.evaluate("element => element === document.activeElement"), "one goes on where one was"


def test_a_finished_cell_shows_its_result_confusion_curve_and_manifest(opened: Opened) -> None:
    page = opened.page
    page.select_option("#filter-entry", "strong")
    page.locator(".strip button").first.click()
    cell = page.locator("dialog[open]")
    assert "strong, fold 0, seed 0" in cell.inner_text()
    assert cell.locator(".matrix td.heat").count() == 36
    counts = [int(text) for text in cell.locator(".matrix td.heat").all_inner_texts()]
    assert sum(counts) == 24
    assert cell.locator("svg path").count() >= 2
    assert "2026-01-01T00:00:00, 13 s" in cell.inner_text()
    page.keyboard.press("ArrowRight")
    assert "strong, fold 1, seed 0" in cell.inner_text()
    cell.locator("button", has_text="Next").click()
    assert "strong, fold 2, seed 0" in cell.inner_text()
    assert cell.locator("button", has_text="Next").is_disabled()
    assert page.evaluate("document.activeElement.textContent") == "Close", "focus is not lost"


def test_every_figure_is_drawn(opened: Opened) -> None:
    page = opened.page
    for kind, expected in (("folds", 12), ("classes", 4), ("curves", 4), ("embeddings", 1), ("mistakes", 4)):
        figure = page.locator(f"details[data-kind={kind}] .drawing")
        drawn = {"folds": "button", "mistakes": "h4"}.get(kind, "figure")
        assert figure.locator(drawn).count() == expected, kind
    assert page.locator("td.plot circle").count() == 3, "one entry is not done"
    assert page.locator("details[data-kind=embeddings] svg path").count() == 24 + 6, "samples, and the legend"
    assert "NaN" not in page.locator("main").inner_html()
    assert HOSTILE.replace("\u2028", " ")[:30] in page.locator("details[data-kind=mistakes]").inner_text()


def test_figures_do_not_wait_for_an_event_that_may_have_come_before_the_script(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.add_init_script("addEventListener('toggle', (event) => event.stopImmediatePropagation(), true)")
    page.goto(report.as_uri())
    assert page.locator("details[data-kind=classes] figure").count() == 4
    page.close()


_NARROW = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("opened", [_NARROW, {"viewport": {"width": 1280, "height": 900}}], indirect=True)
def test_the_page_is_no_wider_than_the_screen(opened: Opened) -> None:
    page = opened.page
    width = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(width) <= 0
    page.locator(".cells tbody button").first.click()
    assert page.evaluate(width) <= 0
    assert page.evaluate("(d => d.scrollWidth - d.clientWidth)(document.querySelector('dialog'))") <= 0


# Relative luminance and contrast of WCAG 2; a colour without opacity is that of what lies behind.
_CONTRAST = """() => {
  const channels = (text) => {
    const numbers = text.match(/[\\d.]+(e-?\\d+)?/g).map(Number);
    return text.startsWith("color(") ? numbers : [...numbers.slice(0, 3).map((c) => c / 255), numbers[3] ?? 1];
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if ((colour[3] ?? 1) > 0.5) return colour;
    }
    return [1, 1, 1];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(".hidden, .skip, option, :disabled")) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    if (svg && element.tagName !== "text") continue;
    const ink = luminance(channels(svg ? style.fill : style.color)), ground = luminance(behind(element));
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (ratio < 4.5) found.push(`${element.tagName} ${element.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_text_can_be_read_in_both_themes(opened: Opened, request: pytest.FixtureRequest) -> None:
    page = opened.page
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = sum(map(int, re.findall(r"\d+", background)[:3])) > 382
    assert bright == ("light" in request.node.name or "opened0" in request.node.name)
    assert page.evaluate(_CONTRAST) == []
    page.locator(".cells tbody button").first.click()
    assert page.evaluate(_CONTRAST) == []


def test_tables_are_there_without_scripts(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".board tbody tr").count() == len(METHODS)
    context.close()


def test_paper_is_light_and_whole(opened: Opened) -> None:
    page = opened.page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".filters").is_hidden()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    page.evaluate("document.querySelectorAll('details.figure').forEach((figure) => { figure.open = false; })")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.figure:not([open])").count() == 0
