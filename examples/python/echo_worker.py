"""A worker that answers with the request's body."""

from butterfly import Job, Reply, main, reply, worker


@worker
def echo(job: Job) -> Reply:
    kind = job.request.header("Content-Type")
    return reply(200, job.request.body, {"Content-Type": kind} if kind else {})


if __name__ == "__main__":
    main()
