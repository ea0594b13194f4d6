"""What a worker's function gets."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Callable, Optional, Sequence

from .result import Octets, octets
from .spool import Body
from .text import Request
from .wire import HEAD, REQUEST_ID, Info

CLOCK_SKEW = 0.5  # seconds by which the front's clock may differ from ours


class Interrupted(Exception):
    """Nobody waits for the job any more. Job.check raises it: let it pass."""


class Job:
    """One job, valid until the worker's function returns."""

    def __init__(
        self, frames: Sequence[bytes], info: Optional[Info] = None, stage: str = "", spool: Sequence[str] = ()
    ) -> None:
        """Workers are given their jobs; make one to try a function by itself."""
        #: what the stage before sent; in the first stage the text of the request
        self.frames = list(frames)
        self.info = info or Info.parse(bytes(12))
        #: the name of the stage that does the job
        self.stage = stage
        self._beat = b""
        self.body = Body(spool, self.info.instance)
        #: whether the front has interrupted the job; the process sets it
        self.left: Callable[[], bool] = lambda: False
        #: whether the deadline does not hold any more: a stream has begun
        self.lifted = False

    @cached_property
    def request(self) -> Request:
        """The HTTP request. Raises Fail(400, …) if the first frame is none."""
        return Request(self.frames[0], self.body)

    @property
    def id(self) -> str:
        """The job's key, as logs show it."""
        return "%016x-%08x-%08x" % self.info.key

    @property
    def request_id(self) -> str:
        """The id of the request, as error bodies and the front's logs show it."""
        return self.info.fields.get(REQUEST_ID, b"").decode("utf-8", "replace") or self.id

    @property
    def beat(self) -> bytes:
        """What this process says to its stage's chooser from now on: any bytes."""
        return self._beat

    @beat.setter
    def beat(self, beat: Octets) -> None:
        self._beat = octets(beat)

    @property
    def deadline(self) -> Optional[float]:
        """When the answer is of no use any more, in Unix seconds; None: never."""
        return self.info.deadline / 1e6 if self.info.deadline else None

    @property
    def attempt(self) -> int:
        """How often the job was given to a worker of this stage before."""
        return self.info.attempt

    @property
    def hops(self) -> int:
        """How many stages the job has entered, as far as they were counted."""
        return self.info.hops

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and not self.lifted and time.time() > self.deadline + CLOCK_SKEW

    @property
    def interrupted(self) -> bool:
        """Whether nobody waits for the answer any more: the client has left, or
        the deadline has passed. To look is cheap; do so every few milliseconds
        of a long computation, in the thread that the function was called in."""
        return self.left() or self.expired

    def check(self) -> None:
        """Raises Interrupted if the job is."""
        if self.interrupted:
            raise Interrupted(f"job {self.id} was interrupted")

    def wants_head(self) -> bool:
        """Whether the client asked with HEAD, as far as is known."""
        asked = "request" in self.__dict__ and self.request.method == "HEAD"
        return asked or bool(self.info.flags & HEAD)
