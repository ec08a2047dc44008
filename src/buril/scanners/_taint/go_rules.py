"""Go: where input comes from, where it does harm, and what makes it harmless. Misuses stand in `go_misuse.py`.

A package of the standard library is named as a whole (`net.http.Get`), any other by its name (`gin`, `jwt`); a
parameter by its declared type (`net.http.Request.FormValue`). Sources: the documentation of the packages.
"""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.entries import Entries
from buril.scanners._taint.rules import Clean, Fill, Sink, Source


def _on(bases: str, names: str, after: str = "") -> str:
    """Each name on each base."""
    return " ".join(f"{base}.{name}{after}" for base in bases.split() for name in names.split())


_REQUEST = "*.Request *.Request() *.HTTPRequest"
_ADDRESS = "*.Request.URL *.Request().URL"
SOURCES: Final = (
    Source(_on(_REQUEST, "Body Form PostForm MultipartForm Header Trailer")
           + " " + _on(_REQUEST, "FormValue PostFormValue FormFile PathValue Cookie Cookies CookiesNamed UserAgent "
                       "BasicAuth MultipartReader", "()")
           + " " + _on(_REQUEST, "Header.Get Header.Values Form.Get PostForm.Get", "()")
           + " " + _on(_ADDRESS, "Query Query().Get", "()"), "the request"),
    Source(_on(_ADDRESS, "Path RawPath RawQuery Fragment") + " " + _on(_ADDRESS, "String EscapedPath RequestURI", "()")
           + " echo.Context.QueryString() *.Request.RequestURI *.Request().RequestURI *.Request.Referer() "
             "*.Request().Referer() "
             "*.Request.Host *.Request().Host", "the request", safe="redirect ssrf log header"),
    Source(_on("gin.Context", "Query DefaultQuery QueryArray QueryMap GetQuery GetQueryArray Param PostForm "
               "DefaultPostForm PostFormArray PostFormMap GetPostForm GetHeader Cookie FormFile MultipartForm "
               "GetRawData",
               "()") + " gin.Context.Params gin.Context.Params.ByName()", "the request"),
    Source(_on("echo.Context", "QueryParam QueryParams Param ParamValues FormValue FormParams FormFile "
               "MultipartForm Cookie Cookies", "()"), "the request"),
    Source(_on("fiber.Ctx", "Query Queries Params AllParams FormValue Body BodyRaw Get Cookies FormFile MultipartForm "
               "OriginalURL GetReqHeaders", "()") + " fiber.Query() fiber.Params()", "the request"),
    Source("chi.URLParam() chi.URLParamFromCtx() chi.RouteContext().URLParam() mux.Vars() pat.Param() "
           "httprouter.Params.ByName() httprouter.Params httprouter.ParamsFromContext() "
           "httprouter.ParamsFromContext().ByName() bone.GetValue() flow.Param() jsonapi.Request.*", "the request"),
    Source(_on("fasthttp.RequestCtx", "QueryArgs FormValue PostBody PostArgs UserValue RequestURI Path FormFile "
               "MultipartForm UserAgent", "()") + " "
           + _on("fasthttp.RequestCtx", "QueryArgs().Peek PostArgs().Peek Request.Body Request.Header.Peek "
                 "Request.Header.Cookie", "()"), "the request"),
    Source(_on("@object*Controller @object*Controller.Ctx.Input @object*Controller.Params", "GetString GetStrings "
               "Input "
               "Param Query Cookie Header GetFile Get", "()") + " @object*Controller.Ctx.Input.RequestBody "
           + _on("context.Context.Input", "Param Query Cookie Header", "()"), "the request"),
    Source(_on("iris.Context", "URLParam URLParamDefault FormValue PostValue GetHeader GetCookie Params().Get "
               "FormFile", "()")
           + " " + _on("restful.Request", "QueryParameter PathParameter BodyParameter HeaderParameter", "()")
           + " " + _on("app.RequestContext", "Query DefaultQuery Param FormValue PostForm GetHeader Cookie "
             "FormFile", "()")
           + " " + _on("buffalo.Context", "Param Params File", "()"), "the request"),
    Source("events.APIGateway*Request.Body events.APIGateway*Request.QueryStringParameters "
           "events.APIGateway*Request.PathParameters events.APIGateway*Request.Headers "
           "events.APIGateway*Request.MultiValueQueryStringParameters events.ALBTargetGroupRequest.Body "
           "events.ALBTargetGroupRequest.QueryStringParameters events.LambdaFunctionURLRequest.Body "
           "events.LambdaFunctionURLRequest.QueryStringParameters *pb.*Request.* *proto.*Request.* connect.Request.Msg",
           "the request"),
    Source("*.Accept() *.AcceptTCP() *.AcceptUnix() net.Conn.ReadString() net.Conn.ReadBytes() net.Conn.ReadLine() "
           "net.Conn.Text() net.Conn.Bytes() *.ReadMessage() *.NextReader() ssh.Channel.ReadString() "
           "net.ListenPacket().ReadFrom()", "what a peer sends"),
    Source("archive.zip.*.File archive.tar.NewReader().Next() archive.tar.Reader.Next() zip.*.File tar.*.Next()",
           "an archive", safe="sql command xss ssrf redirect code ldap xpath template log header nosql"),
    Source("os.Args flag.Arg() flag.Args() flag.String() pflag.String() flag.Parse() os.Stdin *.Args().Get() "
           "cli.Context.String() cli.Context.Args()", "who starts the program", "local"),
    Source(_on("math.rand math.rand.v2 math.rand.New()", "Int Intn Int31 Int31n Int63 Int63n IntN Int64 Int64N N "
               "Uint32 "
               "Uint64 Float64 Float32 Perm Read", "()"), "the package math/rand", "random"),
)  # fmt: skip

_ANSWERS = r"0~(ResponseWriter|Context\.Writer|Context\.Response\(\)(\.Writer)?|ResponseWriter\.\w+|Response\(\))$"
_DATABASE = "*gorm* *[dD][bB] *[dD][bB].*() *tx *tx.*() *.Model() *.Model().*() *[oO]rm *session.*()"
_RECEIVERS = (
    "*[dD][bB] *[dD][bB].*() *tx *Tx *[cC]onn *[pP]ool *sql* *pgx* *[sS]ession* *[eE]ngine *[oO]rm *gorm* *bun* "
    "*[dD]atabase* "
    "*xorm* *[dD]river.Conn"
)
"""What databases are called."""
_MONGO = (
    "Find FindOne FindOneAndUpdate FindOneAndDelete FindOneAndReplace UpdateOne UpdateMany DeleteOne DeleteMany "
    "ReplaceOne CountDocuments Aggregate Distinct"
)
_FILES = "Open OpenFile Create ReadFile WriteFile Remove RemoveAll Mkdir MkdirAll ReadDir Truncate Chmod Chown"
SINKS: Final = (
    Sink("command-word", "os.exec.Command execabs.Command", (0, "*")),
    Sink("command-word", "os.exec.CommandContext execabs.CommandContext", (1, "*")),
    Sink("command-word", "os.exec.Cmd.Path= os.exec.Command().Path= syscall.Exec syscall.ForkExec os.StartProcess "
         "syscall.StartProcess", (0,)),
    Sink("command-word", "syscall.Exec syscall.ForkExec os.StartProcess", (1,)),
    Sink("command-word", "os.exec.Cmd.Args= os.exec.Command().Args= os.exec.CommandContext().Args=", (0,)),
    Sink("command", _on("*.NewSession() ssh.Session", "Run Output CombinedOutput Start"), (0,)),
    Sink("command", "script.Exec sh.Command", (0,)),
    Sink("code", "plugin.Open *otto.New().Run *.RunString *goja.New().RunString *.DoString "
         "govaluate.NewEvaluableExpression "
         "expr.Eval expr.Compile gval.Evaluate *interp.New().Eval interp.Interpreter.Eval", (0,)),
    Sink("sql", _on(_RECEIVERS, "Query Exec Prepare Raw Unsafe"), (0,)),
    Sink("sql", "*.QueryRow *.Queryx *.QueryRowx *.MustExec *.NamedExec *.NamedQuery "
         "*.Preparex "
         "*.PrepareNamed *.Where *.Having *.Joins *.OrderBy *.WhereRaw *.NewRaw gorm.Expr squirrel.Expr *.Rebind "
         "bun.Safe *.SQL goqu.L goqu.Literal *.SetTableName *.ColumnExpr *.TableExpr *.OrderExpr", (0,)),
    Sink("sql", _on(_DATABASE, "Order Group Select Table Pluck Not Or Distinct Omit Exec Query"), (0,)),
    Sink("sql", _on(_DATABASE, "First Find Take Last Delete FirstOrCreate"), (1,)),
    Sink("sql", "*.Query *.QueryRow *.Exec *.Prepare *.SendBatch", (1,), "0~(?i)context|ctx"),
    Sink("sql", "*.QueryContext *.QueryRowContext *.ExecContext *.PrepareContext *.QueryxContext *.QueryRowxContext "
         "*.NamedExecContext *.NamedQueryContext *.MustExecContext *.PreparexContext", (1,)),
    Sink("sql", _on("*[dD][bB] *sqlx* *tx *Tx *conn", "Get Select"), (1,)),
    Sink("sql", "*.GetContext *.SelectContext", (2,)),
    Sink("sql", "*Batch.Queue *batch.Queue", (0,)),
    Sink("path", _on("os io.ioutil afero", _FILES) + " os.DirFS net.http.Dir html.template.ParseFiles "
         "text.template.ParseFiles path.filepath.Glob "
         "archive.zip.OpenReader plugin.Open", (0,)),
    Sink("path", "os.Rename os.Symlink os.Link os.CopyFS afero.ReadFile afero.WriteFile", (0, 1)),
    Sink("path", "net.http.ServeFile", (2,)),
    Sink("path", "gin.Context.File gin.Context.FileAttachment echo.Context.File echo.Context.Attachment "
         "echo.Context.Inline fiber.Ctx.SendFile fiber.Ctx.Download iris.Context.SendFile iris.Context.ServeFile "
         "fasthttp.ServeFile app.RequestContext.File fasthttp.RequestCtx.SendFile", (0,)),
    Sink("path", "gin.Context.SaveUploadedFile fiber.Ctx.SaveFile fasthttp.SaveMultipartFile iris.Context.SaveFormFile "
         "fasthttp.ServeFile", (1,)),
    Sink("upload", "os.Create os.OpenFile os.WriteFile io.ioutil.WriteFile", (0,)),
    Sink("upload", "gin.Context.SaveUploadedFile fiber.Ctx.SaveFile fasthttp.SaveMultipartFile "
         "iris.Context.SaveFormFile *.SaveToFile", (1,)),
    Sink("xss", "fmt.Fprintf fmt.Fprint fmt.Fprintln io.WriteString", ("*",), _ANSWERS),
    Sink("xss", _on("*ResponseWriter gin.Context.Writer *.Response() *.Response().Writer", "Write WriteString"), (0,)),
    Sink("xss", "echo.Context.HTML echo.Context.HTMLBlob", (1,)),
    Sink("xss", "gin.Context.Data echo.Context.Blob", (2,), "1~(?i)html|svg"),
    Sink("xss", "fiber.Ctx.Type().SendString fiber.Ctx.Type().Send iris.Context.HTML fiber.Ctx.Type().WriteString",
         (0,)),
    Sink("xss", _on("html.template", "HTML JS URL CSS HTMLAttr JSStr Srcset"), (0,)),
    Sink("xss", "text.template.*.Execute", (1,), _ANSWERS),
    Sink("xss", "text.template.*.ExecuteTemplate", (2,), _ANSWERS),
    Sink("template", "*template.New().Parse *template.New()*.Parse *template.Must().Parse pongo2.FromString "
         "pongo2.RenderTemplateString mustache.Render raymond.Render raymond.Parse jet.Parse fasttemplate.New "
         "*template.Template.Parse", (0,)),
    Sink("redirect", "net.http.Redirect", (2,)),
    Sink("redirect", "net.http.RedirectHandler fiber.Ctx.Redirect fiber.Ctx.Redirect().To fiber.Ctx.Location "
         "iris.Context.Redirect fasthttp.RequestCtx.Redirect @object*Controller.Redirect buffalo.Context.Redirect",
         (0,)),
    Sink("redirect", "gin.Context.Redirect echo.Context.Redirect app.RequestContext.Redirect", (1,)),
    Sink("redirect", "*.Header().Set *.Header().Add gin.Context.Header fiber.Ctx.Set", (1,), "0~(?i)^location$"),
    Sink("ssrf", _on("net.http net.http.DefaultClient net.http.Client *[cC]lient *http.Client", "Get Post PostForm "
         "Head")
         + " resty.New().R().* *.R().Get *.R().Post fasthttp.Get fasthttp.Post req.Get req.Post net.LookupHost "
           "net.http.httputil.NewSingleHostReverseProxy gorequest.New().Get grpc.Dial grpc.NewClient rpc.Dial "
           "websocket.Dial smtp.Dial redis.Dial *.Navigate *.DefaultDialer.Dial ftp.Dial", (0,)),
    Sink("ssrf", "net.http.NewRequest net.Dial net.DialTimeout crypto.tls.Dial net.rpc.Dial net.rpc.DialHTTP "
         "*.Dialer.Dial "
         "ssh.Dial *.DialContext retryablehttp.NewRequest", (1,)),
    Sink("ssrf", "net.http.NewRequestWithContext *.DialContext retryablehttp.NewRequestWithContext", (2,)),
    Sink("ssrf", "fasthttp.AcquireRequest().SetRequestURI *.SetRequestURI", (0,)),
    Sink("ldap", "*.Search *.SearchWithPaging *.SearchAsync", (0,), "0~ldap\\.(NewSearchRequest|SearchRequest)"),
    Sink("xpath", _on("xmlquery htmlquery jsonquery", "Find FindOne Query QueryAll"), (1,)),
    Sink("xpath", "xpath.Compile xpath.MustCompile xmlpath.Compile xmlpath.MustCompile etree.CompilePath "
         "etree.MustCompilePath *.FindElement *.FindElements *.SearchString *.EvalXPath *xpath*.Find "
         "*.NewExpression", (0,)),
    Sink("xpath", "xmlquery.CreateXPathNavigator xpath.Select", (1,)),
    Sink("nosql", _on("*", _MONGO), (0, 1)),
    Sink("database-code", "bson.M.$where= primitive.M.$where= bson.M.$function= bson.D.$where=", (0,)),
    Sink("database-code", "bson.E primitive.E", ("Value", 1), "Key~^\\$(where|function|accumulator)$"),
    Sink("database-code", "bson.E primitive.E", (1,), "0~^\\$(where|function|accumulator)$"),
    Sink("weak-random", "net.http.SetCookie gin.Context.SetCookie echo.Context.SetCookie fiber.Ctx.Cookie", ("*",)),
    Sink("origin", "*.Header().Set *.Header().Add gin.Context.Header fiber.Ctx.Set *.Header.Set", (1,),
         "0~(?i)^access-control-allow-origin$"),
    Sink("log", _on("log logrus zap.L() *[lL]ogger *log", "Print Printf Println Fatal Fatalf Panic Panicf Info Infof "
         "Warn "
                    "Warnf Error Errorf Debug Debugf Infow Errorw Warnw"), ("*",)),
    Sink("mail", "net.smtp.SendMail", (4,)),
)  # fmt: skip

CLEANS: Final = (
    Clean("@number len cap strconv.Atoi strconv.ParseInt strconv.ParseUint strconv.ParseFloat strconv.ParseBool "
          "uuid.Parse uuid.MustParse uuid.FromString uuid.ParseBytes net.ParseIP net.netip.ParseAddr net.ParseCIDR "
          "time.Parse time.ParseDuration time.ParseInLocation *.Sum *.Sum256 *.Sum512 crypto.*.Sum crypto.*.Sum* "
          "encoding.hex.EncodeToString *.ObjectIDFromHex strings.Index strings.Count strings.Compare "
          "unicode.utf8.RuneCountInString *.IntVal *.Size *.Len mail.ParseAddress bcrypt.GenerateFromPassword "
          "*.StdEncoding.EncodeToString *.URLEncoding.EncodeToString *.RawURLEncoding.EncodeToString cast.ToInt "
          "cast.ToInt64 "
          "gin.Context.GetInt fiber.Ctx.QueryInt fiber.Ctx.ParamsInt reflect.TypeOf ulid.Parse xid.FromString "
          "decimal.NewFromString strings.EqualFold strings.HasPrefix strings.HasSuffix strings.Contains"),
    Clean("net.url.QueryEscape net.url.PathEscape net.url.Values.Encode *.Query().Encode *.Encode",
          "xss redirect ssrf header log path"),
    Clean("html.EscapeString html.template.HTMLEscapeString html.template.HTMLEscaper html.template.JSEscapeString "
          "html.template.URLQueryEscaper text.template.HTMLEscapeString text.template.HTMLEscaper "
          "template.HTMLEscapeString "
          "*.SanitizeBytes *.SanitizeReader encoding.json.Marshal encoding.json.MarshalIndent "
          "net.http.DetectContentType *escapeHTML *EscapeHTML *escapeHtml *sanitizeHTML *SanitizeHTML", "xss"),
    Clean("*.Sanitize", "xss sql"),
    Clean("path.filepath.Base path.Base *.Filename *securejoin.SecureJoin *.SecureJoin *sanitizeFilename "
          "*SanitizeFilename *sanitizeFileName *SafeJoin *safeJoin filenamify.*", "path"),
    Clean("shellescape.Quote shellescape.QuoteCommand shellquote.Join syscall.EscapeArg", "command"),
    Clean("pq.QuoteIdentifier pq.QuoteLiteral *.QuoteIdentifier *.QuoteLiteral *quoteIdentifier", "sql"),
    Clean("ldap.EscapeFilter ldap.EscapeDN *escapeLDAP *EscapeLDAP *escapeFilter", "ldap"),
    Clean("@as.string fmt.Sprint fmt.Sprintf", "nosql"),
    Clean("*escapeXPath *EscapeXPath *quoteXPath *xpathQuote", "xpath"),
)  # fmt: skip

INERT: Final = (
    "*[dD][bB].Query *tx.Query *conn*.Query *pool*.Query *sql*.Query *.QueryRow *.QueryRowContext *.QueryContext "
    "*.Exec "
    "*.ExecContext *.Prepare *.PrepareContext *.Queryx *.QueryRowx *.Scan *.First *.Find *.FindOne *.Where *.Raw "
    "*.Create "
    "*.Save *.Insert *.InsertOne *.UpdateOne *.DeleteOne *.Delete *.Aggregate *.All *.Count "
    "os.Open os.OpenFile os.Create os.ReadFile os.Stat os.Lstat os.ReadDir os.WriteFile io.ioutil.ReadFile "
    "io.ioutil.WriteFile os.MkdirAll os.Mkdir os.Remove os.RemoveAll os.Getenv os.LookupEnv os.exec.Command "
    "os.exec.CommandContext os.exec.LookPath *.Output *.CombinedOutput *.Run *.Start *.Wait net.http.Get net.http.Post "
    "net.http.Head *.Do context.* *.Context errors.New errors.Is errors.As fmt.Errorf errors.Wrap errors.Wrapf "
    "fmt.Fprintf fmt.Fprint fmt.Fprintln fmt.Printf fmt.Println log.* *.Redirect *.Execute *.ExecuteTemplate *.JSON "
    "bcrypt.CompareHashAndPassword *.Verify jwt.Parse jwt.ParseWithClaims *.MatchString regexp.MatchString *.Error "
    "*.Write *.WriteString *.WriteHeader net.http.Error *.Close *.Read io.Copy io.WriteString delete close panic "
    "net.http.SetCookie *.ListenAndServe sync.* time.* *.Lock *.Unlock *.Err *.Search @jwt"
)

INDIRECT: Final = (("*.Go *.Do sync.OnceFunc *.Submit *.Transaction", 0), ("time.AfterFunc *.View *.Update", 1))

CONSTANTS: Final = (
    *((f"{name}()", True) for name in (
        "errors.New", "fmt.Errorf", "errors.Errorf", "xerrors.New", "xerrors.Errorf", "status.Error", "status.Errorf",
        "echo.NewHTTPError", "fiber.NewError", "huma.Error400BadRequest")),
    ("bcrypt.MinCost", 4), ("bcrypt.DefaultCost", 10), ("bcrypt.MaxCost", 31), ("os.ModePerm", 0o777),
    ("os.PathSeparator", "/"), ("path.filepath.Separator", "/"),
    ("os.TempDir()", "/tmp"), ("os.O_RDONLY", 0), ("os.O_WRONLY", 1), ("os.O_RDWR", 2), ("os.O_CREATE", 64),  # noqa: S108  what it is, nothing is written
    ("os.O_EXCL", 128), ("os.O_TRUNC", 512), ("os.O_APPEND", 1024), ("net.http.MethodGet", "GET"),
    ("net.http.MethodPost", "POST"), ("echo.HeaderAccessControlAllowOrigin", "Access-Control-Allow-Origin"),
    ("fiber.HeaderAccessControlAllowOrigin", "Access-Control-Allow-Origin"), ("fiber.MIMETextHTML", "text/html"),
    ("echo.MIMETextHTML", "text/html"), ("gin.MIMEHTML", "text/html"),
)  # fmt: skip

ENDS: Final = (
    "panic os.Exit log.Fatal log.Fatalf log.Fatalln log.Panic log.Panicf log.Panicln runtime.Goexit logrus.Fatal "
    "logrus.Fatalf testing.T.Fatal testing.T.Fatalf testing.T.FailNow testing.T.Skip testing.B.Fatal testing.B.Fatalf"
)
CHECKS: Final = "@sifted"
FAILS: Final = (
    "strconv.Atoi strconv.ParseInt strconv.ParseUint strconv.ParseFloat strconv.ParseBool uuid.Parse uuid.FromString "
    "uuid.Validate net.netip.ParseAddr time.Parse time.ParseDuration primitive.ObjectIDFromHex bson.ObjectIDFromHex "
    "ulid.Parse net.ParseCIDR"
)

_BIND = "the request"
FILLS: Final = (
    Fill("encoding.json.Unmarshal encoding.xml.Unmarshal yaml.Unmarshal toml.Unmarshal proto.Unmarshal "
         "jsoniter.Unmarshal sonic.Unmarshal msgpack.Unmarshal encoding.asn1.Unmarshal json.Unmarshal "
         "protojson.Unmarshal "
         "bson.Unmarshal bson.UnmarshalExtJSON", (1,), (0,)),
    Fill("*.NewDecoder().Decode *.NewDecoder().Token", (0,), ("self", 1)),
    Fill("mapstructure.Decode", (1,), (0,)),
    Fill(_on("gin.Context", "Bind BindJSON BindQuery BindUri BindXML BindYAML BindHeader BindWith ShouldBind "
             "ShouldBindJSON "
             "ShouldBindQuery ShouldBindUri ShouldBindXML ShouldBindYAML ShouldBindHeader ShouldBindWith "
             "ShouldBindBodyWith MustBindWith"), (0,), (), _BIND),
    Fill("echo.Context.Bind *.BindQueryParams *.BindPathParams *.BindBody " + _on("fiber.Ctx", "BodyParser QueryParser "
         "ParamsParser ReqHeaderParser CookieParser Bind().Body Bind().Query Bind().JSON Bind().URI Bind().Form "
         "Bind().Header"), (0,), (), _BIND),
    Fill("iris.Context.ReadJSON iris.Context.ReadForm iris.Context.ReadQuery iris.Context.ReadBody "
         "app.RequestContext.Bind app.RequestContext.BindAndValidate restful.Request.ReadEntity *.ReadJSON "
         "@object*Controller.ParseForm @object*Controller.BindJSON", (0,), (), _BIND),
    Fill("render.Bind render.Decode render.DecodeJSON httpx.Parse httpx.ParseJsonBody binding.*.Bind "
         "websocket.JSON.Receive websocket.Message.Receive websocket.ReadJSON jsonapi.UnmarshalPayload",
         (1,), (), _BIND),
    Fill("fmt.Sscanf fmt.Sscan fmt.Sscanln fmt.Fscanf fmt.Fscan fmt.Fscanln", (1, 2, 3, 4), (0,)),
    Fill("fmt.Scan fmt.Scanln fmt.Scanf", (0, 1, 2), (), "who starts the program", "local"),
    Fill("flag.StringVar pflag.StringVar pflag.StringVarP *.Flags().StringVar *.Flags().StringVarP "
         "*.PersistentFlags().StringVar *.PersistentFlags().StringVarP", (0,), (), "who starts the program", "local"),
    Fill("@copy io.ReadFull io.ReadAtLeast", (0,), (1,)), Fill("io.ReadFull io.ReadAtLeast", (1,), (0,)),
    Fill("net.Conn.Read *.Accept().Read", (0,), (), "what a peer sends"), Fill("*.Read", (0,), ("self",)),
    Fill(_on("*strings.Builder *bytes.Buffer", "WriteString WriteByte WriteRune Write ReadFrom"), ("self",), (0,),
         text=True),
    Fill("fmt.Fprintf fmt.Fprint fmt.Fprintln io.WriteString io.Copy io.CopyN", (0,), (1, 2, 3, 4, 5), text=True),
    Fill("net.url.Values.Set net.url.Values.Add *.Query().Set *.Query().Add", ("self",), (1,)),
)  # fmt: skip

ENTRIES: Final = Entries(
    decorators=r"^$",
    bases=r"^$",
    methods=r"^$",
    requests=r"^$",
    pages=r"^$",
    inputs=r"http\.Request|\bgin\b|\becho\.|fiber\.|fasthttp|iris|beego|revel|restful|RequestContext|buffalo|mux\.Vars|"
    r"httprouter|events\.|pb\.|proto\.|connect\.|\.Accept|net\.Conn|ReadMessage|NextReader|ssh\.Channel|archive/|os\.Args|"
    r"flag\.|os\.Stdin|\bcli\.|\bweb\.|math/rand",
    from_address=False,
    answers=r"^$",
    called={},
    harmless=r"^(u?int(8|16|32|64)?|float(32|64)|bool|byte|rune|error|chan|func|function_type)$",
    events=r"^$",
    aside=r'(?m)^package \w+_test$|^// Code generated .* DO NOT EDIT\.$|^(?:import\s+)?\s*"testing"\s*$',
    types=r"^(?!io\.|net\.url\.|bytes\.|strings\.|encoding\.|template\.|html\.)[a-z]\w*(\.\w+)*\.[A-Z]\w*$",
)
