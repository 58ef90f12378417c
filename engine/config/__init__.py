"""The configuration: reading `tanist.toml`, changing a policy, describing and writing one."""

from engine.config.describing import describe, render
from engine.config.loading import Configuration, load, parse
from engine.config.overriding import override
from engine.config.templates import template

__all__ = ["Configuration", "describe", "load", "override", "parse", "render", "template"]
