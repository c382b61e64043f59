"""Calls about models by name: the registry, and which of two versions is the better one."""
