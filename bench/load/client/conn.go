// Package client is many xDS clients in one process: HTTP/2 connections, one goroutine each, with as many
// streams as are wanted, each of which behaves like an Envoy.
package client

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What Envoy announces (its Http2ProtocolOptions), and how much is read at once.
const (
	streamWindow     = 16 << 20
	connectionWindow = 24 << 20
	readBuffer       = 16 << 10
	firstWindow      = 65535 // RFC 9113, 6.9.2
	prefix           = 5     // of a gRPC message: compressed or not, and its length
)

// conn is one connection. A single goroutine reads it; whoever writes holds the lock.
type conn struct {
	fleet *Fleet
	raw   *socket

	mu      sync.Mutex
	framer  *http2.Framer
	out     bytes.Buffer
	streams map[uint32]*stream
	next    uint32
	window  int64
	initial int64
	frame   int
	unread  uint32
	blocked []*stream
	taken   []*Mark // marks whose responses are acknowledged by what is in `out`
	closed  bool
	headers []byte
}

// connect opens a connection.
func connect(fleet *Fleet, target string) (*conn, error) {
	raw, err := dial(target)
	if err != nil {
		return nil, err
	}
	c := &conn{
		fleet: fleet, raw: raw, streams: map[uint32]*stream{}, next: 1,
		window: firstWindow, initial: firstWindow, frame: 16384, headers: headers(target, fleet.method),
	}
	c.framer = http2.NewFramer(&c.out, bufio.NewReaderSize(flushing{c}, readBuffer))
	c.framer.SetReuseFrames()
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.out.WriteString(http2.ClientPreface)
	_ = c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
	)
	_ = c.framer.WriteWindowUpdate(0, connectionWindow-firstWindow)
	return c, nil
}

// flushing reads from the connection after everything written has left, so that the answers to all that was
// read at once leave at once.
type flushing struct{ c *conn }

func (f flushing) Read(into []byte) (int, error) {
	f.c.mu.Lock()
	err := f.c.flush()
	f.c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return f.c.raw.Read(into)
}

// run reads until the connection ends.
func (c *conn) run() {
	for {
		frame, err := c.framer.ReadFrame()
		if err == nil {
			c.mu.Lock()
			err = c.take(frame)
			c.mu.Unlock()
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

func (c *conn) take(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.DataFrame:
		return c.data(frame)
	case *http2.WindowUpdateFrame:
		c.widen(frame.StreamID, int64(frame.Increment))
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			c.settings(frame)
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return c.framer.WritePing(true, frame.Data)
		}
	case *http2.MetaHeadersFrame:
		if frame.StreamEnded() {
			c.lose(frame.StreamID, fmt.Sprintf("grpc-status %s: %s",
				value(frame, "grpc-status"), value(frame, "grpc-message")))
		}
	case *http2.RSTStreamFrame:
		c.lose(frame.StreamID, "reset: "+frame.ErrCode.String())
	case *http2.GoAwayFrame:
		c.fleet.say(map[string]any{"event": "goaway", "code": frame.ErrCode.String(), "why": string(frame.DebugData())})
	}
	return nil
}

func value(frame *http2.MetaHeadersFrame, name string) string {
	for _, field := range frame.Fields {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

func (c *conn) data(frame *http2.DataFrame) error {
	length := frame.Header().Length
	if c.unread += length; c.unread > connectionWindow/2 {
		_ = c.framer.WriteWindowUpdate(0, c.unread)
		c.unread = 0
	}
	s := c.streams[frame.StreamID]
	if s == nil {
		return nil
	}
	if s.unread += length; s.unread > streamWindow/2 {
		_ = c.framer.WriteWindowUpdate(s.id, s.unread)
		s.unread = 0
	}
	return s.data(frame.Data())
}

func (c *conn) settings(frame *http2.SettingsFrame) {
	_ = frame.ForeachSetting(func(setting http2.Setting) error {
		switch setting.ID {
		case http2.SettingInitialWindowSize:
			for _, s := range c.streams {
				s.window += int64(setting.Val) - c.initial
			}
			c.initial = int64(setting.Val)
		case http2.SettingMaxFrameSize:
			c.frame = int(setting.Val)
		}
		return nil
	})
	_ = c.framer.WriteSettingsAck()
	c.unblock()
}

// open begins a stream with its first requests.
func (c *conn) open(s *stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	s.conn, s.id, s.window = c, c.next, c.initial
	c.next += 2
	c.streams[s.id] = s
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: c.headers, EndHeaders: true})
	s.begin()
	return c.flush()
}

// close breaks the connection off; its streams end in silence.
func (c *conn) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	_ = c.raw.Close()
}

func (c *conn) lose(id uint32, why string) {
	if _, known := c.streams[id]; known {
		delete(c.streams, id)
		c.fleet.lost(1, why)
	}
}

func (c *conn) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		_ = c.raw.Close()
		c.fleet.lost(len(c.streams), why.Error())
	}
	c.streams = nil
}
