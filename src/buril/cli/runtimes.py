"""What `buril doctor --languages` tells: in which languages programs can be judged on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from buril.core.errors import BurilError
from buril.core.text import _


def tried() -> Iterator[tuple[bool, str, str]]:
    """For each language whether it works, a text, and what mends it.

    It works where a right program passes here, and one that is wrong, broken or leaves before its tests does not.
    """
    from buril.core.plugins import names, plugin
    from buril.evaluate.runtimes._runtime import capability

    found = plugin("sandbox", "namespaces")
    sandbox = found(found.Settings(workers=1))
    try:
        for name in names("runtime"):
            told = capability(name, plugin("runtime", name)(), sandbox)
            if told.works:
                text = _("{name}: tells right from wrong, {ms} ms a program").format(name=name, ms=told.wall_ms)
                yield True, text, ""
            elif told.missing:
                lacks = _("{name}: {tools} not found").format(name=name, tools=", ".join(told.missing))
                yield False, lacks, _install(told.detail)
            else:
                text = _("{name}: does not tell right from wrong: {problem}")
                yield False, text.format(name=name, problem=told.detail), ""
    except BurilError as problem:
        yield False, problem.cause, problem.hint
    finally:
        sandbox.close()


def _install(package: str) -> str:
    """The command for a runtime's package: it names Debian packages, or a whole command, or a page."""
    return package if "://" in package or package.startswith("npm ") else f"apt-get install {package}"
