"""Java: where input does harm. Objects are known by their type, packages are left out (see `java_rules.py`)."""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.rules import Sink


def _each(owners: str, names: str) -> str:
    """All methods of all owners."""
    return " ".join(f"{owner}.{name}" for owner in owners.split() for name in names.split())


_WRITERS = (
    "HttpServletResponse.getWriter() HttpServletResponse.getOutputStream() *esponse().getWriter() ?.getWriter() "
    "@object*.response.getWriter() response.getWriter() *esponse().getOutputStream() JspWriter *.getOut() "
    "HttpExchange.getResponseBody() @object*.resp.getWriter()"
)
_SQL_TEMPLATES = (
    "JdbcTemplate NamedParameterJdbcTemplate *[jJ][dD][bB][cC]*emplate JdbcClient SimpleJdbcTemplate JdbcDaoSupport "
    "*.getJdbcTemplate()"
)
_FILES = (
    "readAllBytes readAllLines readString lines newInputStream newOutputStream newBufferedReader "
    "newBufferedWriter write "
    "writeString delete deleteIfExists createFile createDirectory createDirectories walk list newByteChannel "
    "newDirectoryStream exists size"
)
_FILE_UTILS = (
    "readFileToString readFileToByteArray readLines writeStringToFile writeByteArrayToFile write deleteDirectory "
    "forceDelete deleteQuietly openInputStream openOutputStream forceMkdir cleanDirectory listFiles"
)
_CALLS = "getForObject getForEntity postForObject postForEntity postForLocation exchange put delete execute " \
         "patchForObject headForHeaders optionsForAllow"  # fmt: skip
_LEVELS = "trace debug info warn error fatal log severe warning fine finer config"

SINKS: Final = (
    Sink("command", "Runtime.exec *.getRuntime().exec CommandLine.parse ChannelExec.setCommand Session.execCommand "
         "*.startSession().exec SSHClient.exec", (0,)),
    Sink("command-word", "Runtime.exec@words *.getRuntime().exec@words ProcessBuilder ProcessBuilder.command "
         "CommandLine", (0,)),
    Sink("code", "ScriptEngine.eval *.getEngineByName().eval *.getEngineByExtension().eval Compilable.compile "
         "GroovyShell.evaluate GroovyShell.parse GroovyShell.run Eval.me Eval.x GroovyClassLoader.parseClass "
         "Interpreter.eval PythonInterpreter.exec PythonInterpreter.eval JShell.eval ScriptEngineManager*.eval "
         "GroovyScriptEngine.run ScriptRuntime.eval WebView.evaluateJavascript NashornScriptEngine.eval "
         "*.evaluateJavascript", (0,)),
    Sink("code", "Context.evaluateString Context.compileString Context.eval", (0, 1)),
    Sink("expression", "*.parseExpression Ognl.getValue Ognl.setValue Ognl.parseExpression MVEL.eval MVEL.evalToString "
         "MVEL.compileExpression MVEL.executeExpression JexlEngine.createExpression JexlEngine.createScript "
         "*.createExpression ELProcessor.eval ELProcessor.getValue ELProcessor.setValue AviatorEvaluator.execute "
         "ExpressionEvaluator.cook *.buildConstraintViolationWithTemplate OgnlUtil.getValue OgnlUtil.compile "
         "TemplateRuntime.eval ExpressRunner.execute JexlBuilder*.createExpression JexlBuilder*.createScript "
         "*.findValue", (0,)),
    Sink("expression", "ExpressionFactory.createValueExpression ExpressionFactory.createMethodExpression "
         "*.createValueExpression *.evaluateExpressionGet", (0, 1)),
    Sink("reflection", "Class.forName *.loadClass ClassUtils.forName ClassUtils.getClass", (0,)),
    Sink("lookup", "Context.lookup DirContext.lookup InitialContext.lookup InitialContext.doLookup JndiTemplate.lookup "
         "JndiLocatorDelegate.lookup Context.bind JMXServiceURL *.doLookup", (0,)),
    Sink("sql", "*.executeQuery *.executeUpdate *.executeLargeUpdate *.prepareStatement *.prepareCall *.nativeSQL "
         "Statement.execute *.createStatement().execute Statement.addBatch *.createStatement().addBatch "
         "Statement.executeBatch *.createNativeQuery *.createSQLQuery EntityManager.createQuery Session.createQuery "
         "*.getCurrentSession().createQuery *.openSession().createQuery *.createMutationQuery "
         "*.createSelectionQuery *.sqlRestriction *.queryForObject *.queryForList *.queryForMap *.queryForRowSet "
         "*.queryForInt *.queryForLong *.queryForStream DatabaseClient.sql DatabaseClient.execute "
         "Connection.createStatement DSLContext.fetch DSLContext.execute DSLContext.query DSLContext.resultQuery "
         "DSL.sql DSL.condition DSL.field DSL.table JpaSort.unsafe SqlClient.query SqlClient.preparedQuery "
         "SQLiteDatabase.rawQuery SQLiteDatabase.execSQL SQLiteDatabase.compileStatement *.rawQuery *.execSQL "
         "CqlSession.execute *.createFilter PersistenceManager.newQuery QueryRunner.query QueryRunner.update "
         "QueryRunner.execute BatchSqlUpdate.setSql Pool.query PgPool.query Jdbi.withHandle Handle.createQuery "
         "Handle.createUpdate Handle.execute Handle.select EntityManagerFactory.createQuery em.createQuery "
         "*.entityManager.createQuery *.getEntityManager().createQuery SqlRowSet.execute JdbcAggregate.query", (0,)),
    Sink("sql", _each(_SQL_TEMPLATES, "query update execute batchUpdate sql queryForStream"), (0,)),
    Sink("sql", "QueryRunner.query QueryRunner.update QueryRunner.execute", (1,)),
    Sink("path", "FileInputStream FileOutputStream FileReader FileWriter RandomAccessFile ZipFile JarFile "
         "FileSystemResource FileDataSource PathResource FileImageInputStream", (0,)),
    Sink("path", "Scanner PrintWriter PrintStream ImageIO.read ImageIO.write IOUtils.toString DocumentBuilder.parse "
         "SAXReader.read", (0, 2), "0~^(File|Path)"),
    Sink("path", _each("Files", _FILES) + " " + _each("FileUtils", _FILE_UTILS), (0,)),
    Sink("path", "Files.copy Files.move Files.createSymbolicLink Files.createLink FileUtils.copyFile "
         "FileUtils.moveFile FileUtils.copyInputStreamToFile FileUtils.copyURLToFile FileUtils.copyToFile "
         "FileUtils.copyDirectory FileSystemUtils.copyRecursively", (1,)),
    Sink("path", "Files.copy Files.move FileUtils.copyFile FileUtils.moveFile", (0,), "0~^(File|Path)"),
    Sink("path", "File.delete File.exists File.createNewFile File.mkdir File.mkdirs File.renameTo File.listFiles "
         "File.list File.deleteOnExit File.canRead", ("self",)),
    Sink("path", "File.renameTo MultipartUpload.transferTo PartUpload.write ItemUpload.write PartUpload.transferTo "
         "*.getRequestDispatcher *.getResourceAsStream *.getSystemResourceAsStream "
         "ResourceLoader.getResource *.sendFile "
         "DefaultResourceLoader.getResource *.openFileOutput *.openFileInput ResourceUtils.getFile", (0,)),
    Sink("xss", _each(_WRITERS, "print println write append"), (0,)),
    Sink("xss", _each(_WRITERS, "format printf"), (0, 1, 2, 3)),
    Sink("xss", "Context.html WebView.loadData *.loadDataWithBaseURL WebView.loadUrl", (0, 1)),
    Sink("xss", "Response.ok", (0,), "1~(?i)html"),
    Sink("template", "Velocity.evaluate VelocityEngine.evaluate RuntimeServices.parse", (3,)),
    Sink("template", "Template StringTemplateLoader.putTemplate", (1,)),
    Sink("template", "TemplateEngine.process SpringTemplateEngine.process ITemplateEngine.process *.getLiteralTemplate "
         "Handlebars.compileInline *.compileInline Jinjava.render ST Mustache.compiler().compile @view "
         "StringTemplate RuntimeServices.parse *.templateEngine.process", (0,)),
    Sink("redirect", "*.sendRedirect @redirect RedirectView Response.seeOther Response.temporaryRedirect "
         "ServerResponse.temporaryRedirect ServerResponse.permanentRedirect ServerResponse.seeOther *.setLocation "
         "*.getExternalContext().redirect ExternalContext.redirect Context.redirect Response.redirect", (0,)),
    Sink("redirect", "*esponse.setHeader *esponse.addHeader *.header", (1,), "0~(?i)^location$"),
    Sink("redirect", "ResponseEntity*.location", (0,)),
    Sink("ssrf", "*.openStream *.openConnection URL.getContent UrlResource.getInputStream UrlResource.contentLength",
         ("self",)),
    Sink("ssrf", "HttpGet HttpPost HttpPut HttpDelete HttpHead HttpPatch HttpOptions GetMethod PostMethod PutMethod "
         "HttpRequest.newBuilder *.uri *.baseUrl WebClient.create RestClient.create Builder.url Jsoup.connect "
         "Unirest.get Unirest.post Unirest.put Unirest.delete Request.Get Request.Post Request.Put Request.get "
         "Request.post Client.target *.newClient().target *.prepareGet *.preparePost Socket SSLSocket "
         "*.createSocket HttpUriRequestBase Request.Builder().url RequestEntity.get RequestEntity.post "
         "ClassicRequestBuilder.get ClassicRequestBuilder.post RequestBuilder.get SimpleHttpRequest.create "
         "WebClient.getAbs *.getAbs *.postAbs *.createRequest InetSocketAddress", (0,)),
    Sink("ssrf", _each("RestTemplate TestRestTemplate AsyncRestTemplate *.restTemplate", _CALLS), (0,)),
    Sink("ssrf", "ImageIO.read IOUtils.toString IOUtils.toByteArray IOUtils.copy FileUtils.copyURLToFile "
         "Resources.toString Resources.toByteArray URLClassLoader *.readValue *.readTree", (0,), "0~^UR[LI]$"),
    Sink("deserialisation", "ObjectInputStream.readObject ObjectInputStream.readUnshared XMLDecoder.readObject "
         "HessianInput.readObject Hessian2Input.readObject BurlapInput.readObject FSTObjectInput.readObject "
         "ObjectInput.readObject", ("self",)),
    Sink("deserialisation", "XStream.fromXML XStream.unmarshal Yaml.load Yaml.loadAll Yaml.loadAs "
         "SerializationUtils.deserialize SerializationHelper.deserialize Kryo.readClassAndObject Kryo.readObject "
         "JsonReader.jsonToJava *.unserialize SerializeUtil.deserialize Serializer.deserialize "
         "XStream.createObjectInputStream "
         "SimpleSerialization.deserialize", (0,)),
    Sink("xxe", "DocumentBuilderFactory*.parse SAXParserFactory*.parse XMLReaderFactory*.parse SAXReader.read "
         "SAXBuilder.build XMLInputFactory*.createXMLStreamReader XMLInputFactory*.createXMLEventReader "
         "TransformerFactory*.transform DocumentHelper.parseText SchemaFactory*.newSchema SchemaFactory*.validate "
         "TransformerFactory*.newTransformer Digester.parse Builder.build Xmlstream.parse", (0,)),
    Sink("entities", "@lax.DocumentBuilderFactory*.parse @lax.SAXParserFactory*.parse @lax.SAXReader.read "
         "@lax.SAXBuilder.build", (0,)),
    Sink("ldap", "DirContext.search LdapTemplate.search LdapTemplate.searchForObject LdapTemplate.authenticate "
         "LdapContextSource.search Context.search *.getContext().search *.searchForContext", (0, 1)),
    Sink("ldap", "LDAPConnection.search LdapConnection.search LdapNetworkConnection.search LDAPInterface.search",
         (0, 1, 2)),
    Sink("ldap", "LdapQueryBuilder.query().filter *.query().filter Filter.create", (0,)),
    Sink("xpath", "XPath.evaluate XPath.compile XPath.evaluateExpression *.newXPath().evaluate *.newXPath().compile "
         "*.selectNodes *.selectSingleNode DocumentHelper.createXPath XPathFactory.compile XPath.newInstance "
         "*.createXPath JXPathContext.getValue JXPathContext.iterate XPathAPI.selectNodeList "
         "XPathAPI.selectSingleNode XPath.selectNodes XPathCompiler.compile XPathCompiler.evaluate", (0, 1)),
    Sink("query", "BasicDBObject.parse Document.parse BsonDocument.parse BasicQuery JSON.parse "
         "MongoTemplate.executeCommand Session.run Transaction.run Neo4jClient.query *.executeCypher "
         "GraphDatabaseService.execute", (0,)),
    Sink("query", "BasicDBObject *.append *.put *.set", (1,), "0~^\\$where$"),
    Sink("header", "*esponse.setHeader *esponse.addHeader *esponse.addIntHeader *.header", (0, 1)),
    Sink("origin", "*esponse.setHeader *esponse.addHeader", (1,), "0~(?i)^access-control-allow-origin$"),
    Sink("session", "HttpSession.setAttribute HttpSession.putValue *.getSession().setAttribute "
         "*.getSession().putValue", (0, 1)),
    Sink("weak-random", "Cookie ResponseCookie.from HttpSession.setAttribute *.getSession().setAttribute", (1, 0)),
    Sink("upload", "MultipartUpload.transferTo PartUpload.write ItemUpload.write PartUpload.transferTo Files.copy "
         "Files.write Files.newOutputStream FileOutputStream FileUtils.copyInputStreamToFile "
         "FileUtils.writeByteArrayToFile FileCopyUtils.copy", (0, 1)),
    Sink("log", _each("Logger Log LOG log logger LOGGER *.LOG *.log *.logger *.LOGGER *.getLogger()", _LEVELS), ("*",)),
    Sink("regex", "re.compile re.fullmatch Pattern.matches", (0,)),
    Sink("format", "String.format *.printf Formatter.format", (0,)),
    Sink("attribute", "BeanUtils.populate BeanUtilsBean.populate PropertyUtils.setProperty "
        "BeanUtils.setProperty", (1,)),
    Sink("mail", "MimeMessage.setSubject *.addHeader", (0,)),
)  # fmt: skip
