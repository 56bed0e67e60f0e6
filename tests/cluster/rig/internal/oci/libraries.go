package oci

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNotProgram is for files that are no programs, such as configuration.
var ErrNotProgram = errors.New("not a program")

// Libraries returns the shared libraries a dynamically linked program needs,
// its loader among them, at the paths where it looks for them; none for a
// static one.
func Libraries(program string) ([]string, error) {
	file, err := elf.Open(program)
	if format := new(elf.FormatError); errors.As(err, &format) || errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", program, ErrNotProgram)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	defer file.Close()
	if needed, err := file.ImportedLibraries(); err != nil || len(needed) == 0 {
		return nil, err
	}
	output, err := exec.Command("ldd", program).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w: %s", program, err, output)
	}
	return parseLdd(string(output))
}

// parseLdd reads lines such as "libc.so.6 => /lib/libc.so.6 (0x7f…)" and
// "/lib64/ld-linux-x86-64.so.2 (0x7f…)".
func parseLdd(output string) ([]string, error) {
	var libraries []string
	for line := range strings.Lines(output) {
		if strings.Contains(line, "not found") {
			return nil, fmt.Errorf("missing library: %s", strings.TrimSpace(line))
		}
		for _, word := range strings.Fields(line) {
			if filepath.IsAbs(word) {
				libraries = append(libraries, word)
			}
		}
	}
	return libraries, nil
}
