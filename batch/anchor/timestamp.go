package anchor

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1" // what RFC 2634's certificate identifiers are made with
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"

	"daybook/sink"
)

// MaxTimestamp is how many bytes a time-stamping authority's answer may have.
const MaxTimestamp = 64 << 10

var (
	// ErrTimestamp says that an answer is not a signed RFC 3161 time stamp.
	ErrTimestamp = errors.New("not a valid time stamp")
	// ErrDigest says that a time stamp is over other bytes than the checkpoint's.
	ErrDigest = errors.New("a time stamp of something else")
	// ErrUntrusted says that nobody who is trusted vouches for the authority that made a time stamp.
	ErrUntrusted = errors.New("a time stamp by an authority that is not trusted")
	// ErrExpired says that a certificate behind a time stamp was not valid at the time it tells.
	ErrExpired = errors.New("a time stamp made outside the validity of its certificates")
)

type timestampAnchor struct {
	base
	client *client
	roots  *x509.CertPool
}

// NewTimestamp returns an anchor that has checkpoints stamped by the RFC 3161 authority at where (https:// or http://; its answers are signed). The stamp is over
// the bytes of the checkpoint file. roots vouch for the authority; without them (nil) any is taken, and it is for the verifier to trust it or not.
func NewTimestamp(name, where string, roots *x509.CertPool, o *Options) (Anchor, error) {
	a := &timestampAnchor{base: base{name, KindTimestamp, o.orDefault()}, roots: roots}
	var err error
	if a.client, err = newClient(where, "", a.opts); err != nil {
		return nil, a.wrap(err)
	}
	return a, nil
}

func (a *timestampAnchor) Submit(ctx context.Context, s Submission) (Receipt, error) {
	ctx, cancel, _, err := a.begin(ctx, s)
	if err != nil {
		return Receipt{}, err
	}
	defer cancel()
	receipt, err := a.submit(ctx, s)
	return receipt, a.wrap(err)
}

func (a *timestampAnchor) submit(ctx context.Context, s Submission) (Receipt, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return Receipt{}, err
	}
	nonce := new(big.Int).SetUint64(binary.BigEndian.Uint64(random[:])>>1 | 1)
	digest := sha256.Sum256(s.Checkpoint)
	// The certificates are asked for, since who checks the stamp in years can't look for them.
	query, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true, Nonce: nonce}).Marshal()
	if err != nil {
		return Receipt{}, fmt.Errorf("make a time-stamp query: %w", err)
	}
	got, err := a.client.post(ctx, "application/timestamp-query", query, MaxTimestamp)
	if err != nil {
		return Receipt{}, err
	}
	if got.status != http.StatusOK {
		return Receipt{}, fmt.Errorf("%s: %w (%s)", a.client.url, ErrRefused, got.said())
	}
	info, stamp, err := checkTimestamp(got.body, s.Checkpoint, a.roots)
	if err != nil {
		if errors.Is(err, ErrUntrusted) {
			err = &sink.HintError{Err: err, Hint: "name the certificate authority that vouches for it (ca_file), or take another time-stamping authority"}
		}
		return Receipt{}, fmt.Errorf("%s: %w", a.client.url, err)
	}
	if stamp.Nonce == nil || stamp.Nonce.Cmp(nonce) != 0 {
		return Receipt{}, fmt.Errorf("%s: %w: it answers another query: its nonce is not ours", a.client.url, ErrAnswer)
	}
	return Receipt{ExtTimestamp, got.body, info.Authority, info.Time}, nil
}

// TimestampInfo is what a time stamp says.
type TimestampInfo struct {
	Time time.Time
	// Authority is the subject of the certificate that signed it.
	Authority string
	// Trusted says that the certificate chains to a root that was given.
	Trusted bool
}

// CheckTimestamp checks that tsr, a TimeStampResp in DER, is a time stamp over the bytes of the checkpoint: granted, over their SHA-256, SHA-384 or SHA-512,
// signed by a certificate for time-stamping that is in it, that the signature names (RFC 5035), and that was valid at the time. With roots the certificate must
// chain to one of them; without (nil) nobody vouches for it, and Trusted is false.
//
// The error is ErrTimestamp, ErrDigest, ErrExpired or ErrUntrusted; for the last three what the stamp says is returned as well.
func CheckTimestamp(tsr, checkpoint []byte, roots *x509.CertPool) (TimestampInfo, error) {
	info, _, err := checkTimestamp(tsr, checkpoint, roots)
	return info, err
}

// library guards the parser of CMS: it counts its depth in a variable of its package.
var library sync.Mutex

func checkTimestamp(tsr, data []byte, roots *x509.CertPool) (TimestampInfo, *timestamp.Timestamp, error) {
	stamp, cms, err := parseTimestamp(tsr)
	if err != nil {
		return TimestampInfo{}, nil, err
	}
	signer := cms.GetOnlySigner()
	info := TimestampInfo{Time: stamp.Time.UTC(), Authority: printable(signer.Subject.String())}
	if !stamp.HashAlgorithm.Available() || stamp.HashAlgorithm == crypto.SHA1 {
		return TimestampInfo{}, nil, fmt.Errorf("%w: over a hash of an unfit kind (%v)", ErrTimestamp, stamp.HashAlgorithm)
	}
	hash := stamp.HashAlgorithm.New()
	hash.Write(data) // a Hash never returns an error
	if digest := hash.Sum(nil); !bytes.Equal(digest, stamp.HashedMessage) {
		return info, nil, fmt.Errorf("%w: of the %v %x, the checkpoint's is %x", ErrDigest, stamp.HashAlgorithm, stamp.HashedMessage, digest)
	}
	if err := checkValidity(signer, info.Time); err != nil {
		return info, nil, err
	}
	if roots == nil {
		return info, stamp, nil
	}
	between := x509.NewCertPool()
	for _, c := range cms.Certificates {
		between.AddCert(c)
	}
	// A stamp outlives its certificates: what counts is that they were valid when it was made.
	_, err = signer.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: info.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return info, nil, fmt.Errorf("%w: %w", ErrExpired, err)
		}
		return info, nil, fmt.Errorf("%w: %s: %w", ErrUntrusted, info.Authority, err)
	}
	info.Trusted = true
	return info, stamp, nil
}

func checkValidity(c *x509.Certificate, at time.Time) error {
	if at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return fmt.Errorf("%w: it tells %s, the certificate of %s is valid from %s to %s", ErrExpired, at.Format(time.RFC3339), printable(c.Subject.String()),
			c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// parseTimestamp returns a stamp that is granted and whose signature is right. Who signed it, and over what, is still to be checked.
func parseTimestamp(tsr []byte) (*timestamp.Timestamp, *pkcs7.PKCS7, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrTimestamp, fmt.Errorf(format, args...))
	}
	if len(tsr) > MaxTimestamp {
		return nil, nil, bad("over %d bytes", MaxTimestamp)
	}
	// The library's parser of CMS reads past the end of what is not well formed.
	if err := checkDER(tsr, 0); err != nil {
		return nil, nil, bad("%w", err)
	}
	var response struct {
		Status struct{ Status int }
		Token  asn1.RawValue `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(tsr, &response); err != nil || len(rest) > 0 {
		return nil, nil, bad("not a time-stamp response")
	}
	library.Lock()
	defer library.Unlock()
	if s := timestamp.Status(response.Status.Status); s != timestamp.Granted && s != timestamp.GrantedWithMods {
		_, err := timestamp.ParseResponse(tsr) // it says why
		return nil, nil, bad("%w: %w", ErrRefused, errors.Join(err))
	}
	cms, err := pkcs7.Parse(response.Token.FullBytes)
	if err != nil {
		return nil, nil, bad("%w", err)
	}
	if cms.GetOnlySigner() == nil {
		return nil, nil, bad("it must have one signer, whose certificate is in it")
	}
	if err := checkSigned(cms); err != nil {
		return nil, nil, err
	}
	// This checks the signature as well, since there is a certificate.
	stamp, err := timestamp.Parse(response.Token.FullBytes)
	if err != nil {
		return nil, nil, bad("%w", err)
	}
	return stamp, cms, nil
}

// The names of what a time stamp's signature is over.
var (
	oidTSTInfo          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidCertificate      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidCertificateV2    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidExtendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// checkSigned checks what RFC 3161 asks of the signer, and the library leaves out: that it signed a time stamp and nothing that can be taken for one, that
// the signature names its certificate, and that this certificate is for time-stamping alone.
func checkSigned(cms *pkcs7.PKCS7) error {
	signer := cms.GetOnlySigner()
	// The library takes SHA-1 and DSA as well.
	switch digest := cms.Signers[0].DigestAlgorithm.Algorithm; {
	case digest.Equal(pkcs7.OIDDigestAlgorithmSHA256), digest.Equal(pkcs7.OIDDigestAlgorithmSHA384), digest.Equal(pkcs7.OIDDigestAlgorithmSHA512):
	default:
		return fmt.Errorf("%w: signed with a hash of an unfit kind (%v)", ErrTimestamp, digest)
	}
	if alg := cms.Signers[0].DigestEncryptionAlgorithm.Algorithm; alg.Equal(pkcs7.OIDDigestAlgorithmECDSASHA1) || signer.PublicKeyAlgorithm == x509.DSA {
		return fmt.Errorf("%w: signed in an unfit way (%v)", ErrTimestamp, alg)
	}
	var kind asn1.ObjectIdentifier
	if err := cms.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &kind); err != nil || !kind.Equal(oidTSTInfo) {
		return fmt.Errorf("%w: what is signed is not a time stamp", ErrTimestamp)
	}
	if !namesCertificate(cms, signer.Raw) {
		return fmt.Errorf("%w: its signature does not name the certificate that is in it", ErrTimestamp)
	}
	critical := false
	for _, e := range signer.Extensions {
		critical = critical || e.Critical && e.Id.Equal(oidExtendedKeyUsage)
	}
	if !critical || len(signer.ExtKeyUsage) != 1 || signer.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(signer.UnknownExtKeyUsage) > 0 {
		return fmt.Errorf("%w: the certificate of %s is not one for time-stamping alone", ErrTimestamp, printable(signer.Subject.String()))
	}
	var signed time.Time
	if err := cms.UnmarshalSignedAttribute(pkcs7.OIDAttributeSigningTime, &signed); err == nil {
		return checkValidity(signer, signed.UTC())
	}
	return nil
}

func namesCertificate(cms *pkcs7.PKCS7, raw []byte) bool {
	type certID struct {
		Hash   []byte
		Issuer asn1.RawValue `asn1:"optional"`
	}
	type certIDv2 struct {
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		} `asn1:"optional"`
		Hash   []byte
		Issuer asn1.RawValue `asn1:"optional"`
	}
	var v2 struct{ Certs []certIDv2 }
	if cms.UnmarshalSignedAttribute(oidCertificateV2, &v2) == nil && len(v2.Certs) > 0 {
		hash := crypto.SHA256
		switch oid := v2.Certs[0].Algorithm.OID; {
		case oid == nil, oid.Equal(pkcs7.OIDDigestAlgorithmSHA256):
		case oid.Equal(pkcs7.OIDDigestAlgorithmSHA384):
			hash = crypto.SHA384
		case oid.Equal(pkcs7.OIDDigestAlgorithmSHA512):
			hash = crypto.SHA512
		default:
			return false
		}
		h := hash.New()
		h.Write(raw) // a Hash never returns an error
		return bytes.Equal(h.Sum(nil), v2.Certs[0].Hash)
	}
	var v1 struct{ Certs []certID }
	if cms.UnmarshalSignedAttribute(oidCertificate, &v1) == nil && len(v1.Certs) > 0 {
		sum := sha1.Sum(raw) // authorities that still name their certificate so sign with better
		return bytes.Equal(sum[:], v1.Certs[0].Hash)
	}
	return false
}

// maxDepth is how deep ASN.1 may be nested; certificates need about ten.
const maxDepth = 32

var errDER = errors.New("not well-formed DER")

// checkDER checks that data is whole elements of one-byte tags and definite lengths, and that what is made up of elements is so in turn.
func checkDER(data []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: nested more than %d deep", errDER, maxDepth)
	}
	for len(data) > 0 {
		if len(data) < 2 || data[0]&0x1f == 0x1f {
			return errDER
		}
		tag, length, head := data[0], int(data[1]), 2
		if length >= 0x80 {
			n := length - 0x80
			if n < 1 || n > 3 || len(data) < 2+n || data[2] == 0 {
				return errDER
			}
			length = 0
			for _, b := range data[2 : 2+n] {
				length = length<<8 | int(b)
			}
			head += n
		}
		if length > len(data)-head {
			return errDER
		}
		if tag&0x20 != 0 {
			if err := checkDER(data[head:head+length], depth+1); err != nil {
				return err
			}
		}
		data = data[head+length:]
	}
	return nil
}
