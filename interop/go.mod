module daybook/interop

go 1.26.0

toolchain go1.26.8

require (
	daybook v0.0.0-00010101000000-000000000000
	github.com/google/go-cmp v0.7.0
	golang.org/x/sync v0.24.0
)

replace daybook => ../
