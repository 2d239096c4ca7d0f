"""`tocsin doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict

from tocsin.cli.options import parser, read_settings
from tocsin.errors import SettingsError

MARK = {"ok": "ok     ", "warning": "warning", "failed": "FAILED "}


def run(argv: list[str]) -> int:
    """0 when nothing failed (warnings may be), 1 when something did, 2 for wrong usage."""
    made = parser(
        "doctor",
        "Look at configuration, locking, database, HTTP client, network, what checks may use here, and speed. "
        "Nothing is changed.",
    )
    made.add_argument("--json", action="store_true", help="one JSON object")
    args = made.parse_args(argv)
    try:
        settings = read_settings(args)
    except SettingsError as error:
        return _refused(str(error).splitlines(), as_json=args.json)
    from tocsin.app.examine import examine

    findings = asyncio.run(examine(settings))
    failed = any(f.state == "failed" for f in findings)
    if args.json:
        print(json.dumps({"ok": not failed, "findings": [asdict(f) for f in findings]}, indent=2, ensure_ascii=False))
        return int(failed)
    for f in findings:
        print(f"{MARK[f.state]}  {f.area:<14} {f.what}: {f.detail}")
        if f.advice:
            print(f"         {'':<14} → {f.advice}")
    bad = sum(f.state == "failed" for f in findings)
    warned = sum(f.state == "warning" for f in findings)
    print(f"\n{len(findings)} things looked at: {bad} failed, {warned} to think about", file=sys.stdout)
    return int(failed)


def _refused(lines: list[str], *, as_json: bool) -> int:
    """A finding for each setting that is wrong; nothing else can be looked at then."""
    if as_json:
        what = {"area": "configuration", "what": "settings", "state": "failed", "advice": ""}
        print(json.dumps({"ok": False, "findings": [what | {"detail": line} for line in lines]}, indent=2))
    else:
        for line in lines:
            print(f"FAILED  configuration  settings: {line}")
    return 1
