package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

const frontInstance = 0x1122334455667788

// handled gives a pool a job of a text, from a front of an instance, and returns
// the answer.
func handled(t *testing.T, text string, instance uint64, dirs []string, h pipeline.HandlerFunc) *pipeline.Response {
	t.Helper()
	info := wire.Info{ID: 1, Time: 2, Version: 1}
	if instance != 0 {
		info.Extend()
		info.Instance = instance
	}
	back := &collect{}
	pool, err := pipeline.NewPool(pipeline.PoolConfig{
		Stage: "read", Slots: 1, Handler: h, Loopback: back, Spool: dirs,
		Slot: func(int) loopback.Slot {
			return &oneJob{&loopback.Job{Info: info, Payload: wire.Frames{[]byte(text)}}}
		},
	})
	require.NoError(t, err)
	require.NoError(t, pool.Run(context.Background()))
	require.Len(t, back.answers(), 1)
	r, ok := back.answers()[0].Payload.(*pipeline.Response)
	if !ok { // as text, for a prime_server front
		return &pipeline.Response{Status: int(back.answers()[0].Info.Code)}
	}
	return r
}

func spooledText(name string, size int) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nX-Butterfly-Body: %s\r\n\r\n", size, name)
}

// Bodies are read the same way, wherever they are, more than once, and readers
// end with the job.
func TestBody(t *testing.T) {
	dir := t.TempDir()
	name := fmt.Sprintf("%016x-%s", uint64(frontInstance), strings.Repeat("a", 32))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("hello"), 0o600))
	for text, spooled := range map[string]bool{
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello": false,
		spooledText(name, 5): true,
	} {
		var left io.ReadSeekCloser
		r := handled(t, text, frontInstance, []string{dir}, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			req, err := job.Request()
			require.NoError(t, err)
			size, is := req.Spooled()
			assert.Equal(t, spooled, is)
			if spooled {
				assert.EqualValues(t, 5, size)
				assert.Nil(t, req.Body)
				assert.Empty(t, req.Header().Get("X-Butterfly-Body"), "it is nobody's but ours")
				assert.Equal(t, text, string(req.Frames()[0]), "a later stage can read it too")
				req.Method = "PUT"
				assert.Contains(t, string(req.Frames()[0]), name)
				assert.Contains(t, string(req.Frames()[0]), "Content-Length: 5\r\n")
			}
			first, err := job.Body()
			require.NoError(t, err)
			_, err = io.ReadAll(first)
			require.NoError(t, err)
			require.NoError(t, first.Close())
			left, err = job.Body()
			require.NoError(t, err)
			_, err = left.Seek(1, io.SeekStart)
			require.NoError(t, err)
			rest, err := io.ReadAll(left)
			require.NoError(t, err)
			return pipeline.Text(200, string(rest)), nil
		})
		assert.Equal(t, "ello", string(r.Body))
		if spooled {
			_, err := left.Read(make([]byte, 1))
			assert.ErrorIs(t, err, os.ErrClosed)
		}
	}
}

// What is not there, or not the job's, or named by somebody else than its front is
// not opened.
func TestBodyThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	name := fmt.Sprintf("%016x-%s", uint64(frontInstance), strings.Repeat("a", 32))
	other := fmt.Sprintf("%016x-%s", uint64(7), strings.Repeat("a", 32))
	for _, n := range []string{name, other} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, n), []byte("hello"), 0o600))
	}
	for what, c := range map[string]struct {
		text     string
		instance uint64
		dirs     []string
		status   int
		err      error
	}{
		"it is gone":                {spooledText(strings.ReplaceAll(name, "a", "b"), 5), frontInstance, []string{dir}, 500, pipeline.ErrBodyGone},
		"another directory":         {spooledText(name, 5), frontInstance, []string{t.TempDir()}, 500, pipeline.ErrBodyGone},
		"no directory":              {spooledText(name, 5), frontInstance, nil, 500, pipeline.ErrBodyGone},
		"another size":              {spooledText(name, 6), frontInstance, []string{dir}, 500, nil},
		"another front's":           {spooledText(other, 5), frontInstance, []string{dir}, 400, nil},
		"a path":                    {spooledText("../"+name, 5), frontInstance, []string{dir}, 400, nil},
		"a prime_server front":      {spooledText(name, 5), 0, []string{dir}, 400, nil},
		"a prime_server front of 0": {spooledText(strings.Repeat("0", 16)+name[16:], 5), 0, []string{dir}, 400, nil},
	} {
		r := handled(t, c.text, c.instance, c.dirs, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			_, err := job.Body()
			if c.err != nil {
				assert.ErrorIs(t, err, c.err, what)
			}
			return pipeline.Result{}, err
		})
		assert.Equal(t, c.status, r.Status, what)
		assert.NotContains(t, string(r.Body), dir, what)
	}
	// A body with bytes is what it is, whatever a field says.
	r := handled(t, spooledText(name, 5)+"other", 0, []string{dir}, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		body, err := job.Body()
		require.NoError(t, err)
		text, err := io.ReadAll(body)
		assert.Equal(t, "other", string(text))
		return pipeline.Text(200, ""), err
	})
	assert.Equal(t, 200, r.Status)
}
