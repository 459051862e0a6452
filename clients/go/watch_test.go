package mailsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "mailsync/gen/mailsync/v1"
)

// script is what one connection says: responses, then an error (io.EOF when it is nil).
type script struct {
	responses []*pb.WatchEventsResponse
	end       error
}

// server hands out scripted connections in order and notes what was asked for and how long was slept.
type server struct {
	t        *testing.T
	scripts  []script
	requests []*pb.WatchEventsRequest
	slept    []time.Duration
	random   float64
}

func (s *server) open(ctx context.Context, request *pb.WatchEventsRequest) (stream, func(), error) {
	if _, limited := ctx.Deadline(); limited {
		s.t.Error("a watch has a deadline")
	}
	s.requests = append(s.requests, request)
	next := s.scripts[0]
	s.scripts = s.scripts[1:]
	return &scripted{ctx, next}, func() {}, nil
}

func (s *server) tokens() (tokens []string) {
	for _, request := range s.requests {
		tokens = append(tokens, request.GetResumeToken())
	}
	return tokens
}

func (s *server) sleep(_ context.Context, pause time.Duration) error {
	s.slept = append(s.slept, pause)
	return nil
}

func (s *server) watch(heartbeat time.Duration) iter.Seq2[*pb.WatchEventsResponse, error] {
	options := WatchOptions{Start: FromToken("first"), Heartbeat: heartbeat}
	return watch(s.t.Context(), s.open, options, s.sleep, func() float64 { return s.random })
}

// take returns the revisions of the first n responses and the error that ended the watch, if it ended before.
func (s *server) take(n int) (revisions []uint64, err error) {
	for response, err := range s.watch(time.Minute) {
		if err != nil {
			return revisions, err
		}
		if revisions = append(revisions, response.GetThroughRevision()); len(revisions) == n {
			break
		}
	}
	return revisions, nil
}

type scripted struct {
	ctx context.Context
	script
}

// errSilence stands for a connection that is dead without knowing it: a read ends only when the call is cancelled.
var errSilence = errors.New("silence")

func (s *scripted) Recv() (*pb.WatchEventsResponse, error) {
	if len(s.responses) > 0 {
		response := s.responses[0]
		s.responses = s.responses[1:]
		return response, nil
	}
	if s.end == errSilence {
		<-s.ctx.Done()
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
	if s.end == nil {
		return nil, io.EOF
	}
	return nil, s.end
}

func covering(from, through uint64) *pb.WatchEventsResponse {
	return &pb.WatchEventsResponse{
		FromRevision:    from,
		ThroughRevision: through,
		ResumeToken:     fmt.Sprintf("at %d", through),
		Control:         &pb.WatchEventsResponse_Heartbeat{Heartbeat: &pb.Heartbeat{}},
	}
}

func says(responses ...*pb.WatchEventsResponse) script { return script{responses: responses} }

func failing(code codes.Code, reason string, retry time.Duration) script {
	failed := status.New(code, "as scripted")
	detailed, err := failed.WithDetails(
		&errdetails.ErrorInfo{Domain: "mailsync", Reason: reason},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)},
	)
	if err != nil {
		panic(err)
	}
	return script{end: detailed.Err()}
}

func TestALostConnectionIsMadeAgainWithTheLastTokenAndNothingIsLeftOut(t *testing.T) {
	broken := says(covering(0, 3), covering(3, 5))
	broken.end = status.Error(codes.Unavailable, "gone")
	s := &server{t: t, scripts: []script{broken, says(covering(5, 6))}}
	revisions, err := s.take(3)
	if err != nil || !slices.Equal(revisions, []uint64{3, 5, 6}) {
		t.Errorf("got %v, %v", revisions, err)
	}
	if !slices.Equal(s.tokens(), []string{"first", "at 5"}) {
		t.Errorf("resumed from %v", s.tokens())
	}
}

func TestAGapIsNoticedWithinAConnectionAndAcross(t *testing.T) {
	for name, scripts := range map[string][]script{
		"within": {says(covering(0, 3), covering(4, 5))},
		"across": {says(covering(0, 3)), says(covering(2, 5))},
	} {
		t.Run(name, func(t *testing.T) {
			var resync *ResyncError
			_, err := (&server{t: t, scripts: scripts}).take(2)
			if !errors.As(err, &resync) || resync.Reason != "COVERAGE_GAP" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEachPartitionOfTheLogIsCoveredByItself(t *testing.T) {
	other := covering(40, 41)
	other.Partition = 1
	seen := coverage{}
	for _, response := range []*pb.WatchEventsResponse{covering(7, 9), other, covering(9, 10)} {
		if err := seen.extend(response); err != nil {
			t.Fatal(err)
		}
	}
	if seen[0] != 10 || seen[1] != 41 {
		t.Errorf("covered %v", seen)
	}
}

func TestAfterAResetCoverageBeginsAnewInEveryPartition(t *testing.T) {
	seen := coverage{0: 9, 1: 7}
	reset := covering(100, 100)
	reset.Control = &pb.WatchEventsResponse_Reset_{Reset_: &pb.Reset{}}
	if err := seen.extend(reset); err != nil || seen[0] != 100 || len(seen) != 1 {
		t.Errorf("got %v, %v", seen, err)
	}
}

func TestAPauseIsDrawnBetweenHalfASecondAndADoublingCeilingOfThirty(t *testing.T) {
	for attempt, ceiling := range map[int]time.Duration{
		0: time.Second, 1: 2 * time.Second, 5: longestPause, 6: longestPause, 1000: longestPause,
	} {
		if got := pauseBefore(attempt, 0, 0); got != shortestPause {
			t.Errorf("attempt %d: at least %v", attempt, got)
		}
		if got := pauseBefore(attempt, 1, 0); got != ceiling {
			t.Errorf("attempt %d: at most %v, not %v", attempt, got, ceiling)
		}
	}
}

func TestWhatTheServerAsksOfAllAtOnceIsWaitedForAndSpread(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 12 * time.Second, 1: 12*time.Second + 500*time.Millisecond} {
		if got := pauseBefore(0, random, 12*time.Second); got != want {
			t.Errorf("the server asked for 12 s and got %v, not %v", got, want)
		}
	}
}

func TestPausesGrowWhileNothingIsHeardAndBeginAnewAfterAResponse(t *testing.T) {
	refused := failing(codes.Unavailable, "", 0)
	s := &server{t: t, random: 1, scripts: []script{refused, refused, refused, says(covering(0, 1)), says(covering(1, 2))}}
	if _, err := s.take(2); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, time.Second}; !slices.Equal(s.slept, want) {
		t.Errorf("slept %v", s.slept)
	}
}

func TestGoodbyeAndRetryInfoSayHowLongToWait(t *testing.T) {
	goodbye := covering(0, 1)
	goodbye.Control = &pb.WatchEventsResponse_Goodbye{
		Goodbye: &pb.Goodbye{RetryDelay: durationpb.New(7 * time.Second)},
	}
	overload := failing(codes.ResourceExhausted, "WATCH_LIMIT", 40*time.Second)
	s := &server{t: t, scripts: []script{says(goodbye), overload, says(covering(1, 2))}}
	if _, err := s.take(2); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{7 * time.Second, 40 * time.Second}; !slices.Equal(s.slept, want) {
		t.Errorf("slept %v", s.slept)
	}
}

func TestThreeMissedHeartbeatsAreALostConnection(t *testing.T) {
	var cause string
	s := &server{t: t, scripts: []script{{end: errSilence}, says(covering(0, 1))}}
	options := WatchOptions{
		Heartbeat: 20 * time.Millisecond,
		OnBreak:   func(pause Break) { cause = pause.Cause.Error() },
	}
	for response, err := range watch(t.Context(), s.open, options, s.sleep, func() float64 { return 0 }) {
		if err != nil || response.GetThroughRevision() != 1 {
			t.Errorf("got %v, %v", response, err)
		}
		break
	}
	if cause != "nothing was heard for 60ms" {
		t.Errorf("the break was told as %q", cause)
	}
}

func TestASlowCallerIsNotTakenForASilentServer(t *testing.T) {
	s := &server{t: t, scripts: []script{says(covering(0, 1), covering(1, 2))}}
	for response, err := range s.watch(10 * time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		if response.GetThroughRevision() == 2 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if len(s.slept) > 0 {
		t.Errorf("paused %v", s.slept)
	}
}

func TestOutOfRangeDemandsAResyncAndSaysWhy(t *testing.T) {
	for _, reason := range []string{"REVISION_COMPACTED", "REVISION_IN_FUTURE", "STORE_EPOCH_CHANGED"} {
		var resync *ResyncError
		_, err := (&server{t: t, scripts: []script{failing(codes.OutOfRange, reason, 0)}}).take(1)
		if !errors.As(err, &resync) || resync.Reason != reason {
			t.Errorf("%s: got %v", reason, err)
		}
	}
}

func TestATokenOfAnotherFilterOrKeyDemandsAResync(t *testing.T) {
	for _, reason := range []string{"FILTER_MISMATCH", "RESUME_TOKEN_INVALID"} {
		var resync *ResyncError
		_, err := (&server{t: t, scripts: []script{failing(codes.InvalidArgument, reason, 0)}}).take(1)
		if !errors.As(err, &resync) || resync.Reason != reason {
			t.Errorf("%s: got %v", reason, err)
		}
	}
}

func TestARefusedRequestEndsTheWatchSinceRepeatingItWouldNotHelp(t *testing.T) {
	for _, code := range []codes.Code{codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied} {
		if _, err := (&server{t: t, scripts: []script{failing(code, "", 0)}}).take(1); status.Code(err) != code {
			t.Errorf("%v: got %v", code, err)
		}
	}
}

func TestAWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &server{t: t, scripts: []script{{responses: []*pb.WatchEventsResponse{covering(0, 1)}, end: errSilence}}}
	var last error
	for _, err := range watch(ctx, s.open, WatchOptions{}, sleep, func() float64 { return 0 }) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("ended with %v", last)
	}
}
