package wire

// Kind is a type of resource that a client of this package subscribes to.
type Kind int

// The kinds, in the order an Envoy asks for them.
const (
	CDS Kind = iota
	EDS
	LDS
	RDS
	Kinds
	// Other is any other type; its responses are acknowledged and counted nowhere.
	Other Kind = -1
)

var shorts = [Kinds]string{"cds", "eds", "lds", "rds"}

var urls = [Kinds]string{
	"type.googleapis.com/envoy.config.cluster.v3.Cluster",
	"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	"type.googleapis.com/envoy.config.listener.v3.Listener",
	"type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}

// String gives the name by which commands and events call a kind.
func (k Kind) String() string { return shorts[k] }

// URL gives the type URL of a kind.
func (k Kind) URL() string { return urls[k] }

// Child gives the kind whose names follow from the resources of this one, and whether there is such a kind.
func (k Kind) Child() (Kind, bool) { return k + 1, k == CDS || k == LDS }

// KindOf gives the kind with a type URL, or Other.
func KindOf(url []byte) Kind {
	for kind, known := range urls {
		if string(url) == known {
			return Kind(kind)
		}
	}
	return Other
}

// Named gives the kind of a short name ("eds"), or Other.
func Named(short string) Kind {
	for kind, known := range shorts {
		if short == known {
			return Kind(kind)
		}
	}
	return Other
}
