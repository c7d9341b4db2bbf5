"""A page for the one person who started it: on loopback, behind a one-time token."""

from collections.abc import Callable
from contextlib import nullcontext

from reporting.serving.admission import Admission
from reporting.serving.live_page import LivePage
from reporting.serving.server import LOOPBACK, bind, opened_browser, serve
from reporting.serving.token_session import serve_by_token


def serve_alone(page: LivePage, port: int, tell: Callable[[str], None], *, with_browser: bool) -> None:
    """Serve until an interrupt or SIGTERM; `tell` is told the address, which opens one session in one browser.

    Raises:
        PortError: the port cannot be had; 0 takes a free one.
    """
    admission = Admission()
    with bind(port) as bound:
        address = f"http://{LOOPBACK}:{bound.getsockname()[1]}/open?token={admission.token}"
        tell(f"{page.title}: open this address once, in a browser on this machine:\n{address}")
        with opened_browser(address) if with_browser else nullcontext():
            serve(serve_by_token(page.answers, admission, "dashboard"), bound, on_end=page.live.end)
