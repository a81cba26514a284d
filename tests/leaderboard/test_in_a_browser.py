"""The page in a real browser: sorting, the notes, the menu, and that nothing is loaded or run that should not be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from rrgbench.leaderboard import build
from tests.leaderboard.score_files import plausible, run, score, write

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
EVIL = """<img src=x onerror="window.pwned = 1"><script>window.pwned = 2</script>"'"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not (BROWSER and DRIVER):
        pytest.skip("no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_window_size(1400, 1000)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    grid = [plausible(f"{encoder}+{llm}") for encoder in ("vit", "cnn", "oracle") for llm in ("template", "local")]
    few = [
        run("low", [score("radcliq_v1", 1.0), score("bleu_4", 0.1), score("m", None, reason=EVIL)], baseline_notes=[]),
        run("mid", [score("radcliq_v1", 2.0), score("bleu_4", None, reason="why: no text"), score("m", 1)]),
        run(EVIL, [score("radcliq_v1", 3.0), score("bleu_4", 0.3, signature="bleu|'\"<b>")]),
    ]
    for record in few:
        record["dataset"] = "few"
        record["scores"][0]["higher_is_better"] = False
    return build([write(folder / "runs", *few, *grid)], folder / "board.html").path.as_uri()


def find(browser: Any, css: str) -> Any:
    return browser.find_element("css selector", css)


def head(browser: Any, title: str) -> Any:
    """The head of the first board's column that starts with these words."""
    return next(h for h in browser.find_elements("css selector", "#b1 thead th") if h.text.startswith(title))


def rows(browser: Any) -> list[tuple[str, str]]:
    """Rank and system of the first board, from top to bottom."""
    script = """return [...document.querySelectorAll('#b1 .scroll table')[0].tBodies[0].rows].map(
        row => [row.querySelector('.rank').textContent, row.cells[0].dataset.v])"""
    return [tuple(row) for row in browser.execute_script(script)]


def test_select_a_head_to_sort_by_it_best_first_then_the_other_way(browser: Any, page: str) -> None:
    browser.get(page)
    low_first = [("1", "low"), ("2", "mid"), ("3", EVIL)]
    sorter = head(browser, "RadCliQ v1")
    assert sorter.get_attribute("aria-sort") is None, "BLEU comes before RadCliQ among the first columns"
    sorter.find_element("css selector", "button").click()
    assert rows(browser) == low_first, "RadCliQ counts errors: the lowest is the best"
    assert sorter.get_attribute("aria-sort") == "ascending"
    sorter.find_element("css selector", "button").click()
    assert rows(browser) == low_first[::-1] and sorter.get_attribute("aria-sort") == "descending"
    assert len(browser.find_elements("css selector", "#b1 thead [aria-sort]")) == 1


def test_a_row_without_a_value_stays_last_either_way_and_the_keyboard_sorts_too(browser: Any, page: str) -> None:
    browser.get(page)
    button = head(browser, "BLEU 4").find_element("css selector", "button")
    for _ in range(2):
        button.send_keys("\n")
        assert rows(browser)[0] in {("1", "low"), ("1", EVIL)}
        assert {rank for rank, _ in rows(browser)[1:]} == {""}
    names = head(browser, "Rank, system").find_element("css selector", "button")
    names.send_keys(" ")
    assert [name for _, name in rows(browser)] == [EVIL, "low", "mid"]


def test_the_signature_shows_on_hover_and_on_focus_and_goes_with_escape(browser: Any, page: str) -> None:
    browser.get(page)
    tip = find(browser, "#tip")
    assert not tip.is_displayed()
    webdriver.ActionChains(browser).move_to_element(find(browser, "#b1 td[data-v='1.0']")).perform()
    assert "95% interval 0.960 to 1.040" in tip.text and "signature radcliq_v1|protocol:full-text" in tip.text
    find(browser, "body").send_keys("\ue00c")
    assert not tip.is_displayed()
    browser.execute_script("document.querySelector('#b1 td .na[title^=why]').focus()")
    assert tip.text == "why: no text"
    browser.execute_script("document.querySelector('#b1 thead th.metric button').focus()")
    assert "signature" in tip.text


def test_the_menu_switches_columns_and_counts_them(browser: Any, page: str) -> None:
    browser.get(page)
    assert not find(browser, "#b2 th.c10").is_displayed() and find(browser, "#b2 th.c0").is_displayed()
    find(browser, "#b2 summary").click()
    count = find(browser, "#b2 .count").text
    find(browser, "#b2-c10").click()
    find(browser, "#b2-k-usd").click()
    assert find(browser, "#b2 th.c10").is_displayed() and not find(browser, "#b2 th.k-usd").is_displayed()
    assert find(browser, "#b2 .count").text == count
    find(browser, "#b2 fieldset legend button").click()
    assert find(browser, "#b2 .count").text != count


def test_without_scripts_the_table_is_sorted_and_the_menu_works(browser: Any, page: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page)
        assert not browser.find_elements("css selector", "#tip"), "the page's own script has not run"
        find(browser, "#b2 summary").click()
        find(browser, "#b2-c10").click()
        assert find(browser, "#b2 th.c10").is_displayed() and find(browser, "#b2 th.c0").is_displayed()
        assert find(browser, "#b2 th.c0").get_attribute("aria-sort") == "descending"
        values = [float(cell.get_attribute("data-v")) for cell in browser.find_elements("css selector", "#b2 td.c0")]
        assert values == sorted(values, reverse=True) and len(values) == 6
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_nothing_of_a_file_runs_nothing_is_loaded_and_the_policy_would_stop_it(browser: Any, page: str) -> None:
    browser.get(page)
    assert browser.execute_script("return window.pwned") is None
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == [], "no violation of the policy and no error of the script"
    blocked = browser.execute_async_script(
        """const done = arguments[0];
        document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
        const image = new Image(); image.src = 'http://127.0.0.1:9/x.png'; document.body.append(image);"""
    )
    assert blocked == "img-src"
    browser.get_log("browser")


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_never_scrolls_sideways_but_its_tables_do_with_the_systems_in_sight(
    browser: Any, page: str, width: int
) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get(page)
        wide, room = browser.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
        assert wide <= room <= width
        if width == 390:
            before, after, scrolled = browser.execute_script(
                """const box = document.querySelector('#b2 .scroll'), cell = box.querySelector('tbody th');
                const left = () => cell.getBoundingClientRect().left, before = left();
                box.scrollLeft = 200;
                return [before, left(), box.scrollLeft];"""
            )
            assert scrolled == 200 and before == after
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
