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

// pauseBefore returns the pause before the nth attempt (from 0) in a row: full jitter, 0.5 to 30 s, never less than the
// server asked for. random is in [0, 1).
func pauseBefore(attempt int, random float64, asked time.Duration) time.Duration {
	ceiling := min(float64(longestPause), float64(shortestPause)*math.Exp2(float64(min(attempt+1, 16))))
	drawn := float64(shortestPause) + random*(ceiling-float64(shortestPause))
	return max(asked, time.Duration(drawn))
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
