"""The page in a real browser, opened from disk: what it shows, what it does, and what it must never do."""

import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench.config import ModelConfig
from bench.records import Status
from bench.report import build
from tests.report.builder import config, run, samples, study, utterance_result

HOSTILE = """</script><script>window.harmed = 1</script><img src=x onerror="window.harmed = 2">'"&amp;"""
# Loaded machines take their time; what is waited for comes in the end.
PATIENCE_MS = 240_000
A4_PX = 718  # 19 cm between margins, at 96 pixels an inch
MANY = 10_000

CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!(text || element.matches("input, select")) || !element.checkVisibility()) continue;
    const [one, other] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const name = element.tagName.toLowerCase() + (element.className ? "." + element.className : "");
    found[name] = Math.min(ratio, found[name] ?? 99);
  }
  return found;
}"""


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("ASR_SWEEP_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium here to open the page in: install one, or name it in ASR_SWEEP_CHROMIUM")
    quiet = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")
    options = ["--no-sandbox", "--disable-sync", *quiet]  # root has no sandbox to enter
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=options, timeout=PATIENCE_MS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four settings: one with a hostile name, one that failed; every text that comes from outside is hostile."""
    folder = tmp_path_factory.mktemp("browser")

    def heard(errors: int) -> list[Any]:
        said = "the quick brown fox jumps over the lazy dog"
        told = said.replace("quick brown", "quack" if errors else "quick brown")
        return [
            utterance_result(1, errors, 9, reference=said, hypothesis=told),
            utterance_result(2, 1, 100, reference=f"said {HOSTILE}", hypothesis=f"heard {HOSTILE}"),
        ]

    name = f"model {HOSTILE}"
    runs = [
        run("middling", config(10), inference_s=10.0, utterances=heard(2), timeline=samples()),
        run("best", config(20), inference_s=20.0, utterances=heard(0), timeline=samples()),
        run("hostile", config(5, model=ModelConfig(name=name)), inference_s=5.0, utterances=heard(2)),
        run("failed", config(30), status=Status.error, reason=f"reason {HOSTILE}", timeline=samples()),
    ]
    told = {"command": f"asr-sweep run {HOSTILE}", "config": {"key": HOSTILE}, "environment": {"os": HOSTILE}}
    return build(study(folder / "results" / "<b>study", runs, **told), folder / "reports") / "index.html"


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page; once the test is over, it must have neither complained nor asked for anything from outside."""
    trouble: list[str] = []
    contexts = []

    def open_page(path: Path, **options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: trouble.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: trouble.append(request.url) if not is_local(request.url) else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def is_local(url: str) -> bool:
    return url.startswith(("file:", "data:image/svg+xml;base64,"))


def trials(page: Page) -> list[str]:
    shown: list[str] = page.eval_on_selector_all("tr[data-trial]", "rows => rows.map(row => row.dataset.trial)")
    return shown


def head(page: Page, name: str) -> Any:
    return page.locator(".trials thead th").filter(has_text=re.compile(f"^{name}$"))


def test_columns_sort_by_mouse_and_keyboard_with_what_is_missing_last(
    opened: Callable[..., Page], report: Path
) -> None:
    page = opened(report)
    assert trials(page)[0] == "best"
    speed = head(page, "RTFx")
    speed.get_by_role("button").click()
    assert (trials(page), speed.get_attribute("aria-sort")) == (["best", "middling", "hostile", "failed"], "ascending")
    page.keyboard.press("Enter")  # a button that was clicked has the focus
    assert (trials(page), speed.get_attribute("aria-sort")) == (["hostile", "middling", "best", "failed"], "descending")
    chunk = head(page, "Chunk length")
    chunk.get_by_role("button").focus()
    page.keyboard.press("Space")
    assert trials(page) == ["hostile", "middling", "best", "failed"]  # 5, 10, 20, 30: as numbers, not as text
    assert speed.get_attribute("aria-sort") is None


def test_settings_are_filtered_by_text_and_by_value(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report)
    status = page.locator(".tools [role=status]")
    assert status.inner_text() == "4 of 4 settings"
    page.get_by_label("Containing").fill("30 CHUNK")
    assert (trials(page), status.inner_text()) == (["failed"], "1 of 4 settings")
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Chunk length").select_option(label="20 s")
    assert trials(page) == ["best"]
    page.get_by_label("Containing").fill("nowhere")
    assert (trials(page), status.inner_text()) == ([], "0 of 4 settings")


def test_a_setting_opens_by_keyboard_to_what_it_heard(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report)
    button = page.locator("tr[data-trial=middling] button")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    inside = page.locator("tr[data-trial=middling] + tr.opened")
    assert "Chunk length" in inside.inner_text()
    words = inside.locator(".words").filter(has_text="the")
    assert words.locator("del").first.inner_text() == "quick brown"
    assert words.locator("ins").first.inner_text() == "quack"
    page.keyboard.press("Enter")
    assert page.locator("tr.opened").count() == 0
    failed = page.locator("tr[data-trial=failed]")
    failed.get_by_role("button").click()
    assert "asr-sweep show '<b>study' failed" in page.locator("tr.opened").inner_text()


def test_text_from_outside_is_text(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report)
    for button in page.locator(".trials tbody button").all():
        button.click()
    assert page.evaluate("window.harmed") is None
    assert page.locator("img[src=x]").count() == 0
    assert f"model {HOSTILE}" in page.locator("tr[data-trial=hostile]").inner_text()
    assert f"model {HOSTILE}" in page.get_by_label("Model").inner_text()
    text = page.locator("body").inner_text()
    for source in ("reason", "asr-sweep run"):
        assert f"{source} {HOSTILE}" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(opened: Callable[..., Page], report: Path, scheme: str) -> None:
    page = opened(report, color_scheme=scheme)
    page.locator("tr[data-trial=middling] button").click()
    for details in page.locator("details").all():
        details.evaluate("one => one.open = true")
    found = page.evaluate(CONTRASTS)
    assert {"h1", "h2", "p.muted", "td.n", "td.bad", "del", "ins", "a", "dt", "input", "select", "button"} <= set(found)
    # WCAG 2.2, success criterion 1.4.3.
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"
    assert dark is (scheme == "dark")


def test_paper_cuts_no_table_off(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report, viewport={"width": A4_PX, "height": 1000})
    page.locator("tr[data-trial=middling] button").click()
    page.emulate_media(media="print")
    widths = page.eval_on_selector_all("table", "all => all.map(one => one.getBoundingClientRect().right)")
    assert len(widths) > 2
    assert max(widths) <= A4_PX + 1
    assert not page.locator(".tools").is_visible()


def test_headings_descend_one_by_one_and_the_contents_lead_to_them(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report)
    page.locator("tr[data-trial=middling] button").click()
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(later - earlier for earlier, later in itertools.pairwise(levels)) == 1
    links = page.locator("nav a")
    assert links.count() == levels.count(2)
    for link in links.all():
        target = page.locator(str(link.get_attribute("href")))
        assert target.inner_text() == link.inner_text()


def test_without_its_script_the_page_is_whole(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report, java_script_enabled=False)
    table = page.locator(".trials table")
    assert table.locator("tbody tr").count() == 4
    assert "chunk 20 s" in table.inner_text()
    assert page.locator("h1").is_visible()
    assert page.locator(".tools").count() == 0


def test_ten_thousand_settings_are_drawn_a_part_at_a_time(
    opened: Callable[..., Page], report: Path, tmp_path: Path
) -> None:
    text = report.read_text()
    found = re.search(r'(?s)<script type="application/json">(.*?)</script>', text)
    assert found is not None
    data = json.loads(found[1])
    copies = MANY // len(data["trials"])
    data["trials"] = [f"{trial}-{copy}" for copy in range(copies) for trial in data["trials"]]
    for name in ("front", "bad"):
        data[name] *= copies
    for column in data["columns"]:
        column["text"] *= copies
        column["key"] *= copies
    by_number = next(column for column in data["columns"] if column["head"] == "RTFx")
    by_number["key"] = [(7919 * at) % MANY for at in range(MANY)]  # a permutation: 7919 is prime
    large = tmp_path / "large.html"
    large.write_text(text.replace(found[1], json.dumps(data).replace("<", "\\u003c")))
    page = opened(large)
    status = page.locator(".tools [role=status]")
    assert status.inner_text() == "10,000 of 10,000 settings, the first 100 shown"
    head(page, "RTFx").get_by_role("button").click()
    order = sorted(range(MANY), key=lambda at: by_number["key"][at])
    assert trials(page) == [data["trials"][at] for at in order[:100]]
    page.get_by_role("button", name="Show 100 more").click()
    assert trials(page) == [data["trials"][at] for at in order[:200]]
    page.get_by_label("Chunk length").select_option(label="20 s")
    assert status.inner_text() == "2,500 of 10,000 settings, the first 100 shown"
