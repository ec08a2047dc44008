"""Ruby."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Ruby(Language):
    """The facts of Ruby."""

    name: ClassVar[str] = "ruby"
    grammar: ClassVar[str] = "ruby"
    extensions: ClassVar[tuple[str, ...]] = (".rb", ".rake", ".gemspec", ".ru")
    filenames: ClassVar[tuple[str, ...]] = (
        "Rakefile",
        "Gemfile",
        "Guardfile",
        "Capfile",
        "Vagrantfile",
        "Podfile",
        "Fastfile",
    )
    interpreters: ClassVar[tuple[str, ...]] = ("ruby", "jruby", "rake")
    line_comments: ClassVar[tuple[str, ...]] = ("#",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("=begin", "=end"),)
    functions: ClassVar[str] = """
        (method name: (_) @name body: (_) @body) @function
        (singleton_method name: (_) @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.02
    indent: ClassVar[int] = 2
