"""What the names of a Java program stand for: types by their last word, and variables, fields and methods by scope.

Packages are left out: `java.sql.Statement` is `Statement` however it was written or imported.
"""

from __future__ import annotations

import re
from typing import Final

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.nodes import line_of, text_of

ALIASES: Final = {
    **dict.fromkeys(
        ("ServletRequest", "HttpServletRequestWrapper", "ServletRequestWrapper", "MultipartHttpServletRequest",
         "PortletRequest", "ActionRequest", "ResourceRequest", "NativeWebRequest", "WebRequest", "ServletWebRequest",
         "SlingHttpServletRequest", "MultipartRequest", "RenderRequest"), "HttpServletRequest"),
    **dict.fromkeys(
        ("ServletResponse", "HttpServletResponseWrapper", "SlingHttpServletResponse", "RenderResponse",
         "ResourceResponse", "MimeResponse"), "HttpServletResponse"),
    "MultipartFile": "MultipartUpload", "Part": "PartUpload", "FileItem": "ItemUpload", "FilePart": "PartUpload",
    "FormDataContentDisposition": "DispositionUpload", "FileUpload": "UploadOfFile", "DiskFileItem": "ItemUpload",
    "CompletedFileUpload": "UploadOfFile", "StreamingFileUpload": "UploadOfFile", "FileItemStream": "ItemUpload",
    "CallableStatement": "PreparedStatement", "EntityManagerImpl": "EntityManager", "LdapContext": "DirContext",
    "InitialLdapContext": "DirContext", "InitialDirContext": "DirContext", "InitialContext": "Context",
    "JdbcOperations": "JdbcTemplate", "NamedParameterJdbcOperations": "NamedParameterJdbcTemplate",
    "ServletOutputStream": "OutputStream", "LdapOperations": "LdapTemplate", "RestOperations": "RestTemplate",
    "EventDirContext": "DirContext",
}  # fmt: skip
"""Types that are alike for the rules. Those of files that were sent are called `…Upload…`: the engine asks for it."""
_PLAIN_WORDS: Final = (
    "String Object CharSequence Integer Long Short Byte Character Boolean Double Float Number BigInteger "
    "BigDecimal var "
    "List ArrayList LinkedList Vector Map HashMap LinkedHashMap TreeMap ConcurrentHashMap Hashtable Properties Set "
    "HashSet LinkedHashSet TreeSet Collection Iterable Iterator ListIterator Enumeration Stream Optional Queue Deque "
    "ArrayDeque Stack Entry Class Void ByteArrayOutputStream int long short byte char boolean double float void "
    "StringBuilder StringBuffer StringJoiner ConcurrentMap SortedMap NavigableMap MultiValueMap Exception Throwable "
    "IOException RuntimeException Date LocalDate UUID"
)
PLAIN: Final = frozenset(_PLAIN_WORDS.split())
"""Types that say nothing of what a call on them does."""
_KEEPS_WORDS: Final = (
    "PrintWriter Writer BufferedWriter OutputStream PrintStream InputStream Reader BufferedReader "
    "InputStreamReader File "
    "Path URI URL Random Pattern Matcher DocumentBuilder SAXParser XMLReader XMLStreamReader XMLEventReader "
    "Transformer "
    "Validator Unmarshaller Schema KeyPairGenerator KeyGenerator Builder Response ResponseEntity HttpRequest "
    "Request Type "
    "SAXReader SAXBuilder DocumentBuilderFactory SAXParserFactory XMLInputFactory TransformerFactory "
    "SchemaFactory Yaml "
    "XStream ObjectInputStream AbstractUrlBasedView Template"
)
KEEPS: Final = frozenset(_KEEPS_WORDS.split())
"""Types of which more is known by where a value came from."""
BUILDERS: Final = frozenset(["StringBuilder", "StringBuffer", "StringJoiner", "StrBuilder", "TextStringBuilder"])

_NAMING: Final = frozenset(
    ["identifier", "field_access", "scoped_identifier", "scoped_type_identifier", "type_identifier", "generic_type"]
)


def simple(node: Node | None) -> str:
    """The last word of a type, an array's with `[]`."""
    if node is None:
        return ""
    text = re.sub(r"@\w+(?:\.\w+)*(?:\([^)]*\))?\s*", "", text_of(node))
    plain = re.sub(r"<.*>", "", text, flags=re.DOTALL)
    word = re.sub(r"[\s\[\].]|\.\.\.", "", plain.rpartition(".")[2])
    return word + "[]" if plain.rstrip().endswith("]") else word


def named(kind: str) -> str:
    """What the rules call a type."""
    return ALIASES.get(kind, kind)


class Around:
    """A class whose members are being read."""

    def __init__(self, name: str, depth: int) -> None:
        self.name, self.this = name, "this" if depth == 0 else f"this{depth}"
        self.fields: dict[str, str] = {}
        self.statics: dict[str, str] = {}
        self.methods: set[str] = set()
        self.functions: set[str] = set()
        self.marks: dict[str, str] = {}
        """Its annotations, with their text."""
        self.base = ""


class Names:
    """Scopes of a file while it is read, from outside to inside: classes, and functions with their variables."""

    def __init__(self) -> None:
        self.scopes: list[Around | dict[str, str]] = [{}]
        self.imported: dict[str, str] = {}
        self.own: set[str] = set()
        """Names of methods that the file defines."""
        self.types: set[str] = set()
        """Names of classes that the file defines."""
        self.enums: set[str] = set()
        self.overloaded: set[str] = set()
        self.components: set[str] = set()
        """What records of the file hold."""
        self.matching: dict[str, tuple[Node, Node]] = {}
        """Variables that hold a matcher: its pattern and its text."""

    def declare(self, name: str, kind: str) -> None:
        """A variable of the function that is read."""
        scope = self.scopes[-1]
        if isinstance(scope, dict):
            scope[name] = kind

    def kind_of(self, name: str) -> str:
        """The type that a variable or field was declared with."""
        for scope in reversed(self.scopes):
            known = scope if isinstance(scope, dict) else {**scope.fields, **scope.statics}
            if name in known:
                return known[name]
        return ""

    def around(self) -> Around | None:
        """The class whose code is read."""
        return next((scope for scope in reversed(self.scopes) if isinstance(scope, Around)), None)

    def this(self, line: int, name: str = "") -> ir.Name:
        """The object of the class whose code is read, or of the one around it that has a name."""
        for scope in reversed(self.scopes):
            if isinstance(scope, Around) and name in ("", scope.name):
                return ir.Name(line, scope.this)
        return ir.Name(line, "this")

    def variable(self, node: Node) -> ir.Name | ir.Attr:
        """A bare name: a variable, a field of a class around it, a type, or a field that was inherited."""
        name, line = text_of(node), line_of(node)
        for scope in reversed(self.scopes):
            if isinstance(scope, dict):
                if name in scope:
                    return ir.Name(line, name)
            elif name in scope.fields:
                return ir.Attr(line, ir.Name(line, scope.this), name)
            elif name in scope.statics:
                return ir.Name(line, name)
        if name[:1].isupper() or name in self.imported or self.around() is None:
            return ir.Name(line, name)
        return ir.Attr(line, self.this(line), name)

    def function(self, name: str, line: int) -> ir.Name | ir.Attr:
        """A bare name that is called: a method of a class around it, or one that was imported or inherited."""
        for scope in reversed(self.scopes):
            if isinstance(scope, Around):
                if name in scope.functions:
                    return ir.Name(line, name)
                if name in scope.methods:
                    return ir.Attr(line, ir.Name(line, scope.this), name)
        if name in self.imported:
            return ir.Name(line, name)
        return ir.Attr(line, self.this(line), name)

    def is_class(self, node: Node | None) -> str:
        """The name of the class that an expression is, "" when it is something else."""
        if node is None or node.type not in _NAMING:
            return ""
        text = re.sub(r"\s", "", text_of(node))
        if not re.fullmatch(r"(?:[a-z_][\w$]*\.)*[A-Z][\w$]*(?:<.*>)?(?:\.[A-Z][a-z][\w$]*)*", text):
            return ""
        return "" if self.kind_of(text.partition(".")[0]) else re.sub(r"<.*>", "", text).rpartition(".")[2]
