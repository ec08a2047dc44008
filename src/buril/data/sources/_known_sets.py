"""What public data sets of code call their columns: facts of their documentation, by their names on the hub.

Sources: the data set cards of The Stack (Kocetkov et al. 2022), The Stack v2 (Lozhkov et al. 2024), CodeSearchNet
(Husain et al. 2019), The Pile (Gao et al. 2020) and github-code (CodeParrot).
"""

from __future__ import annotations

import re

from buril.data.sources._columns import Preset

_STACK = Preset(
    columns={
        "content": "content",
        "path": "max_stars_repo_path",
        "repo": "max_stars_repo_name",
        "license": "max_stars_repo_licenses",
        "language": "lang",
        "commit": "max_stars_repo_head_hexsha",
    }
)
_STACK_2 = Preset(
    columns={
        "content": "content",
        "path": "path",
        "repo": "repo_name",
        "license": "detected_licenses",
        "language": "language",
        "commit": "revision_id",
    }
)
_CODE_SEARCH_NET = Preset(
    columns={
        "content": "whole_func_string",
        "path": "func_path_in_repository",
        "repo": "repository_name",
        "language": "language",
        "commit": "func_code_url",
        "fragment": "func_code_url",
    },
    # https://github.com/OWNER/NAME/blob/COMMIT/PATH#L10-L20: one file gives many functions, each at its lines
    patterns={"commit": r"/blob/([0-9a-f]{40})/", "fragment": r"#(L\d+(?:-L\d+)?)$"},
)
_PILE = Preset(columns={"content": "text"}, where={"meta.pile_set_name": "Github"})
_GITHUB_CODE = Preset(
    columns={"content": "code", "path": "path", "repo": "repo_name", "license": "license", "language": "language"}
)
_KNOWN = (
    (r"the-stack-v2", _STACK_2),
    (r"the-stack(?!-v\d)|starcoderdata", _STACK),
    (r"code[_-]?search[_-]?net", _CODE_SEARCH_NET),
    (r"(?:^|/|the[_-])pile(?:$|[-_])", _PILE),
    (r"github-code", _GITHUB_CODE),
)


def preset_of(name: str) -> Preset:
    """What is known of a data set by its name; nothing of most."""
    return next((preset for pattern, preset in _KNOWN if re.search(pattern, name.lower())), Preset())
