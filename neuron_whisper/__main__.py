"""python -m neuron_whisper"""

from neuron_whisper.cli.main import main

if __name__ == "__main__":
    main()
