"""``python -m rrgbench``."""

from rrgbench.cli import main

main()
