"""PHP: where input comes from, where it does harm, and what makes it harmless. Misuses stand in `php_misuse.py`.

Functions are in small letters, classes go by their short name (`DB.raw` is a static method, `PDO().query` one of an
object), variables and properties keep their `$`. However a framework is asked for a field, it is `request.input`
(`php_requests.py`). Names with a dot that PHP does not have (`header.location`) come from `php_calls.py`. Sources:
PHP's manual and the documentation of each framework.
"""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.entries import Entries
from buril.scanners._taint.rules import Clean, Sink, Source

SOURCES: Final = (
    Source("$_GET $_POST $_REQUEST $_COOKIE $HTTP_RAW_POST_DATA $HTTP_GET_VARS $HTTP_POST_VARS $HTTP_COOKIE_VARS "
           "getallheaders() apache_request_headers() request.input request.header request.cookie request.getContent() "
           "request.getBody() request.getRawBody() request.rawContent() request.get_body() request.getCookie() "
           "request.body() request.getQueryString() request.userAgent() request.getUserAgent() request.getReferer() "
           "request.getHost() request.host() request.getHttpHost() JRequest.getVar() JRequest.getString() "
           "*.getApplication().$input.get() *.$input.getString() $form.getData() *.$form.getData() "
           "*form_state.getValue() "
           "*form_state.getValues() *form_state.getUserInput() $socket.read()",
           "the request"),
    Source("$_SERVER", "the request"),
    Source("$_SERVER.HTTP_REFERER $_SERVER.REQUEST_URI", "the request", safe="redirect"),
    Source("$_SERVER.PHP_SELF", "the request", safe="redirect ssrf scheme"),
    Source("$_SERVER.HTTP_HOST", "the request", safe="redirect xss"),
    Source("$_FILES request.files", "the request", safe="path"),
    Source("request.validated() request.safe()", "the request", safe="attribute"),
    Source("request.getRequestUri() request.getUri() request.url() request.fullUrl() request.getPathInfo() "
           "request.path() request.getPath() request.getRequestTarget() request.getUrl()", "the request",
           safe="redirect ssrf log header attribute"),
    Source("php.input()", "the request"),
    Source("socket_read() socket_recv() stream_socket_recvfrom() socket_recvfrom()", "what a peer sends"),
    Source("*.getNameIndex() zip_entry_name()", "an archive", safe="command code sql xss template redirect ssrf ldap "
           "xpath nosql header log session regex format upload origin attribute mail deserialisation xxe"),
    Source("$argv readline() getopt() php.stdin() *input.getArgument() *input.getOption()", "who starts the program",
           "local"),
    Source("rand() mt_rand() lcg_value() uniqid() array_rand() str_shuffle() microtime()", "what can be guessed",
           "random"),
)  # fmt: skip

_FILES = (
    "fopen file_get_contents file readfile file_put_contents unlink rmdir mkdir scandir opendir dir touch chmod "
    "show_source highlight_file php_strip_whitespace parse_ini_file simplexml_load_file gzopen readgzfile gzfile "
    "rename copy symlink link glob fileperms exif_read_data imagecreatefrompng imagecreatefromjpeg imagecreatefromgif "
    "imagecreatefromwebp tempnam bzopen finfo_file mime_content_type parse_ini_file yaml_parse_file ftok"
)
SINKS: Final = (
    Sink("command", "exec shell_exec system passthru popen pcntl_exec ssh2_exec expect_popen ssh2_shell "
         "Process.fromShellCommandline Process.run Process.start *ssh.exec SSH2().exec *.runShell Ssh().execute", (0,)),
    Sink("command", "ssh2_exec", (1,)),
    Sink("command", "mail mb_send_mail", (4,)),
    Sink("command-word", "proc_open Process", (0,)),
    Sink("code", "eval assert create_function preg_replace call_user_func call_user_func_array "
         "register_shutdown_function register_tick_function ob_start array_map "
         "forward_static_call forward_static_call_array runkit_function_redefine func_overload "
         "ReflectionFunction ExpressionLanguage().evaluate ExpressionLanguage().compile *expressionLanguage.evaluate",
         (0,)),
    Sink("code", "create_function usort uasort uksort array_filter array_walk array_reduce iterator_apply "
         "preg_replace_callback", (1,)),
    Sink("code-name", "@called", (0,)),
    Sink("include", "include *.loadTemplate", (0,)),
    Sink("sql", "mysql_query mysql_unbuffered_query mysql_db_query pg_query pg_send_query sqlite_query "
         "sqlite_exec mssql_query sybase_query odbc_do ibase_query db_query maxdb_query cubrid_query", (0,)),
    Sink("sql", "mysqli_query mysqli_multi_query mysqli_real_query mysqli_prepare pg_query pg_send_query pg_prepare "
         "pg_query_params odbc_exec odbc_prepare oci_parse db2_exec db2_prepare sqlsrv_query sqlsrv_prepare "
         "ociparse fbsql_query ingres_query mysqli_stmt_prepare", (1,)),
    Sink("sql", "[!D]*.query DB*.query D[!O]*.query *.multi_query *.real_query *.unbufferedQuery *.queryAll "
         "*.queryRow *.querySingle *.queryExec *.exec *.prepare *.simple_query *.get_results *.get_row *.get_var "
         "*.get_col *.executeQuery *.executeStatement *.executeUpdate *.createQuery *.createNativeQuery "
         "*.createCommand *.setQuery *.findBySql *.find_by_sql *.fetchAll *.fetchRow *.fetchAssoc *.fetchAssociative "
         "*.fetchAllAssociative *.fetchOne *.fetchColumn *.fetchAllKeyValue *.fetchFirstColumn *.fetchNumeric "
         "*.Execute *.GetAll *.GetRow *.GetOne *.GetCol *.SelectLimit *.CacheExecute *.sql_query *.rawQuery "
         "*.rawQueryOne *.whereRaw *.orWhereRaw *.selectRaw *.havingRaw *.orHavingRaw *.orderByRaw *.groupByRaw "
         "*.fromRaw *.joinRaw *.unprepared *.raw *.order_by *.where *.andWhere *.orWhere *.having *.andHaving "
         "*.or_where "
         "*createQueryBuilder()*.orderBy *createQueryBuilder()*.addOrderBy "
         "*createQueryBuilder()*.select *createQueryBuilder()*.groupBy *.getConnection().query *.quoteInto "
         "*connection.execute *$connection.execute *conn.execute *$conn.execute *.getConnection().execute "
         "ConnectionManager.get().execute *.newExpr *.dbquery *.sqlQuery *.doQuery", (0, "sql", "query")),
    Sink("sql", "DB.select DB.insert DB.update DB.delete DB.statement DB.unprepared DB.raw DB.selectOne DB.scalar "
         "DB.affectingStatement DB.cursor Expression RawExpression DB.connection().select DB.connection().statement "
         "DB.query Capsule.select Capsule.raw *getPdo().exec Yii.$app.$db.createCommand Db.getInstance().execute "
         "Db.getInstance().executeS Db.getInstance().getValue Db.getInstance().getRow R.exec R.getAll R.getRow "
         "R.getCell ORM.raw_query SQL.query", (0,)),
    Sink("sql", "R.find R.findOne R.count", (1,)),
    Sink("path", _FILES, (0,)),
    Sink("path", "rename copy symlink link move_uploaded_file", (1,)),
    Sink("path", "SplFileObject SplFileInfo Finder().in ZipArchive().open PharData BinaryFileResponse File.get "
         "File.put File.delete File.append File.copy File.move File.requireOnce Storage.get Storage.put "
         "Storage.delete Storage.download Storage.response Storage.path Storage.readStream Storage.move Storage.copy "
         "Storage.disk().get Storage.disk().put Storage.disk().delete Storage.disk().download Storage.disk().path "
         "Storage.disk().response Storage.disk().readStream response().download response().file *.binaryFileResponse "
         "Filesystem().remove Filesystem().dumpFile Filesystem().copy Filesystem().rename Filesystem().readFile "
         "*filesystem.remove *filesystem.dumpFile *filesystem.read *filesystem.readStream *.sendFile *.send_file "
         "force_download DirectoryIterator RecursiveDirectoryIterator FilesystemIterator WP_Filesystem_Direct.* "
         "*wp_filesystem.get_contents *wp_filesystem.put_contents *wp_filesystem.delete wp_delete_file "
         "Response.download Response.file *.addAttachment *.addFile *.attachFromPath DOMDocument().load "
         "DOMDocument().loadHTMLFile XMLReader().open FileResponse *.withFile", (0,)),
    Sink("path", "*controller.file *$this.file @object*Controller.file", (0,)),
    Sink("xss", "echo print *.sendContent wp_die", ("*",)),
    Sink("xss", "Response HtmlResponse HTMLResponse HttpResponse", (0, "content", "body"),
         "2.Content_Type!~^(?!text/html) Content_Type!~^(?!text/html) content_type!~^(?!text/html) "
         "headers.Content-Type!~^(?!text/html) 2.Content-Type!~^(?!text/html) 2.content-type!~^(?!text/html)"),
    Sink("xss", "response *.setContent *.getBody().write *response.write *.setBody *.appendBody *response.setBody "
         "*response.end HtmlString Markup *.setOutput *.append_output *.set_output Html.raw", (0,)),
    Sink("template", "*twig.createTemplate *.createTemplate Environment().createTemplate ArrayLoader Blade.render "
         "Blade.compileString Mustache_Engine().render *mustache.render *m.render Liquid\\Template.parse "
         "*.renderString *.renderInline *.setTemplate Engine().renderToString *smarty.fetch Smarty().fetch "
         "Smarty().display *smarty.display Template().parse *.template_from_string", (0,)),
    Sink("redirect", "header.location redirect wp_redirect *.redirect RedirectResponse Redirect.to Redirect.away "
         "redirect().to redirect().away redirect().guest redirect().intended Redirect.guest *.withRedirect "
         "*.redirectToUrl *.toUrl drupal_goto *.setRedirect *.redirectTo TrustedRedirectResponse Flight.redirect "
         "*.redirectUrl url_redirect http_redirect", (0, "url")),
    Sink("redirect", "*.withHeader *.header *.setHeader *.set", (1,), "0~(?i)^location$"),
    Sink("ssrf", "curl_init get_headers fsockopen pfsockopen stream_socket_client ftp_connect ftp_ssl_connect "
         "ssh2_connect wp_remote_get wp_remote_post wp_remote_request wp_remote_head download_url SoapClient "
         "Http.get Http.post Http.put Http.delete Http.patch Http.head Http.send Requests.get Requests.post "
         "Request.get Unirest.get Http.*().get Http.*().post Http.*().*().get Http.*().*().post Zend_Http_Client "
         "Client().get Client().post Client().put Client().delete Client().head Client().patch Client().getAsync "
         "Client().requestAsync *httpClient.get *httpClient.post *guzzle.get *guzzle.post *$client.get *$http.get "
         "*$client.post $client.get $client.post $client.head HTTP_Request2 drupal_http_request Buzz\\Browser().get "
         "Uri.fromString.get", (0, "url")),
    Sink("ssrf", "*.request *.requestAsync Http.send GuzzleHttp.Request *.createRequest", (1, "url")),
    Sink("ssrf", "curl_setopt", (2,), "1~^CURLOPT_URL$"),
    Sink("ssrf", "curl_setopt_array", ("CURLOPT_URL",)),
    Sink("file-or-url", "file_get_contents fopen readfile file copy getimagesize simplexml_load_file "
         "imagecreatefromjpeg imagecreatefrompng imagecreatefromgif DOMDocument().load DOMDocument().loadHTMLFile "
         "XMLReader().open parse_ini_file exif_read_data Image.make", (0,)),
    Sink("deserialisation", "unserialize igbinary_unserialize msgpack_unpack maybe_unserialize yaml_parse "
         "wddx_deserialize session_decode unserialize_safe Serializer().unserialize", (0,), "-allowed_classes"),
    Sink("deserialisation", "unserialize", (0,), "allowed_classes=True"),
    Sink("xxe", "simplexml_load_string simplexml_load_file", (0,), "2&2"),
    Sink("xxe", "SimpleXMLElement", (0,), "1&2"),
    Sink("xxe", "*.loadXML", (0,), "1&2"),
    Sink("ldap", "ldap_search ldap_list ldap_read", (1, 2)),
    Sink("ldap", "ldap_bind ldap_add ldap_modify ldap_delete ldap_compare ldap_mod_replace", (1,)),
    Sink("ldap", "*ldap.search *ldap.query Ldap.create().query *.rawFilter", (0, 1)),
    Sink("xpath", "DOMXPath().query DOMXPath().evaluate *.xpath *.registerXPathNamespace xpath_eval "
         "xpath_eval_expression", (0,)),
    Sink("nosql", "[!A-Z]*.find *().*.find [!A-Z]*.findOne *().*.findOne *.findOneAndUpdate *.findOneAndDelete "
         "*.findOneAndReplace *.deleteOne "
         "*.deleteMany *.updateOne *.updateMany *.countDocuments *.aggregate *.findAndModify *.distinct Query", (0,),
         "0:many"),
    Sink("regex", "re.search re.sub preg_pattern preg_grep preg_replace_callback ereg eregi mb_ereg ereg_replace "
         "mb_ereg_replace", (0,)),
    Sink("attribute", "*.create *.fill *.forceFill *.update *.forceCreate *.insert *.updateOrCreate *.firstOrCreate "
         "*.firstOrNew *.setAttributes *.patchEntity *.newEntity *.massAssign [A-Z]*.create [A-Z]*.insert "
         "[A-Z]*.forceCreate [A-Z]*.make [A-Z]*.updateOrCreate [A-Z]*.firstOrCreate *().fill *.assign *.load "
         "*.exchangeArray *.setRawAttributes", (0, 1)),
    Sink("attribute", "extract", (0,), "1!~EXTR_"),
    Sink("attribute", "@set", (0,)),
    Sink("weak-random", "setcookie setrawcookie setcookie.elsewhere", (1,)),
    Sink("upload", "move_uploaded_file *.storeAs *.storePubliclyAs *.putFileAs Storage.putFileAs *.move", (1, 2)),
    Sink("upload", "*.moveTo file_put_contents *.move copy", (0,)),
    Sink("upload", "copy rename", (1,)),
    Sink("origin", "header.origin", (0,)),
    Sink("origin", "*.withHeader *.header *.setHeader *.set", (1,), "0~(?i)^access-control-allow-origin$"),
    Sink("header", "header *.withHeader *.header *.setHeader", (0, 1)),
    Sink("log", "error_log syslog trigger_error Log.info Log.error Log.warning Log.debug Log.notice Log.critical "
         "*logger.info *logger.error *logger.warning *logger.debug *logger.notice *log.info *log.error *log.warning "
         "Logger().info Logger().warning Logger().error log_message", ("*",)),
    Sink("session", "$_SESSION@=", (0,)),
    Sink("mail", "mail mb_send_mail", (0, 1, 3)),
)  # fmt: skip

_ALL_BUT_ID = (
    "command code sql path xss template redirect ssrf deserialisation xxe ldap xpath nosql header log session regex "
    "format upload origin attribute mail include"
)
CLEANS: Final = (
    Clean("int float strlen mb_strlen count sizeof md5 sha1 crc32 hash hash_file md5_file sha1_file bin2hex "
          "number_format strtotime ip2long ord strcmp similar_text levenshtein array_sum date mktime checkdate "
          "password_hash crypt random_int random_bytes hexdec bindec octdec dechex round floor ceil abs "
          "filter_var.number filter_var.valid uuid_parse money_format array_search strpos stripos mb_strpos "
          "mb_stripos strrpos substr_count ctype_digit sanitize_key sanitize_html_class wp_hash absint wp_create_nonce "
          "hash_pbkdf2 sodium_crypto_generichash array_intersect Str.uuid Str.random Str.slug Str.ulid Uuid.fromString "
          "Uuid.uuid4 Hash.make bcrypt base64_decode.valid *.getClientMimeType *.getMimeType *.guessExtension "
          "[!p]*.extension *.hashName *.getSize *.getRealPath *.getPathname *.store *.getError *.isValid *.getId "
          "*.guessClientExtension DateTime DateTimeImmutable DateTime.createFromFormat Carbon.parse "
          "Carbon.createFromFormat "
          "*.transliterate @number @temporary @server random_string Inflector.slug"),
    Clean("hash_hmac openssl_encrypt openssl_sign", _ALL_BUT_ID),
    Clean("strip_tags wp_strip_all_tags sanitize_text_field sanitize_textarea_field", "xss no-tags"),
    Clean("htmlspecialchars.double", "xss double-quotes"),
    Clean("str_replace.path", "path include"),
    Clean("str_replace.doubled", "sql in-quotes"),
    Clean("htmlspecialchars htmlentities filter_var.escaped esc_html esc_attr esc_textarea esc_js esc_html__ "
          "esc_attr__ wp_kses wp_kses_post wp_kses_data sanitize_title e h html_escape xss_clean *.xss_clean "
          "*.purify HTMLPurifier().purify *purifier.clean "
          "Purifier.clean clean *.escapeHtml *.escape *.escapeHtmlAttr *.escapeJs Html.encode Html.escape "
          "HtmlPurifier.process Html.e check_plain Html.encodeEntities filter_xss Xss.filter json_encode "
          "wp_json_encode "
          "*.render view *.renderView *.renderPartial *.fetch View.make *.json *.toJson Json.encode twig_escape_filter "
          "*->quote HTML.entities _e strip_image_tags security.xss_clean *.withJson JsonResponse *.renderBlade "
          "response().json Response.json response().download wp_send_json sanitize_user wp_filter_nohtml_kses "
          "htmlspecialchars_uni Security.escape tep_output_string plugin_lang_get string_display_line",
          "xss"),
    Clean("esc_url esc_url_raw sanitize_url Url.to", "xss scheme"),
    Clean("@elsewhere", "xss sql redirect header log path ssrf session mail template origin ldap xpath nosql regex "
          "upload attribute scheme"),
    Clean("urlencode rawurlencode http_build_query filter_var.encoded", "xss redirect ssrf header log command path "
          "scheme"),
    Clean("escapeshellarg escapeshellcmd.whole ProcessUtils.escapeArgument", "command"),
    Clean("basename *.basename *.filename *.extension pathinfo().* sanitize_file_name *.sanitizeFilename "
          "security.sanitize_filename *.sanitize_filename Path.normalize.safe wp_basename *.getBasename "
          "*.getExtension *.getFilename pathinfo().extension", "path include"),
    Clean("mysqli_real_escape_string mysql_real_escape_string mysql_escape_string addslashes pg_escape_string esc_sql "
          "sqlite_escape_string *.real_escape_string *.escape_string *.escapeString *.escapeSimple *.qstr.bare "
          "*.escape_str *.escape_like_str SQLite3.escapeString pSQL *.sql_escape *.escape *.addslashes like_escape "
          "*wpdb.esc_like *wpdb._real_escape", "sql in-quotes"),
    Clean("*.quote pg_escape_literal pg_escape_identifier *.quoteIdentifier *.quoteName *.prepare *.qstr *.quoteInto "
          "*.createNamedParameter *.createPositionalParameter *.literal db_quote *.quoteValue *.expr().literal "
          "DB.connection().getPdo().quote DB.getPdo().quote *.protect_identifiers *.bindParam *.bindValue "
          "*.setParameter *.setParameters", "sql"),
    Clean("addslashes", "code"),
    Clean("preg_quote mb_preg_quote", "regex"),
    Clean("ldap_escape LdapFilter.escape *.escapeLdap Ldap.escape *ldap.escape", "ldap"),
    Clean("wp_safe_redirect route url action to_route site_url base_url home_url admin_url *.generateUrl "
          "*.createUrl *.urlFor *.pathFor *.generate *.toRoute redirect().route redirect().back redirect().action "
          "*.redirectToRoute wp_validate_redirect *.redirectToAction wp_get_referer", "redirect ssrf"),
    Clean("str http_build_query json_encode", "nosql"),
    Clean("base64_encode bin2hex dechex", "xss sql command header log redirect ssrf code ldap xpath template include"),
    Clean("array_intersect_key Arr.only *.only *.safe Arr.except array_intersect", "attribute"),
    Clean("filter_var.email is_email sanitize_email", "header log mail path"),
    Clean("filter_var.domain", "header log command path xss"),
    Clean("simplexml_import_dom", "xxe"),
)  # fmt: skip

CONSTANTS: Final = (
    ("LIBXML_NOENT", 2), ("LIBXML_DTDLOAD", 4), ("LIBXML_DTDATTR", 8), ("LIBXML_DTDVALID", 16), ("LIBXML_NONET", 2048),
    ("LIBXML_NOERROR", 32), ("LIBXML_NOWARNING", 64), ("LIBXML_NOBLANKS", 256), ("LIBXML_NOCDATA", 16384),
    ("LIBXML_PARSEHUGE", 524288), ("LIBXML_XINCLUDE", 1024), ("LIBXML_COMPACT", 65536),
    ("CURLOPT_URL", "CURLOPT_URL"), ("CURLOPT_SSL_VERIFYPEER", "CURLOPT_SSL_VERIFYPEER"),
    ("CURLOPT_SSL_VERIFYHOST", "CURLOPT_SSL_VERIFYHOST"), ("CURLOPT_SSLVERSION", "CURLOPT_SSLVERSION"),
    ("OPENSSL_RAW_DATA", 1), ("OPENSSL_ZERO_PADDING", 2),
)  # fmt: skip

INDIRECT: Final = (
    ("call_user_func", 0), ("usort uasort uksort array_filter array_walk array_reduce", 1),
    ("register_shutdown_function", 0),
)  # fmt: skip

INERT: Final = (
    "isset empty @checked @called @throw @exit defined function_exists class_exists method_exists property_exists "
    "is_array is_object is_null is_callable is_a "
    "is_scalar is_iterable is_countable is_resource mysqli_query mysql_query pg_query pg_execute pg_query_params "
    "mysqli_fetch_* mysql_fetch_* mysql_result pg_fetch_* mysqli_num_rows mysql_num_rows pg_num_rows mysqli_insert_id "
    "mysqli_prepare mysqli_error mysql_error mysqli_connect mysql_connect new_PDO PDO mysqli SQLite3 "
    "*.query *.exec *.execute *.executeQuery *.executeStatement *.fetch *.fetchAll *.fetchColumn *.fetchObject "
    "*.fetch_* *.fetchAssociative *.fetchAllAssociative *.fetchOne *.fetchRow *.get_results *.get_row *.get_var "
    "*.get_col *.rowCount *.num_rows *.first *.firstOrFail *.find *.findOne *.findAll *.findBy *.findOneBy "
    "*.findOrFail *.paginate *.simplePaginate *.pluck *.exists *.doesntExist *.count *.sum *.max *.min *.save "
    "*.delete *.persist *.flush *.getResult *.getSingleResult *.getOneOrNullResult *.getArrayResult *.row *.row_array "
    "*.result *.result_array *.insert *.insertGetId *.lastInsertId *.commit *.getRepository *.getQuery().* "
    "*.cursor *.chunk *.each [A-Z]*.create [A-Z]*.find [A-Z]*.findOrFail [A-Z]*.first [A-Z]*.all [A-Z]*.where().first "
    "*where*.get *whereRaw().get *.orderBy().get DB.*.get DB.select DB.selectOne DB.insert DB.update DB.delete "
    "DB.statement get_option get_post_meta get_user_meta get_user_by get_userdata get_post get_posts get_term "
    "update_option update_post_meta wp_insert_post wp_verify_nonce check_admin_referer check_ajax_referer "
    "wp_get_current_user "
    "current_user_can is_user_logged_in wp_remote_* wp_safe_remote_* curl_exec curl_init curl_setopt curl_getinfo "
    "file_exists is_file is_dir is_readable is_writable filesize filemtime filetype stat fileperms disk_free_space "
    "file_get_contents file fopen fread fgets fgetcsv readfile file_put_contents unlink mkdir scandir opendir glob "
    "exec shell_exec system passthru popen proc_open getimagesize password_verify password_needs_rehash hash_equals "
    "setcookie session_start session_id mail in_array preg_match_all time sleep usleep error_log syslog trigger_error "
    "ldap_search ldap_connect ldap_bind ldap_get_entries ldap_read ldap_list ldap_first_entry ldap_get_dn "
    "*.verify *.check *.validate *.isValid *.fails *.passes *.has *.isMethod *.can *.authorize *.header *.withHeader "
    "Response HtmlResponse JsonResponse RedirectResponse BinaryFileResponse StreamedResponse response redirect "
    "redirect().* response().* view *.redirect *.redirectToRoute *.createNotFoundException *.createForm Hash.check "
    "Auth.attempt Auth.user auth *.login *.attempt Storage.* File.exists Cache.get cache config env __ _ trans "
    "Http.* *.request *.send *.sendRequest *.getStatusCode *.run *.mustRun dispatch event abort wp_die *.download "
    "simplexml_load_file getenv ini_get ini_set @class.*.from @class.*.tryFrom [A-Z]*.tryFrom Process "
    "Validator.make.fails move_uploaded_file is_uploaded_file finfo_file mime_content_type *.file *.buffer iptcparse"
)  # fmt: skip

ENDS: Final = (
    "exit die @exit @throw abort wp_die wp_send_json wp_send_json_error wp_send_json_success dd show_404 show_error "
    "drupal_exit drupal_goto drupal_access_denied drupal_not_found Response.json.send throw_error jexit fatal_error"
)
CHECKS: Final = (
    "@checked Uuid.fromString Assert.uuid Assert.integer Assert.integerish Assert.inArray Assert.oneOf Assert.alnum "
    "Assert.digits Assertion.uuid Assertion.integerish Assertion.inArray Assertion.choice"
)
PARSES: Final = "json_decode Json.decode JSON.parse yaml_parse"

ENTRIES: Final = Entries(
    decorators=r"^@(route|action|handler)$",
    bases=r"(?!)",
    methods=r"^$",
    requests=r"^\$(request|req)$",
    pages=r"^@(route|action)$",
    inputs=r"\$_(?:GET|POST|REQUEST|COOKIE|FILES|SERVER)|\$HTTP_|php://|[rR]equest|\$req\b|getallheaders|\$argv|readline|"
    r"getopt|socket_re|\$socket|getNameIndex|zip_entry_name|->input\b|Input::|\$form|filter_input|params\(\)|get_query_var|getArgument|getOption|\#\[|@Route|"
    r"Route::|Controller\b|\bold\(|\binput\(|(?i:(?:pass(?:word|wd|phrase)?|pwd|secret|token|key)\w*['\"\]]{0,2}"
    r"\s*(?:=>|===|!==|,)\s*['\"])",
    from_address=False,
    aside=r"(?m)^(?:[^;\n]*(?:;(?! ?\$)[^;\n]*)*; ?\$){12}",  # so many statements on a line: a program that was packed
    answers=r"^\$(response|res)$",
    called={"$request": "request", "$req": "request", "$response": "response", "$res": "response"},
    harmless=r"^\??(?:int|float|bool|false|true|null|callable|object|self|static|void)(\|(?:int|float|bool|false|null))*$",
    events=r"^$",
)
