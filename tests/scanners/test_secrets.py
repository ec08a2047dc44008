"""The scanner for secrets and personal data: every rule finds its sample, real clean code stays quiet."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.scanners._families import SECRET_RULES as RULES
from buril.scanners._keywords import Keywords
from buril.scanners._rules import Rule
from buril.scanners._values import entropy
from buril.scanners.secrets import Secrets

ALL, SECRETS_ONLY = Secrets(), Secrets(Secrets.Settings(rules=("secrets",)))


def found(text: str, language: str = "python") -> list[tuple[str, str]]:
    source = text.encode()
    return [(span.rule, source[span.start : span.end].decode()) for span in ALL.spans(source, language)]


def real_files(count: int) -> list[Path]:
    folder = Path(sysconfig.get_paths()["purelib"])
    files = sorted(path for path in folder.glob("[a-p]*/*.py") if 1_000 < path.stat().st_size < 60_000)
    return random.Random(11).sample(files, min(count, len(files)))


def test_there_are_many_rules_and_each_finds_its_sample() -> None:
    assert len(RULES) >= 200
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert ALL.self_test() == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_sample_planted_in_real_code_is_found_on_its_line(rule: Rule) -> None:
    lines = real_files(1)[0].read_text(encoding="utf-8").splitlines()
    middle = len(lines) // 2
    text = "\n".join([*lines[:middle], rule.sample, *lines[middle:]])
    lines_found = {(finding.rule, finding.line) for finding in SECRETS_ONLY.scan(text, "")}
    assert any(name == rule.name and line in (middle + 1, middle + 2) for name, line in lines_found)


def test_clean_files_and_hashes_are_not_flagged() -> None:
    """Measured: 0 secrets in 300 files of installed packages, which hold many digests and UUIDs."""
    files = real_files(300)
    texts = [path.read_bytes() for path in files]
    false = [
        (path.name, span.rule)
        for path, text in zip(files, texts, strict=True)
        for span in SECRETS_ONLY.spans(text, "python")
    ]
    assert len(false) <= 2, false
    quiet = (
        'commit = "9fceb02d0ae598e95dc970b74767f19372d61af8"',
        'digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
        'job_id = "550e8400-e29b-41d4-a716-446655440000"',
        'integrity = "sha512-oM7k3pYH7tU0n1z6Yp1qX2r8s9V5w4a3b2c1d0e9f8g7h6i5j4k3l2m1n0o9p8q7=="',
    )
    assert [found(line) for line in quiet] == [[], [], [], []]


@pytest.mark.parametrize(
    "line",
    [
        'password = "changeme"',
        'password = "your-password-1"',
        'api_key = "xxxxxxxxxxxxxxxxxxxxxxxx12"',
        'token = "access_token"',
        "password = get_password(user)",
        'password = "${DB_PASSWORD}"',
        'secret = "{{ vault.secret_2 }}"',
        'aws = "AKIAIOSFODNN7EXAMPLE"',
        'url = "https://user:password@example.com/"',
        'token = "ForConditionalGeneration2"',
        'x = "-----BEGIN PRIVATE KEY-----" in text',
        'password = os.environ["DB_PASS_1"]',
        'pwd = "/home/app/run1"',
        'token = "gh" + "p_' + "aB" * 18 + '"',
        "x = 'gh" + "p_" + "aB" * 18 + "'",
    ],
)
def test_placeholders_names_and_expressions_are_no_secrets(line: str) -> None:
    assert found(line) == []


@pytest.mark.parametrize(
    ("line", "language", "value"),
    [
        ('password: str = "S3cr3t!9x"', "python", "S3cr3t!9x"),
        ('{\\"password\\": \\"S3cr3t!9x\\"}', "python", "S3cr3t!9x"),
        ("define('DB_PASSWORD', 'Zk81_q9x');", "php", "Zk81_q9x"),
        ("export DB_PASSWORD=Zk81_q9xT", "bash", "Zk81_q9xT"),
        ('url = "postgresql://admin:Zx81_kq9@db.acme-corp.io/x"', "python", "Zx81_kq9"),
        ('"Server=db;Uid=app;Pwd=k9vR2xw_1;"', "csharp", "k9vR2xw_1"),
    ],
)
def test_passwords_are_found_in_the_forms_of_many_languages(line: str, language: str, value: str) -> None:
    assert [item for _, item in found(line, language)] == [value]


def test_a_private_key_in_string_pieces_is_taken_whole() -> None:
    rows = ["Ab9/" * 16, "Zk+1" * 16, "Q8=="]
    text = (
        '"-----BEGIN RSA PRIVATE KEY-----\\n" +\n'
        + " +\n".join(f'"{row}\\n"' for row in rows)
        + '\n"-----END RSA PRIVATE KEY-----"'
    )
    ((rule, value),) = found(text, "javascript")
    assert rule == "private_key"
    assert all(row in value for row in rows)
    assert "END" not in value


def test_personal_data() -> None:
    assert found("# mail bob.smith@acme-corp.com or 91.198.174.192") == [
        ("email", "bob.smith@acme-corp.com"),
        ("ip", "91.198.174.192"),
    ]
    assert found('a = "\\nbob@acme-corp.com"') == [("email", "bob@acme-corp.com")]
    for quiet in (
        "git@github.com:a/b",
        "icon@2x.png",
        "x@example.com",
        "A@np.dot(B)",
        "@app.route",
        "10.0.0.1",
        "8.8.8.8",
        "v1.2.3.4",
        "1.3.6.1",
        "2.5.29.35",
        "1.2.3.4.5",
        "192.168.1.7",
        "300.1.200.1",
        "127.0.0.1",
    ):
        assert found(quiet) == [], quiet
    assert found("bob@acme-corp.com") and not SECRETS_ONLY.spans(b"bob@acme-corp.com 91.198.174.192", "")


def test_settings_choose_the_families() -> None:
    personal = Secrets(Secrets.Settings(rules=("personal",)))
    text = 'password = "S3cr3t!9x"  # bob@acme-corp.com'
    assert [finding.rule for finding in personal.scan(text, "python")] == ["email"]
    assert personal.self_test() == []


WORDS = (b"akia", b"ghp_", b"://", b"-----begin", b"sk-", b"password", b"pwd=")


@given(
    st.lists(st.sampled_from([*WORDS, b"AKIA", b"x", b"\n", b"pass", b"-", b"\xc3\xa9", b"PassWord"]), max_size=30).map(
        b"".join
    )
)
def test_keywords_are_found_exactly_where_a_plain_search_finds_them(source: bytes) -> None:
    lower = source.lower()
    expected = {
        word: places for word in WORDS if (places := [at for at in range(len(lower)) if lower.startswith(word, at)])
    }
    assert Keywords(WORDS).find(source) == expected


@given(st.text(alphabet="ab\n\"'=:@./- 1password://BEGIN", max_size=200))
def test_spans_never_overlap_and_stay_inside(text: str) -> None:
    source = text.encode()
    spans = ALL.spans(source, "")
    assert all(0 <= span.start < span.end <= len(source) for span in spans)
    assert all(left.end <= right.start for left, right in zip(spans, spans[1:], strict=False))


def test_entropy() -> None:
    assert entropy(b"aabb") == 1.0
    assert entropy(b"") == 0.0
