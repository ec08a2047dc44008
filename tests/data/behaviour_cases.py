"""Weak functions, each with fixes that keep what it does and fixes that do not: what the prover has to tell apart."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    cwe: str
    weak: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def _with(head: str, *bodies: str) -> tuple[str, ...]:
    return tuple(f"{head}{body}" for body in bodies)


_ROWS = 'import sqlite3\n\n\ndef rows(db, city):\n    """Rows of a city."""\n'
_SIZE = "import os\n\n\ndef size(root, name):\n"
_PAGE = "import html\n\n\ndef greeting(name, place):\n"
_RUN = "import subprocess\n\n\ndef pack(target, name):\n"
_LOAD = "import json\nimport pickle\n\n\ndef load(data):\n"
_READ = "import ast\n\n\ndef value(text):\n"
_SUM = "import hashlib\n\n\ndef checksum(path):\n"
_GO = "from urllib.parse import urlparse\n\nfrom flask import redirect, request\n\n\ndef go_on():\n"
_CODE = "import random\nimport secrets\n\n\ndef code(letters):\n"
_LOG = "def keep(path, terms):\n    with open(path, 'a') as stream:\n"

CASES = (
    Case(
        "CWE-89",
        _ROWS + "    return db.execute(f\"SELECT * FROM shops WHERE city = '{city}'\").fetchall()\n",
        _with(
            _ROWS,
            '    return db.execute("SELECT * FROM shops WHERE city = ?", (city,)).fetchall()\n',
            '    cursor = db.cursor()\n    cursor.execute("SELECT * FROM shops WHERE city = :city", {"city": city})\n    return cursor.fetchall()\n',
            '    query = "SELECT * FROM shops WHERE city = ?"\n    return [row for row in db.execute(query, [city])]\n',
        ),
        _with(
            _ROWS,
            '    return db.execute("SELECT * FROM shops WHERE city = ?", (city,)).fetchone()\n',  # one row
            '    return db.execute("SELECT * FROM shops WHERE city <> ?", (city,)).fetchall()\n',  # the others
            '    return db.execute("SELECT id FROM shops WHERE city = ?", (city,)).fetchall()\n',  # a column
        ),
    ),
    Case(
        "CWE-22",
        _SIZE + "    return os.path.getsize(os.path.join(root, name))\n",
        _with(
            _SIZE,
            "    base = os.path.realpath(root)\n    path = os.path.realpath(os.path.join(base, name))\n    if not path.startswith(base + os.sep):\n        raise ValueError('outside')\n    return os.path.getsize(path)\n",
            "    base = os.path.abspath(root)\n    path = os.path.abspath(os.path.join(base, name))\n    if os.path.commonpath([base, path]) != base:\n        raise PermissionError('outside')\n    return os.path.getsize(path)\n",
            "    if os.path.isabs(name) or '..' in name.split('/'):\n        raise ValueError('outside')\n    return os.path.getsize(os.path.join(root, name))\n",
        ),
        _with(
            _SIZE,
            "    base = os.path.realpath(root)\n    path = os.path.realpath(os.path.join(base, name))\n    if not path.startswith(base + os.sep):\n        raise ValueError('outside')\n    return os.path.exists(path)\n",
            "    base = os.path.realpath(root)\n    path = os.path.realpath(os.path.join(base, name))\n    if not path.endswith(base + os.sep):\n        raise ValueError('outside')\n    return os.path.getsize(path)\n",
            "    if '.' in name:\n        return None\n    return os.path.getsize(os.path.join(root, name))\n",
        ),
    ),
    Case(
        "CWE-79",
        _PAGE + '    return f"<p>{name} of {place}</p>"\n',
        _with(
            _PAGE,
            '    return f"<p>{html.escape(name)} of {html.escape(place)}</p>"\n',
            '    return "<p>{} of {}</p>".format(html.escape(str(name)), html.escape(str(place)))\n',
            '    name, place = html.escape(name), html.escape(place)\n    return "<p>" + name + " of " + place + "</p>"\n',
        ),
        _with(
            _PAGE,
            '    return f"<p>{html.escape(name)} of {html.escape(name)}</p>"\n',
            '    return f"<p>{html.escape(name)}</p>"\n',
            '    return f"{html.escape(name)} of {html.escape(place)}"\n',
        ),
    ),
    Case(
        "CWE-78",
        _RUN + '    return subprocess.run(f"tar cf {target} {name}", shell=True).returncode == 0\n',
        _with(
            _RUN,
            '    return subprocess.run(["tar", "cf", target, name]).returncode == 0\n',
            '    return subprocess.call(["tar", "cf", target, "--", name]) == 0\n',
            '    import shlex\n\n    return subprocess.run(f"tar cf {shlex.quote(target)} {shlex.quote(name)}", shell=True).returncode == 0\n',
        ),
        _with(
            _RUN,
            '    return subprocess.run(["tar", "cf", name, target]).returncode == 0\n',
            '    return subprocess.run(["tar", "cf", target, name]).returncode\n',
            '    return subprocess.run(["tar", "xf", target, name]).returncode == 0\n',
        ),
    ),
    Case(
        "CWE-502",
        _LOAD + "    return pickle.loads(data)\n",
        _with(
            _LOAD,
            "    return json.loads(data)\n",
            "    return json.loads(data.decode('utf-8'))\n",
            "    found = json.loads(data)\n    return found\n",
        ),
        _with(
            _LOAD,
            "    return json.loads(data).get('name')\n",
            "    return list(json.loads(data))\n",
            "    try:\n        return dict(json.loads(data), safe=True)\n    except ValueError:\n        return None\n",
        ),
    ),
    Case(
        "CWE-95",
        _READ + "    return eval(text)\n",
        _with(
            _READ,
            "    return ast.literal_eval(text)\n",
            "    return ast.literal_eval(text.strip())\n",
            "    tree = ast.parse(text, mode='eval')\n    return ast.literal_eval(tree)\n",
        ),
        _with(
            _READ,
            "    return str(ast.literal_eval(text))\n",
            "    return ast.parse(text)\n",
            "    return ast.literal_eval(f'[{text}]')\n",
        ),
    ),
    Case(
        "CWE-328",
        _SUM + "    with open(path, 'rb') as stream:\n        return hashlib.md5(stream.read()).hexdigest()\n",
        _with(
            _SUM,
            "    with open(path, 'rb') as stream:\n        return hashlib.sha256(stream.read()).hexdigest()\n",
            "    digest = hashlib.sha512()\n    with open(path, 'rb') as stream:\n        digest.update(stream.read())\n    return digest.hexdigest()\n",
            "    with open(path, 'rb') as stream:\n        return hashlib.new('sha3_256', stream.read()).hexdigest()\n",
        ),
        (),
    ),
    Case(
        "CWE-601",
        _GO + '    return redirect(request.args.get("next", "/"))\n',
        _with(
            _GO,
            '    goal = request.args.get("next", "/")\n    parts = urlparse(goal.replace("\\\\", "/"))\n    if parts.scheme or parts.netloc:\n        return redirect("/")\n    return redirect(goal)\n',
            '    goal = request.args.get("next", "/")\n    if goal[:1] != "/" or goal[1:2] in ("/", "\\\\"):\n        goal = "/"\n    return redirect(goal)\n',
            '    goal = request.args.get("next", "/").replace("\\\\", "/")\n    return redirect(goal if not urlparse(goal).netloc else "/")\n',
        ),
        _with(
            _GO,
            '    return redirect("/")\n',
            '    return urlparse(request.args.get("next", "/")).path\n',
            '    return redirect(urlparse(request.args.get("next", "/")).path + "/")\n',
        ),
    ),
    Case(
        "CWE-338",
        _CODE + "    return ''.join(random.choice(letters) for _ in range(8))\n",
        _with(
            _CODE,
            "    return ''.join(secrets.choice(letters) for _ in range(8))\n",
            "    return ''.join([secrets.choice(letters) for _place in range(8)])\n",
            "    chosen = [secrets.choice(letters) for _ in range(8)]\n    return ''.join(chosen)\n",
        ),
        (),
    ),
    Case(
        "CWE-117",
        _LOG + "        for term in terms:\n            stream.write(f'{term}\\n')\n    return len(terms)\n",
        _with(
            _LOG,
            "        for term in terms:\n            stream.write(term.replace('\\r', ' ').replace('\\n', ' ') + '\\n')\n    return len(terms)\n",
            "        for term in terms:\n            stream.write(' '.join(term.splitlines()) + '\\n')\n    return len(terms)\n",
            "        for term in terms:\n            stream.write(term.encode('unicode_escape').decode('ascii') + '\\n')\n    return len(terms)\n",
        ),
        (),
    ),
)  # fmt: skip

MORE_WRONG: tuple[tuple[str, str, str], ...] = (
    # it swallows an error of its own
    (
        "CWE-22",
        "import os\n\n\ndef remove(root, name):\n    path = os.path.join(root, name)\n    if name.startswith('n'):\n        raise KeyError(name)\n    os.remove(path)\n",
        "import os\n\n\ndef remove(root, name):\n    path = os.path.join(root, os.path.basename(name))\n    if name.startswith('n'):\n        return\n    os.remove(path)\n",
    ),
    # it removes nothing
    (
        "CWE-22",
        "import os\n\n\ndef remove(root, name):\n    os.remove(os.path.join(root, name))\n",
        "import os\n\n\ndef remove(root, name):\n    path = os.path.realpath(os.path.join(root, name))\n    if not path.startswith(os.path.realpath(root)):\n        os.remove(path)\n",
    ),
    # it prints something else
    (
        "CWE-79",
        "import html\n\n\ndef show(name):\n    print(f'<b>{name}</b>')\n",
        "import html\n\n\ndef show(name):\n    print(f'<i>{html.escape(name)}</i>')\n",
    ),
    # it prints nothing
    ("CWE-79", "import html\n\n\ndef show(name):\n    print(f'<b>{name}</b>')\n", "import html\n\n\ndef show(name):\n    return f'<b>{html.escape(name)}</b>'\n"),
    # a name that is not imported
    ("CWE-79", "import os\n\n\ndef show(name):\n    return f'<b>{name}</b>'\n", "import os\n\n\ndef show(name):\n    return f'<b>{html.escape(name)}</b>'\n"),
    # an update of every row
    (
        "CWE-89",
        "def rename(db, number, title):\n    db.execute(f\"UPDATE films SET title = '{title}' WHERE id = {number}\")\n",
        "def rename(db, number, title):\n    db.execute('UPDATE films SET title = ?', (title,))\n",
    ),
    # parameters in the wrong places
    (
        "CWE-89",
        "def rename(db, number, title):\n    db.execute(f\"UPDATE films SET title = '{title}' WHERE id = {number}\")\n",
        "def rename(db, number, title):\n    db.execute('UPDATE films SET title = ? WHERE id = ?', (number, title))\n",
    ),
    # what was returned is not
    (
        "CWE-89",
        "def remove(db, owner):\n    return db.execute(f\"DELETE FROM carts WHERE owner = '{owner}'\").rowcount\n",
        "def remove(db, owner):\n    db.execute('DELETE FROM carts WHERE owner = ?', (owner,))\n",
    ),
    # a file that is written elsewhere
    (
        "CWE-22",
        "import os\n\n\ndef note(root, name, line):\n    with open(os.path.join(root, name), 'a') as stream:\n        stream.write(line)\n",
        "import os\n\n\ndef note(root, name, line):\n    with open(os.path.join(root, 'safe.txt'), 'a') as stream:\n        stream.write(line)\n",
    ),
    # a file that is emptied first
    (
        "CWE-22",
        "import os\n\n\ndef note(root, name, line):\n    with open(os.path.join(root, name), 'a') as stream:\n        stream.write(line)\n",
        "import os\n\n\ndef note(root, name, line):\n    with open(os.path.join(root, os.path.basename(name)), 'w') as stream:\n        stream.write(line)\n",
    ),
    # another address is asked
    (
        "CWE-295",
        "import requests\n\n\ndef fetch(url):\n    return requests.get(url, verify=False).json()\n",
        "import requests\n\n\ndef fetch(url):\n    return requests.get(url + '?safe=1').json()\n",
    ),
    # an argument is changed
    (
        "CWE-915",
        "def edit(record, title):\n    record.update({'title': title})\n    return record\n",
        "def edit(record, title):\n    record = {'title': title}\n    return record\n",
    ),
)  # fmt: skip


def rights() -> list[tuple[str, str, str]]:
    """Weakness, weak text, right fix."""
    return [(case.cwe, case.weak, text) for case in CASES for text in case.right]


def wrongs() -> list[tuple[str, str, str]]:
    """Weakness, weak text, wrong fix."""
    return [(case.cwe, case.weak, text) for case in CASES for text in case.wrong] + list(MORE_WRONG)
