package transport

const (
	// largeFrame is the body size from which a frame is gathered before zmq4
	// sees its header: zmq4 makes room for a body as soon as it is announced.
	largeFrame = 1 << 20
	// gatherChunk is how much room is made for bytes that have not come.
	gatherChunk = 1 << 20
)

// gathered is the part of a large frame that framedConn's buffer does not hold, in
// the order in which it came. Memory for it grows with what comes: a peer cannot
// have us take it for what it only announces. That costs a copy of each large
// frame.
type gathered struct {
	chunks [][]byte
	r      int // chunks[0][:r] has been passed on
}

func (g *gathered) empty() bool { return len(g.chunks) == 0 }

// read passes on what has been gathered, and lets go of it.
func (g *gathered) read(p []byte) int {
	n := copy(p, g.chunks[0][g.r:])
	if g.r += n; g.r == len(g.chunks[0]) {
		g.chunks[0] = nil
		g.chunks, g.r = g.chunks[1:], 0
	}
	return n
}

// gather reads the frame at the buffer's start to its end: what the buffer has no
// room for.
func (c *framedConn) gather(f frame) error {
	missing := int64(f.header) + f.body - int64(c.w-c.r)
	c.large = gathered{}
	for missing > 0 {
		c.counts = true
		if err := c.held.grow(min(missing, gatherChunk), c.waiting); err != nil {
			return err
		}
		chunk := make([]byte, min(missing, gatherChunk))
		for n := 0; n < len(chunk); {
			m, err := c.readSocket(chunk[n:])
			if n += m; err != nil && n < len(chunk) {
				return err
			}
		}
		c.large.chunks = append(c.large.chunks, chunk)
		missing -= int64(len(chunk))
	}
	return nil
}
