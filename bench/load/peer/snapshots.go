package peer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// Snapshots is a SnapshotCache for ADS, with a snapshot for each group.
type Snapshots struct {
	cache   cache.SnapshotCache
	held    map[string]Resources
	current map[string]*cache.Snapshot
	count   int
}

type groupHash struct{ grouped bool }

// ID gives the group of a node, as the load generator says it: the cluster of the node.
func (h groupHash) ID(node *core.Node) string {
	if h.grouped {
		return node.GetCluster()
	}
	return ""
}

// NewSnapshots makes the cache for these groups; with no groups there is one snapshot for all.
func NewSnapshots(groups []string) *Snapshots {
	s := &Snapshots{
		cache: cache.NewSnapshotCache(true, groupHash{len(groups) > 0}, nil),
		held:  map[string]Resources{}, current: map[string]*cache.Snapshot{},
	}
	if len(groups) == 0 {
		groups = []string{""}
	}
	for _, group := range groups {
		s.held[group], s.current[group] = Resources{}, &cache.Snapshot{}
	}
	return s
}

// Cache gives what serves.
func (s *Snapshots) Cache() cache.Cache { return s.cache }

// Set takes over resources of a group. Without a group they go to the groups that have resources of these
// names, or to all if none has.
func (s *Snapshots) Set(group string, fresh Resources) error {
	groups := []string{group}
	if group == "" {
		groups = s.holding(fresh)
	}
	for _, group := range groups {
		if s.held[group] == nil {
			return fmt.Errorf("there is no group %s", group)
		}
		if err := s.set(group, fresh); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshots) holding(fresh Resources) []string {
	var found []string
	for group, held := range s.held {
		for typeURL, resources := range fresh {
			for name := range resources {
				if _, has := held[typeURL][name]; has && !slices.Contains(found, group) {
					found = append(found, group)
				}
			}
		}
	}
	if found == nil {
		found = slices.Collect(maps.Keys(s.held))
	}
	return found
}

// set makes the next snapshot of a group. Only the types that changed get a new version: with one for all, the
// state of the world would send all types after every change.
func (s *Snapshots) set(group string, fresh Resources) error {
	s.count++
	next := &cache.Snapshot{Resources: s.current[group].Resources}
	for typeURL, resources := range fresh {
		for name, one := range resources {
			s.held[group].put(typeURL, name, one)
		}
		items := slices.Collect(maps.Values(s.held[group][typeURL]))
		next.Resources[cache.GetResponseType(typeURL)] = cache.NewResources(strconv.Itoa(s.count), items)
	}
	if s.count <= len(s.held) {
		// The types nobody has resources of have a version too.
		for index := range next.Resources {
			if next.Resources[index].Items == nil {
				next.Resources[index] = cache.NewResources("0", []types.Resource{})
			}
		}
	}
	s.current[group] = next
	return s.cache.SetSnapshot(context.Background(), group, next)
}
