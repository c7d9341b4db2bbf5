"""Who may look: a token that opens one session and then is spent, and the secrets of that session.

Nobody else on the machine can look: the token is known to who reads the terminal, the cookie to the browser that spent
it. A browser sends cookies of a host to every port of it, so the cookie is bound to a path that is secret as well: what
another user serves on this machine is never sent it.
"""

import secrets
from dataclasses import dataclass, field
from hmac import compare_digest

COOKIE = "concilium-session"


def _draw() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class Admission:
    """Token, secret path and cookie of one program, 256 random bits each; `spent` once a browser brought the token."""

    token: str = field(default_factory=_draw, repr=False)
    path: str = field(default_factory=_draw, repr=False)
    cookie: str = field(default_factory=_draw, repr=False)
    spent: bool = False

    def spend(self, token: str) -> bool:
        """Whether `token` is right and was not used before; from then on it is used."""
        right = compare_digest(token.encode(), self.token.encode()) and not self.spent
        self.spent = self.spent or right
        return right

    def admits(self, cookie: str) -> bool:
        """Whether a request carries the session's cookie."""
        return self.spent and compare_digest(cookie.encode(), self.cookie.encode())
