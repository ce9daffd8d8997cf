"""Questions: each study asks one of a scenario, and is one function."""
