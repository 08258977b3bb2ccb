"""A headless Chromium, and tabs in it that remember all they said."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def launched() -> Iterator[object]:
    """A browser with a profile of its own; skips or fails where there is none."""
    found = next((path for path in map(shutil.which, CHROMIUMS) if path), None)
    playwright = importlib.util.find_spec("playwright")
    if found is None or playwright is None:
        missing = "no Chromium on the PATH" if found is None else "playwright is not installed"
        if os.environ.get("YOLOPIPE_BROWSER_TESTS") == "required":
            pytest.fail(f"{missing}, and YOLOPIPE_BROWSER_TESTS=required")
        pytest.skip(f"{missing}: the page is not tried in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


class Watched:
    """A tab, and all that it said, asked the network for, or popped up."""

    def __init__(self, browser, file: Path, fragment: str = "", **options) -> None:
        self.context = browser.new_context(viewport={"width": 1300, "height": 850}, offline=True, **options)
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(180_000)  # only bounds a failure
        self.noise: list[str] = []
        self.tab.on("console", lambda message: self.noise.append(f"console: {message.text}"))
        self.tab.on("pageerror", lambda error: self.noise.append(f"error: {error}"))
        self.tab.on("dialog", lambda dialog: (self.noise.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.tab.on("request", lambda request: self._asked(request.url))
        self.address = file.resolve().as_uri()
        self.tab.goto(self.address + fragment)

    def _asked(self, url: str) -> None:
        if not url.startswith("data:") and url.split("#")[0] != self.address:
            self.noise.append(f"request: {url}")

    def __call__(self, selector: str):
        return self.tab.locator(selector)

    def texts(self, selector: str) -> list[str]:
        return self.tab.locator(selector).all_inner_texts()

    def press(self, keys: str) -> None:
        for key in keys.split():
            self.tab.keyboard.press(key)

    def step(self, step: int) -> None:
        """Back (-1) or forward (1), and until the page was told of it: Playwright returns before that."""
        told = "addEventListener('popstate', () => setTimeout(done), { once: true })"
        self.tab.evaluate(f"step => new Promise(done => {{ {told}; history.go(step) }})", step)

    def painted(self) -> None:
        """Wait until what was asked of the next frame is drawn."""
        self.tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
