"""Answers in parts, as "Streams" in docs/protocol.md has them."""

from __future__ import annotations

import time
from typing import Callable, Iterator, List

from .job import Interrupted, Job
from .result import Reply, Streamed, octets, reply
from .sockets import Interrupts, Outlets
from .wire import INITIAL_CREDIT, MAX_PART, PART_OVERHEAD, STREAM, STREAM_END, part_cost

MAX_GATHERED = 16 << 20  # bytes of an answer that cannot travel in parts
ENOUGH = 8 << 10  # bytes that a part of a long piece has at least
ASK = 1.0  # seconds after which a stream without credit asks for it
SILENT = 10.0  # seconds after which a front that does not reply is taken for dead


class Parts:
    """The answer to one job, on its way."""

    def __init__(
        self, job: Job, answer: Streamed, outlets: Outlets, interrupts: Interrupts, begins: Callable[[], None]
    ) -> None:
        self.job, self.answer, self._begins = job, answer, begins
        self._outlets, self._interrupts = outlets, interrupts
        self.begun = False  # the first part has been sent
        self._whole = False  # the body has come to its end
        self._part = 0  # number of the next
        self._cost = 0  # of all so far

    def run(self) -> Reply:
        """Sends the body as it comes. Returns a whole answer where one cannot
        travel in parts; else what it returns means nothing."""
        pieces = iter(self.answer.body)
        try:
            if self.job.info.instance == 0:
                return self._gather(pieces)
            self._interrupts.expect(self.job.info.key, INITIAL_CREDIT)
            for piece in pieces:
                self._write(as_bytes(piece))
            if not self.begun:
                self._first(b"")
            self._whole = True
            return self.answer.head
        finally:
            close = getattr(pieces, "close", None)
            if close:
                close()

    def end(self, error: int) -> None:
        """Sends the last part: with the status of an error if the body is not all
        that it should have been."""
        self._send(b"", STREAM | STREAM_END, 0 if self._whole else error)

    def _gather(self, pieces: Iterator[object]) -> Reply:
        body: List[bytes] = []
        size = 0
        for piece in pieces:
            self.job.check()
            body.append(as_bytes(piece))
            size += len(body[-1])
            if size > MAX_GATHERED:
                raise ValueError(f"more than {MAX_GATHERED} bytes cannot travel to a front that knows no parts")
        return reply(self.answer.head.status, b"".join(body), self.answer.head.headers)

    def _write(self, piece: bytes) -> None:
        self.job.check()
        at = 0
        while at < len(piece):
            if not self.begun:
                n = min(len(piece), MAX_PART)
                self._first(piece[:n])
            else:
                n = self._room(len(piece) - at)
                self._send(piece[at : at + n], STREAM, 0)
            at += n

    def _first(self, body: bytes) -> None:
        self._outlets.part(self.job, STREAM, 0, self.answer.head.status, self.answer.opening() + body)
        self.begun = self.job.lifted = True
        self._begins()
        self._part = 1

    def _send(self, body: bytes, flags: int, status: int) -> None:
        self._outlets.part(self.job, flags, self._part, status, body)
        self._part += 1
        self._cost += part_cost(len(body))

    def _room(self, n: int) -> int:
        """Waits for credit, and returns how many of n bytes may be sent."""
        n = min(n, MAX_PART)
        least = part_cost(min(n, ENOUGH))
        heard, asks = time.monotonic(), time.monotonic() + ASK
        while True:
            credit = self._interrupts.granted - self._cost
            if credit >= least:
                return min(n, credit - PART_OVERHEAD)
            self.job.check()
            if self._interrupts.wait(max(0.0, asks - time.monotonic())):
                heard = time.monotonic()
            if time.monotonic() - heard > SILENT:
                raise Interrupted("the front has not replied for too long")
            if time.monotonic() >= asks:
                self._send(b"", STREAM, 0)
                asks = time.monotonic() + ASK


def as_bytes(piece: object) -> bytes:
    """Returns a piece of a body as bytes; TypeError for what is none."""
    if isinstance(piece, str):
        return piece.encode()
    return octets(piece)  # type: ignore[arg-type]
