// What goes around every call: a log line where it failed, and DRIVER_BUG instead of the end of the process.
package main

import (
	"context"
	"log/slog"
	"regexp"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// T9; one of another form is ignored.
var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func aroundCall(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	defer func() { err = ended(ctx, info.FullMethod, err, recover()) }()
	return next(ctx, request)
}

func aroundStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() { err = ended(stream.Context(), info.FullMethod, err, recover()) }()
	return next(server, stream)
}

func ended(ctx context.Context, method string, err error, panicked any) error {
	if panicked != nil {
		slog.Error("a call panicked", "call", method, "request_id", requestID(ctx), "panic", panicked, "stack", string(debug.Stack()))
		return fail(driverBug, "the driver has a bug; its log says more")
	}
	switch status.Code(err) {
	case codes.Internal, codes.Unavailable, codes.ResourceExhausted, codes.DataLoss, codes.PermissionDenied, codes.Unknown:
		slog.Warn("a call failed", "call", method, "request_id", requestID(ctx), "error", err)
	}
	return err
}

func requestID(ctx context.Context) string {
	if values := metadata.ValueFromIncomingContext(ctx, "x-request-id"); len(values) == 1 && requestIDForm.MatchString(values[0]) {
		return values[0]
	}
	return ""
}
