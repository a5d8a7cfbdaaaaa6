// IdentityService: the handshake, what the driver can and may be asked for, and its state (contract section H).
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	pb "example.com/driver-go/driverv1"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	driverName    = "driver-go"
	driverVersion = "0.1.0"

	maxChunk  = 256 << 10
	maxInline = 4<<20 + 64<<10
	maxPage   = 1000
)

type identity struct {
	pb.UnimplementedIdentityServiceServer
	store    *store
	sessions *sessions
	instance string
}

func newIdentity(s *store, all *sessions) *identity {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // RFC 9562, version 4
	instance := fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	return &identity{store: s, sessions: all, instance: instance}
}

func (i *identity) Handshake(_ context.Context, request *pb.HandshakeRequest) (*pb.HandshakeResponse, error) {
	if !offersOurs(request.Supported) {
		return nil, fail(versionMismatch, "this driver speaks version 1 of the contract, which was not offered")
	}
	id, err := i.store.id()
	if err != nil {
		return nil, err
	}
	if request.ExpectedStoreId != nil && *request.ExpectedStoreId != id {
		return nil, fail(storeMismatch, "the store is %q, not %.100q", id, *request.ExpectedStoreId)
	}
	return &pb.HandshakeResponse{
		Selected:       &pb.Version{Major: 1, Minor: 0},
		DriverName:     driverName,
		DriverVersion:  driverVersion,
		DriverInstance: i.instance,
		StoreId:        id,
		Capabilities:   capabilities(),
		Limits: &pb.Limits{
			MaxChunkBytes: maxChunk, MaxInlineBytes: maxInline, MaxPage: maxPage,
			UploadTtl: durationpb.New(uploadTTL),
		},
		Now: timestamppb.Now(),
	}, nil
}

// Every minor version of major 1 is understood (H3).
func offersOurs(versions []*pb.Version) bool {
	for _, version := range versions {
		if version.Major == 1 {
			return true
		}
	}
	return false
}

// capabilities: what is true of one process on a local directory, and no more (R1).
func capabilities() *pb.Capabilities {
	return &pb.Capabilities{
		Durability:    pb.Durability_DURABILITY_STABLE,
		RangeRead:     true,
		PutIfAbsent:   true,
		PutIfMatch:    true,
		DeleteIfMatch: true,
		ListIsCurrent: true,
		Crc32C:        true,
		Move:          pb.MoveCost_MOVE_COST_RENAME,
	}
}

// id is empty only if the store was never initialised, and not if that can't be read (H7).
func (s *store) id() (string, error) {
	if err := s.isThere(); err != nil {
		return "", err
	}
	content, err := s.root.ReadFile(storeIDKey)
	if errors.Is(err, fs.ErrNotExist) {
		return "", s.isThere()
	}
	if err != nil {
		return "", failed("read the store's id", err)
	}
	id := strings.TrimSpace(string(content))
	if !isStoreID(id) {
		return "", fail(ioError, "%s holds no store id", storeIDKey)
	}
	return id, nil
}

func (i *identity) Probe(context.Context, *pb.ProbeRequest) (*pb.ProbeResponse, error) {
	if err := i.store.isThere(); err != nil {
		return nil, err
	}
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(i.store.lock.Fd()), &disk); err != nil {
		return nil, failed("ask for the free space", err)
	}
	response := &pb.ProbeResponse{
		State:     pb.ProbeResponse_STATE_READY,
		BytesFree: proto.Uint64(disk.Bavail * uint64(disk.Bsize)),
	}
	if disk.Flags&unix.ST_RDONLY != 0 {
		response.State, response.Reason = pb.ProbeResponse_STATE_READ_ONLY, "the file system is mounted read-only"
	}
	if i.store.broken.Load() {
		response.State, response.Reason = pb.ProbeResponse_STATE_READ_ONLY, "a sync failed; look after the disk, then restart the driver"
	}
	return response, nil
}

func (i *identity) Drain(_ context.Context, request *pb.DrainRequest) (*pb.DrainResponse, error) {
	grace := 5 * time.Second
	if request.Grace != nil {
		grace = request.Grace.AsDuration()
	}
	i.sessions.draining.Store(true)
	return &pb.DrainResponse{SessionsLeftOpen: i.sessions.settleAll(grace)}, nil
}
