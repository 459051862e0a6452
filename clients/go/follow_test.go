package mailsync

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "mailsync/gen/mailsync/v1"
)

// service lists one folder, a message a page, and hands out watches in order; refusals are of list calls to come.
type service struct {
	pb.UnimplementedFolderServiceServer
	pb.UnimplementedEnvelopeServiceServer
	pb.UnimplementedEventServiceServer
	messages []*pb.Envelope
	refusals []error
	watches  []script
	asked    []*pb.WatchEventsRequest
	lists    int
}

func (s *service) ListFolders(context.Context, *pb.ListFoldersRequest) (*pb.ListFoldersResponse, error) {
	s.lists++
	return &pb.ListFoldersResponse{
		Folders: []*pb.Folder{{Name: inbox}}, ResumeToken: "list " + strconv.Itoa(s.lists),
	}, nil
}

func (s *service) ListEnvelopes(
	_ context.Context, request *pb.ListEnvelopesRequest,
) (*pb.ListEnvelopesResponse, error) {
	if len(s.refusals) > 0 {
		refusal := s.refusals[0]
		s.refusals = s.refusals[1:]
		if refusal != nil {
			return nil, refusal
		}
	}
	at, _ := strconv.Atoi(request.GetPageToken())
	response := &pb.ListEnvelopesResponse{Envelopes: s.messages[at : at+1], ReadRevision: 10}
	if at+1 < len(s.messages) {
		response.NextPageToken = strconv.Itoa(at + 1)
	}
	return response, nil
}

func (s *service) WatchEvents(
	request *pb.WatchEventsRequest, stream grpc.ServerStreamingServer[pb.WatchEventsResponse],
) error {
	s.asked = append(s.asked, request)
	next := s.watches[0]
	s.watches = s.watches[1:]
	for _, response := range next.responses {
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	return next.end
}

func (s *service) dial(t *testing.T) *Client {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterFolderServiceServer(server, s)
	pb.RegisterEnvelopeServiceServer(server, s)
	pb.RegisterEventServiceServer(server, s)
	go server.Serve(listener)
	client, err := Dial(listener.Addr().String(), Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Stop()
	})
	return client
}

// follow takes n responses; it returns what it was told of interruptions, and the error that ended it before.
func follow(t *testing.T, client *Client, mirror *Mirror, n int, snapshot bool) (breaks []string, err error) {
	options := FollowOptions{
		Snapshot: snapshot, Label: "test", OnBreak: func(pause Break) { breaks = append(breaks, pause.Cause.Error()) },
	}
	for _, err := range client.Follow(t.Context(), mirror, options) {
		if err != nil {
			return breaks, err
		}
		if n--; n == 0 {
			break
		}
	}
	return breaks, nil
}

func TestAnAccountIsListedThenWatchedFromTheTokenOfTheFirstPage(t *testing.T) {
	s := &service{messages: []*pb.Envelope{message(inbox, 1, false), message(inbox, 2, false)}}
	s.watches = []script{says(covering(10, 10))}
	mirror := NewMirror(account)
	if _, err := follow(t, s.dial(t), mirror, 1, false); err != nil {
		t.Fatal(err)
	}
	expect(t, mirror, s.messages...)
	asked := s.asked[0]
	if asked.GetResumeToken() != "list 1" || asked.GetResetOnCompacted() || asked.GetLabel() != "test" || !mirror.CaughtUp() {
		t.Errorf("asked for %v", asked)
	}
}

func TestAListThatIsCutShortLeavesNoTokenToGoOnFrom(t *testing.T) {
	s := &service{messages: []*pb.Envelope{message(inbox, 1, false), message(inbox, 2, false)}}
	s.refusals = []error{nil, status.Error(codes.Unauthenticated, "revoked")}
	s.watches = []script{says(covering(10, 10))}
	client, mirror := s.dial(t), NewMirror(account)
	if _, err := follow(t, client, mirror, 1, false); status.Code(err) != codes.Unauthenticated || mirror.Token != "" {
		t.Errorf("got %v with the token %q", err, mirror.Token)
	}
	// The same mirror, followed again, is listed again.
	if _, err := follow(t, client, mirror, 1, false); err != nil || s.asked[0].GetResumeToken() != "list 2" {
		t.Errorf("got %v, asked for %v", err, s.asked)
	}
	expect(t, mirror, s.messages...)
}

func TestAListThatItsContextEndsLeavesNoTokenToGoOnFrom(t *testing.T) {
	s := &service{messages: []*pb.Envelope{message(inbox, 1, false), message(inbox, 2, false)}}
	ctx, cancel := context.WithCancel(t.Context())
	s.refusals = []error{nil, status.Error(codes.Unavailable, "later")}
	mirror := NewMirror(account)
	stop := FollowOptions{OnBreak: func(Break) { cancel() }}
	for _, err := range s.dial(t).Follow(ctx, mirror, stop) {
		if !errors.Is(err, context.Canceled) || mirror.Token != "" {
			t.Errorf("got %v with the token %q", err, mirror.Token)
		}
	}
}

func TestALostPositionIsToldAndEverythingListedAnew(t *testing.T) {
	s := &service{messages: []*pb.Envelope{message(inbox, 3, false)}}
	s.watches = []script{failing(codes.OutOfRange, "REVISION_COMPACTED", 0), says(covering(20, 20))}
	mirror := holding(5, 1)
	mirror.Position = Position{Token: "old", Through: map[uint32]uint64{0: 5}}
	breaks, err := follow(t, s.dial(t), mirror, 1, false)
	if err != nil || len(breaks) != 1 || !strings.Contains(breaks[0], "REVISION_COMPACTED") {
		t.Errorf("got %v, told %q", err, breaks)
	}
	expect(t, mirror, s.messages...)
}

func TestAPageTokenThatHoldsNoMoreBeginsTheListAgain(t *testing.T) {
	s := &service{messages: []*pb.Envelope{message(inbox, 1, false), message(inbox, 2, false)}}
	s.refusals = []error{nil, failing(codes.InvalidArgument, "PAGE_TOKEN_INVALID", 0).end}
	s.watches = []script{says(covering(10, 10))}
	mirror := NewMirror(account)
	if _, err := follow(t, s.dial(t), mirror, 1, false); err != nil || s.asked[0].GetResumeToken() != "list 2" {
		t.Errorf("got %v, asked for %v", err, s.asked)
	}
	expect(t, mirror, s.messages...)
}

func TestWhatIsGoneBeforeItIsReadIsNoErrorAndAllElseIs(t *testing.T) {
	for _, refusal := range []struct {
		code   codes.Code
		reason string
		fine   bool
	}{
		{codes.NotFound, "FOLDER_NOT_FOUND", true},
		{codes.FailedPrecondition, "UID_VALIDITY_CHANGED", true},
		{codes.FailedPrecondition, "ACCOUNT_PAUSED", false},
	} {
		s := &service{watches: []script{says(covering(10, 10))}}
		s.refusals = []error{failing(refusal.code, refusal.reason, 0).end}
		if _, err := follow(t, s.dial(t), NewMirror(account), 1, false); (err == nil) != refusal.fine {
			t.Errorf("%s: got %v", refusal.reason, err)
		}
	}
}

func TestASnapshotNeedsNoList(t *testing.T) {
	first, second := message(inbox, 1, false), message(inbox, 2, false)
	s := &service{watches: []script{says(chunkAt(10, 10, first), chunkAt(10, 10, second)), says(snapshotEnd(10))}}
	client, mirror := s.dial(t), NewMirror(account)
	if _, err := follow(t, client, mirror, 2, true); err != nil || mirror.CaughtUp() {
		t.Errorf("got %v", err)
	}
	if _, err := follow(t, client, mirror, 1, true); err != nil || !mirror.CaughtUp() {
		t.Errorf("got %v", err)
	}
	expect(t, mirror, first, second)
	if s.lists > 0 || s.asked[0].GetSnapshot() == nil || !s.asked[0].GetResetOnCompacted() {
		t.Errorf("listed %d times, asked for %v", s.lists, s.asked)
	}
	if s.asked[1].GetResumeToken() != "at 10" {
		t.Errorf("went on from %v", s.asked[1])
	}
}

func TestAResetIsToldAndGoneOnFromInTheSameStream(t *testing.T) {
	reset := covering(10, 10)
	reset.Control = &pb.WatchEventsResponse_Reset_{
		Reset_: &pb.Reset{Reason: pb.ErrorReason_ERROR_REASON_REVISION_COMPACTED},
	}
	s := &service{watches: []script{says(reset, chunkAt(10, 10, message(inbox, 3, false)), snapshotEnd(10))}}
	mirror := holding(4, 1)
	mirror.Position = Position{Token: "old", Through: map[uint32]uint64{0: 5}}
	breaks, err := follow(t, s.dial(t), mirror, 3, true)
	if err != nil || len(breaks) != 1 || breaks[0] != "REVISION_COMPACTED: a snapshot follows" {
		t.Errorf("got %v, told %q", err, breaks)
	}
	expect(t, mirror, message(inbox, 3, false))
}

func TestAGapInSnapshotModeBeginsANewSnapshot(t *testing.T) {
	s := &service{watches: []script{
		says(chunkAt(10, 10, message(inbox, 1, false)), covering(12, 12)),
		says(chunkAt(20, 20, message(inbox, 2, false)), snapshotEnd(20)),
	}}
	mirror := NewMirror(account)
	if _, err := follow(t, s.dial(t), mirror, 3, true); err != nil || s.asked[1].GetSnapshot() == nil {
		t.Errorf("got %v, asked for %v", err, s.asked)
	}
	expect(t, mirror, message(inbox, 2, false))
}

func TestAnAccountThatComesIntoSightIsListed(t *testing.T) {
	visible := covering(10, 10)
	visible.Control = &pb.WatchEventsResponse_AccountVisible{AccountVisible: &pb.AccountVisible{Account: account}}
	s := &service{messages: []*pb.Envelope{message(inbox, 1, false)}, watches: []script{says(snapshotEnd(10), visible)}}
	mirror := NewMirror(account)
	if _, err := follow(t, s.dial(t), mirror, 2, true); err != nil {
		t.Fatal(err)
	}
	expect(t, mirror, s.messages...)
}
