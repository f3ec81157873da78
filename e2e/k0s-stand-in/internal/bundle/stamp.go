package bundle

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// The Kubernetes programs report the version that their build was stamped with; k0s' report `v1.36.3+k0s`, and one build
// plays several versions here. So the stamp is changed in the copy: in Go a stamped string is a header (pointer, length)
// in .data and text in .rodata. The new text goes where the text of gitCommit was (forty zeros, room enough), and the
// header of gitVersion is pointed at it.
func stamp(path string, v version.Version) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return err
	}
	text, data := f.Section(".rodata"), f.Section(".data")
	if text == nil || data == nil {
		return errors.New("not a program as Go links it")
	}
	p := &program{b: b, text: text, data: data}
	commits := p.strings(regexp.MustCompile(strings.Repeat("0", 40)+`\x00`), 1)
	versions := p.strings(regexp.MustCompile(`v\d+\.\d+\.\d+\x00`), 1)
	if len(commits) == 0 || len(versions) == 0 {
		return errors.New("no stamped version found")
	}
	want := "v" + v.Numbers() + "+k0s"
	room := commits[0]
	copy(b[room.offset:], want)
	for _, s := range versions {
		binary.LittleEndian.PutUint64(b[s.header:], room.address)
		binary.LittleEndian.PutUint64(b[s.header+8:], uint64(len(want)))
	}
	for _, c := range commits { // the commit is what is left of its zeros
		binary.LittleEndian.PutUint64(b[c.header:], room.address+16)
		binary.LittleEndian.PutUint64(b[c.header+8:], 24)
	}
	was := string(versions[0].text)
	oldMinor, newMinor := strings.Split(was, ".")[1], fmt.Sprint(v.Minor)
	if len(oldMinor) == len(newMinor) && oldMinor != newMinor {
		for _, s := range p.strings(regexp.MustCompile(`\x00`+oldMinor+`\x00`), 1) {
			copy(b[s.offset:], newMinor)
		}
	}
	return os.WriteFile(path, b, 0o755)
}

type program struct {
	b          []byte
	text, data *elf.Section
}

type stamped struct {
	text    []byte
	offset  uint64 // of the text in the file
	address uint64 // of the text in memory
	header  uint64 // offset of the header in the file
}

// strings of .rodata that match and that a header in .data has in exactly this length; tail bytes of the match, and a
// leading zero, do not belong to the text.
func (p *program) strings(pattern *regexp.Regexp, tail int) []stamped {
	ro := p.b[p.text.Offset : p.text.Offset+p.text.Size]
	da := p.b[p.data.Offset : p.data.Offset+p.data.Size]
	var out []stamped
	for _, m := range pattern.FindAllIndex(ro, -1) {
		from, to := m[0], m[1]-tail
		if ro[from] == 0 {
			from++
		}
		header := binary.LittleEndian.AppendUint64(nil, p.text.Addr+uint64(from))
		header = binary.LittleEndian.AppendUint64(header, uint64(to-from))
		if i := bytes.Index(da, header); i >= 0 {
			out = append(out, stamped{text: ro[from:to], offset: p.text.Offset + uint64(from), address: p.text.Addr + uint64(from), header: p.data.Offset + uint64(i)})
		}
	}
	return out
}
