package parts

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The executable may end with: zstd frames, one per file; an index in JSON; the trailer below.
// One frame per file lets the files be unpacked side by side, and only those that are needed.
const magic = "k0s-stand-in/v1\n"

// Entry of the index.
type Entry struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"`
	Packed int64  `json:"packed"`
	Size   int64  `json:"size"`
	Mode   uint32 `json:"mode"`
	Sum    string `json:"sum"`
}

// Index of the carried files, and the version that the file plays.
type Index struct {
	Version string  `json:"version"`
	Entries []Entry `json:"entries"`
	path    string
}

// Carried reads the index behind an executable; nil if there is none.
func Carried(exe string) (*Index, error) {
	f, err := os.Open(exe)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tail := int64(8 + len(magic))
	end, err := f.Seek(-tail, io.SeekEnd)
	if err != nil {
		return nil, nil //nolint:nilerr // shorter than a trailer
	}
	b := make([]byte, tail)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	if string(b[8:]) != magic {
		return nil, nil
	}
	size := int64(binary.LittleEndian.Uint64(b[:8]))
	if _, err := f.Seek(end-size, io.SeekStart); err != nil {
		return nil, err
	}
	idx := &Index{path: exe}
	if err := json.NewDecoder(io.LimitReader(f, size)).Decode(idx); err != nil {
		return nil, fmt.Errorf("the archive behind %s is damaged: %w", exe, err)
	}
	return idx, nil
}

// Entry of that name.
func (x *Index) Entry(name string) (Entry, bool) {
	for _, e := range x.Entries {
		if e.Name == name {
			return e, true
		}
	}
	return Entry{}, false
}

// ExtractTo unpacks one file unless it is there already in its size and sum.
func (x *Index) ExtractTo(dir string, e Entry) error {
	target := filepath.Join(dir, e.Name)
	note := filepath.Join(dir, ".sums", strings.ReplaceAll(e.Name, "/", "_"))
	if st, err := os.Stat(target); err == nil && st.Size() == e.Size {
		if b, err := os.ReadFile(note); err == nil && string(b) == e.Sum {
			return nil
		}
	}
	if err := x.extract(e, target); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(note), 0o755); err != nil {
		return err
	}
	return os.WriteFile(note, []byte(e.Sum), 0o644)
}

// Open a carried file without unpacking it.
func (x *Index) Open(e Entry) (io.ReadCloser, error) {
	f, err := os.Open(x.path)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(io.NewSectionReader(f, e.Offset, e.Packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		f.Close()
		return nil, err
	}
	return stream{z, f}, nil
}

type stream struct {
	*zstd.Decoder
	file *os.File
}

func (s stream) Close() error {
	s.Decoder.Close()
	return s.file.Close()
}

func (x *Index) extract(e Entry, target string) error {
	z, err := x.Open(e)
	if err != nil {
		return err
	}
	defer z.Close()
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d", target, time.Now().UnixNano())
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, os.FileMode(e.Mode))
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, z); err != nil {
		out.Close()
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := os.Chmod(tmp, os.FileMode(e.Mode)); err != nil {
		return err
	}
	return os.Rename(tmp, target) // a part that runs keeps its old file
}

// Append writes files behind the executable exe and gives the result to out.
func Append(exe, out, version string, files map[string]string, order []string, sum func(string) (string, error)) error {
	src, err := os.Open(exe)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(out+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer dst.Close()
	at, err := io.Copy(dst, src)
	if err != nil {
		return err
	}
	idx := Index{Version: version}
	for _, name := range order {
		e, err := appendOne(dst, name, files[name], at)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if e.Sum, err = sum(files[name]); err != nil {
			return err
		}
		at += e.Packed
		idx.Entries = append(idx.Entries, e)
	}
	b, err := json.Marshal(idx)
	if err != nil {
		return err
	}
	trailer := binary.LittleEndian.AppendUint64(b, uint64(len(b)))
	if _, err := dst.Write(append(trailer, magic...)); err != nil {
		return err
	}
	if err := dst.Close(); err != nil {
		return err
	}
	return os.Rename(out+".new", out) // the old one may be running
}

func appendOne(dst *os.File, name, path string, at int64) (Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return Entry{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Entry{}, err
	}
	z, err := zstd.NewWriter(dst, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return Entry{}, err
	}
	if _, err := io.Copy(z, f); err != nil {
		return Entry{}, err
	}
	if err := z.Close(); err != nil {
		return Entry{}, err
	}
	end, err := dst.Seek(0, io.SeekCurrent)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Name: name, Offset: at, Packed: end - at, Size: st.Size(), Mode: uint32(st.Mode().Perm()), Sum: ""}, nil
}
