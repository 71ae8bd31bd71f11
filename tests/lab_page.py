r"""A notebook in JupyterLab in a real browser, looked at and used as a learner does (Playwright, system's Chromium)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
}
PATIENCE_MS = 240_000  # while other processes share the cores; what is there sooner is not waited for
LESSON_MS = 1_200_000  # a slow machine's time for a whole lesson; how fast it is, nobody asks here


def find_browser() -> str | None:
    r"""Path of an installed browser, where Playwright is installed too."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    r"""The browser, ended at the end."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--enable-unsafe-swiftshader"]  # as root, and 3D without a graphics card
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_browser(), args=options)
        yield browser
        browser.close()


@contextmanager
def lab_server(folder: Path) -> Iterator[str]:
    r"""JupyterLab on a free port over the notebooks in `folder`, with no settings but ours; gives its address."""
    for name, settings in SETTINGS.items():
        file = folder / ".jupyter" / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False, "ServerApp.root_dir": folder, "ServerApp.allow_root": True,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True, "LabApp.user_settings_dir": folder / ".jupyter" / "settings",
        "LabApp.workspaces_dir": folder / ".jupyter" / "workspaces",
    }  # fmt: skip
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    environment = os.environ | {name: str(folder / ".jupyter" / part) for name, part in own.items()}
    environment |= {"CARDIOLEARN_HOME": str(ROOT), "PYTHONPATH": str(ROOT / "src")}
    log = (folder / ".jupyter" / "log.txt").open("wb")
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in given.items())]
    server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server)
        yield address
    finally:
        server.terminate()  # it ends its kernels before itself
        server.wait(30)
        log.close()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    last = time.monotonic() + PATIENCE_MS / 1000
    while server.poll() is None and time.monotonic() < last:
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start: exit code {server.poll()}")


class LabPage:
    r"""One notebook, open in the browser; `problems` are the console's errors and requests to elsewhere."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.problems: list[str] = []
        self._address = address
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self._address, self._address.replace("http", "ws"), "data:", "blob:")):
            self.problems.append(f"request to {request.url[:100]}")

    def open(self, name: str) -> None:
        self.page.goto(f"{self._address}/lab/tree/{name}?reset")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        )

    def picture_on_the_first_screen(self) -> bool:
        r"""Whether a picture is seen, at least in its upper 200 pixels, before anything is run or scrolled."""
        self.page.wait_for_load_state("networkidle")
        return bool(
            self.page.evaluate(
                """[...document.querySelectorAll('.jp-Notebook img')].some((picture) => {
                const place = picture.getBoundingClientRect();
                return picture.naturalWidth > 0 && place.top + Math.min(place.height, 200) <= innerHeight; })"""
            )
        )

    def failures(self, i: int) -> list[str]:
        r"""Errors that cell `i` shows."""
        return self.output(i).locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()

    def cell(self, i: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(i)

    def output(self, i: int) -> Locator:
        return self.cell(i).locator(".jp-Cell-outputArea")

    def write(self, i: int, source: str) -> None:
        r"""Type `source` in place of what stands in cell `i`, and run it."""
        self.cell(i).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)
        self.run(i)

    def run(self, i: int) -> None:
        self.page.evaluate(f"window.jupyterapp.shell.currentWidget.content.activeCellIndex = {i}; 0")
        self.page.evaluate("""window.done = false;
            window.jupyterapp.commands.execute('notebook:run-cell').finally(() => window.done = true); 0""")
        self.page.wait_for_function("window.done", timeout=LESSON_MS)
