"""Ruby: the tests are those of test-unit."""

from __future__ import annotations

from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Ruby(Runtime):
    """Ruby."""

    code: ClassVar[str] = "rb"
    tools: ClassVar[tuple[str, ...]] = ("ruby",)
    libraries: ClassVar[tuple[str, ...]] = ("-e", "require 'test/unit'; exit!(0)")
    package: ClassVar[str] = "ruby ruby-test-unit"
    file: ClassVar[str] = "program.rb"
    end: ClassVar[str] = r"\n  end\nend"
    mark: ClassVar[str] = '    puts "{}"'
    fence: ClassVar[str] = "ruby"
    probe: ClassVar[Probe] = Probe(
        "def inc(n)\n", "  return n + 1\nend\n", "  return n\nend\n", "  exit!(0)\nend\n", "  return (\nend\n",
        "require 'test/unit'\nclass TestHumanEval < Test::Unit::TestCase\n  def test_inc\n"
        "    candidate = method(:inc)\n"
        "    assert_equal(2, candidate.call(1))\n    assert_equal(42, candidate.call(41))\n  end\nend\n",
    )  # fmt: skip
