// A storage driver for Longshore on a plain directory: settings, the server, and how it stops.
package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	pb "example.com/driver-go/driverv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// How long calls under way may take when the driver is asked to stop (D5).
const stopGrace = 5 * time.Second

func main() {
	endpoint := flag.String("endpoint", os.Getenv("LONGSHORE_DRIVER_ENDPOINT"), "where to listen: unix:///path or tcp://127.0.0.1:PORT")
	root := flag.String("root", "", "the directory of the store")
	trusted := flag.Int("trust-uid", -1, "one more user who may connect to the unix socket")
	flag.Parse()
	if *root == "" || *endpoint == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*endpoint, *root, *trusted); err != nil {
		slog.Error("the driver can't go on", "error", err)
		os.Exit(1)
	}
}

func run(endpoint, root string, trusted int) error {
	stop := stopSignal()
	store, err := openStore(root)
	if err != nil {
		return err
	}
	sessions, err := openSessions(store)
	if err != nil {
		return err
	}
	go sessions.expireIdle()
	listener, isTCP, err := listen(endpoint, trusted)
	if err != nil {
		return err
	}
	server, healthy := newServer(store, sessions, isTCP)
	slog.Info("listening on " + endpoint)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-stop.Done():
	}
	healthy.Shutdown()
	slog.Info("stopping", "live_uploads", sessions.settleAll(stopGrace))
	shutDown(server)
	return nil
}

func newServer(store *store, sessions *sessions, isTCP bool) (*grpc.Server, *health.Server) {
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(5<<20),          // T6
		grpc.InitialWindowSize(2<<20),       // T5
		grpc.InitialConnWindowSize(1<<30),   // T5: slow streams never use it up
		grpc.WriteBufferSize(maxChunk+1024), // T7
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}), // T8
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(aroundCall),
		grpc.StreamInterceptor(aroundStream),
	)
	healthy := health.NewServer()
	pb.RegisterIdentityServiceServer(server, newIdentity(store, sessions))
	pb.RegisterStorageServiceServer(server, &storage{store: store, sessions: sessions, sums: isTCP})
	grpc_health_v1.RegisterHealthServer(server, healthy)
	reflection.Register(server)
	return server, healthy
}

// shutDown lets calls under way end, and ends those that do not.
func shutDown(server *grpc.Server) {
	late := time.AfterFunc(stopGrace, server.Stop)
	defer late.Stop()
	server.GracefulStop()
}

// stopSignal is done when the driver is asked to stop. One that the core minds is told by the end of its standard input, and
// leaves SIGINT to the core (D6).
func stopSignal() context.Context {
	if os.Getenv("LONGSHORE_DRIVER_MINDED") != "1" {
		ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		return ctx
	}
	signal.Ignore(syscall.SIGINT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	go func() {
		defer stop()
		_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end too
	}()
	return ctx
}
