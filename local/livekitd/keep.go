package livekitd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// keepEvery is the interval between two checks for changes. A kill loses at most the changes of
// this time.
const keepEvery = 200 * time.Millisecond

// sipState is the content of the file: Redis hash → field (the id of a trunk or rule) →
// protobuf bytes.
type sipState map[string]map[string][]byte

// sipHashes are the Redis hashes in which LiveKit server v1.13.5 stores trunks and
// rules (pkg/service/redisstore_sip.go).
func sipHashes() []string {
	return []string{"sip_trunk", "sip_inbound_trunk", "sip_outbound_trunk", "sip_dispatch_rule"}
}

// keeper copies LiveKit's trunks and rules from Redis to a file.
type keeper struct {
	redis *miniredis.Miniredis
	path  string
	log   *slog.Logger
	saved sipState
	stop  chan struct{}
	wg    sync.WaitGroup
}

// keep restores the file's content and saves every later change. A missing file counts as empty.
func keep(r *miniredis.Miniredis, path string, log *slog.Logger) (*keeper, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &keeper{redis: r, path: path, log: log, stop: make(chan struct{})}
	if err := k.restore(); err != nil {
		return nil, err
	}
	k.wg.Go(k.run)
	return k, nil
}

func (k *keeper) restore() error {
	k.saved = sipState{}
	raw, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(filepath.Dir(k.path), 0o700)
	}
	if err != nil {
		return fmt.Errorf("read trunks and rules: %w", err)
	}
	if err := json.Unmarshal(raw, &k.saved); err != nil {
		return fmt.Errorf("read trunks and rules from %s: %w", k.path, err)
	}
	for hash, fields := range k.saved {
		for id, value := range fields {
			k.redis.HSet(hash, id, string(value))
		}
	}
	return nil
}

func (k *keeper) run() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-tick.C:
			if err := k.save(); err != nil {
				k.log.Error("trunks and rules are not saved", "error", err)
			}
		}
	}
}

// save writes the file if Redis differs from it.
func (k *keeper) save() error {
	now := sipState{}
	for _, hash := range sipHashes() {
		ids, err := k.redis.HKeys(hash)
		if errors.Is(err, miniredis.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		now[hash] = make(map[string][]byte, len(ids))
		for _, id := range ids {
			now[hash][id] = []byte(k.redis.HGet(hash, id))
		}
	}
	if reflect.DeepEqual(now, k.saved) {
		return nil
	}
	if err := writeFile(k.path, now); err != nil {
		return err
	}
	k.saved = now
	return nil
}

// writeFile replaces the file atomically, so that a kill leaves either the old or the new one.
func writeFile(path string, state sipState) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(raw)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

func (k *keeper) close() error {
	close(k.stop)
	k.wg.Wait()
	return k.save()
}
