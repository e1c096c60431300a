package dynamodb

import (
	"net/http"

	"github.com/krosai/telephony/emulator/inprocess"
)

// Client returns an HTTP client whose requests, whatever their address, are answered by
// db without a socket. A request whose context ends is given up at once; as over a
// network, its operation may still be carried out.
func (db *DB) Client() *http.Client { return inprocess.Client(db) }
