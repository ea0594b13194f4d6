//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a process still has to do, by its metrics: all are zero when nothing is
// asked of the service.
var (
	ofAll     = []string{"butterfly_transport_queued_messages"}
	ofFronts  = []string{"butterfly_front_pending", "butterfly_front_pending_bytes", "butterfly_front_receiving_bytes"}
	ofProxies = []string{"butterfly_stage_queued", "butterfly_stage_slots_busy", "butterfly_stage_slots_stuck"}
)

// holding returns the metrics of what the process of a role still has to do.
func holding(role string) []string {
	switch {
	case role == everything: // between its parts nothing is sent
		return slices.Concat(ofFronts, ofProxies)
	case role == "front":
		return slices.Concat(ofAll, ofFronts)
	case strings.HasPrefix(role, "proxy:"):
		return slices.Concat(ofAll, ofProxies)
	}
	return ofAll
}

// left returns what the processes still hold when nobody asks for anything, by
// process and metric. They have two seconds to finish what is on its way.
func (d *deployment) left(ctx context.Context) (map[string]float64, error) {
	for until := time.Now().Add(2 * time.Second); ; {
		found := make(map[string]float64)
		for i, address := range d.metrics {
			if err := scrape(ctx, address, d.parts[i].Name, found); err != nil {
				return nil, fmt.Errorf("metrics of %s: %w", d.parts[i].Name, err)
			}
		}
		if len(found) == 0 || time.Now().After(until) {
			return found, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// outside asks once and keeps no connection.
var outside = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// scrape adds to found what the process at address holds.
func scrape(ctx context.Context, address, name string, found map[string]float64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := outside.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	wanted := holding(name)
	seen := make(map[string]bool)
	for lines := bufio.NewScanner(io.LimitReader(resp.Body, 16<<20)); lines.Scan(); {
		series, text, _ := strings.Cut(lines.Text(), " ")
		metric, _, _ := strings.Cut(series, "{")
		for _, want := range wanted {
			if metric != want {
				continue
			}
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return fmt.Errorf("%s: %w", series, err)
			}
			seen[want] = true
			if value != 0 {
				found[name+" "+series] = value
			}
		}
	}
	for _, want := range wanted {
		if !seen[want] {
			return fmt.Errorf("there is no %s", want)
		}
	}
	return nil
}
