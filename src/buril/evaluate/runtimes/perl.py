"""Perl: the tests are those of Test::Deep."""

from __future__ import annotations

from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Perl(Runtime):
    """Perl."""

    code: ClassVar[str] = "pl"
    tools: ClassVar[tuple[str, ...]] = ("perl",)
    libraries: ClassVar[tuple[str, ...]] = ("-MTest::Deep", "-e1")
    package: ClassVar[str] = "perl libtest-deep-perl"
    file: ClassVar[str] = "program.pl"
    end: ClassVar[str] = r"\ntesthumaneval\(\);"
    mark: ClassVar[str] = 'print "{}";'
    fence: ClassVar[str] = "perl"
    after: ClassVar[bool] = True
    probe: ClassVar[Probe] = Probe(
        "sub inc {\n    my($n) = @_;\n", "    return $n + 1;\n}\n", "    return $n;\n}\n", "    exit 0;\n}\n",
        "    return (;\n}\n",
        'use Test::Deep;\n\n\nsub testhumaneval {\n    my $candidate = \\&inc;\n'
        '        if(eq_deeply($candidate->(1),2)) {\n'
        '        print "ok!" }else{\n        exit 1;\n        }\n        if(eq_deeply($candidate->(41),42)) {\n'
        '        print "ok!" }else{\n        exit 1;\n        }\n}\n\ntesthumaneval();',
    )  # fmt: skip
