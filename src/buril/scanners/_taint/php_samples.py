"""A planted sample of each harm in PHP, for the self-test."""

from __future__ import annotations

from typing import Final

_GET: Final = "<?php\n$x = $_GET['x'];\n"
SAMPLES: Final[dict[str, str]] = {
    "command": _GET + "system('ls ' . $x);\n",
    "code": _GET + "eval($x);\n",
    "include": _GET + "include 'pages/' . $x;\n",
    "sql": _GET + "mysqli_query($db, \"select a from b where c = '$x'\");\n",  # noqa: S608  a sample
    "path": _GET + "readfile('/data/' . $x);\n",
    "xss": _GET + "?>\n<p><?= $x ?></p>\n",
    "ssrf": _GET + "curl_init($x);\n",
    "redirect": _GET + "header('Location: ' . $x);\n",
    "deserialisation": _GET + "unserialize($x);\n",
    "template": _GET + "$twig->createTemplate($x);\n",
    "ldap": _GET + "ldap_search($c, 'dc=a', \"(uid=$x)\");\n",
    "xpath": _GET + "$xml->xpath(\"//a[b='$x']\");\n",
    "no-certificate-check": "<?php\ncurl_setopt($c, CURLOPT_SSL_VERIFYPEER, false);\n",
    "external-entities": "<?php\n$d->loadXML($x, LIBXML_NOENT);\n",
    "weak-hash": "<?php\n$token = md5($a);\n",
}  # fmt: skip
