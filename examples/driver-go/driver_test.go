// What longshore-driver-check can't reach from outside: crashes at one exact point, damaged records, a second process.
package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "example.com/driver-go/driverv1"
)

const testID = "0123456789abcdef0123456789abcdef"

func openTestStore(t *testing.T, root string) (*store, *sessions) {
	t.Helper()
	s, err := openStore(root)
	if err != nil {
		t.Fatal(err)
	}
	all, err := openSessions(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, all
}

// restart lets go of the root as the end of a process does.
func restart(t *testing.T, s *store) (*store, *sessions) {
	t.Helper()
	if err := s.lock.Close(); err != nil {
		t.Fatal(err)
	}
	return openTestStore(t, s.directory)
}

func writeUpload(t *testing.T, all *sessions, content string) (*session, *writer) {
	t.Helper()
	create := &pb.WriteOpen_Create_{Create: &pb.WriteOpen_Create{Key: "a/b"}}
	open := &pb.WriteOpen{UploadId: testID, Fence: &pb.Fence{Counter: 1}, Mode: create}
	one, w, err := all.open(context.Background(), open)
	if err != nil {
		t.Fatal(err)
	}
	chunk := &pb.WriteStreamRequest_Chunk{Chunk: &pb.WriteChunk{Data: []byte(content)}}
	if _, err := w.step(context.Background(), &pb.WriteStreamRequest{Msg: chunk}); err != nil {
		t.Fatal(err)
	}
	return one, w
}

// begin does the first step of a commit alone: what is to come is on disk.
func beginCommit(t *testing.T, s *store, one *session) *record {
	t.Helper()
	next := *one.record.Load()
	next.Commit = &commit{Size: 5, Bookmark: []byte("of the commit"), Etag: "e", Modified: time.Now()}
	if err := s.saveRecord(&next); err != nil {
		t.Fatal(err)
	}
	return &next
}

func TestACommitThatACrashCutOffBeforeTheRenameLeavesTheSessionOpen(t *testing.T) {
	s, all := openTestStore(t, t.TempDir())
	one, _ := writeUpload(t, all, "hello")
	beginCommit(t, s, one)
	_, all = restart(t, s)
	found := all.byID[testID].record.Load()
	if found.Committed || found.Commit != nil || found.Durable != 0 {
		t.Fatalf("%+v", found)
	}
}

func TestACommitThatACrashCutOffBehindTheRenameIsCommitted(t *testing.T) {
	s, all := openTestStore(t, t.TempDir())
	one, _ := writeUpload(t, all, "hello")
	next := beginCommit(t, s, one)
	if err := s.place(dataPath(testID), next.Key); err != nil {
		t.Fatal(err)
	}
	s, all = restart(t, s)
	for range 2 { // it stays so
		upload := all.byID[testID].record.Load().upload()
		if upload.State != pb.UploadState_UPLOAD_STATE_COMMITTED || upload.Durable != 5 ||
			string(upload.Bookmark) != "of the commit" || upload.Object.Size != 5 {
			t.Fatalf("%v", upload)
		}
		s, all = restart(t, s)
	}
}

func TestACommitKeepsItsBookmarkAlsoBehindAMarkThatWasNotFlushed(t *testing.T) {
	s, all := openTestStore(t, t.TempDir())
	_, w := writeUpload(t, all, "hello")
	for _, request := range []*pb.WriteStreamRequest{
		{Msg: &pb.WriteStreamRequest_Mark{Mark: &pb.WriteMark{Offset: 5, Bookmark: []byte("of the mark")}}},
		{Msg: &pb.WriteStreamRequest_Chunk{Chunk: &pb.WriteChunk{Offset: 5, Data: []byte("!")}}},
		{Msg: &pb.WriteStreamRequest_Commit{Commit: &pb.WriteCommit{Size: 6, Bookmark: []byte("of the commit")}}},
	} {
		if _, err := w.step(context.Background(), request); err != nil {
			t.Fatal(err)
		}
	}
	w.finish()
	for range 2 { // it stays so
		upload := all.byID[testID].record.Load().upload()
		if upload.State != pb.UploadState_UPLOAD_STATE_COMMITTED || upload.Durable != 6 ||
			string(upload.Bookmark) != "of the commit" {
			t.Fatalf("%v", upload)
		}
		s, all = restart(t, s)
	}
}

func TestADamagedSessionIsNotListedAndNotUnknownAndCanBeEnded(t *testing.T) {
	s, all := openTestStore(t, t.TempDir())
	writeUpload(t, all, "hello")
	if err := s.root.WriteFile(recordPath(testID), []byte(`{"id": "012`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, all = restart(t, s)
	service := &storage{store: s, sessions: all}
	ctx := context.Background()
	listed, err := service.ListUploads(ctx, &pb.ListUploadsRequest{})
	if err != nil || len(listed.Uploads) != 0 {
		t.Fatal(listed, err)
	}
	if _, err := service.GetUpload(ctx, &pb.GetUploadRequest{UploadId: testID}); !is(err, ioError) {
		t.Fatal(err)
	}
	ended, err := service.EndUpload(ctx, &pb.EndUploadRequest{UploadId: testID, Fence: &pb.Fence{}})
	if err != nil || !ended.Existed {
		t.Fatal(ended, err)
	}
	if _, err := service.GetUpload(ctx, &pb.GetUploadRequest{UploadId: testID}); !is(err, uploadUnknown) {
		t.Fatal(err)
	}
}

func TestAnIdleSessionExpiresAndOneWithAWriterDoesNot(t *testing.T) {
	_, all := openTestStore(t, t.TempDir())
	one, w := writeUpload(t, all, "hello")
	old := *one.record.Load()
	old.Updated = time.Now().Add(-2 * uploadTTL)
	one.record.Store(&old)
	if err := all.expire(one); err != nil || one.gone {
		t.Fatal("ended under its writer", err)
	}
	w.finish()
	if err := all.expire(one); err != nil || !one.gone {
		t.Fatal("not ended", err)
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	s, _ := openTestStore(t, t.TempDir())
	if _, err := openStore(s.directory); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatal(err)
	}
}

func TestNothingIsWrittenAfterAFolderCouldNotBeSynced(t *testing.T) {
	s, all := openTestStore(t, t.TempDir())
	s.broken.Store(true)
	put := &pb.PutRequest{Key: "a", Condition: &pb.PutRequest_Always_{Always: &pb.PutRequest_Always{}}}
	if _, err := (&storage{store: s, sessions: all}).Put(context.Background(), put); !is(err, ioError) {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.directory, "a")); err == nil {
		t.Fatal("it was written")
	}
}

func TestAFolderOfMoreThanOneWindowIsListedOnceAndInOrder(t *testing.T) {
	s, all := openTestStore(t, t.TempDir())
	for number := range 5 * window {
		name := []byte{byte('a' + number%26), byte('a' + number/26%26), byte('a' + number/676)}
		if err := s.root.WriteFile(string(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service, after, seen := &storage{store: s, sessions: all}, "", 0
	for {
		page, err := service.List(context.Background(), &pb.ListRequest{StartAfter: after, Limit: 999, Recursive: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range page.Entries {
			if key := entry.GetObject().GetKey(); key <= after {
				t.Fatalf("%s behind %s", key, after)
			} else {
				after, seen = key, seen+1
			}
		}
		if !page.More {
			break
		}
	}
	if seen != 5*window {
		t.Fatal(seen)
	}
}

func TestEndpointsThatAreNoneOrNotSafeAreRefused(t *testing.T) {
	directory := t.TempDir()
	precious := filepath.Join(directory, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(directory, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	live, _, err := listen("unix://"+filepath.Join(directory, "live"), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	for _, endpoint := range []string{
		"", "http://127.0.0.1:1", "tcp://10.0.0.1:7000", "tcp://0.0.0.0:0", "unix://relative", "unix:///" + strings.Repeat("x", 108),
		"unix://" + precious, "unix://" + open + "/socket", "unix://" + live.Addr().String(),
	} {
		if listener, _, err := listen(endpoint, -1); err == nil {
			t.Errorf("%q was taken: %v", endpoint, listener.Addr())
		}
	}
	if content, err := os.ReadFile(precious); err != nil || !bytes.Equal(content, []byte("x")) {
		t.Fatal(content, err)
	}
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "socket")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	listener, _, err := listen("unix://"+path, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
}
