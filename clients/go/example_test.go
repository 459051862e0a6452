package mailsync_test

import (
	"context"
	"fmt"
	"log"

	"mailsync"
)

// The example of the README, compiled with every test run.
func Example() {
	ctx := context.Background()
	client, err := mailsync.Dial("127.0.0.1:50051", mailsync.Credentials{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	mirror := mailsync.NewMirror("accounts/demo")
	for response, err := range client.Follow(ctx, mirror, mailsync.FollowOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(response.GetEvents()), "events,", len(mirror.Items()), "messages, resume from", mirror.Token)
	}
}
