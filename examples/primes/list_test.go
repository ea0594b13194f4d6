package primes_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

func TestList(t *testing.T) {
	list := pipeline.HandlerFunc(primes.List)
	o := pipelinetest.Get(t.Context(), list, "/primes?from=0&to=12")
	assert.Equal(t, "2\n3\n5\n7\n11\n", string(o.Response.Body))
	assert.Len(t, o.Stream.Parts, 5)
	for _, bad := range []string{"?to=x", "?from=-1", "?to=18446744073709551615"} {
		o = pipelinetest.Get(t.Context(), list, "/primes"+bad)
		assert.Equal(t, 400, o.Response.Status, bad)
	}
	seen := pipeline.Header{{Name: "Accept", Value: "text/event-stream"}, {Name: "Last-Event-ID", Value: "7"}}
	o = pipelinetest.Do(t.Context(), list, pipeline.NewRequest("GET", "/primes?to=13", seen, nil))
	assert.Equal(t, "event: prime\nid: 11\ndata: 11\n\nevent: prime\nid: 13\ndata: 13\n\n", string(o.Response.Body))
}
