"""The standard libraries: what each language brings without any registry.

Python's is the union of 3.8 to 3.14 with what they still import of 2.7; Node's and Ruby's are those of their current
releases with what older ones had. Go needs no list (its paths have no dot in the first part), nor do Rust and PHP.
"""

from __future__ import annotations

from typing import Final


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


PYTHON: Final = _set("""
__future__ abc aifc annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb
binascii binhex bisect builtins bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys
compileall compression concurrent configparser contextlib contextvars copy copyreg cProfile crypt csv ctypes curses
dataclasses datetime dbm decimal difflib dis distutils doctest dummy_threading email encodings ensurepip enum errno
faulthandler fcntl filecmp fileinput fnmatch formatter fractions ftplib functools gc genericpath getopt getpass
gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect io
ipaddress itertools json keyword lib2to3 linecache locale logging lzma macpath mailbox mailcap marshal math
mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode
operator optparse os ossaudiodev parser pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix
posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline
reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtpd smtplib
sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep
struct subprocess sunau symbol symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios test
textwrap this threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo
types typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref
xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo
""")
PYTHON_2: Final = _set("""
__builtin__ _winreg anydbm BaseHTTPServer Bastion bsddb CGIHTTPServer commands ConfigParser Cookie cookielib
copy_reg cPickle cProfile cStringIO dbhash dircache DocXMLRPCServer dumbdbm dummy_thread exceptions fpformat
future_builtins gdbm hotshot htmlentitydefs htmllib httplib ihooks imputil md5 mhlib mimetools MimeWriter mimify
multifile mutex new popen2 posixfile Queue repr rexec rfc822 robotparser sets sgmllib sha SimpleHTTPServer
SimpleXMLRPCServer sitecustomize SocketServer statvfs StringIO thread tkFileDialog Tkinter tkMessageBox toaiff ttk
urllib2 urlparse user usercustomize UserDict UserList UserString whichdb xmllib xmlrpclib
""")
NODE: Final = _set("""
assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain events
fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl stream
string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib
""")
RUBY: Final = _set("""
abbrev base64 benchmark bigdecimal bundler cgi complex continuation coverage csv date date_core dbm debug delegate
did_you_mean digest drb e2mmap enc English enumerator erb error_highlight etc expect fcntl fiber fiddle fileutils
find forwardable gdbm getoptlong io ipaddr irb json kconv logger matrix minitest mkmf monitor mutex_m net nkf
objspace observer open-uri open3 openssl optionparser optparse ostruct pathname power_assert pp prettyprint prime
profile profiler pstore psych pty racc rake random rational rbconfig rbs rdoc readline reline resolv resolv-replace
rexml rinda ripper rss ruby2_keywords rubygems scanf sdbm securerandom set shell shellwords singleton socket
stringio strscan sync syslog tempfile test test-unit thread thwait time timeout tmpdir tracer tsort typeprof un
unicode_normalize uri weakref webrick win32 win32ole xmlrpc yaml zlib
""")
RUST: Final[frozenset[str]] = frozenset(("std", "core", "alloc", "proc_macro", "test"))
JAVA: Final = (
    "java",
    "javax",
    "jdk",
    "sun",
    "com.sun",
    "org.w3c.dom",
    "org.xml.sax",
    "org.ietf.jgss",
    "netscape.javascript",
    "kotlin",
    "android",
    "dalvik",
)
"""Beginnings of packages that the JDK, Kotlin's library or Android bring."""
NUGET: Final = ("System", "Microsoft", "Windows", "Internal", "Interop")
"""Beginnings of namespaces of .NET itself; NuGet reserves the first two for their owner."""
