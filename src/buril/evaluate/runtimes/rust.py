"""Rust: the compiler alone, no packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Rust(Runtime):
    """Rust."""

    code: ClassVar[str] = "rs"
    tools: ClassVar[tuple[str, ...]] = ("rustc",)
    package: ClassVar[str] = "rustc"
    file: ClassVar[str] = "program.rs"
    end: ClassVar[str] = r"\n}"
    mark: ClassVar[str] = '    println!("{}");'
    fence: ClassVar[str] = "rust"
    probe: ClassVar[Probe] = Probe(
        "fn inc(n: isize) -> isize {\n", "    return n + 1;\n", "    return n;\n", "    std::process::exit(0);\n",
        "    return m;\n",
        "}\n\nfn main() {\n    let candidate = inc;\n    assert_eq!(candidate(1), 2);\n"
        "    assert_eq!(candidate(41), 42);\n}\n",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """Compiled without optimisation; warnings are not wanted."""
        return ((tool["rustc"], "--edition", "2021", "-A", "warnings", self.file, "-o", "program"), ("./program",))
