"""Pages for those who know the password, over TLS; each wrong one makes all wait longer for the next try."""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from reporting.pages import open_templates
from reporting.serving.admission import COOKIE
from reporting.serving.guard import POLICY_WITH_FORMS, Guard, refuse
from reporting.serving.token_session import Answer
from server.dashboard.password_file import StoredPassword
from server.dashboard.style import style_sheet

LASTS_S = 12 * 3600.0
LONGEST_WAIT_S = 60.0
MOST_SESSIONS, MOST_BYTES = 256, 4096
SEE_OTHER = 303


def serve_by_login(
    answers: Mapping[str, Answer],
    password: StoredPassword,
    title: str,
    hosts: Collection[str],
    clock: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """The application: a form at `/login`, and `answers` for who came through it.

    Args:
        answers: path and what answers there.
        password: the one that opens it.
        title: of the study.
        hosts: the names under which it may be asked for.
        clock: seconds.
    """
    login = _Login(password, title, clock)
    routes = [
        *(Route(path, login.admitted(answer)) for path, answer in answers.items()),
        Route("/login", login.form, methods=["GET"]),
        Route("/login", login.enter, methods=["POST"]),
        Route("/login.css", login.style),
        Route("/leave", login.leave, methods=["POST"]),
    ]
    inner = Starlette(routes=routes, exception_handlers={HTTPException: refuse})
    return Guard(inner, "dashboard", hosts, POLICY_WITH_FORMS)


class _Login:
    def __init__(self, password: StoredPassword, title: str, clock: Callable[[], float]) -> None:
        self._password, self._title, self._clock = password, title, clock
        self._sessions: dict[str, float] = {}
        self._wrong, self._closed_until = 0, 0.0
        environment = open_templates("server.dashboard")
        self._template: Any = environment.get_template("login.html")
        self._style = style_sheet(environment)

    def admitted(self, answer: Answer) -> Answer:
        """Answer who is logged in; lead others to the form."""

        async def guarded(request: Request) -> Response:
            if self._sessions.get(request.cookies.get(COOKIE, ""), 0.0) > self._clock():
                return await answer(request)
            if request.url.path == "/":
                return RedirectResponse("/login", SEE_OTHER)
            raise HTTPException(403, "Nobody is logged in here. Open the dashboard's first page.")

        return guarded

    async def form(self, _request: Request) -> Response:
        """The form."""
        return self._show("")

    async def style(self, _request: Request) -> Response:
        """The form's style sheet."""
        return Response(self._style, media_type="text/css")

    async def enter(self, request: Request) -> Response:
        """Open a session, or say why not."""
        _refuse_other_sites(request)
        wait_s = self._closed_until - self._clock()
        if wait_s > 0:
            return self._show(f"After a wrong password the next try has to wait: {wait_s:.0f} s more.", 429)
        given = parse_qs((await _short_body(request)).decode("utf-8", "replace")).get("password", [""])[0]
        if not await asyncio.to_thread(self._password.matches, given):
            self._wrong += 1
            self._closed_until = self._clock() + min(2.0**self._wrong, LONGEST_WAIT_S)
            return self._show("That is not the password.", 403)
        self._wrong = 0
        return self._open()

    async def leave(self, request: Request) -> Response:
        """End the session of this browser."""
        _refuse_other_sites(request)
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        response = RedirectResponse("/login", SEE_OTHER)
        response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
        return response

    def _open(self) -> Response:
        now = self._clock()
        alive = {cookie: until for cookie, until in self._sessions.items() if until > now}
        cookie = secrets.token_urlsafe(32)
        self._sessions = {**dict(list(alive.items())[-MOST_SESSIONS + 1 :]), cookie: now + LASTS_S}
        response = RedirectResponse("/", SEE_OTHER)
        response.set_cookie(COOKIE, cookie, max_age=int(LASTS_S), secure=True, httponly=True, samesite="strict")
        return response

    def _show(self, trouble: str, status: int = 200) -> Response:
        return HTMLResponse(self._template.render(title=self._title, trouble=trouble), status)


def _refuse_other_sites(request: Request) -> None:
    """403 where another site's page sent the form."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise HTTPException(403, "This form was sent by another site.")


async def _short_body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise HTTPException(413, "That is no password.")
    return body
