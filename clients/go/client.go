package mailsync

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	pb "mailsync/gen/mailsync/v1"
)

// A page ends at 1 MiB, but one envelope of unusual size may stand alone above gRPC's default of 4 MiB.
const maxMessageBytes = 64 << 20

// A call on a dead connection fails after 15 s instead of at its deadline, and the next one gets a new connection.
var alive = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}

// Client is an open connection and the stubs of each service. It is safe for concurrent use.
type Client struct {
	Accounts  pb.AccountServiceClient
	Folders   pb.FolderServiceClient
	Envelopes pb.EnvelopeServiceClient
	Content   pb.ContentServiceClient
	Events    pb.EventServiceClient
	System    pb.SystemServiceClient

	address string
	options []grpc.DialOption
	conn    *grpc.ClientConn
}

// Credentials say how to be let in. The zero value is right for a service on this machine.
type Credentials struct {
	// Token is the bearer token of the service (RFC 6750); empty for none.
	Token string
	// CA is a PEM file to trust instead of the system's; it also asks for TLS on this machine.
	CA string
}

// Dial returns a client of the service at address ("host:port" or "unix:/path"). It connects with the first call.
//
// An address on this machine is spoken to in clear text, as the service serves it by default; any other over TLS. A token
// therefore never leaves the machine unprotected.
func Dial(address string, how Credentials) (*Client, error) {
	transport, err := transportTo(address, how.CA)
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithKeepaliveParams(alive),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
	}
	if how.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(how.Token)))
	}
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		return nil, err
	}
	return &Client{
		Accounts:  pb.NewAccountServiceClient(conn),
		Folders:   pb.NewFolderServiceClient(conn),
		Envelopes: pb.NewEnvelopeServiceClient(conn),
		Content:   pb.NewContentServiceClient(conn),
		Events:    pb.NewEventServiceClient(conn),
		System:    pb.NewSystemServiceClient(conn),
		address:   address,
		options:   options,
		conn:      conn,
	}, nil
}

// Close ends the connection and calls under way; watches have connections of their own.
func (c *Client) Close() error { return c.conn.Close() }

func transportTo(address, ca string) (credentials.TransportCredentials, error) {
	if ca == "" {
		if isLocal(address) {
			return insecure.NewCredentials(), nil
		}
		return credentials.NewTLS(&tls.Config{}), nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	trust := x509.NewCertPool()
	if !trust.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("mailsync: %s holds no certificate in PEM", ca)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: trust}), nil
}

// isLocal tells whether only this machine can be meant: a Unix socket, localhost or a loopback address.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

// bearer is a token sent with every call (RFC 6750, section 2.1).
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false because Dial allows clear text to this machine only.
func (b bearer) RequireTransportSecurity() bool { return false }
