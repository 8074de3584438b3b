"""Opens pages in headless Chromium and hands back what they became."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_CONSOLE = re.compile(r'CONSOLE[^"]*"(.*)", source')


@dataclass(frozen=True)
class Opened:
    """The document after its scripts ran, and what it wrote to the console."""

    dom: str
    console: list[str]

    def result(self) -> str:
        """What the probe script wrote into the title-like element `probe-result`."""
        found = re.search(r'id="probe-result"[^>]*>(.*?)</pre>', self.dom, re.DOTALL)
        assert found, f"the probe left no result; console: {self.console}"
        return html.unescape(found.group(1))


def _chromium(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    assert program, "the page tests need Chromium: install the Debian package chromium"
    command = [
        program,
        *["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
        *["--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--hide-scrollbars"],
        "--virtual-time-budget=4000",
        f"--user-data-dir={folder / 'profile'}",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def open_page(page: str, folder: Path, probe: str = "", *, width: int = 1200) -> Opened:
    """Loads a page, runs a probe script in it afterwards, and returns the document.

    The page stands in a frame of the given width, as Chromium has a smallest window. `probe` is the body
    of a function of (window, document) of the page; what it returns is `Opened.result()`.
    """
    outer = f"""<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="border:0;width:{width}px;height:1600px" srcdoc="{html.escape(page)}"></iframe>
<pre id="probe-result"></pre><script>
document.getElementById("frame").addEventListener("load", () => {{
  const inner = document.getElementById("frame").contentWindow;
  const probe = (window, document) => {{ {probe} }};
  document.getElementById("probe-result").textContent = String(probe(inner, inner.document));
}});
</script>"""
    path = folder / "outer.html"
    path.write_text(outer, encoding="utf-8")
    done = _chromium(["--dump-dom", path.as_uri()], folder)
    return Opened(done.stdout, _CONSOLE.findall(done.stderr))


def picture(path: Path, folder: Path, *, width: int, height: int) -> Path:
    """A screenshot of a file, for people."""
    target = folder / "page.png"
    _chromium([f"--screenshot={target}", f"--window-size={width},{height}", path.as_uri()], folder)
    return target
