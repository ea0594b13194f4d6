package httpfront

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func prefixes(list ...string) (t TrustedProxies) {
	for _, s := range list {
		t = append(t, netip.MustParsePrefix(s))
	}
	return t
}

func values(text string) (all [][]byte) {
	for _, v := range strings.Split(text, " | ") {
		if v != "" {
			all = append(all, []byte(v))
		}
	}
	return all
}

// The peer is 10.0.0.1, and asked for h over http; | stands between fields.
func TestWhoAsksByXForwarded(t *testing.T) {
	trusted := prefixes("10.0.0.0/8", "2001:db8:1::/48")
	for _, tt := range []struct{ addresses, protos, hosts, want string }{
		{"", "", "", "10.0.0.1 http h"},
		{"192.0.2.1", "", "", "192.0.2.1 http h"},
		{"192.0.2.1:4711", "https", "example.com", "192.0.2.1 https example.com"},
		{"2001:db8::1", "HTTPS", "example.com:8443", "2001:db8::1 https example.com:8443"},
		{"[2001:db8::1]", "ftp", "a b", "2001:db8::1 http h"},
		{"[2001:db8::1]:80", "", "", "2001:db8::1 http h"},
		{"::ffff:192.0.2.1", "", "", "192.0.2.1 http h"},
		{"fe80::1%eth0", "", "", "fe80::1 http h"},
		// What a client wrote itself is before what the proxy wrote.
		{"198.51.100.9, 192.0.2.1", "", "", "192.0.2.1 http h"},
		{"10.0.0.9, 192.0.2.1", "", "", "192.0.2.1 http h"},
		{"10.0.0.9 | 192.0.2.1", "", "", "192.0.2.1 http h"},
		{"192.0.2.1 | 10.0.0.9", "", "", "192.0.2.1 http h"},
		// Behind several proxies that are trusted.
		{"198.51.100.9, 192.0.2.1, 10.0.0.3, 10.0.0.2", "", "", "192.0.2.1 http h"},
		{"198.51.100.9,192.0.2.1,2001:db8:1::5", "", "", "192.0.2.1 http h"},
		{"10.0.0.3, 10.0.0.2", "", "", "10.0.0.3 http h"},
		// What is no address ends the way.
		{"unknown", "https", "", "10.0.0.1 https h"},
		{"192.0.2.1, unknown", "", "", "10.0.0.1 http h"},
		{"192.0.2.1, _hidden, 10.0.0.2", "", "", "10.0.0.2 http h"},
		{"192.0.2.1,", "", "", "10.0.0.1 http h"},
		{"192.0.2.1, 10.0.0.2:x", "", "", "10.0.0.1 http h"},
		{"0177.0.0.1", "", "", "10.0.0.1 http h"},
		{"192.0.2.1\x01", "", "", "10.0.0.1 http h"},
		// Lists as long as that of the addresses go with it; of others the last
		// proxy's word counts.
		{"198.51.100.9, 192.0.2.1, 10.0.0.2", "http, https, http", "x, example.com, y", "192.0.2.1 https example.com"},
		{"198.51.100.9, 192.0.2.1, 10.0.0.2", "http, https", "x, example.com", "192.0.2.1 https example.com"},
		{"192.0.2.1", "http, https", "", "192.0.2.1 https h"},
		{"", "http, https", "", "10.0.0.1 https h"},
	} {
		o := origin{client: netip.MustParseAddr("10.0.0.1"), proto: "http", host: []byte("h")}
		o.fromX(trusted, values(tt.addresses), values(tt.protos), values(tt.hosts))
		assert.Equal(t, tt.want, o.client.String()+" "+o.proto+" "+string(o.host), "%+v", tt)
	}
}

func TestWhoAsksByForwarded(t *testing.T) {
	trusted := prefixes("10.0.0.0/8")
	for _, tt := range []struct{ fields, want string }{
		{"", "10.0.0.1 http h"},
		{"for=192.0.2.1", "192.0.2.1 http h"},
		{`For="192.0.2.1:4711"; Proto=https ;host="example.com:8443"; by=203.0.113.43;x=y`, "192.0.2.1 https example.com:8443"},
		{`for="[2001:db8::1]:80";proto=HTTPS`, "2001:db8::1 https h"},
		{`for="\[2001:db8::1\]"`, "2001:db8::1 http h"},
		{`for=192.0.2.1:80;proto=https`, "192.0.2.1 https h"},
		{`for=198.51.100.9;proto=https;host=evil, for=192.0.2.1;proto=http`, "192.0.2.1 http h"},
		{`for=192.0.2.1;proto=https;host=example.com, for=10.0.0.2;proto=http;host=inner`, "192.0.2.1 https example.com"},
		{`for=192.0.2.1;proto=https | for=10.0.0.2`, "192.0.2.1 https h"},
		{`for=192.0.2.1, for=unknown;proto=https`, "10.0.0.1 https h"},
		{`for=192.0.2.1, for=_hidden, for=10.0.0.2;host=inner`, "10.0.0.2 http inner"},
		{`for=192.0.2.1, proto=https`, "10.0.0.1 https h"},
		{`for="a, for=192.0.2.1`, "10.0.0.1 http h"},
		// A comma in quotes is no end of an element.
		{`for="10.0.0.9, for=198.51.100.9";x="\"", for=192.0.2.1`, "192.0.2.1 http h"},
		// Malformed fields say nothing.
		{`for=192.0.2.1;for=192.0.2.2`, "10.0.0.1 http h"},
		{`for=192.0.2.1 proto=https`, "10.0.0.1 http h"},
		{`for = 192.0.2.1`, "10.0.0.1 http h"},
		{`192.0.2.1`, "10.0.0.1 http h"},
		{`for="192.0.2.1`, "10.0.0.1 http h"},
		{`for="192.0.2.1\`, "10.0.0.1 http h"},
		{`=192.0.2.1`, "10.0.0.1 http h"},
		{`for=`, "10.0.0.1 http h"},
		{`for=192.0.2.1;host="a b\"c"`, "192.0.2.1 http h"},
	} {
		o := origin{client: netip.MustParseAddr("10.0.0.1"), proto: "http", host: []byte("h")}
		o.fromForwarded(trusted, values(tt.fields))
		assert.Equal(t, tt.want, o.client.String()+" "+o.proto+" "+string(o.host), tt.fields)
	}
}

// Whatever comes, what workers are told is one well-formed set.
func FuzzOrigin(f *testing.F) {
	f.Add("198.51.100.9, 192.0.2.1", "https", "example.com", `for="[2001:db8::1]:80";proto=https, for=_x`)
	f.Add(",,", ",", "\x00", `for="\`)
	trusted := prefixes("10.0.0.0/8", "::/0")
	f.Fuzz(func(t *testing.T, addresses, protos, hosts, forwarded string) {
		o := origin{client: netip.MustParseAddr("10.0.0.1"), proto: "http"}
		o.fromX(trusted, values(addresses), values(protos), values(hosts))
		lines := string(o.appendTo(nil, ForwardedX))
		require.Regexp(t, `^X-Forwarded-For: [0-9a-f.:]+\r\nX-Forwarded-Proto: https?\r\n(X-Forwarded-Host: [!-~]+\r\n)?$`, lines)
		o = origin{client: netip.MustParseAddr("10.0.0.1"), proto: "http"}
		o.fromForwarded(trusted, values(forwarded))
		told := string(o.appendTo(nil, ForwardedRFC7239))
		require.Regexp(t, `^Forwarded: for=([0-9.]+|"\[[0-9a-f.:]+\]");proto=https?(;host="[!-~]+")?\r\n$`, told)
		again, ok := parseForwarded(values(strings.TrimSuffix(strings.TrimPrefix(told, "Forwarded: "), "\r\n")))
		require.True(t, ok)
		require.Len(t, again, 1)
		require.Equal(t, o.proto, string(again[0].by[protoParam]))
	})
}
