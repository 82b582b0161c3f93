"""Start an LLM generation once; watch it from anywhere, resume it, stop it from any client."""
