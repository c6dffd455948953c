package client

import (
	"errors"
	"fmt"
	"sync"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// gatewayKey is where xds-server finds in a node's metadata which gateway it is of.
const gatewayKey = "gateway"

// luaSpecifier is the extension that lets a route find its cluster by Lua code.
const luaSpecifier = "envoy.router.cluster_specifier_plugin.lua"

// Metadata is what a bootstrap of xds-server says in a node's metadata: the port of Envoy's admin interface, and
// the clusters of the bootstrap.
const Metadata = `{"envoy_admin_port": 19000, "static_clusters": ["xds_cluster"]}`

// Nodes says who the clients are.
type Nodes struct {
	Cluster  string
	Metadata *structpb.Struct
	// Groups is how many there are: client i is of "group-<i mod Groups>". With 0 there are none.
	Groups int
	// Extensions is how many extensions a node lists; an Envoy lists all it was built with.
	Extensions int

	once       sync.Once
	extensions []byte
}

func (n *Nodes) check() error {
	if n.Groups < 0 || n.Extensions < 0 {
		return errors.New("there cannot be fewer than no groups or extensions")
	}
	return nil
}

// of encodes the node of a client.
func (n *Nodes) of(index int) []byte {
	metadata := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	proto.Merge(metadata, n.Metadata)
	cluster := n.Cluster
	if n.Groups > 0 {
		cluster = fmt.Sprintf("group-%d", index%n.Groups)
		metadata.Fields[gatewayKey] = structpb.NewStringValue(cluster)
	}
	node := &core.Node{
		Id: fmt.Sprintf("bench-%d", index), Cluster: cluster, Metadata: metadata, UserAgentName: "envoy",
		UserAgentVersionType: &core.Node_UserAgentBuildVersion{UserAgentBuildVersion: &core.BuildVersion{
			Version: &typev3.SemanticVersion{MajorNumber: 1, MinorNumber: 40},
		}},
	}
	// Fields that repeat may be encoded apart: the extensions are the same for all.
	n.once.Do(func() { n.extensions = encode(&core.Node{Extensions: extensions(n.Extensions)}) })
	return append(encode(node), n.extensions...)
}

func encode(node *core.Node) []byte {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(node)
	if err != nil {
		panic(err) // it was made here
	}
	return encoded
}

// extensions lists as many as are wanted. The first is one that xds-server looks for, the others are made up.
func extensions(count int) []*core.Extension {
	if count == 0 {
		return nil
	}
	made := []*core.Extension{{Name: luaSpecifier, Category: "envoy.router.cluster_specifier_plugin"}}
	for number := range count - 1 {
		made = append(made, &core.Extension{
			Name:     fmt.Sprintf("envoy.filters.http.made_up_%03d", number),
			Category: "envoy.filters.http",
			TypeUrls: []string{
				fmt.Sprintf("envoy.extensions.filters.http.made_up_%03d.v3.MadeUpFilterConfig", number),
			},
		})
	}
	return made
}

// EnvoyExtensions is how many extensions Envoy 1.40 lists; ours are as long, so that the node is, 61 kB.
const EnvoyExtensions = 516
