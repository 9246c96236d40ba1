"""Makes the pictures of the README from real runs: python docs/pictures.py.

Needs Chromium and its driver (apt-get install chromium chromium-driver) and the development
environment. The terminal is drawn from pytest's own coloured output.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from pytest_nbci.pages.ansi import to_lines

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
PICTURES = DOCS / "pictures"
SHOWN = ["train.ipynb", "notebooks/01_explore_visits.ipynb", "broken/hidden_order.ipynb"]

# What a machine happens to have installed is not what the picture is about.
QUIET = ["--color=yes", *(f"-pno:{name}" for name in ("cacheprovider", "asyncio", "randomly"))]

TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #1b1f24; color: #d7dce2; }}
pre {{ font: 15px/1.45 "DejaVu Sans Mono", monospace; padding: 18px 22px; margin: 0;
  width: 100ch; white-space: pre-wrap; overflow-wrap: anywhere; }}
{style}</style><pre>{prompt}{text}</pre>"""

COLOURS = """
.a-bold { font-weight: bold; } .a-dim { opacity: .7; }
.a-fg-red, .a-fg-bred { color: #ff7b72; } .a-fg-green, .a-fg-bgreen { color: #7ee787; }
.a-fg-yellow, .a-fg-byellow { color: #f2cc60; } .a-fg-cyan, .a-fg-bcyan { color: #76e3ea; }
.a-fg-blue, .a-fg-bblue { color: #79c0ff; } .a-fg-magenta { color: #d2a8ff; }
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder))
        command = ["pytest", *SHOWN]
        done = subprocess.run(
            [sys.executable, "-m", *command, *QUIET],
            cwd=repository,
            env={**os.environ, "COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout.replace(f"{folder}/", "~/").strip("\n")
        terminal = Path(folder, "terminal.html")
        prompt = f"$ {html.escape(' '.join(command))}\n"
        lines = "\n".join(to_lines(text))
        terminal.write_text(TERMINAL.format(style=COLOURS, prompt=prompt, text=lines))
        pages = {page.stem: page for page in Path(folder).rglob("*.ipynb.html")}
        driver = start_browser()
        try:
            shoot(driver, terminal, "terminal", 950, None)
            shoot(driver, pages["hidden_order.ipynb"], "failed", 1180, 860)
            shoot(driver, pages["01_explore_visits.ipynb"], "passed", 1180, 1180)
        finally:
            driver.quit()


def make_repository(folder: Path) -> Path:
    """A copy of the examples with a history of its own."""
    root = folder / "ward-data"
    shutil.copytree(EXAMPLES, root, ignore=shutil.ignore_patterns(".nbci", "__pycache__"))
    author = ["-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.org"]
    message = ["commit", "-q", "-m", "Compare visits with and without grouping"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*author, *message]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def start_browser() -> webdriver.Chrome:
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for name in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{name}")
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def shoot(driver: webdriver.Chrome, page: Path, name: str, width: int, height: int | None) -> None:
    driver.get(page.as_uri())
    if height is None:
        height = driver.execute_script("return document.querySelector('pre').offsetHeight")
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    PICTURES.mkdir(exist_ok=True)
    driver.save_screenshot(str(PICTURES / f"{name}.png"))


if __name__ == "__main__":
    main()
