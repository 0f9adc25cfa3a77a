"""The same numbers and texts as openai-whisper and other references."""
