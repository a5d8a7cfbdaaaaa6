// WriteStream: one writer of a session, step by step (contract clauses U6 to U13).
package main

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	pb "example.com/driver-go/driverv1"

	"google.golang.org/grpc"
)

// Without a flush a mark becomes durable when so much has come in since the last (U9).
const settleAfter = 32 << 20

// writer is a stream that has a session. All of it but evicted is behind the session's turn.
type writer struct {
	all      *sessions
	session  *session
	data     *os.File // nil if the session is COMMITTED
	received uint64
	pending  *pb.WriteMark // the last mark that is not durable yet
	evicted  chan struct{} // closed when another took the session over
	left     sync.Once
}

// newWriter begins at the last durable mark: bytes behind it are forgotten (U3).
func newWriter(all *sessions, one *session) (*writer, error) {
	found, err := all.store.settleCommit(one.record.Load())
	if err != nil {
		return nil, failed("tell what became of the commit of upload "+one.id, err)
	}
	one.record.Store(found)
	w := &writer{all: all, session: one, received: found.Durable, evicted: make(chan struct{})}
	if found.Committed {
		return w, nil
	}
	data, err := all.store.root.OpenFile(dataPath(one.id), os.O_RDWR, 0)
	if err == nil {
		if err = data.Truncate(int64(found.Durable)); err != nil {
			err = errors.Join(err, data.Close())
		}
	}
	if err != nil {
		return nil, failed("open the bytes of upload "+one.id, err)
	}
	w.data = data
	return w, nil
}

func (w *writer) leave() {
	w.left.Do(func() {
		close(w.evicted)
		w.pending = nil
		if w.data != nil {
			_ = w.data.Close() // what counts was synced before
		}
	})
}

func (s *storage) WriteStream(stream grpc.BidiStreamingServer[pb.WriteStreamRequest, pb.WriteStreamResponse]) error {
	first, err := stream.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if first.GetOpen() == nil {
		return fail(requestNotUnderstood, "a write stream begins with open")
	}
	one, w, err := s.sessions.open(stream.Context(), first.GetOpen())
	if err != nil {
		return err
	}
	defer w.finish()
	opened := &pb.WriteStreamResponse{Msg: &pb.WriteStreamResponse_Opened{Opened: one.record.Load().upload()}}
	if err := stream.Send(opened); err != nil {
		return err
	}
	return w.serve(stream)
}

type received struct {
	request *pb.WriteStreamRequest
	err     error
}

// serve ends when the core does, or when another writer has the session. A stream that just ends is no error: the session
// stays (U11).
func (w *writer) serve(stream grpc.BidiStreamingServer[pb.WriteStreamRequest, pb.WriteStreamResponse]) error {
	messages := make(chan received)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			request, err := stream.Recv()
			select {
			case messages <- received{request, err}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-w.evicted:
			return w.session.record.Load().isFenced()
		case next := <-messages:
			if errors.Is(next.err, io.EOF) {
				return nil
			}
			if next.err != nil {
				return next.err
			}
			answer, err := w.step(stream.Context(), next.request)
			if err != nil {
				return err
			}
			if answer != nil {
				if err := stream.Send(answer); err != nil {
					return err
				}
			}
			if answer.GetCommitted() != nil {
				return nil
			}
		}
	}
}

// step takes one message, if the session is still this writer's (U4).
func (w *writer) step(ctx context.Context, request *pb.WriteStreamRequest) (*pb.WriteStreamResponse, error) {
	if err := w.session.takeTurn(ctx, handover); err != nil {
		return nil, err
	}
	defer w.session.release()
	if w.session.writer != w {
		return nil, w.session.record.Load().isFenced()
	}
	switch message := request.Msg.(type) {
	case *pb.WriteStreamRequest_Chunk:
		return nil, w.chunk(message.Chunk)
	case *pb.WriteStreamRequest_Mark:
		return w.mark(message.Mark)
	case *pb.WriteStreamRequest_Commit:
		return w.commit(message.Commit)
	default:
		return nil, fail(requestNotUnderstood, "a message in a write stream that this driver does not know")
	}
}

func (w *writer) chunk(chunk *pb.WriteChunk) error {
	if len(chunk.Data) > maxChunk {
		return fail(tooLarge, "a chunk of %d bytes; at most %d", len(chunk.Data), maxChunk)
	}
	if err := w.fits(chunk.Offset); err != nil {
		return err
	}
	if chunk.Crc32C != nil && crc32.Checksum(chunk.Data, castagnoli) != *chunk.Crc32C {
		return fail(checksumMismatch, "the chunk at offset %d arrived damaged", chunk.Offset)
	}
	if _, err := w.data.WriteAt(chunk.Data, int64(chunk.Offset)); err != nil {
		return failed("write bytes of upload "+w.session.id, err)
	}
	w.received += uint64(len(chunk.Data))
	return nil
}

// fits is for chunks and marks: nothing is added to what is committed (U15), and nothing at another offset (U6).
func (w *writer) fits(offset uint64) error {
	found := w.session.record.Load()
	if found.Committed {
		return fail(uploadCommitted, "upload %s is committed and takes nothing more", found.ID)
	}
	if offset != w.received {
		return fail(offsetMismatch, "offset %d does not follow; %d bytes were received", offset, w.received).
			with("received", w.received).with("durable", found.Durable)
	}
	return nil
}

func (w *writer) mark(mark *pb.WriteMark) (*pb.WriteStreamResponse, error) {
	if err := checkBookmark(mark.Bookmark); err != nil {
		return nil, err
	}
	if err := w.fits(mark.Offset); err != nil {
		return nil, err
	}
	w.pending = mark
	if !mark.Flush && mark.Offset-w.session.record.Load().Durable < settleAfter {
		return nil, nil
	}
	durable, err := w.settle()
	if err != nil {
		return nil, err
	}
	ack := &pb.WriteAck{Received: w.received, Durable: durable}
	return &pb.WriteStreamResponse{Msg: &pb.WriteStreamResponse_Ack{Ack: ack}}, nil
}

// settle makes the last mark durable: the bytes first, then the record that names them (U8). After a failure the stream
// ends, and the next writer begins at the mark before: no later sync can acknowledge these bytes (O10).
func (w *writer) settle() (durable uint64, err error) {
	found, mark := w.session.record.Load(), w.pending
	if mark == nil {
		return found.Durable, nil
	}
	w.pending = nil
	defer func() {
		if err != nil {
			w.session.evict()
		}
	}()
	if err := w.all.store.takesWrites(); err != nil {
		return 0, err
	}
	if err := w.data.Sync(); err != nil {
		return 0, failed("make bytes of upload "+found.ID+" durable", err)
	}
	next := *found
	next.Durable, next.Bookmark = mark.Offset, mark.Bookmark
	return next.Durable, w.all.replace(w.session, &next)
}

func (w *writer) commit(wanted *pb.WriteCommit) (*pb.WriteStreamResponse, error) {
	if err := checkBookmark(wanted.Bookmark); err != nil {
		return nil, err
	}
	found := w.session.record.Load()
	if wanted.Size != w.received {
		return nil, fail(sizeMismatch, "a commit of %d bytes; %d were received", wanted.Size, w.received)
	}
	// Again: the answer to the first one was lost (U13).
	if !found.Committed {
		if err := w.publish(found, wanted); err != nil {
			return nil, err
		}
	}
	upload := w.session.record.Load().upload()
	return &pb.WriteStreamResponse{Msg: &pb.WriteStreamResponse_Committed{Committed: upload}}, nil
}

// publish makes the bytes the object. What is to come is written down before: a crash after the rename is then told by the
// bytes being gone (U14).
func (w *writer) publish(found *record, wanted *pb.WriteCommit) error {
	store, data := w.all.store, dataPath(found.ID)
	if err := store.takesWrites(); err != nil {
		return err
	}
	// The commit takes the place of an earlier mark (U15); and should this sync fail, none of the bytes count (O10).
	w.pending = nil
	if err := store.finish(data, w.data); err != nil {
		return failed("make bytes of upload "+found.ID+" durable", err)
	}
	defer store.lockKeys(found.Key)()
	taken, err := store.look(found.Key)
	if err != nil {
		return err
	}
	if taken != nil {
		return fail(keyExists, "there is an object at key %s", found.Key)
	}
	if err := store.makeRoom(found.Key); err != nil {
		return err
	}
	info, err := w.data.Stat()
	if err != nil {
		return failed("look at the bytes of upload "+found.ID, err)
	}
	next := *found
	next.Commit = &commit{Size: wanted.Size, Bookmark: wanted.Bookmark, Etag: etagOf(info), Modified: info.ModTime()}
	if err := w.all.replace(w.session, &next); err != nil {
		return err
	}
	err = store.place(data, found.Key)
	if err == nil {
		err = store.syncFolders(found.Key, data)
	}
	if err == nil {
		err = w.all.replace(w.session, next.committed())
	}
	if err != nil {
		w.session.evict() // the next writer finds the session OPEN as it was, or COMMITTED (U12)
	}
	return err
}

// finish leaves the session OPEN, at a later mark if there is one (U11).
func (w *writer) finish() {
	if err := w.session.takeTurn(context.Background(), time.Minute); err != nil {
		slog.Error("the end of a write stream waits for its disk", "upload", w.session.id)
		return
	}
	defer w.session.release()
	if w.session.writer != w {
		return
	}
	if _, err := w.settle(); err != nil {
		slog.Warn("the last mark of an upload was not made durable", "upload", w.session.id, "error", err)
	}
	w.session.evict()
}
