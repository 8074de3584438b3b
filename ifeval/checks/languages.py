"""Family `language`: the language of the whole answer (paper, table 1)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from ifeval.checker import Checker, Toolbox
from ifeval.errors import PromptError
from ifeval.instruction import Instruction
from ifeval.text.language_profiles import profile_codes
from ifeval.text.languages import LanguageDetector


@dataclass(frozen=True)
class ResponseLanguage(Checker):
    """`language:response_language`: langdetect takes the answer to be in the language.

    An answer without any letters is in no language and does not follow.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"language"})
    code: str
    languages: LanguageDetector
    undetected: bool

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        code = instruction.text("language")
        if code not in profile_codes():
            raise PromptError(
                f"{instruction.kind}: language must be one of langdetect's codes ({', '.join(profile_codes())}), got "
                f"{code!r}, which no answer could follow"
            )
        return cls(code, tools.languages, undetected=tools.compat)

    def follows(self, text: str) -> bool:
        verdict = self.languages.is_language(text, self.code)
        return self.undetected if verdict is None else verdict
