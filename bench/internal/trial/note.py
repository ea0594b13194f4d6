"""The stage note of the trial service: what workers.go's last does, in Python."""

import hashlib
import json
import os
import time
from typing import Any, Dict, Iterator

from butterfly import Fail, Job, main, reply, stream, worker

BOOK = os.open(os.environ["TRIAL_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def whole(token: str, digest: str, size: int) -> str:
    line = f"{token} {digest}\n"
    return line + digest * max(0, -(-(size - len(line)) // len(digest)))


def parts(baton: Dict[str, Any], digest: str) -> Iterator[str]:
    for n in range(baton["parts"]):
        yield whole(baton["token"], mark(f"{digest} {n}"), baton["size"])


@worker
def note(job: Job) -> Any:
    baton = json.loads(job.frames[0])
    os.write(BOOK, f"note 0 {baton['token']} {baton['method']} {job.attempt}\n".encode())
    end = time.monotonic() + baton["work"] / 1e6
    while time.monotonic() < end:
        time.sleep(min(0.002, max(0.0, end - time.monotonic())))
        job.check()
    digest = mark(f"{job.frames[1].decode()} note 0")
    if baton["fail"]:
        raise Fail(baton["fail"], f"as asked by {baton['token']}")
    headers = {"Content-Type": "text/plain"}
    if baton["parts"]:
        return stream(parts(baton, digest), 200, headers)
    return reply(200, whole(baton["token"], digest, baton["size"]).encode(), headers)


if __name__ == "__main__":
    main()
