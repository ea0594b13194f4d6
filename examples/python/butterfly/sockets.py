"""The sockets of a worker process."""

from __future__ import annotations

import os
import re
import secrets
import struct
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Sequence

import zmq

from .job import Job
from .result import Forward, Reply
from .text import render
from .wire import (
    BEAT,
    BEGUN,
    CREDIT,
    FRONT_NAME,
    PIECE,
    TELL,
    WITHDRAW,
    Key,
    Status,
    beat_frame,
    credit_prefix,
    interrupt_key,
    parse_credit,
)

MAX_MESSAGE = 64 << 20  # bytes that a peer takes, all frames together
HELD = 0.1  # seconds for which an outcome that does not leave keeps the process
TRIES = 50  # how often HELD is waited for one of several proxies
LINGER = 5.0  # seconds that outcomes have to leave when the process ends
LOOK = 0.005  # seconds between two looks for interrupts during a job
HEARD = 4096  # interrupts that are remembered

# Seconds after which leaving needs no receipt, by what the proxy is: butterfly's,
# prime_server's, which sends none but may send a job, or not known yet.
RECEIPT = {True: 10.0, False: 1.0, None: 3.0}


@dataclass
class Endpoints:
    """Where a process connects to, and what it is called."""

    stage: str
    upstream: List[str]  # of its own stage's proxies
    next: Dict[str, List[str]]  # of other stages' proxies; a single stage may be called ""
    fronts: Dict[str, str]  # loopbacks
    interrupts: List[str]
    spool: Sequence[str] = ()  # directories of large bodies


def connect(to: zmq.Socket, endpoint: str) -> None:
    """Connects as all sockets here do: for good, and with heartbeats."""
    to.setsockopt(zmq.LINGER, 0)
    to.setsockopt(zmq.IPV6, "[" in endpoint)
    to.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
    to.setsockopt(zmq.RECONNECT_IVL, 50)
    to.setsockopt(zmq.RECONNECT_IVL_MAX, 500)  # a front that has started waits a second for us
    to.setsockopt(zmq.HEARTBEAT_IVL, 2000)
    to.setsockopt(zmq.HEARTBEAT_TIMEOUT, 6000)
    to.setsockopt(zmq.HEARTBEAT_TTL, 6000)
    to.setsockopt(zmq.SNDTIMEO, int(HELD * 1000))
    try:
        to.connect(endpoint)
    except zmq.ZMQError as e:
        raise ValueError(f"{endpoint!r} is no endpoint to connect to: {e}") from e


def new_instance() -> int:
    """Returns the number by which the process announces itself: what its
    supervisor says, who so hears of it, or 64 random bits. None has a zero byte,
    which would end it in libzmq."""
    told = os.environ.get("BUTTERFLY_INSTANCE", "")
    if re.fullmatch("[0-9a-f]{16}", told) and 0 not in bytes.fromhex(told):
        return int(told, 16)
    return int.from_bytes(bytes(secrets.choice(range(1, 256)) for _ in range(8)), "little")


class Link:
    """The connection to a proxy of the own stage, who is told that we are idle.

    A beat goes out once on every connection and once after every job, so that
    the proxy never mistakes one. None is kept for a later connection."""

    def __init__(self, context: zmq.Context, endpoint: str, instance: int, curious: bool = False) -> None:
        self.endpoint, self.instance = endpoint, instance
        self.curious = curious  # it wants to know the status of the stage
        self.asked = False
        self.status: Optional[Status] = None
        self.connected = False
        self.butterfly: Optional[bool] = None  # whether the proxy is; None: it sent nothing yet
        self.told: Optional[bool] = None  # of this idleness: the beat, or (True) the withdrawal
        self.done: Key = (0, 0, 0)  # the last job
        self.beat = b""
        self.receipt = False  # no job is on its way any more
        self.withdrawal = b""  # what the receipt looks like
        self.leave_by = 0.0  # when leaving needs no receipt, by time.monotonic
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.METADATA, b"X-Butterfly:" + self.instance.to_bytes(8, "little"))
        monitor = f"inproc://link {endpoint}"
        self.socket.monitor(monitor, zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self.events = context.socket(zmq.PAIR)
        self.events.set_hwm(0)
        self.events.connect(monitor)
        connect(self.socket, endpoint)

    def look(self) -> None:
        """Takes note of connections that came and went."""
        while self.events.poll(0):
            (event,) = struct.unpack_from("=H", self.events.recv_multipart()[0])
            self.connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self.butterfly = self.told = self.status = None
            self.asked = self.receipt = False

    def ask(self) -> None:
        """Asks for the status, if it wants to know: by a withdrawal of nothing."""
        if self.curious and self.connected and not self.asked:
            self.asked = True
            self._send([b"", beat_frame(self.instance, (0, 0, 0), WITHDRAW | TELL)])

    def tell(self, leaving: bool) -> None:
        """Says that the process is idle, or that it leaves, if that is news. A
        prime_server proxy, which would take it for a beat, is not told of leaving."""
        if not self.connected or self.told == leaving:
            return
        # A job that was named as done is not named again: the one that crosses may be the same.
        done = self.done if self.told is None else (0, 0, 0)
        self.told = leaving
        self.leave_by = time.monotonic() + RECEIPT[self.butterfly]
        if leaving and self.butterfly is False:
            return
        frame = beat_frame(self.instance, done, WITHDRAW if leaving else 0)
        if leaving:
            self.withdrawal = frame
        self._send([self.beat, frame])

    def _send(self, frames: List[bytes]) -> None:
        self.socket.getsockopt(zmq.EVENTS)  # lets the socket see which connections are up
        try:
            self.socket.send_multipart(frames)
        except zmq.Again:
            pass  # the connection has gone: the next one is told

    def receive(self) -> Optional[List[bytes]]:
        """Returns a job, or None if there was but a receipt or nothing."""
        if not self.socket.poll(0):
            return None
        frames = self.socket.recv_multipart(copy=False)
        self.butterfly = announced(frames[0])
        message = [frame.bytes for frame in frames]
        if len(message) == 1 and message[0][:4] == BEAT:  # an older one means nothing any more
            self.receipt = self.told is True and message[0] == self.withdrawal
            return None
        if len(message) == 1 and Status.parse(message[0]):
            self.status = Status.parse(message[0])
            return None
        return message

    def begun(self, key: Key) -> None:
        """Tells a butterfly proxy that the job is being answered in parts: the stage's
        timeout was for the first."""
        if self.butterfly and self.connected:
            try:
                self.socket.send_multipart([self.beat, beat_frame(self.instance, key, BEGUN)])
            except zmq.Again:
                pass  # the connection has gone, and the job with it

    def finish(self, key: Key, beat: bytes) -> None:
        """Notes that a job has been done: the proxy has to be told."""
        self.done, self.beat, self.told, self.receipt = key, beat, None, False

    def left(self) -> bool:
        """Whether no job can be on its way to a process that is leaving."""
        if self.receipt:
            return True
        waiting = self.connected and (self.told is not True or time.monotonic() < self.leave_by)
        return not waiting and not self.socket.poll(0)


def announced(frame: zmq.Frame) -> bool:
    """Whether the peer that sent a frame announced itself as butterfly's."""
    try:
        frame.get("X-Butterfly")  # type: ignore[arg-type]
    except UnicodeDecodeError:  # eight random bytes are seldom text
        return True
    except zmq.ZMQError:
        return False
    return True


class Unsent(Exception):
    """An outcome that cannot be sent, and what its client is told instead."""

    def __init__(self, why: str, status: int = 0, text: str = "") -> None:
        super().__init__(why)
        self.status, self.text = status, text


class Outlets:
    """Where outcomes go: the fronts' loopbacks and the next stages' proxies. What
    a peer does not take waits in libzmq until the peer is back."""

    def __init__(self, context: zmq.Context, at: Endpoints, instance: int) -> None:
        self.stage = at.stage
        self._instance = instance
        self.fronts = {name: self._outlet(context, zmq.PUSH, e) for name, e in at.fronts.items()}
        self.next = {name: self._outlet(context, zmq.DEALER, *all) for name, all in at.next.items()}
        self._several = {name for name, all in at.next.items() if len(all) > 1}

    def _outlet(self, context: zmq.Context, kind: int, *endpoints: str) -> zmq.Socket:
        outlet: zmq.Socket = context.socket(kind)
        outlet.setsockopt(zmq.METADATA, b"X-Butterfly:" + self._instance.to_bytes(8, "little"))
        # Of several proxies libzmq takes by turns those that are connected.
        outlet.setsockopt(zmq.IMMEDIATE, len(endpoints) > 1)
        for endpoint in endpoints:
            connect(outlet, endpoint)
        outlet.setsockopt(zmq.LINGER, int(LINGER * 1000))
        return outlet

    def answer(self, job: Job, answer: Reply) -> None:
        """Sends an answer to the front that waits: a single one waits for all,
        of several the job names one. Raises Unsent."""
        to = self._front(job)
        frames = [job.info.answered(answer.status), render(answer, job.info, job.wants_head())]
        if _size(frames) > MAX_MESSAGE:
            raise Unsent("the answer is too large for a message", 500, "the answer is too large")
        if not _send(to, frames):
            raise Unsent("too many answers wait for the front already")

    def part(self, job: Job, flags: int, number: int, status: int, body: bytes) -> None:
        """Sends a part of a stream. Raises Unsent."""
        try:
            self._front(job).send_multipart([job.info.streamed(flags, number, status), body])
        except zmq.Again as e:
            raise Unsent("too many answers wait for the front already") from e

    def _front(self, job: Job) -> zmq.Socket:
        name = job.info.fields.get(FRONT_NAME, b"").decode("utf-8", "replace")
        to = next(iter(self.fronts.values())) if len(self.fronts) == 1 else self.fronts.get(name)
        if to is None:
            raise Unsent(f"the job is of front {name!r}, and no loopback has this name")
        return to

    def forward(self, job: Job, result: Forward) -> None:
        """Sends a job to another stage. Raises Unsent."""
        stage = result.stage or ""
        if len(self.next) == 1 and ("" in self.next or stage == ""):
            stage = next(iter(self.next))
        to = self.next.get(stage)
        if to is None:
            raise Unsent(f"stage {self.stage!r} has no next stage {stage!r}", 500, "internal error")
        if stage in self._several and PIECE in job.info.fields:
            why = f"parts of a scattered job have to meet, and stage {stage!r} has several proxies"
            raise Unsent(why, 500, "internal error")
        frames = [job.info.frame, *result.frames]
        if _size(frames) > MAX_MESSAGE:
            raise Unsent("the job is too large for a message", 500, "the job is too large for the next stage")
        # Of several proxies one has to be there, since nothing waits for one of them.
        if not any(_send(to, frames) for _ in range(TRIES if stage in self._several else 1)):
            raise Unsent(f"too many jobs wait for stage {stage!r} already", 503, "the next stage is busy")


def _size(frames: List[bytes]) -> int:
    return sum(map(len, frames))


def _send(to: zmq.Socket, frames: List[bytes]) -> bool:
    """Sends a message and waits, not for long, until it has left; False: it was
    not taken. libzmq tells of large frames that they left; small ones leave
    before a later beat does, since one thread of its writes both."""
    try:
        sent = [to.send(f, zmq.SNDMORE, copy=False, track=True) for f in frames[:-1]]
        sent.append(to.send(frames[-1], copy=False, track=True))
        zmq.MessageTracker(*sent).wait(HELD)  # type: ignore[arg-type]
    except zmq.Again:
        return False
    except zmq.NotDone:
        pass
    return True


class Interrupts:
    """What the fronts say of jobs that nobody waits for any more, and of the
    credit of the stream that is being sent."""

    def __init__(self, context: zmq.Context, endpoints: Iterable[str], instance: int) -> None:
        self.socket = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        self.socket.setsockopt(zmq.SUBSCRIBE, credit_prefix(instance))
        self.socket.setsockopt(zmq.RCVHWM, HEARD)
        for endpoint in endpoints:
            connect(self.socket, endpoint)
        self._heard: OrderedDict[Key, None] = OrderedDict()
        self._looked = 0.0
        self._stream: Optional[Key] = None
        #: what the parts of the stream may cost in all
        self.granted = 0

    def expect(self, stream: Key, granted: int) -> None:
        """Begins to take note of a stream's credit, of which there is some."""
        self._stream, self.granted = stream, granted

    def hear(self) -> None:
        """Takes note of all that has come."""
        self._looked = time.monotonic()
        while self.socket.poll(0):
            frame = self.socket.recv_multipart()[0]
            key = self._credit(frame) if frame.startswith(CREDIT) else interrupt_key(frame)
            if key is not None:
                self._heard[key] = None
            if len(self._heard) > HEARD:
                self._heard.popitem(last=False)

    def wait(self, seconds: float) -> bool:
        """Waits for something to come, takes note of it, and returns whether
        anything has."""
        came = bool(self.socket.poll(int(seconds * 1000) + 1))
        self.hear()
        return came

    def _credit(self, frame: bytes) -> Optional[Key]:
        """Takes note of credit; returns the key of a stream that is to stop."""
        credit = parse_credit(frame)
        if credit is None or credit[0] != self._stream:
            return None
        key, granted, stop = credit
        self.granted = max(self.granted, granted)
        return key if stop else None

    def named(self, key: Key) -> bool:
        """Whether a job was interrupted, as known some milliseconds ago."""
        if time.monotonic() - self._looked > LOOK:
            self.hear()
        return key in self._heard
