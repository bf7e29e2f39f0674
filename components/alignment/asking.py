"""Log-probabilities of continuations under a checkpoint, and its greedy answers."""

from collections.abc import Sequence

from components.errors import StepError
from components.foreign.templates import render_chat
from components.inside.questions import Question, log_probabilities
from components.phi.template import QUESTIONS, read_template, special_tokens
from components.phi.text import TextModel, Wish


def scores(model: TextModel, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
    """Log-probability in nats of each continuation of each prompt, at the beginning of a text.

    Raises:
        StepError: a prompt with a continuation is longer than the model's positions.
    """
    start, questions = model.phi.config.eos_token_id, []
    for prompt, texts in zip(prompts, continuations, strict=True):
        context = [start, *model.tokenizer.encode(prompt, add_special_tokens=False).ids]
        whole = [
            (*context, *encoded.ids) for encoded in model.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ]
        if (longest := max(map(len, whole))) - 1 > model.positions:
            raise StepError(
                f"{prompt[:60]!r} with its continuation has {longest:,} tokens; expected at most {model.positions + 1:,}, the "
                "model's positions; shorten it, or measure a model with more"
            )
        questions.append(Question("", "", prompt, tuple(texts), 0, tuple(whole), len(context)))
    return log_probabilities(model.phi, questions)


def question_prompt(model: TextModel, question: str) -> str:
    """A question in the checkpoint's chat template, or without one in the form of the pipeline's exercises.

    Raises:
        StepError: the template refuses the question.
    """
    from jinja2 import TemplateError

    end = model.tokenizer.id_to_token(model.phi.config.eos_token_id)
    special = {"eos_token": end or ""} | special_tokens(model.folder)
    try:
        return render_chat(read_template(model.folder) or QUESTIONS, [{"role": "user", "content": question}], special)
    except (TemplateError, StepError) as error:
        raise StepError(
            f"{model.folder}: the chat template refuses a question: {str(error)[:300]}; correct it"
        ) from error


def following(prompt: str, answer: str) -> str:
    """An answer as it follows a prompt, after a space if the prompt ends without one."""
    return answer if prompt[-1:].isspace() else f" {answer}"


def complete(model: TextModel, prompt: str, tokens: int) -> str:
    """The greedy continuation of a prompt at the beginning of a text."""
    start = model.tokenizer.decode([model.phi.config.eos_token_id], skip_special_tokens=False)
    return model.complete(start + prompt, Wish(tokens))
