package mailsync

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	pb "mailsync/gen/mailsync/v1"
)

const (
	account = "accounts/demo"
	inbox   = account + "/folders/inbox"
	sent    = account + "/folders/sent"
)

func message(folder string, uid uint32, seen bool) *pb.Envelope {
	return &pb.Envelope{
		Name: fmt.Sprintf("%s/envelopes/1.%d", folder, uid), Uid: uid, UidValidity: 1, Flags: &pb.Flags{Seen: seen},
	}
}

func added(revision uint64, uid uint32) *pb.Event {
	envelope := message(inbox, uid, false)
	return &pb.Event{Revision: revision, Folder: inbox, Payload: &pb.Event_EnvelopeAdded{
		EnvelopeAdded: &pb.EnvelopeAdded{Envelope: envelope},
	}}
}

func flagged(revision uint64, uid uint32, seen bool) *pb.Event {
	envelope := message(inbox, uid, seen)
	return &pb.Event{Revision: revision, Folder: inbox, Payload: &pb.Event_FlagsChanged{
		FlagsChanged: &pb.FlagsChanged{Name: envelope.Name, Uid: uid, UidValidity: 1, Flags: envelope.Flags},
	}}
}

func span(first, last uint32) []*pb.UidRange { return []*pb.UidRange{{First: first, Last: last}} }

func removed(revision uint64, first, last uint32) *pb.Event {
	return &pb.Event{Revision: revision, Folder: inbox, Payload: &pb.Event_EnvelopesRemoved{
		EnvelopesRemoved: &pb.EnvelopesRemoved{UidValidity: 1, Uids: span(first, last)},
	}}
}

func holding(revision uint64, uids ...uint32) *Mirror {
	mirror := NewMirror(account)
	for _, uid := range uids {
		mirror.Put([]*pb.Envelope{message(inbox, uid, false)}, revision)
	}
	return mirror
}

// held is the mirror by name: whether each message is seen.
func held(mirror *Mirror) map[string]bool {
	found := map[string]bool{}
	for _, envelope := range mirror.Envelopes() {
		found[envelope.GetName()] = envelope.GetFlags().GetSeen()
	}
	return found
}

func expect(t *testing.T, mirror *Mirror, envelopes ...*pb.Envelope) {
	t.Helper()
	want := map[string]bool{}
	for _, envelope := range envelopes {
		want[envelope.GetName()] = envelope.GetFlags().GetSeen()
	}
	if got := held(mirror); !maps.Equal(got, want) {
		t.Errorf("holds %v, not %v", got, want)
	}
}

func TestAnEventOlderThanWhatWasReadChangesNothing(t *testing.T) {
	mirror := holding(10, 1)
	mirror.Apply(flagged(10, 1, true))
	mirror.Apply(removed(9, 1, 1))
	expect(t, mirror, message(inbox, 1, false))
}

func TestApplyingAnEventTwiceDoesNoHarm(t *testing.T) {
	mirror := holding(10, 1)
	for range 2 {
		mirror.Apply(added(11, 2))
		mirror.Apply(flagged(12, 2, true))
		mirror.Apply(removed(13, 1, 1))
	}
	expect(t, mirror, message(inbox, 2, true))
}

func TestARemovalTakesEveryUIDOfItsRangeAndNoOtherFolder(t *testing.T) {
	mirror := holding(10, 1, 2, 3, 9)
	mirror.Put([]*pb.Envelope{message(sent, 2, false)}, 10)
	mirror.Apply(removed(11, 2, 5))
	expect(t, mirror, message(inbox, 1, false), message(inbox, 9, false), message(sent, 2, false))
}

func TestWhatWasRemovedDoesNotComeBackByAnOlderPage(t *testing.T) {
	mirror := holding(10, 1)
	mirror.Apply(removed(20, 1, 3))
	mirror.Put([]*pb.Envelope{message(inbox, 1, false), message(inbox, 2, false)}, 15)
	expect(t, mirror)
	mirror.Put([]*pb.Envelope{message(inbox, 2, false)}, 25)
	expect(t, mirror, message(inbox, 2, false))
}

func TestTombstonesGoOnceEventsHavePassedEveryReadRevision(t *testing.T) {
	mirror := holding(30, 1)
	mirror.Apply(removed(20, 5, 5))
	mirror.Advance(&pb.WatchEventsResponse{ThroughRevision: 29})
	if mirror.CaughtUp() || len(mirror.removals) == 0 {
		t.Error("tombstones went too early")
	}
	mirror.Advance(&pb.WatchEventsResponse{ThroughRevision: 30})
	if !mirror.CaughtUp() || len(mirror.removals) != 0 {
		t.Error("tombstones stayed")
	}
}

func TestWhatAnEventOnlyHintsAtIsAskedFor(t *testing.T) {
	mirror := holding(10, 1)
	unknown := mirror.Apply(flagged(11, 7, true))
	if len(unknown) != 1 || unknown[0].Envelope != message(inbox, 7, false).GetName() {
		t.Errorf("flags of an unknown message ask for %v", unknown)
	}
	backfilled := &pb.Backfilled{UidValidity: 1, Uids: span(3, 9)}
	history := mirror.Apply(
		&pb.Event{Revision: 12, Folder: inbox, Payload: &pb.Event_Backfilled{Backfilled: backfilled}},
	)
	if len(history) != 1 || history[0].Folder != inbox || history[0].UIDs[0].GetLast() != 9 {
		t.Errorf("history asks for %v", history)
	}
	reset := &pb.FolderReset{OldUidValidity: 1, NewUidValidity: 2}
	again := mirror.Apply(&pb.Event{Revision: 13, Folder: inbox, Payload: &pb.Event_FolderReset{FolderReset: reset}})
	if len(again) != 1 || again[0].Folder != inbox || len(again[0].UIDs) != 0 {
		t.Errorf("a reset asks for %v", again)
	}
	expect(t, mirror)
}

func TestFlagsOfAMessageRemovedSinceAskForNothing(t *testing.T) {
	mirror := holding(10)
	mirror.Apply(removed(20, 7, 7))
	if reads := mirror.Apply(flagged(11, 7, true)); len(reads) != 0 {
		t.Errorf("asks for %v", reads)
	}
}

func TestAMoveTakesTheMessageFromOneFolderToTheOther(t *testing.T) {
	mirror := holding(10, 1, 2)
	move := &pb.EnvelopeMoved{
		FromFolder: inbox, FromUid: 1, FromUidValidity: 1, Envelope: message(sent, 7, false),
	}
	mirror.Apply(&pb.Event{Revision: 11, Folder: sent, Payload: &pb.Event_EnvelopeMoved{EnvelopeMoved: move}})
	expect(t, mirror, message(inbox, 2, false), message(sent, 7, false))
}

func TestAFolderThatIsGoneOrDeselectedIsForgottenWithItsEnvelopes(t *testing.T) {
	deselected := &pb.FolderChanged{Change: pb.FolderChange_FOLDER_CHANGE_DESELECTED}
	for _, event := range []*pb.Event{
		{Revision: 11, Folder: inbox, Payload: &pb.Event_FolderRemoved{FolderRemoved: &pb.FolderRemoved{}}},
		{Revision: 11, Folder: inbox, Payload: &pb.Event_FolderChanged{FolderChanged: deselected}},
	} {
		mirror := holding(10, 1)
		mirror.Put([]*pb.Envelope{message(sent, 2, false)}, 10)
		mirror.Apply(event)
		expect(t, mirror, message(sent, 2, false))
	}
}

// history is a mailbox's: what it held after each revision, and the events that led there.
type history struct {
	states []map[uint32]bool
	events []*pb.Event
}

func randomHistory(random *rand.Rand, length uint32) *history {
	h := &history{states: []map[uint32]bool{{}}}
	for revision := uint32(1); revision <= length; revision++ {
		state := maps.Clone(h.states[revision-1])
		known := append(slices.Sorted(maps.Keys(state)), revision)
		uid := known[random.IntN(len(known))]
		if seen, ok := state[uid]; !ok {
			state[uid] = false
			h.events = append(h.events, added(uint64(revision), uid))
		} else if random.IntN(2) == 0 {
			state[uid] = !seen
			h.events = append(h.events, flagged(uint64(revision), uid, !seen))
		} else {
			delete(state, uid)
			h.events = append(h.events, removed(uint64(revision), uid, uid))
		}
		h.states = append(h.states, state)
	}
	return h
}

func (h *history) read(mirror *Mirror, revision uint64, first, last uint32) {
	for uid, seen := range h.states[revision] {
		if first <= uid && uid <= last {
			mirror.Put([]*pb.Envelope{message(inbox, uid, seen)}, revision)
		}
	}
}

func TestAListReadWhileTheMailboxChangesThenItsEventsGiveTheMailbox(t *testing.T) {
	const length = 60
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		mailbox, mirror := randomHistory(random, length), NewMirror(account)
		start := random.Uint64N(length)
		at := start
		for first := uint32(1); first <= length; first += 10 {
			mailbox.read(mirror, at, first, first+9)
			at = min(length, at+random.Uint64N(8))
		}
		for _, event := range mailbox.events[start:] {
			for range mirror.Apply(event) {
				head := event.GetRevision() + random.Uint64N(length-event.GetRevision()+1)
				uid := event.GetFlagsChanged().GetUid()
				mailbox.read(mirror, head, uid, uid)
			}
		}
		var want []*pb.Envelope
		for uid, seen := range mailbox.states[length] {
			want = append(want, message(inbox, uid, seen))
		}
		expect(t, mirror, want...)
	}
}
