package graph

import (
	"slices"
	"strings"
)

// canvas is a picture of characters that grows as it is written on.
type canvas struct {
	rows [][]rune
}

// filler stands behind a character that takes two columns.
const filler rune = 0

func (c *canvas) set(row, column int, r rune) {
	for len(c.rows) <= row {
		c.rows = append(c.rows, nil)
	}
	for len(c.rows[row]) <= column {
		c.rows[row] = append(c.rows[row], ' ')
	}
	c.rows[row][column] = r
}

func (c *canvas) at(row, column int) rune {
	if row < len(c.rows) && column < len(c.rows[row]) {
		return c.rows[row][column]
	}
	return ' '
}

// write writes text from a column on and returns the column behind it.
func (c *canvas) write(row, column int, s string) int {
	for _, r := range s {
		w := runeWidth(r)
		if w == 0 {
			continue
		}
		c.set(row, column, r)
		if w == 2 {
			c.set(row, column+1, filler)
		}
		column += w
	}
	return column
}

// bytes returns the picture without blanks at the ends of its lines.
func (c *canvas) bytes() []byte {
	var out strings.Builder
	for _, row := range c.rows {
		line := string(slices.DeleteFunc(slices.Clone(row), func(r rune) bool { return r == filler }))
		out.WriteString(strings.TrimRight(line, " "))
		out.WriteByte('\n')
	}
	return []byte(out.String())
}
