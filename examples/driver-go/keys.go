// Keys (contract section K): which there are, and which belong to the driver. A key is the path of its file below the
// root as it stands, for all its characters may be in a file's name.
package main

import "strings"

const (
	longestKey       = 1024
	longestComponent = 255
	ownFolder        = ".driver"
	storeIDKey       = ownFolder + "/store-id"
)

// checkKey is for every call that names an ordinary key (K1, K3).
func checkKey(key string) error {
	if !isWellFormed(key) {
		return fail(invalidKey, "%.100q is no key: components of 1 to 255 of A-Za-z0-9._+=,@~- joined by /, 1024 bytes at most", key)
	}
	if isReserved(key) {
		return fail(invalidKey, "key %s belongs to the driver", key)
	}
	return nil
}

// checkReadableKey is for Stat and Get, which may name the store's id too (K4).
func checkReadableKey(key string) error {
	if key == storeIDKey {
		return nil
	}
	return checkKey(key)
}

// checkPrefix is for List: nothing, or a folder with its final slash (L2).
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	folder, found := strings.CutSuffix(prefix, "/")
	if !found {
		return fail(invalidKey, "prefix %.100q does not end with /", prefix)
	}
	return checkKey(folder)
}

func isReserved(key string) bool {
	return key == ownFolder || strings.HasPrefix(key, ownFolder+"/")
}

func isWellFormed(key string) bool {
	if len(key) > longestKey {
		return false
	}
	for component := range strings.SplitSeq(key, "/") {
		if !isComponent(component) {
			return false
		}
	}
	return true
}

func isComponent(name string) bool {
	if name == "" || len(name) > longestComponent || name == "." || name == ".." {
		return false
	}
	for _, character := range []byte(name) {
		if !isKeyCharacter(character) {
			return false
		}
	}
	return true
}

func isKeyCharacter(character byte) bool {
	return 'a' <= character && character <= 'z' || 'A' <= character && character <= 'Z' ||
		'0' <= character && character <= '9' || strings.IndexByte("._+=,@~-", character) >= 0
}

func isStoreID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, character := range []byte(id) {
		if !isKeyCharacter(character) || strings.IndexByte("._+=,@~", character) >= 0 {
			return false
		}
	}
	return true
}

// isUploadID: 32 lower-case hexadecimal digits (U21).
func isUploadID(id string) bool {
	if len(id) != 32 {
		return false
	}
	for _, character := range []byte(id) {
		if !('0' <= character && character <= '9' || 'a' <= character && character <= 'f') {
			return false
		}
	}
	return true
}
