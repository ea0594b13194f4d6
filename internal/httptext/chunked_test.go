package httptext

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChunks(t *testing.T) {
	for text, body := range map[string]string{
		"0\r\n\r\n":               "",
		"5\r\nhello\r\n0\r\n\r\n": "hello",
		"A\r\n0123456789\r\n00b\r\n\r\n\r\n-------\r\n0\r\n\r\n":     "0123456789\r\n\r\n-------",
		"5;a\r\nhello\r\n0\r\n\r\n":                                  "hello",
		"5;a=b;c=\"d;\\\"\t\xff\"\r\nhello\r\n0;x\r\n\r\n":           "hello",
		"5 ; a\t= b ; c\r\nhello\r\n0\r\n\r\n":                       "hello",
		"5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 5\r\nC:\r\n\r\n": "hello",
		"00000000000000a\r\n0123456789\r\n000\r\n\r\n":               "0123456789",
	} {
		got, end, err := decode([]byte(text+"GET"), 1000)
		require.NoError(t, err, "%q", text)
		require.Equal(t, body, string(got), "%q", text)
		require.Equal(t, len(text), end, "%q", text)
	}
}

func TestChunksRefuse(t *testing.T) {
	var syntax *SyntaxError
	for name, text := range map[string]string{
		"nothing":                "\r\n",
		"minus":                  "-5\r\nhello\r\n",
		"plus":                   "+5\r\nhello\r\n",
		"prefix":                 "0x5\r\nhello\r\n",
		"underscore":             "1_0\r\nhello\r\n",
		"leading blank":          " 5\r\nhello\r\n",
		"trailing blank":         "5 \r\nhello\r\n",
		"trailing tab":           "5\t\r\nhello\r\n",
		"vertical tab":           "5\v\r\nhello\r\n",
		"no number":              "g\r\nhello\r\n",
		"overflow":               "ffffffffffffffff\r\nhello\r\n",
		"overflow by zeros":      "0000000000000005\r\nhello\r\n",
		"LF":                     "5\nhello\r\n",
		"CR":                     "5\rhello\r\n",
		"two CR":                 "5\r\r\nhello\r\n",
		"no extension":           "5;\r\nhello\r\n",
		"no value":               "5;a=\r\nhello\r\n",
		"blank behind extension": "5;a \r\nhello\r\n",
		"blank behind value":     "5;a=b \r\nhello\r\n",
		"bad name":               "5;a[=b\r\nhello\r\n",
		"bad value":              "5;a=b=c\r\nhello\r\n",
		"words":                  "5;a b\r\nhello\r\n",
		"behind quotes":          "5;a=\"b\"c\r\nhello\r\n",
		"NUL":                    "5;a=\x00\r\nhello\r\n",
		"NUL in quotes":          "5;a=\"\x00\"\r\nhello\r\n",
		"CR in quotes":           "5;a=\"\r\"\r\nhello\r\n",
		"LF in extension":        "5;a\nhello\r\n",
		"CR in extension":        "5;a\rb\r\nhello\r\n",
		"too much data":          "5\r\nhello!!\r\n0\r\n\r\n",
		"no end of chunk":        "5\r\nhello0\r\n\r\n",
		"LF behind data":         "5\r\nhello\n0\r\n\r\n",
		"LF behind last":         "0\r\n\n",
		"LF behind trailer":      "0\r\nA: b\n\r\n",
		"CR in trailer":          "0\r\nA: b\rc\r\n\r\n",
		"NUL in trailer":         "0\r\nA: \x00\r\n\r\n",
		"folded trailer":         "0\r\nA: b\r\n c\r\n\r\n",
		"trailer without name":   "0\r\n: b\r\n\r\n",
		"trailer without colon":  "0\r\nA\r\n\r\n",
		"blank in trailer name":  "0\r\nA : b\r\n\r\n",
		"request for a trailer":  "0\r\nGET / HTTP/1.1\r\n\r\n",
	} {
		_, _, err := decode([]byte(text), 1000)
		require.ErrorAs(t, err, &syntax, name)
	}
	_, _, err := decode([]byte("1;"+strings.Repeat("a", 100)+"\r\nx\r\n0\r\n\r\n"), 1000)
	require.ErrorIs(t, err, ErrOverhead)
	_, _, err = decode([]byte(strings.Repeat("1;a\r\nx\r\n", 51)), 1000)
	require.ErrorIs(t, err, ErrOverhead)
	_, _, err = decode([]byte("0\r\nA: "+strings.Repeat("b", 100)+"\r\n\r\n"), 1000)
	require.ErrorIs(t, err, ErrOverhead)
}
