package trial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

// What clients expect is what the workers make of a task on its way.
func TestWorkersMakeTheExpectedAnswer(t *testing.T) {
	for name, task := range map[string]*Task{
		"short":    {Token: "a1", Method: "GET", Last: Sum},
		"turns":    {Token: "a2", Method: "GET", Last: Note, Turns: 3, Work: time.Microsecond},
		"body":     {Token: "a3", Method: "POST", Last: Sum, Turns: 1, Body: []byte("some body")},
		"long":     {Token: "a4", Method: "GET", Last: Sum, Size: 1000},
		"in parts": {Token: "a5", Method: "GET", Last: Sum, Size: 100, Parts: 3},
	} {
		t.Run(name, func(t *testing.T) {
			journal := filepath.Join(t.TempDir(), "journal")
			assert.Equal(t, string(task.Answer()), string(walk(t, journal, task).Body))
			record, err := Read(journal)
			require.NoError(t, err)
			assert.True(t, record.Complete(task))
			assert.Zero(t, record.Repeated(task.Token))
			assert.Len(t, record.Visits[task.Token], 2+task.Turns)
		})
	}
}

// walk leads a task through all its stages.
func walk(t *testing.T, journal string, task *Task) *pipeline.Response {
	t.Helper()
	app := App(journal, "")
	at := Entry
	outcome := pipelinetest.Do(t.Context(), app.Workers[at], pipeline.NewRequest(task.Method, task.Target(), nil, task.Body))
	for range task.Visits()[1:] {
		require.Nil(t, outcome.Response, "%s answers", at)
		at = outcome.Stage
		outcome = pipelinetest.Call(t.Context(), app.Workers[at], outcome.Frames...)
	}
	require.NotNil(t, outcome.Response, "%s does not answer", at)
	return outcome.Response
}

func TestAFailingTaskNamesItself(t *testing.T) {
	r := walk(t, filepath.Join(t.TempDir(), "journal"), &Task{Token: "f1", Method: "GET", Last: Sum, Fail: 422})
	assert.Equal(t, 422, r.Status)
	assert.Contains(t, string(r.Body), "f1")
}

func TestBadTasksAreRefused(t *testing.T) {
	entry := App(filepath.Join(t.TempDir(), "journal"), "").Workers[Entry]
	for _, target := range []string{"/work", "/work?token=x", "/work?token=x&last=sum&turns=many"} {
		assert.Equal(t, 400, pipelinetest.Get(t.Context(), entry, target).Response.Status, target)
	}
}

// The journal tells once from twice, and a chain from one with a gap.
func TestJournal(t *testing.T) {
	task := &Task{Token: "t", Method: "POST", Last: Sum, Turns: 1}
	record, err := parse(strings.NewReader("entry 0 t POST 0\nsum 0 t POST 0\nsum 0 t POST 1\nnote 0 other GET 0\n"))
	require.NoError(t, err)
	assert.True(t, record.Taken("t"))
	assert.False(t, record.Taken("nobody"))
	assert.Equal(t, 1, record.Repeated("t"))
	assert.Zero(t, record.Repeated("other"))
	assert.False(t, record.Complete(task), "it never turned")
	_, err = parse(strings.NewReader("entry 0 t POST 0\nentry 0 t\n"))
	assert.ErrorContains(t, err, "line 2")
	empty, err := Read(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	assert.False(t, empty.Taken("t"))
}

func TestOnlySafeMethodsMayBeRepeated(t *testing.T) {
	for method, once := range map[string]bool{"GET": false, "HEAD": false, "OPTIONS": false, "POST": true, "PUT": true} {
		assert.Equal(t, once, (&Task{Method: method}).Once(), method)
	}
}

func TestLibraryIsFoundInsideTheRepository(t *testing.T) {
	at, err := Library(".")
	require.NoError(t, err)
	assert.DirExists(t, filepath.Join(at, "butterfly"))
	_, err = Library(os.TempDir())
	assert.ErrorIs(t, err, errNotInRepository)
}
