package graph

// FrontTLS says how a front encrypts; the zero value is not at all. All files
// are PEM, read by the front's process, and read anew when they change.
type FrontTLS struct {
	// Certificate is what is shown to clients that ask for none of SNI.
	Certificate
	// SNI are further certificates, for clients that ask for a name in them.
	SNI []Certificate
	// ClientCA has the authorities of clients' certificates; "": none is asked
	// for.
	ClientCA string
	// ClientAuth says whether clients have to show one; "" is
	// ClientAuthRequire.
	ClientAuth ClientAuth
	// MinVersion is the oldest version spoken; "" is TLS12.
	MinVersion TLSVersion
}

// Certificate is the file of a certificate and that of its key.
type Certificate struct{ Cert, Key string }

// IsZero reports whether the file says nothing: the front does not encrypt.
func (t *FrontTLS) IsZero() bool { return t.Certificate == Certificate{} }

// ClientAuth says which clients a front with a ClientCA lets in.
type ClientAuth string

// What a front may say.
const (
	ClientAuthRequire  ClientAuth = "require"  // those with a good certificate
	ClientAuthOptional ClientAuth = "optional" // those without one too
)

// TLSVersion is a version of TLS.
type TLSVersion string

// What a front may say.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

func tlsKeys() []key[FrontTLS] {
	return []key[FrontTLS]{
		field("cert", file("a certificate's file"), func(t *FrontTLS) *string { return &t.Cert }, "",
			"PEM file with the certificate, and its intermediates behind it; read anew when it changes").must(),
		field("key", file("a key's file"), func(t *FrontTLS) *string { return &t.Key }, "",
			"PEM file with its key").must(),
		field("sni", list(mappingOf("certificate", certificateKeys), false), func(t *FrontTLS) *[]Certificate { return &t.SNI }, "",
			"further certificates, for clients that ask for a name in them"),
		field("client_ca", file("a file of authorities"), func(t *FrontTLS) *string { return &t.ClientCA }, "",
			"PEM file with the authorities of clients' certificates; absent: none is asked for"),
		field("client_auth", oneOf(ClientAuthRequire, ClientAuthOptional), func(t *FrontTLS) *ClientAuth { return &t.ClientAuth }, string(ClientAuthRequire),
			"whether clients have to show a certificate: require, or optional"),
		field("min_version", versions(), func(t *FrontTLS) *TLSVersion { return &t.MinVersion }, string(TLS12),
			"oldest version of TLS that is spoken: 1.2 or 1.3"),
	}
}

func certificateKeys() []key[Certificate] {
	return []key[Certificate]{
		field("cert", file("a certificate's file"), func(c *Certificate) *string { return &c.Cert }, "",
			"PEM file with the certificate, and its intermediates behind it").must(),
		field("key", file("a key's file"), func(c *Certificate) *string { return &c.Key }, "",
			"PEM file with its key").must(),
	}
}

// versions are those of TLS, which YAML takes for numbers.
func versions() kind[TLSVersion] {
	return kind[TLSVersion]{
		schema: schema{"enum": []any{string(TLS12), string(TLS13), 1.2, 1.3}}.orVariable(),
		read: func(c cursor) (TLSVersion, bool) {
			t, ok := c.scalar("1.2 or 1.3")
			return parsed(c, t, ok, func(s string) (TLSVersion, *flaw) {
				if v := TLSVersion(s); v == TLS12 || v == TLS13 {
					return v, nil
				}
				return "", flawf("older ones are broken", "%q: want 1.2 or 1.3", brief(s))
			})
		},
	}
}

// file is the name of a file.
func file(want string) kind[string] {
	return word(want, schema{"type": "string", "minLength": 1}, func(s string) (string, *flaw) {
		if s == "" {
			return "", flawf("", "the name of the file is empty")
		}
		return fileName(s)
	})
}

// checkTLS compares what a front says of encryption.
func (c *checker) checkTLS(f *Front) {
	if f.TLS.ClientAuth != "" && f.TLS.ClientCA == "" && !f.flawed {
		c.add(f.below(f.Position, ".tls.client_auth", "there is no client_ca to check certificates by", "name the file of their authorities"))
	}
}

func (m mapping) tls(t *FrontTLS) {
	if t.IsZero() {
		return
	}
	below := m.mapping("tls")
	below.text("cert", t.Cert)
	below.text("key", t.Key)
	below.mappings("sni", len(t.SNI), func(i int, m mapping) {
		m.text("cert", t.SNI[i].Cert)
		m.text("key", t.SNI[i].Key)
	})
	below.text("client_ca", t.ClientCA)
	below.text("client_auth", string(t.ClientAuth))
	below.text("min_version", string(t.MinVersion))
}

// Scheme is that of the front's URLs: http or https.
func (f *Front) Scheme() string {
	if f.TLS.IsZero() {
		return "http"
	}
	return "https"
}

// RequiresCertificate reports whether clients have to show a certificate.
func (f *Front) RequiresCertificate() bool {
	return f.TLS.ClientCA != "" && f.TLS.ClientAuth != ClientAuthOptional
}
