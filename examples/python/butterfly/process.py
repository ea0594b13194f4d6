"""A worker process: it takes a job, does it, sends the outcome, says that it is
idle, and so on until it is told to stop."""

from __future__ import annotations

import logging
import signal
import socket
import traceback
from typing import Callable, Dict, List, Optional

import zmq

from .claims import Claims
from .job import Interrupted, Job
from .parts import Parts
from .result import Fail, Forward, Reply, Result, Streamed, reply
from .links import Links
from .sockets import Endpoints, Interrupts, Outlets, Unsent
from .wire import Info

Handler = Callable[[Job], Result]


class Process:
    """One thread owns it, with its sockets. Run may be called once."""

    def __init__(self, handler: Handler, at: Endpoints) -> None:
        """Raises ValueError for an endpoint that cannot be one."""
        self.handler, self.stage, self.spool = handler, at.stage, at.spool
        self.stopping = False
        # One I/O thread, so that what is sent first leaves first.
        self.context = zmq.Context(1)
        self.link = Links(self.context, at.upstream)
        self.outlets = Outlets(self.context, at, self.link.instance)
        self.interrupts = Interrupts(self.context, at.interrupts, self.link.instance)
        self.claims = Claims(at, self.link.instance)
        self.parts: Optional[Parts] = None  # of the answer that is being sent
        self.woken, self.waker = socket.socketpair()

    def listen(self) -> None:
        """Lets SIGTERM and SIGINT stop the process, and wake it for that."""
        self.woken.setblocking(False)
        self.waker.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def run(self) -> None:
        """Works until a signal says to stop and what was taken is done."""
        poller = zmq.Poller()
        for source in (*self.link.sources(), self.interrupts.socket, self.woken):
            poller.register(source, zmq.POLLIN)
        self.claims.start()
        try:
            while not (self.stopping and self.link.left()):
                self._turn(dict(poller.poll(100 if self.stopping else None)))
        finally:
            self.claims.stop()
            self.context.destroy()  # once all outcomes have left, or LINGER is over

    def _stop(self, number: int, _: object) -> None:
        self.stopping = True
        if number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)  # the second Ctrl-C kills

    def _turn(self, events: Dict[object, int]) -> None:
        """Does what has come."""
        if self.woken.fileno() in events:
            self.woken.recv(4096)
        if self.interrupts.socket in events:
            self.interrupts.hear()
        self.link.look()
        message = self.link.receive()
        if message is not None:
            self._take(message)
            self.link.look()
        if not self.link.waiting():  # a job that waits already is the next
            self.link.tell(self.stopping)

    def _take(self, message: List[bytes]) -> None:
        """Does a job, whatever comes of it."""
        try:
            info = Info.parse(message[0])
        except ValueError as e:
            logging.error("job refused", extra={"err": e})
            self.link.finish(self.link.done, self.link.beat)
            return
        job = Job(message[1:], info, self.stage, self.spool)
        job.beat, job.left = self.link.beat, lambda: self.interrupts.named(info.key)
        self.claims.job = info
        self.interrupts.hear()
        if not job.left():
            with job.body:
                self._do(job)
        self.claims.job = None
        self.link.finish(info.key, job.beat)

    def _do(self, job: Job) -> None:
        self.parts = None
        result = self._handle(job)
        self.interrupts.hear()
        if result is None or job.left():
            return  # nobody waits for an outcome
        try:
            self._send(job, result)
        except Unsent as e:
            logging.error("outcome not sent", extra={"request_id": job.request_id, "err": e})
            if e.status:
                self._apologise(job, e)

    def _send(self, job: Job, result: Result) -> None:
        if self.parts and self.parts.begun:
            self.parts.end(result.status if isinstance(result, Reply) else 500)
        elif isinstance(result, Forward):
            self.outlets.forward(job, result)
        elif isinstance(result, Reply):
            self.outlets.answer(job, result)

    def _apologise(self, job: Job, why: Unsent) -> None:
        """Answers in place of an outcome that cannot be sent."""
        try:
            self.outlets.answer(job, error(job, why.status, why.text))
        except Unsent as e:
            logging.error("answer lost", extra={"request_id": job.request_id, "err": e})

    def _handle(self, job: Job) -> Optional[Result]:
        """Calls the worker's function; None: nobody waits for a result."""
        try:
            return self._call(job)
        except Fail as e:
            return reply(e.status, e.text)
        except Interrupted as e:
            if job.left():
                return None
            if job.expired:
                return error(job, 504, "the request took too long")
            return failed(job, e)
        except Exception as e:
            return failed(job, e)

    def _call(self, job: Job) -> Result:
        if not job.frames:
            raise Fail(400, "a job has at least one frame behind its info")
        result: object = self.handler(job)
        if result is None:
            job.check()  # who sees that nobody waits need not return anything
        if isinstance(result, Streamed):
            self.parts = Parts(job, result, self.outlets, self.interrupts, lambda: self.link.begun(job.info.key))
            return self.parts.run()
        if not isinstance(result, (Reply, Forward)):
            raise TypeError(f"the worker returned {result!r}, want reply(...), stream(...) or forward(...)")
        return result


def failed(job: Job, e: Exception) -> Reply:
    """Logs an exception with its traceback, and answers that there was one."""
    what = traceback.format_exception_only(type(e), e)[-1].strip()
    logging.error("job failed", exc_info=e, extra={"request_id": job.request_id, "err": what})
    return error(job, 500, "internal error")


def error(job: Job, status: int, text: str) -> Reply:
    """Returns an answer by which the request can be found in the log."""
    return reply(status, f"{text} (request {job.request_id})")
