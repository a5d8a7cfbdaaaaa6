// Refusals as the core understands them (contract section E): a reason of the closed list, the code that belongs to it,
// and a message for people.
package main

import (
	"errors"
	"fmt"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const errorDomain = "longshore.driver.v1"

type reason string

const (
	keyNotFound          reason = "KEY_NOT_FOUND"
	uploadUnknown        reason = "UPLOAD_UNKNOWN"
	keyExists            reason = "KEY_EXISTS"
	uploadExists         reason = "UPLOAD_EXISTS"
	preconditionFailed   reason = "PRECONDITION_FAILED"
	sizeMismatch         reason = "SIZE_MISMATCH"
	tooLarge             reason = "TOO_LARGE"
	storeMismatch        reason = "STORE_MISMATCH"
	versionMismatch      reason = "VERSION_MISMATCH"
	readOnly             reason = "READ_ONLY"
	keyConflict          reason = "KEY_CONFLICT"
	uploadCommitted      reason = "UPLOAD_COMMITTED"
	requestNotUnderstood reason = "REQUEST_NOT_UNDERSTOOD"
	invalidKey           reason = "INVALID_KEY"
	offsetMismatch       reason = "OFFSET_MISMATCH"
	offsetPastEnd        reason = "OFFSET_PAST_END"
	fenced               reason = "FENCED"
	conflict             reason = "CONFLICT"
	noSpace              reason = "NO_SPACE"
	quotaExceeded        reason = "QUOTA_EXCEEDED"
	backendUnavailable   reason = "BACKEND_UNAVAILABLE"
	draining             reason = "DRAINING"
	backendCredentials   reason = "BACKEND_CREDENTIALS"
	checksumMismatch     reason = "CHECKSUM_MISMATCH"
	shortObject          reason = "SHORT_OBJECT"
	notSupported         reason = "NOT_SUPPORTED"
	ioError              reason = "IO_ERROR"
	driverBug            reason = "DRIVER_BUG"
)

// A reason under another code is not believed.
var codeOf = map[reason]codes.Code{
	keyNotFound: codes.NotFound, uploadUnknown: codes.NotFound,
	keyExists: codes.AlreadyExists, uploadExists: codes.AlreadyExists,
	preconditionFailed: codes.FailedPrecondition, sizeMismatch: codes.FailedPrecondition,
	tooLarge: codes.FailedPrecondition, storeMismatch: codes.FailedPrecondition,
	versionMismatch: codes.FailedPrecondition, readOnly: codes.FailedPrecondition,
	keyConflict: codes.FailedPrecondition, uploadCommitted: codes.FailedPrecondition,
	requestNotUnderstood: codes.InvalidArgument, invalidKey: codes.InvalidArgument,
	offsetMismatch: codes.OutOfRange, offsetPastEnd: codes.OutOfRange,
	fenced: codes.Aborted, conflict: codes.Aborted,
	noSpace: codes.ResourceExhausted, quotaExceeded: codes.ResourceExhausted,
	backendUnavailable: codes.Unavailable, draining: codes.Unavailable,
	backendCredentials: codes.PermissionDenied,
	checksumMismatch:   codes.DataLoss, shortObject: codes.DataLoss,
	notSupported: codes.Unimplemented,
	ioError:      codes.Internal, driverBug: codes.Internal,
}

// failure is the error of every call.
type failure struct {
	reason   reason
	message  string
	metadata map[string]string
}

// Messages and details stay under 4 KiB (rule R4); a key has at most 1 KiB.
const longestMessage = 2048

func fail(why reason, format string, arguments ...any) *failure {
	message := fmt.Sprintf(format, arguments...)
	if len(message) > longestMessage {
		message = message[:longestMessage] + "..."
	}
	return &failure{reason: why, message: message}
}

// with adds a figure to the details, as U6 and R12 ask for.
func (f *failure) with(name string, value uint64) *failure {
	if f.metadata == nil {
		f.metadata = map[string]string{}
	}
	f.metadata[name] = fmt.Sprint(value)
	return f
}

func (f *failure) Error() string { return fmt.Sprintf("%s: %s", f.reason, f.message) }

// GRPCStatus is what grpc-go asks an error for.
func (f *failure) GRPCStatus() *status.Status {
	plain := status.New(codeOf[f.reason], f.message)
	info := &errdetails.ErrorInfo{Domain: errorDomain, Reason: string(f.reason), Metadata: f.metadata}
	if detailed, err := plain.WithDetails(info); err == nil {
		return detailed
	}
	return plain
}

// failed says what an error of the operating system means. None of them states absence (rule R5).
func failed(what string, err error) error {
	var already *failure
	if errors.As(err, &already) {
		return already
	}
	return fail(reasonOf(err), "can't %s: %v", what, err)
}

func reasonOf(err error) reason {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return ioError
	}
	switch number {
	case syscall.ENOSPC:
		return noSpace
	case syscall.EDQUOT:
		return quotaExceeded
	case syscall.EROFS:
		return readOnly
	case syscall.EACCES, syscall.EPERM:
		return backendCredentials
	case syscall.ESTALE, syscall.ENOTCONN, syscall.ENODEV, syscall.ETIMEDOUT, syscall.EHOSTDOWN:
		return backendUnavailable
	default:
		return ioError
	}
}

func is(err error, why reason) bool {
	var found *failure
	return errors.As(err, &found) && found.reason == why
}
