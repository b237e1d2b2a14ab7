"""A real browser, driven over WebDriver's HTTP: what a page looks like, complains about and asks for."""

import base64
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing_browser() -> str | None:
    """Why no browser can be driven here; None where one can."""
    if shutil.which("chromedriver") is None:
        return "no chromedriver on the path"
    if not any(shutil.which(name) for name in _BROWSERS):
        return f"none of {', '.join(_BROWSERS)} on the path"
    return None


class Browser:
    """A headless browser in a process of its own; use it as a context."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._process = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._address = f"http://127.0.0.1:{port}"
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the machine is not asked for its own address
        try:
            self._session = self._begin()
        except BaseException:
            self._process.terminate()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._http.delete(self._session, timeout=20)
        finally:
            self._http.close()
            self._process.terminate()
            self._process.wait(timeout=20)

    def open(self, page: Path | str) -> None:
        self._post("url", {"url": page if isinstance(page, str) else page.resolve().as_uri()})

    def ask(self, script: str) -> Any:
        """What a script in the page returns; the browser's own, so a page's policy does not bar it."""
        return self._post("execute/sync", {"script": script, "args": []})

    def command(self, name: str, **parameters: Any) -> Any:
        """What a command of the DevTools protocol returns."""
        return self._post("goog/cdp/execute", {"cmd": name, "params": parameters})

    def console(self) -> list[str]:
        """What the browser complained about since the last call."""
        return [entry["message"] for entry in self._post("se/log", {"type": "browser"})]

    def requested(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._post("se/log", {"type": "performance"})]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def resize(self, width: int, height: int = 900, *, scale: float = 1.0) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def prefer(self, scheme: str, media: str = "") -> None:
        """Show as a person sees it who prefers ``light`` or ``dark``, or as it is printed."""
        self.command(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """Save what the window shows, or the whole page, as PNG."""
        answer = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def printed(self, path: Path) -> Path:
        """Print the page to a PDF of A4."""
        answer = self.command("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        width, height = self.ask("const d = document.documentElement; return [d.scrollWidth, d.scrollHeight];")
        return {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}

    def _begin(self) -> str:
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"],
            "binary": next(found for name in _BROWSERS if (found := shutil.which(name))),
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options}
        wanted["goog:loggingPrefs"] = {"browser": "ALL", "performance": "ALL"}
        self._wait_for_driver()
        answer = self._http.post(
            f"{self._address}/session", json={"capabilities": {"alwaysMatch": wanted}}, timeout=90
        ).json()["value"]
        if "sessionId" not in answer:
            raise RuntimeError(f"no browser: {answer.get('message')}")
        return f"{self._address}/session/{answer['sessionId']}"

    def _wait_for_driver(self) -> None:
        until = time.monotonic() + 20
        while True:
            try:
                if self._http.get(f"{self._address}/status", timeout=5).json()["value"]["ready"]:
                    return
            except requests.ConnectionError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
            time.sleep(0.1)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._http.post(f"{self._session}/{path}", json=body, timeout=60).json()["value"]
        if isinstance(answer, dict) and "error" in answer and "stacktrace" in answer:
            raise AssertionError(f"{path}: {answer['message']}")
        return answer
