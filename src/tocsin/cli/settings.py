"""`tocsin settings`: every knob, its value and where it comes from."""

from __future__ import annotations

import json

from tocsin.cli.options import parser, read_settings
from tocsin.settings import SETTINGS, shown


def run(argv: list[str]) -> int:
    """Print every setting (secrets as ***); 0."""
    made = parser("settings", "List every setting, its value and where it comes from.")
    made.add_argument("--json", action="store_true", help="one JSON object")
    args = made.parse_args(argv)
    settings = read_settings(args)
    rows = [
        {
            "setting": s.variable,
            "value": None if settings[s.key] in (None, "") else shown(settings[s.key]),
            "source": settings.sources[s.key],
            "help": s.help,
        }
        for s in SETTINGS
    ]
    if args.json:
        print(json.dumps({"settings": rows}, indent=2))
        return 0
    for row in rows:
        value = "not set" if row["value"] is None else row["value"]
        print(f"{row['setting']} = {value}  [{row['source']}]\n    {row['help']}")
    return 0
