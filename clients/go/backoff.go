package mailsync

import (
	"context"
	"math"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	shortestPause = 500 * time.Millisecond
	longestPause  = 30 * time.Second
)

// pauseBefore returns the pause before the nth attempt (from 0) in a row: at least half a second or what the server asked
// for, and full jitter on it, whose span doubles with each attempt until 30 s. It is added to what the server asked for,
// which it asks of everyone at the same moment. random is in [0, 1).
func pauseBefore(attempt int, random float64, asked time.Duration) time.Duration {
	ceiling := min(float64(longestPause), float64(shortestPause)*math.Exp2(float64(min(attempt+1, 16))))
	return max(asked, shortestPause) + time.Duration(random*(ceiling-float64(shortestPause)))
}

// passing tells whether the connection, the server or its present load failed, not the request: the same call may succeed
// later.
func passing(code codes.Code) bool {
	switch code {
	case codes.Aborted, codes.Canceled, codes.DeadlineExceeded, codes.Internal, codes.ResourceExhausted,
		codes.Unavailable, codes.Unknown:
		return true
	default:
		return false
	}
}

// positionLost returns what a failed call demands when the position it went on from cannot be served, else nil. Besides one
// that is not kept any more that is a token of another filter or key.
func positionLost(failed *status.Status) error {
	reason := reasonOf(failed)
	switch {
	case failed.Code() == codes.OutOfRange && reason == "":
		return &ResyncError{Reason: failed.Code().String(), Message: failed.Message()}
	case failed.Code() == codes.OutOfRange,
		reason == "FILTER_MISMATCH", reason == "PAGE_TOKEN_INVALID", reason == "RESUME_TOKEN_INVALID":
		return &ResyncError{Reason: reason, Message: failed.Message()}
	default:
		return nil
	}
}

// askedPause returns how long the server asks to wait, by the error's RetryInfo; 0 when it does not say.
func askedPause(failed *status.Status) time.Duration {
	for _, detail := range failed.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// reasonOf returns the name of the ErrorReason an error carries, without prefix; empty for one made on the way.
func reasonOf(failed *status.Status) string {
	for _, detail := range failed.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// sleep waits, or returns the context's error when that ends first.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
