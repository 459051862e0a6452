package mailsync

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "mailsync/gen/mailsync/v1"
)

// Mirror holds the envelopes of one account and keeps them right by events although they were read while these happened.
//
// A list is read in pages, a snapshot in chunks, each at its own read revision, while the mailbox changes; the events since
// before the first piece are then applied over it. So an event may already be contained in what was read: it changes an item
// only where its revision is newer than the one the item is from. And what an event removed must not come back by a piece
// that is older, so removals are kept as tombstones until the events have passed every read revision. Some events say only
// that something must be read (BACKFILLED, FOLDER_RESET, flags of a message not known): Apply returns these reads instead of
// doing them, and takes their answers through Put. Nothing here does any I/O. A Mirror is not safe for concurrent use.
type Mirror struct {
	// Account is its name, accounts/{account}.
	Account string
	// Position is to be kept together with the items: a mirror made of both goes on where this one stood.
	Position

	folders  map[string]map[string]Item
	removals map[string][]removal
}

// Position is where a mirror stands.
type Position struct {
	// Token is where to resume; without one there is nothing to go on from and all must be read.
	Token string
	// Through is the coverage: partition to revision.
	Through map[uint32]uint64
	// ReadRevision is the newest revision anything was read at.
	ReadRevision uint64
	// Partial tells that a snapshot has begun and not ended.
	Partial bool
}

// Item is an envelope and the revision it is from.
type Item struct {
	Envelope *pb.Envelope
	Revision uint64
}

// Read is something a mirror must be told: one envelope when Envelope is set, these UIDs of a folder (all when there are
// none) when Folder is, else every selected folder of the account. Not found is no error: the removal is still to come.
type Read struct {
	Envelope string
	Folder   string
	UIDs     []*pb.UidRange
}

// EventTypes are what a mirror must be told; everything else may be filtered out.
var EventTypes = []pb.EventType{
	pb.EventType_EVENT_TYPE_ENVELOPE_ADDED,
	pb.EventType_EVENT_TYPE_ENVELOPE_UPDATED,
	pb.EventType_EVENT_TYPE_FLAGS_CHANGED,
	pb.EventType_EVENT_TYPE_ENVELOPE_MOVED,
	pb.EventType_EVENT_TYPE_ENVELOPES_REMOVED,
	pb.EventType_EVENT_TYPE_ENVELOPES_EVICTED,
	pb.EventType_EVENT_TYPE_BACKFILLED,
	pb.EventType_EVENT_TYPE_FOLDER_CHANGED,
	pb.EventType_EVENT_TYPE_FOLDER_REMOVED,
	pb.EventType_EVENT_TYPE_FOLDER_RESET,
	pb.EventType_EVENT_TYPE_ACCOUNT_REMOVED,
}

// NewMirror returns a mirror that knows nothing yet.
func NewMirror(account string) *Mirror {
	mirror := &Mirror{Account: account}
	mirror.Reset()
	return mirror
}

// Reset forgets everything, the position too.
func (m *Mirror) Reset() {
	m.Position = Position{Through: map[uint32]uint64{}}
	m.forget()
}

func (m *Mirror) forget() {
	m.folders = map[string]map[string]Item{}
	m.removals = map[string][]removal{}
}

// Restore puts back an item that was kept, at the revision it was from.
func (m *Mirror) Restore(item Item) {
	m.folder(folderOf(item.Envelope.GetName()))[item.Envelope.GetName()] = item
}

// Items are all items, in no order.
func (m *Mirror) Items() []Item {
	var items []Item
	for _, held := range m.folders {
		for _, item := range held {
			items = append(items, item)
		}
	}
	return items
}

// Envelopes are all envelopes, in no order.
func (m *Mirror) Envelopes() []*pb.Envelope {
	var envelopes []*pb.Envelope
	for _, item := range m.Items() {
		envelopes = append(envelopes, item.Envelope)
	}
	return envelopes
}

// CaughtUp tells whether events have passed every read revision: the mirror is the state at one moment, not a mix of several.
func (m *Mirror) CaughtUp() bool {
	for _, through := range m.Through {
		if through < m.ReadRevision {
			return false
		}
	}
	return len(m.Through) > 0 && !m.Partial
}

// Put takes envelopes read at a revision, except where something newer is known of them.
func (m *Mirror) Put(envelopes []*pb.Envelope, readRevision uint64) {
	m.ReadRevision = max(m.ReadRevision, readRevision)
	for _, envelope := range envelopes {
		m.put(envelope, readRevision)
	}
}

// Advance notes that a response is applied. Once it passes every read revision the tombstones have done their work.
func (m *Mirror) Advance(response *pb.WatchEventsResponse) {
	m.Token = response.GetResumeToken()
	if m.Through == nil {
		m.Through = map[uint32]uint64{}
	}
	m.Through[response.GetPartition()] = response.GetThroughRevision()
	if m.CaughtUp() {
		clear(m.removals)
	}
}

// Heed takes what a response says beside events; it returns what must be read before its events are applied.
func (m *Mirror) Heed(response *pb.WatchEventsResponse) []Read {
	switch control := response.GetControl().(type) {
	case *pb.WatchEventsResponse_Reset_:
		m.Reset()
		m.Partial = true
	case *pb.WatchEventsResponse_SnapshotChunk:
		m.Put(control.SnapshotChunk.GetEnvelopes(), control.SnapshotChunk.GetReadRevision())
	case *pb.WatchEventsResponse_SnapshotEnd:
		m.Partial = false
	case *pb.WatchEventsResponse_AccountHidden:
		if control.AccountHidden.GetAccount() == m.Account {
			m.forget()
		}
	case *pb.WatchEventsResponse_AccountVisible:
		if control.AccountVisible.GetAccount() == m.Account {
			// What was removed while it could not be seen is told by no event.
			m.forget()
			return []Read{{}}
		}
	}
	return nil
}

// Apply takes one event; it returns what must be read before the next is applied.
func (m *Mirror) Apply(event *pb.Event) []Read {
	revision := event.GetRevision()
	switch change := event.GetPayload().(type) {
	case *pb.Event_EnvelopeAdded:
		m.put(change.EnvelopeAdded.GetEnvelope(), revision)
	case *pb.Event_EnvelopeUpdated:
		m.put(change.EnvelopeUpdated.GetEnvelope(), revision)
	case *pb.Event_FlagsChanged:
		return m.flagsChanged(change.FlagsChanged, revision)
	case *pb.Event_EnvelopeMoved:
		m.moved(change.EnvelopeMoved, revision)
	case *pb.Event_EnvelopesRemoved:
		gone := change.EnvelopesRemoved
		m.remove(event.GetFolder(), removal{revision, gone.GetUidValidity(), gone.GetUids()})
	case *pb.Event_EnvelopesEvicted:
		gone := change.EnvelopesEvicted
		m.remove(event.GetFolder(), removal{revision, gone.GetUidValidity(), gone.GetUids()})
	case *pb.Event_Backfilled:
		return []Read{{Folder: event.GetFolder(), UIDs: change.Backfilled.GetUids()}}
	case *pb.Event_FolderChanged:
		if change.FolderChanged.GetChange() == pb.FolderChange_FOLDER_CHANGE_DESELECTED {
			m.remove(event.GetFolder(), removal{revision: revision})
		}
	case *pb.Event_FolderRemoved:
		m.remove(event.GetFolder(), removal{revision: revision})
	case *pb.Event_FolderReset:
		m.remove(event.GetFolder(), removal{revision: revision, uidValidity: change.FolderReset.GetOldUidValidity()})
		return []Read{{Folder: event.GetFolder()}}
	case *pb.Event_AccountRemoved:
		for folder := range m.folders {
			m.remove(folder, removal{revision: revision})
		}
	}
	return nil
}

func (m *Mirror) put(envelope *pb.Envelope, revision uint64) {
	folder := folderOf(envelope.GetName())
	held := m.folder(folder)
	if known, ok := held[envelope.GetName()]; ok && known.Revision >= revision {
		return
	}
	if !m.removed(folder, envelope.GetUidValidity(), envelope.GetUid(), revision) {
		held[envelope.GetName()] = Item{envelope, revision}
	}
}

func (m *Mirror) flagsChanged(change *pb.FlagsChanged, revision uint64) []Read {
	folder := folderOf(change.GetName())
	known, ok := m.folder(folder)[change.GetName()]
	switch {
	case !ok && !m.removed(folder, change.GetUidValidity(), change.GetUid(), revision):
		return []Read{{Envelope: change.GetName()}}
	case ok && known.Revision < revision:
		// A copy: envelopes handed out do not change under their reader.
		changed := proto.CloneOf(known.Envelope)
		changed.Flags = change.GetFlags()
		m.folder(folder)[change.GetName()] = Item{changed, revision}
	}
	return nil
}

func (m *Mirror) moved(move *pb.EnvelopeMoved, revision uint64) {
	from := []*pb.UidRange{{First: move.GetFromUid(), Last: move.GetFromUid()}}
	m.remove(move.GetFromFolder(), removal{revision, move.GetFromUidValidity(), from})
	m.put(move.GetEnvelope(), revision)
}

func (m *Mirror) remove(folder string, gone removal) {
	held := m.folder(folder)
	for name, item := range held {
		if gone.hits(item.Envelope.GetUidValidity(), item.Envelope.GetUid(), item.Revision) {
			delete(held, name)
		}
	}
	m.removals[folder] = append(m.removals[folder], gone)
}

func (m *Mirror) removed(folder string, uidValidity, uid uint32, revision uint64) bool {
	return slices.ContainsFunc(m.removals[folder], func(gone removal) bool { return gone.hits(uidValidity, uid, revision) })
}

func (m *Mirror) folder(name string) map[string]Item {
	held, ok := m.folders[name]
	if !ok {
		held = map[string]Item{}
		m.folders[name] = held
	}
	return held
}

// removal is what was removed of one folder at a revision. UIDVALIDITY 0 means any, no ranges mean all.
type removal struct {
	revision    uint64
	uidValidity uint32
	uids        []*pb.UidRange
}

// hits tells whether the message with this UID, as known at a revision, is gone by this removal.
func (r removal) hits(uidValidity, uid uint32, revision uint64) bool {
	within := func(span *pb.UidRange) bool { return span.GetFirst() <= uid && uid <= span.GetLast() }
	return revision < r.revision &&
		(r.uidValidity == 0 || r.uidValidity == uidValidity) &&
		(len(r.uids) == 0 || slices.ContainsFunc(r.uids, within))
}

// folderOf returns the name of the folder an envelope's name (of the form with its UID) is in.
func folderOf(envelope string) string {
	folder, _, _ := strings.Cut(envelope, "/envelopes/")
	return folder
}
