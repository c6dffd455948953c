// Command load is many xDS clients in one process: see the README.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"xds-server/bench/load/client"
	"xds-server/bench/load/lines"
	"xds-server/bench/load/wire"
)

// defaultQuiet is how long nothing is received until a fleet counts as settled.
const defaultQuiet = 300 * time.Millisecond

func main() {
	options, over, patience, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		// A second processor would mostly look for work: see the README, "What it costs".
		runtime.GOMAXPROCS(1)
	}
	out := lines.NewOut()
	fleet, err := client.New(options, out.Say)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	go fleet.Start(over, patience)
	lines.Read(os.Stdin, func(command lines.Command) error { return do(fleet, command, out.Say) }, out.Say)
}

// parse reads the flags.
func parse() (options client.Options, over, patience time.Duration, err error) {
	options.Nodes = &client.Nodes{Metadata: &structpb.Struct{}}
	variant := flag.String("variant", "delta", "delta or sotw")
	kinds := flag.String("only-types", "cds,eds,lds,rds", "what each stream subscribes to")
	metadata := flag.String("node-metadata", client.Metadata, "the metadata of the nodes, a JSON object")
	overSeconds := flag.Float64("over", 0, "seconds over which the streams are opened")
	patienceSeconds := flag.Float64("patience", 60, "seconds until `ready` is said with streams missing")
	flag.StringVar(&options.Target, "target", "127.0.0.1:18000", "host:port of the server")
	flag.IntVar(&options.Streams, "streams", 1, "how many streams")
	flag.IntVar(&options.Connections, "connections", 0, "how many connections; one for each stream if 0")
	flag.IntVar(&options.Nodes.Groups, "groups", 0, "stream i is of group-<i mod groups>; 0 for no groups")
	flag.IntVar(&options.Nodes.Extensions, "extensions", client.EnvoyExtensions, "how many extensions a node lists")
	flag.StringVar(&options.Nodes.Cluster, "cluster", "bench", "the cluster of the nodes")
	flag.Parse()
	if *variant != "delta" && *variant != "sotw" {
		return options, 0, 0, fmt.Errorf("there is no variant %q", *variant)
	}
	options.Delta = *variant == "delta"
	if options.Streams < 1 {
		return options, 0, 0, errors.New("there has to be a stream")
	}
	if options.Kinds, err = named(*kinds); err == nil {
		err = protojson.Unmarshal([]byte(*metadata), options.Nodes.Metadata)
	}
	return options, seconds(*overSeconds), seconds(*patienceSeconds), err
}

func named(list string) ([]wire.Kind, error) {
	var kinds []wire.Kind
	for _, name := range strings.Split(list, ",") {
		kind := wire.Named(name)
		if kind == wire.Other {
			return nil, fmt.Errorf("there is no type %q", name)
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

// do carries out one command; what takes long goes on while other commands are taken.
func do(fleet *client.Fleet, command lines.Command, say func(any)) error {
	quiet := time.Duration(command.QuietMS) * time.Millisecond
	if quiet == 0 {
		quiet = defaultQuiet
	}
	switch command.Do {
	case "mark":
		kind := wire.Named(command.Type)
		if kind == wire.Other || command.Expect < 1 {
			return fmt.Errorf("cannot mark %d of %q", command.Expect, command.Type)
		}
		fleet.Board.Mark(command.ID, kind, command.Expect)
		say(about("marking", command.ID))
	case "count":
		say(struct {
			Event string          `json:"event"`
			ID    json.RawMessage `json:"id"`
			client.Counted
		}{"counted", command.ID, fleet.Tally.SinceLast()})
	case "settled":
		go func() {
			event := about("settled", command.ID)
			event["last_at"] = fleet.Settle(quiet)
			say(event)
		}()
	case "reconnect":
		go func() { say(fleet.Reconnect(command.ID, command.Target, seconds(command.Over), quiet)) }()
	case "cpu":
		event := about("cpu", command.ID)
		event["seconds"] = lines.CPU()
		say(event)
	case "rss":
		event := about("rss", command.ID)
		bytes, err := lines.RSS(command.Collect)
		event["bytes"] = bytes
		say(event)
		return err
	default:
		return fmt.Errorf("there is no command %q", command.Do)
	}
	return nil
}

func about(event string, id json.RawMessage) map[string]any {
	return map[string]any{"event": event, "id": id}
}
