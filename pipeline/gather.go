package pipeline

import "context"

// Gather returns the handler of a join: it calls join with the parts of the job,
// as Job.Parts gives them, while ctx and job are those of the joined job. A job
// that was not scattered and joined answers its client 500, and the log says
// what the stage got instead.
//
// The handler may run concurrently, as join then has to. The parts' bytes are
// join's to read until it returns, and not to change.
func Gather(join func(ctx context.Context, job *Job, parts []Part) (Result, error)) Handler {
	return HandlerFunc(func(ctx context.Context, job *Job) (Result, error) {
		parts, err := job.Parts()
		if err != nil {
			return Result{}, err
		}
		return join(ctx, job, parts)
	})
}
