"""Formats of tokens of forges, package registries, build services and code analysis."""

from __future__ import annotations

from buril.scanners._rules import ALNUM, HEX, Value, fill, keyed, near, token

_UUID = "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"

FORGES = (
    token("github_token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), "[A-Za-z0-9]{36,255}"),
    token("github_fine_token", "github_pat_", "[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    token(
        "gitlab_token",
        (
            "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-", "gloas-",
            "glffct-", "glrtr-", "glwt-", "GR1348941",
        ),
        r"[\w-]{20,300}(?:\.[\w.]{9,40})?",
    ),
    near(
        "gitlab_session", ("_gitlab_session=",), "_gitlab_session=([0-9a-f]{32})",
        "_gitlab_session=" + fill(HEX, 32),
    ),
    token("bitbucket_token", "ATBB", "[A-Za-z0-9]{32}"),
    keyed("bitbucket_secret", "bitbucket", r"[\w=-]{64}"),
    token("atlassian_token", ("ATATT3", "ATCTT3", "ATSTT3"), r"[\w=-]{100,300}"),
    keyed("atlassian_old_token", ("atlassian", "jira", "confluence"), "[A-Za-z0-9]{24}"),
    keyed("gitea_token", ("gitea", "forgejo", "codeberg", "gogs"), "[a-f0-9]{40}"),
    token("sourcegraph_token", ("sgp_", "sgph_"), "(?:[a-f0-9]{16}_)?[a-f0-9]{40}"),
    token("sourcegraph_license", ("slk_", "sgd_"), "[a-f0-9]{64}"),
    keyed("gitter_token", "gitter", "[a-f0-9]{40}"),
)  # fmt: skip
REGISTRIES = (
    token("npm_token", "npm_", "[A-Za-z0-9]{36}"),
    near(
        "npm_registry_auth",
        (":_authtoken", ":_auth", ":_password"),
        r":_(?:auth(?:Token)?|password)\s*=\s*[\"']?([\w+/=.-]{16,400})",
        "//r.invalid/:_auth" + "Token=" + fill(ALNUM, 36),
        Value(min_entropy=3.0),
    ),
    token("pypi_token", ("pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZ"), r"[\w-]{50,600}"),
    token("rubygems_key", "rubygems_", "[a-f0-9]{48}"),
    token("crates_token", "cio", "[A-Za-z0-9]{32}"),
    token("nuget_key", "oy2", "[a-z0-9]{43}"),
    token("clojars_token", "CLOJARS_", "[a-f0-9]{60}"),
    token("packagist_token", ("packagist_ort_", "packagist_uut_", "packagist_ack_", "packagist_acs_"), "[a-f0-9]{68}"),
    token("docker_token", ("dckr_pat_", "dckr_oat_"), r"[\w-]{27,32}"),
    token("jfrog_key", "AKCp", "[A-Za-z0-9]{66,72}"),
    token("jfrog_reference_token", "cmVmd", "[A-Za-z0-9]{59}"),
    keyed("artifactory_password", ("artifactory_pass", "artifactory_api", "jfrog_pass"), "AP[0-9A-F][A-Za-z0-9]{8,40}"),
    keyed("gemfury_token", "gemfury", "[A-Za-z0-9]{20,28}"),
    keyed("cloudsmith_key", "cloudsmith", "[a-f0-9]{40}"),
    keyed("conda_token", ("anaconda_token", "conda_token", "anaconda_api"), "[a-z]{2}-[a-f0-9-]{36,40}"),
    keyed("hex_key", ("hex_api", "hexpm"), "[a-f0-9]{32,64}"),
)
BUILDS = (
    token("circleci_token", ("CCIPAT_", "CCIPRJ_"), "[A-Za-z0-9]{22}_[a-f0-9]{40}"),
    keyed("circleci_old_token", ("circleci", "circle_token"), "[a-f0-9]{40}"),
    token("buildkite_token", ("bkua_", "bkaj_", "bkat_"), "[a-f0-9]{40}"),
    keyed("travis_token", "travis", "[A-Za-z0-9]{22}"),
    keyed("drone_token", "drone", "[A-Za-z0-9]{32}"),
    keyed("appveyor_token", "appveyor", r"v2\.[a-z0-9]{20}"),
    keyed("bitrise_token", "bitrise", r"[\w-]{86}"),
    keyed("jenkins_token", "jenkins", "11[a-f0-9]{32}"),
    token("sonar_token", ("sqp_", "squ_", "sqa_"), "[a-f0-9]{40}"),
    keyed("sonar_old_token", "sonar", "[a-f0-9]{40}"),
    keyed("snyk_token", "snyk", _UUID),
    keyed("codecov_token", "codecov", _UUID),
    keyed("coveralls_token", "coveralls", "[A-Za-z0-9]{33}"),
    keyed("codacy_token", "codacy", "[a-f0-9]{32}"),
    keyed("code_climate_id", ("cc_test_reporter", "code_climate", "codeclimate"), "[a-f0-9]{64}"),
    token("snyk_service_token", "snyk_uat.", r"[a-f0-9]{8}\.[\w.-]{40,900}"),
    token("semgrep_token", "sgapp_", "[a-f0-9]{64}"),
    keyed("semgrep_app_token", "semgrep_app", "[a-f0-9]{64}"),
    token("gitguardian_token", "ggt_", r"[\w-]{40,60}"),
    keyed("fossa_key", "fossa", "[a-f0-9]{32}"),
    token("postman_key", "PMAK-", "[a-f0-9]{24}-[a-f0-9]{34}"),
    token("postman_collection_key", "PMAT-", "[A-Z0-9]{26}"),
    token("readme_key", "rdme_", "[a-z0-9]{70}"),
    keyed("browserstack_key", ("browserstack",), "[A-Za-z0-9]{20}"),
    keyed("saucelabs_key", ("saucelabs", "sauce_access"), _UUID),
    keyed("percy_token", ("percy_token",), "[a-z]{0,8}_?[a-f0-9]{64}"),
    keyed("chromatic_token", ("chromatic_project",), "[a-z0-9]{12,16}"),
    token("apify_token", "apify_api_", "[A-Za-z0-9]{36}"),
    keyed("lokalise_token", ("lokalise",), "[a-f0-9]{40}"),
    token("crowdin_token", "crwdn_", "[a-f0-9]{80}"),
)
