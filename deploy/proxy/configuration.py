"""The proxy before the SuperLink: an nginx configuration, filled in from a coordinator's directory."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from protocol.errors import LaunchError
from protocol.storage.atomic_files import write_text

TEMPORARY = ("body", "proxy", "fastcgi", "uwsgi", "scgi")
UNFIT = frozenset('"\\\n;{}$')


@dataclass(frozen=True)
class Proxy:
    """What the configuration is filled with.

    Attributes:
        listen: "address:port" to listen on; "*:port" for all interfaces.
        upstream: socket of the SuperLink's fleet door; its certificate must be for `localhost`.
        account: of the workers, where root starts it; empty for the account that starts it.
        certificate: PEM of the server, shown to the centers.
        key: its private key.
        authority: PEM that the SuperLink's certificate is verified with.
        folder: for temporary files and the process id.
        access_log: one line a call.
    """

    listen: str
    upstream: Path
    certificate: Path
    key: Path
    authority: Path
    folder: Path
    access_log: Path
    account: str = ""

    def text(self) -> str:
        """The configuration.

        Raises:
            LaunchError: a path holds a character that nginx's configuration cannot.
        """
        text = template()
        for name, value in ((name.upper(), str(value)) for name, value in vars(self).items()):
            if UNFIT & set(value):
                raise LaunchError(
                    f"{value!r} cannot stand in nginx's configuration; use a path without {sorted(UNFIT)}"
                )
            text = text.replace(f"@{name}@", value)
        if self.account:
            text = f"user {self.account};\n{text}"
        return text

    def write(self) -> Path:
        """Write the configuration and make its folders; gives the file for `nginx -c`.

        Raises:
            LaunchError: see `text`.
            StorageError: the disk refuses.
        """
        path = self.folder / "fleet.conf"
        write_text(path, self.text())
        for name in TEMPORARY:
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        self.access_log.parent.mkdir(parents=True, exist_ok=True)
        return path


def template() -> str:
    """The configuration with its blanks."""
    return files("deploy.proxy").joinpath("fleet.conf.template").read_text(encoding="utf-8")
