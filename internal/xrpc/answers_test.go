package xrpc

import (
	"errors"
	"testing"

	"github.com/auroralocus/locus/internal/fair"
)

type encoded int

func (n encoded) Size() int { return int(n) }

// An answer that turns out larger than its method declared takes the memory that there is, or is none.
func TestAnswersGrow(t *testing.T) {
	all := fair.NewBytes(1000)
	st := &state{hold: all.Try(100, "t_1")}
	if err := st.fits(encoded(400)); err != nil || all.Used() != 400 {
		t.Errorf("%v, %d bytes are held", err, all.Used())
	}
	if err := st.fits(encoded(2000)); !errors.Is(err, fair.ErrNoBytes) || all.Used() != 400 {
		t.Errorf("%v, %d bytes are held", err, all.Used())
	}
	if err := st.fits("decoded"); err != nil {
		t.Error(err)
	}
	if err := st.fits(new(StreamOut).Holding(450)); err != nil || all.Used() != 450 {
		t.Errorf("%v, %d bytes are held", err, all.Used())
	}
}
