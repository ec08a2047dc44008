"""Formats of tokens of model providers and the tools around them."""

from __future__ import annotations

from buril.scanners._rules import keyed, token

_UUID = "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"

MODELS = (
    token(
        "openai_key", ("sk-", "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"), r"[\w-]{20,110}T3BlbkFJ[\w-]{20,110}"
    ),
    token("anthropic_key", "sk-ant-", r"(?:api|admin|oat|ort)\d{2}-[\w-]{60,120}"),
    token("openrouter_key", "sk-or-v1-", "[a-f0-9]{64}"),
    token("deepseek_key", "sk-", "[a-f0-9]{32}"),
    token("stability_key", "sk-", "[A-Za-z0-9]{48}"),
    token("elevenlabs_key", "sk_", "[a-f0-9]{48}"),
    token("huggingface_token", ("hf_", "api_org_"), "[A-Za-z0-9]{34}"),
    token("groq_key", "gsk_", "[A-Za-z0-9]{52}"),
    token("replicate_token", "r8_", "[A-Za-z0-9]{37}"),
    token("perplexity_key", "pplx-", "[A-Za-z0-9]{48}"),
    token("xai_key", "xai-", "[A-Za-z0-9]{80}"),
    token("langsmith_key", ("lsv2_pt_", "lsv2_sk_"), "[a-f0-9]{32}_[a-f0-9]{10}"),
    token("langfuse_key", "sk-lf-", _UUID),
    token("helicone_key", "sk-helicone-", r"[a-z0-9-]{25,50}"),
    token("cerebras_key", "csk-", "[a-z0-9]{48}"),
    token("nvidia_key", "nvapi-", r"[\w-]{64}"),
    token("tavily_key", ("tvly-", "tvly-dev-", "tvly-prod-"), "[A-Za-z0-9]{32}"),
    token("firecrawl_key", "fc-", "[a-f0-9]{32}"),
    token("pinecone_key", "pcsk_", "[A-Za-z0-9]{5,6}_[A-Za-z0-9]{60,66}"),
    token("jina_key", "jina_", r"[a-f0-9]{32}[\w-]{28}"),
    token("voyage_key", "pa-", r"[\w-]{43}"),
    token("fireworks_key", "fw_", "[A-Za-z0-9]{22,24}"),
    token("together_key", "tgp_v1_", r"[\w-]{43}"),
    token("anyscale_key", "esecret_", "[a-z0-9]{26,40}"),
    token("runpod_key", "rpa_", "[A-Z0-9]{40,46}"),
    token("modal_key", ("ak-", "as-"), "[A-Za-z0-9]{22}"),
    token("e2b_key", "e2b_", "[a-f0-9]{40}"),
    token("llamacloud_key", "llx-", "[A-Za-z0-9]{48}"),
    token("kaggle_token", "KGAT_", "[a-f0-9]{32}"),
    keyed("kaggle_key", "kaggle", "[a-f0-9]{32}"),
    token("wandb_key", "wandb_v1_", r"[\w-]{40,90}"),
    keyed("wandb_old_key", ("wandb", "weights_and_biases"), "[a-f0-9]{40}"),
    keyed("cohere_key", ("cohere", "co_api"), "[A-Za-z0-9]{40}"),
    keyed("mistral_key", "mistral", "[A-Za-z0-9]{32}"),
    keyed("together_old_key", ("together_api",), "[a-f0-9]{64}"),
    keyed("assemblyai_key", "assemblyai", "[a-f0-9]{32}"),
    keyed("deepgram_key", "deepgram", "[a-f0-9]{40}"),
    keyed("comet_key", "comet_api", "[A-Za-z0-9]{25}"),
    keyed("serpapi_key", ("serpapi", "serp_api"), "[a-f0-9]{64}"),
    keyed("exa_key", "exa_api", _UUID),
    keyed("ai21_key", "ai21", "[A-Za-z0-9]{32}"),
    keyed("azure_openai_key", ("azure_openai", "openai_azure"), "[a-f0-9]{32}"),
)
