"""Whose requests are answered: by the name that the page is called by, and by the page that asks.

A browser tells in ``Host`` by which name it reached a server, and in ``Origin`` whose page is asking. Another
site's page can make a visitor's browser send requests to any address, and with a name of its own that suddenly
points here (DNS rebinding) even read the answers; but then the name, or the origin, is that site's. Starlette's
`TrustedHostMiddleware` looks at names alone; here the port, the origin and the local address count as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any, NamedTuple

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
EVERYWHERE = frozenset(("0.0.0.0", "::", ""))  # to listen at
AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:(?P<port>[0-9]{1,5}))?")
PORTS = {"http": 80, "https": 443}  # where an address names none


class Authority(NamedTuple):
    """A name in lower case, or an address in its shortest form, and the port if one was given."""

    name: str
    port: int | None


class Hosts:
    """The names that a page answers to which listens at a host; added are ``name[:port]`` or ``*.name``."""

    def __init__(self, host: str, added: Sequence[str] = ()) -> None:
        self.host = _shortest(host.lower())
        self.added: list[Authority] = []
        for name in added:
            authority = _authority(name.removeprefix("*."))
            if authority is None:
                raise ValueError(
                    f"{name!r} is not the name of a host; give one as the browser's address line shows it, such as "
                    "demo.example.org, demo.example.org:8080 or *.example.org."
                )
            self.added.append(authority._replace(name=f"*.{authority.name}") if name.startswith("*.") else authority)

    def check(self, scope: dict[str, Any]) -> None:
        """Refuses an ASGI request to another name, or by another site's page: an HTTPException of status 403."""
        headers = Headers(scope=scope)
        names = headers.getlist("host")
        asked = _authority(names[0]) if len(names) == 1 else None
        added = asked is not None and self._is_added(asked)
        if asked is None or not (added or self._is_own(asked, *scope["server"])):
            raise HTTPException(403, "The page does not answer to this name; who started it can add it: --allow-host.")
        if not all(self._is_same(origin, asked) for origin in headers.getlist("origin")):
            raise HTTPException(403, "The page answers only requests that it sends itself, not another site's.")
        foreign = not {"cross-site", "same-site"}.isdisjoint(headers.getlist("sec-fetch-site"))
        opens = scope["method"] in ("GET", "HEAD") and headers.getlist("sec-fetch-mode") == ["navigate"]
        # Behind a proxy the browser may count the page and what shows it as two sites.
        if foreign and not opens and not added:
            raise HTTPException(403, "The page is not part of another site's page; open it by its own address.")

    def _is_own(self, asked: Authority, local: str, port: int) -> bool:
        """Whether this is the machine's own name and port, as far as the page was told to listen there."""
        names = set(LOOPBACK) if self.host in LOOPBACK | EVERYWHERE else {self.host}
        if self.host not in LOOPBACK:  # by whatever address the request came in
            names.add(_shortest(local))
        return asked.name in names and (asked.port or PORTS["http"]) == port

    def _is_added(self, asked: Authority) -> bool:
        return any(fnmatchcase(asked.name, name) and port in (None, asked.port) for name, port in self.added)

    def _is_same(self, origin: str, asked: Authority) -> bool:
        """Whether the page that asks is the one that is asked, or lies behind an added name."""
        scheme, _, rest = origin.lower().partition("://")
        default, asker = PORTS.get(scheme), _authority(rest)
        if default is None or asker is None:
            return False
        same = asker.name == asked.name and (asker.port or default) == (asked.port or default)
        return same or self._is_added(asker)


def _authority(text: str) -> Authority | None:
    found = AUTHORITY.fullmatch(text.lower())
    return Authority(_shortest(found["name"]), int(found["port"]) if found["port"] else None) if found else None


def _shortest(name: str) -> str:
    name = name.strip("[]")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return str(getattr(address, "ipv4_mapped", None) or address)
