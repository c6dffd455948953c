package peer

import (
	"errors"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// Linear is one LinearCache for each type behind a MuxCache. Endpoints, which are asked for by name, are in one
// cache for all groups; of the other types each group has its own.
type Linear struct {
	groups []string
	mux    cache.MuxCache
	caches map[string]*cache.LinearCache
}

// NewLinear makes the caches for these groups; with no groups there is one set for all.
func NewLinear(groups []string) *Linear {
	l := &Linear{groups: groups, caches: map[string]*cache.LinearCache{}}
	l.mux.Caches = map[string]cache.Cache{}
	l.mux.Classify = func(r *cache.Request) string { return l.key(r.GetTypeUrl(), r.GetNode()) }
	l.mux.ClassifyDelta = func(r *cache.DeltaRequest) string { return l.key(r.GetTypeUrl(), r.GetNode()) }
	for _, typeURL := range Kept {
		for _, key := range l.keys(typeURL, "") {
			l.caches[key] = cache.NewLinearCache(typeURL)
			l.mux.Caches[key] = l.caches[key]
		}
	}
	return l
}

func (l *Linear) key(typeURL string, node *core.Node) string {
	if len(l.groups) == 0 || typeURL == resource.EndpointType {
		return typeURL
	}
	return node.GetCluster() + " " + typeURL
}

// keys gives the caches of a type: that of a group, or of all groups if none is named.
func (l *Linear) keys(typeURL, group string) []string {
	if group != "" || len(l.groups) == 0 || typeURL == resource.EndpointType {
		return []string{l.key(typeURL, &core.Node{Cluster: group})}
	}
	var all []string
	for _, group := range l.groups {
		all = append(all, l.key(typeURL, &core.Node{Cluster: group}))
	}
	return all
}

// Cache gives what serves.
func (l *Linear) Cache() cache.Cache { return &l.mux }

// Set takes over resources of a group, or of all groups if none is named.
func (l *Linear) Set(group string, fresh Resources) error {
	for _, typeURL := range Kept {
		if len(fresh[typeURL]) == 0 {
			continue
		}
		for _, key := range l.keys(typeURL, group) {
			into := l.caches[key]
			if into == nil {
				return errors.New("there is no group " + group)
			}
			if err := into.UpdateResources(fresh[typeURL], nil); err != nil {
				return err
			}
		}
	}
	return nil
}
