// Command peer is a go-control-plane server fed with resources of another control plane: see the README.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"

	"xds-server/bench/load/lines"
	"xds-server/bench/load/peer"
)

// placeholder in the name of a file stands for the name of a group.
const placeholder = "{group}"

// store is either of the caches.
type store interface {
	Cache() cache.Cache
	Set(group string, fresh peer.Resources) error
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(2)
	}
}

func run() error {
	kind := flag.String("cache", "linear", "linear or snapshot")
	path := flag.String("resources", "", "the file of resources to begin with; {group} in it stands for the group")
	count := flag.Int("groups", 0, "how many groups: group-0, group-1, ...; up to 1: one state for all")
	listen := flag.String("listen", "127.0.0.1:0", "host:port to listen on")
	flag.Parse()
	groups := names(*count)
	var held store
	switch *kind {
	case "linear":
		held = peer.NewLinear(groups)
	case "snapshot":
		held = peer.NewSnapshots(groups)
	default:
		return fmt.Errorf("there is no cache %q", *kind)
	}
	files := &peer.Files{}
	if *path != "" {
		if err := fill(held, files, *path, groups); err != nil {
			return err
		}
	}
	return serve(held, files, *listen)
}

// names gives the groups as the load generator calls them; one is as good as none.
func names(count int) []string {
	var groups []string
	if count == 1 {
		return groups
	}
	for number := range count {
		groups = append(groups, fmt.Sprintf("group-%d", number))
	}
	return groups
}

// fill gives each group the resources of its file.
func fill(held store, files *peer.Files, path string, groups []string) error {
	if len(groups) == 0 {
		groups = []string{""}
	}
	for _, group := range groups {
		resources, err := files.Read(strings.ReplaceAll(path, placeholder, group))
		if err == nil {
			err = held.Set(group, resources)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serve answers until the input ends.
func serve(held store, files *peer.Files, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	// As many streams as anybody wants on a connection, as in go-control-plane's own example.
	serving := grpc.NewServer(grpc.MaxConcurrentStreams(1_000_000))
	discovery.RegisterAggregatedDiscoveryServiceServer(
		serving, server.NewServer(context.Background(), held.Cache(), nil))
	out := lines.NewOut()
	go func() {
		if err := serving.Serve(listener); err != nil {
			out.Say(map[string]any{"event": "error", "why": err.Error()})
		}
	}()
	out.Say(map[string]any{"event": "listening", "port": listener.Addr().(*net.TCPAddr).Port})
	lines.Read(os.Stdin, func(command lines.Command) error { return do(held, files, command, out) }, out.Say)
	serving.Stop()
	return nil
}

// do carries out one command.
func do(held store, files *peer.Files, command lines.Command, out *lines.Out) error {
	event := map[string]any{"event": command.Do, "id": command.ID}
	switch command.Do {
	case "set":
		fresh, err := files.Read(command.File)
		if err != nil {
			return err
		}
		event["started_at"] = time.Now().UnixNano()
		if err := held.Set(command.Group, fresh); err != nil {
			return err
		}
		event["at"] = time.Now().UnixNano()
	case "cpu":
		event["seconds"] = lines.CPU()
	case "rss":
		bytes, err := lines.RSS(command.Collect)
		if err != nil {
			return err
		}
		event["bytes"] = bytes
	default:
		return fmt.Errorf("there is no command %q", command.Do)
	}
	out.Say(event)
	return nil
}
