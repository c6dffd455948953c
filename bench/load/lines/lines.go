// Package lines is how a process of the benchmark is spoken to: a JSON object on each line.
package lines

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Out writes events, from any goroutine, each as a line.
type Out struct {
	mu sync.Mutex
	to *json.Encoder
}

// NewOut gives what writes events to standard output.
func NewOut() *Out { return &Out{to: json.NewEncoder(os.Stdout)} }

// Say writes one event.
func (o *Out) Say(event any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.to.Encode(event); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// Command is one line of standard input. Which fields count depends on what there is to do.
type Command struct {
	Do      string          `json:"do"`
	ID      json.RawMessage `json:"id"`
	Type    string          `json:"type"`
	Expect  int             `json:"expect"`
	QuietMS int             `json:"quiet_ms"`
	Over    float64         `json:"over"`
	Target  string          `json:"target"`
	File    string          `json:"file"`
	Group   string          `json:"group"`
	Collect bool            `json:"collect"`
}

// Read calls a function with every command, until the input ends or it is told to stop.
func Read(from io.Reader, do func(Command) error, say func(any)) {
	input := bufio.NewScanner(from)
	input.Buffer(nil, 1<<20)
	for input.Scan() {
		command := Command{ID: json.RawMessage("null")}
		err := json.Unmarshal(input.Bytes(), &command)
		if err == nil && command.Do == "stop" {
			return
		}
		if err == nil {
			err = do(command)
		}
		if err != nil {
			say(map[string]any{"event": "error", "id": command.ID, "why": err.Error()})
		}
	}
}

// CPU gives the processor time of this process so far, in seconds.
func CPU() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

// RSS gives the resident memory of this process in bytes, if told so after what is free was given back.
func RSS(collect bool) (int, error) {
	if collect {
		debug.FreeOSMemory()
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	return pages * os.Getpagesize(), err
}
