"""What a training is, as far as its result depends on it.

Defaults are for small and middling models today; `recipes/paper.yaml` names the study's own values instead.
Reasons stand beside each value; docs/decisions/0405 sets them side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from budgetctl.models.registry import Precision
from budgetctl.schema import Frozen

SEVEN_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Method = Literal[
    "dpo", "ipo", "hinge", "robust", "exo", "nca", "bco", "sppo", "aot", "aot_unpaired", "apo", "apo_down",
    "discopop", "kto", "simpo", "orpo", "cpo",
]  # fmt: skip
METHODS: tuple[Method, ...] = get_args(Method)
"""Preference methods. `kto` learns from unpaired rows, all others from pairs."""
REFERENCE_FREE = ("simpo", "orpo", "cpo")
"""Methods that compare with no reference policy."""
METHOD_DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "simpo": {"beta": 2.0, "gamma": 1.0},
    "cpo": {"sft_weight": 1.0},
}
"""Method → its own defaults, as its authors use them."""


MOST_SEED = 2**32 - 1
"""NumPy's random numbers start from 32 bits."""
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]


class LoraSettings(Frozen):
    """Shape of one adapter. The defaults are the study's, which are also common today."""

    rank: Annotated[int, Field(ge=1)] = 32
    alpha: Annotated[float, Field(gt=0)] = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of SFT adapters; `pft` refuses it, since preference losses are computed without dropout. 0: the budgets are spent
    in an epoch or two, and dropout would make gradients depend on the micro-batch."""
    targets: tuple[str, ...] = SEVEN_PROJECTIONS
    """Modules that are adapted, by the last part of their names."""
    extra_targets: tuple[str, ...] = ()
    """Modules beyond the projections, such as the `embed_tokens` and `lm_head` that the study added for Qwen. Each
    adds rank × (vocabulary + hidden size) numbers to every checkpoint; `lm_head` also builds all logits in training;
    vLLM serves adapters on them for Llama only."""

    @model_validator(mode="after")
    def _adapts_something(self) -> Self:
        if not self.targets and not self.extra_targets:
            raise ValueError(
                "targets is empty, and nothing would be trained; leave it out for the seven projections"
            )
        return self


class OptimizerSettings(Frozen):
    """How weights move."""

    name: Literal["adamw", "adamw_8bit"] = "adamw"
    """`adamw_8bit` is bitsandbytes' on a GPU and plain AdamW elsewhere; an adapter's optimizer state is small,
    so the 8 bits of the study save little and plain AdamW is the default."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps over which the rate climbs from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Off: decay pulls an adapter towards its parent, which the preference losses' β already does."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0


class TrainingSettings(Frozen):
    """What supervised and preference finetuning have in common."""

    backend: Literal["trl", "unsloth"] = "trl"
    """Whose kernels compute; in the key, because they round otherwise. `unsloth` is faster, needs a GPU, its package
    and bfloat16, and trains adapters on the projections in one process."""
    weights: Literal["lora", "qlora", "full"] = "lora"
    """`qlora` holds the base in 4 bits while it trains an adapter (a GPU and the `gpu` extra); answers are still
    generated over the 16- or 32-bit base. `full` trains and publishes every weight."""
    lora: LoraSettings = LoraSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    epochs: Annotated[float, Field(gt=0)] = 2.0
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Rows of one optimizer step. Exact for every micro-batch and process count."""
    max_length: Annotated[int, Field(ge=8)] = 1024
    """Most tokens of a row."""
    overlong: Literal["error", "truncate"] = "error"
    """What happens to a longer row: cutting an answer teaches a model not to stop, so it is not the default."""
    precision: Precision = "float32"
    """Of the base's weights and the arithmetic; trained adapters are float32 (bfloat16 under `qlora`)."""

    @model_validator(mode="after")
    def _full_weights_have_no_adapter(self) -> Self:
        if self.weights == "full" and self.lora != LoraSettings():
            raise ValueError(
                "weights: full trains every weight and no adapter; leave lora out, or use weights: lora"
            )
        return self

    @model_validator(mode="after")
    def _unsloth_can(self) -> Self:
        if self.backend == "unsloth":
            if self.weights == "full":
                raise ValueError(
                    "backend: unsloth trains adapters; use weights: lora or qlora, or backend: trl"
                )
            if self.precision != "bfloat16":
                raise ValueError(
                    "backend: unsloth computes in bfloat16; set precision: bfloat16, or use backend: trl"
                )
            if beyond := set((*self.lora.targets, *self.lora.extra_targets)) - set(SEVEN_PROJECTIONS):
                raise ValueError(
                    f"backend: unsloth adapts the seven projections, not {', '.join(sorted(beyond))}; use backend: trl"
                )
        return self


class SftSettings(TrainingSettings):
    """Supervised finetuning."""

    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=2e-4)
    """2e-4: the usual rate for LoRA, ten times that of full finetuning; the study used 5e-5."""
    loss: Literal["answer", "full"] = "answer"
    """`answer`: the assistant's tokens only. `full`: the prompt's too, as the study did."""


class PftSettings(TrainingSettings):
    """Preference finetuning."""

    method: Method = "dpo"
    adapter: Literal["stack", "continue"] = "stack"
    """`stack`: a new adapter over the frozen one, as in the study. `continue`: the parent's own adapter trains on,
    in its own shape, whatever `lora` says, and its untrained copy is the reference. Over the base itself both are a new
    adapter."""
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=2e-5)
    """2e-5: a tenth of the SFT rate, the ratio of the study (5e-6 to 5e-5)."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """Strength of the pull towards the reference (Rafailov et al. 2305.18290 use 0.1); the study used 1.0. For
    IPO it is τ. SimPO's and CPO's scales the log-probabilities themselves; SimPO's default is 2 (Meng et al.
    2405.14734). ORPO has none."""
    gamma: Annotated[float, Field(ge=0)] = 0.0
    """SimPO's target margin between the scaled log-probabilities; its default is 1, half its β (Meng et al.)."""
    odds_weight: Annotated[float, Field(gt=0)] = 0.1
    """ORPO's λ: weight of the odds ratio beside the chosen answer's loss (Hong et al. 2403.07691)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Assumed share of flipped preferences, for `robust` and `exo`."""
    length_normalised: bool = False
    """Divide each log-ratio of DPO by its answer's length."""
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of an added negative log-likelihood of the chosen answers, per token and averaged over rows (RPO);
    CPO's default is 1 (Xu et al. 2401.08417)."""
    desirable_weight: Annotated[float, Field(gt=0)] = 1.0
    """Of the wanted answers in KTO's loss."""
    undesirable_weight: Annotated[float, Field(gt=0)] = 1.0
    """Of the unwanted ones."""

    @property
    def has_reference(self) -> bool:
        """Whether the loss compares with what the training starts from."""
        return self.method not in REFERENCE_FREE

    @model_validator(mode="before")
    @classmethod
    def _method_defaults(cls, given: Any) -> Any:
        method = given.get("method") if isinstance(given, Mapping) else None
        return {**METHOD_DEFAULTS.get(method, {}), **given} if isinstance(method, str) else given

    @model_validator(mode="after")
    def _options_belong_to_the_method(self) -> PftSettings:
        if self.gamma and self.method != "simpo":
            raise ValueError(f"gamma is an option of simpo, not of {self.method}")
        if self.odds_weight != 0.1 and self.method != "orpo":
            raise ValueError(f"odds_weight is an option of orpo, not of {self.method}")
        if self.method == "orpo" and self.beta != 0.1:
            raise ValueError("orpo has no beta; the weight of its odds ratio is odds_weight")
        if self.label_smoothing and self.method not in ("robust", "exo"):
            raise ValueError(f"label_smoothing has no meaning for {self.method}; robust and exo have it")
        if self.method == "exo" and not self.label_smoothing:
            raise ValueError("exo needs a label_smoothing above 0; its authors use 0.001")
        if self.length_normalised and self.method != "dpo":
            raise ValueError(f"length_normalised is an option of dpo, not of {self.method}")
        if self.sft_weight and self.method in ("kto", "orpo"):
            raise ValueError(f"sft_weight is an option of the pair losses, not of {self.method}")
        for name in ("desirable_weight", "undesirable_weight"):
            if getattr(self, name) != 1 and self.method != "kto":
                raise ValueError(f"{name} is an option of kto, not of {self.method}")
        return self

    @model_validator(mode="after")
    def _options_do_something(self) -> PftSettings:
        if self.lora.dropout:
            raise ValueError(
                "lora.dropout is an option of sft; preference losses are computed without dropout, so leave it out here"
            )
        if self.weights == "full" and self.adapter != "stack":
            raise ValueError(
                f"adapter: {self.adapter} has no meaning for weights: full, which has no adapters"
            )
        return self
