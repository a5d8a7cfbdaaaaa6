// Where the driver listens: unix:///path or tcp://127.0.0.1:port. Owns who may be at the other end (contract T1 to T3).
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const longestSocketPath = 107

// listen binds an endpoint. trusted is one more user who may connect, or -1.
func listen(endpoint string, trusted int) (listener net.Listener, isTCP bool, err error) {
	if path, found := strings.CutPrefix(endpoint, "unix://"); found {
		listener, err = listenUnix(path, trusted)
		return listener, false, err
	}
	address, found := strings.CutPrefix(endpoint, "tcp://")
	if !found {
		return nil, false, fmt.Errorf("%q is no endpoint: unix:///path/to/driver.sock or tcp://127.0.0.1:PORT", endpoint)
	}
	parsed, err := netip.ParseAddrPort(strings.Replace(address, "localhost:", "127.0.0.1:", 1))
	if err != nil {
		return nil, false, fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	if !parsed.Addr().IsLoopback() {
		return nil, false, fmt.Errorf("endpoint %q: TCP beyond loopback needs mutual TLS, which is not there yet", endpoint)
	}
	listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(parsed))
	return listener, true, err
}

func listenUnix(path string, trusted int) (net.Listener, error) {
	if !filepath.IsAbs(path) || len(path) > longestSocketPath || strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("the path of a socket is absolute and has at most %d bytes: %q", longestSocketPath, path)
	}
	if err := prepareDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	mode := os.FileMode(0o600)
	if trusted >= 0 {
		mode = 0o660
	}
	// Bound with no right for others, so that there is no moment in which they could connect.
	before := unix.Umask(0o177)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(before)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &checkedListener{UnixListener: listener, trusted: trusted}, nil
}

func prepareDirectory(directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(directory)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s can be written to by everyone, who could replace the socket: chmod it to 0750 or less", directory)
	}
	return nil
}

// removeStale takes away what a killed driver of this user left, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is no socket: remove it or choose another path", path)
	}
	if owner, known := info.Sys().(*syscall.Stat_t); !known || int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user: choose another path", path)
	}
	if connection, err := net.Dial("unix", path); err == nil {
		return errors.Join(fmt.Errorf("another process listens at %s", path), connection.Close())
	}
	return os.Remove(path)
}

// checkedListener turns away who is neither this user, nor root, nor the trusted one (T3).
type checkedListener struct {
	*net.UnixListener
	trusted int
}

func (l *checkedListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		user, err := peerOf(connection)
		if err == nil && (user == os.Geteuid() || user == 0 || user == l.trusted) {
			return connection, nil
		}
		slog.Warn("a connection was refused", "user", user, "error", err)
		_ = connection.Close() // it was never used
	}
}

func peerOf(connection *net.UnixConn) (int, error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return -1, err
	}
	user := -1
	var failure error
	err = raw.Control(func(descriptor uintptr) {
		var peer *unix.Ucred
		if peer, failure = unix.GetsockoptUcred(int(descriptor), unix.SOL_SOCKET, unix.SO_PEERCRED); failure == nil {
			user = int(peer.Uid)
		}
	})
	return user, errors.Join(err, failure)
}
