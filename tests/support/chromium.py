"""Pages of a headless Chromium that draws WebGL in software and reaches loopback alone; what they ask for is noted."""

import base64
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from numpy.typing import NDArray
from PIL import Image

from tests.support.mlflow_server import missing

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE_MS = 120_000
SCREENSHOTS = "CONCILIUM_SCREENSHOTS"
OWN = ("http://127.0.0.1:", "https://127.0.0.1:", "data:", "blob:", "file:")


@dataclass
class Watched:
    """What went on in a page: everything it asked for, and everything that went wrong."""

    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """Requests to another machine."""
        return [address for address in self.requests if not address.startswith(OWN)]


@contextmanager
def watched_page(
    width: int = 1280, height: int = 800, certificate: Path | None = None
) -> "Iterator[tuple[Page, Watched]]":
    """An empty page with a fresh profile.

    Args:
        width, height: of the window, in pixels.
        certificate: PEM whose key is trusted, and no other but those of the system; Chromium takes authorities from
            nowhere but the system's own list, which is not a test's to change.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("Chromium", "apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        trusted = [] if certificate is None else [f"--ignore-certificate-errors-spki-list={_key_hash(certificate)}"]
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *trusted])
        page, watched = browser.new_page(viewport={"width": width, "height": height}), Watched()
        page.on("request", lambda request: watched.requests.append(request.url))
        page.on("requestfailed", lambda request: watched.problems.append(f"{request.failure}: {request.url}"))
        page.on("pageerror", lambda error: watched.problems.append(str(error)))
        page.on("console", lambda told: watched.problems.append(told.text) if told.type == "error" else None)
        yield page, watched
        browser.close()


def _key_hash(certificate: Path) -> str:
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    shown = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(shown).digest()).decode()


def pixels(what: "Page | Locator") -> NDArray[np.uint8]:
    """What is shown, as (y, x, RGB)."""
    return np.asarray(Image.open(io.BytesIO(what.screenshot())).convert("RGB"))


def keep(page: "Page", name: str) -> None:
    """A picture of the whole page, which is not blank; in the folder CONCILIUM_SCREENSHOTS, for people to look at."""
    picture = page.screenshot(full_page=True, timeout=PATIENCE_MS)
    assert len(picture) > 10_000
    if folder := os.environ.get(SCREENSHOTS):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.png").write_bytes(picture)
