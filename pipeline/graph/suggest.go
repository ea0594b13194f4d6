package graph

import (
	"fmt"
	"strings"
)

// maxGuesses bounds how often it is guessed what was meant: it takes time, and
// nobody reads so many guesses.
const maxGuesses = 100

// didYouMean returns a hint with the word that is closest to s, or with all
// words where none is close and they are few.
func didYouMean(s string, words []string) string {
	if near, ok := closest(s, words); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(words) == 0 || len(words) > 24 {
		return ""
	}
	return "there are: " + strings.Join(words, ", ")
}

// closest returns the word with the smallest distance from s, if it is small
// enough to be meant: a third of its length. Capitals do not count.
func closest(s string, words []string) (string, bool) {
	const longest, most = 64, 200 // a bound on the time
	best, distance := "", len(s)
	words = words[:min(len(words), most)]
	for _, w := range words {
		if len(s) > longest || len(w) > longest {
			continue
		}
		length := max(len(s), len(w))
		d := editDistance(strings.ToLower(s), strings.ToLower(w))
		if d <= max(1, length/3) && d < length && (best == "" || d < distance) {
			best, distance = w, d
		}
	}
	return best, best != ""
}

// editDistance counts the bytes to insert, delete, replace or swap with their
// neighbour that make b of a.
func editDistance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			now[j] = min(last[j]+1, now[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
