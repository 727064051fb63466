package storagetest

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// model holds the objects that the store should have.
type model struct {
	store *storage.Store
	rng   *rand.Rand
	bytes map[string][]byte
	temps map[string]storage.Object
}

// testModel runs random operations on the store and on a map, and compares.
func testModel(t *testing.T, open Opener) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &model{
		store: open(t, nil),
		rng:   rand.New(rand.NewPCG(seed, 0)), // repeatable, not secret
		bytes: make(map[string][]byte),
		temps: make(map[string]storage.Object),
	}
	ops := []func(*testing.T){m.put, m.put, m.putTemp, m.promote, m.delete, m.read, m.read}
	for range 150 {
		ops[m.rng.IntN(len(ops))](t)
	}
	wantKeys(t, m.store, "", slices.Collect(maps.Keys(m.bytes))...)
	for key, b := range m.bytes {
		wantBytes(t, m.store, key, b)
	}
	wantSwept(t, m.store)
}

// content returns one of few contents, so that the same bytes are stored repeatedly.
func (m *model) content() []byte { return Bytes(m.rng.Uint64N(12), m.rng.IntN(3)*700_000) }

// key returns a key, usually that of a stored object.
func (m *model) key() string {
	// Sorted, because the seed alone must decide which key it is: a failure can then be repeated.
	keys := slices.Sorted(maps.Keys(m.bytes))
	if len(keys) == 0 || m.rng.IntN(8) == 0 {
		return storage.ArtifactKey(Digests([]byte("missing")).SHA256)
	}
	return keys[m.rng.IntN(len(keys))]
}

func (m *model) put(t *testing.T) {
	b := m.content()
	expect := Expect(b)
	if m.rng.IntN(2) == 0 {
		expect = nil
	}
	o, err := m.store.PutArtifact(t.Context(), bytes.NewReader(b), expect)
	if err != nil {
		t.Fatalf("PutArtifact = %v", err)
	}
	m.bytes[o.Key] = b
}

func (m *model) putTemp(t *testing.T) {
	b := m.content()
	o, err := m.store.PutTemp(t.Context(), newID(t), bytes.NewReader(b), nil)
	if err != nil {
		t.Fatalf("PutTemp = %v", err)
	}
	m.bytes[o.Key], m.temps[o.Key] = b, o
}

func (m *model) promote(t *testing.T) {
	for _, key := range slices.Sorted(maps.Keys(m.temps))[:min(1, len(m.temps))] { // the first one, if any
		temp := m.temps[key]
		delete(m.temps, key)
		o, err := m.store.Promote(t.Context(), temp)
		b, there := m.bytes[key]
		_, stored := m.bytes[storage.ArtifactKey(temp.Digests.SHA256)]
		switch {
		case !there && !stored:
			wantKind(t, "Promote", err, pulperr.NotFound)
		case err != nil:
			t.Fatalf("Promote = %v", err)
		case there:
			m.bytes[o.Key] = b
		}
	}
}

func (m *model) delete(t *testing.T) {
	key := m.key()
	if err := m.store.Delete(t.Context(), key); err != nil {
		t.Fatalf("Delete(%q) = %v", key, err)
	}
	delete(m.bytes, key)
}

func (m *model) read(t *testing.T) {
	key := m.key()
	b, there := m.bytes[key]
	a, err := m.store.Stat(t.Context(), key)
	if !there {
		if !errors.Is(err, pulperr.NotFound) {
			t.Fatalf("Stat(%q) = %v, want NotFound", key, err)
		}
		return
	}
	if err != nil || a.Size != int64(len(b)) {
		t.Fatalf("Stat(%q) = %+v, %v, want size %d", key, a, err, len(b))
	}
	offset := m.rng.IntN(len(b) + 1)
	length := m.rng.IntN(len(b) + 1)
	wantRange(t, m.store, key, int64(offset), int64(length), a.Size, b[offset:min(len(b), offset+length)])
}
