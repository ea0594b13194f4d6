package graph

import (
	"bytes"
	"encoding/json"
	"maps"
)

// schema is a JSON Schema, or a part of one.
type schema map[string]any

// Schema returns the JSON Schema (draft 7) of the file, for editors. It is made
// of the tables that Load reads by, and knows the shape of a file: not whether
// names lead somewhere, nor what several files are together.
func Schema() []byte {
	document := object(documentKeys())
	maps.Copy(document, schema{
		"$schema":           "http://json-schema.org/draft-07/schema#",
		"title":             "butterfly graph",
		"description":       "A service of butterfly: fronts, routes, and stages with the edges between them.",
		"patternProperties": schema{"^x-": schema{"description": "for anchors; ignored"}},
		"not":               requires("front", "fronts"),
		"definitions": schema{
			"front":       object(frontKeys()),
			"tls":         object(tlsKeys()).with(schema{"dependencies": schema{"client_auth": requires("client_ca")}}),
			"spool":       object(spoolKeys()),
			"certificate": object(certificateKeys()),
			"cors":        object(corsKeys()),
			"compress":    object(compressKeys()),
			"endpoint":    object(endpointKeys()),
			"route":       object(routeKeys()).with(routeRules()),
			"stage":       object(stageKeys()).with(stageRules()),
			"metrics":     object(metricsKeys()),
			"limits":      object(limitsKeys()),
			"mtls":        object(mtlsKeys()).with(pairRules()),
			"names":       object(roleNamesKeys()),
			"identity":    object(holderKeys()).with(pairRules()),
			"identities":  object(stageMTLSKeys()),
		},
	})
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(document); err != nil {
		panic("graph: the schema is no JSON: " + err.Error())
	}
	return out.Bytes()
}

// routeRules says what excludes what in a route.
func routeRules() schema {
	return schema{"oneOf": []schema{requires("path"), requires("prefix")}}
}

// stageRules says what excludes what in a stage, and what needs what.
func stageRules() schema {
	external := schema{"required": []string{"external"}, "properties": schema{"external": schema{"not": schema{"const": false}}}}
	started := schema{"anyOf": []schema{requires("worker"), requires("command")}}
	return schema{
		"oneOf": []schema{requires("worker"), requires("command"), requires("compat"), external},
		"dependencies": schema{
			"count":    started,
			"env":      requires("command"),
			"max_age":  requires("command"),
			"max_hung": requires("worker", "timeout"),
		},
	}
}

func requires(keys ...string) schema { return schema{"required": keys} }

// object returns the schema of a mapping with these keys.
func object[T any](keys []key[T]) schema {
	properties := make(schema, len(keys))
	var needed []string
	for _, k := range keys {
		properties[k.name] = k.property()
		if k.needed {
			needed = append(needed, k.name)
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(needed) > 0 {
		s["required"] = needed
	}
	return s
}

func (k key[T]) property() schema {
	s := schema{"description": k.doc}
	if _, isRef := k.schema["$ref"]; isRef {
		s["allOf"] = []schema{k.schema} // beside $ref nothing counts
	} else {
		maps.Copy(s, k.schema)
	}
	if n, wrong := parseSize(k.standard); wrong == nil && digits(k.standard) {
		s["default"] = int64(n)
	} else if k.standard != "" {
		s["default"] = k.standard
	}
	return s
}

// with returns s with more rules.
func (s schema) with(rules schema) schema {
	maps.Copy(s, rules)
	return s
}

// variableSchema is a value that holds an environment variable: what it stands
// for is known to the loader alone.
func variableSchema() schema { return schema{"type": "string", "pattern": `\$`} }

// orVariable is s, or an environment variable in its place.
func (s schema) orVariable() schema { return schema{"anyOf": []schema{s, variableSchema()}} }

func ref(name string) schema { return schema{"$ref": "#/definitions/" + name} }

// named are values of a definition under names of at most so many bytes.
func named(definition string, most int) schema {
	return schema{
		"type": "object", "minProperties": 1,
		"propertyNames":        schema{"pattern": namePattern, "maxLength": most},
		"additionalProperties": ref(definition),
	}
}
