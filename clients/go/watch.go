package mailsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "mailsync/gen/mailsync/v1"
)

const (
	defaultHeartbeat = 15 * time.Second
	missedHeartbeats = 3
)

// ResyncError says that the changes since the last position cannot be had: list again, then watch from that list's token.
type ResyncError struct {
	// Reason is REVISION_COMPACTED, REVISION_IN_FUTURE, STORE_EPOCH_CHANGED; FILTER_MISMATCH, RESUME_TOKEN_INVALID or
	// PAGE_TOKEN_INVALID when a token is of another filter or key; COVERAGE_GAP when the stream skipped some.
	Reason  string
	Message string
}

func (e *ResyncError) Error() string {
	return "mailsync: resync required: " + e.Reason + ": " + e.Message
}

// Break is a pause between two connections: why the first ended, how long until the next is tried.
type Break struct {
	Cause error
	Pause time.Duration
}

// Start is where a watch begins; nil is now.
type Start func(*pb.WatchEventsRequest)

// FromToken begins after the position of a resume token. It is valid for the filter it was made under or, when it came with
// a list, for that account; one of a snapshot goes on with the snapshot.
func FromToken(token string) Start {
	return func(r *pb.WatchEventsRequest) { r.Start = &pb.WatchEventsRequest_ResumeToken{ResumeToken: token} }
}

// FromOldest begins with the oldest kept event.
func FromOldest() Start {
	return func(r *pb.WatchEventsRequest) { r.Start = &pb.WatchEventsRequest_Oldest{Oldest: &pb.StartOldest{}} }
}

// FromTime begins with the first event committed then or later.
func FromTime(moment time.Time) Start {
	return func(r *pb.WatchEventsRequest) {
		r.Start = &pb.WatchEventsRequest_SinceTime{SinceTime: timestamppb.New(moment)}
	}
}

// FromSnapshot begins with the current state in chunks; the changes since follow.
func FromSnapshot() Start {
	return func(r *pb.WatchEventsRequest) {
		r.Start = &pb.WatchEventsRequest_Snapshot{Snapshot: &pb.StartSnapshot{}}
	}
}

// WatchOptions say where a watch starts and what it carries. The zero value watches everything from now on.
type WatchOptions struct {
	// Start is where to begin; nil for now.
	Start Start
	// Filter says which events; nil for all.
	Filter *pb.EventFilter
	// Heartbeat is the server's longest silence, 1 s to 300 s; zero for 15 s. Three in a row are a lost connection.
	Heartbeat time.Duration
	// Label is what the server calls this stream, [a-z0-9-]{0,63}.
	Label string
	// ResetOnCompacted asks for a reset and a snapshot instead of a [ResyncError] when the position cannot be served.
	ResetOnCompacted bool
	// Through is the coverage so far, where it was kept: partition to revision.
	Through map[uint32]uint64
	// OnBreak is told of each interruption; may be nil.
	OnBreak func(Break)
}

// Watch yields responses without end until ctx ends, and connects again by itself with back-off and full jitter.
//
// Each response covers (FromRevision, ThroughRevision] of a partition of the log and begins where the one before ended,
// also across connections and whatever the filter hid. A response's token is what the next connection begins with once the
// response after it is asked for, so what the caller was still at work on comes again and nothing is left out. The last
// yield carries an error: a [ResyncError] when the position cannot be served or a response is missing, the call's own when
// the request is refused, the context's. No deadline is set on the stream: it would end a healthy watch.
func (c *Client) Watch(ctx context.Context, options WatchOptions) iter.Seq2[*pb.WatchEventsResponse, error] {
	return watch(ctx, c.openStream, options, sleep, rand.Float64)
}

// stream is a running WatchEvents call.
type stream interface {
	Recv() (*pb.WatchEventsResponse, error)
}

// openFunc begins a call; done releases what it holds.
type openFunc func(ctx context.Context, request *pb.WatchEventsRequest) (opened stream, done func(), err error)

// openStream makes a connection for each stream: after silence the old one may be dead without knowing it.
func (c *Client) openStream(ctx context.Context, request *pb.WatchEventsRequest) (stream, func(), error) {
	conn, err := grpc.NewClient(c.address, c.options...)
	if err != nil {
		return nil, nil, err
	}
	opened, err := pb.NewEventServiceClient(conn).WatchEvents(ctx, request)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return opened, func() { conn.Close() }, nil
}

func watch(
	ctx context.Context,
	open openFunc,
	options WatchOptions,
	sleep func(context.Context, time.Duration) error,
	random func() float64,
) iter.Seq2[*pb.WatchEventsResponse, error] {
	return func(yield func(*pb.WatchEventsResponse, error) bool) {
		w := newWatcher(open, options, yield)
		for attempt := 0; ; attempt++ {
			heard, asked, err := w.connection(ctx)
			if err == errStopped {
				return
			}
			if heard {
				attempt = 0
			}
			pause, err := w.after(ctx, attempt, random(), asked, err)
			if err == nil {
				err = sleep(ctx, pause)
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

var (
	errStopped = errors.New("mailsync: the caller took no more")
	errEnded   = errors.New("the stream ended")
)

// watcher is the state of one watch across its connections.
type watcher struct {
	open      openFunc
	request   *pb.WatchEventsRequest
	heartbeat time.Duration
	through   coverage
	onBreak   func(Break)
	yield     func(*pb.WatchEventsResponse, error) bool
}

func newWatcher(open openFunc, options WatchOptions, yield func(*pb.WatchEventsResponse, error) bool) *watcher {
	w := &watcher{
		open: open,
		request: &pb.WatchEventsRequest{
			Filter: options.Filter, Label: options.Label, ResetOnCompacted: options.ResetOnCompacted,
		},
		heartbeat: options.Heartbeat,
		through:   maps.Clone(options.Through),
		onBreak:   options.OnBreak,
		yield:     yield,
	}
	if w.heartbeat == 0 {
		w.heartbeat = defaultHeartbeat
	}
	if w.through == nil {
		w.through = coverage{}
	}
	w.request.HeartbeatInterval = durationpb.New(w.heartbeat)
	if options.Start != nil {
		options.Start(w.request)
	}
	return w
}

// connection reads one stream to its end: whether anything was heard, what pause its goodbye asks for, why it ended.
func (w *watcher) connection(ctx context.Context) (heard bool, asked time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := missedHeartbeats * w.heartbeat
	clock := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing was heard for %v", silence)) })
	defer clock.Stop()

	// A copy: the request changes with every response, and gRPC may still be sending.
	opened, done, err := w.open(ctx, proto.CloneOf(w.request))
	if err != nil {
		return false, 0, err
	}
	defer done()
	for {
		response, err := opened.Recv()
		// Only waiting counts as silence, not the caller's own work.
		clock.Stop()
		if err != nil {
			return heard, asked, causeOf(ctx, err)
		}
		if err := w.through.extend(response); err != nil {
			return heard, asked, err
		}
		if !w.yield(response, nil) {
			return heard, asked, errStopped
		}
		heard, asked = true, response.GetGoodbye().GetRetryDelay().AsDuration()
		FromToken(response.GetResumeToken())(w.request)
		clock.Reset(silence)
	}
}

// causeOf prefers what ended the context over what the call made of that, and names an orderly end.
func causeOf(ctx context.Context, err error) error {
	if err == io.EOF {
		return errEnded
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// after decides what follows the end of a connection: a pause and another, or the error that ends the watch.
func (w *watcher) after(
	ctx context.Context, attempt int, random float64, asked time.Duration, err error,
) (time.Duration, error) {
	var resync *ResyncError
	if ctx.Err() != nil || errors.As(err, &resync) {
		return 0, err
	}
	failed, isStatus := status.FromError(err)
	if isStatus {
		if lost := positionLost(failed); lost != nil {
			return 0, lost
		}
		if !passing(failed.Code()) {
			return 0, err
		}
		asked = max(asked, askedPause(failed))
	}
	pause := pauseBefore(attempt, random, asked)
	if w.onBreak != nil {
		w.onBreak(Break{Cause: err, Pause: pause})
	}
	return pause, nil
}

// coverage is up to which revision each partition of the log has been seen; one never seen may begin anywhere.
type coverage map[uint32]uint64

// extend takes a response's range, or returns a ResyncError when something before it is missing.
func (c coverage) extend(response *pb.WatchEventsResponse) error {
	if response.GetReset_() != nil {
		// Everything known is void, what was covered of the other partitions too.
		clear(c)
	}
	seen, known := c[response.GetPartition()]
	if known && seen != response.GetFromRevision() {
		return &ResyncError{
			Reason:  "COVERAGE_GAP",
			Message: fmt.Sprintf("a response begins at revision %d, not at %d", response.GetFromRevision(), seen),
		}
	}
	c[response.GetPartition()] = response.GetThroughRevision()
	return nil
}
