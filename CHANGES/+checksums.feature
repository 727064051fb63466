A server refuses to start if its artifacts do not have the digests that `ALLOWED_CONTENT_CHECKSUMS` asks for. `fileserver checksums`
reports what is missing or too much, and `fileserver fix-checksums` mends it; it may be stopped and run again.
