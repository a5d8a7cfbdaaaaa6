// ReadStream (contract section R).
package main

import (
	"errors"
	"hash/crc32"
	"io"
	"os"

	pb "example.com/driver-go/driverv1"

	"google.golang.org/grpc"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *storage) ReadStream(request *pb.ReadStreamRequest, stream grpc.ServerStreamingServer[pb.ReadStreamResponse]) error {
	if err := checkKey(request.Key); err != nil {
		return err
	}
	file, info, err := s.store.open(request.Key)
	if err != nil {
		return err
	}
	defer file.Close()
	if request.IfMatch != "" {
		if err := matches(request.Key, info, request.IfMatch); err != nil {
			return err
		}
	}
	size := uint64(info.Size())
	if request.Offset > size {
		return fail(offsetPastEnd, "offset %d is behind the end of key %s, %d", request.Offset, request.Key, size).with("size", size)
	}
	end := size
	if request.Length != nil && *request.Length < size-request.Offset {
		end = request.Offset + *request.Length
	}
	return s.sendRange(stream, file, request.Offset, end, objectOf(request.Key, info))
}

// sendRange waits in Send as long as the core does not read: no more than one piece is read ahead (R18).
func (s *storage) sendRange(stream grpc.ServerStreamingServer[pb.ReadStreamResponse], file *os.File, offset, end uint64, object *pb.Object) error {
	piece := make([]byte, min(maxChunk, end-offset))
	for {
		piece = piece[:min(maxChunk, end-offset)]
		if err := readFull(file, piece, offset); err != nil {
			return err
		}
		response := &pb.ReadStreamResponse{Object: object, Offset: offset, Data: piece}
		if s.sums && len(piece) > 0 {
			sum := crc32.Checksum(piece, castagnoli)
			response.Crc32C = &sum
		}
		if err := stream.Send(response); err != nil {
			return err
		}
		object = nil // with the first piece alone (R11)
		offset += uint64(len(piece))
		if offset == end {
			return nil
		}
	}
}

// readFull ends with an error where a file is shorter than it was (R13).
func readFull(file *os.File, content []byte, offset uint64) error {
	_, err := file.ReadAt(content, int64(offset))
	switch {
	case err == nil, errors.Is(err, io.EOF) && len(content) == 0:
		return nil
	case errors.Is(err, io.EOF):
		return fail(shortObject, "the object became shorter while it was read; somebody else writes to the directory")
	default:
		return failed("read an object", err)
	}
}
