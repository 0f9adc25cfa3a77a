"""The command line face: one command per file."""

from neuron_whisper.host.start_signals import end_on_sigterm

end_on_sigterm()  # the commands take a second to load
