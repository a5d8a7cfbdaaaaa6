// List (contract section L). Owns the order, that of the bytes of whole names, in which a folder sorts with its final
// slash; and the bound: at most two windows of names are kept of a folder, however many it holds (L8).
package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	pb "example.com/driver-go/driverv1"
)

// Each window of a folder costs one look at all its names.
const window = 1024

func (s *storage) List(_ context.Context, request *pb.ListRequest) (*pb.ListResponse, error) {
	if err := checkPrefix(request.Prefix); err != nil {
		return nil, err
	}
	if err := s.store.isThere(); err != nil {
		return nil, err
	}
	l := &listing{store: s.store, after: request.StartAfter, recursive: request.Recursive, limit: pageSize(request.Limit)}
	if err := l.folder(request.Prefix); err != nil {
		return nil, failed("list keys", err)
	}
	// What was not found counts only if the root is still there (R5).
	return &pb.ListResponse{Entries: l.entries, More: l.more}, s.store.isThere()
}

func pageSize(limit uint32) int {
	if limit == 0 || limit > maxPage {
		return maxPage
	}
	return int(limit)
}

type listing struct {
	store     *store
	after     string
	recursive bool
	limit     int
	entries   []*pb.Entry
	more      bool
}

// folder adds what lies below a prefix, until the page is full.
func (l *listing) folder(prefix string) error {
	last := ""
	for {
		names, err := l.names(prefix, last)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := l.name(prefix + name); err != nil || l.more {
				return err
			}
			last = name
		}
		if len(names) < window {
			return nil
		}
	}
}

// names gives the first names of a folder that sort behind last and may lead to keys of this page.
func (l *listing) names(prefix, last string) ([]string, error) {
	var names []string
	err := l.store.eachName(prefix, func(name string) bool {
		if name > last && l.isWanted(prefix+name) {
			if names = append(names, name); len(names) == 2*window {
				slices.Sort(names)
				names = names[:window]
			}
		}
		return true
	})
	slices.Sort(names)
	return names[:min(window, len(names))], err
}

// isWanted: a recursive listing may take up inside a folder that sorts before the place where it left off.
func (l *listing) isWanted(full string) bool {
	return full > l.after || l.recursive && strings.HasSuffix(full, "/") && strings.HasPrefix(l.after, full)
}

func (l *listing) name(full string) error {
	if !strings.HasSuffix(full, "/") {
		info, err := l.store.look(full)
		if err != nil || info == nil {
			return ignoreConflict(err) // deleted meanwhile, or no plain file any more
		}
		l.add(&pb.Entry{Is: &pb.Entry_Object{Object: objectOf(full, info)}})
		return nil
	}
	if l.recursive {
		return l.folder(full)
	}
	leads, err := l.store.leadsToKeys(full)
	if leads {
		l.add(&pb.Entry{Is: &pb.Entry_CommonPrefix{CommonPrefix: full}})
	}
	return err
}

func (l *listing) add(entry *pb.Entry) {
	if len(l.entries) == l.limit {
		l.more = true
		return
	}
	l.entries = append(l.entries, entry)
}

func ignoreConflict(err error) error {
	if is(err, keyConflict) {
		return nil
	}
	return err
}

// eachName calls take with what lies in a folder and may be a key or lead to one (L7), until it answers false. Folders have
// a final slash.
func (s *store) eachName(prefix string, take func(name string) bool) error {
	directory, err := s.root.Open(path.Join(".", prefix))
	if isAbsence(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer directory.Close()
	for {
		entries, err := directory.ReadDir(512)
		for _, entry := range entries {
			name, fits := nameOf(prefix, entry)
			if fits && !take(name) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) || isAbsence(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func nameOf(prefix string, entry fs.DirEntry) (string, bool) {
	name := entry.Name()
	full := prefix + name
	if !isComponent(name) || len(full) > longestKey || isReserved(full) {
		return "", false
	}
	if entry.IsDir() {
		return name + "/", true
	}
	return name, entry.Type().IsRegular()
}

// leadsToKeys is whether there is any key below: empty folders are not shown (L2).
func (s *store) leadsToKeys(prefix string) (found bool, err error) {
	failed := s.eachName(prefix, func(name string) bool {
		if strings.HasSuffix(name, "/") {
			found, err = s.leadsToKeys(prefix + name)
		} else {
			found = true
		}
		return !found && err == nil
	})
	return found, errors.Join(err, failed)
}
