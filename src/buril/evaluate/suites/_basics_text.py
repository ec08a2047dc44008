"""Tasks about text: (prompt, solution, calls…); a call is (arguments as a tuple or one bare argument, value)."""

from __future__ import annotations

from typing import Any

TEXT: tuple[tuple[Any, ...], ...] = (
    (
        '''
def shout(text):
    """Return text in capital letters with an exclamation mark at the end."""
''',
        '    return text.upper() + "!"\n',
        ("hi", "HI!"),
        ("", "!"),
        ("Stop now", "STOP NOW!"),
        ("año", "AÑO!"),
        ("OK!", "OK!!"),
    ),
    (
        '''
def saludo(nombre):
    """Devuelve el texto "Hola, NOMBRE." con el nombre dado en lugar de NOMBRE."""
''',
        '    return "Hola, " + nombre + "."\n',
        ("Ana", "Hola, Ana."),
        ("José", "Hola, José."),
        ("", "Hola, ."),
        ("a b", "Hola, a b."),
        ("X", "Hola, X."),
    ),
    (
        '''
def count_vowels(text):
    """Return how many of the letters a, e, i, o, u are in text, small or capital."""
''',
        '    return sum(1 for letter in text.lower() if letter in "aeiou")\n',
        ("engraver", 3),
        ("", 0),
        ("XYZ", 0),
        ("AEIOU", 5),
        ("Burin tool", 4),
        ("rhythm", 0),
    ),
    (
        '''
def reads_both_ways(text):
    """Return True if text is the same read backwards, ignoring spaces and the case of letters."""
''',
        '    letters = text.replace(" ", "").lower()\n    return letters == letters[::-1]\n',
        ("Anita lava la tina", True),
        ("level", True),
        ("", True),
        ("ab", False),
        ("Was it a car", False),
        ("x", True),
    ),
    (
        '''
def reverse_words(sentence):
    """Return the words of sentence in the opposite order, separated by single spaces.

    >>> reverse_words("one two three")
    'three two one'
    """
''',
        '    return " ".join(sentence.split()[::-1])\n',
        ("one two three", "three two one"),
        ("", ""),
        ("solo", "solo"),
        ("  a   b ", "b a"),
        ("x y", "y x"),
    ),
    (
        '''
def initials(name):
    """Return the first letter of each word of name as a capital, joined: "ada lovelace" gives "AL"."""
''',
        '    return "".join(word[0].upper() for word in name.split())\n',
        ("ada lovelace", "AL"),
        ("", ""),
        ("Grace", "G"),
        ("juan de la cruz", "JDLC"),
        (" x  y ", "XY"),
    ),
    (
        '''
def contar_palabras(texto):
    """Devuelve cuántas palabras hay en el texto; las palabras se separan con espacios en blanco."""
''',
        "    return len(texto.split())\n",
        ("hola mundo", 2),
        ("", 0),
        ("  uno  dos tres ", 3),
        ("uno\ndos", 2),
        ("a", 1),
    ),
    (
        '''
def longest_word(words):
    """Return the longest string of the list words; of several equally long ones the first; "" if the list is empty."""
''',
        '    return max(words, key=len) if words else ""\n',
        (["a", "abc", "ab"], "abc"),
        ([], ""),
        (["xx", "yy"], "xx"),
        ([""], ""),
        (["uno", "cuatro", "dos"], "cuatro"),
    ),
    (
        '''
def snake_case(name):
    """Turn a name like "maxLineLength" into "max_line_length": each capital becomes "_" and the small letter."""
''',
        '    return "".join("_" + c.lower() if c.isupper() else c for c in name)\n',
        ("maxLineLength", "max_line_length"),
        ("plain", "plain"),
        ("", ""),
        ("aB", "a_b"),
        ("getX2", "get_x2"),
    ),
    (
        '''
def mask_card(number):
    """Replace all but the last four characters of the string number with "*".

    >>> mask_card("12345678")
    '****5678'
    """
''',
        '    return "*" * max(0, len(number) - 4) + number[-4:]\n',
        ("12345678", "****5678"),
        ("1234", "1234"),
        ("12", "12"),
        ("", ""),
        ("99990", "*9990"),
    ),
    (
        '''
def caesar(text, shift):
    """Move each small letter a to z by shift places in the alphabet, going round from z to a; leave the rest as it is.

    >>> caesar("xyz!", 2)
    'zab!'
    """
''',
        """
    out = ""
    for c in text:
        if "a" <= c <= "z":
            c = chr((ord(c) - ord("a") + shift) % 26 + ord("a"))
        out += c
    return out
""",
        (("xyz!", 2), "zab!"),
        (("abc", 0), "abc"),
        (("abc", -1), "zab"),
        (("", 5), ""),
        (("aZ 9", 27), "bZ 9"),
    ),
    (
        '''
def run_lengths(text):
    """Describe runs of equal characters: "aaabc" gives [("a", 3), ("b", 1), ("c", 1)]."""
''',
        """
    runs = []
    for c in text:
        if runs and runs[-1][0] == c:
            runs[-1] = (c, runs[-1][1] + 1)
        else:
            runs.append((c, 1))
    return runs
""",
        ("aaabc", [("a", 3), ("b", 1), ("c", 1)]),
        ("", []),
        ("x", [("x", 1)]),
        ("abab", [("a", 1), ("b", 1), ("a", 1), ("b", 1)]),
        ("  ", [(" ", 2)]),
    ),
    (
        '''
def file_extension(path):
    """Return what follows the last dot of path, in small letters, or "" if there is no dot."""
''',
        '    return path.rsplit(".", 1)[1].lower() if "." in path else ""\n',
        ("a.py", "py"),
        ("photo.JPG", "jpg"),
        ("Makefile", ""),
        ("a.tar.gz", "gz"),
        ("x.", ""),
    ),
    (
        '''
def balanced(text):
    """Return True if every "(" in text is closed by a later ")" and none is closed before it is opened."""
''',
        """
    depth = 0
    for c in text:
        if c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
            if depth < 0:
                return False
    return depth == 0
""",
        ("(a(b)c)", True),
        (")(", False),
        ("", True),
        ("(()", False),
        ("())", False),
        ("no", True),
    ),
    (
        '''
def parse_pairs(text):
    """Turn text like "a=1;b=2" into a dict {"a": "1", "b": "2"}; empty text gives an empty dict."""
''',
        """
    result = {}
    for part in text.split(";"):
        if part:
            key, value = part.split("=", 1)
            result[key] = value
    return result
""",
        ("a=1;b=2", {"a": "1", "b": "2"}),
        ("", {}),
        ("x=", {"x": ""}),
        ("k=v=w", {"k": "v=w"}),
        ("a=1;", {"a": "1"}),
    ),
    (
        '''
def quitar_repetidos(texto):
    """Devuelve el texto sin letras repetidas: deja solo la primera vez que aparece cada carácter."""
''',
        '    return "".join(dict.fromkeys(texto))\n',
        ("banana", "ban"),
        ("", ""),
        ("abc", "abc"),
        ("aAa", "aA"),
        ("1221", "12"),
    ),
    (
        '''
def same_letters(first, second):
    """Return True if the two words have exactly the same letters, each as often, in any order; case does not matter."""
''',
        "    return sorted(first.lower()) == sorted(second.lower())\n",
        (("Roma", "amor"), True),
        (("a", "aa"), False),
        (("", ""), True),
        (("abc", "abd"), False),
        (("Tone", "note"), True),
    ),
    (
        '''
def indent_lines(text, spaces):
    """Put the given number of spaces before each line of text; lines are separated by a line break."""
''',
        '    return "\\n".join(" " * spaces + line for line in text.split("\\n"))\n',
        (("a\nb", 2), "  a\n  b"),
        (("x", 0), "x"),
        (("x", 4), "    x"),
        (("", 1), " "),
        (("a\n", 1), " a\n "),
    ),
)
