"""What a worker's function returns or raises."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterable, Optional, Tuple, Union

Octets = Union[bytes, bytearray, memoryview]
Headers = Union[Dict[str, str], Iterable[Tuple[str, str]]]

MAX_FRAMES = 1024  # of a message, its info frame included


TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# Fields about one connection, which is the front's, and the length, which is ours.
_CONNECTION = frozenset(
    "connection content-length expect keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)


class Fail(Exception):
    """Answers the client with a status of 400 to 599 and a line of text."""

    def __init__(self, status: int, text: str) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"{status} is no status of an error: want 400 to 599")
        super().__init__(status, text)
        self.status, self.text = status, str(text)


@dataclass(frozen=True)
class Reply:
    """An answer to the client; reply makes it. ValueError or TypeError: it
    cannot travel as HTTP."""

    status: int
    headers: Tuple[Tuple[str, str], ...]
    body: bytes

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 999:
            raise ValueError(f"{self.status} is no final status code")
        for name, value in self.headers:
            if not TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(f"{name!r}: {value!r} is no header field")
        _want_bytes(self.body)


@dataclass(frozen=True)
class Forward:
    """A job for another stage; forward makes it."""

    stage: Optional[str]
    frames: Tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.frames) < MAX_FRAMES:
            raise ValueError(f"a job has 1 to {MAX_FRAMES - 1} frames, not {len(self.frames)}")
        for frame in self.frames:
            _want_bytes(frame)


@dataclass(frozen=True)
class Streamed:
    """An answer in parts; stream makes it."""

    head: Reply
    body: Iterable[Union[Octets, str]]

    def opening(self) -> bytes:
        """Returns the head as text, without a length."""
        lines = [f"HTTP/1.1 {self.head.status} "] + [f"{name}: {value}" for name, value in self.head.headers]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


Result = Union[Reply, Forward, Streamed]


def reply(status: int = 200, body: Union[Octets, str] = b"", headers: Headers = ()) -> Reply:
    """Returns an answer. Text travels as UTF-8, and as text/plain if no
    Content-Type is given. Content-Length is added, and headers about the
    connection are left out."""
    pairs = headers.items() if isinstance(headers, dict) else headers
    fields = [(name, value) for name, value in pairs if name.lower() not in _CONNECTION]
    if isinstance(body, str):
        body = body.encode()
        if all(name.lower() != "content-type" for name, _ in fields):
            fields.append(("Content-Type", "text/plain; charset=utf-8"))
    return Reply(int(status), tuple(fields), octets(body))


def stream(body: Iterable[Union[Octets, str]], status: int = 200, headers: Headers = ()) -> Streamed:
    """Returns an answer whose body comes in parts: what body yields, a generator
    most likely, leaves at once. It is asked for more only as the client reads;
    when the client leaves, it is closed. An exception ends the client's
    connection so that the client can tell."""
    return Streamed(reply(status, b"", headers), body)


def forward(stage: Optional[str], *frames: Octets) -> Forward:
    """Hands the job to another stage, or to the same again, with frames of any
    bytes, at least one. None is the only next stage."""
    return Forward(stage, tuple(map(octets, frames)))


def octets(data: Octets) -> bytes:
    """Returns data as bytes; TypeError for what does not hold any."""
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def _want_bytes(data: object) -> None:
    if not isinstance(data, bytes):
        raise TypeError(f"want bytes, not {type(data).__name__}")
