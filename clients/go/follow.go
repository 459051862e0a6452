package mailsync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "mailsync/gen/mailsync/v1"
)

const (
	callTimeout = 30 * time.Second
	pageSize    = 1000
	maxRanges   = 1000
)

// FollowOptions say how to follow. The zero value will do.
type FollowOptions struct {
	// Snapshot has the watch itself bring the state, in place of a list.
	Snapshot bool
	// Heartbeat and Label are as in WatchOptions.
	Heartbeat time.Duration
	Label     string
	// OnBreak is told of each interruption, resyncs included; may be nil.
	OnBreak func(Break)
}

// Follow keeps a mirror in step without end; it yields each response once that is applied, when the mirror may be stored.
//
// A mirror without token is listed first, and again whenever its position is lost. The token of the first page is older
// than everything listed after it, so no change between the pages is missed; the mirror is given it when the list is
// complete, since one that is cut short must not be gone on from. A snapshot is such a list that comes in the watch itself;
// each of its tokens goes on with it. The last yield carries an error: the context's, or that of a call the service
// refuses, for instance because there is no such account.
func (c *Client) Follow(
	ctx context.Context, mirror *Mirror, options FollowOptions,
) iter.Seq2[*pb.WatchEventsResponse, error] {
	reads := &reader{client: c, mirror: mirror, onBreak: options.OnBreak}
	return func(yield func(*pb.WatchEventsResponse, error) bool) {
		for attempt := 0; ; attempt++ {
			caughtUp, err := reads.followOnce(ctx, options, yield)
			if caughtUp {
				attempt = 0
			}
			var resync *ResyncError
			if errors.As(err, &resync) {
				mirror.Reset()
				// A store made anew is told to all its clients at the same moment.
				pause := pauseBefore(attempt, rand.Float64(), 0)
				reads.broken(Break{Cause: err, Pause: pause})
				err = sleep(ctx, pause)
			}
			if err == errStopped {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// reader reads what a mirror asks for, trying again as long as the failure is a passing one.
type reader struct {
	client  *Client
	mirror  *Mirror
	onBreak func(Break)
}

// followOnce reads and watches until the position is lost or an error; caughtUp tells whether the mirror ever was.
func (r *reader) followOnce(
	ctx context.Context, options FollowOptions, yield func(*pb.WatchEventsResponse, error) bool,
) (caughtUp bool, err error) {
	start, err := r.begin(ctx, options.Snapshot)
	if err != nil {
		return false, err
	}
	for response, err := range r.client.Watch(ctx, WatchOptions{
		Start:            start,
		Filter:           &pb.EventFilter{Accounts: []string{r.mirror.Account}, Types: EventTypes},
		Heartbeat:        options.Heartbeat,
		Label:            options.Label,
		ResetOnCompacted: options.Snapshot,
		Through:          r.mirror.Through,
		OnBreak:          options.OnBreak,
	}) {
		if err == nil {
			err = r.absorb(ctx, response)
		}
		if err != nil {
			return caughtUp, err
		}
		caughtUp = caughtUp || r.mirror.CaughtUp()
		if !yield(response, nil) {
			return caughtUp, errStopped
		}
	}
	return caughtUp, errStopped
}

// begin tells where to watch from, having listed what a mirror without token does not get by a snapshot.
func (r *reader) begin(ctx context.Context, snapshot bool) (Start, error) {
	switch {
	case r.mirror.Token != "":
		return FromToken(r.mirror.Token), nil
	case snapshot:
		r.mirror.Reset()
		r.mirror.Partial = true
		return FromSnapshot(), nil
	}
	r.mirror.Reset()
	token, err := r.readAccount(ctx)
	if err != nil {
		return nil, err
	}
	r.mirror.Token = token
	return FromToken(token), nil
}

// absorb applies a response, reads included. What must be read is read at once, so it is never older than its event.
func (r *reader) absorb(ctx context.Context, response *pb.WatchEventsResponse) error {
	if reset := response.GetReset_(); reset != nil {
		reason := strings.TrimPrefix(reset.GetReason().String(), "ERROR_REASON_")
		r.broken(Break{Cause: fmt.Errorf("%s: a snapshot follows", reason)})
	}
	if err := r.readAll(ctx, r.mirror.Heed(response)); err != nil {
		return err
	}
	for _, event := range response.GetEvents() {
		if err := r.readAll(ctx, r.mirror.Apply(event)); err != nil {
			return err
		}
	}
	r.mirror.Advance(response)
	return nil
}

// readAccount puts every envelope of every selected folder; it returns the token of the first page.
func (r *reader) readAccount(ctx context.Context) (token string, err error) {
	request := &pb.ListFoldersRequest{Parent: r.mirror.Account, SelectedOnly: true}
	var folders []Read
	for {
		page, err := call(ctx, r, r.client.Folders.ListFolders, request)
		if err != nil {
			return "", err
		}
		if request.GetPageToken() == "" {
			token = page.GetResumeToken()
		}
		for _, folder := range page.GetFolders() {
			folders = append(folders, Read{Folder: folder.GetName()})
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return token, r.readAll(ctx, folders)
		}
	}
}

func (r *reader) readAll(ctx context.Context, reads []Read) error {
	for _, read := range reads {
		if err := r.read(ctx, read); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) read(ctx context.Context, read Read) error {
	var err error
	switch {
	case read.Envelope != "":
		err = r.readEnvelope(ctx, read.Envelope)
	case read.Folder != "":
		err = r.readFolder(ctx, read)
	default:
		_, err = r.readAccount(ctx)
	}
	if gone(err) {
		return nil
	}
	return err
}

// gone tells whether what was to be read is gone or renumbered since the event: an event still to come says so.
func gone(err error) bool {
	failed, isStatus := status.FromError(err)
	return isStatus && (failed.Code() == codes.NotFound || reasonOf(failed) == "UID_VALIDITY_CHANGED")
}

func (r *reader) readEnvelope(ctx context.Context, name string) error {
	request := &pb.GetEnvelopeRequest{Name: name, View: pb.EnvelopeView_ENVELOPE_VIEW_FULL}
	answer, err := call(ctx, r, r.client.Envelopes.GetEnvelope, request)
	if err == nil {
		r.mirror.Put([]*pb.Envelope{answer.GetEnvelope()}, answer.GetReadRevision())
	}
	return err
}

func (r *reader) readFolder(ctx context.Context, read Read) error {
	request := &pb.ListEnvelopesRequest{
		Parent:   read.Folder,
		Filter:   &pb.EnvelopeFilter{Uids: bounded(read.UIDs)},
		View:     pb.EnvelopeView_ENVELOPE_VIEW_FULL,
		PageSize: pageSize,
	}
	for {
		page, err := call(ctx, r, r.client.Envelopes.ListEnvelopes, request)
		if err != nil {
			return err
		}
		r.mirror.Put(page.GetEnvelopes(), page.GetReadRevision())
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return nil
		}
	}
}

func (r *reader) broken(pause Break) {
	if r.onBreak != nil {
		r.onBreak(pause)
	}
}

// call makes one call with a deadline, and again after a pause while the failure is a passing one.
func call[Request, Response any](
	ctx context.Context,
	r *reader,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
) (Response, error) {
	for attempt := 0; ; attempt++ {
		limited, cancel := context.WithTimeout(ctx, callTimeout)
		response, err := method(limited, request)
		cancel()
		if err == nil {
			return response, nil
		}
		failed := status.Convert(err)
		if lost := positionLost(failed); lost != nil {
			return response, lost
		}
		if ctx.Err() != nil || !passing(failed.Code()) {
			return response, err
		}
		pause := pauseBefore(attempt, rand.Float64(), askedPause(failed))
		r.broken(Break{Cause: err, Pause: pause})
		if err := sleep(ctx, pause); err != nil {
			return response, err
		}
	}
}

// bounded returns these ranges, or one over all of them where they are too many for a request: reading more does no harm.
func bounded(uids []*pb.UidRange) []*pb.UidRange {
	if len(uids) <= maxRanges {
		return uids
	}
	whole := &pb.UidRange{First: uids[0].GetFirst(), Last: uids[0].GetLast()}
	for _, span := range uids {
		whole.First = min(whole.First, span.GetFirst())
		whole.Last = max(whole.Last, span.GetLast())
	}
	return []*pb.UidRange{whole}
}
