package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Write writes files as an archive to w. Files are sorted by name and times are left out, so equal files and an equal key give
// equal bytes. The key is free text that [FS.Key] returns, such as a checksum of what the files were made from. A name that is
// invalid or given twice, and a file beyond [MaxFileSize], are errors; what was written until then is to be thrown away.
func Write(w io.Writer, key string, files []File) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("start zstd: %w", err)
	}
	a := &writer{out: w, enc: enc, index: index{Key: key}}
	a.tar = tar.NewWriter(&a.pending)
	sorted := slices.SortedFunc(slices.Values(files), func(x, y File) int { return cmp.Compare(x.Name, y.Name) })
	for i, f := range sorted {
		if i > 0 && sorted[i-1].Name == f.Name {
			return fmt.Errorf("file %q is given twice", f.Name)
		}
		if err := a.add(f); err != nil {
			return fmt.Errorf("pack %q: %w", f.Name, err)
		}
	}
	return a.close()
}

// writer is the state of one [Write].
type writer struct {
	out     io.Writer
	enc     *zstd.Encoder
	tar     *tar.Writer  // writes to pending
	pending bytes.Buffer // tar headers and padding that have no frame yet
	offset  int64        // bytes written to out
	index   index
}

// add writes what is pending and the content of f as two frames.
func (a *writer) add(f File) error {
	if !fs.ValidPath(f.Name) || f.Name == "." {
		return fs.ErrInvalid
	}
	if len(f.Data) > MaxFileSize {
		return fmt.Errorf("%d bytes are more than the %d allowed", len(f.Data), MaxFileSize)
	}
	if err := a.tar.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Data)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	if _, err := a.frame(a.pending.Bytes()); err != nil {
		return err
	}
	a.pending.Reset()
	offset := a.offset
	packed, err := a.frame(f.Data)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(f.Data)
	a.index.Files = append(a.index.Files, entry{
		Name: f.Name, Size: int64(len(f.Data)), Offset: offset, Packed: packed, Sum: hex.EncodeToString(sum[:]),
	})
	// The tar writer must see the content to add its padding; the content itself has its own frame already.
	if _, err := a.tar.Write(f.Data); err != nil {
		return err
	}
	a.pending.Next(len(f.Data))
	return a.tar.Flush()
}

// frame writes data as one zstd frame and returns the frame's size.
func (a *writer) frame(data []byte) (int64, error) {
	packed := a.enc.EncodeAll(data, nil)
	if len(data) == 0 { // EncodeAll gives nothing for nothing; a frame with one empty raw block stands for it
		packed = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00}
	}
	n, err := a.out.Write(packed)
	a.offset += int64(n)
	return int64(n), err
}

// close writes the end of the tar stream and the index.
func (a *writer) close() error {
	if err := a.tar.Close(); err != nil {
		return err
	}
	if _, err := a.frame(a.pending.Bytes()); err != nil {
		return err
	}
	doc, err := json.Marshal(a.index)
	if err != nil {
		return err
	}
	packed := a.enc.EncodeAll(doc, nil)
	end := binary.LittleEndian.AppendUint32(nil, skippableMagic)
	end = binary.LittleEndian.AppendUint32(end, uint32(len(packed)+footerSize))
	end = append(end, packed...)
	end = binary.LittleEndian.AppendUint32(end, uint32(len(packed)))
	_, err = a.out.Write(append(end, indexMagic...))
	return err
}
