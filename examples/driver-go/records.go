// What of a session lies on disk: a record of JSON, replaced as a whole, beside the file of its bytes. Owns the two, and what
// is made of them after a crash (U14).
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	pb "example.com/driver-go/driverv1"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// record is never changed: another takes its place, on disk first and then in memory.
type record struct {
	ID        string    `json:"id"`
	Key       string    `json:"key"`
	Counter   uint64    `json:"fence_counter"`
	Owner     string    `json:"fence_owner"`
	Durable   uint64    `json:"durable"`
	Bookmark  []byte    `json:"bookmark"` // of the durable offset, or of the commit (U8, U15)
	Updated   time.Time `json:"updated"`
	Commit    *commit   `json:"commit,omitempty"` // written before the bytes become the object
	Committed bool      `json:"committed"`
}

type commit struct {
	Size     uint64    `json:"size"`
	Bookmark []byte    `json:"bookmark"`
	Etag     string    `json:"etag"`
	Modified time.Time `json:"modified"`
}

func recordPath(id string) string { return path.Join(uploadsFolder, id+".json") }
func dataPath(id string) string   { return path.Join(uploadsFolder, id+".data") }

func (r *record) upload() *pb.Upload {
	upload := &pb.Upload{
		UploadId: r.ID, State: pb.UploadState_UPLOAD_STATE_OPEN, Key: r.Key,
		Durable: r.Durable, Bookmark: r.Bookmark,
		Fence:   &pb.Fence{Counter: r.Counter, Owner: r.Owner},
		Updated: timestamppb.New(r.Updated),
	}
	if r.Committed {
		upload.State = pb.UploadState_UPLOAD_STATE_COMMITTED
		upload.Object = &pb.Object{
			Key: r.Key, Size: r.Commit.Size, Etag: r.Commit.Etag, Modified: timestamppb.New(r.Commit.Modified),
		}
	}
	return upload
}

// saveRecord is durable when it returns; a crash leaves the record before or this one.
func (s *store) saveRecord(r *record) error {
	if err := s.takesWrites(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fail(driverBug, "write the record of upload %s: %v", r.ID, err)
	}
	temporary, err := s.writeTemporary(text)
	if err != nil {
		return failed("write the record of upload "+r.ID, err)
	}
	if err := s.root.Rename(temporary, recordPath(r.ID)); err != nil {
		_ = s.root.Remove(temporary) // what stays is removed at the next start
		return failed("write the record of upload "+r.ID, err)
	}
	return s.syncFolder(uploadsFolder)
}

// removeRecord ends a session: the record first, so that none is left that names bytes which are gone.
func (s *store) removeRecord(id string) error {
	if err := s.takesWrites(); err != nil {
		return err
	}
	if err := s.root.Remove(recordPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("end upload "+id, err)
	}
	if err := s.syncFolder(uploadsFolder); err != nil {
		return err
	}
	if err := s.root.Remove(dataPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("remove the bytes of upload "+id, err)
	}
	return nil
}

// loadRecords gives what an earlier process left, by id; an error for each session that can't be read. Bytes without a
// record belong to a session that was ended, or never acknowledged.
func (s *store) loadRecords() (map[string]*record, map[string]error, error) {
	directory, err := s.root.Open(uploadsFolder)
	if err != nil {
		return nil, nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, nil, err
	}
	records, damaged := map[string]*record{}, map[string]error{}
	for _, name := range names {
		id, found := strings.CutSuffix(name, ".json")
		if !found || !isUploadID(id) {
			continue
		}
		if records[id], err = s.loadRecord(id); err != nil {
			delete(records, id)
			damaged[id] = err
		}
	}
	for _, name := range names {
		id, found := strings.CutSuffix(name, ".data")
		if found && isUploadID(id) && records[id] == nil && damaged[id] == nil {
			_ = s.root.Remove(dataPath(id)) // in the way of nothing: a create truncates it
		}
	}
	return records, damaged, nil
}

func (s *store) loadRecord(id string) (*record, error) {
	text, err := s.root.ReadFile(recordPath(id))
	if err != nil {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, err
	}
	if r.ID != id || checkKey(r.Key) != nil || r.Committed && r.Commit == nil {
		return nil, errors.New("the record contradicts itself")
	}
	return s.settleCommit(r)
}

// settleCommit tells what became of a commit that was begun: as long as the bytes are the session's, nothing.
func (s *store) settleCommit(r *record) (*record, error) {
	if r.Committed {
		return r, nil
	}
	data, err := s.root.Lstat(dataPath(r.ID))
	if err == nil && uint64(data.Size()) >= r.Durable {
		open := *r
		open.Commit = nil
		return &open, nil
	}
	if err == nil {
		return nil, fmt.Errorf("%d bytes are durable, the file has %d", r.Durable, data.Size())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	object, err := s.look(r.Key)
	if err != nil {
		return nil, err
	}
	if r.Commit == nil || object == nil || uint64(object.Size()) != r.Commit.Size {
		return nil, errors.New("its bytes are gone, and no object has them")
	}
	if err := s.syncFolders(r.Key, dataPath(r.ID)); err != nil {
		return nil, err
	}
	committed := r.committed()
	return committed, s.saveRecord(committed)
}

func (r *record) committed() *record {
	next := *r
	next.Committed, next.Durable, next.Bookmark, next.Updated = true, r.Commit.Size, r.Commit.Bookmark, time.Now()
	return &next
}
