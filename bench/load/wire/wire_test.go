package wire

import (
	"fmt"
	"reflect"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func packed(t *testing.T, message proto.Message) *anypb.Any {
	t.Helper()
	found, err := anypb.New(message)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func encoded(t *testing.T, message proto.Message) []byte {
	t.Helper()
	found, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func http(t *testing.T, route string) *listener.Filter {
	t.Helper()
	specifier := &manager.HttpConnectionManager_Rds{Rds: &manager.Rds{RouteConfigName: route}}
	config := packed(t, &manager.HttpConnectionManager{RouteSpecifier: specifier})
	return &listener.Filter{ConfigType: &listener.Filter_TypedConfig{TypedConfig: config}}
}

func delta(t *testing.T, nonce string) *discovery.DeltaDiscoveryResponse {
	t.Helper()
	byName := &cluster.Cluster{Name: "by-name", EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{}}
	own := &cluster.Cluster{Name: "own", EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{ServiceName: "other"}}
	static := &cluster.Cluster{Name: "static", LoadAssignment: &endpoint.ClusterLoadAssignment{ClusterName: "static"}}
	response := &discovery.DeltaDiscoveryResponse{
		TypeUrl: CDS.URL(), Nonce: nonce, SystemVersionInfo: "7", RemovedResources: []string{"left", "gone"},
		ControlPlane: &core.ControlPlane{Identifier: "test"},
	}
	for number, one := range []*cluster.Cluster{byName, own, static} {
		response.Resources = append(response.Resources, &discovery.Resource{
			Name: one.Name, Version: fmt.Sprint("v", number), Resource: packed(t, one),
		})
	}
	return response
}

func TestScanTellsWhatProtobufTells(t *testing.T) {
	found, err := Scan(encoded(t, delta(t, "n1")), true)
	if err != nil {
		t.Fatal(err)
	}
	if found.Kind != CDS || string(found.Nonce) != "n1" || string(found.Version) != "7" {
		t.Errorf("%v %q %q", found.Kind, found.Nonce, found.Version)
	}
	if found.Resources != 3 || found.Removed != 2 {
		t.Errorf("%d resources, %d removed", found.Resources, found.Removed)
	}
}

func TestTheControlPlaneIsNoRemovedName(t *testing.T) {
	response := &discovery.DiscoveryResponse{
		TypeUrl: EDS.URL(), VersionInfo: "1", ControlPlane: &core.ControlPlane{Identifier: "test"},
	}
	if found, err := Scan(encoded(t, response), false); err != nil || found.Removed != 0 {
		t.Errorf("%d removed, %v", found.Removed, err)
	}
}

func TestOnlyTheNonceIsNotInTheDigest(t *testing.T) {
	digest := func(response *discovery.DeltaDiscoveryResponse) uint64 {
		found, err := Scan(encoded(t, response), true)
		if err != nil {
			t.Fatal(err)
		}
		return found.Digest
	}
	one, other := delta(t, "n1"), delta(t, "another")
	if digest(one) != digest(other) {
		t.Error("it differs with the nonce")
	}
	for name, change := range map[string]func(){
		"a version": func() { other.Resources[0].Version = "new" },
		"a removal": func() { other.RemovedResources = other.RemovedResources[:1] },
		"the type":  func() { other.TypeUrl = EDS.URL() },
	} {
		before := digest(other)
		if change(); digest(other) == before {
			t.Errorf("it is the same after %s changed", name)
		}
	}
}

func TestOpenNamesAssignments(t *testing.T) {
	resources, removed, err := Open(encoded(t, delta(t, "n1")), CDS, true)
	if err != nil {
		t.Fatal(err)
	}
	want := []Resource{
		{Name: "by-name", Version: "v0", Children: []string{"by-name"}},
		{Name: "own", Version: "v1", Children: []string{"other"}},
		{Name: "static", Version: "v2"},
	}
	if !reflect.DeepEqual(resources, want) {
		t.Errorf("%+v", resources)
	}
	if !reflect.DeepEqual(removed, []string{"left", "gone"}) {
		t.Errorf("%q", removed)
	}
}

func TestOpenNamesRoutes(t *testing.T) {
	chain := func(route string) *listener.FilterChain {
		tcp := &listener.Filter{ConfigType: &listener.Filter_TypedConfig{TypedConfig: packed(t, &core.Node{})}}
		return &listener.FilterChain{Filters: []*listener.Filter{tcp, http(t, route)}}
	}
	one := &listener.Listener{
		Name: "edge", FilterChains: []*listener.FilterChain{chain("a"), chain("b")}, DefaultFilterChain: chain("c"),
		ApiListener: &listener.ApiListener{ApiListener: http(t, "d").GetTypedConfig()},
	}
	response := &discovery.DiscoveryResponse{TypeUrl: LDS.URL(), Resources: []*anypb.Any{packed(t, one)}}
	resources, _, err := Open(encoded(t, response), LDS, false)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, child := range resources[0].Children {
		seen[child] = true
	}
	if resources[0].Name != "edge" || len(resources[0].Children) != 4 || len(seen) != 4 {
		t.Errorf("%+v", resources)
	}
}

func TestWhatIsCutShortIsAnError(t *testing.T) {
	whole := encoded(t, delta(t, "n1"))
	for length := range whole {
		// Whether it is one or not, nothing beyond its end is looked at.
		_, _ = Scan(whole[:length:length], true)
		_, _, _ = Open(whole[:length:length], CDS, true)
	}
	if _, err := Scan(whole[:len(whole)-1], true); err == nil {
		t.Error("the last byte is not missed")
	}
	if _, err := Scan([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, true); err == nil {
		t.Error("a length beyond all bounds is taken")
	}
}

func TestRequestsAreWhatProtobufReads(t *testing.T) {
	node := &core.Node{Id: "bench-1"}
	names := append(Names([]string{"a", "b"}), Unwanted([]string{"c"})...)
	names = AppendInitial(names, "a", "v1")
	request := Request{Kind: EDS, Node: encoded(t, node), Names: names, Nonce: []byte("n")}
	got := &discovery.DeltaDiscoveryRequest{}
	if err := proto.Unmarshal(request.Append(nil, true), got); err != nil {
		t.Fatal(err)
	}
	want := &discovery.DeltaDiscoveryRequest{
		Node: node, TypeUrl: EDS.URL(), ResponseNonce: "n", ResourceNamesSubscribe: []string{"a", "b"},
		ResourceNamesUnsubscribe: []string{"c"}, InitialResourceVersions: map[string]string{"a": "v1"},
	}
	if !proto.Equal(got, want) {
		t.Errorf("%v", got)
	}
	request = Request{Kind: EDS, Node: encoded(t, node), Names: Names([]string{"a"}), Nonce: []byte("n"), Version: "3"}
	world := &discovery.DiscoveryRequest{}
	if err := proto.Unmarshal(request.Append(nil, false), world); err != nil {
		t.Fatal(err)
	}
	all := &discovery.DiscoveryRequest{
		Node: node, TypeUrl: EDS.URL(), ResponseNonce: "n", ResourceNames: []string{"a"}, VersionInfo: "3",
	}
	if !proto.Equal(world, all) {
		t.Errorf("%v", world)
	}
}
