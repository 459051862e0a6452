package mailsync

import (
	"encoding/json"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	pb "mailsync/gen/mailsync/v1"
)

func TestTheHashIsTheOneEveryClientComputes(t *testing.T) {
	octets, err := os.ReadFile("../scenario/state_hash.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		What      string
		Envelopes []json.RawMessage
		SHA256    string
	}
	if err := json.Unmarshal(octets, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, vector := range vectors {
		var envelopes []*pb.Envelope
		for _, written := range vector.Envelopes {
			envelope := &pb.Envelope{}
			if err := protojson.Unmarshal(written, envelope); err != nil {
				t.Fatal(err)
			}
			envelopes = append(envelopes, envelope)
		}
		if got := StateHash(envelopes); got != vector.SHA256 {
			t.Errorf("%s: %s", vector.What, got)
		}
	}
}
