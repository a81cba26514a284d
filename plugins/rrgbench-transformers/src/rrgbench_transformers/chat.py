"""From messages to tokens, by the chat template of the model's own tokenizer or by a file's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer

from rrgbench.errors import LLMError, UsageError
from rrgbench.types import Message

# Llama's and other templates write today's date into the prompt. A reply must not depend on the day, so that they all
# get the date that Llama 3's own template falls back to.
_FIXED_DATE = {"%d": "26", "%m": "07", "%b": "Jul", "%B": "July", "%y": "24", "%Y": "2024", "%A": "Friday", "%a": "Fri"}
_DATE_MACRO = (
    "{%- macro strftime_now(form) -%}{{ form"
    + "".join(f"|replace('{code}', '{value}')" for code, value in _FIXED_DATE.items())
    + " }}{%- endmacro -%}"
)
_SCHEMA = "Answer with one JSON object that is valid by this JSON schema, and with nothing else:\n"


class Chat:
    """A model's tokenizer with its chat template; ``template`` is a Jinja file in the place of the model's own."""

    def __init__(self, folder: Path, template: Path | None) -> None:
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except Exception as error:  # the tokenizers library raises plain ones for a damaged file
            raise UsageError(f"The tokenizer of {folder} can't be read: {one_line(error)}") from error
        self._template = _fixed(_read(template) if template else self._own(folder))
        try:
            self._ids([Message("user", "Hello.")])
        except Exception as error:  # a template is a program
            raise UsageError(
                f"The chat template of {template or folder} can't be used: {one_line(error)}. Another one comes with"
                " template=FILE, in Jinja."
            ) from error

    def ids(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> list[int]:
        """The tokens of the prompt, which ends where the model's reply begins. Raises LLMError.

        A schema is put in words after the last message: nothing binds the reply to it.
        """
        if schema is not None and messages:
            last = messages[-1]
            words = f"{last.content}\n\n{_SCHEMA}{json.dumps(schema, ensure_ascii=False)}"
            messages = [*messages[:-1], Message(last.role, words)]
        try:
            try:
                return self._ids(messages)
            except TemplateError:  # Gemma 2's, among others, refuses a system message: it goes to the user's first
                if len(messages) < 2 or [m.role for m in messages[:2]] != ["system", "user"]:
                    raise
                first = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
                return self._ids([first, *messages[2:]])
        except Exception as error:  # the template's own, or the tokenizer's for half a surrogate pair
            raise LLMError("request", f"the chat template can't take these messages: {one_line(error)}") from None

    def text(self, ids: Sequence[int]) -> str:
        """The text of a reply's tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _ids(self, messages: Sequence[Message]) -> list[int]:
        return list(
            self.tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in messages],
                chat_template=self._template,
                add_generation_prompt=True,
                return_dict=False,
                sanitize_control_tokens=True,  # markup inside a text is text
            )
        )

    def _own(self, folder: Path) -> str:
        try:
            return str(self.tokenizer.get_chat_template())
        except ValueError:
            raise UsageError(
                f"The tokenizer of {folder} has no chat template: the model may be one that only goes on with a text."
                " Take its instruction-tuned form, or give template=FILE, a Jinja file with the template that it was"
                " tuned with."
            ) from None


def _fixed(template: str) -> str:
    return _DATE_MACRO + template if "strftime_now" in template else template


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"The chat template {file} can't be read: {one_line(error)}.") from error


def one_line(error: BaseException) -> str:
    """What an error says, in one line of 300 characters at most."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"
