"""Go: calls and settings that are wrong by themselves, whatever they are given."""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.rules import Misuse

_FOR_SECRETS = (
    r"(?i)token|passw|secret|session|otp|nonce|salt|csrf|reset|api_?key|auth|captcha|verification|invite|"
    r"(^|_)(code|pin)$|(?-i:(Code|Pin|PIN)$)"
)
_COLLIDES = "a hash that collisions are known of"
_BROKEN = "a cipher that can be broken"
_IN_CODE = "a secret stands in the code"
_UNCHECKED = "certificates are not checked"
_GUESSED = "a secret from a generator that can be guessed"
_PASSWORD = r"(?i)passw|pwd"  # noqa: S105  a pattern for names
_FAST = "a password is hashed by a fast hash"
_RANDOM = "Int Intn Int31 Int31n Int63 Int63n IntN Int64 Int64N N Uint32 Uint64 Float64 Float32 Perm Read Shuffle"

MISUSES: Final = (
    # cryptography
    Misuse("weak-hash", 328, "medium", "crypto.md5.New crypto.md5.Sum crypto.sha1.New crypto.sha1.Sum md4.New "
           "ripemd160.New", "", _COLLIDES, "medium"),
    Misuse("weak-hash", 328, "medium", "crypto.hmac.New", "0~^(crypto\\.md5|md4)\\.New$", _COLLIDES, "medium"),
    Misuse("fast-password-hash", 916, "medium", "crypto.md5.Sum crypto.sha1.Sum crypto.sha256.Sum256 "
           "crypto.sha512.Sum512 "
           "crypto.sha256.Sum224 crypto.sha512.Sum384 sha3.Sum256 sha3.Sum512 blake2b.Sum256", "+0", _FAST, "medium",
           _PASSWORD),
    Misuse("fast-password-hash", 916, "medium", "crypto.md5.New().Write crypto.sha1.New().Write "
           "crypto.sha256.New().Write "
           "crypto.sha512.New().Write sha3.New256().Write", "+0", _FAST, "medium", _PASSWORD),
    Misuse("fast-password-hash", 916, "medium", "io.WriteString", "0~^(crypto|sha3)\\.\\w+\\.New", _FAST, "medium",
           _PASSWORD),
    Misuse("few-rounds", 916, "medium", "bcrypt.GenerateFromPassword", "1<10", "a password is hashed in too few "
           "rounds"),
    Misuse("few-rounds", 916, "medium", "pbkdf2.Key", "2<100000", "a password is hashed in too few rounds"),
    Misuse("few-rounds", 916, "medium", "crypto.pbkdf2.Key", "3<100000", "a password is hashed in too few rounds"),
    Misuse("few-rounds", 916, "medium", "scrypt.Key", "2<16384", "a password is hashed in too few rounds"),
    Misuse("weak-cipher", 327, "high", "crypto.des.NewCipher crypto.des.NewTripleDESCipher crypto.rc4.NewCipher "
           "blowfish.NewCipher blowfish.NewSaltedCipher cast5.NewCipher tea.NewCipher xtea.NewCipher", "", _BROKEN),
    Misuse("ecb-mode", 327, "high", "crypto.aes.NewCipher().Encrypt crypto.aes.NewCipher().Decrypt", "",
           "blocks that are equal stay equal (ECB)", "medium"),
    Misuse("ecb-mode", 327, "high", "crypto.cipher.Block.Encrypt", "", "blocks that are equal stay equal (ECB)", "low"),
    Misuse("small-key", 326, "medium", "crypto.rsa.GenerateKey", "1<2048", "a key that is too short"),
    Misuse("small-key", 326, "medium", "crypto.rsa.GenerateMultiPrimeKey", "2<2048", "a key that is too short"),
    Misuse("small-key", 326, "medium", "crypto.dsa.GenerateParameters", "2~L1024N160$", "a key that is too short"),
    Misuse("static-iv", 329, "medium", "crypto.cipher.NewCBCEncrypter crypto.cipher.NewCTR crypto.cipher.NewOFB "
           "crypto.cipher.NewCFBEncrypter", "1:bytes", "the same initialisation vector every time"),
    Misuse("static-iv", 329, "medium", "crypto.cipher.NewCBCEncrypter crypto.cipher.NewCTR crypto.cipher.NewOFB "
           "crypto.cipher.NewCFBEncrypter", "1~^@zeros", "the same initialisation vector every time"),
    Misuse("static-iv", 329, "medium", "*.Seal", "1:bytes", "the same initialisation vector every time"),
    Misuse("static-iv", 329, "medium", "*.Seal", "1~^@zeros", "the same initialisation vector every time"),
    Misuse("weak-random", 338, "medium", " ".join(f"{base}.{name}" for base in ("math.rand", "math.rand.New()",
           "math.rand.v2", "math.rand.Rand") for name in _RANDOM.split()), "", _GUESSED, "medium", _FOR_SECRETS),
    # secrets in the code
    Misuse("hard-coded-secret", 798, "high", "crypto.aes.NewCipher *.SignedString sessions.NewCookieStore "
           "cookie.NewStore memstore.NewStore csrf.Protect securecookie.New chacha20poly1305.New chacha20poly1305.NewX "
           "jwt.@key", "0:bytes", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "jwt.@key", "0:str 0!~^$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "crypto.hmac.New sessions.NewFilesystemStore", "1:bytes", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "middleware.JWT echojwt.JWT jwtauth.New", "0:bytes", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "jwtauth.New", "1:bytes", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "echojwt.Config.SigningKey= middleware.JWTConfig.SigningKey= "
           "jwtware.Config.SigningKey=", "0:bytes", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "*.SetBasicAuth", "1:str 1!~^$", _IN_CODE, "medium"),
    Misuse("hard-coded-secret", 798, "high", "ssh.Password", "0:str 0!~^$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "net.smtp.PlainAuth", "2:str 2!~^$", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "credentials.NewStaticCredentials "
           "credentials.NewStaticCredentialsProvider "
           "credentials.NewStaticV4", "1:str 1!~^$", _IN_CODE, "medium"),
    Misuse("hard-coded-secret", 798, "high", "*sql.Open *sqlx.Open *sqlx.Connect *sqlx.MustConnect",
           "1~://[^:/@\\s]+:[^@/\\s$%{]+@|^[\\w.-]+:[^@\\s:/%{]+@(tcp|unix)?\\(|password=['\"]?[^\\s'\"%$]", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "mysql.Open postgres.Open sqlserver.Open redis.ParseURL amqp.Dial "
           "pgx.ParseConfig pq.NewConnector",
           "0~://[^:/@\\s]+:[^@/\\s$%{]+@|^[\\w.-]+:[^@\\s:/%{]+@(tcp|unix)?\\(|password=['\"]?[^\\s'\"%$]", _IN_CODE),
    Misuse("hard-coded-secret", 798, "high", "pgx.Connect pgxpool.New pgxpool.Connect mongo.Connect",
           "1~://[^:/@\\s]+:[^@/\\s$%{]+@", _IN_CODE),
    # transport
    Misuse("no-certificate-check", 295, "high", "*.InsecureSkipVerify=", "0=True", _UNCHECKED),
    Misuse("no-certificate-check", 295, "high", "*.VerifyPeerCertificate= *.VerifyConnection=", "0~@accepts$",
           _UNCHECKED, "low"),
    Misuse("no-host-key-check", 295, "high", "ssh.InsecureIgnoreHostKey", "", "a host that is not known is trusted"),
    Misuse("no-host-key-check", 295, "high", "*.HostKeyCallback=", "0~@accepts$", "a host that is not known is "
           "trusted"),
    Misuse("old-tls", 327, "medium", "*.MinVersion= *.MaxVersion=", "0~crypto\\.tls\\.Version(SSL30|TLS10|TLS11)$",
           "an old version of TLS"),
    Misuse("old-tls", 327, "medium", "*.MinVersion= *.MaxVersion=", "0&512 0<771", "an old version of TLS"),
    Misuse("token-not-verified", 347, "high", "*.ParseUnverified", "", "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "jwt.@key *.SignedString", "0~UnsafeAllowNoneSignatureType$",
           "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "jwt.New jwt.NewWithClaims", "0~SigningMethodNone$",
           "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "*.UnsafeClaimsWithoutVerification", "",
           "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "high", "jwt.WithVerify jwt.WithValidate", "0=False",
           "the token's signature is not checked"),
    # cookies and other pages
    *(Misuse("insecure-cookie", 614, "medium", calls, when, "a cookie goes over plain HTTP", "medium")
      for calls, place in (("net.http.SetCookie", 1), ("echo.Context.SetCookie fiber.Ctx.Cookie", 0))
      for when in (f"{place}.Value? {place}.Secure=False", f"{place}.Value? -{place}.Secure")),
    *(Misuse("insecure-cookie", 1004, "medium", calls, when, "scripts can read a cookie", "medium")
      for calls, place in (("net.http.SetCookie", 1), ("echo.Context.SetCookie", 0))
      for when in (f"{place}.Value? {place}.HttpOnly=False", f"{place}.Value? -{place}.HttpOnly")),
    Misuse("insecure-cookie", 1004, "medium", "fiber.Ctx.Cookie", "0.Value? 0.HTTPOnly=False", "scripts can read a "
           "cookie"),
    Misuse("insecure-cookie", 1004, "medium", "fiber.Ctx.Cookie", "0.Value? -0.HTTPOnly", "scripts can read a cookie"),
    Misuse("insecure-cookie", 614, "medium", "gin.Context.SetCookie", "1? 5=False", "a cookie goes over plain HTTP"),
    Misuse("insecure-cookie", 1004, "medium", "gin.Context.SetCookie", "1? 6=False", "scripts can read a cookie"),
    Misuse("insecure-cookie", 614, "medium", "sessions.Options", "Secure=False", "a cookie goes over plain HTTP"),
    Misuse("insecure-cookie", 614, "medium", "sessions.Options", "-Secure +MaxAge", "a cookie goes over plain HTTP",
           "medium"),
    Misuse("insecure-cookie", 1004, "medium", "sessions.Options", "HttpOnly=False", "scripts can read a cookie"),
    Misuse("insecure-cookie", 1004, "medium", "sessions.Options", "-HttpOnly +MaxAge", "scripts can read a cookie",
           "medium"),
    Misuse("insecure-cookie", 614, "medium", "csrf.Secure", "0=False", "a cookie goes over plain HTTP", "medium"),
    Misuse("insecure-cookie", 1004, "medium", "csrf.HttpOnly", "0=False", "scripts can read a cookie", "medium"),
    *(Misuse("insecure-cookie", cwe, "medium", f"scs.SessionManager.Cookie.{name}= *.Cookie.{name}=", "0=False", text,
             "medium")
      for name, cwe, text in (("Secure", 614, "a cookie goes over plain HTTP"), ("HttpOnly", 1004,
                              "scripts can read a cookie"))),
    Misuse("any-origin", 942, "medium", "*.Header().Set *.Header().Add *.Header.Set gin.Context.Header fiber.Ctx.Set",
           "0~(?i)^access-control-allow-origin$ 1=*", "every page may read the answer", "medium"),
    *(Misuse("any-origin", 942, "medium", "cors.Options cors.Config middleware.CORSConfig", f"{all_of} "
             "AllowCredentials=True",
             "every page may ask with the user's cookies")
      for all_of in ("AllowedOrigins.0=*", "AllowOrigins.0=*", "AllowOrigins=*", "AllowAllOrigins=True",
                     "AllowOriginFunc~@accepts$", "AllowOriginRequestFunc~@accepts$", "AllowOriginsFunc~@accepts$")),
    Misuse("any-origin", 942, "medium", "websocket.Upgrader", "CheckOrigin~@accepts$",
           "every page may ask with the user's cookies", "medium"),
    Misuse("any-origin", 942, "medium", "*.CheckOrigin=", "0~@accepts$", "every page may ask with the user's cookies",
           "medium"),
    # the machine
    Misuse("external-entities", 611, "high", "*libxml2.Parse* *parser.New", "0~XMLParseNoEnt$", "the parser follows "
           "entities"),
    Misuse("external-entities", 611, "high", "*libxml2.Parse*", "1~XMLParseNoEnt$", "the parser follows entities"),
    Misuse("temporary-name", 377, "medium", "os.Create os.WriteFile io.ioutil.WriteFile os.Mkdir", "0~^/(var/)?tmp/",
           "somebody else can take the name first", "medium"),
    *(Misuse("temporary-name", 377, "medium", "os.OpenFile", f"0~^/(var/)?tmp/ 1&64 {flags}",
             "somebody else can take the name first", "medium") for flags in ("1&512", "1&1024", "1<128")),
    Misuse("open-to-all", 732, "medium", "os.Chmod", "1&2", "everybody may write to it"),
    Misuse("open-to-all", 732, "medium", "*.Chmod", "0&2", "everybody may write to it"),
    Misuse("open-to-all", 732, "medium", "io.ioutil.WriteFile os.WriteFile", "2&2",
           "everybody may write to it", "medium"),
    Misuse("open-to-all", 732, "medium", "os.OpenFile", "2&2", "everybody may write to it", "low"),
    Misuse("open-to-all", 732, "medium", "os.Mkdir os.MkdirAll", "1&2", "everybody may write to it", "low"),
    Misuse("open-to-all", 732, "medium", "syscall.Umask unix.Umask", "0=0", "everybody may write to what is made",
           "high", "^@dropped$"),
)  # fmt: skip
