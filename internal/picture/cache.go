package picture

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// countEvery is how often the cache is looked through when it does not grow over its limit.
	countEvery = time.Hour
	// unusedTime is how long a copy stays that nobody asks for.
	unusedTime = 30 * 24 * time.Hour
)

// cached opens a copy and notes that it was used.
func (m *Maker) cached(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && time.Since(info.ModTime()) > time.Hour {
		_ = os.Chtimes(path, time.Time{}, time.Now())
	}
	return f, nil
}

// store puts a copy into the cache, whole or not at all.
func (m *Maker) store(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("cache picture: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("cache picture: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync() // or a power cut could leave a name without its bytes
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cache picture: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored += int64(len(data))
	if m.stored > m.cfg.CacheBytes || time.Since(m.counted) > countEvery {
		m.evict(path)
	}
	return nil
}

// copied is a copy in the cache.
type copied struct {
	path, scope string
	size        int64
	used        time.Time
}

// evict counts what is there, and deletes what was not used for weeks (nobody asks any more for copies of what was
// deleted), and of the scopes that have most what was used longest ago, until a fifth is free; keep was made this
// moment. Processes that share the folder each do so: what one deletes the other does not count. Under m.mu.
func (m *Maker) evict(keep string) {
	var all []copied
	total, held := int64(0), map[string]int64{}
	_ = filepath.WalkDir(m.cfg.Dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		if strings.HasPrefix(e.Name(), ".new-") && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path) // a crash's
			return nil
		}
		if path != keep && time.Since(info.ModTime()) > unusedTime && os.Remove(path) == nil {
			return nil
		}
		inside, err := filepath.Rel(m.cfg.Dir, path)
		if err != nil {
			return nil // not below the folder: cannot be
		}
		scope, _, _ := strings.Cut(inside, string(filepath.Separator))
		total += info.Size()
		held[scope] += info.Size()
		if path != keep {
			all = append(all, copied{path, scope, info.Size(), info.ModTime()})
		}
		return nil
	})
	if total > m.cfg.CacheBytes {
		share := equalShare(held, m.cfg.CacheBytes/5*4)
		slices.SortFunc(all, func(a, b copied) int { return a.used.Compare(b.used) })
		for _, c := range all {
			if held[c.scope] > share && os.Remove(c.path) == nil {
				held[c.scope] -= c.size
				total -= c.size
			}
		}
	}
	m.stored, m.counted = total, time.Now()
}

// equalShare is how much each scope may hold so that all together hold no more than room.
func equalShare(held map[string]int64, room int64) int64 {
	all := slices.Sorted(maps.Values(held))
	for i, n := range all {
		if share := room / int64(len(all)-i); n > share {
			return share
		}
		room -= n
	}
	return math.MaxInt64 // all of it fits
}
