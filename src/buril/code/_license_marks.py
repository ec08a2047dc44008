"""What tells licence texts apart: for each, the turns of phrase it must show and those it must not.

Phrases are in the form that `license.words` gives: lower case, letters and digits only, one space between words.
They are facts about the texts, chosen to be short; no licence text is kept here.
"""

from __future__ import annotations

from typing import NamedTuple


class Mark(NamedTuple):
    """`need`: every phrase occurs, the first one says where the licence begins; `none`: no phrase occurs.

    Only the `span` characters after the beginning count (and `BEFORE` before it), so that in a bundle of licences one
    is not taken for the twist of another. None: to the end of the text.
    """

    license: str
    need: tuple[str, ...]
    none: tuple[str, ...] = ()
    span: int | None = None


BEFORE = 120
"""How many characters before a licence's first phrase still belong to it (its title)."""


_MIT_GRANT = "permission is hereby granted free of charge to any person obtaining a copy of"
_MIT_BODY = "to deal in the software without restriction"
_MIT_TWISTS = (
    "or otherwise to promote the sale use or other dealings",
    "acknowledg",
    "shall be used for good",
    "redistributions of source code",
    "non commercial",
    "in all copies of the software its documentation and",
    "both the above copyright notice s and this permission notice appear",
    "all redistributions must retain",
    "for such use to be subject to",
    "this license does not grant",
    "substantially alter remove or disable",
    "shall not include source code",
    "shall be governed",
    "is asked to send",
    "training",
    "may not be used",
    "except as contained in this notice",
)
_BSD = ("redistribution and use in source and binary forms",)
_BSD_KEEP = (
    "with or without modification are permitted",
    "redistributions of source code must retain",
    "redistributions in binary form must reproduce",
)
_BSD_TWISTS = (
    "nuclear",
    "no express or implied licenses to any party s patent rights",
    "patent license",
    "bug fixes",
    "php license",
    "may not be called",
    "end user documentation included with the redistribution",
    "the following acknowledgment",
    "redistributions of any form whatsoever",
    "military",
    "must prominently",
    "open source initiative",
    "anti spam",
    "except by persons who have paid",
    "must be accompanied by",
    "modified versions must",
    "shall be governed by",
    "are permitted for non commercial",
    "not for profit",
    "cryptographic software written by",
    "altered source versions",
    "subject to the limitations in the disclaimer below",
    "author s prior",
    "terminate automatically",
    "sendmail",
    "must be clearly indicated",
    "substantially similar",
    "export",
    "without warranty express or implied",
)
_ADVERTISING = "all advertising materials mentioning"
_ENDORSE = "endorse or promote"
_ISC_USE = "distribute this software for any purpose with or without fee is hereby granted"
_ISC_GRANT = f"permission to use copy modify and or {_ISC_USE}"
_ISC_KEEP = "provided that the above copyright notice and this permission notice appear in all copies"
_HPND_GRANT = "this software and its documentation for any purpose and without fee is hereby granted"

MARKS: tuple[Mark, ...] = (
    Mark("MIT", (_MIT_GRANT, _MIT_BODY, "the above copyright notice and this permission notice"), _MIT_TWISTS, 1100),
    Mark(
        "MIT-0",
        (_MIT_GRANT, _MIT_BODY, "the software is provided as is"),
        (*_MIT_TWISTS, "permission notice", "copyright notice", "whatsoever"),
        800,
    ),
    Mark(
        "X11",
        (
            _MIT_GRANT,
            "or otherwise to promote the sale use or other dealings in this software without prior written"
            " authorization",
            "x consortium",
        ),
        ("open group", "xfree86"),
        1500,
    ),
    Mark(
        "NCSA",
        (
            _MIT_GRANT,
            "deal with the software without restriction",
            "redistributions of source code must retain",
            "neither the name",
        ),
        (),
        1700,
    ),
    Mark(
        "Apache-2.0",
        ("apache license version 2 0 january 2004", "grant of patent license", "submission of contributions"),
    ),
    Mark(
        "Apache-2.0",
        ("licensed under the apache license version 2 0", "may not use this file except in compliance"),
        ("grant of patent license", "functional source license"),
    ),
    Mark(
        "BSD-2-Clause",
        (*_BSD, *_BSD_KEEP),
        (*_BSD_TWISTS, _ADVERTISING, _ENDORSE, "neither the name", "views and conclusions", "must display"),
        1500,
    ),
    Mark(
        "BSD-2-Clause-Views", (*_BSD, *_BSD_KEEP, "views and conclusions"), (*_BSD_TWISTS, _ADVERTISING, _ENDORSE), 1500
    ),
    Mark(
        "BSD-3-Clause", (*_BSD, *_BSD_KEEP, _ENDORSE), (*_BSD_TWISTS, _ADVERTISING, "acknowledg", "must display"), 1700
    ),
    Mark("Sleepycat", (*_BSD, *_BSD_KEEP, "information on how to obtain complete source code"), (), 1700),
    Mark(
        "BSD-4-Clause",
        (*_BSD, *_BSD_KEEP, _ADVERTISING, _ENDORSE),
        (*_BSD_TWISTS, "university of california", "shortened"),
        1800,
    ),
    Mark("ISC", (f"{_ISC_GRANT} {_ISC_KEEP}",), (), 800),
    Mark(
        "ISC",
        (f"permission to use copy modify and {_ISC_USE} {_ISC_KEEP}",),
        ("advertising", "internet software consortium", "supporting documentation", "all copies of the software"),
        800,
    ),
    Mark("0BSD", (_ISC_GRANT, "the author disclaims all warranties"), (_ISC_GRANT + " provided",), 700),
    Mark(
        "Zlib",
        (
            "the origin of this software must not be misrepresented",
            "altered source versions must be plainly marked",
            "this notice may not be removed or altered from any source",
        ),
        ("is required", "redistributions", "relicensed", "laws of"),
        700,
    ),
    Mark(
        "Unlicense",
        (
            "this is free and unencumbered software released into the public domain",
            "anyone is free to copy modify publish use compile sell or distribute",
        ),
    ),
    Mark("CC0-1.0", ("affirmer hereby overtly fully permanently irrevocably and unconditionally waives", "cc0")),
    Mark("WTFPL", ("do what the fuck you want to public license", "you just do what the fuck you want to")),
    Mark(
        "BSL-1.0",
        ("boost software license version 1 0", "must be included in all copies of the software in whole or in part"),
    ),
    Mark(
        "PSF-2.0",
        ("python software foundation psf and the individual or organization", "nonexclusive royalty free"),
        ("beopen",),
    ),
    Mark(
        "Python-2.0",
        (
            "python software foundation psf and the individual or organization",
            "beopen python open source license agreement version 1",
        ),
    ),
    Mark("MPL-1.1", ("mozilla public license version 1 1 1 definitions", "initial developer", "covered code")),
    Mark(
        "MPL-1.1",
        ("contents of this file are subject to the mozilla public license version 1 1",),
        ("covered code means",),
    ),
    Mark("MPL-2.0", ("mozilla public license version 2 0", "larger work", "secondary license")),
    Mark(
        "MPL-2.0",
        ("subject to the terms of the mozilla public license v 2 0",),
        ("exhibit b", "incompatible with secondary licenses"),
    ),
    Mark("EPL-1.0", ("eclipse public license v 1 0", "commercial distribution")),
    Mark("EPL-2.0", ("eclipse public license v 2 0", "secondary license")),
    Mark("Artistic-2.0", ("artistic license 2 0", "standard version", "aggregat")),
    Mark("CDDL-1.0", ("common development and distribution license cddl version 1 0", "covered software")),
    Mark("CDDL-1.1", ("common development and distribution license cddl version 1 1", "covered software")),
    Mark("EUPL-1.2", ("european union public licence v 1 2", "the licensor")),
    Mark(
        "HPND",
        (
            f"permission to use copy modify and distribute {_HPND_GRANT}",
            "appear in supporting documentation",
            "advertising or publicity",
        ),
        ("distribute and sell", "export", "modified versions", "lucent", "symbolics", "digital equipment"),
        1100,
    ),
    Mark(
        "Ruby",
        (
            "you may make and give away verbatim copies of the source form of the software without restriction",
            "you may modify your copy of the software in any way provided that you do at least one of the following",
        ),
    ),
    Mark("PHP-3.01", ("the php license version 3 01", "products derived from this software may not be called php")),
    Mark(
        "CC-BY-4.0",
        ("attribution 4 0 international", "licensed material", "adapted material"),
        ("noncommercial", "noderivatives", "sharealike"),
    ),
    Mark(
        "CC-BY-SA-4.0",
        ("attribution sharealike 4 0 international", "licensed material", "adapted material"),
        ("noncommercial 4 0", "attribution noncommercial", "noderivatives"),
    ),
    Mark("OFL-1.1", ("sil open font license version 1 1", "reserved font name")),
    Mark("BUSL-1.1", ("business source license 1 1", "change date", "additional use grant")),
    Mark("SSPL-1.0", ("server side public license version 1", "to propagate a work means")),
    Mark("FSL-1.1-ALv2", ("functional source license version 1 1 alv2", "competing use")),
    Mark("FSL-1.1-ALv2", ("functional source license version 1 1 apache 2 0 future license", "competing use")),
    Mark("FSL-1.1-MIT", ("functional source license version 1 1 mit", "competing use")),
    Mark("Elastic-2.0", ("elastic license 2 0", "hosted or managed service")),
)

GNU_TEXTS: tuple[tuple[str, str, str], ...] = (
    ("AGPL-3.0", "gnu affero general public license version 3 19 november 2007", "remote network interaction"),
    ("LGPL-3.0", "gnu lesser general public license version 3 29 june 2007", "this version of the gnu lesser"),
    ("LGPL-2.1", "gnu lesser general public license version 2 1 february 1999", "work that uses the library"),
    ("LGPL-2.0", "gnu library general public license version 2 june 1991", "work that uses the library"),
    ("GPL-3.0", "gnu general public license version 3 29 june 2007", "to propagate a work means"),
    (
        "GPL-2.0",
        "gnu general public license version 2 june 1991",
        "not covered by this license they are outside its scope",
    ),
    ("GPL-1.0", "gnu general public license version 1 february 1989", "mere aggregation"),
)
"""Family and version, how its text begins, a phrase of its body."""

PROPRIETARY: tuple[str, ...] = (
    "unauthorized copying of this",
    "proprietary and confidential",
    "confidential and proprietary",
    "strictly prohibited without the prior written",
    "this software is proprietary",
    "proprietary software license",
)
"""Phrases of texts that reserve all rights."""

EXCEPTIONS: tuple[tuple[str, str, str], ...] = (
    ("Apache-2.0", "LLVM-exception", "llvm exceptions to the apache 2 0 license"),
    ("GPL-2.0", "Classpath-exception-2.0", "linking this library statically or dynamically with other modules"),
    ("GPL-2.0", "eCos-exception-2.0", "as a special exception if other files instantiate templates or use macros"),
    ("GPL-3.0", "GCC-exception-3.1", "gcc runtime library exception version 3 1"),
)
"""Licence, SPDX exception, phrase that shows it."""

COVERS: dict[str, tuple[str, ...]] = {
    "Python-2.0": ("PSF-2.0", "HPND"),
    "X11": ("MIT",),
    "NCSA": ("MIT",),
    "FSL-1.1-ALv2": ("Apache-2.0",),
    "FSL-1.1-MIT": ("MIT",),
    "Sleepycat": ("BSD-3-Clause", "BSD-2-Clause"),
}
"""Licences whose text holds the text of others as its own parts."""

CONDITIONS: tuple[tuple[str, str], ...] = (
    ("commons clause license condition", "LicenseRef-Commons-Clause"),
    ("commons clause restriction", "LicenseRef-Commons-Clause"),
)
"""Conditions laid on top of a licence, which anyone who allows the licence alone must not overlook."""

NAMES: dict[str, str] = {
    "mit": "MIT",
    "expat": "MIT",
    "mit x11": "MIT",
    "mit no attribution license mit 0": "MIT-0",
    "mit 0": "MIT-0",
    "apache 2": "Apache-2.0",
    "apache 2 0": "Apache-2.0",
    "apache version 2 0": "Apache-2.0",
    "apache v2": "Apache-2.0",
    "apache v2 0": "Apache-2.0",
    "apache software 2 0": "Apache-2.0",
    "apache software version 2 0": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apache2 0": "Apache-2.0",
    "asl 2 0": "Apache-2.0",
    "al2": "Apache-2.0",
    "bsd 2 clause": "BSD-2-Clause",
    "2 clause bsd": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "freebsd": "BSD-2-Clause",
    "bsd 2": "BSD-2-Clause",
    "bsd 2 clause simplified": "BSD-2-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "3 clause bsd": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "revised bsd": "BSD-3-Clause",
    "bsd 3": "BSD-3-Clause",
    "bsd3": "BSD-3-Clause",
    "bsd new": "BSD-3-Clause",
    "bsd 3 clause new or revised": "BSD-3-Clause",
    "bsd 3 clauses": "BSD-3-Clause",
    "isc": "ISC",
    "isc iscl": "ISC",
    "iscl": "ISC",
    "zlib": "Zlib",
    "zlib libpng": "Zlib",
    "unlicense": "Unlicense",
    "unlicense unlicense": "Unlicense",
    "cc0": "CC0-1.0",
    "cc0 1 0": "CC0-1.0",
    "cc0 1 0 universal": "CC0-1.0",
    "cc0 1 0 universal cc0 1 0 public domain dedication": "CC0-1.0",
    "boost 1 0": "BSL-1.0",
    "boost software 1 0": "BSL-1.0",
    "boost software 1 0 bsl 1 0": "BSL-1.0",
    "psf": "PSF-2.0",
    "python software foundation": "PSF-2.0",
    "psfl": "PSF-2.0",
    "psf 2": "PSF-2.0",
    "mpl 1 1": "MPL-1.1",
    "mozilla public 1 1 mpl 1 1": "MPL-1.1",
    "mozilla public 1 1": "MPL-1.1",
    "mpl 2": "MPL-2.0",
    "mpl 2 0": "MPL-2.0",
    "mplv2": "MPL-2.0",
    "mpl v2": "MPL-2.0",
    "mozilla public 2 0": "MPL-2.0",
    "mozilla public 2 0 mpl 2 0": "MPL-2.0",
    "mozilla public version 2 0": "MPL-2.0",
    "epl 1 0": "EPL-1.0",
    "eclipse public 1 0 epl 1 0": "EPL-1.0",
    "eclipse public 1 0": "EPL-1.0",
    "epl 2 0": "EPL-2.0",
    "eclipse public 2 0 epl 2 0": "EPL-2.0",
    "eclipse public 2 0": "EPL-2.0",
    "eupl 1 2": "EUPL-1.2",
    "european union public licence 1 2 eupl 1 2": "EUPL-1.2",
    "artistic 2 0": "Artistic-2.0",
    "cddl 1 0": "CDDL-1.0",
    "ncsa": "NCSA",
    "university of illinois ncsa open source": "NCSA",
    "historical permission notice and disclaimer hpnd": "HPND",
    "wtfpl": "WTFPL",
    "universal permissive upl": "UPL-1.0",
    "blue oak model 1 0 0": "BlueOak-1.0.0",
    "other proprietary": "LicenseRef-Proprietary",
    "proprietary": "LicenseRef-Proprietary",
    "commercial": "LicenseRef-Proprietary",
    "internal": "LicenseRef-internal",
}
"""Names that people write, in the form `license.words` gives without "the", "license" and "licence" → SPDX."""

GNU_NAMES: dict[str, str] = {
    "gpl": "GPL",
    "gnu gpl": "GPL",
    "gnu general public": "GPL",
    "lgpl": "LGPL",
    "gnu lgpl": "LGPL",
    "gnu lesser general public": "LGPL",
    "gnu library or lesser general public": "LGPL",
    "agpl": "AGPL",
    "gnu agpl": "AGPL",
    "gnu affero general public": "AGPL",
}
"""Families of the GNU licences; a name without its version stays unknown."""
