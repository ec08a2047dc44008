"""Java: where input comes from, what makes it harmless, how frameworks call code. Sinks stand in `java_sinks.py`.

Packages are left out and an object is known by its type: `Statement.executeQuery`. `…Upload` are files that were sent,
`@safe.…` is a parser that was made harmless. Sources: the documentation of Java and of each framework.
"""

from __future__ import annotations

import re
from typing import Final

from buril.scanners._taint.entries import Entries
from buril.scanners._taint.java_classes import ROUTES
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.rules import Clean, Source

_ASKED = (
    "getParameter getParameterValues getParameterMap getParameterNames getHeader getHeaders getHeaderNames getCookies "
    "getQueryString getReader getInputStream getPathInfo getPathTranslated getParts getPart getParam params "
    "getFormAttribute formAttributes queryParams queryParam queryParamsValues pathVariable pathVariables bodyToMono "
    "bodyToFlux formData multipartData getQueryParams getBody getQueryParameters uri absoluteURI rawPath splat "
    "getFirstHeader getMultiFileMap getFileNames"
)
_RANDOM = "nextInt nextLong nextDouble nextFloat nextBytes nextGaussian nextBoolean ints longs doubles"
_WRAPPED = (
    "getTheParameter getParameter getParam getTheHeader getHeader getTheCookie getCookie getInput getQuery "
    "getParameterValues getParameterMap getQueryString getBody getHeaderValue getParameterValue"
)
SOURCES: Final = (
    Source(" ".join(f"*equest.{name}() *equest().{name}()" for name in _ASKED.split()), "the request"),
    Source("*equest.getRequestURI() *equest.getRequestURL() *equest.getServletPath() *equest().getRequestURI() "
           "*equest().getRequestURL() *equest().getServletPath() *equest.getServerName()", "the request",
           safe="redirect ssrf log header"),
    Source("Cookie.getValue() Cookie.getName() HttpCookie.getValue() UriInfo.getQueryParameters() UriInfo.getPath() "
           "UriInfo.getPathParameters() UriInfo.getRequestUri() HttpHeaders.getHeaderString() "
           "HttpHeaders.getRequestHeader() HttpHeaders.getRequestHeaders() HttpHeaders.getCookies() "
           "QueryStringDecoder.parameters() QueryStringDecoder.path() FullHttpRequest.content() HttpRequest.uri() "
           "*.getExternalContext().getRequestParameterMap() ExternalContext.getRequestParameterMap() "
           "ExternalContext.getRequestHeaderMap() ExternalContext.getRequestCookieMap() "
           "ExternalContext.getRequestParameterValuesMap() RoutingContext.getBodyAsString() "
           "RoutingContext.getBodyAsJson() RoutingContext.body() RoutingContext.queryParam() "
           "RoutingContext.pathParam() RoutingContext.pathParams() RoutingContext.queryParams() "
           "Context.queryParam() Context.formParam() Context.pathParam() Context.queryParams() Context.formParams() "
           "Context.bodyAsClass() Context.queryParamMap() Context.formParamMap() "
           "HttpExchange.getRequestURI() HttpExchange.getRequestBody() HttpExchange.getRequestHeaders() "
           "HttpServerExchange.getQueryParameters() HttpServerExchange.getRequestPath() "
           "HttpServerExchange.getPathParameters() APIGatewayProxyRequestEvent.getBody() "
           "APIGatewayProxyRequestEvent.getQueryStringParameters() APIGatewayProxyRequestEvent.getPathParameters() "
           "APIGatewayProxyRequestEvent.getHeaders() APIGatewayV2HTTPEvent.getBody() "
           "APIGatewayV2HTTPEvent.getQueryStringParameters() APIGatewayV2HTTPEvent.getPathParameters() "
           "ActionContext.getParameters() *.getContext().getParameters() Http.Request.body() "
           "*.body().asFormUrlEncoded() *.body().asJson()", "the request"),
    Source(" ".join(f"wrapped.request.{name}()" for name in _WRAPPED.split()), "the request"),
    Source("MultipartUpload.getOriginalFilename() PartUpload.getSubmittedFileName() ItemUpload.getName() "
           "PartUpload.filename() UploadOfFile.getFilename() DispositionUpload.getFileName() "
           "UploadOfFile.uploadedFileName() UploadOfFile.fileName()", "the name of a file that was sent"),
    Source("MultipartUpload.getInputStream() MultipartUpload.getBytes() PartUpload.getInputStream() "
           "ItemUpload.getInputStream() ItemUpload.getString() ItemUpload.openStream() PartUpload.content()",
           "a file that was sent", safe="path upload"),
    Source("*Socket.getInputStream() *.accept().getInputStream() DatagramPacket.getData()", "what a peer sends",
           safe="path xss log header"),
    Source("Intent.getStringExtra() *.getIntent().getStringExtra() *.getIntent().getData() Intent.getData() "
           "Intent.getExtras() *.getIntent().getExtras() Intent.getDataString() *.getIntent().getDataString()",
           "another app"),
    Source("ZipEntry.getName() JarEntry.getName() ZipArchiveEntry.getName() TarArchiveEntry.getName() "
           "ArchiveEntry.getName() TarEntry.getName() ZipInputStream.getNextEntry().getName() "
           "FileHeader.getFileName()", "a name in an archive",
           safe="command code sql xss template redirect ssrf deserialisation xxe ldap xpath header log session regex "
           "expression reflection lookup query upload format attribute"),
    Source("@argv System.in Console.readLine() Console.readPassword() System.console().readLine()",
           "who starts the program", "local"),
    Source(" ".join(f"{kind}.{name}()" for kind in ("Random", "ThreadLocalRandom", "ThreadLocalRandom.current()",
                                                    "SplittableRandom") for name in _RANDOM.split())
           + " Math.random() RandomStringUtils.random() RandomStringUtils.randomAlphanumeric() "
           "RandomStringUtils.randomAlphabetic() RandomStringUtils.randomNumeric() RandomStringUtils.randomAscii() "
           "RandomUtils.nextInt() RandomUtils.nextLong() RandomUtils.nextBytes()", "a generator that is not for "
           "secrets",
           "random"),
)  # fmt: skip

_NUMBERS = " ".join(
    f"{kind}.{name}" for kind, name in (
        ("Integer", "parseInt"), ("Long", "parseLong"), ("Short", "parseShort"), ("Byte", "parseByte"),
        ("Double", "parseDouble"), ("Float", "parseFloat"), ("Integer", "valueOf"), ("Long", "valueOf"),
        ("Double", "valueOf"), ("Integer", "decode"), ("Long", "decode"), ("Integer", "parseUnsignedInt"),
        ("UUID", "fromString"), ("LocalDate", "parse"), ("LocalDateTime", "parse"), ("Instant", "parse"),
        ("ZonedDateTime", "parse"), ("OffsetDateTime", "parse"), ("Duration", "parse"), ("LocalTime", "parse"),
        ("ObjectId", ""), ("BigInteger", ""), ("BigDecimal", ""), ("Integer", ""), ("Long", ""),
        ("YearMonth", "parse"), ("Year", "parse"), ("Currency", "getInstance"))
).replace(". ", " ")  # fmt: skip
_HTML = (
    "encodeForHTML encodeForHTMLAttribute encodeForJavaScript encodeForCSS encodeForXML encodeForXMLAttribute "
    "encodeForURL escapeHtml escapeHtml3 escapeHtml4 escapeXml escapeXml10 escapeXml11 escapeEcmaScript "
    "escapeJavaScript htmlEscape htmlEscapeDecimal htmlEscapeHex javaScriptEscape forHtml forHtmlContent "
    "forHtmlAttribute forHtmlUnquotedAttribute forJavaScript forJavaScriptAttribute forJavaScriptBlock forXml "
    "forXmlContent forXmlAttribute forCssString forCssUrl forUri forUriComponent forCDATA sanitize getCleanHTML "
    "escapeHTML encodeHtml htmlEncode escapeForHtml stripXSS"
)
_CRITERIA = (
    "equal notEqual like notLike gt lt ge le between literal greaterThan lessThan in and or greaterThanOrEqualTo "
    "lessThanOrEqualTo parameter"
)
CLEANS: Final = (
    Clean(_NUMBERS + " NumberUtils.toInt NumberUtils.toLong NumberUtils.createInteger Boolean.parseBoolean "
          "Boolean.valueOf Ints.tryParse Longs.tryParse *.valueOf *.hashCode *.indexOf *.lastIndexOf *.compareTo "
          "*.isEmpty *.isBlank *.intValue *.longValue *.getInt *.getLong *.getBoolean *.getDouble *.asInt *.asLong "
          "*.asBoolean *.ordinal *.doubleValue *.booleanValue *.digest DigestUtils.md5Hex DigestUtils.sha256Hex "
          "DigestUtils.sha1Hex DigestUtils.sha512Hex DigestUtils.sha256 DigestUtils.md5DigestAsHex *.doFinal "
          "*.hashpw PasswordEncoder.encode BCryptPasswordEncoder.encode Argon2PasswordEncoder.encode *.hashString "
          "*.getValidInput *.getValidFileName *.getValidDirectoryPath *.getValidInteger *.getValidNumber "
          "*.getValidSafeHTML SimpleDateFormat.parse DateFormat.parse DateTimeFormatter.parse *.getSize *.isPresent "
          "*.count *.getPrincipal *.getUserPrincipal *.exists *.isFile *.isDirectory *.lastModified *.containsKey "
          "Files.createTempFile File.createTempFile UUID.randomUUID UUID.nameUUIDFromBytes"),
    Clean(f"{' '.join(f'*.{name}' for name in _HTML.split())} Jsoup.clean HtmlEscapers.htmlEscaper().escape "
          "HtmlEscaper.escape Escape.* *Escaper*.escape* *Sanitizer.* HTMLFilter.filter HtmlFilter.filter "
          "ESAPI.encoder().encodeForHTML "
          "Encode.forHtml Escaper.escape", "xss"),
    Clean("URLEncoder.encode UriUtils.encode UriUtils.encodePath UriUtils.encodePathSegment UriUtils.encodeQueryParam "
          "*.forUriComponent *.encodeForURL *.urlFormParameterEscaper().escape *.urlPathSegmentEscaper().escape",
          "xss redirect ssrf header log path"),
    Clean("FilenameUtils.getName *.getFileName File.getName FilenameUtils.getBaseName FilenameUtils.normalize "
          "FilenameUtils.normalizeNoEndSeparator *.getCanonicalName", "path"),
    Clean("FilenameUtils.normalize", "path"),
    Clean("*.encodeForLDAP *.encodeForDN LdapEncoder.filterEncode LdapEncoder.nameEncode Filter.encodeValue "
          "Rdn.escapeValue *.escapeLDAPSearchFilter *.escapeLdapFilter *.escapeDN FilterEncoder.encodeFilterValue "
          "LdapNameBuilder.newInstance *.escapeLdap *.filterEncode *.nameEncode", "ldap"),
    Clean("Filter.createEqualityFilter LdapQueryBuilder.query().where().is *.where().is EqualsFilter", "ldap"),
    Clean("*.encodeForSQL StringEscapeUtils.escapeSql *.enquoteIdentifier *.enquoteLiteral *.enquoteName DSL.val "
          "DSL.inline DSL.name DSL.param", "sql"),
    Clean(" ".join(f"CriteriaBuilder.{name} *.getCriteriaBuilder().{name}" for name in _CRITERIA.split()) + " "
        "Restrictions.eq Restrictions.like "
        "Restrictions.in Restrictions.ilike Restrictions.ne Restrictions.gt Restrictions.lt", "sql"),
    Clean("*.encodeForOS", "command"),
    Clean("@after", "redirect ssrf"),
    Clean("*.encodeForXPath", "xpath"),
    Clean("Pattern.quote Matcher.quoteReplacement", "regex"),
    Clean("Filters.eq Filters.in Filters.ne Filters.gt Filters.lt Criteria.where().is", "query"),
    Clean("ServletUriComponentsBuilder.fromCurrentRequest ServletUriComponentsBuilder.fromCurrentContextPath "
          "UriComponentsBuilder.fromPath", "redirect ssrf"),
)  # fmt: skip

INERT: Final = (
    "*.executeQuery *.executeUpdate *.execute *.prepareStatement *.prepareCall *.queryForObject *.queryForList "
    "*.queryForMap *.queryForRowSet JdbcTemplate.query JdbcTemplate.update NamedParameterJdbcTemplate.query "
    "NamedParameterJdbcTemplate.update EntityManager.find EntityManager.createQuery EntityManager.createNativeQuery "
    "EntityManager.merge *.getResultList *.getSingleResult Session.createQuery Session.get Session.load *.findById "
    "*.findOne *.findAll *.findBy* *.existsBy* *.countBy* *.getOne *.getById *.getReferenceById *.save *.saveAll "
    "*.deleteById *.getForObject *.getForEntity *.postForObject *.postForEntity *.exchange FileInputStream FileReader "
    "FileOutputStream FileWriter RandomAccessFile Files.readAllBytes Files.readString Files.readAllLines Files.lines "
    "Files.newInputStream Files.newBufferedReader Files.newOutputStream Files.newBufferedWriter Files.copy "
    "FileUtils.readFileToString FileUtils.readFileToByteArray *.getResourceAsStream *.getSystemResourceAsStream "
    "*.exec *.exec@words *.openStream "
    "*.openConnection *.search *.lookup *.getAttribute *.getInitParameter *.getMessage *.startsWith *.endsWith "
    "*.loadUserByUsername *.authenticate *.getBean *.sendRedirect *.encodePassword *.isInstance *.selectOne "
    "*.selectList *.getObjectById Class.forName *.getConnection *.newCall *.fetch *.getResource ZipFile JarFile"
)
ENDS: Final = "System.exit *.halt"
CHECKS: Final = _NUMBERS
PARTS: Final = (
    r"^(?:get|is)(?!(?:Absolute|Canonical)?(?:Path|File)$|Bytes$|Parent(?:File)?$|InputStream$|Reader$|Value$|"
    r"FileName$|Name$|OriginalFilename$|Id$)[A-Z]|^(?:getFormField|getString|getJSONObject|path|at|asText)$"
)
JAVA_KINDS: Final = {**KINDS, "session": KINDS["session"]._replace(confidence="medium")}
"""What is put into a session counts for more here: the names in it are chosen by whoever writes, not by a framework."""

_HARMLESS = (
    "@trusted int long short byte boolean double float char Integer Long Short Byte Boolean Double Float BigInteger "
    "BigDecimal UUID LocalDate LocalDateTime Instant Date ZonedDateTime OffsetDateTime Duration HttpServletResponse "
    "HttpServletRequest ServerHttpRequest ServerHttpResponse ServerWebExchange HttpSession Model ModelMap "
    "RedirectAttributes BindingResult Errors Principal Authentication Locale TimeZone Pageable Sort SessionStatus "
    "UriComponentsBuilder OutputStream Writer PrintWriter MultipartUpload PartUpload ItemUpload DispositionUpload "
    "UploadOfFile SecurityContext UriInfo HttpHeaders Session AsyncResponse Connection Statement PreparedStatement "
    "JdbcTemplate NamedParameterJdbcTemplate EntityManager Logger Log HttpServletMapping ResultSet DataSource "
    "Acknowledgment Channel RoutingContext HttpExchange Class Method Cookie UserDetails Jwt Supplier Function "
    "Consumer Runnable Callable Executor Random SecureRandom Key PublicKey PrivateKey KeyStore Certificate "
    "X509Certificate[] SSLSession"
)
ENTRIES: Final = Entries(
    decorators=rf"^(?:page\.)?(?:{'|'.join(sorted(ROUTES))}|@setter)(?:\(\))?$",
    bases=r"^$",
    methods=r"^$",
    requests=r"^$",
    pages=r"^page\.",
    inputs=r"[rR]equest|HttpExchange|Exchange|RoutingContext|Cookie|UriInfo|ExternalContext|"
    rf"@(?:{'|'.join(sorted(ROUTES))})\b|Multipart|Part\b|FileItem|Upload|Socket|DatagramPacket|Intent|"
    r"(?:Zip|Jar|Archive|Tar)\w*Entry|"
    r"FileHeader|main\s*\(|System\.in\b|Console|Random|ActionSupport|Action\b|QueryStringDecoder|"
    r"\bContext\b|FormDataContentDisposition|HttpHeaders|console\(\)|extraction|Math\.random|asFormUrlEncoded|asJson|"
    r"ActionContext|getParameters",
    from_address=False,
    answers=r"^$",
    called={},
    harmless=rf"^(?:{'|'.join(map(re.escape, _HARMLESS.split()))})$",
    events=r"^$",
)
