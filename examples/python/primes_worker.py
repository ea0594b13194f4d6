"""The demo's two stages in Python: is a number prime?

Workers of the same stages in Go (prime-serverd worker primes.parse) may stand
beside these, or take the place of either.
"""

import struct
from typing import Optional

from butterfly import Fail, Forward, Job, Reply, Request, forward, main, reply, worker

BAD_GET = "GET requests should look like: 'is_prime?possible_prime=SOME_NUMBER'"
BAD_POST = "POST requests should have a path of 'is_prime' and a body with 'SOME_NUMBER'"
BAD_METHOD = "Only GET and POST requests supported"
COMPOSITE = 2**64 - 1


@worker("primes.parse")
def parse(job: Job) -> Forward:
    """The first stage reads the number and forwards it as eight bytes."""
    return forward("compute", struct.pack("<Q", number(job.request)))


def number(request: Request) -> int:
    """Returns the number that a request asks for."""
    text: Optional[str] = None
    problem = BAD_METHOD
    if request.method == "GET":
        problem = BAD_GET
        values = request.query.get("possible_prime", [])
        text = values[0] if request.path == "/is_prime" and len(values) == 1 else None
    elif request.method == "POST":
        problem, text = BAD_POST, request.body.decode("latin-1")
    if text is None or not (text.isascii() and text.isdigit()) or int(text) > COMPOSITE:
        raise Fail(400, problem)
    return int(text)


@worker("primes.compute")
def compute(job: Job) -> Reply:
    """The second stage answers a prime by itself, any other number by COMPOSITE."""
    (n,) = struct.unpack("<Q", job.frames[0])
    return reply(200, str(n if is_prime(n, job) else COMPOSITE))


def is_prime(n: int, job: Job) -> bool:
    """Divides by 2, 3, 4, …: the load, not the point. Every few milliseconds it
    looks whether anybody still waits for the answer."""
    divisor, high = 2, n
    while divisor < high:
        quotient, rest = divmod(n, divisor)
        if rest == 0:
            return False
        high = quotient
        divisor += 1
        if divisor % 16384 == 0:
            job.check()
    return True


if __name__ == "__main__":
    main()
