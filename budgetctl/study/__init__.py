"""A study: the recipe, its budgets, its cells, the plan of distinct stages, and the worker that runs them."""
