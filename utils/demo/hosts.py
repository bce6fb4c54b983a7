"""Whose questions are answered: by the name that the page is called by, and by the page that asks.

A browser tells in ``Host`` by which name it reached a server, and in ``Origin`` whose page is asking. A stranger's
page can make a visitor's browser send requests to any address, and with a name of its own that suddenly points
here (DNS rebinding) even read the answers; but then the name, or the origin, is the stranger's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from utils.demo.refusals import Refusal

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
EVERYWHERE = frozenset(("0.0.0.0", "::", ""))  # to listen at
AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:(?P<port>[0-9]{1,5}))?")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Hosts:
    """The names of one page.

    Attributes:
        host: What it was told to listen at.
        port: Where it listens.
        added: Further names, such as a proxy's in front: ``name``, ``name:port`` or ``*.name``.

    Raises:
        ValueError: If an added name is none.
    """

    host: str
    port: int
    added: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the added names."""
        for name in self.added:
            if not AUTHORITY.fullmatch(name.lower().removeprefix("*.")):
                raise ValueError(
                    f"{name!r} is no name of a host; give one as the browser's address line shows it, such as "
                    "demo.example.org, demo.example.org:8080 or *.example.org."
                )

    def check(self, scope: dict) -> None:
        """Refuses what was sent to another name, or by another page.

        Args:
            scope: Of the request, as ASGI describes it.

        Raises:
            Refusal: If it was.
        """
        asked = _authority(_only(scope, b"host"))
        local = _plain((scope.get("server") or ("",))[0] or "")
        added = asked is not None and self._is_added(*asked)
        if asked is None or not (added or self._is_own(*asked, local)):
            raise Refusal(
                403,
                "The page does not answer to the name in this address; who started it can add the name with "
                "--allow-host.",
            )
        for origin in _all(scope, b"origin"):
            if not self._same(origin, asked):
                raise Refusal(403, "The page answers only questions that it asks itself, not another site's.")
        # Behind a proxy the browser may count the page and what shows it as two sites.
        if not added and _from_elsewhere(scope):
            raise Refusal(403, "The page is not part of another site's page; open it by its own address.")

    def _is_own(self, name: str, port: int | None, local: str) -> bool:
        """Whether a name is that of the machine, as far as the page was told to listen there."""
        if (port or DEFAULT_PORTS["http"]) != self.port:
            return False
        host = _plain(self.host.lower().strip("[]"))
        if host in EVERYWHERE:  # by whatever address the request came in
            return name in LOOPBACK or name == local
        return name in LOOPBACK if host in LOOPBACK else name in (host, local)

    def _is_added(self, name: str, port: int | None) -> bool:
        for pattern in self.added:
            wanted = _authority(pattern.lower().removeprefix("*."))
            fits = name.endswith(f".{wanted[0]}") if pattern.startswith("*.") else name == wanted[0]
            if fits and wanted[1] in (None, port):
                return True
        return False

    def _same(self, origin: str, asked: tuple[str, int | None]) -> bool:
        scheme, _, rest = origin.partition("://")
        default, asker = DEFAULT_PORTS.get(scheme.lower()), _authority(rest)
        if default is None or asker is None:
            return False
        return (asker[0], asker[1] or default) == (asked[0], asked[1] or default) or self._is_added(*asker)


def _from_elsewhere(scope: dict) -> bool:
    """Whether the browser says that another site's page asks for a part; to open the page itself is no matter."""
    foreign = any(value in ("cross-site", "same-site") for value in _all(scope, b"sec-fetch-site"))
    opens = scope["method"] in ("GET", "HEAD") and _all(scope, b"sec-fetch-mode") == ["navigate"]
    return foreign and not opens


def _authority(text: str | None) -> tuple[str, int | None] | None:
    """A name in small letters, or an address in its shortest form, and the port; None for what is neither."""
    found = AUTHORITY.fullmatch((text or "").lower())
    if found is None:
        return None
    return _plain(found["name"].strip("[]")), int(found["port"]) if found["port"] else None


def _plain(name: str) -> str:
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return str(getattr(address, "ipv4_mapped", None) or address)


def _all(scope: dict, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _only(scope: dict, name: bytes) -> str | None:
    values = _all(scope, name)
    return values[0] if len(values) == 1 else None
