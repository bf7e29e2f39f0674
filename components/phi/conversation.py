"""A conversation with one model, or with two side by side: prompts, commands, settings.

If a checkpoint has a chat template, questions and answers use it; otherwise, and on demand, the model continues the
given text.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TextIO

from components.errors import StepError
from components.foreign.terminal import printable_text
from components.phi.answers import show
from components.phi.passages import Passage
from components.phi.template import read_template, render
from components.phi.text import TextModel, Wish

SAMPLING = {"temperature": float, "top_p": float, "top_k": int, "seed": int}  # types of its settings
MARK = "/"  # first character of a command; doubled at the beginning of a prompt


@dataclass
class Speaker:
    """A model with the name that it was requested by, and the messages of the conversation so far."""

    name: str
    model: TextModel
    messages: list[dict[str, str]] = field(default_factory=list)

    @property
    def chats(self) -> bool:
        return read_template(self.model.folder) is not None


@dataclass
class Conversation:
    """Takes lines from a person, and shows the models' answers.

    Attributes:
        open_model: returns the model of a name; raises StepError if there is none.
        passages: held-out texts to continue, for `/prompts`.
        names: names of the models at the start: one, or two that answer side by side.
        wish: settings of the answers.
        completes: continue text, even with a chat template.
        out: file for answers and lists.
        notes: file for everything else.
        ended: whether the person has ended it.
    """

    open_model: Callable[[str], TextModel]
    passages: Callable[[TextModel], list[Passage]]
    names: Iterable[str]
    wish: Wish
    completes: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    notes: TextIO = field(default_factory=lambda: sys.stderr)
    ended: bool = False

    def __post_init__(self) -> None:
        self._seat([Speaker(name, self.open_model(name)) for name in self.names])

    @property
    def chats(self) -> bool:
        """Whether lines are chat messages instead of text to continue."""
        return not self.completes and all(speaker.chats for speaker in self.speakers)

    def take(self, line: str) -> None:
        """Run a command, or answer a prompt.

        Raises:
            StepError: the command is unknown or a value is impossible; the conversation can continue.
        """
        if line.startswith(MARK) and not line.startswith(2 * MARK):
            name, _, rest = line[1:].partition(" ")
            if name not in COMMANDS:
                raise StepError(
                    f"there is no command /{name}; there are {', '.join(COMMANDS)}. Begin a text that starts with / with //"
                )
            COMMANDS[name][0](self, rest.strip())
        else:
            self.answer(line.removeprefix(MARK))

    def answer(self, text: str) -> None:
        """Show the models' answers to a message, or their continuations of a text."""
        if not self.chats:
            self._show({speaker.name: speaker.model.answer(text, self.wish) for speaker in self.speakers})
            return
        message = {"role": "user", "content": text}
        answers = {
            s.name: s.model.answer(render(s.model.folder, [*s.messages, message]), self.wish) for s in self.speakers
        }
        try:
            self._show(answers)
        finally:  # Ctrl-C interrupts an answer; its beginning stays in the conversation
            for speaker in self.speakers:
                answer = {"role": "assistant", "content": answers[speaker.name].text.strip()}
                speaker.messages += [message, answer]

    def _show(self, answers: dict[str, Any]) -> None:
        show(answers, self.out)
        for speaker in self.speakers:
            if forgotten := answers[speaker.name].forgotten:
                self._note(
                    f"({speaker.name} sees {speaker.model.positions:,} tokens at once; the first {forgotten:,} "
                    "were outside the context at the end)"
                )

    def _greet(self) -> None:
        for speaker in self.speakers:
            model = speaker.model
            self._note(
                f"{speaker.name}: {model.folder}, {model.phi.config.parameter_count():,} parameters, sees {model.positions:,} tokens"
            )
        self._note(
            "Talk to it." if self.chats else "It continues the text that you give it.", "/help lists the commands."
        )

    def _note(self, *parts: str) -> None:
        print(printable_text(" ".join(parts)), file=self.notes, flush=True)

    def help(self, _: str) -> None:
        for name, (_run, arguments, description) in COMMANDS.items():
            print(f"  {MARK + name + ' ' + arguments:<24}{description}", file=self.out)

    def set(self, words: str) -> None:
        name, _, value = words.partition(" ")
        if not name:
            for key, shown in self._settings().items():
                print(f"  {key:<12} {shown}", file=self.out)
            return
        if name == "stop":
            self.wish = replace(self.wish, stop=(unescaped(value),) if value else ())
        elif name == "max_tokens":
            self.wish = replace(self.wish, max_tokens=_number(name, value, int))
        elif name in SAMPLING:
            changed = {name: _number(name, value, SAMPLING[name])}
            self.wish = replace(self.wish, sampling=replace(self.wish.sampling, **changed))
        else:
            raise StepError(f"there is no setting {name!r}; there are {', '.join(self._settings())}")

    def _settings(self) -> dict[str, Any]:
        sampling = {field.name: getattr(self.wish.sampling, field.name) for field in fields(self.wish.sampling)}
        stop = " ".join(map(repr, self.wish.stop)) or "none"
        return sampling | {"max_tokens": self.wish.max_tokens, "stop": stop}

    def switch(self, name: str) -> None:
        """Talk to another model instead of the first."""
        if not name:
            raise StepError("/model has no name; expected a name, such as: /model control")
        self._seat([Speaker(name, self.open_model(name)), *self.speakers[1:]])

    def beside(self, name: str) -> None:
        """Let another model answer beside the first; an empty name ends this."""
        self._seat([self.speakers[0], *([Speaker(name, self.open_model(name))] if name else [])])

    def _seat(self, speakers: list[Speaker]) -> None:
        if len({speaker.name for speaker in speakers}) < len(speakers):
            raise StepError(f"{speakers[0].name!r} is already talking; name another model")
        self.speakers = speakers
        self._greet()

    def prompts(self, number: str) -> None:
        """List held-out texts, or continue one of them."""
        passages = self.passages(self.speakers[0].model)
        if not number:
            for place, passage in enumerate(passages, 1):
                print(f"{place:>3}  {printable_text(' '.join(passage.prompt.split()))[:100]}", file=self.out)
            self._note("Continue one with /prompts NUMBER.")
            return
        if not number.isdecimal() or not 1 <= int(number) <= len(passages):
            raise StepError(f"there is no prompt {number}; expected 1 to {len(passages)}")
        passage = passages[int(number) - 1]
        print(printable_text(passage.prompt), file=self.out, flush=True)
        self._note("--- the model continues:")
        self._show({s.name: s.model.answer(passage.prompt, self.wish) for s in self.speakers})
        self._note(f"--- the text itself continues ({passage.kind}, {passage.source}):")
        print(printable_text(passage.truth), file=self.out, flush=True)

    def complete(self, _: str) -> None:
        self.completes = True

    def chat(self, _: str) -> None:
        if missing := [speaker.name for speaker in self.speakers if not speaker.chats]:
            raise StepError(
                f"{missing[0]} has no chat template, so it can only continue text; export it to give it one"
            )
        self.completes = False

    def reset(self, _: str) -> None:
        for speaker in self.speakers:
            speaker.messages.clear()

    def quit(self, _: str) -> None:
        self.ended = True


COMMANDS: dict[str, tuple[Callable[[Conversation, str], None], str, str]] = {
    "help": (Conversation.help, "", "list the commands"),
    "model": (Conversation.switch, "NAME", "talk to another model"),
    "beside": (Conversation.beside, "[NAME]", "let a second model answer too; without a name, stop that"),
    "set": (Conversation.set, "[NAME VALUE]", "change a setting, as /set temperature 0.7; without a name, show all"),
    "prompts": (Conversation.prompts, "[NUMBER]", "list held-out texts, or continue one and compare with the original"),
    "chat": (Conversation.chat, "", "chat through the checkpoint's chat template"),
    "complete": (Conversation.complete, "", "continue the text without a chat template"),
    "reset": (Conversation.reset, "", "forget the conversation so far"),
    "quit": (Conversation.quit, "", "quit (also Ctrl-D)"),
}


def unescaped(text: str) -> str:
    r"""A typed stop string, with `\n` and `\t` as line end and tab."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _number(name: str, value: str, kind: type) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise StepError(f"{name} is {value!r}; expected a {'whole ' if kind is int else ''}number") from None
