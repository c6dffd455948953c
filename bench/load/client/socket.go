package client

import (
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"
)

// socket reads and writes without telling Go's scheduler, as neither call ever waits: waiting is the poller's.
// Telling it wakes a thread of the scheduler for every message that comes alone, which was a fifth of all the
// time this program took (README, "What it costs").
type socket struct {
	net.Conn
	raw syscall.RawConn

	from, into  transfer
	read, write func(descriptor uintptr) bool
}

// transfer is a call that is under way.
type transfer struct {
	call   uintptr
	buffer []byte
	count  int
	errno  syscall.Errno
}

func dial(target string) (*socket, error) {
	connection, err := net.DialTimeout("tcp", target, 30*time.Second)
	if err != nil {
		return nil, err
	}
	raw, err := connection.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: connection, raw: raw}
	s.from.call, s.into.call = syscall.SYS_READ, syscall.SYS_WRITE
	// Made once: a function that is made for each call would be garbage.
	s.read, s.write = s.from.try, s.into.try
	return s, nil
}

// try makes the call; it tells whether it was done, or else the descriptor is not ready.
func (t *transfer) try(descriptor uintptr) bool {
	for {
		start := unsafe.Pointer(unsafe.SliceData(t.buffer))
		count, _, errno := syscall.RawSyscall(t.call, descriptor, uintptr(start), uintptr(len(t.buffer)))
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		t.count, t.errno = int(count), errno
		return true
	}
}

// Read reads what is there, and waits only if there is nothing.
func (s *socket) Read(buffer []byte) (int, error) {
	s.from.buffer = buffer
	if err := s.raw.Read(s.read); err != nil {
		return 0, err
	}
	switch {
	case s.from.errno != 0:
		return 0, s.from.errno
	case s.from.count == 0:
		return 0, io.EOF
	}
	return s.from.count, nil
}

// Write writes all of it.
func (s *socket) Write(buffer []byte) (int, error) {
	written := 0
	for written < len(buffer) {
		s.into.buffer = buffer[written:]
		if err := s.raw.Write(s.write); err != nil {
			return written, err
		}
		if s.into.errno != 0 {
			return written, s.into.errno
		}
		written += s.into.count
	}
	return written, nil
}
