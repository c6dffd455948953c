package client

import (
	"bytes"
	"time"

	"golang.org/x/net/http2/hpack"
)

// headers encodes the head of a request without any state, so that it is the same for every stream.
func headers(target, method string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", target},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"user-agent", "xds-server-bench-load"},
	} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1], Sensitive: true})
	}
	return block.Bytes()
}

// flush writes what is in `out`, and notes what that acknowledges.
func (c *conn) flush() error {
	if c.out.Len() == 0 {
		return nil
	}
	_, err := c.raw.Write(c.out.Bytes())
	c.out.Reset()
	if c.out.Cap() > 1<<20 {
		c.out = bytes.Buffer{}
	}
	if len(c.taken) > 0 {
		now := time.Now().UnixNano()
		for i, mark := range c.taken {
			mark.acknowledge(now)
			c.taken[i] = nil
		}
		c.taken = c.taken[:0]
	}
	return err
}

// widen takes a WINDOW_UPDATE: of a stream, or of the connection (0).
func (c *conn) widen(id uint32, by int64) {
	if id == 0 {
		c.window += by
	} else if s := c.streams[id]; s != nil {
		s.window += by
	}
	c.unblock()
}

func (c *conn) unblock() {
	waiting := c.blocked
	c.blocked = nil
	for _, s := range waiting {
		if c.streams[s.id] == s {
			c.push(s)
		}
	}
}

// send queues a gRPC message of a stream, and writes as much as the windows allow.
func (c *conn) send(s *stream, message []byte) {
	length := len(message)
	head := [prefix]byte{0, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}
	waits := len(s.pending) > 0
	s.pending = append(append(s.pending, head[:]...), message...)
	if !waits {
		c.push(s)
	}
}

// push writes of what a stream has to say as much as the windows allow.
func (c *conn) push(s *stream) {
	rest := s.pending
	for len(rest) > 0 {
		size := int(min(int64(len(rest)), int64(c.frame), c.window, s.window))
		if size <= 0 {
			c.blocked = append(c.blocked, s)
			s.pending = append([]byte(nil), rest...)
			return
		}
		_ = c.framer.WriteData(s.id, false, rest[:size])
		rest = rest[size:]
		c.window -= int64(size)
		s.window -= int64(size)
	}
	// What an ACK needs is kept; more is not, as most streams are silent for most of the time.
	if s.pending = s.pending[:0]; cap(s.pending) > 256 {
		s.pending = nil
	}
	s.written = c.fleet.now()
}
