package mailsync

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "mailsync/gen/mailsync/v1"
)

// events is a service of our own that answers every call and notes the token it came with.
type events struct {
	pb.UnimplementedEventServiceServer
	tokens []string
}

func (e *events) note(ctx context.Context) {
	e.tokens = append(e.tokens, metadata.ValueFromIncomingContext(ctx, "authorization")...)
}

func (e *events) GetEventLog(ctx context.Context, request *pb.GetEventLogRequest) (*pb.GetEventLogResponse, error) {
	e.note(ctx)
	return &pb.GetEventLogResponse{HeadRevision: request.GetAfterRevision()}, nil
}

func (e *events) WatchEvents(
	request *pb.WatchEventsRequest, stream grpc.ServerStreamingServer[pb.WatchEventsResponse],
) error {
	e.note(stream.Context())
	return stream.Send(&pb.WatchEventsResponse{ResumeToken: request.GetResumeToken()})
}

func serve(t *testing.T, service *events) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterEventServiceServer(server, service)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func TestEveryCallCarriesTheToken(t *testing.T) {
	service := &events{}
	client, err := Dial(serve(t, service), Credentials{Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer, err := client.Events.GetEventLog(t.Context(), &pb.GetEventLogRequest{
		Start: &pb.GetEventLogRequest_AfterRevision{AfterRevision: 5},
	})
	if err != nil || answer.GetHeadRevision() != 5 {
		t.Errorf("got %v, %v", answer, err)
	}
	for response, err := range client.Watch(t.Context(), WatchOptions{Start: FromToken("here")}) {
		if err != nil || response.GetResumeToken() != "here" {
			t.Errorf("got %v, %v", response, err)
		}
		break
	}
	if len(service.tokens) != 2 || service.tokens[0] != "Bearer secret" || service.tokens[1] != "Bearer secret" {
		t.Errorf("came with %q", service.tokens)
	}
}

func TestOnlyThisMachineIsSpokenToInClearText(t *testing.T) {
	for address, local := range map[string]bool{
		"127.0.0.1:50051":          true,
		"[::1]:50051":              true,
		"localhost:50051":          true,
		"unix:/run/mailsync.sock":  true,
		"mail.example:443":         false,
		"192.0.2.1:443":            false,
		"localhost.example.org:80": false,
	} {
		if isLocal(address) != local {
			t.Errorf("%s: local is %v", address, !local)
		}
	}
}

func TestACAFileWithoutCertificateIsRefused(t *testing.T) {
	if _, err := Dial("127.0.0.1:1", Credentials{CA: "go.mod"}); err == nil {
		t.Error("accepted")
	}
}
