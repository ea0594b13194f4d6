package wire

// Payload is what a job or an answer carries behind its info frame. Inside one
// process a typed value travels and its frames are made only where somebody
// asks for them; from a socket the frames come as Frames.
type Payload interface {
	// Frames returns the payload as it travels. The bytes are shared: nobody
	// changes them.
	Frames() [][]byte
}

// Frames is a payload that is just its frames.
type Frames [][]byte

// Frames returns f.
func (f Frames) Frames() [][]byte { return f }

// Size returns the number of bytes in all frames.
func (f Frames) Size() int {
	n := 0
	for _, b := range f {
		n += len(b)
	}
	return n
}
