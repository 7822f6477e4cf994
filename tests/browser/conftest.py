"""A real Chromium for the browser floor: one process for each test module, a new profile each.

The scope is the module and not the session because Playwright's sync API leaves an asyncio
loop running in the thread: a later test's ``asyncio.run`` would be refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
VIEWPORTS = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def chromium_path(playwright_driver: Playwright) -> str:
    """The Chromium to drive: IMT_CHROMIUM, else one on PATH, else Playwright's own."""
    named = os.environ.get("IMT_CHROMIUM", "")
    if named and not Path(named).is_file():
        pytest.skip(f"IMT_CHROMIUM names {named}, which is not a file")
    found = named or next((p for p in map(shutil.which, PROGRAMS) if p), "")
    own = playwright_driver.chromium.executable_path
    if not found and Path(own).is_file():
        found = own
    if not found:
        pytest.skip("no Chromium: set IMT_CHROMIUM, or install the package 'chromium'")
    return found


@pytest.fixture(scope="module")
def playwright_driver() -> Iterator[Playwright]:
    """Playwright's driver process; the test is skipped where Playwright is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def chromium(playwright_driver: Playwright, chromium_path: str) -> Iterator[Browser]:
    """A running headless Chromium with a profile of its own, which goes with it."""
    browser = playwright_driver.chromium.launch(
        executable_path=chromium_path, args=list(FLAGS), timeout=60_000
    )
    yield browser
    browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Opens pages: ``open_page(scheme="dark", device="phone", scripts=False, offline=True)``.

    Each page has a context (cookies, storage) of its own, closed with the test.
    """
    contexts: list[BrowserContext] = []

    def open_one(
        *,
        scheme: str = "light",
        device: str = "desktop",
        scripts: bool = True,
        offline: bool = False,
        base_url: str | None = None,
    ) -> Page:
        context = chromium.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport=VIEWPORTS[device],  # type: ignore[arg-type]
            java_script_enabled=scripts,
            offline=offline,
            base_url=base_url,
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """One light desktop page with scripts on."""
    return open_page()
