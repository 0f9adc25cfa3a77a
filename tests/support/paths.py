"""Where the project lies, and recordings beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT.parent / "shared" / "speech"
FAULTS = ROOT.parent / "shared" / "faults"
