package mailsync

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	pb "mailsync/gen/mailsync/v1"
)

func TestAWatchBeginsWhereItIsToldToAndNeverByALostTokenAtNow(t *testing.T) {
	moment := time.Date(2026, 7, 1, 12, 0, 0, 250e6, time.UTC)
	for name, as := range map[string]struct {
		start Start
		holds func(*pb.WatchEventsRequest) bool
	}{
		"now":      {nil, func(r *pb.WatchEventsRequest) bool { return r.GetStart() == nil }},
		"oldest":   {FromOldest(), func(r *pb.WatchEventsRequest) bool { return r.GetOldest() != nil }},
		"snapshot": {FromSnapshot(), func(r *pb.WatchEventsRequest) bool { return r.GetSnapshot() != nil }},
		"time": {FromTime(moment), func(r *pb.WatchEventsRequest) bool {
			return r.GetSinceTime().AsTime().Equal(moment)
		}},
		"lost token": {FromToken(""), func(r *pb.WatchEventsRequest) bool {
			_, isToken := r.GetStart().(*pb.WatchEventsRequest_ResumeToken)
			return isToken
		}},
	} {
		if w := newWatcher(nil, WatchOptions{Start: as.start}, nil); !as.holds(w.request) {
			t.Errorf("%s: begins at %v", name, w.request)
		}
	}
}

func TestAWatchCarriesItsLabelAndAsksForAReset(t *testing.T) {
	w := newWatcher(nil, WatchOptions{Label: "mine", ResetOnCompacted: true}, nil)
	if w.request.GetLabel() != "mine" || !w.request.GetResetOnCompacted() {
		t.Errorf("asks for %v", w.request)
	}
}

func TestASnapshotThatIsCutOffGoesOnFromItsLastToken(t *testing.T) {
	chunk := covering(5, 5)
	chunk.Control = &pb.WatchEventsResponse_SnapshotChunk{SnapshotChunk: &pb.SnapshotChunk{}}
	refused := failing(codes.Unavailable, "", 0)
	cut := says(chunk)
	cut.end = refused.end
	s := &server{t: t, scripts: []script{refused, cut, says(covering(5, 6))}}
	seen := 0
	for _, err := range watch(t.Context(), s.open, WatchOptions{Start: FromSnapshot()}, s.sleep, func() float64 { return 0 }) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 2 {
			break
		}
	}
	if s.requests[0].GetSnapshot() == nil || s.requests[1].GetSnapshot() == nil || s.tokens()[2] != "at 5" {
		t.Errorf("asked for %v", s.requests)
	}
}

func TestAResetInTheStreamIsHandedOutAndGoneOnFrom(t *testing.T) {
	reset := covering(90, 90)
	reset.Control = &pb.WatchEventsResponse_Reset_{Reset_: &pb.Reset{}}
	s := &server{t: t, scripts: []script{says(covering(0, 3), reset, covering(90, 91))}}
	revisions, err := s.take(3)
	if err != nil || !slices.Equal(revisions, []uint64{3, 90, 91}) {
		t.Errorf("got %v, %v", revisions, err)
	}
}
