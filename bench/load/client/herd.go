package client

import (
	"encoding/json"
	"time"
)

// Herd is what came of all streams breaking off and coming back with what they hold.
type Herd struct {
	Event string          `json:"event"`
	ID    json.RawMessage `json:"id"`
	// ReadyMS has of each stream the time until its first response; where the server said nothing, until its
	// requests had left.
	ReadyMS  []float64 `json:"ready_ms"`
	Answered int       `json:"answered"` // streams that were told anything
	// LastAt is when the last response came, or the last request left.
	BegunAt   int64            `json:"begun_at"`
	LastAt    int64            `json:"last_at"`
	Bytes     int64            `json:"bytes"`
	Resources int64            `json:"resources"`
	Responses int64            `json:"responses"`
	ByType    map[string]int64 `json:"bytes_by_type"`
}

// Reconnect lets all streams come back, to the same target if none is given, spread over a time. It returns
// when all have sent their requests and nothing was received for as long as `quiet`.
func (f *Fleet) Reconnect(id json.RawMessage, target string, over, quiet time.Duration) Herd {
	if target != "" {
		f.options.Target = target
	}
	f.leave()
	before, begun := f.tally.Total(), f.now()
	f.open(f.options.Target, over)
	f.Settle(quiet)
	since := f.tally.Total().Less(before)
	herd := Herd{
		Event: "reconnected", ID: id, BegunAt: begun, ByType: since.Bytes,
		Bytes: Sum(since.Bytes), Resources: Sum(since.Resources), Responses: Sum(since.Responses),
	}
	f.each(func(s *stream) {
		at := s.written
		if s.first > 0 {
			at = s.first
			herd.Answered++
		}
		herd.LastAt = max(herd.LastAt, s.written, s.last)
		herd.ReadyMS = append(herd.ReadyMS, milliseconds(at-s.started))
	})
	return herd
}

// leave breaks off every connection, and puts streams in their place that hold the same.
func (f *Fleet) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.close()
	}
	f.conns = nil
	for index, s := range f.streams {
		if s.conn != nil {
			s.conn.mu.Lock()
		}
		f.streams[index] = newStream(index, s)
		f.streams[index].ready = 1 // nobody waits for its first answers in full
		if s.conn != nil {
			s.conn.mu.Unlock()
		}
	}
}

// Settle returns when nothing was received for as long as `quiet`, counted from now at the earliest; it gives
// when something was received last.
func (f *Fleet) Settle(quiet time.Duration) int64 {
	begun := time.Now()
	for {
		last := time.Unix(0, f.tally.Last())
		if last.Before(begun) {
			last = begun
		}
		wait := time.Until(last.Add(quiet))
		if wait <= 0 {
			return f.tally.Last()
		}
		time.Sleep(wait)
	}
}
