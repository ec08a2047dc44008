"""Java: calls that are wrong by themselves, whatever they are given."""

from __future__ import annotations

from typing import Final

from buril.scanners._taint.rules import Misuse

_FOR_SECRETS = (
    r"(?i)token|passw|secret|session_?id|otp|nonce|salt|csrf|reset_?(?:token|code|key|link|pass)|"
    r"api_?key|auth|captcha|pin_?code|verification|remember|"
    r"activation|voucher|(^|_)(code|pin|iv|key)$|(?:Key|Iv|Code|Pin)$"
)
_NEXT = "nextInt nextLong nextDouble nextFloat nextBytes nextBoolean nextGaussian ints longs"
_HASHES = r"(?i)(^|@default\.)(md2|md4|md5|sha|sha-?1)$"
_CIPHERS = r"(?i)(^|@default\.)(des|desede|tripledes|3des|rc2|rc4|arcfour|blowfish)(/|$)"
_ECB = r"(?i)(^|@default\.)(aes(/ecb/.*)?|[a-z0-9]+/ecb/.*)$"
_OLD = r"^(SSL|SSLv2|SSLv3|TLSv1|TLSv1\.1)$"
_EVERYBODY = "a certificate of anybody is accepted"

MISUSES: Final = (
    # cryptography
    Misuse("weak-hash", 328, "medium", "MessageDigest.getInstance", f"0~{_HASHES}",
           "a hash that collisions are known of", "medium"),
    Misuse("weak-hash", 328, "medium", "DigestUtils.md5 DigestUtils.md5Hex DigestUtils.sha1 DigestUtils.sha1Hex "
           "DigestUtils.md2 DigestUtils.md2Hex DigestUtils.sha DigestUtils.shaHex DigestUtils.md5DigestAsHex "
           "DigestUtils.md5Digest DigestUtils.getMd5Digest DigestUtils.getSha1Digest Hashing.md5 Hashing.sha1 "
           "DigestUtils.appendMd5DigestAsHex", "", "a hash that collisions are known of", "medium"),
    Misuse("weak-hash", 328, "medium", "Mac.getInstance", r"0~(?i)^hmac-?(md5|md2)$",
           "a hash that collisions are known of", "medium"),
    Misuse("weak-hash", 328, "medium", "Signature.getInstance", r"0~(?i)^(md2|md5|sha1|sha-1|none)with",
           "a signature over a hash that collisions are known of", "medium"),
    Misuse("fast-password-hash", 916, "medium", "MessageDigest.getInstance().digest MessageDigest.digest "
           "MessageDigest.update DigestUtils.sha256Hex DigestUtils.sha512Hex DigestUtils.sha256 DigestUtils.sha1Hex "
           "DigestUtils.md5Hex *.hashString *.hashBytes", "+0", "a password is hashed by a fast hash", "medium",
           r"(?i)passw|pwd"),
    Misuse("few-rounds", 916, "medium", "PBEKeySpec", "2<100000", "a password is hashed in too few rounds"),
    Misuse("few-rounds", 916, "medium", "PBEParameterSpec", "1<100000", "a password is hashed in too few rounds"),
    Misuse("few-rounds", 916, "medium", "BCryptPasswordEncoder BCrypt.gensalt", "0<10",
           "a password is hashed in too few rounds"),
    Misuse("fast-password-hash", 916, "high", "NoOpPasswordEncoder.getInstance MessageDigestPasswordEncoder "
           "Md5PasswordEncoder ShaPasswordEncoder StandardPasswordEncoder PlaintextPasswordEncoder "
           "LdapShaPasswordEncoder "
           "Md4PasswordEncoder", "", "passwords are kept in clear or by a fast hash"),
    Misuse("static-salt", 760, "medium", "PBEKeySpec", "1:bytes", "the same salt for every password"),
    Misuse("static-salt", 760, "medium", "PBEKeySpec", "1:str 1!~^$", "the same salt for every password"),
    Misuse("static-salt", 760, "medium", "PBEParameterSpec", "0:bytes", "the same salt for every password"),
    Misuse("weak-cipher", 327, "high", "Cipher.getInstance SecretKeyFactory.getInstance "
        "KeyGenerator.getInstance", f"0~{_CIPHERS}",
           "a cipher that can be broken"),
    Misuse("weak-cipher", 327, "high", "Cipher.getInstance SecretKeyFactory.getInstance",
           r"0~(?i)^PBEWith(MD5|SHA1?)And(DES|TripleDES|RC2|RC4)", "a cipher that can be broken"),
    Misuse("weak-cipher", 327, "high", "DESKeySpec DESedeKeySpec NullCipher DESEngine RC4Engine RC2Engine "
        "BlowfishEngine "
           "DESedeEngine", "", "a cipher that can be broken"),
    Misuse("ecb-mode", 327, "high", "Cipher.getInstance", f"0~{_ECB} 0!~(?i)^rsa 0!~{_CIPHERS}",
           "blocks that are equal stay equal (ECB)"),
    Misuse("no-padding", 780, "medium", "Cipher.getInstance", r"0~(?i)^rsa(/(ecb|none))?/nopadding$",
           "RSA without padding"),
    Misuse("small-key", 326, "medium", "KeyPairGenerator.RSA.initialize KeyPairGenerator.DSA.initialize "
           "KeyPairGenerator.DH.initialize KeyPairGenerator.DIFFIEHELLMAN.initialize", "0<2048",
           "a key that is too short"),
    Misuse("small-key", 326, "medium", "KeyPairGenerator.EC.initialize KeyPairGenerator.ECDSA.initialize", "0<224",
           "a key that is too short"),
    Misuse("small-key", 326, "medium", "KeyGenerator.AES.init KeyGenerator.BLOWFISH.init KeyGenerator.RC4.init "
           "KeyGenerator.HMACSHA256.init", "0<128", "a key that is too short"),
    Misuse("small-key", 326, "medium", "RSAKeyGenParameterSpec", "0<2048", "a key that is too short"),
    Misuse("small-key", 326, "medium", "ECGenParameterSpec", r"0~(?i)^(secp(112|128|160|192)|prime192|sect1)",
           "a key that is too short"),
    *(Misuse("static-iv", 329, "medium", calls, when, "the same initialisation vector every time")
      for calls, when in (("IvParameterSpec", "0:bytes"), ("IvParameterSpec", "0:str 0!~^$"),
                          ("GCMParameterSpec", "1:bytes"),
                          ("GCMParameterSpec", "1:str 1!~^$"))),
    *(Misuse("hard-coded-secret", 798, "high", calls, when, "a secret stands in the code")
      for calls, when in (
          ("SecretKeySpec DESKeySpec DESedeKeySpec", "0:str 0!~^$"),
          ("SecretKeySpec DESKeySpec DESedeKeySpec", "0:bytes"),
          ("PBEKeySpec", "0:str 0!~^$"), ("DriverManager.getConnection", "2:str 2!~^$"),
          ("PasswordAuthentication UsernamePasswordCredentials", "1:str 1!~^$"),
          ("Algorithm.HMAC256 Algorithm.HMAC384 Algorithm.HMAC512 Keys.hmacShaKeyFor", "0:str 0!~^$"),
          ("*.signWith", "1:str 1!~^$"), ("*.setSigningKey", "0:str 0!~^$"), ("*.verifyWith", "0:str 0!~^$"),
          ("*.setPassword", "0:str 0!~^$"), ("KeyStore.load", "1:str 1!~^(changeit)?$"),
          ("*.signWith", "0:str 0!~^$"), ("*.httpBasic *.basicAuth Credentials.basic *.setBasicAuth", "1:str 1!~^$"),
          ("Jedis.auth", "0:str 0!~^$"), ("BasicAWSCredentials AwsBasicCredentials.create", "1:str 1!~^$"))),
    *(Misuse("weak-random", 338, "medium", f"{kind}.{name}", "", "a secret from a generator that can be "
        "guessed", "medium",
             _FOR_SECRETS)
      for kind in ("Random", "ThreadLocalRandom", "ThreadLocalRandom.current()", "SplittableRandom")
      for name in _NEXT.split()),
    Misuse("weak-random", 338, "medium", "Math.random RandomStringUtils.random RandomStringUtils.randomAlphanumeric "
           "RandomStringUtils.randomAlphabetic RandomStringUtils.randomNumeric RandomStringUtils.randomAscii "
           "RandomUtils.nextInt RandomUtils.nextLong RandomUtils.nextBytes", "",
           "a secret from a generator that can be guessed", "medium", _FOR_SECRETS),
    Misuse("weak-random", 338, "medium", "SecureRandom.setSeed SecureRandom", "0:int",
           "a generator of secrets starts at a number that stands in the code"),
    Misuse("weak-random", 338, "medium", "SecureRandom.setSeed SecureRandom", "0:bytes",
           "a generator of secrets starts at a number that stands in the code"),
    # transport
    Misuse("no-certificate-check", 295, "high", "@checkServerTrusted", "", _EVERYBODY),
    Misuse("no-certificate-check", 295, "high", "@SSLSession", "", "the host's name is not checked"),
    *(Misuse("no-certificate-check", 295, "high", "*.setHostnameVerifier *.setDefaultHostnameVerifier "
             "*.hostnameVerifier *.setSSLHostnameVerifier *.setHostnameVerifierDefault SSLConnectionSocketFactory "
             "*.sslHostnameVerifier", f"{place}~@always|[nN]oopHostname|ALLOW_ALL|AllowAll|NoOpHostname",
             "the host's name is not checked") for place in (0, 1)),
    *(Misuse("no-certificate-check", 295, "high", "*.loadTrustMaterial",
             f"{place}~@always|TrustAll|TrustSelfSigned", _EVERYBODY) for place in (0, 1)),
    Misuse("no-certificate-check", 295, "high", "*.trustManager", r"0~InsecureTrustManagerFactory", _EVERYBODY),
    Misuse("no-certificate-check", 295, "high", "*.setTrustAll *.trustAll", "0=True", _EVERYBODY),
    Misuse("no-certificate-check", 295, "high", "*.checkServerIdentity *.setHostnameVerification *.setVerifyHost",
           "0=False", "the host's name is not checked"),
    Misuse("no-host-key-check", 295, "high", "@StrictHostKeyChecking", "", "a host that is not known is trusted"),
    Misuse("no-host-key-check", 295, "high", "*.addHostKeyVerifier", "0~PromiscuousVerifier",
           "a host that is not known is trusted"),
    Misuse("old-tls", 327, "medium", "SSLContext.getInstance", f"0~{_OLD}", "an old version of TLS"),
    Misuse("old-tls", 327, "medium", "*.setEnabledProtocols *.setProtocols", f"0.0~{_OLD}", "an old version of TLS"),
    # objects from bytes, XML
    Misuse("any-class", 502, "high", "*.enableDefaultTyping *.enableDefaultTypingAsProperty", "",
           "whoever writes the text chooses the classes"),
    Misuse("any-class", 502, "high", "*.activateDefaultTyping", "0~LaissezFaire",
           "whoever writes the text chooses the classes"),
    Misuse("any-class", 502, "medium", "JsonTypeInfo", r"use~(^|\.)(CLASS|MINIMAL_CLASS)$",
           "whoever writes the text chooses the classes", "medium"),
    Misuse("any-class", 502, "high", "*.setAutoTypeSupport", "0=True", "whoever writes the text chooses the classes"),
    Misuse("external-entities", 611, "high", "*.setFeature",
           "0~external-(general|parameter)-entities|load-external-dtd 1=True", "the parser follows entities"),
    Misuse("external-entities", 611, "high", "*.setFeature", "0~disallow-doctype-decl 1=False",
           "the parser follows entities"),
    Misuse("external-entities", 611, "high", "XMLInputFactory*.set",
           r"0~SUPPORTING_EXTERNAL_ENTITIES|isSupportingExternalEntities 1=True", "the parser follows entities"),
    # tokens, the web
    Misuse("token-not-verified", 347, "high", "Algorithm.none", "", "the token's signature is not checked"),
    Misuse("token-not-verified", 347, "medium", "JWT.decode *.parseClaimsJwt *.parsePlaintextJwt "
        "*.parseUnsecuredClaims "
           "*.unsecured", "", "the token's signature is not checked", "medium"),
    Misuse("token-not-verified", 347, "high", "*.setSkipSignatureVerification *.setDisableRequireSignature "
           "*.setSkipAllValidators", "", "the token's signature is not checked"),
    Misuse("insecure-cookie", 614, "medium", "Cookie.setSecure *.setCookieSecure *.setUseSecureCookie", "0=False",
           "a cookie goes over plain HTTP"),
    Misuse("insecure-cookie", 1004, "medium", "Cookie.setHttpOnly *.setCookieHttpOnly", "0=False",
           "scripts can read a cookie"),
    Misuse("insecure-cookie", 614, "medium", "ResponseCookie*.secure", "0=False",
           "a cookie goes over plain HTTP"),
    Misuse("insecure-cookie", 1004, "medium", "ResponseCookie*.httpOnly", "0=False", "scripts can read a cookie"),
    Misuse("insecure-cookie", 614, "medium", "*.addCookie", "0.secure=unset 0.maxage!=0",
           "a cookie goes over plain HTTP", "medium"),
    Misuse("insecure-cookie", 1004, "medium", "*.addCookie",
           "0.httponly=unset 0.maxage!=0", "scripts can read a cookie", "medium"),
    Misuse("any-origin", 942, "medium", "*esponse.setHeader *esponse.addHeader ResponseEntity*.header",
           r"0~(?i)^access-control-allow-origin$ 1=*", "every page may read the answer", "medium"),
    Misuse("any-origin", 942, "medium", "CrossOrigin", "origins=* allowCredentials=true",
           "every page may ask with the user's cookies"),
    Misuse("any-origin", 942, "medium", "CrossOrigin", "origins=*", "every page may read the answer", "medium"),
    Misuse("any-origin", 942, "medium", "CrossOrigin", "0=*", "every page may read the answer", "medium"),
    Misuse("any-origin", 942, "medium", "CrossOrigin@", "", "every page may read the answer", "low"),
    Misuse("any-origin", 942, "medium", "*.allowedOrigins *.addAllowedOrigin *.addAllowedOriginPattern "
           "*.allowedOriginPatterns *.setAllowedOrigins *.setAllowedOriginPatterns", "0=*",
           "every page may read the answer", "medium"),
    Misuse("any-origin", 942, "medium", "*.setAllowedOrigins *.setAllowedOriginPatterns *.allowedOrigins", "0.0=*",
           "every page may read the answer", "medium"),
    Misuse("no-csrf-check", 352, "medium", "HttpSecurity.csrf().disable HttpSecurity*.csrf().disable", "",
           "another page can make the request", "medium"),
    Misuse("no-csrf-check", 352, "medium", "@csrf.disable", "", "another page can make the request", "medium"),
    Misuse("no-escaping", 79, "medium", "*.setEscapeXml *.setHtmlEscape", "0=False",
           "templates don't escape what they show", "medium"),
    # the machine
    Misuse("open-to-all", 732, "medium", "File.setWritable File.setReadable File.setExecutable", "0=True 1=False",
           "everybody may use it", "medium"),
    Misuse("open-to-all", 732, "medium", "PosixFilePermissions.fromString", "0~^.{7}w",
           "everybody may write to it"),
    Misuse("open-to-all", 732, "medium", "*.openFileOutput *.getSharedPreferences", "1~MODE_WORLD_",
           "everybody may use it"),
    Misuse("temporary-name", 377, "medium", "File FileWriter FileOutputStream", "0~^/(var/)?tmp/",
           "somebody else can take the name first", "medium"),
    Misuse("temporary-name", 377, "medium", "Files.write Files.writeString Files.newBufferedWriter "
        "Files.newOutputStream "
           "Files.createFile", "0~^/(var/)?tmp/", "somebody else can take the name first", "medium"),
    # annotations
    Misuse("sql", 89, "high", "@ibatis.Select @ibatis.Update @ibatis.Delete @ibatis.Insert", r"0~\$\{",
           "text is put into SQL as it stands", "medium"),
)  # fmt: skip
