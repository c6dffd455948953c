package client

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"xds-server/bench/load/held"
	"xds-server/bench/load/wire"
)

const service = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"

// Options say how many clients there are, and what they are like.
type Options struct {
	Target      string
	Streams     int
	Connections int // one for each stream if 0
	Delta       bool
	Kinds       []wire.Kind // what each client subscribes to, in the order of the kinds
	Nodes       *Nodes
}

// Fleet is all the clients.
type Fleet struct {
	Board Board
	Tally Tally

	options Options
	method  string
	delta   bool
	kinds   []wire.Kind
	nodes   [][]byte
	book    *held.Book
	board   *Board
	tally   *Tally
	say     func(any)
	pool    sync.Pool

	mu      sync.Mutex
	conns   []*conn
	streams []*stream

	unready  atomic.Int64
	allReady chan struct{}
	losses   atomic.Int64
}

// New makes the clients; `say` takes events, from any goroutine.
func New(options Options, say func(any)) (*Fleet, error) {
	method := service + "StreamAggregatedResources"
	if options.Delta {
		method = service + "DeltaAggregatedResources"
	}
	slices.Sort(options.Kinds)
	if options.Connections < 1 || options.Connections > options.Streams {
		options.Connections = options.Streams
	}
	f := &Fleet{
		options: options, method: method, delta: options.Delta, kinds: options.Kinds,
		book: held.NewBook(options.Delta), say: say, allReady: make(chan struct{}),
	}
	f.pool.New = func() any { return new([]byte) }
	f.board, f.tally = &f.Board, &f.Tally
	f.Board.say = say
	f.unready.Store(int64(options.Streams))
	for index := range options.Streams {
		f.streams = append(f.streams, newStream(index, nil))
	}
	return f, options.Nodes.check()
}

func (f *Fleet) now() int64 { return time.Now().UnixNano() }

func (f *Fleet) has(kind wire.Kind) bool { return slices.Contains(f.kinds, kind) }

// parent gives the kind whose resources name those of this one, and whether the clients subscribe to it.
func (f *Fleet) parent(kind wire.Kind) (wire.Kind, bool) {
	parent := kind - 1
	if _, has := wire.Kind(max(parent, 0)).Child(); parent < 0 || !has {
		return 0, false
	}
	return parent, f.has(parent)
}

func (f *Fleet) node(index int) []byte { return f.options.Nodes.of(index) }

func (f *Fleet) buffer() []byte { return (*f.pool.Get().(*[]byte))[:0] }

func (f *Fleet) release(buffer []byte) { f.pool.Put(&buffer) }

func (f *Fleet) readied() {
	if f.unready.Add(-1) == 0 {
		close(f.allReady)
	}
}

// lost notes streams that ended and were not meant to. The first ones are told.
func (f *Fleet) lost(count int, why string) {
	if count > 0 && f.losses.Add(int64(count)) <= int64(10+count) {
		f.say(map[string]any{"event": "lost", "streams": count, "why": why})
	}
}

// Start opens all streams, spread over a time; it returns when each has its first answers in full, or patience
// is over.
func (f *Fleet) Start(over, patience time.Duration) {
	f.open(f.options.Target, over)
	select {
	case <-f.allReady:
	case <-time.After(patience):
	}
	f.say(f.readiness())
}

func (f *Fleet) readiness() map[string]any {
	times, missing := []float64{}, 0
	f.each(func(s *stream) {
		if s.ready == 0 {
			missing++
		} else {
			times = append(times, milliseconds(s.ready-s.started))
		}
	})
	return map[string]any{
		"event": "ready", "streams": len(times), "missing": missing, "ready_ms": times, "at": f.now(),
	}
}

func milliseconds(nanoseconds int64) float64 { return float64(nanoseconds/1000) / 1000 }

// each calls a function with every stream, while the stream stands still.
func (f *Fleet) each(look func(*stream)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.streams {
		if s.conn == nil {
			look(s)
			continue
		}
		s.conn.mu.Lock()
		look(s)
		s.conn.mu.Unlock()
	}
}

// open opens a connection for every so many streams; each stream has its own moment within `over`.
func (f *Fleet) open(target string, over time.Duration) {
	begun := time.Now()
	f.mu.Lock()
	streams := f.streams
	f.mu.Unlock()
	var opening sync.WaitGroup
	for first := range min(f.options.Connections, len(streams)) {
		opening.Go(func() {
			var c *conn
			for index := first; index < len(streams); index += f.options.Connections {
				time.Sleep(time.Until(begun.Add(over * time.Duration(index) / time.Duration(len(streams)))))
				streams[index].started = f.now()
				if c == nil {
					if c = f.connect(target); c == nil {
						return
					}
				}
				if err := c.open(streams[index]); err != nil {
					f.lost(1, err.Error())
				}
			}
		})
	}
	opening.Wait()
}

func (f *Fleet) connect(target string) *conn {
	c, err := connect(f, target)
	if err != nil {
		f.lost(f.options.Streams/f.options.Connections, err.Error())
		return nil
	}
	f.mu.Lock()
	f.conns = append(f.conns, c)
	f.mu.Unlock()
	go c.run()
	return c
}
