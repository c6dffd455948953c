package client

import "xds-server/bench/load/wire"

// complete tells whether the first answers are there in full. Where the clusters are, it asks for listeners:
// an Envoy asks for them when its first clusters have their endpoints.
func (s *stream) complete() bool {
	fleet := s.conn.fleet
	for _, kind := range fleet.kinds {
		current := &s.types[kind]
		parent, follows := fleet.parent(kind)
		if follows {
			if current.state.Answered() < s.types[parent].state.Children() {
				return false
			}
			continue
		}
		if !current.begun {
			s.ask(wire.Request{Kind: kind})
			return false
		}
		if !current.answered {
			return false
		}
	}
	return true
}
