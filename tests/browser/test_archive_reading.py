"""A record as people read it: offline, without scripts, on a phone, on paper, with a keyboard."""

from __future__ import annotations

from itertools import pairwise

import pytest
from record_examples import Log, built, example_log

pytestmark = pytest.mark.browser

PAGE = "20261121T201726Z-http-service.html"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The record of an incident with everything in it."""
    folder = tmp_path_factory.mktemp("reading") / "INC-2026-0042"
    return built(example_log(folder), folder)


def test_all_of_it_shows_with_network_and_scripts_off(open_page, record):
    """An auditor on a train sees what the engineer saw, and the page asks for nothing."""
    page = open_page(scripts=False, offline=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(record.index.as_uri())
    text = page.inner_text("body")
    for words in (
        "Orders API answers slowly",
        "5 min 20 s",
        "A leak of sessions in release 4.2.",
        "Stop the batch job",
        "Sessions leak; a restart frees them.",
        "first byte",
        "https://status.example.org/77",
        "An HTTP service is slow or failing",
        "hashlib.sha256",
    ):
        assert words in text, words
    assert page.locator("img.rec-thumb").bounding_box()["width"] > 40
    page.get_by_role("link", name="An HTTP service is slow or failing").click()
    assert page.url.endswith(PAGE)
    text = page.inner_text("body")
    for words in ("1210.4", "ok dns", "FAIL pool", "1 of 2 done", "ZeroDivisionError", "not run"):
        assert words in text, words
    assert page.locator(".rec-picture img").bounding_box()["width"] > 40
    page.get_by_role("link", name="Back to the incident").click()
    assert page.url == record.index.as_uri()
    assert {url for url in asked if not url.startswith(("file:", "data:image/"))} == set()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", PAGE])
def test_axe_finds_no_fault(open_page, record, scheme, name):
    """Contrast, names, landmarks, headings, tables: axe has nothing to say, in either light."""
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(scheme=scheme)
    page.goto((record.folder / name).as_uri())
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("name", ["index.html", PAGE])
def test_a_phone_scrolls_in_one_direction_only(open_page, record, name):
    """Nothing is wider than the screen but what scrolls by itself."""
    page = open_page(device="phone")
    page.goto((record.folder / name).as_uri())
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0


def test_dark_and_light_are_both_meant(open_page, record):
    """The page follows the reader's colour scheme."""
    colours = []
    for scheme in ("light", "dark"):
        page = open_page(scheme=scheme)
        page.goto(record.index.as_uri())
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] == "rgb(255, 255, 255)"
    assert colours[1] != colours[0]


def test_paper_is_white_and_shows_what_is_folded_away(open_page, record):
    """Printed, even from a dark screen: black on white, details open, links with addresses."""
    page = open_page(scheme="dark")
    page.goto(record.index.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.locator("details pre").first.bounding_box()["height"] > 40
    assert not page.locator(".rec-nav").is_visible()


def test_the_keyboard_reaches_the_content_first(page, record):
    """The first Tab offers to skip the head; headings and landmarks are in order."""
    page.goto(record.index.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.locator("main").count() == page.locator("header").count() == 1


@pytest.mark.parametrize("mode", ["drill", "test", "retrospective"])
def test_what_is_not_live_says_so_on_every_page(page, tmp_path, mode):
    """In the window's title and across the top, of the index and of each notebook's page."""
    log = Log()
    tmp_path.joinpath("n.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4}')
    log.add("incident.opened", {"title": "T", "mode": mode})
    log.add("run.started", {"run": "r", "runbook": "b", "output": "n.ipynb"})
    made = built(log, tmp_path)
    for name in ("index.html", "n.html"):
        page.goto((made.folder / name).as_uri())
        assert page.title().startswith(f"[{mode.upper()}]")
        assert page.locator(".rec-mode").inner_text().startswith(mode.upper())
