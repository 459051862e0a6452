// Command mirror mirrors one account into a file and says what it holds: list, then watch with a resume token, across
// restarts of both.
//
//	mirror --account accounts/demo --state demo.json --until-quiet
//
// Whenever all is quiet and something has changed it prints the revision it has reached and the state hash
// (clients/README.md). The file holds token and envelopes together and is replaced in one step, so that whatever is
// interrupted goes on where the file stands. With --snapshot the watch brings the state and nothing is listed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"mailsync"
	pb "mailsync/gen/mailsync/v1"
)

type settings struct {
	address, ca, account, state string
	heartbeat                   time.Duration
	snapshot, untilQuiet        bool
}

func main() {
	log.SetFlags(0)
	var chosen settings
	flag.StringVar(&chosen.address, "address", "127.0.0.1:50051", "host:port or unix:/path of the service")
	flag.StringVar(&chosen.ca, "ca", "", "PEM file to trust; asks for TLS")
	flag.StringVar(&chosen.account, "account", "", "accounts/{account}")
	flag.StringVar(&chosen.state, "state", "", "file that keeps the mirror")
	flag.DurationVar(&chosen.heartbeat, "heartbeat", time.Second, "silence that counts as quiet")
	flag.BoolVar(&chosen.snapshot, "snapshot", false, "begin with a snapshot instead of a list")
	flag.BoolVar(&chosen.untilQuiet, "until-quiet", false, "end when all is quiet")
	flag.Parse()
	if chosen.account == "" || chosen.state == "" {
		log.Fatal("mirror: --account and --state are required")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, chosen); err != nil && ctx.Err() == nil {
		log.Fatal("mirror: ", err)
	}
}

// run follows the account until stopped, or until all is quiet.
func run(ctx context.Context, chosen settings) error {
	mirror, err := load(chosen.state, chosen.account)
	if err != nil {
		return err
	}
	client, err := mailsync.Dial(
		chosen.address, mailsync.Credentials{Token: os.Getenv("MAILSYNC_TOKEN"), CA: chosen.ca},
	)
	if err != nil {
		return err
	}
	defer client.Close()
	quiet, said := &quiet{}, ""
	options := mailsync.FollowOptions{
		Snapshot: chosen.snapshot, Heartbeat: chosen.heartbeat, Label: "mirror", OnBreak: quiet.interrupted,
	}
	for response, err := range client.Follow(ctx, mirror, options) {
		if err != nil {
			return err
		}
		if err := save(chosen.state, mirror); err != nil {
			return err
		}
		if !quiet.heard(response) || !mirror.CaughtUp() {
			continue
		}
		if state := mailsync.StateHash(mirror.Envelopes()); state != said {
			fmt.Println(response.GetThroughRevision(), state)
			said = state
		}
		if chosen.untilQuiet {
			return nil
		}
	}
	return nil
}

// quiet tells when all is quiet: a heartbeat that follows another one on the same connection. The first one of a
// connection only tells where it begins.
type quiet struct{ heartbeats int }

// heard tells whether nothing happened for the whole interval before this response.
func (q *quiet) heard(response *pb.WatchEventsResponse) bool {
	if response.GetHeartbeat() == nil {
		q.heartbeats = 0
		return false
	}
	q.heartbeats++
	return q.heartbeats > 1
}

// interrupted begins anew, and tells people beside the output why nothing comes at the moment.
func (q *quiet) interrupted(pause mailsync.Break) {
	q.heartbeats = 0
	log.Printf("interrupted (%v), trying again in %v", pause.Cause, pause.Pause.Round(100*time.Millisecond))
}

// kept is the file: position and items of one and the same moment.
type kept struct {
	Position mailsync.Position `json:"position"`
	Items    []keptItem        `json:"items"`
}

type keptItem struct {
	Revision uint64 `json:"revision"`
	Envelope []byte `json:"envelope"`
}

// load returns the mirror that save left, or an empty one.
func load(path, account string) (*mailsync.Mirror, error) {
	mirror := mailsync.NewMirror(account)
	octets, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mirror, nil
	}
	var file kept
	if err == nil {
		err = json.Unmarshal(octets, &file)
	}
	if err != nil {
		return nil, err
	}
	mirror.Position = file.Position
	for _, item := range file.Items {
		envelope := &pb.Envelope{}
		if err := proto.Unmarshal(item.Envelope, envelope); err != nil {
			return nil, err
		}
		mirror.Restore(mailsync.Item{Envelope: envelope, Revision: item.Revision})
	}
	return mirror, nil
}

// save replaces the file by the present state, or leaves it as it was.
func save(path string, mirror *mailsync.Mirror) error {
	file := kept{Position: mirror.Position}
	for _, item := range mirror.Items() {
		envelope, err := proto.Marshal(item.Envelope)
		if err != nil {
			return err
		}
		file.Items = append(file.Items, keptItem{item.Revision, envelope})
	}
	octets, err := json.Marshal(file)
	if err != nil {
		return err
	}
	if err := write(path+".new", octets); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// write makes a file and waits until it is on the disk: after a power cut its name may otherwise stand for an empty one.
func write(path string, octets []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(octets)
	return errors.Join(err, file.Sync(), file.Close())
}
