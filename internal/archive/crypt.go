package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// ageMagic begins what age has encrypted.
const ageMagic = "age-encryption.org/"

// Lock says for whom an archive is encrypted; the zero value: for nobody, so it is not.
type Lock struct {
	Recipients []string // age1…
	Passphrase string

	workFactor int // for tests; 0: age's own, which takes about a second
}

// Encrypts tells whether anything is encrypted.
func (l Lock) Encrypts() bool { return len(l.Recipients) > 0 || l.Passphrase != "" }

// Check says what is wrong with it.
func (l Lock) Check() error {
	_, err := l.recipients()
	return err
}

func (l Lock) recipients() (out []age.Recipient, err error) {
	if len(l.Recipients) > 0 && l.Passphrase != "" {
		return nil, errors.New("an archive is encrypted for recipients or with a passphrase, not both")
	}
	for _, text := range l.Recipients {
		found, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%.80q is no recipient of age (age1…, as age-keygen prints it)", text)
		}
		out = append(out, found...)
	}
	if l.Passphrase != "" {
		r, err := age.NewScryptRecipient(l.Passphrase)
		if err != nil {
			return nil, err
		}
		if l.workFactor > 0 {
			r.SetWorkFactor(l.workFactor)
		}
		out = append(out, r)
	}
	return out, nil
}

// Wrap encrypts what is written to w. Closing it writes the end and does not close w.
func (l Lock) Wrap(w io.Writer) (io.WriteCloser, error) {
	to, err := l.recipients()
	if err != nil {
		return nil, err
	}
	if len(to) == 0 {
		return plain{w}, nil
	}
	return age.Encrypt(w, to...)
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// Keys open archives: the text of identity files (AGE-SECRET-KEY-1…), or the passphrase.
type Keys struct {
	Identities string
	Passphrase string
}

// Check says what is wrong with the identities.
func (k Keys) Check() error {
	_, err := k.identities()
	return err
}

func (k Keys) identities() ([]age.Identity, error) {
	all, err := age.ParseIdentities(strings.NewReader(k.Identities))
	if err != nil { // which may hold what was entered
		return nil, errors.New("this is no secret key of age (AGE-SECRET-KEY-1…)")
	}
	return all, nil
}

// Unwrap decrypts an archive, and gives one that is not encrypted as it is. Errors: [ErrEncrypted], [ErrWrongKey],
// [ErrDamaged].
func (k Keys) Unwrap(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	begins, err := in.Peek(len(ageMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(begins) != ageMagic {
		return in, nil
	}
	var identities []age.Identity
	if k.Identities != "" {
		if identities, err = k.identities(); err != nil {
			return nil, err
		}
	}
	if k.Passphrase != "" {
		id, err := age.NewScryptIdentity(k.Passphrase)
		if err != nil {
			return nil, err
		}
		identities = append(identities, id)
	}
	if len(identities) == 0 {
		return nil, ErrEncrypted
	}
	out, err := age.Decrypt(in, identities...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, ErrWrongKey
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return damaged{out}, nil
}

// damaged says of an error in the encryption what it means. An error of the file underneath looks the same.
type damaged struct{ io.Reader }

func (d damaged) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return n, err
}
