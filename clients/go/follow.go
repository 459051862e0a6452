package mailsync

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
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
	// Heartbeat is as in WatchOptions.
	Heartbeat time.Duration
	// OnBreak is told of each interruption, resyncs included; may be nil.
	OnBreak func(Break)
}

// Follow keeps a mirror in step without end; it yields each response once that is applied, when the mirror may be stored.
//
// A mirror without token is listed first, and again whenever its position is lost. The token of the first page is older
// than everything listed after it, so no change between the pages is missed. The last yield carries an error: the context's,
// or that of a call the service refuses, for instance because there is no such account.
func (c *Client) Follow(
	ctx context.Context, mirror *Mirror, options FollowOptions,
) iter.Seq2[*pb.WatchEventsResponse, error] {
	reads := &reader{client: c, mirror: mirror, onBreak: options.OnBreak}
	return func(yield func(*pb.WatchEventsResponse, error) bool) {
		for {
			err := reads.followOnce(ctx, options, yield)
			var resync *ResyncError
			switch {
			case err == errStopped:
				return
			case !errors.As(err, &resync):
				yield(nil, err)
				return
			}
			reads.broken(Break{Cause: err})
			mirror.Reset("")
		}
	}
}

// reader reads what a mirror asks for, trying again as long as the failure is a passing one.
type reader struct {
	client  *Client
	mirror  *Mirror
	onBreak func(Break)
}

func (r *reader) followOnce(
	ctx context.Context, options FollowOptions, yield func(*pb.WatchEventsResponse, error) bool,
) error {
	if r.mirror.Token == "" {
		if err := r.listAll(ctx); err != nil {
			return err
		}
	}
	for response, err := range r.client.Watch(ctx, WatchOptions{
		ResumeToken: r.mirror.Token,
		Filter:      &pb.EventFilter{Accounts: []string{r.mirror.Account}, Types: EventTypes},
		Heartbeat:   options.Heartbeat,
		Through:     r.mirror.Through,
		OnBreak:     options.OnBreak,
	}) {
		if err == nil {
			err = r.absorb(ctx, response)
		}
		if err != nil {
			return err
		}
		if !yield(response, nil) {
			return errStopped
		}
	}
	return errStopped
}

// absorb applies a response, reads included. What must be read is read at once, so it is never older than its event.
func (r *reader) absorb(ctx context.Context, response *pb.WatchEventsResponse) error {
	for _, event := range response.GetEvents() {
		for _, read := range r.mirror.Apply(event) {
			if err := r.read(ctx, read); err != nil {
				return err
			}
		}
	}
	r.mirror.Advance(response)
	return nil
}

// listAll puts every envelope of every selected folder.
func (r *reader) listAll(ctx context.Context) error {
	request := &pb.ListFoldersRequest{Parent: r.mirror.Account, SelectedOnly: true}
	var folders []*pb.Folder
	for {
		page, err := call(ctx, r, r.client.Folders.ListFolders, request)
		if err != nil {
			return err
		}
		if request.GetPageToken() == "" {
			r.mirror.Reset(page.GetResumeToken())
		}
		folders = append(folders, page.GetFolders()...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	for _, folder := range folders {
		if err := r.read(ctx, Read{Folder: folder.GetName()}); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) read(ctx context.Context, read Read) error {
	var err error
	if read.Envelope != "" {
		err = r.readEnvelope(ctx, read.Envelope)
	} else {
		err = r.readFolder(ctx, read)
	}
	switch status.Code(err) {
	case codes.NotFound, codes.FailedPrecondition:
		// The message or its folder is gone, or renumbered, since the event: an event still to come says so.
		return nil
	default:
		return err
	}
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
		if err == nil || ctx.Err() != nil || !passing(status.Code(err)) {
			return response, err
		}
		pause := pauseBefore(attempt, rand.Float64(), askedPause(status.Convert(err)))
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
