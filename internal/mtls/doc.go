// Package mtls proves who is at either end of a connection: mutual TLS 1.3 with
// a certification authority of the pipeline's own.
//
// A certificate of that authority says by its DNS and URI names who its holder
// is, and a [Config] says which names may stand at the other end of each
// endpoint, whichever side connects. Host names and addresses of endpoints are
// not compared: a name means the same process wherever it runs, and one that
// may be one thing cannot pass for another. The common name counts for nothing.
//
// Certificates, key and authorities are read from files, and again once they
// have changed; each handshake uses what was read last. There are no session
// tickets, so every connection is checked anew.
package mtls
