"""What stands before every page: other hosts are refused, and no answer may be kept, framed or fed from elsewhere.

A request for another host than those that are served is refused, so that no name of the outside can be pointed here
(DNS rebinding).
"""

from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

THIS_MACHINE = ("127.0.0.1", "localhost")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
POLICY_WITH_FORMS = POLICY.replace("form-action 'none'", "form-action 'self'")
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Refuses other hosts, and adds the headers to every answer; one that an answer has of its own stands.

    Args:
        application: answers what is let through.
        program: what people call it: "viewer", "dashboard".
        hosts: the names that a request may ask for, whatever the port: a tunnel has another.
        policy: what the pages may load and send.
    """

    def __init__(
        self, application: ASGIApp, program: str, hosts: Collection[str] = THIS_MACHINE, policy: str = POLICY
    ) -> None:
        self._application, self._program, self._hosts = application, program, hosts
        headers = {**HEADERS, "content-security-policy": policy}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name not in {b"etag", b"last-modified"}]
                own = {name for name, _ in kept}
                message["headers"] = kept + [header for header in self._headers if header[0] not in own]
            await send(message)

        application: ASGIApp = self._application
        if scope["type"] == "http" and not _names_one_of(scope, self._hosts):
            served = next(iter(self._hosts))
            application = PlainTextResponse(f"This {self._program} answers on {served} only.", 421)
        await application(scope, receive, send_with_headers)


def _names_one_of(scope: Scope, hosts: Collection[str]) -> bool:
    """Whether a request names one of these hosts, once."""
    named = [value.decode("latin-1").rpartition(":") for name, value in scope["headers"] if name == b"host"]
    return len(named) == 1 and (named[0][0] or named[0][2]) in hosts


async def refuse(_request: Request, error: Exception) -> Response:
    """One sentence, without the name of any file."""
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    return PlainTextResponse(detail if status != 404 or detail != "Not Found" else "Nothing here.", status)
