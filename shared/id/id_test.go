package id_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
)

var at = time.Date(2026, 11, 30, 9, 30, 0, 123e6, time.UTC)

// TestForm checks that what is made is valid, and of one kind only.
func TestForm(t *testing.T) {
	t.Parallel()
	kinds := []id.Kind{id.Call, id.Transfer, id.Number, id.Request, id.Key, id.Endpoint, id.Delivery, id.Event}
	for _, k := range kinds {
		for _, made := range []string{k.New(at), k.Derived(at, "a", "b"), k.Named("+14155550100")} {
			for _, other := range kinds {
				if other.Valid(made) != (other == k) {
					t.Errorf("%s is a valid %s: %t", made, other, other.Valid(made))
				}
			}
		}
	}
}

// TestDerived checks that the same moment and names make the same id, and others another.
func TestDerived(t *testing.T) {
	t.Parallel()
	made := []string{
		id.Event.Derived(at, "a", "b"), id.Event.Derived(at, "ab"), id.Event.Derived(at, "a", "", "b"), id.Event.Derived(at),
		id.Event.Derived(at.Add(time.Millisecond), "a", "b"),
	}
	if again := id.Event.Derived(at, "a", "b"); again != made[0] {
		t.Errorf("%s, then %s", made[0], again)
	}
	slices.Sort(made)
	if len(slices.Compact(made)) != 5 {
		t.Errorf("ids repeat: %q", made)
	}
}

// TestOrder checks that ids sort in the order of their moments.
func TestOrder(t *testing.T) {
	t.Parallel()
	var made []string
	for i := range 100 {
		made = append(made, id.Call.New(at.Add(time.Duration(i)*time.Millisecond)))
	}
	if !slices.IsSorted(made) {
		t.Errorf("%q", made)
	}
}

// TestInvalid checks that other texts are no ids, and what their error says.
func TestInvalid(t *testing.T) {
	t.Parallel()
	good := id.Request.New(at)
	for _, text := range []string{"", "req_", good[4:], "Req_" + good[4:], good + "0", good[:29], strings.ToLower(good), good[:29] + "I", good[:29] + "\n", "call_" + good[4:]} {
		err := id.Request.Check(text)
		if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "phone number request") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := id.Request.Check(good); err != nil {
		t.Error(err)
	}
}
