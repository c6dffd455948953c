// Package wire reads and writes the few fields of xDS messages that a client needs, straight from and to
// protobuf's wire format. Nothing is decoded that a client can do without.
package wire

import "errors"

// errWire says that a message is cut short or is no protobuf message.
var errWire = errors.New("a message is not in protobuf's wire format")

// fields walks over the fields of a message. Only fields with a length have bytes.
type fields struct {
	all    []byte
	at     int
	number int
	start  int
	bytes  []byte
	err    error
}

// next goes to the next field; it tells whether there is one.
func (f *fields) next() bool {
	if f.err != nil || f.at >= len(f.all) {
		return false
	}
	f.start = f.at
	tag, ok := f.varint()
	if !ok {
		return f.fail()
	}
	f.number, f.bytes = int(tag>>3), nil
	switch tag & 7 {
	case 0:
		_, ok = f.varint()
	case 1:
		ok = f.skip(8)
	case 2:
		var length uint64
		if length, ok = f.varint(); ok {
			begin := f.at
			if ok = length <= uint64(len(f.all)-begin) && f.skip(int(length)); ok {
				f.bytes = f.all[begin:f.at:f.at]
			}
		}
	case 5:
		ok = f.skip(4)
	default:
		ok = false
	}
	if !ok {
		return f.fail()
	}
	return true
}

func (f *fields) fail() bool {
	f.err = errWire
	return false
}

func (f *fields) skip(length int) bool {
	if length > len(f.all)-f.at {
		return false
	}
	f.at += length
	return true
}

func (f *fields) varint() (uint64, bool) {
	var value uint64
	for shift := uint(0); shift < 64 && f.at < len(f.all); shift += 7 {
		b := f.all[f.at]
		f.at++
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return value, true
		}
	}
	return 0, false
}

// find gives the bytes of the first field with this number; nil where there is none.
func find(message []byte, number int) []byte {
	f := fields{all: message}
	for f.next() {
		if f.number == number {
			return f.bytes
		}
	}
	return nil
}
