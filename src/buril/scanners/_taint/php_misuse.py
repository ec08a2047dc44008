"""PHP: calls that are wrong by themselves, whatever they are given."""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.rules import Misuse

_FOR_SECRETS = (
    r"(?i)token|passw|secret|session|otp|nonce|salt|csrf|xsrf|reset|api_?key|auth|captcha|verif|remember|activation|"
    r"voucher|invite|(^|_|\$)(code|pin|key)$"
)
_SHOWN = (
    r"(?i)(?:form|field|label|page|html|template|input|box|row|column|link|menu)s?(?:_?(?:id|name|class))?$|"
    r"(?:begin|start|end|open|close|next|last|first|current|stop)_?token"
)
"""What a secret is typed into, or a parser's tokens, are none."""
_FOR_TRUST = (
    r"=(?i:token|secret|sign|digest|integrity|auth|session|hmac|(^|_|\$)mac$|"
    r"verif|fingerprint|licen[cs]e|csrf|expected|computed)"
)
_PASSWORD = r"=(?i:passw|pwd|^\$pass$|^\$\w+_pass$)"  # noqa: S105  a pattern for names
_COLLIDES, _FAST, _BROKEN = (
    "a hash that collisions are known of",
    "a password is hashed by a fast hash",
    "a cipher that can be broken",
)
_SAME_IV, _GUESSED, _IN_CODE = (
    "the same initialisation vector every time",
    "a secret from a generator that can be guessed",
    "a secret stands in the code",
)
_UNCHECKED, _ENTITIES, _PLAIN, _SCRIPTS = (
    "certificates are not checked",
    "the parser follows entities",
    "a cookie goes over plain HTTP",
    "scripts can read a cookie",
)
_ALL_WRITE, _TAKEN = "everybody may write to it", "somebody else can take the name first"
_CLIENTS = (
    "Client GuzzleHttp.Client *.request *.requestAsync *.get *.post *.put *.delete *.patch *.head *.send "
    "Http.withOptions "
    "HttpClient.create *.withOptions Http.*().withOptions"
)
_WP = "wp_remote_get wp_remote_post wp_remote_request wp_remote_head wp_safe_remote_get wp_safe_remote_post"
_KEYED = "openssl_encrypt openssl_decrypt"
_OLD = "0~(?i)^(md[245]|sha1|sha-1|crc32b?|adler32|ripemd128)$"

MISUSES: Final = (
    # cryptography
    Misuse("weak-hash", 328, "medium", "md5 sha1 md5_file sha1_file", "", _COLLIDES, "medium", _FOR_TRUST),
    Misuse("old-hash", 328, "low", "md5 sha1 md5_file sha1_file crc32", "", _COLLIDES, "low"),
    Misuse("weak-hash", 328, "medium", "hash", _OLD, _COLLIDES, "medium", _FOR_TRUST.lstrip("=")),
    Misuse("weak-hash", 328, "medium", "hash_file hash_init", _OLD, _COLLIDES, "medium"),
    Misuse("weak-hash", 328, "medium", "hash_hmac hash_hmac_file hash_pbkdf2", "0~(?i)^(md[45]|crc32b?)$",
           _COLLIDES, "medium"),  # with a key, collisions of SHA-1 do not matter
    Misuse("old-hash", 328, "low", "hash hash_hmac hash_hmac_file hash_pbkdf2", _OLD, _COLLIDES, "low"),
    Misuse("weak-hash", 328, "medium", "hash_equals.valid", r"0~^(md5|sha1|md5_file|sha1_file)\(\)$", _COLLIDES,
           "medium"),
    Misuse("weak-hash", 328, "medium", "hash_equals.valid", r"1~^(md5|sha1|md5_file|sha1_file)\(\)$", _COLLIDES,
           "medium"),
    Misuse("weak-hash", 328, "medium", "mhash", "0~MHASH_(MD[245]|SHA1)$", _COLLIDES),
    Misuse("weak-hash", 328, "medium", "openssl_digest openssl_sign", "1~(?i)^(md[245]|sha1)$", _COLLIDES, "medium"),
    Misuse("weak-hash", 328, "medium", "openssl_sign openssl_verify.valid", "3~(?i)ALGO_(MD[245]|SHA1)$|^(md5|sha1)$",
           _COLLIDES),
    Misuse("fast-password-hash", 916, "medium", "md5 sha1 crc32", "", _FAST, "medium", _PASSWORD),
    Misuse("fast-password-hash", 916, "medium", "hash openssl_digest hash_hmac", "1?", _FAST, "medium", _PASSWORD),
    Misuse("fast-password-hash", 916, "medium", "md5 sha1 crc32 hash", "", _FAST, "medium",
           r"(?i)^(hash|make|encrypt|encode|crypt|create|set|store|check|verify)\w{0,6}(passw|pwd)"),
    Misuse("fast-password-hash", 916, "medium", "crypt", "1~^([a-zA-Z0-9./]{2}$|_|\\$1\\$)", _FAST),
    Misuse("few-rounds", 916, "medium", "hash_pbkdf2 openssl_pbkdf2", "3<100000", "a password is hashed in too few "
           "rounds"),
    Misuse("few-rounds", 916, "medium", "password_hash", "cost<10", "a password is hashed in too few rounds"),
    Misuse("few-rounds", 916, "medium", "password_hash", "2.cost<10", "a password is hashed in too few rounds"),
    Misuse("few-rounds", 916, "medium", "Hash.make bcrypt", "rounds<10", "a password is hashed in too few rounds"),
    Misuse("weak-cipher", 327, "high", _KEYED + " openssl_cipher_iv_length openssl_seal",
           "1~(?i)(^|-)(des|rc2|rc4|bf|cast5|idea|seed|blowfish)", _BROKEN),
    Misuse("weak-cipher", 327, "high", "openssl_seal", "4~(?i)(^|-)(des|rc2|rc4|bf)", _BROKEN),
    Misuse("weak-cipher", 327, "high", "mcrypt_encrypt mcrypt_decrypt mcrypt_module_open mcrypt_cbc mcrypt_ecb "
           "mcrypt_cfb", "", _BROKEN),
    Misuse("weak-cipher", 327, "high", "DES TripleDES RC4 RC2 Crypt_DES Crypt_RC4 Crypt_TripleDES Blowfish", "",
           _BROKEN, "medium"),
    Misuse("ecb-mode", 327, "high", _KEYED, "1~(?i)ecb", "blocks that are equal stay equal (ECB)"),
    Misuse("ecb-mode", 327, "high", "AES", "0~(?i)^ecb$", "blocks that are equal stay equal (ECB)"),
    Misuse("static-iv", 329, "medium", "openssl_encrypt", "4:str 4~(?s). 1!~(?i)ecb", _SAME_IV),
    Misuse("static-iv", 329, "medium", "openssl_encrypt", "+3 -4 1~(?i)cbc|ctr|cfb|ofb", "no initialisation vector"),
    Misuse("static-iv", 329, "medium", "sodium_crypto_secretbox", "1:str", _SAME_IV),
    Misuse("static-iv", 329, "medium", "sodium_crypto_aead_*_encrypt", "2:str", _SAME_IV),
    Misuse("static-iv", 329, "medium", "*.setIV", "0:str", _SAME_IV),
    Misuse("small-key", 326, "medium", "openssl_pkey_new openssl_csr_new", "private_key_bits<2048",
           "a key that is too short"),
    Misuse("small-key", 326, "medium", "openssl_pkey_new", "0.private_key_bits<2048", "a key that is too short"),
    Misuse("small-key", 326, "medium", "RSA.createKey *.createKey", "0<2048", "a key that is too short"),
    Misuse("weak-random", 338, "medium", "rand mt_rand lcg_value array_rand str_shuffle shuffle mt_srand srand",
           "", _GUESSED, "medium", _FOR_SECRETS, _SHOWN),
    Misuse("weak-random", 338, "medium", "mt_srand srand", "0:int", "a generator that always begins alike", "medium"),
    Misuse("predictable-secret", 330, "medium", "uniqid microtime", "", "a secret that can be guessed", "medium",
           _FOR_SECRETS, _SHOWN),
    Misuse("predictable-secret", 330, "medium", "time date hrtime getmypid", "", "a secret that can be guessed",
           "medium", r"=(?i:token|secret|otp|nonce|csrf|api_?key|reset_?(code|key))"),
    # secrets
    Misuse("hard-coded-secret", 798, "high", "mysqli_connect mysqli mysql_connect PDO mysql_pconnect ldap_bind "
           "ftp_login "
           "odbc_connect oci_connect ssh2_auth_password imap_open hash_hmac *.real_connect mssql_connect",
           "2:str 2~^.+$",
           _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", _KEYED, "2:str 2~^.+$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "JWT.encode JWT.decode Key JWT.sign", "1:str 1~^.+$ "
           "1!~^(HS|RS|ES|PS)\\d+$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "Key", "0:str 0~^.+$ 1~^(HS|RS|ES|PS)\\d+$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "InMemory.plainText Key.InMemory", "0:str 0~^.+$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "Redis().auth *redis.auth *.setPassword", "0:str 0~^.+$", _IN_CODE,
           "medium"),
    Misuse("hard-coded-secret", 798, "high", "hash_equals.valid", "0:str 0~^.+$", _IN_CODE, "medium"),
    Misuse("hard-coded-secret", 798, "high", "*.$Password=", "0:str 0~^.+$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "curl_setopt", "1~CURLOPT_USERPWD$ 2:str 2~^.+:.+$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "sodium_crypto_secretbox", "2:str 2~^.+$", _IN_CODE),
    # transport
    Misuse("no-certificate-check", 295, "high", "curl_setopt", "1~SSL_VERIFY(PEER|HOST|STATUS)$ 2=False", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", "curl_setopt", "1~SSL_VERIFY(PEER|HOST)$ 2=0", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", "curl_setopt", "1~SSL_VERIFYHOST$ 2=1", "the host's name is not "
           "checked"),
    *(Misuse("no-certificate-check", 295, "high", "curl_setopt_array",
             f"{where}CURLOPT_SSL_VERIFY{what}={off}", _UNCHECKED)
      for where in ("", "1.") for what in ("PEER", "HOST") for off in ("False", "0")),
    Misuse("no-certificate-check", 295, "high", _CLIENTS, "verify=False", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", _CLIENTS, "0.verify=False", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", _CLIENTS, "1.verify=False", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", _CLIENTS, "verify_peer=False", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", _CLIENTS, "verify_host=False", "the host's name is not checked"),
    Misuse("no-certificate-check", 295, "high", "Http.withoutVerifying *.withoutVerifying", "", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", _WP, "sslverify=False", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", _WP, "1.sslverify=False", _UNCHECKED),
    *(Misuse("no-certificate-check", 295, "high", "stream_context_create stream_context_set_option "
             "stream_socket_client "
             "SoapClient", f"{where}ssl.{what}", _UNCHECKED)
      for where in ("", "0.") for what in ("verify_peer=False", "verify_peer_name=False", "allow_self_signed=True",
                                           "verify_peer=0")),
    Misuse("no-certificate-check", 295, "high", "stream_context_set_option", "1=ssl 2~^verify_peer 3=False",
           _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", "*.$SMTPOptions=", "0.ssl.verify_peer=False", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", "ldap_set_option", "1~REQUIRE_CERT$ 2~TLS_(NEVER|ALLOW)$", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", "putenv", "0~^LDAPTLS_REQCERT=never", _UNCHECKED),
    Misuse("old-tls", 327, "medium", "curl_setopt", "1~SSLVERSION$ 2~SSLVERSION_(SSLv[23]|TLSv1|TLSv1_[01])$",
           "an old version of TLS"),
    Misuse("clear-text", 319, "medium", "ftp_login", "", "what is sent can be read on the way", "low"),
    # objects from text
    Misuse("external-entities", 611, "high", "libxml_disable_entity_loader", "0=False", _ENTITIES),
    Misuse("external-entities", 611, "high", "simplexml_load_string simplexml_load_file", "2&2", _ENTITIES),
    Misuse("external-entities", 611, "high", "SimpleXMLElement *.loadXML *.load *.loadHTML *.XML", "1&2", _ENTITIES),
    Misuse("external-entities", 611, "high", "*.loadXML", "1&4", _ENTITIES, "medium"),
    Misuse("external-entities", 611, "high", "simplexml_load_string", "2&4", _ENTITIES, "medium"),
    Misuse("external-entities", 611, "high", "XMLReader.XML XMLReader.open XMLReader().XML XMLReader().open "
           "*reader.XML *reader.open", "2&2", _ENTITIES),
    Misuse("external-entities", 611, "high", "*.setParserProperty", "0~SUBST_ENTITIES$ 1=True", _ENTITIES),
    Misuse("external-entities", 611, "high", "*.$substituteEntities= *.$resolveExternals=", "0=True", _ENTITIES),
    Misuse("entity-expansion", 776, "medium", "*.loadXML SimpleXMLElement", "1&524288", "entities may grow without "
           "a limit", "medium"),
    Misuse("entity-expansion", 776, "medium", "simplexml_load_string", "2&524288", "entities may grow without a limit",
           "medium"),
    Misuse("token-not-verified", 347, "high", "JWT.decode", "2.0=none", "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "JWT.decode", "2=False", "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "JWT.decode", "1=None", "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "JWT.encode", "2~(?i)^none$", "the token is not signed"),
    Misuse("token-not-verified", 347, "high", "Configuration.forUnsecuredSigner UnsecuredSigner None", "",
           "the token is not signed"),
    Misuse("token-not-verified", 347, "high", "base64_decode JWT.urlsafeB64Decode", "", "the token's signature is "
           "not checked",
           "medium", r"(?i)jwt|id_?token|^\$claims$|claims"),
    # the web
    Misuse("insecure-cookie", 614, "medium", "setcookie setrawcookie", "5=False", _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "setcookie setrawcookie", "6=False 0!~(?i)[cx]srf", _SCRIPTS),
    Misuse("insecure-cookie", 614, "medium", "setcookie setrawcookie session_set_cookie_params", "secure=False",
           _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "setcookie setrawcookie session_set_cookie_params", "httponly=False",
           _SCRIPTS),
    Misuse("insecure-cookie", 614, "medium", "setcookie", "2.secure=False", _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "setcookie", "2.httponly=False", _SCRIPTS),
    Misuse("insecure-cookie", 614, "medium", "session_set_cookie_params", "3=False", _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "session_set_cookie_params", "4=False", _SCRIPTS),
    Misuse("insecure-cookie", 614, "medium", "setcookie setrawcookie", r"-5 -secure 1!~^$ "
           r"0~(?i)sess|token|auth|remember|sid$|jwt|login", _PLAIN, "medium"),
    Misuse("insecure-cookie", 1004, "medium", "setcookie setrawcookie", r"-6 -httponly 1!~^$ "
           r"0~(?i)sess|token|auth|remember|sid$|jwt|login", _SCRIPTS, "medium"),
    Misuse("insecure-cookie", 614, "medium", "ini_set", "0=session.cookie_secure 1~^(0|off|false|)$", _PLAIN),
    Misuse("insecure-cookie", 614, "medium", "ini_set", "0=session.cookie_secure 1=0", _PLAIN),
    Misuse("insecure-cookie", 614, "medium", "ini_set", "0=session.cookie_secure 1=False", _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "ini_set", "0=session.cookie_httponly 1~^(0|off|false|)$", _SCRIPTS),
    Misuse("insecure-cookie", 1004, "medium", "ini_set", "0=session.cookie_httponly 1=0", _SCRIPTS),
    Misuse("insecure-cookie", 1004, "medium", "ini_set", "0=session.cookie_httponly 1=False", _SCRIPTS),
    Misuse("insecure-cookie", 614, "medium", "session_start", "cookie_secure=False", _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "session_start", "cookie_httponly=False", _SCRIPTS),
    Misuse("insecure-cookie", 614, "medium", "cookie Cookie.make *.cookie Cookie.queue Cookie.create Cookie", "5=False",
           _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "cookie Cookie.make *.cookie Cookie.queue Cookie.create Cookie",
           "6=False 0!~(?i)[cx]srf", _SCRIPTS),  # scripts send that one back in a header
    Misuse("insecure-cookie", 614, "medium", "Cookie Cookie.create *.cookie Cookie.make", "secure=False", _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "Cookie Cookie.create *.cookie Cookie.make", "httpOnly=False", _SCRIPTS),
    Misuse("insecure-cookie", 614, "medium", "*.withSecure", "0=False", _PLAIN),
    Misuse("insecure-cookie", 1004, "medium", "*.withHttpOnly", "0=False", _SCRIPTS),
    Misuse("any-origin", 942, "medium", "header", r"0~(?i)^access-control-allow-origin:\s*\*", "every page may read "
           "the answer", "medium"),
    Misuse("any-origin", 942, "medium", "*.header *.withHeader *.setHeader *.set *.addHeader *.set_header",
           r"0~(?i)^access-control-allow-origin$ 1=*",
           "every page may read the answer", "medium"),
    Misuse("no-csrf-check", 352, "medium", "*.setDefaults *.createForm *.createFormBuilder *.add *.createNamedBuilder",
           "csrf_protection=False",
           "another page can make the request"),
    Misuse("no-csrf-check", 352, "medium", "*.withoutMiddleware *.validateCsrfTokens",
           "0~VerifyCsrfToken|ValidateCsrfToken",
           "another page can make the request"),
    Misuse("no-csrf-check", 352, "medium", "*.validateCsrfTokens", "except.0=*", "another page can make the request"),
    Misuse("no-csrf-check", 352, "medium", "VerifyCsrfToken.except", "0.0:str", "another page can make the request"),
    Misuse("no-csrf-check", 352, "medium", "*.$enableCsrfValidation=", "0=False", "another page can make the request"),
    Misuse("no-escaping", 79, "medium", "Environment Twig_Environment *.Environment", "autoescape=False",
           "templates don't escape what they show"),
    Misuse("debug-mode", 489, "medium", "ini_set", "0=display_errors 1~(?i)^(1|on|true)$", "errors are shown to "
           "everybody", "low"),
    # the machine
    Misuse("temporary-name", 377, "medium", "file_put_contents copy rename touch", r"0~^/(var/)?tmp/", _TAKEN,
           "medium"),
    Misuse("temporary-name", 377, "medium", "fopen SplFileObject", r"0~^/(var/)?tmp/ 1~[waxc+]", _TAKEN, "medium"),
    Misuse("temporary-name", 377, "medium", "copy rename move_uploaded_file", r"1~^/(var/)?tmp/", _TAKEN, "medium"),
    Misuse("open-to-all", 732, "medium", "chmod *.chmod", "1&2", _ALL_WRITE),
    Misuse("open-to-all", 732, "medium", "mkdir", "1&2", _ALL_WRITE, "low"),
    Misuse("open-to-all", 732, "medium", "umask", "0=0", "everybody may write to what is made", "medium",
           r"=^@dropped$"),  # who keeps the mask puts it back
    Misuse("shell-text", 78, "medium", "exec shell_exec system passthru popen", "0?", "a shell reads text that is "
           "not constant", "low"),
    Misuse("phpinfo", 200, "low", "phpinfo", "", "the server's settings are shown", "low"),
)  # fmt: skip
