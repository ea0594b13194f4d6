package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

func TestGreet(t *testing.T) {
	stage := pipeline.HandlerFunc(greet)
	for target, want := range map[string]struct {
		status int
		body   string
	}{
		"/?name=Ada":          {200, "Hello, Ada!"},
		"/?name=Ada%20%26%2B": {200, "Hello, Ada &+!"},
		"/":                   {400, "ask like this: /?name=Ada"},
	} {
		o := pipelinetest.Get(t.Context(), stage, target)
		require.NotNil(t, o.Response, target)
		assert.Equal(t, want.status, o.Response.Status, target)
		assert.Equal(t, want.body, string(o.Response.Body), target)
	}
}

func TestAppIsComplete(t *testing.T) {
	var out, errs bytes.Buffer
	assert.Zero(t, newApp().Execute(context.Background(), []string{"worker", "--help"}, &out, &errs), errs.String())
	assert.Contains(t, out.String(), "greet")
}
