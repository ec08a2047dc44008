"""Packages that no list knows: eight ecosystems, install commands, manifests, slips of the pen, real projects."""

from __future__ import annotations

import importlib.metadata
import json
import random
import re
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.code.installs import installs
from buril.code.manifests import Unreadable, read
from buril.code.packages import ECOSYSTEMS, Use, uses
from buril.code.parse import parse
from buril.core.errors import BurilError
from buril.scanners import INCONCLUSIVE, PARTIAL, Text
from buril.scanners import packages as module
from buril.scanners._known import Known, canonical, distance, package_of
from buril.scanners.packages import TYPO, UNKNOWN, Packages
from tests.pace import pace


def imported(language: str, text: str) -> list[str]:
    return [use.name for use in uses(language, parse(language, text.encode()))]


# --- what a file imports

IMPORTS = {
    "python": (
        "import os, numpy as np\nfrom a.b import c\nfrom . import x\nfrom .y import z\n"
        "importlib.import_module('dyn.x')\n__import__(f'{a}')\n__import__('q')\n",
        ["numpy", "os", "a.b", "dyn.x", "q"],
    ),
    "javascript": (
        "import a from 'left-pad';\nimport './x';\nconst b = require('@s/p/lib');\nimport('lodash/fp');\n"
        "export * from \"node:fs\";\nimport z from '@/c';\nimport q from 'https://x.org/y.js';\nimport r from '#own';\n",
        ["left-pad", "@s/p", "lodash", "node:fs"],
    ),
    "tsx": ("import React from 'react';\nimport type {A} from \"t-y\";\n", ["react", "t-y"]),
    "go": ('package m\nimport (\n\t"fmt"\n\tx "github.com/a/b/c"\n\t_ "./own"\n)\n', ["fmt", "github.com/a/b/c"]),
    "java": (
        "package com.acme.app;\nimport java.util.*;\nimport static org.junit.Assert.assertEquals;\n"
        "import com.acme.lib.X;\nimport com.google.common.collect.*;\n",
        ["java.util", "org.junit.Assert.assertEquals", "com.google.common.collect"],
    ),
    "kotlin": (
        "package com.acme\nimport kotlinx.coroutines.launch\nimport com.acme.x.Y\nimport io.ktor.client.*\n",
        ["kotlinx.coroutines.launch", "io.ktor.client"],
    ),
    "rust": (
        "use std::io;\nuse serde::{Deserialize, Serialize};\nmod local;\nuse local::x;\nuse crate::y;\n"
        "extern crate rand;\nuse tokio::sync;\nuse sync::Mutex;\nuse Ordering::*;\n"
        "use {anyhow::Result, log::{info, warn}};\nuse anyhow::anyhow;\n",
        ["std", "serde", "rand", "tokio", "anyhow", "log"],
    ),
    "ruby": (
        "require 'json'\nrequire_relative 'x'\nrequire \"active_support/core_ext\"\nrequire './own'\n",
        ["json", "active_support/core_ext"],
    ),
    "php": (
        "<?php\nnamespace App\\Http;\nuse Symfony\\Component\\Console\\Command;\nuse App\\Models\\User;\nuse Exception;\n"
        "use Monolog\\{Logger, Handler};\n",
        ["Symfony\\Component\\Console\\Command", "Monolog\\*"],
    ),
    "csharp": (
        "using System;\nusing static System.Math;\nusing J = Newtonsoft.Json.Linq;\n"
        "namespace Acme.App { using Acme.Lib; class A { void F() { using (var x = y) {} } } }\n",
        ["System", "System.Math", "Newtonsoft.Json.Linq"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", IMPORTS)
def test_imports_are_read_and_the_files_own_names_left_out(language: str) -> None:
    text, expected = IMPORTS[language]
    assert imported(language, text) == expected


def test_lines_and_guards() -> None:
    text = "try:\n    import fast\nexcept ImportError:\n    fast = None\nimport slow\nimport fast\n"
    assert [use[:5] for use in uses("python", parse("python", text.encode()))] == [
        (5, "pypi", "slow", False, False), (6, "pypi", "fast", False, False),
    ]  # fmt: skip
    assert uses("python", parse("python", text[:50].encode()))[0].guarded
    assert set(ECOSYSTEMS) <= {*IMPORTS, "typescript"}
    assert uses("c", parse("c", b"#include <x.h>\n")) == []


# --- what a text installs

DOCKERFILE = """FROM python:3.12
RUN apt-get update && pip install --no-cache-dir \\
    requests==2.31 "flask[async]>=2" -r req.txt . \\
    git+https://x.org/y.git fake-lib && npm install -g @acme/cli@1.2 left-pad
RUN go install example.com/x/y/...@latest; cargo add serde --features derive
# pip install commented
$ gem install rails -v 7.0
npx create-foo my-app
We pip install things; you should npm install foo and bar.
`pip install inlined` then go on
composer require acme/pkg:^1.0
dotnet add package Newtonsoft.Json --version 1
sudo python3 -m pip install --index-url https://x.org/simple ./local $NAME boto3
"""


def test_install_commands() -> None:
    found = [(use.line, use.ecosystem, use.name) for use in installs(DOCKERFILE)]
    assert found == [
        (2, "npm", "@acme/cli"), (2, "npm", "left-pad"), (2, "pypi", "fake-lib"), (2, "pypi", "flask"),
        (2, "pypi", "requests"), (5, "crates", "serde"), (5, "go", "example.com/x/y"), (7, "rubygems", "rails"),
        (8, "npm", "create-foo"), (10, "pypi", "inlined"), (11, "packagist", "acme/pkg"),
        (12, "nuget", "Newtonsoft.Json"), (13, "pypi", "boto3"),
    ]  # fmt: skip
    assert all(use.installed for use in installs(DOCKERFILE))


def test_lists_of_requirements() -> None:
    assert [use.name for use in installs("requests==1.0\n# c\nflask>=2  # c\n-r x.txt\nfoo[a,b]\n")] == [
        "requests",
        "flask",
        "foo",
    ]
    for prose in ("alpha\nbeta\n", "requests==1.0\nis a line of prose\n", "", "x = 1\n"):
        assert installs(prose) == []
    text = '{"name": "x",\n "dependencies": {\n  "left-pad": "1",\n  "own": "file:../own"}}\n'
    assert [(use.line, use.name) for use in installs(text)] == [(3, "left-pad")]
    assert installs('{"dependencies": [1, 2') == []


# --- manifests

MANIFESTS = {
    "requirements-dev.txt": ("requests==2 ; python_version > '3'\n# c\n-r x.txt\nRuamel.YAML>=1\n", "pypi", {"requests", "Ruamel.YAML"}),
    "poetry.lock": ('[[package]]\nname = "flask"\nversion = "1"\n', "pypi", {"flask"}),
    "uv.lock": ('version = 1\n[[package]]\nname = "numpy"\n[[package]]\nname = "me"\n', "pypi", {"numpy", "me"}),
    "Pipfile.lock": (json.dumps({"default": {"attrs": {}}, "develop": {"pytest": {}}}), "pypi", {"attrs", "pytest"}),
    "pyproject.toml": (
        '[project]\nname = "acme"\ndependencies = ["httpx>=1", "rich"]\n[project.optional-dependencies]\na = ["torch[x]"]\n'
        '[dependency-groups]\ndev = ["mypy", {include-group = "a"}]\n[build-system]\nrequires = ["hatchling"]\n'
        '[tool.poetry.group.dev.dependencies]\nblack = "*"\n',
        "pypi", {"httpx", "rich", "torch", "mypy", "hatchling", "black"},
    ),
    "package.json": (json.dumps({"name": "me", "dependencies": {"a": "1"}, "devDependencies": {"@b/c": "1"}}), "npm", {"a", "@b/c"}),
    "package-lock.json": (
        json.dumps({"packages": {"": {}, "node_modules/a": {}, "node_modules/a/node_modules/@b/c": {}},
                    "dependencies": {"d": {"dependencies": {"e": {}}}}}), "npm", {"a", "@b/c", "d", "e"},
    ),
    "pnpm-lock.yaml": (
        "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      react:\n        specifier: ^18\n"
        "        version: 18.0.0\npackages:\n  '@b/c@1.2.3':\n    resolution: {x: y}\n  /left-pad@1.0.0:\n    dev: false\n",
        "npm", {".", "react", "@b/c", "left-pad"},
    ),
    "yarn.lock": ('# c\n"@b/c@^1.0", "@b/c@npm:^2":\n  version "1"\nleft-pad@1:\n  version "1"\n', "npm", {"@b/c", "left-pad"}),
    "go.mod": ("module acme.org/me\n\nrequire github.com/a/b v1.2.3\nrequire (\n\tgolang.org/x/net v0.1.0 // indirect\n)\n",
               "go", {"github.com/a/b", "golang.org/x/net"}),
    "Cargo.toml": ('[package]\nname = "me"\n[dependencies]\nserde = "1"\nr = {package = "rand", version = "1"}\n'
                   '[target.x.dev-dependencies]\nquick = "1"\n', "crates", {"serde", "r", "rand", "quick"}),
    "Cargo.lock": ('[[package]]\nname = "libc"\n', "crates", {"libc"}),
    "pom.xml": ("<dependency>\n<groupId>com.google.guava</groupId>\n<artifactId>guava</artifactId></dependency>", "maven",
                {"com.google.guava:guava"}),
    "build.gradle.kts": ('implementation("io.ktor:ktor-core:2.0")\n', "maven", {"io.ktor:ktor-core"}),
    "Gemfile": ("gem 'rails', '~> 7'\n  gem \"puma\"\n", "rubygems", {"rails", "puma"}),
    "Gemfile.lock": ("GEM\n  specs:\n    rails (7.0)\n      rack (>= 2)\n", "rubygems", {"rails", "rack"}),
    "composer.lock": (json.dumps({"packages": [{"name": "a/b", "autoload": {"psr-4": {"Ab\\Core\\": "src"}}}]}), "packagist",
                      {"a/b", "Ab\\Core\\"}),
    "App.csproj": ('<PackageReference Include="Serilog" Version="1" />\n<PackageReference Update="Moq"/>', "nuget", {"Serilog", "Moq"}),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests(name: str, tmp_path: Path) -> None:
    text, ecosystem, expected = MANIFESTS[name]
    (tmp_path / name).write_text(text)
    for told in (tmp_path, tmp_path / name):
        project = read([told])
        assert project.packages == {ecosystem: expected}


def test_a_projects_own_name_is_its_own(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "go.mod", "package.json", "Cargo.toml"):
        (tmp_path / name).write_text(MANIFESTS[name][0])
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "package.json").write_text('{"dependencies": {"hidden": "1"}}')
    project = read([tmp_path])
    assert project.own == {"pypi": {"acme"}, "go": {"acme.org/me"}, "npm": {"me"}, "crates": {"me"}}
    assert "hidden" not in project.packages["npm"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("package.json", "{"), ("poetry.lock", "= ="), ("notes.txt", "requests"), ("uv.lock", "[[package]]\nversion = '1'\n"),
     ("package.json", "[1]")],
)  # fmt: skip
def test_a_damaged_or_unknown_manifest_is_refused(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Unreadable, match=name):
        read([tmp_path / name])


# --- which names are known

KNOWN = Known(
    {
        "pypi": ["requests", "Pillow", "python-dateutil", "google-cloud-storage", "PyYAML", "scikit-learn", "dm_tree"],
        "npm": ["left-pad", "@acme/cli", "lodash"], "go": ["github.com/a/b"], "crates": ["serde-json", "tokio"],
        "maven": ["com.google.guava:guava", "org.junit.jupiter:junit-jupiter"],
        "rubygems": ["activesupport", "rails", "aws-sdk"], "nuget": ["Newtonsoft.Json", "Serilog.Sinks.File"],
        "packagist": ["symfony/console", "monolog/monolog", "Ab\\Core\\"],
    },
    {"pypi": ["acme"], "go": ["acme.org/me"]},
)  # fmt: skip


def imports(ecosystem: str, name: str) -> Use:
    return Use(1, ecosystem, name)


@pytest.mark.parametrize(
    ("ecosystem", "known", "unknown"),
    [
        ("pypi", ["PIL.Image", "yaml", "sklearn.svm", "dateutil", "requests.adapters", "acme.x", "os.path", "urllib2",
                  "google.cloud.storage", "dm_tree", "_private"],
         ["requestz", "google.colab", "zz"]),
        ("npm", ["node:fs", "fs", "left-pad", "@acme/cli"], ["@acme/other", "leftpad", "node-fs"]),
        ("go", ["fmt", "net/http", "github.com/a/b/c", "acme.org/me/x"], ["github.com/a/bb", "github.com/a"]),
        ("crates", ["std", "serde_json", "tokio"], ["serde_jsn", "tokio_x"]),
        ("maven", ["java.util.List", "com.google.common.collect", "org.junit.Test", "kotlin.io"], ["org.example.x", "com.acme.y"]),
        ("rubygems", ["json", "active_support/core_ext", "rails/all", "aws-sdk"], ["railz", "asdf"]),
        ("packagist", ["Exception", "Symfony\\Component\\X", "Monolog\\Logger", "Ab\\Core\\X", "Monolog\\*"], ["Ab\\Other\\X", "Evil\\Y"]),
        ("nuget", ["System.Linq", "Newtonsoft.Json.Linq", "Serilog", "Microsoft.Win32"], ["Newtonsoft.Xml", "Dapperr"]),
    ],
)  # fmt: skip
def test_known_and_unknown(ecosystem: str, known: list[str], unknown: list[str]) -> None:
    assert [name for name in known if not KNOWN.knows(imports(ecosystem, name))] == []
    assert [name for name in unknown if KNOWN.knows(imports(ecosystem, name))] == []


@pytest.mark.parametrize(
    ("ecosystem", "name", "near"),
    [
        ("pypi", "reqeusts", "requests"), ("pypi", "request", "requests"), ("pypi", "dateutil_python", "python-dateutil"),
        ("pypi", "pythondateutil", "python-dateutil"), ("pypi", "numpyy", "numpy"), ("pypi", "scikit_laern", "scikit-learn"),
        ("pypi", "subproces", "subprocess"), ("npm", "leftpad", "left-pad"), ("npm", "lodahs", "lodash"),
        ("crates", "toklo", "tokio"), ("nuget", "Newtonsoft.Jsn.X", "newtonsoft.json"),
        ("pypi", "zz_helpers", ""), ("pypi", "yarl", ""), ("pypi", "urllib3", ""), ("pypi", "graphviz", ""), ("pypi", "six", ""),
    ],
)  # fmt: skip
def test_slips_of_the_pen(ecosystem: str, name: str, near: str) -> None:
    assert KNOWN.nearest(imports(ecosystem, name)) == near


def test_names_are_compared_as_their_registry_does() -> None:
    assert canonical("pypi", "Ruamel.YAML__x") == "ruamel-yaml-x"
    assert canonical("crates", "serde-json") == "serde_json"
    assert package_of(imports("maven", "org.junit.Assert.x")) == "org.junit.Assert"
    assert package_of(imports("packagist", "Symfony\\Console\\X")) == "symfony/console"
    assert package_of(imports("rubygems", "a/b")) == "a"


def _slow_distance(left: str, right: str) -> int:
    """The definition, read aloud."""
    if not left or not right:
        return len(left) + len(right)
    options = [_slow_distance(left[1:], right) + 1, _slow_distance(left, right[1:]) + 1]
    options.append(_slow_distance(left[1:], right[1:]) + (left[0] != right[0]))
    if len(left) > 1 and len(right) > 1 and (left[0], left[1]) == (right[1], right[0]):
        options.append(_slow_distance(left[2:], right[2:]) + 1)
    return min(options)


@given(st.text("abc", max_size=6), st.text("abc", max_size=6), st.integers(0, 3))
def test_distance_is_what_its_definition_says(left: str, right: str, most: int) -> None:
    assert distance(left, right, most) == min(_slow_distance(left, right), most + 1)


# --- the scanner


def scanner(tmp_path: Path, **settings: object) -> Packages:
    (tmp_path / "requirements.txt").write_text("requests==2\npandas\npillow\n")
    return Packages(Packages.Settings(**{"lockfiles": (str(tmp_path / "requirements.txt"),), **settings}))  # type: ignore[arg-type]


def test_findings(tmp_path: Path) -> None:
    text = "import os\nimport requests\nimport reqeusts\ntry:\n    import fastzz\nexcept ImportError:\n    pass\nfrom PIL import Image\n"
    found = list(scanner(tmp_path).scan(text, "python"))
    assert [(item.rule, item.line, item.severity, item.confidence, item.cwe) for item in found] == [
        (TYPO, 3, "high", "medium", "CWE-829"), (UNKNOWN, 5, "medium", "low", "CWE-829"),
    ]  # fmt: skip
    assert "`reqeusts`" in found[0].message and "`requests`" in found[0].message
    assert found[0].owasp == "A08:2021"
    install = list(scanner(tmp_path).scan("#!/bin/sh\npip install requestss pandas\n", "bash"))
    assert [(item.rule, item.line) for item in install] == [(TYPO, 2)]


def test_without_a_list_it_does_not_start_and_is_never_silent() -> None:
    bare = Packages()
    with pytest.raises(BurilError) as caught:
        bare.observe()
    assert caught.value.code == "D224"
    assert [item.rule for item in bare.scan("import reqeusts\nimport b\n", "python")] == [INCONCLUSIVE]
    assert list(bare.scan("import os\n", "python")) == []  # needs no list


def test_a_registry_of_which_nothing_is_known_is_partial(tmp_path: Path) -> None:
    found = list(scanner(tmp_path).scan("import a from 'left-pad';\nimport b from 'x';\n", "javascript"))
    assert [(item.rule, item.line) for item in found] == [(PARTIAL, 1)]
    assert "npm" in found[0].message
    assert list(scanner(tmp_path).scan("import a from 'fs';\n", "javascript")) == []


@pytest.mark.parametrize(
    "settings", [{"lockfiles": ("missing/uv.lock",)}, {"index": "missing.txt"}, {"lockfiles": ("x.doc",)}]
)
def test_a_list_that_can_not_be_read_is_an_error(settings: dict[str, object]) -> None:
    with pytest.raises(BurilError) as caught:
        Packages(Packages.Settings(**settings)).observe()  # type: ignore[arg-type]
    assert caught.value.code == "D225"


def test_what_is_observed_changes_with_the_lists(tmp_path: Path) -> None:
    first = scanner(tmp_path).observe()
    assert scanner(tmp_path).observe() == first
    (tmp_path / "index.txt").write_text("# ours\nnpm:left-pad\nacme-lib  # everywhere\n")
    more = scanner(tmp_path, index=str(tmp_path / "index.txt"), modules=("com.acme",))
    assert more.observe() != first
    assert list(more.scan("import a from 'left-pad';\nimport b from 'acme-lib';\n", "javascript")) == []
    assert list(more.scan("import com.acme.x.Y;\n", "java")) == []
    assert [item.rule for item in more.scan("import left_pad\n", "python")] == [UNKNOWN]


def test_what_is_installed_can_be_known() -> None:
    here = Packages(Packages.Settings(installed=True))
    assert (
        list(here.scan("import pytest, hypothesis\nfrom PIL import Image\nimport yaml\nimport tree_sitter\n", "python"))
        == []
    )
    assert [item.rule for item in here.scan("import pytestt_zz\n", "python")] == [UNKNOWN]


def test_the_self_test_names_a_rule_that_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._SAMPLES, TYPO, ("import requests\n", "python"))
    assert Packages().self_test() == [TYPO]


def test_a_text_too_deep_for_the_parser_is_inconclusive(tmp_path: Path) -> None:
    ((finding,),) = scanner(tmp_path).scan_many([Text("(" * 3000, "python")])
    assert finding.rule == INCONCLUSIVE


# --- real projects


def _project(name: str) -> tuple[Packages, list[Path]]:
    """A scanner that knows what an installed distribution declares, and the distribution's files."""
    found = importlib.metadata.distribution(name)
    known = [match[0] for item in found.requires or () if (match := re.match(r"[\w.-]+", item))]
    files = [Path(str(found.locate_file(file))) for file in found.files or () if str(file).endswith(".py")]
    top = {file.parts[0].removesuffix(".py") for file in found.files or ()}
    made = Packages(Packages.Settings(modules=(*sorted(top), *known)))
    return made, sorted(file for file in files if "test" not in str(file))


@pytest.mark.parametrize("name", ["pydantic", "click", "jinja2", "hypothesis", "pyyaml"])
def test_a_distribution_knows_its_own_imports_and_invented_ones_are_found(name: str) -> None:
    """Measured over all distributions of an environment: what is left are optional packages that they do not declare."""
    made, files = _project(name)
    texts = [file.read_text(encoding="utf-8") for file in files]
    found = [[item for item in made.scan(text, "python") if item.confidence != "low"] for text in texts]
    assert sum(map(bool, found)) <= len(files) * 0.15 + 1
    source = random.Random(3)
    for place, text in enumerate(texts):
        invented = "zq" + "".join(source.choice("bcdfghjklmnp") for _ in range(9))
        told = [item for item in made.scan(f"import {invented}\n{text}", "python") if invented in item.message]
        assert [(item.rule, item.line) for item in told] == [(UNKNOWN, 1)], files[place]


def test_speed_and_large_lists() -> None:
    source = random.Random(4)
    names = [
        "".join(source.choice("abcdefghijklmnopqrstuvwxyz-") for _ in range(source.randint(5, 18)))
        for _ in range(50_000)
    ]
    known = Known({"pypi": names}, {})
    known.nearest(imports("pypi", "warm"))
    started = time.process_time()
    for place in range(20):
        assert known.nearest(imports("pypi", names[place][:-1] + "0")) or len(names[place]) < 6
    assert time.process_time() - started < 2 * pace()  # some 2 ms each
    folder = Path(sysconfig.get_paths()["purelib"])
    texts = [path.read_text(encoding="utf-8") for path in sorted((folder / "pydantic").glob("*.py"))]
    trees = [parse("python", text.encode()) for text in texts]
    started = time.process_time()
    for tree in trees:
        uses("python", tree)
    assert (time.process_time() - started) / len(trees) < 0.02 * pace()  # some 0.4 ms a file


@pytest.mark.parametrize(
    "text",
    ["\\\n" * 100_000 + "install ", "pip install " + "a " * 100_000, "pip install " * 20_000, "\\" * 200_000 + " install x",
     "RUN " + "sudo -a " * 50_000 + "install ", "a==1\n" * 50_000, '{"dependencies": {' + '"a": 1,' * 50_000],
)  # fmt: skip
def test_texts_made_to_be_slow_are_not(text: str) -> None:
    started = time.process_time()
    installs(text)
    assert time.process_time() - started < 3 * pace()
