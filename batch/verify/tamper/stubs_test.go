package tamper_test

func anchorCases() []testCase { return nil }

func storeCases() []testCase { return nil }

func hostileCases() []testCase { return nil }
