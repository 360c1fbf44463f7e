package tamper_test

func keyCases() []testCase { return nil }

func logCases() []testCase { return nil }

func anchorCases() []testCase { return nil }

func storeCases() []testCase { return nil }

func hostileCases() []testCase { return nil }
