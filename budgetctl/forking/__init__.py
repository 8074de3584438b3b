"""When a supervised finetuning is worth forking from: triggers, the rule that fires them, and its records."""
