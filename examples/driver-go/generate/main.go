// Makes the Go code of the contract's messages and services anew: go run ./generate. No protoc is needed, the proto is
// compiled here and handed to the two plugins, whose versions go.mod pins. The proto lies in proto/, or where
// PROTO_DIR says.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	module    = "example.com/driver-go"
	protoFile = "longshore/driver/v1/driver.proto"
	output    = "driverv1"
)

func main() {
	log.SetFlags(0)
	directory := protoDirectory()
	files, err := compile(directory)
	if err != nil {
		log.Fatal(err)
	}
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		if err := run(plugin, files); err != nil {
			log.Fatal(err)
		}
	}
}

func protoDirectory() string {
	if directory := os.Getenv("PROTO_DIR"); directory != "" {
		return directory
	}
	return "proto"
}

// compile gives the contract and all that it imports; what is imported comes first.
func compile(directory string) ([]*descriptorpb.FileDescriptorProto, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{directory}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(context.Background(), protoFile)
	if err != nil {
		return nil, fmt.Errorf("compile %s of %s (PROTO_DIR names another directory): %w", protoFile, directory, err)
	}
	var files []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		files = append(files, protoutil.ProtoFromFileDescriptor(file))
	}
	add(compiled[0])
	return files, nil
}

func run(plugin string, files []*descriptorpb.FileDescriptorProto) error {
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{protoFile},
		Parameter:      proto.String(fmt.Sprintf("M%s=%s/%s;%s,module=%s", protoFile, module, output, output, module)),
		ProtoFile:      files,
	})
	if err != nil {
		return err
	}
	command := exec.Command("go", "tool", plugin)
	command.Stdin, command.Stderr = bytes.NewReader(request), os.Stderr
	answer, err := command.Output()
	if err != nil {
		return fmt.Errorf("go tool %s: %w", plugin, err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(answer, response); err != nil {
		return fmt.Errorf("the answer of %s: %w", plugin, err)
	}
	if response.Error != nil {
		return fmt.Errorf("%s: %s", plugin, response.GetError())
	}
	for _, file := range response.File {
		if err := os.MkdirAll(filepath.Dir(file.GetName()), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file.GetName(), []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
