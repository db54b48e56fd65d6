"""A real browser, driven as a person would, on a service of real processes."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.servers.process import ServerMissing

Theme = Literal["light", "dark"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
SCREENSHOTS = os.environ.get("TRAINWRIGHT_SCREENSHOTS")
"""Folder for pictures of the screens; none are kept without it."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium; playwright's is not downloaded.

    Raises:
        ServerMissing: there is none.
    """
    path = os.environ.get("TRAINWRIGHT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise ServerMissing("no Chromium here: apt-get install chromium, or name one in TRAINWRIGHT_CHROMIUM")
    alone = () if os.getuid() else ("--no-sandbox",)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET, *alone])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """One person's browser, and whatever it complained of."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def sign_in(self, key: str) -> None:
        """As the form does it."""
        answer = self.page.request.post("/sign-in", form={"key": key}, headers={"Origin": self.base}, max_redirects=0)
        assert answer.status == 303

    def open(self, path: str) -> Page:
        self.page.goto(path)
        self.page.wait_for_selector("main:not(:has(.loading)) h1, main .state")
        return self.page

    def picture(self, name: str, *, whole: bool = True) -> None:
        if SCREENSHOTS is not None:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=whole)


@contextmanager
def visitor(browser: Browser, base: str, theme: Theme = "light", *, key: str | None = None) -> Iterator[Visitor]:
    """Somebody with a fresh browser, signed in if there is a key."""
    context = browser.new_context(
        base_url=base, viewport={"width": 1280, "height": 860}, color_scheme=theme, reduced_motion="reduce"
    )
    try:
        somebody = Visitor(context.new_page(), base)
        if key is not None:
            somebody.sign_in(key)
        yield somebody
    finally:
        context.close()
