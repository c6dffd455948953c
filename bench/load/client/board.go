package client

import (
	"encoding/json"
	"slices"
	"sync/atomic"

	"xds-server/bench/load/wire"
)

// Board has the marks that are waited for: one of each kind at most.
type Board struct {
	marks [wire.Kinds]atomic.Pointer[Mark]
	say   func(any)
}

// Mark counts the streams that receive a response of a kind from now on, until enough did.
type Mark struct {
	id           json.RawMessage
	kind         wire.Kind
	board        *Board
	at           []int64
	seen         atomic.Int32
	acknowledged atomic.Int32
	responses    atomic.Int64
	bytes        atomic.Int64
}

type marked struct {
	Event     string          `json:"event"`
	ID        json.RawMessage `json:"id"`
	FirstAt   int64           `json:"first_at"`
	MedianAt  int64           `json:"median_at"`
	P99At     int64           `json:"p99_at"`
	LastAt    int64           `json:"last_at"`
	LastAckAt int64           `json:"last_ack_at"`
	Responses int64           `json:"responses"`
	Bytes     int64           `json:"bytes"`
}

// Mark begins to count. A mark of this kind that is still waited for is given up, and that is said.
func (b *Board) Mark(id json.RawMessage, kind wire.Kind, expect int) {
	fresh := &Mark{id: id, kind: kind, board: b, at: make([]int64, expect)}
	if old := b.marks[kind].Swap(fresh); old != nil {
		b.say(map[string]any{"event": "given up", "id": old.id, "seen": old.seen.Load()})
	}
}

// see notes a response of a stream; `counted` is the mark this stream was counted for last. It gives the mark
// that has to hear when the response was acknowledged, if there is one.
func (b *Board) see(kind wire.Kind, length int, counted **Mark, now int64) *Mark {
	mark := b.marks[kind].Load()
	if mark == nil {
		return nil
	}
	mark.bytes.Add(int64(length))
	mark.responses.Add(1)
	if *counted == mark {
		return nil
	}
	*counted = mark
	at := int(mark.seen.Add(1)) - 1
	if at >= len(mark.at) {
		return nil
	}
	mark.at[at] = now
	return mark
}

// acknowledge notes that a response that was seen is acknowledged; the last one is told.
func (m *Mark) acknowledge(now int64) {
	if int(m.acknowledged.Add(1)) < len(m.at) {
		return
	}
	if !m.board.marks[m.kind].CompareAndSwap(m, nil) {
		return
	}
	slices.Sort(m.at)
	last := len(m.at) - 1
	m.board.say(marked{
		Event: "marked", ID: m.id,
		FirstAt: m.at[0], MedianAt: m.at[last/2], P99At: m.at[last*99/100], LastAt: m.at[last],
		LastAckAt: now, Responses: m.responses.Load(), Bytes: m.bytes.Load(),
	})
}
