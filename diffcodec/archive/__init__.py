"""Many pictures in one file: in memory (`memory`), from and to folders (`folder`), by groups (`group`)."""
