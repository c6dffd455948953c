package held

import (
	"hash/maphash"
	"math/bits"
	"sort"
	"sync"

	"xds-server/bench/load/wire"
)

// State is what a client holds of one kind. It does not change; the zero State holds nothing.
type State struct {
	// Version is that of the last response; in delta each resource has its own.
	Version string

	held     Table[item]
	children Table[int] // the names of the child kind, and how many resources ask for each
	absent   int        // how many names were said not to be there
	sum      uint64     // the same for states that hold the same

	encoded sync.Once
	names   []byte
	initial []byte
}

type item struct {
	version  string
	children []string
}

// Len gives how many resources are held.
func (s *State) Len() int { return s.held.Len() }

// Answered gives how many names were answered, those included that are not there.
func (s *State) Answered() int { return s.held.Len() + s.absent }

// Children gives how many names of the child kind a client with this state subscribes to.
func (s *State) Children() int { return s.children.Len() }

// ChildNames gives these names, encoded for a request.
func (s *State) ChildNames() []byte {
	s.encoded.Do(s.encode)
	return s.names
}

// Initial gives the versions of what is held, encoded for the first request of a delta stream.
func (s *State) Initial() []byte {
	s.encoded.Do(s.encode)
	return s.initial
}

func (s *State) encode() {
	var names []string
	s.children.All(func(name string, _ int) { names = append(names, name) })
	sort.Strings(names)
	s.names = wire.Names(names)
	s.held.All(func(name string, held item) {
		s.initial = wire.AppendInitial(s.initial, name, held.version)
	})
}

func (i item) sum(name string) uint64 {
	sum := maphash.String(seed, name) ^ bits.RotateLeft64(maphash.String(seed, i.version), 7)
	for _, child := range i.children {
		sum = bits.RotateLeft64(sum, 9) ^ maphash.String(seed, child)
	}
	return sum
}

// making is a State that is being made from another one.
type making struct {
	held     change[item]
	children change[int]
	touched  map[string]bool
	state    *State
}

func from(old *State) *making {
	return &making{
		held:     change[item]{table: old.held},
		children: change[int]{table: old.children},
		touched:  map[string]bool{},
		state:    &State{Version: old.Version, absent: old.absent, sum: old.sum},
	}
}

func (m *making) set(name string, fresh item) {
	m.forget(name)
	m.held.set(name, fresh)
	m.state.sum += fresh.sum(name)
	m.count(fresh.children, 1)
}

// forget takes a name out; it tells whether it was there.
func (m *making) forget(name string) bool {
	old, found := m.held.table.Get(name)
	if !found {
		return false
	}
	m.held.remove(name)
	m.state.sum -= old.sum(name)
	m.count(old.children, -1)
	return true
}

func (m *making) forgetAll() {
	var names []string
	m.held.table.All(func(name string, _ item) { names = append(names, name) })
	for _, name := range names {
		m.forget(name)
	}
}

func (m *making) miss() {
	m.state.absent++
	m.state.sum += 0x9e3779b97f4a7c15
}

func (m *making) count(children []string, by int) {
	for _, child := range children {
		m.touched[child] = true
		now, _ := m.children.table.Get(child)
		if now+by == 0 {
			m.children.remove(child)
		} else {
			m.children.set(child, now+by)
		}
	}
}

func (m *making) done(version string) *State {
	m.state.sum += maphash.String(seed, version) - maphash.String(seed, m.state.Version)
	m.state.Version = version
	m.state.held, m.state.children = m.held.table, m.children.table
	return m.state
}
