"""A machine without programs: what a function starts is written down, and answered by a table.

The sandbox holds no shell, and a real one would do what an attack says. So a driver puts its own in the place of
`subprocess.Popen`, `os.system` and `os.popen`. It reads a line as a shell does (quotes, escapes, command substitution,
what ends a command) and notes every program that would run. It knows no variables, globs or here-documents.
"""

SHELL = """
def buril_commands(line):
    found, words, word, quote, place = [], [], None, "", 0

    def ended():
        nonlocal word
        if word is not None:
            words.append(word)
        word = None

    while place < len(line):
        sign = line[place]
        if quote == "'":
            quote, word = ("", word) if sign == "'" else (quote, word + sign)
        elif sign == "\\\\" and place + 1 < len(line):
            place += 1
            word = (word or "") + line[place]
        elif sign == "`" or line.startswith("$(", place):
            start = place + (1 if sign == "`" else 2)
            end = line.find("`" if sign == "`" else ")", start)
            end = len(line) if end < 0 else end
            found += buril_commands(line[start:end])
            place = end
        elif quote:
            quote, word = ("", word) if sign == quote else (quote, word + sign)
        elif sign in "'\\"":
            quote, word = sign, word or ""
        elif sign in " \\t<>":
            ended()
        elif sign in ";&|\\n()":
            ended()
            if words:
                found.append(words)
            words = []
        else:
            word = (word or "") + sign
        place += 1
    ended()
    return found + ([words] if words else [])


def buril_answer(words):
    table = {
        "/srv/data": "4.0K\\t/srv/data\\n", "/srv/more": "12M\\t/srv/more\\n",
        "a.txt": "3 a.txt\\n", "b.txt": "41 b.txt\\n",
    }
    program = words[0].rpartition("/")[2]
    if program == "ping":
        return (0, "1 packets transmitted, 1 received\\n") if "db.example.org" in words[1:] else (1, "")
    if program in ("du", "wc"):
        return next(((0, table[word]) for word in words[1:] if word in table), (1, ""))
    return (0, "") if program in ("touch", "echo", "cat", "sh", "true") else (127, "")


def buril_shell(attack, function, *args):
    import io, os, subprocess
    ran = []

    def started(words):
        ran.append(words[0].rpartition("/")[2])
        return buril_answer(words)

    def run(line):
        done = [started(words) for words in buril_commands(line)] or [(0, "")]
        return done[-1][0], "".join(out for _code, out in done)

    class Popen:
        def __init__(self, args, *_rest, shell=False, stdout=None, stderr=None, **more):
            if shell:
                code, out = run(args if isinstance(args, str) else args[0])
            else:
                words = [args] if isinstance(args, (str, os.PathLike)) else list(args)
                words = [os.fspath(word) for word in words]
                if words[0].rpartition("/")[2] in ("sh", "bash") and "-c" in words:
                    code, out = run(words[words.index("-c") + 1])
                else:
                    code, out = started(words)
                    if code == 127:
                        raise FileNotFoundError(2, "No such file or directory", words[0])
            text = any(more.get(name) for name in ("text", "universal_newlines", "encoding", "errors"))
            self.args, self.returncode, self.pid = args, code, 4242
            self._out = (out if text else out.encode()) if stdout == subprocess.PIPE else None
            self._err = ("" if text else b"") if stderr == subprocess.PIPE else None
            kind = io.StringIO if text else io.BytesIO
            self.stdout = None if self._out is None else kind(self._out)
            self.stderr = None if self._err is None else kind(self._err)
            self.stdin = None

        def communicate(self, input=None, timeout=None):
            return self._out, self._err

        def wait(self, timeout=None):
            return self.returncode

        poll = kill = terminate = wait

        def __enter__(self):
            return self

        def __exit__(self, *problem):
            pass

    subprocess.Popen, os.system = Popen, lambda line: run(line)[0] << 8
    os.popen = lambda line, *_more: io.StringIO(run(line)[1])
    try:
        value = function(*args)
    except Exception:
        if not attack:
            raise
    return "touch" in ran if attack else value
"""
"""A driver's own shell: `buril_shell(attack, function, *args)` gives the function's value, or whether `touch` ran."""
