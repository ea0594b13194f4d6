"""What tells the fronts which job the process holds, whatever the job does."""

from __future__ import annotations

import socket
import threading
import time
from typing import Dict, Optional

import zmq

from .sockets import Endpoints, connect
from .wire import FRONT_NAME, ROLL_CALL, Info, claim_frame, parse_roll_call

AGAIN = 1.0  # seconds after which a job is claimed once more, for interrupts that were missed
LOOK = 0.05  # seconds between two looks for a new job while a front wants to know


class Claims(threading.Thread):
    """A thread with sockets of its own: a job may compute for long and look at
    nothing. A front takes what nobody claims for lost, see "Roll call and claims"
    in docs/protocol.md. Jobs that were forwarded and wait in libzmq for a proxy that
    is away are not claimed."""

    def __init__(self, at: Endpoints, instance: int) -> None:
        super().__init__(name="claims", daemon=True)
        self.context = zmq.Context(1)
        self.calls = self.context.socket(zmq.SUB)
        self.calls.setsockopt(zmq.SUBSCRIBE, ROLL_CALL)
        for endpoint in at.interrupts:
            connect(self.calls, endpoint)
        self.fronts: Dict[str, zmq.Socket] = {}
        for name, endpoint in at.fronts.items():
            to = self.fronts[name] = self.context.socket(zmq.PUSH)
            to.setsockopt(zmq.METADATA, b"X-Butterfly:" + instance.to_bytes(8, "little"))
            to.setsockopt(zmq.IMMEDIATE, 1)
            connect(to, endpoint)
        #: the info frame of the job being done; the process sets it
        self.job: Optional[Info] = None
        self._numbers: Dict[int, int] = {}  # of the latest roll calls, by the fronts' instances
        self._until = 0.0  # when the last window ends, by time.monotonic
        self._again = 0.0  # when to claim once more; 0: not
        self._claimed: Optional[Info] = None
        self._woken, self._waker = socket.socketpair()

    def stop(self) -> None:
        """Ends the thread and waits for that. It has to have been started."""
        self._waker.send(b"\0")
        self.join()

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self.calls, zmq.POLLIN)
        poller.register(self._woken, zmq.POLLIN)
        while self._woken.fileno() not in (events := dict(poller.poll(self._pause()))):
            if self.calls in events:
                self._hear()
            self._look()
        self.context.destroy(0)

    def _pause(self) -> Optional[int]:
        """Milliseconds until there is something to do though nothing comes."""
        now = time.monotonic()
        if now < self._until:
            return int(LOOK * 1000)
        return int(max(0.0, self._again - now) * 1000) + 1 if self._again else None

    def _hear(self) -> None:
        call = parse_roll_call(self.calls.recv_multipart()[0])
        if call is None:
            return
        front, number, window = call
        if len(self._numbers) >= 64:
            self._numbers.clear()
        self._numbers[front] = number or self._numbers.get(front, 0)
        self._until = max(self._until, time.monotonic() + window)
        self._again = time.monotonic() + AGAIN
        self._claimed = None

    def _look(self) -> None:
        """Claims the job if a front wants to know."""
        now, job = time.monotonic(), self.job
        if self._again and now >= self._again:
            self._again, self._claimed = 0.0, None
        elif job is self._claimed or not (self._again or now < self._until):
            return
        self._claimed = job
        if job is None or job.instance not in self._numbers:
            return
        name = job.fields.get(FRONT_NAME, b"").decode("utf-8", "replace")
        to = next(iter(self.fronts.values())) if len(self.fronts) == 1 else self.fronts.get(name)
        if to is not None:
            try:
                to.send(claim_frame(job.key, self._numbers[job.instance]), zmq.DONTWAIT)
            except zmq.Again:
                self._claimed = None  # there is no connection
