package held

import (
	"fmt"
	"slices"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"xds-server/bench/load/wire"
)

// clients are one book, and what it is told.
type clients struct {
	t     *testing.T
	book  *Book
	nonce int
}

func eds(name, service string) *cluster.Cluster {
	return &cluster.Cluster{Name: name, EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{ServiceName: service}}
}

func (c *clients) receive(old *State, version string, removed []string, found ...*cluster.Cluster) *Step {
	c.t.Helper()
	c.nonce++
	var response proto.Message
	if c.book.delta {
		delta := &discovery.DeltaDiscoveryResponse{
			TypeUrl: wire.CDS.URL(), Nonce: fmt.Sprint(c.nonce), RemovedResources: removed,
		}
		for _, one := range found {
			body, _ := anypb.New(one)
			delta.Resources = append(delta.Resources, &discovery.Resource{Name: one.Name, Version: version, Resource: body})
		}
		response = delta
	} else {
		world := &discovery.DiscoveryResponse{TypeUrl: wire.CDS.URL(), Nonce: fmt.Sprint(c.nonce), VersionInfo: version}
		for _, one := range found {
			body, _ := anypb.New(one)
			world.Resources = append(world.Resources, body)
		}
		response = world
	}
	message, _ := proto.Marshal(response)
	scanned, err := wire.Scan(message, c.book.delta)
	if err != nil {
		c.t.Fatal(err)
	}
	step, err := c.book.Receive(old, scanned, message)
	if err != nil {
		c.t.Fatal(err)
	}
	return step
}

func (c *clients) wants(step *Step, held int, subscribe, unsubscribe string) {
	c.t.Helper()
	if step.State.Len() != held || fmt.Sprint(step.Subscribe) != subscribe || fmt.Sprint(step.Unsubscribe) != unsubscribe {
		c.t.Errorf("%d held, +%v -%v", step.State.Len(), step.Subscribe, step.Unsubscribe)
	}
}

func TestDeltaAddsAndRemoves(t *testing.T) {
	c := &clients{t: t, book: NewBook(true)}
	first := c.receive(&State{}, "1", nil, eds("a", ""), eds("b", "shared"), eds("c", "shared"))
	c.wants(first, 3, "[a shared]", "[]")
	second := c.receive(first.State, "2", []string{"a", "b"}, eds("d", "d"))
	// Somebody else still asks for "shared".
	c.wants(second, 2, "[d]", "[a]")
	third := c.receive(second.State, "3", nil, eds("c", "moved"))
	c.wants(third, 2, "[moved]", "[shared]")
	if first.State.Len() != 3 || first.State.Children() != 2 {
		t.Error("an older state changed")
	}
}

func TestTheStateOfTheWorldIsAllThereIs(t *testing.T) {
	c := &clients{t: t, book: NewBook(false)}
	first := c.receive(&State{}, "1", nil, eds("a", ""), eds("b", ""))
	c.wants(first, 2, "[a b]", "[]")
	second := c.receive(first.State, "2", nil, eds("b", ""), eds("c", ""))
	c.wants(second, 2, "[c]", "[a]")
	if second.State.Version != "2" || string(second.State.ChildNames()) != string(wire.Names([]string{"b", "c"})) {
		t.Errorf("%s %q", second.State.Version, second.State.ChildNames())
	}
}

func TestTheSameIsWorkedOutOnce(t *testing.T) {
	c := &clients{t: t, book: NewBook(true)}
	empty := &State{}
	one, other := c.receive(empty, "1", nil, eds("a", "")), c.receive(empty, "1", nil, eds("a", ""))
	if one != other {
		t.Error("two clients in the same state do not share what follows")
	}
	// Two ways to the same state end in the same one.
	both := c.receive(one.State, "1", nil, eds("b", ""))
	around := c.receive(c.receive(empty, "1", nil, eds("b", "")).State, "1", nil, eds("a", ""))
	if both.State.sum != around.State.sum {
		t.Error("the order in which resources came tells states apart")
	}
	if c.receive(both.State, "2", nil, eds("a", "")) != c.receive(around.State, "2", nil, eds("a", "")) {
		t.Error("the same change to the same state is worked out twice")
	}
}

func TestWhatIsHeldIsSaidOnComingBack(t *testing.T) {
	c := &clients{t: t, book: NewBook(true)}
	state := c.receive(&State{}, "1", nil, eds("a", ""), eds("b", "")).State
	request := &discovery.DeltaDiscoveryRequest{}
	if err := proto.Unmarshal(state.Initial(), request); err != nil {
		t.Fatal(err)
	}
	if held := request.InitialResourceVersions; len(held) != 2 || held["a"] != "1" || held["b"] != "1" {
		t.Errorf("%v", held)
	}
}

func TestANameThatIsNotThereIsAnswered(t *testing.T) {
	c := &clients{t: t, book: NewBook(true)}
	state := c.receive(&State{}, "1", []string{"nobody"}, eds("a", "")).State
	if state.Len() != 1 || state.Answered() != 2 {
		t.Errorf("%d held, %d answered", state.Len(), state.Answered())
	}
}

func TestDroppedNamesAreNotHeld(t *testing.T) {
	c := &clients{t: t, book: NewBook(true)}
	child := c.receive(&State{}, "1", nil, eds("a", ""), eds("b", "")).State
	left := c.book.Drop(wire.EDS, child, &Step{State: &State{sum: 1}, Unsubscribe: []string{"a"}})
	if left.Len() != 1 || child.Len() != 2 {
		t.Errorf("%d of %d left", left.Len(), child.Len())
	}
}

func TestATableIsAMap(t *testing.T) {
	want, table := map[string]int{}, Table[int]{}
	for round := range 20 {
		next := change[int]{table: table}
		for number := range 50 {
			name := fmt.Sprint(number * (round + 1) % 331)
			if number%7 == 0 {
				next.remove(name)
				delete(want, name)
			} else {
				next.set(name, round)
				want[name] = round
			}
		}
		table = next.table
	}
	var names []string
	table.All(func(name string, value int) {
		names = append(names, name)
		if want[name] != value {
			t.Errorf("%s is %d", name, value)
		}
	})
	slices.Sort(names)
	if len(slices.Compact(names)) != len(want) || table.Len() != len(want) {
		t.Errorf("%d names, %d wanted", table.Len(), len(want))
	}
}
