package repo

import (
	"errors"
	"fmt"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// Errors of commit objects.
var (
	ErrCommit    = errors.New("repo: invalid commit object")
	ErrSignature = errors.New("repo: invalid commit signature")
)

const (
	version   = 3
	sigLen    = 64
	maxDIDLen = 2048
)

// Signer signs with an account's key: SHA-256 of msg, ECDSA, 64 bytes r||s with low S on either curve.
//
// spec: cryptography#ecdsa-signature-malleability
type Signer interface {
	Sign(msg []byte) ([]byte, error)
}

// Head is the newest state of a repository. The zero CID means that there is no commit yet.
type Head struct {
	DID  string
	CID  cid.Cid // of the signed commit
	Rev  TID
	Data cid.Cid // root of the tree
}

// SignedCommit is a commit object as stored. Prev is a link only in old repositories.
type SignedCommit struct {
	DID  string
	Rev  TID
	Data cid.Cid
	Prev cid.Cid
	Sig  []byte
}

// Block is the commit in canonical form: six fields, shorter names first.
//
// spec: repository#commit-objects
func (c SignedCommit) Block() []byte { return c.append(make([]byte, 0, 288), 6) }

// Unsigned is what is signed: the same without sig.
func (c SignedCommit) Unsigned() []byte { return c.append(make([]byte, 0, 208), 5) }

func (c SignedCommit) append(b []byte, fields int) []byte {
	b = dagcbor.AppendMapHead(b, fields)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "did"), c.DID)
	b = dagcbor.AppendText(b, "rev")
	b = c.Rev.Append(dagcbor.AppendHead(b, dagcbor.MajorText, tidLen))
	if fields == 6 {
		b = dagcbor.AppendBytes(dagcbor.AppendText(b, "sig"), c.Sig)
	}
	b = dagcbor.AppendLink(dagcbor.AppendText(b, "data"), c.Data)
	b = dagcbor.AppendText(b, "prev")
	if c.Prev.Defined() {
		b = dagcbor.AppendLink(b, c.Prev)
	} else {
		b = dagcbor.AppendNull(b)
	}
	return dagcbor.AppendInt(dagcbor.AppendText(b, "version"), version)
}

// DecodeCommit reads a commit block strictly: all six fields in their order and nothing else, so that the block is byte
// for byte what Block gives. Verify checks the signature.
func DecodeCommit(block []byte) (c SignedCommit, err error) {
	r := dagcbor.NewReader(block)
	if n, err := r.Map(); err != nil || n != 6 {
		return c, fmt.Errorf("%w: not a map of 6 fields", ErrCommit)
	}
	field := func(name string, read func() error) {
		if err != nil {
			return
		}
		if err = r.Key(name); err == nil {
			err = read()
		}
		if err != nil {
			err = fmt.Errorf("%w: %s: %w", ErrCommit, name, err)
		}
	}
	field("did", func() error {
		s, err := r.Text()
		c.DID = string(s)
		if err == nil && !plausibleDID(c.DID) {
			err = fmt.Errorf("%.64q is no DID", c.DID)
		}
		return err
	})
	field("rev", func() error {
		s, err := r.Text()
		if err == nil {
			c.Rev, err = ParseTID(string(s))
		}
		return err
	})
	field("sig", func() error {
		s, err := r.Bytes()
		if c.Sig = append([]byte(nil), s...); err == nil && len(s) != sigLen {
			err = fmt.Errorf("%d bytes", len(s))
		}
		return err
	})
	field("data", func() error {
		d, err := r.Digest()
		if err == nil {
			c.Data = dagcbor.CIDOfDigest(d)
		}
		return err
	})
	field("prev", func() error {
		if r.Null() {
			return nil
		}
		d, err := r.Digest()
		if err == nil {
			c.Prev = dagcbor.CIDOfDigest(d)
		}
		return err
	})
	field("version", func() error {
		v, err := r.Int()
		if err == nil && v != version {
			err = fmt.Errorf("%d", v)
		}
		return err
	})
	if err == nil {
		if err = r.Done(); err != nil {
			err = fmt.Errorf("%w: %w", ErrCommit, err)
		}
	}
	if err != nil {
		return SignedCommit{}, err
	}
	return c, nil
}

// plausibleDID is the general syntax of DIDs as atproto takes them.
//
// spec: did#did-identifier-syntax
func plausibleDID(s string) bool {
	if len(s) < 7 || len(s) > maxDIDLen || s[:4] != "did:" {
		return false
	}
	i := 4
	for i < len(s) && letter(s[i]) {
		i++
	}
	if i == 4 || i+1 >= len(s) || s[i] != ':' {
		return false
	}
	for _, c := range []byte(s[i+1:]) {
		if !letter(c|0x20) && !digit(c) && c != '.' && c != '_' && c != ':' && c != '%' && c != '-' {
			return false
		}
	}
	return s[len(s)-1] != ':' && s[len(s)-1] != '%'
}

// Verify checks the signature: 64 bytes, low S.
func (c SignedCommit) Verify(key atcrypto.PublicKey) error {
	if err := key.HashAndVerify(c.Unsigned(), c.Sig); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// sign makes the commit of this state.
func sign(did string, rev TID, data cid.Cid, signer Signer) (Head, []byte, error) {
	c := SignedCommit{DID: did, Rev: rev, Data: data}
	sig, err := signer.Sign(c.Unsigned())
	if err != nil {
		return Head{}, nil, fmt.Errorf("sign commit of %s: %w", did, err)
	}
	if len(sig) != sigLen {
		return Head{}, nil, fmt.Errorf("sign commit of %s: %w: %d bytes", did, ErrSignature, len(sig))
	}
	c.Sig = sig
	block := c.Block()
	return Head{DID: did, CID: dagcbor.CID(block), Rev: rev, Data: data}, block, nil
}
