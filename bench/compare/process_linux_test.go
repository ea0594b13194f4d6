package main

import (
	"bufio"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The grandchild holds the write end of a pipe: it is gone when the pipe ends.
func TestChildrenDieWithAKilledParent(t *testing.T) {
	cmd := as("parent")
	input, hold, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _, _ = input.Close(), hold.Close() }()
	cmd.Stdin = input
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	reader := bufio.NewReader(output)
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "started\n", line)
	require.NoError(t, cmd.Process.Kill())
	_, err = io.Copy(io.Discard, reader)
	assert.NoError(t, err, "the pipe ends although the grandchild's input does not")
	_ = cmd.Wait() // it was killed
}
