"""A worker that answers with the request's body."""

from butterfly import Job, Result, main, reply, stream, worker


@worker
def echo(job: Job) -> Result:
    kind = job.request.header("Content-Type")
    headers = {"Content-Type": kind} if kind else {}
    if job.request.spooled is None:
        return reply(200, job.request.body, headers)
    body = job.request.open()  # a large one, in a file
    return stream(iter(lambda: body.read(1 << 16), b""), 200, headers)


if __name__ == "__main__":
    main()
