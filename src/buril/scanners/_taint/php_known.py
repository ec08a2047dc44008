"""Which names PHP, or a library that the tables know, has: what comes back from any other is made in another file.

What a function of another file gives may hold what it got, or may have made it harmless: nobody can tell from here.
It is `@elsewhere`: harms that escaping prevents are not reported of it, those that it seldom prevents (code) are.
"""

from __future__ import annotations

import re
from typing import Final

from buril.scanners._taint import php_rules
from buril.scanners._taint.builtin import METHODS, RESULTS

_PASSING: Final = (
    "stripslashes stripcslashes nl2br html_entity_decode htmlspecialchars_decode urldecode rawurldecode base64_decode "
    "wordwrap chunk_split strrev str_pad strtr substr_replace sprintf vsprintf serialize var_export print_r "
    "gzuncompress "
    "gzinflate gzdecode gzcompress gzdeflate gzencode hex2bin convert_uudecode convert_uuencode "
    "quoted_printable_decode "
    "quoted_printable_encode iconv mb_substr_replace mb_strimwidth mb_decode_mimeheader current reset end next prev "
    "key "
    "each max min range compact str_split mb_str_split preg_replace preg_replace_callback preg_split preg_grep "
    "func_get_args func_get_arg array_column array_combine array_flip array_walk array_reduce array_fill array_filter "
    "array_splice array_slice array_map array_merge array_product array_rand array_replace array_intersect_assoc "
    "array_walk_recursive addcslashes quotemeta escapeshellcmd realpath dirname basename pathinfo parse_url tempnam "
    "simplexml_load_string dom_import_simplexml fread fgets fgetc fgetcsv fscanf sscanf stream_get_contents "
    "stream_get_line gzread socket_read unserialize json_decode var_dump call_user_func call_user_func_array "
    "collect str optional value tap wp_unslash stripslashes_deep wp_parse_args getClientOriginalName "
    "getClientOriginalExtension getClientFilename getContents getFilename getName getValue getData text content body "
    "getBody __toString toString getHeaders getHeaderLine getUri getPath getQuery getParameter getArgument current "
    "wp_parse_args wp_parse_url array_first "
    "ucwords lcfirst ucfirst strval list str_word_count money_format date gmdate strftime highlight_string uniqid "
    "ob_get_clean constant get_object_vars iterator_apply usort sort ksort asort rsort shuffle array_multisort "
    "mb_convert_case mb_convert_encoding utf8_encode utf8_decode mb_strtolower mb_strtoupper mb_scrub "
    "normalizer_normalize "
    "debug_zval_refcount array_key_first array_key_last data_get data_set array_get head last with rescue retry"
)


def _tables() -> list[str]:
    """The patterns of all tables but those of names that PHP does not have."""
    texts = (
        *(source.paths for source in php_rules.SOURCES), *(sink.calls for sink in php_rules.SINKS),
        *(clean.calls for clean in php_rules.CLEANS), *(calls for calls, _place in php_rules.INDIRECT),
        php_rules.INERT, php_rules.ENDS, php_rules.CHECKS, php_rules.PARSES,
    )  # fmt: skip
    return [word for text in texts for word in text.split() if word[0] not in "@$"]


def _words(*, functions: bool) -> frozenset[str]:
    words = [word for word in _tables() if ("." not in word) == functions]
    return frozenset(part for word in words for part in re.findall(r"[A-Za-z_]\w*", word))


FUNCTIONS: Final = _words(functions=True) | frozenset(_PASSING.split())
"""Functions and constructors that the tables speak of, and functions of PHP that hand on what they get."""
METHODS_AND_CLASSES: Final = _words(functions=False) | frozenset({*_PASSING.split(), *METHODS, *RESULTS})
"""Methods, and classes with known methods."""
