package drive

import (
	"hash/fnv"
	"strings"
)

// split returns the directory and the last name of a path.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// cut returns the first name of a path and the rest.
func cut(path string) (name, rest string) {
	name, rest, _ = strings.Cut(path, "/")
	return name, rest
}

// hash returns a number for s that is the same for ever.
func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash.Hash never fails
	return h.Sum64()
}
