"""Python: calls that are wrong by themselves, whatever they are given."""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.rules import Misuse

_FOR_SECRETS = (
    r"(?i)token|passw|secret|session|otp|nonce|salt|csrf|reset|api_?key|auth|captcha|pin_?code|verification|remember|"
    r"(^|_)(code|pin)$"
)

MISUSES: Final = (
    # cryptography
    Misuse("weak-hash", 328, "medium", "hashlib.md5 hashlib.sha1 hashlib.md4 Crypto.Hash.MD5.new Crypto.Hash.SHA1.new "
           "Cryptodome.Hash.MD5.new Cryptodome.Hash.SHA1.new Crypto.Hash.MD2.new Crypto.Hash.MD4.new "
           "cryptography.hazmat.primitives.hashes.MD5 cryptography.hazmat.primitives.hashes.SHA1",
           "usedforsecurity!=False", "a hash that collisions are known of", "medium"),
    Misuse("weak-hash", 328, "medium", "hashlib.new", "0~(?i)^(md4|md5|sha1|sha-1)$ usedforsecurity!=False",
           "a hash that collisions are known of", "medium"),
    Misuse("fast-password-hash", 916, "medium", "hashlib.sha256 hashlib.sha512 hashlib.sha224 hashlib.sha384 "
           "hashlib.md5 "
           "hashlib.sha1 hashlib.sha3_256", "+0", "a password is hashed by a fast hash", "medium",
           r"(?i)^(?!.*digest_?of).*(passw|pwd)"),
    Misuse("few-rounds", 916, "medium", "hashlib.pbkdf2_hmac", "3<100000", "a password is hashed in too few rounds"),
    Misuse("weak-cipher", 327, "high", "Crypto.Cipher.DES.new Crypto.Cipher.DES3.new Crypto.Cipher.ARC4.new "
           "Crypto.Cipher.ARC2.new Crypto.Cipher.Blowfish.new Crypto.Cipher.XOR.new Cryptodome.Cipher.DES.new "
           "Cryptodome.Cipher.ARC4.new Cryptodome.Cipher.Blowfish.new Cryptodome.Cipher.DES3.new pyDes.des "
           "pyDes.triple_des "
           "*.algorithms.ARC4 *.algorithms.Blowfish *.algorithms.IDEA *.algorithms.TripleDES *.algorithms.CAST5 "
           "*.algorithms.SEED *algorithms.DES", "", "a cipher that can be broken"),
    Misuse("ecb-mode", 327, "high", "*.modes.ECB modes.ECB", "", "blocks that are equal stay equal (ECB)"),
    Misuse("ecb-mode", 327, "high", "*Cipher.AES.new AES.new", "1~MODE_ECB$", "blocks that are equal stay equal (ECB)"),
    Misuse("ecb-mode", 327, "high", "*Cipher.AES.new AES.new", "mode~MODE_ECB$", "blocks that are equal stay equal "
           "(ECB)"),
    Misuse("small-key", 326, "medium", "*rsa.generate_private_key *dsa.generate_private_key", "key_size<2048",
           "a key that is too short"),
    Misuse("static-iv", 329, "medium", "*.modes.CBC *.modes.CTR *.modes.OFB *.modes.CFB *.modes.GCM modes.CBC "
           "modes.GCM "
           "modes.CTR", "0:bytes", "the same initialisation vector every time"),
    Misuse("weak-random", 338, "medium", "random.random random.randint random.randrange random.choice random.choices "
           "random.sample random.getrandbits random.uniform random.shuffle random.randbytes numpy.random.* uuid.uuid1",
           "", "a secret from a generator that can be guessed", "medium", _FOR_SECRETS),
    Misuse("weak-random", 338, "medium", "random.Random().*", "", "a secret from a generator that can be guessed",
        "medium",
           _FOR_SECRETS),
    Misuse("small-key", 326, "medium", "*RSA.generate *DSA.generate *RSA.gen_key *rsa.newkeys", "0<2048",
           "a key that is too short"),
    Misuse("small-key", 326, "medium", "*ec.SECP192R1 *ec.SECT163K1 *ec.SECT163R2 *ec.SECP224R1", "", "a key that is "
           "too short"),
    Misuse("static-iv", 329, "medium", "*AES.new", "2:bytes", "the same initialisation vector every time"),
    Misuse("static-iv", 329, "medium", "*AES.new", "iv:bytes", "the same initialisation vector every time"),
    Misuse("static-iv", 329, "medium", "*AES.new", "nonce:bytes", "the same initialisation vector every time"),
    Misuse("fast-password-hash", 916, "medium", "passlib.hash.md5_crypt.* passlib.hash.sha1_crypt.* "
           "passlib.hash.des_crypt.* "
           "passlib.hash.hex_md5.* passlib.hash.hex_sha1.* passlib.hash.hex_sha256.* passlib.hash.ldap_md5.* "
           "passlib.hash.ldap_sha1.* passlib.hash.mysql323.* passlib.hash.lmhash.* passlib.hash.nthash.*", "",
           "a password is hashed by a fast hash"),
    Misuse("hard-coded-secret", 798, "high", "jwt.encode jose.jwt.encode", "1:str", "a secret stands in the code"),
    Misuse("hard-coded-secret", 798, "high", "jwt.decode jose.jwt.decode", "1:str options.verify_signature!=False",
           "a secret stands in the code"),
    Misuse("hard-coded-secret", 798, "high", "*AESGCM *ChaCha20Poly1305 *Fernet hmac.new *AES.new "
           "*algorithms.AES", "0:bytes",
           "a secret stands in the code"),
    Misuse("hard-coded-secret", 798, "high", "*Fernet", "0:str", "a secret stands in the code"),
    Misuse("hard-coded-secret", 798, "high", "hmac.compare_digest secrets.compare_digest", "1:str",
           "a secret stands in the code", "medium"),
    Misuse("hard-coded-secret", 798, "high", "requests.get requests.post requests.put requests.delete requests.patch "
           "httpx.get "
           "httpx.post", "auth.1:str", "a secret stands in the code"),
    # transport
    Misuse("no-certificate-check", 295, "high", "smtplib.SMTP().starttls imaplib.IMAP4().starttls ftplib.FTP_TLS",
           "-context -ssl_context", "certificates are not checked", "medium"),
    Misuse("no-certificate-check", 295, "high", "requests.* requests.Session().* requests.session().* httpx.* "
           "httpx.Client().* httpx.AsyncClient().* urllib3.*", "verify=False", "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", "*.verify=", "0=False", "certificates are not checked", "medium"),
    Misuse("no-certificate-check", 295, "high", "ssl._create_unverified_context ssl._create_stdlib_context", "",
           "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", "ssl._create_default_https_context=", "0~_create_unverified_context",
           "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", "*.verify_mode=", "0~CERT_NONE$", "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", "*.check_hostname=", "0=False", "the host's name is not checked"),
    Misuse("no-certificate-check", 295, "high", "*wrap_socket urllib3.PoolManager urllib3.HTTPSConnectionPool",
           "cert_reqs~CERT_NONE", "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", "aiohttp.TCPConnector aiohttp.ClientSession().*", "ssl=False",
           "certificates are not checked"),
    Misuse("no-certificate-check", 295, "high", "aiohttp.TCPConnector", "verify_ssl=False", "certificates are not "
           "checked"),
    Misuse("no-host-key-check", 295, "high", "*.set_missing_host_key_policy", "0~(AutoAdd|Warning)Policy",
           "a host that is not known is trusted"),
    Misuse("old-tls", 327, "medium", "ssl.SSLContext *wrap_socket",
           "0~PROTOCOL_(SSLv2|SSLv3|TLSv1|TLSv1_1|SSLv23)$", "an old version of TLS"),
    Misuse("old-tls", 327, "medium", "*wrap_socket", "ssl_version~PROTOCOL_(SSLv2|SSLv3|TLSv1|TLSv1_1)$",
           "an old version of TLS"),
    Misuse("old-tls", 327, "medium", "*.minimum_version=", "0~TLSVersion\\.(SSLv3|TLSv1|TLSv1_1)$", "an old version "
           "of TLS"),
    Misuse("clear-text", 319, "medium", "telnetlib.Telnet ftplib.FTP().login", "", "what is sent can be read on the "
           "way", "medium"),
    # objects from bytes
    Misuse("unsafe-yaml", 502, "high", "yaml.load yaml.load_all", "-Loader -1", "objects of any kind are made from "
           "YAML", "medium"),
    Misuse("unsafe-yaml", 502, "high", "yaml.load yaml.load_all", "Loader~(Unsafe|Full)?Loader$ Loader!~Safe|Base",
           "objects of any kind are made from YAML"),
    Misuse("unsafe-yaml", 502, "high", "yaml.load", "1~(Unsafe|Full)?Loader$ 1!~Safe|Base", "objects of any kind are "
           "made from YAML"),
    Misuse("unsafe-yaml", 502, "high", "yaml.unsafe_load yaml.full_load", "", "objects of any kind are made from "
           "YAML", "medium"),
    Misuse("external-entities", 611, "high", "lxml.etree.XMLParser *etree.XMLParser", "resolve_entities=True",
           "the parser follows entities"),
    Misuse("external-entities", 611, "high", "lxml.etree.XMLParser *etree.XMLParser", "no_network=False", "the "
           "parser follows entities"),
    Misuse("external-entities", 611, "high", "lxml.etree.XMLParser *etree.XMLParser", "load_dtd=True",
           "the parser follows entities", "medium"),
    Misuse("entity-expansion", 776, "medium", "lxml.etree.XMLParser *etree.XMLParser", "huge_tree=True",
           "entities may grow without a limit", "medium"),
    Misuse("external-entities", 611, "high", "*.setFeature", "0~external-general-entities|feature_external_ges 1=True",
           "the parser follows entities"),
    Misuse("external-entities", 611, "high", "*.setFeature", "0~feature_external_ges 1=1", "the parser follows "
           "entities"),
    Misuse("token-not-verified", 347, "high", "jwt.decode", "verify=False", "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "jwt.decode jose.jwt.decode", "options.verify_signature=False",
           "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "jwt.get_unverified_claims jose.jwt.get_unverified_claims", "",
           "the token's signature is not checked", "medium"),
    Misuse("archive-anywhere", 22, "medium", "*.extractall *.extract *.unpack_archive", "filter=fully_trusted",
           "an archive may write outside of its folder"),
    Misuse("archive-anywhere", 22, "medium", "*.extractall", "-filter -members", "an archive may write outside of "
           "its folder",
           "low"),
    # the web
    Misuse("debug-mode", 489, "medium", "flask.Flask().run *app.run", "debug=True", "a debugger for everybody"),
    Misuse("debug-mode", 489, "medium", "uvicorn.run", "debug=True", "a debugger for everybody"),
    Misuse("insecure-cookie", 614, "medium", "*.set_cookie", "secure=False", "a cookie goes over plain HTTP"),
    Misuse("insecure-cookie", 1004, "medium", "*.set_cookie", "httponly=False", "scripts can read a cookie"),
    Misuse("insecure-cookie", 614, "medium", "*.set_cookie", "-secure", "a cookie goes over plain HTTP", "low"),
    Misuse("insecure-cookie", 1004, "medium", "*.set_cookie", "-httponly", "scripts can read a cookie", "low"),
    Misuse("debug-mode", 489, "medium", "*.run tornado.web.Application *web.Application", "debug=True", "a debugger "
           "for everybody"),
    Misuse("debug-mode", 489, "medium", "DEBUG=", "0=True", "a debugger for everybody", "medium"),
    Misuse("no-csrf-check", 352, "medium", "*csrf_exempt@", "", "another page can make the request", "medium"),
    Misuse("no-csrf-check", 352, "medium", "*config.update", "WTF_CSRF_ENABLED=False", "another page can make the "
           "request"),
    Misuse("no-csrf-check", 352, "medium", "*config@=", "0=False 1~^WTF_CSRF_(ENABLED|CHECK_DEFAULT)$",
           "another page can make the request"),
    Misuse("insecure-cookie", 614, "medium", "SESSION_COOKIE_SECURE= CSRF_COOKIE_SECURE=", "0=False",
           "a cookie goes over plain HTTP"),
    Misuse("insecure-cookie", 1004, "medium", "SESSION_COOKIE_HTTPONLY=", "0=False", "scripts can read a cookie"),
    Misuse("insecure-cookie", 614, "medium", "*config.update", "SESSION_COOKIE_SECURE=False", "a cookie goes over "
           "plain HTTP"),
    Misuse("insecure-cookie", 1004, "medium", "*config.update", "SESSION_COOKIE_HTTPONLY=False", "scripts can read a "
           "cookie"),
    Misuse("insecure-cookie", 614, "medium", "*.add_middleware", "0~SessionMiddleware$ https_only=False",
           "a cookie goes over plain HTTP"),
    Misuse("insecure-cookie", 614, "medium", "*config@=", "0=False 1~^SESSION_COOKIE_(SECURE|HTTPONLY)$",
           "the session's cookie is not protected"),
    Misuse("any-origin", 942, "medium", "*CORS flask_cors.CORS", "origins=* supports_credentials=True",
           "every page may ask with the user's cookies"),
    Misuse("any-origin", 942, "medium", "*.add_middleware", "allow_origins.0=* allow_credentials=True",
           "every page may ask with the user's cookies"),
    Misuse("any-origin", 942, "medium", "*headers@=", "0=* 1~(?i)^access-control-allow-origin$",
           "every page may read the answer", "medium"),
    Misuse("no-escaping", 79, "medium", "jinja2.Environment", "-autoescape", "templates don't escape what they "
           "show", "medium"),
    Misuse("no-escaping", 79, "medium", "jinja2.Environment", "autoescape=False", "templates don't escape what they "
           "show"),
    # the machine
    Misuse("temporary-name", 377, "medium", "tempfile.mktemp os.tempnam os.tmpnam", "",
           "somebody else can take the name first"),
    Misuse("temporary-name", 377, "medium", "open io.open", "0~^/(var/)?tmp/ 1~[wax+]", "somebody else can take the "
           "name first",
           "medium"),
    Misuse("open-to-all", 732, "medium", "*.chmod", "0&2", "everybody may write to it"),
    Misuse("open-to-all", 732, "medium", "os.chmod os.fchmod", "1&2", "everybody may write to it"),
    Misuse("open-to-all", 732, "medium", "os.umask", "0=0", "everybody may write to what is made"),
    Misuse("shell-text", 78, "medium", "subprocess.run subprocess.call subprocess.check_call subprocess.check_output "
           "subprocess.Popen", "shell=True 0?", "a shell reads text that is not constant", "low"),
    Misuse("shell-text", 78, "medium", "os.system os.popen", "0?", "a shell reads text that is not constant", "low"),
)  # fmt: skip
