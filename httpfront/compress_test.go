package httpfront

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestNegotiatedEncoding(t *testing.T) {
	k := newCompression(Compression{})
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "GZIP": "gzip", "x-gzip": "gzip", "deflate": "", "identity": "",
		"gzip, br, zstd": "zstd", "gzip, deflate, br": "br", "gzip;q=1, br;q=0.5": "gzip", "gzip;q=0.5, br;q=0.5": "br",
		"gzip;q=0": "", "*": "zstd", "*;q=0": "", "*;q=0.1, zstd;q=0": "br", "zstd;q=0, *": "br",
		"identity, gzip": "gzip", "identity;q=1, gzip;q=0.5": "", "identity;q=0.5, gzip;q=0.4, br;q=0.6": "br", "identity;q=0": "",
		"gzip;q=x": "", "gzip;q=2": "", "gzip;q=0.001": "gzip", "gzip | br": "br", ",, gzip ,": "gzip", "gzip;q=1.0;x=y": "gzip",
	} {
		assert.Equal(t, want, k.choose(values(accept)), accept)
	}
	assert.Equal(t, "gzip", newCompression(Compression{Encodings: []string{"gzip", "br"}}).choose(values("br, gzip, zstd")))
}

func decoded(t *testing.T, r reply) string {
	t.Helper()
	var plain []byte
	var err error
	switch e := r.Header.Get("Content-Encoding"); e {
	case "", "identity":
		return r.body
	case "gzip":
		gz, wrong := gzip.NewReader(strings.NewReader(r.body))
		require.NoError(t, wrong)
		plain, err = io.ReadAll(gz)
	case "br":
		plain, err = fasthttp.AppendUnbrotliBytes(nil, []byte(r.body))
	case "zstd":
		plain, err = fasthttp.AppendUnzstdBytes(nil, []byte(r.body))
	default:
		t.Fatal(e)
	}
	require.NoError(t, err)
	return string(plain)
}

func TestAnswersAreCompressed(t *testing.T) {
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	long := strings.Repeat("all work and no play ", 500)
	answer := func(status int, body string, fields ...string) *httptext.Response {
		r := &httptext.Response{Status: status, Body: []byte(body)}
		for i := 0; i < len(fields); i += 2 {
			r.Header.Add(fields[i], fields[i+1])
		}
		return r
	}
	const plain = "text/plain; charset=utf-8"
	answers := map[string]*httptext.Response{
		"/text":    answer(200, long, "Content-Type", plain, "ETag", `"a"`),
		"/weak":    answer(200, long, "Content-Type", "Text/HTML", "ETag", `W/"a"`, "Vary", "accept-encoding"),
		"/json":    answer(201, long, "content-type", "application/vnd.x+json"),
		"/error":   answer(404, long, "Content-Type", "application/problem+json"),
		"/short":   answer(200, "short", "Content-Type", plain),
		"/image":   answer(200, long, "Content-Type", "image/png"),
		"/untyped": answer(200, long),
		"/encoded": answer(200, long, "Content-Type", plain, "Content-Encoding", "identity"),
		"/part":    answer(206, long, "Content-Type", plain, "Content-Range", "bytes 0-1/2"),
		"/fixed":   answer(200, long, "Content-Type", plain, "Cache-Control", "public, No-Transform"),
		"/digest":  answer(200, long, "Content-Type", plain, "Content-Digest", "x"),
		"/large":   answer(200, strings.Repeat("x", mostCompressed+1), "Content-Type", plain),
		"/noise":   answer(200, string(noise), "Content-Type", plain),
	}
	r := start(t, Config{Compression: &Compression{}}, func(r *rig, j *loopback.Job) error {
		target := j.Payload.(*httptext.Request).Target
		if target == "/stream" {
			r.part(j, 0, wire.Stream|wire.StreamEnd, &httptext.Opening{Response: answers["/text"]})
			return nil
		}
		r.reply(j, answers[target])
		return nil
	})
	c := r.dial()
	ask := func(method, target, fields string) reply {
		c.send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n")
		return c.read(method)
	}
	for target, a := range answers {
		compresses := strings.Contains("/text /weak /json /error", target)
		for _, encoding := range []string{"gzip", "br", "zstd"} {
			got := ask("GET", target, "Accept-Encoding: "+encoding+"\r\n")
			require.Equal(t, string(a.Body), decoded(t, got), target)
			switch {
			case compresses:
				require.Equal(t, []string{encoding}, got.Header.Values("Content-Encoding"), target)
				require.Less(t, len(got.body), len(a.Body)/10)
				require.EqualValues(t, len(got.body), got.ContentLength)
				require.Len(t, got.Header.Values("Vary"), 1, target)
				if a.Header.Has("ETag") {
					require.Equal(t, `W/"a"`, got.Header.Get("ETag"))
				}
			default:
				require.Equal(t, a.Header.Get("Content-Encoding"), got.Header.Get("Content-Encoding"), target)
				require.Equal(t, target == "/noise", got.Header.Get("Vary") != "", target)
			}
			head := ask("HEAD", target, "Accept-Encoding: "+encoding+"\r\n")
			require.Equal(t, got.StatusCode, head.StatusCode)
			require.Equal(t, got.Header.Get("Vary"), head.Header.Get("Vary"), target)
			require.Equal(t, got.Header.Get("ETag"), head.Header.Get("ETag"), target)
			if target != "/noise" {
				require.Equal(t, got.Header.Get("Content-Encoding"), head.Header.Get("Content-Encoding"), target)
				require.Equal(t, compresses, head.ContentLength < 0, target)
			}
		}
		got := ask("GET", target, "")
		require.Equal(t, string(a.Body), got.body)
		require.Equal(t, a.Header.Get("ETag"), got.Header.Get("ETag"))
		require.Equal(t, compresses || target == "/noise", got.Header.Get("Vary") != "", target)
	}
	require.Equal(t, long, ask("GET", "/text", "Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n").body)
	stream := ask("GET", "/stream", "Accept-Encoding: gzip\r\n")
	require.Equal(t, long, stream.body)
	require.Empty(t, stream.Header.Get("Content-Encoding"))
	require.Len(t, answers["/text"].Header, 2)
}

// When all cores compress the next answer is sent as it is.
func TestCompressingIsBounded(t *testing.T) {
	k := newCompression(Compression{})
	body := bytes.Repeat([]byte("a"), 5000)
	for range cap(k.slots) {
		k.slots <- struct{}{}
	}
	require.Nil(t, k.run("gzip", body))
	<-k.slots
	require.NotNil(t, k.run("gzip", body))
	require.Len(t, k.slots, cap(k.slots)-1)
}

func TestBadCompression(t *testing.T) {
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	for _, c := range []Compression{{Encodings: []string{"deflate"}}, {MinSize: -1}, {Types: []string{"text"}}, {Types: []string{"Text/HTML"}}} {
		_, err := New(Config{Listen: "127.0.0.1:0", Table: table, Stage: stage(nil), Compression: &c})
		require.ErrorContains(t, err, "Compression")
	}
}
