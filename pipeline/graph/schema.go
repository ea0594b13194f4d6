package graph

// schema is a JSON Schema, or a part of one.
type schema map[string]any

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
