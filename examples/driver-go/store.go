// The root directory. Owns how files come to their place and stay there: temporary names, locks, syncs, etags; and
// whether the root is where it was, which is asked before absence is stated (rule R5).
//
//	ROOT/<key>                     an object
//	ROOT/.driver/lock              locked by the process that has the store
//	ROOT/.driver/store-id          the store's id (K4)
//	ROOT/.driver/tmp/              files that are being written
//	ROOT/.driver/uploads/ID.json   a session, ID.data its bytes
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	temporaryFolder = ownFolder + "/tmp"
	uploadsFolder   = ownFolder + "/uploads"
	lockFile        = ownFolder + "/lock"
)

type store struct {
	directory string
	root      *os.Root // held open: a path below it never leads out of it
	lock      *os.File
	lockInfo  fs.FileInfo
	keyLocks  [256]sync.Mutex
	// Held for reading while a folder is made and filled, for writing while empty ones are removed.
	folders sync.RWMutex
	stamps  stamps
	// A folder's sync failed, so nothing that is done from now on could be believed (O10).
	broken atomic.Bool
}

func openStore(directory string) (*store, error) {
	absolute, err := filepath.Abs(directory)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return nil, fmt.Errorf("open the root; make the directory, or mount it: %w", err)
	}
	s := &store{directory: absolute, root: root}
	for _, folder := range []string{ownFolder, temporaryFolder, uploadsFolder} {
		if err := root.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	for _, prepare := range []func() error{s.lockForThisProcess, s.removeTemporaries, s.tryFileSystem, s.syncAll} {
		if err := prepare(); err != nil {
			return nil, fmt.Errorf("root %s: %w", absolute, err)
		}
	}
	return s, nil
}

// Conditions hold by locks of this process, so it must be the only one (capability uploads_shared is false).
func (s *store) lockForThisProcess() error {
	file, err := s.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("another process has it: stop that one first, or choose another root: %w", err)
	}
	s.lock = file
	s.lockInfo, err = file.Stat()
	return err
}

func (s *store) removeTemporaries() error {
	if err := s.root.RemoveAll(temporaryFolder); err != nil {
		return err
	}
	return s.root.Mkdir(temporaryFolder, 0o700)
}

// tryFileSystem refuses one that folds case (K2), or that does not keep times to the nanosecond, on which etags stand.
func (s *store) tryFileSystem() error {
	name, err := s.writeTemporary([]byte("x"))
	if err != nil {
		return err
	}
	defer s.root.Remove(name)
	for _, odd := range []int64{123456789, 123456790} {
		stamp := time.Unix(1_700_000_000, odd)
		if err := s.root.Chtimes(name, stamp, stamp); err != nil {
			return err
		}
		if info, err := s.root.Lstat(name); err != nil || !info.ModTime().Equal(stamp) {
			return errors.New("the file system does not keep times to the nanosecond; use ext4, xfs, btrfs, zfs or tmpfs")
		}
	}
	folded := path.Join(temporaryFolder, "CASE-"+path.Base(name))
	if err := s.root.Rename(name, folded); err != nil {
		return err
	}
	defer s.root.Remove(folded)
	if _, err := s.root.Lstat(path.Join(temporaryFolder, "case-"+path.Base(name))); err == nil {
		return errors.New("the file system takes names of other case for the same")
	}
	return nil
}

// syncAll makes what a killed process left half synced durable before anything is said of it (O9).
func (s *store) syncAll() error {
	return unix.Syncfs(int(s.lock.Fd()))
}

// isThere fails when the root is not where it was: then what a look-up does not find says nothing.
func (s *store) isThere() error {
	found, err := os.Stat(filepath.Join(s.directory, lockFile))
	if err != nil || !os.SameFile(found, s.lockInfo) {
		return fail(backendUnavailable, "the root directory is not where it was when the driver started; bring it back")
	}
	return nil
}

// takesWrites comes before each.
func (s *store) takesWrites() error {
	if s.broken.Load() {
		return fail(ioError, "a sync failed, so no write can be believed any more; look after the disk, then restart the driver")
	}
	return s.isThere()
}

func (s *store) absent(key string) error {
	if err := s.isThere(); err != nil {
		return err
	}
	return fail(keyNotFound, "there is no object at key %s", key)
}

// lockKeys keeps other writers of these keys out, until what it returns is called.
func (s *store) lockKeys(keys ...string) func() {
	var wanted [256]bool
	for _, key := range keys {
		hash := fnv.New32a()
		hash.Write([]byte(key))
		wanted[byte(hash.Sum32())] = true
	}
	// In one order, so that two that want the same two never wait for each other.
	for number, want := range wanted {
		if want {
			s.keyLocks[number].Lock()
		}
	}
	return func() {
		for number, want := range wanted {
			if want {
				s.keyLocks[number].Unlock()
			}
		}
	}
}

// look gives what is at a key, or nil where the backend states that nothing is.
func (s *store) look(key string) (fs.FileInfo, error) {
	info, err := s.root.Lstat(key)
	switch {
	case isAbsence(err):
		return nil, s.isThere()
	case err != nil:
		return nil, failed("look at key "+key, err)
	case info.IsDir():
		return nil, nil
	case !info.Mode().IsRegular():
		return nil, fail(keyConflict, "at key %s there is no plain file (a link or a pipe, perhaps); remove it by hand", key)
	}
	return info, nil
}

func isAbsence(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// writeTemporary writes a file that is durable and has its etag, but no key yet.
func (s *store) writeTemporary(content []byte) (string, error) {
	name := path.Join(temporaryFolder, rand.Text())
	file, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	if err == nil {
		err = s.finish(name, file)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		_ = s.root.Remove(name) // what stays is removed at the next start
		return "", err
	}
	return name, nil
}

// finish gives a file that is complete its etag, and makes it durable.
func (s *store) finish(name string, file *os.File) error {
	stamp := s.stamps.next()
	if err := s.root.Chtimes(name, stamp, stamp); err != nil {
		return err
	}
	return file.Sync()
}

// makeRoom removes empty folders in the place of a key: a crash may have left them.
func (s *store) makeRoom(key string) error {
	info, err := s.root.Lstat(key)
	if err != nil || !info.IsDir() {
		return nil
	}
	s.folders.Lock()
	defer s.folders.Unlock()
	if err := s.removeEmpty(key); err != nil {
		return fail(keyConflict, "at key %s there is a folder", key)
	}
	return nil
}

func (s *store) removeEmpty(folder string) error {
	directory, err := s.root.Open(folder)
	if err != nil {
		return err
	}
	defer directory.Close()
	for {
		entries, err := directory.ReadDir(1)
		if errors.Is(err, io.EOF) {
			return s.root.Remove(folder)
		}
		if err != nil {
			return err
		}
		if !entries[0].IsDir() {
			return syscall.ENOTEMPTY
		}
		if err := s.removeEmpty(path.Join(folder, entries[0].Name())); err != nil {
			return err
		}
	}
}

// place gives a file its key, over what is there. The caller has the key's lock, and syncs afterwards.
func (s *store) place(from, key string) error {
	s.folders.RLock()
	defer s.folders.RUnlock()
	err := s.root.MkdirAll(path.Dir(key), 0o750)
	if err == nil {
		err = s.root.Rename(from, key)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrExist):
		return fail(keyConflict, "key %s would have to be an object and a folder at once", key)
	default:
		return failed("write key "+key, err)
	}
}

// prune removes the folders that a key left empty.
func (s *store) prune(key string) {
	s.folders.Lock()
	defer s.folders.Unlock()
	for folder := path.Dir(key); folder != "."; folder = path.Dir(folder) {
		if s.root.Remove(folder) != nil {
			return // it has something in it, or is gone
		}
	}
}

// syncFolders makes names durable: those of all folders that lead to these keys (O9). A file's folder may have been there
// already and still be new to the disk.
func (s *store) syncFolders(keys ...string) error {
	done := map[string]bool{}
	for _, key := range keys {
		for folder := path.Dir(key); !done[folder]; folder = path.Dir(folder) {
			done[folder] = true
			if err := s.syncFolder(folder); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *store) syncFolder(folder string) error {
	directory, err := s.root.Open(folder)
	if isAbsence(err) {
		return nil // pruned: then it is its parent that changed
	}
	if err == nil {
		err = errors.Join(directory.Sync(), directory.Close())
	}
	if err != nil {
		s.broken.Store(true)
		return failed("make folder "+folder+" durable", err)
	}
	return nil
}

// stamps are times of change that are never given twice. With the size they make an etag (O3): it costs no reading, stays
// when the file is moved or copied with its times, and changes when somebody edits the file.
type stamps struct {
	mutex sync.Mutex
	last  int64
}

func (s *stamps) next() time.Time {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.last = max(s.last+1, time.Now().UnixNano())
	return time.Unix(0, s.last)
}

func etagOf(info fs.FileInfo) string {
	return fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())
}
