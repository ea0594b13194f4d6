"""Workers that do what tests want to see, over the module of examples/python."""

import os
import signal
import time

from butterfly import Fail, forward, main, reply, stream, worker


@worker
def odd(job):
    """Does what the request's path says."""
    return globals()["do_" + job.request.path.strip("/")](job)


def do_echo(job):
    return reply(200, job.request.body)


def do_warm(job):
    job.beat = job.request.body
    return reply(200, job.request.body)


def do_fail(job):
    raise Fail(418, "short and stout")


def do_crash(job):
    raise RuntimeError("of the body " + job.request.body.decode())


def do_nothing(job):
    return None


def do_large(job):
    return reply(200, bytes(64 << 20))


def do_astray(job):
    return forward("nowhere", b"x")


def do_empty(job):
    return reply(204)


def do_about(job):
    """Tells of the job what its worker may know."""
    facts = (job.stage, job.hops, job.attempt, round(job.deadline - time.time()), job.request_id)
    return reply(200, " ".join(map(str, facts)), {"X-Kept": "yes", "Connection": "close", "Content-Length": "0"})


def do_parts(job):
    """Answers in as many parts as it is told."""
    return stream((f"part {i}\n" for i in range(int(job.request.query["n"][0]))), 203, {"X-Kept": "yes"})


def do_piece(job):
    """Answers with one piece that makes many parts."""
    return stream([bytes(1 << 20)])


def do_stops(job):
    """Fails in the middle of its answer, or before it."""
    def words():
        if "at" in job.request.query:
            yield "some words"
        raise Fail(422, "no more words")
    return stream(words())


def do_flood(job):
    """Writes for ever, and says when it need not."""
    def flood():
        try:
            while True:
                yield bytes(10000)
        finally:
            print("closed")
    return stream(flood())


def do_wait(job):
    """Waits for a file to come into being, whoever else waits for the answer."""
    print("begun", flush=False)
    while not os.path.exists(job.request.query["for"][0]):
        time.sleep(0.01)
    return reply(200, job.request.body)


def do_die(job):
    """Takes the process with it."""
    print("begun", job.attempt, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def do_listen(job):
    """Works until nobody waits for the answer, and says so."""
    print("begun")
    while not job.interrupted:
        time.sleep(0.001)
    print("left" if job.left() else "expired")


def do_check(job):
    """As do_listen, by the exception."""
    print("begun")
    try:
        while True:
            job.check()
    finally:
        print("checked")


@worker
def count(job):
    """Forwards a number that gets smaller to its own stage again, until it is 0."""
    first = job.hops == 1
    left = int(job.request.body if first else job.frames[1])
    if left == 0:
        return reply(200, "%d hops" % job.hops)
    return forward("count", b"left:", b"%d" % (left - 1))


@worker
def relay(job):
    """Hands the job on as it is."""
    return forward(None, *job.frames)


if __name__ == "__main__":
    main()
