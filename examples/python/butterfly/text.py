"""HTTP requests and answers as the text that travels in jobs."""

from __future__ import annotations

import io
import re
from http.client import responses
from typing import BinaryIO, Dict, List, Optional
from urllib.parse import parse_qs, unquote, unquote_to_bytes

from .result import TOKEN, Fail, Reply
from .spool import Body, Spooled
from .wire import Info

SPOOL = "X-Butterfly-Body"  # names the file of a body that has no bytes here


class Request:
    """The HTTP request that a job of the first stage is."""

    def __init__(self, text: bytes, files: Optional[Body] = None) -> None:
        head, *rest = re.split(rb"\r?\n\r?\n", text, maxsplit=1)
        line, *fields = re.split(r"\r?\n", head.decode("latin-1"))
        words = line.split(" ")
        if not rest or len(words) != 3 or not TOKEN.fullmatch(words[0]) or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
            raise Fail(400, "the job is no HTTP request")
        self.method, self.target, self.version = words[0], plain_target(words[1]), words[2]
        #: names and values in the order in which they came
        self.headers = [
            (name, value.strip(" \t")) for name, colon, value in (f.partition(":") for f in fields) if colon
        ]
        self._body, self._files = rest[0], files or Body((), 0)
        length = self.header("Content-Length")
        #: the size of a body that is in a file, None of any other
        self.spooled = int(length) if not rest[0] and self.header(SPOOL) and re.fullmatch("[1-9][0-9]*", length) else None
        self._file = self.header(SPOOL)
        self.headers = [(name, value) for name, value in self.headers if name.lower() != SPOOL.lower()]

    @property
    def body(self) -> bytes:
        """The body. Raises Spooled where it is in a file, since the front has found
        it large (spool_above of the route)."""
        if self.spooled is not None:
            raise Spooled(f"the body, of {self.spooled} bytes, is in a file: read request.open()")
        return self._body

    def open(self) -> BinaryIO:
        """Returns the body as a file, wherever it is, from its beginning. It is
        closed when the job is done. Raises Gone if the request has ended."""
        if self.spooled is None:
            return io.BytesIO(self._body)
        return self._files.open(self._file, self.spooled)

    def header(self, name: str, default: str = "") -> str:
        """Returns the first value of a header, whatever the case of its name."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), default)

    @property
    def path(self) -> str:
        """The target's path, decoded."""
        path = _utf8(self.target.partition("?")[0])
        if "://" in path and not path.startswith("/"):  # a target as for a proxy
            path = "/" + path.partition("://")[2].partition("/")[2]
        return unquote(path) or "/"

    @property
    def query(self) -> Dict[str, List[str]]:
        """The target's query, decoded: all values of each name."""
        return parse_qs(_utf8(self.target.partition("?")[2]), keep_blank_values=True)


def _utf8(text: str) -> str:
    """Returns what a client meant that did not escape its UTF-8."""
    return text.encode("latin-1").decode("utf-8", "replace")


def plain_target(target: str) -> str:
    """Returns a target as a client would have sent it. A prime_server front
    decodes it, adds a phantom query (/foo?/foo=) and escapes all of it."""
    if target[:3].lower() != "%2f":
        return target
    plain = unquote_to_bytes(target.encode("latin-1")).decode("latin-1")
    path, _, query = plain.partition("?")
    if query in (path, path + "="):
        plain = path
    # What stands here now is meant literally, and must survive decoding.
    return re.sub(r"[\x00-\x20\x7f%+]", lambda m: f"%{ord(m.group()):02X}", plain)


def render(answer: Reply, info: Info, head: bool) -> bytes:
    """Returns the answer as text. A prime_server front writes it to the client
    as it stands, so for one it has the version and Connection that info asks
    for. head: the client asked with HEAD."""
    minor, connection = 1, ""
    if info.instance == 0:
        minor = 1 if info.bits & 7 else 0
        connection = "Keep-Alive" if info.bits & 8 else "Close" if info.bits & 16 else ""
    bodiless = answer.status in (204, 304)
    lines = [f"HTTP/1.{minor} {answer.status} {responses.get(answer.status, '')}"]
    lines += (f"{name}: {value}" for name, value in answer.headers)
    if connection:
        lines.append(f"Connection: {connection}")
    if not bodiless:
        lines.append(f"Content-Length: {len(answer.body)}")
    text = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return text if head or bodiless else text + answer.body
