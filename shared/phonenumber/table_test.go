package phonenumber

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write table.bin anew")

// TestTable: table.bin is up to date with the metadata.
func TestTable(t *testing.T) {
	t.Parallel()
	m := readMetadata(t)
	want := compile(m)
	t.Logf("libphonenumber %s: %d territories, %d bytes", m.Version, len(m.Territories), len(want))
	if *update {
		if err := os.WriteFile("table.bin", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal([]byte(table), want) {
		t.Error("table.bin is not up to date: run make generate")
	}
}
