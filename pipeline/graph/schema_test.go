package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

const committedSchema = "../../docs/graph.schema.json"

func TestCommittedSchemaIsUpToDate(t *testing.T) {
	golden(t, committedSchema, string(graph.Schema()))
}

// structural begins the files of testdata/bad that the schema refuses too.
const structural = "# structural:"

// The schema and the loader agree: what the loader takes the schema takes too,
// and of the mistakes it refuses exactly those marked.
func TestSchemaAgreesWithTheLoader(t *testing.T) {
	s := compileSchema(t)
	for _, folder := range []string{"good", "warn"} {
		for _, name := range mistakes(t, folder) {
			for _, file := range filesOf(t, folder, name) {
				assert.NoError(t, s.Validate(decoded(t, file)), file)
			}
		}
	}
	marked := 0
	for _, name := range mistakes(t, "bad") {
		for _, file := range filesOf(t, "bad", name) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			var v any
			if yaml.Unmarshal(data, &v) != nil || v == nil || strings.HasPrefix(name, "two-files") || strings.HasPrefix(name, "alias-") {
				continue // nothing that the schema could be asked about
			}
			err = s.Validate(asJSON(t, v))
			if bytes.HasPrefix(data, []byte(structural)) {
				marked++
				assert.Error(t, err, file)
			} else {
				assert.NoError(t, err, file)
			}
		}
	}
	assert.Greater(t, marked, 50)
}

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(graph.Schema()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("graph.json", doc))
	s, err := c.Compile("graph.json")
	require.NoError(t, err)
	return s
}

// filesOf returns the files of a case: itself, or those in its folder.
func filesOf(t *testing.T, folder, name string) []string {
	t.Helper()
	at := filepath.Join("testdata", folder, name)
	info, err := os.Stat(at)
	require.NoError(t, err)
	if !info.IsDir() {
		return []string{at}
	}
	files, err := filepath.Glob(filepath.Join(at, "*.y*ml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// decoded returns a file as a JSON value.
func decoded(t *testing.T, file string) any {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var v any
	require.NoError(t, yaml.Unmarshal(data, &v))
	return asJSON(t, v)
}

func asJSON(t testing.TB, v any) any {
	t.Helper()
	text, err := json.Marshal(withTextKeys(v))
	require.NoError(t, err)
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	return out
}

// withTextKeys makes the keys text that YAML takes for something else.
func withTextKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, value := range v {
			m[fmt.Sprint(k)] = withTextKeys(value)
		}
		return m
	case map[string]any:
		for k, value := range v {
			v[k] = withTextKeys(value)
		}
	case []any:
		for i, value := range v {
			v[i] = withTextKeys(value)
		}
	}
	return v
}
