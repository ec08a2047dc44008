"""Redacted code still parses: values planted in strings, comments and numbers of real snippets in many languages."""

from __future__ import annotations

import pytest

from buril.code.codefile import CodeFile
from buril.code.parse import error_bytes, parse
from buril.data.step import Numbers, Shared
from buril.data.steps.secrets import Secrets, number_of
from buril.scanners._families import FAMILIES, rules_of
from buril.scanners.secrets import Secrets as Scanner

STEP = Secrets()
SAMPLES = [rule.sample for rule in rules_of(FAMILIES) if "\n" not in rule.sample]
NUMBER = "132180000118359716"
QUOTED = ("java", "c", "python", "go")
TEMPLATES = {
    "python": 'a = """{text}"""  # {comment}\nclabe = {number}\n',
    "javascript": "// {comment}\nconst a = `{text}`; const clabe = {number};\n",
    "typescript": "// {comment}\nconst a: string = `{text}`; const clabe: number = {number};\n",
    "java": 'class A {{ // {comment}\n  String a = "{text}"; long clabe = {number}; }}\n',
    "go": "package a\n\n// {comment}\nvar a = `{text}`\nvar clabe = {number}\n",
    "c": '/* {comment} */\nconst char *a = "{text}"; long clabe = {number};\n',
    "cpp": '// {comment}\nauto a = R"({text})"; long clabe = {number};\n',
    "rust": '// {comment}\nconst A: &str = r#"{text}"#; const CLABE: u64 = {number};\n',
    "ruby": "# {comment}\na = %q<{plain}>\nclabe = {number}\n",
    "php": "<?php\n// {comment}\n$a = '{plain}'; $clabe = {number};\n",
    "csharp": '// {comment}\nclass A {{ string a = "{plain}"; long clabe = {number}; }}\n',
    "bash": "# {comment}\na='{plain}'\nclabe={number}\n",
    "kotlin": '// {comment}\nval a = """{text}"""\nval clabe = {number}\n',
    "lua": "-- {comment}\nlocal a = [[{text}]]\nlocal clabe = {number}\n",
}


def redacted(text: str, language: str) -> CodeFile:
    file = CodeFile("r", "a/x", text, language=language)
    shared = Shared(file, Numbers())
    STEP.apply(file, shared)
    shared.finish()
    return file


@pytest.mark.parametrize("language", TEMPLATES)
def test_redacted_code_parses_as_before(language: str) -> None:
    template = TEMPLATES[language]
    changed = 0
    for sample in SAMPLES:
        plain = "".join(sign for sign in sample if sign not in "\"'`<>\\#$")
        quoted = sample.replace('"', "'").replace("\\", "").replace("`", "") if language in QUOTED else sample
        values = {"text": quoted.replace("$", ""), "comment": sample.replace("*/", ""), "number": NUMBER}
        text = template.format(plain=plain, **values)
        file = redacted(text, language)
        before, after = (error_bytes(parse(language, item.encode())) for item in (text, file.content))
        assert after <= before, (sample, file.content)
        changed += file.content != text
    assert changed > 0.9 * len(SAMPLES)


@pytest.mark.parametrize("language", [language for language in TEMPLATES if language != "bash"])
def test_a_number_stays_a_number_of_its_length(language: str) -> None:
    text = TEMPLATES[language].format(text="", plain="", comment="", number=NUMBER)
    file = redacted(text, language)
    assert NUMBER not in file.content
    assert "100000000000000001" in file.content, file.content
    assert [item.placeholder for item in file.redactions] == ["<CLABE_1>"]


def test_redaction_is_stable() -> None:
    text = "\n".join(SAMPLES)
    once = redacted(text, "").content
    twice = redacted(once, "").content
    assert twice == once
    left = {span.rule for span in Scanner().spans(once.encode(), "")}
    assert not left


def test_the_same_value_has_the_same_placeholder() -> None:
    file = redacted("# 20-26756539-3, 30-50001091-2, 20-26756539-3\n", "python")
    assert file.content == "# <CUIT_1>, <CUIT_2>, <CUIT_1>\n"
    assert number_of(11, 3) == "10000000003"
