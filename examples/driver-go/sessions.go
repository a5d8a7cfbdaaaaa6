// Upload sessions: which there are, who may write, and when they end (contract section U). What a writer does is in
// writing.go, what lies on disk in records.go.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "example.com/driver-go/driverv1"

	"google.golang.org/protobuf/proto"
)

const (
	longestBookmark = 4096
	// How long a newcomer waits until the writer before it lets go (U4).
	handover  = 5 * time.Second
	uploadTTL = 24 * time.Hour
	// A page of ListUploads stays below the 5 MiB of a message, for bookmarks may have 4 KiB each.
	mostListedBytes = 4 << 20
)

type sessions struct {
	store    *store
	mutex    sync.Mutex
	byID     map[string]*session
	draining atomic.Bool
}

type session struct {
	id string
	// A lock that can be given up: a disk that hangs would keep it. It is held for each step of a writer.
	turn   chan struct{}
	record atomic.Pointer[record] // of what is durable; changed by whoever has the turn
	writer *writer                // who may write; behind the turn
	gone   bool                   // behind the turn
	// It could not be read at the start. It is not listed, but it is not unknown either (U18, R5).
	damage error
}

func openSessions(s *store) (*sessions, error) {
	records, damaged, err := s.loadRecords()
	if err != nil {
		return nil, fmt.Errorf("read the upload sessions: %w", err)
	}
	all := &sessions{store: s, byID: map[string]*session{}}
	for id, found := range records {
		one := newSession(id)
		one.record.Store(found)
		all.byID[id] = one
	}
	for id, why := range damaged {
		slog.Warn("an upload session can't be read; EndUpload removes it", "upload", id, "error", why)
		one := newSession(id)
		one.damage = why
		all.byID[id] = one
	}
	return all, nil
}

func newSession(id string) *session {
	return &session{id: id, turn: make(chan struct{}, 1)}
}

// open answers WriteOpen (U1 to U4).
func (all *sessions) open(ctx context.Context, open *pb.WriteOpen) (*session, *writer, error) {
	if !isUploadID(open.UploadId) {
		return nil, nil, fail(requestNotUnderstood, "%.100q is no upload id: 32 lower-case hexadecimal digits", open.UploadId)
	}
	if open.Fence == nil {
		return nil, nil, fail(requestNotUnderstood, "an open without a fence")
	}
	var one *session
	var err error
	switch mode := open.Mode.(type) {
	case *pb.WriteOpen_Create_:
		one, err = all.create(ctx, open.UploadId, open.Fence, mode.Create)
	case *pb.WriteOpen_Resume_:
		one, err = all.take(ctx, open.UploadId, handover)
	default:
		return nil, nil, fail(requestNotUnderstood, "an open without a mode that this driver knows")
	}
	if err != nil {
		return nil, nil, err
	}
	defer one.release()
	w, err := all.seat(one, open.Fence)
	return one, w, err
}

// create gives the turn of a session that is new, or of the same create before (U2).
func (all *sessions) create(ctx context.Context, id string, fence *pb.Fence, create *pb.WriteOpen_Create) (*session, error) {
	if all.draining.Load() {
		return nil, fail(draining, "the driver is about to stop and takes no new sessions")
	}
	if err := checkKey(create.Key); err != nil {
		return nil, err
	}
	if err := checkBookmark(create.Bookmark); err != nil {
		return nil, err
	}
	for {
		if one, made := all.add(id); made {
			if err := all.begin(one, fence, create); err != nil {
				all.forget(one)
				one.release()
				return nil, err
			}
			return one, nil
		}
		one, err := all.take(ctx, id, handover)
		if is(err, uploadUnknown) {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		found := one.record.Load()
		if !found.Committed && found.Durable == 0 && found.Key == create.Key && found.compareFence(fence) == 0 {
			return one, nil
		}
		one.release()
		return nil, fail(uploadExists, "upload %s exists already; resume it", id)
	}
}

// add makes an entry for the id, with its turn taken, unless there is one.
func (all *sessions) add(id string) (*session, bool) {
	all.mutex.Lock()
	defer all.mutex.Unlock()
	if all.byID[id] != nil {
		return nil, false
	}
	one := newSession(id)
	one.turn <- struct{}{}
	all.byID[id] = one
	return one, true
}

// begin writes a new session down. Bytes first: a record without them would be damaged.
func (all *sessions) begin(one *session, fence *pb.Fence, create *pb.WriteOpen_Create) error {
	if err := all.store.takesWrites(); err != nil {
		return err
	}
	taken, err := all.store.look(create.Key)
	if err != nil {
		return err
	}
	if taken != nil {
		return fail(keyExists, "there is an object at key %s", create.Key)
	}
	data, err := all.store.root.OpenFile(dataPath(one.id), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return failed("make upload "+one.id, err)
	}
	if err := data.Close(); err != nil {
		return failed("make upload "+one.id, err)
	}
	return all.replace(one, &record{
		ID: one.id, Key: create.Key, Counter: fence.Counter, Owner: fence.Owner, Bookmark: create.Bookmark,
	})
}

// replace makes a record durable, then known.
func (all *sessions) replace(one *session, next *record) error {
	next.Updated = time.Now()
	if err := all.store.saveRecord(next); err != nil {
		return err
	}
	one.record.Store(next)
	return nil
}

// seat makes the holder of a fence the session's writer, and shuts the one before out (U4).
func (all *sessions) seat(one *session, fence *pb.Fence) (*writer, error) {
	found := one.record.Load()
	switch order := found.compareFence(fence); {
	case order > 0:
		return nil, found.isFenced()
	case order < 0:
		next := *found
		next.Counter, next.Owner = fence.Counter, fence.Owner
		if err := all.replace(one, &next); err != nil {
			return nil, err
		}
	}
	one.evict()
	w, err := newWriter(all, one)
	if err == nil {
		one.writer = w
	}
	return w, err
}

// compareFence is above 0 if the session's fence is the larger one.
func (r *record) compareFence(fence *pb.Fence) int {
	return cmp.Or(cmp.Compare(r.Counter, fence.Counter), cmp.Compare(r.Owner, fence.Owner))
}

func (r *record) isFenced() error {
	return fail(fenced, "a later writer has upload %s (fence %d)", r.ID, r.Counter)
}

// take gives a session with its turn, which the caller releases.
func (all *sessions) take(ctx context.Context, id string, limit time.Duration) (*session, error) {
	for {
		one, err := all.find(id)
		if err != nil {
			return nil, err
		}
		if err := one.takeTurn(ctx, limit); err != nil {
			return nil, err
		}
		if !one.gone {
			return one, nil
		}
		one.release()
	}
}

func (all *sessions) find(id string) (*session, error) {
	if err := all.store.isThere(); err != nil {
		return nil, err
	}
	all.mutex.Lock()
	defer all.mutex.Unlock()
	one := all.byID[id]
	if one == nil {
		return nil, fail(uploadUnknown, "there is no upload %s", id)
	}
	if one.damage != nil {
		return nil, fail(ioError, "upload %s can't be read: %v", id, one.damage)
	}
	return one, nil
}

func (one *session) takeTurn(ctx context.Context, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case one.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return fail(conflict, "the writer of upload %s does not let go; try again", one.id)
	}
}

func (one *session) release() { <-one.turn }

// evict: the writer that was there takes no step any more. Its stream ends with FENCED.
func (one *session) evict() {
	if one.writer != nil {
		one.writer.leave()
		one.writer = nil
	}
}

func (all *sessions) forget(one *session) {
	one.gone = true
	all.mutex.Lock()
	defer all.mutex.Unlock()
	delete(all.byID, one.id)
}

func checkBookmark(bookmark []byte) error {
	if len(bookmark) > longestBookmark {
		return fail(requestNotUnderstood, "a bookmark of %d bytes; at most %d", len(bookmark), longestBookmark)
	}
	return nil
}

func (s *storage) GetUpload(_ context.Context, request *pb.GetUploadRequest) (*pb.GetUploadResponse, error) {
	if !isUploadID(request.UploadId) {
		return nil, fail(requestNotUnderstood, "%.100q is no upload id", request.UploadId)
	}
	one, err := s.sessions.find(request.UploadId)
	if err != nil {
		return nil, err
	}
	found := one.record.Load()
	if found == nil {
		return nil, fail(uploadUnknown, "there is no upload %s yet", request.UploadId)
	}
	return &pb.GetUploadResponse{Upload: found.upload()}, nil
}

func (s *storage) ListUploads(_ context.Context, request *pb.ListUploadsRequest) (*pb.ListUploadsResponse, error) {
	if err := s.store.isThere(); err != nil {
		return nil, err
	}
	response, bytes := &pb.ListUploadsResponse{}, 0
	for _, one := range s.sessions.sorted() {
		found := one.record.Load()
		idle := request.IdleSince == nil || found != nil && !found.Updated.After(request.IdleSince.AsTime())
		if found == nil || one.id <= request.StartAfter || !idle {
			continue
		}
		upload := found.upload()
		bytes += proto.Size(upload)
		if len(response.Uploads) == pageSize(request.Limit) || bytes > mostListedBytes {
			response.More = true
			break
		}
		response.Uploads = append(response.Uploads, upload)
	}
	return response, nil
}

func (all *sessions) sorted() []*session {
	all.mutex.Lock()
	defer all.mutex.Unlock()
	return slices.SortedFunc(maps.Values(all.byID), func(a, b *session) int { return cmp.Compare(a.id, b.id) })
}

func (s *storage) EndUpload(ctx context.Context, request *pb.EndUploadRequest) (*pb.EndUploadResponse, error) {
	if !isUploadID(request.UploadId) {
		return nil, fail(requestNotUnderstood, "%.100q is no upload id", request.UploadId)
	}
	if request.Fence == nil {
		return nil, fail(requestNotUnderstood, "an EndUpload without a fence")
	}
	one, err := s.sessions.take(ctx, request.UploadId, handover)
	if is(err, uploadUnknown) {
		return &pb.EndUploadResponse{}, nil
	}
	if is(err, ioError) {
		return &pb.EndUploadResponse{Existed: true}, s.sessions.endDamaged(request.UploadId)
	}
	if err != nil {
		return nil, err
	}
	defer one.release()
	if found := one.record.Load(); found.compareFence(request.Fence) > 0 {
		return nil, found.isFenced()
	}
	return &pb.EndUploadResponse{Existed: true}, s.sessions.end(one)
}

// end removes a session whose turn the caller has (U16).
func (all *sessions) end(one *session) error {
	if err := all.store.takesWrites(); err != nil {
		return err
	}
	one.evict()
	if err := all.store.removeRecord(one.id); err != nil {
		return err
	}
	all.forget(one)
	return nil
}

func (all *sessions) endDamaged(id string) error {
	if err := all.store.removeRecord(id); err != nil {
		return err
	}
	all.mutex.Lock()
	defer all.mutex.Unlock()
	delete(all.byID, id)
	return nil
}

// settleAll makes the last marks of live streams durable, and tells how many streams there are (D4, D5).
func (all *sessions) settleAll(grace time.Duration) (live uint32) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	for _, one := range all.sorted() {
		if one.damage != nil {
			continue
		}
		if err := one.takeTurn(ctx, grace); err != nil {
			live++ // who holds a turn for so long is a writer
			slog.Warn("an upload was not made durable in time", "upload", one.id)
			continue
		}
		if w := one.writer; w != nil {
			live++
			if _, err := w.settle(); err != nil {
				slog.Warn("an upload was not made durable", "upload", one.id, "error", err)
			}
		}
		one.release()
	}
	return live
}

// expireIdle ends OPEN sessions that nobody touched for upload_ttl (U17), now and then, as long as the process lives.
func (all *sessions) expireIdle() {
	for range time.Tick(uploadTTL / 24) {
		for _, one := range all.sorted() {
			if err := all.expire(one); err != nil && !errors.Is(err, context.Canceled) {
				slog.Warn("an idle upload was not ended", "upload", one.id, "error", err)
			}
		}
	}
}

func (all *sessions) expire(one *session) error {
	if one.damage != nil {
		return nil
	}
	if err := one.takeTurn(context.Background(), handover); err != nil {
		return err
	}
	defer one.release()
	found := one.record.Load()
	if one.gone || one.writer != nil || found == nil || found.Committed || time.Since(found.Updated) < uploadTTL {
		return nil
	}
	return all.end(one)
}
