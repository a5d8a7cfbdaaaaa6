// Whole objects: Stat, Get, Put, Delete, Move (contract section O).
package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	pb "example.com/driver-go/driverv1"

	"google.golang.org/protobuf/types/known/timestamppb"
)

const mostDeletes = 1000

// storage serves StorageService. Its other calls are in listing.go, reading.go, sessions.go and writing.go.
type storage struct {
	pb.UnimplementedStorageServiceServer
	store    *store
	sessions *sessions
	sums     bool // pieces of reads carry checksums: over TCP (R17)
}

func (s *storage) Stat(_ context.Context, request *pb.StatRequest) (*pb.StatResponse, error) {
	if err := checkReadableKey(request.Key); err != nil {
		return nil, err
	}
	info, err := s.store.find(request.Key)
	if err != nil {
		return nil, err
	}
	return &pb.StatResponse{Object: objectOf(request.Key, info)}, nil
}

func (s *storage) Get(_ context.Context, request *pb.GetRequest) (*pb.GetResponse, error) {
	if err := checkReadableKey(request.Key); err != nil {
		return nil, err
	}
	file, info, err := s.store.open(request.Key)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > maxInline {
		return nil, fail(tooLarge, "the object at key %s has %d bytes; read more than %d as a stream", request.Key, info.Size(), maxInline)
	}
	content := make([]byte, info.Size())
	if err := readFull(file, content, 0); err != nil {
		return nil, err
	}
	return &pb.GetResponse{Object: objectOf(request.Key, info), Content: content}, nil
}

func (s *storage) Put(_ context.Context, request *pb.PutRequest) (*pb.PutResponse, error) {
	if err := checkPut(request); err != nil {
		return nil, err
	}
	key := request.Key
	if err := s.store.takesWrites(); err != nil {
		return nil, err
	}
	temporary, err := s.store.writeTemporary(request.Content)
	if err != nil {
		return nil, failed("write the content of key "+key, err)
	}
	object, err := s.publish(temporary, request)
	if err != nil {
		_ = s.store.root.Remove(temporary)
		return nil, err
	}
	return &pb.PutResponse{Object: object}, nil
}

func checkPut(request *pb.PutRequest) error {
	if request.Condition == nil {
		return fail(requestNotUnderstood, "a Put without a condition that this driver knows")
	}
	if len(request.Content) > maxInline {
		return fail(tooLarge, "%d bytes for one Put; more than %d are an upload", len(request.Content), maxInline)
	}
	if request.Key != storeIDKey {
		return checkKey(request.Key)
	}
	if _, fits := request.Condition.(*pb.PutRequest_IfAbsent_); !fits {
		return fail(notSupported, "the store's id is written once, with if_absent")
	}
	if !isStoreID(string(request.Content)) {
		return fail(requestNotUnderstood, "%.100q is no store id: 1 to 64 of A-Za-z0-9-", request.Content)
	}
	return nil
}

// publish decides and writes in one step, for no other writer has the key meanwhile (H10).
func (s *storage) publish(temporary string, request *pb.PutRequest) (*pb.Object, error) {
	key := request.Key
	defer s.store.lockKeys(key)()
	if err := s.holds(request); err != nil {
		return nil, err
	}
	info, err := s.store.root.Lstat(temporary)
	if err != nil {
		return nil, failed("look at the content of key "+key, err)
	}
	if err := s.store.makeRoom(key); err != nil {
		return nil, err
	}
	if err := s.store.place(temporary, key); err != nil {
		return nil, err
	}
	return objectOf(key, info), s.store.syncFolders(key)
}

func (s *storage) holds(request *pb.PutRequest) error {
	info, err := s.store.look(request.Key)
	if err != nil {
		return err
	}
	switch condition := request.Condition.(type) {
	case *pb.PutRequest_IfAbsent_:
		if info != nil {
			return fail(keyExists, "there is an object at key %s", request.Key)
		}
	case *pb.PutRequest_IfMatch:
		return matches(request.Key, info, condition.IfMatch)
	}
	return nil
}

func matches(key string, info fs.FileInfo, etag string) error {
	if info == nil {
		return fail(preconditionFailed, "there is no object at key %s", key)
	}
	if found := etagOf(info); found != etag {
		return fail(preconditionFailed, "the object at key %s has etag %s, not %.100s", key, found, etag)
	}
	return nil
}

// Delete syncs once for all items: also for what was not there, since its end may not be durable yet (O9).
func (s *storage) Delete(_ context.Context, request *pb.DeleteRequest) (*pb.DeleteResponse, error) {
	if len(request.Items) > mostDeletes {
		return nil, fail(requestNotUnderstood, "%d items in one Delete; at most %d", len(request.Items), mostDeletes)
	}
	if err := s.store.takesWrites(); err != nil {
		return nil, err
	}
	response := &pb.DeleteResponse{}
	var gone []string
	for _, item := range request.Items {
		existed, err := s.deleteOne(item)
		outcome := &pb.DeleteResponse_Outcome{Existed: existed}
		if err == nil {
			gone = append(gone, item.Key)
		} else {
			var why *failure
			if !errors.As(err, &why) {
				return nil, err
			}
			outcome.Code, outcome.Reason = int32(codeOf[why.reason]), string(why.reason)
		}
		response.Outcomes = append(response.Outcomes, outcome)
	}
	return response, s.store.syncFolders(gone...)
}

func (s *storage) deleteOne(item *pb.DeleteRequest_Item) (existed bool, err error) {
	if err := checkKey(item.Key); err != nil {
		return false, err
	}
	defer s.store.lockKeys(item.Key)()
	info, err := s.store.look(item.Key)
	if err != nil || info == nil {
		return false, err
	}
	if item.IfMatch != nil {
		if err := matches(item.Key, info, *item.IfMatch); err != nil {
			return false, err
		}
	}
	if err := s.store.root.Remove(item.Key); err != nil {
		return false, failed("delete key "+item.Key, err)
	}
	s.store.prune(item.Key)
	return true, nil
}

func (s *storage) Move(_ context.Context, request *pb.MoveRequest) (*pb.MoveResponse, error) {
	from, to := request.From, request.To
	for _, key := range []string{from, to} {
		if err := checkKey(key); err != nil {
			return nil, err
		}
	}
	if err := s.store.takesWrites(); err != nil {
		return nil, err
	}
	defer s.store.lockKeys(from, to)()
	info, err := s.store.find(from)
	if err != nil {
		return nil, err
	}
	taken, err := s.store.look(to)
	if err != nil {
		return nil, err
	}
	if taken != nil {
		return nil, fail(keyExists, "there is an object at key %s", to)
	}
	if err := s.store.makeRoom(to); err != nil {
		return nil, err
	}
	if err := s.store.place(from, to); err != nil {
		return nil, err
	}
	s.store.prune(from)
	// The new name first: a power cut between may leave both, but never none.
	if err := s.store.syncFolders(to, from); err != nil {
		return nil, err
	}
	return &pb.MoveResponse{Object: objectOf(to, info)}, nil
}

// find gives what is at a key; absence is an error.
func (s *store) find(key string) (fs.FileInfo, error) {
	if err := s.isThere(); err != nil {
		return nil, err
	}
	info, err := s.look(key)
	if err == nil && info == nil {
		return nil, s.absent(key)
	}
	return info, err
}

// open opens the file of a key. It stays the same content to its reader, for files are replaced and never changed (R14).
func (s *store) open(key string) (*os.File, fs.FileInfo, error) {
	if _, err := s.find(key); err != nil {
		return nil, nil, err
	}
	file, err := s.root.Open(key)
	if isAbsence(err) {
		return nil, nil, s.absent(key)
	}
	if err != nil {
		return nil, nil, failed("open the object at key "+key, err)
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() {
		return file, info, nil
	}
	_ = file.Close() // nothing was written to it
	if err == nil {
		return nil, nil, s.absent(key)
	}
	return nil, nil, failed("look at the object at key "+key, err)
}

func objectOf(key string, info fs.FileInfo) *pb.Object {
	return &pb.Object{
		Key:      key,
		Size:     uint64(info.Size()),
		Etag:     etagOf(info),
		Modified: timestamppb.New(info.ModTime()),
	}
}

// Sign: a directory has no URLs (O12).
func (s *storage) Sign(context.Context, *pb.SignRequest) (*pb.SignResponse, error) {
	return nil, fail(notSupported, "this driver signs no URLs")
}
