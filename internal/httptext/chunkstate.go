package httptext

// chunkState is where a chunked body's framing stands.
//
//	chunk   = 1*HEXDIG [ ext ] CRLF data CRLF
//	ext     = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
//	last    = 1*"0" [ ext ] CRLF *( name ":" value CRLF ) CRLF
type chunkState uint8

const (
	chunkSize   chunkState = iota // its digits
	chunkSizeLF                   // CR of the size's line is read
	chunkData                     // left bytes of it
	chunkDataCR
	chunkDataLF
	trailersLF // CR of the empty line is read
	chunksDone

	chunkExtra // what follows is bounded
	extPad     // blanks, a semicolon is due
	extName    // blanks, a name is due
	inExtName
	extNameEnd // blanks, = or a semicolon is due
	extValue   // blanks, a value is due
	inExtValue
	inQuotes
	inEscape
	quotesEnd
	trailer // the start of a line
	inTrailerName
	inTrailerValue
	trailerLF
)

// step reads a byte of framing and reports whether it may stand there.
func (c *Chunks) step(b byte) bool {
	switch c.state {
	case chunkSize:
		return c.stepSize(b)
	case chunkSizeLF:
		return c.stepSizeEnd(b)
	case chunkDataCR:
		return c.expect(b, '\r', chunkDataLF)
	case chunkDataLF:
		c.digits = 0
		return c.expect(b, '\n', chunkSize)
	case trailersLF:
		return c.expect(b, '\n', chunksDone)
	case trailer, inTrailerName, inTrailerValue, trailerLF:
		return c.stepTrailer(b)
	}
	return c.stepExtension(b)
}

func (c *Chunks) expect(b, want byte, next chunkState) bool {
	c.state = next
	return b == want
}

func (c *Chunks) stepSize(b byte) bool {
	switch {
	case isHex(b):
		c.left = c.left<<4 | int64(unhex(b))
		c.digits++
		return c.digits <= maxSizeDigits
	case c.digits == 0:
		return false
	case b == '\r':
		c.state = chunkSizeLF
	case b == ';':
		c.state = extName
	case isBlank(b):
		c.state = extPad
	default:
		return false
	}
	return true
}

func (c *Chunks) stepSizeEnd(b byte) bool {
	if c.left == 0 {
		return c.expect(b, '\n', trailer)
	}
	return c.expect(b, '\n', chunkData)
}

// stepTrailer reads the lines behind the last chunk.
func (c *Chunks) stepTrailer(b byte) bool {
	switch c.state {
	case trailer:
		if b == '\r' {
			c.state = trailersLF
			return true
		}
		c.state = inTrailerName
		return token[b]
	case inTrailerName:
		if b == ':' {
			c.state = inTrailerValue
			return true
		}
		return token[b]
	case inTrailerValue:
		if b == '\r' {
			c.state = trailerLF
			return true
		}
		return isText(b)
	}
	return c.expect(b, '\n', trailer)
}

// stepExtension reads what may stand between a chunk's size and its line's end.
func (c *Chunks) stepExtension(b byte) bool {
	switch c.state {
	case inQuotes:
		return c.stepQuotes(b)
	case inEscape:
		c.state = inQuotes
		return isText(b)
	case extName, extValue:
		return isBlank(b) || c.stepWord(b)
	case inExtName, inExtValue:
		if token[b] {
			return true
		}
	}
	return c.stepBehindWord(b)
}

// stepBehindWord reads what may follow the size, a name or a value, and the
// blanks behind it.
func (c *Chunks) stepBehindWord(b byte) bool {
	named := c.state == inExtName || c.state == extNameEnd
	blank := c.state == extPad || c.state == extNameEnd
	switch {
	case b == ';':
		c.state = extName
	case b == '=' && named:
		c.state = extValue
	case isBlank(b) && named:
		c.state = extNameEnd
	case isBlank(b):
		c.state = extPad
	case b == '\r' && !blank: // no blanks at the end
		c.state = chunkSizeLF
	default:
		return false
	}
	return true
}

// stepWord begins a name or a value.
func (c *Chunks) stepWord(b byte) bool {
	if c.state == extName {
		c.state = inExtName
		return token[b]
	}
	c.state = inExtValue
	if b == '"' {
		c.state = inQuotes
		return true
	}
	return token[b]
}

func (c *Chunks) stepQuotes(b byte) bool {
	switch b {
	case '"':
		c.state = quotesEnd
	case '\\':
		c.state = inEscape
	default:
		return isText(b)
	}
	return true
}
