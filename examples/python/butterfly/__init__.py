"""Workers of a butterfly pipeline in Python: a worker is a decorated function.

    from butterfly import Job, Reply, main, reply, worker

    @worker
    def echo(job: Job) -> Reply:
        return reply(200, job.request.body)

    if __name__ == "__main__":
        main()

It gets a job and returns what became of it: reply(...) answers the client,
stream(...) does so in parts, forward(...) hands the job to another stage, and
raise Fail(...) answers with an error. Any other exception answers 500; its
traceback is in the log.

A process does one job at a time: start more of them to do more. The endpoints
come from the environment or from flags, see "Worker programs" in
docs/protocol.md. Needs Python 3.9 and pyzmq (Debian: python3-zmq), nothing else.
"""

from . import interpreter

interpreter.ensure_zmq()

from .command import main, worker
from .job import Interrupted, Job
from .result import Fail, Forward, Reply, Result, Streamed, forward, reply, stream
from .spool import Gone, Spooled
from .text import Request

__all__ = [
    "Fail",
    "Forward",
    "Gone",
    "Interrupted",
    "Job",
    "Reply",
    "Request",
    "Result",
    "Spooled",
    "Streamed",
    "forward",
    "main",
    "reply",
    "stream",
    "worker",
]
