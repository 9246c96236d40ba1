"""A real Chromium for the tests."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import missing

CURE = "apt-get install --no-install-recommends chromium chromium-driver; pip install selenium"


class Browser:
    """Chromium with what the tests ask of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path | str, settle_s: float = 0.1) -> float:
        """Open a file or an address; returns the seconds until it was loaded."""
        address = page.as_uri() if isinstance(page, Path) else page
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        start = time.monotonic()
        self.driver.get(address)
        took = time.monotonic() - start
        time.sleep(settle_s)
        return took

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def wait(self, condition: str, seconds: float = 20) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(f"return {condition}")
            if found:
                return found
            time.sleep(0.05)
        pytest.fail(f"never true in the page: {condition}; the console says {self.complaints()}")

    def in_frame(self, index: int, script: str) -> Any:
        frame = self.driver.find_elements("css selector", "iframe")[index]
        self.driver.switch_to.frame(frame)
        try:
            return self.run(script)
        finally:
            self.driver.switch_to.default_content()

    def wait_in_frame(self, index: int, condition: str, seconds: float = 10) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.in_frame(index, f"return {condition}")
            if found:
                return found
            time.sleep(0.1)
        text = self.in_frame(index, "return document.body.innerText")
        pytest.fail(f"never true in frame {index}: {condition}; it says {text!r}")

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One Chromium for all tests; it keeps prefetching on, which automation switches off."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        missing("selenium", CURE)
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        missing("Chromium", CURE)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1440,1000")
    options.add_experimental_option(
        "excludeSwitches", ["disable-background-networking", "enable-automation"]
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(browser)
    finally:
        browser.quit()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.resize(1440, 1000)
    return chromium
