package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// ask sends a work's request once and checks that it is answered with 200 and,
// if asked to, with the right body. It returns the answer's header lines,
// sorted, without those that differ from one answer to the next.
func ask(ctx context.Context, base string, w work, check bool) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, w.method, base+w.path, strings.NewReader(w.body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", contentType)
	request.Close = true // leaves no idle connection behind
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", w.method, w.path, err)
	}
	if response.StatusCode != http.StatusOK || check && string(body) != w.answer {
		return nil, fmt.Errorf("%s %s was answered %s: %q", w.method, w.path, response.Status, body)
	}
	return lines(response.Header), nil
}

// contentType is what the load says of its bodies.
const contentType = "text/plain"

func lines(header http.Header) (all []string) {
	for name, values := range header {
		if name != "Date" && name != "Connection" {
			all = append(all, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(all)
	return all
}

// unlike says how the header lines of an answer differ from the bare one's: an
// answer with more to it costs more, whoever gives it. It is "" if they do not.
func unlike(bare, other []string) string {
	var differences []string
	for _, line := range bare {
		if !slices.Contains(other, line) {
			differences = append(differences, "lacks "+line)
		}
	}
	for _, line := range other {
		if !slices.Contains(bare, line) {
			differences = append(differences, "adds "+line)
		}
	}
	return strings.Join(differences, "; ")
}
