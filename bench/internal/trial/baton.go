package trial

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// baton is what travels between the stages beside digest and body; the worker
// program reads it too.
type baton struct {
	Token  string `json:"token"`
	Method string `json:"method"`
	Turn   int    `json:"turn"`
	Turns  int    `json:"turns"`
	Work   int    `json:"work"` // microseconds
	Hang   int    `json:"hang"`
	Last   string `json:"last"`
	Size   int    `json:"size"`
	Parts  int    `json:"parts"`
	Fail   int    `json:"fail"`
}

func (b *baton) work() time.Duration { return time.Duration(b.Work) * time.Microsecond }
func (b *baton) hang() time.Duration { return time.Duration(b.Hang) * time.Microsecond }

// taken reads what a request asks for.
func taken(r *pipeline.Request) (*baton, error) {
	b := &baton{Method: r.Method}
	for name, to := range map[string]*string{"token": &b.Token, "last": &b.Last} {
		value, ok := r.Query(name)
		if !ok {
			return nil, pipeline.Errorf(400, "the request has no %s", name)
		}
		*to = value
	}
	for name, to := range map[string]*int{
		"turns": &b.Turns, "work": &b.Work, "hang": &b.Hang, "size": &b.Size, "parts": &b.Parts, "fail": &b.Fail,
	} {
		value, ok := r.Query(name)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, pipeline.Errorf(400, "%s is no number: %q", name, value)
		}
		*to = n
	}
	return b, nil
}

// job is what a stage behind the first is given.
type job struct {
	baton
	digest string
	body   []byte
}

func received(frames [][]byte) (*job, error) {
	if len(frames) != 3 {
		return nil, pipeline.Errorf(500, "a job of %d frames", len(frames))
	}
	j := &job{digest: string(frames[1]), body: frames[2]}
	if err := json.Unmarshal(frames[0], &j.baton); err != nil {
		return nil, pipeline.Errorf(500, "the baton: %w", err)
	}
	return j, nil
}

// frames returns what the next stage is given.
func (j *job) frames() ([][]byte, error) {
	head, err := json.Marshal(&j.baton)
	return [][]byte{head, []byte(j.digest), j.body}, err
}

// forward hands the job to the stage turn while it has turns to make, then to
// the last one.
func (j *job) forward() (pipeline.Result, error) {
	frames, err := j.frames()
	if err != nil {
		return pipeline.Result{}, err
	}
	if j.Turn < j.Turns {
		return pipeline.Forward(Turn, frames...), nil
	}
	return pipeline.Forward(j.Last, frames...), nil
}
