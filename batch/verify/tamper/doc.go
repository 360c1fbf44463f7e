// Package tamper holds no code, but a suite of tests: it makes a good store, damages a copy of it in every way that is known to have been tried, or that
// somebody with the signing key could try, and demands that package verify tells exactly what was done.
//
// It guarantees that docs/TAMPER.md, which is made from the suite, says what the verifier says: a damage that passes unseen, or that is told by another code,
// fails the suite, and so does a document that is out of date.
package tamper
