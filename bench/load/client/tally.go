package client

import (
	"sync"
	"sync/atomic"

	"xds-server/bench/load/wire"
)

// Tally counts what all streams receive.
type Tally struct {
	counts [wire.Kinds]counts
	last   atomic.Int64

	mu   sync.Mutex
	told Counted
}

type counts struct {
	responses, resources, removed, bytes atomic.Int64
	_                                    [32]byte // a cache line of its own
}

// Counted is how much of each kind was received, by short name.
type Counted struct {
	Responses map[string]int64 `json:"responses"`
	Resources map[string]int64 `json:"resources"`
	Removed   map[string]int64 `json:"removed"`
	Bytes     map[string]int64 `json:"bytes"`
}

func (t *Tally) add(response wire.Response, length int, now int64) {
	t.last.Store(now)
	if response.Kind == wire.Other {
		return
	}
	of := &t.counts[response.Kind]
	of.responses.Add(1)
	of.resources.Add(int64(response.Resources))
	of.removed.Add(int64(response.Removed))
	of.bytes.Add(int64(length))
}

// Last gives when anything was received last, in Unix nanoseconds.
func (t *Tally) Last() int64 { return t.last.Load() }

// Total gives what was received in all.
func (t *Tally) Total() Counted {
	total := Counted{map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}}
	for kind := range wire.Kinds {
		of, name := &t.counts[kind], kind.String()
		total.Responses[name] = of.responses.Load()
		total.Resources[name] = of.resources.Load()
		total.Removed[name] = of.removed.Load()
		total.Bytes[name] = of.bytes.Load()
	}
	return total
}

// SinceLast gives what was received since it was asked the last time.
func (t *Tally) SinceLast() Counted {
	t.mu.Lock()
	defer t.mu.Unlock()
	total := t.Total()
	since := total.Less(t.told)
	t.told = total
	return since
}

// Less gives what was received after `before`.
func (c Counted) Less(before Counted) Counted {
	less := func(now, then map[string]int64) map[string]int64 {
		left := map[string]int64{}
		for name, count := range now {
			left[name] = count - then[name]
		}
		return left
	}
	return Counted{
		less(c.Responses, before.Responses), less(c.Resources, before.Resources),
		less(c.Removed, before.Removed), less(c.Bytes, before.Bytes),
	}
}

// Sum adds up the counts of all kinds.
func Sum(counts map[string]int64) int64 {
	sum := int64(0)
	for _, count := range counts {
		sum += count
	}
	return sum
}
