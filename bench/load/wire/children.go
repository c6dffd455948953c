package wire

// Numbers of fields: envoy/config/cluster/v3/cluster.proto, envoy/config/listener/v3/listener.proto and
// envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto.
const (
	messageName = 1 // of a Cluster, a ClusterLoadAssignment, a Listener, a RouteConfiguration

	clusterEds     = 3
	edsServiceName = 2

	listenerChains       = 3
	listenerDefaultChain = 25
	listenerAPI          = 19
	apiBody              = 1
	chainFilters         = 3
	filterConfig         = 4
	managerRds           = 3
	rdsName              = 2

	managerURL = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)

// children names what a resource of this kind makes a client subscribe to.
func children(body []byte, kind Kind) []string {
	switch kind {
	case CDS:
		return assignments(body)
	case LDS:
		return routes(body)
	}
	return nil
}

func assignments(cluster []byte) []string {
	f := fields{all: cluster}
	name := ""
	for f.next() {
		switch f.number {
		case messageName:
			name = string(f.bytes)
		case clusterEds:
			if own := find(f.bytes, edsServiceName); len(own) > 0 {
				return []string{string(own)}
			}
			return []string{name}
		}
	}
	return nil
}

func routes(listener []byte) []string {
	var names []string
	f := fields{all: listener}
	for f.next() {
		switch f.number {
		case listenerChains, listenerDefaultChain:
			chain := fields{all: f.bytes}
			for chain.next() {
				if chain.number == chainFilters {
					names = appendRds(names, find(chain.bytes, filterConfig))
				}
			}
		case listenerAPI:
			names = appendRds(names, find(f.bytes, apiBody))
		}
	}
	return names
}

func appendRds(names []string, config []byte) []string {
	if string(find(config, anyType)) != managerURL {
		return names
	}
	if name := find(find(find(config, anyValue), managerRds), rdsName); len(name) > 0 {
		names = append(names, string(name))
	}
	return names
}
