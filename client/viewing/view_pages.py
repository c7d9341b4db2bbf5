"""The viewer as a web application: the page, its parts, and the images of its cases, for the one browser admitted.

Every answer forbids to be stored, to be shown inside another page, and to load anything from elsewhere. A request for
another host than this machine is refused, so that no name of the outside can be pointed here (DNS rebinding).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from client.viewing.admission import COOKIE, Admission
from client.viewing.viewed_cases import ViewedCase
from reporting.pages import open_templates

Answer = Callable[[Request], Awaitable[Response]]

STATIC = Path(__file__).parent / "static"
PARTS: Mapping[str, str] = {
    "niivue.umd.js": "text/javascript",
    "view.js": "text/javascript",
    "contours.js": "text/javascript",
    "interpolation.js": "text/javascript",
    "view.css": "text/css",
}
HOSTS = ("127.0.0.1", "localhost")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
AGAIN = "Start the viewer again for a new address."
SPENT = f"This address has been used: it opens one session in one browser. {AGAIN}"
WRONG = f"This address does not open the viewer. Take the whole one that the viewer printed. {AGAIN}"
CLOSED = f"No session in this browser. Open the address that the viewer printed; if it has been used, {AGAIN.lower()}"


def build_pages(cases: Sequence[ViewedCase], admission: Admission, center: str) -> ASGIApp:
    """The application: `/open?token=...` for the one-time token, everything else below the session's secret path."""
    pages = _Pages(cases, admission, center)
    session = [
        Route("/", pages.admitted(pages.page)),
        Route("/cases.json", pages.admitted(pages.list_cases)),
        Route("/static/{name}", pages.admitted(pages.part)),
        Route("/cases/{number:int}/{file}.nii.gz", pages.admitted(pages.image)),
    ]
    routes = [Route("/open", pages.open_session), Mount(f"/{admission.path}", routes=session)]
    return _Guard(Starlette(routes=routes, exception_handlers={HTTPException: _refuse}))


class _Pages:
    def __init__(self, cases: Sequence[ViewedCase], admission: Admission, center: str) -> None:
        self._cases, self._admission = cases, admission
        self._html = open_templates("client.viewing").get_template("view.html").render(center=center)

    def admitted(self, answer: Answer) -> Answer:
        """Answer only the browser that spent the token."""

        async def guarded(request: Request) -> Response:
            if not self._admission.admits(request.cookies.get(COOKIE, "")):
                raise HTTPException(403, CLOSED)
            return await answer(request)

        return guarded

    async def open_session(self, request: Request) -> Response:
        """Spend the token; the page that follows goes on by itself, so that a strict cookie is sent from a link too."""
        if request.method != "GET":
            raise HTTPException(405, "Open this address in a browser.")
        if not self._admission.spend(request.query_params.get("token", "")):
            raise HTTPException(403, SPENT if self._admission.spent else WRONG)
        path = f"/{self._admission.path}/"
        page = open_templates("client.viewing").get_template("opened.html").render(path=path)
        response = HTMLResponse(page)
        response.set_cookie(COOKIE, self._admission.cookie, path=path, httponly=True, samesite="strict")
        return response

    async def page(self, _request: Request) -> Response:
        """The page itself."""
        return HTMLResponse(self._html)

    async def list_cases(self, _request: Request) -> Response:
        """The cases with their issues."""
        return JSONResponse([case.entry() for case in self._cases])

    async def part(self, request: Request) -> Response:
        """A script or style sheet of the page."""
        name = request.path_params["name"]
        if name not in PARTS:
            raise HTTPException(404, "No such part of the page.")
        return FileResponse(STATIC / name, media_type=PARTS[name])

    async def image(self, request: Request) -> Response:
        """An image of a case, by the case's number and what the file holds."""
        number, file = request.path_params["number"], request.path_params["file"]
        if number >= len(self._cases) or file not in self._cases[number].files:
            raise HTTPException(404, "No such image among the cases.")
        path = self._cases[number].files[file]
        if not path.is_file():
            raise HTTPException(404, "The image was there when the viewer started and is gone now.")
        return FileResponse(path, media_type="application/octet-stream")


class _Guard:
    """Refuses other hosts, and adds the headers to every answer."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name not in {b"etag", b"last-modified"}]
                message["headers"] = kept + [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        application: ASGIApp = self._application
        if scope["type"] == "http" and not _is_for_this_machine(scope):
            application = PlainTextResponse(f"This viewer answers on {HOSTS[0]} only.", 421)
        await application(scope, receive, send_with_headers)


def _is_for_this_machine(scope: Scope) -> bool:
    """Whether a request names this machine as its host, once, whatever the port: a tunnel has another."""
    named = [value.decode("latin-1").rpartition(":") for name, value in scope["headers"] if name == b"host"]
    return len(named) == 1 and (named[0][0] or named[0][2]) in HOSTS


async def _refuse(_request: Request, error: Exception) -> Response:
    """One sentence, without the name of any file."""
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    return PlainTextResponse(detail if status != 404 or detail != "Not Found" else "Nothing here.", status)
