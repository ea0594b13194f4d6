"""Which of several proxies a process gets its jobs from."""

from __future__ import annotations

import random
import time
from typing import List, Optional, Sequence

import zmq

from .sockets import Link, new_instance
from .wire import Key, Status

PAUSE = 0.15  # seconds between two decisions: what others decide has to show first
SETTLE = 1.0  # seconds after a move
CALM = 2.0  # seconds without a proxy in need until processes are spread evenly


class Links:
    """The connections to all proxies of the own stage. The process, which is one
    slot, is at home at one of them at a time. To move it withdraws there, and
    beats at the other one when the receipt has come."""

    def __init__(self, context: zmq.Context, endpoints: Sequence[str]) -> None:
        """Raises ValueError for an endpoint that cannot be one."""
        self.instance = new_instance()
        self.all = [Link(context, e, self.instance, len(endpoints) > 1) for e in endpoints]
        # Of many processes not all begin at the same, each by its number.
        self.home = self.all[(self.instance >> 16) % len(self.all)]
        self.want: Optional[Link] = None
        self._next = 0.0  # when to decide again, by time.monotonic
        self._need = time.monotonic()  # when a proxy was in need

    @property
    def done(self) -> Key:
        """The key of the last job."""
        return self.home.done

    @property
    def beat(self) -> bytes:
        """What the application says in beats."""
        return self.home.beat

    def sources(self) -> List[zmq.Socket]:
        """Returns all that has to be polled."""
        return [s for link in self.all for s in (link.socket, link.events)]

    def look(self) -> None:
        """Takes note of connections that came and went, and leaves a home that
        has gone."""
        for link in self.all:
            link.look()
            link.ask()
        if self.want is not None and not self.want.connected:
            self.want = None
        if not self.home.connected:
            for link in sorted(self.all, key=lambda link: link.status.slots if link.status else 0):
                if link.connected:
                    self._go(link)
                    break

    def _go(self, home: Link) -> None:
        """Makes another proxy the home."""
        home.done, home.beat = self.home.done, self.home.beat
        self.home.told, self.home.receipt = None, False
        home.told, home.receipt = None, False
        self.home, self.want = home, None

    def waiting(self) -> bool:
        """Whether something has come that was not looked at."""
        return any(link.socket.poll(0) for link in self.all)

    def receive(self) -> Optional[List[bytes]]:
        """Returns a job, or None if there was none."""
        for link in self.all:
            message = link.receive()
            if message is not None:
                return message
        return None

    def tell(self, leaving: bool) -> None:
        """Says that the process is idle, or leaves, or moves, if that is news."""
        if not leaving and len(self.all) > 1:
            if self.home.receipt:
                self._go(self.want or self.home)
            self._decide()
        if self.home.told is True and not self.home.receipt:
            return  # the receipt is on its way, or a job
        self.home.tell(leaving or self.want is not None)

    def _decide(self) -> None:
        now = time.monotonic()
        seen = [link.status if link.connected else None for link in self.all]
        if any(s and s.queued > 0 and s.idle == 0 for s in seen):
            self._need = now
        if self.want is not None or self.home.told is not False or now < self._next:
            return
        at = self.all.index(self.home)
        chance = where(seen, at, now - self._need > CALM)
        if chance is None:
            return
        to, share = chance
        self._next = now + PAUSE
        if random.random() < share:
            self.want, self._next = self.all[to], now + SETTLE

    def begun(self, key: Key) -> None:
        """Tells that the job is being answered in parts."""
        self.home.begun(key)

    def finish(self, key: Key, beat: bytes) -> None:
        """Notes that a job has been done: the proxy has to be told."""
        self.home.finish(key, beat)

    def left(self) -> bool:
        """Whether no job can be on its way to a process that is leaving."""
        return self.home.left()


def where(seen: Sequence[Optional[Status]], at: int, calm: bool) -> Optional[tuple[int, float]]:
    """Returns a proxy to which processes should move from the one at a place, and
    the share of those there that should; None: nobody should. docs/protocol.md
    has the rules, "Several proxies"."""
    home = seen[at]
    others = [(i, s) for i, s in enumerate(seen) if s and i != at]
    staying = [(i, s) for i, s in others if not s.draining]
    if home is None or home.slots == 0 or not others:
        return None
    if home.draining and home.queued == 0 and staying:
        return min(staying, key=lambda o: o[1].slots)[0], 1.0
    hungry = [(i, s) for i, s in others if s.queued > 0 and s.idle == 0]
    if hungry:
        to, s = max(hungry, key=lambda o: o[1].queued / (o[1].slots + 1e-6))
        if home.idle > 0 and home.queued == 0:
            return to, (min(s.queued, home.idle) + 1) // 2 / home.slots
        if s.slots == 0:
            return to, 1 / home.slots
    if home.draining or not staying:
        return None
    to, least = min(staying, key=lambda o: o[1].slots)
    more = home.slots - least.slots
    if home.queued > 0 and home.idle == 0 and home.slots >= 2 and 4 * least.slots < home.slots:
        return to, (more // 2 + 1) // 2 / home.slots
    if calm and more >= 2 and more > (home.slots + least.slots) // 8:
        return to, more // 2 / home.slots
    return None
