"""The options that commands share: where the settings come from."""

from __future__ import annotations

import argparse
from pathlib import Path

from tocsin import settings


def parser(command: str, text: str) -> argparse.ArgumentParser:
    """An argument parser for `tocsin COMMAND` that knows --config."""
    made = argparse.ArgumentParser(prog=f"tocsin {command}", description=text, allow_abbrev=False)
    made.add_argument(
        "--config", metavar="FILE", type=Path, help="settings file (TOML); else the one TOCSIN_CONFIG names"
    )
    return made


def read_settings(args: argparse.Namespace) -> settings.Settings:
    """The settings by --config, TOCSIN_CONFIG and the environment. Raises SettingsError."""
    return settings.read(file=args.config)
