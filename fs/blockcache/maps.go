package blockcache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// A map file begins with a head of one block, which names the key. Then, for each unit, its crc32c and 1 if it is present, four bytes each.
// Nothing of it is trusted: a unit whose contents do not have that checksum counts as absent.
const (
	dataSuffix  = ".data"
	mapSuffix   = ".map"
	newSuffix   = ".new" // a copy on its way to be contents; removed by the next scan
	contentsDir = "contents"
	headSize    = block
	unitEntry   = 8
	magic       = "jupyter-drive blockcache 1\n"
)

// encodeHead returns the head of a map, or an error for a key that does not fit.
func encodeHead(k Key, size int64) ([]byte, error) {
	b := []byte(magic)
	for _, s := range []string{k.Drive, k.Name, string(k.Version)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	if len(b) > headSize {
		return nil, &fs.Error{Op: "cache", Path: k.Name, Kind: fs.NameTooLong}
	}
	return append(b, make([]byte, headSize-len(b))...), nil
}

func writeHead(f *os.File, k Key, size int64) error {
	b, err := encodeHead(k, size)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return err
}

// hasHead says whether a map is of that key and size.
func hasHead(f *os.File, k Key, size int64) bool {
	want, err := encodeHead(k, size)
	if err != nil {
		return false
	}
	got := make([]byte, headSize)
	_, err = f.ReadAt(got, 0)
	return err == nil && bytes.Equal(got, want)
}

// save writes the part of the map that is about the units from first to last. The caller holds state.
func (c *contents) save(first, last int64) error {
	b := make([]byte, 0, (last-first+1)*unitEntry)
	for u := first; u <= last; u++ {
		var sum, there uint32
		if _, un := c.at(u); un != nil && un.state != absent {
			sum, there = un.sum, 1
		}
		b = binary.LittleEndian.AppendUint32(b, sum)
		b = binary.LittleEndian.AppendUint32(b, there)
	}
	_, err := c.maps.WriteAt(b, headSize+first*unitEntry)
	return err
}

// loadContents opens what there is of a key, for a cache with that clock. What does not fit it is taken as nothing; it is overwritten by what comes.
func loadContents(clock *atomic.Uint64, dataPath, mapPath string, k Key, size int64) *contents {
	c := &contents{clock: clock, size: size, key: k, dataPath: dataPath, mapPath: mapPath, chunks: make(map[int64]*chunk)}
	data, err := os.OpenFile(dataPath, os.O_RDWR, 0)
	if err != nil {
		return c
	}
	maps, err := os.OpenFile(mapPath, os.O_RDWR, 0)
	if err != nil {
		_ = data.Close() // nothing was written
		return c
	}
	info, err := data.Stat()
	if err != nil || info.Size() != size || !hasHead(maps, k, size) || c.readMap(maps) != nil {
		_ = errors.Join(data.Close(), maps.Close())
		c.chunks, c.count = make(map[int64]*chunk), 0
		return c
	}
	c.data, c.maps = data, maps
	return c
}

// readMap reads the parts of a map in which something was written.
func (c *contents) readMap(maps *os.File) error {
	const piece = chunkUnits * unitEntry
	end := headSize + units(c.size)*unitEntry
	for off := int64(headSize); off < end; {
		next, err := unix.Seek(int(maps.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // holes only
		}
		if err != nil {
			return err
		}
		off = headSize + (max(next, off)-headSize)/piece*piece
		var b [piece]byte
		n, _ := maps.ReadAt(b[:], off) // what is not there is absent
		c.readChunk((off-headSize)/piece, b[:n])
		off += piece
	}
	return nil
}

func (c *contents) readChunk(index int64, b []byte) {
	ch := &chunk{}
	for i := 0; i+unitEntry <= len(b) && index*chunkUnits+int64(i/unitEntry) < units(c.size); i += unitEntry {
		if binary.LittleEndian.Uint32(b[i+4:]) == 1 {
			ch.units[i/unitEntry] = unit{sum: binary.LittleEndian.Uint32(b[i:]), state: unchecked}
			ch.count++
		}
	}
	if ch.count > 0 {
		c.chunks[index] = ch
		c.count += int64(ch.count)
	}
}

// move renames the files and writes the new key.
func (c *contents) move(dataPath, mapPath string, to Key) error {
	c.state.Lock()
	defer c.state.Unlock()
	if c.maps != nil {
		if err := renameBoth(c.dataPath, c.mapPath, dataPath, mapPath); err != nil {
			return err
		}
		if err := writeHead(c.maps, to, c.size); err != nil {
			return err
		}
	}
	c.key, c.dataPath, c.mapPath = to, dataPath, mapPath
	return nil
}

// moveFiles is move for files that are not open.
func moveFiles(oldData, oldMap, dataPath, mapPath string, to Key) error {
	info, err := os.Stat(oldData)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := renameBoth(oldData, oldMap, dataPath, mapPath); err != nil {
		return err
	}
	f, err := os.OpenFile(mapPath, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(writeHead(f, to, info.Size()), f.Close())
}

func renameBoth(oldData, oldMap, dataPath, mapPath string) error {
	if err := os.MkdirAll(filepath.Dir(dataPath), 0o700); err != nil {
		return err
	}
	return errors.Join(os.Rename(oldData, dataPath), os.Rename(oldMap, mapPath))
}
