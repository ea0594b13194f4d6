package graph_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

const reference = "../../docs/graph.md"

func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(reference)
	require.NoError(t, err)
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// Every key of the file has a row in its section of the reference, with its
// default, and every row is a key.
func TestReferenceDescribesEveryKey(t *testing.T) {
	type object struct {
		Properties map[string]struct{ Default any }
	}
	var s struct {
		object
		Definitions map[string]object
	}
	require.NoError(t, json.Unmarshal(graph.Schema(), &s))
	s.Definitions["The file"] = s.object
	for name, o := range s.Definitions {
		_, section, found := strings.Cut(page(t), "\n## "+name+"\n")
		require.True(t, found, "no section %s", name)
		section, _, _ = strings.Cut(section, "\n## ")
		rows := make(map[string]string)
		for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.*)$").FindAllStringSubmatch(section, -1) {
			rows[m[1]] = m[2]
		}
		for key, p := range o.Properties {
			if !assert.Contains(t, rows, key, name) {
				continue
			}
			switch v := p.Default.(type) {
			case nil:
			case float64:
				assert.True(t, strings.HasPrefix(rows[key], fmt.Sprintf("`%d` |", int64(v))), "%s.%s: %s", name, key, rows[key])
			default:
				assert.True(t, strings.HasPrefix(rows[key], fmt.Sprintf("`%v` |", v)), "%s.%s: %s", name, key, rows[key])
			}
			delete(rows, key)
		}
		assert.Empty(t, rows, "%s describes what is not there", name)
	}
}

// The files in the reference can be loaded, and the picture is theirs.
func TestReferenceShowsTrueExamples(t *testing.T) {
	text := page(t)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```\n").FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, blocks)
	var first *graph.Graph
	for _, b := range blocks {
		g, err := graph.Parse([]graph.File{{Name: "graph.md", Data: []byte(b[1])}}, graph.Options{LookupEnv: noEnv})
		require.NoError(t, err)
		assert.Empty(t, g.Warnings)
		if first == nil {
			first = g
		}
	}
	picture := regexp.MustCompile("(?s)(<!-- drawing: first -->\n```text\n)(.*?)(```\n)")
	want := draw(t, first, graph.FormatText)
	if *rewrite {
		text = picture.ReplaceAllStringFunc(text, func(s string) string {
			m := picture.FindStringSubmatch(s)
			return m[1] + want + m[3]
		})
		require.NoError(t, os.WriteFile(reference, []byte(text), 0o644))
	}
	m := picture.FindStringSubmatch(text)
	require.NotNil(t, m)
	assert.Equal(t, want, m[2])
}
