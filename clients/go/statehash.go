package mailsync

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	pb "mailsync/gen/mailsync/v1"
)

// StateHash is one hash for what a mirror holds, the same in every language (defined in clients/README.md): SHA-256, in
// lower-case hexadecimal, over one netstring for each envelope in the order of their names' octets, each holding the
// netstrings of its fields. The envelopes may come in any order, in the BASIC view or more.
func StateHash(envelopes []*pb.Envelope) string {
	ordered := slices.Clone(envelopes)
	slices.SortFunc(ordered, func(a, b *pb.Envelope) int { return cmp.Compare(a.GetName(), b.GetName()) })
	digest := sha256.New()
	for _, envelope := range ordered {
		digest.Write([]byte(netstring(record(envelope))))
	}
	return hex.EncodeToString(digest.Sum(nil))
}

func record(envelope *pb.Envelope) string {
	received := ""
	if date := envelope.GetInternalDate(); date != nil {
		received = strconv.FormatInt(date.GetSeconds(), 10)
	}
	return netstrings(
		envelope.GetName(),
		envelope.GetEnvelopeId(),
		netstrings(flagNames(envelope.GetFlags())...),
		received,
		strconv.FormatUint(envelope.GetSize(), 10),
		envelope.GetMessageId(),
		envelope.GetSubject(),
	)
}

func flagNames(flags *pb.Flags) []string {
	var names []string
	for name, set := range map[string]bool{
		"answered": flags.GetAnswered(),
		"deleted":  flags.GetDeleted(),
		"draft":    flags.GetDraft(),
		"flagged":  flags.GetFlagged(),
		"seen":     flags.GetSeen(),
	} {
		if set {
			names = append(names, name)
		}
	}
	for _, keyword := range flags.GetKeywords() {
		names = append(names, "keyword:"+keyword)
	}
	for _, label := range flags.GetLabels() {
		names = append(names, "label:"+label)
	}
	slices.Sort(names)
	return names
}

func netstrings(texts ...string) string {
	joined := ""
	for _, text := range texts {
		joined += netstring(text)
	}
	return joined
}

func netstring(text string) string { return strconv.Itoa(len(text)) + ":" + text + "," }
