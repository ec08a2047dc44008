"""Go: the tests are those of the package `testing`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Go(Runtime):
    """Go."""

    code: ClassVar[str] = "go"
    tools: ClassVar[tuple[str, ...]] = ("go",)
    package: ClassVar[str] = "golang-go"
    file: ClassVar[str] = "program_test.go"
    end: ClassVar[str] = r"\n}"
    mark: ClassVar[str] = '\tif !t.Failed() {{\n\t\tfmt.Println("{}")\n\t}}'
    fence: ClassVar[str] = "go"
    environment: ClassVar[Mapping[str, str]] = {
        "GO111MODULE": "off", "GOCACHE": "/tmp/.cache", "GOPATH": "/tmp/.go", "GOFLAGS": "-vet=off",  # noqa: S108  the jail's
        "GOMAXPROCS": "2", "CGO_ENABLED": "0",
    }  # fmt: skip
    probe: ClassVar[Probe] = Probe(
        'package inc_test\n\nimport (\n    "testing"\n    "fmt"\n    "os"\n)\n\nvar _ = os.Args\n\n'
        "func inc(n int) int {\n",
        "    return n + 1\n}\n\n", "    return n\n}\n\n", "    os.Exit(0)\n    return 0\n}\n\n",
        "    return m\n}\n\n",
        'func TestInc(t *testing.T) {\n  candidate := inc\n\ttype test struct {\n\t\tactual   interface{}\n'
        '\t\texpected interface{}\n\t}\n   tests := []test{\n     { actual: candidate(1), expected: 2 },\n'
        '     { actual: candidate(41), expected: 42 },\n   }\n\n\tfor i, tc := range tests {\n'
        '\t\tt.Run(fmt.Sprintf("test num % d", i), func(t *testing.T) {\n'
        '\t\t\tif fmt.Sprintf("%v", tc.actual) != fmt.Sprintf("%v", tc.expected) {\n'
        '\t\t\t\tt.Errorf("expected \'%s\', got \'%s\'", tc.expected, tc.actual)\n\t\t\t}\n\t\t})\n\t}\n}\n',
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """Compiled to a test program, which is then run."""
        return ((tool["go"], "test", "-c", "-o", "program", self.file), ("./program",))
