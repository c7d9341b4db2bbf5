"""The viewer as a web application: the page, its parts, and the images of its cases, for the one browser admitted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp

from client.viewing.viewed_cases import ViewedCase
from reporting.pages import open_templates
from reporting.serving.admission import Admission
from reporting.serving.token_session import serve_by_token

STATIC = Path(__file__).parent / "static"
PARTS: Mapping[str, str] = {
    "niivue.umd.js": "text/javascript",
    "view.js": "text/javascript",
    "contours.js": "text/javascript",
    "interpolation.js": "text/javascript",
    "view.css": "text/css",
}


def build_pages(cases: Sequence[ViewedCase], admission: Admission, center: str) -> ASGIApp:
    """The application: `/open?token=...` for the one-time token, everything else below the session's secret path."""
    pages = _Pages(cases, center)
    answers = {
        "/": pages.page,
        "/cases.json": pages.list_cases,
        "/static/{name}": pages.part,
        "/cases/{number:int}/{file}.nii.gz": pages.image,
    }
    return serve_by_token(answers, admission, "viewer")


class _Pages:
    def __init__(self, cases: Sequence[ViewedCase], center: str) -> None:
        self._cases = cases
        self._html = open_templates("client.viewing").get_template("view.html").render(center=center)

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
