package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// probeCommand asks a part from inside its own container, where there may be
// nothing else to ask with.
func (a *App) probeCommand() *cobra.Command {
	timeout := 3 * time.Second
	cmd := &cobra.Command{
		Use:   "probe URL",
		Short: "ask a front or a proxy whether it serves",
		Long: "Ask whether a part serves, for health checks in images without a shell: an\n" +
			"http:// or https:// URL has to be answered 200, a tcp:// one has to accept\n" +
			"connections. Certificates are not checked: it is the own part that is asked.\n" +
			"Exit code 0: it does; 1: it does not.",
		Example: "  " + a.Name + " probe http://127.0.0.1:8002/readyz\n  " + a.Name + " probe tcp://127.0.0.1:7201",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("want one URL: http://HOST:PORT/PATH, https://HOST:PORT/PATH or tcp://HOST:PORT")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return usagef("--timeout %v is not positive", timeout)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return probe(ctx, args[0])
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "how long the answer may take")
	return cmd
}

func probe(ctx context.Context, at string) error {
	u, err := url.Parse(at)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		return probeHTTP(ctx, at)
	case err == nil && u.Scheme == "tcp" && u.Port() != "" && u.Path == "":
		return probeTCP(ctx, u.Host)
	}
	return usagef("%q: want http://HOST:PORT/PATH, https://HOST:PORT/PATH or tcp://HOST:PORT", at)
}

// probeHTTP goes where it is told: no proxy of the environment, no redirect.
func probeHTTP(ctx context.Context, at string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return usageError{err}
	}
	answer, err := (&http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}).RoundTrip(request)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	const most = 1 << 10
	reasons, _ := io.ReadAll(io.LimitReader(answer.Body, most))
	return fmt.Errorf("probe: %s answers %s: %s", at, answer.Status, strings.Join(strings.Fields(string(reasons)), " "))
}

func probeTCP(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return conn.Close()
}
