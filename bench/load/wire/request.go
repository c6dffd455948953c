package wire

import "google.golang.org/protobuf/encoding/protowire"

// Numbers of fields of requests: envoy/service/discovery/v3/discovery.proto.
const (
	sotwVersion = 1
	sotwNode    = 2
	sotwNames   = 3
	sotwType    = 4
	sotwNonce   = 5

	deltaNode        = 1
	deltaType        = 2
	deltaSubscribe   = 3
	deltaUnsubscribe = 4
	deltaInitial     = 5
	deltaNonce       = 6
)

func appendBytes(to []byte, number protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return to
	}
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

func appendString(to []byte, number protowire.Number, value string) []byte {
	if value == "" {
		return to
	}
	return protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), value)
}

// Names encodes the names of a DiscoveryRequest, or those a DeltaDiscoveryRequest subscribes to: the fields
// of both have the same number.
func Names(names []string) []byte {
	var encoded []byte
	for _, name := range names {
		encoded = appendString(encoded, sotwNames, name)
	}
	return encoded
}

// Unwanted encodes the names that a DeltaDiscoveryRequest unsubscribes from.
func Unwanted(names []string) []byte {
	var encoded []byte
	for _, name := range names {
		encoded = appendString(encoded, deltaUnsubscribe, name)
	}
	return encoded
}

// AppendInitial appends one of the versions a client says it has, to a DeltaDiscoveryRequest.
func AppendInitial(to []byte, name, version string) []byte {
	pair := appendString(appendString(nil, 1, name), 2, version)
	return appendBytes(to, deltaInitial, pair)
}

// Request is one request of either variant. Fields that are empty are left out.
type Request struct {
	Kind Kind
	Node []byte // an encoded Node, for the first request of a stream
	// Names are encoded names (Names, Unwanted) and versions (AppendInitial).
	Names   []byte
	Nonce   []byte
	Version string // state of the world only
}

// Append appends the encoded request; `delta` says of which variant.
func (r Request) Append(to []byte, delta bool) []byte { return r.append(to, r.Kind.URL(), delta) }

// AppendFor is Append for a type that is no Kind.
func (r Request) AppendFor(to []byte, url []byte, delta bool) []byte {
	return r.append(to, string(url), delta)
}

func (r Request) append(to []byte, url string, delta bool) []byte {
	if delta {
		to = appendBytes(to, deltaNode, r.Node)
		to = appendString(to, deltaType, url)
		to = append(to, r.Names...)
		return appendBytes(to, deltaNonce, r.Nonce)
	}
	to = appendString(to, sotwVersion, r.Version)
	to = appendBytes(to, sotwNode, r.Node)
	to = append(to, r.Names...)
	to = appendString(to, sotwType, url)
	return appendBytes(to, sotwNonce, r.Nonce)
}
