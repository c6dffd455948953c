// Package held knows what a client holds after a response, and what it asks for next. It works that out once:
// clients that held the same and receive the same share the answer.
package held

import "hash/maphash"

const buckets = 64

var seed = maphash.MakeSeed()

// Table is an immutable map from names. A changed one shares what did not change with the one before.
type Table[V any] struct {
	buckets [buckets]*[]entry[V]
	len     int
}

type entry[V any] struct {
	name  string
	value V
}

func place(name string) int { return int(maphash.String(seed, name) % buckets) }

// Len gives how many names there are.
func (t *Table[V]) Len() int { return t.len }

// Get gives the value of a name, and whether there is one.
func (t *Table[V]) Get(name string) (value V, found bool) {
	if bucket := t.buckets[place(name)]; bucket != nil {
		for i := range *bucket {
			if (*bucket)[i].name == name {
				return (*bucket)[i].value, true
			}
		}
	}
	return value, false
}

// All calls a function with every name and its value, in no order.
func (t *Table[V]) All(each func(name string, value V)) {
	for _, bucket := range t.buckets {
		if bucket == nil {
			continue
		}
		for i := range *bucket {
			each((*bucket)[i].name, (*bucket)[i].value)
		}
	}
}

// change is a table that is being made from another one.
type change[V any] struct {
	table Table[V]
	own   [buckets]bool
}

func (c *change[V]) bucket(name string) *[]entry[V] {
	at := place(name)
	if !c.own[at] {
		var copied []entry[V]
		if old := c.table.buckets[at]; old != nil {
			copied = append(make([]entry[V], 0, len(*old)+1), *old...)
		}
		c.table.buckets[at], c.own[at] = &copied, true
	}
	return c.table.buckets[at]
}

func (c *change[V]) set(name string, value V) {
	bucket := c.bucket(name)
	for i := range *bucket {
		if (*bucket)[i].name == name {
			(*bucket)[i].value = value
			return
		}
	}
	*bucket = append(*bucket, entry[V]{name, value})
	c.table.len++
}

func (c *change[V]) remove(name string) {
	if _, found := c.table.Get(name); !found {
		return
	}
	bucket := c.bucket(name)
	for i := range *bucket {
		if (*bucket)[i].name == name {
			last := len(*bucket) - 1
			(*bucket)[i] = (*bucket)[last]
			*bucket = (*bucket)[:last]
			c.table.len--
			return
		}
	}
}
