package mailsync

import (
	"math/rand/v2"
	"testing"

	pb "mailsync/gen/mailsync/v1"
)

func chunkAt(start, readRevision uint64, envelopes ...*pb.Envelope) *pb.WatchEventsResponse {
	response := covering(start, start)
	response.Control = &pb.WatchEventsResponse_SnapshotChunk{
		SnapshotChunk: &pb.SnapshotChunk{ReadRevision: readRevision, Envelopes: envelopes},
	}
	return response
}

func snapshotEnd(start uint64) *pb.WatchEventsResponse {
	response := covering(start, start)
	response.Control = &pb.WatchEventsResponse_SnapshotEnd{SnapshotEnd: &pb.SnapshotEnd{}}
	return response
}

func take(mirror *Mirror, responses ...*pb.WatchEventsResponse) {
	for _, response := range responses {
		mirror.Heed(response)
		mirror.Advance(response)
	}
}

// partial is a mirror whose snapshot has begun.
func partial() *Mirror {
	mirror := NewMirror(account)
	mirror.Partial = true
	return mirror
}

// again is a mirror made of what was kept of another.
func again(old *Mirror) *Mirror {
	mirror := &Mirror{Account: account}
	mirror.Reset()
	mirror.Position = old.Position
	mirror.Through = map[uint32]uint64{}
	for partition, revision := range old.Through {
		mirror.Through[partition] = revision
	}
	for _, item := range old.Items() {
		mirror.Restore(item)
	}
	return mirror
}

func TestASnapshotIsPutAtEachChunksRevisionAndIsNoStateBeforeItsEnd(t *testing.T) {
	mirror := partial()
	take(mirror, chunkAt(10, 10, message(inbox, 1, false)))
	if mirror.CaughtUp() {
		t.Error("no change came between, yet this is not all")
	}
	take(mirror, chunkAt(10, 14, message(inbox, 2, true)), snapshotEnd(10))
	if mirror.CaughtUp() {
		t.Error("events have not passed the second chunk")
	}
	mirror.Apply(flagged(12, 2, false))
	mirror.Apply(removed(13, 1, 2))
	expect(t, mirror, message(inbox, 2, true))
	if mirror.Advance(covering(13, 14)); !mirror.CaughtUp() {
		t.Error("events have passed every chunk")
	}
}

func TestAMirrorMadeOfKeptStateKnowsWhetherItWasCaughtUpAndPartial(t *testing.T) {
	old := partial()
	// Read at 11, when nothing was there any more: no item tells of that revision.
	take(old, chunkAt(10, 10, message(inbox, 1, false)), chunkAt(10, 11))
	mirror := again(old)
	if mirror.Advance(covering(10, 11)); mirror.CaughtUp() {
		t.Error("the snapshot has not ended")
	}
	mirror = again(old)
	if take(mirror, snapshotEnd(10)); mirror.CaughtUp() {
		t.Error("events have not passed the second chunk")
	}
	expect(t, mirror, message(inbox, 1, false))
}

func TestAResetForgetsEverythingAndASnapshotFollows(t *testing.T) {
	mirror := holding(90, 1, 2)
	mirror.Apply(removed(95, 2, 2))
	mirror.Through[1] = 4
	reset := covering(10, 10)
	reset.Control = &pb.WatchEventsResponse_Reset_{Reset_: &pb.Reset{}}
	take(mirror, reset)
	expect(t, mirror)
	if len(mirror.Through) != 1 || mirror.Through[0] != 10 || mirror.Token != "at 10" || mirror.CaughtUp() {
		t.Errorf("stands at %v", mirror.Position)
	}
	// The new store counts from lower revisions; neither old items nor old tombstones may stand in their way.
	take(mirror, chunkAt(10, 10, message(inbox, 2, false)), snapshotEnd(10))
	expect(t, mirror, message(inbox, 2, false))
	if !mirror.CaughtUp() {
		t.Error("it is the whole state")
	}
}

func TestAHiddenAccountIsForgottenAndAVisibleOneIsListed(t *testing.T) {
	hidden := func(name string) *pb.WatchEventsResponse {
		return &pb.WatchEventsResponse{Control: &pb.WatchEventsResponse_AccountHidden{
			AccountHidden: &pb.AccountHidden{Account: name},
		}}
	}
	visible := func(name string) *pb.WatchEventsResponse {
		return &pb.WatchEventsResponse{Control: &pb.WatchEventsResponse_AccountVisible{
			AccountVisible: &pb.AccountVisible{Account: name},
		}}
	}
	mirror := holding(10, 1)
	mirror.Heed(hidden("accounts/other"))
	if reads := mirror.Heed(visible("accounts/other")); len(reads) != 0 {
		t.Errorf("asks for %v", reads)
	}
	expect(t, mirror, message(inbox, 1, false))
	if reads := mirror.Heed(visible(account)); len(reads) != 1 || reads[0].Envelope+reads[0].Folder != "" {
		t.Errorf("asks for %v", reads)
	}
	// What was removed while it could not be seen is told by no event.
	expect(t, mirror)
	mirror.Put([]*pb.Envelope{message(inbox, 2, false)}, 10)
	mirror.Heed(hidden(account))
	expect(t, mirror)
}

func TestASnapshotCutOffAndGoneOnWithFromWhatWasKeptGivesTheMailbox(t *testing.T) {
	const length = 60
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		mailbox, mirror := randomHistory(random, length), partial()
		start := random.Uint64N(length)
		for first, at := uint32(1), start; first <= length; at = min(length, at+random.Uint64N(8)) {
			var piece []*pb.Envelope
			for uid, seen := range mailbox.states[at] {
				if first <= uid && uid < first+10 {
					piece = append(piece, message(inbox, uid, seen))
				}
			}
			kept := again(mirror)
			take(mirror, chunkAt(start, at, piece...))
			if random.IntN(3) == 0 {
				// Killed after a chunk was put and before it was kept: it comes again, read later.
				mirror = kept
			} else {
				first += 10
			}
		}
		take(mirror, snapshotEnd(start))
		for _, event := range mailbox.events[start:] {
			mirror.Apply(event)
			mirror.Advance(covering(event.GetRevision()-1, event.GetRevision()))
		}
		var want []*pb.Envelope
		for uid, seen := range mailbox.states[length] {
			want = append(want, message(inbox, uid, seen))
		}
		expect(t, mirror, want...)
		if !mirror.CaughtUp() {
			t.Errorf("seed %d: not caught up", seed)
		}
	}
}
