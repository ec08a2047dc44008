"""JavaScript and TypeScript: where input comes from, where it does harm, what makes it harmless, and misuses.

Modules are named without `node:`, slashes are dots (`fs.promises.readFile`). The request of a handler is `req`, Koa's
context `ctx`, whatever the parameter is called. Sources: the documentation of Node and of each framework.
"""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.entries import Entries
from buril.scanners._taint.rules import Clean, Misuse, Sink, Source

_FOR_SECRETS = (
    r"(?i)token|passw|secret|session|otp|nonce|salt|csrf|reset|api_?key|auth|captcha|verification|(^|_)(code|pin)$"
)

SOURCES: Final = (
    Source("req.query req.body req.params req.headers req.cookies req.signedCookies req.originalUrl req.files req.file "
           "req.get() req.header() req.param() req.hostname req.json() req.formData() req.text() "
           "req.nextUrl.searchParams "
           "req.rawBody req.raw req.url ctx.query ctx.params ctx.request.body ctx.request.query ctx.headers ctx.header "
           "ctx.cookies.get() ctx.get() ctx.req.query() ctx.req.param() ctx.req.json() ctx.querystring "
           "event.body event.queryStringParameters event.pathParameters event.headers "
           "event.multiValueQueryStringParameters ctx.request.headers ctx.request.files ctx.request.rawBody "
           "ctx.req.query ctx.req.params *.req.query() *.req.queries() *.req.param() *.req.header() *.req.json() "
           "*.req.text() *.req.parseBody() *.req.formData() req.blob() req.arrayBuffer() *.request.formData() "
           "getQuery() readBody() readRawBody() getRouterParam() getRouterParams() getHeader() getHeaders() "
           "getCookie() readFormData() readMultipartFormData() h3.getQuery() h3.readBody() h3.readRawBody() "
           "h3.getRouterParam() h3.getRouterParams() h3.getHeader() h3.getCookie() h3.readFormData() "
           "h3.readMultipartFormData() page.searchParams page.params action.input message.data",
           "the request"),
    Source("trpc.input graphql.args checked.body checked.query", "the request", safe="nosql attribute"),
    Source("*.snapshot.queryParamMap *.snapshot.queryParams *.snapshot.paramMap *.snapshot.params *.snapshot.fragment "
           "ActivatedRoute.queryParams ActivatedRoute.params ActivatedRoute.queryParamMap ActivatedRoute.paramMap "
           "document.location.href *useSearchParams()[]", "the address"),
    Source("location.hash location.search location.href window.location.hash window.location.search "
           "window.location.href "
           "document.location.hash document.location.search document.URL document.referrer window.name document.cookie "
           "event.data e.data *useSearchParams() *useParams() router.query prompt()", "the address or a "
           "message"),
    Source("process.argv", "who starts the program", "local"),
    Source("Math.random()", "Math.random", "random"),
)  # fmt: skip

_FILES = (
    "readFile readFileSync createReadStream writeFile writeFileSync createWriteStream appendFile appendFileSync unlink "
    "unlinkSync readdir readdirSync rm rmSync rmdir open openSync mkdir mkdirSync copyFile copyFileSync rename "
    "renameSync"
)
SINKS: Final = (
    Sink("command", "child_process.exec child_process.execSync shelljs.exec execa.command execa.commandSync", (0,)),
    Sink("command", "child_process.spawn child_process.spawnSync child_process.execFile "
           "child_process.execFileSync", (0, 1),
         "shell=True"),
    Sink("command", "child_process.spawn child_process.spawnSync child_process.execFile "
           "child_process.execFileSync execa", (0, 1), "shell:str"),
    Sink("command-word", "child_process.spawn child_process.spawnSync child_process.execFile "
           "child_process.execFileSync execa",
         (0, 1), "shell!=True"),
    Sink("code", "eval Function vm.runInNewContext vm.runInThisContext vm.runInContext vm.Script vm.compileFunction "
         "window.eval global.eval vm2.VM().run", (0,)),
    Sink("code", "setTimeout setInterval setImmediate", (0,), "1:int"),
    Sink("code", "Function", (1, 2)),
    Sink("sql", "*.query *.execute *.raw *.$queryRawUnsafe *.$executeRawUnsafe *.whereRaw *.orderByRaw *.havingRaw "
         "*.prepare *.literal *.unsafe *.fromRaw *.joinRaw *.groupByRaw *.$executeRaw *.$queryRaw Prisma.raw",
         (0, "sql", "text")),
    Sink("sql", "*.where *.andWhere *.orWhere *.having *.andHaving *.orHaving *.orderBy *.addOrderBy *.groupBy "
         "*.addSelect", (0,), "0:built"),
    Sink("sql", "*.innerJoin *.leftJoin *.innerJoinAndSelect *.leftJoinAndSelect", (2,), "2:built"),
    Sink("path", " ".join(f"fs.{name} fs.promises.{name} fs_extra.{name}" for name in _FILES.split()), (0, 1)),
    Sink("path", "*.sendFile *.sendfile *.download", (0,), "-root"),
    Sink("path", "koa_send send", (1,), "-root"),
    Sink("xss", "res.send res.write res.end res.status().send res.status().end res.type().send res.set().send", (0,)),
    Sink("xss", "*.innerHTML= *.outerHTML= ctx.body= *.srcdoc=", (0,)),
    Sink("xss", "document.write document.writeln jsx.dangerouslySetInnerHTML *.html *.insertAdjacentHTML", (0, 1)),
    Sink("xss", "*.bypassSecurityTrustHtml *.bypassSecurityTrustScript *.bypassSecurityTrustUrl "
         "*.bypassSecurityTrustResourceUrl *.bypassSecurityTrustStyle @page *.createContextualFragment "
         "*.setHTMLUnsafe", (0,)),
    Sink("xss", "*.setProperty", (2,), "1~^(innerHTML|outerHTML|srcdoc)$"),
    Sink("template", "ejs.render pug.render pug.compile handlebars.compile nunjucks.renderString lodash.template "
           "_.template "
         "mustache.render doT.template dot.template eta.renderString Handlebars.compile", (0,)),
    Sink("redirect", "*.redirect *.permanentRedirect next.navigation.permanentRedirect sendRedirect h3.sendRedirect",
         (0, 1)),
    Sink("redirect", "location.href= window.location= window.location.href= document.location= location=", (0,)),
    Sink("redirect", "location.assign location.replace window.location.assign window.location.replace window.open "
         "router.push router.replace", (0,)),
    Sink("redirect", "res.setHeader res.set res.writeHead res.location", (1,), "0~(?i)^location$"),
    Sink("ssrf", "fetch axios axios.get axios.post axios.put axios.delete axios.head axios.request got got.get "
           "got.post needle "
         "http.get http.request https.get https.request undici.request undici.fetch node_fetch superagent.get "
         "superagent.post request request.get request.post ky ky.get *HttpService.get *HttpService.post "
         "*HttpService.put *HttpService.patch *HttpService.delete *HttpService.head *HttpService.request "
         "*httpService.get *httpService.post *httpService.request *httpService.axiosRef.get "
         "*httpService.axiosRef.request *HttpService.axiosRef.get *HttpService.axiosRef.request "
         "ofetch ofetch.raw $fetch *.axios.get *.axios.post puppeteer.launch().newPage().goto axios.patch",
         (0, "url", "uri", "hostname", "host")),
    Sink("deserialisation", "node_serialize.unserialize serialize.unserialize funcster.deepDeserialize v8.deserialize "
         "serialize_to_js.deserialize", (0,)),
    Sink("xxe", "libxmljs.parseXml libxmljs.parseXmlString libxmljs2.parseXml", (0,), "noent=True"),
    Sink("ldap", "*.search *client.searchAsync", (0, 1), "+filter"),
    Sink("ldap", "ldapClient.search client.search", (0,)),
    Sink("xpath", "xpath.select xpath.select1 xpath.evaluate *.evaluate", (0,)),
    Sink("nosql", "*.find *.findOne *.findOneAndUpdate *.findOneAndDelete *.deleteOne *.deleteMany *.updateOne "
           "*.updateMany "
         "*.countDocuments *.aggregate *.exists *.where", (0,)),
    Sink("regex", "RegExp", (0,)),
    Sink("attribute", "Object.assign lodash.merge _.merge lodash.defaultsDeep _.defaultsDeep lodash.assign _.extend "
         "deepmerge merge", (1, 2)),
    Sink("attribute", "*.create *.build *.insertMany *.findByIdAndUpdate *.update", (0, 1)),
    Sink("weak-random", "res.cookie *.cookies.set req.session@=", (1, 0)),
    Sink("upload", "*.mv", (0,)),
    Sink("log", "console.log console.info console.warn console.error *logger.info *logger.warn *logger.error *log.info "
         "*log.warn *log.error *logger.debug", ("*",)),
    Sink("origin", "res.setHeader res.header res.set reply.header", (1,), "0~(?i)^access-control-allow-origin$"),
)  # fmt: skip

CLEANS: Final = (
    Clean("parseInt Number parseFloat Boolean BigInt Number.parseInt *.charCodeAt *.indexOf *.length *.localeCompare "
          "validator.toInt *.digest crypto.randomUUID crypto.randomBytes @+ @- @void Date.parse req.file.filename "
          "req.file.path req.file.size"),
    Clean("encodeURIComponent encodeURI", "xss redirect ssrf header log path"),
    Clean("he.encode he.escape escape_html lodash.escape _.escape validator.escape DOMPurify.sanitize "
           "dompurify.sanitize "
          "sanitize_html xss *escapeHtml *escapeHTML *sanitizeHtml isomorphic_dompurify.sanitize *.render "
          "html_escaper.escape",
          "xss"),
    Clean("path.basename *.basename sanitize_filename", "path"),
    Clean("shell_quote.quote shell_escape", "command"),
    Clean("*.escape mysql.escape mysql2.escape *.escapeId pg.escapeLiteral *.escapeLiteral *.escapeIdentifier "
          "pg_format sqlstring.escape", "sql"),
    Clean("*.@tag", "sql command"),
    Clean("*html.@tag *.html.@tag svg.@tag *.sanitize", "xss"),
    Clean("*.@tag", "nosql"),
    Clean("lodash.escapeRegExp _.escapeRegExp escape_string_regexp *escapeRegExp", "regex"),
    Clean("JSON.stringify String *.toString", "nosql"),
    Clean("mongo_sanitize", "nosql"),
    Clean("lodash.pick _.pick", "attribute"),
    Clean("ldap_escape.filter *escapeLDAP *escapeFilter ldap_escape", "ldap"),
)  # fmt: skip

INERT: Final = (
    "*.query *.execute *.findOne *.find *.findById *.findUnique *.findMany *.all *.run *.exec *.save *.json fetch "
    "axios axios.get "
    "axios.post got http.get https.get fs.readFileSync fs.readFile fs.promises.readFile *.redirect *.sendFile *.render "
    "bcrypt.compare *.verify *.compare console.log *.includes *.test *.startsWith *.endsWith *.has fs.existsSync "
    "child_process.execSync child_process.exec child_process.execFile *.status"
)

INDIRECT: Final = (("util.promisify", 0), ("setTimeout setInterval setImmediate queueMicrotask", 0))
CONSTANTS: Final = (("fs.constants.S_IWOTH", 2), ("fs.constants.S_IRWXO", 7))

_NET = (
    "https.request https.get https.Agent tls.connect axios axios.* request request.* got got.* node_fetch undici.Agent "
    "*.createTransport *.Client *.Pool *Pool *Client *.Agent *.connect *.createConnection"
)
_COOKIES = (
    "*.cookie *.cookies.set *.setCookie *cookies().set *.cookies().set setCookie hono.cookie.setCookie h3.setCookie "
    "nookies.setCookie"
)
MISUSES: Final = (
    Misuse("weak-hash", 328, "medium", "crypto.createHash", "0~(?i)^(md4|md5|sha1|sha-1|ripemd160)$",
           "a hash that collisions are known of", "medium"),
    Misuse("weak-hash", 328, "medium", "crypto.createHmac", "0~(?i)^(md4|md5)$", "a hash that collisions are known "
           "of", "medium"),
    Misuse("weak-hash", 328, "medium", "md5 crypto_js.MD5 CryptoJS.MD5 crypto_js.SHA1 CryptoJS.SHA1 sha1 js_md5 "
           "blueimp_md5", "",
           "a hash that collisions are known of", "medium"),
    Misuse("fast-password-hash", 916, "medium", "crypto.createHash crypto.createHmac", "+0", "a password is hashed "
           "by a fast hash",
           "medium", r"(?i)passw|pwd"),
    Misuse("fast-password-hash", 916, "medium", "crypto.createHash().update", "+0", "a password is hashed by a fast "
           "hash", "medium",
           r"(?i)passw|pwd"),
    Misuse("few-rounds", 916, "medium", "bcrypt.hash bcrypt.hashSync bcryptjs.hash bcryptjs.hashSync", "1<10",
           "a password is hashed in too few rounds"),
    Misuse("few-rounds", 916, "medium", "crypto.pbkdf2 crypto.pbkdf2Sync", "2<100000", "a password is hashed in too "
           "few rounds"),
    Misuse("weak-cipher", 327, "high", "crypto.createCipher crypto.createDecipher", "", "the key is made from a "
           "password in one step"),
    Misuse("weak-cipher", 327, "high", "crypto.createCipheriv crypto.createDecipheriv",
        "0~(?i)des|rc4|rc2|blowfish|bf-|ecb",
           "a cipher that can be broken"),
    Misuse("weak-cipher", 327, "high", "CryptoJS.DES.encrypt CryptoJS.TripleDES.encrypt CryptoJS.RC4.encrypt "
           "crypto_js.DES.encrypt "
           "crypto_js.TripleDES.encrypt crypto_js.RC4.encrypt", "", "a cipher that can be broken"),
    Misuse("small-key", 326, "medium", "crypto.generateKeyPair crypto.generateKeyPairSync", "modulusLength<2048",
           "a key that is too short"),
    Misuse("static-iv", 329, "medium", "crypto.createCipheriv", "2:str", "the same initialisation vector every time"),
    Misuse("weak-random", 338, "medium", "Math.random", "", "a secret from a generator that can be guessed", "medium",
           _FOR_SECRETS),
    Misuse("no-certificate-check", 295, "high", _NET, "rejectUnauthorized=False", "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", _NET, "ssl.rejectUnauthorized=False", "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", _NET, "tls.rejectUnauthorized=False", "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", "*options= *Options= *opts= *config= *tls= *ssl=",
           "0.rejectUnauthorized=False", "certificates are not checked",
           "medium"),
    Misuse("no-certificate-check", 295, "high", "process.env.NODE_TLS_REJECT_UNAUTHORIZED=", "0~^0$", "certificates "
           "are not checked"),
    Misuse("token-not-verified", 347, "high", "jsonwebtoken.verify jwt.verify", "algorithms.0=none",
           "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "medium", "jsonwebtoken.decode jwt.decode jose.decodeJwt jwt_decode "
           "*JwtService.decode *jwtService.decode", "",
           "the token's signature is not checked", "medium"),
    Misuse("hard-coded-secret", 798, "high", "jsonwebtoken.sign jwt.sign jsonwebtoken.verify jwt.verify", "1:str",
           "a secret stands in the code"),
    Misuse("hard-coded-secret", 798, "high", "express_session cookie_session cookie_parser", "secret:str", "a secret "
           "stands in the code"),
    Misuse("hard-coded-secret", 798, "high", "crypto.createCipheriv crypto.createHmac", "1:str", "a secret stands in "
           "the code"),
    Misuse("insecure-cookie", 614, "medium", _COOKIES, "secure=False", "a cookie goes "
           "over plain HTTP"),
    Misuse("insecure-cookie", 1004, "medium", _COOKIES, "httpOnly=False", "scripts can "
           "read a cookie"),
    Misuse("insecure-cookie", 614, "medium", "express_session cookie_session", "cookie.secure=False", "a cookie goes "
           "over plain HTTP"),
    Misuse("insecure-cookie", 614, "medium", "cookie_session", "secure=False", "a cookie goes over plain HTTP"),
    Misuse("insecure-cookie", 1004, "medium", "express_session", "cookie.httpOnly=False", "scripts can read a cookie"),
    Misuse("insecure-cookie", 1004, "medium", "cookie_session", "httpOnly=False", "scripts can read a cookie"),
    Misuse("any-origin", 942, "medium", "cors *.register fastify_cors *.enableCors hono.cors.cors",
           "origin=True credentials=True",
           "every page may ask with the user's cookies"),
    Misuse("any-origin", 942, "medium", "cors *.register fastify_cors *.enableCors hono.cors.cors",
           "origin=* credentials=True",
           "every page may ask with the user's cookies"),
    Misuse("any-origin", 942, "medium", "res.setHeader res.header res.set reply.header",
        "0~(?i)^access-control-allow-origin$ 1=*",
           "every page may read the answer", "medium"),
    Misuse("open-to-all", 732, "medium", "fs.chmod fs.chmodSync fs.promises.chmod", "1&2", "everybody may write to it"),
    Misuse("open-to-all", 732, "medium", "fs.writeFile fs.writeFileSync fs.mkdir fs.mkdirSync "
           "fs.promises.writeFile", "mode&2",
           "everybody may write to it"),
    Misuse("temporary-name", 377, "medium", "fs.writeFile fs.writeFileSync fs.createWriteStream "
           "fs.promises.writeFile fs.openSync",
           "0~^/(var/)?tmp/", "somebody else can take the name first", "medium"),
    Misuse("no-escaping", 79, "medium", "nunjucks.configure nunjucks.Environment", "autoescape=False",
           "templates don't escape what they show"),
    Misuse("no-escaping", 79, "medium", "handlebars.compile Handlebars.compile", "noEscape=True", "templates don't "
           "escape what they show"),
)  # fmt: skip

ENDS: Final = (
    "ctx.throw process.exit next.navigation.redirect next.navigation.notFound next.navigation.permanentRedirect "
    "sveltejs.kit.redirect sveltejs.kit.error"
)

ENTRIES: Final = Entries(
    decorators=r"(^|\.)(Get|Post|Put|Patch|Delete|All)(\(\))?$",
    bases=r"(Controller|Component)\b",
    methods=r"^(GET|POST|PUT|PATCH|DELETE|HEAD)$",
    requests=r"^_?(req|request|ctx|context|event)$",
    pages=r"^$",
    inputs=r"\breq\b|[rR]equest|\bctx\b|location|document\.|event|argv|[qQ]uery|[sS]earchParams|useParams|prompt\(|"
    r"\.data\b|@(?:param\.|\w*(?:Body|Params?|Headers?|Args?|Cookies?|Path|Queries|FormField|Payload)\()|params|"
    r"use server|\.input\(|readBody|getRouterParam|getHeader|getCookie|readFormData|snapshot|"
    r"ActivatedRoute|[sS]ocket|\bws",
    from_address=False,
    answers=r"^(res|response|reply)$",
    called={"request": "req", "context": "ctx", "response": "res"},
    harmless=r"^(number|boolean|bigint|Date)\b|^@",
    events=r"^$",
    services=r"^(JwtService|HttpService|DomSanitizer|ActivatedRoute|Router)\b",
)
