package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"xds-server/bench/load/client"
	"xds-server/bench/load/peer"
	"xds-server/bench/load/wire"
)

const (
	services = 3
	streams  = 5
	patience = 10 * time.Second
)

type store interface {
	Cache() cache.Cache
	Set(group string, fresh peer.Resources) error
}

// bulky makes an assignment of so many kilobytes, so that it does not fit into a frame.
func bulky(name string, kilobytes int) types.Resource {
	made := &endpoint.ClusterLoadAssignment{ClusterName: name}
	for number := range kilobytes {
		made.Endpoints = append(made.Endpoints, &endpoint.LocalityLbEndpoints{
			Locality: &core.Locality{Region: fmt.Sprint(number), Zone: strings.Repeat("z", 1000)},
		})
	}
	return made
}

// estate is clusters with endpoints and a listener with routes, for one group.
func estate(t *testing.T, prefix string) peer.Resources {
	t.Helper()
	specifier := &manager.HttpConnectionManager_Rds{Rds: &manager.Rds{RouteConfigName: prefix + "routes"}}
	config, err := anypb.New(&manager.HttpConnectionManager{RouteSpecifier: specifier})
	if err != nil {
		t.Fatal(err)
	}
	filter := &listener.Filter{ConfigType: &listener.Filter_TypedConfig{TypedConfig: config}}
	chains := []*listener.FilterChain{{Filters: []*listener.Filter{filter}}}
	made := peer.Resources{
		resource.ListenerType: {prefix + "edge": &listener.Listener{Name: prefix + "edge", FilterChains: chains}},
		resource.RouteType:    {prefix + "routes": &route.RouteConfiguration{Name: prefix + "routes"}},
		resource.ClusterType:  {}, resource.EndpointType: {},
	}
	for number := range services {
		name := fmt.Sprint(prefix, "service-", number)
		made[resource.ClusterType][name] = &cluster.Cluster{
			Name: name, EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{},
			ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		}
		made[resource.EndpointType][name] = bulky(name, 1)
	}
	return made
}

// serving is a go-control-plane server on a port of its own.
func serving(t *testing.T, held store) string {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answering := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(
		answering, server.NewServer(context.Background(), held.Cache(), nil))
	go func() { _ = answering.Serve(port) }()
	t.Cleanup(answering.Stop)
	return port.Addr().String()
}

// events is what a fleet says.
type events struct {
	t    *testing.T
	said chan map[string]any
}

func (e events) say(event any) {
	var plain map[string]any
	encoded, _ := json.Marshal(event)
	_ = json.Unmarshal(encoded, &plain)
	e.said <- plain
}

func (e events) next(name string) map[string]any {
	e.t.Helper()
	select {
	case event := <-e.said:
		if event["event"] != name {
			e.t.Fatalf("%v in place of %s", event, name)
		}
		return event
	case <-time.After(patience):
		e.t.Fatalf("no %s", name)
	}
	return nil
}

func started(t *testing.T, target string, options client.Options) (*client.Fleet, events) {
	t.Helper()
	heard := events{t, make(chan map[string]any, 100)}
	options.Target, options.Streams = target, streams
	options.Kinds = []wire.Kind{wire.CDS, wire.EDS, wire.LDS, wire.RDS}
	options.Nodes.Metadata = &structpb.Struct{}
	fleet, err := client.New(options, heard.say)
	if err != nil {
		t.Fatal(err)
	}
	fleet.Start(0, patience)
	if ready := heard.next("ready"); ready["streams"] != float64(streams) || ready["missing"] != 0.0 {
		t.Fatalf("%v", ready)
	}
	return fleet, heard
}

func each(t *testing.T, run func(t *testing.T, delta bool, make func(groups []string) store)) {
	for _, delta := range []bool{true, false} {
		for name, make := range map[string]func(groups []string) store{
			"linear":   func(groups []string) store { return peer.NewLinear(groups) },
			"snapshot": func(groups []string) store { return peer.NewSnapshots(groups) },
		} {
			t.Run(fmt.Sprintf("%s delta=%v", name, delta), func(t *testing.T) { run(t, delta, make) })
		}
	}
}

func TestAChangeReachesEveryStream(t *testing.T) {
	each(t, func(t *testing.T, delta bool, make func(groups []string) store) {
		held := make(nil)
		if err := held.Set("", estate(t, "")); err != nil {
			t.Fatal(err)
		}
		fleet, heard := started(t, serving(t, held), client.Options{
			Delta: delta, Connections: 2, Nodes: &client.Nodes{Cluster: "bench"},
		})
		first := fleet.Tally.SinceLast()
		if first.Resources["cds"] != services*streams || first.Resources["eds"] != services*streams ||
			first.Resources["lds"] != streams || first.Resources["rds"] != streams {
			t.Errorf("at first %v", first.Resources)
		}
		fleet.Board.Mark(json.RawMessage("1"), wire.EDS, streams)
		// Half a megabyte comes in many frames, and those of several streams in turns.
		fresh := peer.Resources{resource.EndpointType: {"service-1": bulky("service-1", 500)}}
		if err := held.Set("", fresh); err != nil {
			t.Fatal(err)
		}
		marked := heard.next("marked")
		if marked["responses"] != float64(streams) || marked["bytes"].(float64) < streams*500_000 {
			t.Errorf("%v", marked)
		}
		times := []string{"first_at", "median_at", "p99_at", "last_at", "last_ack_at"}
		for index := range times[1:] {
			if marked[times[index]].(float64) > marked[times[index+1]].(float64) {
				t.Errorf("%s is after %s", times[index], times[index+1])
			}
		}
	})
}

func TestAHerdComesBackWithWhatItHolds(t *testing.T) {
	each(t, func(t *testing.T, delta bool, make func(groups []string) store) {
		held := make(nil)
		if err := held.Set("", estate(t, "")); err != nil {
			t.Fatal(err)
		}
		fleet, heard := started(t, serving(t, held), client.Options{
			Delta: delta, Connections: 2, Nodes: &client.Nodes{Cluster: "bench", Extensions: 100},
		})
		herd := fleet.Reconnect(json.RawMessage("1"), "", 0, 300*time.Millisecond)
		if len(herd.ReadyMS) != streams {
			t.Errorf("%d came back", len(herd.ReadyMS))
		}
		if delta && herd.Resources != 0 {
			t.Errorf("%d resources were sent again", herd.Resources)
		}
		fleet.Board.Mark(json.RawMessage("2"), wire.EDS, streams)
		fresh := peer.Resources{resource.EndpointType: {"service-1": bulky("service-1", 2)}}
		if err := held.Set("", fresh); err != nil {
			t.Fatal(err)
		}
		heard.next("marked")
	})
}

func TestEachGroupIsServedItsOwn(t *testing.T) {
	each(t, func(t *testing.T, delta bool, make func(groups []string) store) {
		held := make([]string{"group-0", "group-1"})
		for _, group := range []string{"group-0", "group-1"} {
			if err := held.Set(group, estate(t, group+"-")); err != nil {
				t.Fatal(err)
			}
		}
		fleet, heard := started(t, serving(t, held), client.Options{Delta: delta, Nodes: &client.Nodes{Groups: 2}})
		if first := fleet.Tally.SinceLast(); first.Resources["cds"] != services*streams {
			t.Errorf("at first %v", first.Resources)
		}
		// Streams 1 and 3 are of this group.
		fleet.Board.Mark(json.RawMessage("1"), wire.EDS, 2)
		name := "group-1-service-0"
		if err := held.Set("", peer.Resources{resource.EndpointType: {name: bulky(name, 2)}}); err != nil {
			t.Fatal(err)
		}
		if marked := heard.next("marked"); marked["responses"] != 2.0 {
			t.Errorf("%v", marked)
		}
		fleet.Settle(100 * time.Millisecond)
		if after := fleet.Tally.SinceLast(); after.Responses["eds"] != 2 {
			t.Errorf("then %v", after.Responses)
		}
	})
}

func TestAServerThatGoesIsSaid(t *testing.T) {
	held := peer.NewLinear(nil)
	if err := held.Set("", estate(t, "")); err != nil {
		t.Fatal(err)
	}
	port, _ := net.Listen("tcp", "127.0.0.1:0")
	answering := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(
		answering, server.NewServer(context.Background(), held.Cache(), nil))
	go func() { _ = answering.Serve(port) }()
	_, heard := started(t, port.Addr().String(), client.Options{
		Delta: true, Connections: 1, Nodes: &client.Nodes{Cluster: "bench"},
	})
	answering.Stop()
	lost := 0.0
	for lost < streams {
		lost += heard.next("lost")["streams"].(float64)
	}
}
