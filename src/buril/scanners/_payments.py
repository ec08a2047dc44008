"""Formats of tokens of payments, shops, shipping and chains of blocks."""

from __future__ import annotations

from buril.scanners._rules import Value, keyed, near, token

_UUID = "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"
_B58 = "[1-9A-HJ-NP-Za-km-z]"

PAYMENTS = (
    token("stripe_key", ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_prod_", "rk_prod_"),
          "[0-9A-Za-z]{16,250}"),
    token("stripe_webhook", "whsec_", "[A-Za-z0-9+/]{32,64}={0,2}"),
    token("square_token", ("sq0atp-", "sq0csp-"), r"[\w-]{22,60}"),
    token("square_production_token", "EAAA", r"[\w-]{60}"),
    token("braintree_token", ("access_token$production$", "access_token$sandbox$"), r"[a-z0-9]{16}\$[a-f0-9]{32}"),
    keyed("paypal_secret", "paypal", r"E[\w-]{79}"),
    token("adyen_key", "AQE", "[A-Za-z0-9+/]{40,200}={0,2}-[A-Za-z0-9+/=]{40,60}-[A-Za-z0-9]{16,40}"),
    token("razorpay_key", ("rzp_live_", "rzp_test_"), "[A-Za-z0-9]{14}"),
    token("mercadopago_token", ("APP_USR-", "TEST-"), r"\d{13,20}-\d{6}-[a-f0-9]{32}-\d{5,12}"),
    token("conekta_key", "key_", "[A-Za-z0-9]{22,23}"),
    keyed("pagseguro_token", ("pagseguro", "pagbank"), "[A-F0-9]{32}"),
    keyed("openpay_key", "openpay", "sk_[a-f0-9]{32}"),
    keyed("kushki_key", "kushki", "[a-f0-9]{32}"),
    keyed("wompi_key", "wompi", "prv_(?:prod|test)_[A-Za-z0-9]{32}"),
    keyed("ebanx_key", "ebanx", "[a-f0-9]{60,130}"),
    token("plaid_token", ("access-production-", "access-sandbox-", "access-development-"), _UUID),
    keyed("plaid_secret", "plaid_secret", "[a-f0-9]{30}"),
    keyed("gocardless_token", "gocardless", r"(?:live|sandbox)_[\w-]{40}"),
    token("flutterwave_key", ("FLWSECK-", "FLWSECK_TEST-"), "[A-Za-z0-9]{32}-X"),
    keyed("wise_token", ("wise_api", "transferwise"), _UUID),
    keyed("checkout_key", ("checkout_secret",), f"sk_(?:test_)?{_UUID}"),
    keyed("mollie_key", "mollie", "(?:live|test)_[A-Za-z0-9]{30}"),
    token("klarna_key", ("klarna_live_api_", "klarna_test_api_"), r"[\w-]{40,120}"),
    token("shopify_token", ("shpat_", "shpca_", "shppa_", "shpss_", "shptka_", "shprka_"), "[a-fA-F0-9]{32}"),
    token("woocommerce_key", ("ck_", "cs_"), "[a-f0-9]{40}"),
    token("easypost_key", ("EZAK", "EZTK"), "[A-Za-z0-9]{54}"),
    token("shippo_token", ("shippo_live_", "shippo_test_"), "[a-f0-9]{40}"),
    token("duffel_token", ("duffel_live_", "duffel_test_"), r"[\w=-]{43}"),
    keyed("lob_key", "lob_api", "(?:live|test)_[a-f0-9]{35}"),
    keyed("coinbase_key", "coinbase", "[A-Za-z0-9+/=]{64,88}"),
    keyed("binance_key", "binance", "[A-Za-z0-9]{64}"),
    keyed("kraken_key", "kraken", "[A-Za-z0-9+/]{86}=="),
    keyed("bitso_key", "bitso", "[A-Za-z0-9]{10,32}"),
    keyed("kucoin_secret", "kucoin", _UUID),
    near("infura_key", ("infura.io/v3/", "infura.io/ws/v3/"), r"infura\.io/(?:ws/)?v3/([a-f0-9]{32})\b",
         "https://mainnet.infura.io/v3/" + "9f3c7a1be5d2048f6b7e1c3a5d9f0e24"),
    token("alchemy_key", ("alchemy.com/v2/", "alchemyapi.io/v2/"), r"[\w-]{32}"),
    token("alchemy_auth_token", "alcht_", "[A-Za-z0-9]{30}"),
    keyed("etherscan_key", ("etherscan", "polygonscan", "bscscan", "arbiscan"), "[A-Z0-9]{34}"),
    token("bitcoin_extended_key", ("xprv", "tprv", "yprv", "zprv"), f"{_B58}{{107,108}}"),
    keyed("bitcoin_wif", ("wif", "bitcoin_priv", "btc_priv"), f"[5KL]{_B58}{{50,51}}"),
    keyed("solana_key", ("solana_priv", "solana_secret", "phantom_priv"), f"{_B58}{{86,88}}"),
    near(
        "mnemonic", ("mnemonic", "seed_phrase", "seed phrase", "seedphrase"),
        r"(?:mnemonic|seed[_ ]?phrase)[\w]{0,20}[\"'\]]{0,2}\s{0,4}[:=]{1,2}\s{0,4}"
        r"[\"'`]((?:[a-z]{3,8} ){11,23}[a-z]{3,8})[\"'`]",
        'MNEMONIC = "abandon cable orbit velvet rather guitar hybrid pulse narrow ethics lizard swarm"',
        Value(min_entropy=3.0)),
)  # fmt: skip
