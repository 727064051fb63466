package download

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"
)

var errLoad = errors.New("the configuration was not loaded")

// DefaultPoolSize is how many clients a [Pool] keeps by default.
const DefaultPoolSize = 256

// Pool keeps one [Client] per remote, so that all users in the process share its connections, concurrency and rate
// limit. It is safe for concurrent use.
type Pool struct {
	limit int

	mu      sync.Mutex
	entries map[string]*list.Element // of *poolEntry
	recent  *list.List               // most recently used first
	closed  bool
}

type poolEntry struct {
	key, version string
	client       func() (*Client, error) // makes it once
	made         atomic.Pointer[Client]  // nil until then
}

// NewPool returns a pool that keeps at most limit clients and evicts the least recently used client first. Zero or
// less means [DefaultPoolSize].
func NewPool(limit int) *Pool {
	if limit <= 0 {
		limit = DefaultPoolSize
	}
	return &Pool{limit: limit, entries: make(map[string]*list.Element), recent: list.New()}
}

// Client returns the client for key at version. If there is none, or one of another version, it is made from the
// configuration that load returns; concurrent callers wait for it and share it. A fault is returned to all of them and
// not kept. A client that was replaced or evicted is closed; callers that hold it may go on using it, and its
// connections end with their downloads. The caller must not close the client.
//
// Key and version are free text, for example the remote's id and the time of its last change. After [Pool.Close] the
// client returned is new and closed already.
func (p *Pool) Client(key, version string, load func() (*Config, error)) (*Client, error) {
	entry := p.entry(key, version, load)
	c, err := (*Client)(nil), errLoad
	defer func() {
		// The next caller must load the configuration again. err is errLoad until load has returned, so that the entry
		// is also dropped if load panics.
		if err != nil {
			p.drop(entry)
		}
	}()
	if c, err = entry.client(); err != nil {
		return nil, err
	}
	// While load ran, another version may have replaced the entry, or the pool was closed. evict found no client to close
	// then.
	if !p.current(entry) {
		_ = c.Close()
	}
	return c, nil
}

// Close closes all clients. It may be called more than once and returns nil.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for len(p.entries) > 0 {
		p.evict(p.recent.Back())
	}
	return nil
}

func (p *Pool) entry(key, version string, load func() (*Config, error)) *poolEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if el := p.entries[key]; el != nil {
		if e := el.Value.(*poolEntry); e.version == version {
			p.recent.MoveToFront(el)
			return e
		}
		p.evict(el)
	}
	e := &poolEntry{key: key, version: version}
	// load runs in Client, after mu is released: it may be slow, and callers for other remotes must not wait for it.
	e.client = sync.OnceValues(func() (*Client, error) {
		cfg, err := load()
		if err != nil {
			return nil, err
		}
		c, err := New(cfg)
		e.made.Store(c)
		return c, err
	})
	// The entry is not stored, so Client finds that it is not current and closes the new client.
	if p.closed {
		return e
	}
	p.entries[key] = p.recent.PushFront(e)
	for len(p.entries) > p.limit {
		p.evict(p.recent.Back())
	}
	return e
}

// evict takes el out of the pool. If its client is still being made, the callers that wait for it close it.
func (p *Pool) evict(el *list.Element) {
	e := p.recent.Remove(el).(*poolEntry)
	delete(p.entries, e.key)
	if c := e.made.Load(); c != nil {
		_ = c.Close()
	}
}

func (p *Pool) current(e *poolEntry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	el := p.entries[e.key]
	return el != nil && el.Value.(*poolEntry) == e
}

func (p *Pool) drop(e *poolEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Another caller may have stored a newer entry under the key.
	if el := p.entries[e.key]; el != nil && el.Value.(*poolEntry) == e {
		p.evict(el)
	}
}
