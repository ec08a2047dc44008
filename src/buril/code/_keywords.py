"""Words that are part of a language, by family: the only words that the blind shingles of `buril.code.blind` keep.

A family is a group of languages that share most of them; texts of different families never meet. A list may hold words
that only one of its languages reserves: an identifier that happens to be one of them is then not seen as renamed.
"""

from __future__ import annotations

SLASHES, HASH, DASHES, PERCENT, STARS, PARENS, SINGLE, BACKTICK = 1, 2, 4, 8, 16, 32, 64, 128
"""What begins a comment (`//`, `#`, `--`, `%`, `/*`, `(*`) or a string (`'`, a backtick) beside the double quote."""

_SCRIPT = (
    "abstract after alias and begin break case catch class cond const def defmodule defp defimpl defined "
    "defmacro defprotocol defstruct do else elseif elsif end ensure export false finally fn for function global "
    "if import in let module next nil not nothing or redo repeat require rescue retry return struct super then "
    "true try type undef unless until use using when where while with yield"
)
_FUNCTIONAL = (
    "after and as assert begin case catch class constraint default deriving do done downto else end exception "
    "export external false for forall foreign fun function functor if import in include infix infixl infixr "
    "inherit initializer instance lazy let match mod module new newtype nonrec of open or private qualified rec "
    "sig struct then to true try type val virtual when where while with"
)
FAMILIES: tuple[tuple[frozenset[str], int, str], ...] = (
    (
        frozenset({"python"}),
        HASH | SINGLE,
        "and as assert async await break case class continue def del elif else except False finally for from global "
        "if import in is lambda match None nonlocal not or pass raise return True try while with yield",
    ),
    (
        frozenset({"javascript", "typescript", "tsx"}),
        SLASHES | STARS | SINGLE | BACKTICK,
        "abstract as async await boolean break case catch class const continue debugger declare default delete do "
        "else enum export extends false finally for from function if implements import in instanceof interface is "
        "let namespace new null of package private protected public readonly require return static super switch "
        "this throw true try type typeof undefined var void while with yield",
    ),
    (
        frozenset({"c", "cpp", "objc", "cuda"}),
        SLASHES | STARS | SINGLE,
        "alignas alignof asm auto bool break case catch char class const constexpr const_cast continue decltype "
        "default define defined delete do double dynamic_cast elif else endif enum explicit export extern false "
        "final float for friend goto if ifdef ifndef include inline int long namespace new noexcept nullptr NULL "
        "operator override pragma private protected public register reinterpret_cast restrict return short signed "
        "sizeof static static_assert static_cast struct switch template this throw true try typedef typeid typename "
        "undef unsigned using virtual void volatile while",
    ),
    (
        frozenset({"java", "csharp", "kotlin", "scala", "dart", "d", "vala", "swift"}),
        SLASHES | STARS | SINGLE,
        "abstract as assert async await bool boolean break byte case catch char class const continue def default "
        "defer delegate deinit do double dynamic else enum explicit extends extern external false final finally "
        "float for foreach fun func given goto guard if implements implicit import in init inline inout instanceof "
        "int interface is lateinit late lazy let lock long match module mutating namespace native new nil null "
        "operator out override package private protected protocol public readonly required return sealed short "
        "sizeof static strictfp struct super suspend switch synchronized this throw throws trait transient true try "
        "type typealias typeof unsafe unowned using val var virtual void volatile weak when where while with yield",
    ),
    (
        frozenset({"go", "rust"}),
        SLASHES | STARS | BACKTICK,
        "as async await bool break byte case chan const continue default defer dyn else enum extern fallthrough "
        "false fn for func go goto if impl import in int interface let loop map match mod move mut nil package pub "
        "range return select Self static struct super switch trait true type unsafe use var where while",
    ),
    (
        frozenset({"php"}),
        SLASHES | HASH | STARS | SINGLE,
        "abstract and array as break case catch class clone const continue declare default do echo else elseif "
        "empty enddeclare endfor endforeach endif endswitch endwhile enum extends false final finally fn for "
        "foreach function global goto if implements include include_once instanceof insteadof interface isset match "
        "namespace new null or print private protected public readonly require require_once return static switch "
        "this throw trait true try unset use var while xor yield php int float bool void",
    ),
    (frozenset({"ruby", "julia", "elixir"}), HASH | SINGLE, _SCRIPT),
    (frozenset({"lua"}), DASHES | SINGLE, _SCRIPT),
    (
        frozenset({"perl", "bash", "tcl", "r"}),
        HASH | SINGLE,
        "and break case cmp continue declare do done echo elif else elsif esac eval exit export fi for foreach "
        "function global given if in my namespace ne next no not NULL or our package readonly redo repeat require "
        "return select sub switch then TRUE FALSE typeset unless unset until use variable when while xor",
    ),
    (frozenset({"haskell", "elm"}), DASHES, _FUNCTIONAL),
    (frozenset({"ocaml", "ocaml_interface", "fsharp"}), PARENS, _FUNCTIONAL),
    (frozenset({"erlang"}), PERCENT | SINGLE, _FUNCTIONAL),
    (
        frozenset({"sql"}),
        DASHES | STARS | SINGLE,
        "alter and as asc begin between by case commit constraint create cross default delete desc distinct drop "
        "else end exists foreign from full function having if in inner insert into is join left like limit not null "
        "on or order outer primary procedure replace right rollback select then to trigger unique update using when "
        "where with",
    ),
    (
        frozenset({"solidity"}),
        SLASHES | STARS | SINGLE,
        "abstract anonymous as assembly bool break calldata case catch constant constructor continue contract "
        "delete do else emit enum external fallback false final for function if immutable import indexed int "
        "interface is let modifier new override pragma private public pure require return revert struct super "
        "switch this throw true try type using virtual while",
    ),
)
