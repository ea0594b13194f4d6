package trial

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// Plant is a mistake that workers make on purpose, so that it can be seen that
// it is found; "" is none.
type Plant string

// The mistakes.
const (
	Leak  Plant = "leak"  // the stage Entry leaves a goroutine behind with each job
	Twice Plant = "twice" // the stage Sum does one job in ten twice
)

// App returns the program that the service's parts are. Workers write what they
// do to the journal at that path; the file is opened by the first job.
func App(journal string, plant Plant) *daemon.App {
	w := &workers{book: &Journal{Path: journal}, plant: plant}
	return &daemon.App{
		Name:  "trial",
		Short: "A service whose answers can be checked.",
		Workers: map[string]pipeline.Handler{
			Entry: pipeline.HandlerFunc(w.entry),
			Turn:  pipeline.HandlerFunc(w.turn),
			Sum:   pipeline.HandlerFunc(w.last),
			Note:  pipeline.HandlerFunc(w.last), // where there is no Python
		},
	}
}

type workers struct {
	book  *Journal
	plant Plant
	jobs  atomic.Int64 // of the stage Sum
}

// do notes a visit, takes as long as it is to take, and marks it.
func (w *workers) do(ctx context.Context, j *job, v Visit, attempt int) error {
	if err := w.book.Note(v, j.Token, j.Method, attempt); err != nil {
		return err
	}
	if v.Stage == Turn && v.Turn == 0 && attempt == 0 {
		time.Sleep(j.hang()) // it looks at nothing meanwhile
	}
	if j.Work > 0 {
		timer := time.NewTimer(j.work())
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	j.digest = next(j.digest, v)
	return ctx.Err()
}

func (w *workers) entry(ctx context.Context, pj *pipeline.Job) (pipeline.Result, error) {
	r, err := pj.Request()
	if err != nil {
		return pipeline.Result{}, err
	}
	b, err := taken(r)
	if err != nil {
		return pipeline.Result{}, err
	}
	if w.plant == Leak {
		go func() { select {} }()
	}
	j := &job{baton: *b, digest: first(b.Token, r.Body), body: r.Body}
	if err := w.do(ctx, j, Visit{Entry, 0}, pj.Attempt()); err != nil {
		return pipeline.Result{}, err
	}
	return j.forward()
}

func (w *workers) turn(ctx context.Context, pj *pipeline.Job) (pipeline.Result, error) {
	j, err := received(pj.Frames())
	if err != nil {
		return pipeline.Result{}, err
	}
	if err := w.do(ctx, j, Visit{Turn, j.Turn}, pj.Attempt()); err != nil {
		return pipeline.Result{}, err
	}
	j.Turn++
	return j.forward()
}

// last answers; it is what note.py does.
func (w *workers) last(ctx context.Context, pj *pipeline.Job) (pipeline.Result, error) {
	j, err := received(pj.Frames())
	if err != nil {
		return pipeline.Result{}, err
	}
	if err := w.do(ctx, j, Visit{j.Last, 0}, pj.Attempt()); err != nil {
		return pipeline.Result{}, err
	}
	if w.plant == Twice && w.jobs.Add(1)%10 == 0 {
		if err := w.book.Note(Visit{j.Last, 0}, j.Token, j.Method, pj.Attempt()); err != nil {
			return pipeline.Result{}, err
		}
	}
	switch {
	case j.Fail > 0:
		return pipeline.Result{}, pipeline.Errorf(j.Fail, "as asked by %s", j.Token)
	case j.Parts == 0:
		return answer(whole(j.Token, j.digest, j.Size)), nil
	}
	token, digest, size, parts := j.Token, j.digest, j.Size, j.Parts
	return pipeline.Stream(head(nil), func(_ context.Context, to *pipeline.StreamWriter) error {
		for n := range parts {
			if _, err := to.Write(part(token, digest, n, size)); err != nil {
				return fmt.Errorf("part %d: %w", n, err)
			}
		}
		return nil
	}), nil
}

func answer(body []byte) pipeline.Result { return pipeline.Reply(head(body)) }

func head(body []byte) *pipeline.Response {
	return &pipeline.Response{
		Status: 200,
		Header: pipeline.Header{{Name: "Content-Type", Value: "text/plain"}},
		Body:   body,
	}
}
