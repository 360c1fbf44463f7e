// Package receiver takes events in over HTTP: it is the handler of POST /v1/events.
package receiver
