package service_test

import "daybook/sink/sinktest"

var fault503 = sinktest.Fault{Err: sinktest.ErrUnavailable}
