package client

import (
	"encoding/binary"
	"fmt"

	"xds-server/bench/load/held"
	"xds-server/bench/load/wire"
)

var nothing = &held.State{}

// stream is one client: what it holds, and what it still waits for. Its connection's lock guards it.
type stream struct {
	index int
	conn  *conn
	id    uint32

	window  int64
	unread  uint32
	partial []byte
	pending []byte

	types   [wire.Kinds]subscription
	asked   bool // whether a request was sent, so that the node is known
	started int64
	written int64 // when the last request left
	first   int64 // when the first response came
	last    int64 // when the last response came
	ready   int64 // when the first answers were there in full
}

// subscription is what a stream has of one kind.
type subscription struct {
	state    *held.State
	nonce    []byte // of the newest response; state of the world only
	begun    bool   // whether it was asked for on this stream
	answered bool   // whether there was a response on this stream
	counted  *Mark
}

func newStream(index int, before *stream) *stream {
	s := &stream{index: index}
	for kind := range s.types {
		s.types[kind].state = nothing
		if before != nil {
			s.types[kind].state = before.types[kind].state
		}
	}
	return s
}

// begin sends the first requests: those of a client that starts, or of one that comes back with what it has.
func (s *stream) begin() {
	fleet := s.conn.fleet
	for _, kind := range fleet.kinds {
		state := s.types[kind].state
		parent, follows := fleet.parent(kind)
		switch {
		case !follows && (kind != wire.LDS || !fleet.has(wire.CDS) || state.Len() > 0):
			s.ask(wire.Request{Kind: kind})
		case follows && s.types[parent].state.Children() > 0:
			s.ask(wire.Request{Kind: kind, Names: s.types[parent].state.ChildNames()})
		}
	}
}

// ask sends the first request of a kind.
func (s *stream) ask(request wire.Request) {
	current := &s.types[request.Kind]
	current.begun = true
	if s.conn.fleet.delta {
		request.Names = append(request.Names[:len(request.Names):len(request.Names)], current.state.Initial()...)
	} else {
		request.Version = current.state.Version
	}
	s.send(request)
}

func (s *stream) send(request wire.Request) {
	if !s.asked {
		request.Node = s.conn.fleet.node(s.index)
		s.asked = true
	}
	var small [512]byte
	s.conn.send(s, request.Append(small[:0], s.conn.fleet.delta))
}

// data takes a piece of the stream of messages.
func (s *stream) data(piece []byte) error {
	for len(piece) > 0 {
		if len(s.partial) == 0 && len(piece) >= prefix {
			length := prefix + int(binary.BigEndian.Uint32(piece[1:prefix]))
			if piece[0] != 0 {
				return fmt.Errorf("stream %d: a compressed message", s.index)
			}
			if len(piece) >= length {
				// The whole message is in the frame: no copy.
				if err := s.message(piece[prefix:length]); err != nil {
					return err
				}
				piece = piece[length:]
				continue
			}
		}
		taken, err := s.collect(piece)
		if err != nil {
			return err
		}
		piece = piece[taken:]
	}
	return nil
}

// collect adds to a message that comes in pieces; it gives how much of the piece belongs to it.
func (s *stream) collect(piece []byte) (int, error) {
	taken := min(len(piece), s.lacking())
	if s.partial == nil {
		s.partial = s.conn.fleet.buffer()
	}
	s.partial = append(s.partial, piece[:taken]...)
	if len(s.partial) < prefix || s.lacking() > 0 {
		return taken, nil
	}
	whole := s.partial
	s.partial = nil
	err := s.message(whole[prefix:])
	s.conn.fleet.release(whole)
	return taken, err
}

// lacking gives how many bytes the message lacks, or its prefix.
func (s *stream) lacking() int {
	if len(s.partial) < prefix {
		return prefix - len(s.partial)
	}
	return prefix + int(binary.BigEndian.Uint32(s.partial[1:prefix])) - len(s.partial)
}

// message takes one response, and acknowledges it.
func (s *stream) message(message []byte) error {
	fleet := s.conn.fleet
	response, err := wire.Scan(message, fleet.delta)
	if err != nil {
		return fmt.Errorf("stream %d: %w", s.index, err)
	}
	now := fleet.now()
	if s.first == 0 {
		s.first = now
	}
	s.last = now
	fleet.tally.add(response, len(message), now)
	if response.Kind == wire.Other {
		acknowledgement := wire.Request{Nonce: response.Nonce, Version: string(response.Version)}
		s.conn.send(s, acknowledgement.AppendFor(nil, response.TypeURL, fleet.delta))
		return nil
	}
	if err := s.apply(response, message); err != nil {
		return fmt.Errorf("stream %d: %w", s.index, err)
	}
	if s.ready == 0 && s.complete() {
		s.ready = now
		fleet.readied()
	}
	s.acknowledge(response)
	if mark := fleet.board.see(response.Kind, len(message), &s.types[response.Kind].counted, now); mark != nil {
		s.conn.taken = append(s.conn.taken, mark)
	}
	return nil
}

// apply takes over the resources, and subscribes to what follows from them.
func (s *stream) apply(response wire.Response, message []byte) error {
	fleet, current := s.conn.fleet, &s.types[response.Kind]
	current.answered = true
	if fleet.delta && response.Resources+response.Removed == 0 {
		return nil
	}
	step, err := fleet.book.Receive(current.state, response, message)
	if err != nil {
		return err
	}
	current.state = step.State
	if child, has := response.Kind.Child(); has && fleet.has(child) {
		s.follow(child, step)
	}
	return nil
}

func (s *stream) follow(child wire.Kind, step *held.Step) {
	if len(step.Subscribe)+len(step.Unsubscribe) == 0 {
		return
	}
	fleet, current := s.conn.fleet, &s.types[child]
	current.state = fleet.book.Drop(child, current.state, step)
	names := step.Names
	if !fleet.delta {
		names = step.State.ChildNames()
	}
	if !current.begun {
		s.ask(wire.Request{Kind: child, Names: names})
		return
	}
	request := wire.Request{Kind: child, Names: names}
	if !fleet.delta {
		request.Nonce, request.Version = current.nonce, current.state.Version
	}
	s.send(request)
}

func (s *stream) acknowledge(response wire.Response) {
	fleet, current := s.conn.fleet, &s.types[response.Kind]
	request := wire.Request{Kind: response.Kind, Nonce: response.Nonce}
	if !fleet.delta {
		current.nonce = append(current.nonce[:0], response.Nonce...)
		request.Version = string(response.Version)
		if parent, follows := fleet.parent(response.Kind); follows {
			request.Names = s.types[parent].state.ChildNames()
		}
	}
	s.send(request)
}
