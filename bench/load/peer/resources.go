// Package peer is go-control-plane as its users run it, with either of its caches, fed with resources that
// another control plane made.
package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// Kept is the types that are served, those that others refer to first.
var Kept = []string{resource.EndpointType, resource.ClusterType, resource.RouteType, resource.ListenerType}

// Resources is resources by type URL and name.
type Resources map[string]map[string]types.Resource

func (r Resources) put(typeURL, name string, one types.Resource) {
	if r[typeURL] == nil {
		r[typeURL] = map[string]types.Resource{}
	}
	r[typeURL][name] = one
}

// Files reads files of resources. A file that has not changed is read once, so that what is measured is a
// change that is known as a message.
type Files struct {
	mu   sync.Mutex
	read map[string]known
}

type known struct {
	size      int64
	modified  time.Time
	resources Resources
}

// Read gives the resources of a file: envoy.service.discovery.v3.Resource after Resource, each after its
// length (a varint). Types that are not served are left out.
func (f *Files) Read(path string) (Resources, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if old, found := f.read[path]; found && old.size == info.Size() && old.modified.Equal(info.ModTime()) {
		return old.resources, nil
	}
	resources, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.read == nil {
		f.read = map[string]known{}
	}
	f.read[path] = known{info.Size(), info.ModTime(), resources}
	return resources, nil
}

func read(path string) (Resources, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found, from := Resources{}, bufio.NewReaderSize(file, 1<<16)
	for {
		wrapped := &discovery.Resource{}
		err := protodelim.UnmarshalOptions{MaxSize: -1}.UnmarshalFrom(from, wrapped)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		message := message(wrapped.GetResource().GetTypeUrl())
		if message == nil {
			continue
		}
		if err := wrapped.GetResource().UnmarshalTo(message); err != nil {
			return nil, err
		}
		found.put(wrapped.GetResource().GetTypeUrl(), wrapped.GetName(), message)
	}
}

func message(typeURL string) proto.Message {
	switch typeURL {
	case resource.EndpointType:
		return &endpoint.ClusterLoadAssignment{}
	case resource.ClusterType:
		return &cluster.Cluster{}
	case resource.RouteType:
		return &route.RouteConfiguration{}
	case resource.ListenerType:
		return &listener.Listener{}
	}
	return nil
}
