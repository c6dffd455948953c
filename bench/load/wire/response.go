package wire

import (
	"hash/maphash"
	"math/bits"
)

// Numbers of fields: envoy/service/discovery/v3/discovery.proto.
const (
	responseVersion   = 1
	responseResources = 2
	responseType      = 4
	responseNonce     = 5
	deltaRemoved      = 6

	resourceVersion = 1
	resourceBody    = 2
	resourceName    = 3

	anyType  = 1
	anyValue = 2
)

var seed = maphash.MakeSeed()

// Response is what can be said of a discovery response without looking into its resources.
type Response struct {
	Kind      Kind
	TypeURL   []byte
	Nonce     []byte
	Version   []byte
	Resources int
	Removed   int
	// Digest is the same for responses that say the same; only their nonces may differ.
	Digest uint64
}

// Scan reads a DiscoveryResponse, or a DeltaDiscoveryResponse. What it gives refers to the message's bytes.
func Scan(message []byte, delta bool) (Response, error) {
	response := Response{Kind: Other}
	begin, end := len(message), len(message)
	f := fields{all: message}
	for f.next() {
		switch f.number {
		case responseVersion:
			response.Version = f.bytes
		case responseResources:
			response.Resources++
		case responseType:
			response.TypeURL = f.bytes
		case responseNonce:
			response.Nonce = f.bytes
			begin, end = f.start, f.at
		case deltaRemoved:
			if delta {
				response.Removed++
			}
		}
	}
	response.Kind = KindOf(response.TypeURL)
	before, after := maphash.Bytes(seed, message[:begin]), maphash.Bytes(seed, message[end:])
	response.Digest = before ^ bits.RotateLeft64(after, 17)
	return response, f.err
}

// Resource is one resource of a response: its name, its version (in delta) and the names of children that it
// asks for: the assignment of a cluster, the route configurations of a listener.
type Resource struct {
	Name     string
	Version  string
	Children []string
}

// Open reads the resources of a response of this kind, and in delta the names that are removed.
func Open(message []byte, kind Kind, delta bool) (resources []Resource, removed []string, err error) {
	f := fields{all: message}
	for f.next() {
		switch {
		case f.number == responseResources && delta:
			resources = append(resources, openResource(f.bytes, kind))
		case f.number == responseResources:
			body := find(f.bytes, anyValue)
			resources = append(resources, Resource{Name: string(find(body, 1)), Children: children(body, kind)})
		case f.number == deltaRemoved && delta:
			removed = append(removed, string(f.bytes))
		}
	}
	return resources, removed, f.err
}

func openResource(wrapped []byte, kind Kind) Resource {
	return Resource{
		Name:     string(find(wrapped, resourceName)),
		Version:  string(find(wrapped, resourceVersion)),
		Children: children(find(find(wrapped, resourceBody), anyValue), kind),
	}
}
