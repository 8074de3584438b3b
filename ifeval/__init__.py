"""IFEval's verifiable instructions: checkers, strict and loose scoring, accuracies.

Usable on its own (`python -m ifeval`); knows nothing of the packages around it. In code:

    from ifeval.prompts import PromptSet
    from ifeval.scoring import Scorer

    prompts = PromptSet.read(Path("input_data.jsonl"))
    verdict = Scorer().score(prompts.prompts[0].instructions, "An answer.")
"""
