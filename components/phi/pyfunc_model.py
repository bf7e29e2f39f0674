"""The MLflow model of a checkpoint, as code: `mlflow.pyfunc.load_model(uri).predict(["def add(a, b):"])`.

MLflow copies this file into the logged model, so it does not import anything of this project: serving the model needs only
the packages in its requirements.
"""

from typing import Any

import pandas
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

PROMPT = "prompt"


class PhiTextGenerator(PythonModel):
    """Continues prompts, greedily or by sampling."""

    def load_context(self, context: PythonModelContext) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        checkpoint = context.artifacts["checkpoint"]
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True, trust_remote_code=False)
        self.model = AutoModelForCausalLM.from_pretrained(
            checkpoint, local_files_only=True, trust_remote_code=False, use_safetensors=True
        ).eval()

    def predict(  # type: ignore[no-untyped-def]
        self,
        context: PythonModelContext,
        model_input,  # without a type: MLflow would infer a schema from it and refuse tables
        params: dict[str, Any] | None = None,
    ) -> list[str]:
        """Continuations of prompts, in their order, without the prompts.

        Args:
            model_input: a list of prompts, or a table with the column `prompt` (or with one column of text).
            params: `max_new_tokens` (64, at most half the model's positions), `temperature` (0: greedy), `seed` (0, of
                sampling). A prompt that is too long for both is cut at the start.

        Raises:
            ValueError: the input is neither a list nor a table.
        """
        usual = min(64, self.model.config.max_position_embeddings // 2)
        settings = {"max_new_tokens": usual, "temperature": 0.0, "seed": 0} | dict(params or {})
        return [self._continue(prompt, settings) for prompt in prompts_of(model_input)]

    def _continue(self, prompt: str, settings: dict[str, Any]) -> str:
        import torch

        new = int(settings["max_new_tokens"])
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"] or [self.tokenizer.eos_token_id]
        room = self.model.config.max_position_embeddings - new
        if room < 1:
            raise ValueError(
                f"max_new_tokens is {new}; the model has {self.model.config.max_position_embeddings} positions, prompt included"
            )
        window = torch.tensor([ids[-room:]])
        sampling: dict[str, Any] = {"do_sample": False}
        if settings["temperature"] > 0:
            torch.manual_seed(int(settings["seed"]))
            sampling = {"do_sample": True, "temperature": float(settings["temperature"])}
        with torch.inference_mode():
            out = self.model.generate(window, attention_mask=torch.ones_like(window), max_new_tokens=new, **sampling)
        return self.tokenizer.decode(out[0, window.shape[1] :], skip_special_tokens=True)


def prompts_of(model_input: Any) -> list[str]:
    """The prompts of a list, a table, a series or an array.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(model_input, str):
        return [model_input]
    if isinstance(model_input, pandas.DataFrame):
        column = PROMPT if PROMPT in model_input.columns else model_input.columns[0]
        model_input = model_input[column]
    prompts = list(model_input)
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise ValueError(f"expected prompts as text, or a table with a column {PROMPT!r}; got {prompts[:1]!r}")
    return prompts


set_model(PhiTextGenerator())
