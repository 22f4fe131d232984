"""What all tests share."""

import signal

# A shell starts what it puts in the background with interrupts ignored, and children inherit that: tests that
# interrupt what they start would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
