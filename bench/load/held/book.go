package held

import (
	"sort"
	"sync"

	"xds-server/bench/load/wire"
)

// remembered is how many steps are kept at least; twice as many at most.
const remembered = 4096

// Book tells from what a client holds and what it receives what it holds then. It remembers the answers.
type Book struct {
	delta bool

	mu    sync.Mutex
	steps map[key]*Step
	older map[key]*Step
}

type key struct {
	kind   wire.Kind
	from   uint64
	digest uint64
}

// Step is what a response does to a client: what it holds then, and the names of the child kind that it
// subscribes to and unsubscribes from.
type Step struct {
	State       *State
	Subscribe   []string
	Unsubscribe []string
	// Names are both encoded for a delta request.
	Names []byte
}

// NewBook gives an empty book for one variant.
func NewBook(delta bool) *Book {
	return &Book{delta: delta, steps: map[key]*Step{}}
}

// Receive gives what a response does to a client that holds `old` of its kind.
func (b *Book) Receive(old *State, response wire.Response, message []byte) (*Step, error) {
	return b.recall(key{response.Kind, old.sum, response.Digest}, func() (*Step, error) {
		resources, removed, err := wire.Open(message, response.Kind, b.delta)
		if err != nil {
			return nil, err
		}
		made := from(old)
		if full := response.Kind == wire.CDS || response.Kind == wire.LDS; full && !b.delta {
			made.forgetAll()
		}
		for _, one := range resources {
			made.set(one.Name, item{one.Version, one.Children})
		}
		for _, name := range removed {
			if !made.forget(name) {
				made.miss()
			}
		}
		return made.step(old, string(response.Version)), nil
	})
}

// Drop gives what a client holds of the child kind once the step of its parents has been taken.
func (b *Book) Drop(kind wire.Kind, old *State, step *Step) *State {
	if len(step.Unsubscribe) == 0 {
		return old
	}
	dropped, _ := b.recall(key{kind, old.sum, ^step.State.sum}, func() (*Step, error) {
		made := from(old)
		for _, name := range step.Unsubscribe {
			made.forget(name)
		}
		return made.step(old, old.Version), nil
	})
	return dropped.State
}

// recall gives what is remembered, or else makes and remembers it, one at a time.
func (b *Book) recall(at key, make func() (*Step, error)) (*Step, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if step, found := b.steps[at]; found {
		return step, nil
	}
	step, found := b.older[at]
	if !found {
		var err error
		if step, err = make(); err != nil {
			return nil, err
		}
	}
	if len(b.steps) >= remembered {
		b.older, b.steps = b.steps, map[key]*Step{}
	}
	b.steps[at] = step
	return step, nil
}

func (m *making) step(old *State, version string) *Step {
	step := &Step{State: m.done(version)}
	for name := range m.touched {
		_, before := old.children.Get(name)
		_, after := step.State.children.Get(name)
		if after && !before {
			step.Subscribe = append(step.Subscribe, name)
		}
		if before && !after {
			step.Unsubscribe = append(step.Unsubscribe, name)
		}
	}
	sort.Strings(step.Subscribe)
	sort.Strings(step.Unsubscribe)
	step.Names = append(wire.Names(step.Subscribe), wire.Unwanted(step.Unsubscribe)...)
	return step
}
