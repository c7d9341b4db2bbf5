"""Pages for the one browser that brought a one-time token; everybody else gets a sentence."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from reporting.pages import open_templates
from reporting.serving.admission import COOKIE, Admission
from reporting.serving.guard import Guard, refuse

Answer = Callable[[Request], Awaitable[Response]]


def serve_by_token(answers: Mapping[str, Answer], admission: Admission, program: str) -> ASGIApp:
    """The application: `/open?token=...` for the one-time token, everything else below the session's secret path.

    Args:
        answers: path below the secret one, "/" for the page itself, and what answers there.
        admission: token, path and cookie.
        program: what people call it: "viewer", "dashboard".
    """
    session = _TokenSession(admission, program)
    routes = [Route(path, session.admitted(answer)) for path, answer in answers.items()]
    outer = [Route("/open", session.open), Mount(f"/{admission.path}", routes=routes)]
    return Guard(Starlette(routes=outer, exception_handlers={HTTPException: refuse}), program)


class _TokenSession:
    def __init__(self, admission: Admission, program: str) -> None:
        self._admission, self._program = admission, program

    def admitted(self, answer: Answer) -> Answer:
        """Answer only the browser that spent the token."""

        async def guarded(request: Request) -> Response:
            if not self._admission.admits(request.cookies.get(COOKIE, "")):
                raise HTTPException(
                    403,
                    f"No session in this browser. Open the address that the {self._program} printed; if it has been "
                    f"used, {self._again.lower()}",
                )
            return await answer(request)

        return guarded

    async def open(self, request: Request) -> Response:
        """Spend the token; the page that follows goes on by itself, so that a strict cookie is sent from a link too."""
        if request.method != "GET":
            raise HTTPException(405, "Open this address in a browser.")
        if not self._admission.spend(request.query_params.get("token", "")):
            raise HTTPException(403, self._explain_refusal())
        path = f"/{self._admission.path}/"
        response = HTMLResponse(open_templates("reporting").get_template("opened.html").render(path=path))
        response.set_cookie(COOKIE, self._admission.cookie, path=path, httponly=True, samesite="strict")
        return response

    def _explain_refusal(self) -> str:
        if self._admission.spent:
            return f"This address has been used: it opens one session in one browser. {self._again}"
        return (
            f"This address does not open the {self._program}. Take the whole one that the {self._program} printed. "
            f"{self._again}"
        )

    @property
    def _again(self) -> str:
        return f"Start the {self._program} again for a new address."
