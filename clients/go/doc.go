// Package mailsync is a client of the mailsync service: typed calls, a watch that misses nothing, and a mirror kept in
// step by it.
//
// [Dial] connects; the [Client] carries one generated stub for each service. [Client.Watch] yields what changed, connects
// again by itself and ends with a [ResyncError] when the position is lost. [Client.Follow] keeps a [Mirror] of one account
// in step, resync included. Messages live in mailsync/gen/mailsync/v1.
package mailsync
