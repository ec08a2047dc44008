"""Python: where input comes from, where it does harm, and what makes it harmless. Misuses stand in `python_misuse.py`.

Paths follow imports (`from os import system` is `os.system`). `?` is an unknown object. Sources: the documentation of
the standard library and of each framework.
"""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.entries import Entries
from buril.scanners._taint.rules import Clean, Sink, Source

SOURCES: Final = (
    Source("*request.args *request.form *request.values *request.cookies *request.headers *request.json *request.data "
           "*request.files *request.query_string *request.stream *request.environ *request.view_args "
           "*request.referrer *request.user_agent *request.GET *request.POST "
           "*request.COOKIES *request.META *request.FILES *request.body *request.query_params *request.path_params "
           "*request.query *request.match_info *request.arguments *request.query_arguments "
           "*request.body_arguments *request.params *request.rfile *request.content "
           "*request.get_json() *request.get_data() *request.json() *request.text() *request.post() *request.read() "
           "*request.form() *request.body() *request.getlist() "
           "*request.multipart() *request.get_argument()", "the request"),
    Source("self.get_argument() self.get_arguments() self.get_query_argument() self.get_query_arguments() "
           "self.get_body_argument() self.get_body_arguments() self.get_cookie() @object*Handler.get_argument() "
           "@object*Handler.get_arguments() @object*Handler.get_query_argument() @object*Handler.get_body_argument() "
           "@object*Handler.get_cookie() @object*RequestHandler.rfile @object*HTTPRequestHandler.headers "
           "@object*HTTPRequestHandler.path", "the request"),
    Source("*request.path *request.full_path *request.url *request.base_url", "the request", safe="redirect ssrf log "
           "header"),
    Source("wrapped.request.*", "the request"),
    Source("random.random() random.randint() random.randrange() random.choice() random.choices() random.getrandbits() "
           "random.uniform() random.randbytes() random.normalvariate() random.gauss() random.triangular() "
           "random.betavariate() random.expovariate()", "the module random", "random"),
    Source("cgi.FieldStorage() bottle.request.* web.input() cherrypy.request.params", "the request"),
    Source("*.recv() *.recvfrom() *.receive_json() *.receive_text() *websocket.receive()", "what a peer sends"),
    Source("input() raw_input() sys.stdin sys.stdin.read() sys.stdin.readline() sys.argv fileinput.input()",
           "who starts the program", "local"),
    Source("*.parse_args() *.parse_known_args()", "the command line", "local"),
)  # fmt: skip

SINKS: Final = (
    Sink("command", "os.system os.popen os.popen2 os.popen3 commands.getoutput commands.getstatusoutput "
         "subprocess.getoutput subprocess.getstatusoutput popen2.popen2 asyncio.create_subprocess_shell "
         "*.exec_command pty.spawn", (0, "cmd", "command")),
    Sink("command", "subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.Popen",
         (0, "args"), "shell=True"),
    Sink("command-word", "subprocess.run subprocess.call subprocess.check_call subprocess.check_output "
           "subprocess.Popen "
         "asyncio.create_subprocess_exec", (0, "args"), "shell!=True"),
    Sink("command", "os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.spawnl os.spawnv "
           "os.startfile",
         (0, 1)),
    Sink("code", "eval exec compile execfile builtins.eval builtins.exec code.InteractiveInterpreter().runsource "
         "importlib.import_module __import__ runpy.run_path timeit.timeit timeit.repeat timeit.Timer *.eval "
         "pandas.eval",
         (0, "source", "name", "stmt", "expr")),
    Sink("sql", "*.execute *.executemany *.executescript *.raw *.read_sql *.read_sql_query *.fetchrow *.fetchval "
         "sqlalchemy.text *.sql.expression.text *.RawSQL RawSQL *.extra *.exec_driver_sql *.mogrify *.SQL",
         (0, "sql", "query", "statement", "operation", "where")),
    Sink("path", "open io.open codecs.open os.open os.remove os.unlink os.rmdir os.mkdir os.makedirs os.listdir "
         "os.scandir os.walk os.rename os.replace os.chmod os.stat os.readlink shutil.rmtree shutil.copy "
         "shutil.copyfile "
         "shutil.copy2 shutil.move shutil.copytree *send_file flask.send_file "
         "*FileResponse *StaticFile *static_file aiofiles.open pandas.read_csv numpy.load os.symlink os.link "
         "linecache.getline fileinput.input", (0, 1, "file", "path", "filename")),
    Sink("path", "*Path()*.read_text *Path()*.read_bytes *Path()*.write_text *Path()*.write_bytes *Path()*.open "
         "*Path()*.unlink *Path()*.iterdir *Path()*.mkdir *Path()*.rmdir *Path()*.touch", ("self",)),
    Sink("path", "*.send_from_directory send_from_directory", (0,)),
    Sink("path", "*tarfile*.extractall *tarfile*.extract", ("self",), "filter!=data filter!=tar -members"),
    Sink("path", "shutil.unpack_archive", (0,), "-filter"),
    Sink("path", "*.save", (0, "dst")),
    Sink("xss", "*HttpResponse *HTMLResponse *make_response flask.Response Response werkzeug.Response webob.Response "
         "pyramid.response.Response *Markup markupsafe.Markup *mark_safe "
         "django.utils.safestring.mark_safe *SafeString *SafeText *HttpResponseBadRequest "
         "*HttpResponseNotFound *HttpResponseServerError", (0, "content", "response", "text", "body"),
         "mimetype!~^(?!text/html) content_type!~^(?!text/html) media_type!~^(?!text/html)"),
    Sink("xss", "*web.Response", ("text", "body"), "content_type~html"),
    Sink("xss", "@object*RequestHandler.write @object*RequestHandler.finish *wfile.write *StreamResponse().write "
           "*.response.write "
         "*.response.out.write", (0,)),
    Sink("template", "*render_template_string flask.render_template_string jinja2.Template Template *.from_string "
         "mako.template.Template django.template.Template", (0, "source", "template_code", "text")),
    Sink("redirect", "*redirect flask.redirect *HttpResponseRedirect *HttpResponsePermanentRedirect *RedirectResponse "
         "*HTTPFound *HTTPSeeOther *HTTPMovedPermanently *HTTPTemporaryRedirect @object*.redirect", (0, "to",
         "url", "location")),
    Sink("ssrf", "requests.get requests.post requests.put requests.delete requests.head requests.patch "
           "requests.options "
         "requests.request requests.Session().* requests.session().* httpx.get httpx.post httpx.put httpx.delete "
         "httpx.head httpx.request httpx.stream httpx.Client().* httpx.AsyncClient().* aiohttp.ClientSession().* "
         "urllib.request.urlopen urllib.request.urlretrieve urllib.request.Request urllib.urlopen urllib2.urlopen "
         "urllib3.PoolManager().request http.client.HTTPConnection http.client.HTTPSConnection pycurl.Curl().setopt "
         "*AsyncHTTPClient().fetch socket.create_connection *socket().connect ftplib.FTP smtplib.SMTP "
         "paramiko.*.connect",
         (0, 1, "url", "host")),
    Sink("deserialisation", "pickle.loads pickle.load pickle.Unpickler cPickle.loads cPickle.load _pickle.loads "
           "dill.loads "
         "dill.load cloudpickle.loads cloudpickle.load marshal.loads marshal.load shelve.open jsonpickle.decode "
         "joblib.load pandas.read_pickle yaml.unsafe_load yaml.full_load", (0, 1)),
    Sink("deserialisation", "torch.load", (0,), "weights_only!=True"),
    Sink("deserialisation", "numpy.load", (0, "file"), "allow_pickle=True"),
    Sink("deserialisation", "yaml.load yaml.load_all ruamel.yaml.load", (0,), "Loader!~(Safe|Base)Loader "
           "1!~(Safe|Base)Loader"),
    Sink("xxe", "lxml.etree.fromstring lxml.etree.parse lxml.etree.XML lxml.etree.iterparse", (0,), "-parser -1"),
    Sink("xxe", "xml.sax.parseString xml.sax.parse xml.dom.pulldom.parseString xml.dom.pulldom.parse "
         "xml.dom.minidom.parseString xml.dom.minidom.parse", (0,)),
    Sink("ldap", "*.search_s *.search_ext_s *.search_ext *.search_st", (0, 2, "filterstr", "base")),
    Sink("ldap", "*ldap*.search *Connection().search *conn*.search", (0, 1, "search_filter", "search_base")),
    Sink("xpath", "*.xpath *etree.XPath *.XPathEvaluator *elementpath.select", (0, 1, "path")),
    Sink("xpath", "*etree*.find *etree*.findall *etree*.findtext *etree*.iterfind", (0, "path")),
    Sink("nosql", "*.find *.find_one *.find_one_and_update *.find_one_and_delete *.delete_one *.delete_many "
         "*.update_one *.update_many *.count_documents *.aggregate *.map_reduce", (0, "filter")),
    Sink("origin", "*headers@=", (0,), "1~(?i)^access-control-allow-origin$"),
    Sink("upload", "*.save *Path()*.write_bytes *Path()*.open open", (0, "self")),
    Sink("header", "*headers@= *.headers.add *.headers.set *.set_header *.add_header *.setdefault_header "
         "@object*.send_header", (0, 1)),
    Sink("header", "*response@=", (0,)),
    Sink("session", "*session@=", (0, 1)),
    Sink("weak-random", "*.set_cookie *session@= *.set_signed_cookie *.set_secure_cookie", (0, 1, "value")),
    Sink("log", "logging.info logging.warning logging.error logging.debug logging.critical logging.exception "
           "logging.log "
         "*logger.info *logger.warning *logger.error *logger.debug *logger.critical *logger.exception *log.info "
         "*log.warning *log.error *log.debug *logging.getLogger().*", ("*",)),
    Sink("regex", "re.compile re.match re.search re.fullmatch re.findall re.sub re.split re.finditer", (0, "pattern")),
    Sink("format", "*.format", ("self",)),
    Sink("attribute", "setattr builtins.setattr *.__dict__.update", (1, 0)),
    Sink("mail", "smtplib.SMTP().sendmail smtplib.SMTP_SSL().sendmail", (1, 2)),
)  # fmt: skip

CLEANS: Final = (
    Clean("int float bool len ord abs round hash id uuid.UUID uuid.uuid4 hashlib.* hmac.new hmac.digest "
           "hmac.compare_digest "
          "decimal.Decimal ipaddress.ip_address datetime.*.strptime datetime.*.fromisoformat isinstance "
          "datetime.datetime.strptime secrets.* *.hexdigest *.digest os.urandom *.count *.index *.isdigit"),
    Clean("shlex.quote pipes.quote shlex.join", "command"),
    Clean("html.escape markupsafe.escape flask.escape cgi.escape bleach.clean nh3.clean django.utils.html.escape "
          "*conditional_escape *django.utils.html.strip_tags xml.sax.saxutils.escape *escape_html "
          "werkzeug.utils.escape "
          "*.xhtml_escape tornado.escape.xhtml_escape jinja2.escape *render_template *render *TemplateResponse "
          "*render_to_string *get_template().render *select_template().render *render_template_string *jsonify "
          "*JsonResponse *JSONResponse django.utils.html.format_html", "xss"),
    Clean("os.path.basename *Path()*.name *Path()*.stem *Path()*.suffix werkzeug.utils.secure_filename "
           "*secure_filename "
           "ntpath.basename *.with_name", "path"),
    Clean("*safe_join werkzeug.utils.safe_join flask.safe_join *._sanitize_filename *get_valid_filename", "path"),
    Clean("urllib.parse.quote urllib.parse.quote_plus urllib.quote urllib.parse.urlencode", "xss header redirect "
           "ssrf log"),
    Clean("re.escape", "regex"),
    Clean("base64.urlsafe_b64encode binascii.hexlify *.hex"),
    Clean("ldap.filter.escape_filter_chars ldap3.utils.conv.escape_filter_chars ldap.dn.escape_dn_chars "
          "*escape_filter_chars *escape_dn_chars *escape_rdn *filter_format", "ldap"),
    Clean("url_for flask.url_for *reverse django.urls.reverse *resolve_url", "redirect ssrf"),
    Clean("*sql.Identifier psycopg2.sql.Identifier psycopg.sql.Identifier *sql.Literal *quote_ident", "sql"),
    Clean("defusedxml.*", "xxe"),
    Clean("str.encode json.dumps", "nosql"),
    Clean("str repr", "nosql"),
)  # fmt: skip

CONSTANTS: Final = (
    ("stat.S_IWOTH", 2), ("stat.S_IROTH", 4), ("stat.S_IXOTH", 1), ("stat.S_IRWXO", 7), ("stat.S_IRWXU", 0o700),
    ("stat.S_IRWXG", 0o70), ("stat.S_IRUSR", 0o400), ("stat.S_IWUSR", 0o200), ("stat.S_IRGRP", 0o40),
    ("stat.S_IWGRP", 0o20),
    ("Crypto.Cipher.AES.block_size", 16), ("Cryptodome.Cipher.AES.block_size", 16), ("AES.block_size", 16),
)  # fmt: skip

INDIRECT: Final = (
    ("functools.partial functools.partialmethod partial *.submit asyncio.to_thread *.call_soon *.call_soon_threadsafe "
     "*.run_sync *.spawn_blocking anyio.to_thread.run_sync gevent.spawn", 0),
    ("*.run_in_executor *.call_later *.call_at", 1),
    ("threading.Thread multiprocessing.Process threading.Timer *.Process", "target"),
    ("threading.Timer", 1),
    ("map filter", 0),
)  # fmt: skip

INERT: Final = (
    "*.fetchone *.fetchall *.fetchmany *.scalar *.scalars *.objects.get *.objects.filter *.objects.all "
    "*.objects.create "
    "[A-Z]*.query.get *.[A-Z]*.query.get *.query.filter_by *.query.filter *.first *.all *.commit *.close *.find_one "
    "*.insert_one "
    "*get_object_or_404 "
    "*.execute *.executemany subprocess.run subprocess.call subprocess.check_output os.system os.path.exists "
    "os.path.isfile "
    "os.path.isdir os.path.getsize os.stat time.* random.* print *.startswith *.endswith *.match *.fullmatch *.search "
    "check_password_hash *check_password *verify *.isalnum url_for flask.url_for flask.render_template "
    "*render_template "
    "*.exists *.is_file *.get_or_404 open *.read_text requests.get requests.post httpx.get *make_response *Response "
    "*redirect "
    "*HttpResponse *HttpResponseRedirect *HTMLResponse *RedirectResponse *send_file *FileResponse "
    "*send_from_directory *JsonResponse "
    "*jsonify"
)  # fmt: skip

ENDS: Final = "sys.exit os._exit exit quit abort flask.abort self.fail"
CHECKS: Final = (
    "int float uuid.UUID UUID ipaddress.ip_address ipaddress.ip_network decimal.Decimal Decimal "
    "datetime.datetime.strptime "
    "datetime.datetime.fromisoformat datetime.date.fromisoformat datetime.strptime datetime.fromisoformat"
)
PARSES: Final = "json.loads json.load simplejson.loads orjson.loads bson.json_util.loads"

ENTRIES: Final = Entries(
    decorators=r"\.(route|get|post|put|patch|delete|head|options|websocket|api_route|view|errorhandler)(\(\))?$"
    r"|(^|\.)(route|api_view|view_config|expose)(\(\))?$",
    bases=r"(View|ViewSet|Resource|RequestHandler|APIView|HTTPEndpoint|MethodView|WebSocketHandler|BaseHTTPRequestHandler)\b",
    methods=r"^(get|post|put|patch|delete|head|options|list|create|retrieve|update|destroy|dispatch|do_[A-Z]+|on_message|"
    r"on_get|on_post|form_valid|prepare)$",
    requests=r"^(request|req)$",
    pages=r"(^|\.)route(\(\))?$|(?i:flask|blueprint|bottle)",
    inputs=r"request|\breq\b|\binput\(|argv|stdin|recv|parse_args|parse_known|receive_|FieldStorage|get_argument|get_query_|"
    r"get_body_|rfile|fileinput|\(event|web\.input|@[\w.]+\.(?:route|get|post|put|patch|delete|head|options|websocket|view)\b",
    answers=r"^$",
    from_address=True,
    called={"req": "request"},
    harmless=r"^(?:typing\.)?(?:Optional\[)?(Literal\b|int|float|bool|UUID|uuid\.UUID|datetime|date|Decimal|Session|AsyncSession|"
    r"BackgroundTasks|Response)\b|Depends",
)
