"""Print what installs the tools of the runtimes that are missing here: Debian packages on the first line, npm's next."""

from __future__ import annotations

from buril.core.plugins import names, plugin


def main() -> None:
    """What is missing and can be installed; what Debian has not is left out."""
    wanted = [kind.package for name in names("runtime") if (kind := plugin("runtime", name))().found() is None]
    npm = [package.removeprefix("npm install -g ") for package in wanted if package.startswith("npm ")]
    print(*(package for package in wanted if package.removeprefix("npm install -g ") not in npm and "://" not in package))
    print(*npm)


if __name__ == "__main__":
    main()
